"""Ways of asking a model that stand for themselves: positions, and the traces that it is given.

A trace that is given may be that of A*, one that is changed in a single respect, or one that a
model has written. Where a maze does not allow a change its trace stays as it is, and the answer
behind it says nothing (`CHANGED`). What is random follows from the seed and the maze's place.
"""

from collections.abc import Callable, Iterator

import numpy as np

from helpers.conditions import lenders
from helpers.corpus import PLAN_PART, PROMPT_PART, Corpus
from helpers.engine.registry import Registry
from helpers.language import EVENT, FIRST_COORDINATE, UNKNOWN, encode_mazes
from helpers.maze import FREE, WALL, Mazes
from helpers.ownmazes import solvable
from helpers.responses import other_traces, realigned, true_traces, written_traces

TRIED = 64  # cells of a maze that are changed, one at a time, until one does


# ── shorter, of others, or without meaning ──────────────────────────────────────────────


def half_traces(corpus: Corpus) -> list[np.ndarray]:
    """The first half of each maze's own trace, whole events."""
    return [own[:len(own) // EVENT // 2 * EVENT] for own in true_traces(corpus)]


def empty_traces(corpus: Corpus) -> list[np.ndarray]:
    """No event at all."""
    return [own[:0] for own in true_traces(corpus)]


def fillers(corpus: Corpus) -> list[np.ndarray]:
    """As many tokens without meaning as each maze's own trace has, so that plans stay in place."""
    return [np.full_like(own, UNKNOWN) for own in true_traces(corpus)]


def matched_traces(corpus: Corpus) -> list[np.ndarray]:
    """The trace of another maze that is just as long, so that plans stay in place.

    The next of the corpus; where no other is as long there is none.
    """
    own, alike = true_traces(corpus), {}
    for i, trace in enumerate(own):
        alike.setdefault(len(trace), []).append(i)
    lender = {i: other for same in alike.values()
              for i, other in zip(same, same[1:] + same[:1], strict=True)}
    return [own[lender[i]] for i in range(len(own))]


def other_prompts(corpus: Corpus) -> list[np.ndarray]:
    """The prompt of another maze of the corpus."""
    part = corpus.part(PROMPT_PART)
    return [part.piece(i) for i in lenders(corpus, 0)]


# ── leading elsewhere ───────────────────────────────────────────────────────────────────


def renamed_cells(corpus: Corpus, seed: int = 0) -> list[np.ndarray]:
    """Each maze's own trace, in which one cell of the way has another's name wherever it stands.

    The cell lies between start and goal; its new name is that of a cell of which the trace does
    not speak. So the length stays, and the trace leads over the wrong cell.
    """
    found = []
    for i, own in enumerate(true_traces(corpus)):
        rng = np.random.default_rng([seed, i])
        events, way = own.reshape(-1, EVENT).copy(), _way(corpus, i)[1:-1]
        cells = FIRST_COORDINATE + np.argwhere(np.ones_like(corpus.mazes.grids[i]))[:, ::-1]
        named = (cells[:, None] == events[None, :, 1:3]).all(-1).any(1)
        if len(way) and not named.all():
            old, new = FIRST_COORDINATE + rng.choice(way), rng.choice(cells[~named])
            events[(events[:, 1:3] == old).all(1), 1:3] = new
        found.append(events.ravel())
    return found


def detours(corpus: Corpus, seed: int = 0) -> list[np.ndarray]:
    """A*'s trace of each maze with one cell of its way walled up: another way, valid too.

    In a maze without loops there is none.
    """
    return [_first(own, _rebuilt(corpus, i, seed, WALL))
            for i, own in enumerate(true_traces(corpus))]


def shortcuts(corpus: Corpus, seed: int = 0) -> list[np.ndarray]:
    """A*'s trace of each maze with one of its walls opened, through which it leads."""
    return [_first(own, _rebuilt(corpus, i, seed, FREE))
            for i, own in enumerate(true_traces(corpus))]


def _rebuilt(corpus: Corpus, i: int, seed: int, becomes: int) -> Iterator[np.ndarray]:
    """Traces of a maze with one cell changed, in random order: ways around it, or through it."""
    grid = corpus.mazes.grids[i]
    cells = _way(corpus, i)[1:-1] if becomes == WALL else np.argwhere(grid == WALL)[:, ::-1]
    cells = np.random.default_rng([seed, i]).permutation(cells)[:TRIED]
    if not len(cells):
        return
    grids = np.repeat(grid[None], len(cells), 0)
    grids[np.arange(len(cells)), cells[:, 1], cells[:, 0]] = becomes
    mazes = Mazes(grids, *(np.repeat(ends[i][None], len(cells), 0)
                           for ends in (corpus.mazes.starts, corpus.mazes.goals)))
    rebuilt = Corpus(corpus.recipe, *encode_mazes(mazes, len(cells)), mazes)
    traces, ways = true_traces(rebuilt), solvable(mazes)
    for j, cell in enumerate(cells):
        if ways[j] and (becomes == WALL or (_way(rebuilt, j) == cell).all(1).any()):
            yield traces[j]


def _first(own: np.ndarray, others: Iterator[np.ndarray]) -> np.ndarray:
    return next(others, own)


def _way(corpus: Corpus, i: int) -> np.ndarray:
    """The cells x, y of A*'s plan, int64 [steps, 2]."""
    steps = corpus.segment(i, PLAN_PART)[1:-1].reshape(-1, 3)[:, 1:].astype(np.int64)
    return steps - FIRST_COORDINATE


# ── all ─────────────────────────────────────────────────────────────────────────────────

# under `gap` realigned, under `latents` another, else under `given`; `own` and `sampled` are what
# the model has written
ASKING: dict[str, Callable] = Registry(
    realigned=realigned, another=other_prompts, true=true_traces, other=other_traces,
    own=written_traces, sampled=written_traces, renamed=renamed_cells, detour=detours,
    wall=shortcuts, half=half_traces, empty=empty_traces, filler=fillers, matched=matched_traces)

CHANGED = ("matched", "renamed", "detour", "wall")  # which not every maze allows
