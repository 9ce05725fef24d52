"""Is it the position? What the lead of borrowed traces out of distribution owes to it.

Behind prompts of one length a model without a trace learns to begin its plan at one position; a
trace, whoever's it is, moves the plan about. So is it the trace that helps on mazes whose prompts
have another length, or the moving? A *gap* moves a response without a token. The parts can be
made one by one, ``position_realign`` and so on; their tables show whatever of all parts is there.
"""

from collections.abc import Callable
from itertools import combinations

import pandas as pd

from helpers import differences, evaluation
from helpers.experiments.regime import SMALLEST
from helpers.show.words import texts
from helpers.study import steps
from helpers.study.runs import Run
from helpers.study.scale import Scale
from helpers.study.specs import (
    EvaluationSpec,
    Experiment,
    every,
    models_of,
    with_further_seeds,
)

SHIFTS = (-40, -20, -10, -5, -3, -2, -1, 1, 2, 3, 5, 10, 20, 50, 100, 200)
CURES = (("prompts", "filler"), ("prompts", "shuffled"), ("prompts", "uneven"),
         ("rotary_heads", 0.5), ("rotary_heads", 0.0))  # of heads the share that know positions
RANDOM = (("gap", "random"),)
REALIGNED, WITH_GAPS = " realigned", " with gaps"
ARMS = {((), ()): "", ((), (("gap", "realigned"),)): REALIGNED, (RANDOM, ()): WITH_GAPS}
OTHER_SIZES = (-2, 2)  # cells more than the scale's, both ways
ASKED = ["condition", "seed", "trained_gap", "answered", "answered_gap", "distribution"]


# ── the parts ───────────────────────────────────────────────────────────────────────────


def asked_anew(evaluations: list[EvaluationSpec], **answering) -> list[EvaluationSpec]:
    """The same models and mazes, asked in another way."""
    return [EvaluationSpec(one.model, one.distribution, tuple(answering.items()))
            for one in evaluations]


def realign(scale: Scale) -> list[EvaluationSpec]:
    """Every model of the headline, as it is and with its response where training had it."""
    return [*every(scale), *asked_anew(every(scale), gap="realigned")]


def width(scale: Scale) -> list[EvaluationSpec]:
    """The headline's models at other positions, on the kind of maze they were trained on."""
    home = every(scale, distributions=(scale.trained_on,))
    return home + [one for shift in SHIFTS for one in asked_anew(home, gap=shift)]


def gaps(scale: Scale) -> list[EvaluationSpec]:
    """Conditions trained without and with gaps; one whose trace tells, with gaps elsewhere too."""
    placed = [one for kind in ("solution", "both") for one in every(scale, (("gap", kind),))
              if one.model.condition == "correct"]
    return [*every(scale, (), RANDOM), *placed]


def cures(scale: Scale) -> list[EvaluationSpec]:
    """What else loosens positions, of two seeds: `helpers.layouts`, heads that know none."""
    found = []
    for name, value in CURES:
        if name == "rotary_heads":
            value = int(value * scale.model.kv_heads)
        found += every(scale, ((name, value),))
    return [one for one in found if one.model.condition in ("solution_only", "correct")
            and one.model.seed in scale.seeds[:2]]


def read(scale: Scale) -> list[EvaluationSpec]:
    """Models with traces, given one: their maze's, another's, what they wrote themselves."""
    traced = [one for one in every(scale, (), RANDOM) if one.model.has_trace]
    return traced + [one for kind in ("true", "other", "own")
                     for one in asked_anew(traced, given=kind)]


def sizes(scale: Scale) -> list[EvaluationSpec]:
    """Conditions without and with gaps on a smaller and a larger grid, of one seed."""
    grids = [(("rows", scale.rows + more), ("cols", scale.cols + more)) for more in OTHER_SIZES
             if min(scale.rows, scale.cols) + more >= SMALLEST]
    return [one for grid in grids for one in every(scale, grid, (*grid, *RANDOM))
            if one.model.seed == scale.seeds[0]]


PARTS: dict[str, tuple[str, Callable[[Scale], list[EvaluationSpec]]]] = {
    "realign": ("What if a response began where it did in training?", realign),
    "width": ("How far may a response be moved?", width),
    "gaps": ("What do models learn whose responses are moved about in training?", gaps),
    "cures": ("Does whatever loosens positions do the same?", cures),
    "read": ("Is the trace read at all?", read),
    "sizes": ("Is it the same on other grids?", sizes),
}


def further(scale: Scale) -> list[EvaluationSpec]:
    """Of further seeds: conditions without and with gaps, realigned, and given a trace."""
    more = with_further_seeds(scale)
    found = [*realign(more), *every(more, RANDOM), *read(more)]
    return [one for one in dict.fromkeys(found) if one.model.seed not in scale.seeds]


