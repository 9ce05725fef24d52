"""Pictures of single mazes, traces and responses: one function a figure, data in, Figure out."""

from collections.abc import Iterable, Sequence
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, ListedColormap, to_hex
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke

from helpers.astar import Event
from helpers.maze import WALL, Maze
from helpers.rules import (
    Break,
    is_decimal,
    number,
    plan_break,
    read_events,
    read_steps,
    sections,
    trace_breaks,
)
from helpers.show.looks import (
    FAINT,
    GREEN,
    INK,
    PURPLE,
    VERMILION,
    Figure,
    new_figure,
    styled,
)
from helpers.show.tables import replay
from helpers.show.words import listed

UNSEEN, WALLED, OPEN, CLOSED = "#ffffff", "#3d4348", "#fbdc8c", "#a9cfe8"


@styled
def draw_mazes(mazes: dict[str, Maze], plans: dict[str, list] | None = None,
               per_row: int = 4) -> Figure:
    """Mazes side by side, start and goal marked.

    Args:
        mazes: title → maze.
        plans: title → cells (x, y) of a plan, drawn as a line.
        per_row: mazes in a row.
    """
    per_row = min(per_row, len(mazes))
    rows = -(-len(mazes) // per_row)
    tall = max(maze.rows / maze.cols for maze in mazes.values())
    figure, axes = new_figure(rows, per_row, (2.75 * per_row, (2.5 * tall + 0.5) * rows + 0.35))
    for ax, (title, maze) in zip(axes.flat, mazes.items(), strict=False):
        put_cells(ax, maze)
        put_plan(ax, (plans or {}).get(title))
        put_ends(ax, maze)
        ax.set_title(title)
    for ax in axes.flat[len(mazes):]:
        ax.axis("off")
    handles = [*end_handles(), Patch(facecolor=WALLED, label="wall")]
    if plans:
        handles.append(Line2D([], [], color=VERMILION, lw=3, label="shortest path"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    figure.alt = (f"{'Maze' if len(mazes) == 1 else f'{len(mazes)} mazes'}: "
                  + "; ".join(f"{title}, {maze.rows}×{maze.cols} cells, start {maze.start}, "
                              f"goal {maze.goal}" for title, maze in mazes.items()) + "."
                  + (" A shortest path is drawn as a line." if plans else ""))
    return figure


@styled
def draw_trace(maze: Maze, events: Sequence[Event], upto: int | Iterable[int] | None = None,
               plan: Sequence[tuple[int, int]] | None = None, label: str | None = "auto") -> Figure:
    """The open and the closed list after some events of a trace.

    Args:
        maze: the maze searched.
        events: its trace.
        upto: how many events have been written, or several such numbers (a panel each);
            all of them where None.
        plan: cells (x, y) drawn as a line.
        label: what stands in the cells: ``fgh`` (f large, g + h below), ``event`` (the
            number of the event that closed the cell), None, or ``auto``: ``fgh`` up to 6
            cells a side.
    """
    moments = [len(events)] if upto is None else np.atleast_1d(np.asarray(upto)).tolist()
    if label == "auto":
        label = "fgh" if max(maze.rows, maze.cols) <= 6 else None
    side = 4.6 if len(moments) == 1 else 3.3
    per_row = min(len(moments), 4)
    rows = -(-len(moments) // per_row)
    height = (side * maze.rows / maze.cols + 0.35) * rows + 0.7
    figure, axes = new_figure(rows, per_row, (max(side * per_row, 5.6), height))
    for ax, moment in zip(axes.flat, moments, strict=False):
        put_moment(ax, maze, events[:moment], label, side / max(maze.rows, maze.cols))
        put_plan(ax, plan)
        put_ends(ax, maze, corner=label is not None)
        written = f"event {moment - 1}: {events[moment - 1]}" if moment else "no event yet"
        ax.set_title(f"{moment} of {len(events)} events\n{written}", fontsize=12)
    for ax in axes.flat[len(moments):]:
        ax.axis("off")
    handles = [*_state_handles(), Patch(facecolor="none", edgecolor=INK, lw=2.5,
                                        label="closed last")]
    if any(patch.get_hatch() for ax in axes.flat for patch in ax.patches):
        handles.append(Patch(facecolor=CLOSED, edgecolor=WALLED, lw=0, hatch="////",
                             label="a wall here"))
    if plan:
        handles.append(Line2D([], [], color=VERMILION, lw=3, label="plan"))
    # at most four side by side under one small grid
    figure.legend(handles=handles, loc="outside lower center",
                  ncols=len(handles) if len(moments) > 1 else 3)
    figure.alt = (f"A search trace drawn on a {maze.rows}×{maze.cols} maze, after "
                  f"{listed(moments)} of {len(events)} events. "
                  + "; ".join(_state(maze, events, moment) for moment in moments) + "."
                  + (" The plan is drawn as a line." if plan else ""))
    return figure


@styled
def draw_verdict(maze: Maze, response: str) -> Figure:
    """A response with the first broken rule of its plan and of its trace marked.

    Of a trace that is valid, the first broken strict rule is.

    Args:
        maze: the maze the response is judged on.
        response: text from ``reasoning`` or ``solution`` on.
    """
    trace, plan, ended = sections(response)
    parts = [part for part in ("trace", "plan") if part == "plan" or trace is not None]
    figure, axes = new_figure(1, len(parts), (4.7 * len(parts) + 0.6, 5.4))
    titles = []
    for ax, part in zip(axes.flat, parts, strict=True):
        if part == "plan":
            groups = _groups(plan or [], 3)
            broken = plan_break(maze, plan, ended)
            put_cells(ax, maze)
            put_plan(ax, plan_until(plan, broken))
        else:
            groups = _groups(trace, 5)
            breaks = list(trace_breaks(maze, trace))  # the last is not strict, if any is not
            broken = next((b for b in breaks if not b.strict), next(iter(breaks), None))
            events, _ = read_events(trace)
            moment = len(events) if broken is None else broken.at
            put_moment(ax, maze, events[:moment], "fgh" if maze.rows <= 8 else None,
                         4.4 / max(maze.rows, maze.cols))
        put_ends(ax, maze, corner=part == "trace" and maze.rows <= 8)
        titles.append(_mark_break(ax, part, groups, broken))
        ax.set_title(titles[-1], fontsize=12)
    handles = _state_handles() if len(parts) == 2 else end_handles()
    handles += [Line2D([], [], color=VERMILION, lw=3, label="plan"),
                Line2D([], [], color=VERMILION, marker="x", ms=11, mew=3.5, ls="", label="break")]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 4))
    figure.alt = (f"A response judged on a {maze.rows}×{maze.cols} maze, {listed(parts)}. "
                  + "; ".join(" ".join(title.split()) for title in titles) + ".")
    return figure


def put_order(ax: Axes, maze: Maze, searched: Maze, events: Sequence[Event]) -> int:
    """A trace of a searched maze on a maze, cells numbered in the order in which they were closed.

    Returns:
        How many of the closed cells are walls of this maze.
    """
    open_list, closed = replay(searched, events)
    ramp = LinearSegmentedColormap.from_list("", ["#dcebf7", "#7fb2dc"])
    shades = {cell: to_hex(ramp(i / len(closed))) for i, cell in enumerate(closed)}
    layers = {shade: [cell for cell in shades if shades[cell] == shade]
              for shade in shades.values()}
    put_cells(ax, maze, {OPEN: open_list, **layers})
    inside = [(x, y) for x, y in (*closed, *open_list) if x < maze.cols and y < maze.rows]
    walls = [(x, y) for x, y in inside if maze.grid[y, x] == WALL]
    for x, y in walls:
        ax.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, ec=WALLED, lw=0,
                               hatch="////", zorder=2))
    for order, ((x, y), shade) in enumerate(shades.items(), 1):
        if (x, y) not in inside:
            continue
        ax.text(x - 0.42, y - 0.25, order, va="center", fontsize=12, zorder=6,
                path_effects=[withStroke(linewidth=5, foreground=shade)])
    return sum(cell in closed for cell in walls)


