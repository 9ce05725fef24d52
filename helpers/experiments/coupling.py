"""How closely are plan and trace coupled? By whose verdict, at which length, and where it breaks.

Of models with traces, without and with gaps in training (`position`), asked what the headline
asks. The paper's claim is about long problems, so trace validity among valid plans stands here by
the length of A*'s own trace; and its verdict of a trace asks for the plan's length as well, so the
same answers are judged without that.
"""

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from helpers import evaluation, published, resampling
from helpers.differences import COLUMNS
from helpers.experiments.position import RANDOM
from helpers.responses import written_traces
from helpers.study import asking, steps
from helpers.study.runs import Run
from helpers.study.scale import Scale
from helpers.study.specs import EvaluationSpec, Experiment, every

VERDICTS = {"valid": "ours", "published": "published",
            "alone": "published, the plan's length not asked"}
CELL = ["condition", "seed", "trained_gap", "distribution"]
BINS = 10  # of the problems' length, at most
FEW = 20  # valid traces, and invalid ones, below which there is no curve
CURVE = 41  # points of one
TENTHS = np.arange(1, 11) / 10  # of a trace


def evaluations(scale: Scale) -> list[EvaluationSpec]:
    """The headline's conditions with a trace, asked what the scale asks."""
    return [one for one in every(scale) if one.model.has_trace]


def with_gaps(scale: Scale) -> list[EvaluationSpec]:
    """The same, trained with gaps; `position` asks them."""
    return [one for one in every(scale, RANDOM) if one.model.has_trace]


def analyse(run: Run, evaluations: list[EvaluationSpec]) -> dict[str, pd.DataFrame]:
    """The four combinations by each verdict, the share by length, where traces break; effects."""
    rows = pd.concat([judged(run, one) for one in evaluations], ignore_index=True)
    return {"verdicts": verdicts(rows), "by_length": by_length(rows), "curves": curves(rows),
            "breaks": breaks(rows), "places": places(rows), "effects": effects(rows)}


def judged(run: Run, one: EvaluationSpec) -> pd.DataFrame:
    """Answers as `steps.all_rows` has them, and their traces judged without their plans.

    ``trace_alone`` is the published verdict of what stands before ``solution``; ``plan_alone`` is
    the published one of the plan. ``trained_gap`` says whether training had gaps.
    """
    rows = steps.all_rows(run, [one])
    mazes = run.load(run.corpus("test", one.distribution, run.scale_of(one.model)))
    traces = written_traces(mazes, asking.written(run, one))
    ends = np.cumsum([len(trace) for trace in traces])
    spans = np.stack([np.append(0, ends[:-1]), ends], axis=1)
    alone = published.judge_ids(mazes.mazes, np.concatenate(traces), spans)[:, 1]
    gap = dict(one.model.variation).get("gap", "none")
    return rows.astype({"trace_valid": bool, "trace_published": bool}).assign(
        plan_alone=rows["plan_published"], trace_alone=alone, trained_gap=gap)


# ── tables ──────────────────────────────────────────────────────────────────────────────


def verdicts(rows: pd.DataFrame) -> pd.DataFrame:
    """`evaluation.coupling` by each of `VERDICTS`, one below the other."""
    parts = []
    for gap, part in rows.groupby("trained_gap", sort=False):
        for level, name in VERDICTS.items():
            table = evaluation.coupling(part, level)
            valid = table["both_valid"] + table["only_plan_valid"]
            table.insert(2, "trained_gap", gap)
            table.insert(4, "verdict", name)
            table["trace_valid_given_plan_valid"] = table["both_valid"] / valid.where(valid > 0)
            parts.append(table)
    return pd.concat(parts, ignore_index=True)


def by_length(rows: pd.DataFrame) -> pd.DataFrame:
    """Trace validity among valid plans, by tokens of A*'s own trace.

    Returns:
        A row a cell and bin that has valid plans: above and up_to (tokens), n (valid plans),
        trace_valid with its interval, trace_published.
    """
    longest = rows["own_trace_tokens"].max()
    edges = MaxNLocator(BINS, steps=[1, 2, 2.5, 5, 10]).tick_values(0, longest)
    table = []
    for cell, valid in rows[rows["plan_valid"]].groupby(CELL, sort=False):
        for length, part in valid.groupby(pd.cut(valid["own_trace_tokens"], edges), observed=True):
            table.append([*cell, length.left, length.right, len(part), part["trace_valid"].mean(),
                          *evaluation.grid_interval(part["trace_valid"], part["grid"]),
                          part["trace_published"].mean()])
    return pd.DataFrame(table, columns=[*CELL, "above", "up_to", "n", "trace_valid",
                                        "trace_valid_low", "trace_valid_high", "trace_published"])


def curves(rows: pd.DataFrame) -> pd.DataFrame:
    """The same as a smooth curve, of each cell with `FEW` valid and invalid traces or more."""
    parts = []
    for cell, part in rows[rows["plan_valid"]].groupby(CELL, sort=False):
        counts = part["trace_valid"].value_counts().reindex([False, True], fill_value=0)
        if counts.min() >= FEW and part["own_trace_tokens"].nunique() >= FEW:
            parts.append(curve(part).assign(**dict(zip(CELL, cell, strict=True))))
    names = [*CELL, "tokens", "trace_valid", "trace_valid_low", "trace_valid_high", "n"]
    return pd.concat(parts, ignore_index=True)[names] if parts else pd.DataFrame(columns=names)


