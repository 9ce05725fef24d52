"""Is a trace more than room to compute in?

A model with a trace computes more: it learns from more words, and works longer on each answer. So
conditions are compared after equally many examples (half of the scale's), after equally many words
of responses and after equally many floating-point operations, as many as those of `correct`; words
without meaning (``filler``) give room as long as a trace; and a looped model (`helpers.looped`)
gives the same without a word, and says of each word how many loops it took: do they follow
difficulty, where the length of a trace may not? How much each training computes is arithmetic
(`helpers.study.cost`). Parts of their own are equally many words, ``compute_words``, and depth
without sharing and sharing without depth, ``compute_depth``.
"""

from collections.abc import Callable
from typing import NamedTuple

import pandas as pd

from helpers import differences, evaluation, resampling
from helpers.checkpoints import load_model
from helpers.corpus import expansions
from helpers.experiments.position import REALIGNED, asked_anew
from helpers.experiments.regime import in_and_out
from helpers.looping import loops_taken
from helpers.responses import prompt_lengths
from helpers.study import asking, steps
from helpers.study.cost import work
from helpers.study.runs import Run
from helpers.study.scale import Scale
from helpers.study.specs import EvaluationSpec, Experiment, every

REFERENCE, NONE, FILLER = "correct", "solution_only", "filler"
BUDGETS = {"examples": "equal examples", "tokens": "equal response tokens", "flops": "equal FLOPs"}
DEEPER = 4  # times the blocks of the scale's model that a looped model goes through
LOOPS = (1, 2, 4, 8, 16)  # after which it is asked, where it has so many
FIFTHS, DRAWN = 5, " drawn"
PLAIN, LOOPED, DEEP, SHARED = "plain", "looped", "deep", "one block"
CELL = ["kind", "condition", "seed", "distribution"]


# ── what is trained ─────────────────────────────────────────────────────────────────────


class Arm(NamedTuple):
    """Models that differ in their seed alone."""

    kind: str
    condition: str
    budget: str
    examples: int

    @property
    def name(self) -> str:
        kind = f" {self.kind}" * (self.kind != PLAIN)
        return f"{self.condition}{kind}" + at(self.budget) * (self.condition == NONE)


def at(budget: str) -> str:
    return "" if budget == "examples" else f" at {BUDGETS[budget]}"


def shapes(scale: Scale) -> dict[str, tuple]:
    """How each kind of model differs from the scale's."""
    deep, layers = DEEPER * scale.model.layers, scale.model.layers
    return {PLAIN: (), LOOPED: (("layers", deep), ("loops", deep)), DEEP: (("layers", deep),),
            SHARED: (("loops", layers),)}


def arms(scale: Scale, words: bool = True, depth: bool = True) -> list[Arm]:
    """All that is compared; budgets in which a condition has what it has already are the same.

    None after so few examples that a training would be mostly warm-up.

    Args:
        words: whether with no trace at equal response tokens.
        depth: whether with the controls of depth and sharing.
    """
    half = scale.train_examples // 2
    conditions = dict.fromkeys([*scale.conditions, FILLER])
    found = [Arm(PLAIN, condition, budget, half) for condition in conditions if condition != NONE
             for budget in BUDGETS]
    for kind, budgets in ((PLAIN, BUDGETS), (LOOPED, ("examples", "flops"))):
        found += [Arm(kind, NONE, budget, examples(scale, kind, budget)) for budget in budgets
                  if words or budget != "tokens"]
    if depth:
        found += [Arm(kind, NONE, "examples", half) for kind in (DEEP, SHARED)]
    shortest = max(4 * scale.training.warmup_steps, 1) * scale.training.batch_size
    return [arm for arm in found if arm.examples >= shortest]


