"""How a looped model answers: word by word, each read where its token stops or after some loop.

And how many loops the words of answers took, which are read again for that.
"""

import numpy as np
import torch

from helpers.batches import make_batch
from helpers.conditions import CONDITIONS, Examples, prompts
from helpers.corpus import Corpus, Segments
from helpers.engine.precision import autocast
from helpers.looped import LoopedTransformer, after
from helpers.responses import respond as respond_word_by_word
from helpers.training import to_tensors


def respond(model: LoopedTransformer, corpus: Corpus, condition: str, *, loops: int | None = None,
            **asked) -> list[np.ndarray]:
    """As `responses.respond`.

    Args:
        loops: after which each word is read; where its token stops if None.

    Raises:
        ValueError: the model has no such loop.
    """
    asked_model = model if loops is None else after(model, loops)
    return respond_word_by_word(asked_model, corpus, condition, **asked)


@torch.no_grad()
def loops_taken(model: LoopedTransformer, corpus: Corpus, condition: str,
                answers: list[np.ndarray], batch_size: int = 64) -> list[np.ndarray]:
    """How many loops each word of each answer took, int64 arrays, from 1.

    Args:
        answers: uint16 ids behind the opening word, none of them empty, to mazes of the corpus.
    """
    device, found = model.embedding.weight.device, []
    for begin in range(0, len(answers), batch_size):
        some = answers[begin:begin + batch_size]
        asked = prompts(corpus, CONDITIONS[condition])[begin:begin + len(some)]
        batch = make_batch(_examples(asked, some), np.arange(len(some)))
        tokens, packing, learn, *_ = to_tensors(
            batch, np.zeros(len(batch.targets), np.float32), device)
        with autocast(device):
            stops = model.stops(model.states(tokens, packing, learn))
        taken = 1 + stops[:len(batch.targets)].cpu().numpy()
        found += np.split(taken, np.cumsum([len(one) for one in some])[:-1])
    return found


def _examples(asked: list[np.ndarray], answers: list[np.ndarray]) -> Examples:
    """Prompts with their answers, the opening word in front of these."""
    texts = [np.append(prompt[-1], answer) for prompt, answer in zip(asked, answers, strict=True)]
    nothing = np.zeros(len(asked), np.int64)
    before, behind = (_segments(parts) for parts in ([prompt[:-1] for prompt in asked], texts))
    return Examples(before, Segments(behind.tokens, nothing, nothing), behind, nothing)


def _segments(parts: list[np.ndarray]) -> Segments:
    ends = np.cumsum([len(part) for part in parts])
    return Segments(np.concatenate(parts), np.append(0, ends[:-1]), ends)
