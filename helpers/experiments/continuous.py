"""Can a trace be kept in vectors instead of words, and need they be fed back?

Each model of a scale that has learnt to write a trace goes on for half as many steps, in which the
trace is taken away step by step (`helpers.curriculum`). What comes in its place: the model's last
hidden state, fed back (Coconut); a word that says nothing, in as many places; nothing (iCoT).
Beside them the same models go on with their trace, and those without a trace without, by the same
examples, settings and new beginnings of the optimisers. Latents are also those of another maze: of
one whose trace was borrowed in training (``swapped``), or that is put in when a model answers.
"""

import numpy as np
import pandas as pd
import torch

from helpers import differences, evaluation
from helpers.checkpoints import load_model, read_checkpoint
from helpers.conditions import CONDITIONS, lenders, prompts
from helpers.continuous import in_rows, think
from helpers.curriculum import latents_of, stage_at, stages
from helpers.experiments.latents import first
from helpers.experiments.position import REALIGNED, asked_anew
from helpers.experiments.regime import in_and_out
from helpers.model import Transformer
from helpers.objectives import USUAL
from helpers.study import steps
from helpers.study.runs import Run
from helpers.study.scale import Scale
from helpers.study.specs import EvaluationSpec, Experiment, every

BEFORE, KEPT, REMOVED, PAUSED, CONTINUOUS = USUAL, "kept", "removed", "paused", "continuous"
NAMES = {BEFORE: "before", KEPT: "trace kept", REMOVED: "trace removed", PAUSED: "pauses",
         CONTINUOUS: "fed back"}
TAKEN = (REMOVED, PAUSED, CONTINUOUS)  # by which a trace is taken away
OTHERS = ", another's latents"
AS_IT_IS = "as it is"
ASKED = 200  # mazes at most, where latents themselves are looked at
PART = ["condition", "seed", "distribution", "latent"]


# ── who is asked what ───────────────────────────────────────────────────────────────────


def evaluations(scale: Scale) -> list[EvaluationSpec]:
    """All models in and out of distribution, there also realigned; and with another's latents."""
    usual = [one for one in every(scale, *((("objective", name),) for name in NAMES),
                                  distributions=in_and_out(scale))
             if one.model.has_trace or objective(one) not in TAKEN]
    far = [one for one in usual if one.distribution != scale.trained_on]
    fed = [one for one in usual if objective(one) == CONTINUOUS]
    return [*usual, *asked_anew(far, gap="realigned"), *asked_anew(fed, latents="another")]


def objective(one: EvaluationSpec) -> str:
    """The objective of the model that is asked."""
    return dict(one.model.variation).get("objective", USUAL)


# ── tables ──────────────────────────────────────────────────────────────────────────────


def analyse(run: Run, evaluations: list[EvaluationSpec]) -> dict[str, pd.DataFrame]:
    """Rates of all that was asked; differences; rates along training; what latents are like."""
    rows = {one: steps.all_rows(run, [one]) for one in evaluations}
    fed = [one for one in rows if objective(one) == CONTINUOUS and not one.answering]
    seen = pd.concat([looked_at(run, one) for one in fed], ignore_index=True)
    return {"rates": pd.concat([_cell(*cell) for cell in rows.items()], ignore_index=True),
            "effects": pd.concat([effects(rows), likeness(seen)], ignore_index=True),
            "along": along(run, evaluations),
            "latents": seen.groupby(PART, sort=False, as_index=False).agg(
                n=("maze", "size"), alike=("alike", "mean"),
                like_the_last=("like_the_last", "mean"), entropy=("entropy", "mean"))}


def _cell(one: EvaluationSpec, rows: pd.DataFrame) -> pd.DataFrame:
    """One row of the rates: how the model went on, how it was asked, how well it went."""
    table, asked = evaluation.headline(rows), dict(one.answering)
    for place, (name, value) in enumerate((
            ("went_on", NAMES[objective(one)]), ("latents", asked.get("latents", "own")),
            ("answered", asked.get("gap", AS_IT_IS)))):
        table.insert(place, name, value)
    return table


def effects(rows: dict[EvaluationSpec, pd.DataFrame]) -> pd.DataFrame:
    """Ways of going on, conditions under each, positions, latents, two at a time, of plans.

    Arms are called ``correct``, ``correct continuous``, ``correct continuous realigned``, ``correct
    continuous, another's latents``.
    """
    arms: dict[str, list[pd.DataFrame]] = {}
    for one, part in rows.items():
        arms.setdefault(_arm(one), []).append(part)
    there = {arm: pd.concat(parts, ignore_index=True).assign(arm=arm)
             for arm, parts in arms.items()}
    pairs, without = [], f"solution_only {KEPT}"
    conditions = list(dict.fromkeys(one.model.condition for one in rows))
    for condition in conditions:
        before, kept = condition, f"{condition} {KEPT}"
        removed, paused, fed = (f"{condition} {name}" for name in TAKEN)
        pairs += [(paused, fed), (removed, fed), (removed, paused)]
        pairs += [(without, arm) for arm in (removed, paused, fed)]
        pairs += [(arm, kept) for arm in (removed, paused, fed)]
        pairs += [(before, kept), (fed + OTHERS, fed)]
        pairs += [(arm, arm + REALIGNED) for arm in (before, kept, removed, paused, fed)]
    pairs += [(f"swapped {name}", f"correct {name}") for name in (KEPT, *TAKEN)]
    tables = [differences.differences(_both(there[a], there[b]), arm="arm")
              for a, b in pairs if a in there and b in there]
    return pd.concat(tables, ignore_index=True)


