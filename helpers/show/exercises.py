"""Exercises of the course: each takes an answer, and says what it is, never what it should be.

All answers are judged by the study's own validator, models and tables. Nothing is stored, and
nothing is told that the answer does not show itself. Where there is no answer yet (None), that is
said, and so is what is wrong with one of another kind: none ends in an exception. Solutions stand
in ``solutions/``.
"""

import reprlib
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import wraps
from numbers import Integral
from pathlib import Path

import numpy as np

from helpers import evaluation
from helpers.batches import Batches
from helpers.checkpoints import CheckpointError, load_model, read_checkpoint
from helpers.conditions import CONDITIONS, Condition, corrupted_trace, put_together, traces_of
from helpers.corpus import TRACE_PART, Corpus, Segments, build
from helpers.corruptions import what_is_left
from helpers.language import EVENT
from helpers.maze import Maze, MazeError, Mazes
from helpers.ownmazes import solvable
from helpers.responses import answer, respond, true_traces
from helpers.rules import TRACE_ERRORS, Break, trace_breaks
from helpers.study.scale import Scale
from helpers.training import Trainer
from helpers.validator import judge

RIGHT, OPEN = "**Right.** ", "**Not yet.** "
UNANSWERED = "No answer yet."
PARTS = ("reasoning", "solution", "end")  # words that begin or end a part of an answer


class NoAnswerError(ValueError):
    """What is given is no answer of the kind that is asked for; the message is a sentence."""


def _checked(check: Callable[..., str]) -> Callable[..., str]:
    """A check that says of what is no answer why it is none."""
    @wraps(check)
    def said(*args, **settings) -> str:
        try:
            return check(*args, **settings)
        except NoAnswerError as error:
            return f"{OPEN}{error}"
    return said


@_checked
def valid_not_strict(maze: Maze, events: Sequence[str] | None) -> str:
    """Checks a trace that is to be valid and not strict.

    Args:
        events: such as ``"close 0 0 c0 c4"``, one each.
    """
    if events is None:
        return UNANSWERED
    words = _words(_lines(events, "events"))
    breaks = list(trace_breaks(maze, words))
    hard = [one for one in breaks if not one.strict]
    if hard:
        return OPEN + "The trace is not valid: " + _told(words, hard[0])
    if not breaks:
        return OPEN + "The trace is valid, and strict too."
    return RIGHT + "The trace is valid, and not strict: " + _told(words, breaks[0])


@_checked
def breaks_one_rule(maze: Maze, rule: str, events: Sequence[str] | None) -> str:
    """Checks a trace that is to break one rule and no other.

    Raises:
        ValueError: no rule of that name.
    """
    if rule not in TRACE_ERRORS:
        raise ValueError(f"rule: got {rule!r}, takes one of {', '.join(TRACE_ERRORS)}")
    if events is None:
        return UNANSWERED
    words = _words(_lines(events, "events"))
    breaks = list(trace_breaks(maze, words))
    if not breaks:
        return OPEN + "The trace breaks no rule."
    others = [one for one in breaks if one.rule != rule]
    if others:
        return OPEN + "The trace breaks another rule: " + _told(words, others[0])
    return RIGHT + "The trace breaks this rule alone: " + _told(words, breaks[0])


@_checked
def one_fails(fails: Path | str, succeeds: Path | str, maze: Sequence[str] | None) -> str:
    """Checks a maze on which one model's plan is to be wrong and another's right.

    Args:
        fails, succeeds: checkpoints, trained or published.
        maze: its rows, as `Maze.from_ascii` reads them.
    """
    if maze is None:
        return UNANSWERED
    try:
        drawn = Maze.from_ascii(*_lines(maze, "rows"))
    except MazeError as error:
        return OPEN + f"This is no maze: {error}."
    if not solvable(Mazes.of([drawn]))[0]:
        return OPEN + "There is no way from start to goal, so no plan can be right."
    verdicts = {}
    for path in (fails, succeeds):
        try:
            learnt = read_checkpoint(path)[0]["follows_from"]
            size = learnt["corpus"]["rows"], learnt["corpus"]["cols"]
            if (drawn.rows, drawn.cols) != size:  # others may have as many tokens
                return OPEN + (f"The models know mazes of {size[0]} rows and {size[1]} columns "
                               f"alone, and this one has {drawn.rows} and {drawn.cols}.")
            condition = learnt["condition"]
            verdicts[condition] = judge(drawn, answer(load_model(path), drawn, condition)).plan
        except CheckpointError as error:
            return OPEN + f"{error}."
    told = ", ".join(f"the plan of `{name}` is {'valid' if one.valid else f'not ({one.error})'}"
                     for name, one in verdicts.items())
    bad, good = verdicts.values()
    return (RIGHT if good.valid and not bad.valid else OPEN) + told[0].upper() + told[1:] + "."


