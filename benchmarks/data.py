"""Rates of generators, text and validator on one core, and maze-dataset's in the same run.

Every measurement is warmed up, sized to take about as long as any other, and repeated in
turn with all others. The rate is the median, per second of processor time.
"""

from collections.abc import Callable
from importlib.metadata import version
from itertools import count
from typing import NamedTuple

import numpy as np

from benchmarks.measure import in_turn, processor_seconds, row
from helpers.corpus import Recipe, build
from helpers.generators import GENERATORS
from helpers.language import Vocabulary, encode_mazes, jsonl
from helpers.maze import Mazes, Sampler, generate
from helpers.validator import judge_ids

SIDE, SMALL_SIDE = 30, 16  # of the grids, and of those in miniature
SECONDS, ROUNDS = 0.2, 9  # of one measurement; measurements of each rate
TARGETS = {"wilson": 25_000, "kruskal": 40_000, "dfs": 40_000, "drunkards_walk": 35_000,
           "searchformer": 8_000}  # mazes/s with tokens in memory; a third of it as text
VALIDATION_TARGET = 100_000


class Rate(NamedTuple):
    """Something that does n things when called with n."""

    unit: str
    work: Callable[[int], object]
    target: float | None = None
    peer: str | None = None  # the name of another rate


def drawing(generator: str, side: int, finish: Callable[[Mazes], object],
            ) -> Callable[[int], object]:
    """Draws the published stream on and on, a thousand mazes at a time."""
    sampler = Sampler(generator, side, side, split="train")

    def work(n: int) -> None:
        for first in range(0, n, 1000):
            finish(sampler.take(min(1000, n - first)))
    return work


def text(mazes: Mazes) -> bytes:
    return jsonl(Vocabulary(*mazes.grids.shape[1:]), *encode_mazes(mazes))


def judging(generator: str, side: int, swapped: bool = False) -> Callable[[int], object]:
    """Judges the published test set of a distribution, over and over.

    Args:
        generator: the distribution.
        swapped: each response is judged on the next example's maze.
    """
    mazes = generate(generator, side, side, 1000, split="test")
    tokens, bounds = encode_mazes(mazes)
    spans = np.roll(bounds[:, [1, 3]], -1 if swapped else 0, axis=0)

    def work(n: int) -> None:
        for first in range(0, n, 1000):
            size = min(1000, n - first)
            judge_ids(Mazes(*(array[:size] for array in mazes)), tokens, spans[:size])
    return work


def building(side: int) -> Callable[[int], object]:
    """Builds training corpora (solved, encoded, each example with its own stream)."""
    seeds = count()
    return lambda n: build(Recipe("wilson", side, side, "train", next(seeds), "indexed", n))


def peers(side: int) -> dict[str, Rate]:
    """maze-dataset's Wilson generator, where it is installed.

    Its lattice of 15×15 rooms is our grid of 30×30 cells. It draws the maze alone.
    """
    try:
        from maze_dataset.generation import LatticeMazeGenerators
    except ImportError:
        return {}

    def work(n: int) -> None:
        for _ in range(n):
            LatticeMazeGenerators.gen_wilson((side // 2, side // 2))
    return {f"maze-dataset {version('maze-dataset')}": Rate("mazes/s", work)}


def rates(side: int) -> dict[str, Rate]:
    """All that is measured, by name."""
    found, others = {}, peers(side)
    peer = next(iter(others), None)
    for name in GENERATORS:
        found[f"generate_{name}"] = Rate("mazes/s", drawing(name, side, encode_mazes),
                                         TARGETS.get(name), peer if name == "wilson" else None)
    found["generate_wilson_maze_alone"] = Rate("mazes/s", drawing("wilson", side, len), None, peer)
    for name in GENERATORS:
        target = TARGETS[name] / 3 if name in TARGETS else None
        found[f"text_{name}"] = Rate("mazes/s", drawing(name, side, text), target)
    for name in GENERATORS:
        found["validate" if name == "wilson" else f"validate_{name}"] = Rate(
            "traces/s", judging(name, side), VALIDATION_TARGET if name == "wilson" else None)
    found["validate_swapped"] = Rate("traces/s", judging("wilson", side, swapped=True))
    found["corpus_wilson"] = Rate("examples/s", building(side))
    return found | others


def size(work: Callable[[int], object], seconds: float) -> int:
    """Warms up, and finds how many things take about as long as one measurement should."""
    work(10)
    n = 10
    while (took := processor_seconds(work, n)) < seconds / 4:
        n *= 4
    return max(1, round(n * seconds / took))


def rows(tiny: bool = False) -> list[dict]:
    """A row a rate, beside its target and its peer."""
    side, seconds, rounds = (SMALL_SIDE, 0.001, 1) if tiny else (SIDE, SECONDS, ROUNDS)
    jobs = rates(side)
    sizes = {name: size(job.work, seconds) for name, job in jobs.items()}
    found = in_turn({name: lambda _, n=sizes[name], work=job.work: n / processor_seconds(work, n)
                     for name, job in jobs.items()}, rounds, "data")
    print(f"data: {side}×{side}, median of {rounds} rounds. "
          + ("The peer draws the maze alone; generate_ also runs A* and writes the tokens."
             if any(job.peer for job in jobs.values()) else
             "No peer: maze-dataset is not installed; pip install --editable '.[bench]' adds it."))
    return [row(name, found[name], job.unit, target=job.target, peer=job.peer,
                peer_value=found.get(job.peer)) for name, job in jobs.items()]
