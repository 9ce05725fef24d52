"""From responses to verdicts to rates that say how sure they are.

A row is one response on one maze. A cell is one (condition, seed, distribution). Several
problems may stand on one grid, and whoever errs on one of them may err on the others, so the
grid is the unit: rates come with their n and a 95 % interval, and conditions are compared on
the same mazes with a test, that both take grids as wholes.
"""

from itertools import combinations

import numpy as np
import pandas as pd

from helpers.conditions import CONDITIONS
from helpers.corpus import PLAN_PART, PROMPT_PART, TRACE_PART, Corpus
from helpers.rules import path_of, read_events, sections
from helpers.validator import judge_responses

CELL = ["condition", "seed", "distribution"]
OWN_LEVELS = ("trace_valid", "trace_strict", "trace_exact")
TRACE_LEVELS = (*OWN_LEVELS, "trace_published")  # the last by the rules of the paper's authors
OF_TRACES = (*TRACE_LEVELS, "plan_follows_trace")  # columns that are empty without traces
HEADLINE = [*CELL, "n", "plan_valid", "plan_valid_low", "plan_valid_high", "plan_optimal",
            *OWN_LEVELS, "trace_valid_given_plan_valid", "trace_valid_low", "trace_valid_high",
            "grids", "plan_published", "trace_published"]

# Published plan validity, models trained on Wilson mazes, per cent (condition → distribution)
PUBLISHED = {
    "v2 (May 2025)": {("correct", "wilson"): 50.1, ("swapped", "wilson"): 51.6,
                      ("correct", "drunkards_walk"): 2.5, ("swapped", "drunkards_walk"): 26.0},
    "v3": {("correct", "wilson"): 79.9, ("swapped", "wilson"): 83.3,
           ("correct", "drunkards_walk"): 0.0, ("swapped", "drunkards_walk"): 11.7},
}


# ── responses to rows ───────────────────────────────────────────────────────────────────


def judge(corpus: Corpus, condition: str, responses: list[np.ndarray]) -> pd.DataFrame:
    """Verdicts, a row a response, see `validator.judge_ids` for the columns.

    ``maze`` counts the corpus's mazes, ``grid`` its different grids. Whether an answer is judged
    as having a trace follows from the condition, not from what the answer holds: columns of
    traces are empty where the condition has none.
    """
    rows = pd.DataFrame(judge_responses(corpus.mazes, responses, CONDITIONS[condition].opening))
    lengths = corpus.lengths()
    rows.insert(0, "maze", np.arange(len(rows)))
    rows.insert(1, "grid", corpus.grids)
    rows["response_tokens"] = [len(response) for response in responses]
    rows["prompt_tokens"] = lengths[:, PROMPT_PART]
    rows["own_trace_tokens"] = lengths[:, TRACE_PART]
    rows["own_plan_steps"] = (lengths[:, PLAN_PART] - 2) // 3  # without `solution` and `end`
    has_trace = CONDITIONS[condition].has_trace
    for name in TRACE_LEVELS:
        rows[name] = pd.array(rows[name] if has_trace else [pd.NA] * len(rows), "boolean")
    if not has_trace:
        rows["trace_error"] = None
    rows["plan_follows_trace"] = pd.array(
        [follows_trace(corpus.vocabulary.decode(response)) for response in responses]
        if has_trace else [pd.NA] * len(rows), "boolean")
    return rows


def follows_trace(response: str) -> bool:
    """Whether a response's plan is the very path along which its own trace leads, right or wrong.

    Args:
        response: without the word ``reasoning``.
    """
    trace, plan, _ = sections(f"reasoning {response}")
    events, well_formed = read_events(trace)
    path = path_of(events)
    steps = " ".join(f"plan {x} {y}" for x, y in path)
    return bool(well_formed and path and plan is not None and " ".join(plan) == steps)


# ── rows to tables ──────────────────────────────────────────────────────────────────────


def interval(successes: float, n: float) -> tuple[float, float]:
    """95 % Wilson-score interval of a rate (Edwin Wilson's); (nan, nan) for n = 0."""
    if n == 0:
        return float("nan"), float("nan")
    from statsmodels.stats.proportion import proportion_confint  # seconds, only here
    low, high = proportion_confint(successes, n, alpha=0.05, method="wilson")
    return float(low), float(high)


