"""Verdicts: every rule and its place in the order, and that all ways to a verdict agree."""

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import judged_ids, mazes, responses, right_response

from helpers import explanations
from helpers import maze as maze_module
from helpers.generators import GENERATORS
from helpers.language import REASONING, SOLUTION, Vocabulary, encode_mazes
from helpers.maze import Maze, Mazes, generate
from helpers.validator import (
    PLAN_ERRORS,
    TRACE_ERRORS,
    PlanVerdict,
    PromptError,
    TraceVerdict,
    Verdict,
    explain,
    judge,
    judge_ids,
    judge_reference,
    judge_responses,
    judge_text,
    read_example,
    verdict,
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


def events(text: str) -> list[str]:
    return [event.strip() for event in text.split(",")]


def judged(maze: Maze, response: str) -> Verdict:
    """The verdict, after seeing that kernel and reference agree on it."""
    assert judge(maze, response) == judge_reference(maze, response)
    return judge(maze, response)


def judged_trace(trace: list[str], maze: Maze = MAZE) -> TraceVerdict:
    return judged(maze, " ".join(["reasoning", *trace, "solution", PLAN, "end"])).trace


# ── plans ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("response", "error", "step"), [
    (f"solution {PLAN} end", None, None),
    ("", "missing", None),
    (f"reasoning {PLAN} end", "missing", None),
    ("solution plan 0 0 plan 1 end", "parse", 1),
    ("solution plan 0 0 1 0 plan end", "parse", 1),
    ("solution plan 0 0 plan x 0 end", "parse", 1),
    ("solution plan 0 0 plan -1 0 end", "parse", 1),
    ("solution plan 0 0 plan c1 0 end", "parse", 1),
    ("solution plan 0 0 create 1 0 end", "parse", 1),
    (f"solution {PLAN} reasoning end", "parse", 5),
    (f"solution {PLAN} solution end", "parse", 5),
    ("solution plan 2 2 plan", "parse", 1),  # before unterminated
    (f"solution {PLAN}", "unterminated", 5),
    ("solution", "unterminated", 0),  # before empty
    ("solution plan 1 0", "unterminated", 1),  # before wrong_start
    ("solution end", "empty", None),
    (f"solution end {PLAN} end", "empty", None),  # nothing counts after the first end
    ("solution plan 1 0 plan 1 1 end", "wrong_start", 0),
    ("solution plan 9 9 end", "wrong_start", 0),  # before off_grid
    ("solution plan 0 0 plan 45 0 end", "off_grid", 1),
    ("solution plan 0 0 plan 1 3 end", "off_grid", 1),
    (f"solution plan 0 0 plan 1 {'9' * 5000} end", "off_grid", 1),
    ("solution plan 0 0 plan 0 1 plan 1 0 end", "wall", 1),  # before the jump after it
    ("solution plan 0 0 plan 2 0 end", "wall", 1),  # before jump
    ("solution plan 0 0 plan 1 1 plan 45 0 end", "jump", 1),
    ("solution plan 0 0 plan 0 0 end", "jump", 1),
    ("solution plan 0 0 plan 1 0 plan 1 1 end", "wrong_end", 2),
    ("solution plan 0 0 end", "wrong_end", 0),
    ("solution plan 00 0 plan 001 0 plan 1 1 plan 1 2 plan 2 2 end", None, None),
    (f"reasoning end solution {PLAN} end", None, None),
    (f"solution {PLAN} end <pad> <pad> plan", None, None),
])
def test_plan_errors(response, error, step):
    assert judged(MAZE, response).plan == PlanVerdict(not error, not error, error, step)


@pytest.mark.parametrize("detour", [
    "plan 0 0 plan 1 0 plan 0 0 plan 1 0 plan 1 1 plan 2 1 plan 2 2",
    "plan 0 0 plan 1 0 plan 1 1 plan 2 1 plan 2 2 plan 1 2 plan 2 2"])
def test_valid_plan_that_is_not_optimal(detour):
    assert judged(MAZE, f"solution {detour} end").plan == PlanVerdict(True, False, None, None)


def test_plan_where_start_is_goal():
    maze = Maze(np.ones((3, 3), np.uint8), (1, 1), (1, 1))
    assert judged(maze, "solution plan 1 1 end").plan.optimal
    assert judged(maze, "reasoning close 1 1 c0 c0 solution plan 1 1 end").trace.exact


# ── traces ──────────────────────────────────────────────────────────────────────────────


