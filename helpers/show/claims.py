"""What the published results say to what is claimed (`helpers.show.claimed`).

    python -m helpers.show.claims        writes docs/claims.md from results/

Each claim is about one number; its verdict follows from that number's interval alone. Where
there is no result, or one of a single seed, the verdict says so.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from helpers.engine.files import PROJECT, atomic
from helpers.show.claimed import CLAIMS, SAME, Claim
from helpers.show.looks import look_of_generator
from helpers.show.words import spaced

PAGE = PROJECT / "docs" / "claims.md"
NO_RESULT = "no result"


def verdict(claimed: str, low: float, high: float, seeds: int) -> str:
    """What an interval says to a claim."""
    if claimed in ("below", "not above"):
        low, high = -high, -low
    bound = {"above": 0.0, "below": 0.0, "not below": -SAME, "not above": -SAME, "more": SAME,
             "half": 0.5}[claimed]
    if pd.isna(low):
        said = "cannot tell"
    elif low > bound:
        said = "supported"
    elif high < bound:
        said = "contradicted"
    elif claimed in ("above", "below") and high < SAME:
        said = "not seen"
    else:
        said = "cannot tell"
    return f"{said}, of one seed" if seeds == 1 else said


def rows(claim: Claim, results: Path) -> Iterator[list[str]]:
    """A claim beside a scale's results, a row a distribution."""
    path = results / claim.table
    table = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["quantity"])
    found = table[table["quantity"] == claim.quantity]
    for place, distribution in enumerate(claim.distributions):
        words = [claim.says, claim.source] if place == 0 else ["″", "″"]
        kind = look_of_generator(distribution).label
        number = found[found["distribution"] == distribution] if len(found) else found
        if number.empty:
            yield [*words, kind, "–", "–", "–", "–", NO_RESULT]
            continue
        one = number.iloc[0]
        bounds = ("no bounds" if pd.isna(one["low"]) else
                  f"{100 * one['low']:+.1f} to {100 * one['high']:+.1f}")
        yield [*words, kind, f"{100 * one['estimate']:+.1f}", bounds, spaced(one["n"]),
               f"{one['seeds']:.0f}", verdict(claim.claimed, one["low"], one["high"],
                                              int(one["seeds"]))]


HEAD = """# What is claimed, and what was seen

Written by `python -m helpers.show.claims` from `results/`; change the claims in
`helpers/show/claimed.py`. Estimates and 95 % intervals are in points (or per cent of a difference,
or a correlation times 100), over seeds and grids where there are several seeds
([statistics.md](statistics.md)). A claim that something is ahead is *supported* where the interval
lies above zero, *contradicted* where it lies below, *not seen* where it rules out a lead of {same}
points, and otherwise the data cannot tell. A claim that it is *as good*, or that there is nothing,
allows for {same} points. All of it holds for small models on small mazes.
"""
OPEN = "**No result yet**, `make study EXPERIMENT={experiment}`\n"


def page(results: Path = PROJECT / "results") -> str:
    """The whole page, Markdown: for each scale what was seen, then what no scale was asked yet."""
    parts = [HEAD.format(same=f"{100 * SAME:g}")]
    names = ("claim", "whose", "mazes", "estimate", "interval", "n", "seeds", "verdict")
    seen: set[Claim] = set()
    for scale in sorted(folder.name for folder in results.iterdir()
                        if (folder / "headline.csv").exists() and folder.name != "smoke"):
        lines = [names, ["---"] * len(names)]
        for claim in CLAIMS:
            found = list(rows(claim, results / scale))
            if any(row[-1] != NO_RESULT for row in found):
                lines += found
                seen.add(claim)
        parts += [f"## Scale `{scale}`\n", *(f"| {' | '.join(line)} |" for line in lines), ""]
    unseen: dict[str, list[Claim]] = {}
    for claim in CLAIMS:
        if claim not in seen:
            experiment = claim.experiment or Path(claim.table).parent.name or "headline"
            unseen.setdefault(experiment, []).append(claim)
    for experiment, claims in unseen.items():
        parts += [OPEN.format(experiment=experiment),
                  *(f"- {claim.says} ({claim.source})" for claim in claims), ""]
    return "\n".join(parts)


def main() -> None:
    with atomic(PAGE, "w") as file:
        file.write(page())


if __name__ == "__main__":
    sys.exit(main())
