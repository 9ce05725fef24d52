"""A trained model goes on, and its traces are taken away step by step.

A step of a trace is a ``close`` with the ``create``s behind it. First the first step is left out,
then the first two, and so on, for half of the training; in the other half all of the trace. For
each step that is left out there are some *latents*, places without a word behind ``reasoning``:
what stands there is a vector (`helpers.continuous`; Hao et al. 2024, Coconut), or a word that says
nothing, or there are no such places (Deng et al. 2024, iCoT). Nothing is learnt at the places
themselves. Optimisers begin anew with each stage, and the stage follows from the training step, so
a training that is killed goes on to the bit. It takes half as many steps as the one before, with
the same settings.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, PositiveInt

from helpers.batches import Accompanied, Batch, Batches, make_batch
from helpers.conditions import Examples
from helpers.corpus import Segments
from helpers.language import CLOSE_WORD, UNKNOWN
from helpers.model import Transformer
from helpers.optimisation import TrainingConfig, make_optimizers
from helpers.training import Trainer

LATENT = UNKNOWN  # the word at their places; a vocabulary has none of its own for it


class CurriculumConfig(BaseModel):
    """How a trace is taken away."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    latent_steps: PositiveInt = 6  # of a trace, left out one by one before all of it is
    latents_each: PositiveInt = 1  # places in the stead of each


# ── stages ──────────────────────────────────────────────────────────────────────────────


class Stage(NamedTuple):
    """What a model learns from one training step on."""

    begins: int  # that step
    without: int | None  # steps of a trace that are left out; all if None
    latents: int  # places in their stead, in every example, however long its trace was


def stages(steps: int, settings: CurriculumConfig) -> list[Stage]:
    """The stages of a training.

    Args:
        steps: of the training.

    Raises:
        ValueError: there are too few for each stage to have one.
    """
    half, most, each = steps // 2, settings.latent_steps, settings.latents_each
    if most > half:
        raise ValueError(f"latent_steps: got {most}, takes at most {half}, half of the {steps} "
                         "steps in which a trace is taken away")
    return [*(Stage(k * half // most, k + 1, (k + 1) * each) for k in range(most)),
            Stage(half, None, most * each)]


def stage_at(all_of: list[Stage], step: int) -> Stage:
    """The stage of a training step, counted from 0."""
    return [stage for stage in all_of if stage.begins <= step][-1]


def latents_of(about: dict) -> int:
    """How many latents stood before the words that a model learnt last.

    Args:
        about: what its checkpoint says of itself.
    """
    found = [Stage(*stage) for stage in about["follows_from"]["stages"]]
    return stage_at(found, max(about["counters"]["step"] - 1, 0)).latents


class StagedTrainer(Trainer):
    """A `Trainer` that goes on with a model; its optimisers begin anew with each stage.

    Args:
        start: the model; it stays as it is.
        batches: `PausedBatches`.
    """

    def __init__(self, start: Transformer, batches: "PausedBatches", training: TrainingConfig,
                 **about):
        super().__init__(batches, start.config, training, **about)
        self.model.load_state_dict(start.state_dict())

    def _train_step(self, batch) -> dict:
        if self.step and self.step in [stage.begins for stage in self.batches.stages]:
            self.optimizers = make_optimizers(self.model, self.settings)
        return super()._train_step(batch)


# ── batches ─────────────────────────────────────────────────────────────────────────────


class Shortened(NamedTuple):
    """Traces without their first steps, latents in their stead; to be read as `Segments`."""

    traces: Segments
    stage: Stage

    def piece(self, index: int) -> np.ndarray:
        trace = self.traces.piece(index)
        places = np.full(self.stage.latents, LATENT, np.uint16)
        return np.concatenate([trace[:1], places, trace[behind(trace, self.stage.without):]])


def behind(trace: np.ndarray, count: int | None) -> int:
    """Where a trace goes on behind its first steps; at its end where it has no more, or if None.

    Args:
        trace: ids, the opening word first.
    """
    begins = np.flatnonzero(trace == CLOSE_WORD)
    if count == 0:
        return 1
    return len(trace) if count is None or count >= len(begins) else int(begins[count])


def unlearnt(batch: Batch, count: int) -> Batch:
    """A batch from which nothing is learnt of the first words of each response, so many."""
    example = np.searchsorted(np.cumsum(batch.lengths), batch.learn, "right")
    first = np.searchsorted(example, example)  # learnt place of its example
    kept = np.arange(len(example)) - first >= count
    return batch._replace(learn=batch.learn[kept], targets=batch.targets[kept],
                          in_plan=batch.in_plan[kept])


class PausedBatches(Batches):
    """`Batches` whose traces are taken away; at the places of latents stands a word.

    Args:
        examples, batch_size, epochs, seed: as of the `Batches` of the training before; half as many
            steps are made, and the order is another.
        curriculum: how.

    Raises:
        ValueError: examples without a trace, or too few steps.
    """

    def __init__(self, examples: Examples, batch_size: int, epochs: int, seed: int, *,
                 curriculum: CurriculumConfig, **layouts):
        (order,) = np.random.SeedSequence([seed, 0xC7]).generate_state(1)
        super().__init__(examples, batch_size, epochs, int(order), **layouts)
        self.steps //= 2
        self.stages = [self.changed(stage) for stage in stages(self.steps, curriculum)]
        if any(stage.without != 0 for stage in self.stages) and (
                not examples.traces.lengths().all()):
            raise ValueError("objective: got one that takes the trace away, takes a condition "
                             "that has one")
        self.longest += self.stages[-1].latents  # at most

    def changed(self, stage: Stage) -> Stage:
        """A stage as it is here."""
        return stage

    def __getitem__(self, step: int) -> Batch:
        stage = stage_at(self.stages, step)
        examples = replace(self.examples, traces=Shortened(self.examples.traces, stage))
        batch = make_batch(examples, self.indices(step), self.gap, self.prompts, (self.seed, step))
        return unlearnt(batch, stage.latents)


class RemovedBatches(PausedBatches):
    """The same with nothing in place of what is taken away."""

    def changed(self, stage: Stage) -> Stage:
        return stage._replace(latents=0)


class KeptBatches(PausedBatches):
    """The same stages, in which nothing is taken away."""

    def changed(self, stage: Stage) -> Stage:
        return Stage(stage.begins, 0, 0)


@dataclass(frozen=True)
class WithLatents(Accompanied):
    """A batch with latents: so many in front of the first word that is learnt of each example."""

    count: int


class LatentBatches(PausedBatches):
    """The same, told how many latents there are."""

    def __getitem__(self, step: int) -> WithLatents:
        return WithLatents(super().__getitem__(step), stage_at(self.stages, step).latents)
