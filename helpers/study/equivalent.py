"""Changes of code that change no number, declared and held to it.

    python -m helpers.study.equivalent "why nothing changes"

A product follows from the code of definitions as they were; any other code makes it stale. Not so
where an entry of ``equivalent.json`` says that one definition became another and all numbers
stayed: a part moved, a setting added that nobody has set. The command adds an entry for all that
stands between the published trainings, with the mazes they are of, and the code as it is. That such
models would come out the same is tested: tests/test_equivalent.py draws the mazes of published
trainings and makes their first steps again.
"""

import json
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from helpers.engine.files import PROJECT, atomic

ENTRIES = Path(__file__).with_name("equivalent.json")


def changed_code(theirs: dict[str, str], ours: dict[str, str],
                 entries: Path = ENTRIES) -> list[str]:
    """The definitions in which two codes differ, without those declared to be equivalent.

    Args:
        theirs, ours: hashes by definition, as `fingerprint.code_of` gives them.
    """
    return [name for name in dict.fromkeys([*theirs, *ours])
            if ours.get(name) not in _became(name, theirs.get(name), entries)]


def _became(name: str, hash_: str | None, entries: Path) -> set[str | None]:
    """What a definition has become by declarations, itself included; None where it is gone."""
    found = {hash_}
    for entry in _read(entries):  # by date: each may go on from those before
        was, is_ = entry["changes"].get(name, (None, None))
        if name in entry["changes"] and was in found:
            found.add(is_)
    return found


@cache
def _read(entries: Path) -> list[dict]:
    return json.loads(entries.read_text(encoding="utf-8"))


def declare(why: str, changes: dict[str, tuple[str | None, str | None]],
            entries: Path = ENTRIES) -> None:
    """Adds an entry: why nothing changes, and of each definition its hash before and now."""
    found = [*_read(entries), {"why": why, "changes": changes}]
    with atomic(entries, "w") as file:
        file.write(json.dumps(found, indent=1) + "\n")
    _read.cache_clear()


def changes_since(trainings: Iterable[Path], entries: Path = ENTRIES
                  ) -> dict[str, tuple[str | None, str | None]]:
    """The code that published trainings follow from, where it was another: its hashes then and now.

    That of weights and learning curve, and of the mazes that they are made from.
    """
    from helpers.study.runs import Run
    from helpers.study.scale import load_scale
    from helpers.study.specs import ModelSpec
    changes = {}
    for path in sorted(trainings):
        run, spec = Run(load_scale(path.parts[-3])), ModelSpec.parse(path.stem)
        records = json.loads(path.read_text(encoding="utf-8"))["made"]
        for product, record in zip((run.model(spec), run.curve(spec)), records, strict=True):
            codes = [(record["code"], product.code)]
            codes += [(record["input_code"][one.name], one.code) for one in product.inputs
                      if one.name in record.get("input_code", {})]
            changes |= {name: (theirs.get(name), ours.get(name)) for theirs, ours in codes
                        for name in changed_code(theirs, ours, entries)}
    return changes


def main() -> None:
    if len(sys.argv) != 2 or not sys.argv[1].strip():
        sys.exit("equivalent: takes one sentence that says why no number changes")
    changes = changes_since((PROJECT / "results").glob("*/trainings/*.json"))
    if not changes:
        sys.exit("equivalent: no code that published trainings follow from has changed")
    declare(sys.argv[1], changes)
    print(f"{ENTRIES}: {', '.join(changes)}")


if __name__ == "__main__":
    main()
