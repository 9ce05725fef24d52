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

SIDE = 30
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


def size(work: Callable[[int], object]) -> int:
    """Warms up, and finds how many things take about as long as one measurement should."""
    work(10)
    n = 10
    while (took := processor_seconds(work, n)) < SECONDS / 4:
        n *= 4
    return max(1, round(n * SECONDS / took))


def rows() -> list[dict]:
    """A row a rate, beside its target and its peer."""
    jobs = rates()
    sizes = {name: size(job.work) for name, job in jobs.items()}
    found = in_turn({name: lambda _, n=sizes[name], work=job.work: n / processor_seconds(work, n)
                     for name, job in jobs.items()}, ROUNDS, "data")
    print(f"data: {SIDE}×{SIDE}, median of {ROUNDS} rounds. "
          + ("The peer draws the maze alone; generate_ also runs A* and writes the tokens."
             if any(job.peer for job in jobs.values()) else
             "No peer: maze-dataset is not installed; pip install --editable '.[bench]' adds it."))
    return [row(name, found[name], job.unit, target=job.target, peer=job.peer,
                peer_value=found.get(job.peer)) for name, job in jobs.items()]
