"""GRPO: its loss is the one on paper, it learns what is rewarded, and it can be killed."""

from functools import partial

import numpy as np
import pytest
import torch
from test_training import assert_same_run

from helpers import grpo
from helpers.batches import Batches, make_batch
from helpers.conditions import CONDITIONS, prompts, put_together
from helpers.corpus import PLAN_PART, TRACE_PART, Recipe, build
from helpers.engine.packing import pack
from helpers.grpo import Imitation, Policy, Rollouts, Sampled, TuningConfig
from helpers.language import END, REASONING, SOLUTION
from helpers.maze import Mazes
from helpers.model import ModelConfig, Transformer
from helpers.optimisation import TrainingConfig
from helpers.training import Likelihood
from helpers.tuner import Tuner, tuner

pytestmark = pytest.mark.usefixtures("one_thread", "float32")

CORPUS = build(Recipe("wilson", 4, 4, "train", 1, "indexed", 60))
MODEL = ModelConfig(vocabulary=CORPUS.vocabulary.size, context=160, width=16, layers=1, heads=2,
                    kv_heads=1, mlp_width=16)
SETTINGS = TuningConfig(after="grpo", tuning_steps=6, mazes=3, answers=4, tuning_rate=0.01)
TRAINING = TrainingConfig(snapshots=2, micro_batch_tokens=300)


def fresh(seed: int = 0) -> Transformer:
    """A model with opinions: its logits are lively."""
    model = Transformer(MODEL, seed)
    with torch.no_grad():
        model.embedding.weight *= 20
    return model


def rollouts(model: Transformer, settings: TuningConfig = SETTINGS, condition: str = "correct",
             **changes) -> Rollouts:
    return Rollouts(model, CORPUS, condition, settings, changes.pop("worth", grpo.advantages),
                    seed=1, max_new_tokens=8, batch_size=8, **changes)


