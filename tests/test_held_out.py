"""Which grids are kept for testing follows from the grid alone, whoever draws it."""

from contextlib import suppress
from hashlib import sha256
from itertools import product

import numpy as np
import pytest

from helpers.generators import GENERATORS
from helpers.grids import is_held_out
from helpers.maze import SPLITS, MazeError, generate


def distinct(grids) -> set[bytes]:
    return {grid.tobytes() for grid in grids}


def every_grid(rows, cols):
    """All grids of a size, uint8 [2^(rows·cols), rows, cols]."""
    cells = rows * cols
    bits = np.arange(2**cells, dtype=np.int64)[:, None] >> np.arange(cells) & 1
    return bits.astype(np.uint8).reshape(-1, rows, cols)


# ── what is drawn ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("generator", GENERATORS)
def test_no_grid_is_drawn_for_both(generator):
    """Not by the same generator nor by another, from no seed: each keeps to the same hash."""
    for rows, cols in ((4, 4), (6, 5), (9, 12)):
        for split, seed in product(SPLITS, (1, 42)):
            if (generator, split) == ("free_space", "train"):
                continue
            grids = generate(generator, rows, cols, 150, split=split, seed=seed,
                             sampling="indexed").grids
            assert {is_held_out(grid) for grid in grids} == {split == "test"}


def test_both_splits_pose_all_problems_of_their_grids():
    """Held out is a grid, whatever its start and goal."""
    ends = {}
    for split in SPLITS:
        mazes = generate("dfs", 3, 4, 4000, split=split, sampling="indexed")
        for grid, start, goal in zip(*mazes, strict=True):
            ends.setdefault((split, grid.tobytes()), set()).add((*start, *goal))
    assert {split for split, _ in ends} == set(SPLITS)
    for (_, grid), found in ends.items():
        free = np.frombuffer(grid, np.uint8).sum()
        assert len(found) == free * (free - 1)


@pytest.mark.parametrize("generator", GENERATORS)
def test_every_small_size_has_both_kinds(generator):
    """Wherever a generator can draw two grids."""
    for rows, cols in product(range(3, 7), repeat=2):
        found = {}
        for split in SPLITS:
            with suppress(MazeError):
                grids = generate(generator, rows, cols, 40, split=split, sampling="indexed").grids
                found[split] = distinct(grids)
        if len(set().union(*found.values())) > 1:
            assert found.keys() == set(SPLITS)
        else:  # nothing but the grid without walls
            assert generator == "free_space" or (generator, rows, cols) == ("searchformer", 3, 3)
            assert found.keys() == {"test"}


@pytest.mark.parametrize(("generator", "rows"), [("free_space", 6), ("searchformer", 3)])
def test_the_only_grid_is_for_testing(generator, rows):
    assert generate(generator, rows, rows, 5, split="test", sampling="indexed").grids.all()
    with pytest.raises(MazeError) as caught:
        generate(generator, rows, rows, 5, split="train", sampling="indexed")
    assert str(caught.value) == (
        f"generator: {generator} found no grid that is left for training (one of 4 is, by a hash) "
        f"in maze 0 at {rows}x{rows}; takes a larger grid, or parameters that leave more room")


def test_paper_sampling_holds_nothing_out():
    for split in SPLITS:
        grids = generate("wilson", 4, 4, 300, split=split).grids
        assert {is_held_out(grid) for grid in grids} == {False, True}
    assert generate("free_space", 4, 4, 3, split="train").grids.all()


# ── the hash ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("rows", "cols"), [(3, 4), (4, 3), (3, 5)])
def test_a_quarter_of_all_grids(rows, cols):
    held_out = [is_held_out(grid) for grid in every_grid(rows, cols)]
    n = len(held_out)
    assert abs(np.mean(held_out) - 1 / 4) < 4 * np.sqrt(3 / 16 / n)


@pytest.mark.parametrize(("generator", "rows"), [
    *((name, 12) for name in GENERATORS if name != "free_space"), ("wilson", 30)])
def test_a_quarter_of_what_is_drawn(generator, rows):
    """Of grids that share most of their walls, such as those of a maze with rooms, too."""
    grids = generate(generator, rows, rows, 4000, split="train").grids
    grids = [np.frombuffer(grid, np.uint8).reshape(rows, rows) for grid in sorted(distinct(grids))]
    assert len(grids) > 1000
    assert abs(np.mean(list(map(is_held_out, grids))) - 1 / 4) < 4 * np.sqrt(3 / 16 / len(grids))


@pytest.mark.parametrize(("rows", "cols"), [(8, 8), (9, 15), (30, 30)])
def test_every_cell_counts(rows, cols):
    """Each other cell decides anew, in whichever of the words of 64 bits it stands."""
    grids = np.random.default_rng(5).integers(2, size=(40, rows, cols), dtype=np.uint8)
    before = np.array(list(map(is_held_out, grids)))
    assert 2 <= before.sum() <= 18
    changed = np.zeros((rows, cols), int)
    for y, x in np.ndindex(rows, cols):
        grids[:, y, x] ^= 1
        changed[y, x] = np.sum(before != np.array(list(map(is_held_out, grids))))
        grids[:, y, x] ^= 1
    assert changed.min() > 0
    assert changed.mean() / 40 == pytest.approx(2 * 1 / 4 * 3 / 4, abs=0.1)


def test_which_grids_are_held_out_never_changes():
    """Published numbers follow from it."""
    grids = [*every_grid(3, 3), *np.random.default_rng(1).integers(2, size=(200, 30, 30))]
    held_out = bytes(is_held_out(np.asarray(grid, np.uint8)) for grid in grids)
    assert sha256(held_out).hexdigest() == (
        "b6c8196614b45647f2b3735db9cae6af94018ca577305ed47c16262a8f02f330")


@pytest.mark.parametrize(("rows", "cols"), [(3, 3), (8, 8), (20, 7)])
def test_the_hash_reads_cells_and_not_memory(rows, cols):
    for grid in np.random.default_rng(3).integers(2, size=(40, rows, cols), dtype=np.uint8):
        wide = np.ones((2 * rows, 2 * cols), np.uint8)
        wide[::2, ::2] = grid
        same = grid, np.asfortranarray(grid), wide[::2, ::2]
        assert len(set(map(is_held_out, same))) == 1
