"""The picture on the README's first screen: ``make figures`` writes it to docs/images.

The two mazes are written down here, drawn by Wilson's algorithm once, so that the picture stays
what it is whatever becomes of generators and seeds.
"""

from pathlib import Path

from helpers.engine.files import PROJECT, atomic
from helpers.maze import Maze
from helpers.show.figures import draw_borrowed
from helpers.show.looks import Figure, write_png, write_svg

MAZE = Maze.from_ascii("########",
                       "#...G...",
                       "###.####",
                       "#.......",
                       "#.#####.",
                       "#.#...#.",
                       "#.#.####",
                       "#.....S.")
LENDER = Maze.from_ascii(".#...#.#",
                         ".#.###.#",
                         ".#.#.#.#",
                         ".#.#.#.#",
                         ".S.#...#",
                         "##.#.#.#",
                         ".....#G#",
                         "########")


def draw() -> Figure:
    return draw_borrowed(MAZE, LENDER)


def write(folder: Path) -> list[Path]:
    """Writes ``borrowed.svg``, ``borrowed.png`` (1200 pixels wide) and, as text, what they show."""
    folder.mkdir(parents=True, exist_ok=True)
    figure = draw()
    svg, picture, words = (folder / f"borrowed.{kind}" for kind in ("svg", "png", "txt"))
    write_svg(figure, svg)
    write_png(figure, picture, width=1200)
    with atomic(words, "w") as file:
        file.write(figure.alt + "\n")
    return [svg, picture, words]


if __name__ == "__main__":
    for path in write(PROJECT / "docs" / "images"):
        print(path.relative_to(PROJECT))
