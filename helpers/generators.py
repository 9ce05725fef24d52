"""The maze generators: kernels over plain arrays, and their random numbers.

A grid is ``uint8 [rows, cols]``, ``grid[y, x]``, 1 free and 0 wall; a cell index is
y·cols + x. Each kernel takes a stream, a grid of zeros to fill, ``ends`` (int64 [4]: start
x y, goal x y) to fill and its parameters (float64), and returns whether start and goal
found a place. A kernel only ever asks a stream for "an index below n" or "a number below
p", so the published random numbers and our own feed the same kernels.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numba import njit

from helpers.engine.registry import Registry

ATTEMPTS = 1000  # redraws after which a generator is said to find no maze
SALT = np.uint64(0x81AF155173F23D65)  # of the hash that decides which; small grids have both kinds
HELD_OUT = 4  # one grid of so many is kept for testing, never trained on


# ── random numbers ──────────────────────────────────────────────────────────────────────
# A stream is ``uint64 [2]``: its state and its kind (0 the published 32-bit LCG, 1 splitmix64).


@njit(cache=True)
def mix(z):
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014)."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(cache=True)
def _next(rng):
    """The next 32 random bits, as int64."""
    if rng[1] == np.uint64(0):
        rng[0] = (rng[0] * np.uint64(1664525) + np.uint64(1013904223)) & np.uint64(0xFFFFFFFF)
        return np.int64(rng[0])
    rng[0] += np.uint64(0x9E3779B97F4A7C15)
    return np.int64(mix(rng[0]) >> np.uint64(32))


@njit(cache=True)
def _below(rng, n):
    """An index below n: floor(u n) with u = 32 bits / 2^32."""
    return (_next(rng) * np.int64(n)) >> np.int64(32)


@njit(cache=True)
def _chance(rng, p):
    """Whether u < p."""
    return _next(rng) < p * 4294967296.0


@njit(cache=True)
def _shuffle(rng, items, n):
    """Fisher–Yates from the last of the first n items down."""
    for i in range(n - 1, 0, -1):
        j = _below(rng, i + 1)
        items[i], items[j] = items[j], items[i]


@njit(cache=True)
def example_state(key, index):
    """Where the stream of example ``index`` of a data set begins."""
    return mix(key ^ mix(np.uint64(index)))


# ── which grids are held out ────────────────────────────────────────────────────────────


@njit(cache=True)
def is_held_out(grid):
    """Whether a grid (uint8 [rows, cols], 1 free) is one to test on, never to train on.

    That follows from the grid alone, whoever drew it: a hash of its size and cells sets one
    of `HELD_OUT` aside. The grid without walls is held out too, since there is only one of it.
    """
    rows, cols = grid.shape
    state = mix(np.uint64(rows * 65536 + cols))
    word, bits, walls = np.uint64(0), 0, 0
    for y in range(rows):
        for x in range(cols):
            free = np.uint64(grid[y, x] != 0)
            word = (word << np.uint64(1)) | free
            bits += 1
            if not free:
                walls += 1
            if bits == 64:
                state = mix(state ^ word) + SALT
                word, bits = np.uint64(0), 0
    state = mix(mix(state ^ word) + SALT)
    return walls == 0 or state % np.uint64(HELD_OUT) == 0


# ── kernels ─────────────────────────────────────────────────────────────────────────────


@njit(cache=True)
def _floor_cells(grid):
    """Indices y·cols + x of the free cells, row by row."""
    rows, cols = grid.shape
    cells = np.empty(rows * cols, np.int64)
    n = 0
    for y in range(rows):
        for x in range(cols):
            if grid[y, x]:
                cells[n] = y * cols + x
                n += 1
    return cells[:n]


@njit(cache=True)
def _set_ends(ends, start, goal, cols):
    ends[0], ends[1] = start % cols, start // cols
    ends[2], ends[3] = goal % cols, goal // cols


@njit(cache=True)
def _two_floor_cells(rng, grid, ends):
    """Start and goal by index into the free cells, the goal until it differs."""
    cells = _floor_cells(grid)
    if cells.size < 2:
        return False
    start = cells[_below(rng, cells.size)]
    goal = cells[_below(rng, cells.size)]
    while goal == start:
        goal = cells[_below(rng, cells.size)]
    _set_ends(ends, start, goal, grid.shape[1])
    return True


@njit(cache=True)
def _random_floor_cell(rng, grid):
    """Columns and rows drawn until they hit a free cell."""
    while True:
        x = _below(rng, grid.shape[1])
        y = _below(rng, grid.shape[0])
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
    offset = 0 if _chance(rng, 0.5) else 1
    across, down = (cols - offset + 1) // 2, (rows - offset + 1) // 2
    n_rooms = across * down
    in_maze = np.zeros(n_rooms, np.uint8)
    place = np.full(n_rooms, -1, np.int64)  # where a room stands on the current path
    path = np.empty(n_rooms + 1, np.int64)

    def cell(room):
        return (offset + 2 * (room // across)) * cols + offset + 2 * (room % across)

    first = _below(rng, n_rooms)
    in_maze[first] = 1
    grid[offset + 2 * (first // across), offset + 2 * (first % across)] = 1
    missing = n_rooms - 1
    while missing:
        room = _below(rng, n_rooms)
        while in_maze[room]:
            room = _below(rng, n_rooms)
        path[0] = room
        place[room] = 0
        length = 1
        while not in_maze[room]:
            direction = _below(rng, 4)
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
    cells = _floor_cells(grid)
    start = cells[_below(rng, cells.size)]
    goal = cells[_below(rng, cells.size)]
    if goal == start:
        goal = cells[_below(rng, cells.size)]
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
    offset = 0 if _chance(rng, 0.5) else 1
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
    _shuffle(rng, order, n)
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
            stack[height] = ways[_below(rng, n)]
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
    x, y = _below(rng, cols), _below(rng, rows)
    grid[y, x] = 1
    n_open = 1
    while n_open < target:
        left, right, up, down = x > 0, x < cols - 1, y > 0, y < rows - 1
        way = _below(rng, int(left) + int(right) + int(up) + int(down))
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
def distance(grid, start, goal):
    """Fewest moves between two free cells (indices y·cols + x) by breadth-first search, or −1."""
    rows, cols = grid.shape
    steps = np.full(rows * cols, -1, np.int64)
    queue = np.empty(rows * cols, np.int64)
    queue[0] = start
    steps[start] = 0
    head, tail = 0, 1
    while head < tail and steps[goal] < 0:
        cell = queue[head]
        head += 1
        x, y = cell % cols, cell // cols
        for way in range(4):
            nx = x + (way == 1) - (way == 3)
            ny = y + (way == 2) - (way == 0)
            if 0 <= nx < cols and 0 <= ny < rows and grid[ny, nx]:
                near = ny * cols + nx
                if steps[near] < 0:
                    steps[near] = steps[cell] + 1
                    queue[tail] = near
                    tail += 1
    return steps[goal]


@njit(cache=True)
def _searchformer(rng, grid, ends, params):
    rows, cols = grid.shape
    n_cells = rows * cols
    base = n_cells // 10
    cells = np.arange(n_cells)
    for _ in range(ATTEMPTS):
        _shuffle(rng, cells, n_cells)
        walls = 3 * base + _below(rng, 2 * base + 1)
        grid[:] = 0
        for i in range(walls, n_cells):
            grid[cells[i] // cols, cells[i] % cols] = 1
        free = cells[walls:].copy()
        _shuffle(rng, free, free.size)
        for _ in range(100):
            start, goal = free[0], free[1]
            steps = distance(grid, start, goal)
            if steps + 1 >= max(rows, cols):
                break
            _shuffle(rng, free, free.size)  # the published tool shuffles after the last try too
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
            grid[y, x] = 0 if _chance(rng, fill) else 1
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
