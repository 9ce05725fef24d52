"""The regime map: what several runs found, each on a grid of its own, side by side.

Its runs are those of the scales ``regime_*``; nothing is computed anew, all numbers are read
from what the runs have written.
"""

import json
from pathlib import Path

import pandas as pd

from helpers.charts import draw_regime
from helpers.evaluation import CELL, interval
from helpers.files import atomic
from helpers.scale import PROJECT, SCALES
from helpers.steps import write_svg

READ = ("headline.csv", "corpus.csv", "learning_curves.csv", "run.json")
RATES = ("plan_valid", "trace_valid")
COLUMNS = ["scale", "rows", "cols", *CELL, "n",
           *(rate + end for rate in RATES for end in ("", "_low", "_high")),
           "train_examples", "train_tokens", "train_response_tokens",
           "share_of_problems_trained_on"]


class RegimeError(Exception):
    """Runs that are not there; the message names them."""


def names(folder: Path = SCALES) -> list[str]:
    """The scales of the map."""
    return sorted(path.stem for path in folder.glob("regime_*.yml"))


def load(root: str | Path = "") -> tuple[pd.DataFrame, dict[str, dict]]:
    """The map's table and the ``run.json`` of each run, as published or from ``root``."""
    if root:
        return gather(root, names())
    folder = PROJECT / "results" / "regime"
    return (pd.read_csv(folder / "regime.csv"),
            json.loads((folder / "runs.json").read_text(encoding="utf-8")))


def gather(root: str | Path, scales: list[str]) -> tuple[pd.DataFrame, dict[str, dict]]:
    """Reads finished runs.

    Args:
        root: the folder the runs lie in.
        scales: their names.

    Returns:
        A row a cell of each run, smallest grid first, with `COLUMNS`: rates between 0 and 1
        with their 95 % Wilson-score intervals (trace_valid is empty where there are no
        traces); examples and tokens as trained on, epochs and prompts included, and of
        those tokens the ones with a loss; the share of all problems of the training
        distribution that training covers. And the ``run.json`` of each run.

    Raises:
        RegimeError: some of the runs have not come to their end.
    """
    folders = {name: Path(root, name) for name in scales}
    missing = [name for name, folder in folders.items()
               if not all((folder / file).exists() for file in READ)]
    if missing or not scales:
        raise RegimeError(f"regime: {Path(root).resolve()} lacks finished runs of "
                          f"{', '.join(missing) or 'any regime scale'}; `make regime` makes them")
    about = {name: json.loads((folder / "run.json").read_text(encoding="utf-8"))
             for name, folder in folders.items()}
    table = pd.concat([_cells(folder, about[name]["scale"]) for name, folder in folders.items()])
    return table.sort_values(["rows", "cols"], kind="stable", ignore_index=True), about


def _cells(folder: Path, scale: dict) -> pd.DataFrame:
    """The rows of one run."""
    table = pd.read_csv(folder / "headline.csv")
    for rate in RATES:
        bounds = [interval(round(share * n), n) if pd.notna(share) else (None, None)
                  for share, n in zip(table[rate], table["n"], strict=True)]
        table[[f"{rate}_low", f"{rate}_high"]] = pd.DataFrame(bounds, dtype=float)
    # the last validation is at the end of training
    trained = pd.read_csv(folder / "learning_curves.csv").groupby(CELL[:2], as_index=False).last()
    trained = trained[[*CELL[:2], "examples", "tokens", "response_tokens"]].rename(
        columns=lambda name: name if name in CELL else f"train_{name}")
    corpus = pd.read_csv(folder / "corpus.csv").set_index("corpus")
    share = corpus.at["train", "share_of_problems_trained_on"]
    table = table.merge(trained, on=CELL[:2], validate="many_to_one")
    return table.assign(scale=scale["name"], rows=scale["rows"], cols=scale["cols"],
                        share_of_problems_trained_on=share)[COLUMNS]


def write(table: pd.DataFrame, about: dict[str, dict], target: Path) -> list[str]:
    """Writes table, figure and descriptions to a folder; returns the names of the files."""
    figure = draw_regime(table)  # before anything is written: it may fail
    target.mkdir(parents=True, exist_ok=True)
    with atomic(target / "regime.csv", "w") as file:
        table.to_csv(file, index=False)
    with atomic(target / "runs.json", "w") as file:
        json.dump(about, file, indent=1)
    write_svg(figure, target / "regime.svg")
    return ["regime.csv", "regime.svg", "runs.json"]
