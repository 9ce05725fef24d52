"""Mazes of one's own, read from a file: maps, or prompts in the study's language.

Maps are what `Maze.from_ascii` reads, with an empty line between two of them::

    S.#
    #..
    ..G

Prompts are JSONL, ``{"text": "query start 0 0 goal 2 2 wall 2 0 wall 0 1"}`` a line; whatever
response follows a prompt is passed over. All mazes of a file have one size.
"""

from collections.abc import Iterable, Iterator
from itertools import chain, groupby

import numpy as np

from helpers.engine.lines import ReadError, json_entries, text_lines
from helpers.grids import HELD_OUT, distance, is_held_out
from helpers.language import read_jsonl_text
from helpers.maze import Maze, MazeError, Mazes, check_size
from helpers.rules import read_example


def read_mazes(path: str, rows: int | None = None, cols: int | None = None) -> Mazes:
    """Reads every maze of a file, those without a way from start to goal too (see `solvable`).

    Args:
        path: plain or gzip, UTF-8 or UTF-16; ``-`` for stdin.
        rows, cols: the size to be read; prompts do not say theirs, maps do.

    Raises:
        MazeError: no file, no maze, or one that does not fit; names file and place.
    """
    if rows is not None:
        check_size(rows, cols)
    mazes: list[Maze] = []
    try:
        for place, maze in _read(path, rows, cols):
            size = rows, cols = rows or maze.rows, cols or maze.cols
            if (maze.rows, maze.cols) != size:
                raise MazeError(f"{place}: got {maze.rows}x{maze.cols}, takes {rows}x{cols}"
                                + ", as the mazes before" * bool(mazes))
            mazes.append(maze)
        if not mazes:
            raise MazeError("got no maze, takes maps with an empty line between them, or JSONL")
    except (ReadError, MazeError) as error:
        raise MazeError(f"maze {path}: {error}") from None
    return Mazes.of(mazes)


def solvable(mazes: Mazes) -> np.ndarray:
    """Which mazes have a way from start to goal, ``bool [n]``."""
    cols = mazes.grids.shape[2]
    ends = ((cells[:, 0] + cols * cells[:, 1].astype(np.int64))
            for cells in (mazes.starts, mazes.goals))
    return np.array([distance(grid, start, goal) >= 0
                     for grid, start, goal in zip(mazes.grids, *ends, strict=True)], bool)


class Listed:
    """The mazes of a file for training or for testing, one after the other, as `Sampler` draws.

    Which are for what follows from their grids (`grids.is_held_out`), as for any generator.

    Args:
        path: of the file.
        rows, cols: the size that its mazes must have.
        split: ``train`` or ``test``.
        unsolvable: whether mazes without a way from start to goal are among them.

    Raises:
        MazeError: as `read_mazes`.
    """

    def __init__(self, path: str, rows: int, cols: int, split: str, unsolvable: bool = True):
        mazes = read_mazes(path, rows, cols)
        held_out = np.array([is_held_out(grid) for grid in mazes.grids])
        chosen = held_out if split == "test" else ~held_out
        if not unsolvable:
            chosen = chosen & solvable(mazes)
        self.path, self.split, self.position = path, split, 0
        self.which = "mazes" if unsolvable else "mazes with a way"
        self.mazes = Mazes(*(array[chosen] for array in mazes))

    def __len__(self) -> int:
        return len(self.mazes.grids)

    def take(self, count: int) -> Mazes:
        """The next ``count`` mazes.

        Raises:
            MazeError: there are not so many left.
        """
        end = self.position + count
        if end > len(self):
            kept = "kept for testing" if self.split == "test" else "left for training"
            raise MazeError(f"maze {self.path}: got {len(self)} {self.which} that are {kept} (one "
                            f"grid of {HELD_OUT} is, by a hash), takes {end}")
        part = Mazes(*(array[self.position:end] for array in self.mazes))
        self.position = end
        return part


def _read(path: str, rows: int | None, cols: int | None) -> Iterator[tuple[str, Maze]]:
    """(place in the file, maze), one after the other."""
    lines, head = text_lines(path), []
    for line in lines:
        head.append(line)
        if line.strip():
            break
    lines = chain(head, lines)
    if not head or not head[-1].lstrip().startswith((b"{", b"[")):
        yield from _maps(lines)
    elif rows is None:
        raise MazeError("got JSONL, takes rows and cols with it: prompts do not say their size")
    else:
        yield from _prompts(lines, rows, cols)


def _maps(lines: Iterable[bytes]) -> Iterator[tuple[str, Maze]]:
    numbered = enumerate((line.decode("utf-8", "replace") for line in lines), start=1)
    groups = (list(group) for full, group in groupby(numbered, lambda pair: pair[1] != "") if full)
    for i, group in enumerate(groups, start=1):
        place = f"maze {i} (from line {group[0][0]})"
        try:
            maze = Maze.from_ascii(*(line for _, line in group))
            check_size(maze.rows, maze.cols)
        except MazeError as error:
            raise MazeError(f"{place}: {error}") from None
        yield place, maze


def _prompts(lines: Iterable[bytes], rows: int, cols: int) -> Iterator[tuple[str, Maze]]:
    for place, entry in json_entries(lines):
        try:
            maze, _ = read_example(read_jsonl_text(entry), rows, cols)
        except ValueError as error:
            raise MazeError(f"{place}: {error}") from None
        yield place, maze
