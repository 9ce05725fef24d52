"""Every figure says in words what it shows, in notebooks, SVG files and pages alike."""

import inspect
import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from matplotlib import pyplot

from helpers.astar import solve
from helpers.corpus import TRACE_PART, Recipe, build
from helpers.maze import Maze
from helpers.optimisation import TrainingConfig
from helpers.show import (
    answers,
    borrowed,
    charts,
    curves,
    figures,
    looks,
    samples,
    tables,
    tracecharts,
    trends,
)

MAZE = Maze.from_ascii("...#",
                       "S#..",
                       "....",
                       "#.#G")
TRACE, PLAN = solve(MAZE)
CORPUS = build(Recipe("wilson", 5, 5, "train", 1, "indexed", 20))
RATES = pd.DataFrame({
    "condition": ["correct", "swapped"], "seed": 1, "distribution": "dfs", "n": 500,
    "rows": 8, "cols": 8, "train_examples": 900, "examples": 800, "response_tokens": 7000,
    "plan_valid": [0.25, 0.5], "plan_valid_low": [0.2, 0.4], "plan_valid_high": [0.3, 0.6],
    "trace_valid": [0.125, 0.0], "trace_valid_low": [0.1, 0.0], "trace_valid_high": [0.2, 0.1]})
COUPLING = pd.DataFrame({"condition": ["correct"], "seed": 1, "distribution": "dfs", "n": 8,
                         "both_valid": 4, "only_plan_valid": 1, "only_trace_valid": 1,
                         "neither_valid": 2})

TRACES = RATES.assign(trained_gap="none", answered="as it is", sure=-0.1, events=8.0,
                      events_quarter=7.0, events_three_quarters=9.0, own_events=6.0, tokens=60,
                      fifth=1)
TUNED = pd.DataFrame({"condition": "correct", "seed": 1, "step": [1, 2], "plan_valid": [0.25, 0.5],
                      "trace_valid": 0.125, "trace_published": 0.5, "no_spread": 0.5,
                      "trace_tokens": 60})

# what each draws, and some of what its words must say
DRAWN = {
    "draw_mazes": (lambda draw: draw({"a title": MAZE}), ["a title", "4×4", "(0, 1)"]),
    "draw_trace": (lambda draw: draw(MAZE, TRACE, [1, 8], PLAN),
                   ["1 and 8 of 16", "after 8: 3 cells closed, 3 open", "plan"]),
    "draw_verdict": (lambda draw: draw(MAZE, "solution plan 0 1 plan 1 1 end"),
                     ["plan breaks wall at step 1"]),
    "draw_borrowed": (lambda draw: draw(MAZE, Maze(MAZE.grid, (1, 3), (3, 1))),
                      ["4×4", "(0, 1)", "(1, 3) to (3, 1)"]),
    "draw_answers": (lambda draw: draw(MAZE, {"correct_1": "solution plan 0 1 plan 1 1 end"}),
                     ["1 model to one 4×4 maze", "correct_1, plan: wall"]),
    "draw_published": (lambda draw: draw("laptop", "wilson", 0),
                       ["models to one 8×8 maze", "correct_1, plan:", "swapped_1, plan:"]),
    "draw_properties": (lambda draw: draw(pd.DataFrame({"generator": "dfs", "path": [3, 5, 9]}),
                                          {"path": "path / moves"}), ["path in moves", "DFS 5"]),
    "draw_lengths": (lambda draw: draw(tables.token_lengths(["free_space"], 5, 5, 4,
                                                            split="test")), ["Free space 7"]),
    "draw_tree_counts": (lambda draw: draw({"wilson": np.array([7, 3])}, 4),
                         ["Wilson: 2 trees", "7 times", "n = 10"]),
    "draw_first_errors": (lambda draw: draw(pd.DataFrame({"error": ["jump", "jump", None]})),
                          ["jump: 2", "3 traces"]),
    "draw_headline": (lambda draw: draw(RATES), ["25.0 %", "swapped 50.0 %", "n = 500", "seed 1"]),
    "draw_learning_curves": (lambda draw: draw(RATES), ["correct 25.0 %", "n = 500"]),
    "draw_regime": (lambda draw: draw(RATES), ["8×8", "DFS: correct 25.0 %"]),
    "draw_convergence": (lambda draw: draw(RATES), ["900", "DFS: correct 25.0 %"]),
    "draw_steps": (lambda draw: draw(RATES.assign(objective="diffusion", order="left", steps="5"),
                                     {"left": "from the left"}, {}),
                   ["steps, 5, seed 1", "swapped from the left 50.0"]),
    "draw_loops": (lambda draw: draw(
        pd.concat([RATES[:1].assign(kind="looped", loops=loops) for loops in ("1", "all")]),
        RATES[:1].assign(expansions=8.0, length=2.5), ("correct",)),
                   ["loops, 1 and all, seed 1", "looped 1: 25.0 %", "DFS loops 2.5 to 2.5"]),
    "draw_plan_weight": (lambda draw: draw(RATES.assign(plan_weight=4.0)),
                         ["4: correct 25.0 % everywhere; swapped 50.0 % everywhere"]),
    "draw_by": (lambda draw: draw(RATES.assign(state="as it is"), "state", "asked"),
                ["Valid plans by asked, seed 1", "as it is: correct 25.0 % everywhere"]),
    "draw_shifts": (lambda draw: draw(pd.concat([RATES.assign(answered_gap=gap)
                                                 for gap in (-3, 0, 20)])),
                    ["how far the response is moved", "correct 25.0 % everywhere"]),
    "draw_given": (lambda draw: draw(RATES.assign(given="own", plan_follows_trace=0.75)),
                   ["Given own: maze correct 25.0 %", "trace correct 75.0 %"]),
    "draw_stages": (lambda draw: draw(RATES.assign(went_on="fed back", left_out=["1", "all"])),
                    ["seed 1, n = 500", "correct, fed back: 25.0"]),
    "draw_losses": (lambda draw: draw(pd.DataFrame({"step": [1, 2], "plan_loss": [2.0, 0.5],
                                                    "trace_loss": [None, None]})),
                    ["plan tokens: 0.5"]),
    "draw_rate": (lambda draw: draw(TrainingConfig(batch_size=4, learning_rate=0.03,
                                                   warmup_steps=10), 400), ["100 steps", "0.03"]),
    "draw_starts": (lambda draw: draw(CORPUS, {"correct": CORPUS.part(TRACE_PART)}),
                    ["n = 20", "correct 100.0 %"]),
    "draw_by_length": (lambda draw: draw(TRACES.assign(above=0, up_to=100), TRACES[:0]),
                       ["among valid plans, seed 1", "correct 12.5 % everywhere"]),
    "draw_places": (lambda draw: draw(TRACES.assign(place=0.5, broken_by_then=0.75)),
                    ["by half of them", "correct 75.0 %"]),
    "draw_written": (lambda draw: draw(TRACES), ["correct on DFS 8 to 8 where A* has 6 to 6"]),
    "draw_free_space": (lambda draw: draw(TRACES.assign(above=0, up_to=2, cut_off=0.5,
                                                        own_cut_off=0.0)),
                        ["no gaps in training, valid plans: correct 25.0 %"]),
    "draw_sureness": (lambda draw: draw(TRACES), ["how sure", "correct 25.0 %"]),
    "draw_along": (lambda draw: draw(TUNED), ["seed 1", "correct: valid plans 25.0 and 37.5 %"]),
    "draw_changed": (lambda draw: draw(TUNED.assign(training="grpo", weights="all", **{
        "at_all": 1.0, "above_1e-5": 0.5, "in_bfloat16": 0.25, "above_1_percent": 0.125})),
                     ["GRPO: correct at all 100.0 %", "bfloat16 25.0 %"]),
    "draw_coupling": (lambda draw: draw(COUPLING), ["both valid 50.0 %", "neither valid 25.0 %"]),
}


