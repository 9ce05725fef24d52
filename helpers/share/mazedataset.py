"""Mazes of maze-dataset (Ivanitskiy et al., arXiv 2309.10498), in and out of its ``.zanj`` files.

There a maze is a lattice of nodes, square if maze-dataset has drawn it, some neighbours connected:
``bool [2, n, n]``, whether a node is connected with the next one down and with the next one to the
right. Ours are cells, free or walls. There are two ways to have one as the other; each maps what
fits there and back exactly:

``rooms``
    a node is the cell ``grid[2 i, 2 j]``, a connection the cell between two: a grid of n nodes a
    side has 2 n − 1 cells a side, as maze-dataset draws it but for the border. Every maze of
    maze-dataset can be read so. Written so can be one with an odd side, all rooms free, all cells
    between four rooms walls, start and goal in rooms.
``cells``
    a node is a cell, and free cells that touch are connected; a node without connections is a wall.
    Every maze of ours can be written so that has no free cell between walls alone; few of
    maze-dataset's own can be read so, since those have walls between cells too.

The solution written is that of A*; that of a file gives start and goal, the rest of it is not
read. maze-dataset itself reads and writes the files; it notes there when and with which Python, and
names a generator, its default, which says nothing about our mazes.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np

from helpers.astar import solve
from helpers.maze import FREE, MazeError, Mazes, check_size
from helpers.share.checks import check_solvable, check_square, refuse

LARGEST_LATTICE = 127  # nodes a side: the files have int8 coordinates


# ── lattices and grids ──────────────────────────────────────────────────────────────────


def rooms_of_grids(mazes: Mazes) -> np.ndarray:
    """Connections of mazes of rooms and what lies between two, ``bool [n, 2, side, side]``.

    Raises:
        MazeError: a maze that is none of rooms.
    """
    free = mazes.grids == FREE
    refuse(np.array([free.shape[1] % 2 == 0]), f"{free.shape[1]} rows", "an odd number of them")
    refuse(~free[:, ::2, ::2].all((1, 2)), "a wall in a room",
           "free cells where x and y are even")
    refuse(free[:, 1::2, 1::2].any((1, 2)), "a free cell between four rooms",
           "walls where x and y are odd")
    refuse((np.hstack([mazes.starts, mazes.goals]) % 2).any(1), "start or goal between two rooms",
           "even x and y")
    side = (free.shape[1] + 1) // 2
    lattices = np.zeros((len(free), 2, side, side), bool)
    lattices[:, 0, :-1] = free[:, 1::2, ::2]
    lattices[:, 1, :, :-1] = free[:, ::2, 1::2]
    return lattices


def grids_of_rooms(lattices: np.ndarray) -> np.ndarray:
    """The inverse of `rooms_of_grids`, ``uint8 [n, 2·rows − 1, 2·cols − 1]``; sides may differ."""
    n, _, rows, cols = lattices.shape
    grids = np.zeros((n, 2 * rows - 1, 2 * cols - 1), np.uint8)
    grids[:, ::2, ::2] = FREE
    grids[:, 1::2, ::2] = lattices[:, 0, :-1]
    grids[:, ::2, 1::2] = lattices[:, 1, :, :-1]
    return grids


def cells_of_grids(mazes: Mazes) -> np.ndarray:
    """Connections of mazes with a node for each cell, ``bool [n, 2, side, side]``.

    Raises:
        MazeError: a maze with a free cell that touches no other.
    """
    free = mazes.grids == FREE
    lattices = _touching(free)
    refuse((free & ~_connected(lattices)).any((1, 2)), "a free cell between walls alone",
           "free cells that touch another: a node without connections is a wall")
    return lattices


def grids_of_cells(lattices: np.ndarray) -> np.ndarray:
    """The inverse of `cells_of_grids`, ``uint8 [n, rows, cols]``; sides may differ.

    Raises:
        MazeError: a maze with a wall between two cells that are free.
    """
    free = _connected(lattices)
    refuse((_touching(free) != lattices).any((1, 2, 3)), "a wall between two neighbouring nodes",
           "connections between all neighbours that have any; try maze-dataset for "
           "maze-dataset-cells")
    return free.astype(np.uint8)


def _touching(free: np.ndarray) -> np.ndarray:
    """Which free cells have a free cell below and to the right, ``bool [n, 2, side, side]``."""
    lattices = np.zeros((len(free), 2, *free.shape[1:]), bool)
    lattices[:, 0, :-1] = free[:, :-1] & free[:, 1:]
    lattices[:, 1, :, :-1] = free[:, :, :-1] & free[:, :, 1:]
    return lattices


def _connected(lattices: np.ndarray) -> np.ndarray:
    """Which nodes have a connection, ``bool [n, side, side]``."""
    down, right = lattices[:, 0], lattices[:, 1]
    connected = down | right
    connected[:, 1:] |= down[:, :-1]
    connected[:, :, 1:] |= right[:, :, :-1]
    return connected


# ── files ───────────────────────────────────────────────────────────────────────────────

# how many cells lie between two nodes, and the two directions
ROOMS = (2, grids_of_rooms, rooms_of_grids)
CELLS = (1, grids_of_cells, cells_of_grids)
Layout = tuple[int, Callable[[np.ndarray], np.ndarray], Callable[[Mazes], np.ndarray]]


def read_mazedataset(path: str, layout: Layout) -> Mazes:
    """Reads the mazes of a file that ``MazeDataset.save`` has written.

    Raises:
        MazeError: no file, no maze, or one that does not fit; names file and maze.
        ModuleNotFoundError: maze-dataset is not installed.
    """
    from maze_dataset import MazeDataset  # seconds, and not among the packages of the study
    step, grids, _ = layout
    try:
        found = MazeDataset.read(path)
        lattices = [maze.connection_list for maze in found.mazes]
        ends = np.array([[maze.start_pos, maze.end_pos] for maze in found.mazes], np.int16)
    except OSError as error:
        raise MazeError(f"maze {path}: {error.strerror or error}") from None
    except Exception as error:  # a zip file, JSON, arrays and classes: whatever goes wrong there
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise MazeError(f"maze {path}: got no MazeDataset ({reason:.200})") from None
    try:
        if not lattices:
            raise MazeError("got no maze, takes a MazeDataset with some")
        shape = lattices[0].shape
        refuse(np.array([one.shape != shape for one in lattices]), "another size",
               f"{'x'.join(map(str, shape[1:]))} nodes, as maze 1 has")
        if len(shape) != 3 or shape[0] != 2:
            raise MazeError(f"got a lattice of {shape[0]} dimensions, takes 2")
        mazes = Mazes(grids(np.stack(lattices)), *(step * ends[:, i, ::-1] for i in (0, 1)))
        check_size(*mazes.grids.shape[1:])
        for which in (mazes.starts, mazes.goals):
            free = mazes.grids[np.arange(len(which)), which[:, 1], which[:, 0]] == FREE
            refuse(~free, "start or goal in a wall", "them in free cells")
    except MazeError as error:
        raise MazeError(f"maze {path}: {error}") from None
    return mazes


def write_mazedataset(mazes: Mazes, file: IO[bytes], layout: Layout) -> None:
    """Writes mazes as ``MazeDataset.save`` does.

    Raises:
        MazeError: a maze that does not fit.
        ModuleNotFoundError: maze-dataset is not installed.
    """
    step, _, lattices_of = layout
    check_square(mazes)
    lattices = lattices_of(mazes)
    check_solvable(mazes)
    side = lattices.shape[-1]
    refuse(np.array([side > LARGEST_LATTICE]), f"{side} nodes a side", f"{LARGEST_LATTICE} at most")
    from maze_dataset import MazeDataset, MazeDatasetConfig, SolvedMaze  # seconds
    solved = [SolvedMaze(lattice, np.array(solve(mazes.maze(i)).plan)[::step, ::-1] // step)
              for i, lattice in enumerate(lattices)]
    config = MazeDatasetConfig(name="borrowed-traces", grid_n=side, n_mazes=len(solved))
    with tempfile.TemporaryDirectory() as folder:  # it takes no open file
        path = Path(folder, "mazes.zanj")
        MazeDataset(config, solved, generation_metadata_collected={}).save(path)
        file.write(path.read_bytes())
