"""What a foreign format takes of mazes; the first that does not fit is named by its number."""

import numpy as np

from helpers.maze import MazeError, Mazes
from helpers.ownmazes import solvable


def refuse(misfits: np.ndarray, got: str, takes: str) -> None:
    """Raises MazeError if any of the mazes (bool [n]) does not fit."""
    if misfits.any():
        raise MazeError(f"maze {int(misfits.argmax()) + 1}: got {got}, takes {takes}")


def check_two_ends(mazes: Mazes) -> None:
    """A map has no character for a cell that is start and goal at once."""
    refuse((mazes.starts == mazes.goals).all(1), "start and goal in one cell", "two cells")


def check_square(mazes: Mazes) -> None:
    """The format says one side only."""
    _, rows, cols = mazes.grids.shape
    refuse(np.array([rows != cols]), f"{rows}x{cols}", "as many rows as columns")


def check_solvable(mazes: Mazes) -> None:
    """The format has a place for the solution."""
    refuse(~solvable(mazes), "no way from start to goal", "mazes with a solution")
