"""Differences against numbers worked out by hand, statsmodels, and made-up answers."""

import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from benchmarks import coverage
from helpers.differences import (
    COLUMNS,
    DIFFERENCE,
    SHARE,
    average,
    change,
    difference,
    difference_of_models,
    differences,
    fieller,
    mean_and_reach,
    share,
    share_of_models,
    shares,
)

T1, T2, T4 = 12.706204736, 4.302652730, 2.776445105  # Student's t at 97.5 %, from a table


def answers(valid, grid=None, *, condition="correct", distribution="wilson", seeds=None
            ) -> pd.DataFrame:
    """Judged responses from verdicts [seeds, mazes]; each maze on its own grid without ``grid``."""
    valid = np.array(valid, bool)
    count, n = valid.shape
    grid = np.arange(n) if grid is None else np.array(grid)
    return pd.DataFrame({
        "condition": condition, "seed": np.repeat(seeds or range(1, count + 1), n),
        "distribution": distribution, "maze": np.tile(np.arange(n), count),
        "grid": np.tile(grid, count), "plan_valid": valid.ravel()})


def chance(rates, n=300, seed=1, **settings) -> pd.DataFrame:
    """Answers of which each seed's are valid at a rate of its own."""
    rng = np.random.default_rng(seed)
    return answers(rng.random((len(rates), n)) < np.array(rates)[:, None], **settings)


# ── numbers worked out by hand ──────────────────────────────────────────────────────────


def test_two_variances_by_hand():
    """Seeds lead by 2/3 and 1/3; grids by 1/2, 0 and 1, one problem each."""
    sums = np.zeros((2, 2, 3))
    sums[1] = [[1, 0, 1], [0, 0, 1]]
    mean, square = mean_and_reach(sums, np.ones(3, int), DIFFERENCE)
    assert mean == pytest.approx([1 / 2])
    among_seeds = (1 / 6**2 + 1 / 6**2) / 1 / 2
    between_grids = 3 / 2 * (0 + 1 / 4 + 1 / 4 + 2) / 9  # 2: one more grid of each arm
    assert square[0, 0] == pytest.approx(T1**2 * among_seeds + T2**2 * between_grids)


def test_one_seed_has_grids_alone():
    sums = np.zeros((2, 1, 3))
    sums[1, 0] = [2, 0, 1]
    mean, square = mean_and_reach(sums, np.array([2, 3, 1]), DIFFERENCE)
    assert mean == pytest.approx([1 / 2])
    off = [2 - 1, 0 - 1.5, 1 - 0.5]
    assert square[0, 0] == pytest.approx(T2**2 * 3 / 2 * (sum(np.square(off)) + 2 * 2**2) / 36)


def test_fieller_by_hand():
    """(2 − 4 r)² = 1 + r², that is 15 r² − 16 r + 3 = 0."""
    low, high = fieller(2, 4, np.eye(2))
    assert (low, high) == pytest.approx(((8 - math.sqrt(19)) / 15, (8 + math.sqrt(19)) / 15))
    assert fieller(2, 4, np.zeros((2, 2))) == pytest.approx((0.5, 0.5))
    # the interval of the denominator reaches 0, or holds it
    for denominator in (1, 0.5, 0, -1):
        assert all(map(math.isnan, fieller(2, denominator, np.eye(2))))
    assert not any(map(math.isnan, fieller(2, 1.01, np.eye(2))))


def test_a_difference_by_hand():
    """20 grids; of seed 1 b is ahead on all, of seed 2 on half: the first ten."""
    a = answers(np.zeros((2, 20)))
    b = answers([[1] * 20, [1] * 10 + [0] * 10])
    found = difference(a, b)
    assert (found.estimate, found.seeds, found.n, found.grids) == (0.75, 2, 20, 20)
    assert (found.low, found.high) == (-1, 1)  # t of two seeds: nothing is ruled out
    five = difference(answers(np.zeros((5, 20))), answers(np.repeat([[1], [1], [1], [1], [0]],
                                                                    20, axis=1)))
    reach = math.sqrt(T4**2 * 0.2 / 5 + 2.093024054**2 * 20 / 19 * 2 / 400)
    assert five[:3] == pytest.approx((0.8, 0.8 - reach, 1))


