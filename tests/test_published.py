"""The verdict of the paper's authors: every sentence of its description, and kernel = reference."""

from itertools import count

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import any_word, judged_ids, mazes, responses, right_response, scattered

from helpers import validator
from helpers.astar import solve
from helpers.generators import GENERATORS
from helpers.language import SOLUTION, Vocabulary, encode_mazes
from helpers.maze import Maze, generate
from helpers.published import (
    LARGEST,
    PublishedVerdict,
    Validity,
    is_path,
    judge,
    judge_ids,
    judge_reference,
    judge_text,
    path_of_trace,
    read,
)

MAZE = Maze.from_ascii("S.#",
                       "#..",
                       "..G")
PROMPT = "query start 0 0 goal 2 2 wall 2 0 wall 0 1"
TRACE = """
close 0 0 c0 c4, create 1 0 c1 c3, close 1 0 c1 c3, create 1 1 c2 c2, close 1 1 c2 c2,
create 2 1 c3 c1, create 1 2 c3 c1, close 2 1 c3 c1, create 2 2 c4 c0, close 1 2 c3 c1,
create 0 2 c4 c2, close 2 2 c4 c0"""
PLAN = "plan 0 0 plan 1 0 plan 1 1 plan 2 1 plan 2 2"
EVENTS = " ".join(TRACE.replace(",", "").split())
RIGHT = f"reasoning {EVENTS} solution {PLAN} end"


def judged(response: str, maze: Maze = MAZE) -> tuple[bool, bool | None]:
    """Plan and trace, after seeing that kernel and reference agree."""
    verdict = judge(maze, response)
    assert verdict == judge_reference(maze, response)
    return verdict.plan.valid, verdict.trace and verdict.trace.valid


def plan_valid(plan: str, maze: Maze = MAZE) -> bool:
    return judged(f"solution {plan} end", maze)[0]


def trace_valid(trace: str, maze: Maze = MAZE) -> bool:
    """Of the events alone: no plan whose length could matter."""
    return judged(f"reasoning {trace.replace(',', '')} solution end", maze)[1]


def changed(*changes: tuple[str, str]) -> str:
    """The right events with some of their words replaced, which must occur."""
    trace = EVENTS
    for old, new in changes:
        assert old in trace
        trace = trace.replace(old, new)
    return trace


# ── what is read ────────────────────────────────────────────────────────────────────────


def test_right_response():
    assert judged(RIGHT) == (True, True)
    assert judge(MAZE, RIGHT).as_dict() == {"plan": {"valid": True}, "trace": {"valid": True}}
    assert judge_text(f"{PROMPT} {RIGHT}", 3, 3) == PublishedVerdict(Validity(True), Validity(True))
    with pytest.raises(validator.PromptError):
        judge_text(RIGHT, 3, 3)


def test_without_reasoning_there_is_no_trace():
    assert judged(f"solution {PLAN} end") == (True, None)
    assert judged(f"{EVENTS} solution {PLAN} end") == (True, None)
    assert judged("") == (False, None)
    assert judge(MAZE, f"solution {PLAN} end").as_dict() == {"plan": {"valid": True},
                                                             "trace": None}


@pytest.mark.parametrize("word", ["reasoning", "solution", "end"])
def test_some_words_are_dropped_wherever_they_stand(word):
    words = RIGHT.split()
    assert judged(" ".join(part for one in words for part in (one, word))) == (True, True)
    assert judged(f"reasoning {EVENTS} {PLAN}") == (True, True)


def test_nothing_ends_the_reading():
    assert judged(f"reasoning end solution end {EVENTS} end end {PLAN}") == (True, True)
    assert judged(f"solution {PLAN} end reasoning {EVENTS}") == (True, True)  # in any order
    halves = EVENTS.split("create 2 1")
    assert judged(f"reasoning {halves[0]} {PLAN} create 2 1 {halves[1]}") == (True, True)


