"""Decoding with a cache: the tokens of the plain forward pass, in whatever company a row is."""

import re
from contextlib import nullcontext
from dataclasses import replace
from itertools import count
from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from models import CONFIGS, scrambled
from scipy.stats import chisquare

import helpers.model
from helpers import decoding, stepping
from helpers.decoding import PACES, Decoder, Pace, draw, generate
from helpers.engine.attention import cached_attention_in_torch
from helpers.engine.packing import pack
from helpers.language import END
from helpers.model import Cache, Transformer, prefill, step


def biased_to_end(name: str, strength: float = 2.0) -> Transformer:
    """A model that writes ``end`` now and then."""
    model = scrambled(CONFIGS[name])
    with torch.no_grad():
        model.embedding.weight[END] *= strength
    return model


@pytest.fixture(params=CONFIGS)
def model(request) -> Transformer:
    return biased_to_end(request.param)


def some_prompts(model: Transformer, number: int = 20, longest: int = 50,
                 seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(model.config.vocabulary, size=rng.integers(1, longest + 1)).astype(
        np.uint16) for _ in range(number)]


@torch.no_grad()
def logits_after(model: Transformer, sequence: list[int]) -> torch.Tensor:
    """The plain forward pass over one sequence, [T, vocabulary]."""
    packing = pack(np.array([len(sequence)]))
    tokens = torch.zeros(len(packing.positions), dtype=torch.int64)
    tokens[:len(sequence)] = torch.tensor(sequence)
    return model(tokens, packing)[:len(sequence)]


def uncached(model: Transformer, prompt: np.ndarray, max_new_tokens: int) -> list[int]:
    """Greedy decoding that reads the whole sequence again for each token."""
    sequence = prompt.tolist()
    for _ in range(max_new_tokens):
        sequence.append(int(logits_after(model, sequence)[-1].argmax()))
        if sequence[-1] == END:
            break
    return sequence[len(prompt):]


def as_lists(answers: list[np.ndarray]) -> list[list[int]]:
    assert all(answer.dtype == np.uint16 for answer in answers)
    return [answer.tolist() for answer in answers]


# ── greedy ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("batch_size", [7, 256])
def test_same_tokens_as_without_a_cache(model, batch_size):
    prompts = some_prompts(model)
    answers = as_lists(generate(model, prompts, max_new_tokens=30, batch_size=batch_size,
                                full_precision=True))
    assert answers == [uncached(model, prompt, 30) for prompt in prompts]
    ended = [len(answer) for answer in answers if answer[-1] == END]
    assert len(set(ended)) >= 4  # the rows ended at different times
    assert all(END not in answer[:-1] for answer in answers)
    assert any(len(answer) == 30 and END not in answer for answer in answers)


def test_company_and_order_do_not_matter(model):
    prompts = some_prompts(model, 25, seed=1)
    together = as_lists(generate(model, prompts, max_new_tokens=25, full_precision=True))
    for batch_size in (1, 2, 9):
        assert together == as_lists(generate(model, prompts, max_new_tokens=25,
                                             batch_size=batch_size, full_precision=True))
    order = np.random.default_rng(0).permutation(len(prompts))
    shuffled = as_lists(generate(model, [prompts[i] for i in order], max_new_tokens=25,
                                 batch_size=9, full_precision=True))
    assert shuffled == [together[i] for i in order]


def steps_of(monkeypatch) -> list[int]:
    """The number of rows of each step from now on."""
    rows_of_step = []

    def counted(model, cache, tokens, *others):
        rows_of_step.append(len(tokens))
        return step(model, cache, tokens, *others)

    monkeypatch.setattr(decoding, "step", counted)
    return rows_of_step


