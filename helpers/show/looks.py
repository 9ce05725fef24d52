"""How figures look, all alike: colours, marks, legends, and their words for those who cannot see.

Figures are closed towards pyplot as soon as they are made, so a notebook shows one exactly
once, where a cell ends with it. Colours are those of Okabe and Ito, which readers with any
of the common colour deficiencies can tell apart; nothing is told by colour alone. Every figure
says in words what it shows (`Figure.alt`).
"""

from functools import wraps
from io import BytesIO, StringIO
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

import matplotlib.figure
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from helpers.conditions import CONDITIONS
from helpers.engine.files import atomic
from helpers.generators import GENERATORS
from helpers.show.words import percent

INK, FAINT = "#2b2b2b", "#c9ced3"
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, YELLOW = (
    "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#f0e442")

OTHER, OTHER_MARKER, OTHER_LINE = "#4d4d4d", "*", "-."  # what a reader added and we do not know

# the first seed's markers are full, the second's hollow, further ones half full
FILLS = ("full", "none", "left", "right", "bottom", "top")

STYLE = {"figure.dpi": 110, "font.size": 12, "axes.titlesize": 13, "axes.labelsize": 12,
         "xtick.labelsize": 11, "ytick.labelsize": 11, "legend.fontsize": 11,
         "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": "#8a8f94",
         "axes.titlepad": 9, "text.color": INK, "axes.labelcolor": INK, "xtick.color": INK,
         "ytick.color": INK, "legend.frameon": False, "grid.color": "#e3e6e9"}


class Look(NamedTuple):
    """How one condition or generator is drawn, in every figure alike."""

    label: str
    colour: str
    marker: str
    line: str = "-"


def look_of_condition(name: str) -> Look:
    """As its entry in the registry says."""
    known = CONDITIONS.get(name)
    return (Look(known.label, known.colour, known.marker, known.line) if known
            else Look(name, OTHER, OTHER_MARKER, OTHER_LINE))


def look_of_generator(name: str) -> Look:
    """Of a generator, or of a distribution that is none: a reader's own file of mazes."""
    known = GENERATORS.get(name)
    return (Look(known.label, known.colour, known.marker) if known
            else Look(name, OTHER, OTHER_MARKER))


def look_of_seed(place: int) -> dict:
    """How much of a marker is filled for the first, second … seed of a figure."""
    style = FILLS[place % len(FILLS)]
    if style == "none":  # white instead of transparent: no line runs through the marker
        return {"fillstyle": "full", "markerfacecolor": "white", "markeredgewidth": 1.8}
    return {"fillstyle": style, "markerfacecoloralt": "white", "markeredgewidth": 1.8}


class Figure(matplotlib.figure.Figure):
    """A figure that says in words what it shows.

    Attributes:
        alt: the words. A notebook keeps them in the metadata of the image, an SVG as title
            and description, the report's page as the image's alternative text.
    """

    alt = ""

    def _repr_mimebundle_(self, include=None, exclude=None) -> tuple[dict, dict]:
        return {}, {"image/png": {"alt": self.alt}}

    def _repr_png_(self) -> bytes:  # where no inline backend has come before us
        return png(self, bbox_inches="tight")


def png(figure: Figure, **settings) -> bytes:
    """A figure as PNG, at its own resolution and size."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", **settings)
    return buffer.getvalue()


def write_svg(figure: Figure, path: Path) -> None:
    """Writes a figure, the same bytes for the same figure, its words as title and description."""
    alt = getattr(figure, "alt", "")
    title = alt.partition(". ")[0].rstrip(".") or path.stem
    buffer = StringIO()
    with plt.rc_context({"svg.hashsalt": path.stem}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Title": title})
    described = buffer.getvalue().replace("</title>", f"</title>\n <desc>{escape(alt)}</desc>", 1)
    with atomic(path, "w") as file:
        file.write(described)


def write_png(figure: Figure, path: Path, width: int = 1800) -> None:
    """Writes a figure that many pixels wide, the same bytes for the same figure."""
    picture = png(figure, dpi=width / figure.get_figwidth(), metadata={"Software": None})
    with atomic(path, "wb") as file:
        file.write(picture)


def styled(draw):
    """Draws in the style of this project and leaves the reader's own settings alone."""

    @wraps(draw)
    def in_style(*args, **settings) -> Figure:
        import seaborn as sns  # a second, only where something is drawn
        with plt.rc_context({**sns.axes_style("ticks"), **STYLE}):
            return draw(*args, **settings)

    return in_style


def new_figure(rows: int, cols: int, size: tuple[float, float], **settings):
    figure, axes = plt.subplots(rows, cols, figsize=size, squeeze=False, layout="constrained",
                                FigureClass=Figure, **settings)
    plt.close(figure)
    return figure, axes


# ── parts of charts ─────────────────────────────────────────────────────────────────────


def models_of(table: pd.DataFrame) -> list[tuple[str, int, int]]:
    """Condition, seed and the seed's place among all, of each model of a table."""
    seeds = sorted(table["seed"].unique())
    return [(condition, seed, seeds.index(seed)) for condition, seed in
            table[["condition", "seed"]].drop_duplicates().itertuples(index=False, name=None)]


def aside(place: int, places: int, width: float) -> float:
    """How far beside a tick the points of one of several models stand, so that none is hidden."""
    return width * ((place + 0.5) / places - 0.5)


def error_of(table: pd.DataFrame, rate: str) -> np.ndarray | None:
    """How far the table's interval of a rate reaches down and up; None where it has none."""
    if f"{rate}_low" not in table:
        return None
    middle, low, high = table[[rate, f"{rate}_low", f"{rate}_high"]].to_numpy(float).T
    return np.clip([middle - low, high - middle], 0, None)  # a bound may be a rounding error off


def percent_axis(ax: Axes) -> None:
    ax.set_ylim(-0.03, 1.03)
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.grid(axis="y")


def legend(figure: Figure, table: pd.DataFrame, title: str, lines: bool = True) -> None:
    """Marker and line of each condition, filling of each seed where there are several."""
    looks = map(look_of_condition, table["condition"].unique())
    handles = [Line2D([], [], color=look.colour, marker=look.marker, ms=7, label=look.label,
                      ls=look.line if lines else "") for look in looks]
    seeds = sorted(table["seed"].unique())
    if len(seeds) > 1:
        handles += [Line2D([], [], color=INK, marker="o", ms=7, ls="", label=f"seed {seed}",
                           **look_of_seed(place)) for place, seed in enumerate(seeds)]
    # longer dashes than usual, for lines are told apart by them
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 8),
                  title=title, handlelength=3 if lines else None)


def extremes(table: pd.DataFrame, rate: str, by: str = "distribution") -> str:
    """Lowest and highest rate of each condition, with where they are."""
    words = []
    for condition, part in table.dropna(subset=rate).groupby("condition", sort=False):
        if part[rate].nunique() == 1:
            words.append(f"{condition} {percent(part[rate].iloc[0])} everywhere")
            continue
        ends = [part.loc[part[rate].astype(float).agg(find)] for find in ("idxmin", "idxmax")]
        words.append(f"{condition} from " + " to ".join(
            f"{percent(end[rate])} ({_place(end, by)})" for end in ends))
    return "; ".join(words)


def _place(row: pd.Series, by: str) -> str:
    return look_of_generator(row[by]).label if by == "distribution" else str(row[by])


def nothing(ax: Axes) -> None:
    """Says that there is nothing to draw yet."""
    ax.text(0.5, 0.5, "not made yet", transform=ax.transAxes, ha="center", color=INK)
    ax.figure.alt = "Nothing to draw: this part of the experiment was not made yet."
