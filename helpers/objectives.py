"""What a model learns to do with a response, and so how it answers.

It may write it word by word; the same with the plan backwards, from the goal to the start, which
tells what a model gains that is free to begin there; fill it in, in any order
(`helpers.diffusion`); or go on with its trace taken away step by step, latents in place of it,
which are fed back or are not (`helpers.curriculum`, `helpers.continuous`). To add a way, write what
it takes and an entry in `OBJECTIVES`: nothing else knows an objective by its name.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from helpers import continuous, grpo, unigrpo, unmasking
from helpers.batches import Batches
from helpers.conditions import CONDITIONS, Examples
from helpers.corpus import Corpus, Segments
from helpers.curriculum import KeptBatches, LatentBatches, PausedBatches, RemovedBatches
from helpers.diffusion import Denoising, MaskedBatches
from helpers.engine.registry import Registry
from helpers.language import SOLUTION
from helpers.model import Transformer
from helpers.responses import respond
from helpers.training import Likelihood

STEP = 3  # tokens of one: `plan`, x and y


@dataclass(frozen=True)
class Objective:
    """One objective: all there is to know about it stands in its entry of `OBJECTIVES`.

    Attributes:
        batches: what is learnt from, called as `batches.Batches`.
        learns: makes gradients, as of `training.Trainer`.
        respond: lets a model answer a corpus, called as `responses.respond`.
        sees_all: whether each token of a training text sees those behind it too.
        goes_on: whether a model begins with what one of the usual objective has learnt, and
            ``batches`` are those of `helpers.curriculum`.
        from_answers: how a model learns from answers of its own (`helpers.grpo`), by name; one
            that cannot does not go on by ``after``.
    """

    batches: type[Batches]
    learns: Callable
    respond: Callable
    sees_all: bool = False
    goes_on: bool = False
    from_answers: dict[str, type[grpo.FromAnswers]] = field(default_factory=dict)


# ── plans backwards ─────────────────────────────────────────────────────────────────────


def turned(plan: np.ndarray) -> np.ndarray:
    """Ids of a plan, its steps in reverse order; ``solution`` and ``end`` stay in their places.

    A plan that is not well-formed does not become so.
    """
    first = int(len(plan) and plan[0] == SOLUTION)
    last = len(plan) - (len(plan) - first) % STEP
    steps = plan[first:last].reshape(-1, STEP)
    return np.concatenate([plan[:first], steps[::-1].ravel(), plan[last:]])


class Turned(NamedTuple):
    """Plans backwards; to be read as `Segments`."""

    plans: Segments

    def lengths(self) -> np.ndarray:
        return self.plans.lengths()

    def piece(self, index: int) -> np.ndarray:
        return turned(self.plans.piece(index))


class TurnedBatches(Batches):
    """`Batches` of examples with their plans backwards."""

    def __init__(self, examples: Examples, *order, **layouts):
        super().__init__(replace(examples, plans=Turned(examples.plans)), *order, **layouts)


def respond_backwards(model: Transformer, corpus: Corpus, condition: str, **asked
                      ) -> list[np.ndarray]:
    """As `responses.respond`, of a model that writes plans backwards: they are turned."""
    found = respond(model, corpus, condition, **asked)
    if not CONDITIONS[condition].has_trace:
        return [turned(answer) for answer in found]
    begins = [_solution(answer) for answer in found]
    return [np.append(answer[:begin], turned(answer[begin:]))
            for answer, begin in zip(found, begins, strict=True)]


def _solution(answer: np.ndarray) -> int:
    """Where ``solution`` stands, or the answer's end."""
    found = np.flatnonzero(answer == SOLUTION)
    return int(found[0]) if len(found) else len(answer)


# ── all ─────────────────────────────────────────────────────────────────────────────────

USUAL = "likelihood"
OBJECTIVES: dict[str, Objective] = Registry({
    USUAL: Objective(Batches, Likelihood, respond, from_answers=grpo.OBJECTIVES),
    "backwards": Objective(TurnedBatches, Likelihood, respond_backwards),
    "diffusion": Objective(MaskedBatches, Denoising, unmasking.respond, sees_all=True,
                           from_answers=unigrpo.OBJECTIVES),
    "continuous": Objective(LatentBatches, continuous.Feedback, continuous.respond, goes_on=True),
    "paused": Objective(PausedBatches, Likelihood, continuous.respond_paused, goes_on=True),
    "removed": Objective(RemovedBatches, Likelihood, continuous.respond_paused, goes_on=True),
    "kept": Objective(KeptBatches, Likelihood, continuous.respond_paused, goes_on=True),
})