def test_right_trace():
    assert judged_trace(events(TRACE)) == TraceVerdict(True, True, True, None, None, None, None)


@pytest.mark.parametrize(("trace", "error", "event"), [
    ("close 0 0 c0", "parse", 0),
    ("close 0 0 c0 c4, create 1 0 c1 c3 c3", "parse", 2),
    ("close 2 2 c9 c9, create 1 0 1 c3", "parse", 1),  # before anything else is judged
    ("close 0 0 c0 c4, plan 1 0 c1 c3", "parse", 1),
    ("close 0 0 c0 c4, create 1 c0 c1 c3", "parse", 1),
    ("close 0 0 c0 c4, create 1 0 c1 c-3", "parse", 1),
    ("create 1 0 c1 c3", "invalid_neighbor", 0),  # nothing closed yet
    ("close 0 0 c0 c4, create 0 1 c1 c3", "invalid_neighbor", 1),  # a wall
    ("close 0 0 c0 c4, create 1 1 c2 c2", "invalid_neighbor", 1),  # not beside
    ("close 0 0 c0 c4, create 3 0 c1 c3", "invalid_neighbor", 1),  # off the grid
    ("close 0 0 c0 c4, create 45 0 c5000 c3", "invalid_neighbor", 1),  # before wrong_cost
    ("close 0 0 c0 c4, create 0 0 c1 c4", "invalid_neighbor", 1),  # closed, not beside
    ("close 0 0 c0 c4, create 1 0 c1 c3, close 1 0 c1 c3, create 0 0 c2 c4",
     "invalid_neighbor", 3),  # closed
    ("close 0 0 c0 c4, create 1 0 c2 c3", "wrong_cost", 1),  # g
    ("close 0 0 c0 c4, create 1 0 c1 c4", "wrong_cost", 1),  # h
    ("close 0 0 c0 c4, create 1 0 c5000 c3", "wrong_cost", 1),
    ("close 0 0 c0 c4, create 1 0 c1 c" + "9" * 5000, "wrong_cost", 1),
    ("close 0 0 c1 c4", "wrong_cost", 0),
    ("close 0 0 c0 c3", "wrong_cost", 0),
    ("close 0 0 c0 c4, create 1 0 c1 c3, close 0 0 c9 c9", "already_closed", 2),
    ("close 1 0 c9 c9", "not_in_open", 0),  # before wrong_cost
    ("close 0 1 c0 c3", "not_in_open", 0),  # a wall
    ("close 45 0 c0 c4", "not_in_open", 0),
    ("", "goal_not_reached", 0),
    ("close 0 0 c0 c4, create 1 0 c1 c3", "goal_not_reached", 2),
])
def test_trace_errors(trace, error, event):
    got = judged_trace(events(trace))
    assert got == TraceVerdict(False, False, False, error, event, error, event)


def test_not_lowest_f():
    maze = Maze.from_ascii(".S..G")
    start = ["close 1 0 c0 c3", "create 2 0 c1 c2", "create 0 0 c1 c4"]
    got = judged_trace([*start, "close 0 0 c1 c4"], maze)
    assert got == TraceVerdict(False, False, False, "not_lowest_f", 3, "not_lowest_f", 3)
    got = judged_trace([*start, "close 0 0 c2 c4"], maze)
    assert got.error == "wrong_cost"  # before not_lowest_f


def test_ties_are_free_and_so_is_the_order_of_creates():
    trace = events(TRACE)
    trace[5], trace[6] = trace[6], trace[5]
    assert judged_trace(trace) == TraceVerdict(True, True, False, None, None, None, None)
    trace = events(TRACE)
    del trace[9:11]  # the goal rather than the earlier of two cells with the same f
    assert judged_trace(trace) == TraceVerdict(True, True, False, None, None, None, None)


@pytest.mark.parametrize("goal_first", [True, False])
def test_after_goal_is_strict_and_ends_the_judging(goal_first):
    tail = ["close 2 2 c4 c0", "create 9 9 c9 c9"]
    got = judged_trace([*events(TRACE), *(tail if goal_first else tail[::-1])])
    assert got == TraceVerdict(True, False, False, None, None, "after_goal", 12)


def test_missing_create():
    trace = events(TRACE)
    del trace[6]  # create 1 2
    del trace[8:10]  # close 1 2 and what it creates
    got = judged_trace(trace)
    assert got == TraceVerdict(True, False, False, None, None, "missing_create", 6)


