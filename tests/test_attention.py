"""Attention of packed tokens under a mask: the numbers of the rows that a CPU uses."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from models import CONFIGS, scrambled
from torch._dynamo.testing import CompileCounterWithBackend
from torch.nn.attention import flex_attention as flex

from helpers.engine.attention import (
    BLOCK,
    cached_attention,
    cached_attention_in_torch,
    causal_attention,
    document_mask,
    masked_attention,
)
from helpers.engine.packing import pack

PACKS = [[1], [127], [128], [129, 127], [300, 20, 128, 256, 1, 5], [5, 90], [40] * 12]


@pytest.fixture(autouse=True)
def _on_a_cpu(monkeypatch):
    """Lets gradients through, which are plain torch here, and quiets that they are slow."""
    monkeypatch.setattr(flex, "_validate_device", lambda q, k, v: None)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "flex_attention called without")
        yield


def allowed(start: torch.Tensor) -> torch.Tensor:
    """bool [N, N], query by key, written out."""
    n = len(start)
    return (start[:, None] == start) & (torch.arange(n)[:, None] >= torch.arange(n))


@given(st.lists(st.integers(1, 400), min_size=1, max_size=9))
def test_mask(lengths):
    begins = pack(np.array(lengths)).begins
    mask, n = document_mask(begins), len(begins)
    expected = allowed(begins)
    tokens = torch.arange(n)
    assert torch.equal(mask.mask_mod(0, 0, tokens[:, None], tokens), expected)
    blocks = expected.view(n // BLOCK, BLOCK, n // BLOCK, BLOCK).transpose(1, 2)
    some, whole = blocks.flatten(2).any(2), blocks.flatten(2).all(2)
    for number, order, wanted in ((mask.kv_num_blocks, mask.kv_indices, some & ~whole),
                                  (mask.full_kv_num_blocks, mask.full_kv_indices, whole),
                                  (mask.q_num_blocks, mask.q_indices, (some & ~whole).T),
                                  (mask.full_q_num_blocks, mask.full_q_indices, whole.T)):
        listed = [order[0, 0, i, :count].tolist() for i, count in enumerate(number[0, 0])]
        assert listed == [row.nonzero().squeeze(1).tolist() for row in wanted]


@pytest.mark.parametrize("t", [1, 2, 3, 7, 32, 33, 255, 1024, 1025])
@pytest.mark.parametrize("heads", [(2, 2), (6, 2)], ids=str)
def test_rows_are_as_written_out(t, heads):
    """In two halves of queries, one of which may have none, or by torch's kernel: the same sum."""
    generator = torch.Generator().manual_seed(t)
    h, shared = heads[0], heads[0] // heads[1]
    q, k, v = (torch.randn(2, n, t, 8, generator=generator, requires_grad=True)
               for n in (h, heads[1], heads[1]))
    ours = causal_attention(q, k, v)
    keys, values = (x.repeat_interleave(shared, 1) for x in (k, v))
    scores = (q @ keys.mT / 8**0.5).masked_fill(~torch.ones(t, t).tril().bool(), -torch.inf)
    expected = scores.softmax(-1) @ values
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)
    wanted = torch.randn(ours.shape, generator=generator)
    for a, b in zip(*(torch.autograd.grad(y, (q, k, v), wanted) for y in (ours, expected)),
                    strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_number_of_tokens_that_no_mask_takes():
    with pytest.raises(ValueError, match=r"^starts: got 130 tokens, takes a multiple of 128$"):
        document_mask(torch.arange(130))


@pytest.mark.parametrize("heads", [(4, 4), (6, 2), (4, 1)], ids=str)
def test_as_written_out(heads):
    begins = pack(np.array([70, 3, 200])).begins
    n, (h, k) = len(begins), heads
    generator = torch.Generator().manual_seed(0)
    q, key, v = (torch.randn(n, m, 16, generator=generator) for m in (h, k, k))
    ours = masked_attention(q, key, v, document_mask(begins))
    for head in range(h):
        scores = q[:, head] @ key[:, head * k // h].T / 4
        weights = scores.masked_fill(~allowed(begins), -torch.inf).softmax(-1)
        torch.testing.assert_close(ours[:, head], weights @ v[:, head * k // h])


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("lengths", PACKS, ids=str)
def test_same_loss_and_gradients_as_in_rows(name, lengths):
    model = scrambled(CONFIGS[name])
    lengths = np.minimum(lengths, model.config.context)
    rng = np.random.default_rng(0)
    packing, total = pack(lengths), int(lengths.sum())
    tokens = torch.from_numpy(rng.integers(model.config.vocabulary, size=len(packing.positions)))
    learn = torch.from_numpy(np.flatnonzero(rng.random(total) < 0.7))
    targets = torch.from_numpy(rng.integers(model.config.vocabulary, size=len(learn)))
    weights = torch.from_numpy(rng.random(len(learn), np.float32))
    results = []
    for form in (packing, packing.masked("cpu")):
        model.zero_grad()
        loss, each = model.loss(tokens, form, learn, targets, weights)
        loss.backward()
        results.append((each, {name: p.grad.clone() for name, p in model.named_parameters()}))
    (rows_each, rows), (mask_each, mask) = results
    torch.testing.assert_close(mask_each, rows_each, rtol=1e-4, atol=1e-4)
    for name, gradient in rows.items():
        torch.testing.assert_close(mask[name], gradient, rtol=1e-3,
                                   atol=1e-4 * gradient.abs().max().item() + 1e-6, msg=name)


def test_batches_of_other_sizes_compile_nothing_new():
    torch._dynamo.reset()
    counter = CompileCounterWithBackend("aot_eager")
    model = scrambled(CONFIGS["one key/value head"])
    loss = torch.compile(model.loss, dynamic=True, backend=counter)
    rng, compiled = np.random.default_rng(0), []
    for examples in (9, 20, 14, 31):
        packing = pack(rng.integers(20, 90, examples))
        tokens = torch.from_numpy(rng.integers(64, size=len(packing.positions)))
        learn = torch.arange(10 * examples)
        arguments = learn, learn % 64, torch.rand(len(learn))
        expected, _ = model.loss(tokens, packing, *arguments)
        value, _ = loss(tokens, packing.masked("cpu"), *arguments)
        value.backward()
        torch.testing.assert_close(value, expected)
        compiled.append(counter.frame_count)
    assert compiled[0] == compiled[-1]


# ── a cache ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("heads", [(4, 4), (6, 2), (14, 2), (3, 1)], ids=str)
def test_kernel_over_a_cache(heads, dtype):
    (h, kv), longest, generator = heads, 60, torch.Generator().manual_seed(0)
    lengths, rows = torch.tensor([0, 1, 16, 31, 58, 59, 40]), torch.arange(7)
    q, k, v = (torch.randn(7, n, 16, generator=generator).to(dtype) for n in (h, kv, kv))
    cache = torch.randn(2, 9, kv, 70, 16, generator=generator).to(dtype)[:, :7, :, :65]
    for row, length in enumerate(lengths):
        cache[:, row, :, length:] = torch.nan  # the new token's own place among them
    ours = cached_attention(q, k, v, *cache, lengths, longest)
    assert torch.equal(cache[0, rows, :, lengths], k)
    assert torch.equal(cache[1, rows, :, lengths], v)
    filled = cache.nan_to_num()
    exact = cached_attention_in_torch(*(x.double() for x in (q, k, v, *filled)), lengths, longest)
    filled[:, rows, :, lengths] = 0
    theirs = cached_attention_in_torch(q, k, v, *filled, lengths, longest)
    assert torch.equal(filled, cache.nan_to_num())
    assert ours.dtype == torch.float32
    assert ours.shape == q.shape
    torch.testing.assert_close(ours.double(), exact, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours, theirs.float(), rtol=0,
                               atol=1e-5 if dtype == torch.float32 else 0.03)


def test_kernel_with_large_scores():
    keys = torch.arange(5.0).view(1, 1, 5, 1).repeat(1, 1, 1, 16) - 2
    values, q = keys + 2, torch.full((1, 1, 16), 100.0)
    y = cached_attention(q, keys[:, :, 3], values[:, :, 3], keys, values, torch.tensor([3]), 5)
    assert torch.equal(y, torch.full((1, 1, 16), 3.0))


def test_a_full_cache_is_not_written_behind():
    cache = torch.zeros(2, 2, 1, 5, 16)
    new = torch.zeros(2, 1, 16)
    with pytest.raises(IndexError, match="got 5, takes less than the cache's 5 positions"):
        cached_attention(new, new, new, *cache, torch.tensor([2, 5]), 5)