def grid_interval(valid: pd.Series, grid: pd.Series) -> tuple[float, float]:
    """95 % interval of a rate over problems of which several stand on one grid.

    The Wilson-score interval of as many independent problems as these are worth: n divided by
    the design effect, the variance of the rate between grids over that of independent problems
    (Kish 1965; Dean and Pagano 2015 for its use in this interval). With one problem a grid
    that is n. Where no verdict differs nothing tells the effect, and each grid counts once.

    Args:
        valid: bool [n]. grid: which grid each problem stands on, [n].
    """
    if not len(valid):
        return interval(0, 0)
    n = independent(valid, grid)
    return interval(float(valid.mean()) * n, n)


def independent(valid: pd.Series, grid: pd.Series) -> float:
    """How many independent problems these are worth: at most n.

    Few grids tell little about how much grids differ, which is what the factor with Student's t
    is for (Korn and Graubard 1998).
    """
    n, rate = len(valid), float(valid.mean())
    off = (valid.astype(float) - rate).groupby(grid.to_numpy()).sum()
    grids = len(off)
    if grids == n:
        return n
    if rate in (0, 1) or grids < 2:
        return grids
    between = grids / (grids - 1) * float((off**2).sum()) / n**2
    from scipy.stats import t as student  # a second, only here
    worth = min(n, rate * (1 - rate) / between) if between else n
    return worth * (student.ppf(0.975, n - 1) / student.ppf(0.975, grids - 1)) ** 2


def headline(rows: pd.DataFrame) -> pd.DataFrame:
    """A row a cell, rates between 0 and 1, the columns of `HEADLINE`."""
    table = []
    for cell, part in rows.groupby(CELL, sort=False):
        valid = part[part["plan_valid"]]
        judged = part.dropna(subset="trace_valid")  # all, or none under a condition without
        table.append([*cell, len(part), part["plan_valid"].mean(),
                      *grid_interval(part["plan_valid"], part["grid"]),
                      part["plan_optimal"].mean(), *(part[name].mean() for name in OWN_LEVELS),
                      valid["trace_valid"].mean() if len(valid) else pd.NA,
                      *grid_interval(judged["trace_valid"], judged["grid"]),
                      part["grid"].nunique(), part["plan_published"].mean(),
                      part["trace_published"].mean()])
    numbers = dict.fromkeys([name for name in HEADLINE[4:] if name != "grids"], "Float64")
    return pd.DataFrame(table, columns=HEADLINE).astype(numbers)


def comparisons(rows: pd.DataFrame) -> pd.DataFrame:
    """Each two conditions on the same mazes: how often only one has a valid plan.

    ``p`` is `sign_flip_test` of "both err equally often", not corrected for the number of
    comparisons.
    """
    table = []
    for (seed, distribution), part in rows.groupby(["seed", "distribution"], sort=False):
        verdicts = part.pivot(index="maze", columns="condition", values="plan_valid")
        grid = part.groupby("maze")["grid"].first()
        for a, b in combinations(part["condition"].unique(), 2):
            valid = verdicts[[a, b]].dropna().astype(bool)  # mazes that both have answered
            only_a, only_b = valid[a] & ~valid[b], valid[b] & ~valid[a]
            leads = (only_b.astype(int) - only_a.astype(int)).groupby(grid[valid.index]).sum()
            both = int((valid[a] & valid[b]).sum())
            only = int(only_a.sum()), int(only_b.sum())
            table.append([seed, distribution, a, b, len(valid), both, *only,
                          len(valid) - both - sum(only), (only[1] - only[0]) / len(valid),
                          sign_flip_test(leads.to_numpy())])
    return pd.DataFrame(table, columns=["seed", "distribution", "a", "b", "n", "both", "only_a",
                                        "only_b", "neither", "b_minus_a", "p"])


def sign_flip_test(leads: np.ndarray) -> float:
    """Two-sided p of "neither is ahead", each grid's lead as likely the other way round.

    Exact, by adding up all ways to flip signs. With one problem a grid it is McNemar's exact
    test (McNemar 1947).

    Args:
        leads: int [grids], by how many problems one is ahead on each.
    """
    sizes = np.abs(leads[leads != 0])
    chances = np.ones(1)  # of each sum, from −reach to reach
    for size in sizes:
        chances = (np.pad(chances, (0, 2 * size)) + np.pad(chances, (2 * size, 0))) / 2
    sums = np.arange(len(chances)) - sizes.sum()
    return float(min(1.0, chances[np.abs(sums) >= abs(leads.sum())].sum()))


