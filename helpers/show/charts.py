"""Figures of trainings and results: one function a figure, table in, Figure out."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from helpers.corpus import Corpus
from helpers.evaluation import rate_interval
from helpers.show.figures import (
    CONDITION_COLOURS,
    CONDITION_NAMES,
    GENERATOR_NAMES,
    GREEN,
    ORANGE,
    new_figure,
    styled,
)
from helpers.training import TrainingConfig, rate


@styled
def draw_headline(table: pd.DataFrame) -> Figure:
    """Plan validity and trace validity of each condition on each distribution.

    Args:
        table: as `evaluation.headline` gives it. Bars are 95 % Wilson-score intervals; with
            several seeds each stands for itself.
    """
    figure, ((plans, traces),) = new_figure(1, 2, (12, 4.6), sharey=True)
    _dots(plans, table, "plan_valid")
    _dots(traces, table.dropna(subset="trace_valid"), "trace_valid")
    plans.set(title="Is the plan valid?", ylabel="valid responses")
    traces.set(title="Is the trace a valid A* run?", ylabel="")
    counts = sorted(set(table["n"]))
    figure.legend(*plans.get_legend_handles_labels(), loc="outside lower center", ncols=4,
                  title=f"n = {' / '.join(map(str, counts))} test mazes a point; "
                        "bars: 95 % Wilson-score intervals")
    return figure


def _dots(ax: Axes, table: pd.DataFrame, rate: str) -> None:
    distributions = list(table["distribution"].unique())
    models = list(table[["condition", "seed"]].drop_duplicates().itertuples(index=False))
    for i, (condition, seed) in enumerate(models):
        part = table[(table["condition"] == condition) & (table["seed"] == seed)]
        x = np.array([distributions.index(name) for name in part["distribution"]], float)
        x += 0.6 * ((i + 0.5) / len(models) - 0.5)
        y = part[rate].to_numpy(float)
        first = condition not in [name for name, _ in models[:i]]
        bounds = list(map(rate_interval, y, part["n"]))
        low, high = np.array(bounds).reshape(-1, 2).T
        error = np.clip([y - low, high - y], 0, None)
        ax.errorbar(x, y, error, fmt="o", markersize=7, capsize=3,
                    color=CONDITION_COLOURS[condition],
                    label=CONDITION_NAMES[condition] if first else None)
    ax.set_xticks(range(len(distributions)),
                  [GENERATOR_NAMES[name].replace(" ", "\n").replace("-", "-\n")
                   for name in distributions])
    ax.set_xlim(-0.5, max(len(distributions) - 0.5, 0.5))
    ax.set_ylim(-0.03, 1.03)
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.grid(axis="y")


@styled
def draw_learning_curves(curves: pd.DataFrame) -> Figure:
    """Plan validity on held-out mazes as training goes on, by examples and by response tokens.

    Args:
        curves: as `evaluation.learning_curves` gives them.
    """
    figure, (axes,) = new_figure(1, 2, (12, 4.6), sharey=True)
    for ax, column, label in zip(axes, ("examples", "response_tokens"),
                                 ("examples trained on", "response tokens trained on"),
                                 strict=True):
        for (condition, seed), part in curves.groupby(["condition", "seed"], sort=False):
            first = seed == curves.loc[curves["condition"] == condition, "seed"].iloc[0]
            colour = CONDITION_COLOURS[condition]
            ax.plot(part[column], part["plan_valid"], "o-", color=colour,
                    label=CONDITION_NAMES[condition] if first else None)
            ax.fill_between(part[column], part["plan_valid_low"], part["plan_valid_high"],
                            color=colour, alpha=0.15, linewidth=0)
        ax.set(xlabel=label, ylim=(-0.03, 1.03))
        ax.set_xlim(left=0)
        ax.yaxis.set_major_formatter(PercentFormatter(1))
        ax.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}".replace(",", " "))
        ax.tick_params(axis="x", labelrotation=20)
        ax.grid(axis="y")
    axes[0].set_ylabel("valid plans, held-out mazes")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4,
                  title=f"n = {curves['n'].iloc[0]} a point; bands: 95 % Wilson-score intervals")
    return figure


@styled
def draw_regime(table: pd.DataFrame) -> Figure:
    """Plan validity against the grid's side, a panel a distribution, a line a model.

    Args:
        table: as `regime.gather` gives it. Bars are 95 % Wilson-score intervals.
    """
    distributions = list(table["distribution"].unique())
    models = list(table[["condition", "seed"]].drop_duplicates().itertuples(index=False, name=None))
    sides = table[["rows", "cols"]].drop_duplicates().itertuples(index=False, name=None)
    ticks = {rows: f"{rows}×{cols}" for rows, cols in sides}
    figure, (axes,) = new_figure(1, len(distributions), (6.2 * len(distributions), 4.8),
                                 sharey=True)
    for ax, distribution in zip(axes, distributions, strict=True):
        ends = {}
        for i, (condition, seed) in enumerate(models):
            part = table[(table["distribution"] == distribution) & (table["seed"] == seed)
                         & (table["condition"] == condition)].sort_values("rows")
            # side by side, so that no bar hides another
            x = part["rows"] + 0.25 * ((i + 0.5) / len(models) - 0.5)
            rates = part[["plan_valid", "plan_valid_low", "plan_valid_high"]].to_numpy(float)
            rate, low, high = rates.T
            ax.errorbar(x, rate, np.clip([rate - low, high - rate], 0, None), fmt="o-",
                        markersize=7, capsize=3, color=CONDITION_COLOURS[condition])
            ends.setdefault(condition, rate[-1])  # one label a condition, at its first seed
        for condition, y in _apart(ends, 0.065).items():
            ax.text(max(ticks) + 0.35, y, CONDITION_NAMES[condition], va="center",
                    color=CONDITION_COLOURS[condition], fontweight="bold")
        ax.set(title=GENERATOR_NAMES[distribution], xlabel="grid, cells",
               xlim=(min(ticks) - 0.4, max(ticks) + 0.4 + 0.32 * (max(ticks) - min(ticks) + 1)),
               ylim=(-0.03, 1.03))
        ax.set_xticks(list(ticks), list(ticks.values()))
        ax.yaxis.set_major_formatter(PercentFormatter(1))
        ax.grid(axis="y")
    axes[0].set_ylabel("valid plans")
    figure.supxlabel(f"{_span(table['train_examples'])} training examples a model, "
                     f"{_span(table['n'])} test mazes a point; bars: 95 % Wilson-score intervals",
                     fontsize=11)
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


def _span(numbers: pd.Series) -> str:
    """``30 000``, or lowest and highest where they differ."""
    low, high = (f"{number:,.0f}".replace(",", " ") for number in (numbers.min(), numbers.max()))
    return low if low == high else f"{low} to {high}"


@styled
def draw_losses(metrics: pd.DataFrame) -> Figure:
    """Cross entropy of trace and plan tokens, and learning speed, over one training.

    Args:
        metrics: the lines of ``metrics.jsonl``.
    """
    figure, ((ax,),) = new_figure(1, 1, (8, 4.2))
    lines = metrics.dropna(subset="plan_loss")
    for name, label, colour in (("trace_loss", "trace tokens", ORANGE),
                                ("plan_loss", "plan tokens", GREEN)):
        loss = lines[name].astype(float)
        if loss.notna().any():
            ax.plot(lines["step"], loss, color=colour, alpha=0.25)
            ax.plot(lines["step"], loss.rolling(10, min_periods=1).mean(), color=colour,
                    label=f"{label} (mean of 10 readings)")
    ax.set(xlabel="step", ylabel="cross entropy, nats a token", yscale="log")
    ax.legend()
    ax.grid(axis="y")
    return figure


@styled
def draw_rate(settings: TrainingConfig, examples: int) -> Figure:
    """The learning rate of Muon over the steps of one training on so many examples."""
    figure, ((ax,),) = new_figure(1, 1, (8, 3))
    steps = settings.epochs * (examples // settings.batch_size)
    shares = np.array([rate(step, steps, settings) for step in range(steps)])
    ax.plot(shares * settings.learning_rate, color=GREEN)
    ax.set(xlabel="step", ylabel="learning rate (Muon)", ylim=(0, None))
    ax.grid(axis="y")
    return figure


@styled
def draw_donor_check(corpus: Corpus) -> Figure:
    """How often a lent trace begins at the problem's own start, against chance.

    Chance is how often the starts of two examples drawn at random agree.
    """
    starts = corpus.mazes.starts
    cells = starts[:, 0].astype(int) * 1000 + starts[:, 1]
    _, counts = np.unique(cells, return_counts=True)
    n = len(cells)
    shares = {"own trace": 1.0, "lent trace": float((cells[corpus.donors] == cells).mean()),
              "chance": float((counts * (counts - 1)).sum() / (n * (n - 1)))}
    figure, ((ax,),) = new_figure(1, 1, (7, 2.6))
    bars = ax.barh(list(shares), list(shares.values()),
                   color=[CONDITION_COLOURS["correct"], CONDITION_COLOURS["swapped"], "#7a7a7a"])
    ax.bar_label(bars, [f"{share:.1%}" for share in shares.values()], padding=4)
    ax.set(xlabel=f"traces that begin at the problem's start (n = {n})", xlim=(0, 1.12))
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    ax.invert_yaxis()
    return figure


@styled
def draw_coupling(table: pd.DataFrame) -> Figure:
    """How plan and trace validity go together: shares of the four combinations.

    Args:
        table: as `evaluation.coupling` gives it.
    """
    kinds = {"both_valid": ("both valid", "#009e73"),
             "only_plan_valid": ("only the plan valid", "#56b4e9"),
             "only_trace_valid": ("only the trace valid", "#e69f00"),
             "neither_valid": ("neither valid", "#c9ced3")}
    conditions = list(table["condition"].unique())
    columns = max(1, len(conditions))
    figure, (axes,) = new_figure(1, columns, (6 * columns, 4.4), sharey=True)
    if not conditions:
        axes[0].set(title="No condition with traces", xticks=[], yticks=[])
        return figure
    for ax, condition in zip(axes, conditions, strict=True):
        part = table[table["condition"] == condition]
        left = np.zeros(len(part))
        labels = _cell_labels(part)
        for name, (label, colour) in kinds.items():
            share = (part[name] / part["n"]).to_numpy(float)
            ax.barh(labels, share, left=left, color=colour, label=label, edgecolor="white")
            left += share
        ax.set(title=CONDITION_NAMES[condition], xlabel="responses", xlim=(0, 1))
        ax.xaxis.set_major_formatter(PercentFormatter(1))
    axes[0].invert_yaxis()  # once: all share it
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def _cell_labels(table: pd.DataFrame) -> Iterable[str]:
    several = table["seed"].nunique() > 1
    return [f"{GENERATOR_NAMES[name]}{f', seed {seed}' if several else ''} (n = {n})"
            for name, seed, n in table[["distribution", "seed", "n"]].itertuples(index=False)]