def draw_functions() -> dict:
    return {name: function for module in (figures, borrowed, samples, curves, charts, trends,
                                                     answers, tracecharts)
            for name, function in inspect.getmembers(module, inspect.isfunction)
            if name.startswith("draw_")}


def drawn(name: str) -> looks.Figure:
    return DRAWN[name][0](draw_functions()[name])


def test_all_figures_are_tested_here():
    assert set(draw_functions()) == set(DRAWN)


@pytest.mark.parametrize("name", DRAWN)
def test_words(name):
    figure = drawn(name)
    assert not [part for part in DRAWN[name][1] if part not in figure.alt], figure.alt
    assert figure.alt.endswith(".")
    assert "nan" not in figure.alt
    assert 30 < len(figure.alt) < 1000
    assert not any(ax.axison and ax.spines["top"].get_visible() for ax in figure.axes)  # styled


def test_words_of_tables_without_traces_or_seeds():
    without = RATES.assign(trace_valid=np.nan)
    assert "no condition with traces" in charts.draw_headline(without).alt
    assert "No condition with traces" in charts.draw_coupling(COUPLING[:0]).alt


@pytest.mark.parametrize("name", ["draw_headline", "draw_verdict"])
def test_svg_has_them_as_title_and_description(name, tmp_path):
    figure = drawn(name)
    figure.alt += " A < B & C."
    looks.write_svg(figure, tmp_path / "one.svg")
    root = ElementTree.parse(tmp_path / "one.svg").getroot()
    title, words = (root.find(f"{{http://www.w3.org/2000/svg}}{tag}").text
                    for tag in ("title", "desc"))
    assert words == figure.alt
    assert figure.alt.startswith(title)
    assert len(title) > 10


def test_notebooks_keep_them_with_the_image():
    """With the inline backend that notebooks use, and where the shell has set another one."""
    formatter = InteractiveShell.instance().display_formatter
    figure = drawn("draw_headline")
    try:
        data, metadata = formatter.format(figure)
        assert data["image/png"].startswith(b"\x89PNG")
        assert metadata["image/png"]["alt"] == figure.alt
        formatter.formatters["image/png"].for_type(pyplot.Figure, lambda figure: b"inline")
        data, metadata = formatter.format(figure)
        assert data["image/png"] == b"inline"
        assert metadata["image/png"]["alt"] == figure.alt
    finally:
        InteractiveShell.clear_instance()
