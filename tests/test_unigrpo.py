"""GRPO with random masks: its loss is the one on paper, of hidden places alone; it resumes."""

from itertools import chain

import numpy as np
import pytest
import torch
from models import scrambled
from test_diffusion import of_texts
from test_grpo import MODEL, SETTINGS, TRAINING
from test_training import assert_same_run

from helpers import grpo, unigrpo
from helpers.conditions import CONDITIONS, put_together
from helpers.corpus import Recipe, build
from helpers.diffusion import MASK, Denoising, MaskedBatches, masked, seeing_all
from helpers.grpo import Sampled, TuningConfig, batch_of
from helpers.language import END, REASONING
from helpers.model import Transformer
from helpers.tuner import Tuner, tuner
from helpers.unigrpo import MaskedImitation, MaskedPolicy, MaskedRollouts, random_masks
from helpers.unmasking import cut, fill_in

pytestmark = pytest.mark.usefixtures("one_thread")

ROOM = 9
CORPUS = build(Recipe("wilson", 4, 4, "train", 1, "indexed", 30))


def rollouts(model: Transformer, settings: TuningConfig = SETTINGS, **changes) -> MaskedRollouts:
    return MaskedRollouts(model, CORPUS, "correct", settings, grpo.advantages, seed=1,
                          max_new_tokens=ROOM, batch_size=8, **changes)


# ── answers ─────────────────────────────────────────────────────────────────────────────


def test_words_are_drawn_with_the_models_chances():
    """Of one place behind one prompt, over many draws; colder, the likeliest alone."""
    model = seeing_all(scrambled(MODEL))
    prompt = np.array([5, 6, 7, REASONING], np.uint16)
    says = of_texts(model, [torch.tensor([*prompt.astype(int), MASK])])[-1].detach()
    says[MASK] = -torch.inf
    chances = says.softmax(-1).numpy()
    found = fill_in(model, [prompt] * 2000, 1, temperature=1.0, seed=3).ids[:, 0]
    assert abs(np.bincount(found, minlength=len(chances)) / 2000 - chances).max() < 0.05
    assert len(set(found)) > 5
    cold = fill_in(model, [prompt] * 20, 1, temperature=1e-4, seed=3).ids[:, 0]
    assert set(cold) == {chances.argmax()}


def test_drawn_answers_follow_from_the_seed_and_the_place():
    model = seeing_all(scrambled(MODEL))
    asked = [np.array([5, 6, number, REASONING], np.uint16) for number in (7, 7, 8)]
    ways = [fill_in(model, asked, ROOM, temperature=1.0, steps=4, **way).ids for way in (
        {"seed": 1}, {"seed": 1, "batch_size": 1}, {"seed": 2})]
    assert np.array_equal(*ways[:2])
    assert not np.array_equal(ways[0], ways[2])
    assert not np.array_equal(ways[0][0], ways[0][1])
    assert not (ways[0] == MASK).any()


@pytest.mark.parametrize("temperature", [-1.0, 1e-9, float("inf")])
def test_what_is_no_temperature(temperature):
    with pytest.raises(ValueError, match=f"temperature: got {temperature!r}, takes 0 or a finite"):
        fill_in(scrambled(MODEL), [], ROOM, temperature=temperature)


def test_masks_hide_any_number_of_places_as_often_as_any_other():
    hidden = random_masks(9000, ROOM, 7)
    numbers = np.bincount(hidden.sum(1), minlength=ROOM + 1)
    assert numbers[0] == 0
    assert abs(numbers[1:] / 1000 - 1).max() < 0.15  # five spreads of 1000 in 9000
    assert abs(hidden.mean(0) - (ROOM + 1) / 2 / ROOM).max() < 0.03
    assert np.array_equal(hidden, random_masks(9000, ROOM, 7))
    assert not np.array_equal(hidden, random_masks(9000, ROOM, 8))


def test_what_is_learnt_is_what_was_drawn(odd):
    """Targets put back in make the answers again; prompts and opening words are seen whole."""
    model = scrambled(MODEL)
    sampled = rollouts(model)[2]
    batch, ends = sampled.batch, np.cumsum(sampled.lengths)
    assert (batch.tokens[batch.learn] == MASK).all()
    assert (batch.tokens == MASK).sum() == len(batch.learn) == len(sampled.worth)
    text = batch.tokens.copy()
    text[batch.learn] = batch.targets
    asked = rollouts(model).indices(2).repeat(SETTINGS.answers)
    opened = [[*CORPUS.segment(i, 0), REASONING] for i in asked]
    (seed,) = np.random.SeedSequence([1, 0, 2, 0x60]).generate_state(1)
    drawn = fill_in(model, [np.array(one, np.uint16) for one in opened], ROOM, temperature=1.0,
                    seed=int(seed), batch_size=8).ids
    whole = [[*one, *answer] for one, answer in zip(opened, drawn.tolist(), strict=True)]
    learnt = [row.tolist() for row in np.split(text, ends[:-1])]
    assert all(one in whole for one in learnt)
    worth = grpo.advantages((drawn[:, 0] % 2).astype(float).reshape(-1, 4)).ravel()
    assert len(learnt) == (worth != 0).sum() > 0
    assert sampled.written == random_masks(12, ROOM, int(seed)).sum()
    again = rollouts(scrambled(MODEL))[2]
    assert np.array_equal(again.tokens, sampled.tokens)
    assert np.array_equal(again.then, sampled.then)


