"""Continuous thoughts: a model's last hidden state is its next input, in place of a word.

Behind the opening word of a response stand n *latents*. The first is what the model makes of the
opening word, the vector from which else the next word would be read; each of the others what it
makes of the one before (Hao et al. 2024, Coconut). Words follow the last one. So each latent needs
those before it: a text is read up to its opening word, then one latent after the other with the
keys and values of what was before, then the rest at once. Gradients of the words go back through
all of it. `helpers.curriculum` says how many latents there are; without any a model is the usual
one.

Shapes: B texts, P tokens of the longest prompt, S new places, T all places so far, H query heads, K
key/value heads, D head width, C model width. Texts lie in rows, their opening words all in the last
of P columns, so that latents are columns too.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.conditions import CONDITIONS, prompts
from helpers.corpus import Corpus
from helpers.curriculum import LATENT, WithLatents
from helpers.decoding import generate
from helpers.engine.packing import Packing
from helpers.engine.precision import autocast
from helpers.engine.progress import bar
from helpers.language import END
from helpers.layouts import positions
from helpers.model import Cache, Transformer, step
from helpers.optimisation import TrainingConfig
from helpers.responses import prompt_lengths
from helpers.training import Likelihood

Past = list[tuple[Tensor, Tensor]]  # of each block keys and values, [B, K, T, D]


class Rows(NamedTuple):
    """Texts in rows."""

    tokens: Tensor  # int64 [B, P]
    positions: Tensor  # int64 [B, P]
    there: Tensor  # bool [B, P], whether a token of the text stands there


class Thought(NamedTuple):
    """What a model has read and thought before it writes."""

    past: Past
    there: Tensor  # bool [B, T]
    vectors: Tensor  # [B, n, C], the latents
    hidden: Tensor  # [B, C], what it makes of the last of them


def read(model: Transformer, x: Tensor, places: Tensor, there: Tensor, past: Past | None
         ) -> tuple[Tensor, Past]:
    """Reads on.

    Args:
        x: [B, S, C], embeddings or latents. places: int64 [B, S], their positions.
        there: bool [B, T], which places count, the new ones being the last S.
        past: of all before them; None if there is nothing.

    Returns:
        [B, S, C], before the output layer; and keys and values of all T places.
    """
    (b, s, _), t = x.shape, there.shape[1]
    column = torch.arange(t, device=x.device)
    own = column[t - s:, None]
    # an empty place sees itself, for the sake of a number
    seen = (there[:, None] & (column <= own)) | (column == own)
    rope, found = model.rotary(places.reshape(-1)), []
    for layer, block in enumerate(model.blocks):
        attention = block.attention
        qkv = attention.project(block.attention_norm(x).flatten(0, 1), rope)
        q, k, v = qkv.view(b, s, -1, attention.head_width).transpose(1, 2).split(
            [attention.heads, attention.kv_heads, attention.kv_heads], 1)
        if past:
            k, v = (torch.cat(pair, 2) for pair in zip(past[layer], (k, v), strict=True))
        found.append((k, v))
        shared = attention.heads // attention.kv_heads
        y = F.scaled_dot_product_attention(
            q, *(each.repeat_interleave(shared, 1) for each in (k, v)), attn_mask=seen[:, None])
        x = x + attention.out(y.transpose(1, 2).flatten(2))
        x = x + block.mlp(x)
    return model.norm(x), found


def think(model: Transformer, asked: Rows, count: int, given: Tensor | None = None) -> Thought:
    """Reads prompts and makes latents.

    Args:
        count: n.
        given: [B, n, C], latents to take instead of the model's own.
    """
    there = asked.there
    x, past = read(model, model.embedding(asked.tokens), asked.positions, there, None)
    hidden, vectors = x[:, -1], []
    for i in range(count):
        vectors.append(hidden if given is None else given[:, i])
        there = torch.cat([there, torch.ones_like(there[:, :1])], 1)
        place = asked.positions[:, -1:] + 1 + i
        x, past = read(model, vectors[-1][:, None], place, there, past)
        hidden = x[:, -1]
    return Thought(past, there, torch.stack(vectors, 1), hidden)


# ── learning ────────────────────────────────────────────────────────────────────────────


class Feedback(Likelihood):
    """`training.Likelihood` of the words behind latents that are fed back.

    Args:
        model, settings, compiled: as of `Likelihood`; with latents nothing is compiled.
    """

    def __init__(self, model: Transformer, settings: TrainingConfig, compiled: bool):
        super().__init__(model, settings, compiled)
        self.model, self.count, self.without = model, 0, self._loss
        self._loss = self.loss

    def __call__(self, found: WithLatents) -> Callable[[], dict]:
        self.count = found.count
        return super().__call__(found.batch)

    def loss(self, *tensors) -> tuple[Tensor, Tensor]:
        """As `Transformer.loss`."""
        return latent_loss(self.model, self.count, *tensors) if self.count else (
            self.without(*tensors))


def latent_loss(model: Transformer, count: int, tokens: Tensor, packing: Packing, learn: Tensor,
                targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """As `Transformer.loss`, of texts whose first learnt word stands behind so many latents.

    All of a text is learnt from there on, its last word too; what fills a batch up weighs nothing.
    """
    learn, targets, weights = (each[weights > 0] for each in (learn, targets, weights))
    begins = packing.begins[learn]
    starts, row, learnt = begins.unique(return_inverse=True, return_counts=True)
    last = learnt.cumsum(0)
    behind = learn[last - learnt]  # the last latent of each text, after which a word is learnt
    opening, ends = behind - count, learn[last - 1] + 1
    column = torch.arange(int((opening - starts).max()) + 1, device=tokens.device)
    at = opening[:, None] - column.flip(0)
    there = at >= starts[:, None]
    at = torch.where(there, at, opening[:, None])
    thought = think(model, Rows(tokens[at], packing.positions[at], there), count)
    column = torch.arange(1, int((ends - behind).max()), device=tokens.device)
    at = behind[:, None] + column
    there = at < ends[:, None]
    at = torch.where(there, at, behind[:, None])
    x, _ = read(model, model.embedding(tokens[at]), packing.positions[at],
                torch.cat([thought.there, there], 1), thought.past)
    hidden = torch.cat([thought.hidden[:, None], x], 1)[row, learn - behind[row]]
    each = F.cross_entropy(model.logits(hidden).float(), targets, reduction="none")
    return (each * weights).sum(), each.detach()


# ── answers ─────────────────────────────────────────────────────────────────────────────


def in_rows(texts: list[np.ndarray], placed: list[np.ndarray], device: torch.device) -> Rows:
    """Prompts, uint16 ids with their positions, in rows."""
    widest = max(map(len, texts))
    there = np.arange(widest) >= widest - np.array([len(text) for text in texts])[:, None]
    tokens, places = np.zeros((2, len(texts), widest), np.int64)
    tokens[there], places[there] = np.concatenate(texts), np.concatenate(placed)
    return Rows(*(torch.from_numpy(each).to(device) for each in (tokens, places, there)))


def remembered(model: Transformer, thought: Thought, places: Tensor, room: int) -> Cache:
    """What has been read and thought as a cache, with room for so many tokens more.

    Args:
        places: int64 [B], positions of the last latents.
    """
    (b, t), device = thought.there.shape, places.device
    lengths = thought.there.sum(1)
    # as `decoding.Rows` has it
    dtype = torch.bfloat16 if torch.is_autocast_enabled(device.type) else torch.float32
    cache = Cache(model.config, b, t + room, dtype, device)
    for layer, kept in enumerate(thought.past):
        for into, each in zip((cache.keys, cache.values), kept, strict=True):
            for row, length in enumerate(lengths.tolist()):
                into[layer, row, :, :length] = each[row, :, t - length:].to(dtype)
    cache.lengths.copy_(lengths)
    cache.gaps.copy_(places + 1 - lengths)
    return cache


@torch.no_grad()
def write(model: Transformer, asked: Rows, count: int, max_new_tokens: int,
          lent: Rows | None = None) -> list[np.ndarray]:
    """Greedy answers behind latents, uint16 ids, ``end`` included where the model wrote it.

    Args:
        count: of latents.
        max_new_tokens: after so many an answer is cut off.
        lent: other prompts, as many: the latents are those behind them.
    """
    given = None if lent is None else think(model, lent, count).vectors
    thought = think(model, asked, count, given)
    cache = remembered(model, thought, asked.positions[:, -1] + count, max_new_tokens)
    alive = torch.ones_like(asked.tokens[:, 0], dtype=torch.bool)
    lengths, written = torch.zeros_like(asked.tokens[:, 0]), []
    logits = model.exact_logits(thought.hidden)
    while True:
        written.append(logits.argmax(-1))
        lengths += alive
        alive &= written[-1] != END
        if not alive.any() or len(written) == max_new_tokens:
            break
        logits = step(model, cache, written[-1], alive)
    ids = torch.stack(written, 1).cpu().numpy().astype(np.uint16)
    return [row[:length] for row, length in zip(ids, lengths.tolist(), strict=True)]


def respond(model: Transformer, corpus: Corpus, condition: str, *, count: int,
            max_new_tokens: int, batch_size: int = 256, gap: int | np.ndarray = 0,
            latents: list[np.ndarray] | None = None, title: str | None = None
            ) -> list[np.ndarray]:
    """A model's answer to every maze of a corpus, uint16 ids behind the latents.

    Args:
        count: of latents.
        max_new_tokens: of an answer, latents included.
        gap: by how much the positions of a response are shifted, one number or int [n].
        latents: prompts without opening word whose latents are taken, one a maze.
    """
    if not count:
        return respond_paused(model, corpus, condition, count=0, max_new_tokens=max_new_tokens,
                              batch_size=batch_size, gap=gap, title=title)
    asked, device = prompts(corpus, CONDITIONS[condition]), model.embedding.weight.device
    opening = np.uint16(CONDITIONS[condition].opening)
    lent = [np.append(prompt, opening) for prompt in latents or []]
    placed, lent_placed = (_placed(texts, gap) if texts else [] for texts in (asked, lent))
    found = []
    with (autocast(device),
          bar(len(asked), title, "maze") if title else nullcontext() as progress):
        for begin in range(0, len(asked), batch_size):
            some = slice(begin, begin + batch_size)
            others = in_rows(lent[some], lent_placed[some], device) if lent else None
            found += write(model, in_rows(asked[some], placed[some], device), count,
                           max_new_tokens - count, others)
            if progress:
                progress.update(len(asked[some]))
    return found


def _placed(texts: list[np.ndarray], gap: int | np.ndarray) -> list[np.ndarray]:
    """Positions of prompts, the last word of each shifted."""
    return [positions(len(text), len(text) - 1, shift)
            for text, shift in zip(texts, np.broadcast_to(gap, len(texts)).tolist(), strict=True)]


def respond_paused(model: Transformer, corpus: Corpus, condition: str, *, count: int,
                   max_new_tokens: int, gap: int | np.ndarray = 0, **asked) -> list[np.ndarray]:
    """As `respond`, of a model for which a word stands at the places of latents."""
    texts = [np.append(prompt, np.full(count, LATENT, np.uint16))
             for prompt in prompts(corpus, CONDITIONS[condition])]
    gaps, openings = np.broadcast_to(gap, len(texts)).tolist(), prompt_lengths(corpus)
    placed = [positions(len(text), opening, shift)
              for text, opening, shift in zip(texts, openings, gaps, strict=True)]
    return generate(model, texts, max_new_tokens=max_new_tokens - count, positions=placed, **asked)
