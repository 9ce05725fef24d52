"""Does the length of a trace say how hard the problem was? And does a sure trace mean a right plan?

Of models with traces, without and with gaps in training (`position`): how long what they write is
beside A*'s own trace, in and out of distribution; and on grids without walls, where a search is
easy, by the distance from start to goal. Prompts there are the shortest there are, so the same is
asked with responses where training had them. Last, how likely each model held its own trace, word
by word, beside whether the plan behind it is valid.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from helpers import evaluation, resampling
from helpers.checkpoints import load_model
from helpers.differences import COLUMNS
from helpers.experiments.position import RANDOM
from helpers.responses import trace_chances, written_traces
from helpers.study import asking, steps
from helpers.study.runs import Run
from helpers.study.scale import Scale
from helpers.study.specs import EvaluationSpec, Experiment, every

FREE = "free_space"
REALIGNED = (("gap", "realigned"),)
CELL = ["condition", "seed", "trained_gap", "answered", "distribution"]
ARM = ["condition", "trained_gap", "answered", "distribution"]
NEEDED = ["seed", "grid", "trace_events", "own_events", "cut_off", "own_cut_off", "sure",
          "plan_valid"]  # for numbers with intervals
FIFTHS = 5
SURE = 300  # answers of a cell, the first, whose traces are read again by their model
BINS = 7  # of distances, at most


def evaluations(scale: Scale) -> list[EvaluationSpec]:
    """The headline's conditions with a trace; on grids without walls realigned as well."""
    return _asked(scale, ())


def with_gaps(scale: Scale) -> list[EvaluationSpec]:
    """The same, trained with gaps."""
    return _asked(scale, RANDOM)


def _asked(scale: Scale, variation: tuple) -> list[EvaluationSpec]:
    traced = [one for one in every(scale, variation) if one.model.has_trace]
    models = dict.fromkeys(one.model for one in traced)
    free = [EvaluationSpec(model, FREE, asked) for model in models for asked in ((), REALIGNED)]
    return list(dict.fromkeys([*traced, *free]))


def analyse(run: Run, evaluations: list[EvaluationSpec]) -> dict[str, pd.DataFrame]:
    """Lengths beside A*'s, on free space by distance; how sure models were; effects."""
    rows = pd.concat([judged(run, one) for one in evaluations], ignore_index=True)
    return {"lengths": lengths(rows), "written": written(rows), "free_space": free_space(rows),
            "sureness": sureness(rows), "by_sureness": by_sureness(rows),
            "effects": effects(rows)}


def judged(run: Run, one: EvaluationSpec) -> pd.DataFrame:
    """Answers as `steps.all_rows` has them, and in further columns:

    trained_gap, answered (``as it is``, ``realigned``); own_events of A*'s trace; cut_off (no end
    within the tokens an answer may have) and own_cut_off (not even A*'s would have one); sure, the
    mean log-probability of a word of the trace that was written, in nats: of the first `SURE`
    answers of models asked as they are, nan of others.
    ``grid`` tells problems apart where all stand on one grid.
    """
    rows, scale = steps.all_rows(run, [one]), run.scale_of(one.model)
    mazes = run.load(run.corpus("test", one.distribution, scale))
    limit = scale.decoding.max_new_tokens
    own = rows["own_trace_tokens"] + 1 + 3 * rows["own_plan_steps"]  # `solution` and `end` too
    if rows["grid"].nunique() == 1:
        rows["grid"] = np.unique(mazes.problems, return_inverse=True)[1]
    return rows.assign(
        trained_gap=dict(one.model.variation).get("gap", "none"),
        answered=dict(one.answering).get("gap", "as it is"),
        own_events=(rows["own_trace_tokens"] - 1) // 5, cut_off=rows["response_tokens"] >= limit,
        own_cut_off=own > limit, sure=np.nan if one.answering else sure(run, one, mazes))


def sure(run: Run, one: EvaluationSpec, mazes) -> np.ndarray:
    """How likely a model held each trace it wrote: mean log-probability of a word, float64 [n]."""
    model = load_model(run.store.use(run.model(one.model)), mazes, steps.device(),
                       run.scale_of(one.model).transformer().context)
    traces = written_traces(mazes, asking.written(run, one))[:SURE]
    found = np.full(len(mazes), np.nan)
    for i, each in enumerate(trace_chances(model, mazes, one.model.condition, traces)):
        found[i] = each.mean() if len(each) else np.nan
    return found