def _arm(one: EvaluationSpec) -> str:
    asked, name = dict(one.answering), objective(one)
    return (one.model.condition + f" {name}" * (name != BEFORE) + REALIGNED * ("gap" in asked)
            + OTHERS * ("latents" in asked))


def _both(a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
    """The answers of two arms on the distributions that both were asked."""
    both = set(a["distribution"]) & set(b["distribution"])
    rows = pd.concat([a, b], ignore_index=True)
    return rows[rows["distribution"].isin(both)]


def along(run: Run, evaluations: list[EvaluationSpec]) -> pd.DataFrame:
    """Rates on held-out mazes as the trace is taken away, with what is left out of it by then."""
    parts = []
    for model in dict.fromkeys(one.model for one in evaluations if one.model.staged):
        scale = run.scale_of(model)
        there = stages(scale.steps() // 2, scale.curriculum)
        curve = steps.all_curves(run, [model]).drop(columns="variation")
        out = [stage_at(there, step - 1).without for step in curve["step"]]
        curve.insert(2, "went_on", NAMES[scale.objective])
        curve.insert(3, "left_out", [
            "none" if scale.objective == KEPT else "all" if steps_out is None else str(steps_out)
            for steps_out in out])
        parts.append(curve)
    return pd.concat(parts, ignore_index=True)


# ── the latents themselves ──────────────────────────────────────────────────────────────


def looked_at(run: Run, one: EvaluationSpec) -> pd.DataFrame:
    """What latents are like.

    Returns:
        A row a maze and latent, from 1: cosine to the latent of another maze in the same place
        (``alike``, 1 where they do not tell mazes apart) and to the one before it in the same maze
        (``like_the_last``, nan for the first); entropy in nats of the word that would be read from
        it.
    """
    path = run.store.use(run.model(one.model))
    mazes = first(run.load(run.corpus("test", one.distribution, run.scale_of(one.model))), ASKED)
    model = load_model(path, mazes, steps.device())
    asked = prompts(mazes, CONDITIONS[one.model.condition])
    vectors = _vectors(model, asked, latents_of(read_checkpoint(path)[0]))
    unit = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    others = lenders(mazes, 0)
    words = vectors @ model.embedding.weight.detach().double().cpu().numpy().T
    words -= words.max(-1, keepdims=True)
    logs = words - np.log(np.exp(words).sum(-1, keepdims=True))
    found = []
    for latent in range(vectors.shape[1]):
        own = unit[:, latent]
        last = (own * unit[:, latent - 1]).sum(-1) if latent else np.nan
        found.append(pd.DataFrame({
            "condition": one.model.condition, "seed": one.model.seed,
            "distribution": one.distribution, "latent": latent + 1, "maze": range(len(own)),
            "grid": mazes.grids[:len(own)], "alike": (own * own[others]).sum(-1),
            "like_the_last": last,
            "entropy": -(np.exp(logs[:, latent]) * logs[:, latent]).sum(-1)}))
    return pd.concat(found, ignore_index=True)


def _vectors(model: Transformer, asked: list[np.ndarray], count: int) -> np.ndarray:
    """The latents behind prompts, float64 [n, latents, C]."""
    device = model.embedding.weight.device
    placed = [np.arange(len(text)) for text in asked]
    with torch.no_grad():
        return think(model, in_rows(asked, placed, device), count).vectors.double().cpu().numpy()


def likeness(seen: pd.DataFrame) -> pd.DataFrame:
    """How alike the last latents of two mazes are."""
    table = []
    for (condition, where), rows in seen[seen["latent"] == seen["latent"].max()].groupby(
            ["condition", "distribution"], sort=False):
        found = differences.average(rows, "alike")
        table.append([f"last latents of two mazes alike, {condition}", where, *found[:-1]])
    return pd.DataFrame(table, columns=differences.COLUMNS)


# ── for people ──────────────────────────────────────────────────────────────────────────


def usual(rates: pd.DataFrame) -> pd.DataFrame:
    """The rates of answers with a model's own latents, responses where they stand."""
    return rates[(rates["answered"] == AS_IT_IS) & (rates["latents"] == "own")]


def by_way(rates: pd.DataFrame) -> pd.DataFrame:
    """Valid plans in per cent [95 % interval], ways of going on one below the other."""
    shown = {name: evaluation.percent_table(part)
             for name, part in rates.groupby("went_on", sort=False)}
    return pd.concat(shown, names=["went_on"])


def summary(run: Run) -> str:
    """Plan validity by way of going on, and with another maze's latents."""
    rates = pd.read_csv(run.file("continuous", "rates.csv"))
    others = rates[rates["latents"] != "own"]
    return "\n".join(["Plan validity, per cent [95 % interval]", by_way(usual(rates)).to_string(),
                      "", "Fed another maze's latents", by_way(others).to_string()])


EXPERIMENT = Experiment(
    question="Can a trace be kept in vectors instead of words?", notebook="24_continuous",
    evaluations=evaluations, analyse=analyse, summary=summary,
    tables=("rates", "effects", "along", "latents"), figures=("continuous", "along"),
    folder="continuous")
