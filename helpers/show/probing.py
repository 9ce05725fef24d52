"""Figures of the latents: what probes tell, and what plans fit when the stream is another's."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from helpers.show.looks import (
    BLUE,
    FAINT,
    INK,
    VERMILION,
    Figure,
    error_of,
    look_of_condition,
    look_of_seed,
    new_figure,
    nothing,
    percent_axis,
    styled,
)
from helpers.show.words import seeds_of, span, texts

CHANCE = 0.5
MODEL = ["condition", "variation", "seed"]


@styled
def draw_probes(table: pd.DataFrame) -> Figure:
    """How well probes tell each target, a panel a target and place, a line a model.

    Args:
        table: ``probes`` of the experiment. Bars are the table's own intervals; models that were
            not trained are drawn without marks.
    """
    table = table.assign(variation=texts(table["variation"]))
    at_places = table[table["place"] != "prompt"]
    places, targets = _order(at_places, "condition", "place"), _order(at_places, "place", "target")
    figure, axes = new_figure(max(len(targets), 1), max(len(places), 1),
                              (3.6 * max(len(places), 1), 2.9 * max(len(targets), 1) + 0.8),
                              sharex=True, sharey=True)
    for row, target in zip(axes, targets, strict=False):
        drawn = []
        for ax, place in zip(row, places, strict=False):
            cell = at_places[(at_places["target"] == target) & (at_places["place"] == place)]
            if cell.empty:
                ax.set_axis_off()
                continue
            _lines(ax, cell, table[(table["place"] == "prompt") & (table["target"] == target)])
            ax.set_title(f"{target}, at {place}")
            drawn.append(ax)
        drawn[0].set_ylabel("AUROC")
    if not table["auroc"].notna().any():
        nothing(axes[0][0])
        return figure
    for ax in axes[-1]:
        ax.set_xlabel("state (blocks passed)")
    _legend(figure, table)
    best = table[table["features"] == "model"].dropna(subset="auroc")
    figure.alt = (f"How well linear probes tell wall, open list and plan, {seeds_of(table)}, "
                  f"n = {span(table['n'])} test mazes. At the last state: " + " ".join(
                      f"{target} at {place}: " + ", ".join(
                          f"{row.condition}{_gaps(row.variation)} {row.auroc:.2f}"
                          for row in part[part["state"] == part["state"].max()].itertuples()) + "."
                      for (target, place), part in best.groupby(["target", "place"], sort=False)))
    return figure


def _order(table: pd.DataFrame, by: str, name: str) -> list[str]:
    """The values of a column, in the order in which they come where most of them do."""
    return max((list(part[name].unique()) for _, part in table.groupby(by)), key=len, default=[])


def _lines(ax: Axes, cell: pd.DataFrame, prompt: pd.DataFrame) -> None:
    seeds = sorted(cell["seed"].unique())
    for (condition, variation, seed), part in cell.groupby(MODEL, sort=False):
        look = look_of_condition(condition)
        for features, style in (("untrained", {"lw": 1, "alpha": 0.6}),
                                ("model", {"lw": 1.8, "marker": look.marker, "ms": 6,
                                           **look_of_seed(seeds.index(seed))})):
            one = part[part["features"] == features].sort_values("state")
            ax.errorbar(one["state"].to_numpy(float), one["auroc"].to_numpy(float),
                        error_of(one, "auroc"), capsize=2, elinewidth=1, color=look.colour,
                        ls="-." if variation else look.line, **style)
        shuffled = part[part["features"] == "shuffled"]
        ax.plot(shuffled["state"].to_numpy(float), shuffled["auroc"].to_numpy(float), ls="",
                marker="x", ms=6, color=look.colour)
    for condition, one in prompt.dropna(subset="auroc").groupby("condition", sort=False):
        ax.axhline(float(one["auroc"].mean()), color=look_of_condition(condition).colour, lw=1,
                   ls=(0, (6, 3)))
    ax.axhline(CHANCE, color=FAINT, zorder=0)
    ax.set_ylim(0.4, 1.03)
    ax.set_xticks(sorted(cell["state"].dropna().astype(int).unique()))
    ax.grid(axis="y")


def _legend(figure: Figure, table: pd.DataFrame) -> None:
    looks = [look_of_condition(name) for name in table["condition"].unique()]
    handles = [Line2D([], [], color=look.colour, marker=look.marker, ms=6, ls=look.line,
                      label=look.label) for look in looks]
    handles += [Line2D([], [], color=INK, lw=1, alpha=0.6, label="untrained"),
                Line2D([], [], color=INK, lw=1, ls=(0, (6, 3)), label="from the prompt"),
                Line2D([], [], color=INK, marker="x", ms=6, ls="", label="shuffled answers")]
    if (table["variation"] != "").any():
        handles.append(Line2D([], [], color=INK, ls="-.", label="trained with gaps"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4, handlelength=3,
                  title=f"n = {span(table['n'])} test mazes; bars: 95 % intervals")


@styled
def draw_patches(table: pd.DataFrame) -> Figure:
    """What the plan fits when the stream at ``solution`` is another maze's, a column a model.

    Args:
        table: ``patches`` of the experiment. Bars are the table's own intervals.
    """
    table = table.assign(variation=texts(table["variation"]))
    models = list(table.groupby(MODEL, sort=False))
    figure, axes = new_figure(2, max(len(models), 1), (3.4 * max(len(models), 2), 6.2),
                              sharex=True, sharey=True)
    kinds = (("fits_own", "its own maze", BLUE, "o", "-"),
             ("fits_other", "the other maze", VERMILION, "s", "--"))
    for column, ((condition, variation, seed), part) in enumerate(models):
        plain, moved = part[part["state"].isna()], part[part["state"].notna()]
        last = moved[moved["later"] & (moved["state"] == moved["state"].max())]
        for row, later in enumerate((False, True)):
            ax = axes[row][column]
            # at the last state there are no later ones: both ways are one
            one = moved[moved["later"]] if later else pd.concat([moved[~moved["later"]], last])
            for name, _, colour, marker, line in kinds:
                ax.errorbar(one["state"].to_numpy(float), one[name].to_numpy(float),
                            error_of(one, name), color=colour, marker=marker, ls=line, ms=6,
                            lw=1.8, capsize=3)
            ax.axhline(float(plain["fits_own"].iloc[0]), color=INK, lw=1, ls=(0, (6, 3)))
            ax.set_xticks(sorted(one["state"].astype(int)))
            percent_axis(ax)
        axes[0][column].set_title(f"{condition}{_gaps(variation)}, seed {seed}")
        axes[1][column].set_xlabel("state that is the other maze's")
    if not models:
        nothing(axes[0][0])
        return figure
    axes[0][0].set_ylabel("valid plans,\nthis state alone")
    axes[1][0].set_ylabel("valid plans,\nthis and all later states")
    handles = [Line2D([], [], color=colour, marker=marker, ls=line, ms=6, label=f"valid in {label}")
               for _, label, colour, marker, line in kinds]
    handles.append(Line2D([], [], color=INK, lw=1, ls=(0, (6, 3)), label="untouched, own maze"))
    figure.legend(handles=handles, loc="outside lower center", ncols=3, handlelength=3,
                  title=f"n = {span(table['n'])} test mazes a point; bars: 95 % intervals")
    everything = table[table["later"] & (table["state"] == 0)]
    figure.alt = (f"What the plan fits when the stream at solution is another maze's, "
                  f"{seeds_of(table)}, n = {span(table['n'])} test mazes a point. With all states "
                  "the other maze's: " + "; ".join(
                      f"{row.condition}{_gaps(row.variation)} own {row.fits_own:.2f}, other "
                      f"{row.fits_other:.2f}" for row in everything.itertuples()) + ".")
    return figure


def told(table: pd.DataFrame, target: str) -> pd.DataFrame:
    """AUROC [95 % interval] of one target, a column a place and state."""
    table = table[(table["target"] == target) & table["auroc"].notna()]
    table = table.assign(variation=texts(table["variation"]))
    said = [f"{one:.2f} [{low:.2f}, {high:.2f}]" for one, low, high in
             table[["auroc", "auroc_low", "auroc_high"]].itertuples(index=False)]
    states = ["" if np.isnan(number) else f"state {number:.0f}"
              for number in table["state"].astype(float)]
    table = table.assign(text=said, state=states)
    wide = table.pivot(index=[*MODEL, "features"], columns=["place", "state"], values="text")
    places = [*_order(table[table["place"] != "prompt"], "condition", "place"), "prompt"]
    return wide[[(place, state) for place in places
                 for state in table["state"][table["place"] == place].unique()]].fillna("")


def _gaps(variation: str) -> str:
    return " with gaps" if variation else ""
