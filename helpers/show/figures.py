"""One function a figure: data in, a matplotlib Figure out.

Figures are closed towards pyplot as soon as they are made, so a notebook shows one exactly
once, where a cell ends with it. Colours are those of Okabe and Ito, which readers with any
of the common colour deficiencies can tell apart.
"""

from collections.abc import Iterable, Sequence
from functools import wraps
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke
from scipy import stats

from helpers.astar import Event
from helpers.maze import WALL, Maze
from helpers.rules import plan_break, read_events, sections, trace_breaks
from helpers.show.tables import replay

INK, FAINT = "#2b2b2b", "#c9ced3"
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, YELLOW = (
    "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#f0e442")

CONDITION_COLOURS = {"solution_only": "#7a7a7a", "correct": BLUE, "swapped": VERMILION}
CONDITION_NAMES = {"solution_only": "solution only", "correct": "correct trace",
                   "swapped": "swapped trace"}

GENERATOR_COLOURS = {"wilson": BLUE, "kruskal": SKY, "dfs": GREEN, "drunkards_walk": VERMILION,
                     "searchformer": ORANGE, "cellular_automata": PURPLE, "free_space": "#7a7a7a"}
GENERATOR_NAMES = {"wilson": "Wilson", "kruskal": "Kruskal", "dfs": "DFS",
                   "drunkards_walk": "Drunkard's Walk", "searchformer": "Searchformer-style",
                   "cellular_automata": "Cellular automata", "free_space": "Free space"}

UNSEEN, WALLED, OPEN, CLOSED = "#ffffff", "#3d4348", "#fbdc8c", "#a9cfe8"
STYLE = {"figure.dpi": 110, "font.size": 12, "axes.titlesize": 13, "axes.labelsize": 12,
         "xtick.labelsize": 11, "ytick.labelsize": 11, "legend.fontsize": 11,
         "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": "#8a8f94",
         "axes.titlepad": 9, "text.color": INK, "axes.labelcolor": INK, "xtick.color": INK,
         "ytick.color": INK, "legend.frameon": False, "grid.color": "#e3e6e9"}


def styled(draw):
    """Draws in the style of this project and leaves the reader's own settings alone."""

    @wraps(draw)
    def in_style(*args, **settings) -> Figure:
        with plt.rc_context({**sns.axes_style("ticks"), **STYLE}):
            return draw(*args, **settings)

    return in_style


def new_figure(rows: int, cols: int, size: tuple[float, float], **settings):
    figure, axes = plt.subplots(rows, cols, figsize=size, squeeze=False, layout="constrained",
                                **settings)
    plt.close(figure)
    return figure, axes


# ── mazes and traces ────────────────────────────────────────────────────────────────────


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
        _draw_cells(ax, maze)
        _draw_plan(ax, (plans or {}).get(title))
        _draw_ends(ax, maze)
        ax.set_title(title)
    for ax in axes.flat[len(mazes):]:
        ax.axis("off")
    handles = [*_end_handles(), Patch(facecolor=WALLED, label="wall")]
    if plans:
        handles.append(Line2D([], [], color=VERMILION, lw=3, label="shortest path"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
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
        _draw_moment(ax, maze, events[:moment], label, side / max(maze.rows, maze.cols))
        _draw_plan(ax, plan)
        _draw_ends(ax, maze, corner=label is not None)
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
    for ax, part in zip(axes.flat, parts, strict=True):
        if part == "plan":
            groups = _groups(plan or [], 3)
            broken = plan_break(maze, plan, ended)
            steps = [tuple(map(int, group[1:])) for group in groups
                     if len(group) == 3 and group[1].isdecimal() and group[2].isdecimal()]
            _draw_cells(ax, maze)
            _draw_plan(ax, steps[:None if broken is None or broken.at is None else broken.at + 1])
        else:
            groups = _groups(trace, 5)
            breaks = list(trace_breaks(maze, trace))  # the last is not strict, if any is not
            broken = next((b for b in breaks if not b.strict), next(iter(breaks), None))
            events, _ = read_events(trace)
            moment = len(events) if broken is None else broken.at
            _draw_moment(ax, maze, events[:moment], "fgh" if maze.rows <= 8 else None,
                         4.4 / max(maze.rows, maze.cols))
        _draw_ends(ax, maze, corner=part == "trace" and maze.rows <= 8)
        ax.set_title(_mark_break(ax, part, groups, broken), fontsize=12)
    handles = _state_handles() if len(parts) == 2 else _end_handles()
    handles += [Line2D([], [], color=VERMILION, lw=3, label="plan"),
                Line2D([], [], color=VERMILION, marker="x", ms=11, mew=3.5, ls="", label="break")]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 4))
    return figure


def _draw_cells(ax: Axes, maze: Maze, layers: dict[str, Iterable] | None = None) -> None:
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


def _draw_ends(ax: Axes, maze: Maze, corner: bool = False) -> None:
    """S and G, as discs in the middle of their cells or small in the corner."""
    ends = ((maze.start, "S", GREEN), (maze.goal, "G", PURPLE))
    size = _cell_points(ax, maze)
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


def _cell_points(ax: Axes, maze: Maze) -> float:
    """Side of a cell in points, about: the layout is not final yet."""
    width, height = ax.get_figure().get_size_inches()
    grid = ax.get_subplotspec().get_gridspec()
    return 72 * 0.82 * min(width / grid.ncols / maze.cols, height / grid.nrows / maze.rows)


def _draw_plan(ax: Axes, plan: Sequence[tuple[int, int]] | None) -> None:
    if plan:
        xs, ys = zip(*plan, strict=True)
        ax.plot(xs, ys, color="white", lw=5, solid_capstyle="round", zorder=3)
        ax.plot(xs, ys, color=VERMILION, lw=2.8, solid_capstyle="round", zorder=3.1)


