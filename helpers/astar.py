"""A* on a grid, and the trace it leaves.

The open list keeps insertion order. Each turn closes the entry with the lowest
f = g + h (the earliest inserted among equals; h is the Manhattan distance), stops when
that is the goal, and otherwise looks at the neighbours up, right, down, left: one that is
free, not closed and reached at a strictly lower g than before is created; if it is open
already it keeps its place in the list. The start is closed without having been created.

`solve_reference` says this in Python as one would read it; `search` is the same in Numba.
The tests hold them together event for event.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from helpers.maze import Maze

CREATE, CLOSE = 0, 1
KINDS = ("create", "close")
STEPS = ((0, -1), (1, 0), (0, 1), (-1, 0))  # up, right, down, left


class Event(NamedTuple):
    """One step of a trace: a cell enters the open list (create) or is expanded (close)."""

    kind: str
    x: int
    y: int
    g: int  # moves from the start
    h: int  # Manhattan distance to the goal

    def __str__(self) -> str:
        return f"{self.kind} {self.x} {self.y} c{self.g} c{self.h}"


class Solution(NamedTuple):
    """What A* wrote and found; ``plan`` is start and goal alone where no path exists."""

    trace: list[Event]
    plan: list[tuple[int, int]]


def solve(maze: Maze) -> Solution:
    """Runs A* and returns its trace and a shortest plan, start and goal included."""
    events = np.empty((events_bound(maze.grid), 5), np.int32)
    plan = np.empty((maze.grid.size + 2, 2), np.int32)
    n_events, n_plan = search(maze.grid, *maze.start, *maze.goal, events, plan)
    trace = [Event(KINDS[kind], *rest) for kind, *rest in events[:n_events].tolist()]
    return Solution(trace, [(x, y) for x, y in plan[:n_plan].tolist()])


def events_bound(grid: np.ndarray) -> int:
    """More events than any search of this grid can write: a close and four creates a cell."""
    return 5 * grid.size


def solve_reference(maze: Maze) -> Solution:
    """The same as `solve`, written to be read."""

    def h(cell):
        return abs(cell[0] - maze.goal[0]) + abs(cell[1] - maze.goal[1])

    g, parent, closed, trace = {maze.start: 0}, {}, set(), []
    open_list = [maze.start]
    while open_list:
        cell = min(open_list, key=lambda c: g[c] + h(c))  # min takes the first among equals
        open_list.remove(cell)
        closed.add(cell)
        trace.append(Event("close", *cell, g[cell], h(cell)))
        if cell == maze.goal:
            break
        for dx, dy in STEPS:
            near = (cell[0] + dx, cell[1] + dy)
            inside = 0 <= near[0] < maze.cols and 0 <= near[1] < maze.rows
            if not inside or not maze.grid[near[1], near[0]] or near in closed:
                continue
            if near not in g or g[cell] + 1 < g[near]:
                g[near], parent[near] = g[cell] + 1, cell
                trace.append(Event("create", *near, g[near], h(near)))
                if near not in open_list:
                    open_list.append(near)
    if maze.goal not in closed:
        return Solution(trace, [maze.start, maze.goal])
    plan = [maze.goal]
    while plan[-1] != maze.start:
        plan.append(parent[plan[-1]])
    return Solution(trace, plan[::-1])


@njit(cache=True)
def search(grid, sx, sy, gx, gy, events, plan):
    """The kernel behind `solve`.

    Args:
        grid: uint8 [rows, cols], 1 free.
        sx, sy, gx, gy: start and goal.
        events: int32 [`events_bound`, 5], filled with (kind, x, y, g, h).
        plan: int32 [cells + 2, 2], filled with (x, y).

    Returns:
        The number of events and of plan steps written.
    """
    rows, cols = grid.shape
    unseen = np.int32(rows * cols + 1)
    best = np.full(rows * cols, unseen, np.int32)  # lowest g so far
    closed = np.zeros(rows * cols, np.uint8)
    is_open = np.zeros(rows * cols, np.uint8)
    parent = np.full(rows * cols, -1, np.int32)
    entries = np.empty(rows * cols, np.int32)  # the open list, in insertion order
    costs = np.empty(rows * cols, np.int32)  # f of each entry
    n_open, n_events = 1, 0
    start, goal = sy * cols + sx, gy * cols + gx
    entries[0], best[start], costs[0] = start, 0, abs(sx - gx) + abs(sy - gy)
    while n_open:
        at = 0
        for i in range(1, n_open):
            if costs[i] < costs[at]:
                at = i
        cell = entries[at]
        n_open -= 1
        for i in range(at, n_open):
            entries[i], costs[i] = entries[i + 1], costs[i + 1]
        is_open[cell] = 0
        closed[cell] = 1
        x, y, g = cell % cols, cell // cols, best[cell]
        event = events[n_events]
        event[0], event[1], event[2], event[3], event[4] = 1, x, y, g, abs(x - gx) + abs(y - gy)
        n_events += 1
        if cell == goal:
            break
        for way in range(4):
            nx = x + (way == 1) - (way == 3)
            ny = y + (way == 2) - (way == 0)
            if not (0 <= nx < cols and 0 <= ny < rows) or not grid[ny, nx]:
                continue
            near = ny * cols + nx
            if closed[near] or g + 1 >= best[near]:
                continue
            h = abs(nx - gx) + abs(ny - gy)
            best[near], parent[near] = g + 1, cell
            event = events[n_events]
            event[0], event[1], event[2], event[3], event[4] = 0, nx, ny, g + 1, h
            n_events += 1
            at = n_open
            if is_open[near]:
                for i in range(n_open):
                    if entries[i] == near:
                        at = i
            else:
                is_open[near] = 1
                entries[n_open] = near
                n_open += 1
            costs[at] = g + 1 + h
    if not closed[goal]:
        plan[0, 0], plan[0, 1], plan[1, 0], plan[1, 1] = sx, sy, gx, gy
        return n_events, 2
    n_plan = best[goal] + 1
    cell = goal
    for i in range(n_plan - 1, -1, -1):
        plan[i, 0], plan[i, 1] = cell % cols, cell // cols
        cell = parent[cell]
    return n_events, n_plan