# ── tables ──────────────────────────────────────────────────────────────────────────────


def lengths(rows: pd.DataFrame) -> pd.DataFrame:
    """How events written go with those of A*'s trace (Spearman's), and how many answers end.

    Returns:
        A row a cell: n, correlation with its interval; correlation_with_plan (of events written
        and steps of A*'s plan); median events, written and A*'s; cut_off with its interval, and
        own_cut_off.
    """
    table = []
    for cell, part in rows.groupby(CELL, sort=False):
        table.append([*cell, len(part), *resampling.estimate(part[NEEDED], follows)[:3],
                      resampling.correlation(part["trace_events"], part["own_plan_steps"]),
                      part["trace_events"].median(), part["own_events"].median(),
                      part["cut_off"].mean(),
                      *evaluation.grid_interval(part["cut_off"], part["grid"]),
                      part["own_cut_off"].mean()])
    return pd.DataFrame(table, columns=[
        *CELL, "n", "correlation", "correlation_low", "correlation_high", "correlation_with_plan",
        "events", "own_events", "cut_off", "cut_off_low", "cut_off_high", "own_cut_off"])


def written(rows: pd.DataFrame) -> pd.DataFrame:
    """Quartiles of the events written, by fifths of the mazes in order of A*'s own."""
    table = []
    for cell, part in rows.groupby(CELL, sort=False):
        for _, fifth in part.groupby(pd.qcut(part["own_events"], FIFTHS, duplicates="drop"),
                                     observed=True):
            table.append([*cell, len(fifth), fifth["own_events"].median(),
                          *fifth["trace_events"].quantile([0.25, 0.5, 0.75])])
    return pd.DataFrame(table, columns=[*CELL, "n", "own_events", "events_quarter", "events",
                                        "events_three_quarters"])


def free_space(rows: pd.DataFrame) -> pd.DataFrame:
    """Answers on grids without walls, by the distance from start to goal.

    Returns:
        A row a cell and bin: above and up_to (moves), n, plan_valid and cut_off with intervals,
        trace_valid, own_cut_off, median events, written and A*'s.
    """
    rows = rows[rows["distribution"] == FREE]
    moves = rows["own_plan_steps"] - 1
    width = int(np.ceil(moves.max() / BINS)) if len(rows) else 1
    bins = pd.cut(moves, np.arange(0, BINS * width + 1, width))
    table = []
    for cell, asked in rows.groupby(CELL, sort=False):
        for distance, part in asked.groupby(bins, observed=True):
            shares = [number for name in ("plan_valid", "cut_off") for number in (
                part[name].mean(), *evaluation.grid_interval(part[name], part["grid"]))]
            table.append([*cell, distance.left, distance.right, len(part), *shares,
                          part["trace_valid"].mean(), part["own_cut_off"].mean(),
                          part["trace_events"].median(), part["own_events"].median()])
    return pd.DataFrame(table, columns=[
        *CELL, "above", "up_to", "n", "plan_valid", "plan_valid_low", "plan_valid_high", "cut_off",
        "cut_off_low", "cut_off_high", "trace_valid", "own_cut_off", "events", "own_events"])


def sureness(rows: pd.DataFrame) -> pd.DataFrame:
    """How sure a model was of the traces it wrote, behind them valid plans or others.

    Returns:
        A row a cell: n, mean log-probability of a word (of all, of those with a valid plan, of the
        others), and ahead, with its interval (`resampling.ahead`).
    """
    table = []
    for cell, part in rows.dropna(subset="sure").groupby(CELL, sort=False):
        valid = part["plan_valid"]
        table.append([*cell, len(part), part["plan_valid"].mean(), part["sure"].mean(),
                      part.loc[valid, "sure"].mean(), part.loc[~valid, "sure"].mean(),
                      *resampling.estimate(part[NEEDED], surer)[:3]])
    return pd.DataFrame(table, columns=[*CELL, "n", "plan_valid", "sure", "sure_if_valid",
                                        "sure_if_not", "ahead", "ahead_low", "ahead_high"])


