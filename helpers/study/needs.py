"""What the steps of a study ask of a cluster, from the scale alone.

Nothing here is measured where a study is submitted, since that is not where it runs: speeds are
what any core or any data-centre GPU of recent years reaches, and every time is asked for twice
over. A training that is cut off goes on from its last checkpoint when the study is run again.
"""

from collections.abc import Iterable
from math import ceil
from typing import NamedTuple

from helpers.grpo import PART
from helpers.model import ModelConfig
from helpers.study.cost import inside, training_flops
from helpers.study.runs import Run
from helpers.study.scale import Scale
from helpers.study.specs import EvaluationSpec, ModelSpec
from helpers.unmasking import STEPS, schedule

CORE, GPU = 2e10, 5e13  # FLOP/s in training
DAY = 24 * 3600  # seconds on a core, above which a training asks for a GPU
STEP = 0.02  # seconds of a GPU for one more token of all the answers of a batch
CELL = 1e-5  # seconds of a core to draw and solve a maze, for each of its cells
START = 15  # minutes for imports, compiling and waiting for files
TWICE = 2
PROGRAM, PROGRAM_GPU = 2500, 8000  # MB of Python and its libraries


class Needs(NamedTuple):
    """Under the names of Snakemake's resources; each step runs on one core."""

    gpu: int  # GPUs
    mem_mb: int
    runtime: int  # minutes


def corpora(scale: Scale) -> Needs:
    """To draw and solve the mazes of all data sets."""
    recipes = [scale.recipe("train"), scale.recipe("validation"),
               *(scale.recipe("test", name) for name in scale.distributions)]
    passed = sum(one.skip for one in recipes if one.sampling == "paper")
    cells = scale.rows * scale.cols * (sum(one.count for one in recipes) + passed)
    return Needs(0, PROGRAM + _corpus(scale), _minutes(cells * CELL))


def training(run: Run, spec: ModelSpec) -> Needs:
    """To train a model, and to let it answer the validation mazes at points of its training."""
    scale, flops = run.scale_of(spec), training_flops(run, spec)
    gpu = flops > CORE * DAY
    config = scale.transformer()
    state = 16 * parameters(config)  # weights, gradients and an optimiser's two numbers
    points = 1 + scale.training.snapshots
    tokens = PART if spec.tuned else scale.training.batch_size * config.context
    batch = 0 if gpu else activations(config, tokens)
    return Needs(int(gpu), (PROGRAM_GPU if gpu else PROGRAM) + _corpus(scale)
                 + _megabytes(2 * state + batch),
                 _minutes(flops / (GPU if gpu else CORE)
                          + points * answering(scale, scale.validation_examples, gpu)))


def evaluation(run: Run, spec: ModelSpec, asked: Iterable[EvaluationSpec]) -> Needs:
    """To let a model answer the test mazes, and judge the answers."""
    scale, gpu = run.scale_of(spec), bool(training(run, spec).gpu)
    config = scale.transformer()
    cache = 8 * config.layers * config.kv_heads * config.head_width * config.context  # keys, values
    batch = 0 if gpu else scale.decoding.batch_size * cache
    return Needs(int(gpu), (PROGRAM_GPU if gpu else PROGRAM) + _corpus(scale)
                 + _megabytes(4 * parameters(config) + batch),
                 _minutes(sum(answering(scale, scale.test_examples, gpu, **dict(one.answering))
                              for one in asked)))


def tables(scale: Scale) -> Needs:
    """To put together what came out, and to draw it."""
    return Needs(0, PROGRAM + _corpus(scale), TWICE * START)


def answering(scale: Scale, mazes: int, gpu: bool, *, steps: int | str = STEPS, **_) -> float:
    """Seconds for a model's answers to so many mazes, each as long as may be.

    Args:
        steps: of a model that fills in, see `unmasking.schedule`; each reads the whole text.
    """
    config, passes, read = scale.transformer(), scale.decoding.max_new_tokens, 1
    if scale.learning.sees_all:
        passes, read = len(schedule(passes, steps)), config.context
    if gpu:
        return ceil(mazes / scale.decoding.batch_size) * passes * STEP
    return 2 * parameters(config) * mazes * passes * read / CORE


def parameters(config: ModelConfig) -> int:
    """Of the matrices of a model, nearly all it has."""
    return config.width * config.vocabulary + inside(config)


def activations(config: ModelConfig, tokens: int) -> int:
    """Bytes kept for the way back, in float32, and what the output layer takes."""
    kept = config.layers * (8 * config.width + 3 * config.mlp_width)
    return 4 * tokens * (kept + 2 * config.vocabulary)


def _corpus(scale: Scale) -> int:
    """Megabytes of the training set: as read, and as a condition puts it together."""
    return _megabytes(3 * 2 * scale.train_examples * scale.transformer().context)


def _megabytes(size: float) -> int:
    return ceil(size / 1e6)


def _minutes(seconds: float) -> int:
    return START + ceil(TWICE * seconds / 60)
