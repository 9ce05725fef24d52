"""Figures of rates against a number: a line a model."""

import numpy as np
import pandas as pd

from helpers.show.looks import (
    GREEN,
    INK,
    ORANGE,
    PURPLE,
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
    percent_axis,
    styled,
)
from helpers.show.words import listed, percent, seeds_of, spaced, span

ORDER_LOOKS = ((PURPLE, "D"), (GREEN, "v"), (SKY, "P"), (ORANGE, "X"))


@styled
def draw_regime(table: pd.DataFrame) -> Figure:
    """Plan validity against the grid's side, a panel a distribution, a line a model.

    Args:
        table: ``regime`` of the experiment. Bars are the table's own intervals.
    """
    sides = table[["rows", "cols"]].drop_duplicates().itertuples(index=False, name=None)
    ticks = {rows: f"{rows}×{cols}" for rows, cols in sides}
    return _draw_lines(table, table["rows"], ticks, "grid", "grid, cells", "size of the grid",
                       f"{span(table['train_examples'])} training examples a model, ")


@styled
def draw_convergence(table: pd.DataFrame) -> Figure:
    """Plan validity against the examples trained on, doubled from tick to tick.

    Args:
        table: ``rates`` of the experiment, of one weighting. Bars are the table's own intervals.
    """
    ticks = {float(np.log2(amount)): spaced(amount)
             for amount in sorted(table["train_examples"].unique())}
    return _draw_lines(table, np.log2(table["train_examples"]), ticks, "examples",
                       "examples of a training that ends there", "number of examples")


@styled
def draw_steps(table: pd.DataFrame, orders: dict[str, str], beside: dict[str, str]) -> Figure:
    """Plan validity of models that fill in against the number of steps, a panel a condition.

    Args:
        table: ``rates`` of the experiment on one distribution: objective, order and steps (text).
            Bars are the table's own intervals.
        orders: what each order is called; a line each.
        beside: objectives that stand as level lines, with the line's style.
    """
    filled = table[table["order"].isin(orders)]
    numbers = list(dict.fromkeys(sorted(filled["steps"], key=_number)))
    conditions = list(table["condition"].unique())
    figure, (axes,) = new_figure(1, len(conditions), (4.4 * len(conditions), 5), sharey=True)
    words = []
    for ax, condition in zip(axes, conditions, strict=True):
        for i, (order, label) in enumerate(orders.items()):
            colour, marker = ORDER_LOOKS[i % len(ORDER_LOOKS)]
            for _, seed, place in models_of(part := filled[filled["condition"] == condition]):
                # one step is the same in each order
                line = part[(part["seed"] == seed) & ((part["order"] == order)
                                                      | (part["steps"] == "1"))]
                x = line["steps"].map(numbers.index)
                line = line.assign(x=x + aside(i, len(orders), 0.25)).sort_values("x")
                ax.errorbar(line["x"], line["plan_valid"].to_numpy(float),
                            error_of(line, "plan_valid"), color=colour, marker=marker, lw=1.8,
                            elinewidth=1.2, markersize=7, capsize=3, **look_of_seed(place),
                            label=label if not place else None)
                words.append(f"{condition} {label} " + ", ".join(
                    f"{100 * rate:.1f}" for rate in line["plan_valid"]))
        for objective, style in beside.items():
            part = table[(table["condition"] == condition) & (table["objective"] == objective)]
            for i, rate in enumerate(part["plan_valid"]):
                ax.axhline(rate, color=INK, ls=style, lw=1.3, label=objective if not i else None)
                words.append(f"{condition} {objective} {percent(rate)}")
        ax.set(title=condition, xlabel="steps")
        ax.set_xticks(range(len(numbers)), numbers)
        percent_axis(ax)
    axes[0].set_ylabel("valid plans")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3,
                  title=f"n = {span(table['n'])} test mazes a point; bars: 95 % intervals")
    figure.alt = (f"Valid plans in per cent by steps, {listed(numbers)}, {seeds_of(table)}: "
                  + "; ".join(words) + ".")
    return figure