def own_answers(condition: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """A*'s prompts and answers, as a perfect model would write them."""
    opened = prompts(CORPUS, CONDITIONS[condition])
    parts = (TRACE_PART, PLAN_PART) if CONDITIONS[condition].has_trace else (PLAN_PART,)
    return opened, [np.concatenate([CORPUS.segment(i, part) for part in parts])[1:]
                    for i in range(len(CORPUS))]


# ── answers and what they are worth ─────────────────────────────────────────────────────


def test_advantages():
    found = grpo.advantages(np.array([[1.0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0], [1, 1, 0, 0]]))
    assert found[0] == pytest.approx([0.75 / 0.5001] + 3 * [-0.25 / 0.5001])
    assert not found[1:3].any()
    assert found[3] == pytest.approx(np.array([1, 1, -1, -1]) * 0.5 / (np.sqrt(1 / 3) + 1e-4))


@pytest.mark.parametrize("condition", ["solution_only", "correct"])
def test_rewards(condition):
    opening = CONDITIONS[condition].opening
    _, answers = own_answers(condition)
    rewards, seen = grpo.rewarded(CORPUS.mazes, answers, opening)
    assert rewards.all()
    assert seen["cut_off"] == 0
    if condition == "correct":
        assert seen["trace_valid"] == seen["trace_published"] == 1
        assert seen["trace_tokens"] == CORPUS.lengths()[:, TRACE_PART].mean() - 1
    else:
        assert "trace_valid" not in seen
    cut = [ids[:-1] if i < 15 else ids for i, ids in enumerate(answers)]
    rewards, seen = grpo.rewarded(CORPUS.mazes, cut, opening)
    assert rewards.tolist() == 15 * [0.0] + 45 * [1.0]
    assert (seen["cut_off"], seen["plan_valid"]) == (0.25, 0.75)
    others = Mazes(*(np.roll(array, 1, 0) for array in CORPUS.mazes))
    assert grpo.rewarded(others, answers, opening)[0].mean() < 0.2


@pytest.mark.parametrize("condition", ["solution_only", "correct"])
def test_answers_as_a_batch_are_like_examples(condition):
    """Of a perfect model's answers the batch is that of the examples themselves."""
    found = grpo.batch_of(*own_answers(condition))
    expected = make_batch(put_together(CORPUS, CONDITIONS[condition], 1), np.arange(len(CORPUS)))
    assert all(np.array_equal(*pair) for pair in zip(found, expected, strict=True))


@pytest.mark.parametrize("words", [[5, 6, 7], [SOLUTION], [5, END], [5, SOLUTION, SOLUTION, 6]])
def test_answers_of_any_form_are_learnt_whole(words):
    prompt = np.array([1, 2, REASONING], np.uint16)
    batch = grpo.batch_of([prompt, prompt], [np.array(words, np.uint16), np.array([9])])
    assert batch.targets.tolist() == [*words, 9]
    assert batch.in_plan.sum() == (len(words) - 1 - words.index(SOLUTION)
                                   if SOLUTION in words else 0)


def test_rollouts_follow_from_weights_seed_and_step(odd):
    model = fresh()
    first = rollouts(model)[2]
    again = rollouts(fresh())[2]
    assert np.array_equal(first.tokens, again.tokens)
    assert np.array_equal(first.then, again.then)
    for other in (rollouts(model)[3], rollouts(fresh(1))[2],
                  rollouts(model, SETTINGS.model_copy(update={"draws": 1}))[2]):
        assert not np.array_equal(first.tokens, other.tokens)
    seen = [i for step in range(20) for i in rollouts(model).indices(step)]
    assert sorted(seen) == list(range(60))  # a pass
    with pytest.raises(ValueError, match="mazes: got 61, takes at most the 60 of the corpus"):
        rollouts(model, SETTINGS.model_copy(update={"mazes": 61}))


def test_what_was_drawn_is_what_is_learnt(odd):
    """The decoder's log-probabilities are those of a training step, but for rounding."""
    model = fresh()
    sampled = rollouts(model)[0]
    now = grpo.log_probabilities(model, sampled.batch)[:len(sampled.targets)]
    assert np.allclose(now.detach(), sampled.then, atol=2e-2)
    assert len(np.unique(sampled.worth)) > 1
    assert sampled.written >= len(sampled.targets)


def test_what_teaches_nothing_is_left_out():
    """An untrained model is never right: all answers but one placeholder, which weighs nothing."""
    model = fresh()
    sampled = rollouts(model)[0]
    assert sampled.seen["no_spread"] == 1
    assert len(sampled.batch.lengths) == 1
    numbers = Policy(SETTINGS, model, TRAINING, False)(sampled)()
    assert numbers["loss"] == 0
    assert all(not weight.grad.any() for weight in model.parameters())
    held = rollouts(model, before=fresh(1))[0]
    assert len(held.batch.lengths) == 12
    assert len(held.before) == len(held.targets) == held.written


# ── the loss ────────────────────────────────────────────────────────────────────────────


def plain_loss(model: Transformer, sampled: Sampled, settings: TuningConfig) -> torch.Tensor:
    """GRPO as one would write it down: token by token, each answer alone, no batch."""
    batch, total, count, place = sampled.batch, 0.0, 0, 0
    ends = np.cumsum(batch.lengths)
    for end, length in zip(ends, batch.lengths, strict=True):
        tokens = torch.from_numpy(batch.tokens[end - length:end])
        packing = pack(np.array([length]), groups=1)
        padded = torch.zeros(len(packing.positions), dtype=torch.int64)
        padded[:length] = tokens
        chances = model(padded, packing).double().log_softmax(-1)
        for where in batch.learn[(batch.learn >= end - length) & (batch.learn < end)]:
            now = chances[where - (end - length), batch.targets[place]]
            advantage = float(sampled.worth[place])
            ratio = torch.exp(now - float(sampled.then[place]))
            low, high = 1 - settings.clip, 1 + settings.clip
            clipped = low if ratio < low else high if ratio > high else ratio
            gain = min(ratio * advantage, clipped * advantage)
            if settings.kl:
                gap = float(sampled.before[place]) - now
                gain = gain - settings.kl * (torch.exp(gap) - gap - 1)
            total, count, place = total - gain, count + 1, place + 1
    return total / count


@pytest.mark.parametrize("kl", [0.0, 0.04])
def test_the_loss_is_the_plain_one(odd, kl, monkeypatch):
    """On a batch whose old chances lie on both sides of the clip, in value and in gradient."""
    monkeypatch.setattr(grpo, "autocast", lambda device: torch.autocast("cpu", enabled=False))
    model, settings = fresh(), SETTINGS.model_copy(update={"kl": kl})
    sampled = rollouts(model, settings, before=fresh(1))[0]
    rng = np.random.default_rng(0)
    then = sampled.then + rng.normal(0, 0.3, len(sampled.then)).astype(np.float32)
    sampled = Sampled(sampled.batch, sampled.worth, then, sampled.before, sampled.written, {})
    numbers = Policy(settings, model, TRAINING, False)(sampled)()
    ours = {name: weight.grad.clone() for name, weight in model.named_parameters()}
    model.zero_grad()
    expected = plain_loss(model, sampled, settings)
    expected.backward()
    assert 0.2 < numbers["clipped"] < 0.8
    assert numbers["loss"] == pytest.approx(float(expected.detach()), rel=1e-4, abs=1e-6)
    for name, weight in model.named_parameters():
        assert torch.allclose(ours[name], weight.grad, rtol=1e-3, atol=1e-5), name


def test_divergence_is_none_from_itself_and_never_negative():
    logs = torch.linspace(-5, 0, 20)
    assert not grpo.divergence(logs, logs).any()
    assert (grpo.divergence(logs, logs.flip(0)) >= 0).all()


def test_rejection_is_supervised_learning_of_right_answers(odd):
    model = fresh()
    sampled = rollouts(model, worth=Imitation.worth)[0]
    assert set(sampled.worth) == {1.0}
    ours = Imitation(SETTINGS, model, TRAINING, False)(sampled)()
    gradients = [weight.grad.clone() for weight in model.parameters()]
    model.zero_grad()
    theirs = Likelihood(model, TRAINING, False)(sampled.batch)()
    assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-3)
    for gradient, weight in zip(gradients, model.parameters(), strict=True):
        assert torch.allclose(gradient, weight.grad, rtol=5e-2, atol=2e-3)


