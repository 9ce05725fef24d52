"""Corruptions: what each keeps of a trace and what it takes, and that nothing else changes."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import mazes

from helpers import corruptions
from helpers.astar import CLOSE, CREATE, KINDS, Event, solve
from helpers.batches import Batches
from helpers.conditions import CONDITIONS, put_together
from helpers.corpus import Corpus, Recipe, build
from helpers.corruptions import CORRUPTIONS, PARTS, walk, what_is_left
from helpers.grids import is_held_out
from helpers.language import CLOSE_WORD, CREATE_WORD, EVENT, FIRST_COORDINATE, UNKNOWN, Vocabulary
from helpers.maze import FREE, Maze, MazeError, Mazes
from helpers.rules import trace_breaks
from helpers.searches import ASTAR, BREADTH, DEPTH, LAST_TIES, searched
from helpers.study.fingerprint import code_of

CORPORA = {name: build(Recipe(name, 6, 6, "train", 1, "indexed", 60))
           for name in ("wilson", "searchformer")}
BY_CHANCE = {"shuffled", "walk", "foreign", "fewer_creates", "half_without", "dropped",
             "half_filler"}
ORDERS = (ASTAR, LAST_TIES, BREADTH, DEPTH)
STEPS = {(0, -1), (1, 0), (0, 1), (-1, 0)}


@pytest.fixture(params=CORPORA)
def corpus(request) -> Corpus:
    return CORPORA[request.param]


def traces(corpus: Corpus, condition: str, seed: int = 3, **parameters) -> list[np.ndarray]:
    """Without the word ``reasoning``."""
    together = put_together(corpus, CONDITIONS[condition], seed, **parameters)
    return [together.traces.piece(i)[1:] for i in range(len(corpus))]


def pairs(corpus: Corpus, condition: str, seed: int = 3):
    """Own events and what became of them, as rows of five ids, with the maze."""
    for i, (own, other) in enumerate(zip(traces(corpus, "correct"),
                                         traces(corpus, condition, seed), strict=True)):
        yield own.reshape(-1, EVENT), other.reshape(-1, EVENT), corpus.mazes.maze(i)


def breaks(corpus: Corpus, events: np.ndarray, maze: Maze) -> list[str]:
    return [one.rule for one in trace_breaks(maze, corpus.vocabulary.decode(events.ravel()).split())
            if not one.strict]


def as_events(maze: Maze, order: int, on: bool = False) -> list[Event]:
    return [Event(KINDS[kind], *rest) for kind, *rest in searched(maze, order, on).tolist()]


# ── all of them ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_only_the_trace_changes(corpus, name):
    before = corpus.tokens.copy()
    own, together = (put_together(corpus, CONDITIONS[one], 3) for one in ("correct", name))
    assert np.array_equal(corpus.tokens, before)
    for part in ("prompts", "plans"):
        for i in range(len(corpus)):
            assert np.array_equal(getattr(own, part).piece(i), getattr(together, part).piece(i))
    assert np.array_equal(own.sizes, together.sizes)  # what gaps are drawn from
    orders = [[Batches(one, 7, 2, 3).indices(step).tolist() for step in range(16)]
              for one in (own, together)]
    assert orders[0] == orders[1]
    assert any(not np.array_equal(*pair) for pair in zip(
        traces(corpus, "correct"), traces(corpus, name), strict=True))
    assert together.traces.tokens.max() < corpus.vocabulary.size


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_what_is_random_follows_from_the_seed_and_the_place(corpus, name):
    first, again, other = (traces(corpus, name, seed) for seed in (3, 3, 4))
    assert all(map(np.array_equal, first, again))
    assert all(map(np.array_equal, first, other)) == (name not in BY_CHANCE)
    few = Corpus(corpus.recipe, corpus.tokens, corpus.bounds[:9],
                 Mazes(*(array[:9] for array in corpus.mazes)))
    assert all(map(np.array_equal, first[:9], traces(few, name)))


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_model_follows_from_its_corruption_and_no_other(name):
    code = code_of(CONDITIONS[name].traces)
    known = {f"{one.change.__module__}.{one.change.__qualname__}": key
             for key, one in CORRUPTIONS.items()}
    helps = {"dropped": {"no_closes", "no_costs", "fewer_creates"}, "half_filler": {"filler"}}
    assert {known[one] for one in code if one in known} == {name} | helps.get(name, set())
    assert "helpers.conditions.corrupted_trace" in code
    assert CORRUPTIONS[name].part in PARTS
    assert CONDITIONS[name].traces.__doc__ == CORRUPTIONS[name].change.__doc__


# ── own events, changed ─────────────────────────────────────────────────────────────────


def test_shuffled_keeps_all_events_and_not_their_order(corpus):
    moved = []
    for own, other, _ in pairs(corpus, "shuffled"):
        assert Counter(map(tuple, own.tolist())) == Counter(map(tuple, other.tolist()))
        moved.append(np.any(own != other, axis=1).mean())
    assert np.mean(moved) > 0.8


def test_renamed_keeps_words_costs_and_places_and_not_which_cells(corpus):
    names = {}
    for own, other, _ in pairs(corpus, "renamed"):
        assert np.array_equal(own[:, [0, 3, 4]], other[:, [0, 3, 4]])
        for cell, name in zip(own[:, 1:3].tolist(), other[:, 1:3].tolist(), strict=True):
            assert cell != name
            assert names.setdefault(tuple(cell), name) == name  # the same in all mazes
    assert len({tuple(name) for name in names.values()}) == len(names) > 30
    assert all(0 <= value - FIRST_COORDINATE < 6 for name in names.values() for value in name)


def test_truncated_keeps_the_first_half(corpus):
    for own, other, _ in pairs(corpus, "truncated"):
        assert np.array_equal(other, own[:len(own) // 2])


# ── other searches, other mazes ─────────────────────────────────────────────────────────


@given(mazes)
def test_the_search_in_astars_order_is_astar(maze):
    assert as_events(maze, ASTAR) == solve(maze).trace


def distances(maze: Maze) -> dict:
    found, layer = {maze.start: 0}, [maze.start]
    while layer:
        near = {(x + dx, y + dy) for x, y in layer for dx, dy in STEPS
                if 0 <= x + dx < maze.cols and 0 <= y + dy < maze.rows
                and maze.grid[y + dy, x + dx] == FREE} - set(found)
        found |= dict.fromkeys(near, found[layer[0]] + 1)
        layer = list(near)
    return found


@given(mazes, st.sampled_from(ORDERS), st.booleans())
def test_searches_expand_what_they_reached(maze, order, on):
    """Each create is of a free neighbour of the cell closed last, at a g lower than before."""
    best, closed, last = {maze.start: 0}, [], None
    for kind, x, y, g, h in as_events(maze, order, on):
        assert h == abs(x - maze.goal[0]) + abs(y - maze.goal[1])
        if kind == "create":
            assert (x - last[0], y - last[1]) in STEPS
            assert maze.grid[y, x] == FREE
            assert (x, y) not in closed
            assert g == best[last] + 1 < best.get((x, y), np.inf)
            best[x, y] = g
        else:
            assert g == best[x, y]
            closed.append(last := (x, y))
    assert len(set(closed)) == len(closed)
    reached = distances(maze)
    if on or maze.goal not in reached:
        assert set(closed) == set(reached)
    else:
        assert closed[-1] == maze.goal
    if order == BREADTH:
        assert all(best[cell] == reached[cell] for cell in closed)


@given(mazes, st.sampled_from([BREADTH, DEPTH]))
def test_which_open_cell_is_closed(maze, order):
    """The one created first, or last, counting its first time."""
    waiting = [maze.start]
    for kind, x, y, _, _ in as_events(maze, order):
        if kind == "create":
            waiting += [(x, y)] * ((x, y) not in waiting)
        else:
            assert waiting.pop(0 if order == BREADTH else -1) == (x, y)


@given(mazes)
def test_other_ties_and_waste_break_no_rule(maze):
    own, ties, waste = (as_events(maze, order, on) for order, on in (
        (ASTAR, False), (LAST_TIES, False), (ASTAR, True)))
    for events, strict in ((ties, True), (waste, len(waste) == len(own))):
        found = list(trace_breaks(maze, " ".join(map(str, events)).split()))
        if maze.goal in distances(maze):
            assert {one.strict for one in found} <= {True}
            assert bool(found) != strict
    assert waste[:len(own)] == own


def test_searches_are_written_as_ids(corpus):
    for name, order, on in (("breadth_first", BREADTH, False), ("depth_first", DEPTH, False),
                            ("other_ties", LAST_TIES, False), ("wasteful", ASTAR, True)):
        differ = 0
        for i, trace in enumerate(traces(corpus, name)):
            maze = corpus.mazes.maze(i)
            assert corpus.vocabulary.events(trace) == as_events(maze, order, on)
            differ += as_events(maze, order, on) != solve(maze).trace
        assert differ > 5, name


def test_breadth_and_depth_break_rules_of_astar(corpus):
    for name in ("breadth_first", "depth_first"):
        found = [breaks(corpus, events, maze) for _, events, maze in pairs(corpus, name)]
        assert {rules[0] for rules in found if rules} == {"not_lowest_f"}
        assert np.mean([*map(bool, found)]) > 0.3


def test_a_walk_stays_in_its_maze(corpus):
    goals = 0
    for own, other, maze in pairs(corpus, "walk"):
        assert len(other) == len(own)
        events = corpus.vocabulary.events(other)
        cells = [(event.x, event.y) for event in events]
        assert cells[0] == maze.start
        assert [event.kind for event in events] == [KINDS[CREATE if i % 2 else CLOSE]
                                                    for i in range(len(events))]
        for i, (x, y) in enumerate(cells[1:], start=1):
            step = (x - cells[i - 1][0], y - cells[i - 1][1])
            assert step in STEPS if i % 2 else step == (0, 0)
            assert maze.grid[y, x] == FREE
        assert [event.g for event in events] == [(i + 1) // 2 for i in range(len(events))]
        assert all(event.h == abs(event.x - maze.goal[0]) + abs(event.y - maze.goal[1])
                   for event in events)
        goals += cells[-1] == maze.goal
    assert goals < 30


def test_a_walk_that_can_go_nowhere_and_one_that_is_long():
    maze = Maze.from_ascii("S#.", "##.", "..G")
    ids = Vocabulary(3, 3)
    for events in (1, 30):
        found = ids.events(walk(np.zeros((events, 5), np.uint16), maze, np.random.default_rng(1)))
        assert {(event.x, event.y) for event in found} == {(0, 0)}
        assert max(event.g for event in found) == min(events // 2, 8)  # tokens end at c8


def test_foreign_traces_are_of_grids_that_are_not_held_out(corpus, monkeypatch):
    drawn = []
    monkeypatch.setattr(corruptions, "searched",
                        lambda maze, order: drawn.append(maze) or searched(maze, order))
    found = traces(corpus, "foreign")
    assert len(drawn) == len(found)
    for trace, maze in zip(found, drawn, strict=True):
        assert corpus.vocabulary.events(trace) == solve(maze).trace
        assert not is_held_out(maze.grid)
        assert maze.start != maze.goal
    assert len({maze.grid.tobytes() for maze in drawn}) > 50
    assert np.mean([maze.grid.mean() for maze in drawn]) > 0.5  # open: more free cells than walls
    monkeypatch.setattr(corruptions, "is_held_out", lambda grid: True)
    with pytest.raises(MazeError, match=r"^foreign: found no Searchformer-style maze of 6x6 that"):
        traces(corpus, "foreign")


# ── parts left out ──────────────────────────────────────────────────────────────────────


def test_what_is_left_out(corpus):
    for own, other, _ in pairs(corpus, "no_closes"):
        assert np.array_equal(other, own[own[:, 0] == CREATE_WORD])
    for own, other in zip(traces(corpus, "correct"), traces(corpus, "no_costs"), strict=True):
        assert np.array_equal(other.reshape(-1, 3), own.reshape(-1, EVENT)[:, :3])


def test_a_third_of_the_creates(corpus):
    left_out = Counter()
    for own, other, _ in pairs(corpus, "fewer_creates"):
        rows, rest = own.tolist(), iter(own.tolist())
        assert all(any(row == event for event in rest) for row in other.tolist())  # in order
        creates = [row for row in rows if row[0] == CREATE_WORD]
        assert len(rows) - len(other) == len(creates) // 3
        assert (other[:, 0] == CLOSE_WORD).sum() == len(rows) - len(creates)
        left_out.update(i for i, row in enumerate(creates) if row not in other.tolist())
    assert len(left_out) > 8  # not always the same ones


def test_nothing_in_half_of_the_examples(corpus):
    empty = 0
    for own, other, _ in pairs(corpus, "half_without"):
        assert len(other) == 0 or np.array_equal(own, other)
        empty += len(other) == 0
    assert 15 < empty < 45


def test_dropped_is_each_of_five_levels():
    big = build(Recipe("wilson", 6, 6, "train", 1, "indexed", 500))
    levels = Counter()
    for own, other in zip(traces(big, "correct"), traces(big, "dropped"), strict=True):
        rows = own.reshape(-1, EVENT)
        creates = rows[rows[:, 0] == CREATE_WORD]
        few = 3 * (len(creates) - len(creates) // 3)
        for level, is_it in enumerate((
                np.array_equal(other, own), np.array_equal(other, creates.ravel()),
                np.array_equal(other, creates[:, :3].ravel()),
                len(other) == few and set(map(tuple, other.reshape(-1, 3).tolist()))
                <= set(map(tuple, creates[:, :3].tolist())), len(other) == 0)):
            if is_it and len(creates) >= 3:
                levels[level] += 1
                break
        else:
            assert len(creates) < 3
    assert sorted(levels) == [0, 1, 2, 3, 4]
    assert min(levels.values()) > 0.6 * max(levels.values())


# ── words without meaning ───────────────────────────────────────────────────────────────


def test_filler_is_as_long_and_says_nothing(corpus):
    for own, other in zip(traces(corpus, "correct"), traces(corpus, "filler"), strict=True):
        assert len(own) == len(other)
        assert set(other.tolist()) == {UNKNOWN}
    said = [set(other.ravel().tolist()) == {UNKNOWN} or np.array_equal(own, other)
            for own, other, _ in pairs(corpus, "half_filler")]
    assert all(said)
    filled = sum(other[0, 0] == UNKNOWN for _, other, _ in pairs(corpus, "half_filler"))
    assert 15 < filled < 45


# ── a share of other mazes' traces ──────────────────────────────────────────────────────


def test_shares_of_other_mazes_traces(corpus):
    """From none to all; whoever borrows at one share borrows the same at a larger one."""
    def begins(name, **parameters):
        return put_together(corpus, CONDITIONS[name], 3, **parameters).traces.begins

    own, lent = begins("correct"), begins("swapped")
    assert np.array_equal(begins("partly_swapped", share=0.0), own)
    assert np.array_equal(begins("partly_swapped", share=1.0), lent)
    shares = [begins("partly_swapped", share=share) == lent for share in (0.25, 0.5, 0.75)]
    for less, more in pairwise(shares):
        assert (less <= more).all()
    assert all(abs(lent.mean() - share) < 0.25 for lent, share in zip(
        shares, (0.25, 0.5, 0.75), strict=True))
    assert np.array_equal(begins("partly_swapped"), begins("partly_swapped", share=0.5))


# ── what is left ────────────────────────────────────────────────────────────────────────


def test_what_is_left_of_traces():
    corpus = build(Recipe("wilson", 6, 6, "train", 1, "indexed", 80))
    tokens = np.diff(corpus.bounds, axis=1)[:, 1].mean() - 1
    found = {name: what_is_left(corpus, put_together(corpus, CONDITIONS[name], 1).traces)
             for name in ("correct", "swapped", *CORRUPTIONS)}
    assert {one["n"] for one in found.values()} == {80}
    assert found["correct"] == {"tokens": tokens, "own_events": 1, "free_cells": 1, "valid": 1,
                                "n": 80}
    for name in ("shuffled", "no_costs", "breadth_first", "depth_first", "wasteful", "other_ties",
                 "walk", "truncated", "fewer_creates", "dropped", "half_without", "half_filler"):
        assert found[name]["free_cells"] == 1
    for name in ("shuffled", "no_costs", "wasteful"):  # all is still said, in one way or another
        assert found[name]["own_events"] == 1
    assert found["other_ties"]["valid"] == found["wasteful"]["valid"] == 1
    for name in ("no_closes", "no_costs", "truncated", "filler", "renamed", "swapped", "foreign"):
        assert found[name]["valid"] < 0.05
    for name in ("swapped", "foreign", "renamed"):
        assert found[name]["own_events"] < 0.6
        assert found[name]["free_cells"] < 0.9
    assert 0.3 < found["half_filler"]["own_events"] < 0.7
    assert found["filler"]["tokens"] == tokens
    assert found["filler"]["own_events"] == 0
    assert np.isnan(found["filler"]["free_cells"])
    assert found["no_costs"]["tokens"] == pytest.approx(0.6 * tokens)