def test_finished_rows_leave_the_batch(monkeypatch):
    model, rows_of_step = biased_to_end("plain", 1.5), steps_of(monkeypatch)
    answers = as_lists(generate(model, some_prompts(model, 100), max_new_tokens=40,
                                temperature=1.0, full_precision=True))
    assert len(rows_of_step) == max(map(len, answers)) - 1
    assert rows_of_step[-1] < rows_of_step[0] == 100
    for place, rows in enumerate(rows_of_step):
        unfinished = sum(END not in answer[:place + 1] for answer in answers)
        assert unfinished > 7 / 8 * rows


def test_finished_rows_are_given_to_waiting_prompts(monkeypatch):
    model, rows_of_step = biased_to_end("plain", 1.5), steps_of(monkeypatch)
    answers = as_lists(generate(model, some_prompts(model, 100), max_new_tokens=40, batch_size=16,
                                temperature=1.0, full_precision=True))
    # the prompt's reading gives the first token, each step another
    needed = sum(len(answer) - 1 for answer in answers)
    assert needed <= sum(rows_of_step) < 1.25 * needed
    full = rows_of_step.count(16)
    assert rows_of_step[:full] == [16] * full
    assert rows_of_step[full:] == sorted(rows_of_step[full:], reverse=True)


class Replayed(stepping.Graphs):
    """Instead of a GPU's: does the work again, and notes when."""

    noted: ClassVar[list] = []

    def capture(self, work):
        shape = len(self.rows), list(self.replays)[-1][1]
        self.noted.append(("captured", shape))

        def replay():
            assert len(self.rows) == shape[0]
            self.noted.append(("replayed", shape))
            work()
        return replay


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("pace", [Pace(16, 8, 1 / 8, 1 / 2), Pace(3, 64, 1 / 2, 1 / 8),
                                  Pace(100, 1000, 1, 1)], ids=str)
def test_a_gpus_pace_changes_no_answer(model, monkeypatch, pace, temperature):
    """Rows that nobody looks at write on; what replays is what was captured."""
    prompts = some_prompts(model, 30)
    settings = {"max_new_tokens": 30, "batch_size": 9, "temperature": temperature, "seed": 1,
                "full_precision": True}
    expected = as_lists(generate(model, prompts, **settings))
    monkeypatch.setattr(decoding, "PACES", {"cpu": pace})
    assert as_lists(generate(model, prompts, **settings)) == expected
    monkeypatch.setattr(decoding, "stepper", Replayed)
    Replayed.noted.clear()
    assert as_lists(generate(model, prompts, **settings)) == expected
    captured = [shape for what, shape in Replayed.noted if what == "captured"]
    assert 0 < len(captured) == len(set(captured)) < len(Replayed.noted) - len(captured)
    assert {shape for what, shape in Replayed.noted if what == "replayed"} == set(captured)


