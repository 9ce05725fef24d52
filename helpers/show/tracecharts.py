"""Figures of traces: how they go with plans, how long they are, how sure a model was of them.

A panel a distribution, a row of panels each way in which models were trained or asked.
"""

from collections.abc import Iterator

import pandas as pd
from matplotlib.axes import Axes

from helpers.show.looks import (
    INK,
    Figure,
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
from helpers.show.words import listed, seeds_of, span

WAYS = {"none": "no gaps in training", "random": "gaps in training", "as it is": "",
        "realigned": "realigned"}  # of ``trained_gap`` and ``answered``


@styled
def draw_by_length(table: pd.DataFrame, curves: pd.DataFrame) -> Figure:
    """Trace validity among valid plans against the length of A*'s own trace.

    Args:
        table: ``by_length`` of the coupling experiment; bars are its own intervals.
        curves: ``curves`` of it, drawn as lines with bands where there are any.
    """
    figure, panels = _panels(table)
    for part, ax in panels:
        for condition, seed, place in models_of(part):
            look, dots = look_of_condition(condition), _of(part, condition, seed)
            middle = (dots["above"] + dots["up_to"]) / 2
            ax.errorbar(middle, dots["trace_valid"].to_numpy(float), error_of(dots, "trace_valid"),
                        ls="", marker=look.marker, ms=6, capsize=2, color=look.colour,
                        **look_of_seed(place))
            same = (curves["distribution"] == dots["distribution"].iloc[0]) & (
                curves["trained_gap"] == dots["trained_gap"].iloc[0])
            curve = _of(curves[same], condition, seed)
            x, *bounds = (curve[name].to_numpy(float) for name in (
                "tokens", "trace_valid_low", "trace_valid_high", "trace_valid"))
            ax.plot(x, bounds[2], color=look.colour, ls=look.line)
            ax.fill_between(x, *bounds[:2], color=look.colour, alpha=0.13, lw=0)
        percent_axis(ax)
    return _finished(figure, table, "trace_valid", "tokens of A*'s trace",
                     "valid traces\namong valid plans", "Valid traces among valid plans",
                     f"n = {span(table['n'])} valid plans a point; bars, bands: 95 % intervals")


@styled
def draw_places(table: pd.DataFrame) -> Figure:
    """Where in what was written traces break first, as shares that are broken by then.

    Args:
        table: ``places`` of the coupling experiment: with ``plan_valid``, drawn as full markers,
            hollow ones for other plans.
    """
    figure, panels = _panels(table)
    for part, ax in panels:
        for condition, seed, _ in models_of(part):
            look = look_of_condition(condition)
            for valid, line in _of(part, condition, seed).groupby("plan_valid"):
                ax.plot(line["place"], line["broken_by_then"], color=look.colour, ls=look.line,
                        marker=look.marker, ms=5, **look_of_seed(0 if valid else 1))
        percent_axis(ax)
    return _finished(figure, table[table["place"] == 0.5], "broken_by_then",
                     "share of the trace", "broken by then", "Traces broken by half of them",
                     f"n = {span(table['n'])} broken traces a line; full marks: behind them a "
                     "valid plan, hollow: another" if len(table) else "")


@styled
def draw_written(table: pd.DataFrame) -> Figure:
    """How long traces are beside A*'s own: medians, and quartiles as bars.

    Args:
        table: ``written`` of the length experiment.
    """
    figure, panels = _panels(table)
    for part, ax in panels:
        for condition, seed, place in models_of(part):
            look, line = look_of_condition(condition), _of(part, condition, seed)
            middle = line["events"]
            ax.errorbar(line["own_events"], middle, [middle - line["events_quarter"],
                                                     line["events_three_quarters"] - middle],
                        color=look.colour, ls=look.line, marker=look.marker, ms=6, capsize=2,
                        **look_of_seed(place))
        far = part["own_events"].max()
        ax.plot([0, far], [0, far], color=INK, lw=0.8, zorder=0)
        ax.grid(axis="y")
    if len(table):
        figure.axes[0].set_ylim(bottom=0)  # once: all share it
        _label(figure, table, "A*'s events", "events written")
        legend(figure, table, f"n = {span(table['n'])} mazes a point: medians, bars from quartile "
                              "to quartile; thin line: as long as A*'s")
        said = [f"{condition} on {_kind(where)} {line['events'].iloc[0]:.0f} to "
                f"{line['events'].iloc[-1]:.0f} where A* has {line['own_events'].iloc[0]:.0f} to "
                f"{line['own_events'].iloc[-1]:.0f}"
                for (condition, where, _, _, _), line in table.groupby(
                    ["condition", "distribution", "seed", "trained_gap", "answered"], sort=False)]
        figure.alt = (f"Events written against those of A*'s trace, {seeds_of(table)}. Medians, "
                      f"shortest to longest fifth: {_some(said)}.")
    return figure


@styled
def draw_free_space(table: pd.DataFrame) -> Figure:
    """Answers on grids without walls by distance: valid plans, answers without end, length.

    Args:
        table: ``free_space`` of the length experiment; bars are its own intervals.
    """
    ways = _ways(table)
    figure, axes = new_figure(3, max(len(ways), 1), (4.2 * max(len(ways), 1), 8.6), sharex=True,
                              sharey="row")
    if table.empty:
        nothing(axes[0][0])
        return figure
    for column, way in zip(axes.T, ways, strict=True):
        part = _in_way(table, way)
        for condition, seed, place in models_of(part):
            look, line = look_of_condition(condition), _of(part, condition, seed)
            marks = {"color": look.colour, "ls": look.line, "marker": look.marker, "ms": 6,
                     **look_of_seed(place)}
            far = (line["above"] + 1 + line["up_to"]) / 2
            for ax, name in zip(column, ("plan_valid", "cut_off"), strict=False):
                ax.errorbar(far, line[name].to_numpy(float), error_of(line, name), capsize=2,
                            **marks)
            column[2].plot(far, line["events"], **marks)
        own = part.groupby("above")[["up_to", "own_events", "own_cut_off"]].first().reset_index()
        far = (own["above"] + 1 + own["up_to"]) / 2
        column[1].plot(far, own["own_cut_off"], color=INK, lw=0.8, zorder=0)
        column[2].plot(far, own["own_events"], color=INK, lw=0.8, zorder=0)
        column[0].set_title(_said(way))
        column[2].set_xlabel("moves from start to goal")
        column[2].grid(axis="y")
    for ax, words in zip(axes[:, 0], ("valid plans", "answers without end", "events written"),
                         strict=True):
        ax.set_ylabel(words)
    for ax in axes[:2].flat:
        percent_axis(ax)
    legend(figure, table, f"n = {span(table['n'])} mazes a point; bars: 95 % intervals; thin line: "
                          "A*'s own")
    figure.alt = (f"Grids without walls by distance, {seeds_of(table)}. " + " ".join(
        f"{_said(way)}, valid plans: "
        f"{extremes(_far(_in_way(table, way)), 'plan_valid', 'moves')}." for way in ways))
    return figure


@styled
def draw_sureness(table: pd.DataFrame) -> Figure:
    """Plan validity against how sure a model was of the trace before it, by fifths.

    Args:
        table: ``by_sureness`` of the length experiment; bars are its own intervals.
    """
    figure, panels = _panels(table)
    for part, ax in panels:
        for condition, seed, place in models_of(part):
            look, line = look_of_condition(condition), _of(part, condition, seed)
            ax.errorbar(line["fifth"], line["plan_valid"].to_numpy(float),
                        error_of(line, "plan_valid"), color=look.colour, ls=look.line,
                        marker=look.marker, ms=6, capsize=2, **look_of_seed(place))
        percent_axis(ax)
    return _finished(figure, table, "plan_valid", "fifth, surest last",
                     "valid plans", "Valid plans by how sure the model was of its trace",
                     f"n = {span(table['n'])} answers a point; bars: 95 % intervals"
                     if len(table) else "")


# ── panels ──────────────────────────────────────────────────────────────────────────────


def _panels(table: pd.DataFrame) -> tuple[Figure, Iterator[tuple[pd.DataFrame, Axes]]]:
    """A figure, and the rows and axes of each panel that has something to show."""
    ways, kinds = _ways(table), list(table["distribution"].unique())
    figure, axes = new_figure(max(len(ways), 1), max(len(kinds), 1),
                              (3.1 * max(len(kinds), 2), 1.4 + 3 * max(len(ways), 1)),
                              sharey=True, sharex="col")
    if table.empty:
        nothing(axes[0][0])
    for row, way in zip(axes, ways, strict=False):
        row[0].set_ylabel(_said(way))
    for ax, kind in zip(axes[0], kinds, strict=False):
        ax.set_title(_kind(kind))
    found = [(part[part["distribution"] == kind], ax)
             for row, way in zip(axes, ways, strict=False) for part in [_in_way(table, way)]
             for ax, kind in zip(row, kinds, strict=True)]
    for part, ax in found:
        if part.empty:
            ax.set_axis_off()
    return figure, (pair for pair in found if len(pair[0]))


def _finished(figure: Figure, table: pd.DataFrame, rate: str, x: str, y: str, what: str,
              note: str) -> Figure:
    """With labels, a legend and words, unless there was nothing to draw."""
    if table.empty:
        return figure
    _label(figure, table, x, y)
    legend(figure, table, note)
    ways = _ways(table)
    figure.alt = f"{what}, {seeds_of(table)}. " + " ".join(
        (f"{_said(way)}: " if len(ways) > 1 else "")
        + f"{extremes(_in_way(table, way), rate)}." for way in ways)
    return figure


def _label(figure: Figure, table: pd.DataFrame, x: str, y: str) -> None:
    for ax in figure.axes:
        if ax.get_subplotspec().is_last_row():
            ax.set_xlabel(x)
        if said := ax.get_ylabel():
            ax.set_ylabel(f"{y}\n{said}" if len(_ways(table)) > 1 else y)


def _ways(table: pd.DataFrame) -> list[tuple[str, str]]:
    """How models were trained and asked, each once."""
    asked = table.get("answered", pd.Series("as it is", table.index))
    return list(dict.fromkeys(zip(table["trained_gap"], asked, strict=True)))


def _in_way(table: pd.DataFrame, way: tuple[str, str]) -> pd.DataFrame:
    asked = table.get("answered", pd.Series("as it is", table.index))
    return table[(table["trained_gap"] == way[0]) & (asked == way[1])]


def _said(way: tuple[str, str]) -> str:
    return ", ".join(filter(None, (WAYS.get(part, part) for part in way)))


def _of(table: pd.DataFrame, condition: str, seed: int) -> pd.DataFrame:
    return table[(table["condition"] == condition) & (table["seed"] == seed)]


def _far(table: pd.DataFrame) -> pd.DataFrame:
    moves = [f"{low + 1:.0f} to {high:.0f} moves" for low, high in zip(
        table["above"], table["up_to"], strict=True)]
    return table.assign(moves=moves)


def _some(said: list[str], most: int = 6) -> str:
    """The first of many, so that words stay short."""
    return listed(said) if len(said) <= most else "; ".join(said[:most]) + " (the first of "\
        f"{len(said)} lines)"


def _kind(distribution: str) -> str:
    return look_of_generator(distribution).label
