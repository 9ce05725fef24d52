"""A training step beside transformers' Qwen2, and beside what the processor can multiply.

The model, batch and settings are those of the laptop scale, condition ``correct``. Both
sides see the same examples, in the precision our training uses on this machine, make
their batch from the corpus within the measured time, and are counted by the tokens of
real examples, without padding. Ours is a step of `Trainer`; the peer's is a step of
transformers' Trainer (see `qwen2.Peer`), on shuffled batches and on such of similar length
(its ``group_by_length``), eager as is its default, and once through torch.compile.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch

from benchmarks import qwen2
from benchmarks.measure import in_turn, processor_seconds, row
from benchmarks.measure import scale as scale_of
from helpers.batches import Batches, make_batch
from helpers.conditions import CONDITIONS, Examples, put_together
from helpers.corpus import build
from helpers.engine.compiling import can_compile
from helpers.engine.precision import autocast
from helpers.study.cost import flops
from helpers.study.scale import Scale
from helpers.training import Trainer

CONDITION = "correct"
ROUNDS, STEPS, WARM_UP = 5, 10, 3  # steps a round; ROUNDS × STEPS = 50 batches, a mega-batch
TARGET = 2.0  # times the peer
SHAPES = ((1024, 1024, 1024), (2048, 2048, 2048), (4096, 512, 4096), (8192, 512, 512))


class Chosen(NamedTuple):
    """Lists of batches, each int64 [batch_size] of examples."""

    shuffled: list[np.ndarray]
    grouped: list[np.ndarray]  # the same examples, sorted by length
    warm_up: list[np.ndarray]


def examples_for(scale: Scale, batches: int) -> Examples:
    """As many examples as so many batches, and those to warm up with, take."""
    count = (batches + WARM_UP) * scale.training.batch_size
    corpus = build(replace(scale.recipe("train"), count=count))
    return put_together(corpus, CONDITIONS[CONDITION], scale.seeds[0])


def batches_of(examples: Examples, batch_size: int) -> Chosen:
    """The batches to measure, shuffled and grouped by length, and others to warm up with."""
    rows = np.arange(len(examples)).reshape(-1, batch_size)
    warm_up, shuffled = rows[:WARM_UP], rows[WARM_UP:]
    indices = shuffled.ravel()
    order = grouped(examples.lengths()[indices], batch_size, len(shuffled))
    return Chosen(list(shuffled), list(indices[order].reshape(-1, batch_size)), list(warm_up))


def grouped(lengths: np.ndarray, batch_size: int, batches: int = 50) -> np.ndarray:
    """The order of transformers' length-grouped sampler, for examples already shuffled.

    Args:
        lengths: int [n].
        batches: as many batches, one after the other, are sorted by length together.

    Returns:
        int64 [n], a permutation; within each mega-batch the longest come first.
    """
    size = batch_size * batches
    parts = [first + np.argsort(-lengths[first:first + size], kind="stable")
             for first in range(0, len(lengths), size)]
    return np.concatenate(parts)


def peak_flops(shapes: Iterable[tuple[int, int, int]] = SHAPES) -> float:
    """FLOP/s of the best of a few large matrix products in the precision of training."""
    with autocast(torch.device("cpu")):
        dtype = (torch.ones(1, 1) @ torch.ones(1, 1)).dtype
    rates = []
    for m, k, n in shapes:
        a, b = torch.ones(m, k, dtype=dtype), torch.ones(k, n, dtype=dtype)
        times = [processor_seconds(torch.mm, a, b) for _ in range(3)]
        rates.append(2 * m * k * n / min(times))
    return max(rates)


def ours(scale: Scale, examples: Examples, folder: str) -> Trainer:
    """A training of the first seed, as `make study` runs it."""
    seed, settings = scale.seeds[0], scale.training
    batches = Batches(examples, settings.batch_size, settings.epochs, seed)
    return Trainer(batches, scale.transformer(), settings, seed=seed, follows_from={},
                   folder=folder)


def stepping(trainer: Trainer) -> Callable[[np.ndarray], object]:
    """One step of ours on the examples given."""
    return lambda indices: trainer._train_step(make_batch(trainer.batches.examples, indices))


def peer(scale: Scale, trainer: Trainer, compiled: bool = False) -> qwen2.Peer:
    """A training of transformers' Qwen2 with the weights of ours."""
    return qwen2.Peer(trainer.model, trainer.batches.examples,
                      clip_norm=scale.training.clip_norm, compiled=compiled)


def rows(tiny: bool = False) -> list[dict]:
    """`train_step` against each peer, and its share of the processor's peak."""
    rounds, steps_a_round = (2, 2) if tiny else (ROUNDS, STEPS)
    scale = scale_of(tiny)
    examples = examples_for(scale, rounds * steps_a_round)
    batches = batches_of(examples, scale.training.batch_size)
    tokens = examples.lengths() - 1

    def rate(step: Callable[[np.ndarray], object], chosen: list[np.ndarray],
             ) -> Callable[[int], float]:
        """Tokens a second over every so many batches, so that each round has all lengths."""
        def job(number: int) -> float:
            part = chosen[number::rounds]
            seconds = processor_seconds(lambda: [step(indices) for indices in part])
            return tokens[np.concatenate(part)].sum() / seconds
        return job

    with TemporaryDirectory() as folder:
        trainer = ours(scale, examples, folder)
        steps = {"train_step": (stepping(trainer), batches.shuffled)}
        if qwen2.available():
            steps |= {qwen2.NAME: (peer(scale, trainer).step, batches.shuffled),
                      f"{qwen2.NAME}, grouped": (peer(scale, trainer).step, batches.grouped)}
            if scale.training.compiled and can_compile("cpu"):
                steps[f"{qwen2.NAME}, grouped, compiled"] = (
                    peer(scale, trainer, compiled=True).step, batches.grouped)
        for step, chosen in steps.values():
            for indices in [*batches.warm_up, chosen[0], chosen[-1]]:
                step(indices)
        jobs = {name: rate(*job) for name, job in steps.items()}
        shapes = SHAPES[:1] if tiny else SHAPES
        found = in_turn(jobs | {"peak": lambda _: peak_flops(shapes)}, rounds, "training")
    value = found["train_step"]
    names = {"train_step": qwen2.NAME, "train_step_grouped": f"{qwen2.NAME}, grouped",
             "train_step_compiled": f"{qwen2.NAME}, grouped, compiled"}
    targets = {"train_step": TARGET, "train_step_grouped": TARGET}
    result = [row(name, value, "tokens/s", peer=other if other in found else None,
                  peer_value=found.get(other), target=targets.get(name), target_of="ratio")
              for name, other in names.items() if other in found or name == "train_step"]
    whole = make_batch(examples, np.concatenate(batches.shuffled))
    work = flops(scale.transformer(), whole.lengths, len(whole.targets))
    result.append(row("train_flops_share", value * work / whole.lengths.sum() / 1e9, "GFLOP/s",
                      peer="largest matrix product", peer_value=found["peak"] / 1e9))
    return result