def test_rows_keep_their_memory():
    """CUDA graphs read and write where the rows were when they were captured."""
    model, prompts = scrambled(CONFIGS["grouped"]), [np.arange(n) for n in (3, 5, 9, 1, 2)]
    rows = decoding.Rows(model, 4, 40, 20, 1.0)
    names = ("tokens", "places", "alive", "written", "draws")

    def memory() -> list[int]:
        cache = rows.cache.keys, rows.cache.values, rows.cache.lengths
        return [x.data_ptr() for x in (*cache, *(getattr(rows, name) for name in names))]

    before = memory()
    rows.fill(np.arange(4), np.arange(4), prompts)
    rows.step(40)
    rows.fill(np.array([2]), np.array([4]), prompts)
    rows.step(40)
    rows.drop(np.array([0, 1]))
    rows.step(40)
    assert memory() == before
    assert rows.prompts.tolist() == [4, 3]
    assert rows.places.tolist() == [3, 4]
    assert rows.cache.lengths.tolist() == [2 + 2, 1 + 3]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_decoder_answers_again_on_the_same_memory(model, temperature):
    """As one made anew does; after a call that ended with few rows too."""
    decoder = Decoder(model, full_precision=True)
    settings = {"max_new_tokens": 30, "batch_size": 9, "temperature": temperature}
    prompts = some_prompts(model, 30)
    places = set()
    for seed in (1, 2, 1):
        ids = as_lists(decoder.answer(prompts, seed=seed, **settings).ids)
        assert ids == as_lists(generate(model, prompts, seed=seed, full_precision=True, **settings))
        places.add(decoder._kept[1]._whole["cache"].keys.data_ptr())
    assert len(places) == 1
    few = decoder.answer(prompts[:4], seed=1, **settings).ids  # other rows
    assert as_lists(few) == as_lists(generate(model, prompts[:4], seed=1, full_precision=True,
                                              **settings))


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_log_probabilities_are_those_of_reading_the_whole(model, temperature):
    prompts = some_prompts(model, 12)
    settings = {"max_new_tokens": 25, "batch_size": 5, "temperature": temperature}
    decoder = Decoder(model, full_precision=True)
    answers = decoder.answer(prompts, log_probabilities=True, **settings)
    assert as_lists(answers.ids) == as_lists(decoder.answer(prompts, **settings).ids)
    assert decoder.answer(prompts, **settings).log_probabilities is None
    for prompt, ids, found in zip(prompts, *answers, strict=True):
        whole = np.concatenate([prompt, ids]).astype(np.int64)
        packing = pack(np.array([len(whole)]))
        tokens = np.pad(whole, (0, len(packing.positions) - len(whole)))
        with torch.no_grad():
            logits = model(torch.from_numpy(tokens), packing)[len(prompt) - 1:len(whole) - 1]
        expected = logits.log_softmax(-1).gather(1, torch.from_numpy(ids.astype(np.int64))[:, None])
        np.testing.assert_allclose(found, expected.squeeze(1), rtol=1e-3, atol=1e-4)


def test_without_the_kernel(model, monkeypatch):
    """What a GPU computes: attention up to a common length, in plain torch."""
    prompts, settings = some_prompts(model), {"max_new_tokens": 30, "full_precision": True}
    expected = as_lists(generate(model, prompts, batch_size=7, **settings))
    monkeypatch.setattr(helpers.model, "cached_attention", cached_attention_in_torch)
    for reach in (1, 16, 1000):
        monkeypatch.setattr(decoding, "PACES", {"cpu": PACES["cpu"]._replace(reach=reach)})
        assert as_lists(generate(model, prompts, batch_size=7, **settings)) == expected


def test_all_rows_end_at_once(monkeypatch):
    model = biased_to_end("plain")
    with torch.no_grad():
        model.norm.weight.zero_()  # every logit is 0: the first token is the likeliest
        model.embedding.weight[END] = 0
    monkeypatch.setattr(decoding, "END", 0)
    monkeypatch.setattr(decoding, "step", None)
    answers = generate(model, some_prompts(model), max_new_tokens=10, full_precision=True)
    assert as_lists(answers) == [[0]] * 20


@pytest.mark.parametrize("max_new_tokens", [1, 2, 13])
def test_longest_answer(model, max_new_tokens):
    prompts = some_prompts(model)
    short = as_lists(generate(model, prompts, max_new_tokens=max_new_tokens, full_precision=True))
    longer = as_lists(generate(model, prompts, max_new_tokens=20, full_precision=True))
    assert short == [answer[:max_new_tokens] for answer in longer]


def test_up_to_the_context_and_not_beyond():
    model = scrambled(CONFIGS["grouped"])  # a context of 96
    prompts = [np.arange(6, dtype=np.uint16), np.arange(30, dtype=np.uint16)]
    assert len(generate(model, prompts, max_new_tokens=66, full_precision=True)) == 2
    with pytest.raises(ValueError, match=r"^max_new_tokens: got 67, with the longest prompt 97, "
                                         r"takes at most the context of 96$"):
        generate(model, prompts, max_new_tokens=67)


@pytest.mark.parametrize("title", [None, "nothing"])
def test_nothing_to_answer(title):
    model = scrambled(CONFIGS["plain"])
    assert generate(model, [], max_new_tokens=5, title=title) == []
    assert generate(model, [], max_new_tokens=5, temperature=1.0, title=title) == []