WITH_SEEDS = {**PARTS, "seeds": ("Is it the same with further seeds?", further)}


def all_parts(scale: Scale) -> list[EvaluationSpec]:
    """Everything that is asked of a scale's own seeds, each once."""
    return list(dict.fromkeys(one for _, part in PARTS.values() for one in part(scale)))


def all_that_is_shown(scale: Scale) -> list[EvaluationSpec]:
    """That, and what is asked of further seeds; no one is of both."""
    return [*all_parts(scale), *further(scale)]


# ── tables ──────────────────────────────────────────────────────────────────────────────


def analyse(run: Run, evaluations: list[EvaluationSpec]) -> dict[str, pd.DataFrame]:
    """Rates of everything asked; effects; and how much of each part there is.

    In one order, whichever part was made last.
    """
    place = {one: i for i, one in enumerate(all_that_is_shown(run.scale))}
    evaluations = sorted(evaluations, key=lambda one: place.get(one, len(place)))
    cells = [(one, steps.all_rows(run, [one])) for one in evaluations]
    return {"rates": pd.concat([_cell(*cell) for cell in cells], ignore_index=True),
            "effects": effects(cells), "parts": parts(run, evaluations)}


def _cell(one: EvaluationSpec, rows: pd.DataFrame) -> pd.DataFrame:
    """One row of the rates: who was asked what, and how, before how well it went."""
    asked, variation = dict(one.answering), dict(one.model.variation)
    gap = asked.get("gap", 0)
    table = evaluation.headline(rows)
    table["trained_gap"] = variation.pop("gap", "none")
    table["answered"] = "as_is" if gap == 0 else gap if gap == "realigned" else "fixed"
    table["answered_gap"] = rows["gap"].mean()
    table["given"] = asked.get("given", "nothing")
    table["otherwise"] = "+".join(f"{name}={value}" for name, value in variation.items())
    table["plan_follows_trace"] = rows["plan_follows_trace"].mean()
    table["right_plan"] = rows["right_plan"].mean() if "right_plan" in rows else pd.NA
    rest = ["n", "plan_valid", "plan_valid_low", "plan_valid_high", "trace_valid", "given",
            "otherwise", "grids", "plan_follows_trace", "right_plan"]
    return table[[*ASKED, *rest]]


def effects(cells: list[tuple[EvaluationSpec, pd.DataFrame]]) -> pd.DataFrame:
    """What moving a response does, what gaps do, and what is left of the conditions' leads.

    An arm is a condition, how it was trained or how it was asked: ``swapped``,
    ``swapped realigned``, ``swapped with gaps``. Each effect is of arms that are there for the
    same seeds.
    """
    arms: dict[str, list[pd.DataFrame]] = {}
    for one, rows in cells:
        arm = ARMS.get((one.model.variation, one.answering))
        if arm is not None:
            arms.setdefault(f"{one.model.condition}{arm}", []).append(rows)
    there = {arm: pd.concat(parts, ignore_index=True).assign(arm=arm)
             for arm, parts in arms.items()}
    conditions = [arm for arm in there if not arm.endswith(tuple(filter(None, ARMS.values())))]
    pairs = [(name, name + arm) for arm in ARMS.values() if arm for name in conditions]
    pairs += [(a + arm, b + arm) for arm in ("", WITH_GAPS) for a, b in combinations(conditions, 2)]
    shares = [(name, name + arm, "swapped") for arm in (REALIGNED, WITH_GAPS)
              for name in ("solution_only", "correct")]
    tables = [differences.differences(rows, arm="arm") for pair in pairs
              if (rows := _together(there, pair)) is not None]
    tables += [differences.shares(rows, *names, arm="arm") for names in shares
               if (rows := _together(there, names)) is not None]
    return pd.concat(tables, ignore_index=True) if tables else (
        pd.DataFrame(columns=differences.COLUMNS))


def _together(there: dict[str, pd.DataFrame], arms: tuple[str, ...]) -> pd.DataFrame | None:
    """The rows of these arms, of the seeds and distributions that all of them have."""
    if not all(arm in there for arm in arms):
        return None
    cells = [set(there[arm].groupby(["seed", "distribution"]).groups) for arm in arms]
    common = set.intersection(*cells)
    seeds = {seed for seed, _ in common}
    whole = {name for _, name in common if all((seed, name) in common for seed in seeds)}
    rows = pd.concat([there[arm] for arm in arms], ignore_index=True)
    rows = rows[rows["seed"].isin(seeds) & rows["distribution"].isin(whole)]
    return rows if len(rows) else None