# ── the plan ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("plan", "valid"), [
    (PLAN, True),
    ("plan 0 0 plan 1 0 plan 1 1 plan 1 0 plan 1 1 plan 1 2 plan 2 2", True),  # not short
    ("plan 00 0 plan 001 0 plan 1 1 plan 1 2 plan 2 2", True),
    ("", False),
    ("plan 1 0 plan 1 1 plan 2 1 plan 2 2", False),  # begins elsewhere
    ("plan 0 0 plan 1 0 plan 1 1 plan 2 1", False),  # ends elsewhere
    ("plan 0 0 plan 1 0 plan 2 1 plan 2 2", False),  # a jump
    ("plan 0 0 plan 0 0 plan 1 0 plan 1 1 plan 2 1 plan 2 2", False),  # stands still
    ("plan 0 0 plan 0 1 plan 0 2 plan 1 2 plan 2 2", False),  # a wall
    (f"plan 9 9 x {PLAN}", True),  # the last run
    (f"{PLAN} x", True),
    (f"{PLAN} 1 2 3", True),
    (f"{PLAN} wall plan 2 2", False),
    (f"{PLAN} end {PLAN}", False),  # one run, for end is dropped
    ("plan 0 0 plan 1 0 close 1 0 c1 c3 plan 1 1 plan 2 1 plan 2 2", False),  # broken by an event
    (f"{PLAN} close 1 0 c1 c3", True),
    (f"{PLAN} close 1 0", True),
    ("plan 0 0 plan 1 plan 1 1 plan 2 1 plan 2 2", False),  # a step without its numbers
    (f"{PLAN} plan 2", False),
    (f"{PLAN} plan", False),
    (PLAN.replace("1 0", "c1 0"), False),
    (PLAN.replace("1 0", "1.0 0"), False),
    (PLAN.replace("1 0", "١ 0"), False),
    (PLAN.replace("1 0", "-1 0"), False),
    (f"plan x 0 close 0 0 c0 c4 {PLAN}", True),  # only of the last run numbers are asked
    (f"plan 0 close 0 0 c0 c4 {PLAN}", False),  # no plan parses where a step is broken off,
    (f"plan create 0 0 c0 c4 {PLAN}", False),
    (f"{PLAN} close 0 0 c0 c4 plan 1 close", False),  # anywhere
    (f"create 0 {PLAN}", True),  # an event broken off does nothing to the plan
    (f"plan 0 {PLAN}", False),  # plan breaks no step off: `plan 0 plan`, 0, 0, and a run from 1 0
    (f"plan {PLAN}", False),
    (f"plan 0 1 2 {PLAN}", True),
])
def test_plans(plan, valid):
    assert plan_valid(plan) == valid
    assert judged(f"reasoning {plan}")[0] == valid  # no solution, no end


def test_a_plan_may_leave_the_grid():
    wide, tall = Maze.from_ascii("S#G"), Maze.from_ascii("S", "#", "G")
    below = "plan 0 0 plan 0 1 plan 1 1 plan 2 1 plan 2 0"
    beside = "plan 0 0 plan 1 0 plan 1 1 plan 1 2 plan 0 2"
    assert plan_valid(below, wide)
    assert plan_valid(beside, tall)
    assert not plan_valid(below, tall)
    assert not plan_valid(beside, wide)
    for maze, plan in ((wide, below), (tall, beside)):
        assert validator.judge(maze, f"solution {plan} end").plan.error == "off_grid"
        ids = Vocabulary(maze.rows, maze.cols).encode(f"{plan} end")
        table = validator.judge_responses(validator.Mazes.of([maze]), [ids], SOLUTION)
        assert table["plan_published"].tolist() == [True]


def test_a_plan_cannot_leap_far_away():
    far = 10**17
    assert not plan_valid(f"{PLAN[:8]} plan {far} 0 plan 2 2")
    assert not plan_valid(f"{PLAN[:8]} plan {'9' * 5000} 0 plan 2 2")


