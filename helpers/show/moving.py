"""The README's moving picture, two answers written event by event: ``make figures`` writes it.

Both models answered the same test maze of the laptop study, and their answers are the published
ones (`helpers.show.answers`): one wrote a run of A* on this maze, the other one that makes no sense
here, and both plans are valid.
"""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from PIL import Image

from helpers.engine.files import PROJECT, atomic
from helpers.maze import Maze
from helpers.rules import plan_break, read_events, sections, trace_breaks
from helpers.show.answers import published_answers, text_of
from helpers.show.figures import CLOSED, OPEN, WALLED, end_handles, put_ends, put_moment, put_plan
from helpers.show.looks import (
    FAINT,
    VERMILION,
    Figure,
    look_of_condition,
    new_figure,
    png,
    styled,
)
from helpers.study.specs import ModelSpec

SCALE, DISTRIBUTION, INDEX, MODELS = "laptop", "wilson", 907, ("correct_1", "swapped_1")
SIZE, DPI = (8.6, 6.3), 84
COLOURS = 32  # of the picture's palette
STEP, LAST = 350, 5000  # milliseconds that a frame stands, and the last one


def frames(maze: Maze, answers: dict[str, str]) -> list[Figure]:
    """The answers to a maze after each event, the shorter one waiting for the longer.

    Args:
        maze: that was asked.
        answers: text from ``reasoning`` on, by the name of the model, as `ModelSpec.name` has it.

    Returns:
        A figure for each number of events from 0 up; in the last the plans are drawn as well.
    """
    found = [draw_moments(maze, answers, moment) for moment in range(_longest(answers) + 2)]
    found[-1].draw_without_rendering()  # lays it out; all others stand where it stands
    places = [ax.get_position(original=True) for ax in found[-1].axes]
    for figure in found:
        figure.set_layout_engine("none")
        for ax, place in zip(figure.axes, places, strict=True):
            ax.set_position(place)
    return found


@styled
def draw_moments(maze: Maze, answers: dict[str, str], moment: int) -> Figure:
    """What the answers had written after some events, side by side, one more than all for plans."""
    figure, (axes,) = new_figure(1, len(answers), SIZE)
    longest = _longest(answers)
    said = [_draw(ax, maze, name, text, moment, longest)
            for ax, (name, text) in zip(axes, answers.items(), strict=True)]
    figure.legend(handles=[
        *end_handles(),
        Line2D([], [], color=VERMILION, lw=3, label="plan"),
        Patch(facecolor=OPEN, edgecolor=FAINT, label="created"),
        Patch(facecolor=CLOSED, edgecolor=FAINT, label="closed"),
        Patch(facecolor=CLOSED, edgecolor=WALLED, lw=0, hatch="////", label="a wall here"),
        Line2D([], [], color=VERMILION, marker="x", ms=11, mew=3.5, ls="",
               label="first broken rule")],
        loc="outside lower center", ncols=4)
    figure.alt = (f"Two models answer the same {maze.rows}×{maze.cols} maze, event by event. "
                  + " ".join(said))
    return figure


def _longest(answers: dict[str, str]) -> int:
    """The number of events of the longest trace."""
    return max(len(read_events(sections(text)[0])[0]) for text in answers.values())


def _draw(ax: Axes, maze: Maze, name: str, text: str, moment: int, longest: int) -> str:
    """One answer so far. Returns in a sentence what becomes of it."""
    trace, plan, ended = sections(text)
    events, _ = read_events(trace)
    hard = next((one for one in trace_breaks(maze, trace) if not one.strict), None)
    steps = [tuple(map(int, step)) for step in np.array(plan).reshape(-1, 3)[:, 1:]]
    plan_valid = plan_break(maze, plan, ended) is None
    put_moment(ax, maze, events[:moment], None, 4.0 / max(maze.rows, maze.cols))
    if moment > len(events):
        written = f"all {len(events)} events written"
    else:
        written = f"event {moment - 1}: {events[moment - 1]}" if moment else "no event yet"
    if moment > longest:
        put_plan(ax, steps)
        written = f"plan: {'valid' if plan_valid else 'not valid'}"
    put_ends(ax, maze)
    verdict = "trace: no rule broken" + (" so far" if moment < len(events) else "")
    if hard is not None and moment > min(hard.at, len(events) - 1):
        verdict = f"trace breaks {hard.rule}, event {hard.at}"
        if hard.at < len(events):
            ax.plot(events[hard.at].x, events[hard.at].y, marker="x", ms=18, mew=4.5,
                    color=VERMILION, zorder=7)
    condition = ModelSpec.parse(name).condition
    ax.set_title(f"{condition}\n{written}\n{verdict}", fontsize=12,
                 color=look_of_condition(condition).colour)
    told = "breaks no rule" if hard is None else f"breaks {hard.rule} at event {hard.at}"
    return (f"{condition}: its trace of {len(events)} events {told}, its plan of {len(steps)} "
            f"steps is {'valid' if plan_valid else 'not valid'}.")


def gif(figures: Sequence[Figure]) -> bytes:
    """Figures of one size as a moving picture that repeats, the same bytes for the same figures."""
    pictures = [Image.open(BytesIO(png(figure, dpi=DPI))).convert("RGB") for figure in figures]
    palette = pictures[-1].quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE)
    first, *others = [picture.quantize(palette=palette, dither=Image.Dither.NONE)
                      for picture in pictures]
    buffer = BytesIO()
    first.save(buffer, "gif", save_all=True, append_images=others, loop=0, optimize=True,
               duration=[STEP] * len(others) + [LAST])
    return buffer.getvalue()


def chosen() -> tuple[Maze, dict[str, str]]:
    """The maze and the answers of the README's picture."""
    stored = published_answers(SCALE, DISTRIBUTION)
    return (stored[MODELS[0]].corpus.mazes.maze(INDEX),
            {name: text_of(stored[name], INDEX) for name in MODELS})


def write(folder: Path) -> list[Path]:
    """Writes ``answers.gif`` and, as text, what it shows."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = frames(*chosen())
    picture, words = folder / "answers.gif", folder / "answers.txt"
    with atomic(picture, "wb") as file:
        file.write(gif(figures))
    with atomic(words, "w") as file:
        file.write(figures[-1].alt + "\n")
    return [picture, words]


if __name__ == "__main__":
    for path in write(PROJECT / "docs" / "images"):
        print(path.relative_to(PROJECT))
