"""What can be counted in mazes, traces and verdicts: the numbers behind the first notebooks."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from scipy import ndimage

from helpers.astar import Event, solve
from helpers.conditions import CONDITIONS, Examples, put_together
from helpers.corpus import Corpus, Segments
from helpers.grids import distance
from helpers.language import Vocabulary, encode_mazes
from helpers.maze import Maze, generate
from helpers.validator import judge_responses

Cell = tuple[int, int]
Costs = tuple[int, int]  # g, h


def replay(maze: Maze, events: Iterable[Event]) -> tuple[dict[Cell, Costs], dict[Cell, Costs]]:
    """The open and the closed list after some events of a trace.

    Nothing is judged: an event of a broken trace is carried out as it stands.

    Returns:
        open list and closed list, cell → (g, h), each in the order of insertion.
    """
    (x, y), (goal_x, goal_y) = maze.start, maze.goal
    open_list = {maze.start: (0, abs(x - goal_x) + abs(y - goal_y))}
    closed = {}
    for event in events:
        cell = (event.x, event.y)
        if event.kind == "close":
            open_list.pop(cell, None)
            closed[cell] = (event.g, event.h)
        else:
            open_list[cell] = (event.g, event.h)  # an entry that is there keeps its place
    return open_list, closed


def open_list(maze: Maze, events: Iterable[Event]) -> pd.DataFrame:
    """The open list after some events, in the order of insertion, A*'s choice marked.

    Once the goal is closed the search is over, and nothing is chosen from what is left.
    """
    cells, closed = replay(maze, events)
    table = pd.DataFrame([(*cell, g, h, g + h) for cell, (g, h) in cells.items()],
                         columns=["x", "y", "g", "h", "f"])
    table["next"] = ""
    if len(table) and maze.goal not in closed:
        table.loc[table["f"].idxmin(), "next"] = "close"  # idxmin takes the first among equals
    return table


def maze_properties(generators: Sequence[str], rows: int, cols: int, count: int,
                    **settings) -> pd.DataFrame:
    """Counts in the first mazes of each generator; settings as for `maze.Sampler`.

    Returns:
        A row a maze: generator, free (cells), pieces (connected parts), loops (independent
        cycles, 0 in a tree), dead_ends (per 100 free cells), path (moves from start to goal
        on a shortest path, NaN where there is none).
    """
    parts = []
    for generator in generators:
        mazes = generate(generator, rows, cols, count, **settings)
        grids = mazes.grids.astype(bool)
        right = grids[:, :, 1:] & grids[:, :, :-1]
        down = grids[:, 1:] & grids[:, :-1]
        near = np.zeros(grids.shape, np.int64)  # free neighbours of each cell
        near[:, :, 1:] += right
        near[:, :, :-1] += right
        near[:, 1:] += down
        near[:, :-1] += down
        free = grids.sum(axis=(1, 2))
        pieces = np.array([ndimage.label(grid)[1] for grid in grids])
        edges = right.sum(axis=(1, 2)) + down.sum(axis=(1, 2))
        starts, goals = (ends.astype(np.int64) @ [1, cols] for ends in (mazes.starts, mazes.goals))
        moves = np.array([distance(*problem) for problem in zip(mazes.grids, starts, goals,
                                                               strict=True)])
        parts.append(pd.DataFrame({
            "generator": generator, "free": free, "pieces": pieces,
            "loops": edges - free + pieces,
            "dead_ends": 100 * (grids & (near == 1)).sum(axis=(1, 2)) / free,
            "path": np.where(moves < 0, np.nan, moves)}))
    return pd.concat(parts, ignore_index=True)


def tree_counts(generator: str, rows: int, cols: int, count: int, **settings) -> np.ndarray:
    """How often each spanning tree of the rooms was drawn, most frequent first.

    The two room offsets of Wilson and Kruskal count as one, so both sides must be even.
    Trees never drawn are not listed.

    Returns:
        int64 [different trees].
    """
    grids = generate(generator, rows, cols, count, **settings).grids
    rooms = [grid[:-1, :-1] if grid[0, 0] else grid[1:, 1:] for grid in grids]
    trees = np.packbits(np.reshape(rooms, (count, -1)), axis=1)
    return np.sort(np.unique(trees, axis=0, return_counts=True)[1])[::-1]


def token_lengths(generators: Sequence[str], rows: int, cols: int, count: int,
                  **settings) -> pd.DataFrame:
    """Tokens of each segment of the first examples; settings as for `maze.Sampler`.

    Returns:
        A row an example: generator, prompt (``query`` to the last wall), trace
        (``reasoning`` and its events), plan (``solution`` to ``end``), largest_cost (the
        highest g or h of the trace).
    """
    parts = []
    for generator in generators:
        tokens, bounds = encode_mazes(generate(generator, rows, cols, count, **settings))
        lengths = pd.DataFrame(np.diff(bounds), columns=["prompt", "trace", "plan"])
        highest = np.maximum.reduceat(tokens, bounds[:, 0]).astype(np.int64)
        parts.append(lengths.assign(generator=generator,
                                    largest_cost=highest - Vocabulary(rows, cols).first_cost))
    return pd.concat(parts, ignore_index=True)


def corpus_lengths(corpora: dict[str, Corpus]) -> pd.DataFrame:
    """Tokens of prompt, trace and plan of every example, for `samples.draw_lengths`."""
    return pd.concat([pd.DataFrame(corpus.lengths(), columns=["prompt", "trace", "plan"])
                      .assign(generator=name) for name, corpus in corpora.items()],
                     ignore_index=True)


def length_summary(lengths: pd.DataFrame) -> pd.DataFrame:
    """Mean, 95th percentile and largest number of tokens by generator and segment.

    Args:
        lengths: as from `token_lengths`.
    """
    groups = lengths.groupby("generator", sort=False)[["prompt", "trace", "plan"]]
    summary = pd.concat({"mean": groups.mean(), "95 %": groups.quantile(0.95),
                         "max": groups.max()}, axis=1)
    return summary.swaplevel(axis=1)[["prompt", "trace", "plan"]].round().astype(int)


def created_twice(generators: Sequence[str], rows: int, cols: int, count: int,
                  **settings) -> pd.Series:
    """How many of each generator's first traces create some cell more than once."""

    def repeats(maze: Maze) -> bool:
        cells = [(event.x, event.y) for event in solve(maze).trace if event.kind == "create"]
        return len(set(cells)) < len(cells)

    counts = {}
    for generator in generators:
        mazes = generate(generator, rows, cols, count, **settings)
        counts[generator] = sum(repeats(mazes.maze(i)) for i in range(count))
    return pd.Series(counts)


