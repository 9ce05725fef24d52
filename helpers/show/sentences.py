"""What a table says, in sentences computed from its numbers: table in, Markdown out.

No sentence says more than its table: one model is ahead of another only where that is so in the
table, of several seeds only where it is so in each, and below `FEW` mazes nothing is compared.
Tables are those of `helpers.evaluation`; a condition, seed or distribution may be missing.
"""

from collections.abc import Iterable

import pandas as pd

from helpers.show.looks import look_of_generator
from helpers.show.words import (
    as_code,
    bullets,
    in_all,
    listed,
    percents,
    seed_first,
    seeds_of,
    spaced,
    span,
)

FEW = 200  # of so few test mazes a cell, an interval is more than 14 points wide at a rate of half
LEVEL = 0.05  # of all tests of a table together


def caution(mazes: int) -> str:
    """What stands on top of a run that asked each model so few mazes; empty for a real one."""
    if mazes >= FEW:
        return ""
    return (f"**This run shows that every step works, and nothing about the question.** "
            f"Each model was asked {spaced(mazes)} mazes of a kind: too few to tell.")


def trained(scale, table: pd.DataFrame) -> str:
    """Which models there are, what they were trained on and what they were asked.

    Args:
        table: of a run of that scale, with ``condition`` and ``seed``.
    """
    models, seeds = len(table[["condition", "seed"]].drop_duplicates()), table["seed"].unique()
    conditions = [name for name in scale.conditions if name in set(table["condition"])]
    text = (f"Mazes of {scale.rows}×{scale.cols} cells. {models} model{'s' * (models > 1)}: "
            f"{listed(map(as_code, conditions))}, seed{'s' * (len(seeds) > 1)} "
            f"{listed(seeds)}, each trained on {spaced(scale.train_examples)} mazes "
            f"({kind(scale.trained_on)}) and asked {spaced(scale.test_examples)} of each kind: "
            f"{listed(map(kind, scale.distributions))}.")
    return "\n\n".join(filter(None, (caution(scale.test_examples), text)))


# ── the headline ────────────────────────────────────────────────────────────────────────


def plans(table: pd.DataFrame, trained_on: str) -> str:
    """Who has the most valid plans on each distribution, and whether seeds and intervals agree."""
    return _by_distribution(table, trained_on, _who_is_ahead)


def _who_is_ahead(part: pd.DataFrame) -> str:
    rates = _wide(part, "plan_valid")
    lacking = [seed for seed, row in rates.iterrows() if row.isna().any()]
    if lacking:  # models that were asked together are compared, and no others
        whole = part[~part["seed"].isin(lacking)]
        said = _who_is_ahead(whole) if len(whole) else "no seed has every condition."
        return said + f" (Left out, for it lacks a condition: seed {listed(lacking)}.)"
    shown = {name: f"{as_code(name)} ({percents(rates[name])})" for name in rates}
    if rates.shape[1] == 1:
        return f"{listed(shown.values())}; no other condition to compare it with."
    if not rates.to_numpy(float, na_value=0).any():
        return f"no valid plan, from {listed(map(as_code, rates))} alike."
    leaders = {seed: list(row.index[row == row.max()]) for seed, row in rates.iterrows()}
    first = next(iter(leaders.values()))
    if len(first) > 1 or any(names != first for names in leaders.values()):
        where = "; ".join(f"{seed_first(seed, rates)}{listed(map(as_code, names))}"
                          f"{', level,' if len(names) > 1 else ''} "
                          f"{'have' if len(names) > 1 else 'has'} the most"
                          for seed, names in leaders.items())
        return f"no condition is ahead{in_all(rates)} ({where}): {listed(shown.values())}."
    leader = first[0]
    rest = rates.drop(columns=leader)
    behind = sorted(rest, key=lambda name: rest[name].mean(), reverse=True)
    text = (f"{shown[leader]} has the most valid plans{in_all(rates)}, before "
            f"{listed(shown[name] for name in behind)}.")
    if len(rates) > 1 and len(behind) > 1:
        same = rest.rank(axis=1).nunique().max() == 1 and (rest.nunique(axis=1) > 1).all()
        text += (" The order is the same in every seed." if same else
                 " Behind it the order is not the same in every seed.")
    return text + _apart(part, leader)


