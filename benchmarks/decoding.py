"""Greedy answers to 256 mazes, beside transformers' ``generate`` with the same weights.

Both answer all mazes at once, with the model of the laptop's run where there is one, and are
counted by the tokens up to each answer's end. transformers may use its dynamic or its
static cache, and has its weights in the precision that ours computes in (which is faster for
it than autocast, and the static cache needs it); the faster of the two is the peer.
"""

from dataclasses import replace
from tempfile import TemporaryDirectory

import numpy as np
import torch

from benchmarks import qwen2, training
from benchmarks.measure import processor_seconds, row
from benchmarks.measure import scale as scale_of
from helpers.checkpoints import CheckpointError, load_model
from helpers.conditions import CONDITIONS, prompts
from helpers.corpus import build
from helpers.decoding import generate
from helpers.engine.files import PROJECT
from helpers.engine.precision import has_bfloat16
from helpers.model import Transformer
from helpers.study.scale import Scale
from helpers.study.specs import ModelSpec

CONDITION = training.CONDITION
MAZES, FEW_MAZES = 256, 5  # how many are answered, and in miniature
TARGET = 8.0  # times the peer
STEPS, FEW_STEPS = 300, 3  # of training, where there is no trained model


def trained(scale: Scale, steps: int) -> Transformer:
    """The model of the scale's run, or else one trained for so many steps."""
    name = ModelSpec(CONDITION, scale.seeds[0]).name
    path = PROJECT / "runs" / scale.name / "models" / name / "model.safetensors"
    try:
        model = load_model(path)
        if model.config == scale.transformer():
            print(f"decoding: {path.relative_to(PROJECT)}")
            return model
    except CheckpointError:
        pass
    print(f"decoding: a model trained for {steps} steps, since there is none of `make study`")
    with TemporaryDirectory() as folder:
        return training.ours(scale, training.examples_for(scale, steps), folder).run()


def rows(tiny: bool = False) -> list[dict]:
    """`decode` beside transformers' fastest, and the share of mazes with the same answer."""
    scale, mazes = scale_of(tiny), FEW_MAZES if tiny else MAZES
    model = trained(scale, FEW_STEPS if tiny else STEPS)
    asked = prompts(build(replace(scale.recipe("test"), count=mazes)), CONDITIONS[CONDITION])
    longest = scale.decoding.max_new_tokens
    found: dict[str, list] = {}
    seconds: dict[str, list[float]] = {}

    def timed(name: str, work) -> None:
        def keep() -> None:
            found[name] = work()
        seconds.setdefault(name, []).append(processor_seconds(keep))

    def ours() -> None:
        timed("decode", lambda: generate(model, asked, max_new_tokens=longest, batch_size=mazes))

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
    tokens = {name: sum(map(len, answers)) for name, answers in found.items()}
    best = min((name for name in took if name != "decode"), key=took.get, default=None)
    rate = {name: tokens[name] / took[name] for name in took}
    result = [row("decode", rate["decode"], "tokens/s", peer=best, peer_value=rate.get(best),
                  target=TARGET, target_of="ratio"),
              row("decode_time", took["decode"], "s", peer=best, peer_value=took.get(best))]
    for name in found:
        if name != "decode":
            same = np.mean([list(a) == b for a, b in zip(found["decode"], found[name],
                                                         strict=True)])
            print(f"decoding: {name}, {took[name]:.1f} s; {same:.1%} of answers are ours")
    return result

