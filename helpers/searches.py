"""Searches that differ from `helpers.astar` in one thing: which open cell is closed next, or when
to stop.

They write the same events. `first_in_order` compares open cells by two numbers, smallest first;
with those of `ASTAR` it is the search of `helpers.astar`, event for event.
"""

from heapq import heappop, heappush

import numpy as np
from numba import njit

from helpers.astar import events_bound
from helpers.maze import Maze

# which open cell comes first
ASTAR = 0  # that of the lowest f; among equals the one put there first
LAST_TIES = 1  # that of the lowest f; among equals the one put there last
BREADTH = 2  # the one put there first
DEPTH = 3  # the one put there last


def searched(maze: Maze, order: int, on: bool = False) -> np.ndarray:
    """The events of a search of a maze, int32 [n, 5]: kind (`astar.CREATE`, …), x, y, g, h.

    Args:
        order: `ASTAR`, `LAST_TIES`, `BREADTH` or `DEPTH`.
        on: whether it goes on behind the goal until nothing is open.
    """
    events = np.empty((events_bound(maze.grid), 5), np.int32)
    count = first_in_order(maze.grid, *maze.start, *maze.goal, order, on, events)
    return events[:count]


@njit(cache=True)
def first_in_order(grid, sx, sy, gx, gy, order, on, events):
    """The kernel behind `searched`.

    As in A*, a neighbour that is not closed is created when it is reached at a lower g than
    before, and one that is open already keeps the place at which it was put there.

    Args:
        grid: uint8 [rows, cols], 1 free.
        sx, sy, gx, gy: start and goal.
        order, on: as of `searched`.
        events: int32 [`astar.events_bound`, 5], filled with (kind, x, y, g, h).

    Returns:
        The number of events written.
    """
    rows, cols = grid.shape
    best = np.full((rows, cols), rows * cols + 1)  # lowest g so far
    since = np.full((rows, cols), -1)  # when a cell was put on the open list
    closed = np.zeros((rows, cols), np.uint8)
    best[sy, sx], since[sy, sx] = 0, 0
    waiting, placed, count = [(0, 0, 0, sx, sy)], 1, 0
    while len(waiting):
        _, _, g, x, y = heappop(waiting)
        if closed[y, x] or g > best[y, x]:  # an entry that a lower g has replaced
            continue
        closed[y, x] = 1
        event = events[count]
        event[0], event[1], event[2], event[3], event[4] = 1, x, y, g, abs(x - gx) + abs(y - gy)
        count += 1
        if x == gx and y == gy and not on:
            break
        for way in range(4):  # up, right, down, left
            nx, ny = x + (way == 1) - (way == 3), y + (way == 2) - (way == 0)
            if not (0 <= nx < cols and 0 <= ny < rows) or not grid[ny, nx]:
                continue
            if closed[ny, nx] or g + 1 >= best[ny, nx]:
                continue
            best[ny, nx], h = g + 1, abs(nx - gx) + abs(ny - gy)
            if since[ny, nx] < 0:
                since[ny, nx] = placed
                placed += 1
            event = events[count]
            event[0], event[1], event[2], event[3], event[4] = 0, nx, ny, g + 1, h
            count += 1
            place = -since[ny, nx] if order in (LAST_TIES, DEPTH) else since[ny, nx]
            f = g + 1 + h if order in (ASTAR, LAST_TIES) else 0
            heappush(waiting, (f, place, g + 1, nx, ny))
    return count
