"""The language of the study: one example as text, as token ids, as events.

An example is one line of words joined by single spaces,

    query start X Y goal X Y {wall X Y}* reasoning {close|create X Y cG cH}*
    solution {plan X Y}* end

and falls into three segments: the prompt (``query`` to the last wall), the trace
(``reasoning`` and its events) and the plan (``solution`` to ``end``). The vocabulary
follows from the grid size alone, never from data: 4 specials, 10 words, the coordinates
and one cost for every g a path can have, 944 in all at 30×30.
"""

import json
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numba import njit

from helpers.astar import CLOSE, KINDS, Event, search
from helpers.maze import Maze, Mazes

SPECIALS = ("<pad>", "<bos>", "<eos>", "<unk>")
WORDS = ("query", "start", "goal", "wall", "reasoning", "create", "close", "solution", "plan",
         "end")
PAD, UNKNOWN = 0, 3
QUERY, START, GOAL, WALL, REASONING, CREATE_WORD, CLOSE_WORD, SOLUTION, PLAN, END = range(4, 14)
FIRST_COORDINATE = 14
CELLS = 900_000  # of the mazes that are solved and written at once
EVENT = 5  # tokens of one event: its word, x, y, g and h


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of one grid size: specials, words, coordinates, costs, in this order."""

    rows: int
    cols: int

    @property
    def first_cost(self) -> int:
        return FIRST_COORDINATE + max(self.rows, self.cols)

    @property
    def size(self) -> int:
        return self.first_cost + self.rows * self.cols

    @cached_property
    def tokens(self) -> tuple[str, ...]:
        """Token strings by id."""
        coordinates = (str(i) for i in range(max(self.rows, self.cols)))
        costs = (f"c{i}" for i in range(self.rows * self.cols))
        return (*SPECIALS, *WORDS, *coordinates, *costs)

    @cached_property
    def ids(self) -> dict[str, int]:
        return {token: i for i, token in enumerate(self.tokens)}

    def encode(self, text: str) -> np.ndarray:
        """Words to ids, ``uint16 [n]``.

        Raises:
            ValueError: a word this grid size does not have.
        """
        try:
            return np.array([self.ids[word] for word in text.split()], np.uint16)
        except KeyError as error:
            raise ValueError(f"word: got {error.args[0]!r}, takes the {self.size} tokens of a "
                             f"{self.rows}x{self.cols} grid") from None

    def decode(self, ids: np.ndarray) -> str:
        """Ids (integers ``[n]``) to words joined by single spaces."""
        return " ".join(self.tokens[i] for i in np.asarray(ids).tolist())

    def events(self, ids: np.ndarray) -> list[Event]:
        """The events of a well-formed trace (ids of whole groups of five, no ``reasoning``)."""
        groups = np.asarray(ids, np.int64).reshape(-1, 5)
        return [Event(KINDS[kind == CLOSE_WORD], x - FIRST_COORDINATE, y - FIRST_COORDINATE,
                      g - self.first_cost, h - self.first_cost)
                for kind, x, y, g, h in groups.tolist()]

    def event_ids(self, trace: list[Event]) -> np.ndarray:
        """The inverse of `events`, ``uint16 [5 · events]``."""
        return self.encode(" ".join(map(str, trace)))

    def prompt_ids(self, maze: Maze) -> np.ndarray:
        """The prompt segment of a maze, ``query`` to the last wall, ``uint16 [n]``."""
        out = np.empty(7 + 3 * maze.grid.size, np.uint16)
        return out[:_write_prompt(maze.grid, *maze.start, *maze.goal, out, 0)]

    def worst_case(self) -> int:
        """More tokens than any example of this size has."""
        cells = self.rows * self.cols
        return 9 + 3 * cells + 5 * 5 * cells + 3 * (cells + 2)


def at_once(rows: int, cols: int) -> int:
    """How many mazes are in memory with all their words: 1000 at 30x30."""
    return max(1, CELLS // (rows * cols))


def encode_mazes(mazes: Mazes, chunk: int = 256) -> tuple[np.ndarray, np.ndarray]:
    """Solves mazes and writes them as ids.

    Args:
        mazes: n mazes of one size.
        chunk: how many are written between two growths of the result.

    Returns:
        tokens, ``uint16 [total]``, all examples one after the other, and bounds,
        ``int64 [n, 4]``: where prompt, trace and plan begin and where the plan ends.
    """
    n, rows, cols = mazes.grids.shape
    vocabulary = Vocabulary(rows, cols)
    buffer = np.empty(chunk * vocabulary.worst_case(), np.uint16)
    bounds = np.empty((n, 4), np.int64)
    parts, total = [np.empty(0, np.uint16)], 0
    for i in range(0, n, chunk):
        part = slice(i, min(i + chunk, n))
        length = _encode_many(mazes.grids[part], mazes.starts[part], mazes.goals[part],
                              vocabulary.first_cost, buffer, bounds[part])
        bounds[part] += total
        parts.append(buffer[:length].copy())
        total += length
    return np.concatenate(parts), bounds


@njit(cache=True)
def _write_prompt(grid, sx, sy, gx, gy, out, n):
    rows, cols = grid.shape
    for token in (QUERY, START, FIRST_COORDINATE + sx, FIRST_COORDINATE + sy,
                  GOAL, FIRST_COORDINATE + gx, FIRST_COORDINATE + gy):
        out[n] = token
        n += 1
    for y in range(rows):
        for x in range(cols):
            if not grid[y, x]:
                out[n], out[n + 1], out[n + 2] = WALL, FIRST_COORDINATE + x, FIRST_COORDINATE + y
                n += 3
    return n


@njit(cache=True)
def _encode_many(grids, starts, goals, first_cost, out, bounds):
    cells = grids.shape[1] * grids.shape[2]
    events = np.empty((5 * cells, 5), np.int32)
    plan = np.empty((cells + 2, 2), np.int32)
    n = 0
    for i in range(grids.shape[0]):
        sx, sy = np.int64(starts[i, 0]), np.int64(starts[i, 1])
        gx, gy = np.int64(goals[i, 0]), np.int64(goals[i, 1])
        n_events, n_plan = search(grids[i], sx, sy, gx, gy, events, plan)
        bounds[i, 0] = n
        n = _write_prompt(grids[i], sx, sy, gx, gy, out, n)
        bounds[i, 1] = n
        out[n] = REASONING
        n += 1
        for j in range(n_events):
            event = events[j]
            out[n] = CLOSE_WORD if event[0] == CLOSE else CREATE_WORD
            out[n + 1], out[n + 2] = FIRST_COORDINATE + event[1], FIRST_COORDINATE + event[2]
            out[n + 3], out[n + 4] = first_cost + event[3], first_cost + event[4]
            n += 5
        bounds[i, 2] = n
        out[n] = SOLUTION
        n += 1
        for j in range(n_plan):
            out[n] = PLAN
            out[n + 1], out[n + 2] = FIRST_COORDINATE + plan[j, 0], FIRST_COORDINATE + plan[j, 1]
            n += 3
        out[n] = END
        n += 1
        bounds[i, 3] = n
    return n


# ── text at speed ───────────────────────────────────────────────────────────────────────


def jsonl(vocabulary: Vocabulary, tokens: np.ndarray, bounds: np.ndarray) -> bytes:
    """Examples as the published JSONL: ``{"text":"…"}`` and a newline each.

    Args:
        tokens: uint16 [total].
        bounds: int64 [n, 4] as from `encode_mazes`.
    """
    words = [word.encode() for word in vocabulary.tokens]
    lengths = np.array([len(word) for word in words], np.int64)
    letters = np.zeros((len(words), lengths.max()), np.uint8)
    for i, word in enumerate(words):
        letters[i, :len(word)] = np.frombuffer(word, np.uint8)
    spans = bounds[:, [0, 3]]
    size = int((lengths + 1)[tokens[spans[0, 0]:spans[-1, 1]]].sum()) if len(spans) else 0
    out = np.empty(size + 12 * len(spans), np.uint8)
    return out[:_write_text(tokens, spans, letters, lengths, out)].tobytes()


@njit(cache=True)
def _write_text(tokens, spans, letters, lengths, out):
    n = 0
    for i in range(spans.shape[0]):
        for letter in b'{"text":"':
            out[n] = letter
            n += 1
        for j in range(spans[i, 0], spans[i, 1]):
            token = tokens[j]
            for k in range(lengths[token]):
                out[n] = letters[token, k]
                n += 1
            out[n] = 32
            n += 1
        n -= 1  # no space after the last word
        for letter in b'"}\n':
            out[n] = letter
            n += 1
    return n


def read_jsonl_text(line: str | bytes) -> str:
    """The text of one JSONL line.

    Raises:
        ValueError: not JSON, or no string under ``text``.
    """
    try:
        text = json.loads(line)["text"]
    except (ValueError, TypeError, KeyError, RecursionError):
        text = None
    if not isinstance(text, str):
        raise ValueError('got no JSON object with a string under "text"')
    return text