def test_missing_create_comes_before_the_other_rules_of_its_close():
    trace = [*events(TRACE)[:1], "close 1 0 c1 c3"]
    got = judged_trace(trace)
    assert got == TraceVerdict(False, False, False, "not_in_open", 1, "missing_create", 1)


def test_missing_create_is_judged_at_a_close_only():
    got = judged_trace(events(TRACE)[:1])
    assert got == TraceVerdict(False, False, False, "goal_not_reached", 1, "goal_not_reached", 1)


def test_not_improving():
    trace = events(TRACE)
    trace.insert(2, "create 1 0 c1 c3")
    got = judged_trace(trace)
    assert got == TraceVerdict(True, False, False, None, None, "not_improving", 2)


def test_strict_break_does_not_stop_the_other_judging():
    trace = [*events(TRACE)[:2], "create 1 0 c1 c3", "close 1 0 c1 c3", "create 1 1 c2 c3"]
    got = judged_trace(trace)
    assert got == TraceVerdict(False, False, False, "wrong_cost", 4, "not_improving", 2)


def test_create_that_breaks_a_rule_of_each_set_breaks_the_plain_one():
    trace = [*events(TRACE)[:2], "create 1 0 c9 c3"]
    got = judged_trace(trace)
    assert (got.error, got.strict_error) == ("wrong_cost", "wrong_cost")


def created_again():
    """A maze in whose trace a cell is created twice, the trace, and where it is again."""
    mazes = generate("searchformer", 12, 12, 200, split="test", sampling="indexed")
    for i in range(200):
        words = right_response(mazes.maze(i))
        trace = [" ".join(words[j:j + 5]) for j in range(1, words.index("solution"), 5)]
        seen = set()
        for at, event in enumerate(trace):
            cell = tuple(event.split()[:3])
            if cell in seen and cell[0] == "create":
                return mazes.maze(i), trace, at
            seen.add(cell)
    raise AssertionError("no such maze")


def test_cell_created_again_at_a_lower_g():
    maze, trace, at = created_again()
    assert judged_trace(trace, maze).exact
    got = judged_trace(trace[:at] + trace[at + 1:], maze)
    later_close = next(i for i in range(at, len(trace)) if trace[i].startswith("close"))
    assert got.strict_error == "missing_create"
    assert got.strict_event == later_close - 1


def test_open_list_keeps_the_lower_g():
    maze, trace, at = created_again()
    kind, x, y, *_ = trace[at].split()
    first = next(i for i, event in enumerate(trace) if event.split()[:3] == [kind, x, y])
    g = {trace[i].split()[3] for i in (first, at)}
    assert len(g) == 2
    close = next(i for i in range(len(trace)) if trace[i].split()[:3] == ["close", x, y])
    assert trace[close].split()[3] == trace[at].split()[3]
    trace[close] = trace[close].replace(trace[at].split()[3], trace[first].split()[3], 1)
    got = judged_trace(trace, maze)
    assert (got.error, got.event) == ("wrong_cost", close)


