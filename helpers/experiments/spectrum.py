"""What may a trace lose before it stops helping?

Conditions between a maze's own trace and none, after equally many examples, each of which takes
something else away (`helpers.corruptions`); what is left is measured on the training examples.
A trace that does not tell where it ends (filler, events in random order) may run on to the limit
when it is written greedily, whatever it is good for. So each model also plans behind a trace that
it has drawn at temperature 1, which ends as often as those it has learnt from.

The parts can be made one by one, ``spectrum_filler`` and so on; their tables show whatever of all
parts is there. ``spectrum_gaps`` asks again, with gaps in training (`position`), where traces have
become short, or of one length: there the plan's position may be what makes the difference.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

import pandas as pd

from helpers import evaluation
from helpers.conditions import CONDITIONS, put_together
from helpers.corpus import Corpus
from helpers.corruptions import CORRUPTIONS, what_is_left
from helpers.corruptions import PARTS as KINDS
from helpers.differences import COLUMNS, differences
from helpers.experiments.grpo import by_pair
from helpers.experiments.position import RANDOM, WITH_GAPS
from helpers.experiments.regime import in_and_out
from helpers.maze import Mazes
from helpers.study import steps
from helpers.study.cost import training_flops
from helpers.study.runs import Run
from helpers.study.scale import Scale
from helpers.study.specs import EvaluationSpec, Experiment, ModelSpec, every

SHARES = (0.25, 0.5, 0.75)  # of examples with another maze's trace; none and all are the headline's
ENOUGH = 20_000  # examples below which mazes are not learnt; of each part one condition stands
SAMPLE = 1000  # training examples on which it is measured what is left of their traces
DRAWN = (("given", "sampled"),)
SHORT = ("truncated", "wasteful")  # besides those with parts left out: short, or of one length


# ── the parts ───────────────────────────────────────────────────────────────────────────


def headline(scale: Scale) -> list[EvaluationSpec]:
    """The scale's own conditions, between which all others stand."""
    return _asked(scale, scale.conditions)


def shares(scale: Scale) -> list[EvaluationSpec]:
    """Other mazes' traces in some of the examples."""
    several = _few(scale, SHARES)
    return [*headline(scale),
            *_asked(scale, ["partly_swapped"], *((("share", share),) for share in several))]


def corrupted(scale: Scale, part: str) -> list[EvaluationSpec]:
    """The corruptions of one part."""
    return [*headline(scale), *_asked(scale, _few(scale, _of(part)))]


def gaps(scale: Scale) -> list[EvaluationSpec]:
    """Conditions whose plans stand at few positions, and the headline's, without gaps and with."""
    loosened = [*_few(scale, scale.conditions), *_few(scale, [*_of("drops"), *SHORT])]
    return list(dict.fromkeys([*headline(scale), *_asked(scale, loosened, (), RANDOM)]))


def _of(part: str) -> list[str]:
    return [name for name, one in CORRUPTIONS.items() if one.part == part]


def _few(scale: Scale, things: Iterable) -> list:
    """All of them; the first alone at scales that learn nothing that could tell them apart."""
    return list(things)[:None if scale.train_examples >= ENOUGH else 1]


def _asked(scale: Scale, conditions: Iterable[str], *variations: tuple) -> list[EvaluationSpec]:
    """Models of these conditions, as they write themselves and behind a trace that they drew."""
    among = scale.model_copy(update={"conditions": tuple(conditions)})
    return [EvaluationSpec(one.model, one.distribution, answering)
            for one in every(among, *variations, distributions=in_and_out(scale))
            for answering in ((), DRAWN) if one.model.has_trace or not answering]


PARTS: dict[str, tuple[str, Callable[[Scale], list[EvaluationSpec]]]] = {
    "shares": ("How many of the traces may be another maze's?", shares),
    "events": ("Does it matter in which order, and under which names, own events stand?",
               partial(corrupted, part="events")),
    "searches": ("Does it matter whose search it is, and of which maze?",
                 partial(corrupted, part="searches")),
    "drops": ("Which parts of a trace are needed?", partial(corrupted, part="drops")),
    "filler": ("Do words without meaning do?", partial(corrupted, part="filler")),
    "gaps": ("And where positions are moved about in training?", gaps),
}
TITLES = {"none": "", "shares": "traces of other mazes",
          **{part: title for part, (title, _) in KINDS.items()}}


