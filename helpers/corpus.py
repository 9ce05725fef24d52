"""Data sets on disk.

A corpus is arrays (see `Corpus`), one ``.safetensors`` file with its recipe and a checksum as
metadata. Every example is stored once, with its own trace; what a condition makes of it is
decided later (`helpers.conditions`).
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

from helpers.engine.arrays import Growing
from helpers.engine.files import PROJECT, atomic, checksum, scratch
from helpers.generators import GENERATORS
from helpers.language import CLOSE_WORD, Vocabulary, at_once, encode_mazes
from helpers.maze import MazeError, Mazes, Sampler
from helpers.ownmazes import Listed, solvable

PROMPT_PART, TRACE_PART, PLAN_PART = range(3)  # of an example, in the order of `Corpus.bounds`
FORMAT = "2"


class Segments(NamedTuple):
    """One part of each of n examples: pieces of one array of tokens."""

    tokens: np.ndarray  # uint16 [total]
    begins: np.ndarray  # int64 [n]
    ends: np.ndarray  # int64 [n]

    def piece(self, index: int) -> np.ndarray:
        """The ids of one example's part, ``uint16 [n]``."""
        return self.tokens[self.begins[index]:self.ends[index]]

    def lengths(self) -> np.ndarray:
        """Tokens of each, ``int64 [n]``."""
        return self.ends - self.begins

    def of(self, others: np.ndarray) -> "Segments":
        """Each example's part is that of another (int64 [n])."""
        return Segments(self.tokens, self.begins[others], self.ends[others])


class CorpusError(ValueError):
    """A corpus file that cannot be used; the message names it and the cause."""


@dataclass(frozen=True)
class Recipe:
    """Everything a corpus follows from."""

    generator: str  # or a file of mazes, as seen from the project's folder
    rows: int
    cols: int
    split: str
    seed: int
    sampling: str
    count: int
    skip: int = 0  # examples passed over first (a validation set lies behind its test set)
    unsolvable: bool = True  # whether mazes without a way from start to goal are among them
    params: tuple[tuple[str, float], ...] = ()

    @property
    def name(self) -> str:
        """What the corpus is called, in a run."""
        behind = "" if not self.skip else f"_from_{self.skip}"
        params = "".join(f"_{name}={value:g}" for name, value in self.params)
        mazes = f"{Path(self.generator).stem}{params}_{self.rows}x{self.cols}"
        return f"{self.split}_{mazes}{behind}_{self.count}"


