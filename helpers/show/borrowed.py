"""A maze with its own trace beside the same maze with a borrowed one.

With two mazes that are written down here it is the picture on the README's first screen, which
``make figures`` writes to docs/images. They were drawn by Wilson's algorithm once, so that it stays
what it is whatever becomes of generators and seeds.
"""

from pathlib import Path
from textwrap import shorten

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from helpers.astar import solve
from helpers.engine.files import PROJECT, atomic
from helpers.language import Vocabulary
from helpers.maze import Maze
from helpers.show.figures import CLOSED, OPEN, WALLED, end_handles, put_ends, put_order, put_plan
from helpers.show.looks import (
    FAINT,
    GREEN,
    INK,
    PURPLE,
    VERMILION,
    Figure,
    look_of_condition,
    new_figure,
    styled,
    write_png,
    write_svg,
)
from helpers.show.tables import response_text

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


@styled
def draw_borrowed(maze: Maze, lender: Maze) -> Figure:
    """One maze with its own trace, and beside it the same maze with one that is borrowed.

    Below each stand the three parts of the training example that it is a picture of.

    Args:
        maze: the maze to be solved.
        lender: a maze of the same size, whose trace is borrowed.
    """
    (own, plan), lent = solve(maze), solve(lender).trace
    vocabulary = Vocabulary(maze.rows, maze.cols)
    figure, axes = new_figure(3, 2, (12, 8.3), height_ratios=[0.42, 5.4, 0.9])
    panels = (("A maze with its own trace", "the search that solves this maze", "its own trace",
               maze, own, "correct"),
              ("The same maze with a borrowed trace", "the search that solves another maze",
               "borrowed trace", lender, lent, "swapped"))
    for (head, ax, below), panel in zip(axes.T, panels, strict=True):
        title, more, name, searched, events, condition = panel
        walls = put_order(ax, maze, searched, events)
        put_plan(ax, plan)
        put_ends(ax, maze, size=31)
        colour = look_of_condition(condition).colour
        head.axis("off")
        head.text(0.5, 0.7, title, fontsize=16, fontweight="bold", color=colour, ha="center",
                  va="center")
        head.text(0.5, 0.0, f"{more}  (condition {condition})", ha="center", va="center")
        _write_example(below, {
            "prompt": (vocabulary.decode(vocabulary.prompt_ids(maze)), INK),
            name: (" ".join(["reasoning", *map(str, events)]), colour),
            "plan": (response_text(plan), INK)})
    for x, y, colour in ((*lender.start, GREEN), (*lender.goal, PURPLE)):
        axes[1, 1].plot(x, y, marker="o", ms=17, mfc="none", mec=colour, mew=3.5, zorder=5,
                        path_effects=[withStroke(linewidth=7, foreground="white")])
    figure.legend(handles=[
        *end_handles(),
        Patch(facecolor=CLOSED, edgecolor=FAINT, label="1 2 3 …  explored, in this order"),
        Patch(facecolor=OPEN, edgecolor=FAINT, label="seen, not explored"),
        Patch(facecolor=CLOSED, edgecolor=WALLED, lw=0, hatch="////",
              label="explored, though a wall here"),
        Line2D([], [], color=VERMILION, lw=3, label="plan"),
        *(Line2D([], [], marker="o", ms=11, mfc="none", mec=colour, mew=2.5, ls="",
                 label=f"{end} of the other maze")
          for end, colour in (("start", GREEN), ("goal", PURPLE)))],
        loc="outside lower center", ncols=4)
    closed = sum(event.kind == "close" for event in lent)
    figure.alt = (
        f"One {maze.rows}×{maze.cols} maze, drawn twice, with the same prompt and the same plan. "
        f"Left, its own trace: a search from the maze's start {maze.start} explores "
        f"{sum(event.kind == 'close' for event in own)} cells along its corridors to its goal "
        f"{maze.goal}. Right, a trace borrowed from another maze: a search from {lender.start} "
        f"to {lender.goal}; {walls} of the {closed} cells it explores are walls here.")
    return figure


def _write_example(ax: Axes, parts: dict[str, tuple[str, str]]) -> None:
    """Parts of an example, name → text and colour, each with its first words."""
    ax.axis("off")
    ax.set(xlim=(0, 1), ylim=(len(parts) + 0.3, -0.5))
    for line, (name, (text, colour)) in enumerate(parts.items()):
        ax.text(0.0, line, name, color=colour, fontsize=12, fontweight="bold", va="center")
        ax.text(0.305, line, shorten(text, 43, placeholder=" …"), color=colour, fontsize=11,
                family="monospace", va="center")


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
