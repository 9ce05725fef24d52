"""How weights follow from gradients: the settings of a training, optimisers, learning rate."""

import math
from typing import ClassVar, Literal

import torch
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)

from helpers.engine.muon import Muon
from helpers.engine.precision import has_bfloat16
from helpers.layouts import GAPS, PROMPTS
from helpers.model import Transformer


class TrainingConfig(BaseModel):
    """How to train; the same for all conditions."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    batch_size: PositiveInt = 32  # examples a step
    epochs: PositiveInt = 1  # passes over the corpus
    optimiser: Literal["muon", "adamw"] = "muon"  # which leaves to AdamW what it cannot do
    learning_rate: PositiveFloat = 0.02  # of Muon, for the matrices inside the blocks
    adam_learning_rate: PositiveFloat = 0.002  # of AdamW, for embedding, norms and biases, or all
    weight_decay: NonNegativeFloat = 0.0  # of Muon's matrices; with adamw of all weights
    warmup_steps: NonNegativeInt = 200  # linear from 0
    decay_fraction: float = Field(0.5, ge=0, le=1)  # last share of the steps: the rate falls to 0
    schedule: Literal["linear", "cosine"] = "linear"  # how it falls
    clip_norm: PositiveFloat = 1.0  # largest gradient norm
    plan_weight: PositiveFloat = 1.0  # loss weight of a plan token; a trace token has 1
    mean_over: PositiveInt | None = None  # examples whose tokens share one mean; all of a step
    gap: Literal[tuple(GAPS)] = "none"  # positions left out before a response (`layouts`)
    prompts: Literal[tuple(PROMPTS)] = "as_is"  # what is done to prompts (`layouts`)
    snapshots: PositiveInt = 8  # points of the run at which weights are kept for a learning curve
    checkpoint_every: PositiveInt = 500  # steps
    log_every: PositiveInt = 20  # steps
    micro_batch_tokens: PositiveInt | None = None  # a step in parts of so many, to save memory
    compiled: bool = True  # by torch.compile, where that works; a minute that long runs earn back

    no_effect: ClassVar = {"snapshots", "checkpoint_every", "log_every", "compiled"}  # on weights

    # added since models were published: where nobody has set them, no part of a recipe
    later: ClassVar = {"optimiser", "schedule"}

    def effective(self) -> dict:
        """The settings that the weights follow from."""
        usual = {name for name in self.later
                 if getattr(self, name) == type(self).model_fields[name].default}
        return self.model_dump(exclude=self.no_effect | usual)


def make_optimizers(model: Transformer, settings: TrainingConfig) -> list[tuple]:
    """Muon (Jordan et al. 2024) for the matrices inside the blocks, AdamW for the rest, or for all.

    Returns:
        Pairs of optimiser and peak learning rate.
    """
    if settings.optimiser == "adamw":
        return [(torch.optim.AdamW(model.parameters(), weight_decay=settings.weight_decay,
                                   betas=(0.9, 0.95), fused=True), settings.adam_learning_rate)]
    inside = [p for name, p in model.named_parameters() if p.dim() == 2 and "embedding" not in name]
    rest = [p for name, p in model.named_parameters() if p.dim() != 2 or "embedding" in name]
    emulated = inside[0].device.type == "cpu" and not has_bfloat16()
    dtype = torch.float32 if emulated else torch.bfloat16
    return [(Muon(inside, weight_decay=settings.weight_decay, dtype=dtype), settings.learning_rate),
            (torch.optim.AdamW(rest, weight_decay=0.0, betas=(0.9, 0.95), fused=True),
             settings.adam_learning_rate)]


def rate(step: int, steps: int, settings: TrainingConfig) -> float:
    """Share of the peak learning rate at a step: linear warm-up, constant, decay to 0."""
    warmup = (step + 1) / max(1, settings.warmup_steps)
    decay = (steps - step) / max(1, steps * settings.decay_fraction)
    if settings.schedule == "cosine":
        decay = (1 - math.cos(math.pi * min(1.0, decay))) / 2
    return min(1.0, warmup, decay)
