"""What a trace can lose: functions from the events of a maze's own A* trace to other events.

Each is (events, maze, rng) → events: a row of ids an event, its word, x, y, g and h (uint16
[n, 5], a copy that it may change). What comes back may have fewer columns, or be any ids at all.
What is random follows from ``rng``, which is the example's own. To add one, write a function like
those below and an entry in `CORRUPTIONS`: it is a condition of that name (`helpers.conditions`),
and the experiment ``spectrum`` trains it.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np

from helpers.astar import CLOSE, CREATE, STEPS
from helpers.corpus import PLAN_PART, TRACE_PART, Corpus, Segments
from helpers.engine.registry import Registry
from helpers.generators import ATTEMPTS, GENERATORS
from helpers.grids import is_held_out
from helpers.language import (
    CLOSE_WORD,
    CREATE_WORD,
    FIRST_COORDINATE,
    REASONING,
    UNKNOWN,
    Vocabulary,
)
from helpers.maze import FREE, Maze, MazeError
from helpers.searches import ASTAR, BREADTH, DEPTH, LAST_TIES, searched
from helpers.validator import judge_responses

# ── own events, changed ─────────────────────────────────────────────────────────────────


def shuffled(events: np.ndarray, maze: Maze, rng: np.random.Generator) -> np.ndarray:
    """Its own events in random order."""
    return rng.permutation(events)


def renamed(events: np.ndarray, maze: Maze, rng: np.random.Generator) -> np.ndarray:
    """Its own events with each cell under another's name, in all mazes the same."""
    x, y = (events[:, 1:3].astype(int) - FIRST_COORDINATE).T
    other_y, other_x = np.divmod(_names(maze.rows, maze.cols)[y * maze.cols + x], maze.cols)
    events[:, 1:3] = FIRST_COORDINATE + np.stack([other_x, other_y], axis=1)
    return events


@cache
def _names(rows: int, cols: int) -> np.ndarray:
    """The cell whose name each cell bears: a permutation that leaves none its own."""
    order = np.random.default_rng(0).permutation(rows * cols)
    found = np.empty_like(order)
    found[order] = np.roll(order, 1)
    return found


