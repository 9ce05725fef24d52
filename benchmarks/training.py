"""A training step beside transformers' Qwen2, and beside what the processor can multiply.

The model, batch and settings are those of the laptop scale, condition ``correct``. Both
sides see the same examples, in the precision our training uses on this machine, make
their batch from the corpus within the measured time, and are counted by the tokens of
real examples, without padding. Ours is a step of `Trainer`; the peer's is a step of
transformers' Trainer (see `qwen2.Peer`), on shuffled batches and on such of similar length
(its ``group_by_length``), eager as is its default, and once through torch.compile.
"""

from collections.abc import Callable
from dataclasses import replace
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch

from benchmarks import qwen2
from benchmarks.measure import in_turn, processor_seconds, row
from helpers.corpus import Corpus, build, make_batch
from helpers.engine.compiling import can_compile
from helpers.model import ModelConfig
from helpers.study.scale import Scale, load_scale
from helpers.training import Trainer, autocast

CONDITION = "correct"
ROUNDS, STEPS, WARM_UP = 5, 10, 3  # steps a round; ROUNDS × STEPS = 50 batches, a mega-batch
TARGET = 2.0  # times the peer
SHAPES = ((1024, 1024, 1024), (2048, 2048, 2048), (4096, 512, 4096), (8192, 512, 512))


class Batches(NamedTuple):
    """Lists of batches, each int64 [batch_size] of examples of the corpus."""

    shuffled: list[np.ndarray]
    grouped: list[np.ndarray]  # the same examples, sorted by length
    warm_up: list[np.ndarray]


def corpus_for(scale: Scale) -> Corpus:
    """As many examples as are measured and warmed up with."""
    batches = ROUNDS * STEPS + WARM_UP
    return build(replace(scale.recipe("train"), count=batches * scale.training.batch_size))


def batches_of(corpus: Corpus, batch_size: int) -> Batches:
    """The batches to measure, shuffled and grouped by length, and others to warm up with."""
    rows = np.arange(len(corpus)).reshape(-1, batch_size)
    warm_up, shuffled = rows[:WARM_UP], rows[WARM_UP:]
    examples = shuffled.ravel()
    order = grouped(corpus.lengths().sum(1)[examples], batch_size, ROUNDS * STEPS)
    return Batches(list(shuffled), list(examples[order].reshape(-1, batch_size)), list(warm_up))


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


def flops(config: ModelConfig, lengths: np.ndarray, learnt: int) -> float:
    """Floating-point operations of a training step's matrix products.

    6·P·N + 6·V·C·M + 12·C·L·Σ n (n + 1) / 2, with P the parameters of the matrices inside
    the blocks, N tokens, V words, C width, M learnt tokens, L layers and n the length of an
    example. Six are a product and a sum forward and twice that backward; the output layer
    runs on learnt tokens only; attention has two products (12 = 2·6) of C numbers for each
    pair of a token and one it may see. Norms, biases, softmax and optimiser are not counted,
    nor is what we compute beyond this: padding, and the pairs that the mask hides.

    Args:
        lengths: int [B], tokens of each example.
        learnt: M.
    """
    projected = (2 * config.heads + 2 * config.kv_heads) * config.head_width  # q, k, v and out
    inside = config.layers * config.width * (projected + 3 * config.mlp_width)
    pairs = (lengths * (lengths + 1) // 2).sum()
    return float(6 * inside * lengths.sum() + 6 * config.vocabulary * config.width * learnt
                 + 12 * config.width * config.layers * pairs)


def peak_flops() -> float:
    """FLOP/s of the best of a few large matrix products in the precision of training."""
    with autocast(torch.device("cpu")):
        dtype = (torch.ones(1, 1) @ torch.ones(1, 1)).dtype
    rates = []
    for m, k, n in SHAPES:
        a, b = torch.ones(m, k, dtype=dtype), torch.ones(k, n, dtype=dtype)
        times = [processor_seconds(torch.mm, a, b) for _ in range(3)]
        rates.append(2 * m * k * n / min(times))
    return max(rates)


def ours(scale: Scale, corpus: Corpus, folder: str) -> Trainer:
    """A training of the first seed, as `make study` runs it."""
    return Trainer(corpus, CONDITION, scale.transformer(), scale.training, seed=scale.seeds[0],
                   folder=folder)


def stepping(trainer: Trainer) -> Callable[[np.ndarray], object]:
    """One step of ours on the examples given."""
    return lambda indices: trainer._train_step(
        make_batch(trainer.corpus, trainer.condition, indices))


def peer(scale: Scale, trainer: Trainer, compiled: bool = False) -> qwen2.Peer:
    """A training of transformers' Qwen2 with the weights of ours."""
    return qwen2.Peer(trainer.model, trainer.corpus, CONDITION,
                      clip_norm=scale.training.clip_norm, compiled=compiled)


def rows() -> list[dict]:
    """`train_step` against each peer, and its share of the processor's peak."""
    scale = load_scale("laptop")
    corpus = corpus_for(scale)
    batches = batches_of(corpus, scale.training.batch_size)
    tokens = corpus.lengths().sum(1) - 1

    def rate(step: Callable[[np.ndarray], object], chosen: list[np.ndarray],
             ) -> Callable[[int], float]:
        """Tokens a second over every ROUNDS-th batch, so that each round has all lengths."""
        def job(number: int) -> float:
            part = chosen[number::ROUNDS]
            seconds = processor_seconds(lambda: [step(indices) for indices in part])
            return tokens[np.concatenate(part)].sum() / seconds
        return job

    with TemporaryDirectory() as folder:
        trainer = ours(scale, corpus, folder)
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
        found = in_turn(jobs | {"peak": lambda _: peak_flops()}, ROUNDS, "training")
    value = found["train_step"]
    names = {"train_step": qwen2.NAME, "train_step_grouped": f"{qwen2.NAME}, grouped",
             "train_step_compiled": f"{qwen2.NAME}, grouped, compiled"}
    targets = {"train_step": TARGET, "train_step_grouped": TARGET}
    result = [row(name, value, "tokens/s", peer=other if other in found else None,
                  peer_value=found.get(other), target=targets.get(name), target_of="ratio")
              for name, other in names.items() if other in found or name == "train_step"]
    whole = make_batch(corpus, CONDITION, np.concatenate(batches.shuffled))
    work = flops(scale.transformer(), whole.lengths, len(whole.targets))
    result.append(row("train_flops_share", value * work / whole.lengths.sum() / 1e9, "GFLOP/s",
                      peer="largest matrix product", peer_value=found["peak"] / 1e9))
    return result
