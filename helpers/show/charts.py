"""Figures of results: one function a figure, table in, Figure out."""

from collections.abc import Iterable
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from helpers.show.looks import (
    FAINT,
    GREEN,
    ORANGE,
    SKY,
    Figure,
    aside,
    error_of,
    extremes,
    legend,
    look_of_condition,
    look_of_generator,
    look_of_seed,
    models_of,
    new_figure,
    nothing,
    percent_axis,
    styled,
)
from helpers.show.words import percent, seeds_of, span


@styled
def draw_headline(table: pd.DataFrame) -> Figure:
    """Plan validity and trace validity of each condition on each distribution.

    Args:
        table: as `evaluation.headline` gives it. Bars are the table's own intervals; with
            several seeds each stands for itself.
    """
    figure, ((plans, traces),) = new_figure(1, 2, (12, 5), sharey=True)
    _dots(plans, table, "plan_valid")
    _dots(traces, table.dropna(subset="trace_valid"), "trace_valid")
    plans.set(title="Is the plan valid?", ylabel="valid responses")
    traces.set(title="Is the trace a valid A* run?", ylabel="")
    legend(figure, table, f"n = {span(table['n'])} test mazes a point; bars: 95 % intervals",
           lines=False)
    figure.alt = ("Plan and trace validity by condition and distribution, "
                  f"{seeds_of(table)}, n = {span(table['n'])} test mazes a point. "
                  f"Valid plans: {extremes(table, 'plan_valid')}. "
                  f"Valid traces: {extremes(table, 'trace_valid') or 'no condition with traces'}.")
    return figure


def _dots(ax: Axes, table: pd.DataFrame, rate: str) -> None:
    distributions = list(table["distribution"].unique())
    models = models_of(table)
    for i, (condition, seed, place) in enumerate(models):
        part = table[(table["condition"] == condition) & (table["seed"] == seed)]
        x = np.array([distributions.index(name) for name in part["distribution"]], float)
        x += aside(i, len(models), 0.6)
        look = look_of_condition(condition)
        ax.errorbar(x, part[rate].to_numpy(float), error_of(part, rate), ls="", markersize=7,
                    capsize=3, color=look.colour, marker=look.marker, **look_of_seed(place))
    ax.set_xticks(range(len(distributions)),
                  [look_of_generator(name).label.replace(" ", "\n").replace("-", "-\n")
                   for name in distributions])
    ax.set_xlim(-0.5, max(len(distributions) - 0.5, 0.5))
    percent_axis(ax)


@styled
def draw_plan_weight(table: pd.DataFrame) -> Figure:
    """Plan validity against the weight of plan tokens in the loss, a panel a distribution.

    Args:
        table: ``rates`` of the experiment. Bars are the table's own intervals.
    """
    table = table.sort_values("plan_weight", kind="stable")
    weights = table["plan_weight"].map("{:g}".format)
    return draw_by(table.assign(plan_weight=weights), "plan_weight", "weight of a plan token")


@styled
def draw_by(table: pd.DataFrame, state: str, title: str) -> Figure:
    """Plan validity of each model in one state and another, a panel a distribution.

    Args:
        table: rates with condition, seed, distribution and ``state``, a column of text; states
            stand in the order in which they come. Bars are the table's own intervals.
        title: what the states are states of.
    """
    distributions, states = (list(table[name].unique()) for name in ("distribution", state))
    longest = max((len(line) for name in states for line in fill(name, 12).split("\n")), default=0)
    wide = max(3.1, max(0.8, 0.1 * longest) * len(states))
    figure, (axes,) = new_figure(1, max(len(distributions), 1),
                                 (wide * max(len(distributions), 2), 4.4), sharey=True)
    models = models_of(table)
    for ax, distribution in zip(axes, distributions, strict=False):
        for i, (condition, seed, place) in enumerate(models):
            part = table[(table["distribution"] == distribution) & (table["seed"] == seed)
                         & (table["condition"] == condition)]
            x = part[state].map(states.index) + aside(i, len(models), 0.3)
            look = look_of_condition(condition)
            ax.errorbar(x, part["plan_valid"].to_numpy(float), error_of(part, "plan_valid"),
                        ls=look.line, marker=look.marker, lw=1.8, elinewidth=1.2, markersize=7,
                        capsize=3, color=look.colour, **look_of_seed(place))
        ax.set(title=look_of_generator(distribution).label, xlabel=title,
               xlim=(-0.4, len(states) - 0.6))
        ax.set_xticks(range(len(states)), [fill(name, 12) for name in states])
        percent_axis(ax)
    axes[0].set_ylabel("valid plans")
    if table.empty:
        nothing(axes[0])
        return figure
    legend(figure, table, f"n = {span(table['n'])} test mazes a point; bars: 95 % intervals")
    figure.alt = (f"Valid plans by {title}, {seeds_of(table)}. " + " ".join(
        f"{value}: {extremes(part, 'plan_valid')}."
        for value, part in table.groupby(state, sort=False)))
    return figure