@dataclass(frozen=True)
class Corpus:
    """n examples of one grid size.

    Attributes:
        recipe: what the arrays follow from.
        tokens: uint16 [total], all examples one after the other.
        bounds: int64 [n, 4], where prompt, trace and plan begin and where the plan ends.
        mazes: the grids (uint8 [n, rows, cols]), starts and goals (int16 [n, 2]).
    """

    recipe: Recipe
    tokens: np.ndarray
    bounds: np.ndarray
    mazes: Mazes

    def __len__(self) -> int:
        return len(self.bounds)

    @property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary(self.recipe.rows, self.recipe.cols)

    def part(self, which: int) -> Segments:
        """The prompts, traces or plans of all examples (`PROMPT_PART`, …)."""
        return Segments(self.tokens, self.bounds[:, which], self.bounds[:, which + 1])

    def segment(self, index: int, which: int) -> np.ndarray:
        """The ids of one part of one example, ``uint16 [n]``."""
        return self.part(which).piece(index)

    def lengths(self) -> np.ndarray:
        """Tokens of prompt, trace and plan, ``int64 [n, 3]``."""
        return np.diff(self.bounds)

    @cached_property
    def problems(self) -> np.ndarray:
        """A key for each (grid, start, goal), equal only for equal problems, ``void [n]``."""
        return problem_keys(self.mazes)

    @cached_property
    def grids(self) -> np.ndarray:
        """The number of each example's grid among the different ones, ``int64 [n]``."""
        return np.unique(grid_keys(self.mazes), return_inverse=True)[1]

    @cached_property
    def sha256(self) -> str:
        """The checksum of all it holds: two corpora are the same if theirs are."""
        return checksum(self._about(), self._arrays())

    # ── files ──

    def save(self, path: str | Path) -> None:
        """Writes the corpus, under a temporary name first: nothing is ever half-written."""
        about = json.dumps(self._about() | {"sha256": self.sha256})
        with atomic(path) as temporary:  # one entry: safetensors puts several in any order
            save_file(self._arrays(), temporary, {"corpus": about})

    @classmethod
    def load(cls, path: str | Path) -> "Corpus":
        """Reads a corpus and checks every byte of it.

        The arrays stay on disk, mapped: all processes that read a corpus share its memory.

        Raises:
            CorpusError: no file, a truncated or changed one, or one of another format.
        """
        try:
            with safe_open(path, "pt") as file:  # numpy's would be copies
                about = json.loads((file.metadata() or {}).get("corpus", "{}"))
                arrays = {name: file.get_tensor(name).numpy() for name in file.keys()}  # noqa: SIM118
        except FileNotFoundError:
            raise CorpusError(f"corpus {path}: there is no such file") from None
        except (SafetensorError, OSError, ValueError) as error:
            raise CorpusError(f"corpus {path}: unreadable or truncated ({error})") from None
        if about.get("format") != FORMAT:
            raise CorpusError(f"corpus {path}: got format {about.get('format')}, takes {FORMAT}; "
                              "make it again")
        expected = about.pop("sha256", None)
        if expected != checksum(about, arrays):
            raise CorpusError(f"corpus {path}: its checksum does not match, its bytes have changed")
        fields = about["recipe"]
        fields["params"] = tuple((name, value) for name, value in fields["params"])
        corpus = cls(Recipe(**fields), arrays["tokens"], arrays["bounds"],
                     Mazes(arrays["grids"], arrays["starts"], arrays["goals"]))
        corpus.__dict__["sha256"] = expected  # just computed
        return corpus

    def _about(self) -> dict:
        return json.loads(json.dumps({"format": FORMAT, "recipe": self.recipe.__dict__}))

    def _arrays(self) -> dict[str, np.ndarray]:
        return {"tokens": self.tokens, "bounds": self.bounds, **self.mazes._asdict()}


def build(recipe: Recipe, *, progress: Callable[[int], object] = lambda _: None) -> Corpus:
    """Draws, solves and encodes a corpus, in memory.

    Args:
        recipe: what to draw.
        progress: called with the number of examples drawn since the last call, those passed
            over included (``indexed`` sampling passes over none).

    Raises:
        MazeError: the recipe is not one; or nearly all mazes are unsolvable.
    """
    mazes = Mazes(*map(np.concatenate, zip(*drawn(recipe, progress), strict=True)))
    return Corpus(recipe, *encode_mazes(mazes), mazes)


def write(recipe: Recipe, path: str | Path, *,
          progress: Callable[[int], object] = lambda _: None) -> None:
    """Puts a corpus on disk, piece by piece: the same file as ``build(recipe).save(path)``.

    Memory does not grow with the number of examples; for a while the disk holds it twice.

    Args and errors are those of `build`.
    """
    with scratch(path) as folder:
        found, total = Growing(folder), 0
        for mazes in drawn(recipe, progress):
            tokens, bounds = encode_mazes(mazes)
            found.add(tokens=tokens, bounds=bounds + total, **mazes._asdict())
            total += len(tokens)
        arrays = found.arrays()
        Corpus(recipe, arrays.pop("tokens"), arrays.pop("bounds"), Mazes(**arrays)).save(path)


def drawn(recipe: Recipe, progress: Callable[[int], object]) -> Iterator[Mazes]:
    """The mazes of a recipe, piece by piece; see `build`."""
    if recipe.count < 1 or recipe.skip < 0:
        raise MazeError(f"count, skip: got {recipe.count}, {recipe.skip}, take whole numbers "
                        "from 1 and 0 up")
    source, first, most = source_of(recipe), recipe.skip, at_once(recipe.rows, recipe.cols)
    if recipe.sampling == "indexed" and isinstance(source, Sampler):
        source.seek(first)
    have = tried = 0
    while have < recipe.count:
        begin = source.position
        mazes = source.take(min(most, max(0, first - begin) + recipe.count - have))
        progress(len(mazes.starts))
        mazes = Mazes(*(array[max(0, first - begin):] for array in mazes))
        tried += len(mazes.starts)
        if not recipe.unsolvable:
            ways = solvable(mazes)
            mazes = Mazes(*(array[ways] for array in mazes))
        yield mazes
        have += len(mazes.starts)
        if tried > 1000 + 100 * have:
            raise MazeError(f"{recipe.generator}: {tried - have} of {tried} mazes are unsolvable; "
                            "takes a generator whose mazes have a way")


