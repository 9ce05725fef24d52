"""Data sets on disk, and the conditions by which a training batch is put together.

A corpus is arrays (see `Corpus`), one ``.safetensors`` file with its recipe and a
checksum as metadata. Every example is stored once, with its own trace. A *condition* is a
rule that says which trace goes between an example's prompt and its plan; all conditions
of a seed see the same mazes in the same order, and only the trace differs.

Loss falls on the response alone, that is on what follows ``reasoning`` (or ``solution``
where there is no trace): the walls of a prompt are noise nobody could predict.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from helpers.engine.files import atomic, checksum
from helpers.language import REASONING, SOLUTION, Vocabulary, encode_mazes
from helpers.maze import MazeError, Mazes, Sampler, check_choice

PROMPT, TRACE, PLAN = range(3)  # segments of an example, in the order of `Corpus.bounds`
FORMAT = "1"


class CorpusError(ValueError):
    """A corpus file that cannot be used; the message names it and the cause."""


@dataclass(frozen=True)
class Recipe:
    """Everything a corpus follows from."""

    generator: str
    rows: int
    cols: int
    split: str
    seed: int
    sampling: str
    count: int
    skip: int = 0  # usable examples passed over first (a validation set lies behind its test set)
    params: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Corpus:
    """n examples of one grid size.

    Attributes:
        recipe: what the arrays follow from.
        tokens: uint16 [total], all examples one after the other.
        bounds: int64 [n, 4], where prompt, trace and plan begin and where the plan ends.
        mazes: the grids (uint8 [n, rows, cols]), starts and goals (int16 [n, 2]).
        removed: drawn examples left out because they occur in the corpora to be disjoint from.
    """

    recipe: Recipe
    tokens: np.ndarray
    bounds: np.ndarray
    mazes: Mazes
    removed: int = 0

    def __len__(self) -> int:
        return len(self.bounds)

    @property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary(self.recipe.rows, self.recipe.cols)

    def segment(self, index: int, which: int) -> np.ndarray:
        """The ids of one segment (PROMPT, TRACE or PLAN) of one example, ``uint16 [n]``."""
        return self.tokens[self.bounds[index, which]:self.bounds[index, which + 1]]

    def lengths(self) -> np.ndarray:
        """Tokens of prompt, trace and plan, ``int64 [n, 3]``."""
        return np.diff(self.bounds)

    @cached_property
    def problems(self) -> np.ndarray:
        """A key for each (grid, start, goal), equal only for equal problems, ``void [n]``."""
        return problem_keys(self.mazes)

    # ── files ──

    def save(self, path: str | Path) -> None:
        """Writes the corpus, under a temporary name first: nothing is ever half-written."""
        arrays = self._arrays()
        about = {"format": FORMAT, "recipe": self.recipe.__dict__, "removed": self.removed}
        about["sha256"] = checksum(about, arrays)
        with atomic(path) as temporary:  # one entry: safetensors puts several in any order
            save_file(arrays, temporary, {"corpus": json.dumps(about)})

    @classmethod
    def load(cls, path: str | Path) -> "Corpus":
        """Reads a corpus and checks every byte of it.

        Raises:
            CorpusError: no file, a truncated or changed one, or one of another format.
        """
        try:
            with safe_open(path, "numpy") as file:
                about = json.loads((file.metadata() or {}).get("corpus", "{}"))
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except FileNotFoundError:
            raise CorpusError(f"corpus {path}: there is no such file") from None
        except (SafetensorError, OSError, ValueError) as error:
            raise CorpusError(f"corpus {path}: unreadable or truncated ({error})") from None
        if about.get("format") != FORMAT:
            raise CorpusError(f"corpus {path}: got format {about.get('format')}, takes {FORMAT}")
        if about.pop("sha256", None) != checksum(about, arrays):
            raise CorpusError(f"corpus {path}: its checksum does not match, its bytes have changed")
        fields = about["recipe"]
        fields["params"] = tuple((name, value) for name, value in fields["params"])
        return cls(Recipe(**fields), arrays["tokens"], arrays["bounds"],
                   Mazes(arrays["grids"], arrays["starts"], arrays["goals"]),
                   about["removed"])

    def _arrays(self) -> dict[str, np.ndarray]:
        return {"tokens": self.tokens, "bounds": self.bounds, **self.mazes._asdict()}

    @cached_property
    def donors(self) -> np.ndarray:
        """For each example another whose trace it is lent, ``int64 [n]``.

        A random cyclic order of the examples; pairs that pose the very same problem are
        exchanged with others until none is left.

        Raises:
            CorpusError: the examples do not hold enough different problems.
        """
        rng = np.random.default_rng([self.recipe.seed, 0x5A])
        order = rng.permutation(len(self))
        donors = np.empty(len(self), np.int64)
        donors[order] = np.roll(order, 1)
        _, problem = np.unique(self.problems, return_inverse=True)
        for _ in range(100):
            clashes = np.flatnonzero(problem[donors] == problem)
            if not len(clashes):
                return donors
            for i, j in zip(clashes, rng.integers(len(self), size=len(clashes)), strict=True):
                donors[i], donors[j] = donors[j], donors[i]
        raise CorpusError(f"swapped: got {len(np.unique(problem))} different problems among "
                          f"{len(self)} examples, takes enough to lend each another's trace")


def build(recipe: Recipe, *, disjoint_from: tuple[Corpus, ...] = (),
          progress: Callable[[int], object] = lambda _: None) -> Corpus:
    """Draws, solves and encodes a corpus.

    Args:
        recipe: what to draw.
        disjoint_from: with ``indexed`` sampling, corpora none of whose problems may occur;
            what is drawn and occurs in them is left out and counted. ``paper`` sampling
            keeps the published examples; see `overlap`.
        progress: called with the number of examples kept since the last call.

    Raises:
        MazeError: the recipe is not one; or nearly all problems are taken.
    """
    if recipe.count < 1 or recipe.skip < 0:
        raise MazeError(f"count, skip: got {recipe.count}, {recipe.skip}, take whole numbers "
                        "from 1 and 0 up")
    sampler = Sampler(recipe.generator, recipe.rows, recipe.cols, split=recipe.split,
                      seed=recipe.seed, sampling=recipe.sampling, params=dict(recipe.params))
    taken = set()
    if recipe.sampling == "indexed":
        taken = {key for corpus in disjoint_from for key in corpus.problems.tolist()}
    wanted, kept, removed, drawn = recipe.skip + recipe.count, [], 0, 0
    have = 0
    while have < wanted:
        mazes = sampler.take(min(4096, wanted - have))
        drawn += len(mazes.starts)
        if taken:
            free = np.array([key not in taken for key in problem_keys(mazes).tolist()])
            removed += int((~free).sum())
            mazes = Mazes(*(array[free] for array in mazes))
        have += len(mazes.starts)
        kept.append(mazes)
        progress(len(mazes.starts))
        if drawn > 1000 + 100 * wanted:
            raise MazeError(f"{recipe.generator} {recipe.rows}x{recipe.cols}: {removed} of {drawn} "
                            "problems drawn occur in the training set; takes a larger grid or "
                            "fewer training examples")
    mazes = Mazes(*(np.concatenate(arrays)[recipe.skip:] for arrays in zip(*kept, strict=True)))
    tokens, bounds = encode_mazes(mazes)
    return Corpus(recipe, tokens, bounds, mazes, removed)


def overlap(corpus: Corpus, training: Corpus) -> int:
    """How many examples of a corpus pose a problem that occurs in training."""
    return int(np.isin(corpus.problems, training.problems).sum())


def problem_keys(mazes: Mazes) -> np.ndarray:
    """(grid, start, goal) of each maze as bytes, ``void [n]``."""
    n, rows, cols = mazes.grids.shape
    parts = [np.packbits(mazes.grids.reshape(n, rows * cols), axis=1),
             mazes.starts.astype(np.uint8), mazes.goals.astype(np.uint8)]
    keys = np.ascontiguousarray(np.concatenate(parts, axis=1))
    return keys.view(f"V{keys.shape[1]}").ravel()


def count_problems(generator: str, rows: int, cols: int) -> float:
    """How many different (grid, start, goal) with start ≠ goal a generator can draw.

    Wilson and Kruskal draw the spanning trees of a grid of rooms, at either of two
    offsets; Kirchhoff's theorem counts them. DFS draws some of those at offset 0. NaN for
    the other generators, whose mazes are not trees.
    """
    if generator not in ("wilson", "kruskal"):
        return float("nan")
    total = 0.0
    for offset in (0, 1):
        across, down = (cols - offset + 1) // 2, (rows - offset + 1) // 2
        rooms = across * down
        free = 2 * rooms - 1
        laplacian = np.zeros((rooms, rooms))
        for room in range(rooms):
            for near in ([room + 1] if room % across < across - 1 else []) + (
                    [room + across] if room < rooms - across else []):
                laplacian[[room, near], [room, near]] += 1
                laplacian[room, near] = laplacian[near, room] = -1
        _, log_trees = np.linalg.slogdet(laplacian[1:, 1:])
        total += np.exp(log_trees) * free * (free - 1)
    return float(np.round(total)) if total < 1e15 else float(total)


# ── conditions ──────────────────────────────────────────────────────────────────────────
# A condition is a function (corpus, index) → the ids of the trace segment that stands
# between the example's prompt and plan, ``reasoning`` included.


def solution_only(corpus: Corpus, index: int) -> np.ndarray:
    """No trace: the plan follows the prompt."""
    return corpus.tokens[:0]


def correct(corpus: Corpus, index: int) -> np.ndarray:
    """The example's own A* trace."""
    return corpus.segment(index, TRACE)


