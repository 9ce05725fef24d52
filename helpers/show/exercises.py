"""Exercises of the course: each takes an answer, and says what it is, never what it should be.

All answers are judged by the study's own validator, models and tables. Nothing is stored, and
nothing is told that the answer does not show itself. Where there is no answer yet (None), that is
said. Solutions stand in ``solutions/``.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from helpers import evaluation
from helpers.batches import Batches
from helpers.checkpoints import CheckpointError, load_model, read_checkpoint
from helpers.conditions import CONDITIONS, Condition, corrupted_trace, put_together, traces_of
from helpers.corpus import TRACE_PART, Corpus, Segments, build
from helpers.corruptions import what_is_left
from helpers.maze import Maze, MazeError, Mazes
from helpers.ownmazes import solvable
from helpers.responses import answer, respond, true_traces
from helpers.rules import TRACE_ERRORS, Break, trace_breaks
from helpers.study.scale import Scale
from helpers.training import Trainer
from helpers.validator import judge

RIGHT, OPEN = "**Right.** ", "**Not yet.** "
UNANSWERED = "No answer yet."


def valid_not_strict(maze: Maze, events: Sequence[str] | None) -> str:
    """Checks a trace that is to be valid and not strict.

    Args:
        events: such as ``"close 0 0 c0 c4"``, one each.
    """
    if events is None:
        return UNANSWERED
    breaks = _breaks(maze, events)
    hard = [one for one in breaks if not one.strict]
    if hard:
        return OPEN + "The trace is not valid: " + _told(events, hard[0])
    if not breaks:
        return OPEN + "The trace is valid, and strict too."
    return RIGHT + "The trace is valid, and not strict: " + _told(events, breaks[0])


def breaks_one_rule(maze: Maze, rule: str, events: Sequence[str] | None) -> str:
    """Checks a trace that is to break one rule and no other.

    Raises:
        ValueError: no rule of that name.
    """
    if rule not in TRACE_ERRORS:
        raise ValueError(f"rule: got {rule!r}, takes one of {', '.join(TRACE_ERRORS)}")
    if events is None:
        return UNANSWERED
    breaks = _breaks(maze, events)
    if not breaks:
        return OPEN + "The trace breaks no rule."
    others = [one for one in breaks if one.rule != rule]
    if others:
        return OPEN + "The trace breaks another rule: " + _told(events, others[0])
    return RIGHT + "The trace breaks this rule alone: " + _told(events, breaks[0])


def one_fails(fails: Path | str, succeeds: Path | str, maze: Sequence[str] | None) -> str:
    """Checks a maze on which one model's plan is to be wrong and another's right.

    Args:
        fails, succeeds: checkpoints, trained or published.
        maze: its rows, as `Maze.from_ascii` reads them.
    """
    if maze is None:
        return UNANSWERED
    try:
        drawn = Maze.from_ascii(*maze)
    except MazeError as error:
        return OPEN + f"This is no maze: {error}."
    if not solvable(Mazes.of([drawn]))[0]:
        return OPEN + "There is no way from start to goal, so no plan can be right."
    verdicts = {}
    for path in (fails, succeeds):
        try:
            condition = condition_of(path)
            verdicts[condition] = judge(drawn, answer(load_model(path), drawn, condition)).plan
        except (CheckpointError, MazeError) as error:
            return OPEN + f"{error}."
    told = ", ".join(f"the plan of `{name}` is {'valid' if one.valid else f'not ({one.error})'}"
                     for name, one in verdicts.items())
    bad, good = verdicts.values()
    return (RIGHT if good.valid and not bad.valid else OPEN) + told[0].upper() + told[1:] + "."


def breaking_shift(model: Path | str, mazes: Corpus, shift: int | None) -> str:
    """Checks how far a response may be moved: the smallest shift that costs half of the plans.

    Args:
        model: a checkpoint.
        mazes: those it is asked.
        shift: of all positions of the response, from 1 up.
    """
    if shift is None:
        return UNANSWERED
    if shift < 1:
        return OPEN + f"A shift of {shift} is none; it is to be 1 or more."
    condition = condition_of(model)
    asked, solved = load_model(model, mazes), {}
    for gap in dict.fromkeys((0, shift - 1, shift)):
        responses = respond(asked, mazes, condition, gap=gap, max_new_tokens=_room(mazes))
        solved[gap] = int(evaluation.judge(mazes, condition, responses)["plan_valid"].sum())
    told = ", ".join(f"{count} at a shift of {gap}" for gap, count in solved.items())
    half = solved[0] / 2
    right = 0 < half > solved[shift] and solved[shift - 1] >= half
    return (RIGHT if right else OPEN) + f"Valid plans of {len(mazes)}: {told}."


def condition_of(model: Path | str) -> str:
    """The condition under which a checkpoint was trained."""
    return read_checkpoint(model)[0]["follows_from"]["condition"]


def _room(mazes: Corpus) -> int:
    """Words enough for the longest right answer."""
    return int(mazes.lengths()[:, 1:].sum(1).max())


def corruption(change: Callable[[list[str], np.random.Generator], list[str]] | None,
               scale: Scale, seed: int = 1) -> str:
    """Trains two models, on correct traces and on traces changed in a way of one's own.

    Args:
        change: the events of a trace, and a source of random numbers → other events, any
            number of them but none at all.
        scale: of the models; minutes at ``smoke``.
        seed: of both.
    """
    if change is None:
        return UNANSWERED
    training = build(scale.recipe("train"))
    test = build(scale.recipe("test", scale.trained_on))
    correct = CONDITIONS["correct"]
    try:
        mine = replace(correct, label="yours", traces=lambda corpus, seed: _changed(
            corpus, change, seed))
        traces = mine.traces(training, seed)
    except (ValueError, TypeError) as error:
        return OPEN + f"{error}."
    own = [training.part(TRACE_PART).piece(i) for i in range(len(training))]
    kept = np.mean([np.array_equal(a, traces.piece(i)) for i, a in enumerate(own)])
    if kept == 1:
        return OPEN + "No trace is changed."
    rates = {name: _validity(condition, training, test, scale, seed)
             for name, condition in (("correct", correct), ("yours", mine))}
    told = "; ".join(f"{name}: {100 * plans:.1f} % of plans and {100 * found:.1f} % of traces valid"
                     for name, (plans, found) in rates.items())
    return RIGHT + f"{100 * (1 - kept):.0f} % of traces are changed. {told} (n = {len(test)})."


def keeps_events_breaks_rules(mazes: Corpus, change: Callable | None) -> str:
    """Checks a corruption that is to keep every event and length, and leave no trace valid.

    Args:
        change: as those of `helpers.corruptions`.
    """
    if change is None:
        return UNANSWERED
    try:
        traces = corrupted_trace(mazes, 0, change)
    except (ValueError, TypeError, IndexError) as error:
        return OPEN + f"{error}."
    own, left = (what_is_left(mazes, each) for each in (mazes.part(TRACE_PART), traces))
    told = (f"{100 * left['own_events']:.1f} % of own events are still said, in "
            f"{left['tokens']:.1f} tokens instead of {own['tokens']:.1f}, and "
            f"{100 * left['valid']:.1f} % of traces break no rule (n = {left['n']}).")
    right = left["own_events"] == 1 and left["tokens"] == own["tokens"] and not left["valid"]
    return (RIGHT if right else OPEN) + told


def _changed(corpus: Corpus, change: Callable, seed: int) -> Segments:
    """Every trace of a corpus as someone changes it."""
    rng, vocabulary, found = np.random.default_rng(seed), corpus.vocabulary, []
    for trace in true_traces(corpus):
        events = change([str(event) for event in vocabulary.events(trace)], rng)
        if not events:
            raise ValueError("A trace is left without events")
        found.append(vocabulary.encode(" ".join(events)))
    return traces_of(found)


def _validity(condition: Condition, training: Corpus, test: Corpus, scale: Scale, seed: int
              ) -> tuple[float, float]:
    """The shares of valid plans and traces of a model trained for it, on test mazes."""
    settings = scale.training
    batches = Batches(put_together(training, condition, seed), settings.batch_size,
                      settings.epochs, seed)
    with tempfile.TemporaryDirectory() as folder:
        Trainer(batches, scale.transformer(), settings, seed=seed, folder=Path(folder),
                follows_from={"corpus": training.recipe.__dict__}, title=condition.label).run()
        model = load_model(Path(folder, "model.safetensors"), test)
    responses = respond(model, test, "correct", max_new_tokens=scale.decoding.max_new_tokens)
    rows = evaluation.judge(test, "correct", responses)
    return rows["plan_valid"].mean(), rows["trace_valid"].mean()


def _breaks(maze: Maze, events: Sequence[str]) -> list[Break]:
    return list(trace_breaks(maze, " ".join(events).split()))


def _told(events: Sequence[str], broken: Break) -> str:
    """A broken rule in a sentence."""
    what = events[broken.at] if broken.at < len(events) else "the end"
    return f"event {broken.at}, {what}, breaks `{broken.rule}` (expected {broken.expected})."
