"""Intervals of numbers that are no rates: correlations, shares of shares, chances of being ahead.

What `helpers.differences` does for rates this does for any number that follows from rows. Its
variance over grids is that of test sets drawn anew from the grids there are (the bootstrap, Efron
1979), grids of several problems as wholes; its variance over seeds is that of the seeds there are.
Each has Student's t of its own degrees of freedom, as there.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.stats import bootstrap, rankdata

from helpers.differences import Estimate, quantile

DRAWS = 400  # test sets drawn anew


def estimate(rows: pd.DataFrame, number: Callable[[pd.DataFrame], float]) -> Estimate:
    """A number with its 95 % interval, for other seeds and other grids like these.

    Args:
        rows: ``seed``, ``grid`` and whatever the number follows from; all seeds were asked the
            same mazes.
        number: of one seed's rows; nan where they do not say.

    Returns:
        The mean over seeds. No bounds (nan) for a single grid, where some test set does not say,
        or where all say the same: then nothing tells how much others would differ.
    """
    parts = [part.reset_index(drop=True) for _, part in rows.groupby("seed", sort=False)]
    found = [number(part) for part in parts]
    grids = rows["grid"].unique()
    places = [[part.groupby("grid").indices[grid] for grid in grids] for part in parts]

    def drawn_anew(drawn: np.ndarray) -> float:
        return float(np.mean([number(part.iloc[np.concatenate([where[i] for i in drawn])])
                              for part, where in zip(parts, places, strict=True)]))

    reach = float("nan")
    if len(grids) > 1 and np.isfinite(found).all():
        again = bootstrap((np.arange(len(grids)),), drawn_anew, n_resamples=DRAWS,
                          vectorized=False, method="percentile", rng=np.random.default_rng(0))
        square = (quantile(len(grids) - 1) * again.standard_error) ** 2
        if len(parts) > 1:
            square += quantile(len(parts) - 1) ** 2 * np.var(found, ddof=1) / len(parts)
        reach = float(np.sqrt(square)) or float("nan")
    middle = float(np.mean(found))
    return Estimate(middle, middle - reach, middle + reach, len(parts), len(parts[0]), len(grids))


# ── numbers ─────────────────────────────────────────────────────────────────────────────


def correlation(a: pd.Series, b: pd.Series) -> float:
    """Spearman's, of the ranks; of two verdicts phi. nan where one of the two never varies."""
    a, b = rankdata(a), rankdata(b)
    if not np.ptp(a) or not np.ptp(b):
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def ahead(value: pd.Series, valid: pd.Series) -> float:
    """How likely a valid answer has the higher value of two, one of them valid (ties: one half).

    One half means that the value tells nothing; the area under the ROC curve is another name
    (Mann and Whitney 1947). nan where all are valid, or none.
    """
    valid = np.asarray(valid, bool)
    n, ranks = int(valid.sum()), rankdata(value)
    if n in (0, len(valid)):
        return float("nan")
    return float((ranks[valid].sum() - n * (n + 1) / 2) / (n * (len(valid) - n)))
