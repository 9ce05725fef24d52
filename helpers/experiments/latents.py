"""Is the answer in the latents: what of maze, search and plan stands in the residual stream?

Linear probes, one a cell, are fitted on mazes of the training set, behind the traces that training
put there, and asked about test mazes, behind the trace that the model itself has written: no grid
is in both. They ask whether a cell is a wall, whether it is on A*'s plan, and in the middle of a
trace whether it is on the open list as the trace has it. What can be read is not what is used, so
there is a second test: at ``solution`` the stream of one maze is replaced by that of another, and
the plan fits the one, the other, or neither.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from helpers import differences, probes
from helpers.astar import Event
from helpers.checkpoints import load_model
from helpers.conditions import CONDITIONS, lenders, prompts
from helpers.corpus import PLAN_PART, Corpus
from helpers.evaluation import grid_interval
from helpers.experiments.position import RANDOM, WITH_GAPS
from helpers.language import FIRST_COORDINATE, SOLUTION
from helpers.maze import Mazes
from helpers.model import Transformer
from helpers.residual import answers_patched, states
from helpers.responses import written_traces
from helpers.rules import read_events
from helpers.study import asking, steps
from helpers.study.runs import Run
from helpers.study.scale import Scale
from helpers.study.specs import EvaluationSpec, Experiment, every
from helpers.validator import judge_responses

PLACES = ("reasoning", "mid-trace", "solution")  # mid-trace: behind the middle event
TARGETS = {"plan": PLACES, "open": PLACES[1:2], "wall": PLACES}  # what is asked where
FIT = 2000  # training mazes that probes are fitted on
ASKED = 500  # test mazes that they are asked about
PATCHED = 100  # of these, mazes whose stream is replaced
PATCH = " patched"  # everything at `solution` is the other maze's


def evaluations(scale: Scale) -> list[EvaluationSpec]:
    """The models of the headline, on the kind of maze they were trained on."""
    return every(scale, distributions=(scale.trained_on,))


def with_gaps(scale: Scale) -> list[EvaluationSpec]:
    """The same, trained with gaps, which are asked once they are there."""
    return every(scale, RANDOM, distributions=(scale.trained_on,))


# ── what is read where ──────────────────────────────────────────────────────────────────


class Reading(NamedTuple):
    """Texts up to ``solution``, the places in them, and what is true there."""

    kept: np.ndarray  # int64 [n], which mazes of the corpus: those with a whole trace
    texts: list[np.ndarray]  # n arrays of ids
    places: np.ndarray  # int64 [n, P], one for each place
    truths: dict[str, np.ndarray]  # by target, bool [n, cells]

    def labels(self, targets: Sequence[str]) -> np.ndarray:
        return np.concatenate([self.truths[name] for name in targets], 1)


def places_of(condition: str) -> tuple[str, ...]:
    """The places a condition has: without a trace ``solution`` alone, right behind the prompt."""
    return PLACES if CONDITIONS[condition].has_trace else PLACES[-1:]


def reading(corpus: Corpus, condition: str, traces: Sequence[np.ndarray] | None) -> Reading:
    """What stands before a model on each maze.

    Args:
        traces: the events before ``solution``, uint16 ids, a maze each; None without.
    """
    before = prompts(corpus, CONDITIONS[condition])
    truths = {"plan": on_plan(corpus), "wall": corpus.mazes.grids.reshape(len(corpus), -1) == 0}
    if traces is None:
        places = np.array([[len(text) - 1] for text in before])
        return Reading(np.arange(len(corpus)), before, places, truths)
    kept, texts, places, opens = [], [], [], []
    for i, (prompt, trace) in enumerate(zip(before, traces, strict=True)):
        events, whole = read_events(corpus.vocabulary.decode(trace).split())
        if not (events and whole):
            continue
        middle = (len(events) + 1) // 2
        kept.append(i)
        texts.append(np.concatenate([prompt, trace, [np.uint16(SOLUTION)]]))
        places.append((len(prompt) - 1, len(prompt) - 1 + 5 * middle, len(texts[-1]) - 1))
        opens.append(on_open_list(events[:middle], corpus.recipe.rows, corpus.recipe.cols))
    kept = np.array(kept, np.int64)
    truths = {name: truth[kept] for name, truth in truths.items()}
    return Reading(kept, texts, np.array(places), truths | {"open": np.array(opens)})


def first(corpus: Corpus, count: int) -> Corpus:
    """The first examples of a corpus, or all."""
    return replace(corpus, recipe=replace(corpus.recipe, count=min(count, len(corpus))),
                   bounds=corpus.bounds[:count], mazes=part(corpus.mazes, slice(count)))


def part(mazes: Mazes, which) -> Mazes:
    return Mazes(*(array[which] for array in mazes))


def on_plan(corpus: Corpus) -> np.ndarray:
    """Whether each cell is on A*'s plan, bool [n, cells]."""
    found = np.zeros((len(corpus), corpus.recipe.rows, corpus.recipe.cols), bool)
    for i in range(len(corpus)):
        steps_of = corpus.segment(i, PLAN_PART)[1:-1].astype(np.int64).reshape(-1, 3)
        x, y = steps_of[:, 1:].T - FIRST_COORDINATE
        found[i, y, x] = True
    return found.reshape(len(corpus), -1)