def test_no_verdict_that_differs_is_not_certainty():
    found = difference(answers(np.zeros((2, 1000))), answers(np.zeros((2, 1000))))
    assert found.estimate == 0
    assert found.high == -found.low == pytest.approx(1.9623 * math.sqrt(2) / 1000, rel=1e-3)


def test_a_single_grid_tells_nothing():
    a, b = answers([[0] * 9, [1] * 9], [0] * 9), answers([[1] * 9, [1] * 9], [0] * 9)
    assert difference(a, b) == (0.5, -1, 1, 2, 9, 1)
    assert all(map(math.isnan, share(a, a, b)[1:3]))


def test_variances_are_those_of_statsmodels():
    """Clusters of seeds and of grids, in a regression on nothing but a constant."""
    rng = np.random.default_rng(3)
    grid = np.concatenate([np.arange(30), rng.integers(0, 30, 170)])
    lead = rng.integers(-1, 2, (4, 200)) * rng.integers(0, 2, 200)
    sums = np.zeros((2, 4, 30))
    for seed in range(4):
        sums[1, seed] = np.bincount(grid, lead[seed], 30)
    (mean,), ((square,),) = mean_and_reach(sums, np.bincount(grid), DIFFERENCE)
    fits = [sm.OLS(lead.ravel(), np.ones(800)).fit(cov_type="cluster", cov_kwds={"groups": groups})
            for groups in (np.repeat(range(4), 200), np.tile(grid, 4))]
    assert mean == pytest.approx(fits[0].params[0])
    seeds, grids = (fit.bse[0]**2 for fit in fits)
    one_more = 30 / 29 * 2 / 30**2
    assert square == pytest.approx(3.182446305**2 * seeds + 2.045229642**2 * (grids + one_more))


# ── what must not matter ────────────────────────────────────────────────────────────────


@settings(max_examples=20)
@given(st.integers(0, 1000), st.integers(2, 4))
def test_which_is_first_turns_the_sign(seed, count):
    rng = np.random.default_rng(seed)
    grid = rng.integers(0, 12, 40)
    a, b = (answers(rng.random((count, 40)) < rate, grid) for rate in (0.4, 0.6))
    there, back = difference(a, b), difference(b, a)
    assert there[:3] == pytest.approx((-back.estimate, -back.high, -back.low))
    assert there[3:] == back[3:] == (count, 40, len(set(grid)))


def test_order_and_names_do_not_matter():
    a, b = chance([0.3, 0.5, 0.4], seed=1), chance([0.6, 0.5, 0.8], seed=2)
    expected = difference(a, b)
    assert difference(a.sample(frac=1, random_state=1), b) == pytest.approx(expected)
    renamed = [rows.assign(seed=10 - rows["seed"], maze=999 - rows["maze"],
                           grid=rows["grid"] * 7 + 3) for rows in (a, b)]
    assert difference(*renamed) == pytest.approx(expected)
    for kind in ("boolean", int, object):  # as CSV files and other tables have verdicts
        assert difference(a.astype({"plan_valid": kind}), b) == pytest.approx(expected)


def test_pairs_of_seeds_matter():
    """What a seed does to both is no part of the difference."""
    a, b = answers([[0] * 90 + [1] * 10, [1] * 90 + [0] * 10]), answers([[1] * 100] * 2)
    shared = difference(a, a)
    assert shared.high - shared.low < 0.1
    crossed = difference(a, a.assign(seed=3 - a["seed"]))
    assert crossed.high - crossed.low == 2
    assert difference(a, b).low == -1


