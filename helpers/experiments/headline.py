"""Does it matter for the plan whose trace a model learnt to write?

The study's first table: each condition and seed of a scale, asked each distribution. Its tables
lie at the top of a run's folder. ``seeds`` asks the same of models of further seeds, which all
experiments show once they are there.
"""

from collections.abc import Callable

import pandas as pd

from helpers import evaluation
from helpers.differences import differences
from helpers.study import steps
from helpers.study.runs import Run
from helpers.study.scale import Scale
from helpers.study.specs import (
    EvaluationSpec,
    Experiment,
    every,
    models_of,
    with_further_seeds,
)


def analyse(run: Run, evaluations: list[EvaluationSpec]) -> dict[str, pd.DataFrame]:
    """The tables of the headline, from judged answers and learning curves."""
    rows = steps.all_rows(run, evaluations)
    models = dict.fromkeys(one.model for one in evaluations)
    return {"headline": evaluation.headline(rows), "comparisons": evaluation.comparisons(rows),
            "differences": differences(rows, ("plan_valid", "trace_valid")),
            "coupling": evaluation.coupling(rows),
            "published_coupling": evaluation.published_coupling(rows),
            "errors": evaluation.errors(rows),
            "learning_curves": steps.all_curves(run, models).drop(columns="variation")}


def summary(run: Run) -> str:
    """The headline table beside the published numbers."""
    table = pd.read_csv(run.file("headline.csv"))
    lines = [f"Plan validity, per cent [95 % interval], n = {table['n'].min()} mazes a cell",
             evaluation.percent_table(table).to_string(), ""]
    if table["trace_valid"].notna().any():
        lines += ["Trace validity, per cent [95 % interval], the same mazes",
                  evaluation.percent_table(table, "trace_valid").to_string(), ""]
    published = pd.DataFrame(evaluation.PUBLISHED).unstack(level=1).swaplevel(axis=1)
    return "\n".join([*lines, "Published plan validity (30x30, trained on Wilson mazes), per cent",
                      published.sort_index(axis=1).to_string()])


def of_further_seeds(scale: Scale) -> list[EvaluationSpec]:
    """The same of the seeds that follow on the scale's own."""
    return every(with_further_seeds(scale))


def _experiment(question: str, evaluations: Callable[[Scale], list[EvaluationSpec]]) -> Experiment:
    return Experiment(
        question=question, notebook="07_analysis", evaluations=evaluations, analyse=analyse,
        summary=summary,
        tables=("headline", "comparisons", "differences", "coupling", "published_coupling",
                "errors", "learning_curves"),
        figures=("headline", "learning_curves"), folder="",
        whole=lambda scale: models_of(with_further_seeds(scale)))


EXPERIMENTS = {
    "headline": _experiment(
        "Does it matter for the plan whose trace a model learnt to write?", every),
    "seeds": _experiment("And of models of other seeds?", of_further_seeds)}
