"""How far apart two conditions are, in an interval that holds for other seeds and other grids.

Two trainings of one condition from different seeds may lie further apart than two conditions,
and each test set is a draw of grids. So a difference is paired by both: a seed gives all
conditions the same initial weights and order of examples, and all models answer the same mazes.
Its 95 % interval is made of the two variances that the estimate has as a mean over seeds and
as a mean over grids (crossed, as in Owen 2007), each with Student's t of its own degrees of
freedom (Howe 1974); a ratio of differences gets Fieller's (1954) from the same variances.
docs/statistics.md has the coverage measured, and that of what was not chosen.

Rows are judged responses (`evaluation.judge`): ``seed``, ``maze``, ``grid`` and the rate's column.
"""

from collections.abc import Callable, Sequence
from functools import cache
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd

COLUMNS = ["quantity", "distribution", "estimate", "low", "high", "seeds", "n"]

# What is subtracted from what: of (a, b), and of (none, some, whole) once for each difference
MEAN = np.array([[1]])
DIFFERENCE = np.array([[-1, 1]])
SHARE = np.array([[-1, 1, 0], [-1, 0, 1]])


class Estimate(NamedTuple):
    """An estimate and its 95 % interval; nan where the data bound nothing.

    With ``seeds`` = 1 the interval is over grids alone, and speaks of that seed's models.
    """

    estimate: float
    low: float
    high: float
    seeds: int
    n: int  # problems that each model was asked
    grids: int


# ── two conditions ──────────────────────────────────────────────────────────────────────


def difference(rows_a: pd.DataFrame, rows_b: pd.DataFrame, rate: str = "plan_valid") -> Estimate:
    """By how much b's rate is above a's, for other seeds and other grids like these.

    Args:
        rows_a, rows_b: answers to the same mazes by models of the same seeds, two or more.
        rate: a column of verdicts.

    Raises:
        ValueError: they do not fit together, or are of one seed.
    """
    return _difference(*_cells([rows_a, rows_b], rate, least=2))


def difference_of_models(rows_a: pd.DataFrame, rows_b: pd.DataFrame, rate: str = "plan_valid"
                         ) -> Estimate:
    """By how much one model's rate is above another's of the same seed, on other grids.

    Nothing here tells what models of another seed would do; ``seeds`` is 1 to say so.
    """
    return _difference(*_cells([rows_a, rows_b], rate, most=1))


def _difference(sums: np.ndarray, sizes: np.ndarray) -> Estimate:
    (mean,), ((square,),) = mean_and_reach(sums, sizes, DIFFERENCE)
    reach = float(np.sqrt(square))
    return Estimate(float(mean), max(-1.0, float(mean) - reach), min(1.0, float(mean) + reach),
                    *_counts(sums, sizes))


# ── numbers that are no verdicts ────────────────────────────────────────────────────────


def average(rows: pd.DataFrame, number: str) -> Estimate:
    """The mean of a column of numbers, such as log-probabilities, in its own unit.

    Args:
        rows: answers by models of one seed or several.

    Raises:
        ValueError: rows that do not fit together.
    """
    return _mean([rows], number, MEAN)


def change(rows_a: pd.DataFrame, rows_b: pd.DataFrame, number: str) -> Estimate:
    """By how much b's mean is above a's, of the same mazes and models of the same seeds.

    Raises:
        ValueError: as for `average`.
    """
    return _mean([rows_a, rows_b], number, DIFFERENCE)


def _mean(arms: Sequence[pd.DataFrame], number: str, contrast: np.ndarray) -> Estimate:
    sums, sizes = _cells(arms, number, verdicts=False)
    (estimate,), ((square,),) = mean_and_reach(sums, sizes, contrast, verdicts=False)
    reach = float(np.sqrt(square))
    return Estimate(float(estimate), float(estimate) - reach, float(estimate) + reach,
                    *_counts(sums, sizes))


# ── shares of a difference ──────────────────────────────────────────────────────────────


def share(rows_none: pd.DataFrame, rows_some: pd.DataFrame, rows_whole: pd.DataFrame,
          rate: str = "plan_valid") -> Estimate:
    """Which share of the difference whole − none the difference some − none is.

    Where the interval of whole − none holds 0, no share can be ruled out, however large: ``low``
    and ``high`` are nan. Bounds are not cut at 0 and 1: some may lie outside none and whole.

    Raises:
        ValueError: as for `difference`.
    """
    return _share(*_cells([rows_none, rows_some, rows_whole], rate, least=2))