def test_problems_of_one_grid_count_together():
    a, b = answers(np.zeros((1, 60))), answers([[1] * 30 + [0] * 30])
    apart = difference_of_models(a, b)
    together = difference_of_models(*(rows.assign(grid=rows["maze"] // 10) for rows in (a, b)))
    assert together.high - together.low > 2 * (apart.high - apart.low)
    assert (apart.grids, together.grids) == (60, 6)


# ── shares ──────────────────────────────────────────────────────────────────────────────


def three(none=0.9, some=0.7, whole=0.5, count=5, spread=0.01, n=1000):
    return [chance(rate + spread * np.cos(np.arange(count) * k), n, seed=k)
            for k, rate in enumerate((none, some, whole), 1)]


def test_a_share():
    none, some, whole = three()
    found = share(none, some, whole)
    expected = difference(none, some).estimate / difference(none, whole).estimate
    assert found.estimate == pytest.approx(expected)
    assert 0.3 < found.low < found.estimate < found.high < 0.7
    assert found[3:] == (5, 1000, 1000)


def test_a_share_from_the_other_end():
    """What some has of the way from none to whole, and what is left of it, make one."""
    none, some, whole = three()
    there, back = share(none, some, whole), share(whole, some, none)
    assert there[:3] == pytest.approx((1 - back.estimate, 1 - back.high, 1 - back.low))


def test_shares_of_nothing_and_of_all():
    none, _, whole = three()
    nothing, everything = share(none, none, whole), share(none, whole, whole)
    assert (nothing.estimate, everything.estimate) == (0, 1)
    assert nothing.low <= 0 <= nothing.high
    assert everything.low <= 1 <= everything.high
    assert nothing.high - nothing.low < 0.1


def test_a_share_of_what_may_be_nothing_has_no_bounds():
    none, some, whole = three(whole=0.9)
    found = share(none, some, whole)
    assert difference(none, whole).low < 0 < difference(none, whole).high
    assert math.isfinite(found.estimate)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert math.isnan(share(none, some, none).estimate)  # 0 / 0


def test_a_share_of_a_difference_clear_of_0_has_bounds():
    for whole in (0.5, 0.85, 0.88, 0.9, 0.95):
        arms = three(whole=whole, some=0.88)
        lead = difference(arms[0], arms[2])
        assert math.isnan(share(*arms).low) == (lead.low <= 0 <= lead.high)


# ── one seed ────────────────────────────────────────────────────────────────────────────


def test_one_seed_speaks_of_its_models():
    a, b = chance([0.4], 1000, seed=1), chance([0.7], 1000, seed=2)
    found = difference_of_models(a, b)
    assert found.seeds == 1
    lead = b["plan_valid"].astype(float) - a["plan_valid"]
    standard = 1.9623 * lead.std() / math.sqrt(1000)
    assert found.high - found.estimate == pytest.approx(standard, rel=0.01)
    many = [pd.concat([rows, chance([rate], 1000, seed=k, seeds=[2])])
            for rows, rate, k in ((a, 0.5, 3), (b, 0.6, 4))]
    two = difference(*many)  # wider by far, and about more
    assert two.high - two.low > 5 * (found.high - found.low)
    assert share_of_models(a, b, b).estimate == 1
    assert share_of_models(a, b, b).seeds == 1


# ── what does not fit together ──────────────────────────────────────────────────────────


def test_messages():
    a, b = chance([0.4, 0.5]), chance([0.7, 0.5], seed=2)
    one = a[a["seed"] == 1]
    for found, rows, message in (
            (difference, (one, b[b["seed"] == 1]), r"seeds: got 1, takes 2 or more; of one, see"),
            (share, (one, one, one), "seeds: got 1, takes 2 or more"),
            (difference_of_models, (a, b), "seeds: got 2, takes 1"),
            (share_of_models, (a, b, b), "seeds: got 2, takes 1"),
            (difference, (a, b.assign(seed=b["seed"] + 1)), r"seed: got \[1, 2\] and \[2, 3\]"),
            (difference, (a, b[b["maze"] < 200]), "maze: got 300 and 200, 200 of them in both"),
            (difference, (a, b.assign(grid=0)), "grid: got several for one maze"),
            (difference, (a, b.assign(grid=b["grid"] + b["seed"])), "grid: got several for one"),
            (difference, (a, b.iloc[1:]), "mazes that not every seed has answered"),
            (difference, (a, pd.concat([b, b])), "several answers of one seed to one maze"),
            (difference, (a, b.iloc[:0]), "rows: got none"),
            (difference, (a, b.drop(columns="grid")), "rows: got no column grid"),
            (difference, (a, b.assign(plan_valid=0.5)), "plan_valid: got 0.5, takes true and"),
            (difference, (a, b.assign(plan_valid=pd.NA)), "plan_valid: got <NA>, takes")):
        with pytest.raises(ValueError, match=message):
            found(*rows)
    with pytest.raises(ValueError, match="rows: got no column trace_valid"):
        difference(a, b, "trace_valid")


# ── tables ──────────────────────────────────────────────────────────────────────────────


def rows_of(count: int) -> pd.DataFrame:
    parts = []
    for i, condition in enumerate(("solution_only", "correct", "swapped")):
        for j, distribution in enumerate(("wilson", "dfs")):
            part = chance([0.3 + i / 5] * count, seed=10 * i + j, condition=condition,
                          distribution=distribution)
            part["trace_valid"] = part["plan_valid"].astype("boolean") if i else pd.NA
            parts.append(part)
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize("count", [1, 3])
def test_table_of_differences(count, tmp_path):
    rows = rows_of(count)
    table = differences(rows, ["plan_valid", "trace_valid"])
    assert list(table.columns) == COLUMNS
    assert table["quantity"].tolist() == [name for name in (
        "plan_valid: correct - solution_only", "plan_valid: swapped - solution_only",
        "plan_valid: swapped - correct", "trace_valid: swapped - correct") for _ in range(2)]
    assert table["distribution"].tolist() == ["wilson", "dfs"] * 4
    assert set(table["seeds"]) == {count}
    assert set(table["n"]) == {300}
    of = difference if count > 1 else difference_of_models
    a, b = (rows[(rows["condition"] == name) & (rows["distribution"] == "dfs")]
            for name in ("solution_only", "swapped"))
    assert tuple(table.iloc[3][["estimate", "low", "high"]]) == of(a, b)[:3]
    table.to_csv(tmp_path / "table.csv", index=False)
    assert differences(rows[rows["condition"] == "correct"]).columns.tolist() == COLUMNS


def test_tables_pair_the_seeds_that_both_have():
    rows = rows_of(3)
    few = rows[(rows["condition"] != "swapped") | (rows["seed"] == 2)]
    table = differences(few).set_index(["quantity", "distribution"])
    assert table["seeds"].tolist() == [3, 3, 1, 1, 1, 1]
    of_one = differences(rows[rows["seed"] == 2]).set_index(["quantity", "distribution"])
    pd.testing.assert_frame_equal(table[table["seeds"] == 1], of_one.iloc[2:])
    assert set(shares(few, "solution_only", "correct", "swapped")["seeds"]) == {1}
    assert differences(few[(few["condition"] == "swapped") | (few["seed"] == 3)])[
        "quantity"].unique().tolist() == ["plan_valid: correct - solution_only"]


@pytest.mark.parametrize("count", [1, 3])
def test_table_of_shares(count, tmp_path):
    table = shares(rows_of(count), "solution_only", "correct", "swapped")
    assert list(table.columns) == COLUMNS
    assert table["quantity"].unique().tolist() == [
        "plan_valid: (correct - solution_only) / (swapped - solution_only)"]
    assert (table["low"] < table["high"]).all()
    table.assign(low=math.nan).to_csv(tmp_path / "shares.csv", index=False)
    assert ",," in (tmp_path / "shares.csv").read_text()  # without bounds: empty


def test_other_things_can_be_compared():
    rows = rows_of(3).query("condition != 'correct'").rename(columns={"condition": "answering"})
    table = differences(rows, arm="answering")
    assert table["quantity"].unique().tolist() == ["plan_valid: swapped - solution_only"]


# ── how often an interval holds the truth ───────────────────────────────────────────────


def covered(world: str, seeds: int, methods=coverage.METHODS, worlds=coverage.WORLDS,
            repeats=300) -> pd.Series:
    table = coverage.measure(worlds[world], seeds, repeats, methods)
    return table.set_index("method")["covered"]


def test_made_up_answers_have_the_rates_they_say():
    world, rng = coverage.World(rates=(0.9, 0.4), **coverage.DFS), np.random.default_rng(1)
    rates, models = [], []
    for _ in range(300):
        sums, sizes, given = coverage.draw(world, 3, rng)
        assert (sizes.sum(), sums.shape) == (1000, (2, 3, 93))
        assert (sums <= sizes).all()
        rates.append(sums.sum(axis=2) / 1000)
        models.append(given)
    assert np.mean(rates, axis=(0, 2)) == pytest.approx(world.truth(), abs=0.02)
    assert np.mean(models, axis=(0, 2)) == pytest.approx(world.truth(), abs=0.02)
    assert np.abs(np.array(rates) - models).mean() < 0.04  # what grids leave open


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("world", ["seeds far apart", "seeds close, 93 grids", "low rates"])
def test_coverage(world, seeds):
    """Of 300 data sets each; the bound is four standard errors below 95 %."""
    found = covered(world, seeds, (coverage.chosen, coverage.grids_alone))
    assert found["chosen"] >= 0.9
    assert found["grids_alone"] < 0.9


def test_coverage_of_what_was_not_chosen():
    """What the simulation is able to notice."""
    found = covered("seeds far apart", 2, (coverage.crossed_normal, coverage.bootstrap))
    assert found.max() < 0.8
    found = covered("seeds alike, 93 grids", 5, (coverage.chosen, coverage.seeds_alone))
    assert found["chosen"] >= 0.9
    assert found["seeds_alone"] < 0.75


@pytest.mark.parametrize("world", ["seeds far apart", "seeds close, 93 grids"])
def test_coverage_of_one_seeds_models(world):
    assert covered(world, 1, (coverage.chosen,))["chosen"] >= 0.9


def test_coverage_of_shares():
    for world, seeds in (("seeds close, share 0.5", 3), ("seeds close, nothing to share", 5)):
        table = coverage.measure(coverage.SHARES[world], seeds, 200, (coverage.fieller_share,))
        assert table["covered"].item() >= 0.9
        assert (table["bounded"].item() > 0.9) == ("nothing" not in world)


def test_coverage_tables(capsys):
    coverage.main(["--repeats", "2"])
    printed = capsys.readouterr().out
    assert "| a plateau, 1 model in 4 | 5 |" in printed
    assert sum(line.startswith("| ---") for line in printed.splitlines()) == 10


def test_share_and_difference_have_the_same_variance():
    rng = np.random.default_rng(4)
    sums, sizes = rng.integers(0, 3, (3, 4, 50)).astype(float), np.full(50, 2)
    _, of_shares = mean_and_reach(sums, sizes, SHARE)
    for i, arm in enumerate((1, 2)):
        assert of_shares[i, i] == pytest.approx(
            mean_and_reach(sums[[0, arm]], sizes, DIFFERENCE)[1][0, 0])


# ── numbers that are no verdicts ────────────────────────────────────────────────────────


def test_means_of_numbers_are_those_of_scipy():
    """One problem a grid, one seed: Student's t, of one sample and of pairs."""
    rng = np.random.default_rng(5)
    numbers = rng.normal(-3, 2, (2, 30))
    a, b = (answers(np.zeros((1, 30))).assign(right_plan=one) for one in numbers)
    found, paired = average(a, "right_plan"), change(a, b, "right_plan")
    for estimate, sample in ((found, numbers[0]), (paired, numbers[1] - numbers[0])):
        interval = stats.ttest_1samp(sample, 0).confidence_interval()
        assert estimate[:3] == pytest.approx((sample.mean(), interval.low, interval.high))
        assert estimate[3:] == (1, 30, 30)


def test_a_change_is_not_cut_at_one_and_has_both_variances():
    a = answers(np.zeros((2, 4))).assign(right_plan=0.0)
    b = answers(np.zeros((2, 4))).assign(right_plan=[-9.0, -9, -9, -9, -7, -7, -7, -7])
    found = change(a, b, "right_plan")  # grids agree, seeds are two units apart
    assert (found.estimate, found.seeds) == (-8, 2)
    assert found.high - found.estimate == pytest.approx(T1)
    with pytest.raises(ValueError, match="takes answers to the same mazes"):
        change(a, b[b["maze"] < 3], "right_plan")
