"""Rates, intervals and tests against values computed by hand or by the formula."""

import math
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from scipy.stats import t as student
from statsmodels.stats.contingency_tables import mcnemar
from strategies import right_response
from studies import STUDIED

from helpers.astar import solve
from helpers.conditions import CONDITIONS, prompts
from helpers.corpus import Recipe, build
from helpers.evaluation import (
    CELL,
    HEADLINE,
    TRACE_LEVELS,
    comparisons,
    coupling,
    curve_point,
    errors,
    grid_interval,
    headline,
    independent,
    interval,
    judge,
    percent_table,
    published_coupling,
    sign_flip_test,
)
from helpers.published import judge_text as judge_published
from helpers.responses import texts
from helpers.validator import judge_text

CORPUS = build(Recipe("drunkards_walk", 5, 6, "test", 7, "indexed", 12))


def cell(plan, trace=None, *, condition="correct", seed=1, distribution="wilson", optimal=None,
         plan_error=None, grid=None, theirs=None) -> pd.DataFrame:
    """Rows of one cell, in the form that `judge` gives them; no trace without ``trace``.

    Each problem stands on a grid of its own unless ``grid`` says which. ``theirs``: the
    published verdict on traces, if it is another.
    """
    n = len(plan)
    traces = pd.array([pd.NA] * n if trace is None else trace, dtype="boolean")
    published = traces if theirs is None else pd.array(theirs, dtype="boolean")
    return pd.DataFrame({
        "condition": condition, "seed": seed, "distribution": distribution, "maze": range(n),
        "grid": range(n) if grid is None else grid,
        "plan_valid": np.array(plan, bool),
        "plan_optimal": np.array(plan if optimal is None else optimal, bool),
        "plan_error": plan_error or [None if valid else "wall" for valid in plan],
        "has_trace": trace is not None, "trace_valid": traces, "trace_strict": traces,
        "trace_exact": traces,
        "trace_error": [None if trace is None or trace[i] else "parse" for i in range(n)],
        "plan_published": np.array(plan, bool), "trace_published": published})


def ones(count: int, n: int) -> list[bool]:
    return [i < count for i in range(n)]


def wilson_score(k: int, n: int) -> tuple[float, float]:
    """The formula (Wilson 1927) with z of 97.5 %."""
    z, p = 1.959963984540054, k / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return middle - half, middle + half


# ── rates ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 40), (20, 40), (40, 40), (531, 1000)])
def test_interval(k, n):
    assert interval(k, n) == pytest.approx(wilson_score(k, n), abs=1e-12)
    low, high = interval(k, n)
    assert 0 <= low <= k / n <= high <= 1


def test_interval_of_nothing():
    assert all(math.isnan(bound) for bound in interval(0, 0))


def test_headline():
    rows = pd.concat([
        cell([1, 1, 1, 0], [1, 0, 0, 1], optimal=[1, 0, 1, 0], theirs=[1, 0, 0, 0]),
        cell([0, 0], [1, 1], distribution="dfs"),
        cell([1, 0, 0, 0, 0], condition="solution_only", seed=2)], ignore_index=True)
    table = headline(rows)
    assert ",".join(table.columns) == (
        "condition,seed,distribution,n,plan_valid,plan_valid_low,plan_valid_high,plan_optimal,"
        "trace_valid,trace_strict,trace_exact,trace_valid_given_plan_valid,trace_valid_low,"
        "trace_valid_high,grids,plan_published,trace_published")
    assert table[[*CELL, "n"]].to_numpy().tolist() == [
        ["correct", 1, "wilson", 4], ["correct", 1, "dfs", 2], ["solution_only", 2, "wilson", 5]]
    assert table["plan_valid"].tolist() == [0.75, 0, 0.2]
    assert table["plan_optimal"].tolist() == [0.5, 0, 0.2]
    for row, (k, n) in zip(table.itertuples(), [(3, 4), (0, 2), (1, 5)], strict=True):
        assert (row.plan_valid_low, row.plan_valid_high) == pytest.approx(wilson_score(k, n))
    for name in ("trace_valid", "trace_strict", "trace_exact"):
        assert table[name].tolist()[:2] == [0.5, 1]
        assert table[name].isna().tolist() == [False, False, True]  # empty without a trace
    for row, (k, n) in zip(table.itertuples(), [(2, 4), (2, 2)], strict=False):
        assert (row.trace_valid_low, row.trace_valid_high) == pytest.approx(wilson_score(k, n))
    assert table[["trace_valid_low", "trace_valid_high"]].isna().all(axis=1).tolist() == [
        False, False, True]
    assert table["grids"].tolist() == [4, 2, 5]
    assert table["plan_published"].tolist() == [0.75, 0, 0.2]
    assert table["trace_published"].tolist()[:2] == [0.25, 1]
    assert table["trace_published"].isna().tolist() == [False, False, True]
    given = table["trace_valid_given_plan_valid"]
    assert given[0] == pytest.approx(1 / 3)
    assert given.isna().tolist() == [False, True, True]  # empty without a valid plan, too


