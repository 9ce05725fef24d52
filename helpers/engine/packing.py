"""A batch without padding: all examples one after the other in one row of tokens.

Every matrix product of the model works on real tokens only. Just the attention of a CPU
sees examples as rows; they are laid out for it in a few groups of similar length.

Shapes: N tokens of a packed batch, B examples.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from helpers.engine.attention import document_mask
from helpers.engine.compiling import can_compile

if TYPE_CHECKING:  # its import takes seconds
    from torch.nn.attention.flex_attention import BlockMask


@dataclass(frozen=True)
class Packing:
    """How the N tokens of a packed batch lie in attention's rows.

    Rows are sorted by length and cut into groups; a group of b rows is laid out b × t, t
    the longest row's length, rounded up so that at least one place in it stays empty.
    Empty places point at the last token of the packed batch, which belongs to no example.
    On a GPU there are no rows but a mask.
    """

    positions: Tensor  # int64 [N], place in its own example, or wherever rotary embeddings put it
    begins: Tensor  # int64 [N], where its own example begins
    places: Tensor | None  # int64 [P], for each place of all groups the token that stands there
    tokens_at: Tensor | None  # int64 [N], the inverse: for each token its place
    shapes: list[tuple[int, int]]  # (b, t) of each group; P is the sum of b·t
    mask: "BlockMask | None" = None  # which tokens see which, where attention goes without rows

    def to(self, device) -> "Packing":
        if torch.device(device).type == "cuda" and can_compile("cuda"):
            return self.masked(device)
        return Packing(*(x.to(device) for x in (self.positions, self.begins, self.places,
                                                self.tokens_at)), self.shapes)

    def masked(self, device) -> "Packing":
        """The same without rows."""
        positions, begins = self.positions.to(device), self.begins.to(device)
        return Packing(positions, begins, None, None, [], document_mask(begins))


def pack(lengths: np.ndarray, groups: int = 4, token_multiple: int = 256,
         row_multiple: int = 32, positions: np.ndarray | None = None) -> Packing:
    """The packing of examples with these lengths (int ``[B]``, in batch order).

    Args:
        positions: of the tokens, int64 [sum of lengths]; counted from 0 in each example if None.
        groups: into how many groups of similar length attention splits the batch.
        token_multiple: N is rounded up to a multiple of this, to keep shapes few.
        row_multiple: the same for the length of a group's rows.
    """
    lengths = np.asarray(lengths, np.int64)
    ends = np.cumsum(lengths)
    total = round_up(int(ends[-1]) + 1, token_multiple)
    begins = np.arange(total)  # a token of no example is one of its own
    begins[:ends[-1]] = np.repeat(ends - lengths, lengths)
    placed = np.arange(total) - begins
    if positions is not None:
        placed[:ends[-1]] = positions
    tokens_at = np.zeros(total, np.int64)
    places, shapes, base = [], [], 0
    for rows in np.array_split(np.argsort(lengths, kind="stable"), min(groups, len(lengths))):
        longest = round_up(int(lengths[rows].max()) + 1, row_multiple)
        group = np.full((len(rows), longest), total - 1)
        for row, example in enumerate(rows):
            length, end = lengths[example], ends[example]
            group[row, :length] = np.arange(end - length, end)
            tokens_at[end - length:end] = base + row * longest + np.arange(length)
        places.append(group.ravel())
        shapes.append(group.shape)
        base += group.size
    # tokens of no example read from an empty place, whose gradient is zero
    tokens_at[ends[-1]:] = base - 1
    return Packing(*map(torch.from_numpy, (placed, begins, np.concatenate(places), tokens_at)),
                   shapes)


def round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def rearranged(x: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
    """``x[index]``, with ``inverse`` known: the gradient is a gather too, not a scatter."""
    return _Rearrange.apply(x, index, inverse)


class _Rearrange(torch.autograd.Function):

    @staticmethod
    def forward(ctx, x, index, inverse):
        ctx.save_for_backward(inverse)
        return x[index]

    @staticmethod
    def backward(ctx, gradient):
        (inverse,) = ctx.saved_tensors
        return gradient[inverse], None, None
