"""A step of training against the same step written out with numpy, and what would differ.

`Trainer` computes in float32 here. The step written out takes gradients from torch's
automatic differentiation of the loss and knows nothing else of it: how the rate falls, how
gradients are cut off, how Muon and AdamW move the weights.
"""

from functools import cache

import numpy as np
import pytest
import torch

from helpers.batches import Batches, make_batch
from helpers.conditions import CONDITIONS, put_together
from helpers.corpus import Recipe, build
from helpers.model import ModelConfig, Transformer
from helpers.optimisation import TrainingConfig
from helpers.study.scale import load_scale
from helpers.study.specs import ModelSpec
from helpers.training import Trainer, to_tensors, token_weights

pytestmark = pytest.mark.usefixtures("one_thread", "float32")

STEPS, SEED = 12, 7
EXAMPLES = put_together(build(Recipe("wilson", 4, 4, "train", 1, "indexed", 8 * STEPS)),
                        CONDITIONS["correct"], SEED)
MODEL = ModelConfig(vocabulary=34, context=256, width=16, layers=2, heads=2, kv_heads=1,
                    mlp_width=24, init_std=0.2)
SETTINGS = TrainingConfig(batch_size=8, learning_rate=0.03, adam_learning_rate=0.004,
                          weight_decay=0.5, warmup_steps=3, decay_fraction=0.5, clip_norm=1.0,
                          plan_weight=3.0, log_every=1)


@cache
def written_out(**changes) -> dict[str, np.ndarray]:
    """The weights after `STEPS` steps, float64."""
    about = {"warmup": 3, "decay": 6, "clip": 1.0, "weight_decay": 0.5, "muon": 0.03,
             "adam": 0.004, "momentum": 0.95, "betas": (0.9, 0.95), "seed": SEED,
             "plan_weight": 3.0, "order": SEED, "optimiser": "muon", "schedule": "linear"} | changes
    model = Transformer(MODEL, about["seed"])
    weights = {name: value.detach().double().numpy().copy()
               for name, value in model.named_parameters()}
    means, squares = (dict.fromkeys(weights, 0.0) for _ in range(2))
    order = Batches(EXAMPLES, 8, 1, about["order"])
    for step in range(STEPS):
        with torch.no_grad():
            for name, value in model.named_parameters():
                value.copy_(torch.from_numpy(weights[name]))
        model.zero_grad()
        batch = make_batch(EXAMPLES, order.indices(step))
        model.loss(*to_tensors(
            batch, token_weights(batch, about["plan_weight"]), torch.device("cpu")))[0].backward()
        gradients = {name: p.grad.double().numpy() for name, p in model.named_parameters()}
        norm = np.sqrt(sum((g**2).sum() for g in gradients.values()))
        left = min(1.0, (STEPS - step) / about["decay"])
        left = left if about["schedule"] == "linear" else np.sin(np.pi / 2 * left)**2
        rate = min((step + 1) / about["warmup"], left)
        for name, w in weights.items():
            g = gradients[name] * min(1.0, about["clip"] / norm)
            all_decay = about["weight_decay"] * w if about["optimiser"] == "adamw" else 0.0
            if g.ndim == 2 and name != "embedding.weight" and about["optimiser"] == "muon":
                means[name] = about["momentum"] * means[name] + (1 - about["momentum"]) * g
                x = about["momentum"] * means[name] + (1 - about["momentum"]) * g
                x /= np.linalg.norm(x)
                for _ in range(5):
                    x = 3.4445 * x + (2.0315 * (x @ x.T) @ (x @ x.T) - 4.7750 * (x @ x.T)) @ x
                w -= rate * about["muon"] * (about["weight_decay"] * w + x * np.sqrt(
                    max(1, len(w) / len(w.T))))
            else:
                first, second = about["betas"]
                means[name] = first * means[name] + (1 - first) * g
                squares[name] = second * squares[name] + (1 - second) * g**2
                w -= rate * about["adam"] * (all_decay + means[name] / (1 - first ** (step + 1)) / (
                    np.sqrt(squares[name] / (1 - second ** (step + 1))) + 1e-8))
    return weights


@pytest.fixture(scope="module")
def trained(tmp_path_factory, float32) -> dict[str, np.ndarray]:
    """The weights that `Trainer` comes to."""
    return weights_of(SETTINGS, tmp_path_factory)


def weights_of(settings: TrainingConfig, tmp_path_factory) -> dict[str, np.ndarray]:
    folder = tmp_path_factory.mktemp("run")
    model = Trainer(Batches(EXAMPLES, 8, 1, SEED), MODEL, settings, seed=SEED, follows_from={},
                    folder=folder, compiled=False).run()
    norms = [float(line.split('"gradient_norm": ')[1].rstrip("}"))
             for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert min(norms) < 1 < max(norms)  # some gradients are cut off, others not
    return {name: value.detach().double().numpy() for name, value in model.named_parameters()}


def apart(trained: dict, written: dict) -> dict[str, float]:
    """How far the weights of each name are apart, as a share of the way from the beginning."""
    begin = dict(Transformer(MODEL, SEED).named_parameters())
    return {name: float(np.linalg.norm(value - written[name]) / np.linalg.norm(
        value - begin[name].detach().numpy())) for name, value in trained.items()}


def test_a_training_is_the_same_written_out(trained):
    assert max(apart(trained, written_out()).values()) < 1e-3


def test_adamw_for_all_and_a_cosine(tmp_path_factory):
    """As the paper's scale has it; each of the two changes the weights."""
    change = {"optimiser": "adamw", "schedule": "cosine"}
    found = weights_of(SETTINGS.model_copy(update=change), tmp_path_factory)
    assert max(apart(found, written_out(**change)).values()) < 1e-3
    for name in change:
        other = written_out(**{key: value for key, value in change.items() if key != name})
        assert max(apart(found, other).values()) > 0.005


def test_settings_that_came_later_are_no_part_of_older_recipes():
    """Where nobody has set them; where somebody has, they are."""
    assert not {"optimiser", "schedule"} & SETTINGS.effective().keys()
    other = SETTINGS.model_copy(update={"optimiser": "adamw"}).effective()
    assert other == SETTINGS.effective() | {"optimiser": "adamw"}


def test_the_papers_scale_and_its_variation():
    """The published settings are the base; Muon is a word in a model's name."""
    scale = load_scale("paper")
    muon = scale.varied(ModelSpec.parse("correct+optimiser=muon_1").variation)
    about = scale.training.effective()
    assert (about["optimiser"], about["schedule"], about["mean_over"]) == ("adamw", "cosine", 4)
    assert scale.training.warmup_steps == scale.steps() // 10
    assert muon.training.effective() == {
        name: value for name, value in about.items() if name != "optimiser"}


@pytest.mark.parametrize("change", [
    {"warmup": 1e-9}, {"decay": 1e-9}, {"warmup": 1e-9, "decay": 1e-9},  # no schedule at all
    {"clip": np.inf}, {"clip": 0.5}, {"weight_decay": 0.0}, {"momentum": 0.0},
    {"adam": 0.03}, {"muon": 0.004}, {"betas": (0.9, 0.999)}, {"seed": 0}, {"order": 0},
    {"plan_weight": 1.0}], ids=str)
def test_anything_else_is_noticed(trained, change):
    assert max(apart(trained, written_out(**change)).values()) > 5e-3
