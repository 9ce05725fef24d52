"""How a model of masked diffusion answers: all is hidden at first, and revealed bit by bit.

In each step the model says of every hidden place which word it holds likeliest there, or at a
temperature one is drawn for each; some of the places get theirs and keep it. How many a step
follows from the number of steps, which from the *order*: those of which the model is surest
(LLaDA's low-confidence remasking), any, the surest of one block after the other, or from left to
right. Answers are cut behind their first ``end``.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from helpers.batches import Batch
from helpers.conditions import CONDITIONS, prompts
from helpers.corpus import Corpus
from helpers.decoding import COLDEST, draw
from helpers.diffusion import MASK, in_rows, seeing_all
from helpers.engine.precision import autocast
from helpers.engine.progress import bar
from helpers.language import END
from helpers.layouts import positions
from helpers.model import Transformer

BLOCKS = 5  # of a response, where it is revealed block by block
STEPS = 20  # unless said otherwise
TOKENS = 16384  # read at once at most: attention holds a score for each two of a text

# ── which places come first ─────────────────────────────────────────────────────────────
# (how likely the likeliest word of each place is, a draw of each, both in 0 to 1: float [B, room])
# → the place with the highest number is revealed first


def by_confidence(confidence: Tensor, drawn: Tensor) -> Tensor:
    """Where the likeliest word is likeliest."""
    return confidence


def at_random(confidence: Tensor, drawn: Tensor) -> Tensor:
    """An order that is drawn for each maze, whatever the model says."""
    return drawn


def in_blocks(confidence: Tensor, drawn: Tensor) -> Tensor:
    """By confidence within the leftmost block that is not whole."""
    room = confidence.shape[1]
    return confidence - 2 * (torch.arange(room, device=confidence.device) * BLOCKS // room)


def left_to_right(confidence: Tensor, drawn: Tensor) -> Tensor:
    """As an autoregressive model writes."""
    return -torch.arange(confidence.shape[1], device=confidence.device).expand_as(confidence)


ORDERS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "confidence": by_confidence, "random": at_random, "blocks": in_blocks, "left": left_to_right}


def schedule(room: int, steps: int | str) -> np.ndarray:
    """How many places each step reveals, int64 [steps], as evenly as can be.

    Args:
        steps: a number, no more than there are places are made; ``all`` is one a place.

    Raises:
        ValueError: neither.
    """
    if steps != "all" and (isinstance(steps, bool | str) or steps < 1):
        raise ValueError(f"steps: got {steps!r}, takes a whole number from 1 up, or all")
    count = room if steps == "all" else min(steps, room)
    return np.diff(np.arange(count + 1) * room // count)


# ── answers ─────────────────────────────────────────────────────────────────────────────


class Filled(NamedTuple):
    """What a model has filled in."""

    ids: np.ndarray  # uint16 [n, room], behind the prompts
    when: np.ndarray  # int64 [n, room], the step in which each was revealed, from 0


@torch.no_grad()
def fill_in(model: Transformer, asked: list[np.ndarray], room: int, *, steps: int | str = STEPS,
            order: str = "confidence", temperature: float = 0.0, seed: int = 0,
            placed: list[np.ndarray] | None = None, batch_size: int = 256,
            title: str | None = None) -> Filled:
    """Fills in a response to each prompt.

    Args:
        model: of diffusion; from here on it has no causal mask.
        asked: prompts, opening word included, uint16 ids.
        room: tokens of each response.
        steps, order: see `schedule` and `ORDERS`.
        temperature: 0 takes the likeliest words, above that words are drawn; confidence is how
            likely they are.
        seed: of orders and words that are drawn, with the prompt's place in the list.
        placed: positions of prompt and response, int64 arrays; counted from 0 if None.
        batch_size: prompts at once at most.
        title: of a progress bar; none is shown without.

    Raises:
        ValueError: a number of steps or a temperature that makes no sense.
    """
    if temperature and not COLDEST <= temperature < np.inf:
        raise ValueError(f"temperature: got {temperature!r}, takes 0 or a finite number from "
                         f"{COLDEST:g} up")
    seeing_all(model)
    numbers, first = schedule(room, steps), ORDERS[order]
    size = max(1, min(batch_size, TOKENS // (max(map(len, asked), default=0) + room)))
    ids, when = np.empty((len(asked), room), np.uint16), np.empty((len(asked), room), np.int64)
    shown = bar(len(asked), title, "maze") if title else nullcontext()
    with autocast(model.embedding.weight.device), shown as progress:
        for begin in range(0, len(asked), size):
            which = range(begin, min(begin + size, len(asked)))
            draws = [np.random.default_rng([seed, i]) for i in which]
            some = [placed[i] for i in which] if placed else None
            rows = slice(which.start, which.stop)
            ids[rows], when[rows] = _fill(model, [asked[i] for i in which], some, room, numbers,
                                          first, temperature, draws)
            if progress:
                progress.update(len(which))
    return Filled(ids, when)


def _fill(model: Transformer, asked: list[np.ndarray], placed: list[np.ndarray] | None, room: int,
          numbers: np.ndarray, first: Callable, temperature: float,
          draws: list[np.random.Generator]) -> Filled:
    """One batch of `fill_in`."""
    count, device = len(asked), model.embedding.weight.device

    def uniform() -> Tensor:
        """A number in [0, 1) for each place."""
        numbers = np.stack([one.random(room, np.float32) for one in draws])
        return torch.from_numpy(numbers).to(device)

    texts = [np.append(prompt, np.full(room, MASK, np.uint16)).astype(np.int64) for prompt in asked]
    lengths = np.array([len(text) for text in texts])
    places = (np.cumsum(lengths) - room)[:, None] + np.arange(room)
    batch = Batch(np.concatenate(texts), np.concatenate(placed or [*map(np.arange, lengths)]),
                  lengths, places.ravel(), *np.zeros((2, places.size), np.int64))
    tokens, packing, *_ = in_rows(batch, np.zeros(places.size, np.float32), device)
    places, drawn = torch.from_numpy(places).to(device), uniform()
    when = torch.full((count, room), -1, device=device)
    rows = torch.arange(count, device=device)[:, None]
    for step, number in enumerate(numbers):
        hidden = (when < 0).nonzero()[:, 1].view(count, -1)  # as many in each row
        wanted = places[rows, hidden]
        logits = model.exact_logits(model.hidden(tokens, packing, wanted.ravel()))
        logits[:, MASK] = float("-inf")
        chances = logits.softmax(-1)
        if temperature:
            words = draw(logits, temperature, uniform()[rows, hidden].ravel())
            likely = chances.gather(1, words[:, None])
        else:
            likely, words = chances.max(-1)
        likely, words = likely.view(count, -1), words.view(count, -1)
        confidence = torch.zeros(count, room, device=device)
        confidence[rows, hidden] = likely
        priority = first(confidence, drawn)[rows, hidden]
        chosen = priority.argsort(dim=-1, descending=True, stable=True)[:, :number]
        tokens[wanted.gather(1, chosen)] = words.gather(1, chosen)
        when[rows, hidden.gather(1, chosen)] = step
    return Filled(tokens[places].cpu().numpy().astype(np.uint16), when.cpu().numpy())


def respond(model: Transformer, corpus: Corpus, condition: str, *, max_new_tokens: int,
            batch_size: int = 256, gap: int | np.ndarray = 0, title: str | None = None,
            **way) -> list[np.ndarray]:
    """A model's answer to every maze of a corpus, uint16 ids after the opening word.

    Args:
        max_new_tokens: the room.
        gap: by how much the positions of a response are shifted, one number or int [n].
        way: steps, order, temperature and seed of `fill_in`.
    """
    asked = prompts(corpus, CONDITIONS[condition])
    gaps = np.broadcast_to(gap, len(asked)).tolist()
    placed = [positions(len(prompt) + max_new_tokens, len(prompt) - 1, shift)
              for prompt, shift in zip(asked, gaps, strict=True)]
    found = fill_in(model, asked, max_new_tokens, placed=placed, batch_size=batch_size,
                    title=title, **way)
    return cut(found.ids)


def cut(filled: np.ndarray) -> list[np.ndarray]:
    """What was filled in ([n, room]) up to the first ``end``, or all where there is none."""
    ends = [np.flatnonzero(row == END) for row in filled]
    return [row[:end[0] + 1] if len(end) else row for row, end in zip(filled, ends, strict=True)]
