"""Published answers: read, chosen and drawn as what they are."""

from io import BytesIO

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image
from studies import SMOKE

from helpers import evaluation
from helpers.conditions import CONDITIONS
from helpers.engine.files import PROJECT
from helpers.maze import Maze
from helpers.rules import judge_reference
from helpers.show import moving
from helpers.show.answers import draw_answers, find, published_answers, text_of
from helpers.show.looks import png

MAZE = Maze.from_ascii("S.#", "#..", "..G")
PLAN = "solution plan 0 0 plan 1 0 plan 1 1 plan 2 1 plan 2 2 end"


@pytest.fixture(scope="module")
def stored():
    return published_answers("smoke", "wilson")


def test_every_model_has_answered(stored):
    assert list(stored) == [f"{name}_1" for name in SMOKE.conditions]
    assert {len(one.responses) for one in stored.values()} == {40}
    assert published_answers("smoke", "nothing") == {}
    assert list(published_answers("laptop", "wilson", "gap=random")) == [
        f"{name}+gap=random_1" for name in SMOKE.conditions]
    assert list(published_answers("laptop", "wilson", seed=2)) == [
        f"{name}_2" for name in SMOKE.conditions]


def test_find_is_what_the_validator_says(stored):
    for one in stored.values():
        rows = evaluation.judge(one.corpus, one.about["condition"], one.responses)
        found = find(one, plan_valid=True)
        assert np.array_equal(found, np.flatnonzero(rows["plan_valid"]))
        for i in found:
            assert judge_reference(one.corpus.mazes.maze(i), text_of(one, i)).plan.valid
    without = stored["solution_only_1"]  # nothing is said of traces it does not write
    assert not len(find(without, trace_valid=False))
    traced = stored["correct_1"]
    assert len(find(traced, trace_valid=False)) + len(find(traced, trace_valid=True)) == 40


def test_draw_answers():
    figure = draw_answers(MAZE, {
        "solution_only_1": PLAN, "swapped+gap=random_2": f"reasoning close 1 0 c0 c3 {PLAN}",
        "correct_1": "reasoning close 0 0 c0 c4 create 2 0 c1 c2 solution plan 0 0 plan 2 0 end"})
    titles = [ax.get_title() for ax in figure.axes]
    assert titles == ["solution_only_1\nplan: valid",
                      "swapped+gap=random_2\nplan: valid\ntrace: not_in_open, event 0",
                      "correct_1\nplan: wall\ntrace: invalid_neighbor, event 1"]
    assert [ax.title.get_color() for ax in figure.axes] == [
        CONDITIONS[name].colour for name in ("solution_only", "swapped", "correct")]
    numbers = [[text.get_text() for text in ax.texts if text.get_text().isdigit()]
               for ax in figure.axes]
    assert numbers == [[], ["1"], ["1"]]
    lines = [[line.get_xdata()[-1] for line in ax.lines if len(line.get_xdata()) > 1][:1]
             for ax in figure.axes]
    assert lines == [[2], [2], [2]]
    assert png(figure).startswith(b"\x89PNG")
    assert not plt.get_fignums()


@pytest.mark.parametrize("answer", [
    "", "end", "solution", "reasoning create 0", "solution plan a b",
    "reasoning close 99 99 c0 c0 solution plan 99 0 end",
    "reasoning close {} 0 c0 c0 solution plan 0 {} end"])
def test_draw_answers_that_are_none(answer):
    png(draw_answers(MAZE, {"correct_1": answer.replace("{}", "9" * 5000)}))


# ── the moving picture ──────────────────────────────────────────────────────────────────

WRITTEN = {"correct_1": f"reasoning close 0 0 c0 c4 create 1 0 c1 c3 {PLAN}",
           "swapped_1": "reasoning close 1 0 c0 c3 solution plan 0 0 plan 0 1 end"}


def test_answers_event_by_event():
    figures = moving.frames(MAZE, WRITTEN)
    titles = [[ax.get_title().split("\n")[1:] for ax in figure.axes] for figure in figures]
    broken = "trace breaks not_in_open, event 0"
    assert titles == [
        [["no event yet", "trace: no rule broken so far"]] * 2,
        [["event 0: close 0 0 c0 c4", "trace: no rule broken so far"],
         ["event 0: close 1 0 c0 c3", broken]],
        [["event 1: create 1 0 c1 c3", "trace breaks goal_not_reached, event 2"],
         ["all 1 events written", broken]],
        [["plan: valid", "trace breaks goal_not_reached, event 2"],
         ["plan: not valid", broken]]]
    crosses = [[tuple(line.get_xydata()[0]) for line in figure.axes[1].lines
                if line.get_marker() == "x"] for figure in figures]
    assert crosses == [[], [(1, 0)], [(1, 0)], [(1, 0)]]
    picture = moving.gif(figures[:2])
    assert picture == moving.gif(moving.frames(MAZE, WRITTEN)[:2])
    assert Image.open(BytesIO(picture)).n_frames == 2
    assert not plt.get_fignums()


def test_the_moving_picture_is_that_of_the_published_answers():
    folder = PROJECT / "docs" / "images"
    maze, answers = moving.chosen()
    assert moving.draw_moments(maze, answers, 0).alt == (folder / "answers.txt").read_text().strip()
    assert (folder / "answers.gif").stat().st_size < 250_000