def put_cells(ax: Axes, maze: Maze, layers: dict[str, Iterable] | None = None) -> None:
    """The grid, wall and free, with cells coloured by layer."""
    colours = [UNSEEN, WALLED, *(layers or {})]
    codes = np.where(maze.grid == WALL, 1, 0)
    for code, cells in enumerate((layers or {}).values(), start=2):
        for x, y in cells:
            if 0 <= x < maze.cols and 0 <= y < maze.rows:
                codes[y, x] = code
    ax.pcolormesh(np.arange(maze.cols + 1) - 0.5, np.arange(maze.rows + 1) - 0.5, codes,
                  cmap=ListedColormap(colours), vmin=-0.5, vmax=len(colours) - 0.5,
                  **({"edgecolors": FAINT, "linewidth": 1} if maze.rows <= 12 else {}))
    ax.set(aspect="equal", xlim=(-0.56, maze.cols - 0.44), ylim=(maze.rows - 0.44, -0.56))
    for name, axis, side in (("x", ax.xaxis, maze.cols), ("y", ax.yaxis, maze.rows)):
        ticks = range(0, side, 1 if side <= 12 else 10)
        axis.set_ticks(ticks, [f"{name} 0", *ticks[1:]])
    ax.tick_params(length=0, labelsize=10, pad=2)
    ax.xaxis.tick_top()
    ax.spines[:].set_visible(False)
    ax.add_patch(Rectangle((-0.5, -0.5), maze.cols, maze.rows, fill=False, ec=WALLED, lw=1.5,
                           clip_on=False, zorder=3))


