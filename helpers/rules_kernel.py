"""The rules of `helpers.rules` as a Numba kernel over ids: many responses in one pass.

Where the two differ one of them is wrong; tests hold them together.
"""

import numpy as np
from numba import njit

from helpers.astar import CLOSE, CREATE
from helpers.grids import distance
from helpers.language import CLOSE_WORD, CREATE_WORD, END, PLAN, REASONING, SOLUTION
from helpers.rules import PLAN_ERRORS, TRACE_ERRORS

NONE = -1
(_MISSING, _PLAN_PARSE, _UNTERMINATED, _EMPTY, _WRONG_START, _OFF_GRID, _WALL, _JUMP,
 _WRONG_END) = range(len(PLAN_ERRORS))
(_PARSE, _INVALID_NEIGHBOR, _WRONG_COST, _ALREADY_CLOSED, _NOT_IN_OPEN, _NOT_LOWEST_F,
 _GOAL_NOT_REACHED, _MISSING_CREATE, _NOT_IMPROVING, _AFTER_GOAL) = range(len(TRACE_ERRORS))
ROW = np.dtype([(name, np.int32) for name in (
    "plan_error", "plan_step", "plan_length", "plan_optimal", "has_trace", "trace_error",
    "trace_event", "trace_strict_error", "trace_strict_event", "trace_exact", "trace_events")])


