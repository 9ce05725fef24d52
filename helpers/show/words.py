"""Numbers and names as words, for figures and sentences alike."""

from collections.abc import Iterable

import pandas as pd


def listed(things: Iterable) -> str:
    """``1``, ``1 and 2``, ``1, 2 and 3``."""
    words = [str(thing) for thing in things]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def percent(rate: float) -> str:
    """``97.6 %``."""
    return f"{100 * rate:.1f} %"


def percents(rates: Iterable[float]) -> str:
    """``97.6 and 98.5 %``."""
    return listed(f"{100 * rate:.1f}" for rate in rates) + " %"


def spaced(number: float) -> str:
    """``30 000``."""
    return f"{number:,.0f}".replace(",", " ")


def span(numbers: pd.Series) -> str:
    """``30 000``, or lowest and highest where they differ."""
    low, high = spaced(numbers.min()), spaced(numbers.max())
    return low if low == high else f"{low} to {high}"


def seeds_of(table: pd.DataFrame) -> str:
    """``seed 1``, ``seeds 1 and 2``."""
    seeds = sorted(table["seed"].unique())
    return f"seed{'s' if len(seeds) > 1 else ''} {listed(seeds)}"