def on_open_list(events: Iterable[Event], rows: int, cols: int) -> np.ndarray:
    """Whether each cell is open by these events alone, created and not yet closed, bool [cells].

    A maze's start is on the list before any event. Here it is not: a trace may be another maze's.
    """
    found = np.zeros((rows, cols), bool)
    for kind, x, y, _, _ in events:
        if x < cols and y < rows:  # a model may write a cell that is none
            found[y, x] = kind == "create"
    return found.ravel()


def of_prompt(corpus: Corpus) -> torch.Tensor:
    """All that a prompt says, a number a cell each: walls, start, goal; float32 [n, 3 · cells]."""
    n, rows, cols = corpus.mazes.grids.shape
    ends = np.zeros((2, n, rows, cols), np.float32)
    for end, cells in zip(ends, (corpus.mazes.starts, corpus.mazes.goals), strict=True):
        end[np.arange(n), cells[:, 1], cells[:, 0]] = 1
    walls = (corpus.mazes.grids == 0).astype(np.float32)
    return torch.from_numpy(np.concatenate([walls[None], ends]).transpose(1, 0, 2, 3)
                            .reshape(n, -1))


# ── one model ───────────────────────────────────────────────────────────────────────────


class Subject(NamedTuple):
    """A model with what it reads: mazes to fit probes on, and mazes to ask about."""

    spec: EvaluationSpec
    model: Transformer
    training: Corpus
    mazes: Corpus
    fitted_on: Reading
    asked: Reading

    @classmethod
    def of(cls, run: Run, one: EvaluationSpec) -> "Subject":
        spec, scale = one.model, run.scale_of(one.model)
        mazes = first(run.load(run.corpus("test", one.distribution, scale)), ASKED)
        training = first(run.load(run.corpus("train", scale=scale)), FIT)
        lent = own = None
        if spec.has_trace:
            examples = steps.examples_of(run, spec)[0].examples
            lent = [examples.traces.piece(i)[1:] for i in range(len(training))]
            own = written_traces(mazes, asking.written(run, one)[:len(mazes)])
        model = load_model(run.store.use(run.model(spec)), mazes, steps.device())
        return cls(one, model, training, mazes, reading(training, spec.condition, lent),
                   reading(mazes, spec.condition, own))

    @property
    def arm(self) -> str:
        """What tables of effects call it."""
        return self.spec.model.condition + (WITH_GAPS if self.spec.model.variation else "")


