"""GRPO for a model that fills in: UniGRPO's random masks (Yang et al. 2025, MMaDA).

Answers, rewards, advantages, clip and divergence are those of `helpers.grpo`. What a model of
masked diffusion lacks is the probability of an answer: it knows the chances of hidden words given
those that are seen, and an answer can come about in any order. So of each answer a share t of the
places is hidden, t drawn anew from U(0, 1) for each answer in each step, and what was drawn there
is weighed by its chance given the rest, now and as the model was, under the same mask. The loss is
the mean over hidden places alone, of all answers. Prompts are never hidden. All of a response is
learnt from, its ``end``s too, since the model fills those in as well; what it is paid for is what
stands before the first.

The chance under a random mask is not the one with which a word was drawn, when more was hidden or
less: what is learnt follows the advantage, but is no unbiased gradient of the mean reward. There is
one update a draw, so the ratio of the two chances is 1, and the clip acts only where rounding
makes it.
"""

from typing import NamedTuple

import numpy as np

from helpers.batches import Batch
from helpers.diffusion import in_rows, masked, seeing_all
from helpers.engine.registry import Registry
from helpers.grpo import FromAnswers, Imitation, Policy, Rollouts, batch_of
from helpers.language import END
from helpers.model import Transformer
from helpers.unmasking import cut, fill_in


class Drawn(NamedTuple):
    """Answers that were filled in, and what of them is hidden to be learnt."""

    ids: list[np.ndarray]  # uint16, up to the first ``end``
    filled: np.ndarray  # uint16 [n, room], all of each
    hidden: np.ndarray  # bool [n, room]


def random_masks(count: int, room: int, seed: int) -> np.ndarray:
    """Which places are hidden, bool [count, room]: ⌈t · room⌉ of each response, any of them.

    At least one, then, and each number of places as often as any other.
    """
    rng = np.random.default_rng([seed, 0xD1, 1])
    numbers = rng.integers(1, room, count, endpoint=True)
    return rng.random((count, room)).argsort(1).argsort(1) < numbers[:, None]


class MaskedRollouts(Rollouts):
    """Answers that are filled in, in the usual order and number of steps.

    Both models have no causal mask from here on. ``max_new_tokens`` is the room.
    """

    tensors = staticmethod(in_rows)

    def __init__(self, model: Transformer, *of, before: Transformer | None = None, **about):
        super().__init__(seeing_all(model), *of, before=before and seeing_all(before), **about)

    def answer(self, prompts: list[np.ndarray], seed: int) -> Drawn:
        """As `Rollouts.answer`, with a random mask for each."""
        room, size = self.answering["max_new_tokens"], self.answering["batch_size"]
        filled = fill_in(self.model, prompts, room, temperature=1.0, seed=seed,
                         batch_size=size).ids
        return Drawn(cut(filled), filled, random_masks(len(filled), room, seed))

    def sizes(self, found: Drawn) -> np.ndarray:
        """How many places of each are hidden."""
        return found.hidden.sum(1)

    def learnt(self, prompts: list[np.ndarray], found: Drawn, kept: np.ndarray
               ) -> tuple[Batch, np.ndarray]:
        """As `Rollouts.learnt`: targets are what is hidden."""
        # one `end` more: the last token of an example is none of a batch's inputs
        whole = batch_of([prompts[i] for i in kept],
                         [np.append(found.filled[i], np.uint16(END)) for i in kept])
        hidden = found.hidden[kept]
        batch = masked(whole, hidden.mean(1), hidden).batch
        return batch, self.logs(self.model, batch)


class MaskedPolicy(Policy):
    """GRPO on what is hidden."""

    rollouts = MaskedRollouts


class MaskedImitation(Imitation):
    """Rejection sampling on what is hidden: what right answers have there becomes likelier."""

    rollouts = MaskedRollouts


OBJECTIVES: dict[str, type[FromAnswers]] = Registry({"grpo": MaskedPolicy,
                                                     "rejection": MaskedImitation})
