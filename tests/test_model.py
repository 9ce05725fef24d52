"""The transformer: the same function as transformers' Qwen2, and packing that changes nothing."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from models import CONFIGS, scrambled
from transformers import Qwen2Config, Qwen2ForCausalLM

from helpers.decoding import generate
from helpers.engine.packing import pack
from helpers.layouts import positions
from helpers.model import ModelConfig, Transformer
from helpers.share.export import qwen2_config, qwen2_state


@pytest.fixture(params=CONFIGS)
def model(request) -> Transformer:
    return scrambled(CONFIGS[request.param])


def examples(config: ModelConfig, lengths: list[int], seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(config.vocabulary, size=length) for length in lengths]


def packed(sequences: list[np.ndarray], placed: list[np.ndarray] | None = None) -> tuple:
    """Tokens and packing of these sequences, and where each begins and ends."""
    lengths = np.array([len(sequence) for sequence in sequences])
    packing = pack(lengths, positions=None if placed is None else np.concatenate(placed))
    tokens = np.zeros(len(packing.positions), np.int64)
    tokens[:lengths.sum()] = np.concatenate(sequences)
    return torch.from_numpy(tokens), packing, np.cumsum(lengths) - lengths, np.cumsum(lengths)


def qwen2(model: Transformer) -> Qwen2ForCausalLM:
    """The same weights in transformers' Qwen2."""
    theirs = Qwen2ForCausalLM(Qwen2Config(**qwen2_config(model.config),
                                          attn_implementation="eager", dtype=torch.float32)).eval()
    missing, unexpected = theirs.load_state_dict(qwen2_state(model), strict=False)
    assert missing == ["lm_head.weight"]  # tied to the embedding
    assert unexpected == []
    return theirs


# ── the same function as transformers' ──────────────────────────────────────────────────