def probe(subject: Subject) -> tuple[pd.DataFrame, dict[tuple, np.ndarray]]:
    """How well probes of each place and state tell what is asked.

    Returns:
        A row a place, state and target, for four kinds of features: ``model``; ``untrained``, the
        same model as it was before training; ``shuffled``, the model's last state with the
        answers of other mazes to fit on; ``prompt``, walls, start and goal themselves. And the
        AUROC in each draw of grids (`probes.aurocs`) by features, place, state and target.
    """
    condition = subject.spec.model.condition
    fitted_on, asked = subject.fitted_on, subject.asked
    grids = subject.mazes.grids[asked.kept]
    counts, there = probes.drawn(grids), places_of(condition)
    draws: dict[tuple, np.ndarray] = {}
    rows = []

    def tell(features: str, place: str, state: int | None, targets: Sequence[str],
             x: torch.Tensor, asked_x: torch.Tensor) -> None:
        labels = fitted_on.labels(targets)
        if features == "shuffled":
            labels = labels[np.random.default_rng(0x5F).permutation(len(labels))]
        scores = probes.probed(x, labels, asked_x)
        for name, part_of in zip(targets, np.split(scores, len(targets), 1), strict=True):
            truth = asked.truths[name]
            found = probes.aurocs(part_of, truth, counts)
            draws[features, place, state, name] = found
            rows.append([features, place, state, name, *probes.score(
                found, len(probes.scored(truth))), len(truth), len(np.unique(grids))])

    models = {"model": subject.model,
              "untrained": Transformer(subject.model.config, subject.spec.model.seed)}
    for features, model in models.items():
        seen = [states(model, one.texts, one.places) for one in (fitted_on, asked)]
        for at, place in enumerate(there):
            targets = [name for name, places in TARGETS.items()
                       if place in places and name in asked.truths]
            for state, (x, asked_x) in enumerate(zip(*seen, strict=True)):
                tell(features, place, state, targets, x[:, at], asked_x[:, at])
            if features == "model":
                tell("shuffled", place, state, targets, x[:, at], asked_x[:, at])
    tell("prompt", "prompt", None, list(asked.truths), *(
        of_prompt(corpus)[one.kept] for corpus, one in (
            (subject.training, fitted_on), (subject.mazes, asked))))
    columns = ["features", "place", "state", "target", "auroc", "auroc_low", "auroc_high", "cells",
               "n", "grids"]
    return pd.DataFrame(rows, columns=columns).astype({"state": "Int64"}), draws


def patch(subject: Subject) -> Iterator[tuple[int | None, bool, pd.DataFrame]]:
    """What plans fit when the stream at ``solution`` is that of another maze.

    Yields:
        From which state on the stream is the other maze's, none first; whether all later states
        are its too, or follow from this one and the text; and a row a maze: maze, grid, whether
        the plan is valid for its own maze and for the other, at whose start it begins, and
        whether it is word for word the plan that was written without.
    """
    asked, mazes = subject.asked, subject.mazes
    place = np.full(len(mazes), -1)
    place[asked.kept] = np.arange(len(asked.kept))
    others = place[lenders(mazes, 0)[asked.kept]]
    chosen = np.flatnonzero(others >= 0)[:PATCHED]
    own, other = (asked.kept[rows] for rows in (chosen, others[chosen]))
    given = states(subject.model, [asked.texts[i] for i in others[chosen]],
                   asked.places[others[chosen], -1:])[:, :, 0]
    last = len(given) - 1
    ways = [(None, False), *((state, later) for later in (False, True)
                             for state in range(last + 1) if later or state < last)]
    put = [() if state is None else range(state, last + 1) if later else (state,)
           for state, later in ways]
    longest = 3 * mazes.recipe.rows * mazes.recipe.cols + 1
    written = answers_patched(subject.model, [asked.texts[i] for i in chosen], given, put, longest)
    for (state, later), answers in zip(ways, written, strict=True):
        fits = {name: judge_responses(part(mazes.mazes, which), answers, SOLUTION)["plan_valid"]
                for name, which in (("fits_own", own), ("fits_other", other))}
        starts = {name: [np.array_equal(ids[1:3], start) for ids, start in zip(
            answers, mazes.mazes.starts[which] + FIRST_COORDINATE, strict=True)]
            for name, which in (("starts_own", own), ("starts_other", other))}
        yield state, later, pd.DataFrame({
            "maze": own, "grid": mazes.grids[own], **fits, **starts,
            "unchanged": list(map(np.array_equal, answers, written[0]))})


# ── tables ──────────────────────────────────────────────────────────────────────────────