def test_headline_as_csv(tmp_path):
    rows = pd.concat([cell([1, 0], [1, 1]), cell([1, 0], condition="solution_only")])
    headline(rows).to_csv(tmp_path / "headline.csv", index=False)
    lines = (tmp_path / "headline.csv").read_text().splitlines()
    assert lines[0] == ",".join(HEADLINE)
    assert lines[1].startswith("correct,1,wilson,2,0.5,0.09")
    assert lines[1].split(",")[7:12] == ["0.5", "1.0", "1.0", "1.0", "1.0"]
    assert lines[1].endswith(",2,0.5,1.0")
    assert lines[2].endswith(",0.5,,,,,,,2,0.5,")


def test_headline_counts_grids():
    rows = cell([1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 0, 0], grid=[0, 0, 0, 1, 1, 1])
    (row,) = headline(rows).to_dict("records")
    assert row["grids"] == 2
    for name in ("plan_valid", "trace_valid"):
        assert (row[f"{name}_low"], row[f"{name}_high"]) == pytest.approx(
            grid_interval(rows[name].astype(bool), rows["grid"]))
    assert row["plan_valid_high"] - row["plan_valid_low"] > np.diff(wilson_score(3, 6)) + 0.1


def test_percent_table():
    rows = pd.concat([cell([1, 1, 1, 0], [1, 0, 0, 1]), cell([0] * 4, [1] * 4, distribution="dfs"),
                      cell([1, 0, 0, 0], condition="solution_only"),
                      cell([1] * 4, condition="solution_only", distribution="dfs")])
    table = percent_table(headline(rows))
    assert list(table.columns) == ["wilson", "dfs"]
    assert list(table.index) == [("correct", 1), ("solution_only", 1)]
    low, high = (100 * bound for bound in wilson_score(3, 4))
    assert table.loc[("correct", 1), "wilson"] == f"75.0 [{low:.1f}, {high:.1f}]"
    assert table.loc[("solution_only", 1), "dfs"] == "100.0 [51.0, 100.0]"


# ── several problems on one grid ────────────────────────────────────────────────────────


def problems(*numbers: tuple[int, int]) -> tuple[pd.Series, pd.Series]:
    """Verdicts and grids, from how many of how many problems of each grid are valid."""
    valid = [i < k for k, n in numbers for i in range(n)]
    return pd.Series(valid), pd.Series([g for g, (_, n) in enumerate(numbers) for _ in range(n)])


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.randoms())
def test_one_problem_a_grid_is_the_usual_interval(valid, random):
    grid = random.sample(range(1000), len(valid))
    assert grid_interval(pd.Series(valid), pd.Series(grid)) == pytest.approx(
        wilson_score(sum(valid), len(valid)), abs=1e-12)


def test_problems_that_agree_are_worth_less():
    n = 40
    few = (student.ppf(0.975, n - 1) / student.ppf(0.975, 10 - 1)) ** 2  # grids, not problems
    apart, alike = problems(*[(2, 4)] * 10), problems(*[(4, 4), (0, 4)] * 5)
    assert apart[0].mean() == alike[0].mean() == 0.5
    usual = wilson_score(20 * few, n * few)
    assert grid_interval(*apart) == pytest.approx(usual)  # never worth more than n
    low, high = grid_interval(*alike)
    assert low < usual[0] - 0.1
    assert high > usual[1] + 0.1
    # the variance of the rate is p (1 - p) / 9, estimated from ten grids
    assert independent(*alike) == pytest.approx(9 * few)
    assert (low, high) == pytest.approx(wilson_score(4.5 * few, 9 * few))
    some = problems(*[(3, 4), (1, 4)] * 5)
    assert low < grid_interval(*some)[0] <= usual[0]
    assert independent(*some) == pytest.approx(9 * 4 * few)


