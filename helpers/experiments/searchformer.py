"""Is it the same for models that are trained on Searchformer-style mazes?

The headline's conditions, learnt anew from mazes with loops and walls at random, and asked the
same test mazes. Their prompts differ in length as those of perfect mazes do not, so positions are
loose from the start; ``searchformer_gaps`` loosens them further.
"""

from collections.abc import Callable

import pandas as pd

from helpers import evaluation
from helpers.differences import differences
from helpers.experiments.position import RANDOM, WITH_GAPS
from helpers.study import steps
from helpers.study.runs import Run
from helpers.study.scale import Scale
from helpers.study.specs import EvaluationSpec, Experiment, every

TRAINED_ON = (("trained_on", "searchformer"),)
# Plan validity in the paper's v3, models trained on Searchformer-style mazes, per cent
PUBLISHED = {"v3": {("correct", "searchformer"): 56.2, ("swapped", "searchformer"): 89.1,
                    ("correct", "drunkards_walk"): 62.1, ("swapped", "drunkards_walk"): 95.4}}


def evaluations(scale: Scale) -> list[EvaluationSpec]:
    """All conditions and seeds, trained on these mazes, asked what the headline is asked."""
    return every(scale, TRAINED_ON)


def with_gaps(scale: Scale) -> list[EvaluationSpec]:
    """The same, without and with gaps in training."""
    return every(scale, TRAINED_ON, (*TRAINED_ON, *RANDOM))


def analyse(run: Run, evaluations: list[EvaluationSpec]) -> dict[str, pd.DataFrame]:
    """The headline's tables, those of models with gaps below."""
    made: dict[str, list[pd.DataFrame]] = {}
    for gap, asked in _by_gap(evaluations).items():
        rows = steps.all_rows(run, asked)
        arms = rows.assign(arm=rows["condition"] + WITH_GAPS * (gap != "none"))
        for name, table in (
                ("rates", evaluation.headline(rows)), ("coupling", evaluation.coupling(rows)),
                ("differences", differences(arms, ("plan_valid", "trace_valid"), arm="arm"))):
            made.setdefault(name, []).append(table if name == "differences" else
                                             table.assign(trained_gap=gap))
    return {name: pd.concat(tables, ignore_index=True) for name, tables in made.items()}


def _by_gap(evaluations: list[EvaluationSpec]) -> dict[str, list[EvaluationSpec]]:
    found: dict[str, list[EvaluationSpec]] = {}
    for one in evaluations:
        found.setdefault(dict(one.model.variation).get("gap", "none"), []).append(one)
    return found


# ── for people ──────────────────────────────────────────────────────────────────────────


def rates_by_gap(rates: pd.DataFrame, rate: str = "plan_valid") -> pd.DataFrame:
    """A rate in per cent [95 % interval], models with gaps below."""
    shown = {gap: evaluation.percent_table(part, rate)
             for gap, part in rates.groupby("trained_gap", sort=False)}
    return pd.concat(shown, names=["gap in training"])


def summary(run: Run) -> str:
    """Plan validity of the models made."""
    return rates_by_gap(pd.read_csv(run.file("searchformer", "rates.csv"))).to_string()


def _experiment(question: str, evaluations: Callable[[Scale], list[EvaluationSpec]]) -> Experiment:
    return Experiment(
        question=question, notebook="21_searchformer", evaluations=evaluations, analyse=analyse,
        summary=summary, tables=("rates", "differences", "coupling"), figures=("searchformer",),
        folder="searchformer", gathers=with_gaps)


EXPERIMENTS = {
    "searchformer": _experiment(
        "Is it the same for models trained on Searchformer-style mazes?", evaluations),
    "searchformer_gaps": _experiment("And with gaps in training?", with_gaps)}
