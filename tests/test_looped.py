"""Looped models: shared blocks, where tokens stop, the loss by hand, answers with a cache."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_training import assert_same_run

from helpers import looped, looping
from helpers.architectures import build, configured
from helpers.batches import Batches
from helpers.checkpoints import load_model
from helpers.conditions import CONDITIONS, put_together
from helpers.corpus import PLAN_PART, Recipe
from helpers.corpus import build as drawn
from helpers.decoding import generate
from helpers.engine.packing import pack
from helpers.language import PLAN
from helpers.looped import BIAS, PRICE, SHARE, LoopedConfig, LoopedTransformer, after, stopping
from helpers.model import Cache, ModelConfig, Transformer, prefill, step
from helpers.optimisation import TrainingConfig
from helpers.training import Trainer

pytestmark = pytest.mark.usefixtures("one_thread", "float32")

CORPUS = drawn(Recipe("wilson", 4, 4, "train", 1, "indexed", 40))
SHAPE = {"vocabulary": CORPUS.vocabulary.size, "width": 16, "heads": 2, "kv_heads": 1,
         "mlp_width": 16}
PLAIN = ModelConfig(**SHAPE, layers=1, context=200)


def config(loops: int, blocks: int = 1) -> LoopedConfig:
    return LoopedConfig(**SHAPE, layers=loops * blocks, loops=loops, context=200)


def lively(loops: int, blocks: int = 1, seed: int = 0) -> LoopedTransformer:
    """A model whose tokens stop here and there."""
    model = build(config(loops, blocks), seed)
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.2 * torch.randn(weight.shape, generator=generator)
        model.halting.weight *= 2
        model.halting.bias.fill_(-1.0)
    return model


def packed(*lengths: int, seed: int = 0):
    packing = pack(np.array(lengths), groups=1)
    rng = np.random.default_rng(seed)
    tokens = torch.zeros(len(packing.positions), dtype=torch.int64)
    tokens[:sum(lengths)] = torch.from_numpy(rng.integers(4, SHAPE["vocabulary"], sum(lengths)))
    return tokens, packing


# ── blocks that are gone through again ──────────────────────────────────────────────────


def test_one_loop_is_the_plain_model():
    """In weights, answers, loss and gradients."""
    plain, again = Transformer(PLAIN, 3), build(config(1), 3)
    ours = dict(again.named_parameters())
    for name, weight in plain.named_parameters():
        assert torch.equal(ours.pop(name), weight), name
    assert {*ours} == {"halting.weight", "halting.bias"}
    tokens, packing = packed(9, 14)
    learn, targets = torch.arange(3, 8), torch.arange(5, 10)
    weights = torch.tensor([1.0, 2.0, 0.0, 1.0, 0.5])
    torch.testing.assert_close(again(tokens, packing), plain(tokens, packing))
    (loss, each), (expected, each_expected) = (
        model.loss(tokens, packing, learn, targets, weights) for model in (again, plain))
    torch.testing.assert_close((loss, each), (expected, each_expected))
    loss.backward()
    expected.backward()
    for name, weight in plain.named_parameters():
        torch.testing.assert_close(dict(again.named_parameters())[name].grad, weight.grad)


def test_loops_are_one_block_as_if_there_were_many():
    """A plain model of three pairs of the same two blocks says the same after its last."""
    model = lively(3, blocks=2)
    plain = Transformer(ModelConfig(**SHAPE, layers=6, context=200))
    weights = {name: value for name, value in model.state_dict().items() if "halting" not in name}
    plain.load_state_dict({
        **{name: value for name, value in weights.items() if "blocks" not in name},
        **{f"blocks.{2 * loop + int(name[7])}{name[8:]}": value for loop in range(3)
           for name, value in weights.items() if "blocks" in name}})
    tokens, packing = packed(9, 14)
    states = model.states(tokens, packing)
    assert len(states) == 3
    torch.testing.assert_close(states[-1], plain.hidden(tokens, packing))
    wanted = torch.tensor([2, 11])
    torch.testing.assert_close(model.states(tokens, packing, wanted), states[:, wanted])
    for loops in (1, 2, 3):
        short = after(model, loops)
        torch.testing.assert_close(short.hidden(tokens, packing), states[loops - 1])
        assert short.config.layers == 2 * loops


def test_loops_that_a_model_lacks_are_refused():
    for loops in (0, 4, 2.0, True):
        with pytest.raises(ValueError, match=r"loops: got .+, takes a whole number from 1 to 3, "):
            after(lively(3), loops)
    with pytest.raises(ValueError, match=r"loops: got 3, takes a divisor of layers \(4\)"):
        LoopedConfig(**SHAPE, layers=4, loops=3)


# ── where a token stops ─────────────────────────────────────────────────────────────────


def test_chances_of_stopping_are_the_products_on_paper():
    logits = torch.randn(5, 7, generator=torch.Generator().manual_seed(2)) * 3
    found = stopping(logits)
    torch.testing.assert_close(found.sum(0), torch.ones(7))
    ends = torch.sigmoid(logits)
    for token in range(7):
        goes_on = 1.0
        for loop in range(5):
            share = goes_on * float(ends[loop, token]) if loop < 4 else goes_on
            assert float(found[loop, token]) == pytest.approx(share, abs=1e-6)
            goes_on *= 1 - float(ends[loop, token])
    torch.testing.assert_close(stopping(logits[:1]), torch.ones(1, 7))


def test_at_first_all_tokens_stop_late_as_the_bias_says():
    model = build(config(16))
    states = model.states(*packed(9, 14))
    chances, stays = stopping(model.halting(states)), 1 / (1 + np.exp(BIAS))
    for loop in (0, 1, 14):
        assert chances[loop].detach().numpy() == pytest.approx(stays**loop * (1 - stays), rel=1e-4)
    assert chances[15].detach().numpy() == pytest.approx(stays**15, rel=1e-4)
    assert (model.stops(states) == 15).all()


def test_a_token_is_read_where_it_stops():
    """At the first loop that is late enough as likely as not, or the last."""
    model = lively(4)
    tokens, packing = packed(20, 23)
    states = model.states(tokens, packing)
    enough, stops = torch.sigmoid(model.halting(states)) >= 0.5, model.stops(states)
    assert len(stops[:43].unique()) > 2
    hidden = model.hidden(tokens, packing)
    for token, stop in enumerate(stops[:43].tolist()):
        assert not enough[:stop, token].any()
        assert stop == 3 or enough[stop, token]
        assert torch.equal(hidden[token], states[stop, token])


# ── the loss ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("price", [PRICE, 0.3])
def test_the_loss_is_the_one_on_paper(monkeypatch, price):
    """Three loops, from what the model says after each: what words weigh, what the head is told."""
    monkeypatch.setattr(looped, "PRICE", price)
    model = lively(3)
    tokens, packing = packed(9, 12)
    learn, targets = torch.tensor([3, 7, 10, 15]), torch.tensor([5, 8, 11, 16])
    weights, expected, answers = torch.tensor([0.5, 2.0, 1.0, 0.25]), 0.0, []
    loss, each = model.loss(tokens, packing, learn, targets, weights)
    states = model.states(tokens, packing).detach()
    for word, (place, target) in enumerate(zip(learn.tolist(), targets.tolist(), strict=True)):
        ends = [float(torch.sigmoid(model.halting(states[loop, place])).detach())
                for loop in range(3)]
        cross = [-float(model.logits(states[loop, place]).detach().log_softmax(-1)[target])
                 for loop in range(3)]
        stays = [ends[0], (1 - ends[0]) * ends[1], (1 - ends[0]) * (1 - ends[1])]
        enough = [cross[0] <= cross[2] + 2 * price, cross[1] <= cross[2] + price]
        told = [np.log(end if yes else 1 - end) for end, yes in zip(ends, enough, strict=False)]
        answers += enough
        expected += float(weights[word]) * (
            sum((1 / 3 + p) / 2 * cost for p, cost in zip(stays, cross, strict=True))
            - SHARE * sum(told) / 3)
        stop = next((loop for loop in range(2) if ends[loop] >= 0.5), 2)
        assert float(each[word]) == pytest.approx(cross[stop], rel=1e-4)
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-4)
    assert len({*answers}) == 2


def test_the_head_learns_when_it_is_late_enough_and_nothing_else_does():
    """One word at a time: its gradient goes the right way, and no other weight feels it."""
    model, ways = lively(2), set()
    tokens, packing = packed(30)
    for place in range(5, 25):
        target = torch.tensor([int(tokens[place + 1])])
        gradients = []
        for share in (SHARE, 0.0):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(looped, "SHARE", share)
                model.zero_grad()
                model.loss(tokens, packing, torch.tensor([place]), target,
                           torch.ones(1))[0].backward()
            gradients.append({name: weight.grad.clone()
                              for name, weight in model.named_parameters()})
        for name in model.state_dict():
            alike = torch.allclose(*(one[name] for one in gradients))
            assert alike == ("halting" not in name), name
        cross = -model.logits(model.states(tokens, packing).detach()[:, place]).log_softmax(-1)
        enough = bool(cross[0, target] <= cross[1, target] + PRICE)
        assert (float(gradients[0]["halting.bias"]) < 0) == enough
        ways.add(enough)
    assert len(ways) == 2


# ── answers ─────────────────────────────────────────────────────────────────────────────


def test_cached_answers_are_those_of_the_whole_text():
    model = lively(4, blocks=2)
    rng = np.random.default_rng(5)
    sequence = rng.integers(4, SHAPE["vocabulary"], 30).astype(np.uint16)
    for one in (model, after(model, 1), after(model, 3)):
        cache = Cache(one.config, 1, 40, torch.float32, "cpu")
        cached = [prefill(one, cache, [sequence[:10]])]
        cached += [step(one, cache, torch.tensor([int(token)])) for token in sequence[10:]]
        tokens, packing = packed(30)
        tokens[:30] = torch.from_numpy(sequence.astype(np.int64))
        whole = one(tokens, packing)[9:30]
        torch.testing.assert_close(torch.cat(cached), whole, atol=1e-4, rtol=1e-4)
    stops = model.stops(model.states(tokens, packing))[9:30]
    assert len(stops.unique()) > 1


def test_answers_after_a_loop_and_the_loops_they_took():
    model, few = lively(3), replace(CORPUS, bounds=CORPUS.bounds[:7])
    texts = [np.append(CORPUS.segment(i, 0), np.uint16(CONDITIONS["solution_only"].opening))
             for i in range(7)]
    found = {loops: looping.respond(model, few, "solution_only", loops=loops, max_new_tokens=12)
             for loops in (None, 1, 2)}
    for loops, answers in found.items():
        one = model if loops is None else after(model, loops)
        expected = generate(one, texts, max_new_tokens=12)
        assert all(map(np.array_equal, answers, expected))
        taken = looping.loops_taken(one, few, "solution_only", answers, batch_size=3)
        for text, answer, loops_of in zip(texts, answers, taken, strict=True):
            whole = np.append(text, answer)
            tokens, packing = packed(len(whole))
            tokens[:len(whole)] = torch.from_numpy(whole.astype(np.int64))
            stops = one.stops(one.states(tokens, packing))[len(text) - 1:len(whole) - 1]
            assert loops_of.tolist() == (1 + stops).tolist()
            assert loops is None or set(loops_of) == {loops}


# ── a training ──────────────────────────────────────────────────────────────────────────


def training(folder, **changes) -> Trainer:
    settings = TrainingConfig(**{"batch_size": 4, "warmup_steps": 2, "snapshots": 2,
                                 "checkpoint_every": 3, "log_every": 2} | changes)
    batches = Batches(put_together(CORPUS, CONDITIONS["solution_only"], 1), 4, 1, 1)
    about = {"corpus": {"rows": 4, "cols": 4}}
    return Trainer(batches, config(3), settings, seed=3, folder=folder, follows_from=about,
                   compiled=False)


def test_killed_and_resumed_it_ends_in_the_same_weights_which_are_read_again(tmp_path):
    model = training(tmp_path / "whole").run()
    for _ in range(3):
        training(tmp_path / "parts").run(stop_after=4)
    assert_same_run(tmp_path / "parts", tmp_path / "whole")
    assert not torch.equal(model.halting.weight, torch.zeros(16))
    read = load_model(tmp_path / "whole" / "model.safetensors", CORPUS)
    assert read.config == model.config
    for name, weight in model.state_dict().items():
        assert torch.equal(read.state_dict()[name], weight.bfloat16().float()), name
    assert len([name for name in model.state_dict() if "qkv.weight" in name]) == 1


def test_plain_models_are_built_as_ever():
    model = build(PLAIN, 5)
    assert type(model) is Transformer
    assert type(configured(PLAIN.shape(), 200)) is ModelConfig
    assert "loops" not in PLAIN.shape()
    assert type(build(config(2))) is LoopedTransformer


def test_it_learns_what_can_be_learnt_after_every_loop(tmp_path):
    """Three mazes by heart, read after any loop or where words stop.

    That a cell comes next is seen in one loop, which one it is not.
    """
    few, again = drawn(Recipe("wilson", 4, 4, "train", 1, "indexed", 3)), np.arange(6) % 3
    once = put_together(few, CONDITIONS["solution_only"], 1)
    source = Batches(replace(once, prompts=once.prompts.of(again), traces=once.traces.of(again),
                             plans=once.plans.of(again), sizes=once.sizes[again]), 6, 150, 1)
    settings = TrainingConfig(batch_size=6, warmup_steps=10, snapshots=1, adam_learning_rate=0.01)
    model = Trainer(source, LoopedConfig(**{**SHAPE, "width": 32, "mlp_width": 64}, layers=2,
                                         loops=2, context=200), settings, seed=1, folder=tmp_path,
                    follows_from={}, compiled=False).run()
    for loops in (None, 1, 2):
        answers = looping.respond(model, few, "solution_only", loops=loops, max_new_tokens=60)
        assert all(np.array_equal(answer, few.segment(i, PLAN_PART)[1:])
                   for i, answer in enumerate(answers)), loops
    taken = np.concatenate(looping.loops_taken(model, few, "solution_only", answers))
    plan = np.concatenate(answers) == PLAN
    assert taken[plan].mean() < 1.2 < 1.8 < taken[~plan].mean()