def test_two_grids_say_next_to_nothing():
    low, high = grid_interval(*problems((10, 20), (11, 20)))
    assert (low, high) != pytest.approx(wilson_score(21, 40), abs=0.3)
    assert low < 0.15
    assert high > 0.85


@pytest.mark.parametrize("rate", [0, 1])
def test_where_no_verdict_differs_each_grid_counts_once(rate):
    valid, grid = problems(*[(rate * n, n) for n in (1, 5, 9, 3, 7, 2)])
    assert grid_interval(valid, grid) == pytest.approx(wilson_score(6 * rate, 6), abs=1e-12)
    assert grid_interval(*problems((3, 5))) == pytest.approx(wilson_score(0.6, 1))  # one grid


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), min_size=1, max_size=20))
def test_an_interval_is_around_its_rate(numbers):
    valid, grid = problems(*[(min(k, n), n) for k, n in numbers])
    low, high = grid_interval(valid, grid)
    assert 0 <= low <= valid.mean() + 1e-12
    assert valid.mean() - 1e-12 <= high <= 1
    assert 0 < independent(valid, grid) <= len(valid)
    order = np.random.default_rng(1).permutation(len(valid))
    shuffled = valid.iloc[order], grid.iloc[order]  # indices and order tell nothing
    assert grid_interval(*shuffled) == pytest.approx((low, high))


def test_an_interval_of_no_problems():
    assert all(map(math.isnan, grid_interval(pd.Series([], dtype=bool), pd.Series([], dtype=int))))


@pytest.mark.parametrize("alike", [0.0, 0.5, 2.0, 20.0])
@pytest.mark.parametrize("grids", [6, 40])
def test_intervals_cover_the_rate(alike, grids):
    """Of 300 data sets of grids with 1 to 10 problems; the more alike, the fewer by chance."""
    rng, rate = np.random.default_rng(6), 0.3
    covered = usual = 0
    for _ in range(300):
        grid = np.repeat(np.arange(grids), rng.integers(1, 11, grids))
        chances = np.full(grids, rate) if not alike else (  # beta-distributed around the rate
            rng.beta(rate / alike, (1 - rate) / alike, grids))
        valid = rng.random(len(grid)) < chances[grid]
        low, high = grid_interval(pd.Series(valid), pd.Series(grid))
        covered += low <= rate <= high
        low, high = wilson_score(valid.sum(), len(valid))
        usual += low <= rate <= high
    assert covered > 0.9 * 300
    assert usual < 0.85 * 300 or alike < 0.5  # what the simulation is able to notice


# ── two conditions on the same mazes ────────────────────────────────────────────────────


@pytest.mark.parametrize(("both", "only_a", "only_b", "neither"), [
    (3, 5, 1, 2), (0, 9, 0, 0), (4, 0, 0, 4), (2, 3, 3, 1), (10, 1, 12, 7)])
def test_mcnemar(both, only_a, only_b, neither):
    a = [1] * (both + only_a) + [0] * (only_b + neither)
    b = [1] * both + [0] * only_a + [1] * only_b + [0] * neither
    rows = pd.concat([cell(a), cell(b, condition="swapped")], ignore_index=True)
    for order in (rows, rows.sample(frac=1, random_state=1).sort_values(
            "condition", kind="stable")):  # pairs are found by maze, not by place
        (found,) = comparisons(order).to_dict("records")
        assert [found[name] for name in ("a", "b", "n", "both", "only_a", "only_b", "neither")] == [
            "correct", "swapped", len(a), both, only_a, only_b, neither]
        assert found["b_minus_a"] == pytest.approx((only_b - only_a) / len(a))
        exact = binomtest(only_b, only_a + only_b).pvalue if only_a + only_b else 1
        assert found["p"] == pytest.approx(exact)