def examples(scale: Scale, kind: str, budget: str) -> int:
    """How many examples without a trace are as much as half of the scale's with their own.

    Rounded to hundredths of those; the scale's own number where it is no farther than that.
    """
    half = scale.train_examples // 2
    if budget == "examples":
        return half
    ours, theirs = (work(scale.varied(shapes(scale)[kind]) if condition == NONE else scale,
                         condition, scale.seeds[0]) for condition in (NONE, REFERENCE))
    unit = max(half // 100, 1)
    ratio = (theirs.response_tokens / ours.response_tokens if budget == "tokens"
             else theirs.flops / ours.flops)
    found = max(round(half * ratio / unit), 1) * unit
    return scale.train_examples if abs(found - scale.train_examples) <= unit else found


def asked(scale: Scale, arm: Arm) -> list[EvaluationSpec]:
    """What the models of an arm are asked; looped ones also after some loops.

    Of filler the likeliest next word is always filler, so answers are drawn too: they have an end.
    """
    of_one = scale.model_copy(update={"conditions": (arm.condition,)})
    usual = every(of_one, (("train_examples", arm.examples), *shapes(scale)[arm.kind]),
                  distributions=in_and_out(scale))
    far = [one for one in usual if one.distribution != scale.trained_on]
    loops = dict(shapes(scale)[LOOPED])["loops"] if arm.kind == LOOPED else 0
    drawn = asked_anew(usual, temperature=1.0) if arm.condition == FILLER else []
    return [*usual, *drawn, *asked_anew(far, gap="realigned"),
            *(one for number in LOOPS if number <= loops and arm.budget == "examples"
              for one in asked_anew([one for one in usual if one not in far], loops=number))]


def evaluations(scale: Scale) -> list[EvaluationSpec]:
    """At equal examples and FLOPs, without the controls of depth and sharing."""
    return _all(scale, words=False, depth=False)


def with_words(scale: Scale) -> list[EvaluationSpec]:
    """The same, and at equal response tokens."""
    return _all(scale, depth=False)


def with_depth(scale: Scale) -> list[EvaluationSpec]:
    """The first, and the controls."""
    return _all(scale, words=False)


def _all(scale: Scale, **parts: bool) -> list[EvaluationSpec]:
    return list(dict.fromkeys(one for arm in arms(scale, **parts) for one in asked(scale, arm)))


# ── tables ──────────────────────────────────────────────────────────────────────────────


def analyse(run: Run, evaluations: list[EvaluationSpec]) -> dict[str, pd.DataFrame]:
    """Rates, what each training computed, differences; loops and traces beside difficulty."""
    there = set(evaluations)
    rows = {one: steps.all_rows(run, [one]) for one in evaluations}
    cells = [(arm, one) for arm in arms(run.scale) for one in asked(run.scale, arm)
             if one in there]
    # what has a trace, or filler, is the same in each budget
    once = [(arm, one) for arm, one in cells if arm.condition == NONE or arm.budget == "examples"]
    longer = pd.concat([lengths(run, arm, one) for arm, one in once
                        if not one.answering and arm.budget == "examples"
                        and (arm.kind == LOOPED or one.model.has_trace)], ignore_index=True)
    return {"rates": pd.concat([_rates(arm, one, rows[one]) for arm, one in cells],
                               ignore_index=True),
            "work": worked(run, dict.fromkeys(arm for arm, _ in cells)),
            "effects": pd.concat([effects([(arm, one, rows[one]) for arm, one in once]),
                                  followed(longer)], ignore_index=True),
            "difficulty": difficulty(longer), "fifths": fifths(longer)}


def _rates(arm: Arm, one: EvaluationSpec, rows: pd.DataFrame) -> pd.DataFrame:
    """One row of the rates."""
    table, way = evaluation.headline(rows), dict(one.answering)
    answered = "drawn" if "temperature" in way else way.get("gap", "as it is")
    loops = way.get("loops", "where it stops" if arm.kind in (LOOPED, SHARED) else "none")
    for place, (name, value) in enumerate((
            ("kind", arm.kind), ("budget", BUDGETS[arm.budget]), ("train_examples", arm.examples),
            ("answered", answered), ("loops", str(loops)))):
        table.insert(place, name, value)
    return table


def worked(run: Run, which: list[Arm]) -> pd.DataFrame:
    """What a training of each arm reads and computes, by arithmetic.

    Returns:
        A row an arm: train_examples; response_tokens and flops, of all of them together;
        blocks, how many a token goes through, and parameters of the matrices inside them.
    """
    table = []
    for arm in which:
        scale = run.scale.varied(shapes(run.scale)[arm.kind])
        each, config = work(scale, arm.condition, scale.seeds[0]), scale.transformer()
        weights = sum(config.width * size for size in (
            (2 * config.heads + 2 * config.kv_heads) * config.head_width, 3 * config.mlp_width))
        table.append([arm.kind, arm.condition, BUDGETS[arm.budget], arm.examples,
                      round(each.response_tokens * arm.examples), each.flops * arm.examples,
                      config.layers, weights * config.layers // (scale.model.loops or 1)])
    return pd.DataFrame(table, columns=["kind", "condition", "budget", "train_examples",
                                        "response_tokens", "flops", "blocks", "parameters"])


def effects(cells: list[tuple[Arm, EvaluationSpec, pd.DataFrame]]) -> pd.DataFrame:
    """Arms two at a time, as they are and with responses where training had them; loops."""
    parts: dict[str, list[pd.DataFrame]] = {}
    for arm, one, rows in cells:
        way = dict(one.answering)
        name = arm.name + REALIGNED * ("gap" in way) + DRAWN * ("temperature" in way) + (
            f" after {way['loops']}" if "loops" in way else "")
        parts.setdefault(name, []).append(rows)
    there = {name: pd.concat(some, ignore_index=True).assign(arm=name)
             for name, some in parts.items()}
    others = [name for name in dict.fromkeys(arm.name for arm, *_ in cells)
              if not name.startswith(NONE)] + [FILLER + DRAWN]
    looped, pairs = f"{NONE} {LOOPED}", []
    for budget in BUDGETS:
        pairs += [(NONE + at(budget), other) for other in others]
        pairs += [(looped + at(budget), other) for other in others]
        pairs.append((NONE + at(budget), looped + at(budget)))
    pairs += [(NONE, NONE + at(budget)) for budget in BUDGETS if at(budget)]
    pairs += [(FILLER + DRAWN, other) for other in others if not other.startswith(FILLER)]
    pairs += [(f"{NONE} {DEEP}", looped), *((NONE, f"{NONE} {kind}") for kind in (DEEP, SHARED))]
    again = [(a + REALIGNED, b + REALIGNED) for a, b in pairs]
    again += [(name, name + REALIGNED) for name in there]
    again += [(f"{looped} after {number}", looped) for number in LOOPS]
    found = [differences.differences(differences.in_both(there[a], there[b]), arm="arm")
             for a, b in pairs + again if a in there and b in there]
    return pd.concat(found, ignore_index=True)


# ── difficulty ──────────────────────────────────────────────────────────────────────────


def lengths(run: Run, arm: Arm, one: EvaluationSpec) -> pd.DataFrame:
    """How long a model worked on each maze, and how hard that was.

    Returns:
        A row a maze: `CELL`, maze, grid; ``length``, loops a word (mean of the answer) of looped
        models, events of the trace of others; ``expansions``, cells that A* closes; own_plan_steps.
    """
    rows = steps.all_rows(run, [one])
    mazes = run.load(run.corpus("test", one.distribution, run.scale_of(one.model)))
    if arm.kind == LOOPED:
        model = load_model(run.store.use(run.model(one.model)), mazes, steps.device())
        texts = asking.written(run, one)
        answers = [mazes.vocabulary.encode(text)[length + 1:] for text, length in zip(
            texts, prompt_lengths(mazes), strict=True)]
        rows["length"] = [float(each.mean()) for each in loops_taken(
            model, mazes, one.model.condition, answers)]
    elif arm.condition == FILLER:
        rows["length"] = rows["response_tokens"].astype(float)
    else:
        rows["length"] = rows["trace_events"].astype(float)
    return rows.assign(kind=arm.kind, expansions=expansions(mazes))[
        [*CELL, "maze", "grid", "length", "expansions", "own_plan_steps"]]


NEEDED = ["seed", "grid", "length", "expansions", "own_plan_steps"]


def follows(rows: pd.DataFrame) -> float:
    """The rank correlation of how long a model worked and A*'s expansions."""
    return resampling.correlation(rows["length"], rows["expansions"])


def difficulty(longer: pd.DataFrame) -> pd.DataFrame:
    """How long models worked beside A*'s expansions.

    Returns:
        A row a cell: n; the mean of what was counted; its rank correlation with A*'s expansions
        with its interval; and that with the steps of A*'s plan.
    """
    table = [[*cell, len(part), part["length"].mean(),
              *resampling.estimate(part[NEEDED], follows)[:3],
              resampling.correlation(part["length"], part["own_plan_steps"])]
             for cell, part in longer.groupby(CELL, sort=False)]
    return pd.DataFrame(table, columns=[*CELL, "n", "length", "correlation", "correlation_low",
                                        "correlation_high", "correlation_with_plan"])


def followed(longer: pd.DataFrame) -> pd.DataFrame:
    """The same correlations over seeds, as claims are about them."""
    table = []
    for (kind, condition, distribution), part in longer.groupby(
            ["kind", "condition", "distribution"], sort=False):
        what = "loops" if kind == LOOPED else "length"
        found = resampling.estimate(part[NEEDED], follows)
        table.append([f"{what} with A*'s expansions, {condition}", distribution, *found[:-1]])
    return pd.DataFrame(table, columns=differences.COLUMNS)


def fifths(longer: pd.DataFrame) -> pd.DataFrame:
    """How long models worked, by fifths of the mazes in order of A*'s expansions.

    Returns:
        A row a cell and fifth: n, median expansions, mean length with its 95 % interval over grids.
    """
    table = []
    for cell, part in longer.groupby(CELL, sort=False):
        of = pd.qcut(part["expansions"], FIFTHS, labels=False, duplicates="drop")
        for number, fifth in part.groupby(of):
            found = differences.average(fifth, "length")
            table.append([*cell, int(number) + 1, len(fifth), fifth["expansions"].median(),
                          *found[:3]])
    return pd.DataFrame(table, columns=[
        *CELL, "fifth", "n", "expansions", "length", "length_low", "length_high"])


# ── for people ──────────────────────────────────────────────────────────────────────────


def usual(rates: pd.DataFrame) -> pd.DataFrame:
    """Plain models, asked as they are, of filler drawn: what each budget buys."""
    return _as_usual(rates[rates["kind"] == PLAIN])


def _as_usual(rates: pd.DataFrame) -> pd.DataFrame:
    way = rates["condition"].map(lambda name: "drawn" if name == FILLER else "as it is")
    return rates[rates["answered"] == way]


def by_budget(rates: pd.DataFrame) -> pd.DataFrame:
    """Plan validity in per cent [95 % interval], budgets and kinds of model below each other."""
    there = _as_usual(rates[rates["loops"].isin(["none", "where it stops"])])
    shown = {key: evaluation.percent_table(part)
             for key, part in there.groupby(["budget", "kind"], sort=False)}
    return pd.concat(shown, names=["budget", "kind"])


def amounts(table: pd.DataFrame) -> pd.DataFrame:
    """What each training reads and computes, in thousands, millions and TFLOP."""
    shown = {"examples / 1 000": table["train_examples"] / 1e3,
             "response tokens / million": table["response_tokens"] / 1e6,
             "TFLOP": table["flops"] / 1e12}
    return table.assign(**shown).set_index(["kind", "condition", "budget"])[
        [*shown, "blocks", "parameters"]].round(2)


def summary(run: Run) -> str:
    """Plan validity by budget, and what was followed."""
    read = {name: pd.read_csv(run.file("compute", f"{name}.csv"))
            for name in ("rates", "difficulty")}
    return (f"Plan validity, per cent [95 % interval]\n{by_budget(read['rates']).to_string()}\n\n"
            "Rank correlation with A*'s expansions\n"
            + read["difficulty"].round(2).to_string(index=False))


def _experiment(question: str, evaluations: Callable[[Scale], list[EvaluationSpec]]) -> Experiment:
    return Experiment(question, notebook="23_compute", evaluations=evaluations, analyse=analyse,
                      tables=("rates", "work", "effects", "difficulty", "fifths"),
                      figures=("compute", "loops"), folder="compute", summary=summary, gathers=_all)


EXPERIMENTS = {
    "compute": _experiment("Is a trace more than room to compute in?", evaluations),
    "compute_words": _experiment("And after as many words of responses?", with_words),
    "compute_depth": _experiment("And is it depth or sharing that loops bring?", with_depth)}
