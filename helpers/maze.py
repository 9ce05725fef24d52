"""Mazes, and data sets of them.

A cell is ``(x, y)``: x the column, y the row, origin top left, y down. A grid is
``uint8 [rows, cols]`` indexed ``grid[y, x]``; 1 is free, 0 is a wall.

There are two ways of sampling:

``paper``
    one 32-bit linear congruential stream runs through the whole data set, maze after
    maze, and gives the published data byte for byte;
``indexed``
    example i has a random stream of its own that depends only on (seed, split, i), so
    any part of a data set can be made anywhere, in any order. A maze is drawn again if
    start and goal are one cell, or if its grid belongs to the other split: which grids are
    for training and which for testing follows from the grid itself (`is_held_out`).

Both feed the same kernels (generators.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from helpers.generators import ATTEMPTS, GENERATORS
from helpers.grids import HELD_OUT, is_held_out
from helpers.streams import example_state, mix

FREE, WALL = 1, 0
SMALLEST_SIDE, LARGEST_SIDE = 3, 180  # with 180 every token still has an id below 2^16
SPLITS = ("train", "test")
SAMPLINGS = ("paper", "indexed")


class MazeError(ValueError):
    """A maze that cannot be drawn or read; the message names the cause."""


@dataclass(frozen=True)
class Maze:
    """One problem: a grid (``uint8 [rows, cols]``, 1 free), a start and a goal cell (x, y).

    >>> print(Maze.from_ascii("S.#", "#..", "..G"))
    S.#
    #..
    ..G
    """

    grid: np.ndarray
    start: tuple[int, int]
    goal: tuple[int, int]

    @property
    def rows(self) -> int:
        return self.grid.shape[0]

    @property
    def cols(self) -> int:
        return self.grid.shape[1]

    @classmethod
    def from_ascii(cls, *lines: str) -> "Maze":
        """Reads ``#`` as wall, ``.`` or a space as free, ``S`` and ``G`` as start and goal.

        Raises:
            MazeError: another character, rows of different length, not one S and one G.
        """
        for number, line in enumerate(lines, start=1):
            if len(line) != len(lines[0]):
                raise MazeError(f"row {number}: got {len(line)} columns, takes {len(lines[0])}, "
                                "as row 1 has")
            if foreign := set(line) - set("#. SG"):
                raise MazeError(f"row {number}: got {min(foreign)!r}, takes # (wall), . or space "
                                "(free), S (start) and G (goal)")
        for mark in "SG":
            if (count := "".join(lines).count(mark)) != 1:
                raise MazeError(f"map: got {count} times {mark}, takes one S and one G")
        chars = np.array([list(line) for line in lines])
        (sy, sx), (gy, gx) = (np.argwhere(chars == mark)[0] for mark in "SG")
        grid = (chars != "#").astype(np.uint8)
        return cls(grid, (int(sx), int(sy)), (int(gx), int(gy)))

    def ascii(self, marks: dict[tuple[int, int], str] | None = None) -> str:
        """A picture, a character a cell; ``marks`` maps cells to characters drawn on top."""
        chars = np.where(self.grid == FREE, ".", "#")
        cells = {self.start: "S", self.goal: "G"} | (marks or {})
        for (x, y), mark in cells.items():
            if 0 <= x < self.cols and 0 <= y < self.rows:
                chars[y, x] = mark
        return "\n".join("".join(row) for row in chars)

    __str__ = ascii


class Mazes(NamedTuple):
    """Many mazes of one size, as arrays."""

    grids: np.ndarray  # uint8 [n, rows, cols], 1 free
    starts: np.ndarray  # int16 [n, 2], x y
    goals: np.ndarray  # int16 [n, 2], x y

    @classmethod
    def of(cls, mazes: Sequence[Maze]) -> "Mazes":
        """At least one maze, all of one size, as arrays."""
        return cls(np.stack([maze.grid for maze in mazes]),
                   np.array([maze.start for maze in mazes], np.int16),
                   np.array([maze.goal for maze in mazes], np.int16))

    def maze(self, index: int) -> Maze:
        start, goal = (tuple(int(v) for v in ends[index]) for ends in (self.starts, self.goals))
        return Maze(self.grids[index], start, goal)


def published_stream(seed: int, split: str) -> np.ndarray:
    """The stream of the published data set for this seed and split."""
    return np.array([(2 * seed + SPLITS.index(split)) % 2**32, 0], np.uint64)


class Sampler:
    """Draws the mazes of one data set, in order.

    Args:
        generator: a name of `GENERATORS`.
        rows, cols: grid size, each at least 3.
        split, seed: which data set; the published one has seed 42.
        sampling: ``paper`` or ``indexed`` (see the module's text).
        params: the generator's own parameters; the published values where not given.

    Raises:
        MazeError: an unknown name, a parameter out of range, a side below 3.
    """

    def __init__(self, generator: str, rows: int, cols: int, *, split: str, seed: int = 42,
                 sampling: str = "paper", params: dict[str, float] | None = None):
        check_choice("generator", generator, GENERATORS)
        check_choice("split", split, SPLITS)
        check_choice("sampling", sampling, SAMPLINGS)
        check_size(rows, cols)
        if seed < 0:
            raise MazeError(f"seed: got {seed}, takes a whole number from 0 up")
        self.generator, self.rows, self.cols, self.split = generator, rows, cols, split
        self._kernel = GENERATORS[generator].kernel
        self._params = np.array(_parameters(generator, params or {}), np.float64)
        self.position = 0
        if sampling == "paper":
            self._rng, self._key = published_stream(seed, split), np.uint64(0)
        else:
            self._rng = np.array([0, 1], np.uint64)
            stream = (2 * seed + SPLITS.index(split) + 1) % 2**64
            self._key = mix(np.uint64(stream)) | np.uint64(1)

    def seek(self, index: int) -> "Sampler":
        """Goes to example ``index``; only ``indexed`` sampling can."""
        if not self._key and index != self.position:
            raise MazeError("sampling: got paper, whose mazes can only be drawn one after "
                            "the other; takes indexed to begin elsewhere")
        self.position = index
        return self

    def take(self, count: int) -> Mazes:
        """The next ``count`` mazes.

        Raises:
            MazeError: this generator finds no maze of this split at this size.
        """
        mazes = Mazes(np.zeros((count, self.rows, self.cols), np.uint8),
                      np.zeros((count, 2), np.int16), np.zeros((count, 2), np.int16))
        ends = np.zeros(4, np.int64)  # start x y, goal x y
        draw = self._indexed if self._key else self._paper
        for i, grid in enumerate(mazes.grids):
            draw(grid, ends, self.position + i)
            mazes.starts[i], mazes.goals[i] = ends[:2], ends[2:]
        self.position += count
        return mazes

    def _paper(self, grid: np.ndarray, ends: np.ndarray, index: int) -> None:
        if not self._kernel(self._rng, grid, ends, self._params):
            raise self._none("place for a start and a different goal", index)

    def _indexed(self, grid: np.ndarray, ends: np.ndarray, index: int) -> None:
        """Draws from the example's own stream until a maze of the split has two different ends."""
        self._rng[0] = example_state(self._key, index)
        placed = False
        for _ in range(ATTEMPTS):
            grid[:] = 0
            if self._kernel(self._rng, grid, ends, self._params) and (
                    ends[0] != ends[2] or ends[1] != ends[3]):
                if is_held_out(grid) == (self.split == "test"):
                    return
                placed = True
        kept = "kept for testing" if self.split == "test" else "left for training"
        raise self._none(f"grid that is {kept} (one of {HELD_OUT} is, by a hash)" if placed
                         else "place for a start and a different goal", index)

    def _none(self, what: str, index: int) -> MazeError:
        return MazeError(f"generator: {self.generator} found no {what} in maze {index} at "
                         f"{self.rows}x{self.cols}; takes a larger grid, or parameters that "
                         "leave more room")


def generate(generator: str, rows: int, cols: int, count: int, **settings) -> Mazes:
    """The first ``count`` mazes of a data set; settings as for `Sampler`."""
    return Sampler(generator, rows, cols, **settings).take(count)


def check_choice(name: str, value, choices) -> None:
    """Raises MazeError unless value is among the choices."""
    if value not in choices:
        raise MazeError(f"{name}: got {value!r}, takes one of {', '.join(choices)}")


def check_size(rows: int, cols: int) -> None:
    """Raises MazeError unless both sides are within bounds."""
    for name, side in (("rows", rows), ("cols", cols)):
        if not SMALLEST_SIDE <= side <= LARGEST_SIDE:
            raise MazeError(f"{name}: got {side}, takes a whole number from "
                            f"{SMALLEST_SIDE} to {LARGEST_SIDE}")


def _parameters(generator: str, given: dict[str, float]) -> list[float]:
    known = GENERATORS[generator].parameters
    for name in given:
        if name not in known:
            raise MazeError(f"param {name}: got an unknown parameter, {generator} takes "
                            f"{', '.join(known) or 'none'}")
    values = []
    for name, (default, low, high, integer) in known.items():
        value = given.get(name, default)
        kind = "whole number" if integer else "number"
        fits = isinstance(value, int | float) and not isinstance(value, bool) and (
            low <= value <= high and (not integer or value == int(value)))
        if not fits:
            raise MazeError(f"param {name}: got {value!r}, takes a {kind} from {low} to {high}")
        values.append(float(value))
    return values
