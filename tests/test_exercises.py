"""The exercises: right answers are called right, wrong ones are not; the solutions are right."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from helpers.astar import solve
from helpers.conditions import CONDITIONS
from helpers.corpus import Recipe, build
from helpers.maze import Maze
from helpers.show import exercises
from helpers.study.scale import load_scale

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT / "solutions"))

import solutions  # noqa: E402

MAZE = Maze.from_ascii("...#", "S#..", "....", "#.#G")  # of notebooks 2 and 3
OWN = [str(event) for event in solve(MAZE).trace]
MODELS = {name: PROJECT / "results" / "smoke" / "models" / f"{name}_1.safetensors"
          for name in ("solution_only", "correct", "swapped")}


def test_nothing_is_told_before_there_is_an_answer():
    assert {exercises.valid_not_strict(MAZE, None),
            exercises.breaks_one_rule(MAZE, "not_lowest_f", None),
            exercises.one_fails(MODELS["swapped"], MODELS["correct"], None),
            exercises.breaking_shift(MODELS["solution_only"], None, None),
            exercises.corruption(None, None),
            exercises.keeps_events_breaks_rules(None, None)} == {exercises.UNANSWERED}


@pytest.mark.parametrize(("events", "said"), [
    (solutions.VALID_NOT_STRICT, "**Right.** The trace is valid, and not strict: event 2, close"),
    (OWN, "**Not yet.** The trace is valid, and strict too."),
    (OWN[:-1], "**Not yet.** The trace is not valid: event 15, the end, breaks `goal_not_reached`"),
    ([], "**Not yet.** The trace is not valid: event 0, the end"),
    (["close 0 1"], "**Not yet.** The trace is not valid: event 0, close 0 1, breaks `parse`"),
    (" ".join(OWN[:-1]), "**Not yet.** The trace is not valid: event 15, the end, breaks"),
    (" ".join(solutions.VALID_NOT_STRICT).split(),  # events are the validator's, not the list's
     "**Right.** The trace is valid, and not strict: event 2, close 0 2 c1 c4, breaks")])
def test_valid_not_strict(events, said):
    assert exercises.valid_not_strict(MAZE, events).startswith(said)


@pytest.mark.parametrize(("events", "said"), [
    (solutions.NOT_LOWEST_F, "**Right.** The trace breaks this rule alone: event 3, close 0 0"),
    (OWN, "**Not yet.** The trace breaks no rule."),
    (OWN[:-1], "**Not yet.** The trace breaks another rule: event 15"),
    ([OWN[0], OWN[2], "create 0 0 c1 c6", "close 0 0 c1 c6"], "**Right.**"),
    ([*solutions.VALID_NOT_STRICT[:5], "create 1 3 c3 c2", "close 1 3 c3 c2"],  # one is missing
     "**Not yet.** The trace breaks another rule: event 2")])
def test_breaks_one_rule(events, said):
    assert exercises.breaks_one_rule(MAZE, "not_lowest_f", events).startswith(said)


@pytest.mark.parametrize("answer", [3, 2.5, True, len, b"close", [1], [None], [OWN], set(OWN),
                                    {0: OWN[0]}, solve(MAZE).trace, (event for event in OWN)])
def test_what_is_no_list_of_texts(answer):
    """It is said in a sentence, by every check that takes texts."""
    for said in (exercises.valid_not_strict(MAZE, answer),
                 exercises.breaks_one_rule(MAZE, "not_lowest_f", answer),
                 exercises.one_fails(MODELS["swapped"], MODELS["correct"], answer)):
        assert said.startswith(exercises.OPEN)
        assert said.endswith("it takes a list of texts.")
        assert len(said) < 500


def test_a_rule_that_is_none():
    with pytest.raises(ValueError, match="rule: got 'speed', takes one of parse, "):
        exercises.breaks_one_rule(MAZE, "speed", OWN)


@pytest.fixture(scope="module")
def mazes():
    return build(Recipe("wilson", 4, 6, "test", 42, "indexed", 40))


def rows(mazes, index) -> list[str]:
    return mazes.mazes.maze(index).ascii().splitlines()


def test_one_fails(mazes):
    """Right exactly where one plan is valid and the other is not, and not the other way round."""
    said = [[exercises.one_fails(MODELS[a], MODELS[b], rows(mazes, i)) for i in range(12)]
            for a, b in (("solution_only", "correct"), ("correct", "solution_only"))]
    for one, other in zip(*said, strict=True):
        verdicts = ["`solution_only` is valid" in one, "`correct` is valid" in one]
        assert one.startswith("**Right.**") == (verdicts == [False, True])
        assert other.startswith("**Right.**") == (verdicts == [True, False])
    assert any(line.startswith("**Right.**") for line in said[0] + said[1])


@pytest.mark.parametrize(("maze", "said"), [
    (["S.", "?G"], "**Not yet.** This is no maze: "),
    (["S#....", "#.....", "......", ".....G"], "**Not yet.** There is no way from start to goal"),
    (["S..", "...", "..G"], "**Not yet.** The models know mazes of 4 rows and 6 columns alone"),
    (["S...", *["...."] * 4, "...G"], "**Not yet.** The models know mazes of 4 rows and 6 "),
    ("\n".join(["S#....", "#.....", "......", ".....G"]), "**Not yet.** There is no way")])
def test_one_fails_on_no_such_maze(maze, said):
    assert exercises.one_fails(MODELS["swapped"], MODELS["correct"], maze).startswith(said)


def test_breaking_shift(mazes):
    """Right at one shift alone, the smallest at which fewer than half of the plans are left."""
    model = MODELS["solution_only"]
    said = {shift: exercises.breaking_shift(model, mazes, shift) for shift in range(5)}
    assert said[0] == "**Not yet.** A shift of 0 is none; it is to be 1 or more."
    counts = {0: int(said[1].split(": ")[1].split()[0])}
    counts |= {shift: int(said[shift].split(f" at a shift of {shift}.")[0].split()[-1])
               for shift in range(1, 5)}
    broken = [shift for shift in counts if 2 * counts[shift] < counts[0]]
    assert broken  # of this model: else there is nothing to find
    for shift in range(1, 5):
        assert said[shift].startswith("**Right.**") == (shift == broken[0])


@pytest.mark.parametrize("shift", ["1", 1.0, 1.5, float("nan"), True, [1], len, 10**30])
def test_a_shift_that_is_none(mazes, shift):
    said = exercises.breaking_shift(MODELS["solution_only"], mazes, shift)
    assert said.startswith(exercises.OPEN)
    assert "shift" in said


def test_the_smallest_shift_is_asked_for(mazes, monkeypatch):
    """Where plans come back further on, a second fall is not the first."""
    solved = {0: 8, 1: 2, 2: 6, 3: 1}

    def judged(corpus, condition, responses):
        return pd.DataFrame({"plan_valid": [True] * responses})

    monkeypatch.setattr(exercises, "respond", lambda *_, gap, **__: solved[gap])
    monkeypatch.setattr(exercises.evaluation, "judge", judged)
    said = [exercises.breaking_shift(MODELS["solution_only"], mazes, shift) for shift in (1, 2, 3)]
    assert [one.startswith("**Right.**") for one in said] == [True, False, False]
    assert said[2].endswith("So much is lost at a smaller shift as well.")


def test_solutions_on_the_published_models():
    """As notebooks 10 and 11 ask."""
    laptop, models = load_scale("laptop"), PROJECT / "results" / "laptop" / "models"
    said = exercises.one_fails(models / "swapped_1.safetensors", models / "correct_1.safetensors",
                               solutions.SWAPPED_FAILS)
    assert said.startswith("**Right.**"), said
    asked = build(replace(laptop.recipe("test", laptop.trained_on), count=100))
    said = exercises.breaking_shift(models / "solution_only_1.safetensors", asked,
                                    solutions.BREAKING_SHIFT)
    assert said.startswith("**Right.**"), said


SCALE = load_scale("smoke").varied([("train_examples", 64), ("test_examples", 4),
                                    ("warmup_steps", 1)])


def test_corruption():
    said = exercises.corruption(solutions.shuffled, SCALE)
    assert said.startswith("**Right.** 97 % of traces are changed. correct: ")
    assert "yours: " in said
    assert said.endswith("(n = 4).")
    assert exercises.corruption(solutions.shuffled, SCALE) == said
    assert CONDITIONS["correct"].label == "correct"


@pytest.mark.parametrize(("change", "said"), [
    (lambda events, rng: events, "**Not yet.** No trace is changed."),
    (lambda events, rng: [], "**Not yet.** A trace is left without events."),
    (lambda events, rng: ["open 1 2"], "**Not yet.** 'open' is no word of a trace."),
    (lambda events, rng: [*events, "end"], "**Not yet.** 'end' is no word of a trace."),
    (lambda events, rng: events.reverse(), "**Not yet.** None is no list of events"),
    (lambda events, rng: [1, 2], "**Not yet.** [1, 2] is no list of events"),
    (lambda events, rng: events * 60, "**Not yet.** An example would have "),
    (lambda events, rng: np.array(events), "**Not yet.** No trace is changed."),
    (lambda events: events, "**Not yet.** The function ends with TypeError: "),
    (lambda events, rng: 1 / 0, "**Not yet.** The function ends with ZeroDivisionError: division"),
    (lambda events, rng: sys.exit(1), "**Not yet.** The function ends with SystemExit: 1."),
    ("shuffled", "**Not yet.** 'shuffled' is no function.")])
def test_a_corruption_that_is_none(change, said):
    told = exercises.corruption(change, SCALE)
    assert told.startswith(said)
    assert told.endswith(".")


@pytest.mark.parametrize(("change", "said"), [
    (solutions.backwards, "**Right.** 100.0 % of own events are still said, in "),
    (lambda events, maze, rng: events, "% of traces break no rule (n = 40)."),
    (lambda events, maze, rng: events[1:][::-1], "% of own events are still said, in "),
    (lambda events, maze, rng: [events, events[::-1]], "**Not yet.** 100.0 % of own events"),
    (lambda events, maze, rng: events[0, 7], "**Not yet.** The function ends with IndexError: "),
    (lambda events, maze, rng: {}["x"], "**Not yet.** The function ends with KeyError: 'x'."),
    (lambda events, maze, rng: None, "**Not yet.** The function gives None, takes rows of ids"),
    (lambda events, maze, rng: [events[0], events[0, :2]], "**Not yet.** The function gives ["),
    (lambda events, maze, rng: events + 10_000, "**Not yet.** The function gives array("),
    (lambda events, maze, rng: ["close"], "**Not yet.** The function gives ['close'], takes rows"),
    (7, "**Not yet.** 7 is no function.")])
def test_keeps_events_breaks_rules(change, said):
    mazes = build(Recipe("wilson", 6, 6, "test", 1, "indexed", 40))
    told = exercises.keeps_events_breaks_rules(mazes, change)
    assert said in told
    assert told.startswith("**Right.**") == (change is solutions.backwards)