# ── the events of a trace ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize("trace", [
    EVENTS,
    changed(("create 1 0 c1 c3", "create 1 0 c1 c1"), ("close 1 0 c1 c3", "close 1 0 c1 c1")),
    changed(("create 1 0 c1", "create 1 0 c0"), ("close 1 0 c1", "close 1 0 c0")),
    changed(("create 0 2 c4 c2", "create 0 2 c4 c8")),  # a cell that is never closed
    changed(("create 0 2 c4 c2", "")),  # left out
    changed(("create 1 2 c3 c1", ""), ("close 1 2 c3 c1", ""), ("create 0 2 c4 c2", "")),
    changed(("c0", "x0"), ("c3", "c003")),  # the first character of a cost may be any
    changed(("c4", "14"), ("c1", "-1"), ("c2", "é2")),
    f"{EVENTS} close 0 2 c4 c2",  # goes on behind the goal
    changed(("close 2 1 c3 c1 create 2 2 c4 c0 close 1 2 c3 c1 create 0 2 c4 c2",  # another tie
             "close 1 2 c3 c1 create 0 2 c4 c2 create 2 2 c4 c0 close 2 1 c3 c1")),
])
def test_valid_traces(trace):
    assert trace_valid(trace)


@pytest.mark.parametrize("trace", [
    # malformed
    "x " + EVENTS, EVENTS + " x", EVENTS + " <pad>", EVENTS + " 1", EVENTS + " create",
    EVENTS + " close 0 2 c4", EVENTS + " query",
    changed(("close 0 0 c0 c4", "close 0 0 c0 close 0 0 c0 c4")),  # `close 0 0 c0 close`, …
    changed(("close 0 0 c0 c4", "create 0 0 c0 close 0 0 c0 c4")),  # broken off
    changed(("create 1 0 c1 c3", "create 1 0 1 c3")),  # of 1 nothing is left
    changed(("create 1 0 c1 c3", "create 1 0 c c3")),
    changed(("create 1 0 c1 c3", "create 1 0 cc1 c3")),
    changed(("create 1 0 c1 c3", "create 1 0 c-1 c3")),
    changed(("create 0 2 c4 c2", "create 0 2 c4 c٣")),
    changed(("create 1 0 c1 c3", "create c1 0 c1 c3")),
    changed(("create 1 0 c1 c3", "create -1 0 c1 c3")),
    # off the grid, a wall: of either kind
    changed(("create 0 2 c4 c2", "create 1 3 c4 c2")),
    changed(("create 0 2 c4 c2", "create 3 2 c4 c2")),
    changed(("create 0 2 c4 c2", f"create {'9' * 5000} 2 c4 c2")),
    EVENTS + " close 3 2 c4 c2", EVENTS + " close 0 3 c4 c2",
    changed(("create 1 0 c1 c3", "create 0 1 c1 c3 create 1 0 c1 c3")),
    EVENTS + " close 2 0 c4 c2",
    # create
    "create 1 0 c1 c3 " + EVENTS,  # before any close
    changed(("create 0 2 c4 c2", "create 2 1 c4 c1")),  # closed, no neighbour
    changed(("create 1 0 c1 c3", "create 1 0 c1 c3 create 1 1 c2 c2")),  # no neighbour
    changed(("create 1 1 c2 c2", "create 1 1 c2 c2 create 0 0 c2 c4")),  # closed
    EVENTS + " create 1 2 c9 c1",  # closed, behind the goal too
    # close
    changed(("close 0 0 c0 c4", "close 0 0 c1 c4")),
    changed(("close 0 0 c0 c4", "close 0 0 c0 c3")),
    changed(("close 1 0 c1 c3", "close 1 0 c2 c3")),
    changed(("close 1 0 c1 c3", "close 1 0 c1 c2")),
    changed(("close 1 0 c1 c3", "close 1 1 c1 c3")),
    changed(("close 1 1 c2 c2", "close 1 0 c1 c3 close 1 1 c2 c2")),  # closed already
    EVENTS + " close 2 2 c4 c0",  # the goal too
    changed(("close 2 2 c4 c0", "close 0 2 c4 c2 close 2 2 c4 c0")),  # not the lowest f
    changed(("create 0 2 c4 c2", "create 0 2 c0 c0")),  # so the goal is not the lowest
    # the goal
    "", changed(("close 2 2 c4 c0", "")), "close 0 0 c0 c4",
])
def test_invalid_traces(trace):
    assert not trace_valid(trace)


