"""Verdicts on responses, fast: is the plan valid, is the trace a run of A* on this maze?

The rules, in Python and with what each expects, are in `helpers.rules`, and as a kernel over ids
in `helpers.rules_kernel`. Text comes to the kernel as ids too: of the numbers outside the
vocabulary only their being outside matters, since no cell and no cost of a right response
is, so two more ids stand for all of them.

Columns of many responses also have the verdict of the paper's authors, `helpers.published`.
"""

from functools import lru_cache

import numpy as np

from helpers import published
from helpers.explanations import explain
from helpers.language import SPECIALS, Vocabulary
from helpers.maze import Maze, Mazes
from helpers.rules import (
    PLAN_ERRORS,
    TRACE_ERRORS,
    PlanVerdict,
    PromptError,
    TraceVerdict,
    Verdict,
    is_decimal,
    judge_reference,
    number,
    read_example,
)
from helpers.rules_kernel import NONE, ROW, judge_many

__all__ = ["PLAN_ERRORS", "TRACE_ERRORS", "PlanVerdict", "PromptError", "TraceVerdict", "Verdict",
           "explain", "judge", "judge_ids", "judge_reference", "judge_responses", "judge_text",
           "read_example", "verdict"]


# ── from text ───────────────────────────────────────────────────────────────────────────


def judge_text(text: str, rows: int, cols: int) -> Verdict:
    """The verdict on one example, prompt and response, of a grid of this size.

    Raises:
        PromptError: the text does not begin with a well-formed prompt.
    """
    return judge(*read_example(text, rows, cols))


def judge(maze: Maze, response: str) -> Verdict:
    """The verdict on a response, its opening word (``reasoning``, ``solution``) included."""
    ids = _tables(maze.rows, maze.cols).encode(response)
    return verdict(_columns(Mazes.of([maze]), ids, np.array([[0, len(ids)]]), -1), 0)


# ── from ids ────────────────────────────────────────────────────────────────────────────


def judge_responses(mazes: Mazes, responses: list[np.ndarray], opening: int,
                    ) -> dict[str, np.ndarray]:
    """Judges generated ids, each response on its own maze.

    Args:
        mazes: n mazes of one size.
        responses: n arrays of ids, what was generated after the word that ended the prompt.
            Anything in the vocabulary may stand there; padding must be cut off.
        opening: the word that ended the prompt, `REASONING` or `SOLUTION`.

    Returns:
        Columns of n values, see `judge_ids`.
    """
    ends = np.cumsum([len(response) for response in responses], dtype=np.int64)
    spans = np.stack([np.concatenate([[0], ends[:-1]]), ends], axis=1) if len(ends) else (
        np.empty((0, 2), np.int64))
    tokens = np.concatenate([np.empty(0, np.uint16), *responses]).astype(np.uint16)
    return judge_ids(mazes, tokens, spans, opening)


def judge_ids(mazes: Mazes, tokens: np.ndarray, spans: np.ndarray, opening: int = -1,
              ) -> dict[str, np.ndarray]:
    """Judges responses that lie in one flat array.

    Args:
        mazes: n mazes of one size.
        tokens: uint16 [total], ids of `Vocabulary`.
        spans: int64 [n, 2], where each response begins and ends.
        opening: the word before each response; −1 where the response holds it itself.

    Returns:
        Columns of n values, ready for a DataFrame:

        - plan_valid, plan_optimal (bool), plan_error (str or None), plan_step (int, −1 for
          none), plan_length (steps written, well-formed or not);
        - has_trace (bool; without one the trace columns say neither valid nor broken),
          trace_valid, trace_strict, trace_exact (bool), trace_error, trace_strict_error (str
          or None), trace_event, trace_strict_event (int, −1 for none), trace_events (events
          written);
        - plan_published, trace_published (bool; see `helpers.published`).

    Raises:
        ValueError: not one response for each maze, or an id outside the vocabulary.
    """
    if len(spans) != len(mazes.grids):
        raise ValueError(f"spans: got {len(spans)}, takes one for each of {len(mazes.grids)} mazes")
    if tokens.size and tokens.max() >= Vocabulary(*mazes.grids.shape[1:]).size:
        raise ValueError(f"tokens: got {tokens.max()}, takes ids of the vocabulary")
    columns = _columns(mazes, tokens, spans, opening)
    plan, trace = published.judge_ids(mazes, tokens, spans).T
    return columns | {"plan_published": plan, "trace_published": columns["has_trace"] & trace}


