"""Rates of the data tools on one core, and a peer's in the same run: what `make bench` runs.

Every measurement is warmed up, sized to take about as long as any other, and repeated in
turn with all others, so that a machine that slows down slows them all. The rate is the
median, per second of processor time.
"""

import json
import time
from collections.abc import Callable
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from helpers.corpus import Recipe, build
from helpers.files import atomic
from helpers.generators import GENERATORS
from helpers.language import Vocabulary, encode_mazes, jsonl
from helpers.maze import Mazes, Sampler, generate
from helpers.runs import machine
from helpers.validator import judge_ids

SIDE = 30
SECONDS, ROUNDS = 0.2, 9  # of one measurement; measurements of each rate
OUTPUT = Path(__file__).resolve().parent.parent / "runs" / "bench.json"
TARGETS = {"wilson": 25_000, "kruskal": 40_000, "dfs": 40_000, "drunkards_walk": 35_000,
           "searchformer": 8_000}  # mazes/s with tokens in memory; a third of it as text
VALIDATION_TARGET = 100_000


class Rate(NamedTuple):
    """Something that does n things when called with n."""

    unit: str
    work: Callable[[int], object]
    target: float | None = None
    peer: str | None = None  # the name of another rate


def drawing(generator: str, finish: Callable[[Mazes], object]) -> Callable[[int], object]:
    """Draws the published stream on and on, a thousand mazes at a time."""
    sampler = Sampler(generator, SIDE, SIDE, split="train")

    def work(n: int) -> None:
        for first in range(0, n, 1000):
            finish(sampler.take(min(1000, n - first)))
    return work


def text(mazes: Mazes) -> bytes:
    return jsonl(Vocabulary(SIDE, SIDE), *encode_mazes(mazes))


def judging(generator: str, swapped: bool = False) -> Callable[[int], object]:
    """Judges the published test set of a distribution, over and over.

    Args:
        generator: the distribution.
        swapped: each response is judged on the next example's maze.
    """
    mazes = generate(generator, SIDE, SIDE, 1000, split="test")
    tokens, bounds = encode_mazes(mazes)
    spans = np.roll(bounds[:, [1, 3]], -1 if swapped else 0, axis=0)

    def work(n: int) -> None:
        for first in range(0, n, 1000):
            size = min(1000, n - first)
            judge_ids(Mazes(*(array[:size] for array in mazes)), tokens, spans[:size])
    return work


def building() -> Callable[[int], object]:
    """Builds training corpora (solved, encoded, each example with its own stream)."""
    seeds = count()
    return lambda n: build(Recipe("wilson", SIDE, SIDE, "train", next(seeds), "indexed", n))


def peers() -> dict[str, Rate]:
    """maze-dataset's Wilson generator, where it is installed.

    Its lattice of 15×15 rooms is our grid of 30×30 cells. It draws the maze alone.
    """
    try:
        from maze_dataset.generation import LatticeMazeGenerators
    except ImportError:
        return {}

    def work(n: int) -> None:
        for _ in range(n):
            LatticeMazeGenerators.gen_wilson((SIDE // 2, SIDE // 2))
    return {f"maze-dataset {version('maze-dataset')}": Rate("mazes/s", work)}


def rates() -> dict[str, Rate]:
    """All that is measured, by name."""
    found, others = {}, peers()
    peer = next(iter(others), None)
    for name in GENERATORS:
        found[f"generate_{name}"] = Rate("mazes/s", drawing(name, encode_mazes), TARGETS.get(name),
                                         peer if name == "wilson" else None)
    found["generate_wilson_maze_alone"] = Rate("mazes/s", drawing("wilson", len), None, peer)
    for name in GENERATORS:
        target = TARGETS[name] / 3 if name in TARGETS else None
        found[f"text_{name}"] = Rate("mazes/s", drawing(name, text), target)
    for name in GENERATORS:
        found["validate" if name == "wilson" else f"validate_{name}"] = Rate(
            "traces/s", judging(name), VALIDATION_TARGET if name == "wilson" else None)
    found["validate_swapped"] = Rate("traces/s", judging("wilson", swapped=True))
    found["corpus_wilson"] = Rate("examples/s", building())
    return found | others


def seconds(work: Callable[[int], object], n: int) -> float:
    began = time.process_time()
    work(n)
    return time.process_time() - began


def size(work: Callable[[int], object]) -> int:
    """Warms up, and finds how many things take about as long as one measurement should."""
    work(10)
    n = 10
    while (took := seconds(work, n)) < SECONDS / 4:
        n *= 4
    return max(1, round(n * SECONDS / took))


def measure(jobs: dict[str, Rate]) -> dict[str, float]:
    """The median rate of each."""
    found = {name: [] for name in jobs}
    sizes = {}
    with tqdm(total=len(jobs) * (ROUNDS + 1), desc="measuring", disable=None, leave=False) as bar:
        for name, job in jobs.items():
            sizes[name] = size(job.work)
            bar.update()
        for _ in range(ROUNDS):
            for name, job in jobs.items():
                found[name].append(sizes[name] / seconds(job.work, sizes[name]))
                bar.update()
    return {name: float(np.median(values)) for name, values in found.items()}


def table(jobs: dict[str, Rate], measured: dict[str, float]) -> pd.DataFrame:
    """A row a rate, beside its target and its peer."""
    rows = []
    for name, job in jobs.items():
        value, peer = measured[name], measured.get(job.peer)
        rows.append({"name": name, "value": round(value, 1), "unit": job.unit,
                     "target": job.target and round(job.target),
                     "met": None if job.target is None else value >= job.target,
                     "peer": job.peer, "peer_value": peer and round(peer, 1),
                     "ratio": peer and round(value / peer, 1)})
    return pd.DataFrame(rows, dtype=object)


def main() -> None:
    here = machine()
    print(f"{here['processor']}, {here['cores']} cores, Python {here['python']}; "
          f"{SIDE}×{SIDE}, one core, median of {ROUNDS}", flush=True)
    jobs = rates()
    found = table(jobs, measure(jobs))
    OUTPUT.parent.mkdir(exist_ok=True)
    with atomic(OUTPUT, "w") as file:
        json.dump(found.to_dict("records"), file, indent=1)
    shown = found.assign(met=found["met"].map({True: "yes", False: "NO"}))
    for name in ("value", "target", "peer_value"):
        shown[name] = shown[name].map(lambda value: "" if value is None else f"{value:,.0f}")
    print(shown.fillna("").to_string(index=False))
    print("The peer draws the maze alone; generate_ also runs A* and writes the tokens."
          if found["peer"].notna().any() else
          "No peer: maze-dataset is not installed; pip install --editable '.[bench]' adds it.")
    print(f"Written to runs/{OUTPUT.name}")


if __name__ == "__main__":
    main()