def test_a_create_of_an_open_cell():
    def again(first: str, second: str, closed: str) -> bool:
        return trace_valid(changed(("create 1 0 c1 c3", f"create 1 0 {first} create 1 0 {second}"),
                                   ("close 1 0 c1 c3", f"close 1 0 {closed}")))

    assert again("c5 c3", "c1 c9", "c1 c9")  # lower g: replaced, with its h
    assert not again("c5 c3", "c1 c9", "c5 c3")
    for other in ("c1 c9", "c2 c3", "c2 c0", "c1 c3"):  # another g or h, or none: ignored
        assert again("c1 c3", other, "c1 c3")
        if other != "c1 c3":
            assert not again("c1 c3", other, other)


@pytest.mark.parametrize(("g", "other", "told_apart"), [
    (str(10**17), str(10**17 + 1), True), (str(LARGEST - 1), str(LARGEST), True),
    (str(LARGEST), str(LARGEST + 1), False), (str(LARGEST), "1" + "0" * 5000, False)],
    ids=["far", "last", "first above", "far above"])
def test_costs_of_any_size(g, other, told_apart):
    """Told apart up to `LARGEST`; above they count as that."""
    trace = ("close 0 0 c0 c4 create 1 0 c{} c3 close 1 0 c{} c3 create 1 1 c2 c2 close 1 1 c2 c2 "
             "create 2 1 c3 c1 close 2 1 c3 c1 create 2 2 c4 c0 close 2 2 c4 c0")
    assert trace_valid(trace.format(g, g))
    assert trace_valid(trace.format(other, other))
    assert trace_valid(trace.format(g, other)) != told_apart


def test_start_is_goal():
    maze = Maze(np.ones((3, 3), np.uint8), (1, 1), (1, 1))
    assert judged("reasoning close 1 1 c0 c0 solution plan 1 1 end", maze) == (True, True)
    assert judged("reasoning close 1 1 c0 c0 solution plan 1 1 plan 0 1 plan 1 1", maze) == (
        True, False)


# ── the plan in the trace's verdict ─────────────────────────────────────────────────────


def test_a_plan_of_another_length_breaks_the_trace():
    longer = PLAN.replace("plan 1 1", "plan 1 1 plan 1 0 plan 1 1", 1)
    assert judged(f"reasoning {EVENTS} solution {longer} end") == (True, False)
    assert judged(f"reasoning {EVENTS} solution {PLAN[:-9]} end") == (False, False)
    assert validator.judge(MAZE, f"reasoning {EVENTS} solution {longer} end").trace.exact


def test_only_its_length_is_asked():
    other = PLAN.replace("2 1", "1 2")
    assert judged(f"reasoning {EVENTS} solution {other} end") == (True, True)
    wrong = " ".join(["plan 9 9"] * 5)
    assert judged(f"reasoning {EVENTS} solution {wrong} end") == (False, True)
    assert judged(f"reasoning {EVENTS} {wrong} x {wrong[9:]}") == (False, False)


@pytest.mark.parametrize("plan", ["", "plan", "plan x 0", "plan 0 0 plan 1", f"{PLAN} plan 2"])
def test_a_plan_that_does_not_parse_breaks_no_trace(plan):
    assert judged(f"reasoning {EVENTS} solution {plan} end") == (False, True)


def test_a_step_broken_off_breaks_no_trace():
    trace = changed(("create 2 1", "plan 1 create 2 1"))
    assert judged(f"reasoning {trace} solution plan 0 0 end") == (False, True)


