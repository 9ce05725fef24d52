"""Does a model that fills its answer in, in any order, need a trace, and which order serves it?

The conditions of a scale under two more objectives (`helpers.objectives`): masked diffusion, and
word by word with the plan backwards, which has the one advantage that diffusion could take from
beginning at the goal. All after equally many examples, half as many as the scale's: a diffusion
model reads two to three times the words, since responses are filled up. It answers in few steps and
in many, in four orders. Responses with a trace, one word a step, take longer than all else; they
are a part of its own, ``diffusion_all_steps``. Another, ``diffusion_reward``, lets the diffusion
models go on from answers of their own (`helpers.unigrpo`), beside the controls of `grpo`.
"""

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pandas as pd

from helpers import differences, evaluation
from helpers.checkpoints import load_model, read_checkpoint
from helpers.conditions import CONDITIONS, prompts
from helpers.experiments import grpo
from helpers.experiments.latents import first
from helpers.experiments.position import REALIGNED, asked_anew
from helpers.experiments.regime import in_and_out
from helpers.language import END, SOLUTION
from helpers.study import steps
from helpers.study.runs import Run
from helpers.study.scale import Scale
from helpers.study.specs import EvaluationSpec, Experiment, every
from helpers.unmasking import ORDERS, STEPS, fill_in

LIKELIHOOD, BACKWARDS, DIFFUSION = "likelihood", "backwards", "diffusion"
NAMES = {LIKELIHOOD: "word by word", BACKWARDS: "plan backwards", DIFFUSION: "diffusion"}
CALLED = {"confidence": "by confidence", "random": "at random", "blocks": "in blocks",
          "left": "left to right"}
USUAL, NO_WAY = ("confidence", STEPS), ("none", "none")  # of diffusion, of other models
AS_IT_IS = "as it is"
NUMBERS = (1, 5, STEPS, "all")  # of steps
ASKED = 200  # mazes at most, where orders and numbers of steps are compared
PART = ["condition", "seed", "distribution", "part"]
REWARD = {"rates": ("after",), "effects": differences.COLUMNS, "along": grpo.ALONG}  # columns
QUARTERS = ("first", "second", "third", "last")


# ── who is asked what ───────────────────────────────────────────────────────────────────


def evaluations(scale: Scale) -> list[EvaluationSpec]:
    """All but answers with a trace that are revealed word by word."""
    return [one for one in with_all_steps(scale)
            if dict(one.answering).get("steps") != "all" or not one.model.has_trace]


def with_all_steps(scale: Scale) -> list[EvaluationSpec]:
    """All objectives in and out of distribution, there also realigned; diffusion in other ways."""
    usual = every(scale, *((_half(scale), ("objective", name)) for name in NAMES),
                  distributions=in_and_out(scale))
    far = [one for one in usual if one.distribution != scale.trained_on]
    some = (("mazes", ASKED),) if scale.test_examples > ASKED else ()
    # one step reveals all at once, in whichever order
    ways = [(*some, ("order", order), ("steps", number)) for number in NUMBERS for order in ORDERS
            if (order, number) != USUAL and (number != 1 or order == USUAL[0])]
    decoded = [EvaluationSpec(one.model, one.distribution, way) for one in usual for way in ways
               if objective(one) == DIFFUSION and one not in far]
    return [*usual, *asked_anew(far, gap="realigned"), *decoded]


def with_reward(scale: Scale) -> list[EvaluationSpec]:
    """Diffusion models before and after they went on, in and out of distribution."""
    ways = ((), grpo.GRPO, grpo.CONTINUED, grpo.REJECTION)
    return every(scale, *((_half(scale), ("objective", DIFFUSION), *way) for way in ways),
                 distributions=in_and_out(scale))


def all_parts(scale: Scale) -> list[EvaluationSpec]:
    """What any part asks."""
    return list(dict.fromkeys([*with_all_steps(scale), *with_reward(scale)]))


def _half(scale: Scale) -> tuple[str, int]:
    return "train_examples", scale.train_examples // 2


# ── tables ──────────────────────────────────────────────────────────────────────────────


def analyse(run: Run, evaluations: list[EvaluationSpec]) -> dict[str, pd.DataFrame]:
    """Rates of all that was asked; differences; in which order plans and traces are revealed; and
    what became of models that went on."""
    rows = {one: steps.all_rows(run, [one]) for one in evaluations if not one.model.before}
    usual = [one for one in rows if objective(one) == DIFFUSION and not one.answering
             and one.distribution == run.scale.trained_on]
    shown = pd.concat([revealed(run, one) for one in usual], ignore_index=True)
    return {"rates": pd.concat([_cell(*cell) for cell in rows.items()], ignore_index=True),
            "effects": pd.concat([effects(rows), directions(shown)], ignore_index=True),
            **reward(run, evaluations),
            "revealed": shown.groupby(PART, sort=False, as_index=False).agg(
                n=("maze", "size"), **{name: (name, "mean") for name in (*QUARTERS, "order")})}


