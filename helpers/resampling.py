"""Intervals of numbers that are no rates: correlations, shares of shares, chances of being ahead.

What `helpers.differences` does for rates this does for any number that follows from rows. Its
variance over grids is that of test sets drawn anew from the grids there are (the bootstrap, Efron
1979), grids of several problems as wholes; its variance over seeds is that of the seeds there are.
Each has Student's t of its own degrees of freedom, as there.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from helpers.differences import Estimate, quantile

DRAWS = 400  # test sets drawn anew


def estimate(rows: pd.DataFrame, number: Callable[[pd.DataFrame], float],
             limits: tuple[float, float] = (-1.0, 1.0)) -> Estimate:
    """A number with its 95 % interval, for other seeds and other grids like these.

    Args:
        rows: ``seed``, ``grid`` and whatever the number follows from, little else (all of it is
            drawn again and again); all seeds were asked the same mazes.
        number: of one seed's rows; nan where they do not say.
        limits: beyond which the number cannot be.

    Returns:
        The mean over seeds. No bounds (nan) for a single grid, where some test set does not say,
        or where all say the same: then nothing tells how much others would differ.
    """
    parts = [part.sort_values("grid", kind="stable") for _, part in rows.groupby("seed")]
    found = [number(part) for part in parts]
    grids, begins, sizes = np.unique(parts[0]["grid"], return_index=True, return_counts=True)

    def drawn_anew(drawn: np.ndarray) -> float:
        many = sizes[drawn]  # rows of each grid that was drawn
        within = np.arange(many.sum()) - np.repeat(np.cumsum(many) - many, many)
        places = np.repeat(begins[drawn], many) + within
        return float(np.mean([number(part.iloc[places]) for part in parts]))

    reach = float("nan")
    if len(grids) > 1 and np.isfinite(found).all():
        rng = np.random.default_rng(0)
        again = [drawn_anew(rng.integers(len(grids), size=len(grids))) for _ in range(DRAWS)]
        square = quantile(len(grids) - 1) ** 2 * np.var(again, ddof=1)
        if len(parts) > 1:
            square += quantile(len(parts) - 1) ** 2 * np.var(found, ddof=1) / len(parts)
        reach = float(np.sqrt(square)) or float("nan")
    middle = float(np.mean(found))
    low, high = np.clip([middle - reach, middle + reach], *limits).tolist()
    return Estimate(middle, low, high, len(parts), len(parts[0]), len(grids))


# ── numbers ─────────────────────────────────────────────────────────────────────────────


def correlation(a: pd.Series, b: pd.Series) -> float:
    """Spearman's, of the ranks; of two verdicts phi. nan where one of the two never varies."""
    from scipy.stats import rankdata  # a second, only here
    a, b = rankdata(a), rankdata(b)
    if not np.ptp(a) or not np.ptp(b):
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def ahead(value: pd.Series, valid: pd.Series) -> float:
    """How likely a valid answer has the higher value of two, one of them valid (ties: one half).

    One half means that the value tells nothing; the area under the ROC curve is another name
    (Mann and Whitney 1947). nan where all are valid, or none.
    """
    from scipy.stats import rankdata
    valid = np.asarray(valid, bool)
    n, ranks = int(valid.sum()), rankdata(value)
    if n in (0, len(valid)):
        return float("nan")
    return float((ranks[valid].sum() - n * (n + 1) / 2) / (n * (len(valid) - n)))
