"""Does a trace say more to its writer than to others? Train two, swap their reasoning.

A reader writes its plan behind a trace that another model has written of the same maze: one of
another seed, of another condition, or one trained with gaps. Beside that stand the reader's own
trace, the true one and another maze's. What a trace tells by its meaning it tells whoever reads
it; what it tells its writer alone is something between the lines.
"""

from collections.abc import Callable
from dataclasses import replace

import pandas as pd

from helpers.experiments.given import asked, by_given, leads, rates, readers
from helpers.experiments.position import RANDOM
from helpers.study.runs import Run
from helpers.study.scale import Scale
from helpers.study.specs import EvaluationSpec, Experiment, ModelSpec

ASKED = ["reader", "seed", "distribution", "given"]
OTHER_SEED = "another seed"
WRITERS = {"own": "its own", OTHER_SEED: "its like of another seed", "true": "A*, this maze",
           "other": "A*, another maze"}  # models of other kinds are called as they are


# ── who reads whom ──────────────────────────────────────────────────────────────────────


def writers(reader: ModelSpec, models: list[ModelSpec]) -> list[ModelSpec]:
    """Models that differ from a reader in one thing, of other seeds the next alone."""
    like = [one for one in models if replace(one, seed=reader.seed) == reader]
    after = like[(like.index(reader) + 1) % len(like)]
    return [one for one in models if one != reader and (
        one == after or replace(one, condition=reader.condition) == reader
        or replace(one, variation=reader.variation) == reader)]


def _asked(traced: list[EvaluationSpec]) -> list[EvaluationSpec]:
    """Models with traces, given each other's, their own, the true one and another maze's."""
    models = list(dict.fromkeys(one.model for one in traced))
    return [EvaluationSpec(one.model, one.distribution, (("given", given),)) for one in traced
            for given in ("own", *(writer.name for writer in writers(one.model, models)),
                          "true", "other")]


def evaluations(scale: Scale) -> list[EvaluationSpec]:
    """The headline's models with traces."""
    return _asked(readers(scale))


def with_gaps(scale: Scale) -> list[EvaluationSpec]:
    """Those and their like that were trained with gaps."""
    return _asked(readers(scale, (), RANDOM))


# ── tables ──────────────────────────────────────────────────────────────────────────────


def analyse(run: Run, evaluations: list[EvaluationSpec]) -> dict[str, pd.DataFrame]:
    """What plans fit; by how much any trace is ahead of the reader's own."""
    rows = pd.concat([asked(run, one, given(one)).assign(reader=one.model.kind)
                      for one in evaluations], ignore_index=True)
    arms = rows.assign(arm=rows["reader"] + " given " + rows["given"])
    pairs = [(f"{reader} given own", arm) for reader, part in arms.groupby("reader", sort=False)
             for arm in part["arm"].unique() if arm != f"{reader} given own"]
    return {"rates": rates(rows, ASKED), **leads(arms, pairs)}


def given(one: EvaluationSpec) -> str:
    """Whose trace a reader is given: its ``own``, of ``another seed``, of a kind of model, A*'s."""
    writer = one.source.model if one.source else None
    if writer in (None, one.model):
        return dict(one.answering)["given"]
    return writer.kind if writer.seed == one.model.seed else OTHER_SEED


def summary(run: Run) -> str:
    """How often plans fit the maze, by who wrote the trace."""
    table = pd.read_csv(run.file("subtext", "rates.csv"))
    return by_given(table, "plan_valid", reader="reader").to_string()


def _experiment(question: str, evaluations: Callable[[Scale], list[EvaluationSpec]]) -> Experiment:
    return Experiment(
        question=question, notebook="15_subtext", evaluations=evaluations, analyse=analyse,
        summary=summary, tables=("rates", "effects", "likelihoods"), figures=("fits",),
        folder="subtext", gathers=with_gaps)


EXPERIMENTS = {
    "subtext": _experiment("Does a trace say more to its writer than to others?", evaluations),
    "subtext_gaps": _experiment("And to models that were trained with gaps?", with_gaps)}
