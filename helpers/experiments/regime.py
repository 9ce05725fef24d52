"""At which size of the grid does a trace matter?

The conditions of a scale on its own grid and on smaller and larger ones, after equally many
examples, half as many as the scale's; each grid is learnt anew. The largest takes as long as all
others together and is a part of its own, ``regime_large``; the tables show it once it is there.
"""

from collections.abc import Callable

import pandas as pd

from helpers import evaluation
from helpers.differences import differences, named
from helpers.study import steps
from helpers.study.runs import Run
from helpers.study.scale import Scale
from helpers.study.specs import EvaluationSpec, Experiment, every

LARGER, LARGEST = (-2, 0, 2), (-2, 0, 2, 4)  # by so many cells both ways
SMALLEST = 4  # cells a side, below which hardly any maze is left


def evaluations(scale: Scale) -> list[EvaluationSpec]:
    """All conditions and seeds on each grid."""
    return _on(scale, LARGER)


def with_largest(scale: Scale) -> list[EvaluationSpec]:
    """The same, and on the largest."""
    return _on(scale, LARGEST)


def _on(scale: Scale, larger: tuple[int, ...]) -> list[EvaluationSpec]:
    examples = scale.train_examples // 2
    sizes = [(scale.rows + more, scale.cols + more) for more in larger
             if min(scale.rows, scale.cols) + more >= SMALLEST]
    return every(scale, *((("rows", rows), ("cols", cols), ("train_examples", examples))
                          for rows, cols in sizes), distributions=in_and_out(scale))


def in_and_out(scale: Scale) -> tuple[str, ...]:
    """The kind of maze trained on, and one that has loops, where the scale has it."""
    other = "drunkards_walk"
    return (scale.trained_on, *({other} & set(scale.distributions) - {scale.trained_on}))


def analyse(run: Run, evaluations: list[EvaluationSpec]) -> dict[str, pd.DataFrame]:
    """Rates and differences of each grid, smallest first; what each model was trained on."""
    rates, comparisons, trained, effects = [], [], [], []
    by_grid: dict[tuple[int, int], list[EvaluationSpec]] = {}
    for one in evaluations:
        scale = run.scale_of(one.model)
        by_grid.setdefault((scale.rows, scale.cols), []).append(one)
    for (rows, cols), asked in sorted(by_grid.items()):
        judged = steps.all_rows(run, asked)
        models = dict.fromkeys(one.model for one in asked)
        curves = steps.all_curves(run, models)  # whose last point is the whole training
        seen = curves.groupby(evaluation.CELL[:2], sort=False, as_index=False).last()
        for tables, table in ((rates, evaluation.headline(judged)),
                              (comparisons, evaluation.comparisons(judged)),
                              (trained, seen[[*evaluation.CELL[:2], "examples", "tokens",
                                              "response_tokens", "seconds"]])):
            examples = run.scale_of(asked[0].model).train_examples
            for place, (name, value) in enumerate((("rows", rows), ("cols", cols),
                                                   ("train_examples", examples))):
                table.insert(place, name, value)
            tables.append(table)
        effects.append(named(differences(judged), f"on {rows}×{cols}"))
    return {"regime": pd.concat(rates, ignore_index=True),
            "comparisons": pd.concat(comparisons, ignore_index=True),
            "effects": pd.concat(effects, ignore_index=True),
            "trained_on": pd.concat(trained, ignore_index=True)}


# ── for people ──────────────────────────────────────────────────────────────────────────


def grids(table: pd.DataFrame) -> pd.Series:
    """``6×6`` for each row."""
    return table["rows"].astype(str) + "×" + table["cols"].astype(str)


def rates_by_grid(cells: pd.DataFrame, rate: str = "plan_valid") -> pd.DataFrame:
    """A rate in per cent [95 % interval], a column a grid."""
    shown = {name: evaluation.percent_table(part.assign(distribution=grids(part)), rate
                                            ).rename_axis(columns="grid")
             for name, part in cells.groupby("distribution", sort=False)}
    return pd.concat(shown, names=["distribution"])


def leads_by_grid(comparisons: pd.DataFrame) -> pd.DataFrame:
    """By how many points b is ahead of a, with its p, a column a grid, seeds together."""
    texts = [f"{100 * lead:+.1f} (p = {p:.0e})"
             for lead, p in zip(comparisons["b_minus_a"], comparisons["p"], strict=True)]
    shown = comparisons.assign(grid=grids(comparisons), text=texts)
    wide = shown.set_index(["distribution", "a", "b", "seed", "grid"])["text"].unstack(sort=False)
    return pd.concat(part for _, part in wide.groupby(level=["distribution", "a", "b"], sort=False))


def summary(run: Run) -> str:
    """Plan validity by grid."""
    return rates_by_grid(pd.read_csv(run.file("regime", "regime.csv"))).to_string()


def _experiment(question: str, evaluations: Callable[[Scale], list[EvaluationSpec]]) -> Experiment:
    return Experiment(
        question=question, notebook="08_regime", evaluations=evaluations, analyse=analyse,
        summary=summary, tables=("regime", "comparisons", "effects", "trained_on"),
        figures=("regime",), folder="regime", gathers=with_largest)


EXPERIMENTS = {
    "regime": _experiment("At which size of the grid does a trace matter?", evaluations),
    "regime_large": _experiment("And on a grid that is larger still?", with_largest)}
