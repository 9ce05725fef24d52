"""The regime map: what several runs found, each on a grid of its own, side by side.

Its runs are those of the scales ``regime_*``; nothing is computed anew, all numbers are read
from what the runs have written.
"""

import json
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from helpers.engine.files import atomic
from helpers.evaluation import CELL, percent_table, rate_interval
from helpers.show.charts import draw_regime
from helpers.study.scale import PROJECT, SCALES
from helpers.study.steps import write_svg

READ = ("headline.csv", "comparisons.csv", "corpus.csv", "learning_curves.csv", "run.json")
RATES = ("plan_valid", "trace_valid")
GRID = ["scale", "rows", "cols"]
COLUMNS = [*GRID, *CELL, "n",
           *(rate + end for rate in RATES for end in ("", "_low", "_high")),
           "train_examples", "train_tokens", "train_response_tokens",
           "share_of_problems_trained_on"]


class RegimeError(Exception):
    """Runs that are not there; the message names them."""


class Regime(NamedTuple):
    """The map, smallest grid first in each table."""

    cells: pd.DataFrame  # a row a grid, condition, seed and distribution, with `COLUMNS`
    comparisons: pd.DataFrame  # `evaluation.comparisons` of each run, behind its `GRID`
    runs: dict[str, dict]  # the run.json of each run


def names(folder: Path = SCALES) -> list[str]:
    """The scales of the map."""
    return sorted(path.stem for path in folder.glob("regime_*.yml"))


def load(root: str | Path = "") -> Regime:
    """The map made from the runs in ``root``, or as published where that is empty."""
    if root:
        return gather(root, names())
    folder = PROJECT / "results" / "regime"
    return Regime(pd.read_csv(folder / "regime.csv"), pd.read_csv(folder / "comparisons.csv"),
                  json.loads((folder / "runs.json").read_text(encoding="utf-8")))


def gather(root: str | Path, scales: list[str]) -> Regime:
    """Reads finished runs.

    Rates are between 0 and 1, with 95 % Wilson-score intervals (trace_valid is empty where
    there are no traces). Examples and tokens are those trained on, with every epoch;
    train_tokens counts prompts too, train_response_tokens only what the loss falls on. The
    share is of all problems of the training distribution.

    Args:
        root: the folder the runs lie in, seen from the project's.
        scales: their names.

    Raises:
        RegimeError: some of the runs have not come to their end.
    """
    root = Path(PROJECT, root)
    folders = {name: root / name for name in scales}
    missing = [name for name, folder in folders.items()
               if not all((folder / file).exists() for file in READ)]
    if missing or not scales:
        raise RegimeError(f"regime: {root.resolve()} lacks finished runs of "
                          f"{', '.join(missing) or 'any regime scale'}; `make regime` makes them")
    runs = {name: json.loads((folder / "run.json").read_text(encoding="utf-8"))
            for name, folder in folders.items()}
    cells = {name: _cells(folder) for name, folder in folders.items()}
    comparisons = {name: pd.read_csv(folder / "comparisons.csv")
                   for name, folder in folders.items()}
    return Regime(_side_by_side(cells, runs)[COLUMNS], _side_by_side(comparisons, runs), runs)


def _side_by_side(tables: dict[str, pd.DataFrame], runs: dict[str, dict]) -> pd.DataFrame:
    """A table of each run under the next, by size of the grid, which stands in front."""
    parts = []
    for name, table in tables.items():
        scale = runs[name]["scale"]
        for i, value in enumerate((name, scale["rows"], scale["cols"])):
            table.insert(i, GRID[i], value)
        parts.append(table)
    return pd.concat(parts).sort_values(["rows", "cols"], kind="stable", ignore_index=True)


def _cells(folder: Path) -> pd.DataFrame:
    """The rows of one run, without its grid."""
    table = pd.read_csv(folder / "headline.csv")
    table[["trace_valid_low", "trace_valid_high"]] = list(
        map(rate_interval, table["trace_valid"], table["n"]))
    # the last validation is at the end of training
    trained = pd.read_csv(folder / "learning_curves.csv").groupby(CELL[:2], as_index=False).last()
    trained = trained[[*CELL[:2], "examples", "tokens", "response_tokens"]].rename(
        columns=lambda name: name if name in CELL else f"train_{name}")
    corpus = pd.read_csv(folder / "corpus.csv").set_index("corpus")
    return table.merge(trained, on=CELL[:2], validate="many_to_one").assign(
        share_of_problems_trained_on=corpus.at["train", "share_of_problems_trained_on"])


def write(found: Regime, target: Path) -> list[str]:
    """Writes tables, figure and descriptions to a folder; returns the names of the files."""
    figure = draw_regime(found.cells)  # before anything is written: it may fail
    target.mkdir(parents=True, exist_ok=True)
    for name, table in (("regime.csv", found.cells), ("comparisons.csv", found.comparisons)):
        with atomic(target / name, "w") as file:
            table.to_csv(file, index=False)
    with atomic(target / "runs.json", "w") as file:
        json.dump(found.runs, file, indent=1)
    write_svg(figure, target / "regime.svg")
    return ["regime.csv", "comparisons.csv", "regime.svg", "runs.json"]


# ── for people ──────────────────────────────────────────────────────────────────────────


def grids(table: pd.DataFrame) -> pd.Series:
    """``6×6`` for each row."""
    return table["rows"].astype(str) + "×" + table["cols"].astype(str)


def rates_by_grid(cells: pd.DataFrame, rate: str = "plan_valid") -> pd.DataFrame:
    """A rate in per cent [95 % interval], a column a grid."""
    shown = {name: percent_table(part.assign(distribution=grids(part)), rate).rename_axis(
        columns="grid") for name, part in cells.groupby("distribution", sort=False)}
    return pd.concat(shown, names=["distribution"])


def leads_by_grid(comparisons: pd.DataFrame) -> pd.DataFrame:
    """By how many points b is ahead of a, with McNemar's p, a column a grid, seeds together."""
    texts = [f"{100 * lead:+.1f} (p = {p:.0e})"
             for lead, p in zip(comparisons["b_minus_a"], comparisons["p"], strict=True)]
    shown = comparisons.assign(grid=grids(comparisons), text=texts)
    wide = shown.set_index(["distribution", "a", "b", "seed", "grid"])["text"].unstack(sort=False)
    return pd.concat(part for _, part in wide.groupby(level=["distribution", "a", "b"], sort=False))


def trained_on(cells: pd.DataFrame) -> pd.DataFrame:
    """What a model of the first seed was trained on: examples, tokens, share of all problems."""
    shown = cells.assign(grid=grids(cells))
    return shown.groupby(["grid", "condition"], sort=False)[COLUMNS[-4:]].first()