def test_an_answer_without_end_is_cut_off_and_worth_nothing():
    """By the reward itself: a right plan counts up to its `end`, without one it does not."""
    plans = [CORPUS.segment(i, 2)[1:] for i in range(2)]
    filled = np.full((2, max(map(len, plans)) + 2), 7, np.uint16)
    for row, plan in zip(filled, plans, strict=True):
        row[:len(plan)] = plan
    filled[1][filled[1] == END] = 7
    mazes = type(CORPUS.mazes)(*(array[:2] for array in CORPUS.mazes))
    rewards, seen = grpo.rewarded(mazes, cut(filled), CONDITIONS["solution_only"].opening)
    assert rewards.tolist() == [1, 0]
    assert seen["cut_off"] == 0.5


# ── the loss ────────────────────────────────────────────────────────────────────────────

PROMPTS = [np.array([5, 6, REASONING], np.uint16), np.array([8, REASONING], np.uint16)]
FILLED = [[7, 9, END], [9, 9, 10]]
HIDDEN = np.array([[True, False, True], [False, True, False]])
WORTH = [[2.0, 2.0], [-0.5]]  # of what is hidden
THEN = [[-5.1, -6.0], [-5.0]]  # with ratios within the clip, above it, and above it for nothing
NEAR = [[-5.1, -5.1], [-4.1]]
BEFORE = [[-1.0, -2.0], [-0.7]]


def small(then: list[list[float]] = THEN) -> Sampled:
    """Two answers of three words; of the first two are hidden, of the second one."""
    batch = masked(batch_of(PROMPTS, [np.array([*row, END]) for row in FILLED]), HIDDEN.mean(1),
                   HIDDEN).batch
    return Sampled(batch, *(np.array([*chain(*rows)], np.float32)
                            for rows in (WORTH, then, BEFORE)), 3, {})


def by_hand(model: Transformer, kl: float, then: list[list[float]]) -> torch.Tensor:
    """The loss as one would write it down: text by text, hidden word by hidden word."""
    texts = ([5, 6, REASONING, MASK, 9, MASK], [8, REASONING, 9, MASK, 10])
    asked = ([(3, 7), (5, END)], [(3, 9)])
    total = 0.0
    for text, words, *numbers in zip(texts, asked, WORTH, then, BEFORE, strict=True):
        chances = of_texts(model, [torch.tensor(text)]).double().log_softmax(-1)
        for (place, word), worth, old, before in zip(words, *numbers, strict=True):
            now = chances[place, word]
            ratio = torch.exp(now - old)
            clipped = 0.8 if ratio < 0.8 else 1.2 if ratio > 1.2 else ratio
            total = total - min(ratio * worth, clipped * worth)
            total = total + kl * (torch.exp(before - now) - (before - now) - 1)
    return total / 3


@pytest.fixture
def exact(monkeypatch):
    monkeypatch.setattr(grpo, "autocast", lambda device: torch.autocast("cpu", enabled=False))


def gradients(model: Transformer) -> dict[str, torch.Tensor]:
    found = {name: weight.grad.clone() for name, weight in model.named_parameters()}
    model.zero_grad()
    return found


@pytest.mark.parametrize("kl", [0.0, 0.04])
@pytest.mark.parametrize("part", [None, 6])  # at once, and text by text
def test_the_loss_is_the_one_on_paper(exact, kl, part):
    """In value and gradient, with old chances on both sides of the clip."""
    model = seeing_all(scrambled(MODEL))
    settings = SETTINGS.model_copy(update={"kl": kl})
    training = TRAINING.model_copy(update={"micro_batch_tokens": part})
    numbers = MaskedPolicy(settings, model, training, False)(small())()
    ours = gradients(model)
    expected = by_hand(model, kl, THEN)
    expected.backward()
    assert numbers["loss"] == pytest.approx(float(expected.detach()), rel=1e-4)
    assert numbers["clipped"] == pytest.approx(2 / 3)
    for name, gradient in gradients(model).items():
        assert torch.allclose(ours[name], gradient, rtol=1e-3, atol=1e-5), name


