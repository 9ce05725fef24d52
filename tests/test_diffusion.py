"""Masked diffusion: what is hidden, the loss on paper, and how answers are revealed."""

from itertools import permutations, product

import numpy as np
import pytest
import torch
from models import CONFIGS, scrambled
from studies import STUDIED
from test_training import assert_same_run

from helpers import unmasking
from helpers.batches import Batches
from helpers.conditions import CONDITIONS, Examples, prompts, put_together
from helpers.corpus import PLAN_PART, Recipe, build
from helpers.diffusion import MASK, Denoising, MaskedBatches, masked, seeing_all
from helpers.engine.attention import full_attention
from helpers.engine.packing import pack
from helpers.language import END
from helpers.model import ModelConfig, Transformer
from helpers.optimisation import TrainingConfig
from helpers.training import Trainer
from helpers.unmasking import BLOCKS, ORDERS, fill_in, schedule

pytestmark = pytest.mark.usefixtures("one_thread", "float32")

CORPUS = build(Recipe("wilson", 4, 4, "train", 1, "indexed", 40))
MODEL = ModelConfig(vocabulary=CORPUS.vocabulary.size, context=200, width=16, layers=2, heads=2,
                    kv_heads=1, mlp_width=16)
SETTINGS = TrainingConfig(batch_size=4)


def batches(condition: str = "correct", size: int = 4, seed: int = 1) -> MaskedBatches:
    return MaskedBatches(put_together(CORPUS, CONDITIONS[condition], seed), size, 1, seed)


def texts(batch) -> list[np.ndarray]:
    return np.split(batch.tokens, np.cumsum(batch.lengths)[:-1])


# ── a model without a causal mask ───────────────────────────────────────────────────────