@pytest.mark.parametrize(("g", "cells"), [("c8", 5), ("c9", 3), ("c10", 3)])
def test_the_path_is_that_of_the_traces_parents(g, cells):
    """The goal, open from (1, 0) on at c9, is created again by a way round."""
    maze = Maze.from_ascii("S..", ".G.", "...")
    found = g if cells == 5 else "c9"
    trace = ("close 0 0 c0 c2 create 1 0 c1 c1 create 0 1 c1 c1 close 1 0 c1 c1 create 1 1 c9 c0 "
             "close 0 1 c1 c1 create 0 2 c1 c1 close 0 2 c1 c1 create 1 2 c1 c1 close 1 2 c1 c1 "
             f"create 1 1 {g} c0 close 1 1 {found} c0")
    for n in (3, 5):
        plan = ["plan 0 0", "plan 1 0", "plan 0 0", "plan 0 1", "plan 1 1"][-n:]
        assert judged(f"reasoning {trace} solution {' '.join(plan)} end", maze)[1] == (n == cells)


# ── what it says of real traces ─────────────────────────────────────────────────────────


@pytest.mark.parametrize("generator", GENERATORS)
@pytest.mark.parametrize(("rows", "cols"), [(5, 5), (30, 30), (8, 14)])
def test_what_astar_writes_is_valid(generator, rows, cols):
    problems = generate(generator, rows, cols, 200, split="test", sampling="indexed")
    tokens, bounds = encode_mazes(problems)
    table = validator.judge_ids(problems, tokens, bounds[:, [1, 3]])
    assert list(table)[-2:] == ["plan_published", "trace_published"]
    assert (table["plan_published"] == table["plan_valid"]).all()
    assert (table["trace_published"] == table["trace_valid"]).all()  # where the goal is reached
    without = validator.judge_ids(problems, tokens, bounds[:, [2, 3]])
    assert (without["plan_published"] == table["plan_published"]).all()
    assert not without["trace_published"].any()  # no trace