# ── a run ───────────────────────────────────────────────────────────────────────────────


def tuning(folder, settings: TuningConfig = SETTINGS, **changes) -> Tuner:
    examples = Batches(put_together(CORPUS, CONDITIONS["correct"], 1), 12, 2, 1)
    return tuner(fresh(), CORPUS, "correct", settings, TRAINING, examples=examples, seed=1,
                 objective=grpo.OBJECTIVES.get(settings.after, Likelihood), max_new_tokens=8,
                 batch_size=8, folder=folder, follows_from={}, **changes)


@pytest.mark.parametrize("after", ["grpo", "rejection"])
def test_what_is_rewarded_becomes_likelier(odd, after, tmp_path):
    run = tuning(tmp_path, SETTINGS.model_copy(update={"after": after, "tuning_steps": 12}))
    before = np.mean([run.batches[100 + i].seen["plan_valid"] for i in range(4)])
    model = run.run()
    source = rollouts(model)
    assert np.mean([source[100 + i].seen["plan_valid"] for i in range(4)]) > before + 0.2


def test_killed_and_resumed_it_ends_in_the_same_weights(odd, tmp_path):
    tuning(tmp_path / "whole").run()
    for _ in range(3):
        tuning(tmp_path / "parts").run(stop_after=2)
    assert_same_run(tmp_path / "parts", tmp_path / "whole")


def test_continued_learns_from_the_examples(tmp_path):
    settings = SETTINGS.model_copy(update={"after": "continued", "tuning_rate": 0.003})
    run = tuning(tmp_path, settings)
    first = run.objective(run.batches[0])()["loss"]
    run.model.zero_grad()
    model = run.run()
    assert Likelihood(model, TRAINING, False)(run.batches[0])()["loss"] < first


def test_what_is_held_stays_to_the_bit(odd, tmp_path):
    """Neither gradient nor weight decay moves it; what learns moves."""
    start = {name: value.clone() for name, value in fresh().state_dict().items()}
    generator = torch.Generator().manual_seed(3)
    learns = {name: torch.rand(weight.shape, generator=generator) < 0.5
              for name, weight in fresh().named_parameters()}
    training = TRAINING.model_copy(update={"weight_decay": 0.1})
    make = partial(Tuner, settings=SETTINGS, training=training, objective=Policy, seed=1,
                   follows_from={})
    model = fresh()
    after = make(model, rollouts(model), learns=learns, folder=tmp_path / "part").run().state_dict()
    for name, which in learns.items():
        assert torch.equal(after[name][~which], start[name][~which])
    moved = torch.cat([(after[name] != start[name])[which] for name, which in learns.items()])
    assert moved.float().mean() > 0.9
    model = fresh()
    make(model, rollouts(model), folder=tmp_path / "all").run()
    assert not torch.equal(model.state_dict()["norm.weight"][~learns["norm.weight"]],
                           start["norm.weight"][~learns["norm.weight"]])
