"""How fast matrices as small as the study's can be multiplied here: a roofline, product by product.

A product of matrices [m, k] and [k, n] takes 2 m k n operations and moves at least their bytes and
those of what comes out. So it is no faster than the processor multiplies at best, and no faster
than memory brings the bytes: the lower of the two is its roof (Williams et al. 2009). Matrices that
stay in a cache may stand above memory's. Of a training step's products forward (those of the way
back have the same sizes, turned) each is a row beside its roof; the last says what all of them
together would let a step reach, beside the processor's best.
"""

from collections.abc import Iterator

import numpy as np
import torch

from benchmarks.measure import in_turn, processor_seconds, row
from benchmarks.measure import scale as scale_of
from benchmarks.training import CONDITION, SHAPES, examples_for, peak_flops
from helpers.conditions import CONDITIONS
from helpers.engine.precision import autocast
from helpers.model import ModelConfig

BYTES, FEW_BYTES = 2**28, 2**20  # of what is copied, more than any cache holds; and in miniature
ROUNDS = 5
LONG = 0.02  # seconds at least that a product is repeated for
Shape = tuple[int, int, int, int]  # how many at once; m, k, n


def bandwidth(size: int) -> float:
    """Bytes a second that are read and written where so many are copied."""
    a = torch.ones(size // 4)
    b = torch.empty_like(a)
    b.copy_(a)  # the pages are there now
    return 2 * size / min(processor_seconds(b.copy_, a) for _ in range(3))


def products(config: ModelConfig, tokens: int, learnt: int, examples: int) -> dict[str, Shape]:
    """The matrix products of a training step, forward.

    Args:
        tokens: of a batch, and how many of them are learnt.
        examples: of a batch; attention is over as many positions as their mean has.
    """
    width, heads = config.width, config.heads * examples
    projected = (config.heads + 2 * config.kv_heads) * config.head_width
    length = tokens // examples
    return {"query_key_value": (1, tokens, width, projected),
            "attention_scores": (heads, length, config.head_width, length),
            "attention_values": (heads, length, length, config.head_width),
            "attention_out": (1, tokens, config.heads * config.head_width, width),
            "mlp_in": (1, tokens, width, 2 * config.mlp_width),
            "mlp_out": (1, tokens, config.mlp_width, width),
            "vocabulary": (1, learnt, width, config.vocabulary)}


def work(shape: Shape) -> int:
    """Floating-point operations of a product."""
    return 2 * int(np.prod(shape))


def moved(shape: Shape, size: int) -> int:
    """Bytes of two matrices and of their product, of numbers of so many bytes."""
    many, m, k, n = shape
    return many * size * (m * k + k * n + m * n)


def rate(shape: Shape, dtype: torch.dtype) -> float:
    """FLOP/s of a product of this shape, repeated."""
    many, m, k, n = shape
    a, b = torch.ones(many, m, k, dtype=dtype), torch.ones(many, k, n, dtype=dtype)
    if many == 1:
        a, b = a[0], b[0]
    once = max(processor_seconds(torch.matmul, a, b), 1e-6)
    times = max(1, int(LONG / once))
    return times * work(shape) / processor_seconds(
        lambda: [torch.matmul(a, b) for _ in range(times)])


def rows(tiny: bool = False) -> list[dict]:
    """The processor's best, its memory's, each product beside its roof, and all together."""
    scale = scale_of(tiny)
    examples = examples_for(scale, 1 if tiny else 20)
    size = scale.training.batch_size
    lengths = int(examples.lengths().mean()) - 1
    response = examples.plans.lengths().mean() + CONDITIONS[CONDITION].has_trace * (
        examples.traces.lengths().mean())
    shapes = products(scale.transformer(), size * lengths, size * int(response), size)
    with autocast(torch.device("cpu")):
        dtype = (torch.ones(1, 1) @ torch.ones(1, 1)).dtype
    jobs = {name: lambda _, shape=shape: rate(shape, dtype) for name, shape in shapes.items()}
    jobs["peak"] = lambda _: peak_flops(SHAPES[:1] if tiny else SHAPES)
    jobs["bandwidth"] = lambda _: bandwidth(FEW_BYTES if tiny else BYTES)
    found = in_turn(jobs, 1 if tiny else ROUNDS, "roofline")
    return list(_rows(shapes, found, dtype.itemsize))


def _rows(shapes: dict[str, Shape], found: dict[str, float], size: int) -> Iterator[dict]:
    peak, memory = found["peak"], found["bandwidth"]
    yield row("roofline_peak", peak / 1e9, "GFLOP/s")
    yield row("roofline_memory", memory / 1e9, "GB/s")
    for name, shape in shapes.items():
        roof = min(peak, memory * work(shape) / moved(shape, size))
        bound = "the processor" if roof == peak else "memory"
        yield row(f"roofline_{name}", found[name] / 1e9, "GFLOP/s", peer=f"its roof, by {bound}",
                  peer_value=roof / 1e9)
    seconds = sum(work(shape) / found[name] for name, shape in shapes.items())
    yield row("roofline_all", sum(map(work, shapes.values())) / seconds / 1e9, "GFLOP/s",
              peer="the processor's best", peer_value=peak / 1e9)
