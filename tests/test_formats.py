"""Foreign formats: what fits goes there and back exactly, what does not is refused by name.

What other software makes of the files: tests/peers.
"""

import builtins
import gzip
import io
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import scattered

from helpers import __main__ as cli
from helpers import language
from helpers.corpus import Recipe, build
from helpers.language import encode_mazes
from helpers.maze import Maze, MazeError, Mazes, generate
from helpers.ownmazes import solvable
from helpers.share.formats import SOURCES, TARGETS
from helpers.share.mazedataset import (
    cells_of_grids,
    grids_of_cells,
    grids_of_rooms,
    rooms_of_grids,
)

DRAWN = generate("wilson", 5, 7, 6, split="test", seed=3, sampling="indexed")
# two mazes that maze-dataset 1.4.2 has made (gen_dfs), its connections and its own picture of each
RECORDED = [
    ([[[1, 1, 1], [1, 0, 1], [0, 0, 0]], [[0, 0, 0], [0, 1, 0], [1, 1, 0]]],
     "####### # # # # # # # # # #   # # ### # #     # #######"),
    ([[[1, 1, 1], [0, 0, 1], [0, 0, 0]], [[1, 0, 0], [0, 1, 0], [1, 1, 0]]],
     "####### #   # # # # # # # #   # ##### # #     # #######"),
]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@st.composite
def squares(draw, n: int = 2) -> Mazes:
    """Mazes of one square size: any walls, two ends that are free."""
    side = draw(st.integers(3, 7))
    free = st.lists(st.booleans(), min_size=side * side, max_size=side * side)
    cells = st.lists(st.integers(0, side * side - 1), min_size=2, max_size=2, unique=True)
    found = []
    for _ in range(n):
        grid = np.array(draw(free), np.uint8)
        ends = draw(cells)
        grid[ends] = 1
        found.append(Maze(grid.reshape(side, side), *((c % side, c // side) for c in ends)))
    return Mazes.of(found)


def written(target: str, mazes: Mazes) -> bytes:
    file = io.BytesIO()
    TARGETS[target](mazes, file)
    return file.getvalue()


def there_and_back(name: str, mazes: Mazes) -> Mazes:
    Path("file").write_bytes(written(name, mazes))
    return SOURCES[name]("file", *mazes.grids.shape[1:])


def assert_same(one: Mazes, other: Mazes) -> None:
    for ours, theirs in zip(one, other, strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype


def fits(mazes: Mazes, change) -> bool:
    """Whether a change takes the mazes; one that does not is named by its number."""
    try:
        change(mazes)
    except MazeError as error:
        return not re.match(r"maze \d: got ", str(error))
    return True


# ── text ────────────────────────────────────────────────────────────────────────────────


@given(st.data())
def test_text_there_and_back(data):
    mazes = Mazes.of([data.draw(scattered(3))])
    assert_same(there_and_back("jsonl", mazes), mazes)
    if fits(mazes, lambda one: written("maps", one)):
        assert_same(there_and_back("maps", mazes), mazes)
    else:
        assert mazes.starts.tolist() == mazes.goals.tolist()


@pytest.mark.parametrize("cells", [35, 71, 10**6])
def test_jsonl_is_what_generate_writes_however_it_is_cut(cells, monkeypatch):
    monkeypatch.setattr(language, "CELLS", cells)
    words = ("generate --generator wilson --rows 5 --cols 7 --split test --seed 3 --count 6 "
             "--sampling indexed --output file")
    assert cli.main(words.split()) == 0
    assert written("jsonl", DRAWN) == Path("file").read_bytes()


# ── Maze-Hard ───────────────────────────────────────────────────────────────────────────

HARD = """source,question,answer,rating
borrowed-traces,S # #   G,S #o# ooG,4
"""


def test_a_line_of_maze_hard():
    """S and G stay in the answer, o is on the way between them; the rating is its moves."""
    mazes = Mazes.of([Maze.from_ascii("S..", "#.#", "..G")])
    assert written("maze-hard", mazes).decode().splitlines() == [
        "source,question,answer,rating", "borrowed-traces,S  # #  G,So #o# oG,4"]


@given(squares())
def test_maze_hard_there_and_back(mazes):
    if fits(mazes, lambda one: written("maze-hard", one)):
        assert_same(there_and_back("maze-hard", mazes), mazes)
    else:
        assert not solvable(mazes).all()


@given(squares(1))
def test_an_answer_is_a_shortest_way(mazes):
    if not solvable(mazes).all():
        return
    _, question, answer, rating = written("maze-hard", mazes).decode().splitlines()[1].split(",")
    assert answer.replace("o", " ") == question
    assert answer.count("o") == int(rating) - 1
    side = len(mazes.grids[0])
    on_the_way = Mazes(np.isin(list(answer), list("oSG")).astype(np.uint8).reshape(1, side, side),
                       mazes.starts, mazes.goals)
    assert solvable(on_the_way).all()


def test_maze_hard_as_others_write_it():
    for content in (HARD, HARD.replace("\n", "\r\n"), HARD.replace("borrowed-traces,", '"a, b",')):
        for bytes_ in (content.encode(), gzip.compress(content.encode(), mtime=0)):
            Path("file").write_bytes(bytes_)
            assert SOURCES["maze-hard"]("file", None, None).maze(0).ascii() == "S.#\n.#.\n..G"


@pytest.mark.parametrize(("content", "message"), [
    ("", "line 1: got '', takes source,question,answer,rating"),
    ("question,answer\n", "line 1: got 'question,answer', takes"),
    ("source,question,answer,rating\n", "got no maze"),
    (HARD + "a,S  G,SooG,1\n", "line 3: rows: got 2, takes a whole number from 3"),
    (HARD + "a,S   G,,\n", "line 3: question: got 5 characters, takes those of a square"),
    (HARD + "a,S" + 14 * " " + "G,,\n", "line 3: question: got 4x4, takes 3x3, as the mazes"),
    (HARD + "a,S      G\n", "line 3: got 2 values, takes source,question"),
    (HARD + "a,S   o   G"[:-1] + "G,,\n", "line 3: row 2: got 'o', takes # (wall)"),
    (HARD + "a,         ,,\n", "line 3: map: got 0 times S, takes one S and one G"),
])
def test_what_is_no_maze_hard_is_named(content, message):
    Path("file").write_text(content)
    with pytest.raises(MazeError) as caught:
        SOURCES["maze-hard"]("file", None, None)
    assert str(caught.value).startswith(f"maze file: {message}")


# ── maze-dataset ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("connections", "picture"), RECORDED)
def test_rooms_look_as_maze_dataset_draws_them(connections, picture):
    pixels = np.array(list(picture + " ")).reshape(7, 8)[:, :7]  # a space between two rows
    (grid,) = grids_of_rooms(np.array([connections], bool))
    np.testing.assert_array_equal(grid, pixels[1:-1, 1:-1] == " ")


@given(st.data(), st.integers(2, 5))
def test_every_lattice_is_a_grid_of_rooms(data, side):
    bits = st.lists(st.booleans(), min_size=side * (side - 1), max_size=side * (side - 1))
    lattices = np.zeros((1, 2, side, side), bool)
    lattices[0, 0, :-1] = np.reshape(data.draw(bits), (side - 1, side))
    lattices[0, 1, :, :-1] = np.reshape(data.draw(bits), (side, side - 1))
    ends = [2 * np.array([data.draw(st.tuples(*[st.integers(0, side - 1)] * 2))], np.int16)
            for _ in "SG"]
    np.testing.assert_array_equal(rooms_of_grids(Mazes(grids_of_rooms(lattices), *ends)), lattices)


@given(squares())
def test_what_fits_maze_dataset_comes_back(mazes):
    free = mazes.grids.astype(bool)
    if fits(mazes, rooms_of_grids):
        np.testing.assert_array_equal(grids_of_rooms(rooms_of_grids(mazes)), mazes.grids)
    else:
        assert (free.shape[1] % 2 == 0 or not free[:, ::2, ::2].all()
                or free[:, 1::2, 1::2].any() or (np.hstack(mazes[1:]) % 2).any())
    if fits(mazes, cells_of_grids):
        np.testing.assert_array_equal(grids_of_cells(cells_of_grids(mazes)), mazes.grids)
    else:
        around = np.pad(free, ((0, 0), (1, 1), (1, 1)))
        touched = (around[:, :-2, 1:-1] | around[:, 2:, 1:-1] | around[:, 1:-1, :-2]
                   | around[:, 1:-1, 2:])
        assert (free & ~touched).any()


def test_a_lattice_may_have_two_sides():
    """maze-dataset draws none such, but keeps those that it is given."""
    lattices = np.zeros((1, 2, 2, 3), bool)
    lattices[0, 0, 0, 2] = lattices[0, 1, :, :2] = True  # down at the end, else along the rows
    assert grids_of_rooms(lattices)[0].tolist() == [[1] * 5, [0, 0, 0, 0, 1], [1] * 5]


def test_a_wall_between_nodes_is_no_cell():
    lattices = np.array([connections for connections, _ in RECORDED], bool)
    with pytest.raises(MazeError, match="maze 1: got a wall between two neighbouring nodes"):
        grids_of_cells(lattices)


# ── the command ─────────────────────────────────────────────────────────────────────────


def convert(source: str, target: str, *words: str, file: str = "in", to: str = "out") -> int:
    return cli.main(["convert", file, "--from", source, "--to", target, *words, "--output", to])


def test_convert(capfdbinary):
    corpus = build(Recipe("wilson", 5, 5, "train", 1, "indexed", 4))
    corpus.save("in")
    assert convert("corpus", "maze-hard") == 0
    assert convert("maze-hard", "jsonl", file="out", to="-") == 0
    out, err = capfdbinary.readouterr()
    assert (out, err) == (written("jsonl", corpus.mazes), b"")
    assert [json.loads(line)["text"] for line in out.splitlines()] == [
        corpus.vocabulary.decode(corpus.tokens[a:b]) for a, *_, b in corpus.bounds]
    assert encode_mazes(SOURCES["maze-hard"]("out", None, None))[0].tolist() == (
        corpus.tokens.tolist())


@pytest.mark.parametrize(("words", "message"), [
    (("zip", "jsonl"), "--from: got 'zip', takes one of jsonl, maps, corpus, maze-hard"),
    (("parquet", "jsonl"), "--from: got 'parquet', takes one of jsonl"),
    (("maps", "corpus"), "--to: got 'corpus', takes one of jsonl, maps, parquet"),
    (("maps", "jsonl", "--rows", "4"), "--rows, --cols: got one of them, takes both or none"),
    (("maps", "jsonl", "--rows", "4", "--cols", "4"),
     "--from: got maps: maze in: maze 1 (from line 1): got 3x4, takes 4x4"),
    (("maps", "jsonl", "--rows", "2", "--cols", "4"), "--rows: got '2', takes a whole number"),
    (("maps", "maze-hard"), "--to: got maze-hard: maze 1: got 3x4, takes as many rows as columns"),
    (("maps", "maze-dataset"), "--to: got maze-dataset: maze 1: got 3x4, takes as many"),
    (("corpus", "jsonl"), "--from: got corpus: corpus in: unreadable"),
    (("maze-hard", "jsonl"), "--from: got maze-hard: maze in: line 1: got 'S..G', takes source"),
])
def test_convert_refuses(words, message, capsys):
    Path("in").write_text("S..G\n....\n....\n")
    try:
        status = convert(*words)
    except SystemExit as exit:
        status = exit.code
    assert status == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"helpers: {message}")
    assert err.count("\n") == 1
    assert os.listdir() == ["in"]


def test_jsonl_takes_its_size_with_it(capsys):
    Path("in").write_text('{"text": "query start 0 0 goal 2 2"}')
    assert convert("jsonl", "maps") == 2
    assert "--from: got jsonl: maze in: got JSONL, takes rows and cols" in capsys.readouterr().err
    assert convert("jsonl", "maps", "--rows", "3", "--cols", "3") == 0
    assert Path("out").read_text() == "S..\n...\n..G\n"
    assert convert("maps", "maze-hard", file="out", to="hard") == 0
    assert convert("maze-hard", "jsonl", "--rows", "4", "--cols", "3", file="hard", to="new") == 2
    assert "maze hard: got 3x3, takes 4x3" in capsys.readouterr().err


def test_the_second_of_two_is_named(capsys):
    Path("in").write_text("S.G\n...\n...\n\nS#G\n###\n...\n")
    assert convert("maps", "maze-hard") == 2
    assert capsys.readouterr().err == (
        "helpers: --to: got maze-hard: maze 2: got no way from start to goal, takes mazes with a "
        "solution\n")


def test_the_input_is_not_overwritten(capsys):
    Path("in").write_text("S.G\n...\n...\n")
    os.link("in", "link")
    assert convert("maps", "jsonl", to="link") == 2
    assert "--output: got 'link', which is the input" in capsys.readouterr().err


@pytest.mark.parametrize(("words", "module", "message"), [
    (("maps", "parquet"), "pyarrow", "--to: got parquet, takes the Python package pyarrow with it"),
    (("maps", "maze-dataset"), "maze_dataset",
     "--to: got maze-dataset, takes the Python package maze-dataset with it"),
    (("maze-dataset", "maps"), "maze_dataset",
     "--from: got maze-dataset, takes the Python package maze-dataset with it"),
])
def test_a_package_that_is_missing_is_named(words, module, message, monkeypatch, capsys):
    real = builtins.__import__

    def without(name, *rest, **named):
        if name.partition(".")[0] == module:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *rest, **named)

    Path("in").write_text("S.G\n.#.\n...\n")
    monkeypatch.setattr(builtins, "__import__", without)
    assert convert(*words) == 2
    assert capsys.readouterr().err.startswith(f"helpers: {message}")
    assert os.listdir() == ["in"]
