"""GRPO beside TRL's: one batch of answers, the same masks, advantages, loss and gradients.

The answers are made up and given to both. Ours go through `Rollouts` and `Policy`; TRL takes them
by its ``rollout_func`` through ``_generate_and_score_completions``, then ``compute_loss``, on a
model that was exported. There are three sets of weights: those from ``BEFORE``, from which the
divergence is counted, those that wrote the answers (``THEN``), and those that learn (``NOW``).

Left to its defaults TRL has another loss: ``use_bias_correction_kl`` is true there, and only
``loss_type="bnpo"`` is the mean over the tokens of the batch.
"""

from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from datasets import Dataset
from models import scrambled
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer

from helpers import grpo
from helpers.checkpoints import rounded, write_checkpoint
from helpers.corpus import PLAN_PART, TRACE_PART, Recipe, build
from helpers.decoding import Answers
from helpers.grpo import Policy, Rollouts, Sampled, TuningConfig
from helpers.language import END
from helpers.model import ModelConfig, Transformer
from helpers.optimisation import TrainingConfig
from helpers.share.export import export, qwen2_state

pytestmark = pytest.mark.usefixtures("one_thread")

CORPUS = build(Recipe("searchformer", 4, 5, "train", 1, "indexed", 12))
CONFIG = ModelConfig(vocabulary=CORPUS.vocabulary.size, context=256, width=32, layers=2, heads=4,
                     kv_heads=2, mlp_width=48)
SETTINGS = TuningConfig(after="grpo", mazes=4, answers=4)
TRAINING = TrainingConfig(micro_batch_tokens=500)  # so that a step has several parts
REWARDS = np.array([[1, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0], [0, 1, 0, 1]], float)
KL = [0.0, 0.04]


def moved(model: Transformer, seed: int, by: float = 0.015) -> Transformer:
    """The model as it might be some steps later."""
    other = Transformer(model.config, 0)
    other.load_state_dict(model.state_dict())
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in other.parameters():
            weight += by * torch.randn(weight.shape, generator=generator)
    return other


BEFORE = scrambled(CONFIG)
BEFORE.load_state_dict(rounded(BEFORE.state_dict()))  # as a model is that is read from its file
THEN = moved(BEFORE, 1)
NOW = moved(THEN, 2)


class Given:
    """A decoder that writes answers made up, of which some are right and some cut off.

    All answers to the second maze are right, none to the third.
    """

    def __init__(self, model: Transformer):
        self.model = model

    def answer(self, prompts: list[np.ndarray], **_) -> Answers:
        first, second, _, fourth = (right(maze) for maze in asked())
        words = np.random.default_rng(0).integers(END + 1, CONFIG.vocabulary, 60).astype(np.uint16)
        ended = [np.append(words[:length], np.uint16(END)) for length in (3, 17, 44)]
        ids = [first, first[:-1], second, ended[0], *4 * [second],
               ended[1], words[:29], first[:5], ended[2], words[:1], fourth, ended[2], fourth]
        batch = grpo.batch_of(prompts, ids)
        with torch.no_grad():
            logs = grpo.log_probabilities(self.model, batch)[:len(batch.targets)].numpy()
        return Answers(ids, np.split(logs, np.cumsum([len(one) for one in ids])[:-1]))


def rollouts(before: Transformer | None = None) -> Rollouts:
    return Rollouts(THEN, CORPUS, "correct", SETTINGS, grpo.advantages, seed=1, max_new_tokens=120,
                    before=before)


def asked() -> list[int]:
    """The mazes of the step."""
    return rollouts().indices(0).tolist()


def right(maze: int) -> np.ndarray:
    """A*'s answer behind the word ``reasoning``."""
    return np.concatenate([CORPUS.segment(maze, part) for part in (TRACE_PART, PLAN_PART)])[1:]


# ── both sides ──────────────────────────────────────────────────────────────────────────


class Found(NamedTuple):
    loss: float
    gradients: dict[str, Tensor]  # by Qwen2's names
    numbers: dict


