"""What follows from a grid alone: its free cells, how far apart two are, whether it is held out.

A grid is ``uint8 [rows, cols]``, ``grid[y, x]``, 1 free and 0 wall; a cell index is y·cols + x.
"""

import numpy as np
from numba import njit

from helpers.streams import mix

SALT = np.uint64(0x81AF155173F23D65)  # of the hash that decides which; small grids have both kinds
HELD_OUT = 4  # one grid of so many is kept for testing, never trained on


@njit(cache=True)
def free_cells(grid):
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