@torch.no_grad()
@pytest.mark.parametrize("gap", [0, 5, 400, -3])
def test_same_logits_as_transformers(model, gap):
    sequences = examples(model.config, [30, 1, 64, 7, 31, 33, 12])
    placed = [positions(len(sequence), len(sequence) // 2, gap) for sequence in sequences]
    tokens, packing, starts, ends = packed(sequences, placed)
    ours = model(tokens, packing)
    longest = max(map(len, sequences))
    padded = torch.zeros(len(sequences), longest, dtype=torch.int64)
    mask, places = torch.zeros_like(padded), torch.zeros_like(padded)
    for row, sequence in enumerate(sequences):
        padded[row, :len(sequence)], mask[row, :len(sequence)] = torch.from_numpy(sequence), 1
        places[row, :len(sequence)] = torch.from_numpy(placed[row])
    theirs = qwen2(model)(padded, attention_mask=mask, position_ids=places).logits
    assert theirs.std() > 0.3  # there is something to compare
    for row, (start, end) in enumerate(zip(starts, ends, strict=True)):
        assert (ours[start:end] - theirs[row, :end - start]).abs().max() < 1e-4


@pytest.mark.parametrize("gap", [0, 17])
def test_same_gradients_as_transformers(model, gap):
    sequence = torch.from_numpy(examples(model.config, [40])[0])
    placed = positions(39, 10, gap)
    tokens, packing, _, _ = packed([sequence[:-1].numpy()], [placed])
    learn = torch.arange(10, 39)
    loss, _ = model.loss(tokens, packing, learn, sequence[learn + 1], torch.full((29,), 1 / 29))
    loss.backward()
    other = qwen2(model)
    logits = other(sequence[None, :-1], position_ids=torch.from_numpy(placed)[None]).logits
    F.cross_entropy(logits[0, learn], sequence[learn + 1]).backward()
    ours = qwen2_state({name: weight.grad for name, weight in model.named_parameters()})
    for name, weight in other.named_parameters():
        torch.testing.assert_close(ours[name], weight.grad, rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.parametrize("gap", [3, 200, -4])
def test_same_greedy_tokens_as_transformers_behind_a_gap(model, gap):
    """Prompts of one length at a time: rows are handed on, shrunk and filled again all the same."""
    prompts = examples(model.config, [5, 17, 8, 30, 17, 12, 9], seed=3)
    placed = [positions(len(prompt), len(prompt) - 1, gap) for prompt in prompts]
    ours = generate(model, prompts, max_new_tokens=12, batch_size=3, full_precision=True,
                    positions=placed)
    other = qwen2(model)
    for prompt, place, answer in zip(prompts, placed, ours, strict=True):
        ids, places = prompt.tolist(), place.tolist()
        for token in answer:
            with torch.no_grad():
                logits = other(torch.tensor([ids]), position_ids=torch.tensor([places])).logits
            assert token == logits[0, -1].argmax()
            ids.append(int(token))
            places.append(places[-1] + 1)


@torch.no_grad()
@pytest.mark.parametrize("heads", [0, 1])
def test_heads_without_positions(heads):
    """Key/value heads from the first one that does not turn on, and their queries, know none."""
    config = replace(CONFIGS["grouped"], rotary_heads=heads)
    model, plain = scrambled(config), scrambled(CONFIGS["grouped"])
    (sequence,) = examples(config, [20])
    tokens, packing, _, _ = packed([sequence])
    _, moved, _, _ = packed([sequence], [np.random.default_rng(1).permutation(500)[:20]])
    same = torch.equal(model(tokens, packing), model(tokens, moved))
    assert same == (heads == 0)
    assert not torch.equal(plain(tokens, packing), plain(tokens, moved))
    qkv = [m.blocks[0].attention.project(m.embedding(tokens), m.rotary(packing.positions))
           for m in (model, plain)]
    shared = config.heads // config.kv_heads
    turning = [*range(heads * shared), *range(config.heads, config.heads + heads)]
    assert torch.equal(qkv[0][:, turning], qkv[1][:, turning])
    assert not torch.equal(qkv[0][:, heads * shared:config.heads],
                           qkv[1][:, heads * shared:config.heads])


def test_same_greedy_tokens_as_transformers(model):
    prompts = examples(model.config, [5, 17, 1, 30, 17], seed=3)
    ours = generate(model, prompts, max_new_tokens=24, batch_size=3, full_precision=True)
    other = qwen2(model)
    for prompt, answer in zip(prompts, ours, strict=True):
        given = torch.from_numpy(prompt)[None]
        theirs = other.generate(given, attention_mask=torch.ones_like(given), max_new_tokens=24,
                                do_sample=False)
        assert answer.tolist() == theirs[0, len(prompt):].tolist()


# ── packing ─────────────────────────────────────────────────────────────────────────────

some_lengths = st.lists(st.integers(1, 90), min_size=1, max_size=9)


@given(some_lengths, st.integers(1, 5), st.sampled_from([1, 8, 256]), st.sampled_from([1, 32]))
def test_packing(lengths, groups, token_multiple, row_multiple):
    packing = pack(np.array(lengths), groups, token_multiple, row_multiple)
    n, total = sum(lengths), len(packing.positions)
    assert total > n
    assert total % token_multiple == 0
    assert len(packing.places) == sum(b * t for b, t in packing.shapes)
    assert sum(b for b, _ in packing.shapes) == len(lengths)
    assert len(packing.shapes) == min(groups, len(lengths))
    assert packing.positions[:n].tolist() == [i for length in lengths for i in range(length)]
    assert (torch.arange(total) - packing.begins).tolist() == packing.positions.tolist()
    places, tokens_at = packing.places, packing.tokens_at
    assert torch.equal(places[tokens_at[:n]], torch.arange(n))  # there and back
    assert set(places.tolist()) == {*range(n), total - 1}
    assert (places == total - 1).sum() == len(places) - n
    assert all(places[place] == total - 1 for place in tokens_at[n:].tolist())
    base, start_of = 0, dict(zip(np.cumsum(lengths) - lengths, lengths, strict=True))
    for b, t in packing.shapes:
        assert t % row_multiple == 0
        for row in places[base:base + b * t].view(b, t).tolist():  # an example, then nothing
            length = start_of.pop(row[0])
            assert length < t
            assert row == [*range(row[0], row[0] + length), *[total - 1] * (t - length)]
        base += b * t
    assert not start_of


def written_out(model: Transformer, tokens: torch.Tensor) -> torch.Tensor:
    """Logits of one sequence with the model's weights, without packing: [T] → [T, vocabulary]."""
    config, t = model.config, len(tokens)
    frequency = config.rope_theta ** (-torch.arange(0, config.head_width, 2) / config.head_width)
    turn = torch.polar(torch.ones(()), torch.arange(t)[:, None] * frequency)[:, None]  # e^(i φ)

    def rotated(heads):
        a, b = heads.chunk(2, -1)
        turned = torch.complex(a, b) * turn
        return torch.cat([turned.real, turned.imag], -1)

    x = model.embedding.weight[tokens]
    for block in model.blocks:
        heads = block.attention.qkv(block.attention_norm(x)).view(t, -1, config.head_width)
        q, k, v = heads.split([config.heads, config.kv_heads, config.kv_heads], 1)
        q, k, out = rotated(q), rotated(k), []
        for head in range(config.heads):
            shared = head * config.kv_heads // config.heads
            scores = q[:, head] @ k[:, shared].T / config.head_width**0.5
            hidden = torch.ones(t, t).triu(1).bool()
            out.append(scores.masked_fill(hidden, -torch.inf).softmax(-1) @ v[:, shared])
        x = x + torch.cat(out, -1) @ block.attention.out.weight.T
        x = x + block.mlp(x)
    return model.norm(x) @ model.embedding.weight.T


PACKS = [[1], [31], [32], [256], [1, 1, 1, 1, 1], [32, 64, 96, 32, 32], [90, 3, 41, 17, 60, 5, 2],
         [20] * 12, [5, 90]]


@pytest.mark.parametrize("lengths", PACKS, ids=str)
def test_a_packed_example_is_as_if_alone(lengths):
    model = scrambled(CONFIGS["one key/value head"])
    sequences = examples(model.config, lengths)
    tokens, packing, starts, ends = packed(sequences)
    with torch.no_grad():
        together = model(tokens, packing)
        for sequence, start, end in zip(sequences, starts, ends, strict=True):
            alone = written_out(model, torch.from_numpy(sequence))
            assert (together[start:end] - alone).abs().max() < 1e-4


@pytest.mark.parametrize("lengths", PACKS, ids=str)
def test_gradients_of_a_packed_batch_are_the_sum_of_those_of_its_examples(lengths):
    config = CONFIGS["grouped" if max(lengths) < 96 else "one key/value head"]
    model = scrambled(config)
    sequences = examples(config, [length + 1 for length in lengths])
    tokens, packing, starts, _ = packed([sequence[:-1] for sequence in sequences])
    rng = np.random.default_rng(1)
    learn, targets, weights, naive = [], [], [], 0.0
    for sequence, start in zip(sequences, starts, strict=True):
        first = len(sequence) // 3
        weight = torch.from_numpy(rng.random(len(sequence) - 1 - first)).float()
        learn.append(torch.arange(first, len(sequence) - 1) + start)
        targets.append(torch.from_numpy(sequence[first + 1:]))
        weights.append(weight)
        logits = written_out(model, torch.from_numpy(sequence[:-1]))[first:]
        naive = naive + (weight * F.cross_entropy(logits, targets[-1], reduction="none")).sum()
    naive.backward()
    expected = {name: weight.grad for name, weight in model.named_parameters()}
    model.zero_grad()
    loss, each = model.loss(tokens, packing, *map(torch.cat, (learn, targets, weights)))
    loss.backward()
    assert loss.item() == pytest.approx(naive.item(), rel=1e-4)
    assert loss.item() == pytest.approx((each * torch.cat(weights)).sum().item(), rel=1e-5)
    for name, weight in model.named_parameters():
        scale = expected[name].abs().max().item()
        torch.testing.assert_close(weight.grad, expected[name], rtol=1e-3, atol=1e-4 * scale + 1e-6,
                                   msg=name)


def test_long_rows_take_another_kernel_and_agree():
    model = scrambled(CONFIGS["one key/value head"])
    sequences = examples(model.config, [1100, 700])
    tokens, packing, starts, ends = packed(sequences)
    together = model(tokens, packing)
    together[ends[0] - 300:ends[0]].square().sum().backward()
    gradient = model.blocks[0].attention.qkv.weight.grad.clone()
    model.zero_grad()
    alone = written_out(model, torch.from_numpy(sequences[0]))
    alone[-300:].square().sum().backward()
    assert (together[starts[0]:ends[0]] - alone).abs().max() < 1e-4
    torch.testing.assert_close(gradient, model.blocks[0].attention.qkv.weight.grad, rtol=1e-3,
                               atol=1e-4 * gradient.abs().max().item())


@torch.no_grad()
def test_the_future_is_unseen(model):
    sequence = examples(model.config, [60])[0]
    changed = sequence.copy()
    changed[40:] = (changed[40:] + 1) % model.config.vocabulary
    before, after = (model(*packed([s])[:2])[:60] for s in (sequence, changed))
    assert torch.equal(before[:40], after[:40])
    assert not torch.allclose(before[40], after[40])


# ── size, seeds, settings ───────────────────────────────────────────────────────────────


def formula(c: ModelConfig) -> int:
    """Number of parameters, counted by hand."""
    attention = (c.width + 1) * (c.heads + 2 * c.kv_heads) * c.head_width + c.width * c.width
    block = attention + 3 * c.width * c.mlp_width + 2 * c.width
    return c.vocabulary * c.width + c.layers * block + c.width


def test_number_of_parameters(model):
    assert model.parameter_count() == formula(model.config)


def test_number_of_parameters_of_the_paper():
    with torch.device("meta"):  # shapes without memory
        model = Transformer(ModelConfig(vocabulary=944))
    assert model.parameter_count() == formula(model.config) == 358_743_936
    # Qwen2.5-0.5B itself, with its 151 936 tokens
    assert formula(ModelConfig(vocabulary=151_936)) == 494_032_768


def test_same_seed_same_weights():
    config = CONFIGS["grouped"]
    torch.manual_seed(1)
    a = Transformer(config, 5)
    torch.manual_seed(2)
    b, c = Transformer(config, 5), Transformer(config, 6)
    for (name, x), y, z in zip(a.named_parameters(), b.parameters(), c.parameters(), strict=True):
        assert torch.equal(x, y)
        assert torch.equal(x, z) == (x.dim() == 1), name


def test_initial_weights():
    model = Transformer(ModelConfig(vocabulary=200, context=8, width=128, layers=1, heads=4,
                                    kv_heads=2, mlp_width=256, init_std=0.05))
    for name, weight in model.named_parameters():
        if weight.dim() == 2:
            assert weight.std().item() == pytest.approx(0.05, rel=0.03), name
            assert abs(weight.mean().item()) < 0.002, name
        else:
            assert torch.all(weight == (0 if name.endswith("bias") else 1)), name


@pytest.mark.parametrize(("change", "message"), [
    ({"width": 50}, "width: got 50, takes a multiple of twice the heads (12)"),
    ({"width": 18}, "width: got 18, takes a multiple of twice the heads (12)"),
    ({"kv_heads": 4}, "kv_heads: got 4, takes a divisor of heads (6)"),
    ({"kv_heads": 12}, "kv_heads: got 12, takes a divisor of heads (6)"),
])
def test_settings_that_fit_no_model(change, message):
    with pytest.raises(ValueError, match="takes a") as caught:
        ModelConfig(**asdict(CONFIGS["grouped"]) | change)
    assert str(caught.value) == message