def swapped(corpus: Corpus, index: int) -> np.ndarray:
    """The trace of another training example, the same one each time."""
    return corpus.segment(corpus.donors[index], TRACE)


CONDITIONS: dict[str, Callable[[Corpus, int], np.ndarray]] = {
    "solution_only": solution_only, "correct": correct, "swapped": swapped}


def opening_word(condition: str) -> int:
    """The word that ends the prompt of a condition and opens the response."""
    check_choice("condition", condition, CONDITIONS)
    return SOLUTION if condition == "solution_only" else REASONING


def prompts(corpus: Corpus, condition: str) -> list[np.ndarray]:
    """What a model of this condition is given for each example: prompt and opening word."""
    opening = np.uint16(opening_word(condition))
    return [np.append(corpus.segment(i, PROMPT), opening) for i in range(len(corpus))]


# ── batches ─────────────────────────────────────────────────────────────────────────────


class Batch(NamedTuple):
    """Examples one after the other, without padding; a position predicts the next token.

    The last token of each example is only ever a target, so it is not among the inputs.
    """

    tokens: np.ndarray  # int64 [N], inputs
    lengths: np.ndarray  # int64 [B], inputs of each example
    learn: np.ndarray  # int64 [M], inputs after which a prediction counts
    targets: np.ndarray  # int64 [M], the tokens to predict there
    in_plan: np.ndarray  # bool [M], whether a target belongs to the plan rather than the trace