def source_of(recipe: Recipe) -> Sampler | Listed:
    """What the mazes of a recipe come from, at their beginning: a generator, or a file.

    Raises:
        MazeError: there is no such generator or file, or it does not fit.
    """
    if recipe.generator in GENERATORS:
        return Sampler(recipe.generator, recipe.rows, recipe.cols, split=recipe.split,
                       seed=recipe.seed, sampling=recipe.sampling, params=dict(recipe.params))
    path = PROJECT / recipe.generator
    if not path.is_file():
        raise MazeError(f"generator: got {recipe.generator!r}, takes one of "
                        f"{', '.join(GENERATORS)}, or a file of mazes")
    return Listed(str(path), recipe.rows, recipe.cols, recipe.split, recipe.unsolvable)


# ── what is seen in training ────────────────────────────────────────────────────────────


def expansions(corpus: Corpus) -> list[int]:
    """How many cells A* closes in each maze: what it takes to solve it so."""
    return [int((corpus.segment(i, TRACE_PART) == CLOSE_WORD).sum()) for i in range(len(corpus))]


class Overlap(NamedTuple):
    """How a corpus stands to the one that was trained on."""

    distinct_problems: int  # different (grid, start, goal) among its examples
    distinct_grids: int
    most_problems_per_grid: int  # examples on the grid that has most
    also_in_training: int  # examples whose problem occurs in training
    grids_also_in_training: int  # distinct grids that do, with whatever start and goal


def overlap(corpus: Corpus, training: Corpus) -> Overlap:
    """Counts problems and grids, and those that occur in training too."""
    grids, counts = np.unique(grid_keys(corpus.mazes), return_counts=True)
    return Overlap(len(np.unique(corpus.problems)), len(grids), int(counts.max()),
                   int(np.isin(corpus.problems, training.problems).sum()),
                   int(np.isin(grids, grid_keys(training.mazes)).sum()))


def grid_keys(mazes: Mazes) -> np.ndarray:
    """The grid of each maze as bytes, ``void [n]``, equal only for equal grids."""
    n, rows, cols = mazes.grids.shape
    return _keys(np.packbits(mazes.grids.reshape(n, rows * cols), axis=1))


def problem_keys(mazes: Mazes) -> np.ndarray:
    """(grid, start, goal) of each maze as bytes, ``void [n]``."""
    n, rows, cols = mazes.grids.shape
    return _keys(np.packbits(mazes.grids.reshape(n, rows * cols), axis=1),
                 mazes.starts.astype(np.uint8), mazes.goals.astype(np.uint8))


def _keys(*parts: np.ndarray) -> np.ndarray:
    keys = np.ascontiguousarray(np.concatenate(parts, axis=1))
    return keys.view(f"V{keys.shape[1]}").ravel()


class Possible(NamedTuple):
    """How many a generator can draw; NaN where that is not known."""

    grids: float
    problems: float  # (grid, start, goal) with start ≠ goal


def count_possible(generator: str, rows: int, cols: int) -> Possible:
    """How many different grids and problems a generator can draw at a size.

    Known for generators that draw the spanning trees of a grid of rooms, all of them:
    Kirchhoff's theorem counts those. A grid without two free cells poses no problem.
    """
    import networkx  # a third of a second, only here
    offsets = GENERATORS[generator].rooms if generator in GENERATORS else ()
    if not offsets:
        return Possible(float("nan"), float("nan"))
    grids = problems = 0.0
    for offset in offsets:
        across, down = (cols - offset + 1) // 2, (rows - offset + 1) // 2
        free = 2 * across * down - 1
        if free > 1:
            trees = networkx.number_of_spanning_trees(networkx.grid_2d_graph(down, across))
            grids += trees
            problems += trees * free * (free - 1)
    return Possible(*(float(np.round(number)) for number in (grids, problems)))
