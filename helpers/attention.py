"""Attention on a GPU: straight over the packed tokens, without rows and without padding.

FlexAttention compiles one kernel that skips every block of 128 × 128 scores in which no
token sees another; which those are follows from where examples begin (`document_mask`, once
a batch). Tokens stay where they are, key/value heads are shared, not repeated. On a CPU it
has no backward pass and is slow, so there `model.Attention` lays examples out in rows; the
tests hold the two against each other.

Shapes: N tokens of a packed batch, H query heads, K key/value heads, D head width.
"""

import shutil
import sys
import sysconfig
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

BLOCK = 128  # queries, and keys, of a block; N takes a multiple of it

# one kernel for every N: sizes are arguments, so a batch of another length compiles nothing
_compiled = torch.compile(flex_attention, dynamic=True)


def document_mask(positions: Tensor) -> BlockMask:
    """Which tokens see which: those before them in their own example, and themselves.

    Args:
        positions: int64 [N], each token's place in its example; on the device to be used.

    Raises:
        ValueError: N is no multiple of `BLOCK`.
    """
    n = len(positions)
    if n % BLOCK:
        raise ValueError(f"positions: got {n} tokens, takes a multiple of {BLOCK}")
    starts = torch.arange(n, device=positions.device) - positions  # where its example begins
    begins = starts.view(-1, BLOCK)
    query = torch.arange(n // BLOCK, device=positions.device)[:, None]
    key = query.T
    # `starts` never falls, so the first token of a block reaches back furthest, the last least
    seen = (begins[:, :1] // BLOCK <= key) & (key <= query)
    whole = (begins[:, -1:] <= key * BLOCK) & (key < query)  # by every query of the block

    def visible(b, h, q, k):
        return (k <= q) & (k >= starts[q])

    return BlockMask.from_kv_blocks(*_listed(seen & ~whole), *_listed(whole), BLOCK_SIZE=BLOCK,
                                    mask_mod=visible, seq_lengths=(n, n))


def _listed(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """bool [Q, K] → for each row how many, and which (first in the list): int32 [1, 1, Q, …]."""
    number = blocks.sum(1, dtype=torch.int32)
    order = blocks.int().argsort(dim=1, descending=True, stable=True).int()
    return number[None, None], order[None, None]


def masked_attention(q: Tensor, k: Tensor, v: Tensor, mask: BlockMask) -> Tensor:
    """Attention of packed tokens.

    Args:
        q: [N, H, D]. k, v: [N, K, D]. mask: of `document_mask`.

    Returns:
        [N, H, D].
    """
    # a step that is compiled as a whole takes the plain function in
    plain = torch.compiler.is_compiling() or not q.is_cuda
    attend = flex_attention if plain else _compiled
    q, k, v = (x.transpose(0, 1)[None] for x in (q, k, v))
    return attend(q, k, v, block_mask=mask, enable_gqa=True)[0].transpose(0, 1)


def can_compile() -> bool:
    """Whether torch.compile finds what it needs: a C++ compiler and Python's headers."""
    headers = Path(sysconfig.get_paths()["include"], "Python.h").exists()
    return headers and sys.platform != "win32" and any(map(shutil.which, ("g++", "clang++")))
