"""What trained models answered, as pictures: published answers read, chosen and drawn."""

from pathlib import Path

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from helpers.conditions import CONDITIONS
from helpers.engine.files import PROJECT
from helpers.evaluation import judge
from helpers.maze import Maze
from helpers.rules import plan_break, read_events, sections, trace_breaks
from helpers.share.box import ResponsesError, Stored, read_responses
from helpers.show.figures import (
    CLOSED,
    OPEN,
    WALLED,
    end_handles,
    plan_until,
    put_cells,
    put_ends,
    put_order,
    put_plan,
)
from helpers.show.looks import (
    FAINT,
    VERMILION,
    Figure,
    look_of_condition,
    new_figure,
    nothing,
    styled,
)
from helpers.show.words import model_place
from helpers.study.specs import ModelSpec


def published_answers(scale: str, distribution: str, variation: str = "", seed: int = 1,
                      results: Path = PROJECT / "results") -> dict[str, Stored]:
    """The published answers to the test mazes of a distribution, by model.

    Args:
        variation: of the models, such as ``gap=random``; as the scale says if empty.
        seed: theirs.

    Raises:
        ResponsesError: a file is damaged, or its mazes are others now.
    """
    files = (results / scale / "responses").glob(f"*/{distribution}.jsonl.gz")
    models = {ModelSpec.parse(file.parent.name): file for file in files}
    return {model.name: read_responses(models[model])
            for model in sorted(models, key=model_place)
            if (model.variation_text, model.seed) == (variation, seed)}


def text_of(stored: Stored, index: int) -> str:
    """One answer, opening word included, as `validator.explain` reads it."""
    words = stored.corpus.vocabulary
    opening = words.tokens[CONDITIONS[stored.about["condition"]].opening]
    return f"{opening} {words.decode(stored.responses[index])}"


def find(stored: Stored, **wanted: bool) -> np.ndarray:
    """The answers with these verdicts, such as ``plan_valid=True, trace_valid=False``; int64."""
    rows = judge(stored.corpus, stored.about["condition"], stored.responses)
    found = np.logical_and.reduce([(rows[name] == value).fillna(False).to_numpy(bool)
                                   for name, value in wanted.items()])
    return np.flatnonzero(found)


def draw_published(scale: str, distribution: str, index: int) -> Figure:
    """What the published models of a scale answered to one of its test mazes.

    An empty figure where no answers are published, or where they cannot be read any more.
    """
    try:
        found = published_answers(scale, distribution)
    except ResponsesError:
        found = {}
    if not found:
        figure, ((ax,),) = new_figure(1, 1, (6, 2))
        nothing(ax)
        return figure
    maze = next(iter(found.values())).corpus.mazes.maze(index)
    return draw_answers(maze, {name: text_of(stored, index) for name, stored in found.items()})


@styled
def draw_answers(maze: Maze, answers: dict[str, str]) -> Figure:
    """Answers of several models to one maze, side by side, each with its verdicts.

    A trace is shown by the cells it closes, numbered in that order, whether that makes sense
    here or not; a plan as a line, up to the first step that breaks a rule.

    Args:
        maze: that was asked.
        answers: text from ``reasoning`` or ``solution`` on, by the name of the model, as
            `ModelSpec.name` has it.
    """
    figure, (axes,) = new_figure(1, len(answers), (4.7 * len(answers), 5.9))
    said = []
    for ax, (name, answer) in zip(axes, answers.items(), strict=True):
        trace, plan, ended = sections(answer)
        events, _ = read_events(trace or [])
        if trace is None:
            put_cells(ax, maze)
        else:
            put_order(ax, maze, maze, events)
        broken = plan_break(maze, plan, ended)
        put_plan(ax, plan_until(plan, broken))
        put_ends(ax, maze)
        verdicts = [f"plan: {'valid' if broken is None else broken.rule}"]
        if trace is not None:
            hard = next((one for one in trace_breaks(maze, trace) if not one.strict), None)
            verdicts.append("trace: valid" if hard is None else
                            f"trace: {hard.rule}, event {hard.at}")
        ax.set_title("\n".join([name, *verdicts]), fontsize=12,
                     color=look_of_condition(ModelSpec.parse(name).condition).colour)
        said.append(f"{name}, {', '.join(verdicts)}")
    figure.legend(handles=[
        *end_handles(),
        Patch(facecolor=CLOSED, edgecolor=FAINT, label="1 2 3 …  closed by the trace"),
        Patch(facecolor=OPEN, edgecolor=FAINT, label="created, not closed"),
        Patch(facecolor=CLOSED, edgecolor=WALLED, lw=0, hatch="////", label="closed, but a wall"),
        Line2D([], [], color=VERMILION, lw=3, label="plan")],
        loc="outside lower center", ncols=3)
    figure.alt = (f"Answers of {len(answers)} model{'s' * (len(answers) > 1)} to one "
                  f"{maze.rows}×{maze.cols} maze. {'; '.join(said)}.")
    return figure
