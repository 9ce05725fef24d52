"""A*: the kernel is the reference, the reference is A*."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from strategies import generated, mazes, scattered

from helpers.astar import STEPS, Event, events_bound, solve, solve_reference
from helpers.generators import GENERATORS
from helpers.grids import distance
from helpers.maze import Maze, generate


def test_a_trace_checked_by_hand():
    maze = Maze.from_ascii("S.#",
                           "#..",
                           "..G")
    trace, plan = solve(maze)
    assert list(map(str, trace)) == [
        "close 0 0 c0 c4",   # the start, never created
        "create 1 0 c1 c3",  # right; down is a wall
        "close 1 0 c1 c3",
        "create 1 1 c2 c2",
        "close 1 1 c2 c2",
        "create 2 1 c3 c1",  # right before down
        "create 1 2 c3 c1",
        "close 2 1 c3 c1",   # f = 4 like (1, 2), but it came first
        "create 2 2 c4 c0",  # the goal
        "close 1 2 c3 c1",   # f = 4 like the goal, but it came first
        "create 0 2 c4 c2",  # left; the goal would not improve
        "close 2 2 c4 c0",
    ]
    assert plan == [(0, 0), (1, 0), (1, 1), (2, 1), (2, 2)]


def test_start_is_goal():
    maze = Maze(np.ones((3, 3), np.uint8), (1, 2), (1, 2))
    assert solve(maze) == solve_reference(maze) == ([Event("close", 1, 2, 0, 0)], [(1, 2)])


def test_goal_out_of_reach():
    maze = Maze.from_ascii("S#G",
                           ".#.",
                           ".#.")
    trace, plan = solve(maze)
    assert [event[:3] for event in trace if event.kind == "close"] == [
        ("close", 0, 0), ("close", 0, 1), ("close", 0, 2)]
    assert plan == [(0, 0), (2, 0)]  # as in the published data


@given(scattered(smallest=1) | generated(largest=12))
def test_kernel_is_reference(maze):
    assert solve(maze) == solve_reference(maze)


@pytest.mark.parametrize("generator", GENERATORS)
def test_kernel_is_reference_at_full_size(generator):
    mazes = generate(generator, 30, 30, 10, split="test", sampling="indexed")
    for i in range(10):
        assert solve(mazes.maze(i)) == solve_reference(mazes.maze(i))


@given(mazes)
def test_plan_is_a_shortest_path(maze):
    plan = solve(maze).plan
    cells = [x + maze.cols * y for x, y in (maze.start, maze.goal)]
    moves = distance(maze.grid, *cells)
    assert (plan[0], plan[-1]) == (maze.start, maze.goal)
    if moves < 0:
        assert len(plan) == 2
        return
    assert len(plan) - 1 == moves
    assert all(maze.grid[y, x] for x, y in plan)
    assert all((b[0] - a[0], b[1] - a[1]) in STEPS for a, b in pairwise(plan))


@given(mazes)
def test_what_a_trace_looks_like(maze):
    trace = solve(maze).trace
    closes = [event for event in trace if event.kind == "close"]
    assert len(trace) <= events_bound(maze.grid)
    assert trace[0][:4] == ("close", *maze.start, 0)
    assert len({event[1:3] for event in closes}) == len(closes)  # no cell closes twice
    fs = [event.g + event.h for event in closes]
    assert fs == sorted(fs)  # h is consistent
    assert all(event.h == abs(event.x - maze.goal[0]) + abs(event.y - maze.goal[1])
               for event in trace)


@pytest.mark.parametrize(("generator", "count"), [
    ("wilson", 0), ("kruskal", 0), ("dfs", 0), ("drunkards_walk", 74), ("searchformer", 536),
    ("cellular_automata", 35)])
def test_published_traces_that_create_a_cell_again(generator, count):
    mazes = generate(generator, 30, 30, 1000, split="test")

    def again(maze):
        creates = [event[1:3] for event in solve(maze).trace if event.kind == "create"]
        return len(set(creates)) < len(creates)

    assert sum(again(mazes.maze(i)) for i in range(1000)) == count