def test_comparisons_keep_seeds_and_distributions_apart():
    rows = pd.concat([cell(ones(k, 4), condition=condition, seed=seed, distribution=distribution)
                      for k, condition in enumerate(STUDIED)
                      for seed in (1, 2) for distribution in ("dfs", "wilson")])
    table = comparisons(rows)
    assert len(table) == 3 * 2 * 2
    assert table.groupby(["seed", "distribution"]).size().tolist() == [3] * 4
    pairs = table[["a", "b", "b_minus_a"]].drop_duplicates().to_numpy().tolist()
    assert pairs == [["solution_only", "correct", 0.25], ["solution_only", "swapped", 0.5],
                     ["correct", "swapped", 0.25]]


def test_comparisons_of_what_both_have_answered():
    rows = pd.concat([cell([1, 0, 1, 0]), cell([0, 0], condition="swapped")])
    (found,) = comparisons(rows).to_dict("records")
    assert (found["n"], found["only_a"], found["neither"]) == (2, 1, 1)


@given(st.lists(st.integers(-3, 3), max_size=9))
def test_sign_flips_by_trying_all(leads):
    sums = [abs(sum(lead * sign for lead, sign in zip(leads, signs, strict=True)))
            for signs in product((-1, 1), repeat=len(leads))]
    expected = sum(total >= abs(sum(leads)) for total in sums) / len(sums)
    assert sign_flip_test(np.array(leads, int)) == pytest.approx(expected)


@given(st.integers(0, 60), st.integers(0, 60))
def test_sign_flips_of_single_problems_are_mcnemars_test(only_a, only_b):
    leads = np.array([-1] * only_a + [1] * only_b + [0] * 5, int)
    expected = mcnemar([[3, only_a], [only_b, 5]], exact=True).pvalue
    assert sign_flip_test(leads) == pytest.approx(expected, abs=1e-12)


def test_sign_flips_of_many_large_leads():
    assert sign_flip_test(np.full(1000, 7)) < 1e-200
    assert sign_flip_test(np.array([500, -500] * 20)) == 1
    assert sign_flip_test(np.zeros(9, int)) == sign_flip_test(np.zeros(0, int)) == 1


def test_a_difference_on_one_grid_proves_nothing():
    a, b = [0] * 30 + [1] * 30, [1] * 30 + [1] * 30
    one, many = ([grid] * 30 + list(range(100, 130)) for grid in (0, None))
    many[:30] = range(30)
    ps = []
    for grid in (one, many):
        rows = pd.concat([cell(a, grid=grid), cell(b, grid=grid, condition="swapped")])
        (found,) = comparisons(rows).to_dict("records")
        assert (found["only_a"], found["only_b"], found["n"]) == (0, 30, 60)
        ps.append(found["p"])
    assert ps == pytest.approx([1, 2 * 0.5**30])


def test_leads_on_one_grid_are_taken_together():
    """+2 on two grids and −1 on a third: 2 of 8 ways to flip reach as far, and their mirrors."""
    a = [0, 0, 0, 0, 1]
    b = [1, 1, 1, 1, 0]
    grid = [5, 5, 8, 8, 2]
    rows = pd.concat([cell(a, grid=grid), cell(b, grid=grid, condition="swapped")])
    (found,) = comparisons(rows).to_dict("records")
    assert found["p"] == pytest.approx(4 / 8)


# ── plan and trace ──────────────────────────────────────────────────────────────────────


def test_coupling():
    plan = [1] * 6 + [0] * 4
    trace = [1] * 4 + [0] * 2 + [1] + [0] * 3
    rows = pd.concat([cell(plan, trace), cell([1, 1], [1, 0], distribution="dfs"),
                      cell([0, 1], [0, 0], distribution="kruskal"),
                      cell([1, 0], condition="solution_only")])
    table = coupling(rows)
    names = ["both_valid", "only_plan_valid", "only_trace_valid", "neither_valid"]
    assert table["distribution"].tolist() == ["wilson", "dfs", "kruskal"]  # those with traces
    assert table[["n", *names]].to_numpy().tolist() == [
        [10, 4, 2, 1, 3], [2, 1, 1, 0, 0], [2, 0, 1, 0, 1]]
    # phi = (ad - bc) / sqrt of the product of the margins
    assert table["phi"][0] == pytest.approx((4 * 3 - 2 * 1) / math.sqrt(6 * 4 * 5 * 5))
    assert pd.isna(table["phi"][1])  # the plan never varies
    assert pd.isna(table["phi"][2])  # the trace never does
    bounds = table.loc[0, ["trace_valid_given_plan_valid_low", "trace_valid_given_plan_valid_high"]]
    assert bounds.tolist() == pytest.approx(wilson_score(4, 6))


