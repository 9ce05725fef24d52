"""The residual stream of a model: what it holds at a word, and what comes of writing into it.

All blocks read one stream and add to it. Its *state* 0 at a word is the word's embedding, state l
what stands there after l blocks; the last goes through a norm to the output layer. States are
read and written in float32, whatever the machine's autocast.

Shapes: n texts, P places in each, L blocks, C model width.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from helpers.engine.packing import pack
from helpers.language import END
from helpers.model import Cache, Transformer, prefill, step


@contextmanager
def watched(model: Transformer, visit: Callable[[int, Tensor], None]) -> Iterator[None]:
    """Within this block every state passes ``visit``, with its number, on its way.

    What is written into the tensor in place is what the model goes on with.
    """
    doors = [*(block.attention_norm for block in model.blocks), model.norm]

    def at(number: int):
        return lambda _, given: visit(number, given[0])

    handles = [door.register_forward_pre_hook(at(number)) for number, door in enumerate(doors)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def states(model: Transformer, texts: Sequence[np.ndarray], places: np.ndarray,
           batch_size: int = 64) -> Tensor:
    """The stream at some words of each text.

    Args:
        texts: n arrays of token ids.
        places: int [n, P], which words of each.

    Returns:
        float32 [L + 1, n, P, C], on the CPU.
    """
    device = model.embedding.weight.device
    found = []
    for rows in np.split(np.arange(len(texts)), range(batch_size, len(texts), batch_size)):
        lengths = np.array([len(texts[i]) for i in rows])
        packing = pack(lengths).to(device)
        tokens = np.zeros(len(packing.positions), np.int64)
        tokens[:lengths.sum()] = np.concatenate([texts[i] for i in rows])
        wanted = torch.from_numpy((np.cumsum(lengths) - lengths)[:, None] + places[rows]).to(device)
        seen: list[Tensor] = []
        with watched(model, lambda _, x, seen=seen, wanted=wanted: seen.append(x[wanted].cpu())):
            model.hidden(torch.from_numpy(tokens).to(device), packing)
        found.append(torch.stack(seen))
    return torch.cat(found, 1)


@torch.no_grad()
def answers_patched(model: Transformer, texts: Sequence[np.ndarray], given: Tensor,
                    patches: Sequence[Collection[int]], max_new_tokens: int
                    ) -> list[list[np.ndarray]]:
    """What a model writes on behind texts, with other states at their last word.

    Args:
        texts: n arrays of token ids, read as they are up to the last word.
        given: float32 [L + 1, n, C], the states to be put there.
        patches: in each the numbers of the states that are put there; all others follow from
            those and from the text.
        max_new_tokens: after so many an answer is cut off.

    Returns:
        For each patch n greedy answers, uint16 ids behind the last word up to ``end``.
    """
    device = model.embedding.weight.device
    longest = max(map(len, texts)) + max_new_tokens
    cache = Cache(model.config, len(texts), longest, torch.float32, device)
    prefill(model, cache, [text[:-1] for text in texts])
    lengths = cache.lengths.clone()
    last = torch.from_numpy(np.array([text[-1] for text in texts], np.int64)).to(device)
    given = given.to(device)
    found = []
    for patch in patches:

        def put(number: int, x: Tensor, patch=patch) -> None:
            if number in patch:
                x.copy_(given[number])

        cache.lengths.copy_(lengths)
        with watched(model, put):
            logits = step(model, cache, last)
        written, alive = [], torch.ones(len(texts), dtype=torch.bool, device=device)
        while len(written) < max_new_tokens and alive.any():
            written.append(logits.argmax(-1))
            alive &= written[-1] != END
            logits = step(model, cache, written[-1], longest=int(cache.lengths.max()) + 1)
        ids = torch.stack(written, 1).cpu().numpy().astype(np.uint16)
        found.append([_until_end(row) for row in ids])
    return found


def _until_end(ids: np.ndarray) -> np.ndarray:
    """Ids up to the first ``end``, or all."""
    ends = np.flatnonzero(ids == END)
    return ids[:ends[0] + 1] if len(ends) else ids
