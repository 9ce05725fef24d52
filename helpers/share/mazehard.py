"""The CSV of Maze-Hard, the mazes of HRM (arXiv 2506.21734), ``sapientinc/maze-30x30-hard-1k``.

A line a maze, ``source,question,answer,rating``. Question and answer are square maps, row after
row without a break, 900 characters at 30×30: ``#`` wall, a space free, ``S`` start, ``G`` goal; the
answer also has ``o`` on the cells of a shortest way between them.

``source`` and ``rating`` are not read, nor is the answer: the study has its own, of A*. We write
our moves from start to goal as the rating; the public code that reads this format passes over it.
"""

import csv
from math import isqrt
from typing import IO

from helpers.astar import solve
from helpers.engine.lines import ReadError, text_lines
from helpers.maze import Maze, MazeError, Mazes, check_size
from helpers.share.checks import check_solvable, check_square, check_two_ends

HEADER = ["source", "question", "answer", "rating"]
SOURCE = "borrowed-traces"


def read_mazehard(path: str) -> Mazes:
    """Reads the questions of a file, plain or gzip; ``-`` for stdin.

    Raises:
        MazeError: no file, no maze, or one that does not fit; names file and line.
    """
    mazes: list[Maze] = []
    try:
        rows = csv.reader(line.decode("utf-8", "replace") for line in text_lines(path))
        if (header := next(rows, [])) != HEADER:
            raise MazeError(f"line 1: got {','.join(header)!r:.80}, takes {','.join(HEADER)}")
        for number, row in enumerate(rows, start=2):
            try:
                mazes.append(_question(row, mazes))
            except MazeError as error:
                raise MazeError(f"line {number}: {error}") from None
        if not mazes:
            raise MazeError("got no maze, takes a line a maze below the header")
    except (ReadError, MazeError, csv.Error) as error:
        raise MazeError(f"maze {path}: {error}") from None
    return Mazes.of(mazes)


def _question(row: list[str], before: list[Maze]) -> Maze:
    if len(row) != len(HEADER):
        raise MazeError(f"got {len(row)} values, takes {','.join(HEADER)}")
    question = row[1]
    side = isqrt(len(question))
    if side * side != len(question):
        raise MazeError(f"question: got {len(question)} characters, takes those of a square")
    check_size(side, side)
    if before and before[0].rows != side:
        raise MazeError(f"question: got {side}x{side}, takes {before[0].rows}x{before[0].cols}, "
                        "as the mazes before")
    return Maze.from_ascii(*(question[i:i + side] for i in range(0, len(question), side)))


def write_mazehard(mazes: Mazes, file: IO[bytes]) -> None:
    """Writes square mazes that have a way from start to goal.

    Raises:
        MazeError: one that is not square, or has no way, or start and goal in one cell.
    """
    for check in (check_square, check_two_ends, check_solvable):
        check(mazes)
    file.write(f"{','.join(HEADER)}\n".encode())
    for i in range(len(mazes.grids)):
        maze = mazes.maze(i)
        plan = solve(maze).plan
        maps = (maze.ascii(), maze.ascii(dict.fromkeys(plan[1:-1], "o")))
        question, answer = (one.replace("\n", "").replace(".", " ") for one in maps)
        file.write(f"{SOURCE},{question},{answer},{len(plan) - 1}\n".encode())
