"""Does the order of the conditions hang on the weight of plan tokens in the loss?

A trace is about four times as long as a plan. With weight 1, as in the headline, trace and plan
are learnt in proportion to their length; with 4 the plan counts about as much as the trace.
All else is equal, and the models of weight 1 are those of the headline.
"""

import pandas as pd

from helpers import evaluation
from helpers.conditions import CONDITIONS
from helpers.differences import differences, named
from helpers.study import steps
from helpers.study.runs import Run
from helpers.study.scale import Scale
from helpers.study.specs import EvaluationSpec, Experiment, every

WEIGHTS = (1.0, 4.0)


def evaluations(scale: Scale) -> list[EvaluationSpec]:
    """Conditions with a trace under each weight; to one without, the weight means nothing."""
    return [one for one in every(scale, *((("plan_weight", weight),) for weight in WEIGHTS))
            if not one.model.variation or one.model.has_trace]


def analyse(run: Run, evaluations: list[EvaluationSpec]) -> dict[str, pd.DataFrame]:
    """Rates, comparisons and differences of each weight; what the weight does to a condition."""
    weights = {run.scale_of(one.model).training.plan_weight for one in evaluations}
    made: dict[str, list] = {"rates": [], "comparisons": [], "effects": []}
    weighed = []
    for weight in sorted(weights):
        rows = steps.all_rows(run, [
            one for one in evaluations if not one.model.has_trace
            or run.scale_of(one.model).training.plan_weight == weight])
        for name, table in (("rates", evaluation.headline(rows)),
                            ("comparisons", evaluation.comparisons(rows))):
            table.insert(0, "plan_weight", weight)
            made[name].append(table)
        made["effects"].append(named(differences(rows), _with(weight)))
        weighed.append(rows.assign(weight=_with(weight)))
    for condition, rows in pd.concat(weighed).groupby("condition", sort=False):
        if CONDITIONS[condition].has_trace:
            made["effects"].append(named(differences(rows, arm="weight"), condition))
    return {name: pd.concat(parts, ignore_index=True) for name, parts in made.items()}


def _with(weight: float) -> str:
    return f"plan weight {weight:g}"


def rates_by_weight(rates: pd.DataFrame, rate: str = "plan_valid") -> pd.DataFrame:
    """A rate in per cent [95 % interval], weights one below the other."""
    shown = {weight: evaluation.percent_table(part, rate)
             for weight, part in rates.groupby("plan_weight")}
    return pd.concat(shown, names=["plan_weight"])


def summary(run: Run) -> str:
    """Plan validity by weight."""
    return rates_by_weight(pd.read_csv(run.file("plan_weight", "rates.csv"))).to_string()


EXPERIMENT = Experiment(
    question="Does the order of the conditions hang on the weight of plan tokens in the loss?",
    notebook="09_plan_weight", evaluations=evaluations, analyse=analyse,
    summary=summary, tables=("rates", "comparisons", "effects"), figures=("plan_weight",),
    folder="plan_weight")
