"""Attention in its three forms; each is the same sum, written for where it runs.

*Rows.* On a CPU, training and prompts: examples stand in rows (`packing.Packing`).

*Packed tokens.* On a GPU FlexAttention compiles one kernel that skips every block of
128 × 128 scores in which no token sees another; which those are follows from where examples
begin (`document_mask`, once a batch). Tokens stay where they are, without rows or padding,
and key/value heads are shared, not repeated. On a CPU it has no backward pass and is slow;
the tests hold the two against each other.

*A cache.* A new token's query meets each key once, so reading the cache is all there is to
it. On a CPU a kernel reads just what each row has so far, bfloat16 without converting it
first; torch's products would read all rows to the same length, and copy parts of rows.

Shapes: N tokens of a packed batch, B rows, T positions, H query heads, K key/value heads,
D head width.
"""

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from helpers.engine.compiling import compile_once

if TYPE_CHECKING:  # its import takes seconds: only where a GPU's attention is made
    from torch.nn.attention.flex_attention import BlockMask

BLOCK = 128  # queries, and keys, of a block; N takes a multiple of it


# ── rows ────────────────────────────────────────────────────────────────────────────────


def causal_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention of each position to itself and those before it.

    Args:
        q: [B, H, T, D]. k, v: [B, K, T, D].

    Returns:
        [B, H, T, D].
    """
    if k.shape[1] != q.shape[1]:
        k, v = (x.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for x in (k, v))
    t = q.shape[2]
    if q.is_cuda or t > 1024:
        return scaled_dot_product_attention(q, k, v, is_causal=True)
    # written out, short rows are faster on a CPU than through the fused kernel, whose
    # backward pass is not vectorised for bfloat16; queries of the first half of a row see
    # none of the second half's keys
    half = t // 2
    return torch.cat([_attend(q[:, :, :half], k[:, :, :half], v[:, :, :half]),
                      _attend(q[:, :, half:], k, v)], 2)


def _attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention of the last S of T positions: [B, H, S, D], [B, H, T, D] → as q."""
    scores = (q @ k.mT).float() * q.shape[-1] ** -0.5
    place = torch.arange(k.shape[2], dtype=torch.float32, device=q.device)  # int64 is slower
    query = place[k.shape[2] - q.shape[2]:, None]
    scores = torch.where(query >= place, scores, float("-inf"))
    return scores.softmax(-1).to(v.dtype) @ v


def full_attention(q: Tensor, k: Tensor, v: Tensor, there: Tensor) -> Tensor:
    """Attention of each position to all of its row.

    Args:
        q: [B, H, T, D]. k, v: [B, K, T, D].
        there: bool [B, T], the places at which a token stands; the others are not seen.

    Returns:
        [B, H, T, D].
    """
    if k.shape[1] != q.shape[1]:
        k, v = (x.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for x in (k, v))
    there = there[:, None, None]
    if q.is_cuda or q.shape[2] > 1024:
        return scaled_dot_product_attention(q, k, v, attn_mask=there)
    scores = (q @ k.mT).float() * q.shape[-1] ** -0.5
    return torch.where(there, scores, float("-inf")).softmax(-1).to(v.dtype) @ v


# ── packed tokens ───────────────────────────────────────────────────────────────────────


