"""The fast path learns as a plain one does: the same loss curve, from the same weights.

The fast path is a run of `Trainer` as a study makes it on this machine: packed examples,
attention in groups, bfloat16 products where the processor has them. (That the compiled step
is the eager one, `test_training.py` checks.) The plain one is transformers' Qwen2 in float32,
one example at a time, as a function of our weights so that the same optimisers change them.
"""

import json
from functools import cache

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import Qwen2Config, Qwen2ForCausalLM

from helpers import model
from helpers.batches import Batches, make_batch
from helpers.conditions import CONDITIONS, put_together
from helpers.corpus import Recipe, build
from helpers.model import ModelConfig, Transformer
from helpers.optimisation import TrainingConfig, make_optimizers, rate
from helpers.share.export import qwen2_config, qwen2_state
from helpers.training import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")

CORPUS = build(Recipe("wilson", 4, 4, "train", 1, "indexed", 480))
MODEL = ModelConfig(vocabulary=CORPUS.vocabulary.size, context=256, width=32, layers=2, heads=4,
                    kv_heads=2, mlp_width=64, rope_theta=1e4,
                    init_std=0.2)  # large, so that attention matters from the first step on
SETTINGS = TrainingConfig(batch_size=8, learning_rate=0.01, adam_learning_rate=0.005,
                          warmup_steps=5, plan_weight=4.0, log_every=1)
STEPS = 60
WINDOW = 10  # steps that are averaged
TOLERANCE = 0.005  # of a window's loss; bfloat16 has been seen to change it by up to 0.0011


def batches(condition: str, seed: int) -> Batches:
    return Batches(put_together(CORPUS, CONDITIONS[condition], seed), 8, 1, seed)


def fast_curve(folder, condition: str, seed: int, **changes) -> np.ndarray:
    """The loss of every step of a run, float [STEPS]."""
    settings = SETTINGS.model_copy(update=changes)
    Trainer(batches(condition, seed), MODEL, settings, seed=seed, follows_from={}, folder=folder,
            compiled=False).run()
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return np.array([json.loads(line)["loss"] for line in lines])


@cache
def plain_curve(condition: str, seed: int) -> np.ndarray:
    """The same, in float32, one example at a time."""
    ours = Transformer(MODEL, seed)  # holds the weights
    qwen2 = Qwen2ForCausalLM(Qwen2Config(**qwen2_config(MODEL), attn_implementation="eager"))
    optimizers, losses, source = make_optimizers(ours, SETTINGS), [], batches(condition, seed)
    for step in range(len(source)):
        weights = qwen2_state(dict(ours.named_parameters()))  # views: gradients reach ours
        loss = total = 0.0
        for index in source.indices(step):
            example = make_batch(source.examples, np.array([index]))
            tokens, learn, targets = map(torch.from_numpy, (example.tokens, example.learn,
                                                            example.targets))
            logits = torch.func.functional_call(qwen2, weights, (tokens[None],)).logits[0, learn]
            weight = torch.from_numpy(np.where(example.in_plan, SETTINGS.plan_weight, 1.0))
            each = F.cross_entropy(logits, targets, reduction="none")
            loss, total = loss + (weight * each).sum(), total + weight.sum()
        loss = loss / total
        losses.append(float(loss.detach()))
        ours.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(ours.parameters(), SETTINGS.clip_norm)
        for optimizer, peak in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = peak * rate(step, STEPS, SETTINGS)
            optimizer.step()
    return np.array(losses)


def difference(curve: np.ndarray, other: np.ndarray) -> float:
    """The largest relative difference of the two curves, smoothed."""
    curve, other = (losses.reshape(-1, WINDOW).mean(1) for losses in (curve, other))
    return np.abs(curve / other - 1).max()


def test_same_loss_curve_as_plain_training(tmp_path):
    fast, plain = fast_curve(tmp_path, "correct", 3), plain_curve("correct", 3)
    assert len(fast) == len(plain) == STEPS
    assert fast[-WINDOW:].mean() < 0.6 * fast[0]  # there is something to compare
    assert difference(fast, plain) < TOLERANCE


def test_another_plan_weight_is_noticed(tmp_path):
    fast = fast_curve(tmp_path, "correct", 3, plan_weight=3.0)
    assert difference(fast, plain_curve("correct", 3)) > 2 * TOLERANCE


def test_a_look_at_the_next_token_is_noticed(tmp_path, monkeypatch):
    def one_too_many(q, k, v):
        k, v = (x.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for x in (k, v))
        mask = torch.ones(q.shape[2], q.shape[2], dtype=torch.bool).tril(1)
        return F.scaled_dot_product_attention(q, k, v, mask)

    monkeypatch.setattr(model, "causal_attention", one_too_many)
    fast = fast_curve(tmp_path, "correct", 3)
    assert difference(fast, plain_curve("correct", 3)) > 2 * TOLERANCE
