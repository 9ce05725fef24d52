"""Masked diffusion: a model that learns to fill in a response, not to write it on.

Of each response a share t of the tokens is hidden, t drawn anew from U(0, 1) each time, and the
model, which sees all that is left, before and behind, learns what was there: cross entropy of the
hidden tokens, divided by t and by the length of the response. Over all t that bounds the
response's negative log-likelihood; it is the mean over all orders in which its tokens could be
written one by one (Ou et al. 2024; Nie et al. 2025, LLaDA; Yang et al. 2025, MMaDA). The prompt is
never hidden. Every response is filled up with `end` to the same length, the *room*, for a model
that fills in has to be told how much. What is hidden follows from the seed and the step, so a
training that is killed goes on to the bit; `helpers.unmasking` lets such a model answer.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from helpers.batches import Accompanied, Batch, Batches, micro_batches
from helpers.conditions import Examples
from helpers.corpus import Segments
from helpers.engine.attention import full_attention
from helpers.engine.packing import Packing, rearranged
from helpers.engine.precision import autocast
from helpers.language import END, UNKNOWN
from helpers.model import Attention, Transformer
from helpers.optimisation import TrainingConfig
from helpers.training import compiled_loss, to_tensors

MASK = UNKNOWN  # what stands where a token is hidden; a vocabulary has no word of its own for it
LEAST = 1e-3  # of t: smaller ones hide nothing nearly always, and else weigh without bounds


# ── a model without a causal mask ───────────────────────────────────────────────────────


class FullAttention(Attention):
    """Each token sees its whole example."""

    def attend(self, qkv: Tensor, packing: Packing) -> Tensor:
        """As `Attention.attend`, of examples in rows."""
        placed = rearranged(qkv, packing.places, packing.tokens_at)
        there = packing.places != len(packing.positions) - 1  # empty places point at the last token
        groups, base = [], 0
        for b, t in packing.shapes:
            rows = placed[base:base + b * t].view(b, t, -1, self.head_width).transpose(1, 2)
            y = full_attention(*rows.split([self.heads, self.kv_heads, self.kv_heads], 1),
                               there[base:base + b * t].view(b, t))
            groups.append(y.transpose(1, 2).reshape(b * t, -1))
            base += b * t
        return self.out(rearranged(torch.cat(groups), packing.tokens_at, packing.places))


def seeing_all(model: Transformer) -> Transformer:
    """The same model, with the same parameters, each token of which sees its whole example."""
    for block in model.blocks:
        block.attention.__class__ = FullAttention
    return model


def in_rows(batch: Batch, weights: np.ndarray, device: torch.device) -> tuple:
    """As `training.to_tensors`, on any device in rows: examples are of nearly one length."""
    tokens, packing, *others = to_tensors(batch, weights, torch.device("cpu"))
    places = (packing.positions, packing.begins, packing.places, packing.tokens_at)
    packing = Packing(*(x.to(device) for x in places), packing.shapes)
    return tokens.to(device), packing, *(x.to(device) for x in others)


# ── batches ─────────────────────────────────────────────────────────────────────────────


class Padded(NamedTuple):
    """Plans, each filled up with ``end``; to be read as `Segments`."""

    plans: Segments
    more: np.ndarray  # int64 [n], how many

    def lengths(self) -> np.ndarray:
        return self.plans.lengths() + self.more

    def piece(self, index: int) -> np.ndarray:
        return np.append(self.plans.piece(index), np.full(self.more[index], END, np.uint16))


@dataclass(frozen=True)
class Masked(Accompanied):
    """A batch in which tokens are hidden: ``learn`` says where, ``targets`` what stood there."""

    weights: np.ndarray  # float32 [M], what the cross entropy of each hidden token counts


class MaskedBatches(Batches):
    """`Batches`, in each response of which a random share of the tokens is hidden.

    Args:
        examples, order: as of `Batches`.
    """

    def __init__(self, examples: Examples, *order, **layouts):
        begun = examples.traces.lengths() + examples.plans.lengths()  # with the opening word
        self.room = int(begun.max()) - 1  # tokens of a response
        # one `end` more: the last token of an example is none of a batch's inputs
        padded = Padded(examples.plans, self.room + 2 - begun)
        super().__init__(replace(examples, plans=padded), *order, **layouts)

    def __getitem__(self, step: int) -> Masked:
        batch, rng = super().__getitem__(step), np.random.default_rng([self.seed, step, 0xD1])
        count = len(batch.lengths)
        # each is uniform; spread evenly over a batch they vary its loss less (Kingma et al. 2021)
        shares = LEAST + (1 - LEAST) * ((rng.random() + np.arange(count) / count) % 1)
        return masked(batch, shares, rng.random((count, self.room)) < shares[:, None])


def masked(batch: Batch, shares: np.ndarray, hidden: np.ndarray) -> Masked:
    """Hides tokens of a batch.

    Args:
        batch: of examples with responses of one length, and one token more.
        shares: float [B], t of each example.
        hidden: bool [B, room], which tokens of its response.
    """
    count, room = hidden.shape
    # behind the opening word, the first that is learnt after, stands the response
    places = batch.learn.reshape(count, -1)[:, 1:][hidden]
    targets, in_plan = (each.reshape(count, -1)[:, :-1][hidden]
                        for each in (batch.targets, batch.in_plan))
    tokens = batch.tokens.copy()
    tokens[places] = MASK
    weights = np.repeat(1 / (shares * room * count), hidden.sum(1)).astype(np.float32)
    return Masked(batch._replace(tokens=tokens, learn=places, targets=targets, in_plan=in_plan),
                  weights)


# ── the objective ───────────────────────────────────────────────────────────────────────


class Denoising:
    """The objective: cross entropy of what is hidden, by t and by the length of the response.

    Several processes that have joined each make the whole of each update: the same one.

    Args:
        model: what learns; from here on it has no causal mask.
        settings: weight of plan tokens (here ``end`` that fills up is of the plan), size of
            micro-batches.
        compiled: whether to go through torch.compile.
    """

    def __init__(self, model: Transformer, settings: TrainingConfig, compiled: bool):
        self.settings, self.device = settings, model.embedding.weight.device
        seeing_all(model)
        self._loss = compiled_loss(model) if compiled else model.loss

    def __call__(self, masked: Masked) -> Callable[[], dict]:
        """Adds the gradients of one batch; what is returned gives the numbers to log."""
        batch, losses, each = masked.batch, [], []
        weights = masked.weights * np.where(batch.in_plan, self.settings.plan_weight, 1)
        for part in micro_batches(batch, self.settings.micro_batch_tokens):
            of_part, weights = np.split(weights.astype(np.float32), [len(part.targets)])
            with autocast(self.device):
                loss, each_of_part = self._loss(*in_rows(part, of_part, self.device))
            loss.backward()
            losses.append(loss.detach())
            each.append(each_of_part[:len(part.targets)])

        def numbers() -> dict:
            of_all = torch.cat(each).float().cpu().numpy()
            parts = {"plan_loss": of_all[batch.in_plan], "trace_loss": of_all[~batch.in_plan]}
            return {"loss": float(sum(losses)),
                    **{name: float(part.mean()) for name, part in parts.items() if len(part)}}

        return numbers
