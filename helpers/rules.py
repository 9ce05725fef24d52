"""What a plan and a trace must be, in Python.

A response is what follows the walls of a prompt: ``reasoning`` with a trace, ``solution``
with a plan. The trace stands between ``reasoning`` and the first following ``solution`` or
``end``, the plan between the first ``solution`` and the first ``end`` after it. Both are
judged apart; a verdict names the first broken rule and the event or step that broke it.

`plan_break` and `trace_breaks` are the rules. They are written to be read, and to say what
they expected, which `helpers.explanations` tells people; `helpers.validator` has the same
rules as a fast kernel, and the tests hold the two together.
"""

import math
import re
import reprlib
from collections.abc import Iterator
from itertools import takewhile
from typing import NamedTuple

import numpy as np

from helpers.astar import STEPS, Event, solve_reference
from helpers.maze import FREE, WALL, Maze

PLAN_ERRORS = ("missing", "parse", "unterminated", "empty", "wrong_start", "off_grid", "wall",
               "jump", "wrong_end")
TRACE_ERRORS = ("parse", "invalid_neighbor", "wrong_cost", "already_closed", "not_in_open",
                "not_lowest_f", "goal_not_reached",
                "missing_create", "not_improving", "after_goal")  # the last three: strict only


class PromptError(ValueError):
    """A text whose prompt is no maze; the message names the cause."""


class OffGridError(PromptError):
    """A prompt of a larger grid.

    Attributes:
        needs: rows and columns of the smallest grid that holds the prompt's cells.
    """

    def __init__(self, message: str, needs: tuple[int, int]):
        super().__init__(message)
        self.needs = needs


class PlanVerdict(NamedTuple):
    valid: bool
    optimal: bool  # valid, and as short as the shortest path
    error: str | None  # of `PLAN_ERRORS`
    step: int | None


class TraceVerdict(NamedTuple):
    valid: bool  # breaks no rule of A*
    strict: bool  # valid, creates all it should and nothing it should not, stops at the goal
    exact: bool  # the very events that `astar.solve` writes
    error: str | None  # of `TRACE_ERRORS`, the strict ones left out
    event: int | None
    strict_error: str | None  # the first break of either set
    strict_event: int | None


class Verdict(NamedTuple):
    plan: PlanVerdict
    trace: TraceVerdict | None  # None: the response has no ``reasoning``

    def as_dict(self) -> dict:
        """The verdict as the command line writes it in JSON."""
        return {"plan": self.plan._asdict(), "trace": self.trace and self.trace._asdict()}


# ── the prompt ──────────────────────────────────────────────────────────────────────────


def read_example(text: str, rows: int, cols: int) -> tuple[Maze, str]:
    """Splits an example into its maze and its response, opening word included.

    Raises:
        PromptError: the text does not begin with ``query start X Y goal X Y {wall X Y}*`` on
            this grid with start and goal free, or something stands between that and the
            first ``reasoning`` or ``solution``.
        OffGridError: it names a cell beyond this grid.
    """
    words = text.split()

    def shown(some: list[str]) -> str:
        return reprlib.repr(" ".join(some)) if some else "nothing"  # however long they are

    def cell(at: int, what: str) -> tuple[int, int]:
        digits = words[at:at + 2]
        if len(digits) < 2 or not all(map(is_decimal, digits)):
            raise PromptError(f"prompt: got {shown(digits)} after {what}, takes two decimal "
                              "numbers")
        x, y = map(number, digits)
        if x >= cols or y >= rows:
            raise OffGridError(f"prompt: {what} {x} {y} lies off the grid of {rows} rows and "
                               f"{cols} columns", _size(words))
        return x, y

    def expect(word: str, at: int) -> None:
        if words[at:at + 1] != [word]:
            raise PromptError(f"prompt: got {shown(words[at:at + 1])} as word {at + 1}, takes "
                              f"{word!r}")

    expect("query", 0)
    expect("start", 1)
    start = cell(2, "start")
    expect("goal", 4)
    goal = cell(5, "goal")
    grid = np.full((rows, cols), FREE, np.uint8)
    at = 7
    while words[at:at + 1] == ["wall"]:
        x, y = cell(at + 1, "wall")
        grid[y, x] = WALL
        at += 3
    for what, (x, y) in (("start", start), ("goal", goal)):
        if grid[y, x] == WALL:
            raise PromptError(f"prompt: {what} {x} {y} is a wall, takes a free cell")
    response = words[at:]
    if "reasoning" in response or "solution" in response:
        if response[0] not in ("reasoning", "solution"):
            raise PromptError(f"prompt: got {shown(response[:1])} after the walls, takes "
                              "'reasoning' or 'solution'")
    elif leftover := {"query", "start", "goal", "wall"}.intersection(response):
        raise PromptError(f"prompt: got {min(leftover)!r} after the walls, takes a response")
    return Maze(grid, start, goal), " ".join(response)