@pytest.mark.parametrize("generator", GENERATORS)
@pytest.mark.parametrize("side", [5, 30])
def test_what_astar_writes_is_exact(generator, side):
    mazes = generate(generator, side, side, 300, split="test", sampling="indexed")
    tokens, bounds = encode_mazes(mazes)
    table = judge_ids(mazes, tokens, bounds[:, [1, 3]])
    reached = table["trace_valid"]
    assert table["trace_exact"].all()  # unreachable goals too: the very events A* writes
    assert (table["trace_strict"] == reached).all()
    assert (table["plan_valid"] == reached).all()
    assert (table["plan_optimal"] == reached).all()
    assert set(table["trace_error"]) <= {None, "goal_not_reached"}
    assert set(table["plan_error"]) <= {None, "jump"}
    if generator != "cellular_automata":
        assert reached.all()
    assert (table["trace_events"] == (bounds[:, 2] - bounds[:, 1] - 1) // 5).all()
    assert (table["plan_length"] == (bounds[:, 3] - bounds[:, 2] - 2) // 3).all()


def test_published_goals_out_of_reach():
    mazes = generate("cellular_automata", 30, 30, 1000, split="test")
    tokens, bounds = encode_mazes(mazes)
    errors = judge_ids(mazes, tokens, bounds[:, [1, 3]])["trace_error"]
    assert (errors == "goal_not_reached").sum() == 21
    assert (errors == None).sum() == 979  # noqa: E711 (elementwise)


def test_goal_out_of_reach():
    maze = Maze.from_ascii("S#G",
                           ".#.")
    trace = ["close 0 0 c0 c2", "create 0 1 c1 c3", "close 0 1 c1 c3"]
    assert judged_trace(trace, maze) == TraceVerdict(
        False, False, True, "goal_not_reached", 3, "goal_not_reached", 3)
    for part in (trace[:1], trace[:2]):  # A* would go on
        assert not judged_trace(part, maze).exact


# ── where trace and plan stand ──────────────────────────────────────────────────────────


@pytest.mark.parametrize(("response", "event"), [
    ("reasoning", 0),
    ("reasoning close 0 0 c0 c4", 1),
    ("reasoning close 0 0 c0 c4 solution", 1),
    ("reasoning close 0 0 c0 c4 end create 1 0 c1 c3 solution", 1),
    ("solution end reasoning close 0 0 c0 c4", 1),
    ("solution reasoning close 0 0 c0 c4 end reasoning", 1),
])
def test_trace_ends_with_solution_or_end_or_the_text(response, event):
    trace = judged(MAZE, response).trace
    assert (trace.error, trace.event) == ("goal_not_reached", event)


def test_no_trace_without_reasoning():
    for response in ("", f"solution {PLAN} end", "close 0 0 c0 c4"):
        assert judged(MAZE, response).trace is None


# ── prompts ─────────────────────────────────────────────────────────────────────────────


def test_example_of_text():
    text = f"{PROMPT} reasoning {TRACE.replace(',', '')} solution {PLAN} end"
    maze, response = read_example(text, 3, 3)
    assert str(maze) == str(MAZE)
    assert response.startswith("reasoning close")
    assert judge_text(text, 3, 3).as_dict() == {
        "plan": {"valid": True, "optimal": True, "error": None, "step": None},
        "trace": {"valid": True, "strict": True, "exact": True, "error": None, "event": None,
                  "strict_error": None, "strict_event": None}}
    assert judge_text(f"{PROMPT} solution end", 3, 3).as_dict() == {
        "plan": {"valid": False, "optimal": False, "error": "empty", "step": None},
        "trace": None}


@pytest.mark.parametrize("rest", ["", " plan 0 0 end", " close 0 0 c0 c4", " end", " x"])
def test_text_without_reasoning_or_solution(rest):
    assert judge_text(PROMPT + rest, 3, 3) == Verdict(
        PlanVerdict(False, False, "missing", None), None)


@pytest.mark.parametrize(("text", "message"), [
    ("", "got nothing as word 1, takes 'query'"),
    ("start 0 0 goal 2 2", "got 'start' as word 1, takes 'query'"),
    ("query goal 2 2 start 0 0", "got 'goal' as word 2, takes 'start'"),
    ("query start 0 0 wall 1 1 goal 2 2", "got 'wall' as word 5, takes 'goal'"),
    ("query start 0", "got '0' after start, takes two decimal numbers"),
    ("query start 0 x goal 2 2", "got '0 x' after start"),
    ("query start 0 -1 goal 2 2", "got '0 -1' after start"),
    ("query start 0 ٣ goal 2 2", "after start, takes two decimal numbers"),
    ("query start 0 0 goal 2 3 solution", "goal 2 3 lies off the grid of 3 rows and 3 columns"),
    ("query start 0 0 goal 45 2 solution", "goal 45 2 lies off the grid"),
    (f"query start 0 0 goal {'9' * 5000} 2", "goal 999999999 2 lies off the grid"),
    (f"{PROMPT} wall 1 solution", "got '1 solution' after wall"),
    (f"{PROMPT} wall 3 0 solution", "wall 3 0 lies off the grid"),
    (f"{PROMPT} wall 0 0 solution", "start 0 0 is a wall, takes a free cell"),
    (f"{PROMPT} wall 2 2 solution", "goal 2 2 is a wall"),
    (f"{PROMPT} end solution", "got 'end' after the walls, takes 'reasoning' or 'solution'"),
    (f"{PROMPT} close 0 0 c0 c4 reasoning", "got 'close' after the walls"),
    (f"{PROMPT} {'x' * 5000} reasoning", r"got 'xxx.*\.\.\..*xxx' after the walls"),
    (f"{PROMPT} start 0 0", "got 'start' after the walls, takes a response"),
    (f"{PROMPT} plan 0 0 wall 1 1", "got 'wall' after the walls"),
])
def test_malformed_prompts(text, message):
    with pytest.raises(PromptError, match=message) as caught:
        judge_text(text, 3, 3)
    assert len(str(caught.value)) < 200


def test_prompt_words_in_a_response_are_the_responses_mistake():
    assert judge_text(f"{PROMPT} solution wall 0 0 end", 3, 3).plan.error == "parse"


def test_x_is_checked_against_columns_and_y_against_rows():
    assert judge_text("query start 4 0 goal 0 2 solution end", 3, 5).plan.error == "empty"
    with pytest.raises(PromptError, match="start 0 4 lies off the grid of 3 rows and 5 columns"):
        judge_text("query start 0 4 goal 0 2 solution end", 3, 5)


# ── all ways to a verdict agree ─────────────────────────────────────────────────────────


@settings(max_examples=1000)
@given(st.data())
def test_kernel_is_reference(data):
    maze = data.draw(mazes)
    judged(maze, data.draw(responses(maze)))


@settings(max_examples=300)
@given(judged_ids())
def test_ids_are_judged_as_their_text(given_ids):
    problems, opening, responses = given_ids
    rows, cols = problems.grids.shape[1:]
    vocabulary = Vocabulary(rows, cols)
    table = judge_responses(problems, responses, opening)
    for i, response in enumerate(responses):
        maze = problems.maze(i)
        words = vocabulary.decode([*vocabulary.prompt_ids(maze), opening, *response])
        assert verdict(table, i) == judge_text(words, rows, cols)
        assert verdict(table, i) == judge_reference(maze, words[words.index(
            vocabulary.tokens[opening]):])


def test_columns_of_no_responses():
    none = Mazes(np.zeros((0, 3, 3), np.uint8), np.zeros((0, 2), np.int16),
                 np.zeros((0, 2), np.int16))
    assert {len(column) for column in judge_responses(none, [], REASONING).values()} == {0}


ONE = Mazes(MAZE.grid[None], np.array([MAZE.start], np.int16), np.array([MAZE.goal], np.int16))


def test_responses_that_do_not_fit():
    with pytest.raises(ValueError, match="spans: got 2, takes one for each of 1 mazes"):
        judge_responses(ONE, [np.zeros(3, np.uint16)] * 2, SOLUTION)
    for outside in (Vocabulary(3, 3).size, 900):
        with pytest.raises(ValueError, match=f"tokens: got {outside}, takes ids of the vocabulary"):
            judge_responses(ONE, [np.array([outside], np.uint16)], SOLUTION)


def test_columns_without_a_trace():
    response = Vocabulary(3, 3).encode(f"{PLAN} end")
    row = {name: column[0] for name, column in
           judge_responses(ONE, [response], SOLUTION).items()}
    assert row == {
        "plan_valid": True, "plan_optimal": True, "plan_error": None, "plan_step": -1,
        "plan_length": 5, "has_trace": False, "trace_valid": False, "trace_strict": False,
        "trace_exact": False, "trace_error": None, "trace_event": -1, "trace_strict_error": None,
        "trace_strict_event": -1, "trace_events": 0, "plan_published": True,
        "trace_published": False}


# ── for people ──────────────────────────────────────────────────────────────────────────


@given(st.data())
def test_explanation_names_what_the_verdict_names(data):
    maze = data.draw(mazes)
    response = data.draw(responses(maze))
    plan, trace = judge(maze, response)
    text = explain(maze, response)
    for error in {plan.error, *(trace or TraceVerdict(*[None] * 7))[3::2]} - {None}:
        assert error in PLAN_ERRORS + TRACE_ERRORS
        assert f"breaks {error}: expected " in text
    assert ("plan: valid" in text) == plan.valid
    assert ("trace: valid" in text) == bool(trace and trace.valid)


def test_explanation_of_a_trace():
    trace = [*events(TRACE)[:7], "close 2 2 c4 c0"]
    assert explain(MAZE, f"reasoning {' '.join(trace)} solution {PLAN} end") == """\
plan: valid, optimal
trace: event 7, "close 2 2 c4 c0", breaks not_in_open: expected a cell of the open list
Sx#
#xo
.o!
S start, G goal, # wall, o open, x closed, ! here"""


def test_explanation_of_both_sets_of_rules():
    text = explain(MAZE, "reasoning close 0 0 c0 c4 close 1 0 c1 c3")
    assert "plan: breaks missing: expected a plan after the word solution" in text
    assert "trace (strict rules): event 1" in text
    assert "breaks missing_create: expected a create of (1, 0) first" in text
    assert "trace: event 1" in text


def test_examples_in_docstrings():
    for module in (maze_module, explanations):
        result = doctest.testmod(module)
        assert (result.attempted > 0, result.failed) == (True, 0)