def share_of_models(rows_none: pd.DataFrame, rows_some: pd.DataFrame, rows_whole: pd.DataFrame,
                    rate: str = "plan_valid") -> Estimate:
    """`share` for three models of one seed, over grids alone."""
    return _share(*_cells([rows_none, rows_some, rows_whole], rate, most=1))


def _share(sums: np.ndarray, sizes: np.ndarray) -> Estimate:
    (some, whole), square = mean_and_reach(sums, sizes, SHARE)
    return Estimate(float(some / whole) if whole else float("nan"),
                    *fieller(some, whole, square), *_counts(sums, sizes))


def fieller(x: float, y: float, square: np.ndarray) -> tuple[float, float]:
    """The values r for which the interval of x − r·y holds 0 (Fieller 1954).

    Args:
        square: [2, 2], such that that interval reaches √((1, −r) square (1, −r)ᵀ) each way.

    Returns:
        low, high; nan where the interval of y holds 0, for then the values have no bounds.
    """
    (xx, xy), (_, yy) = square
    if not (lead := y**2 - yy) > 0:
        return float("nan"), float("nan")
    # (x − r y)² = xx − 2 r xy + r² yy, solved for r
    middle = (x * y - xy) / lead
    half = np.sqrt(max(0.0, middle**2 - (x**2 - xx) / lead))
    return float(middle - half), float(middle + half)


# ── the variances ───────────────────────────────────────────────────────────────────────