@styled
def draw_loops(rates: pd.DataFrame, longer: pd.DataFrame, beside: tuple[str, ...]) -> Figure:
    """Plan validity of looped models by loops, and how many they take by difficulty.

    Args:
        rates: ``rates`` of the experiment on one distribution: kind and loops (text). Bars are the
            table's own intervals.
        longer: ``fifths`` of looped models.
        beside: conditions of plain models that stand as level lines.
    """
    looped = rates[rates["kind"] == "looped"]
    numbers = sorted(looped.loc[looped["loops"].str.isdigit(), "loops"].unique(), key=_number)
    places = [*numbers, *looped.loc[~looped["loops"].isin(numbers), "loops"].unique()]
    figure, ((first, second),) = new_figure(1, 2, (12.4, 5))
    words = []
    for _, seed, place in models_of(looped):
        part = looped[looped["seed"] == seed]
        part = part.assign(x=part["loops"].map(places.index)).sort_values("x")
        first.errorbar(part["x"], part["plan_valid"].to_numpy(float),
                       error_of(part, "plan_valid"), color=PURPLE, marker="D", lw=1.8,
                       elinewidth=1.2, markersize=7, capsize=3, label=f"looped, seed {seed}",
                       **look_of_seed(place))
        words.append("looped " + ", ".join(f"{loops}: {percent(rate)}" for loops, rate in zip(
            part["loops"], part["plan_valid"], strict=True)))
    for condition in beside:
        look, plain = look_of_condition(condition), rates[
            (rates["condition"] == condition) & (rates["kind"] == "plain")]
        for i, rate in enumerate(plain["plan_valid"]):
            first.axhline(rate, color=look.colour, ls=look.line, lw=1.3,
                          label=look.label if not i else None)
            words.append(f"{look.label} {percent(rate)}")
    first.set(xlabel="word read after so many loops", ylabel="valid plans")
    first.set_xticks(range(len(places)), places)
    percent_axis(first)
    seeds = sorted(longer["seed"].unique())
    for (distribution, seed), part in longer.groupby(["distribution", "seed"], sort=False):
        look, place = look_of_generator(distribution), seeds.index(seed)
        second.errorbar(part["expansions"], part["length"], error_of(part, "length"),
                        color=look.colour, marker=look.marker, lw=1.8, capsize=3,
                        label=f"loops, {look.label}" if not place else None, **look_of_seed(place))
        words.append(f"{look.label} loops {part['length'].iloc[0]:.1f} to "
                     f"{part['length'].iloc[-1]:.1f}")
    second.set(xlabel="cells that A* closes, median of a fifth", ylabel="loops a word")
    second.grid(axis="y")
    handles = [ax.get_legend_handles_labels() for ax in (first, second)]
    figure.legend(handles[0][0] + handles[1][0], handles[0][1] + handles[1][1], ncols=4,
                  loc="outside lower center",
                  title=f"n = {span(rates['n'])} test mazes a point on the left, "
                        f"{span(longer['n'])} on the right; bars: 95 % intervals")
    figure.alt = (f"Valid plans by loops, {listed(places)}, {seeds_of(looped)}, and loops a word "
                  "by A*'s expansions: " + "; ".join(words) + ".")
    return figure


def _number(steps: str) -> float:
    return float("inf") if steps == "all" else float(steps)


def _draw_lines(table: pd.DataFrame, x: pd.Series, ticks: dict[float, str], name: str, label: str,
                what: str, also: str = "") -> Figure:
    """A panel a distribution, a line a model, each with its condition's name at its end.

    Args:
        x: where each row of the table stands.
        ticks: all places, and what is written there.
        name, what: of a tick, and of all that, for those who do not see the figure.
        also: how the legend begins.
    """
    table = table.assign(x=x.astype(float), **{name: x.map(ticks)})
    distributions = list(table["distribution"].unique())
    models = models_of(table)
    figure, (axes,) = new_figure(1, len(distributions), (6.2 * len(distributions), 5.2),
                                 sharey=True)
    step = (max(ticks) - min(ticks)) / max(len(ticks) - 1, 1) or 2
    for ax, distribution in zip(axes, distributions, strict=True):
        ends = {}
        for i, (condition, seed, place) in enumerate(models):
            part = table[(table["distribution"] == distribution) & (table["seed"] == seed)
                         & (table["condition"] == condition)].sort_values("x")
            # side by side, so that no bar hides another
            beside = part["x"] + aside(i, len(models), 0.125 * step)
            heights = part["plan_valid"].to_numpy(float)
            look = look_of_condition(condition)
            ax.errorbar(beside, heights, error_of(part, "plan_valid"), ls=look.line,
                        marker=look.marker, lw=1.8, elinewidth=1.2, markersize=7, capsize=3,
                        color=look.colour, **look_of_seed(place))
            ends.setdefault(condition, heights[-1])  # one label a condition, at its first seed
        for condition, y in _apart(ends, 0.065).items():
            look = look_of_condition(condition)
            ax.text(max(ticks) + 0.175 * step, y, look.label, va="center", color=look.colour,
                    fontweight="bold")
        ax.set(title=look_of_generator(distribution).label, xlabel=label,
               xlim=(min(ticks) - 0.2 * step,
                     max(ticks) + 0.2 * step + 0.32 * (max(ticks) - min(ticks) + step / 2)))
        ax.set_xticks(list(ticks), list(ticks.values()))
        percent_axis(ax)
    axes[0].set_ylabel("valid plans")
    legend(figure, table, f"{also}{span(table['n'])} test mazes a point; "
                          "bars: 95 % intervals")
    figure.alt = (f"Valid plans by {what}, {listed(ticks.values())}, "
                  f"{seeds_of(table)}, n = {span(table['n'])} test mazes a point. "
                  + " ".join(f"{look_of_generator(one).label}: "
                             f"{extremes(part, 'plan_valid', name)}."
                             for one, part in table.groupby("distribution", sort=False)))
    return figure


def _apart(heights: dict[str, float], gap: float) -> dict[str, float]:
    """Heights of labels, moved so that no two are closer than the gap, nor outside 0 to 1.

    Of equal heights the first stays on top.
    """
    placed: dict[str, float] = {}
    ceiling, floor = 1.0, 0.0
    for name in sorted(heights, key=heights.get, reverse=True):
        ceiling = placed[name] = min(heights[name], ceiling)
        ceiling -= gap
    for name in reversed(placed):
        floor = placed[name] = max(placed[name], floor)
        floor += gap
    return placed