def _apart(part: pd.DataFrame, leader: str) -> str:
    """Whether the leader's interval lies above all others, seed by seed."""
    if "plan_valid_low" not in part:
        return ""
    low = _wide(part, "plan_valid_low")[leader]
    high = _wide(part, "plan_valid_high").drop(columns=leader)
    touching = {seed: [name for name in high if high.at[seed, name] >= low[seed]]
                for seed in low.index}
    if not any(touching.values()):
        return f" Its interval lies above all others{in_all(high)}."
    where = "; ".join(seed_first(seed, high) + listed(map(as_code, names))
                      for seed, names in touching.items() if names)
    return f" But intervals overlap with its own ({where})."


def traces(table: pd.DataFrame, trained_on: str) -> str:
    """How often what each condition writes before its plan is a valid run of A* on the maze."""
    table = table.dropna(subset="trace_valid")
    if table.empty:
        return "No condition here writes traces."
    if table["n"].max() < FEW:
        return too_few(table)
    return bullets(f"{as_code(condition)}: {_how_valid(part, trained_on)}"
                  for condition, part in table.groupby("condition", sort=False))


def _how_valid(part: pd.DataFrame, trained_on: str) -> str:
    if not part["trace_valid"].any():
        seeds = ", in any seed and" if part["seed"].nunique() > 1 else ""
        return f"not one of its traces is valid{seeds} on any kind of maze (n = {span(part['n'])})."
    at_home = part[part["distribution"] == trained_on]
    away = part[part["distribution"] != trained_on]
    texts = []
    if len(at_home):
        texts.append(f"{percents(at_home['trace_valid'])} of its traces are valid on "
                     f"{kind(trained_on)}, which it was trained on")
    if len(away):
        means = away.groupby("distribution", sort=False)["trace_valid"].agg(list)
        texts.append("elsewhere " * bool(texts) + listed(
            f"{percents(rates)} on {kind(name)}" for name, rates in means.items()))
    return "; ".join(texts) + "."


# ── are the differences real? ───────────────────────────────────────────────────────────


def comparisons(table: pd.DataFrame) -> str:
    """Which differences between two conditions on the same mazes are clear of chance."""
    if table.empty:
        return "There are no two conditions to compare."
    if table["n"].max() < FEW:
        return too_few(table)
    bound = LEVEL / len(table)
    said = (f"Below, a difference is *clear* if its p is under {LEVEL} / {len(table)}, for there "
            f"are {len(table)} rows; points are those of plan validity.") if len(table) > 1 else ""
    lines = []
    for (a, b), pair in table.groupby(["a", "b"], sort=False):
        verdicts: dict[str, list[str]] = {}
        for distribution, part in pair.groupby("distribution", sort=False):
            verdicts.setdefault(_verdict(part, a, b, bound), []).append(
                f"{kind(distribution)} ({_points(part['b_minus_a'])})")
        lines.append(f"{as_code(b)} against {as_code(a)}, in points: " + "; ".join(
            f"{verdict} on {listed(where)}" for verdict, where in verdicts.items()) + ".")
    return "\n\n".join(filter(None, (said, bullets(lines))))


def _verdict(part: pd.DataFrame, a: str, b: str, bound: float) -> str:
    clear = part[part["p"] < bound]
    ahead = {b if lead > 0 else a for lead in clear["b_minus_a"]}
    if not ahead:
        return "no clear difference"
    if len(ahead) == 2:
        return "clear, but in opposite directions from seed to seed,"
    name = as_code(ahead.pop())
    if len(clear) == len(part):
        return f"{name} clearly ahead{in_all(part.set_index('seed'))}"
    return f"{name} clearly ahead in {seeds_of(clear)} alone"


def _points(leads: Iterable[float]) -> str:
    return listed(f"{100 * lead:+.1f}" for lead in leads)


# ── learning curves ─────────────────────────────────────────────────────────────────────


def convergence(curves: pd.DataFrame) -> str:
    """Which trainings were still gaining when they ended, by more than n mazes leave open."""
    if len(curves) and curves["n"].max() < FEW:
        return too_few(curves)
    lines = []
    for condition, models in curves.groupby("condition", sort=False):
        texts = []
        for seed, model in models.groupby("seed"):
            if len(model) < 2:
                texts.append(f"{seed_first(seed, models)}only one validation")
                continue
            before, end = model.iloc[-2], model.iloc[-1]
            gain = end["plan_valid"] - before["plan_valid"]
            moved = not end["plan_valid_low"] <= before["plan_valid"] <= end["plan_valid_high"]
            state = ("still climbing" if gain > 0 else "falling") if moved else "within chance"
            texts.append(f"{seed_first(seed, models)}{_points([gain])} points, {state}")
        lines.append(f"{as_code(condition)}: {'; '.join(texts)}.")
    if not lines:
        return "No validation was made."
    return (f"From the last validation but one to the last (n = {span(curves['n'])}):\n\n"
            + bullets(lines))


