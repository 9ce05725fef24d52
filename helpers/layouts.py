"""How an example lies before a model in training: at which positions, behind which prompt.

Rotary positions tell a model only how far apart two tokens are, so a *gap* between prompt and
response moves the response without a token. All that is random here is drawn for each example
from the seed and the step, the same for every condition. To add a way, write a function like
those below and an entry in its table.
"""

from collections.abc import Callable

import numpy as np

from helpers.engine.registry import Registry
from helpers.language import UNKNOWN

# ── gaps ────────────────────────────────────────────────────────────────────────────────
# (size, another size, each the trace length of some training example) → how many positions are
# left out before the opening word of the response, and how many before `solution`


def no_gap(size: int, other: int) -> tuple[int, int]:
    """Positions are counted through, as in the published models."""
    return 0, 0


def gap_before_response(size: int, other: int) -> tuple[int, int]:
    """Before the opening word, ``reasoning`` or ``solution``."""
    return size, 0


def gap_before_solution(size: int, other: int) -> tuple[int, int]:
    """Before ``solution``, behind the trace if there is one."""
    return 0, size


def gap_before_both(size: int, other: int) -> tuple[int, int]:
    """Before the opening word and before ``solution``; their sum where that is one word."""
    return size, other


GAPS: dict[str, Callable[[int, int], tuple[int, int]]] = Registry({
    "none": no_gap, "random": gap_before_response, "solution": gap_before_solution,
    "both": gap_before_both,
})


def positions(length: int, opening: int, gap: int) -> np.ndarray:
    """The positions of a prompt and what follows, int64 [length].

    Args:
        opening: the place of the word from which on positions are shifted.
        gap: by how much; negative moves the response back, over the prompt's end.
    """
    places = np.arange(length)
    places[opening:] += gap
    return places


# ── prompts ─────────────────────────────────────────────────────────────────────────────
# (prompt, its draws, a size as above) → the prompt that a model sees instead

BEFORE_WALLS = 7  # tokens of `query start X Y goal X Y`; a wall has three


def prompt_as_is(prompt: np.ndarray, rng: np.random.Generator, size: int) -> np.ndarray:
    """The walls in their order, each once."""
    return prompt


def prompt_with_filler(prompt: np.ndarray, rng: np.random.Generator, size: int) -> np.ndarray:
    """As many tokens without meaning behind the prompt as a gap would leave out positions."""
    return np.append(prompt, np.full(size, UNKNOWN, prompt.dtype))


def prompt_shuffled(prompt: np.ndarray, rng: np.random.Generator, size: int) -> np.ndarray:
    """The walls in random order."""
    head, walls = prompt[:BEFORE_WALLS], prompt[BEFORE_WALLS:].reshape(-1, 3)
    return np.append(head, rng.permutation(walls))


def prompt_uneven(prompt: np.ndarray, rng: np.random.Generator, size: int) -> np.ndarray:
    """Up to a quarter of the walls left out, up to a quarter of the others said twice."""
    head, walls = prompt[:BEFORE_WALLS], prompt[BEFORE_WALLS:].reshape(-1, 3)
    times = np.ones(len(walls), np.int64)
    left_out, twice = rng.integers(len(walls) // 4 + 1, size=2)
    order = rng.permutation(len(walls))
    times[order[:left_out]] = 0
    times[order[left_out:left_out + twice]] = 2
    return np.append(head, np.repeat(walls, times, axis=0))


PROMPTS: dict[str, Callable[[np.ndarray, np.random.Generator, int], np.ndarray]] = Registry({
    "as_is": prompt_as_is, "filler": prompt_with_filler, "shuffled": prompt_shuffled,
    "uneven": prompt_uneven,
})