def test_as_it_was_drawn_it_is_the_plain_policy_gradient(exact):
    """Old and new alike: all ratios are 1, and the gradient is that of −A log p."""
    model = seeing_all(scrambled(MODEL))
    logs = rollouts(model).logs(model, small().batch)
    sampled = small([logs[:2].tolist(), logs[2:].tolist()])
    numbers = MaskedPolicy(SETTINGS, model, TRAINING, False)(sampled)()
    ours = gradients(model)
    assert numbers["off_by"] < 1e-6
    assert numbers["clipped"] == 0
    assert numbers["loss"] == pytest.approx(-(2 + 2 - 0.5) / 3, rel=1e-5)
    now = grpo.log_probabilities(model, sampled.batch, MaskedRollouts.tensors)[:3]
    (-(now * torch.tensor([2.0, 2.0, -0.5])).sum() / 3).backward()
    for name, gradient in gradients(model).items():
        assert torch.allclose(ours[name], gradient, rtol=1e-4, atol=1e-6), name


def test_a_step_of_its_own_has_ratios_of_one(odd):
    """The same masks before and after: nothing but rounding lies between."""
    model = scrambled(MODEL)
    sampled = rollouts(model)[0]
    numbers = MaskedPolicy(SETTINGS, model, TRAINING, False)(sampled)()
    assert numbers["off_by"] < 1e-3
    held = rollouts(model, before=scrambled(MODEL, 5))[0]
    assert len(held.lengths) == 12
    assert len(held.before) == len(held.targets) == held.written
    assert not np.allclose(held.before, held.then, atol=0.1)


def test_only_what_is_hidden_is_learnt():
    """No gradient comes from the places that are seen."""
    model, found = seeing_all(scrambled(MODEL)), []

    def watch(norm, given, out):
        out.register_hook(found.append)

    model.norm.register_forward_hook(watch)
    MaskedPolicy(SETTINGS, model, TRAINING, False)(small(NEAR))
    (gradient,) = found
    assert gradient[:3].any(1).all()
    assert not gradient[3:].any()
    # what a place holds that is seen is no target: another answer there has the same targets
    other = masked(batch_of(PROMPTS, [np.array([7, 11, END, END]), np.array([9, 9, 11, END])]),
                   HIDDEN.mean(1), HIDDEN).batch
    assert np.array_equal(other.targets, small().batch.targets)


def test_rejection_makes_right_answers_likelier(exact):
    model = seeing_all(scrambled(MODEL))
    sampled = small()
    sampled = Sampled(sampled.batch, np.array([1, 1, 0], np.float32), sampled.then, sampled.before,
                      3, {})
    numbers = MaskedImitation(SETTINGS, model, TRAINING, False)(sampled)()
    chances = of_texts(model, [torch.tensor([5, 6, REASONING, MASK, 9, MASK])]).log_softmax(-1)
    expected = -(chances[3, 7] + chances[5, END]) / 2
    assert numbers["loss"] == pytest.approx(float(expected.detach()), rel=1e-4)


# ── a run ───────────────────────────────────────────────────────────────────────────────


def tuning(folder, settings: TuningConfig = SETTINGS) -> Tuner:
    examples = MaskedBatches(put_together(CORPUS, CONDITIONS["correct"], 1), 12, 3, 1)
    return tuner(Transformer(MODEL, 1), CORPUS, "correct", settings, TRAINING, examples=examples,
                 objective=unigrpo.OBJECTIVES.get(settings.after, Denoising), max_new_tokens=ROOM,
                 seed=1, batch_size=8, folder=folder, follows_from={})


def test_what_is_rewarded_becomes_likelier(odd, tmp_path):
    run = tuning(tmp_path, SETTINGS.model_copy(update={"tuning_steps": 12}))
    before = np.mean([run.batches[100 + i].seen["plan_valid"] for i in range(4)])
    model = run.run()
    source = rollouts(model)
    assert np.mean([source[100 + i].seen["plan_valid"] for i in range(4)]) > before + 0.2


def test_continued_learns_from_the_examples(tmp_path):
    run = tuning(tmp_path, SETTINGS.model_copy(update={"after": "continued", "tuning_steps": 6}))
    first = run.objective(run.batches[0])()["loss"]
    run.model.zero_grad()
    assert Denoising(run.run(), TRAINING, False)(run.batches[0])()["loss"] < first


def test_killed_and_resumed_it_ends_in_the_same_weights(odd, tmp_path):
    tuning(tmp_path / "whole").run()
    for _ in range(3):
        tuning(tmp_path / "parts").run(stop_after=2)
    assert_same_run(tmp_path / "parts", tmp_path / "whole")
