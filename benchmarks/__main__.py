"""``python -m benchmarks``: everything, or only the parts named; `make bench` runs it."""

import argparse
from pathlib import Path

import torch

from benchmarks import data, decoding, processes, roofline, training
from benchmarks.measure import OUTPUT, here, table, write

PARTS = {"data": data.rows, "training": training.rows, "roofline": roofline.rows,
         "decoding": decoding.rows, "processes": processes.rows}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part",
                        help=f"of {', '.join(PARTS)}; all of them where none is named")
    parser.add_argument("--tiny", action="store_true",
                        help="everything in miniature, numbers without meaning")
    parser.add_argument("--output", type=Path, default=OUTPUT, help=f"instead of {OUTPUT.name}")
    given = parser.parse_args(arguments)
    parts = given.parts
    if unknown := set(parts) - set(PARTS):
        parser.error(f"part: got {', '.join(sorted(unknown))}, takes {', '.join(PARTS)}")
    torch.set_num_threads(1)
    print(f"{here()}; one thread, by its processor time, unless it says otherwise", flush=True)
    rows = []
    for name, measured in PARTS.items():
        if name in parts or not parts:
            rows += measured(given.tiny)
    write(rows, given.output)
    print(table(rows))
    print(f"Written to {given.output}")


if __name__ == "__main__":
    main()
