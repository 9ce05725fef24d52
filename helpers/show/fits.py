"""Plans written behind a trace that was given: what they fit, how likely the right one is."""

import numpy as np
import pandas as pd
from matplotlib.ticker import PercentFormatter

from helpers.show.looks import (
    FAINT,
    GREEN,
    ORANGE,
    SKY,
    Figure,
    error_of,
    legend,
    look_of_condition,
    look_of_generator,
    look_of_seed,
    models_of,
    new_figure,
    nothing,
    styled,
)
from helpers.show.words import percent, seeds_of, span

FITS = {"both": ("both", GREEN, ""), "only_maze": ("the maze alone", SKY, "//"),
        "only_trace": ("the trace alone", ORANGE, "xx"), "neither": ("neither", FAINT, "..")}


@styled
def draw_fits(table: pd.DataFrame, names: dict[str, str], reader: str = "condition") -> Figure:
    """Shares of plans that fit maze and trace, one of them or neither, a bar a trace given.

    Args:
        table: rates with the reader's column, distribution, given, n and the counts `FITS`; bars
            are of all seeds together.
        names: what each trace given is called; others are called as they are.
        reader: the column that names who is given the traces, a row of panels each.
    """
    readers, kinds = list(table[reader].unique()), list(table["distribution"].unique())
    given = [kind for kind in [*names, *table["given"].unique()] if kind in set(table["given"])]
    given = list(dict.fromkeys(given))
    rows, columns = max(1, len(readers)), max(1, len(kinds))
    figure, axes = new_figure(rows, columns, (3 + 2.4 * columns, rows * (0.8 + 0.34 * len(given))),
                              sharex=True, sharey=True)
    if table.empty:
        nothing(axes[0][0])
        return figure
    for who, row in zip(readers, axes, strict=True):
        for kind, ax in zip(kinds, row, strict=True):
            part = table[(table[reader] == who) & (table["distribution"] == kind)]
            counts = part.groupby("given")[[*FITS, "n"]].sum().reindex(given)
            left = np.zeros(len(given))
            for name, (label, colour, hatch) in FITS.items():
                share = (counts[name] / counts["n"]).fillna(0).to_numpy(float)
                ax.barh(range(len(given)), share, left=left, color=colour, label=label,
                        edgecolor="white", hatch=hatch)
                left += share
            for at in np.flatnonzero(counts["n"].isna()):
                ax.text(0.02, at, "–", va="center")
            ax.set_title(f"{who}, {look_of_generator(kind).label}", fontsize=10.5)
    for ax in axes[-1]:
        ax.set_xlim(0, 1)
        ax.xaxis.set_major_formatter(PercentFormatter(1))
    axes[0][0].set_yticks(range(len(given)), [names.get(kind, kind) for kind in given])
    axes[0][0].invert_yaxis()  # once: all share it
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=4,
                  title=f"the plan fits …; n = {span(table['n'])} answers a seed and bar")
    figure.alt = (f"What plans fit by the trace given, {seeds_of(table)}. " + " ".join(
        f"{who}, {look_of_generator(kind).label}: " + "; ".join(
            f"{names.get(row.given, row.given)} maze {percent(row.plan_valid)}, trace "
            f"{percent(row.plan_follows_trace)}" for row in part.itertuples()) + "."
        for (who, kind), part in table.groupby([reader, "distribution"], sort=False)))
    return figure


@styled
def draw_right_plans(table: pd.DataFrame, names: dict[str, str]) -> Figure:
    """The mean log-probability of A*'s own plan by the trace given, a panel a distribution.

    Args:
        table: rates with condition, seed, distribution, given and right_plan. Bars are the table's
            own intervals.
        names: what each trace given is called.
    """
    kinds = list(table["distribution"].unique())
    given = [kind for kind in names if kind in set(table["given"])]
    figure, (axes,) = new_figure(1, max(1, len(kinds)), (3 + 2.4 * max(1, len(kinds)), 5.2),
                                 sharey=True)
    if table.empty:
        nothing(axes[0])
        return figure
    models = models_of(table)
    for kind, ax in zip(kinds, axes, strict=True):
        for i, (condition, seed, place) in enumerate(models):
            part = table[(table["distribution"] == kind) & (table["seed"] == seed)
                         & (table["condition"] == condition)]
            look, aside = look_of_condition(condition), 0.3 * (i - (len(models) - 1) / 2)
            ax.errorbar(part["right_plan"], part["given"].map(given.index) + aside,
                        xerr=error_of(part, "right_plan"), ls="", marker=look.marker, ms=7,
                        capsize=3, color=look.colour, **look_of_seed(place))
        ax.set(title=look_of_generator(kind).label, xlabel="nats a plan", xscale="symlog")
        ax.grid(axis="x")
    axes[0].set_yticks(range(len(given)), [names[kind] for kind in given])
    axes[0].invert_yaxis()
    legend(figure, table, "log-probability of A*'s own plan, mean of "
                          f"n = {span(table['n'])} mazes; bars: 95 % intervals", lines=False)
    figure.alt = (f"Mean log-probability of A*'s own plan by the trace given, {seeds_of(table)}. "
                  + " ".join(f"{condition}, {look_of_generator(kind).label}: " + ", ".join(
                      f"{names[row.given]} {row.right_plan:.1f}" for row in part.itertuples()) + "."
                      for (condition, kind), part in table.groupby(
                          ["condition", "distribution"], sort=False)))
    return figure