def test_coupling_without_any_trace():
    table = coupling(cell([1, 0], condition="solution_only"))
    assert len(table) == 0
    assert "phi" in table.columns


def test_published_coupling():
    rows = pd.concat([
        cell([1] * 6 + [0] * 4, [1] * 4 + [0] * 2 + [1] + [0] * 3,
             theirs=[1] * 5 + [0] * 5),  # one more of the valid plans, none of the invalid
        cell([1, 1], [1, 0], distribution="dfs", theirs=[0, 0]),
        cell([1, 0], condition="solution_only")], ignore_index=True)
    ours, theirs = coupling(rows), published_coupling(rows)
    assert list(theirs.columns) == [*ours.columns, "trace_ours_alone", "trace_published_alone",
                                    "phi_ours"]
    assert theirs[["both_valid", "only_plan_valid", "only_trace_valid", "neither_valid"]
                  ].to_numpy().tolist() == [[5, 1, 0, 4], [0, 2, 0, 0]]
    assert theirs["trace_ours_alone"].tolist() == [1, 1]
    assert theirs["trace_published_alone"].tolist() == [1, 0]
    assert theirs["phi"][0] == pytest.approx((5 * 4 - 0) / math.sqrt(6 * 4 * 5 * 5))
    assert theirs["phi_ours"][0] == ours["phi"][0] == pytest.approx(10 / math.sqrt(600))
    assert theirs["phi"].isna().tolist() == theirs["phi_ours"].isna().tolist() == [False, True]
    plans = rows.assign(plan_published=~rows["plan_valid"])  # its own verdict on plans too
    assert published_coupling(plans)["both_valid"].tolist() == [0, 0]


def test_published_coupling_without_any_trace():
    table = published_coupling(cell([1, 0], condition="solution_only"))
    assert len(table) == 0
    assert {"phi", "phi_ours", "trace_ours_alone"} < set(table.columns)


def test_errors():
    rows = pd.concat([cell([1, 0, 0, 0], [1, 0, 0, 0],
                           plan_error=[None, "wall", "jump", "wall"]),
                      cell([1, 1], condition="solution_only")])
    table = errors(rows).set_index(["condition", "part", "error"])["count"].to_dict()
    assert table == {("correct", "plan", "none"): 1, ("correct", "plan", "wall"): 2,
                     ("correct", "plan", "jump"): 1, ("correct", "trace", "none"): 1,
                     ("correct", "trace", "parse"): 3, ("solution_only", "plan", "none"): 2}


def test_coupling_takes_grids_as_wholes():
    grid = [0, 0, 0, 1, 1, 1]
    rows = cell([1] * 6, [1, 1, 1, 0, 0, 0], grid=grid)
    names = ["trace_valid_given_plan_valid_low", "trace_valid_given_plan_valid_high"]
    assert coupling(rows).loc[0, names].tolist() == pytest.approx(
        grid_interval(rows["trace_valid"].astype(bool), rows["grid"]))


# ── learning curves ─────────────────────────────────────────────────────────────────────


def test_a_point_of_a_learning_curve():
    counters = {"step": 5, "examples": 40, "tokens": 500, "response_tokens": 200, "seconds": 7.5}
    point = curve_point(cell(ones(3, 20), ones(8, 20)), counters)
    assert list(point) == [*counters, "n", "plan_valid", "plan_valid_low", "plan_valid_high",
                           "trace_valid"]
    assert point.items() >= {**counters, "n": 20, "plan_valid": 0.15, "trace_valid": 0.4}.items()
    assert (point["plan_valid_low"], point["plan_valid_high"]) == pytest.approx(wilson_score(3, 20))
    assert pd.isna(curve_point(cell(ones(3, 20)), counters)["trace_valid"])
    alike = curve_point(cell(ones(10, 20), grid=[0] * 10 + [1] * 10), counters)
    assert alike["plan_valid_low"] < 0.05  # two grids, one verdict each
    assert alike["plan_valid_high"] > 0.95