def reward(run: Run, evaluations: list[EvaluationSpec]) -> dict[str, pd.DataFrame]:
    """Of the models that went on, and as they were before: tables of `grpo`, or empty ones."""
    begun = {one.model.before for one in evaluations}
    asked = [one for one in evaluations if one.model.before
             or (one.model in begun and not one.answering)]
    found = grpo.analyse(run, asked) if asked else {}
    return {f"reward_{name}": table for name, table in _each(found).items()}


def _each(found: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    return {name: found.get(name, pd.DataFrame(columns=columns))
            for name, columns in REWARD.items()}


def objective(one: EvaluationSpec) -> str:
    """The objective of the model that is asked."""
    return dict(one.model.variation).get("objective", LIKELIHOOD)


def way(one: EvaluationSpec) -> tuple[str, str]:
    """Order and number of steps of a diffusion model's answers."""
    if objective(one) != DIFFUSION:
        return NO_WAY
    asked = dict(one.answering)
    return asked.get("order", USUAL[0]), str(asked.get("steps", USUAL[1]))


def _cell(one: EvaluationSpec, rows: pd.DataFrame) -> pd.DataFrame:
    """One row of the rates: which objective, how it was asked, how well it went."""
    table = evaluation.headline(rows)
    gap = dict(one.answering).get("gap", AS_IT_IS)
    for place, (name, value) in enumerate(zip(
            ("objective", "order", "steps", "answered"),
            (NAMES[objective(one)], *way(one), gap), strict=True)):
        table.insert(place, name, value)
    return table


def effects(rows: dict[EvaluationSpec, pd.DataFrame]) -> pd.DataFrame:
    """Objectives, conditions under each, positions, and ways to reveal, two at a time.

    Arms are called ``correct``, ``correct backwards``, ``correct diffusion realigned``, ``correct
    diffusion, left in 20``. Two arms are compared on the mazes that both were asked.
    """
    arms: dict[str, list[pd.DataFrame]] = {}
    for one, part in rows.items():
        arms.setdefault(_arm(one), []).append(part)
    there = {arm: pd.concat(parts, ignore_index=True).assign(arm=arm)
             for arm, parts in arms.items()}
    conditions = list(dict.fromkeys(one.model.condition for one in rows))
    pairs = []
    for condition in conditions:
        back, filled = f"{condition} {BACKWARDS}", f"{condition} {DIFFUSION}"
        pairs += [(condition, filled), (condition, back), (back, filled)]
        pairs += [(arm, arm + REALIGNED) for arm in (condition, back, filled)]
        pairs += [(f"{filled}, {order} in {number}", filled)
                  for order, number in ((USUAL[0], 1), *((name, USUAL[1]) for name in ORDERS))]
        pairs.append((filled, f"{filled}, {USUAL[0]} in all"))
    pairs += [(f"{a} {name}", f"{b} {name}") for name in (BACKWARDS, DIFFUSION)
              for a, b in combinations(conditions, 2)]
    return pd.concat([differences.differences(differences.in_both(there[a], there[b]),
                                              ("plan_valid", "trace_valid"), arm="arm")
                      for a, b in pairs if a in there and b in there], ignore_index=True)


def _arm(one: EvaluationSpec) -> str:
    asked = dict(one.answering)
    name = objective(one)
    arm = one.model.condition + f" {name}" * (name != LIKELIHOOD) + REALIGNED * ("gap" in asked)
    return arm + (f", {asked['order']} in {asked['steps']}" if "order" in asked else "")


# ── from which end ──────────────────────────────────────────────────────────────────────


def revealed(run: Run, one: EvaluationSpec) -> pd.DataFrame:
    """When a diffusion model reveals what, answering in the usual way.

    Returns:
        A row a maze and part of its answer, ``trace`` or ``plan``, of four words or more: the mean
        step of each quarter of it, as a share of all steps, and ``order``, the rank correlation of
        place and step, 0 where all came at once.
    """
    path = run.store.use(run.model(one.model))
    mazes = first(run.load(run.corpus("test", one.distribution, run.scale_of(one.model))), ASKED)
    filled = fill_in(load_model(path, mazes, steps.device()),
                     prompts(mazes, CONDITIONS[one.model.condition]),
                     read_checkpoint(path)[0]["follows_from"]["room"])
    found = []
    for maze, (ids, when) in enumerate(zip(filled.ids, filled.when / filled.when.max(),
                                           strict=True)):
        end = _first(ids, END)
        solution = min(_first(ids, SOLUTION), end) if one.model.has_trace else -1
        parts = {"trace": when[:max(solution, 0)], "plan": when[solution + 1:end]}
        found += [{"condition": one.model.condition, "seed": one.model.seed,
                   "distribution": one.distribution, "part": part, "maze": maze,
                   "grid": mazes.grids[maze], "order": _order(each), **_quarters(each)}
                  for part, each in parts.items() if len(each) >= len(QUARTERS)]
    return pd.DataFrame(found, columns=[*PART, "maze", "grid", "order", *QUARTERS])


def _first(ids: np.ndarray, word: int) -> int:
    """Where a word stands first, or the end."""
    found = np.flatnonzero(ids == word)
    return int(found[0]) if len(found) else len(ids)


def _order(when: np.ndarray) -> float:
    """Spearman's correlation of place and step."""
    if len(np.unique(when)) == 1:
        return 0.0
    return float(pd.Series(when).corr(pd.Series(range(len(when))), method="spearman"))


def _quarters(when: np.ndarray) -> dict[str, float]:
    return {name: float(part.mean()) for name, part in zip(
        QUARTERS, np.array_split(when, len(QUARTERS)), strict=True)}


def directions(shown: pd.DataFrame) -> pd.DataFrame:
    """The mean correlation of place and step: below 0 where the end comes first."""
    table = []
    for (part, condition, where), rows in shown.groupby(["part", "condition", "distribution"],
                                                        sort=False):
        # an answer without such a part has no order
        whole = rows[rows.groupby("maze")["seed"].transform("size") == rows["seed"].nunique()]
        if len(whole):
            found = differences.average(whole, "order")
            table.append([f"order of the {part}, {condition} diffusion", where, *found[:-1]])
    return pd.DataFrame(table, columns=differences.COLUMNS)


# ── for people ──────────────────────────────────────────────────────────────────────────


def usual(rates: pd.DataFrame) -> pd.DataFrame:
    """The rates of answers in the usual way, with their responses where they stand."""
    way_of = rates["order"] + " " + rates["steps"]
    return rates[(rates["answered"] == AS_IT_IS)
                 & way_of.isin([" ".join(NO_WAY), " ".join(map(str, USUAL))])]


def by_objective(rates: pd.DataFrame, rate: str = "plan_valid") -> pd.DataFrame:
    """A rate in per cent [95 % interval], objectives one below the other."""
    shown = {name: evaluation.percent_table(part, rate)
             for name, part in rates.dropna(subset=rate).groupby("objective", sort=False)}
    return pd.concat(shown, names=["objective"])


def by_way(rates: pd.DataFrame, rate: str = "plan_valid") -> pd.DataFrame:
    """A rate of diffusion models in per cent, a row an order, a column a number of steps."""
    filled = rates[(rates["objective"] == NAMES[DIFFUSION]) & (rates["answered"] == AS_IT_IS)
                   & (rates["distribution"] == rates["distribution"].iloc[0])]
    wide = filled.pivot_table(index=["condition", "seed", "order"], columns="steps", values=rate,
                              sort=False)
    return (100 * wide[[str(number) for number in NUMBERS if str(number) in wide]]).round(1)


def paid(tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The tables of models that went on, as `grpo` names and shows them; empty without such."""
    return _each({name.removeprefix("reward_"): table for name, table in tables.items()
                  if name.startswith("reward_")})


def summary(run: Run) -> str:
    """Plan validity by objective, by way to answer, and by how models went on."""
    rates = pd.read_csv(run.file("diffusion", "rates.csv"), dtype={"steps": str})
    rewarded = pd.read_csv(run.file("diffusion", "reward_rates.csv"))
    return "\n".join(["Plan validity, per cent [95 % interval]",
                      by_objective(usual(rates)).to_string(), "",
                      "Of diffusion models by order and number of steps, per cent",
                      by_way(rates).to_string(), "",
                      "Of diffusion models by how they went on, per cent [95 % interval]",
                      grpo.by_way(rewarded).to_string()])


def _experiment(question: str, evaluations: Callable[[Scale], list[EvaluationSpec]]) -> Experiment:
    return Experiment(
        question=question, notebook="22_diffusion", evaluations=evaluations, analyse=analyse,
        summary=summary, tables=("rates", "effects", "revealed", *(f"reward_{n}" for n in REWARD)),
        figures=("diffusion", "steps"), folder="diffusion", gathers=all_parts)


EXPERIMENTS = {
    "diffusion": _experiment("Does a model that fills its answer in need a trace?", evaluations),
    "diffusion_all_steps": _experiment("And if it reveals a trace word by word?", with_all_steps),
    "diffusion_reward": _experiment("And if it is paid for valid plans?", with_reward)}