def curve(rows: pd.DataFrame) -> pd.DataFrame:
    """A logistic regression on a natural cubic spline of the tokens of A*'s trace.

    Its 95 % interval takes grids as wholes (a sandwich variance, clusters are grids). The longest
    and shortest hundredth of the problems are left out: nothing holds the curve there.
    """
    import statsmodels.api as sm  # seconds, only here
    import statsmodels.formula.api as smf
    data = pd.DataFrame({"valid": rows["trace_valid"].astype(float), "grid": rows["grid"],
                         "tokens": rows["own_trace_tokens"].astype(float)})
    fit = smf.glm("valid ~ cr(tokens, df=3, constraints='center')", data,
                  family=sm.families.Binomial()).fit(
                      cov_type="cluster", cov_kwds={"groups": data["grid"].to_numpy()})
    tokens = np.linspace(*data["tokens"].quantile([0.01, 0.99]), CURVE)
    band = fit.get_prediction(pd.DataFrame({"tokens": tokens})).summary_frame()
    return pd.DataFrame({"tokens": tokens, "trace_valid": band["mean"],
                         "trace_valid_low": band["mean_ci_lower"],
                         "trace_valid_high": band["mean_ci_upper"], "n": len(data)})


def broken(rows: pd.DataFrame) -> pd.DataFrame:
    """Answers whose trace breaks a rule, with ``place``: how much of it was written by then."""
    found = rows[rows["trace_error"].notna()]
    place = found["trace_event"] / found["trace_events"].clip(lower=1)
    return found.assign(place=place.clip(upper=1))


def breaks(rows: pd.DataFrame) -> pd.DataFrame:
    """Which rule traces break first, behind valid plans and others, and where (quartiles)."""
    found = broken(rows)
    table = [[*cell, len(part), *part["place"].quantile([0.25, 0.5, 0.75])] for cell, part in
             found.groupby([*CELL, "plan_valid", "trace_error"], sort=False)]
    return pd.DataFrame(table, columns=[*CELL, "plan_valid", "rule", "count", "place_quarter",
                                        "place_middle", "place_three_quarters"])


def places(rows: pd.DataFrame) -> pd.DataFrame:
    """Of the broken traces the share whose first break lies within each tenth or before."""
    table = []
    for cell, part in broken(rows).groupby([*CELL, "plan_valid"], sort=False):
        table += [[*cell, len(part), tenth, (part["place"] <= tenth).mean()] for tenth in TENTHS]
    return pd.DataFrame(table, columns=[*CELL, "plan_valid", "n", "place", "broken_by_then"])


def effects(rows: pd.DataFrame) -> pd.DataFrame:
    """Numbers that claims are about, with intervals; see `resampling.estimate`."""
    numbers = {"valid plans behind an invalid trace": invalid_share,
               "valid plans behind an invalid trace: long - short problems": longer,
               "phi: published - without the plan's length": of_the_rule}
    needed = ["seed", "grid", "own_trace_tokens", *(f"{what}_{level}" for level in VERDICTS
                                                    for what in ("plan", "trace"))]
    table = []
    for (condition, gap, distribution), part in rows.groupby(
            ["condition", "trained_gap", "distribution"], sort=False):
        arm = condition + (" with gaps" if gap != "none" else "")
        table += [[f"{name}, {arm}", distribution, *resampling.estimate(part[needed], number)[:-1]]
                  for name, number in numbers.items()]
    return pd.DataFrame(table, columns=COLUMNS)


def invalid_share(rows: pd.DataFrame) -> float:
    """Of the valid plans, how many stand behind a trace that is invalid by our rules."""
    return 1 - float(rows.loc[rows["plan_valid"], "trace_valid"].mean())


def longer(rows: pd.DataFrame) -> float:
    """`invalid_share` of the third of problems with the longest traces, less the shortest."""
    short, long = rows["own_trace_tokens"].quantile([1 / 3, 2 / 3])
    return (invalid_share(rows[rows["own_trace_tokens"] > long])
            - invalid_share(rows[rows["own_trace_tokens"] <= short]))


def of_the_rule(rows: pd.DataFrame) -> float:
    """By how much phi is larger because the published verdict of a trace asks for the plan."""
    return (resampling.correlation(rows["plan_published"], rows["trace_published"])
            - resampling.correlation(rows["plan_alone"], rows["trace_alone"]))


# ── for people ──────────────────────────────────────────────────────────────────────────


def given_valid_plan(table: pd.DataFrame) -> pd.DataFrame:
    """Per cent of valid plans whose trace is valid too, by verdict, a column a distribution."""
    wide = table.pivot_table(index=["condition", "trained_gap", "seed", "verdict"], sort=False,
                             columns="distribution", values="trace_valid_given_plan_valid")
    return (100 * wide.astype(float)).round(1)


def phis(table: pd.DataFrame) -> pd.DataFrame:
    """The correlation of plan and trace validity, by verdict, a column a distribution."""
    wide = table.pivot_table(index=["condition", "trained_gap", "seed", "verdict"], sort=False,
                             columns="distribution", values="phi")
    return wide.astype(float).round(3)


def first_breaks(table: pd.DataFrame) -> pd.DataFrame:
    """How often each rule is broken first, a column a distribution."""
    return table.pivot_table(index=["condition", "trained_gap", "plan_valid", "rule"], sort=False,
                             columns="distribution", values="count", fill_value=0,
                             aggfunc="sum").astype(int)


def summary(run: Run) -> str:
    """Trace validity among valid plans by each verdict."""
    return given_valid_plan(pd.read_csv(run.file("coupling", "verdicts.csv"))).to_string()


EXPERIMENT = Experiment(
    question="How closely are plan and trace coupled, and how much of that is in the rule?",
    notebook="12_coupling", evaluations=evaluations, analyse=analyse, summary=summary,
    tables=("verdicts", "by_length", "curves", "breaks", "places", "effects"),
    figures=("by_length", "places"), folder="coupling", gathers=with_gaps)
