"""Figures say what they should and leave nothing open behind them; tables count right."""

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from helpers.astar import Event, solve
from helpers.conditions import CONDITIONS, lenders, put_together
from helpers.corpus import Recipe, build, count_possible
from helpers.engine.files import PROJECT
from helpers.generators import GENERATORS
from helpers.maze import Maze, generate
from helpers.show import borrowed, figures, looks, samples, tables
from helpers.study.scale import load_scale

MAZE = Maze.from_ascii("...#",
                       "S#..",
                       "....",
                       "#.#G")
TRACE, PLAN = solve(MAZE)


@pytest.fixture(autouse=True)
def _closed_and_quiet(tmp_path):
    """No figure stays open in pyplot, no warning (of a missing glyph, say) is given."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    assert not plt.get_fignums()


def shown(figure):
    """Draws the figure in full, as a notebook would; returns its axes that are in use."""
    assert looks.png(figure).startswith(b"\x89PNG")
    return [ax for ax in figure.axes if ax.axison]


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_looks_tell_conditions_and_generators_apart():
    """By marker and colour, conditions by line too; corruptions of a kind share a colour."""
    studied = load_scale("paper").conditions
    for names, look_of, parts in ((studied, looks.look_of_condition, 4),
                                  (GENERATORS, looks.look_of_generator, 3)):
        for values in list(zip(*map(look_of, names), strict=True))[:parts]:
            assert len(set(values)) == len(names)
    found = [looks.look_of_condition(name) for name in CONDITIONS]
    assert len({look.label for look in found}) == len(CONDITIONS)
    assert len({(look.colour, look.marker) for look in found}) == len(CONDITIONS)
    for look in (*found, *map(looks.look_of_generator, GENERATORS)):
        assert looks.OTHER not in look


def test_unknown_names_have_a_look_too():
    assert looks.look_of_condition("half_swapped") == (
        "half_swapped", looks.OTHER, looks.OTHER_MARKER, looks.OTHER_LINE)
    assert looks.look_of_generator("caves.txt").label == "caves.txt"
    table = tables.token_lengths(["wilson"], 6, 6, 5, split="test")
    mine = table.assign(generator="caves.txt")
    axes = shown(samples.draw_lengths(pd.concat([mine, table])))
    assert [label.get_text() for label in axes[0].get_yticklabels()] == ["caves.txt", "Wilson"]


def test_conditions_go_by_their_own_names():
    assert all(looks.look_of_condition(name).label == name for name in CONDITIONS)


def test_draw_mazes():
    mazes = {name: generate(name, 8, 10, 1, split="test").maze(0) for name in GENERATORS}
    figure = figures.draw_mazes(mazes, {name: solve(maze).plan for name, maze in mazes.items()})
    axes = shown(figure)
    assert [ax.get_title() for ax in axes] == list(mazes)
    assert all({"S", "G"} <= set(texts(ax)) for ax in axes)
    assert "shortest path" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_draw_mazes_start_is_goal_and_large_grids():
    one = Maze(np.ones((30, 30), np.uint8), (3, 3), (3, 3))
    (ax,) = shown(figures.draw_mazes({"one": one}))
    assert "SG" in texts(ax)


def test_draw_trace():
    moments = [0, 1, 8, len(TRACE)]
    axes = shown(figures.draw_trace(MAZE, TRACE, upto=moments, plan=PLAN))
    assert len(axes) == 4
    assert axes[0].get_title() == f"0 of {len(TRACE)} events\nno event yet"
    assert axes[1].get_title().endswith("event 0: close 0 1 c0 c5")
    assert "0+5" in texts(axes[0])  # the start is on the open list from the beginning
    assert "3+2" in texts(axes[2])


def test_draw_trace_numbers_events():
    (ax,) = shown(figures.draw_trace(MAZE, TRACE, label="event"))
    closed = [str(i) for i, event in enumerate(TRACE) if event.kind == "close"]
    assert sorted(set(texts(ax)) & set(closed), key=int) == closed


@pytest.mark.parametrize(("response", "titles"), [
    ("solution plan 0 1 plan 1 1 end", ["plan breaks wall at step 1"]),
    ("solution end", ["plan breaks empty"]),
    ("reasoning close 0 1 c0 c5 close 9 9 c1 c4",
     ["trace breaks not_in_open at event 1", "plan breaks missing"]),
    ("reasoning " + " ".join(map(str, [*TRACE, TRACE[-1]])),
     [f"trace breaks strict rule after_goal at event {len(TRACE)}", "plan breaks missing"]),
    ("reasoning close 0 1 c0 solution plan 0 1 plan -1 x end",
     ["trace breaks parse at event 0", "plan breaks parse at step 1"]),
    ("reasoning " + " ".join(map(str, TRACE)) + " solution "
     + " ".join(f"plan {x} {y}" for x, y in PLAN) + " end",
     ["trace: no rule broken", "plan: no rule broken"]),
])
def test_draw_verdict(response, titles):
    axes = shown(figures.draw_verdict(MAZE, response))
    assert [ax.get_title().split("\n")[0] for ax in axes] == titles


@pytest.mark.parametrize(("step", "rule"), [
    ("plan 1 {}", "off_grid"), ("plan {} ²", "parse"), ("close {} 0 plan 0 1", "parse")])
def test_draw_verdict_takes_numbers_of_any_length(step, rule):
    huge = "9" * 5000  # more digits than Python makes a number of
    axes = shown(figures.draw_verdict(
        MAZE, f"reasoning close {huge} 0 c0 c5 solution plan 0 1 {step.format(huge)} end"))
    assert [ax.get_title().split("\n")[0] for ax in axes] == [
        "trace breaks not_in_open at event 0", f"plan breaks {rule} at step 1"]


def test_draw_verdict_shows_a_step_off_the_grid():
    plan = " ".join(f"plan {x} 2" for x in range(5))
    maze = Maze.from_ascii("...", "...", "S.G")
    (ax,) = shown(figures.draw_verdict(maze, f"solution {plan} end"))
    assert "off_grid" in ax.get_title()
    assert ax.get_xlim()[1] > 3


def test_draw_lengths_and_properties():
    lengths = tables.token_lengths(["wilson", "dfs"], 8, 8, 20, split="test")
    axes = shown(samples.draw_lengths(lengths))
    assert [ax.get_xlabel() for ax in axes] == ["prompt / tokens", "trace / tokens",
                                                "plan / tokens"]
    assert [label.get_text() for label in axes[0].get_yticklabels()] == ["Wilson", "DFS"]
    marks = [looks.look_of_generator(name).marker for name in ("wilson", "dfs")]
    for ax in axes:
        assert [line.get_marker() for line in ax.lines if line.get_marker() in marks] == marks
    figure = samples.draw_properties(tables.maze_properties(["cellular_automata"], 8, 8, 20,
                                                            split="test"), {"path": "path / moves"})
    assert "n = 20 mazes" in figure.get_suptitle()


def test_draw_tree_counts():
    counts = {"wilson": tables.tree_counts("wilson", 4, 4, 40, split="train"),
              "dfs": tables.tree_counts("dfs", 4, 4, 40, split="train")}
    axes = shown(samples.draw_tree_counts(counts, 4))
    assert len(axes) == 2
    assert axes[0].get_ylabel() == "times drawn"


def test_draw_first_errors():
    table = pd.DataFrame({"error": ["not_in_open"] * 3 + [None]})
    (ax,) = shown(samples.draw_first_errors(table))
    assert "n = 4 traces" in ax.get_title()
    assert [label.get_text() for label in ax.get_yticklabels()] == ["not_in_open", "none: valid"]


# ── the README's picture ────────────────────────────────────────────────────────────────


def test_draw_borrowed():
    own, lender = borrowed.MAZE, borrowed.LENDER
    figure = borrowed.draw()
    axes = [ax for ax in figure.axes if ax.axison]
    assert looks.png(figure)
    words = [text.get_text() for ax in figure.axes for text in ax.texts]
    for name in ("prompt", "plan"):  # the same on both sides
        assert words.count(name) == 2
    assert words.count("its own trace") == words.count("borrowed trace") == 1
    starts = {"{} {}".format(*maze.start) for maze in (own, lender)}
    said = [word.split(" close ")[1][:3] for word in words if word.startswith("reasoning")]
    assert len(starts) == 2
    assert set(said) == starts
    for ax, trace in zip(axes, (solve(own).trace, solve(lender).trace), strict=True):
        numbers = [int(text) for text in texts(ax) if text.isdecimal()]
        assert numbers == list(range(1, 1 + sum(event.kind == "close" for event in trace)))
        hatched = {patch.get_xy() for patch in ax.patches if patch.get_hatch()}
        assert hatched == {(e.x - 0.5, e.y - 0.5) for e in trace if not own.grid[e.y, e.x]}
    assert not [patch for patch in axes[0].patches if patch.get_hatch()]


def test_the_readme_picture_is_the_one_that_is_drawn():
    folder = PROJECT / "docs" / "images"
    alt = borrowed.draw().alt
    assert (folder / "borrowed.txt").read_text(encoding="utf-8").strip() == alt
    assert f"<desc>{alt}</desc>" in (folder / "borrowed.svg").read_text(encoding="utf-8")
    picture = (folder / "borrowed.png").read_bytes()
    assert int.from_bytes(picture[16:20]) == 1200
    assert all((folder / f"borrowed.{kind}").stat().st_size < 250_000 for kind in ("png", "svg"))


def test_the_readme_picture_is_written_anew(tmp_path):
    names = [path.name for path in borrowed.write(tmp_path / "images")]
    assert names == ["borrowed.svg", "borrowed.png", "borrowed.txt"]
    one = (tmp_path / "images" / "borrowed.svg").read_bytes()
    borrowed.write(tmp_path / "images")
    assert (tmp_path / "images" / "borrowed.svg").read_bytes() == one


# ── tables ──────────────────────────────────────────────────────────────────────────────


def test_replay_and_open_list():
    assert tables.replay(MAZE, []) == ({(0, 1): (0, 5)}, {})
    opened, closed = tables.replay(MAZE, TRACE[:8])
    assert list(opened) == [(0, 0), (2, 2), (1, 3)]
    assert list(closed) == [(0, 1), (0, 2), (1, 2)]
    table = tables.open_list(MAZE, TRACE[:8])
    assert table["f"].tolist() == [7, 5, 5]
    assert table["next"].tolist() == ["", "close", ""]  # the earlier of two with f = 5


def test_open_list_chooses_nothing_once_the_search_is_over():
    assert (tables.open_list(MAZE, TRACE[:-1])["next"] == "close").sum() == 1
    over = tables.open_list(MAZE, TRACE)
    assert len(over)
    assert not (over["next"] == "close").any()


@pytest.mark.parametrize("name", GENERATORS)
def test_open_list_marks_what_astar_closes_next(name):
    maze = generate(name, 9, 7, 1, split="test", seed=3).maze(0)
    trace = solve(maze).trace
    for i, event in enumerate(trace):
        if event.kind == "close":
            table = tables.open_list(maze, trace[:i])
            (chosen,) = table[table["next"] == "close"].itertuples(index=False)
            assert Event("close", chosen.x, chosen.y, chosen.g, chosen.h) == event


def test_maze_properties():
    table = tables.maze_properties(["wilson", "free_space"], 6, 6, 10, split="test")
    trees, free = (part for _, part in table.groupby("generator", sort=False))
    assert (trees[["free", "pieces", "loops"]] == [17, 1, 0]).all(axis=None)
    assert (free[["free", "pieces", "loops", "dead_ends"]] == [36, 1, 25, 0]).all(axis=None)
    mazes = generate("wilson", 6, 6, 10, split="test")
    assert trees["path"].tolist() == [len(solve(mazes.maze(i)).plan) - 1 for i in range(10)]


def test_tree_counts_of_two_by_two_rooms():
    counts = tables.tree_counts("wilson", 4, 4, 400, split="train")
    assert len(counts) == 4  # a square of four rooms has four spanning trees
    assert counts.sum() == 400
    assert count_possible("wilson", 4, 4) == (2 * 4, 2 * 4 * 7 * 6)


def test_token_lengths():
    table = tables.token_lengths(["free_space"], 5, 5, 10, split="test")
    assert (table["prompt"] == 7).all()
    mazes = generate("free_space", 5, 5, 10, split="test")
    traces, plans = zip(*(solve(mazes.maze(i)) for i in range(10)), strict=True)
    assert table["trace"].tolist() == [1 + 5 * len(trace) for trace in traces]
    assert table["plan"].tolist() == [2 + 3 * len(plan) for plan in plans]
    assert table["largest_cost"].tolist() == [max(max(e.g, e.h) for e in t) for t in traces]


def test_length_summary():
    lengths = tables.token_lengths(["dfs", "free_space"], 5, 5, 10, split="test")
    summary = tables.length_summary(lengths)
    assert list(summary.index) == ["dfs", "free_space"]
    assert summary.loc["free_space", "prompt"].tolist() == [7, 7, 7]
    assert summary.loc["dfs", ("plan", "max")] == lengths["plan"][:10].max()


def test_created_twice_needs_loops():
    counts = tables.created_twice(["wilson", "searchformer"], 12, 12, 50, split="test")
    assert counts["wilson"] == 0
    assert counts["searchformer"] > 0


def test_texts_of_examples_and_responses():
    corpus = build(Recipe("wilson", 6, 6, "train", 1, "indexed", 40))
    trace, plan = solve(corpus.mazes.maze(0))
    own, none, lent = (tables.example_text(
        corpus.vocabulary, put_together(corpus, CONDITIONS[name], 4), 0)
        for name in ("correct", "solution_only", "swapped"))
    assert own.endswith(" " + tables.response_text(plan, trace))
    assert none.endswith(" " + tables.response_text(plan))
    borrowed = solve(corpus.mazes.maze(lenders(corpus, 4)[0])).trace
    assert lent.endswith(" " + tables.response_text(plan, borrowed))
    assert own.startswith(corpus.vocabulary.decode(corpus.segment(0, 0)))


def test_conditions_under_the_validator():
    corpus = build(Recipe("wilson", 6, 6, "train", 1, "indexed", 40))
    own, lent, none = (tables.judge_condition(corpus, name, 4)
                       for name in ("correct", "swapped", "solution_only"))
    assert own["trace_exact"].all()
    assert not lent["trace_valid"].any()
    assert not none["has_trace"].any()
    assert all(table["plan_optimal"].all() for table in (own, lent, none))
    facts = {name: tables.borrowed_facts(corpus, put_together(corpus, CONDITIONS[name], 4).traces)
             for name in ("correct", "swapped")}
    assert (facts["correct"][["free", "right_h"]] == 1).all(axis=None)
    assert facts["swapped"]["right_h"].mean() < 0.5
