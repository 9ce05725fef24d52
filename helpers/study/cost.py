"""How long trainings will take here, told before they begin.

From the arithmetic of a training and from how fast this machine multiplies matrices. Answers
and learning curves come on top; they take a small part of a training's time.
"""

import time
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import numpy as np
import torch

from helpers.conditions import CONDITIONS, put_together
from helpers.corpus import build
from helpers.model import ModelConfig
from helpers.study.runs import Run
from helpers.study.scale import Scale
from helpers.study.specs import ModelSpec
from helpers.unmasking import STEPS

# Of a product's rate in float32, what a core's training reaches. Measured (docs/performance.md):
# 0.5 to 0.7 on Zen 3, 0.55 on AMX; 1.7 on Zen 5, which will be done in a third of what is said.
SHARE = 0.5
SAMPLE = 64  # examples that stand for all


def flops(config: ModelConfig, lengths: np.ndarray, learnt: int, sees_all: bool = False) -> float:
    """Floating-point operations of a training step's matrix products.

    6·P·N + 6·V·C·M + 12·C·L·Σ n (n + 1) / 2, with P the parameters of the matrices inside
    the blocks, N tokens, V words, C width, M learnt tokens, L layers and n the length of an
    example. Six are a product and a sum forward and twice that backward; the output layer
    runs on learnt tokens only, of a looped model after each loop; attention has two products
    (12 = 2·6) of C numbers for each pair of a token and one it may see. Norms, biases, softmax and
    optimiser are not counted, nor is what we compute beyond this: padding, and the pairs that the
    mask hides.

    Args:
        lengths: int [B], tokens of each example.
        learnt: M.
        sees_all: whether a token may see those behind it too: n² pairs an example.
    """
    pairs = (lengths**2 if sees_all else lengths * (lengths + 1) // 2).sum()
    read = getattr(config, "loops", 1) * learnt
    return float(6 * inside(config) * lengths.sum() + 6 * config.vocabulary * config.width * read
                 + 12 * config.width * config.layers * pairs)


def inside(config: ModelConfig) -> int:
    """Parameters of the matrices inside the blocks; shared ones as often as a token meets them."""
    projected = (2 * config.heads + 2 * config.kv_heads) * config.head_width  # q, k, v and out
    return config.layers * config.width * (projected + 3 * config.mlp_width)


def minutes(run: Run, models: Iterable[ModelSpec], cores: int) -> float:
    """How long these models train on so many cores, each on one."""
    total = sum(training_flops(run, model) for model in models)
    return total / (SHARE * speed() * cores) / 60


def training_flops(run: Run, spec: ModelSpec) -> float:
    """Floating-point operations of one training, going by a few of its examples."""
    scale = run.scale_of(spec)
    examples = scale.steps() * scale.training.batch_size // (2 if spec.staged else 1)
    if spec.tuned:
        # each answer is written, which takes about as long as to learn from it; or filled in, and
        # read once more as it was, where learning takes as long as three readings
        own = scale.tuning.after in scale.learning.from_answers
        passes = 1 + own * ((STEPS + 1) / 3) if scale.learning.sees_all else 2
        examples = passes * scale.tuning.tuning_steps * scale.tuning.mazes * scale.tuning.answers
    few = tuple(run.parameters(spec).items())
    return work(scale, spec.condition, spec.seed, SAMPLE, few).flops * examples


class Work(NamedTuple):
    """What an example takes to learn from, on average."""

    response_tokens: float
    flops: float


@cache
def work(scale: Scale, condition: str, seed: int, few: int = 8 * SAMPLE,
         parameters: tuple[tuple[str, float], ...] = ()) -> Work:
    """What an example of a condition takes, going by the first few of a scale.

    Args:
        parameters: of the condition, by name.
    """
    few = min(few, scale.train_examples)
    mazes = build(replace(scale.recipe("train"), count=few))
    together = put_together(mazes, CONDITIONS[condition], seed, **dict(parameters))
    passes = 4 * scale.curriculum.latent_steps if scale.learning.goes_on else 1  # of each stage
    batches = scale.learning.batches(together, few, passes, seed, **scale.staged())
    found = [batches[step] for step in range(len(batches))]
    words = np.mean([len(batch.targets) for batch in found])
    of_all = np.mean([flops(scale.transformer(), batch.lengths, len(batch.targets),
                            scale.learning.sees_all) for batch in found])
    return Work(float(words) / few, float(of_all) / few)


def speed(size: int = 1024) -> float:
    """FLOP/s of a matrix product on one core, in float32 wherever training multiplies in less.

    Half of a step is no product but passes over its numbers, which units for bfloat16 do not
    speed up, and its products are small: by their rate a training would seem over in a tenth.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        a, times = torch.ones(size, size), []
        for _ in range(4):
            began = time.process_time()  # as if nothing else ran
            a @ a
            times.append(time.process_time() - began)
    finally:
        torch.set_num_threads(threads)
    return 2 * size**3 / min(times)
