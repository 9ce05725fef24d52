"""Own mazes from files: what is read, and that what does not fit is named, file and place."""

import gzip
import json
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import scattered

from helpers.astar import solve
from helpers.language import Vocabulary, encode_mazes, jsonl
from helpers.maze import Maze, MazeError, Mazes, generate
from helpers.ownmazes import read_mazes, solvable

FIRST, SECOND = "S.#\n#..\n..G", "G..\n##.\nS#."


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def read(content: str | bytes, *size: int) -> Mazes:
    Path("mazes").write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_mazes("mazes", *size)


def maps(mazes: Mazes) -> list[str]:
    return [mazes.maze(i).ascii() for i in range(len(mazes.grids))]


def prompt(text: str) -> str:
    return json.dumps({"text": text}) + "\n"


@pytest.mark.parametrize("content", [
    f"{FIRST}\n\n{SECOND}\n",
    f"\n\n{FIRST}\n\n\n{SECOND}\n\n",
    f"{FIRST}\n\n{SECOND}".replace(".", " "),
    f"{FIRST}\n\n{SECOND}\n".replace("\n", "\r\n"),
    f"{FIRST}\n\n{SECOND}\n".encode("utf-16"),
    gzip.compress(f"{FIRST}\n\n{SECOND}\n".encode("utf-8-sig"), mtime=0),
])
def test_maps(content):
    mazes = read(content)
    assert maps(mazes) == [FIRST, SECOND]
    assert [array.dtype for array in mazes] == [np.uint8, np.int16, np.int16]
    assert maps(read(content, 3, 3)) == [FIRST, SECOND]


def test_a_row_of_spaces_is_free():
    assert maps(read("S##\n   \n##G\n")) == ["S##\n...\n##G"]


@given(st.data(), st.integers(3, 6), st.integers(3, 6), st.integers(1, 4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_maps_there_and_back(data, rows, cols, n):
    cells = st.integers(0, rows * cols - 1)
    drawn = []
    for _ in range(n):
        grid = np.array(data.draw(st.lists(st.booleans(), min_size=rows * cols,
                                           max_size=rows * cols)), np.uint8).reshape(rows, cols)
        ends = [(cell % cols, cell // cols)
                for cell in data.draw(st.lists(cells, min_size=2, max_size=2, unique=True))]
        for x, y in ends:
            grid[y, x] = 1
        drawn.append(Maze(grid, *ends).ascii())
    assert maps(read("\n\n".join(drawn) + "\n")) == drawn


def test_jsonl_prompts_and_examples():
    drawn = generate("searchformer", 5, 7, 20, split="test", seed=3, sampling="indexed")
    vocabulary = Vocabulary(5, 7)
    prompts = "".join(prompt(vocabulary.decode(vocabulary.prompt_ids(drawn.maze(i))))
                      for i in range(20))
    for content in (prompts, f"\n{prompts}".encode("utf-16"),
                    jsonl(vocabulary, *encode_mazes(drawn)),
                    "[" + prompts.strip().replace("\n", ",") + "]"):
        for array, read_array in zip(drawn, read(content, 5, 7), strict=True):
            np.testing.assert_array_equal(array, read_array)
            assert array.dtype == read_array.dtype


def test_the_same_problem_twice_is_two_mazes():
    assert maps(read(f"{FIRST}\n\n{FIRST}")) == [FIRST, FIRST]


@pytest.mark.parametrize(("content", "size", "message"), [
    ("S..\n...\n..\n", (), "maze 1 (from line 1): row 3: got 2 columns, takes 3, as row 1 has"),
    (f"{FIRST}\n\n\n...\n...\n..G\n", (),
     "maze 2 (from line 6): map: got 0 times S, takes one S and one G"),
    ("S..\n.S.\n..G\n", (), "maze 1 (from line 1): map: got 2 times S, takes one S and one G"),
    ("S..\n...\n...\n", (), "maze 1 (from line 1): map: got 0 times G"),
    ("S..\n.x.\n..G\n", (), "maze 1 (from line 1): row 2: got 'x', takes # (wall), . or space"),
    ("S..\n.\t.\n..G\n", (), "row 2: got '\\t', takes"),
    ("S..\n.é.\n..G\n", (), "row 2: got 'é', takes"),
    (b"S..\n.\xff.\n..G\n", (), "row 2: got '\ufffd', takes"),
    (f"{FIRST}\n\nS...\n....\n...G\n", (),
     "maze 2 (from line 5): got 3x4, takes 3x3, as the mazes before"),
    (FIRST, (3, 4), "maze 1 (from line 1): got 3x3, takes 3x4"),
    ("S.G\n...\n", (), "maze 1 (from line 1): rows: got 2, takes a whole number from 3 to 180"),
    ("S" + 180 * "." + "\n" + 181 * "." + "\n" + 180 * "." + "G", (), "cols: got 181, takes"),
    ("", (), "got no maze, takes maps with an empty line between them, or JSONL"),
    ("\n\n", (), "got no maze"),
    ("[]", (3, 3), "got no maze"),
    (prompt("query start 0 0 goal 2 2"), (), "got JSONL, takes rows and cols with it"),
    (prompt("query start 0 0 goal 2 2"), (2, 200), "rows: got 2, takes"),
    ("\n" + prompt("query start 0 0 goal 2 2") + "no", (3, 3),
     'line 3: got no JSON object with a string under "text"'),
    (prompt("query start 0 0 goal 2 2 wall 2 2"), (3, 3), "line 1: prompt: goal 2 2 is a wall"),
    (prompt("query start 0 0 goal 3 2"), (3, 3),
     "line 1: prompt: goal 3 2 lies off the grid of 3 rows and 3 columns"),
    ("[{}, {}", (3, 3), "begins as a JSON array and is none"),
    (gzip.compress(FIRST.encode(), mtime=0)[:12], (), "truncated or damaged gzip"),
    (bytes(100), (), "not text"),
])
def test_what_does_not_fit_is_named(content, size, message):
    with pytest.raises(MazeError, match=r"^(maze mazes|rows): ") as caught:
        read(content, *size)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_file():
    with pytest.raises(MazeError, match="maze absent: No such file or directory"):
        read_mazes("absent")
    with pytest.raises(MazeError, match=r"maze \.: Is a directory"):
        read_mazes(".")


@given(st.lists(scattered(3, 3), min_size=1, max_size=5))
def test_solvable(drawn):
    """Where A* closes the goal there is a way."""
    closes_goal = [solve(maze).trace[-1][:3] == ("close", *maze.goal) for maze in drawn]
    assert solvable(Mazes.of(drawn)).tolist() == closes_goal


def test_unsolvable_mazes_are_read_and_told():
    mazes = read(f"{FIRST}\n\nS#.\n##.\n..G")
    assert solvable(mazes).tolist() == [True, False]
    assert [astuple(mazes.maze(i))[1:] for i in range(2)] == [((0, 0), (2, 2))] * 2