def parts(run: Run, evaluations: list[EvaluationSpec]) -> pd.DataFrame:
    """How many evaluations each part has, and how many of them are in the tables."""
    there = set(evaluations)
    return pd.DataFrame([[name, len(part(run.scale)), len(there.intersection(part(run.scale)))]
                         for name, (_, part) in WITH_SEEDS.items()],
                        columns=["part", "wanted", "made"])


# ── for people ──────────────────────────────────────────────────────────────────────────


def states(rates: pd.DataFrame, part: str) -> pd.DataFrame:
    """The rates that one part is about, with a column ``state`` in words."""
    rates = rates.assign(otherwise=texts(rates["otherwise"]))
    unasked, plain = rates["given"] == "nothing", rates["otherwise"] == ""
    as_is, untrained = rates["answered"] == "as_is", rates["trained_gap"] == "none"
    cells = rates["otherwise"].str.extract(r"cols=(\d+)\+rows=(\d+)")
    grid = cells[1] + "×" + cells[0]
    of_cure = rates["otherwise"].str.match("prompts=|rotary_heads=")
    cured = rates.loc[of_cure, "condition"].unique()
    found = {
        "realign": (plain & unasked & untrained & (as_is | (rates["answered"] == "realigned")),
                    rates["answered"].replace("as_is", "as it is")),
        "width": (plain & unasked & untrained & (as_is | (rates["answered"] == "fixed")),
                  rates["answered"]),
        "gaps": (plain & unasked & as_is, rates["trained_gap"]),
        "cures": (unasked & as_is & rates["condition"].isin(cured) & untrained
                  & (plain | of_cure), rates["otherwise"].replace("", "as it is").str.replace(
                      "[=_]", " ", regex=True)),  # so that a label can be broken
        "read": (plain & as_is & rates["trained_gap"].isin(["none", "random"])
                 & rates["condition"].isin(rates.loc[~unasked, "condition"].unique()),
                 rates["given"].where(untrained, rates["given"] + WITH_GAPS)),
        "sizes": (grid.notna() & unasked & as_is, grid + " " + rates["trained_gap"]),
    }
    chosen, state = found[part]
    table = rates[chosen].assign(state=state[chosen])
    if part == "width" and len(table):  # only where models were asked behind several gaps
        shifted = table.loc[table["answered"] == "fixed", "distribution"].unique()
        table = table[table["distribution"].isin(shifted)]
    return table.reset_index(drop=True)


def validity(rates: pd.DataFrame, part: str, rate: str = "plan_valid") -> pd.DataFrame:
    """A rate of one part in per cent, a column a distribution."""
    return (100 * by_state(rates, part, rate)).round(1)


def by_state(rates: pd.DataFrame, part: str, value: str) -> pd.DataFrame:
    """A number of one part, a column a distribution."""
    key = ["condition", "seed", "state"]
    conditions = list(rates["condition"].unique())
    table = states(rates, part).sort_values(["condition", "seed"], kind="stable", key=lambda of: (
        of.map(conditions.index) if of.name == "condition" else of))
    if table.duplicated([*key, "distribution"]).any():  # a mean of two models says nothing
        raise ValueError(f"rates: got several of one {part} cell, takes one")
    return table.pivot_table(index=key, columns="distribution", values=value,
                             sort=False).astype(float)


def summary(run: Run) -> str:
    """Plan validity of the parts that were made."""
    rates = pd.read_csv(run.file("position", "rates.csv"), keep_default_na=False)
    wide = rates[rates["given"] == "nothing"].pivot_table(
        index=["condition", "trained_gap", "otherwise", "seed", "answered", "answered_gap"],
        columns="distribution", values="plan_valid", sort=False)
    done = pd.read_csv(run.file("position", "parts.csv"))
    return "\n\n".join([(100 * wide.astype(float)).round(1).to_string(),
                        done.to_string(index=False)])


def _experiment(question: str, evaluations: Callable[[Scale], list[EvaluationSpec]]) -> Experiment:
    return Experiment(
        question=question, notebook="10_position", evaluations=evaluations, analyse=analyse,
        summary=summary, tables=("rates", "effects", "parts"),
        figures=("realigned", "shifts", "gaps", "given"), folder="position",
        gathers=all_that_is_shown,
        whole=lambda scale: [*models_of(with_further_seeds(scale)), *models_of(scale, RANDOM)])


EXPERIMENTS = {"position": _experiment(
    "Is it the position that borrowed traces help with, out of distribution?", all_parts)} | {
    f"position_{name}": _experiment(*part) for name, part in WITH_SEEDS.items()}