# ── effects ─────────────────────────────────────────────────────────────────────────────


def effects(table: pd.DataFrame) -> str:
    """Which differences and shares have intervals that hold no zero, over seeds and grids.

    Args:
        table: as of `helpers.differences`.
    """
    if table.empty:
        return "No two things were made that could be compared."
    if table["n"].max() < FEW:
        return too_few(table)
    lines, seeds = [], sorted(table["seeds"].unique())
    for quantity, part in table.groupby("quantity", sort=False):
        texts = []
        for row in part.itertuples():
            bounds = (f" [{100 * row.low:+.1f}, {100 * row.high:+.1f}]" if pd.notna(row.low)
                      else " (no bounds)")
            clear = pd.notna(row.low) and not row.low <= 0 <= row.high
            number = f"{100 * row.estimate:+.1f}{bounds}" if pd.notna(row.estimate) else "undefined"
            text = f"{kind(row.distribution)} {number}"
            texts.append(f"**{text}**" if clear else text)
        alone = " (one seed)" if len(seeds) > 1 and part["seeds"].min() == 1 else ""
        lines.append(f"{quantity}{alone}: {'; '.join(texts)}.")
    of = ("models of one seed: intervals speak of these models alone" if seeds == [1] else
          f"{listed(seeds)} seeds, intervals over seeds and grids")
    has_shares = any(" / " in quantity for quantity in table["quantity"])
    unit = "In points, shares in per cent" if has_shares else "In points"
    return (f"{unit}, with 95 % intervals ({of}); bold where the interval holds no zero, "
            f"{len(table)} intervals in all:\n\n" + bullets(lines))


# ── beside the published numbers ────────────────────────────────────────────────────────


def beside_published(table: pd.DataFrame, published: dict[str, dict]) -> str:
    """By how much one condition is ahead of another here, and in the published numbers.

    Args:
        table: as of `evaluation.headline`.
        published: version → (condition, distribution) → per cent.
    """
    pairs = list(dict.fromkeys(condition for rates in published.values() for condition, _ in rates))
    if len(table) and table["n"].max() < FEW:
        return too_few(table)
    if len(pairs) != 2 or not set(pairs) <= set(table["condition"]):
        return "Not all conditions of the published numbers are here."
    a, b = pairs
    lines = []
    for distribution in dict.fromkeys(where for rates in published.values() for _, where in rates):
        theirs = [f"{rates[b, distribution] - rates[a, distribution]:+.1f} ({version})"
                  for version, rates in published.items() if (a, distribution) in rates]
        rates = _wide(table[table["distribution"] == distribution], "plan_valid")
        if rates.empty:
            continue
        lines.append(f"{kind(distribution)}: {_points((rates[b] - rates[a]).dropna())} points "
                     f"here, {listed(theirs)} published.")
    return f"{as_code(b)} against {as_code(a)}:\n\n" + bullets(lines)


# ── words ───────────────────────────────────────────────────────────────────────────────


def _by_distribution(table: pd.DataFrame, trained_on: str, say) -> str:
    if table["n"].max() < FEW:
        return too_few(table)
    return bullets(f"**{kind(name)}**{' (trained on)' if name == trained_on else ''}: "
                  + (say(part) if part["n"].max() >= FEW else too_few(part))
                  for name, part in table.groupby("distribution", sort=False))


def too_few(table: pd.DataFrame) -> str:
    """What is said instead of a comparison below `FEW`."""
    return f"n = {span(table['n'])} mazes: too few to tell."


def _wide(part: pd.DataFrame, column: str) -> pd.DataFrame:
    """A row a seed, a column a condition in the order of the table."""
    wide = part.pivot(index="seed", columns="condition", values=column).astype(float)
    return wide[part["condition"].unique()]


def kind(distribution: str) -> str:
    """A distribution's name for people."""
    return look_of_generator(distribution).label