@njit(cache=True)
def judge_many(grids, starts, goals, tokens, spans, opening, numbers, costs, out):
    """Judges n responses.

    Args:
        grids, starts, goals: of n mazes, as in `Mazes`.
        tokens: uint16 [total], ids; two more than the vocabulary has may be among them.
        spans: int64 [n, 2], where each response begins and ends in ``tokens``.
        opening: the word before each response; −1 where the response holds it itself.
        numbers, costs: int32, what each id says as a coordinate and as a cost; −1 if it is none.
        out: `ROW` [n], filled.
    """
    longest = 0
    for i in range(spans.shape[0]):
        longest = max(longest, spans[i, 1] - spans[i, 0])
    events = np.empty((longest // 5, 5), np.int32)
    steps = np.empty((longest // 3, 2), np.int32)
    for i in range(spans.shape[0]):
        response = tokens[spans[i, 0]:spans[i, 1]]
        ends = (np.int64(starts[i, 0]), np.int64(starts[i, 1]),
                np.int64(goals[i, 0]), np.int64(goals[i, 1]))
        trace_from, trace_to, plan_from, plan_to = _sections(response, opening)
        row = out[i]

        row.has_trace, row.trace_events, row.trace_exact, goal_g = 0, 0, 0, -1
        row.trace_error = row.trace_event = row.trace_strict_error = row.trace_strict_event = NONE
        if trace_from >= 0:
            part = response[trace_from:trace_to]
            row.has_trace, row.trace_events = 1, part.size // 5
            malformed = _read_events(part, numbers, costs, events)
            if malformed >= 0:
                row.trace_error, row.trace_event = _PARSE, malformed
                row.trace_strict_error, row.trace_strict_event = _PARSE, malformed
            else:
                (row.trace_error, row.trace_event, row.trace_strict_error, row.trace_strict_event,
                 row.trace_exact, goal_g) = _judge_trace(grids[i], ends, events, part.size // 5)

        row.plan_error, row.plan_step, row.plan_length, row.plan_optimal = _MISSING, NONE, 0, 0
        if plan_from < 0:
            continue
        ended = plan_to >= 0
        part = response[plan_from:plan_to] if ended else response[plan_from:]
        row.plan_length = part.size // 3
        malformed = _read_steps(part, numbers, steps)
        if malformed >= 0:
            row.plan_error, row.plan_step = _PLAN_PARSE, malformed
        elif not ended:
            row.plan_error, row.plan_step = _UNTERMINATED, row.plan_length
        elif row.plan_length == 0:
            row.plan_error = _EMPTY
        else:
            row.plan_error, row.plan_step = _judge_plan(grids[i], ends, steps, row.plan_length)
        if row.plan_error == NONE:
            if row.trace_exact:  # A* itself has closed the goal, at the shortest distance
                shortest = goal_g
            else:
                cols = grids.shape[2]
                shortest = distance(grids[i], ends[0] + cols * ends[1], ends[2] + cols * ends[3])
            row.plan_optimal = row.plan_length - 1 == shortest


@njit(cache=True)
def _sections(response, opening):
    """Where trace and plan begin and end; −1: no trace, no plan, no ``end`` of the plan."""
    trace_from = 0 if opening == REASONING else -1
    plan_from = 0 if opening == SOLUTION else -1
    trace_to = plan_to = -1
    for i in range(response.size):
        word = response[i]
        if word > END:  # numbers and costs, nearly all there is
            continue
        if word == REASONING and trace_from < 0:
            trace_from = i + 1
        elif word in (SOLUTION, END):
            if trace_from >= 0 and trace_to < 0:
                trace_to = i
            if word == SOLUTION and plan_from < 0:
                plan_from = i + 1
            elif word == END and plan_from >= 0 and plan_to < 0:
                plan_to = i
    if trace_to < 0:
        trace_to = response.size
    return trace_from, trace_to, plan_from, plan_to


@njit(cache=True)
def _read_events(part, numbers, costs, events):
    """Fills events with (kind, x, y, g, h); returns the first malformed group of five or −1."""
    n = part.size // 5
    for i in range(n):
        word = part[5 * i]
        x, y = numbers[part[5 * i + 1]], numbers[part[5 * i + 2]]
        g, h = costs[part[5 * i + 3]], costs[part[5 * i + 4]]
        if (word != CREATE_WORD and word != CLOSE_WORD) or (x | y | g | h) < 0:
            return i
        event = events[i]
        event[0] = CLOSE if word == CLOSE_WORD else CREATE
        event[1], event[2], event[3], event[4] = x, y, g, h
    return n if part.size > 5 * n else -1


@njit(cache=True)
def _read_steps(part, numbers, steps):
    """Fills steps with (x, y); returns the first malformed group of three or −1."""
    n = part.size // 3
    for i in range(n):
        x, y = numbers[part[3 * i + 1]], numbers[part[3 * i + 2]]
        if part[3 * i] != PLAN or (x | y) < 0:
            return i
        steps[i, 0], steps[i, 1] = x, y
    return n if part.size > 3 * n else -1


@njit(cache=True)
def _judge_plan(grid, ends, steps, n):
    """The first broken rule of a well-formed plan of n > 0 steps, and its step."""
    rows, cols = grid.shape
    sx, sy, gx, gy = ends
    for i in range(n):
        x, y = steps[i, 0], steps[i, 1]
        if i == 0 and (x != sx or y != sy):
            return _WRONG_START, i
        if x >= cols or y >= rows:
            return _OFF_GRID, i
        if not grid[y, x]:
            return _WALL, i
        if i > 0 and abs(x - steps[i - 1, 0]) + abs(y - steps[i - 1, 1]) != 1:
            return _JUMP, i
    if steps[n - 1, 0] != gx or steps[n - 1, 1] != gy:
        return _WRONG_END, n - 1
    return NONE, NONE


@njit(cache=True)
def _judge_trace(grid, ends, events, n):
    """Replays a well-formed trace of n events.

    `rules.trace_breaks` says the rules; here every cell has one number, ``best``, and the grid a
    frame of walls, so that neighbours need no bounds check. The open list is that of
    `astar.search`, which shows in one scan whether a close takes the lowest f, and whether
    it takes the very entry that A* would: a strict trace whose closes do, and whose
    creates go up, right, down, left, is A*'s own.

    Returns:
        error, event, strict error, strict event, exact (0 or 1), g of the goal (−1: not closed).
    """
    rows, cols = grid.shape
    sx, sy, gx, gy = ends
    width = cols + 2
    walled, closed, unseen = -1, -2, np.int32(1 << 30)
    best = np.full((rows + 2) * width, walled, np.int32)  # g in the open list, or one of these
    for y in range(rows):
        for x in range(cols):
            if grid[y, x]:
                best[(y + 1) * width + x + 1] = unseen
    entries = np.empty(rows * cols, np.int32)  # the open list, in insertion order
    totals = np.empty(rows * cols, np.int32)  # f of each entry
    start, goal = (sy + 1) * width + sx + 1, (gy + 1) * width + gx + 1
    entries[0], totals[0], best[start] = start, abs(sx - gx) + abs(sy - gy), 0
    n_open = 1
    last, last_g = -1, -1  # the cell closed last
    uncreated = 0  # neighbours it improves and has not created yet
    last_way = -1  # direction of its last create
    in_order = True  # every event so far the one that A* would choose
    strict_error, strict_event = NONE, NONE
    for i in range(n):
        x, y, g, h = events[i, 1], events[i, 2], events[i, 3], events[i, 4]
        # off the grid stands for a corner of the frame: a wall, beside no cell
        cell = (y + 1) * width + x + 1 if x < cols and y < rows else 0
        right_h = abs(x - gx) + abs(y - gy)
        error = NONE
        if events[i, 0] == CREATE:
            step = cell - last
            way = (0 if step == -width else 1 if step == 1 else 2 if step == width
                   else 3 if step == -1 else -1)
            if last < 0 or way < 0 or best[cell] < 0:
                error = _INVALID_NEIGHBOR
            elif g != last_g + 1 or h != right_h:
                error = _WRONG_COST
            elif g >= best[cell]:
                if strict_error == NONE:
                    strict_error, strict_event = _NOT_IMPROVING, i
            else:
                at = n_open
                if best[cell] == unseen:
                    entries[n_open] = cell
                    n_open += 1
                else:
                    at = 0
                    while entries[at] != cell:
                        at += 1
                best[cell], totals[at] = g, g + h
                uncreated -= 1
                in_order &= way > last_way
                last_way = way
        else:
            if uncreated and strict_error == NONE:
                strict_error, strict_event = _MISSING_CREATE, i
            if best[cell] == closed:
                error = _ALREADY_CLOSED
            elif best[cell] < 0 or best[cell] == unseen:
                error = _NOT_IN_OPEN
            elif g != best[cell] or h != right_h:
                error = _WRONG_COST
            else:
                at = 0
                for j in range(1, n_open):
                    if totals[j] < totals[at]:
                        at = j
                if totals[at] < g + h:
                    error = _NOT_LOWEST_F
        if error != NONE:
            if strict_error == NONE:
                strict_error, strict_event = error, i
            return error, i, strict_error, strict_event, 0, -1
        if events[i, 0] == CREATE:
            continue
        if entries[at] != cell:
            in_order = False
            at = 0
            while entries[at] != cell:
                at += 1
        n_open -= 1
        for j in range(at, n_open):
            entries[j], totals[j] = entries[j + 1], totals[j + 1]
        best[cell] = closed
        if cell == goal:
            if i + 1 < n and strict_error == NONE:
                strict_error, strict_event = _AFTER_GOAL, i + 1
            exact = in_order and strict_error == NONE
            return NONE, NONE, strict_error, strict_event, int(exact), g
        last, last_g, last_way = cell, g, -1
        uncreated = ((best[cell - width] > g + 1) + (best[cell + 1] > g + 1)
                     + (best[cell + width] > g + 1) + (best[cell - 1] > g + 1))
    # where no path exists A* ends like this, with nothing left to open or to close
    exact = in_order and strict_error == NONE and n_open == 0 and uncreated == 0
    if strict_error == NONE:
        strict_error, strict_event = _GOAL_NOT_REACHED, n
    return _GOAL_NOT_REACHED, n, strict_error, strict_event, int(exact), -1