def document_mask(starts: Tensor) -> "BlockMask":
    """Which tokens see which: those before them in their own example, and themselves.

    Args:
        starts: int64 [N], where each token's example begins; on the device to be used.

    Raises:
        ValueError: N is no multiple of `BLOCK`.
    """
    n = len(starts)
    if n % BLOCK:
        raise ValueError(f"starts: got {n} tokens, takes a multiple of {BLOCK}")
    begins = starts.view(-1, BLOCK)
    query = torch.arange(n // BLOCK, device=starts.device)[:, None]
    key = query.T
    # `starts` never falls, so the first token of a block reaches back furthest, the last least
    seen = (begins[:, :1] // BLOCK <= key) & (key <= query)
    whole = (begins[:, -1:] <= key * BLOCK) & (key < query)  # by every query of the block

    def visible(b, h, q, k):
        return (k <= q) & (k >= starts[q])

    from torch.nn.attention.flex_attention import BlockMask
    return BlockMask.from_kv_blocks(*_listed(seen & ~whole), *_listed(whole), BLOCK_SIZE=BLOCK,
                                    mask_mod=visible, seq_lengths=(n, n))


def _listed(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """bool [Q, K] → for each row how many, and which (first in the list): int32 [1, 1, Q, …]."""
    number = blocks.sum(1, dtype=torch.int32)
    order = blocks.int().argsort(dim=1, descending=True, stable=True).int()
    return number[None, None], order[None, None]


def masked_attention(q: Tensor, k: Tensor, v: Tensor, mask: "BlockMask") -> Tensor:
    """Attention of packed tokens.

    Args:
        q: [N, H, D]. k, v: [N, K, D]. mask: of `document_mask`.

    Returns:
        [N, H, D].
    """
    from torch.nn.attention.flex_attention import flex_attention
    # a step that is compiled as a whole takes the plain function in
    plain = torch.compiler.is_compiling() or not q.is_cuda
    attend = flex_attention if plain else _compiled()
    q, k, v = (x.transpose(0, 1)[None] for x in (q, k, v))
    return attend(q, k, v, block_mask=mask, enable_gqa=True)[0].transpose(0, 1)


@cache
def _compiled():
    """One kernel for every N: sizes are arguments, so another length compiles nothing."""
    from torch.nn.attention.flex_attention import flex_attention
    return compile_once(flex_attention)


# ── a cache ─────────────────────────────────────────────────────────────────────────────


def cached_attention(q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor,
                     lengths: Tensor, longest: int) -> Tensor:
    """Attention of one new token a row to those before it and itself.

    Args:
        q: [B, H, D]. k, v: [B, K, D], the new token's.
        keys, values: [B, K, T, D], float32 or bfloat16; k and v are written at ``lengths``.
        lengths: int64 [B], the tokens before the new one.
        longest: at most T, more than any length that matters: nothing behind need be read.

    Returns:
        [B, H, D], float32 from a CPU.

    Raises:
        IndexError: a row of the cache is full.
    """
    if q.device.type == "cpu":
        if len(lengths) and lengths.max() >= keys.shape[2]:  # the kernel would write behind it
            raise IndexError(f"lengths: got {int(lengths.max())}, takes less than the cache's "
                             f"{keys.shape[2]} positions")
        out = torch.empty(q.shape)
        k, v = k.to(keys.dtype), v.to(values.dtype)
        _cached(q.float().contiguous().numpy(), *map(_numpy, (k, v, keys, values)),
                lengths.numpy(), out.numpy())
        return out
    return cached_attention_in_torch(q, k, v, keys, values, lengths, longest)


def cached_attention_in_torch(q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor,
                              lengths: Tensor, longest: int) -> Tensor:
    """`cached_attention` in plain torch, what the kernel is held against."""
    rows = torch.arange(len(q), device=q.device)
    keys[rows, :, lengths] = k.to(keys.dtype)
    values[rows, :, lengths] = v.to(values.dtype)
    keys, values = keys[:, :, :longest], values[:, :, :longest]
    visible = torch.arange(longest, device=q.device) <= lengths[:, None]
    grouped = q.view(len(q), keys.shape[1], -1, q.shape[2]).to(keys.dtype)  # [B, K, H/K, D]
    scores = (grouped @ keys.mT).float() * q.shape[2]**-0.5
    chances = scores.masked_fill(~visible[:, None, None], float("-inf")).softmax(-1)
    return (chances.to(values.dtype) @ values).view(q.shape)


def _numpy(x: Tensor) -> np.ndarray:
    """The same memory; bfloat16, which numpy has not, as the uint16 of its bits."""
    return (x.view(torch.uint16) if x.dtype == torch.bfloat16 else x).numpy()


@intrinsic
def _float32(context, x):
    """The float32 of a float32, or of a bfloat16's bits: they are its upper half."""

    def build(context, builder, signature, arguments):
        if x == types.float32:
            return arguments[0]
        wide = builder.zext(arguments[0], ir.IntType(32))
        return builder.bitcast(builder.shl(wide, ir.Constant(ir.IntType(32), 16)), ir.FloatType())

    return types.float32(x), build


# sums may be reordered, so that they vectorise; infinity keeps its meaning
@njit(cache=True, fastmath={"reassoc", "contract", "nsz", "arcp"})
def _cached(q, k, v, keys, values, lengths, out):
    heads, width = q.shape[1:]
    shared = heads // keys.shape[1]
    scale = np.float32(1 / np.sqrt(width))
    scores = np.empty(keys.shape[2], np.float32)
    for row in range(len(q)):
        n = lengths[row] + 1
        keys[row, :, n - 1], values[row, :, n - 1] = k[row], v[row]
        for head in range(heads):
            key, value, y = keys[row, head // shared], values[row, head // shared], out[row, head]
            top = np.float32(-np.inf)
            for t in range(n):
                score = np.float32(0)
                for d in range(width):
                    score += q[row, head, d] * _float32(key[t, d])
                scores[t] = score * scale
                top = max(top, scores[t])
            total = np.float32(0)
            y[:] = 0
            for t in range(n):
                weight = np.exp(scores[t] - top)
                total += weight
                for d in range(width):
                    y[d] += weight * _float32(value[t, d])
            for d in range(width):
                y[d] /= total