def by_sureness(rows: pd.DataFrame) -> pd.DataFrame:
    """Plan validity by fifths of the answers in order of how sure the model was of the trace."""
    table = []
    for cell, part in rows.dropna(subset="sure").groupby(CELL, sort=False):
        fifths = pd.qcut(part["sure"].rank(method="first"), FIFTHS, labels=False) + 1
        for number, fifth in part.groupby(fifths):
            table.append([*cell, number, len(fifth), fifth["sure"].mean(),
                          fifth["plan_valid"].mean(),
                          *evaluation.grid_interval(fifth["plan_valid"], fifth["grid"])])
    return pd.DataFrame(table, columns=[*CELL, "fifth", "n", "sure", "plan_valid",
                                        "plan_valid_low", "plan_valid_high"])


def effects(rows: pd.DataFrame) -> pd.DataFrame:
    """Numbers that claims are about, with intervals; see `resampling.estimate`."""
    table = []
    for (condition, gap, answered, distribution), part in rows.groupby(ARM, sort=False):
        arm = (condition + (" with gaps" if gap != "none" else "")
               + (f" {answered}" if answered == "realigned" else ""))
        numbers = {"length of trace with that of A*'s": follows}
        if distribution == FREE:
            numbers |= {"answers without end that could have one": endless}
        if part["sure"].notna().any():
            numbers |= {"surer of the trace if the plan is valid, above one half": surer_than_half}
        table += [[f"{name}, {arm}", distribution, *resampling.estimate(part[NEEDED], number)[:-1]]
                  for name, number in numbers.items()]
    return pd.DataFrame(table, columns=COLUMNS)


def follows(rows: pd.DataFrame) -> float:
    """The rank correlation of the events written and those of A*'s own trace."""
    return resampling.correlation(rows["trace_events"], rows["own_events"])


def endless(rows: pd.DataFrame) -> float:
    """The share of answers without end, of the problems whose right answer has one in time."""
    return float(rows.loc[~rows["own_cut_off"], "cut_off"].mean())


def surer(rows: pd.DataFrame) -> float:
    """`resampling.ahead` of how sure a model was of its trace, by plan validity."""
    known = rows.dropna(subset="sure")
    return resampling.ahead(known["sure"], known["plan_valid"])


def surer_than_half(rows: pd.DataFrame) -> float:
    return surer(rows) - 0.5


# ── for people ──────────────────────────────────────────────────────────────────────────


def correlations(table: pd.DataFrame) -> pd.DataFrame:
    """The rank correlation [95 % interval] of lengths, a column a distribution."""
    return wide(table.assign(text=_bounded(table, "correlation")), "text")


def chances(table: pd.DataFrame) -> pd.DataFrame:
    """`resampling.ahead` [95 % interval], a column a distribution."""
    return wide(table.assign(text=_bounded(table, "ahead")), "text")


def _bounded(table: pd.DataFrame, number: str) -> list[str]:
    bounds = table[[number, f"{number}_low", f"{number}_high"]].itertuples(index=False)
    return [f"{value:.2f} (no bounds)" if pd.isna(low) else f"{value:.2f} [{low:.2f}, {high:.2f}]"
            for value, low, high in bounds]


def wide(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """A column of a table, one a distribution."""
    found = table.pivot(index=["condition", "trained_gap", "answered", "seed"],
                        columns="distribution", values=column)
    return found[table["distribution"].unique()].astype(object).fillna("–")


def summary(run: Run) -> str:
    """How the lengths of traces go with A*'s."""
    return correlations(pd.read_csv(run.file("length", "lengths.csv"))).to_string()


def _experiment(question: str, evaluations: Callable[[Scale], list[EvaluationSpec]]) -> Experiment:
    return Experiment(
        question=question, notebook="13_length", evaluations=evaluations, analyse=analyse,
        summary=summary,
        tables=("lengths", "written", "free_space", "sureness", "by_sureness", "effects"),
        figures=("written", "free_space", "sureness"), folder="length", gathers=with_gaps)


EXPERIMENTS = {
    "length": _experiment("Does the length of a trace say how hard the problem was?", evaluations),
    "length_gaps": _experiment("And that of models that were trained with gaps?", with_gaps)}