@pytest.fixture(scope="module")
def exact():
    """Ours in float32 whatever the machine, as TRL's are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grpo, "autocast", lambda _: torch.autocast("cpu", enabled=False))
        patch.setattr(grpo, "Decoder", Given)
        yield


@pytest.fixture(scope="module", params=KL)
def kl(request) -> float:
    return request.param


@pytest.fixture(scope="module")
def sampled(exact, kl) -> Sampled:
    return rollouts(BEFORE if kl else None)[0]


@pytest.fixture(scope="module")
def ours(sampled, kl) -> Found:
    NOW.zero_grad()
    numbers = Policy(SETTINGS.model_copy(update={"kl": kl}), NOW, TRAINING, False)(sampled)()
    return Found(numbers["loss"], qwen2_state({name: weight.grad.clone() for name, weight
                                               in NOW.named_parameters()}), numbers)


class Theirs:
    """TRL's trainer on the exported model, and the batch it makes of the answers."""

    def __init__(self, folder: Path, **settings):
        tokenizer = AutoTokenizer.from_pretrained(folder)
        prompts = [np.append(CORPUS.segment(maze, 0), np.uint16(rollouts().opening))
                   for maze in asked() for _ in range(SETTINGS.answers)]
        answers = Given(THEN).answer(prompts).ids
        texts = [CORPUS.vocabulary.decode(prompt) for prompt in prompts]

        def rollout(given: list[str], trainer) -> dict:
            assert given == texts
            return {"prompt_ids": tokenizer(given)["input_ids"],
                    "completion_ids": [ids.tolist() for ids in answers], "logprobs": None}

        def reward(completion_ids: list[list[int]], **_) -> list[float]:
            wanted = [right(maze).tolist() for maze in asked() for _ in range(SETTINGS.answers)]
            return [float(ids == best) for ids, best in zip(completion_ids, wanted, strict=True)]

        # two updates a batch: only then it keeps the log-probabilities of before the first
        config = GRPOConfig(output_dir=str(folder / "trl"), per_device_train_batch_size=len(texts),
                            num_generations=SETTINGS.answers, num_iterations=2, use_cpu=True,
                            bf16=False, report_to="none",
                            **{"loss_type": "bnpo", "scale_rewards": "group", "epsilon": 0.2,
                               "use_bias_correction_kl": False, **settings})
        self.trainer = GRPOTrainer(AutoModelForCausalLM.from_pretrained(folder), reward, config,
                                   Dataset.from_dict({"prompt": texts}),
                                   processing_class=tokenizer, rollout_func=rollout)
        self.trainer.current_gradient_accumulation_steps = 1
        self.trainer.model.train()
        self._take(THEN)
        self.batch = self.trainer._generate_and_score_completions(
            [{"prompt": text} for text in texts])

    def _take(self, model: Transformer) -> None:
        missing, unexpected = self.trainer.model.load_state_dict(qwen2_state(model), strict=False)
        assert (missing, unexpected) == (["lm_head.weight"], [])

    def found(self) -> Found:
        self._take(NOW)
        self.trainer.model.zero_grad()
        loss = self.trainer.compute_loss(self.trainer.model, self.batch)
        loss.backward()
        gradients = {name: weight.grad for name, weight in self.trainer.model.named_parameters()}
        numbers = {name: values[-1] for name, values in self.trainer._metrics["train"].items()}
        return Found(float(loss.detach()), gradients, numbers)

    def tokens(self, name: str) -> np.ndarray:
        """A table of the batch, [16, longest], at the tokens of answers, one behind the other."""
        return self.batch[name][self.batch["completion_mask"].bool()].numpy()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, one_thread) -> Path:
    """`BEFORE`, exported: TRL reads the model of the divergence from where the model came from."""
    path = tmp_path_factory.mktemp("model")
    write_checkpoint(path / "model.safetensors", {
        "follows_from": {"condition": "correct", "seed": 1, "model": CONFIG.shape(),
                         "training": {}, "corpus": asdict(CORPUS.recipe)},
        "context": CONFIG.context},
        {f"model.{name}": value for name, value in BEFORE.state_dict().items()})
    export(path / "model.safetensors", path / "export")
    return path / "export"