def mean_and_reach(sums: np.ndarray, sizes: np.ndarray, contrasts: np.ndarray,
                   verdicts: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Contrasts between arms, and how far the 95 % interval of any mixture of them reaches.

    With S seeds and G grids it is, squared, t²(S − 1)·V(seeds) + t²(G − 1)·V(grids): V(seeds)
    is the variance of the mean of S seeds' results, V(grids) that of the mean over grids after
    averaging seeds, grids of several problems as wholes. What is of one seed on one grid alone
    counts in both, so the sum is rather too large than too small, and never negative.

    To V(grids) each arm adds the variance of one grid of which all problems turn out the other way
    (as Bonett and Price 2012 add one pair each way): no verdict that differs is not no variance.
    Numbers that are no verdicts tell their variance themselves.

    Args:
        sums: float [arms, seeds, grids], how many of a grid's problems are valid; or what their
            numbers sum to.
        sizes: int [grids], how many it has.
        contrasts: [contrasts, arms].

    Returns:
        The contrasts, float [contrasts]; the squared reach as a quadratic form, float
        [contrasts, contrasts]: a mixture m reaches √(m square mᵀ). Infinite for a single grid.
    """
    (_, seeds, grids), n = sums.shape, sizes.sum()
    parts = np.einsum("ca,asg->csg", contrasts, sums)
    mean = parts.sum(axis=(1, 2)) / (seeds * n)
    if grids < 2:
        return mean, np.full((len(mean), len(mean)), np.inf)
    off = parts.mean(axis=1) - mean[:, None] * sizes
    one_more = verdicts * (n / grids) ** 2 * contrasts @ contrasts.T
    between = grids / (grids - 1) * (off @ off.T + one_more) / n**2
    square = quantile(grids - 1) ** 2 * between
    if seeds > 1:
        by_seed = parts.sum(axis=2) / n
        among = np.atleast_2d(np.cov(by_seed)) / seeds
        square = square + quantile(seeds - 1) ** 2 * among
    return mean, square


@cache
def quantile(freedom: float) -> float:
    """Student's t with so many degrees of freedom is within ± this in 95 % of cases."""
    from scipy.stats import t as student  # a second, only here
    return float(student.ppf(0.975, freedom))


def _counts(sums: np.ndarray, sizes: np.ndarray) -> tuple[int, int, int]:
    return sums.shape[1], int(sizes.sum()), len(sizes)


def _cells(arms: Sequence[pd.DataFrame], rate: str, least: int = 1, most: float = np.inf,
           verdicts: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Valid problems of each arm, seed and grid, float [arms, seeds, grids]; sizes of grids."""
    wide = [_wide(rows, rate, verdicts) for rows in arms]
    first, grid = wide[0], arms[0].groupby("maze")["grid"].first()
    for rows, other in zip(arms, wide, strict=True):
        if list(other.columns) != list(first.columns):
            raise ValueError(f"seed: got {list(first.columns)} and {list(other.columns)}, takes "
                             "models of the same seeds")
        if not other.index.equals(first.index):
            raise ValueError(f"maze: got {len(first)} and {len(other)}, "
                             f"{len(first.index.intersection(other.index))} of them in both, "
                             "takes answers to the same mazes")
        if (rows["grid"].to_numpy() != grid[rows["maze"]].to_numpy()).any():
            raise ValueError("grid: got several for one maze, takes answers to the same mazes")
    seeds = first.shape[1]
    if not least <= seeds <= most:
        raise ValueError(f"seeds: got {seeds}, takes " + (
            "2 or more; of one, see difference_of_models" if seeds < least else "1"))
    sums = np.stack([one.groupby(grid).sum().to_numpy().T for one in wide])
    return sums, grid.groupby(grid).size().to_numpy()


def _wide(rows: pd.DataFrame, rate: str, verdicts: bool) -> pd.DataFrame:
    """Verdicts as 0 and 1, or numbers, a row a maze, a column a seed."""
    if missing := [name for name in ("seed", "maze", "grid", rate) if name not in rows]:
        raise ValueError(f"rows: got no column {', '.join(missing)}, takes judged responses")
    if rows.empty:
        raise ValueError("rows: got none, takes judged responses")
    if verdicts and len(wrong := rows[~rows[rate].isin([False, True])]):
        raise ValueError(f"{rate}: got {wrong[rate].iloc[0]}, takes true and false alone")
    if rows.duplicated(["seed", "maze"]).any():
        raise ValueError("rows: got several answers of one seed to one maze, takes one condition "
                         "and distribution at a time")
    wide = rows.astype({rate: float}).pivot(index="maze", columns="seed", values=rate)
    if wide.isna().any(axis=None):
        raise ValueError("rows: got mazes that not every seed has answered, takes all or none")
    return wide


def in_both(rows_a: pd.DataFrame, rows_b: pd.DataFrame) -> pd.DataFrame:
    """The answers of two arms to the mazes that both were asked."""
    key = ["seed", "distribution", "maze"]
    there = rows_a[key].merge(rows_b[key])
    return pd.concat([rows_a, rows_b], ignore_index=True).merge(there)


# ── tables ──────────────────────────────────────────────────────────────────────────────


def differences(rows: pd.DataFrame, rates: Sequence[str] = ("plan_valid",), arm: str = "condition"
                ) -> pd.DataFrame:
    """Each two conditions on each distribution, the columns of `COLUMNS`.

    Of the seeds that both have; of one seed these are differences of its models. Pairs of which one
    has no such verdicts (traces, under a condition without), or that share no seed, are left out.

    Args:
        arm: the column that tells apart what is compared.
    """
    table = []
    for rate in rates:
        judged = rows.dropna(subset=rate)
        for a, b in combinations(judged[arm].unique(), 2):
            table += _by_distribution(judged, rate, arm, [a, b], f"{rate}: {b} - {a}",
                                      difference_of_models, difference)
    return pd.DataFrame(table, columns=COLUMNS)


def named(table: pd.DataFrame, *when: str) -> pd.DataFrame:
    """Differences whose quantity says when they are seen: ``plan_valid: b - a, on 6×6``."""
    return table.assign(quantity=[", ".join([name, *filter(None, when)])
                                  for name in table["quantity"]])


def shares(rows: pd.DataFrame, none: str, some: str, whole: str, rate: str = "plan_valid",
           arm: str = "condition") -> pd.DataFrame:
    """On each distribution, which share of whole − none is some − none; see `COLUMNS`.

    Of the seeds that all three have.
    """
    name = f"{rate}: ({some} - {none}) / ({whole} - {none})"
    return pd.DataFrame(_by_distribution(rows, rate, arm, [none, some, whole], name,
                                         share_of_models, share), columns=COLUMNS)


def _by_distribution(rows: pd.DataFrame, rate: str, arm: str, names: list[str], quantity: str,
                     of_one: Callable[..., Estimate], of_several: Callable[..., Estimate]
                     ) -> list[list]:
    table = []
    for distribution, part in rows.groupby("distribution", sort=False):
        arms = [part[part[arm] == name] for name in names]
        seeds = set.intersection(*(set(one["seed"]) for one in arms))
        if seeds:
            of = of_several if len(seeds) > 1 else of_one
            found = of(*(one[one["seed"].isin(seeds)] for one in arms), rate)
            table.append([quantity, distribution, *found[:-1]])
    return table