def make_batch(corpus: Corpus, condition: str, indices: np.ndarray) -> Batch:
    """Puts examples (int [B]) together under a condition."""
    trace_of = CONDITIONS[condition]
    tokens, lengths, learn, targets, in_plan, base = [], [], [], [], [], 0
    for index in indices:
        prompt, trace = corpus.segment(index, PROMPT), trace_of(corpus, index)
        example = np.concatenate([prompt, trace, corpus.segment(index, PLAN)]).astype(np.int64)
        first = len(prompt)  # the opening word; it is given, so targets begin behind it
        tokens.append(example[:-1])
        lengths.append(len(example) - 1)
        learn.append(np.arange(first, len(example) - 1) + base)
        targets.append(example[first + 1:])
        # `solution` itself counts as trace: writing it is the decision to stop reasoning
        in_plan.append(np.arange(first + 1, len(example)) > len(prompt) + len(trace))
        base += lengths[-1]
    return Batch(*(np.concatenate(part) if np.ndim(part[0]) else np.array(part)
                   for part in (tokens, lengths, learn, targets, in_plan)))


def batch_indices(n: int, batch_size: int, epochs: int, seed: int) -> Iterator[np.ndarray]:
    """The examples of each training step, int64 [batch_size], the same for every condition.

    Each epoch goes through all n examples in an order of its own; what does not fill a
    batch at its end is left for another epoch.
    """
    for epoch in range(epochs):
        order = np.random.default_rng([seed, epoch]).permutation(n)
        for start in range(0, n - batch_size + 1, batch_size):
            yield order[start:start + batch_size]
