"""Greedy answers to given mazes, beside transformers' ``generate`` with the same weights.

The same work on every machine: the models that are published with the laptop scale answer its first
256 Wilson test mazes, all at once. Short answers (plans alone) and long ones (traces before them)
are rows of their own: a batch costs the peer as much as its longest answer, and us as much as its
mean. transformers may use its dynamic or its static cache, and has its weights in the precision
that ours computes in (which is faster for it than autocast, and the static cache needs it); the
faster of the two is the peer. A row says which share of its answers are ours, token for token.
"""

from dataclasses import replace
from tempfile import TemporaryDirectory

import numpy as np
import torch

from benchmarks import qwen2, training
from benchmarks.measure import processor_seconds, row
from benchmarks.measure import scale as scale_of
from helpers.checkpoints import load_model
from helpers.conditions import CONDITIONS, prompts
from helpers.corpus import build
from helpers.decoding import generate
from helpers.engine.files import PROJECT
from helpers.engine.precision import has_bfloat16
from helpers.model import Transformer

OURS = "ours"
WORK = {"short": "solution_only", "long": "correct"}  # whose answers are so
PUBLISHED = PROJECT / "results" / "laptop" / "models"
MAZES, FEW_MAZES = 256, 5  # how many are answered, and in miniature
FEW_STEPS = 3  # of training, of a model in miniature
TARGET = 8.0  # times the peer


def model_of(condition: str, tiny: bool) -> Transformer:
    """The published model of a condition; in miniature one that has learnt nothing."""
    if not tiny:
        return load_model(PUBLISHED / f"{condition}_1.safetensors")
    scale = scale_of(tiny)
    with TemporaryDirectory() as folder:
        return training.ours(scale, training.examples_for(scale, FEW_STEPS), folder).run()


def rows(tiny: bool = False) -> list[dict]:
    """Of each kind of answer: tokens a second and time, beside transformers' fastest."""
    return [each for kind in WORK for each in measured(kind, tiny)]


def measured(kind: str, tiny: bool) -> list[dict]:
    """The rows of short answers or of long ones."""
    scale, condition, mazes = scale_of(tiny), WORK[kind], FEW_MAZES if tiny else MAZES
    model = model_of(condition, tiny)
    asked = prompts(build(replace(scale.recipe("test"), count=mazes)), CONDITIONS[condition])
    longest = scale.decoding.max_new_tokens
    found: dict[str, list] = {}
    seconds: dict[str, list[float]] = {}

    def timed(name: str, work) -> None:
        def keep() -> None:
            found[name] = work()
        seconds.setdefault(name, []).append(processor_seconds(keep))

    def ours() -> None:
        timed(OURS, lambda: generate(model, asked, max_new_tokens=longest, batch_size=mazes))

    generate(model, asked[:8], max_new_tokens=8)
    ours()
    if qwen2.available():
        theirs = qwen2.qwen2(model).eval()
        theirs = theirs.to(torch.bfloat16) if has_bfloat16() else theirs
        for cache in ("dynamic", "static"):
            qwen2.answers(theirs, asked[:8], 8, cache)
            timed(f"{qwen2.NAME}, {cache} cache",
                  lambda cache=cache: qwen2.answers(theirs, asked, longest, cache))
            ours()  # around each of the peer's, which is slow enough to be run once

    took = {name: float(np.median(values)) for name, values in seconds.items()}
    rate = {name: sum(map(len, answers)) / took[name] for name, answers in found.items()}
    best = min((name for name in took if name != OURS), key=took.get, default=None)
    result = [row(f"decode_{kind}", rate[OURS], "tokens/s", peer=best, peer_value=rate.get(best),
                  target=TARGET, target_of="ratio"),
              row(f"decode_{kind}_time", took[OURS], "s", peer=best, peer_value=took.get(best))]
    if best:
        same = np.mean([list(a) == b for a, b in zip(found[OURS], found[best], strict=True)])
        result.append(row(f"decode_{kind}_same", float(same), "of answers", peer=best))
    return result