def all_parts(scale: Scale) -> list[EvaluationSpec]:
    """Everything, each once."""
    return list(dict.fromkeys(one for _, part in PARTS.values() for one in part(scale)))


# ── names ───────────────────────────────────────────────────────────────────────────────


def place_of(model: ModelSpec) -> tuple[str, str]:
    """The part in which a model stands, and what its figure says of it."""
    if model.condition in CORRUPTIONS:
        one = CORRUPTIONS[model.condition]
        return one.part, one.says
    known = {"correct": 0.0, "swapped": 1.0} | dict(model.variation)
    share = known.get("share", known.get(model.condition))
    return ("none", "no trace") if share is None else ("shares", f"in {100 * share:g} %")


def arm_of(one: EvaluationSpec) -> str:
    """``shuffled``, ``partly_swapped 25 %``, ``correct with gaps``, ``filler drawn``."""
    variation = dict(one.model.variation)
    share = f" {100 * variation['share']:g} %" if "share" in variation else ""
    return (one.model.condition + share + WITH_GAPS * ("gap" in variation)
            + " drawn" * bool(one.answering))


# ── tables ──────────────────────────────────────────────────────────────────────────────


def analyse(run: Run, evaluations: list[EvaluationSpec]) -> dict[str, pd.DataFrame]:
    """What is left of traces; rates; by how much each arm is ahead; how much of it there is."""
    rows = {one: steps.all_rows(run, [one]).assign(arm=arm_of(one)) for one in evaluations}
    rates = pd.concat([_rates(*cell) for cell in rows.items()], ignore_index=True)
    return {"left": _in_order(left(run, evaluations)), "rates": _in_order(rates),
            "effects": effects(pd.concat(rows.values(), ignore_index=True)),
            "parts": parts(run, evaluations)}


def _in_order(table: pd.DataFrame) -> pd.DataFrame:
    """Rows in the order of the parts, shares of other mazes' traces from none to all."""
    share = table["says"].str.extract(r"^in ([\d.]+) %$")[0].astype(float).fillna(0)
    table = table.assign(at=table["part"].map(list(TITLES).index), share=share)
    return table.sort_values(["at", "share"], kind="stable", ignore_index=True).drop(
        columns=["at", "share"])


def _rates(one: EvaluationSpec, rows: pd.DataFrame) -> pd.DataFrame:
    """One row: which arm of which part, how it was trained and asked, how well it went."""
    part, says = place_of(one.model)
    table = evaluation.headline(rows).assign(
        endless=(rows["plan_error"] == "missing").mean(),
        trained_gap=dict(one.model.variation).get("gap", "none"),
        trace="drawn" if one.answering else "written" if one.model.has_trace else "none")
    for place, (name, value) in enumerate((("part", part), ("says", says),
                                           ("arm", rows["arm"].iloc[0]))):
        table.insert(place, name, value)
    return table[["part", "says", "arm", *evaluation.CELL, "trained_gap", "trace", "n", "grids",
                  "plan_valid", "plan_valid_low", "plan_valid_high", "endless", "trace_valid"]]


def effects(rows: pd.DataFrame) -> pd.DataFrame:
    """Every arm less `correct` and less no trace, asked alike; gaps less none; filler.

    Each of the mazes and seeds that both arms have.
    """
    arms = list(rows["arm"].unique())
    pairs = [("filler", "half_filler"), ("filler drawn", "half_filler drawn")]
    for arm in arms:
        drawn, gapped = " drawn" * arm.endswith(" drawn"), WITH_GAPS * (WITH_GAPS in arm)
        pairs += [(f"correct{gapped}{drawn}", arm), (f"solution_only{gapped}", arm)]
        pairs += [(arm.replace(WITH_GAPS, ""), arm)] * bool(gapped)
    tables = [pd.DataFrame(columns=COLUMNS)]
    for a, b in dict.fromkeys(pairs):
        keys = ["seed", "distribution", "maze"]
        both = pd.merge(*(rows.loc[rows["arm"] == arm, keys] for arm in (a, b)))
        if a != b and len(both):
            two = rows[rows["arm"].isin((a, b))].merge(both)
            tables.append(differences(two.sort_values("arm", key=lambda arm: arm == b,
                                                      kind="stable"), arm="arm"))
    return pd.concat(tables[1:] or tables, ignore_index=True)


