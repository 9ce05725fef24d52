"""The conditions of the study: which trace a model learns to write between prompt and plan.

A condition is a rule by which training examples are put together from a stored corpus, never
another copy of the data. All conditions of a seed see the same mazes in the same order and
start from the same weights; only the trace differs. To add one, write a function like those
below and an entry in `CONDITIONS`: nothing else knows a condition by its name. One that changes
each example's own events is an entry of `helpers.corruptions`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial, update_wrapper
from itertools import cycle

import numpy as np

from helpers.corpus import PLAN_PART, PROMPT_PART, TRACE_PART, Corpus, CorpusError, Segments
from helpers.corruptions import CORRUPTIONS, PARTS
from helpers.engine.registry import Registry
from helpers.generators import Parameter
from helpers.language import EVENT, REASONING, SOLUTION


@dataclass(frozen=True)
class Condition:
    """One condition: all there is to know about it stands in its entry of `CONDITIONS`.

    Attributes:
        traces: (corpus, seed, parameters by name) → the trace of each example, its opening
            word ``reasoning`` included. Called once before training; what is random in it
            follows from the seed, that of the training.
        label: its name for people.
        colour, marker, line: how figures show it (matplotlib's names).
        has_trace: whether a model of this condition writes a trace before its plan.
        parameters: of ``traces``, by name.
    """

    traces: Callable[..., Segments]
    label: str
    colour: str
    marker: str
    line: str
    has_trace: bool = True
    parameters: dict[str, Parameter] = field(default_factory=dict)

    @property
    def opening(self) -> int:
        """The word that ends the prompt and opens the response."""
        return REASONING if self.has_trace else SOLUTION

    def settings(self, given: dict) -> dict:
        """All its parameters, by name: as given, else their defaults."""
        return {name: known.default for name, known in self.parameters.items()} | given


def no_trace(corpus: Corpus, seed: int) -> Segments:
    """The plan follows the prompt."""
    nowhere = np.zeros(len(corpus), np.int64)
    return Segments(corpus.tokens, nowhere, nowhere)


def own_trace(corpus: Corpus, seed: int) -> Segments:
    """The example's own A* trace."""
    return corpus.part(TRACE_PART)


def borrowed_trace(corpus: Corpus, seed: int) -> Segments:
    """The trace of another training example, the same one each time (`lenders`)."""
    return corpus.part(TRACE_PART).of(lenders(corpus, seed))


def partly_borrowed_trace(corpus: Corpus, seed: int, share: float) -> Segments:
    """The example's own A* trace; in a share of the examples, by chance, that of another."""
    borrows = np.random.default_rng([corpus.recipe.seed, seed, 0x5B]).random(len(corpus)) < share
    return corpus.part(TRACE_PART).of(np.where(borrows, lenders(corpus, seed),
                                               np.arange(len(corpus))))


def corrupted_trace(corpus: Corpus, seed: int, change: Callable) -> Segments:
    """The example's own A* trace, changed: an entry's ``change`` of `corruptions.CORRUPTIONS`.

    What is random in it follows from the seeds of data and training and the example's place.
    """
    own, found = corpus.part(TRACE_PART), []
    for i in range(len(corpus)):
        rng = np.random.default_rng([corpus.recipe.seed, seed, 0xC0, i])
        events = own.piece(i)[1:].reshape(-1, EVENT).copy()
        found.append(change(events, corpus.mazes.maze(i), rng))
    return traces_of(found)


def traces_of(events: Sequence[np.ndarray]) -> Segments:
    """Traces of these events, ids of any shape, the word ``reasoning`` in front of each."""
    traces = [np.append(REASONING, each).astype(np.uint16) for each in events]
    ends = np.cumsum([len(trace) for trace in traces])
    return Segments(np.concatenate(traces), np.append(0, ends[:-1]), ends)


def _corrupted() -> dict[str, Condition]:
    """A condition for each corruption; those of one part of the spectrum have one colour."""
    found = {}
    for (name, one), marker in zip(CORRUPTIONS.items(), cycle("vD<>pP*Xhd8H")):
        traces = update_wrapper(partial(corrupted_trace, change=one.change), one.change)
        found[name] = Condition(traces, name, PARTS[one.part][1], marker, "-.")
    return found


CONDITIONS: dict[str, Condition] = Registry({
    "solution_only": Condition(no_trace, "solution_only", "#7a7a7a", "o", ":", has_trace=False),
    "correct": Condition(own_trace, "correct", "#0072b2", "s", "-"),
    "swapped": Condition(borrowed_trace, "swapped", "#d55e00", "^", "--"),
    "partly_swapped": Condition(partly_borrowed_trace, "partly_swapped", "#d55e00", "d", "-.",
                                parameters={"share": Parameter(0.5, 0.0, 1.0)}),
    **_corrupted(),
})


def lenders(corpus: Corpus, seed: int) -> np.ndarray:
    """For each example another whose trace it is lent, ``int64 [n]``.

    A random cyclic order of the examples, from the seeds of the data and of the training;
    pairs that pose the very same problem are exchanged with others until none is left.

    Raises:
        CorpusError: the examples do not hold enough different problems.
    """
    rng = np.random.default_rng([corpus.recipe.seed, seed, 0x5A])
    order = rng.permutation(len(corpus))
    found = np.empty(len(corpus), np.int64)
    found[order] = np.roll(order, 1)
    _, problem = np.unique(corpus.problems, return_inverse=True)
    for _ in range(100):
        clashes = np.flatnonzero(problem[found] == problem)
        if not len(clashes):
            return found
        for i, j in zip(clashes, rng.integers(len(corpus), size=len(clashes)), strict=True):
            found[i], found[j] = found[j], found[i]
    raise CorpusError(f"swapped: got {len(np.unique(problem))} different problems among "
                      f"{len(corpus)} examples, takes enough to lend each another's trace")


# ── examples ────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Examples:
    """The examples of one training, put together once: prompt, trace, plan of each."""

    prompts: Segments
    traces: Segments
    plans: Segments
    sizes: np.ndarray  # int64 [n], tokens of the examples' own traces: what gaps are drawn from

    def __len__(self) -> int:
        return len(self.prompts.begins)

    def lengths(self) -> np.ndarray:
        """Tokens of each example, ``int64 [n]``."""
        return self.prompts.lengths() + self.traces.lengths() + self.plans.lengths()


def put_together(corpus: Corpus, condition: Condition, seed: int, **parameters) -> Examples:
    """The examples of a corpus under a condition; parameters not given have their defaults.

    Raises:
        CorpusError: the condition gave something else than a trace for each example.
    """
    traces = condition.traces(corpus, seed, **condition.settings(parameters))
    lengths = traces.lengths()
    fits = (lengths > 0) if condition.has_trace else (lengths == 0)
    if lengths.shape != (len(corpus),) or not fits.all():
        takes = "a trace for each example" if condition.has_trace else "no traces"
        raise CorpusError(f"{condition.label}: got {np.count_nonzero(lengths)} traces for "
                          f"{len(corpus)} examples, takes {takes}")
    return Examples(corpus.part(PROMPT_PART), traces, corpus.part(PLAN_PART),
                    corpus.part(TRACE_PART).lengths())


def prompts(corpus: Corpus, condition: Condition) -> list[np.ndarray]:
    """What a model of this condition is given for each example: prompt and opening word."""
    part = corpus.part(PROMPT_PART)
    opening = np.uint16(condition.opening)
    return [np.append(part.piece(i), opening) for i in range(len(corpus))]