def put_ends(ax: Axes, maze: Maze, corner: bool = False, size: float | None = None) -> None:
    """S and G, as discs in the middle of their cells (of this many points) or in the corner."""
    ends = ((maze.start, "S", GREEN), (maze.goal, "G", PURPLE))
    size = size or _cell_points(ax, maze)
    for (x, y), letter, colour in ends:
        if maze.start == maze.goal:
            letter = "SG"
        if corner:
            ax.text(x - 0.43, y - 0.42, letter, ha="left", va="top", color="white", zorder=6,
                    fontsize=max(6, min(12, 0.22 * size)), fontweight="bold",
                    bbox={"facecolor": colour, "edgecolor": "none", "pad": 1.6})
        else:
            disc = min(24.0, max(11.0, 0.7 * size))
            ax.plot(x, y, marker="o", ms=disc, color=colour, mec="white", mew=1, zorder=5)
            ax.text(x, y, letter, ha="center", va="center_baseline", color="white", zorder=6,
                    fontsize=0.58 * disc / len(letter) ** 0.5, fontweight="bold")


def _state(maze: Maze, events: Sequence[Event], moment: int) -> str:
    open_list, closed = replay(maze, events[:moment])
    return f"after {moment}: {len(closed)} cells closed, {len(open_list)} open"


def _cell_points(ax: Axes, maze: Maze) -> float:
    """Side of a cell in points, about: the layout is not final yet."""
    width, height = ax.get_figure().get_size_inches()
    grid = ax.get_subplotspec().get_gridspec()
    return 72 * 0.82 * min(width / grid.ncols / maze.cols, height / grid.nrows / maze.rows)


def put_plan(ax: Axes, plan: Sequence[tuple[int, int]] | None) -> None:
    if plan:
        xs, ys = zip(*plan, strict=True)
        ax.plot(xs, ys, color="white", lw=5, solid_capstyle="round", zorder=3)
        ax.plot(xs, ys, color=VERMILION, lw=2.8, solid_capstyle="round", zorder=3.1)


def plan_until(words: list[str] | None, broken: Break | None) -> list[tuple[int, int]]:
    """The cells of a plan's words, up to and with the step that breaks a rule."""
    steps, _ = read_steps(words or [])
    return steps if broken is None or broken.at is None else steps[:broken.at + 1]