@styled
def draw_shifts(table: pd.DataFrame) -> Figure:
    """Plan validity against how far a response was moved, each model a line.

    Args:
        table: rates of models asked behind several gaps, ``answered_gap``; bands are the table's
            own intervals.
    """
    figure, ((ax,),) = new_figure(1, 1, (9, 4.8))
    ax.set_xscale("symlog", linthresh=10, linscale=1.2)
    for condition, seed, place in models_of(table):
        part = table[(table["condition"] == condition) & (table["seed"] == seed)]
        part = part.sort_values("answered_gap")
        look, x = look_of_condition(condition), part["answered_gap"].to_numpy(float)
        ax.plot(x, part["plan_valid"].to_numpy(float), ls=look.line, color=look.colour,
                marker=look.marker, ms=6, lw=1.8, **look_of_seed(place))
        ax.fill_between(x, part["plan_valid_low"].to_numpy(float),
                        part["plan_valid_high"].to_numpy(float), color=look.colour, alpha=0.13,
                        lw=0)
    percent_axis(ax)
    if table.empty:
        nothing(ax)
        return figure
    shifts = sorted(table["answered_gap"].unique())
    ticks = [shift for shift in shifts if abs(shift) in (0, 3, 10, 20, 50, 100, 200, 40)]
    ax.set_xticks(ticks, [f"{shift:+.0f}" if shift else "0" for shift in ticks])
    ax.minorticks_off()
    ax.axvline(0, color=FAINT, zorder=0)
    ax.set(xlabel="positions by which the response is moved", ylabel="valid plans")
    legend(figure, table, f"n = {span(table['n'])} test mazes a point; bands: 95 % intervals")
    figure.alt = (f"Valid plans against how far the response is moved, {seeds_of(table)}. "
                  + extremes(table, "plan_valid", by="answered_gap") + ".")
    return figure


@styled
def draw_given(table: pd.DataFrame) -> Figure:
    """What the plan fits behind each trace that was given: the maze, the trace, or neither.

    Args:
        table: rates with ``given``, ``plan_valid`` and ``plan_follows_trace``; models of a
            condition together, a panel a distribution. Bars are the table's own intervals, where
            it has some.
    """
    distributions = list(table["distribution"].unique())
    figure, axes = new_figure(2, max(len(distributions), 1),
                              (3.1 * max(len(distributions), 2), 6.4), sharey=True, sharex=True)
    kinds = list(table["given"].unique())
    for row, (fits, title) in enumerate((("plan_valid", "plan fits the maze"),
                                         ("plan_follows_trace", "plan fits the trace"))):
        for ax, distribution in zip(axes[row], distributions, strict=False):
            for i, (condition, seed, place) in enumerate(models := models_of(table)):
                part = table[(table["distribution"] == distribution) & (table["seed"] == seed)
                             & (table["condition"] == condition)]
                x = part["given"].map(kinds.index) + aside(i, len(models), 0.4)
                look = look_of_condition(condition)
                ax.errorbar(x, part[fits].to_numpy(float), error_of(part, fits), ls="",
                            marker=look.marker, ms=7, capsize=3, color=look.colour,
                            **look_of_seed(place))
            ax.set_xticks(range(len(kinds)), kinds)
            percent_axis(ax)
            if not row:
                ax.set_title(look_of_generator(distribution).label)
        axes[row][0].set_ylabel(title)
    if table.empty:
        nothing(axes[0][0])
        return figure
    for ax in axes[1]:
        ax.set_xlabel("trace given")
    legend(figure, table, f"n = {span(table['n'])} test mazes a point; bars: 95 % intervals",
           lines=False)
    figure.alt = (f"How often the plan fits the maze, and the trace, by the trace given, "
                  f"{seeds_of(table)}. " + " ".join(
                      f"Given {kind}: maze {extremes(part, 'plan_valid')}; "
                      f"trace {extremes(part, 'plan_follows_trace')}."
                      for kind, part in table.groupby("given", sort=False)))
    return figure


@styled
def draw_coupling(table: pd.DataFrame) -> Figure:
    """How plan and trace validity go together: shares of the four combinations.

    Args:
        table: as `evaluation.coupling` gives it.
    """
    kinds = {"both_valid": ("both valid", GREEN, ""),
             "only_plan_valid": ("only the plan valid", SKY, "//"),
             "only_trace_valid": ("only the trace valid", ORANGE, "xx"),
             "neither_valid": ("neither valid", FAINT, "..")}
    conditions = list(table["condition"].unique())
    columns = max(1, len(conditions))
    figure, (axes,) = new_figure(1, columns, (6 * columns, 4.4), sharey=True)
    if not conditions:
        axes[0].set(title="No condition with traces", xticks=[], yticks=[])
        figure.alt = "Plan validity against trace validity. No condition with traces."
        return figure
    for ax, condition in zip(axes, conditions, strict=True):
        part = table[table["condition"] == condition]
        left = np.zeros(len(part))
        labels = _cell_labels(part)
        for name, (label, colour, hatch) in kinds.items():
            share = (part[name] / part["n"]).to_numpy(float)
            ax.barh(labels, share, left=left, color=colour, label=label, edgecolor="white",
                    hatch=hatch)
            left += share
        ax.set(title=look_of_condition(condition).label, xlabel="responses", xlim=(0, 1))
        ax.xaxis.set_major_formatter(PercentFormatter(1))
    axes[0].invert_yaxis()  # once: all share it
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    sums = table.groupby("condition", sort=False)[[*kinds, "n"]].sum()
    figure.alt = (f"Plan validity against trace validity, {seeds_of(table)}, "
                  f"n = {span(table['n'])} responses a bar. All bars of a condition together: "
                  + "; ".join(f"{condition}, " + ", ".join(
                      f"{label} {percent(row[name] / row['n'])}"
                      for name, (label, *_) in kinds.items()) for condition, row in sums.iterrows())
                  + ".")
    return figure


def _cell_labels(table: pd.DataFrame) -> Iterable[str]:
    several = table["seed"].nunique() > 1
    return [f"{look_of_generator(name).label}{f', seed {seed}' if several else ''} (n = {n})"
            for name, seed, n in table[["distribution", "seed", "n"]].itertuples(index=False)]