def left(run: Run, evaluations: list[EvaluationSpec]) -> pd.DataFrame:
    """`corruptions.what_is_left` of the traces that each arm learns from, a row an arm."""
    whole = run.load(run.corpus("train"))
    few = replace(whole, bounds=whole.bounds[:SAMPLE],
                  mazes=Mazes(*(array[:SAMPLE] for array in whole.mazes)))
    table = {}
    for one in evaluations:
        model = one.model
        if model.has_trace and not one.answering and "gap" not in dict(model.variation):
            part, says = place_of(model)
            traces = put_together(few, CONDITIONS[model.condition], model.seed,
                                  **run.parameters(model)).traces
            table.setdefault(arm_of(one), {"part": part, "says": says, "arm": arm_of(one)}
                             | what_is_left(few, traces))
    return pd.DataFrame(table.values())


def parts(run: Run, evaluations: list[EvaluationSpec]) -> pd.DataFrame:
    """What each part takes, and how much of it is in the tables.

    Returns:
        A row a part: ``models``; ``new``, how many of them are not the headline's, and
        ``as_long_as``, as many trainings of the headline's longest these take, going by their
        arithmetic; evaluations ``wanted`` and ``made``.
    """
    own = {one.model for one in headline(run.scale)}
    longest = max(training_flops(run, model) for model in own)
    there, table = set(evaluations), []
    for name, (_, part) in PARTS.items():
        wanted = part(run.scale)
        models = dict.fromkeys(one.model for one in wanted)
        new = [training_flops(run, model) for model in models if model not in own]
        table.append([name, len(models), len(new), round(sum(new) / longest, 1), len(wanted),
                      len(there.intersection(wanted))])
    return pd.DataFrame(table, columns=["part", "models", "new", "as_long_as", "wanted", "made"])


# ── for people ──────────────────────────────────────────────────────────────────────────


def by_arm(rates: pd.DataFrame, rate: str = "plan_valid") -> pd.DataFrame:
    """A rate in per cent, a row an arm, a column a distribution and way of asking."""
    names = rates["says"] + rates["trained_gap"].map(lambda gap: WITH_GAPS * (gap != "none"))
    table = rates.assign(trace_learnt=names, part=rates["part"].map(TITLES))
    wide = table.pivot_table(index=["part", "trace_learnt", "seed"], sort=False,
                             columns=["distribution", "trace"], values=rate)
    return (100 * wide.astype(float)).round(1).astype(object).where(wide.notna(), "–")


def of_one_maze(corpus: Corpus, i: int, seed: int = 1) -> pd.DataFrame:
    """What the first words of one example's trace become under each corruption."""
    table = []
    for name, one in CORRUPTIONS.items():
        words = corpus.vocabulary.decode(
            put_together(corpus, CONDITIONS[name], seed).traces.piece(i)[1:]).split()
        table.append([name, TITLES[one.part], len(words), " ".join(words[:15])])
    return pd.DataFrame(table, columns=["condition", "part", "tokens", "begins"])


def ahead_of(effects: pd.DataFrame, base: str) -> pd.DataFrame:
    """By how many points each arm is ahead of one [95 % interval], a column a distribution."""
    return by_pair(effects[effects["quantity"].str.endswith(f" - {base}")], "plan_valid")


def of_gaps(effects: pd.DataFrame) -> pd.DataFrame:
    """By how many points each arm with gaps is ahead of the same without."""
    arms = effects["quantity"].str.removeprefix("plan_valid: ").str.split(" - ", expand=True)
    same = arms[0].str.replace(WITH_GAPS, "") == arms[1]
    return by_pair(effects[same & (arms[0] != arms[1])], "plan_valid")


def summary(run: Run) -> str:
    """Plan validity by arm, and which parts were made."""
    rates, done = (pd.read_csv(run.file("spectrum", f"{name}.csv")) for name in ("rates", "parts"))
    return "\n\n".join([by_arm(rates).to_string(), done.to_string(index=False)])


def _experiment(question: str, evaluations: Callable[[Scale], list[EvaluationSpec]]) -> Experiment:
    return Experiment(
        question=question, notebook="20_spectrum", evaluations=evaluations, analyse=analyse,
        summary=summary, tables=("left", "rates", "effects", "parts"), figures=("spectrum",),
        folder="spectrum", gathers=all_parts)


EXPERIMENTS = {"spectrum": _experiment(
    "What may a trace lose before it stops helping?", all_parts)} | {
    f"spectrum_{name}": _experiment(*part) for name, part in PARTS.items()}