def _draw_moment(ax: Axes, maze: Maze, events: Sequence[Event], label: str | None,
                 inches: float) -> None:
    """Open and closed cells after these events, the last closed framed."""
    open_list, closed = replay(maze, events)
    _draw_cells(ax, maze, {OPEN: open_list, CLOSED: closed})
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
    if len(group) >= 3 and group[1].isdecimal() and group[2].isdecimal():
        x, y = int(group[1]), int(group[2])
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


def _end_handles() -> list:
    return [Line2D([], [], marker="o", ms=11, ls="", color=GREEN, label="S  start"),
            Line2D([], [], marker="o", ms=11, ls="", color=PURPLE, label="G  goal")]


def _state_handles() -> list:
    return [*_end_handles(), Patch(facecolor=OPEN, edgecolor=FAINT, label="open list"),
            Patch(facecolor=CLOSED, edgecolor=FAINT, label="closed list")]


# ── many mazes ──────────────────────────────────────────────────────────────────────────


@styled
def draw_properties(table: pd.DataFrame, columns: dict[str, str]) -> Figure:
    """How a few properties of mazes are distributed, a panel each, a box a generator.

    Args:
        table: a row a maze, ``generator`` and the columns to show.
        columns: column → axis label with its unit.
    """
    names = [name for name in GENERATOR_NAMES if name in set(table["generator"])]
    counts = table["generator"].value_counts()
    figure, axes = new_figure(1, len(columns), (3.4 * len(columns) + 1.8, 0.46 * len(names) + 1.7),
                           sharey=True)
    for ax, (column, label) in zip(axes.flat, columns.items(), strict=True):
        values = [table.loc[table["generator"] == name, column].dropna() for name in names]
        boxes = ax.boxplot(values, orientation="horizontal", widths=0.62, whis=(5, 95),
                           showfliers=False, patch_artist=True,
                           medianprops={"color": INK, "lw": 2})
        for box, name in zip(boxes["boxes"], names, strict=True):
            box.set_facecolor(GENERATOR_COLOURS[name])
        ax.set_xlabel(label)
        ax.set_xlim(left=0)
        ax.tick_params(axis="y", length=0)
        ax.grid(axis="x")
        ax.set_axisbelow(True)
    axes[0, 0].set_yticks(range(1, len(names) + 1), [GENERATOR_NAMES[name] for name in names])
    axes[0, 0].invert_yaxis()
    figure.suptitle(f"{_n(counts.loc[names])} mazes a generator · box: quartiles, "
                    "whiskers: 5th to 95th percentile", fontsize=11)
    return figure


def draw_lengths(table: pd.DataFrame) -> Figure:
    """Tokens of prompt, trace and plan by distribution.

    Args:
        table: a row an example: ``generator``, ``prompt``, ``trace``, ``plan`` (tokens).
    """
    return draw_properties(table, {part: f"{part} / tokens" for part in ("prompt", "trace",
                                                                         "plan")})


@styled
def draw_tree_counts(counts: dict[str, np.ndarray], trees: int) -> Figure:
    """How often each spanning tree was drawn, against what equally likely trees would give.

    Args:
        counts: generator → how often each tree was drawn, most frequent first (`int [k]`);
            trees never drawn may be left out.
        trees: how many trees there are.
    """
    figure, axes = new_figure(1, 2, (10.6, 4.3))
    rank = np.arange(1, trees + 1)
    n = int(next(iter(counts.values())).sum())
    # order statistics of a count that is Poisson around the mean
    chance = stats.poisson.ppf(1 - (rank - 0.5) / trees, n / trees)
    for ax in axes.flat:
        for name, values in counts.items():
            ax.step(rank, np.pad(values, (0, trees - len(values))), where="mid", lw=2.5,
                    color=GENERATOR_COLOURS[name], label=GENERATOR_NAMES[name])
        ax.plot(rank, chance, color=INK, ls=(0, (1, 1.2)), lw=2.2, label="equally likely trees")
        ax.set(xlabel=f"spanning tree (of {trees}, most frequent first)", xlim=(1, trees))
        ax.set_ylim(bottom=0)
    axes[0, 0].set(ylabel="times drawn", title="all draws")
    axes[0, 1].set(ylim=(0, 2 * n / trees), title="the same, below twice the mean")
    axes[0, 0].legend(title=f"n = {n:,} mazes each", alignment="left")
    return figure


@styled
def draw_first_errors(table: pd.DataFrame, colour: str = CONDITION_COLOURS["swapped"]) -> Figure:
    """Where and by which rule traces break first.

    Args:
        table: a row a trace: ``error`` (a rule, or None for a valid trace).
        colour: of the bars.
    """
    counts = table["error"].fillna("none: valid").value_counts()
    figure, axes = new_figure(1, 1, (8.2, 0.55 * len(counts) + 1.4))
    ax = axes[0, 0]
    bars = ax.barh(counts.index, 100 * counts / len(table), color=colour, height=0.62)
    ax.bar_label(bars, [f"{n:,}" for n in counts], padding=5, fontsize=11)
    ax.invert_yaxis()
    ax.set(xlabel="share of traces / %", xlim=(0, 108), title=f"first broken rule "
                                                              f"(n = {len(table):,} traces)")
    ax.tick_params(axis="y", length=0)
    return figure


def _n(counts: pd.Series) -> str:
    """``n = 1,000``, or the span where groups differ."""
    low, high = int(counts.min()), int(counts.max())
    return f"n = {low:,}" if low == high else f"n = {low:,}–{high:,}"