@pytest.mark.parametrize("length", [7, 1100])  # written out, and fused
def test_attention_sees_what_is_there(length):
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, heads, length, 8, generator=generator) for heads in (4, 2, 2))
    there = torch.arange(length) < torch.tensor([[5], [length]])
    found = full_attention(q, k, v, there)
    for row, head, place in product(range(2), range(4), (0, 4, length - 1)):
        keys, values = (x[row, head // 2, :there[row].sum()] for x in (k, v))
        chances = (q[row, head, place] @ keys.T / 8**0.5).softmax(-1)
        assert torch.allclose(found[row, head, place], chances @ values, atol=1e-5)


def of_texts(model: Transformer, tokens: list[torch.Tensor]) -> torch.Tensor:
    """What a model without a mask says of the words of texts, float32 [words, vocabulary]."""
    packing = pack(np.array([len(text) for text in tokens]), groups=2)
    padded = torch.zeros(len(packing.positions), dtype=torch.int64)
    padded[:sum(map(len, tokens))] = torch.cat(tokens)
    return model(padded, packing)[:sum(map(len, tokens))]


@pytest.mark.parametrize("name", CONFIGS)
def test_alone_and_packed_a_text_gets_the_same_answer_and_gradient(name):
    model = seeing_all(scrambled(CONFIGS[name]))
    rng = np.random.default_rng(3)
    some = [torch.from_numpy(rng.integers(model.config.vocabulary, size=size))
            for size in (9, 31, 14)]
    together = of_texts(model, some)
    weights = torch.randn(together.shape, generator=torch.Generator().manual_seed(1))
    (together * weights).sum().backward()
    packed = {key: value.grad.clone() for key, value in model.named_parameters()}
    model.zero_grad()
    alone = torch.cat([of_texts(model, [text]) for text in some])
    (alone * weights).sum().backward()
    assert torch.allclose(together, alone, atol=1e-4)
    for key, value in model.named_parameters():
        assert torch.allclose(packed[key], value.grad, rtol=1e-3, atol=1e-3), key


def test_a_word_sees_what_comes_behind_it_and_no_other_text():
    causal, model = scrambled(MODEL), seeing_all(scrambled(MODEL))
    assert [*causal.state_dict()] == [*model.state_dict()]
    first, other = torch.arange(4, 12), torch.arange(10, 16)
    changed = torch.cat([first[:-1], torch.tensor([5])])
    for one, sees in ((causal, False), (model, True)):
        before, after, beside = (of_texts(one, [text, rest])[0] for text, rest in (
            (first, other), (changed, other), (first, other.flip(0))))
        assert torch.allclose(before, after) != sees
        assert torch.equal(before, beside)


# ── what is hidden ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("condition", STUDIED)
def test_prompts_are_never_hidden_and_responses_are_filled_up(condition):
    """What is hidden and what stands there make the example again, `end` behind it."""
    found = batches(condition)
    whole = Batches(put_together(CORPUS, CONDITIONS[condition], 1), 4, 1, 1)
    hidden = np.zeros(found.room)
    for step in range(len(found)):
        batch = found[step].batch
        assert (batch.tokens[batch.learn] == MASK).all()
        tokens = batch.tokens.copy()
        tokens[batch.learn] = batch.targets
        restored = texts(batch._replace(tokens=tokens))
        assert len({len(text) for text in texts(batch)} - set(batch.lengths)) == 0
        ends = np.cumsum(batch.lengths)
        for index, text, end in zip(whole.indices(step), restored, ends, strict=True):
            parts = [part.piece(index) for part in (
                whole.examples.prompts, whole.examples.traces, whole.examples.plans)]
            example = np.concatenate(parts)
            assert np.array_equal(text[:len(example)], example)
            assert (text[len(example):] == END).all()
            assert len(text) == len(parts[0]) + 1 + found.room
            own = batch.learn[(batch.learn >= end - len(text)) & (batch.learn < end)]
            assert (own >= end - found.room).all()  # neither the prompt nor the opening word
            hidden[own - (end - found.room)] += 1
    assert (hidden > 0).all()  # each place of a response at some time, padding too
    longest = (whole.examples.traces.lengths() + whole.examples.plans.lengths()).max() - 1
    assert found.room == longest
    assert found.longest == len(restored[0])


def test_shares_are_uniform_and_what_is_hidden_follows_them():
    """Over many batches each is; in a batch one lies in each twentieth, somewhere."""
    found = batches("correct", size=20)
    shares, hidden, firsts = [], [], []
    for step in range(2):
        for seed in range(15):
            found.seed = seed
            one = found[step]
            of = np.searchsorted(np.cumsum(one.lengths), one.batch.learn, "right")
            count = np.bincount(of, minlength=20)
            share = np.full(20, np.nan)
            share[of] = 1 / (one.weights * found.room * 20)
            shares += share[count > 0].tolist()
            assert np.diff(np.sort(share[count > 0])).min() > 0.049
            firsts.append(np.nanmin(share) * 20)
            hidden += (count[count > 0] / found.room).tolist()
    assert abs(np.mean(shares) - 0.5) < 0.02
    assert abs(np.var(shares) - 1 / 12) < 0.01
    assert abs(np.array(hidden) - shares).max() < 0.35  # five spreads of 50 draws
    assert abs(np.mean(hidden) - np.mean(shares)) < 0.01
    assert np.std(firsts) > 0.2  # where in it is drawn


def test_what_is_hidden_follows_from_seed_and_step():
    first, again = batches()[3], batches()[3]
    assert all(np.array_equal(*pair) for pair in zip(first.batch, again.batch, strict=True))
    assert np.array_equal(first.weights, again.weights)
    others = (batches()[4], batches(seed=2)[3])
    assert not any(np.array_equal(first.batch.learn, one.batch.learn) for one in others)
    # conditions see the same mazes under the same shares
    lent = batches("swapped")[3]
    shares = [np.unique(one.weights * room) for one, room in (
        (first, batches().room), (lent, batches("swapped").room))]
    assert np.allclose(*shares)


# ── the loss ────────────────────────────────────────────────────────────────────────────


def chances(model: Transformer, text: np.ndarray, known: np.ndarray) -> torch.Tensor:
    """Log-probabilities of all words everywhere in one text of which some are known."""
    shown = np.where(known, text, MASK).astype(np.int64)
    return of_texts(model, [torch.from_numpy(shown)]).double().log_softmax(-1)


def test_the_loss_is_the_one_on_paper():
    """In value and gradient: each text alone, each hidden word, by t, length and examples."""
    model, found = seeing_all(scrambled(MODEL)), batches()
    one = found[2]
    settings = SETTINGS.model_copy(update={"micro_batch_tokens": 150})  # in parts
    numbers = Denoising(model, settings, False)(one)()
    ours = {name: weight.grad.clone() for name, weight in model.named_parameters()}
    model.zero_grad()
    rng = np.random.default_rng([1, 2, 0xD1])
    shares = 1e-3 + (1 - 1e-3) * ((rng.random() + np.arange(4) / 4) % 1)
    total, losses, tokens = 0.0, [], one.tokens.copy()
    tokens[one.batch.learn] = one.targets
    for text, shown, share in zip(texts(one.batch._replace(tokens=tokens)), texts(one.batch),
                                  shares, strict=True):
        logs = chances(model, text, shown != MASK)
        for place in np.flatnonzero(shown == MASK):
            losses.append(-logs[place, text[place]])
            total = total + losses[-1] / share / found.room / 4
    total.backward()
    assert numbers["loss"] == pytest.approx(float(total.detach()), rel=1e-4)
    for name, weight in model.named_parameters():
        assert torch.allclose(ours[name], weight.grad, rtol=1e-3, atol=1e-5), name
    each = np.array([float(loss.detach()) for loss in losses])
    for part, of in (("plan_loss", one.batch.in_plan), ("trace_loss", ~one.batch.in_plan)):
        assert numbers[part] == pytest.approx(each[of].mean(), rel=1e-4)


def test_over_all_shares_it_is_the_mean_over_all_orders():
    """The 1/t identity, on a response of three words of which everything can be enumerated.

    ∫ E[loss(t)] dt over the eight ways to hide is, by length, the mean over the six orders in
    which the words could be written one by one, of their negative log-likelihood.
    """
    model = scrambled(MODEL)
    room, batch = 3, Batches(put_together(CORPUS, CONDITIONS["solution_only"], 1), 1, 1, 1)[0]
    prompt = batch.lengths[0] - len(batch.learn)
    # the opening word, three words, and the one more of which a batch has no input
    short = batch._replace(tokens=batch.tokens[:prompt + 1 + room], lengths=np.array(
        [prompt + 1 + room]), positions=batch.positions[:prompt + 1 + room], **{
        name: getattr(batch, name)[:room + 1] for name in ("learn", "targets", "in_plan")})
    objective = Denoising(model, SETTINGS.model_copy(update={"plan_weight": 1.0}), False)
    nodes, weights = np.polynomial.legendre.leggauss(2)  # exact: of t² what is summed up is
    integral = 0.0
    for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        for hidden in product((False, True), repeat=room):
            chance = np.prod(np.where(hidden, node, 1 - node))
            found = masked(short, np.array([node]), np.array([hidden]))
            integral += weight * chance * (objective(found)()["loss"] if any(hidden) else 0.0)
    orders, expected = [*permutations(range(room))], 0.0
    for order in orders:
        known = np.ones(len(short.tokens), bool)
        known[-room:] = False
        for place in order:
            at = len(known) - room + place
            logs = chances(model, short.tokens, known)
            expected -= float(logs[at, short.tokens[at]].detach()) / len(orders) / room
            known[at] = True
    assert integral == pytest.approx(expected, rel=1e-4)


def test_only_what_is_hidden_is_learnt():
    """No gradient comes from words that are seen, nor from what fills a batch up."""
    model, one, gradients = scrambled(MODEL), batches()[1], []

    def watch(norm, given, out):
        out.register_hook(gradients.append)

    model.norm.register_forward_hook(watch)
    Denoising(model, SETTINGS, False)(one)
    (gradient,), count = gradients, int((one.tokens == MASK).sum())
    assert count == len(one.targets) < len(gradient)
    assert gradient[:count].any(1).all()
    assert not gradient[count:].any()


# ── a training ──────────────────────────────────────────────────────────────────────────


def training(folder, **changes) -> Trainer:
    settings = TrainingConfig(**{"batch_size": 4, "warmup_steps": 2, "snapshots": 2,
                                 "checkpoint_every": 3, "log_every": 2} | changes)
    return Trainer(batches(), MODEL, settings, seed=3, folder=folder, follows_from={},
                   compiled=False, objective=Denoising)


def test_killed_and_resumed_it_ends_in_the_same_weights(tmp_path):
    training(tmp_path / "whole").run()
    for _ in range(3):
        training(tmp_path / "parts").run(stop_after=4)
    assert_same_run(tmp_path / "parts", tmp_path / "whole")


def test_it_learns_what_can_be_learnt(tmp_path):
    """Four mazes by heart: in however many steps, and in any order, their plans are A*'s."""
    few, again = build(Recipe("wilson", 4, 4, "train", 1, "indexed", 4)), np.arange(16) % 4
    once = put_together(few, CONDITIONS["solution_only"], 1)
    source = MaskedBatches(Examples(once.prompts.of(again), once.traces.of(again),
                                    once.plans.of(again), once.sizes[again]), 16, 180, 1)
    config = ModelConfig(**MODEL.shape() | {"width": 32, "mlp_width": 64}, context=200)
    settings = TrainingConfig(batch_size=16, warmup_steps=10, snapshots=1, adam_learning_rate=0.01)
    model = Trainer(source, config, settings, seed=1, folder=tmp_path, follows_from={},
                    compiled=False, objective=Denoising).run()
    for way in ({}, {"steps": 1}, {"steps": "all", "order": "random"}):
        answers = unmasking.respond(model, few, "solution_only", max_new_tokens=source.room, **way)
        assert all(np.array_equal(answer, few.segment(i, PLAN_PART)[1:])
                   for i, answer in enumerate(answers)), way


# ── answers ─────────────────────────────────────────────────────────────────────────────

ROOM = 23


@pytest.fixture(scope="module")
def model(one_thread) -> Transformer:
    return seeing_all(scrambled(MODEL))


@pytest.fixture(scope="module")
def asked() -> list[np.ndarray]:
    return prompts(CORPUS, CONDITIONS["correct"])[:5]


def plainly(model: Transformer, prompt: np.ndarray, room: int, steps, order: str, seed: int,
            i: int) -> tuple[list, list]:
    """One answer as one would write it down: word by word, place by place."""
    count = room if steps == "all" else min(steps, room)
    answer, when = [None] * room, [None] * room
    drawn = np.random.default_rng([seed, i]).random(room, np.float32)
    for step in range(count):
        text = np.append(prompt, [MASK if word is None else word for word in answer])
        says = of_texts(model, [torch.from_numpy(text.astype(np.int64))])[-room:].detach()
        says[:, MASK] = -torch.inf
        hidden = [place for place in range(room) if answer[place] is None]
        sure = {place: float(says[place].softmax(-1).max()) for place in hidden}
        ranks = {place: {"confidence": -sure[place], "random": -drawn[place], "left": place,
                         "blocks": (place * BLOCKS // room, -sure[place])}[order]
                 for place in hidden}
        number = (step + 1) * room // count - step * room // count
        for place in sorted(hidden, key=ranks.get)[:number]:
            answer[place], when[place] = int(says[place].argmax()), step
    return answer, when


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("steps", [1, 4, "all"])
def test_answers_are_those_of_a_plain_loop(model, asked, order, steps):
    found = fill_in(model, asked, ROOM, steps=steps, order=order, seed=7, batch_size=2)
    for i, prompt in enumerate(asked):
        answer, when = plainly(model, prompt, ROOM, steps, order, 7, i)
        assert found.ids[i].tolist() == answer
        assert found.when[i].tolist() == when


@pytest.mark.parametrize("steps", [1, 5, 20, 23, 99, "all"])
def test_each_step_reveals_its_share(model, asked, steps):
    numbers = schedule(ROOM, steps)
    assert numbers.sum() == ROOM
    assert len(numbers) == (ROOM if steps == "all" else min(steps, ROOM))
    assert numbers.max() - numbers.min() <= 1
    for order in ORDERS:
        for when in fill_in(model, asked[:2], ROOM, steps=steps, order=order).when:
            assert np.bincount(when).tolist() == numbers.tolist()
            if order == "left":
                assert (np.diff(when) >= 0).all()
            if order == "blocks":  # a block is whole before the next begins, but for a step in both
                blocks = np.arange(ROOM) * BLOCKS // ROOM
                for block in range(BLOCKS - 1):
                    assert when[blocks == block].max() <= when[blocks == block + 1].min()


@pytest.mark.parametrize("steps", [0, -1, True, "most"])
def test_what_is_no_number_of_steps(steps):
    with pytest.raises(ValueError, match=f"steps: got {steps!r}, takes a whole number from 1 up"):
        schedule(ROOM, steps)


def test_in_one_step_all_orders_are_one(model, asked):
    first, *others = [fill_in(model, asked, ROOM, steps=1, order=order).ids for order in ORDERS]
    assert all(np.array_equal(first, other) for other in others)


def test_orders_that_are_drawn_follow_from_the_seed(model, asked):
    first, again, other = (fill_in(model, asked, ROOM, order="random", steps=5, seed=seed)
                           for seed in (1, 1, 2))
    assert np.array_equal(first.ids, again.ids)
    assert np.array_equal(first.when, again.when)
    assert not np.array_equal(first.when, other.when)
    assert not np.array_equal(first.when[0], first.when[1])
    # whatever the model says
    another = fill_in(seeing_all(scrambled(MODEL, 5)), asked, ROOM, order="random", steps=5, seed=1)
    assert np.array_equal(another.when, first.when)


def test_what_hides_is_never_written(asked):
    model = scrambled(MODEL)
    with torch.no_grad():  # a model that would say nothing else
        model.norm.weight.zero_()
        model.norm.weight[0] = 1
        model.embedding.weight[MASK, 0] = 100 * torch.sign(model.embedding.weight[:, 0].sum())
    assert not (fill_in(model, asked, ROOM, steps=3).ids == MASK).any()


def test_answers_end_with_the_first_end(model, monkeypatch):
    ids = np.full((len(CORPUS), ROOM), 7, np.uint16)
    ids[1:, 4] = ids[1:, 9] = END
    monkeypatch.setattr(unmasking, "fill_in", lambda *_, **__: unmasking.Filled(ids, ids))
    answers = unmasking.respond(model, CORPUS, "correct", max_new_tokens=ROOM)
    assert [len(answer) for answer in answers] == [ROOM] + [5] * (len(CORPUS) - 1)


def test_a_gap_moves_a_response(model):
    few = CORPUS
    for gap, same in ((0, True), (9, False)):
        found = unmasking.respond(model, few, "correct", max_new_tokens=ROOM, gap=gap, steps=2)
        plain = unmasking.respond(model, few, "correct", max_new_tokens=ROOM, steps=2)
        assert all(map(np.array_equal, found, plain)) == same
