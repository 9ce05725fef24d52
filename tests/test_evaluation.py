"""Rates, intervals and tests against values computed by hand or by the formula."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest
from strategies import right_response

from helpers import evaluation
from helpers.astar import solve
from helpers.corpus import CONDITIONS, Recipe, build, prompts
from helpers.evaluation import (
    CELL,
    HEADLINE,
    comparisons,
    coupling,
    errors,
    headline,
    interval,
    judge,
    learning_curves,
    percent_table,
    plan_validity,
    texts,
)
from helpers.validator import judge_text

CORPUS = build(Recipe("drunkards_walk", 5, 6, "test", 7, "indexed", 12))


def cell(plan, trace=None, *, condition="correct", seed=1, distribution="wilson", optimal=None,
         plan_error=None) -> pd.DataFrame:
    """Rows of one cell, in the form that `judge` gives them; no trace without ``trace``."""
    n = len(plan)
    traces = pd.array([pd.NA] * n if trace is None else trace, dtype="boolean")
    return pd.DataFrame({
        "condition": condition, "seed": seed, "distribution": distribution, "maze": range(n),
        "plan_valid": np.array(plan, bool),
        "plan_optimal": np.array(plan if optimal is None else optimal, bool),
        "plan_error": plan_error or [None if valid else "wall" for valid in plan],
        "has_trace": trace is not None, "trace_valid": traces, "trace_strict": traces,
        "trace_exact": traces,
        "trace_error": [None if trace is None or trace[i] else "parse" for i in range(n)]})


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
        cell([1, 1, 1, 0], [1, 0, 0, 1], optimal=[1, 0, 1, 0]),
        cell([0, 0], [1, 1], distribution="dfs"),
        cell([1, 0, 0, 0, 0], condition="solution_only", seed=2)], ignore_index=True)
    table = headline(rows)
    assert ",".join(table.columns) == (
        "condition,seed,distribution,n,plan_valid,plan_valid_low,plan_valid_high,plan_optimal,"
        "trace_valid,trace_strict,trace_exact,trace_valid_given_plan_valid")
    assert table[[*CELL, "n"]].to_numpy().tolist() == [
        ["correct", 1, "wilson", 4], ["correct", 1, "dfs", 2], ["solution_only", 2, "wilson", 5]]
    assert table["plan_valid"].tolist() == [0.75, 0, 0.2]
    assert table["plan_optimal"].tolist() == [0.5, 0, 0.2]
    for row, (k, n) in zip(table.itertuples(), [(3, 4), (0, 2), (1, 5)], strict=True):
        assert (row.plan_valid_low, row.plan_valid_high) == pytest.approx(wilson_score(k, n))
    for name in ("trace_valid", "trace_strict", "trace_exact"):
        assert table[name].tolist()[:2] == [0.5, 1]
        assert table[name].isna().tolist() == [False, False, True]  # empty without a trace
    given = table["trace_valid_given_plan_valid"]
    assert given[0] == pytest.approx(1 / 3)
    assert given.isna().tolist() == [False, True, True]  # empty without a valid plan, too


def test_headline_as_csv(tmp_path):
    rows = pd.concat([cell([1, 0], [1, 1]), cell([1, 0], condition="solution_only")])
    headline(rows).to_csv(tmp_path / "headline.csv", index=False)
    lines = (tmp_path / "headline.csv").read_text().splitlines()
    assert lines[0] == ",".join(HEADLINE)
    assert lines[1].startswith("correct,1,wilson,2,0.5,0.09")
    assert lines[1].endswith(",0.5,1.0,1.0,1.0,1.0")
    assert lines[2].endswith(",0.5,,,,")


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
                      for k, condition in enumerate(CONDITIONS)
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


def test_errors():
    rows = pd.concat([cell([1, 0, 0, 0], [1, 0, 0, 0],
                           plan_error=[None, "wall", "jump", "wall"]),
                      cell([1, 1], condition="solution_only")])
    table = errors(rows).set_index(["condition", "part", "error"])["count"].to_dict()
    assert table == {("correct", "plan", "none"): 1, ("correct", "plan", "wall"): 2,
                     ("correct", "plan", "jump"): 1, ("correct", "trace", "none"): 1,
                     ("correct", "trace", "parse"): 3, ("solution_only", "plan", "none"): 2}


# ── learning curves ─────────────────────────────────────────────────────────────────────


def test_learning_curves():
    def line(step, **found):
        return {"step": step, "examples": 8 * step, "tokens": 100 * step,
                "response_tokens": 40 * step, "seconds": 1.5 * step} | found

    metrics = {("correct", 1): [line(1, loss=3.0), line(5, loss=2.0), line(5, validation={
                   "n": 20, "plan_valid": 0.15, "trace_valid": 0.4})],
               ("solution_only", 2): [line(5, validation={"n": 20, "plan_valid": 1.0})]}
    table = learning_curves(metrics)
    assert table["condition"].tolist() == ["correct", "solution_only"]
    first = table.iloc[0]
    assert first[["seed", "step", "examples", "tokens", "response_tokens", "seconds", "n",
                  "plan_valid", "trace_valid"]].tolist() == [1, 5, 40, 500, 200, 7.5, 20, 0.15, 0.4]
    assert (first["plan_valid_low"], first["plan_valid_high"]) == pytest.approx(wilson_score(3, 20))
    assert pd.isna(table["trace_valid"][1])


# ── responses to rows ───────────────────────────────────────────────────────────────────


def perfect(condition: str) -> list[np.ndarray]:
    """What A* would write for each maze after the opening word."""
    words = [right_response(CORPUS.mazes.maze(i)) for i in range(len(CORPUS))]
    if condition == "solution_only":
        words = [response[response.index("solution"):] for response in words]
    return [CORPUS.vocabulary.encode(" ".join(response[1:])).astype(np.uint16)
            for response in words]


@pytest.mark.parametrize("condition", CONDITIONS)
def test_perfect_responses(condition):
    rows = judge(CORPUS, condition, perfect(condition))
    assert rows["maze"].tolist() == list(range(12))
    assert rows["plan_valid"].all()
    assert rows["plan_optimal"].all()
    assert rows["plan_error"].isna().all()
    assert (rows["has_trace"] == (condition != "solution_only")).all()
    for name in ("trace_valid", "trace_strict", "trace_exact"):
        assert rows[name].dtype == "boolean"
        assert rows[name].isna().all() if condition == "solution_only" else rows[name].all()
    for i, (prompt, response) in enumerate(zip(prompts(CORPUS, condition), perfect(condition),
                                               strict=True)):
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
    assert not rows["plan_valid"][[3, 5]].any()
    assert rows["trace_error"][7] == "parse"


def test_plan_validity(monkeypatch):
    for condition in CONDITIONS:
        responses = perfect(condition)
        responses[0] = responses[0][:3]
        monkeypatch.setattr(evaluation, "respond", lambda *_, r=responses, **__: r)
        found = plan_validity(None, CORPUS, condition, max_new_tokens=9)
        expected = {"n": 12, "plan_valid": 11 / 12}
        if condition != "solution_only":
            expected["trace_valid"] = 11 / 12
        assert found == pytest.approx(expected)