def _size(words: list[str]) -> tuple[int, int]:
    """Rows and columns that the cells of a prompt need."""
    cells = re.findall(r"\b(?:start|goal|wall) ([0-9]+) ([0-9]+)\b", " ".join(words))
    return max(number(y) for _, y in cells) + 1, max(number(x) for x, _ in cells) + 1


def is_decimal(word: str) -> bool:
    return word.isascii() and word.isdigit()


def number(digits: str) -> int:
    """The value of decimal digits, clipped (at more than any grid holds) however many they are."""
    return int(digits.lstrip("0")[:9] or "0")


# ── the rules ───────────────────────────────────────────────────────────────────────────


class Break(NamedTuple):
    """A broken rule: which, at which event or step, what the rule asks for, and, of a trace,
    the cells open and closed at that moment."""

    rule: str
    at: int | None
    expected: str
    strict: bool = False
    open_cells: tuple = ()
    closed_cells: tuple = ()


def judge_reference(maze: Maze, response: str) -> Verdict:
    """The same as `helpers.validator.judge`, written to be read."""
    trace, plan, ended = sections(response)
    broken = plan_break(maze, plan, ended)
    shortest = solve_reference(maze).plan
    plan_verdict = PlanVerdict(
        valid=not broken, optimal=not broken and len(plan) == 3 * len(shortest),
        error=broken and broken.rule, step=broken and broken.at)
    if trace is None:
        return Verdict(plan_verdict, None)
    breaks = list(trace_breaks(maze, trace))
    first = next((b for b in breaks if not b.strict), None)
    strict = next(iter(breaks), None)
    exact = read_events(trace) == (solve_reference(maze).trace, True)
    return Verdict(plan_verdict, TraceVerdict(
        valid=not first, strict=not strict, exact=exact,
        error=first and first.rule, event=first and first.at,
        strict_error=strict and strict.rule, strict_event=strict and strict.at))


def sections(response: str) -> tuple[list[str] | None, list[str] | None, bool]:
    """The words of the trace, of the plan (None where there is none), and if the plan ends."""

    def after(word):
        return words[words.index(word) + 1:] if word in words else None

    words = response.split()
    trace, plan = after("reasoning"), after("solution")
    if trace is not None:
        trace = list(takewhile(lambda word: word not in ("solution", "end"), trace))
    ended = plan is not None and "end" in plan
    return trace, plan[:plan.index("end")] if ended else plan, ended


def plan_break(maze: Maze, words: list[str] | None, ended: bool) -> Break | None:
    """The first broken rule of a plan (its words between ``solution`` and ``end``)."""
    if words is None:
        return Break("missing", None, "a plan after the word solution")
    steps, well_formed = read_steps(words)
    if not well_formed:
        return Break("parse", len(steps), "plan X Y")
    if not ended:
        return Break("unterminated", len(steps), "the word end")
    if not steps:
        return Break("empty", None, "at least one step")
    for i, cell in enumerate(steps):
        if i == 0 and cell != maze.start:
            return Break("wrong_start", i, f"the start, {_name(maze.start)}")
        if not _inside(maze, cell):
            return Break("off_grid", i, f"a cell of the {maze.rows}x{maze.cols} grid")
        if not _free(maze, cell):
            return Break("wall", i, "a free cell")
        if i > 0 and cell not in _neighbours(steps[i - 1]):
            return Break("jump", i, f"a neighbour of {_name(steps[i - 1])}")
    if steps[-1] != maze.goal:
        return Break("wrong_end", i, f"the goal, {_name(maze.goal)}")
    return None


def read_steps(words: list[str]) -> tuple[list[tuple[int, int]], bool]:
    """The cells of a plan up to the first malformed group of three, and if there is none."""
    found = [re.fullmatch(r"plan ([0-9]+) ([0-9]+)", group) for group in grouped(words, 3)]
    whole = list(takewhile(bool, found))
    return [tuple(map(number, match.groups())) for match in whole], len(whole) == len(found)


def read_events(words: list[str]) -> tuple[list[Event], bool]:
    """The events of a trace up to the first malformed group of five, and if there is none."""
    events = []
    for group in grouped(words, 5):
        match = re.fullmatch(r"(create|close) ([0-9]+) ([0-9]+) c([0-9]+) c([0-9]+)", group)
        if not match:
            return events, False
        kind, *values = match.groups()
        events.append(Event(kind, *map(number, values)))
    return events, True