def analyse(run: Run, evaluations: list[EvaluationSpec]) -> dict[str, pd.DataFrame]:
    """What probes tell, what plans fit, and the differences that claims are about."""
    told, fitted, leads, answered = [], [], {}, {}
    for one in evaluations:
        subject = Subject.of(run, one)
        front = {"condition": one.model.condition, "seed": one.model.seed,
                 "variation": one.model.variation_text, "distribution": one.distribution}
        table, draws = probe(subject)
        told.append(table.assign(**front))
        last = len(subject.model.blocks)
        for name, minus in _leads(subject.arm, draws, last):
            leads.setdefault((name, one.distribution, len(subject.asked.kept)), []).append(minus)
        for state, later, rows in patch(subject):
            fitted.append({**front, "state": state, "later": later, **_rates(rows)})
            if state is None or (state == 0 and later):
                arm = subject.arm + PATCH * (state == 0)
                answered.setdefault(subject.arm, []).append(rows.assign(arm=arm, **front))
    effects = [[name, where, *_interval(parts), len(parts), n]
               for (name, where, n), parts in leads.items()]
    follows = [differences.differences(pd.concat(parts), ("fits_own", "fits_other"), arm="arm")
               for parts in answered.values()]
    order = list(front)
    told = pd.concat(told, ignore_index=True)
    return {"probes": told[[*order, *told.columns.drop(order)]],
            "patches": pd.DataFrame(fitted).astype({"state": "Int64"}),
            "effects": pd.concat([pd.DataFrame(effects, columns=differences.COLUMNS), *follows],
                                 ignore_index=True)}


def _leads(arm: str, draws: dict[tuple, np.ndarray], last: int
           ) -> Iterator[tuple[str, np.ndarray]]:
    """By how much one AUROC of plans is above another, by name, in each draw."""
    def plan(features: str, place: str, state: int | None = last) -> np.ndarray | None:
        return draws.get((features, place, state, "plan"))

    at_solution = plan("model", "solution")
    yield f"plan at solution: {arm} - prompt", at_solution - plan("prompt", "prompt", None)
    yield f"plan at solution: {arm} - untrained", at_solution - plan("untrained", "solution")
    if (before := plan("model", "reasoning")) is not None:
        yield f"plan: {arm} at solution - at reasoning", at_solution - before
        yield f"plan at reasoning: {arm} - untrained", before - plan("untrained", "reasoning")


def _interval(parts: list[np.ndarray]) -> tuple[float, float, float]:
    """The mean over seeds of what was drawn, and its 95 % interval over seeds and grids."""
    mean = np.mean(parts, axis=0)
    if len(parts) == 1:
        return float(mean[0]), *map(float, np.nanpercentile(mean[1:], [2.5, 97.5]))
    by_seed = [part_of[0] for part_of in parts]
    square = (1.96**2 * np.nanvar(mean[1:], ddof=1) + differences.quantile(len(parts) - 1) ** 2
              * np.var(by_seed, ddof=1) / len(parts))
    reach = float(np.sqrt(square))
    return float(mean[0]), float(mean[0]) - reach, float(mean[0]) + reach


def _rates(rows: pd.DataFrame) -> dict:
    """The shares of `patch`'s rows."""
    found = {"n": len(rows), "grids": rows["grid"].nunique()}
    for name in ("fits_own", "fits_other"):
        low, high = grid_interval(rows[name], rows["grid"])
        found |= {name: rows[name].mean(), f"{name}_low": low, f"{name}_high": high}
    return found | {"fits_neither": float((~rows["fits_own"] & ~rows["fits_other"]).mean()),
                    **{name: rows[name].mean()
                       for name in ("starts_own", "starts_other", "unchanged")}}


# ── for people ──────────────────────────────────────────────────────────────────────────


def summary(run: Run) -> str:
    """What the last states tell of the plan, and what plans fit."""
    effects = pd.read_csv(run.file("latents", "effects.csv"))
    patches = pd.read_csv(run.file("latents", "patches.csv"), keep_default_na=False)
    return "\n\n".join([effects.round(3).to_string(), patches.drop(columns=[
        name for name in patches if name.endswith(("_low", "_high"))]).to_string()])


EXPERIMENT = Experiment(
    question="What of the maze, the search and the plan can be read off a model's residual stream, "
             "and does the plan follow it?",
    notebook="16_latents", evaluations=evaluations, analyse=analyse, summary=summary,
    tables=("probes", "patches", "effects"), figures=("probes", "patches"), folder="latents",
    gathers=with_gaps)