@pytest.mark.parametrize(("changes", "message"), [
    ({"max_new_tokens": 0}, "max_new_tokens: got 0, takes a whole number from 1 up"),
    ({"max_new_tokens": -3}, "max_new_tokens: got -3, takes a whole number from 1 up"),
    ({"max_new_tokens": 2.5}, "max_new_tokens: got 2.5, takes a whole number from 1 up"),
    ({"max_new_tokens": True}, "max_new_tokens: got True, takes a whole number from 1 up"),
    ({"batch_size": 0}, "batch_size: got 0, takes a whole number from 1 up"),
    ({"batch_size": None}, "batch_size: got None, takes a whole number from 1 up"),
    ({"seed": -1}, "seed: got -1, takes a whole number from 0 up"),
    ({"temperature": -0.5}, "temperature: got -0.5, takes 0 or a finite number from 1e-06 up"),
    ({"temperature": float("nan")}, "temperature: got nan, takes 0 or a finite number"),
    ({"temperature": float("inf")}, "temperature: got inf, takes 0 or a finite number"),
    ({"temperature": 1e-40}, "temperature: got 1e-40, takes 0 or a finite number"),
    ({"prompts": [[1, 2], []]}, "prompts: got [] in place 1, takes a row of at least one token id"),
    ({"prompts": [np.empty(0, np.uint16)]}, "in place 0, takes a row of at least one token id"),
    ({"prompts": [[1], [0.5]]}, "prompts: got [0.5] in place 1, takes a row of"),
    ({"prompts": [[[1, 2]]]}, "prompts: got [[1, 2]] in place 0, takes a row of"),
    ({"prompts": np.arange(3)}, "in place 0, takes a row of"),
    ({"prompts": ["maze"]}, "prompts: got 'maze' in place 0, takes a row of"),
    ({"prompts": [[1], [2, -1]]}, "prompts: got the id -1 in place 1, takes ids from 0 to"),
    ({"prompts": [[40]]}, "prompts: got the id 40 in place 0, takes ids from 0 to 39"),
])
def test_wrong_arguments(changes, message):
    model = scrambled(replace(CONFIGS["plain"], vocabulary=40))
    arguments = {"max_new_tokens": 5} | changes
    several = [arguments.pop("prompts")] if "prompts" in changes else [[[1, 39]], []]
    for prompts in several:  # a setting is refused even where there is nothing to answer
        with pytest.raises(ValueError, match=re.escape(message)) as caught:
            generate(model, prompts, **arguments)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_it_was(training):
    model = scrambled(CONFIGS["plain"]).train(training)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    generate(model, some_prompts(model, 3), max_new_tokens=5)
    assert model.training == training
    assert all(weight.grad is None and weight.requires_grad for weight in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


# ── sampling ────────────────────────────────────────────────────────────────────────────


def test_sampling_follows_from_the_seed(model):
    prompts = some_prompts(model)
    settings = {"max_new_tokens": 20, "temperature": 1.0, "full_precision": True, "batch_size": 8}
    a, b, c = (as_lists(generate(model, prompts, seed=seed, **settings)) for seed in (1, 1, 2))
    assert a == b != c
    torch.manual_seed(5)  # and from nothing else
    assert as_lists(generate(model, prompts, seed=1, **settings)) == a
    assert all(END not in answer[:-1] for answer in a)
    settings["batch_size"] = 3  # nor from the company
    assert as_lists(generate(model, prompts, seed=1, **settings)) == a


@pytest.mark.parametrize("temperature", [0.6, 1.0, 2.5])
def test_sampled_tokens_have_the_right_frequencies(temperature):
    model, n = scrambled(CONFIGS["plain"]), 6000
    prompt = some_prompts(model, 1, longest=10)[0]
    answers = generate(model, [prompt] * n, max_new_tokens=1, temperature=temperature,
                       batch_size=2000, full_precision=True)
    seen = np.bincount([answer[0] for answer in answers], minlength=model.config.vocabulary)
    chances = (logits_after(model, prompt.tolist())[-1].double() / temperature).softmax(-1).numpy()
    often = n * chances >= 5
    observed = np.append(seen[often], seen[~often].sum())
    expected = np.append(n * chances[often], n * chances[~often].sum() + 1e-9)
    assert often.sum() > 3
    assert chisquare(observed, expected * (n / expected.sum())).pvalue > 1e-4


def test_draw():
    logits = torch.tensor([0.5, 0.0, 0.25, 0.25, 0.0]).log().expand(8, 5)
    draws = torch.tensor([0, 0.1, 0.4999, 0.5, 0.7499, 0.75, 0.99, 1 - 2**-24])
    assert draw(logits, 1.0, draws).tolist() == [0, 0, 0, 2, 2, 3, 3, 3]
    # the hotter, the more even: chances of 0.41, 0, 0.29, 0.29, 0
    assert draw(logits, 2.0, draws).tolist() == [0, 0, 2, 2, 3, 3, 3, 3]


def test_sampling_at_low_temperature_is_greedy(model):
    prompts = some_prompts(model)
    cold = generate(model, prompts, max_new_tokens=20, temperature=1e-6, full_precision=True)
    greedy = generate(model, prompts, max_new_tokens=20, full_precision=True)
    assert as_lists(cold) == as_lists(greedy)


# ── the cache ───────────────────────────────────────────────────────────────────────────


@torch.no_grad()
def test_logits_of_every_step(model):
    """Given tokens are read as by the plain forward pass, also when rows leave between."""
    rng = np.random.default_rng(2)
    sequences = [rng.integers(model.config.vocabulary, size=size) for size in (40, 61, 25, 90, 33)]
    starts = np.array([20, 21, 22, 60, 1])
    plain = [logits_after(model, sequence.tolist()) for sequence in sequences]
    cache = Cache(model.config, 5, 90, torch.float32, "cpu")
    logits = prefill(model, cache, [s[:n] for s, n in zip(sequences, starts, strict=True)])
    rows = torch.arange(5)
    for i in count():
        for row, one in zip(rows.tolist(), logits, strict=True):
            assert (one - plain[row][starts[row] + i - 1]).abs().max() < 1e-4
        staying = [j for j, row in enumerate(rows.tolist())
                   if starts[row] + i < len(sequences[row])]
        if not staying:
            break
        if len(staying) < len(rows):
            cache.keep(torch.tensor(staying))
            rows = rows[staying]
        tokens = [sequences[row][starts[row] + i] for row in rows.tolist()]
        logits = step(model, cache, torch.tensor(tokens))
    assert i == 40  # the longest rest of a sequence


@given(st.lists(st.sets(st.integers(0, 9)), max_size=4), st.booleans(), st.integers(0, 2**32))
def test_rows_that_stay_move_together(keeps, in_order, seed):
    generator = torch.Generator().manual_seed(seed)
    cache = Cache(CONFIGS["grouped"], 10, 12, torch.float32, "cpu")
    cache.keys.normal_(generator=generator)
    cache.values.normal_(generator=generator)
    cache.lengths = torch.randint(13, (10,), generator=generator)
    keys, values, lengths = cache.keys.clone(), cache.values.clone(), cache.lengths.clone()
    rows, storage = torch.arange(10), cache.keys.untyped_storage().data_ptr()
    for keep in keeps:
        staying = sorted(i for i in keep if i < len(rows))
        if not in_order:  # the last go where others have left
            last = [i for i in staying if i >= len(staying)]
            staying = [i if i in keep else last.pop() for i in range(len(staying))]
        staying = torch.tensor(staying, dtype=torch.int64)
        cache.keep(staying)
        rows = rows[staying]
    assert torch.equal(cache.lengths, lengths[rows])
    assert cache.keys.untyped_storage().data_ptr() == storage  # nothing was allocated
    for i, row in enumerate(rows.tolist()):
        n = lengths[row]
        assert torch.equal(cache.keys[:, i, :, :n], keys[:, row, :, :n])
        assert torch.equal(cache.values[:, i, :, :n], values[:, row, :, :n])


# ── bfloat16 ────────────────────────────────────────────────────────────────────────────


def test_bfloat16(model, monkeypatch):
    monkeypatch.setattr(decoding, "autocast", lambda device: torch.autocast("cpu", torch.bfloat16))
    dtypes = []

    def noted(config, rows, longest, dtype, device):
        dtypes.append(dtype)
        return Cache(config, rows, longest, dtype, device)

    monkeypatch.setattr(decoding, "Cache", noted)
    prompts = some_prompts(model)
    answers = as_lists(generate(model, prompts, max_new_tokens=20, batch_size=6))
    exact = as_lists(generate(model, prompts, max_new_tokens=20, batch_size=6,
                              full_precision=True))
    assert dtypes == [torch.bfloat16, torch.float32]
    assert all(1 <= len(answer) <= 20 and END not in answer[:-1] for answer in answers)
    # rounding may turn a near tie, so not every token agrees, but the first mostly do
    assert sum(a[0] == b[0] for a, b in zip(answers, exact, strict=True)) >= 16


@torch.no_grad()
def test_the_last_product_is_in_float32(model):
    """Also under autocast, where bfloat16 would make near likeliest words equal."""
    read = []
    model.norm.register_forward_hook(lambda module, given, hidden: read.append(hidden))
    prompts = [np.arange(5), np.arange(1, 9)]
    weight = model.embedding.weight
    for context in (torch.autocast("cpu", torch.bfloat16), nullcontext()):
        read.clear()
        with context:
            cache = Cache(model.config, 2, 20, torch.bfloat16, "cpu")
            found = [prefill(model, cache, prompts), step(model, cache, torch.tensor([3, 4]))]
            rounded = model.logits(read[0])
        for logits, hidden in zip(found, read, strict=True):
            assert logits.dtype == torch.float32
            assert torch.equal(logits, hidden.float() @ weight.float().T)
    with torch.autocast("cpu", torch.bfloat16):
        assert model.logits(read[0]).dtype == torch.bfloat16  # as in training
    assert rounded.dtype == torch.float32
    model.bfloat16()  # nor in a model whose weights are themselves rounded
    assert torch.equal(model.exact_logits(read[0].bfloat16()),
                       read[0].bfloat16().float() @ model.embedding.weight.float().T)


@torch.no_grad()
def test_a_near_tie_goes_to_the_likelier(monkeypatch):
    """Two words that bfloat16 cannot tell apart: the second is ahead by a hair."""
    monkeypatch.setattr(decoding, "autocast", lambda device: torch.autocast("cpu", torch.bfloat16))
    model = scrambled(CONFIGS["plain"])
    model.norm.weight[:] = 1  # the hidden state is all ones, whatever was read
    for block in model.blocks:
        block.attention.out.weight.zero_()
        block.down.weight.zero_()
    model.embedding.weight[:] = 0.01
    model.embedding.weight[7], model.embedding.weight[9] = 1.0, 1.0005
    answers = generate(model, [np.array([3])], max_new_tokens=1)
    assert as_lists(answers) == [[9]]


@torch.no_grad()
def test_bfloat16_logits_are_close(model):
    sequence = some_prompts(model, 1, 90, seed=4)[0]
    plain = logits_after(model, sequence.tolist())
    with torch.autocast("cpu", torch.bfloat16):
        cache = Cache(model.config, 1, len(sequence), torch.bfloat16, "cpu")
        cached = [prefill(model, cache, [sequence[:10]])]
        cached += [step(model, cache, torch.tensor([int(token)])) for token in sequence[10:]]
    errors = torch.cat(cached).float() - plain[9:]
    assert errors.std() < 0.05 * plain.std()
