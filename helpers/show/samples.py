"""Figures of many mazes, traces or responses at once: table in, Figure out."""

from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.ticker import PercentFormatter
from scipy import stats

from helpers.corpus import Corpus, Segments
from helpers.language import FIRST_COORDINATE
from helpers.show.looks import (
    INK,
    Figure,
    look_of_condition,
    look_of_generator,
    new_figure,
    styled,
)
from helpers.show.words import listed, percent


@styled
def draw_properties(table: pd.DataFrame, columns: dict[str, str]) -> Figure:
    """How a few properties of mazes are distributed, a panel each, a box a generator.

    Args:
        table: a row a maze, ``generator`` and the columns to show.
        columns: column → axis label with its unit.
    """
    names = list(table["generator"].unique())
    looks = [look_of_generator(name) for name in names]
    counts = table["generator"].value_counts()
    figure, axes = new_figure(1, len(columns), (3.4 * len(columns) + 1.8, 0.46 * len(names) + 1.7),
                           sharey=True)
    medians = table.groupby("generator", sort=False)[list(columns)].median()
    for ax, (column, label) in zip(axes.flat, columns.items(), strict=True):
        values = [table.loc[table["generator"] == name, column].dropna() for name in names]
        boxes = ax.boxplot(values, orientation="horizontal", widths=0.62, whis=(5, 95),
                           showfliers=False, patch_artist=True,
                           medianprops={"color": INK, "lw": 2})
        for place, (box, look) in enumerate(zip(boxes["boxes"], looks, strict=True)):
            box.set_facecolor(look.colour)
            ax.plot(medians.at[names[place], column], place + 1, marker=look.marker, ms=8,
                    color="white", mec=INK, mew=1.3, ls="", zorder=4)
        ax.set_xlabel(label)
        ax.set_xlim(left=0)
        ax.tick_params(axis="y", length=0)
        ax.grid(axis="x")
        ax.set_axisbelow(True)
    axes[0, 0].set_yticks(range(1, len(names) + 1), [look.label for look in looks])
    axes[0, 0].invert_yaxis()
    many = f"{_n(counts.loc[names])} mazes a generator"
    figure.suptitle(f"{many} · box: quartiles, mark: median, whiskers: 5th to 95th percentile",
                    fontsize=11)
    figure.alt = ("Box plots of "
                  + listed(label.replace(" / ", " in ") for label in columns.values())
                  + f" by generator, {many}. Medians: "
                  + "; ".join(f"{look.label} " + listed([f"{medians.at[name, column]:.4g}"
                                                         for column in columns])
                              for name, look in zip(names, looks, strict=True)) + ".")
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
        for place, (name, values) in enumerate(counts.items()):
            look = look_of_generator(name)
            ax.step(rank, np.pad(values, (0, trees - len(values))), where="mid", lw=2.5,
                    color=look.colour, label=look.label, marker=look.marker, mec="white", ms=8,
                    markevery=(4 * place, max(1, trees // 8)))
        ax.plot(rank, chance, color=INK, ls=(0, (1, 1.2)), lw=2.2, label="equally likely trees")
        ax.set(xlabel=f"spanning tree (of {trees}, most frequent first)", xlim=(1, trees))
        ax.set_ylim(bottom=0)
    axes[0, 0].set(ylabel="times drawn", title="all draws")
    axes[0, 1].set(ylim=(0, 2 * n / trees), title="the same, below twice the mean")
    axes[0, 0].legend(title=f"n = {n:,} mazes each", alignment="left")
    figure.alt = (f"How often each of {trees} spanning trees was drawn, n = {n:,} mazes each. "
                  + "; ".join(f"{look_of_generator(name).label}: {np.count_nonzero(values)} trees, "
                              f"the most frequent {np.max(values)} times"
                              for name, values in counts.items())
                  + f"; equally likely trees: {n / trees:.4g} times each, but for chance.")
    return figure


@styled
def draw_first_errors(table: pd.DataFrame,
                      colour: str = look_of_condition("swapped").colour) -> Figure:
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
    figure.alt = (f"First broken rule of {len(table):,} traces. "
                  + "; ".join(f"{error}: {count:,}" for error, count in counts.items()) + ".")
    return figure


def _n(counts: pd.Series) -> str:
    """``n = 1,000``, or the span where groups differ."""
    low, high = int(counts.min()), int(counts.max())
    return f"n = {low:,}" if low == high else f"n = {low:,}–{high:,}"


@styled
def draw_starts(corpus: Corpus, traces: dict[str, Segments]) -> Figure:
    """How often traces begin at their problem's own start, against chance.

    Chance is how often the starts of two examples drawn at random agree.

    Args:
        traces: those of each condition that has some, by its name.
    """
    starts = corpus.mazes.starts.astype(int)
    _, counts = np.unique(starts @ [1000, 1], return_counts=True)
    n = len(starts)
    shares = {}
    for name, part in traces.items():
        first = part.tokens[part.begins[:, None] + [2, 3]].astype(int)  # behind `reasoning close`
        shares[name] = float((first - FIRST_COORDINATE == starts).all(1).mean())
    shares["chance"] = float((counts * (counts - 1)).sum() / (n * (n - 1)))
    figure, ((ax,),) = new_figure(1, 1, (7, 1.1 + 0.5 * len(shares)))
    bars = ax.barh(list(shares), list(shares.values()), edgecolor="white",
                   color=[look_of_condition(name).colour for name in shares])
    for bar, hatch in zip(bars, cycle(("", "//", "xx")), strict=False):
        bar.set_hatch(hatch)
    ax.bar_label(bars, [percent(share) for share in shares.values()], padding=4)
    ax.set(xlabel=f"traces that begin at the problem's start (n = {n})", xlim=(0, 1.12))
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    ax.invert_yaxis()
    figure.alt = (f"How often a trace begins at its problem's own start, n = {n}. "
                  + "; ".join(f"{name} {percent(share)}" for name, share in shares.items()) + ".")
    return figure
