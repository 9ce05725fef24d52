"""The maze generators: kernels over plain arrays.

A grid is ``uint8 [rows, cols]``, ``grid[y, x]``, 1 free and 0 wall; a cell index is
y·cols + x. Each kernel takes a stream (`helpers.streams`), a grid of zeros to fill, ``ends``
(int64 [4]: start x y, goal x y) to fill and its parameters (float64), and returns whether start
and goal found a place.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numba import njit

from helpers.engine.registry import Registry
from helpers.grids import distance, free_cells
from helpers.streams import below, chance, shuffle

ATTEMPTS = 1000  # redraws after which a generator is said to find no maze


@njit(cache=True)
def _set_ends(ends, start, goal, cols):
    ends[0], ends[1] = start % cols, start // cols
    ends[2], ends[3] = goal % cols, goal // cols


@njit(cache=True)
def _two_floor_cells(rng, grid, ends):
    """Start and goal by index into the free cells, the goal until it differs."""
    cells = free_cells(grid)
    if cells.size < 2:
        return False
    start = cells[below(rng, cells.size)]
    goal = cells[below(rng, cells.size)]
    while goal == start:
        goal = cells[below(rng, cells.size)]
    _set_ends(ends, start, goal, grid.shape[1])
    return True


@njit(cache=True)
def _random_floor_cell(rng, grid):
    """Columns and rows drawn until they hit a free cell."""
    while True:
        x = below(rng, grid.shape[1])
        y = below(rng, grid.shape[0])
        if grid[y, x]:
            return y * grid.shape[1] + x


@njit(cache=True)
def _open_between(grid, a, b):
    """Opens two rooms (cell indices two apart) and the cell between them."""
    cols = grid.shape[1]
    for cell in (a, (a + b) // 2, b):
        grid[cell // cols, cell % cols] = 1


@njit(cache=True)
def _wilson(rng, grid, ends, params):
    rows, cols = grid.shape
    offset = 0 if chance(rng, 0.5) else 1
    across, down = (cols - offset + 1) // 2, (rows - offset + 1) // 2
    n_rooms = across * down
    in_maze = np.zeros(n_rooms, np.uint8)
    place = np.full(n_rooms, -1, np.int64)  # where a room stands on the current path
    path = np.empty(n_rooms + 1, np.int64)

    def cell(room):
        return (offset + 2 * (room // across)) * cols + offset + 2 * (room % across)

    first = below(rng, n_rooms)
    in_maze[first] = 1
    grid[offset + 2 * (first // across), offset + 2 * (first % across)] = 1
    missing = n_rooms - 1
    while missing:
        room = below(rng, n_rooms)
        while in_maze[room]:
            room = below(rng, n_rooms)
        path[0] = room
        place[room] = 0
        length = 1
        while not in_maze[room]:
            direction = below(rng, 4)
            column = room % across
            if direction == 0:
                if column == across - 1:
                    continue
                room += 1
            elif direction == 1:
                if column == 0:
                    continue
                room -= 1
            elif direction == 2:
                if room >= n_rooms - across:
                    continue
                room += across
            else:
                if room < across:
                    continue
                room -= across
            if place[room] >= 0:
                while length > place[room] + 1:  # cut the loop
                    length -= 1
                    place[path[length]] = -1
            else:
                path[length] = room
                length += 1
                if not in_maze[room]:
                    place[room] = length - 1
        for i in range(length - 1):
            place[path[i]] = -1
            in_maze[path[i]] = 1
            _open_between(grid, cell(path[i]), cell(path[i + 1]))
        missing -= length - 1
    cells = free_cells(grid)
    start = cells[below(rng, cells.size)]
    goal = cells[below(rng, cells.size)]
    if goal == start:
        goal = cells[below(rng, cells.size)]
    _set_ends(ends, start, goal, cols)
    return True


@njit(cache=True)
def _find(parent, room):
    while parent[room] != room:
        parent[room] = parent[parent[room]]
        room = parent[room]
    return room


@njit(cache=True)
def _kruskal(rng, grid, ends, params):
    rows, cols = grid.shape
    offset = 0 if chance(rng, 0.5) else 1
    across, down = (cols - offset + 1) // 2, (rows - offset + 1) // 2
    parent = np.arange(across * down)
    edges = np.empty((2 * across * down, 2), np.int64)
    order = np.arange(2 * across * down)
    n = 0
    for room in range(across * down):
        column, row = room % across, room // across
        grid[offset + 2 * row, offset + 2 * column] = 1
        if column < across - 1:
            edges[n, 0], edges[n, 1] = room, room + 1
            n += 1
        if row < down - 1:
            edges[n, 0], edges[n, 1] = room, room + across
            n += 1
    shuffle(rng, order, n)
    for i in range(n):
        a, b = edges[order[i], 0], edges[order[i], 1]
        root_a, root_b = _find(parent, a), _find(parent, b)
        if root_a != root_b:
            parent[root_a] = root_b
            grid[offset + a // across + b // across, offset + a % across + b % across] = 1
    start = _random_floor_cell(rng, grid)
    goal = _random_floor_cell(rng, grid)
    if goal == start:
        goal = _random_floor_cell(rng, grid)
    _set_ends(ends, start, goal, cols)
    return True


@njit(cache=True)
def _dfs(rng, grid, ends, params):
    rows, cols = grid.shape
    stack = np.empty(rows * cols, np.int64)
    ways = np.empty(4, np.int64)
    stack[0] = 0
    height = 1
    grid[0, 0] = 1
    while height:
        cell = stack[height - 1]
        x, y = cell % cols, cell // cols
        n = 0
        if y > 1 and not grid[y - 2, x]:
            ways[n] = cell - 2 * cols
            n += 1
        if x < cols - 2 and not grid[y, x + 2]:
            ways[n] = cell + 2
            n += 1
        if y < rows - 2 and not grid[y + 2, x]:
            ways[n] = cell + 2 * cols
            n += 1
        if x > 1 and not grid[y, x - 2]:
            ways[n] = cell - 2
            n += 1
        if n:
            stack[height] = ways[below(rng, n)]
            _open_between(grid, cell, stack[height])
            height += 1
        else:
            height -= 1
    start = _random_floor_cell(rng, grid)
    goal = _random_floor_cell(rng, grid)
    while goal == start:
        goal = _random_floor_cell(rng, grid)
    _set_ends(ends, start, goal, cols)
    return True


@njit(cache=True)
def _drunkards_walk(rng, grid, ends, params):
    rows, cols = grid.shape
    target = max(2, min(rows * cols, int(np.floor(rows * cols * params[0]))))
    x, y = below(rng, cols), below(rng, rows)
    grid[y, x] = 1
    n_open = 1
    while n_open < target:
        left, right, up, down = x > 0, x < cols - 1, y > 0, y < rows - 1
        way = below(rng, int(left) + int(right) + int(up) + int(down))
        # the way-th of the moves that stay on the grid, in the order left, right, up, down
        if left:
            if way == 0:
                x -= 1
            way -= 1
        if right:
            if way == 0:
                x += 1
            way -= 1
        if up:
            if way == 0:
                y -= 1
            way -= 1
        if down and way == 0:
            y += 1
        if not grid[y, x]:
            grid[y, x] = 1
            n_open += 1
    return _two_floor_cells(rng, grid, ends)


@njit(cache=True)
def _searchformer(rng, grid, ends, params):
    rows, cols = grid.shape
    n_cells = rows * cols
    base = n_cells // 10
    cells = np.arange(n_cells)
    for _ in range(ATTEMPTS):
        shuffle(rng, cells, n_cells)
        walls = 3 * base + below(rng, 2 * base + 1)
        grid[:] = 0
        for i in range(walls, n_cells):
            grid[cells[i] // cols, cells[i] % cols] = 1
        free = cells[walls:].copy()
        shuffle(rng, free, free.size)
        for _ in range(100):
            start, goal = free[0], free[1]
            steps = distance(grid, start, goal)
            if steps + 1 >= max(rows, cols):
                break
            shuffle(rng, free, free.size)  # the published tool shuffles after the last try too
        if steps >= 0:
            _set_ends(ends, start, goal, cols)
            return True
    return False


@njit(cache=True)
def _cellular_automata(rng, grid, ends, params):
    fill, survival, birth, iterations = params[0], params[1], params[2], int(params[3])
    rows, cols = grid.shape
    for y in range(rows):
        for x in range(cols):
            grid[y, x] = 0 if chance(rng, fill) else 1
    for _ in range(iterations):
        before = grid.copy()
        for y in range(rows):
            for x in range(cols):
                alive = 0  # walls among the eight neighbours; beyond the edge is wall
                for ny in range(y - 1, y + 2):
                    for nx in range(x - 1, x + 2):
                        inside = 0 <= nx < cols and 0 <= ny < rows
                        if (nx != x or ny != y) and (not inside or not before[ny, nx]):
                            alive += 1
                if before[y, x]:
                    grid[y, x] = 0 if alive > birth else 1
                else:
                    grid[y, x] = 1 if alive < survival else 0
    return _two_floor_cells(rng, grid, ends)


@njit(cache=True)
def _free_space(rng, grid, ends, params):
    grid[:] = 1
    return _two_floor_cells(rng, grid, ends)


# ── the registry ────────────────────────────────────────────────────────────────────────


class Parameter(NamedTuple):
    default: float
    low: float
    high: float
    integer: bool = False


@dataclass(frozen=True)
class Generator:
    """One generator: all there is to know about it stands in its entry of `GENERATORS`.

    Attributes:
        kernel: draws a maze, as the module's text says.
        label: its name for people.
        colour, marker: how figures show it.
        parameters: by name, in the order in which the kernel reads them.
        one_path: whether there is just one way between any two cells (the maze is a tree).
        can_be_unsolvable: whether start and goal may lie apart.
        rooms: for those that draw spanning trees of a grid of rooms, the offsets of the rooms.
    """

    kernel: Callable
    label: str
    colour: str
    marker: str
    parameters: dict[str, Parameter] = field(default_factory=dict)
    one_path: bool = False
    can_be_unsolvable: bool = False
    rooms: tuple[int, ...] = ()


GENERATORS: dict[str, Generator] = Registry({
    "wilson": Generator(_wilson, "Wilson", "#0072b2", "o", one_path=True, rooms=(0, 1)),
    "kruskal": Generator(_kruskal, "Kruskal", "#56b4e9", "s", one_path=True, rooms=(0, 1)),
    "dfs": Generator(_dfs, "DFS", "#009e73", "^", one_path=True),
    "drunkards_walk": Generator(
        _drunkards_walk, "Drunkard's Walk", "#d55e00", "D",
        {"coverage": Parameter(0.5, 0.0, 1.0)}),
    "searchformer": Generator(_searchformer, "Searchformer-style", "#e69f00", "v"),
    "cellular_automata": Generator(
        _cellular_automata, "Cellular automata", "#cc79a7", "P",
        {"fill_probability": Parameter(0.45, 0.0, 1.0),
         "survival_threshold": Parameter(4, 0, 9, integer=True),
         "birth_threshold": Parameter(5, 0, 9, integer=True),
         "iterations": Parameter(3, 0, 1000, integer=True)}, can_be_unsolvable=True),
    "free_space": Generator(_free_space, "Free space", "#7a7a7a", "X"),
})
