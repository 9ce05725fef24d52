"""The verdict of the paper's authors, beside ours: is the plan valid, is the trace?

Written from a description of the validator in their training code of 2025, so that a rate can be
put beside a published one. It reads and asks other things than `helpers.rules`:

- The words ``reasoning``, ``solution`` and ``end`` are dropped; everything else is read, word
  after word, wherever it stands. The plan is the last unbroken run of steps.
- A plan may leave the grid: of its steps only walls are asked.
- Of a trace every event is judged, also behind the goal's close. The costs of a create are free,
  and creates may be left out; only a close must fit the open list.
- A trace is invalid also where the plan has another length than the path that the trace found.
  So the two verdicts are tied together, whatever a model does.

What the description leaves open is settled like this: the start is open with g = 0 and its
Manhattan distance to the goal, digits are those of ASCII, and a number above `LARGEST`, which
no vocabulary has, counts as that.

`judge_reference` is written to be read, `judge` and `judge_ids` are the same in Numba.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numba import njit

from helpers.astar import Event
from helpers.language import Vocabulary
from helpers.maze import WALL, Maze, Mazes
from helpers.rules import is_decimal, read_example

DROPPED = ("reasoning", "solution", "end")
SIZES = {"create": 5, "close": 5, "plan": 3}  # words of a group, by the word that opens it
LARGEST = 10**18 - 1  # two of them still add up in int64

Cell = tuple[int, int]


class Validity(NamedTuple):
    valid: bool


class PublishedVerdict(NamedTuple):
    plan: Validity
    trace: Validity | None  # None: the response has no ``reasoning``

    def as_dict(self) -> dict:
        """The verdict as the command line writes it in JSON."""
        return {"plan": self.plan._asdict(), "trace": self.trace and self.trace._asdict()}


class Reading(NamedTuple):
    """What a response says, as the authors read it."""

    events: list[Event]  # those that are well-formed
    malformed: bool  # an event is malformed, or a word belongs to no event and no step
    plan: list[Cell] | None  # None: it does not parse


# ── the rules ───────────────────────────────────────────────────────────────────────────


def judge_reference(maze: Maze, response: str) -> PublishedVerdict:
    """The same as `judge`, written to be read."""
    events, malformed, plan = read(response)
    path = None if malformed else path_of_trace(maze, events)
    trace = path is not None and (plan is None or len(plan) == len(path))
    return PublishedVerdict(Validity(plan is not None and is_path(maze, plan)),
                            Validity(trace) if "reasoning" in response.split() else None)


def read(response: str) -> Reading:
    """Reads the words of a response one after the other."""
    events, malformed = [], False
    run, in_run, broken_off = [], False, False  # of steps, None where one lacks its numbers
    for group, is_broken_off in _groups([w for w in response.split() if w not in DROPPED]):
        if group[0] == "plan":
            run = [*run, _step(group)] if in_run else [_step(group)]
            broken_off |= is_broken_off
        elif event := _event(group):
            events.append(event)
        else:
            malformed = True
        in_run = group[0] == "plan"
    parses = run and None not in run and not broken_off
    return Reading(events, malformed, run if parses else None)


def is_path(maze: Maze, plan: list[Cell]) -> bool:
    """Whether it leads from start to goal by steps to neighbours that are no walls."""
    return (plan[0] == maze.start and plan[-1] == maze.goal
            and all(_apart(a, b) == 1 and not _is_wall(maze, b) for a, b in pairwise(plan)))


def path_of_trace(maze: Maze, events: list[Event]) -> list[Cell] | None:
    """The path that a trace found, by its own parents; None where the trace breaks a rule."""
    open_list = {maze.start: (0, _apart(maze.start, maze.goal))}  # cell → g, h
    parent, closed = {}, []
    for kind, x, y, g, h in events:
        cell = (x, y)
        if x >= maze.cols or y >= maze.rows or _is_wall(maze, cell):
            return None
        if kind == "create":
            if not closed or _apart(cell, closed[-1]) != 1 or cell in closed:
                return None
            if cell not in open_list or g < open_list[cell][0]:
                open_list[cell], parent[cell] = (g, h), closed[-1]
        elif open_list.get(cell) != (g, h) or g + h > min(map(sum, open_list.values())):
            return None
        else:
            del open_list[cell]
            closed.append(cell)
    if maze.goal not in closed:
        return None
    path = [maze.goal]  # always a valid one: a cell is created beside one that is closed already
    while path[-1] != maze.start:
        path.append(parent[path[-1]])
    return path[::-1]


def _groups(words: list[str]) -> Iterator[tuple[list[str], bool]]:
    """Events, steps and words that belong to neither, each with whether it was broken off.

    A group is broken off at a word that opens groups of another kind, which is read next.
    """
    at = 0
    while at < len(words):
        group = words[at:at + SIZES.get(words[at], 1)]
        others = [i for i, word in enumerate(group) if word in SIZES and word != words[at]]
        group = group[:others[0]] if others else group
        yield group, bool(others)
        at += len(group)


def _step(group: list[str]) -> Cell | None:
    numbers = tuple(map(_number, group[1:]))
    return numbers if len(numbers) == 2 and -1 not in numbers else None


def _event(group: list[str]) -> Event | None:
    if group[0] not in ("create", "close") or len(group) < 5:
        return None
    kind, x, y, g, h = group  # of a cost the first character goes, whatever it is
    numbers = [_number(digits) for digits in (x, y, g[1:], h[1:])]
    return Event(kind, *numbers) if -1 not in numbers else None


def _number(word: str) -> int:
    """The value of decimal digits, at most `LARGEST`, however many they are; −1 for others."""
    return min(int(word.lstrip("0")[:19] or "0"), LARGEST) if is_decimal(word) else -1


def _apart(a: Cell, b: Cell) -> int:
    return abs(a[0] - b[0]) + abs(a[1] - b[1])


def _is_wall(maze: Maze, cell: Cell) -> bool:
    x, y = cell
    return x < maze.cols and y < maze.rows and bool(maze.grid[y, x] == WALL)


# ── fast ────────────────────────────────────────────────────────────────────────────────


def judge_text(text: str, rows: int, cols: int) -> PublishedVerdict:
    """The verdict on one example, prompt and response, of a grid of this size.

    Raises:
        PromptError: the text does not begin with a well-formed prompt.
    """
    return judge(*read_example(text, rows, cols))


def judge(maze: Maze, response: str) -> PublishedVerdict:
    """The verdict on a response, its opening word (``reasoning``, ``solution``) included."""
    words = response.split()
    ids = {word: i for i, word in enumerate(dict.fromkeys(words))}
    tokens = np.array([ids[word] for word in words], np.int32)
    found = np.empty((1, 2), np.bool_)
    _judge_many(*Mazes.of([maze]), tokens, np.array([[0, len(words)]]), *_meanings(ids), found)
    plan, trace = map(Validity, found[0].tolist())
    return PublishedVerdict(plan, trace if "reasoning" in ids else None)


def judge_ids(mazes: Mazes, tokens: np.ndarray, spans: np.ndarray) -> np.ndarray:
    """Judges responses that lie in one flat array.

    Args:
        mazes: n mazes of one size.
        tokens: uint16 [total], ids of `Vocabulary`.
        spans: int64 [n, 2], where each response begins and ends, with or without opening word.

    Returns:
        bool [n, 2]: is the plan valid, is the trace, be there one or not.
    """
    found = np.empty((len(spans), 2), np.bool_)
    _judge_many(*mazes, tokens.astype(np.int32), spans,
                *_meanings_of_vocabulary(*mazes.grids.shape[1:]), found)
    return found


@lru_cache
def _meanings_of_vocabulary(rows: int, cols: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return _meanings(Vocabulary(rows, cols).tokens)


def _meanings(words: Iterable[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The role of each of n words (uint8), its number as coordinate and cost (int64, −1: none)."""
    roles = dict.fromkeys(DROPPED, _DROP) | {"create": _CREATE, "close": _CLOSE, "plan": _PLAN}
    return (np.array([roles.get(word, _OTHER) for word in words], np.uint8),
            np.array([_number(word) for word in words], np.int64),
            np.array([_number(word[1:]) for word in words], np.int64))