def test_small_changes_of_published_traces():
    """A step out of the plan always breaks the trace; most wrong costs in a create do."""
    problems = generate("wilson", 30, 30, 36, split="test")
    broken = dict.fromkeys(["step", "h", "g", "goal"], 0)
    for i in range(36):
        maze = problems.maze(i)
        trace, plan = solve(maze)

        def is_valid(trace=trace, plan=plan, maze=maze) -> bool:
            steps = [f"plan {x} {y}" for x, y in plan]
            return judged(" ".join(["reasoning", *map(str, trace), "solution", *steps, "end"]),
                          maze)[1]

        assert is_valid()
        creates = [j for j, event in zip(count(), trace) if event.kind == "create"]
        j = creates[len(creates) // 2]
        broken["step"] += not is_valid(plan=plan[:1] + plan[2:])
        for name, wrong in (("h", trace[j]._replace(h=trace[j].h + 1)),
                            ("g", trace[j]._replace(g=trace[j].g + 2))):
            broken[name] += not is_valid([*trace[:j], wrong, *trace[j + 1:]])
        broken["goal"] += not is_valid([*trace, trace[-1]])
    assert broken["step"] == broken["goal"] == 36
    assert 18 < broken["h"] < 36
    assert 18 < broken["g"] < 36


# ── all ways to a verdict agree ─────────────────────────────────────────────────────────


@st.composite
def mutants(draw, maze: Maze) -> str:
    """A right response changed in ways that a published verdict may forgive."""
    words = right_response(maze)
    split = words.index("solution")
    events = [" ".join(words[i:i + 5]) for i in range(1, split, 5)]
    steps = [" ".join(words[i:i + 3]) for i in range(split + 1, len(words) - 1, 3)]
    for _ in range(draw(st.integers(0, 4))):
        edit = draw(st.sampled_from(["costs", "letter", "lose", "again", "goal", "step", "order",
                                     "word", "cut"]))
        if not events or not steps:
            break
        at = draw(st.integers(0, len(events) - 1))
        _, x, y, *_ = events[at].split() + ["0"] * 3  # an edit before may have left nothing
        other = f"c{draw(st.integers(0, 9))} c{draw(st.integers(0, 9))}"
        if edit == "costs":  # wherever the cell occurs
            events = [" ".join([*event.split()[:3], other]) if event.split()[1:3] == [x, y]
                      else event for event in events]
        elif edit == "letter":
            events[at] = events[at].replace("c", draw(st.sampled_from(["x", "7", "é", "cc"])), 3)
        elif edit == "lose":
            events = [event for event in events if event.split()[1:3] != [x, y]]
        elif edit == "again":
            events.insert(at, f"create {x} {y} {other}")
        elif edit == "goal":
            events.append(events[draw(st.sampled_from([-1, at]))])
        elif edit == "step":
            i = draw(st.integers(0, len(steps) - 1))
            steps[i:i + draw(st.integers(0, 2))] = [steps[i]] * draw(st.integers(0, 2))
        elif edit == "order":
            events, steps = steps, events
        elif edit == "word":
            events.insert(at, draw(any_word))
        else:
            events[at] = " ".join(events[at].split()[:-1])
    behind = draw(st.sampled_from([[], [], [], ["<pad>"], ["plan 0"], ["close 0 0 c0 c0"]]))
    return " ".join(["reasoning", *events, "solution", *steps, "end", *behind])


@settings(max_examples=1000)
@given(st.data())
def test_kernel_is_reference(data):
    maze = data.draw(mazes | scattered(smallest=1))
    judged(data.draw(responses(maze) | mutants(maze)), maze)


def test_kernel_is_reference_on_published_traces():
    """Numbers of real traces changed one by one; both verdicts occur, each often."""
    counts = {True: 0, False: 0}
    for generator, rows, cols in (("wilson", 9, 6), ("searchformer", 7, 10)):
        problems = generate(generator, rows, cols, 6, split="test", sampling="indexed")
        rng = np.random.default_rng(rows)
        for i in range(6):
            maze, words = problems.maze(i), right_response(problems.maze(i))
            for at in rng.integers(1, len(words) - 1, 60):
                other = words[at][:-1] + str(rng.integers(10)) if words[at][-1].isdigit() else "end"
                found = judged(" ".join([*words[:at], other, *words[at + 1:]]), maze)
                counts[found[1]] += 1
    assert min(counts.values()) > 50


@settings(max_examples=300)
@given(judged_ids())
def test_ids_are_judged_as_their_text(given_ids):
    problems, opening, responses = given_ids
    vocabulary = Vocabulary(*problems.grids.shape[1:])
    table = validator.judge_responses(problems, responses, opening)
    for i, ids in enumerate(responses):
        found = judged(vocabulary.decode([opening, *ids]), problems.maze(i))
        assert table["plan_published"][i] == found[0]
        assert table["trace_published"][i] == bool(found[1])
        assert table["has_trace"][i] == (found[1] is not None)


def test_a_coordinate_as_a_cost():
    """`12` where a cost belongs says 2, from ids as from text."""
    maze = Maze.from_ascii("S" + "." * 15 + "G")
    words = right_response(maze)
    at = words.index("c2")
    for word, valid in (("12", True), ("13", False), ("2", False)):
        changed = [*words[:at], word, *words[at + 1:]]
        assert judged(" ".join(changed), maze) == (True, valid)
        ids = Vocabulary(1, 17).encode(" ".join(changed))
        assert judge_ids(validator.Mazes.of([maze]), ids, np.array([[0, len(ids)]])).tolist() == [
            [True, valid]]


@given(st.data())
def test_a_path_that_a_trace_found_is_a_path(data):
    """So of its path nothing but the length can break a trace."""
    maze = data.draw(mazes)
    events, malformed, _ = read(data.draw(mutants(maze)))
    path = None if malformed else path_of_trace(maze, events)
    assert path is None or is_path(maze, path)