def truncated(events: np.ndarray, maze: Maze, rng: np.random.Generator) -> np.ndarray:
    """The first half of its own events."""
    return events[:len(events) // 2]


# ── of other searches, and of other mazes ───────────────────────────────────────────────


def walk(events: np.ndarray, maze: Maze, rng: np.random.Generator) -> np.ndarray:
    """A walk at random from the start, of as many events as its own trace: each cell it comes to
    is created and closed, with the steps so far as its g."""
    (x, y), found = maze.start, []
    for i in range(len(events)):
        near = [(x + dx, y + dy) for dx, dy in STEPS if 0 <= x + dx < maze.cols
                and 0 <= y + dy < maze.rows and maze.grid[y + dy, x + dx]]
        if i % 2 and near:
            x, y = near[rng.integers(len(near))]
        steps = min((i + 1) // 2, maze.grid.size - 1)  # the highest cost that is a token
        found.append((CREATE if i % 2 else CLOSE, x, y, steps,
                      abs(x - maze.goal[0]) + abs(y - maze.goal[1])))
    return _ids(maze, np.array(found))


def breadth_first(events: np.ndarray, maze: Maze, rng: np.random.Generator) -> np.ndarray:
    """The search that closes the cell created first."""
    return _ids(maze, searched(maze, BREADTH))


def depth_first(events: np.ndarray, maze: Maze, rng: np.random.Generator) -> np.ndarray:
    """The search that closes the cell created last."""
    return _ids(maze, searched(maze, DEPTH))


def other_ties(events: np.ndarray, maze: Maze, rng: np.random.Generator) -> np.ndarray:
    """A* that closes the cell created last among those of the lowest f: as valid."""
    return _ids(maze, searched(maze, LAST_TIES))


def wasteful(events: np.ndarray, maze: Maze, rng: np.random.Generator) -> np.ndarray:
    """A* that goes on behind the goal until nothing is open: breaks no rule, and is for nothing."""
    return _ids(maze, searched(maze, ASTAR, on=True))


SEARCHFORMER = GENERATORS["searchformer"].kernel


def foreign(events: np.ndarray, maze: Maze, rng: np.random.Generator) -> np.ndarray:
    """A* on a Searchformer-style maze, drawn for it among those that are not held out.

    Raises:
        MazeError: there is none of this size.
    """
    stream, ends = np.array([rng.integers(2**63), 1], np.uint64), np.zeros(4, np.int64)
    for _ in range(ATTEMPTS):
        grid = np.zeros_like(maze.grid)
        if SEARCHFORMER(stream, grid, ends, np.empty(0)) and not is_held_out(grid):
            sx, sy, gx, gy = ends.tolist()
            other = Maze(grid, (sx, sy), (gx, gy))
            return _ids(other, searched(other, ASTAR))
    raise MazeError(f"foreign: found no Searchformer-style maze of {maze.rows}x{maze.cols} that is "
                    "not held out; takes a larger grid")


def _ids(maze: Maze, events: np.ndarray) -> np.ndarray:
    """Events as numbers, int [n, 5] of kind, x, y, g and h, as ids."""
    kind, x, y, g, h = events.T
    cost = Vocabulary(maze.rows, maze.cols).first_cost
    return np.stack([np.where(kind == CLOSE, CLOSE_WORD, CREATE_WORD), FIRST_COORDINATE + x,
                     FIRST_COORDINATE + y, cost + g, cost + h], axis=1)


# ── parts left out ──────────────────────────────────────────────────────────────────────
# after Dualformer (Su et al. 2024, arXiv 2410.09918)


def no_closes(events: np.ndarray, maze: Maze, rng: np.random.Generator) -> np.ndarray:
    """Its own events, the closes left out."""
    return events[events[:, 0] != CLOSE_WORD]


def no_costs(events: np.ndarray, maze: Maze, rng: np.random.Generator) -> np.ndarray:
    """Its own events without g and h."""
    return events[:, :3]


def fewer_creates(events: np.ndarray, maze: Maze, rng: np.random.Generator) -> np.ndarray:
    """Its own events, a random third of the creates left out."""
    creates = np.flatnonzero(events[:, 0] == CREATE_WORD)
    return np.delete(events, rng.choice(creates, len(creates) // 3, replace=False), axis=0)


def half_without(events: np.ndarray, maze: Maze, rng: np.random.Generator) -> np.ndarray:
    """Its own events, or none at all: half of the examples each, by chance."""
    return events[:0] if rng.random() < 0.5 else events


def dropped(events: np.ndarray, maze: Maze, rng: np.random.Generator) -> np.ndarray:
    """By chance all of its own events, or without closes, then without costs too, then without a
    third of the creates, or none."""
    level = rng.integers(5)
    if level >= 1:
        events = no_closes(events, maze, rng)
    if level >= 3:
        events = fewer_creates(events, maze, rng)
    if level >= 2:
        events = no_costs(events, maze, rng)
    return events[:0] if level == 4 else events


# ── words without meaning ───────────────────────────────────────────────────────────────


def filler(events: np.ndarray, maze: Maze, rng: np.random.Generator) -> np.ndarray:
    """As many tokens without meaning as its own trace has."""
    return np.full_like(events, UNKNOWN)


def half_filler(events: np.ndarray, maze: Maze, rng: np.random.Generator) -> np.ndarray:
    """Its own events, or as many tokens without meaning: half of the examples each, by chance."""
    return filler(events, maze, rng) if rng.random() < 0.5 else events


# ── all ─────────────────────────────────────────────────────────────────────────────────


class Corruption(NamedTuple):
    """One corruption: all there is to know about it stands in its entry of `CORRUPTIONS`."""

    change: Callable[[np.ndarray, Maze, np.random.Generator], np.ndarray]
    says: str  # what becomes of the trace, for figures
    part: str  # of the experiment: an entry of `PARTS`


PARTS = {"events": ("own events, changed", "#009e73"), "searches": ("other searches", "#56b4e9"),
         "drops": ("parts left out", "#e69f00"), "filler": ("words without meaning", "#cc79a7")}

CORRUPTIONS: dict[str, Corruption] = Registry({
    "shuffled": Corruption(shuffled, "in random order", "events"),
    "renamed": Corruption(renamed, "cells renamed, always alike", "events"),
    "truncated": Corruption(truncated, "first half alone", "events"),
    "walk": Corruption(walk, "a random walk", "searches"),
    "breadth_first": Corruption(breadth_first, "breadth first", "searches"),
    "depth_first": Corruption(depth_first, "depth first", "searches"),
    "other_ties": Corruption(other_ties, "A*, other ties", "searches"),
    "wasteful": Corruption(wasteful, "A*, on behind the goal", "searches"),
    "foreign": Corruption(foreign, "A* on open mazes", "searches"),
    "no_closes": Corruption(no_closes, "closes", "drops"),
    "no_costs": Corruption(no_costs, "costs", "drops"),
    "fewer_creates": Corruption(fewer_creates, "a third of creates", "drops"),
    "half_without": Corruption(half_without, "all, in half of examples", "drops"),
    "dropped": Corruption(dropped, "by chance some or all", "drops"),
    "filler": Corruption(filler, "filler, as long", "filler"),
    "half_filler": Corruption(half_filler, "filler in half of examples", "filler"),
})


# ── what is left ────────────────────────────────────────────────────────────────────────


def what_is_left(corpus: Corpus, traces: Segments) -> dict[str, float]:
    """How traces stand to the examples' own, as means over examples.

    Returns:
        ``tokens`` behind ``reasoning``; ``own_events``, the share of own events (word and cell)
        that the trace still says; ``free_cells``, of all cells it names the share that is free in
        the maze (nan where it names none); ``valid``, the share of traces that break no rule of
        A*; and ``n``, how many examples.
    """
    found = [traces.piece(i)[1:] for i in range(len(corpus))]
    own, free = [], []
    for i, trace in enumerate(found):
        first, said = _said(corpus.segment(i, TRACE_PART)), _said(trace)
        own.append((first[:, None] == said[None]).all(-1).any(1).mean())
        free += _free(corpus.mazes.grids[i], *said[:, 1:].T - FIRST_COORDINATE)
    answers = [np.append(trace, corpus.segment(i, PLAN_PART)) for i, trace in enumerate(found)]
    valid = judge_responses(corpus.mazes, answers, REASONING)["trace_valid"]
    return {"tokens": float(np.mean([*map(len, found)])), "own_events": float(np.mean(own)),
            "free_cells": float(np.mean(free)) if free else float("nan"),
            "valid": float(np.mean(valid)), "n": len(corpus)}


def _said(trace: np.ndarray) -> np.ndarray:
    """Word and cell of each event as ids, int64 [n, 3]."""
    at = np.flatnonzero((trace == CREATE_WORD) | (trace == CLOSE_WORD))
    return trace[at[at + 2 < len(trace)][:, None] + np.arange(3)].astype(np.int64)


def _free(grid: np.ndarray, x: np.ndarray, y: np.ndarray) -> list[bool]:
    """Whether cells are free; those beyond the grid are not."""
    rows, cols = grid.shape
    inside = (x >= 0) & (x < cols) & (y >= 0) & (y < rows)
    return [*(inside & (grid[y % rows, x % cols] == FREE))]