def coupling(rows: pd.DataFrame, level: str = "valid") -> pd.DataFrame:
    """Plan validity against trace validity in each cell that has traces.

    ``phi`` is the correlation of the two verdicts, empty where one of them never varies.

    Args:
        level: whose verdicts, ``valid`` for ours or ``published``.
    """
    table = []
    for cell, part in rows.dropna(subset=f"trace_{level}").groupby(CELL, sort=False):
        plan, trace = part[f"plan_{level}"].astype(bool), part[f"trace_{level}"].astype(bool)
        varied = plan.nunique() == 2 and trace.nunique() == 2
        phi = float(np.corrcoef(plan, trace)[0, 1]) if varied else pd.NA
        low, high = grid_interval(trace[plan], part["grid"][plan])
        table.append([*cell, len(part), int((plan & trace).sum()), int((plan & ~trace).sum()),
                      int((~plan & trace).sum()), int((~plan & ~trace).sum()), phi, low, high])
    return pd.DataFrame(table, columns=[
        *CELL, "n", "both_valid", "only_plan_valid", "only_trace_valid", "neither_valid", "phi",
        "trace_valid_given_plan_valid_low", "trace_valid_given_plan_valid_high"])


def published_coupling(rows: pd.DataFrame) -> pd.DataFrame:
    """`coupling` by the published verdict, and beside it what our own makes of the same traces.

    Returns:
        The columns of `coupling`, then: trace_ours_alone and trace_published_alone (how many
        traces are valid by one verdict and not by the other) and phi_ours (that of `coupling`).
    """
    table = coupling(rows, "published")
    judged = rows.dropna(subset="trace_published")
    ours, theirs = judged["trace_valid"].astype(bool), judged["trace_published"].astype(bool)
    cells = [judged[name] for name in CELL]
    for name, alone in (("trace_ours_alone", ours & ~theirs),
                        ("trace_published_alone", theirs & ~ours)):
        table[name] = alone.groupby(cells, sort=False).sum().astype(int).to_numpy()
    return table.assign(phi_ours=coupling(judged)["phi"])


def errors(rows: pd.DataFrame) -> pd.DataFrame:
    """How often each first error of plans and traces occurs, a row a cell, part and error."""
    parts = []
    for part, kind in (("plan", "plan_error"), ("trace", "trace_error")):
        judged = rows if part == "plan" else rows.dropna(subset="trace_valid")
        counts = judged.groupby([*CELL, judged[kind].fillna("none")], sort=False).size()
        counts.index.names = [*CELL, "error"]
        parts.append(counts.rename("count").reset_index().assign(part=part))
    return pd.concat(parts, ignore_index=True)[[*CELL, "part", "error", "count"]]


def percent_table(table: pd.DataFrame, rate: str = "plan_valid") -> pd.DataFrame:
    """A rate of `headline` for people: per cent [95 % interval], a column a distribution."""
    table = table.dropna(subset=rate)
    bounds = table[[rate, f"{rate}_low", f"{rate}_high"]].astype(float)
    texts = [f"{100 * share:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
             for share, low, high in bounds.itertuples(index=False)]
    shown = table.assign(text=texts).pivot(index=["condition", "seed"], columns="distribution",
                                           values="text")
    return shown[table["distribution"].unique()].loc[table["condition"].unique()]


def curve_point(rows: pd.DataFrame, counters: dict) -> dict:
    """A row of the learning curve: how much had been trained on, what it could do by then.

    Args:
        rows: judged answers to the validation mazes.
        counters: of the snapshot that answered (step, examples, tokens, …).
    """
    low, high = grid_interval(rows["plan_valid"], rows["grid"])
    return counters | {"n": len(rows), "plan_valid": float(rows["plan_valid"].mean()),
                       "plan_valid_low": low, "plan_valid_high": high,
                       "trace_valid": rows["trace_valid"].mean()}