def _columns(mazes: Mazes, tokens: np.ndarray, spans: np.ndarray, opening: int,
             ) -> dict[str, np.ndarray]:
    """`judge_ids` by our rules alone; ids may be the two more of `_Tables`."""
    tables = _tables(*mazes.grids.shape[1:])
    row = np.empty(len(spans), ROW)
    judge_many(*mazes, tokens, spans, opening, tables.numbers, tables.costs, row)
    has_trace = row["has_trace"] == 1
    plan_names, trace_names = (np.array([*names, None], object)  # NONE = −1 picks the None
                               for names in (PLAN_ERRORS, TRACE_ERRORS))
    return {
        "plan_valid": row["plan_error"] == NONE,
        "plan_optimal": row["plan_optimal"] == 1,
        "plan_error": plan_names[row["plan_error"]],
        "plan_step": row["plan_step"],
        "plan_length": row["plan_length"],
        "has_trace": has_trace,
        "trace_valid": has_trace & (row["trace_error"] == NONE),
        "trace_strict": has_trace & (row["trace_strict_error"] == NONE),
        "trace_exact": row["trace_exact"] == 1,
        "trace_error": trace_names[row["trace_error"]],
        "trace_event": row["trace_event"],
        "trace_strict_error": trace_names[row["trace_strict_error"]],
        "trace_strict_event": row["trace_strict_event"],
        "trace_events": row["trace_events"],
    }


def verdict(columns: dict[str, np.ndarray], index: int) -> Verdict:
    """One row of `judge_ids` as a `Verdict`."""

    def value(name):
        item = columns[name][index]
        if name.endswith(("step", "event")):
            return int(item) if item >= 0 else None
        return bool(item) if isinstance(item, np.bool_) else item

    plan = PlanVerdict(*(value(f"plan_{field}") for field in PlanVerdict._fields))
    trace = TraceVerdict(*(value(f"trace_{field}") for field in TraceVerdict._fields))
    return Verdict(plan, trace if value("has_trace") else None)


class _Tables:
    """What each id says, for one grid size: two more ids than the vocabulary, see above."""

    def __init__(self, rows: int, cols: int):
        vocabulary = Vocabulary(rows, cols)
        self._ids = vocabulary.ids
        self._number, self._cost = vocabulary.size, vocabulary.size + 1  # any outside it
        self.numbers = np.full(vocabulary.size + 2, -1, np.int32)  # coordinate, −1 if none
        self.costs = self.numbers.copy()  # cost, −1 if none
        for word, i in self._ids.items():
            if is_decimal(word):
                self.numbers[i] = int(word)
            elif is_decimal(word[1:]):
                self.costs[i] = int(word[1:])
        self.numbers[self._number] = self.costs[self._cost] = np.iinfo(np.int32).max // 2

    def encode(self, text: str) -> np.ndarray:
        return np.array([self._ids[word] if word in self._ids else self._other(word)
                         for word in text.split()], np.uint16)

    def _other(self, word: str) -> int:
        digits = word.removeprefix("c")
        if not is_decimal(digits):
            return SPECIALS.index("<unk>")
        word = f"{word[:-len(digits)]}{number(digits)}"  # without leading zeros
        return self._ids.get(word, self._cost if word.startswith("c") else self._number)


@lru_cache
def _tables(rows: int, cols: int) -> _Tables:
    return _Tables(rows, cols)