def path_of(events: list[Event]) -> list[tuple[int, int]]:
    """The cells along which a trace leads, right or wrong: back from the one closed last.

    Each cell was reached from the one closed before its last create; empty without a close.
    """
    parents, last = {}, None
    for kind, x, y, _, _ in events:
        if kind == "create":
            parents[x, y] = last
        else:
            last = (x, y)
    path = []
    while last is not None and last not in path:  # a senseless trace may go in circles
        path.append(last)
        last = parents.get(last)
    return path[::-1]


def trace_breaks(maze: Maze, words: list[str]) -> Iterator[Break]:
    """The broken rules of a trace (its words), in order.

    Ends with the first that is not a strict one; the strict ones before it do not stop the
    judging.
    """
    events, well_formed = read_events(words)
    if not well_formed:
        yield Break("parse", len(events), "create|close X Y cG cH")
        return
    open_list = {maze.start: 0}  # cell → g
    closed = {}  # cell → g
    last = None  # the cell closed last

    def broken(at, rule, expected, strict=False):
        return Break(rule, at, expected, strict, tuple(open_list), tuple(closed))

    for at, (kind, x, y, g, h) in enumerate(events):
        cell = (x, y)
        if maze.goal in closed:
            yield broken(at, "after_goal", "nothing after the goal was closed", strict=True)
            return
        if kind == "create":
            if last is None:
                yield broken(at, "invalid_neighbor",
                             f"a close of the start, {_name(maze.start)}, first")
                return
            if cell not in _neighbours(last) or not _free(maze, cell) or cell in closed:
                yield broken(at, "invalid_neighbor", "a free cell, not yet closed, beside "
                                                     f"{_name(last)}, which was closed last")
                return
            if g != closed[last] + 1 or h != _manhattan(cell, maze.goal):
                yield broken(at, "wrong_cost", str(Event(kind, x, y, closed[last] + 1,
                                                         _manhattan(cell, maze.goal))))
                return
            if g >= open_list.get(cell, math.inf):
                yield broken(at, "not_improving", f"g below c{open_list[cell]}, at which the cell "
                                                  "is open already", strict=True)
            else:
                open_list[cell] = g
            continue
        missing = [] if last is None else [
            near for near in _neighbours(last)
            if _free(maze, near) and near not in closed
            and closed[last] + 1 < open_list.get(near, math.inf)]
        if missing:
            yield broken(at, "missing_create",
                         f"a create of {' and '.join(map(_name, missing))} first", strict=True)
        if cell in closed:
            yield broken(at, "already_closed", "a cell that is not closed yet")
            return
        if cell not in open_list:
            yield broken(at, "not_in_open", "a cell of the open list")
            return
        if g != open_list[cell] or h != _manhattan(cell, maze.goal):
            yield broken(at, "wrong_cost", str(Event(kind, x, y, open_list[cell],
                                                     _manhattan(cell, maze.goal))))
            return
        f = {near: near_g + _manhattan(near, maze.goal) for near, near_g in open_list.items()}
        lowest = min(f, key=f.get)
        if f[lowest] < f[cell]:
            yield broken(at, "not_lowest_f", f"a cell with the lowest f = g + h, such as "
                                             f"{_name(lowest)} with {f[lowest]}, not {f[cell]}")
            return
        closed[cell] = open_list.pop(cell)
        last = cell
    if maze.goal not in closed:
        yield broken(len(events), "goal_not_reached",
                     f"a close of the goal, {_name(maze.goal)}")


def grouped(words: list[str], size: int) -> list[str]:
    """Words by so many, a plan's steps by 3, a trace's events by 5; the last may be short."""
    return [" ".join(words[i:i + size]) for i in range(0, len(words), size)]


def _neighbours(cell: tuple[int, int]) -> list[tuple[int, int]]:
    return [(cell[0] + dx, cell[1] + dy) for dx, dy in STEPS]


def _inside(maze: Maze, cell: tuple[int, int]) -> bool:
    return 0 <= cell[0] < maze.cols and 0 <= cell[1] < maze.rows


def _free(maze: Maze, cell: tuple[int, int]) -> bool:
    return _inside(maze, cell) and maze.grid[cell[1], cell[0]] == FREE


def _manhattan(a: tuple[int, int], b: tuple[int, int]) -> int:
    return abs(a[0] - b[0]) + abs(a[1] - b[1])


def _name(cell: tuple[int, int]) -> str:
    return f"({cell[0]}, {cell[1]})"
