"""A verdict for people: which rule was broken, where, what it asks for, and a picture of it."""

import re

from helpers.maze import Maze
from helpers.rules import (
    Break,
    grouped,
    judge_reference,
    number,
    plan_break,
    read_events,
    sections,
    trace_breaks,
)


def explain(maze: Maze, response: str) -> str:
    """The verdict on a response for people: what was broken and where, what the rule asks
    for, and a picture of that moment.

    >>> print(explain(Maze.from_ascii("S#.", "..G", "#.."), "solution plan 0 0 plan 1 0 end"))
    plan: step 1, "plan 1 0", breaks wall: expected a free cell
    S!.
    ..G
    #..
    S start, G goal, # wall, * steps before, ! here
    """
    trace, plan, ended = sections(response)
    verdict = judge_reference(maze, response)
    lines = []
    if broken := plan_break(maze, plan, ended):
        groups = grouped(plan or [], 3)
        steps = [_cell(group) for group in groups[:broken.at]]
        lines += _scene(maze, "plan: step", groups, broken, {"*": steps})
    else:
        lines += [f"plan: valid, {'' if verdict.plan.optimal else 'not '}optimal"]
    if trace is not None:
        breaks = list(trace_breaks(maze, trace))
        for broken in breaks[:1] + [b for b in breaks[1:] if not b.strict]:
            start = "trace (strict rules): event" if broken.strict else "trace: event"
            lines += _scene(maze, start, grouped(trace, 5), broken,
                            {"o": broken.open_cells, "x": broken.closed_cells})
        if verdict.trace.valid:
            lines += ["trace: valid" + ", strict" * verdict.trace.strict
                      + ", exact" * verdict.trace.exact]
    return "\n".join(lines)


def picture(maze: Maze, response: str) -> str:
    """The maze with what a response says about it, right or wrong.

    >>> print(picture(Maze.from_ascii("S..", "#..", "..G"), "solution plan 0 0 plan 1 0 end"))
    S*.
    #..
    ..G
    S start, G goal, # wall, * plan
    """
    trace, plan, _ = sections(response)
    events, _ = read_events(trace or [])
    closed = [(event.x, event.y) for event in events if event.kind == "close"]
    cells = dict.fromkeys(closed, "x") | dict.fromkeys(map(_cell, grouped(plan or [], 3)), "*")
    for cell in (maze.start, maze.goal, None):  # None: a malformed step
        cells.pop(cell, None)
    legend = "S start, G goal, # wall, * plan" + ", x closed by the trace" * bool(closed)
    return f"{maze.ascii(cells)}\n{legend}"


def _scene(maze: Maze, start: str, groups: list[str], broken: Break,
           marks: dict[str, list]) -> list[str]:
    """The broken rule in a line, and the maze with cells marked and the broken one as !."""
    if broken.at is None:
        return [f"{start.split(':')[0]}: breaks {broken.rule}: expected {broken.expected}"]
    group = groups[broken.at] if broken.at < len(groups) else ""
    cells = {cell: mark for mark, marked in marks.items() for cell in marked
             if cell not in (maze.start, maze.goal)}
    if here := _cell(group):
        cells[here] = "!"
    names = {"*": "* steps before", "o": "o open", "x": "x closed"}
    what = f'"{group}"' if group else "the end"
    return [f"{start} {broken.at}, {what}, breaks {broken.rule}: expected {broken.expected}",
            maze.ascii(cells),
            ", ".join(["S start, G goal, # wall", *(names[mark] for mark in marks), "! here"])]


def _cell(group: str) -> tuple[int, int] | None:
    """The cell that a step or an event names, None where it is malformed."""
    match = re.match(r"(?:plan|create|close) ([0-9]+) ([0-9]+)(?: |$)", group)
    return (number(match[1]), number(match[2])) if match else None
