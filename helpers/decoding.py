"""Batched answers: greedy or sampled, with a key/value cache that is allocated once.

Prompts are taken in order of length, so that rows of a batch start together; rows that
have written ``end`` leave the batch, and the rest move together once a quarter has left.
"""

from contextlib import nullcontext

import numpy as np
import torch
from torch import Tensor

from helpers.language import END
from helpers.model import Cache, Transformer, prefill, step
from helpers.progress import bar
from helpers.training import autocast


def generate(model: Transformer, prompts: list[np.ndarray], *, max_new_tokens: int,
             batch_size: int = 256, temperature: float = 0.0, seed: int = 0,
             full_precision: bool = False, title: str | None = None) -> list[np.ndarray]:
    """Lets a model answer.

    Args:
        model: on the device to be used.
        prompts: token ids, one array a prompt.
        max_new_tokens: after so many an answer is cut off.
        batch_size: prompts answered side by side.
        temperature: 0 takes the likeliest token, above that tokens are drawn.
        seed: of those draws.
        full_precision: compute in float32 even where bfloat16 is faster.
        title: of a progress bar; none is shown without.

    Returns:
        An answer a prompt, in the same order: uint16 ids after the prompt, ``end`` included
        where the model wrote it.

    Raises:
        ValueError: prompt and answer together can outgrow the model's context.
    """
    longest = max((len(prompt) for prompt in prompts), default=0) + max_new_tokens
    if longest > model.config.context:
        raise ValueError(f"max_new_tokens: got {max_new_tokens}, with the longest prompt "
                         f"{longest}, takes at most the context of {model.config.context}")
    device = model.embedding.weight.device
    generator = torch.Generator(device).manual_seed(seed)
    answers: list[np.ndarray] = [np.empty(0, np.uint16)] * len(prompts)
    order = np.argsort([len(prompt) for prompt in prompts], kind="stable")
    training = model.training
    model.eval()
    with (nullcontext() if full_precision else autocast(device),
          bar(len(prompts), title, "maze") if title else nullcontext() as progress):
        for start in range(0, len(order), batch_size):
            rows = order[start:start + batch_size]
            batch = _answer([prompts[i] for i in rows], model, max_new_tokens, temperature,
                            generator)
            for row, answer in zip(rows, batch, strict=True):
                answers[row] = answer
            if progress:
                progress.update(len(rows))
    model.train(training)
    return answers


def _answer(prompts: list[np.ndarray], model: Transformer, max_new_tokens: int,
            temperature: float, generator: torch.Generator) -> list[np.ndarray]:
    """One batch of prompts to its answers."""
    device = generator.device
    longest = max(len(prompt) for prompt in prompts) + max_new_tokens
    dtype = torch.bfloat16 if torch.is_autocast_enabled(device.type) else torch.float32
    cache = Cache(model.config, len(prompts), longest, dtype, device)
    written = torch.zeros(len(prompts), max_new_tokens, dtype=torch.int64, device=device)
    lengths = torch.zeros(len(prompts), dtype=torch.int64, device=device)
    rows = torch.arange(len(prompts), device=device)  # which prompt a row of the cache answers
    alive = torch.ones(len(prompts), dtype=torch.bool, device=device)  # has not written `end`
    logits = prefill(model, cache, prompts)
    for place in range(max_new_tokens):
        tokens = _choose(logits, temperature, generator)
        written[rows, place] = tokens
        lengths[rows] += 1
        alive &= tokens != END
        n_alive = int(alive.sum())
        if n_alive == 0:
            break
        if n_alive <= 0.75 * len(rows):
            staying = alive.nonzero().squeeze(1)
            cache.keep(staying)
            rows, tokens, alive = rows[staying], tokens[staying], alive[staying]
        if place + 1 < max_new_tokens:
            logits = step(model, cache, tokens)
    ids = written.cpu().numpy().astype(np.uint16)
    return [row[:length] for row, length in zip(ids, _until_end(ids, lengths.cpu().numpy()),
                                                strict=True)]


def _choose(logits: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """[B, vocabulary] → int64 [B]."""
    if temperature == 0:
        return logits.argmax(-1)
    chances = (logits.float() / temperature).softmax(-1)
    return torch.multinomial(chances, 1, generator=generator).squeeze(1)


def _until_end(ids: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Where each answer stops: behind its first ``end``, else at its last token."""
    is_end = ids == END
    return np.where(is_end.any(1), is_end.argmax(1) + 1, lengths)
