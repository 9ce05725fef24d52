"""The formats in which mazes come and go, by name."""

from collections.abc import Callable
from functools import partial
from typing import IO

from helpers.corpus import Corpus, CorpusError
from helpers.maze import MazeError, Mazes
from helpers.ownmazes import read_mazes
from helpers.share.checks import check_two_ends
from helpers.share.examples import write_jsonl, write_parquet
from helpers.share.mazedataset import CELLS, ROOMS, read_mazedataset, write_mazedataset
from helpers.share.mazehard import read_mazehard, write_mazehard

Reader = Callable[[str, int | None, int | None], Mazes]  # path; rows and cols, None for any
Writer = Callable[[Mazes, IO[bytes]], None]


def write_maps(mazes: Mazes, file: IO[bytes]) -> None:
    """Writes maps of ``# . S G``, an empty line between two."""
    check_two_ends(mazes)
    for i in range(len(mazes.grids)):
        file.write(f"{chr(10) * bool(i)}{mazes.maze(i)}\n".encode())


def _of_one_size(read: Callable[[str], Mazes]) -> Reader:
    """A reader of files that say their size, which must be the one asked for."""

    def reader(path: str, rows: int | None, cols: int | None) -> Mazes:
        mazes = read(path)
        size = mazes.grids.shape[1:]
        if rows and size != (rows, cols):
            raise MazeError(f"maze {path}: got {size[0]}x{size[1]}, takes {rows}x{cols}")
        return mazes

    return reader


def _read_corpus(path: str) -> Mazes:
    try:
        return Corpus.load(path).mazes
    except CorpusError as error:
        raise MazeError(str(error)) from None


SOURCES: dict[str, Reader] = {
    "jsonl": read_mazes,
    "maps": read_mazes,
    "corpus": _of_one_size(_read_corpus),
    "maze-hard": _of_one_size(read_mazehard),
    "maze-dataset": _of_one_size(partial(read_mazedataset, layout=ROOMS)),
    "maze-dataset-cells": _of_one_size(partial(read_mazedataset, layout=CELLS)),
}
TARGETS: dict[str, Writer] = {
    "jsonl": write_jsonl,
    "maps": write_maps,
    "parquet": write_parquet,
    "maze-hard": write_mazehard,
    "maze-dataset": partial(write_mazedataset, layout=ROOMS),
    "maze-dataset-cells": partial(write_mazedataset, layout=CELLS),
}