# ── the kernel ──────────────────────────────────────────────────────────────────────────

_OTHER, _DROP, _CREATE, _CLOSE, _PLAN = range(5)  # roles; those from _CREATE up open a group
_WORDS = (1, 1, SIZES["create"], SIZES["close"], SIZES["plan"])  # of a group, by role


@njit(cache=True)
def _judge_many(grids, starts, goals, tokens, spans, roles, coordinates, costs, found):
    """Fills ``found`` (bool [n, 2]: plan, trace) from responses, ids into the three tables."""
    longest = 0
    for i in range(spans.shape[0]):
        longest = max(longest, spans[i, 1] - spans[i, 0])
    words = np.empty(longest, np.int32)
    events = np.empty((longest // 5, 5), np.int64)
    steps = np.empty((longest // 3 + 1, 2), np.int64)  # the last may be cut short
    for i in range(spans.shape[0]):
        n = 0
        for j in range(spans[i, 0], spans[i, 1]):
            if roles[tokens[j]] != _DROP:
                words[n] = tokens[j]
                n += 1
        n_events, malformed, n_steps, parses = _read(
            words[:n], roles, coordinates, costs, events, steps)
        ends = (np.int64(starts[i, 0]), np.int64(starts[i, 1]),
                np.int64(goals[i, 0]), np.int64(goals[i, 1]))
        found[i, 0] = parses and _is_path(grids[i], ends, steps, n_steps)
        length = 0 if malformed else _trace_path(grids[i], ends, events, n_events)
        found[i, 1] = length > 0 and (not parses or n_steps == length)


@njit(cache=True)
def _read(words, roles, coordinates, costs, events, steps):
    """Fills events with (role, x, y, g, h) and steps with (x, y) of the last run.

    Returns:
        The number of events, whether any is malformed, the number of steps, whether they parse.
    """
    n_events = n_steps = at = 0
    malformed = in_run = broken_off = unnumbered = False  # the last: a step lacks its numbers
    while at < words.size:
        role = roles[words[at]]
        end = min(at + _WORDS[role], words.size)
        for i in range(at + 1, end):
            other = roles[words[i]]
            if other >= _CREATE and other != role:
                end = i
                broken_off |= role == _PLAN
                break
        if role == _PLAN:
            if not in_run:
                n_steps, unnumbered = 0, False
            x = y = np.int64(-1)
            if end - at == 3:
                x, y = coordinates[words[at + 1]], coordinates[words[at + 2]]
            steps[n_steps, 0], steps[n_steps, 1] = x, y
            n_steps += 1
            unnumbered |= (x | y) < 0
        elif role == _OTHER or end - at < 5:
            malformed = True
        else:
            x, y = coordinates[words[at + 1]], coordinates[words[at + 2]]
            g, h = costs[words[at + 3]], costs[words[at + 4]]
            if (x | y | g | h) < 0:
                malformed = True
            else:
                event = events[n_events]
                event[0], event[1], event[2], event[3], event[4] = role, x, y, g, h
                n_events += 1
        in_run = role == _PLAN
        at = end
    return n_events, malformed, n_steps, n_steps > 0 and not (broken_off or unnumbered)


@njit(cache=True)
def _is_path(grid, ends, steps, n):
    """Whether n > 0 steps lead from start to goal beside walls, off the grid or not."""
    rows, cols = grid.shape
    sx, sy, gx, gy = ends
    if steps[0, 0] != sx or steps[0, 1] != sy or steps[n - 1, 0] != gx or steps[n - 1, 1] != gy:
        return False
    for i in range(1, n):
        x, y = steps[i, 0], steps[i, 1]
        if abs(x - steps[i - 1, 0]) + abs(y - steps[i - 1, 1]) != 1:
            return False
        if x < cols and y < rows and not grid[y, x]:
            return False
    return True


@njit(cache=True)
def _trace_path(grid, ends, events, n):
    """How many cells the path has that n events found; 0 where they break a rule.

    A parent is closed before its child is created: its place on the path is settled by then.
    """
    rows, cols = grid.shape
    sx, sy, gx, gy = ends
    unseen, closed = -1, -2
    g = np.full(rows * cols, unseen, np.int64)  # of an open cell, or one of these
    h = np.empty(rows * cols, np.int64)
    place = np.empty(rows * cols, np.int32)  # on the path from the start, from 1 up
    entries = np.empty(rows * cols, np.int32)  # the open list
    start, goal = sy * cols + sx, gy * cols + gx
    g[start], h[start], place[start], entries[0] = 0, abs(sx - gx) + abs(sy - gy), 1, start
    n_open, last, last_x, last_y = 1, -1, -1, -1  # the cell closed last
    for i in range(n):
        x, y = events[i, 1], events[i, 2]
        if x >= cols or y >= rows or not grid[y, x]:
            return 0
        cell = y * cols + x
        if events[i, 0] == _CREATE:
            if last < 0 or abs(x - last_x) + abs(y - last_y) != 1 or g[cell] == closed:
                return 0
            if g[cell] == unseen:
                entries[n_open] = cell
                n_open += 1
            elif events[i, 3] >= g[cell]:
                continue
            g[cell], h[cell], place[cell] = events[i, 3], events[i, 4], place[last] + 1
            continue
        if g[cell] < 0 or events[i, 3] != g[cell] or events[i, 4] != h[cell]:
            return 0
        at = -1
        for j in range(n_open):
            if g[entries[j]] + h[entries[j]] < g[cell] + h[cell]:
                return 0
            if entries[j] == cell:
                at = j
        n_open -= 1
        entries[at] = entries[n_open]  # its order means nothing here
        g[cell] = closed
        last, last_x, last_y = cell, x, y
    return place[goal] if g[goal] == closed else 0
