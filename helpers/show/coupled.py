"""What the tables of plan and trace say, in sentences computed from their numbers."""

from collections.abc import Iterable

import pandas as pd

from helpers.show.sentences import FEW, kind, too_few
from helpers.show.words import as_code, bullets, listed, percent, seeds_of, spaced


def coupling(table: pd.DataFrame) -> str:
    """Whether valid plans come with valid traces, more than invalid plans do."""
    if table.empty:
        return "No condition here writes traces."
    lines = []
    for condition, parts in table.groupby("condition", sort=False):
        counts = parts.groupby("distribution", sort=False)[
            ["both_valid", "only_plan_valid", "only_trace_valid", "neither_valid"]].sum()
        both, plan, trace, _ = counts.sum()
        if not both and not trace and plan >= FEW // 10:
            lines.append(f"{as_code(condition)}: none of its {spaced(plan)} valid plans, on any "
                         "kind of maze, comes with a valid trace, nor does any invalid one. "
                         "Whatever made these plans right, it was not a right trace.")
            continue
        lines += [f"{as_code(condition)} on {kind(distribution)}: {_how_coupled(*row)}"
                  for distribution, *row in counts.itertuples(name=None)]
    seeds = f"All seeds together ({seeds_of(table)}):\n\n" if table["seed"].nunique() > 1 else ""
    return seeds + bullets(lines)


def _how_coupled(both: int, plan: int, trace: int, neither: int) -> str:
    valid, invalid = both + plan, trace + neither
    if not valid:
        return "no valid plan."
    few = FEW // 10
    if valid < few or invalid < few:
        return (f"{spaced(both)} of {spaced(valid)} valid plans come with a valid trace, and "
                f"{spaced(trace)} of {spaced(invalid)} invalid ones; too few to tell whether "
                "the two go together.")
    return (f"{percent(both / valid)} of {spaced(valid)} valid plans come with a valid trace, and "
            f"{percent(trace / invalid)} of {spaced(invalid)} invalid ones.")


def published_coupling(table: pd.DataFrame) -> str:
    """How much of the coupling that the published verdict finds is in its rule.

    Args:
        table: as of `evaluation.published_coupling`.
    """
    if table.empty:
        return "No condition here writes traces."
    if table["n"].max() < FEW:
        return too_few(table)
    lines = []
    for (condition, distribution), part in table.groupby(["condition", "distribution"], sort=False):
        ours, theirs = (int(part[f"trace_{who}_alone"].sum()) for who in ("ours", "published"))
        differing = (f" ({spaced(ours)} valid by ours alone, {spaced(theirs)} by the published "
                     "one alone)") if ours + theirs else ""
        lines.append(f"{as_code(condition)} on {kind(distribution)}: the verdicts differ on "
                     f"{spaced(ours + theirs)} of {spaced(part['n'].sum())} traces{differing}; "
                     f"phi is {_phis(part['phi_ours'])} by ours and {_phis(part['phi'])} by the "
                     "published one.")
    seeds = f", by seed ({seeds_of(table)})" if table["seed"].nunique() > 1 else ""
    return ("By the published verdict a trace is invalid where the plan has another length than "
            "the path that the trace found: some of its coupling is in the rule. The correlation "
            f"of plan and trace validity, phi, by either verdict{seeds}:\n\n" + bullets(lines))


def _phis(phis: Iterable[float]) -> str:
    return listed("undefined" if pd.isna(phi) else f"{phi:.2f}" for phi in phis)


def breaks(errors: pd.DataFrame) -> str:
    """Which rule the traces of each condition break first, most often."""
    found = errors[(errors["part"] == "trace") & (errors["error"] != "none")]
    if found.empty:
        return "No trace is broken."
    lines = []
    for condition, part in found.groupby("condition", sort=False):
        counts = part.groupby("error")["count"].sum().sort_values(ascending=False, kind="stable")
        lines.append(f"{as_code(condition)}: of {spaced(counts.sum())} broken traces "
                     f"{percent(counts.iloc[0] / counts.sum())} break `{counts.index[0]}` first.")
    return bullets(lines)
