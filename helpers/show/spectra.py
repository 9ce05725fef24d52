"""Plan validity against what traces have lost: a row a condition, a panel a distribution."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from helpers.show.looks import (
    INK,
    Figure,
    aside,
    error_of,
    look_of_condition,
    look_of_generator,
    look_of_seed,
    new_figure,
    nothing,
    styled,
)
from helpers.show.words import percent, seeds_of, span

# (gap in training, whose trace) → how it is called, and its marker
ASKED = {("none", "none"): ("no trace", "s"), ("none", "written"): ("trace written greedily", "o"),
         ("none", "drawn"): ("trace drawn", "D"), ("random", "none"): ("no trace, with gaps", "<"),
         ("random", "written"): ("with gaps in training", "^"),
         ("random", "drawn"): ("with gaps, trace drawn", "v")}


@styled
def draw_spectrum(rates: pd.DataFrame, titles: dict[str, str]) -> Figure:
    """Plan validity of each arm, in the parts of the experiment.

    Args:
        rates: as of `experiments.spectrum`. Bars are the table's own intervals.
        titles: of the parts, in their order; an empty one is not written.
    """
    places, kinds = _places(rates, titles), list(rates["distribution"].unique())
    figure, (axes,) = new_figure(1, max(1, len(kinds)),
                                 (4 + 3.4 * max(1, len(kinds)), 1.6 + 0.3 * max(4, len(places))),
                                 sharex=True, sharey=True)
    if rates.empty:
        nothing(axes[0])
        return figure
    seeds = sorted(rates["seed"].unique())
    for kind, ax in zip(kinds, axes, strict=True):
        rows = rates[rates["distribution"] == kind]
        for (condition, gap, trace, seed), part in rows.groupby(
                ["condition", "trained_gap", "trace", "seed"], sort=False):
            asked, at = list(ASKED).index((gap, trace)), seeds.index(seed)
            y = [places[key] for key in zip(part["part"], part["says"], strict=True)]
            ax.errorbar(part["plan_valid"].astype(float),
                        [one + aside(asked, len(ASKED), 0.5) + aside(at, len(seeds), 0.1)
                         for one in y], xerr=error_of(part, "plan_valid"), ls="", ms=6, capsize=2,
                        marker=ASKED[gap, trace][1], color=look_of_condition(condition).colour,
                        **look_of_seed(at))
        _references(ax, rows)
        ax.set(title=look_of_generator(kind).label, xlabel="valid plans", xlim=(-0.03, 1.03))
        ax.xaxis.set_major_formatter(PercentFormatter(1))
        ax.grid(axis="y")
    axes[0].set_yticks(list(places.values()), [says or titles[part] for part, says in places])
    for label, (_, says) in zip(axes[0].get_yticklabels(), places, strict=True):
        label.set_fontweight("normal" if says else "bold")
    axes[0].invert_yaxis()  # once: all share it
    _legend(figure, rates, seeds)
    figure.alt = (f"Valid plans by what traces have lost, {seeds_of(rates)}. " + " ".join(
        f"{look_of_generator(kind).label}: " + "; ".join(
            f"{row.arm} {percent(row.plan_valid)}" for row in part.itertuples()) + "."
        for kind, part in rates.groupby("distribution", sort=False)))
    return figure


def _places(rates: pd.DataFrame, titles: dict[str, str]) -> dict[tuple[str, str], int]:
    """The line of each part's title (which says nothing) and of each of its rows."""
    found: dict[tuple[str, str], int] = {}
    for part, title in titles.items():
        rows = rates.loc[rates["part"] == part, "says"].unique()
        for says in [""] * bool(title and len(rows)) + list(rows):
            found[part, says] = len(found)
    return found


def _references(ax: Axes, rows: pd.DataFrame) -> None:
    """Lines at the headline's conditions, as they write themselves, of all seeds together."""
    plain = rows[(rows["trained_gap"] == "none") & (rows["trace"] != "drawn")]
    for condition in ("solution_only", "correct", "swapped"):
        rate = plain.loc[plain["condition"] == condition, "plan_valid"].mean()
        look = look_of_condition(condition)
        ax.axvline(rate, color=look.colour, ls=look.line, lw=1, zorder=0)


def _legend(figure: Figure, rates: pd.DataFrame, seeds: list[int]) -> None:
    there = set(zip(rates["trained_gap"], rates["trace"], strict=True))
    handles = [Line2D([], [], color=INK, marker=marker, ls="", label=label)
               for key, (label, marker) in ASKED.items() if key in there]
    handles += [Line2D([], [], color=look.colour, ls=look.line, lw=1, label=look.label)
                for look in map(look_of_condition, ("solution_only", "correct", "swapped"))]
    if len(seeds) > 1:
        handles += [Line2D([], [], color=INK, marker="o", ls="", label=f"seed {seed}",
                           **look_of_seed(at)) for at, seed in enumerate(seeds)]
    figure.legend(handles=handles, loc="outside lower center", ncols=3,
                  title=f"n = {span(rates['n'])} test mazes a point; bars: 95 % intervals")