@_checked
def breaking_shift(model: Path | str, mazes: Corpus, shift: int | None) -> str:
    """Checks how far a response may be moved: the smallest shift that costs half of the plans.

    Args:
        model: a checkpoint.
        mazes: those it is asked.
        shift: of all positions of the response, from 1 up.
    """
    if shift is None:
        return UNANSWERED
    if not isinstance(shift, Integral) or isinstance(shift, bool):
        return OPEN + f"{_short(shift)} is no shift; it takes a whole number from 1 up."
    if shift < 1:
        return OPEN + f"A shift of {shift} is none; it is to be 1 or more."
    condition = condition_of(model)
    asked, solved = load_model(model, mazes), {}
    if shift > asked.config.context:
        return OPEN + (f"A shift of {_short(shift)} is larger than all the {asked.config.context} "
                       "positions that the model has learnt with.")

    def ask(gap: int) -> int:
        responses = respond(asked, mazes, condition, gap=gap, max_new_tokens=_room(mazes))
        return int(evaluation.judge(mazes, condition, responses)["plan_valid"].sum())

    for gap in dict.fromkeys((0, int(shift) - 1, int(shift))):
        solved[gap] = ask(gap)
    told = ", ".join(f"{count} at a shift of {gap}" for gap, count in solved.items())
    half = solved[0] / 2
    right = 0 < half > solved[shift] and solved[shift - 1] >= half
    told = f"Valid plans of {len(mazes)}: {told}."
    # of some models plans come back further on: the smallest shift is asked for
    if right and any(ask(gap) < half for gap in range(1, shift - 1)):
        return OPEN + told + " So much is lost at a smaller shift as well."
    return (RIGHT if right else OPEN) + told


def condition_of(model: Path | str) -> str:
    """The condition under which a checkpoint was trained."""
    return read_checkpoint(model)[0]["follows_from"]["condition"]


def _room(mazes: Corpus) -> int:
    """Words enough for the longest right answer."""
    return int(mazes.lengths()[:, 1:].sum(1).max())


@_checked
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
    mine = replace(correct, label="yours", traces=lambda corpus, seed: _changed(
        corpus, change, seed))
    traces = mine.traces(training, seed)
    longest = (training.lengths()[:, [0, 2]].sum(1) + traces.lengths()).max()
    if longest - 1 > (room := scale.transformer().context):  # the last word is not fed in
        return OPEN + f"An example would have {longest} words; the models take {room + 1}."
    own = [training.part(TRACE_PART).piece(i) for i in range(len(training))]
    kept = np.mean([np.array_equal(a, traces.piece(i)) for i, a in enumerate(own)])
    if kept == 1:
        return OPEN + "No trace is changed."
    rates = {name: _validity(condition, training, test, scale, seed)
             for name, condition in (("correct", correct), ("yours", mine))}
    told = "; ".join(f"{name}: {100 * plans:.1f} % of plans and {100 * found:.1f} % of traces valid"
                     for name, (plans, found) in rates.items())
    return RIGHT + f"{100 * (1 - kept):.0f} % of traces are changed. {told} (n = {len(test)})."


@_checked
def keeps_events_breaks_rules(mazes: Corpus, change: Callable | None) -> str:
    """Checks a corruption that is to keep every event and length, and leave no trace valid.

    Args:
        change: as those of `helpers.corruptions`.
    """
    if change is None:
        return UNANSWERED
    traces = corrupted_trace(mazes, 0, lambda *given: _ids(_called(change, *given), mazes))
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
        changed = _called(change, [str(event) for event in vocabulary.events(trace)], rng)
        words = _words(_lines(changed, "events"))
        if not words:
            raise NoAnswerError("A trace is left without events.")
        if foreign := sorted(set(words) - set(vocabulary.tokens) | set(words) & set(PARTS)):
            raise NoAnswerError(f"{_short(foreign[0])} is no word of a trace.")
        found.append(vocabulary.encode(" ".join(words)))
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


def _called(change: Callable, *given) -> object:
    """What someone's own function gives, whatever may go wrong in it."""
    if not callable(change):
        raise NoAnswerError(f"{_short(change)} is no function.")
    try:
        return change(*given)
    except (Exception, SystemExit) as error:
        raise NoAnswerError(f"The function ends with {_sentence(error)}") from None


def _ids(changed: object, corpus: Corpus) -> np.ndarray:
    """Events as ids of any shape."""
    try:
        ids = np.asarray(changed)
    except ValueError:  # rows of different lengths
        ids = np.array(None)
    size = corpus.vocabulary.size
    if ids.size and not (ids.dtype.kind in "iu" and ids.min() >= 0 and ids.max() < size):
        raise NoAnswerError(f"The function gives {_short(changed)}, takes rows of ids, whole "
                            f"numbers from 0 to {size - 1}.")
    return ids.astype(np.int64)


def _lines(answer: object, what: str) -> list[str]:
    """A list of texts, or a text of lines."""
    lines = answer.strip("\n").splitlines() if isinstance(answer, str) else answer
    if not isinstance(lines, list | tuple | np.ndarray) or not all(
            isinstance(line, str) for line in lines):
        raise NoAnswerError(f"{_short(answer)} is no list of {what}; it takes a list of texts.")
    return list(lines)


def _words(lines: Sequence[str]) -> list[str]:
    return " ".join(lines).split()


def _told(words: list[str], broken: Break) -> str:
    """A broken rule in a sentence; the event is that of the validator, however a list is cut."""
    what = " ".join(words[EVENT * broken.at:EVENT * (broken.at + 1)]) or "the end"
    return f"event {broken.at}, {what}, breaks `{broken.rule}` (expected {broken.expected})."


def _short(value: object) -> str:
    return " ".join(reprlib.repr(value).split())


def _sentence(error: Exception) -> str:
    """An exception in a line."""
    told = " ".join(str(error).split()).rstrip(".")
    return f"{type(error).__name__}: {told}." if told else f"{type(error).__name__}."
