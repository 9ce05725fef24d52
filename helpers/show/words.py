"""Numbers and names as words, for figures and sentences alike."""

from collections.abc import Iterable

import pandas as pd

from helpers.conditions import CONDITIONS
from helpers.study.specs import ModelSpec


def listed(things: Iterable) -> str:
    """``1``, ``1 and 2``, ``1, 2 and 3``."""
    words = [str(thing) for thing in things]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def texts(column: pd.Series) -> pd.Series:
    """A column of texts as it was written; one that is empty throughout is read as of numbers."""
    return column.astype(object).where(column.notna(), "")


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


def seed_first(seed: int, table: pd.DataFrame) -> str:
    """``seed 1: `` where there are several, which stand in the index or in a column."""
    seeds = table.get("seed", table.index)
    return f"seed {seed}: " if len(set(seeds)) > 1 else ""


def in_all(table: pd.DataFrame) -> str:
    """`` in both seeds``; nothing of a single one. Seeds are the index."""
    seeds = table.index.nunique()
    return {1: "", 2: " in both seeds"}.get(seeds, f" in all {seeds} seeds")


def bullets(texts: Iterable[str]) -> str:
    """A list in Markdown."""
    return "\n".join(f"- {text}" for text in texts)


def as_code(name: str) -> str:
    """A name as Markdown has code."""
    return f"`{name}`"


# ── models ──────────────────────────────────────────────────────────────────────────────


def model_label(spec: ModelSpec) -> str:
    """``swapped, gap=random, seed 1``; what differs from the scale stands in the middle."""
    parts = (CONDITIONS[spec.condition].label, spec.variation_text, f"seed {spec.seed}")
    return ", ".join(filter(None, parts))


def model_place(spec: ModelSpec) -> tuple[str, int, int]:
    """By which models are put in order: those as their scale says first, conditions as anywhere."""
    return spec.variation_text, list(CONDITIONS).index(spec.condition), spec.seed