@pytest.fixture(scope="module")
def theirs(folder, exact, kl) -> Theirs:
    return Theirs(folder, beta=kl)


@pytest.fixture(scope="module")
def learnt(theirs) -> Found:
    return theirs.found()


# ── the comparison ──────────────────────────────────────────────────────────────────────


def close(one, other, rtol: float = 1e-5) -> bool:
    """Whether two arrays differ by little, beside the largest number in them."""
    one, other = np.asarray(one, float), np.asarray(other, float)
    assert one.shape == other.shape
    return np.abs(one - other).max() <= rtol * np.abs(other).max()


def learnt_from(kl: float) -> np.ndarray:
    """Which answers are in our batch, bool [16]: all of some worth, or all there are."""
    return np.ones(16, bool) if kl else REWARDS.std(1).astype(bool).repeat(4)


def test_the_same_text(sampled, theirs, kl):
    """An answer that was cut off counts with all its tokens, one of no worth too."""
    batch = theirs.batch
    lengths = batch["completion_mask"].sum(1).numpy()
    assert len(set(lengths)) > 8
    assert len(set(batch["prompt_mask"].sum(1).tolist())) > 1
    assert lengths.sum() == sampled.written
    kept = learnt_from(kl)
    rows = torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1)
    masks = torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1).bool()
    texts = [row[mask][:-1].numpy() for row, mask, keep in zip(rows, masks, kept, strict=True)
             if keep]  # of the last word ours asks for nothing
    assert np.array_equal(np.concatenate(texts), sampled.tokens[:sum(map(len, texts))])
    targets = theirs.tokens("completion_ids")[kept.repeat(lengths)]
    assert np.array_equal(targets, sampled.targets)


def test_the_same_rewards(sampled, learnt):
    """The reward of TRL's side is that of A*'s own answer, ours is a verdict."""
    numbers = learnt.numbers
    assert sampled.seen["plan_valid"] == numbers["reward"] == REWARDS.mean()
    assert sampled.seen["cut_off"] == numbers["completions/clipped_ratio"] == 0.25
    assert sampled.seen["no_spread"] == numbers["frac_reward_zero_std"] == 0.5
    assert sampled.seen["answer_tokens"] == numbers["completions/mean_length"]


def test_the_same_advantages(theirs):
    found = theirs.batch["advantages"].reshape(4, 4)
    assert not found[1:3].any()
    assert close(grpo.advantages(REWARDS), found)


def test_the_same_chances_of_before(sampled, theirs, kl):
    kept = learnt_from(kl).repeat(theirs.batch["completion_mask"].sum(1))
    assert close(sampled.then, theirs.tokens("old_per_token_logps")[kept])
    if kl:
        assert close(sampled.before, theirs.tokens("ref_per_token_logps"))
    else:
        assert "ref_per_token_logps" not in theirs.batch


def test_the_same_loss_and_gradients(ours, learnt):
    """On answers of which many tokens are clipped, on both sides."""
    assert learnt.numbers["clip_ratio/low_mean"] > 0.05
    assert learnt.numbers["clip_ratio/high_mean"] > 0.05
    assert ours.loss == pytest.approx(learnt.loss, rel=1e-5)
    assert set(ours.gradients) == set(learnt.gradients)
    for name, gradient in learnt.gradients.items():
        assert close(ours.gradients[name], gradient, 2e-5), name


@pytest.mark.parametrize("kl", [0.04], indirect=True)
@pytest.mark.parametrize("other", [
    {"loss_type": "grpo"}, {"use_bias_correction_kl": True}, {"epsilon": 0.3},
    {"scale_rewards": "none"}, {"mask_truncated_completions": True}],
    ids=lambda other: next(iter(other)))
def test_other_settings_are_another_loss(ours, folder, exact, kl, other):
    """So what agrees does not agree with anything."""
    found = Theirs(folder, beta=kl, **other).found()
    name = "model.embed_tokens.weight"
    assert not close(ours.gradients[name], found.gradients[name], 0.01)