# ── responses to rows ───────────────────────────────────────────────────────────────────


def perfect(condition: str) -> list[np.ndarray]:
    """What A* would write for each maze after the opening word."""
    words = [right_response(CORPUS.mazes.maze(i)) for i in range(len(CORPUS))]
    if condition == "solution_only":
        words = [response[response.index("solution"):] for response in words]
    return [CORPUS.vocabulary.encode(" ".join(response[1:])).astype(np.uint16)
            for response in words]


@pytest.mark.parametrize("condition", STUDIED)
def test_perfect_responses(condition):
    rows = judge(CORPUS, condition, perfect(condition))
    assert rows["maze"].tolist() == list(range(12))
    assert rows["plan_valid"].all()
    assert rows["plan_optimal"].all()
    assert rows["plan_error"].isna().all()
    assert (rows["has_trace"] == (condition != "solution_only")).all()
    assert rows["plan_published"].all()
    for name in ("trace_valid", "trace_strict", "trace_exact", "trace_published"):
        assert rows[name].dtype == "boolean"
        assert rows[name].isna().all() if condition == "solution_only" else rows[name].all()
    for i, (prompt, response) in enumerate(zip(prompts(CORPUS, CONDITIONS[condition]),
                                               perfect(condition), strict=True)):
        row, (_, plan) = rows.iloc[i], solve(CORPUS.mazes.maze(i))
        assert row["response_tokens"] == len(response)
        assert row["prompt_tokens"] == len(prompt) - 1  # the opening word is not the prompt's
        assert row["own_plan_steps"] == row["plan_length"] == len(plan)
        if condition != "solution_only":
            assert row["own_trace_tokens"] == 1 + 5 * row["trace_events"]


def test_texts_are_judged_alike():
    responses = perfect("correct")
    responses[3] = responses[3][:-4]
    responses[5] = responses[5][:7]
    responses[7] = responses[7][1:]
    rows = judge(CORPUS, "correct", responses)
    for row, text in zip(rows.to_dict("records"), texts(CORPUS, "correct", responses), strict=True):
        verdict = judge_text(text, 5, 6)
        for part, found in (("plan", verdict.plan), ("trace", verdict.trace)):
            assert found.valid == row[f"{part}_valid"]
            assert found.error == (None if found.valid else row[f"{part}_error"])
        theirs = judge_published(text, 5, 6)
        assert (theirs.plan.valid, theirs.trace.valid) == (
            row["plan_published"], row["trace_published"])
    assert not rows["plan_valid"][[3, 5]].any()
    assert rows["trace_error"][7] == "parse"


def test_traces_are_judged_by_condition():
    """Not by what an answer holds: who learnt no traces is not asked about one."""
    responses = perfect("solution_only")
    vocabulary = CORPUS.vocabulary
    responses[0] = vocabulary.encode("reasoning close 0 0 c0 c0 solution plan 0 0 end")
    responses[1] = vocabulary.encode("reasoning " + vocabulary.decode(perfect("correct")[1]))
    rows = judge(CORPUS, "solution_only", responses)
    assert rows[[*TRACE_LEVELS, "trace_error"]].isna().all(axis=None)
    for name, value in (("condition", "solution_only"), ("seed", 1), ("distribution", "dfs")):
        rows[name] = value
    (row,) = headline(rows).to_dict("records")
    assert row["n"] == 12
    assert pd.isna([row["trace_valid"], row["trace_valid_low"], row["trace_valid_high"]]).all()
    assert not len(coupling(rows))
    silent = perfect("correct")
    silent[3] = vocabulary.encode("solution end")  # no trace where one was learnt
    rows = judge(CORPUS, "correct", silent)
    assert rows["trace_valid"].notna().all()
    assert not rows["trace_valid"][3]


def test_rows_say_on_which_grid_a_maze_stands():
    corpus = build(Recipe("wilson", 4, 4, "test", 1, "indexed", 30))
    rows = judge(corpus, "correct", [np.array([13], np.uint16)] * 30)
    grids = [grid.tobytes() for grid in corpus.mazes.grids]
    assert 1 < rows["grid"].nunique() == len(set(grids)) < 30
    assert (pd.Series(grids).groupby(rows["grid"]).nunique() == 1).all()