def example_text(vocabulary: Vocabulary, examples: Examples, index: int) -> str:
    """One training example as text."""
    parts = (examples.prompts, examples.traces, examples.plans)
    return vocabulary.decode(np.concatenate([part.piece(index) for part in parts]))


def response_text(plan: Sequence[Cell], trace: Sequence[Event | str] | None = None) -> str:
    """A response as text, from ``reasoning`` (or ``solution`` without a trace) to ``end``."""
    reasoning = [] if trace is None else ["reasoning", *map(str, trace)]
    return " ".join([*reasoning, "solution", *(f"plan {x} {y}" for x, y in plan), "end"])


def judge_condition(corpus: Corpus, condition: str, seed: int) -> pd.DataFrame:
    """The verdicts on a corpus's own examples, put together under a condition.

    Returns:
        A row an example, columns as of `validator.judge_responses`.
    """
    known = CONDITIONS[condition]
    examples = put_together(corpus, known, seed)
    traces, plans = examples.traces, examples.plans
    responses = [np.concatenate([traces.piece(i), plans.piece(i)])[1:] for i in range(len(corpus))]
    return pd.DataFrame(judge_responses(corpus.mazes, responses, known.opening))


def borrowed_facts(corpus: Corpus, traces: Segments) -> pd.DataFrame:
    """How much of each example's trace holds for its own maze, rule by rule put aside.

    Returns:
        A row an example: events, free (share of events that name a free cell of this maze),
        right_h (share whose h is the Manhattan distance to this maze's goal).
    """
    rows = []
    for i in range(len(corpus)):
        events = corpus.vocabulary.events(traces.piece(i)[1:])
        _, x, y, _, h = zip(*events, strict=True)
        x, y = np.array(x), np.array(y)
        goal_x, goal_y = corpus.mazes.goals[i]
        rows.append((len(events), corpus.mazes.grids[i][y, x].mean(),
                     (np.abs(x - goal_x) + np.abs(y - goal_y) == h).mean()))
    return pd.DataFrame(rows, columns=["events", "free", "right_h"])
