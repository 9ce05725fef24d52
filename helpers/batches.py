"""Batches of training examples, and the order in which training sees them.

Loss falls on the response alone, that is on what follows ``reasoning`` (or ``solution``
where there is no trace): the walls of a prompt are noise nobody could predict.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from helpers.conditions import Examples
from helpers.layouts import GAPS, PROMPTS, positions


class Batch(NamedTuple):
    """Examples one after the other, without padding; a position predicts the next token.

    The last token of each example is only ever a target, so it is not among the inputs.
    """

    tokens: np.ndarray  # int64 [N], inputs
    positions: np.ndarray  # int64 [N], of each input, as rotary embeddings count them
    lengths: np.ndarray  # int64 [B], inputs of each example
    learn: np.ndarray  # int64 [M], inputs after which a prediction counts
    targets: np.ndarray  # int64 [M], the tokens to predict there
    in_plan: np.ndarray  # bool [M], whether a target belongs to the plan rather than the trace


def make_batch(examples: Examples, indices: np.ndarray, gap: Callable = GAPS["none"],
               prompts: Callable = PROMPTS["as_is"], draws: Sequence[int] = (0,)) -> Batch:
    """Lays examples (int [B]) end to end.

    Args:
        gap, prompts: an entry of `layouts.GAPS` and of `layouts.PROMPTS`.
        draws: the seed of what these draw.
    """
    rng = np.random.default_rng([*draws, 0x6A])
    sizes = examples.sizes[rng.integers(len(examples), size=(len(indices), 2))]
    tokens, places, lengths, learn, targets, in_plan, base = [], [], [], [], [], [], 0
    for index, (size, other) in zip(indices, sizes, strict=True):
        prompt, trace, plan = (part.piece(index) for part in (
            examples.prompts, examples.traces, examples.plans))
        prompt = prompts(prompt, rng, size)
        example = np.concatenate([prompt, trace, plan]).astype(np.int64)
        first = len(prompt)  # the opening word; it is given, so targets begin behind it
        tokens.append(example[:-1])
        before_response, before_solution = gap(size, other)
        place = positions(len(example) - 1, first, before_response)
        place[first + len(trace):] += before_solution
        places.append(place)
        lengths.append(len(example) - 1)
        learn.append(np.arange(first, len(example) - 1) + base)
        targets.append(example[first + 1:])
        # `solution` itself counts as trace: writing it is the decision to stop reasoning
        in_plan.append(np.arange(first + 1, len(example)) > len(prompt) + len(trace))
        base += lengths[-1]
    return Batch(*(np.concatenate(part) if np.ndim(part[0]) else np.array(part)
                   for part in (tokens, places, lengths, learn, targets, in_plan)))


def part(batch: Batch, first: int, last: int) -> Batch:
    """The examples of a batch from one on up to, and without, another."""
    ends = np.append(0, np.cumsum(batch.lengths))
    base, end = ends[first], ends[last]
    a, b = np.searchsorted(batch.learn, [base, end])
    return Batch(batch.tokens[base:end], batch.positions[base:end], batch.lengths[first:last],
                 batch.learn[a:b] - base, batch.targets[a:b], batch.in_plan[a:b])


@dataclass(frozen=True)
class Accompanied:
    """A batch with what an objective wants to know besides; it is counted as the batch itself."""

    batch: Batch

    @property
    def tokens(self) -> np.ndarray:
        return self.batch.tokens

    @property
    def targets(self) -> np.ndarray:
        return self.batch.targets

    @property
    def lengths(self) -> np.ndarray:
        return self.batch.lengths


def micro_batches(batch: Batch, tokens: int | None) -> list[Batch]:
    """Cuts a batch between examples, into parts of at most so many inputs each.

    A part always has an example, however long; None cuts nothing.
    """
    if tokens is None or len(batch.tokens) <= tokens:
        return [batch]
    ends = np.cumsum(batch.lengths)
    parts, first, base = [], 0, 0
    while first < len(ends):
        last = max(first + 1, int(np.searchsorted(ends, base + tokens, "right")))
        parts.append(part(batch, first, last))
        first, base = last, ends[last - 1]
    return parts


def shares(batch: Batch, count: int) -> list[Batch]:
    """Cuts a batch between examples, into so many parts of about as many inputs each.

    Raises:
        ValueError: there are fewer examples than parts.
    """
    if count == 1:
        return [batch]
    n = len(batch.lengths)
    if count > n:
        raise ValueError(f"batch: got {n} examples, takes at least one for each of {count} parts")
    middles = np.cumsum(batch.lengths) - batch.lengths / 2
    goal = np.arange(1, count) * len(batch.tokens) / count
    cuts, least = np.searchsorted(middles, goal), 0
    for i in range(count - 1):  # none without an example
        cuts[i] = least = min(max(cuts[i], least + 1), n - count + 1 + i)
    return [part(batch, first, last) for first, last in pairwise([0, *cuts.tolist(), n])]


class Batches:
    """The batches of a training by step, in the same order for every condition.

    Each epoch goes through all examples in an order of its own; what does not fill a batch
    at its end is left for another epoch.

    Args:
        examples: what to learn from.
        batch_size: examples a step.
        epochs: how often each is seen.
        seed: of the order, and with the step of what layouts draw.
        gap, prompts: entries of `layouts.GAPS` and `layouts.PROMPTS`.

    Raises:
        ValueError: there are fewer examples than a batch takes.
    """

    def __init__(self, examples: Examples, batch_size: int, epochs: int, seed: int, *,
                 gap: Callable = GAPS["none"], prompts: Callable = PROMPTS["as_is"]):
        self.examples, self.batch_size, self.seed = examples, batch_size, seed
        self.gap, self.prompts = gap, prompts
        self.per_epoch = len(examples) // batch_size
        if not self.per_epoch:
            raise ValueError(f"batch_size: got {batch_size}, takes at most the {len(examples)} "
                             "examples of the corpus")
        self.steps = epochs * self.per_epoch
        self.longest = int(examples.lengths().max()) - 1  # tokens fed in at most
        self._order = lru_cache(maxsize=1)(
            lambda epoch: np.random.default_rng([seed, epoch]).permutation(len(examples)))

    def __len__(self) -> int:
        return self.steps

    def indices(self, step: int) -> np.ndarray:
        """The examples of a step, int64 [batch_size]."""
        epoch, place = divmod(step, self.per_epoch)
        return self._order(epoch)[place * self.batch_size:(place + 1) * self.batch_size]

    def __getitem__(self, step: int) -> Batch:
        return make_batch(self.examples, self.indices(step), self.gap, self.prompts,
                          (self.seed, step))
