"""Files of maze-dataset: what we write it reads, what it writes we read, and nothing is lost."""

from pathlib import Path

import numpy as np
import pytest
from maze_dataset import LatticeMazeGenerators, MazeDataset, MazeDatasetConfig, SolvedMaze
from test_formats import assert_same, there_and_back, written
from zanj import ZANJ

from helpers.maze import Maze, MazeError, Mazes, generate
from helpers.share.formats import SOURCES
from helpers.share.mazedataset import grids_of_rooms

GENERATORS = {"gen_dfs": {}, "gen_wilson": {}, "gen_percolation": {"p": 0.6},
              "gen_dfs_percolation": {"p": 0.3}}  # with p there are loops, and parts apart


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def drawn(generator: str, nodes: int, n: int) -> MazeDataset:
    return MazeDataset.generate(MazeDatasetConfig(
        name="other", grid_n=nodes, n_mazes=n, maze_ctor=getattr(LatticeMazeGenerators, generator),
        maze_ctor_kwargs=GENERATORS[generator]), gen_parallel=False)


def put(mazes: list[SolvedMaze]) -> None:
    """A file of mazes that are given, whatever their sides."""
    config = MazeDatasetConfig(name="given", grid_n=max(mazes[0].connection_list.shape[1:]),
                               n_mazes=len(mazes))
    MazeDataset(config, mazes, generation_metadata_collected={}).save("file.zanj")


def open_lattice(rows: int, cols: int, *solution: tuple[int, int]) -> SolvedMaze:
    """A lattice with all its connections; the solution as rows and columns."""
    connections = np.ones((2, rows, cols), bool)
    connections[0, -1] = connections[1, :, -1] = False
    return SolvedMaze(connections, np.array(solution))


def read(source: str = "maze-dataset") -> Mazes:
    return SOURCES[source]("file.zanj", None, None)


def assert_solved(file: str) -> None:
    """Its solutions are of a length that it finds itself, along its own connections."""
    for maze in MazeDataset.read(file):
        shortest = maze.find_shortest_path(tuple(maze.start_pos), tuple(maze.end_pos))
        assert len(shortest) == len(maze.solution)
        assert maze.is_valid_path(maze.solution)


@pytest.mark.parametrize("generator", GENERATORS)
def test_theirs_through_ours_and_back(generator):
    theirs = drawn(generator, 5, 12)
    theirs.save("file.zanj")
    mazes = read()
    for i, maze in enumerate(theirs):
        picture = maze.as_ascii().replace("E", "G").replace("X", ".").replace(" ", ".")
        assert mazes.maze(i).ascii() == "\n".join(row[1:-1] for row in picture.split("\n")[1:-1])
    Path("back.zanj").write_bytes(written("maze-dataset", mazes))
    for maze, back in zip(theirs, MazeDataset.read("back.zanj"), strict=True):
        np.testing.assert_array_equal(back.connection_list, maze.connection_list)
        np.testing.assert_array_equal(back.start_pos, maze.start_pos)
        np.testing.assert_array_equal(back.end_pos, maze.end_pos)
    assert_solved("back.zanj")


@pytest.mark.parametrize("n", [3, 120])
def test_ours_through_theirs_and_back(n):
    """From 100 mazes on it writes another kind of file."""
    mazes = generate("wilson", 9, 9, n, split="test", seed=1, sampling="indexed")
    assert_same(there_and_back("maze-dataset-cells", mazes), mazes)
    assert_solved("file")


@pytest.mark.parametrize("form", ["_serialize_full", "_serialize_minimal",
                                  "_serialize_minimal_soln_cat"])
def test_all_kinds_of_its_files(form):
    theirs = drawn("gen_dfs", 4, 7)
    ZANJ().save(getattr(theirs, form)(), "file.zanj")
    lattices = np.stack([maze.connection_list for maze in theirs])
    mazes = read()
    np.testing.assert_array_equal(mazes.grids, grids_of_rooms(lattices))
    np.testing.assert_array_equal(mazes.starts, [2 * maze.start_pos[::-1] for maze in theirs])
    np.testing.assert_array_equal(mazes.goals, [2 * maze.end_pos[::-1] for maze in theirs])


@pytest.mark.parametrize(("rows", "cols"), [(3, 5), (5, 3), (2, 4)])
def test_sides_that_differ(rows, cols):
    """It draws none such, but keeps those it is given. We read them and write squares alone."""
    put([open_lattice(rows, cols, (0, 0), (0, 1), (1, 1))])
    mazes = read()
    assert mazes.grids.shape == (1, 2 * rows - 1, 2 * cols - 1)
    assert (mazes.starts.tolist(), mazes.goals.tolist()) == ([[0, 0]], [[2, 2]])
    with pytest.raises(MazeError, match=f"got {2 * rows - 1}x{2 * cols - 1}, takes as many rows"):
        written("maze-dataset", mazes)
    if rows > 2:
        assert read("maze-dataset-cells").grids.tolist() == [[[1] * cols] * rows]


@pytest.mark.parametrize(("sides", "source", "message"), [
    ((1, 5), "maze-dataset", "rows: got 1, takes a whole number from 3"),
    ((5, 1), "maze-dataset", "cols: got 1, takes a whole number from 3"),
    ((1, 1), "maze-dataset", "rows: got 1, takes"),
    ((2, 2), "maze-dataset-cells", "rows: got 2, takes"),
])
def test_corridors_are_refused(sides, source, message):
    put([open_lattice(*sides, (0, 0))])
    with pytest.raises(MazeError) as caught:
        read(source)
    assert str(caught.value).startswith(f"maze file.zanj: {message}")


def test_start_and_goal_in_one_node():
    put([open_lattice(3, 3, (1, 2))])
    mazes = read()
    assert mazes.starts.tolist() == mazes.goals.tolist() == [[4, 2]]
    assert_same(there_and_back("maze-dataset", mazes), mazes)
    (back,) = MazeDataset.read("file")
    assert back.solution.tolist() == [[1, 2]]


def test_several_sizes_and_no_maze_are_refused():
    put([open_lattice(3, 3, (0, 0)), open_lattice(4, 4, (0, 0))])
    with pytest.raises(MazeError, match="maze 2: got another size, takes 3x3 nodes, as maze 1"):
        read()
    empty = MazeDatasetConfig(name="none", grid_n=3, n_mazes=0)
    MazeDataset(empty, [], generation_metadata_collected={}).save("file.zanj")
    with pytest.raises(MazeError, match="got no maze, takes a MazeDataset with some"):
        read()


def test_what_has_no_way_is_not_written():
    mazes = Mazes.of([Maze.from_ascii("S.#..", "..#..", "#####", "..#..", "..#.G")])
    with pytest.raises(MazeError, match="maze 1: got no way from start to goal"):
        written("maze-dataset-cells", mazes)