def put_moment(ax: Axes, maze: Maze, events: Sequence[Event], label: str | None,
                 inches: float) -> None:
    """Open and closed cells after these events, the last closed framed."""
    open_list, closed = replay(maze, events)
    put_cells(ax, maze, {OPEN: open_list, CLOSED: closed})
    for x, y in {**open_list, **closed}:  # a trace of another maze may run through walls
        if 0 <= x < maze.cols and 0 <= y < maze.rows and maze.grid[y, x] == WALL:
            ax.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, ec=WALLED, lw=0,
                                   hatch="////", zorder=2))
    closing = {(e.x, e.y): i for i, e in enumerate(events) if e.kind == "close"}
    if closing:
        x, y = list(closing)[-1]
        reach = 0.46 if maze.rows <= 12 else 1.0  # around the cell where cells are small
        ax.add_patch(Rectangle((x - reach, y - reach), 2 * reach, 2 * reach, fill=False, ec=INK,
                               lw=2.5, zorder=4,
                               path_effects=[withStroke(linewidth=4.5, foreground="white")]
                               if maze.rows > 12 else None))
    big = min(17.0, 72 * inches * 0.30)

    def write(cell, text, down, size):  # with a halo, for a plan may run behind it
        colour = CLOSED if cell in closed else OPEN
        ax.text(cell[0], cell[1] + down, text, ha="center", va="center", fontsize=size, zorder=5,
                path_effects=[withStroke(linewidth=0.28 * size, foreground=colour)])

    if label == "fgh":
        for cell, (g, h) in {**open_list, **closed}.items():
            write(cell, g + h, -0.06, big)
            write(cell, f"{g}+{h}", 0.31, 0.64 * big)
    elif label == "event":
        for cell, number in closing.items():
            write(cell, number, 0.04, 0.95 * big)


def _mark_break(ax: Axes, part: str, groups: list[list[str]], broken) -> str:
    """Crosses the cell where a rule breaks; returns the panel's title."""
    if broken is None:
        return f"{part}: no rule broken"
    group = groups[broken.at] if broken.at is not None and broken.at < len(groups) else []
    if len(group) >= 3 and is_decimal(group[1]) and is_decimal(group[2]):
        x, y = number(group[1]), number(group[2])
        left, right = ax.get_xlim()
        low, high = ax.get_ylim()
        # a cell just off the grid is still shown, one far off is left out
        if left - 2 < x < right + 2 and high - 2 < y < low + 2:
            if part == "trace":  # numbers stand in the middle of its cells
                ax.add_patch(Rectangle((x - 0.46, y - 0.46), 0.92, 0.92, fill=False, ec=VERMILION,
                                       lw=3, zorder=6))
                ax.plot(x + 0.3, y - 0.3, marker="x", ms=11, mew=3.5, color=VERMILION, zorder=7)
            else:
                ax.plot(x, y, marker="x", ms=17, mew=4.5, color=VERMILION, zorder=7)
            ax.set(xlim=(min(left, x - 0.56), max(right, x + 0.56)),
                   ylim=(max(low, y + 0.56), min(high, y - 0.56)))
    unit = "step" if part == "plan" else "event"
    where = "" if broken.at is None else f" at {unit} {broken.at}"
    words = f"\n“{' '.join(group)}”" if group else "\n"
    strict = "strict rule " if broken.strict else ""
    return (f"{part} breaks {strict}{broken.rule}{where}{words}\n"
            + fill(f"expected {broken.expected}", 44))


def _groups(words: list[str], size: int) -> list[list[str]]:
    return [words[i:i + size] for i in range(0, len(words), size)]


def end_handles() -> list:
    return [Line2D([], [], marker="o", ms=11, ls="", color=GREEN, label="S  start"),
            Line2D([], [], marker="o", ms=11, ls="", color=PURPLE, label="G  goal")]


def _state_handles() -> list:
    return [*end_handles(), Patch(facecolor=OPEN, edgecolor=FAINT, label="open list"),
            Patch(facecolor=CLOSED, edgecolor=FAINT, label="closed list")]
