"""Parquet, JSONL and CSV as Hugging Face's datasets and pyarrow read them."""

import json
from pathlib import Path

import datasets
import numpy as np
import pytest
from pyarrow import parquet
from test_formats import DRAWN, assert_same, written

from helpers import language
from helpers.maze import Maze, Mazes, generate

FREE = np.ones((4, 6), np.uint8)
# of other sides than 5×7: start = goal, no way to the goal, many rows
ODD = {"drawn": DRAWN, "one cell": Mazes.of([Maze(FREE, (5, 3), (5, 3))]),
       "no way": Mazes.of([Maze.from_ascii("S#..", "##..", "...G"),
                           Maze.from_ascii("G#.S", "##..", "....")]),
       "corridor": Mazes.of([Maze.from_ascii("S.......", "#######.", "G.......")]),
       "large": generate("wilson", 30, 31, 2, split="test", seed=1, sampling="indexed")}


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(params=ODD)
def mazes(request) -> Mazes:
    return ODD[request.param]


def load(kind: str, content: bytes, **options):
    Path("file").write_bytes(content)
    return datasets.load_dataset(kind, data_files="file", cache_dir="cache", split="train",
                                 **options)


def texts(mazes: Mazes) -> list[str]:
    return [json.loads(line)["text"] for line in written("jsonl", mazes).splitlines()]


@pytest.mark.parametrize("cells", [36, 10**6])
def test_columns(cells, monkeypatch, mazes):
    """Whether written all at once or one by one."""
    monkeypatch.setattr(language, "CELLS", cells)
    Path("file").write_bytes(written("parquet", mazes))
    rows = parquet.read_table("file").to_pylist()
    assert [row["text"] for row in rows] == texts(mazes)
    _, rows_, cols = mazes.grids.shape
    for row in rows:
        assert f"{row['prompt']} {row['reasoning']} {row['plan']}" == row["text"]
        assert [row[name].split()[0] for name in ("prompt", "reasoning", "plan")] == [
            "query", "reasoning", "solution"]
        assert (row["rows"], row["cols"]) == (rows_, cols)


@pytest.mark.parametrize("streaming", [False, True])
def test_mazes_come_back_from_parquet(mazes, streaming):
    found = list(load("parquet", written("parquet", mazes), streaming=streaming))
    assert_same(Mazes.of([Maze(np.array(row["grid"], np.uint8), tuple(row["start"]),
                               tuple(row["goal"])) for row in found]), mazes)
    assert [row["text"] for row in found] == texts(mazes)


def test_arrays_of_parquet(mazes):
    """In one piece, of a type that says the size of the grid."""
    found = load("parquet", written("parquet", mazes))
    np.testing.assert_array_equal(found.with_format("numpy")["grid"][:], mazes.grids)
    np.testing.assert_array_equal(found["goal"][:], mazes.goals)
    _, rows, cols = mazes.grids.shape
    grid = found.features["grid"]
    assert (grid.length, grid.feature.length, grid.feature.feature.dtype) == (rows, cols, "uint8")


def test_jsonl(mazes):
    assert load("json", written("jsonl", mazes))["text"][:] == texts(mazes)


def test_maze_hard():
    """Spaces at both ends of a map stay, and a map of figures stays text."""
    mazes = Mazes.of([Maze.from_ascii("...", ".SG", "..."), Maze.from_ascii("S#.", ".#.", ".G."),
                      Maze.from_ascii("...", "#.#", "SG.")])
    found = load("csv", written("maze-hard", mazes))
    assert found["question"][:] == ["    SG   ", "S#  #  G ", "   # #SG "]
    assert found["answer"][:] == ["    SG   ", "S# o# oG ", "   # #SG "]
    assert found["rating"][:] == [1, 3, 1]
