"""Intervals of numbers that are no rates: as wide as theory has them, and for whom they speak."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from helpers.differences import quantile
from helpers.resampling import ahead, correlation, estimate

RNG = np.random.default_rng(3)
ROWS = pd.DataFrame({"seed": 1, "grid": np.arange(150), "value": RNG.normal(size=150)})


def mean(rows: pd.DataFrame) -> float:
    return float(rows["value"].mean())


def reach(rows: pd.DataFrame) -> float:
    found = estimate(rows, mean, (-np.inf, np.inf))
    assert found.high - found.estimate == pytest.approx(found.estimate - found.low)
    return found.high - found.estimate


def test_the_interval_of_a_mean_is_students():
    found = estimate(ROWS, mean)
    assert found.estimate == ROWS["value"].mean()
    assert (found.seeds, found.n, found.grids) == (1, 150, 150)
    assert reach(ROWS) == pytest.approx(quantile(149) * ROWS["value"].sem(), rel=0.15)


def test_problems_on_one_grid_are_no_further_grids():
    twice = pd.concat([ROWS, ROWS], ignore_index=True)
    assert reach(twice) == pytest.approx(reach(ROWS), rel=1e-9)  # the same draws
    assert reach(twice.assign(grid=np.arange(300))) < 0.8 * reach(ROWS)


def test_seeds_that_differ_widen_it():
    alike = pd.concat([ROWS, ROWS.assign(seed=2)], ignore_index=True)
    apart = pd.concat([ROWS, ROWS.assign(seed=2, value=ROWS["value"] + 1)], ignore_index=True)
    assert reach(alike) == pytest.approx(reach(ROWS), rel=1e-6)
    assert estimate(apart, mean).high == 1
    among = quantile(1) * np.sqrt(0.5 / 2)  # two means, 1 apart
    assert reach(apart) == pytest.approx(np.hypot(reach(ROWS), among), rel=1e-6)


@pytest.mark.parametrize("rows", [
    ROWS.assign(value=1.0), ROWS.assign(grid=0), ROWS.assign(value=np.nan)])
def test_where_nothing_tells_there_are_no_bounds(rows):
    found = estimate(rows, mean)
    assert np.isnan([found.low, found.high]).all()


def test_correlation():
    a, b = RNG.integers(5, size=(2, 60))
    assert correlation(a, b) == pytest.approx(spearmanr(a, b).statistic)
    assert np.isnan(correlation(a, np.ones(60)))


def test_ahead_counts_pairs():
    value, valid = RNG.integers(4, size=40), RNG.random(40) < 0.4
    pairs = [(x > y) + (x == y) / 2 for x in value[valid] for y in value[~valid]]
    assert ahead(value, valid) == pytest.approx(np.mean(pairs))
    assert np.isnan(ahead(value, np.ones(40, bool)))
