"""Generators: the published data byte for byte, and what must hold of any maze."""

from collections import Counter
from hashlib import sha256

import numpy as np
import pytest

from helpers.astar import solve
from helpers.generators import GENERATORS
from helpers.grids import distance
from helpers.language import Vocabulary, encode_mazes, jsonl
from helpers.maze import SAMPLINGS, Maze, MazeError, Sampler, generate

# generator, split, lines; sha256 of the whole file, of its first 10 lines, of its first line.
# The files of the published tool with seed 42 at 30x30.
PUBLISHED = """
wilson test 1000
  aa7f5908393849c9a35287fa4d0418b1aa9cf5cfcebe1a7094d2711b7991a728
  0b970e94d479294904b64910ff8594c3c3b0156866770a69c512ecb5b92372a0
  b3be5fa2c5aa8f12c8e6ba5442198abdfac57ea22d9f0d41cf806b59aee0e834
wilson train 1000
  bce6ff37104d69fad3088d59b6ee640ccd6a979b81f1d7ef6ffc58ad7d78c557
  303e03160c53212442c8e155814a6c7b0d177155c96abdb7ccaf96700dd54c90
  69ab4f31e4d8f63e6bfbc398c8eef58bd6a3c882c3514c866a771f699ca78695
kruskal test 1000
  f0bc3bbc539ce0b8bf81e506fafe3a16ef80390d7fd0cce3c1bb503b6657f073
  60d9ff673ce1ec745e8dc3a2309dc7a51d12ee1968030bc0c22393b3d7485626
  b08a2f044df94097edf4a16b427588dcb66d53d064b8708505085893cbd418c4
kruskal train 1000
  3d20afcfb5b886681efb94ab2ae8af8af00003562c6a339e410e0bb9af1ce741
  19a61a86841d436711f5673caf2785d4256b0341aee41fef3a668f11ef299b90
  fb0520ac4bc3332bc7230b8436603da5330d8a25434452106a82fe96d9f1eab9
dfs test 1000
  6291276b414deaa34e3514810551e6c2cb7075ef8a1f840299ebfbd9440fc639
  bfb8202ef0da4e423a86ee2064bc518c7f263a924acdc0fb542e9c761f9d4394
  547071be20bfdf372960e61c780bb8cecd3b33ddaf6b18573d3899712c2374f3
dfs train 1000
  7b99837e7095d1136e15ea36e061f824335b837024fc69a2dc28200d8977ba3a
  d0e293c28d6cd557a1ee1da73ac02b7a637a7afbd875aa77e57b05fe710bd1fa
  dbaaa7a661fa46f3aa5fe647ffd750501b00e457ce96bfb6e1d09e2ed4fcbecb
drunkards_walk test 1000
  01206193c14f35c9bb89e4b20a19e1fbeb66295d095351ce6d9820f2ccde484e
  59f0919ca10622e064c3066bcc3adbce3010b973c75fb1497d12e4dd695f18fd
  89e8dfa072168ef2f107122c031cbb47fe57de55fd9ac70c6bc73a11ee58487f
drunkards_walk train 1000
  976238adcbade5f7ea661f38f60e8060b43104b80feec1b0dc36e30fddcf2ba5
  55fdaad23e9b5de6ad5ad7627742b766f23040191d123145e7489e652b0d2f38
  1e4095a336374fec7c46436df30c71b58695022e16719b4788455eaf31cbc596
searchformer test 1000
  b65df4f691d9dc1a0c7fd6357b3e0c2b937b47f4ae686316225fd44a37d53e37
  57f244af29d9f20e39fc7111bf679c179596ebea16681143a74ed0c7785bcecc
  d0658ceb7ba299e42b0b96efbddbb82dcf6d28dbf5d8c21ed9bc95b32a692825
searchformer train 1000
  c4d071af760165e77952712a18f662415c886a2a18b3530bc4c297da1da868ce
  41775be1110a602dfe313b58110ae6a1b87ec600f036c9dd0fe69d045b94b5f2
  9e8b2d01171e704ee10b0bb1f8f6df260776cad7697d02d3e10dd3a86374b041
cellular_automata test 1000
  b46624a6c1362592f395b86d3576c2d6378820df99aafbd673431d1758b81bfc
  50a72a283e7d9e577c1a123370f48e5ef6e954c03df95d5e43c04c99c6d1f522
  c1ca19c26cbd9b758da84fc965df68fca17af2668b7804088e4dc286b87e4d58
cellular_automata train 1000
  713af98a0ce91a476e13fc8972fcfc1a32776ed8a2077aaf29f30b8264ca4713
  7293a0b5c77fb276a6a20b42383771fc5c25e9635676c08ac4f0bc56a86a8c91
  9746dd263612da61976012065944ead6b593125b8c8718b5843e7a3cfe12a6aa
wilson train 50000
  64013a10b4f00e037fa7fc9e5eff091c9f22e78dd7c8f55a0104eaa5f7d55a01
  303e03160c53212442c8e155814a6c7b0d177155c96abdb7ccaf96700dd54c90
  69ab4f31e4d8f63e6bfbc398c8eef58bd6a3c882c3514c866a771f699ca78695
"""
ENTRIES = np.reshape(PUBLISHED.split(), (-1, 6)).tolist()


@pytest.mark.parametrize(("generator", "split", "count", "whole", "first10", "first1"), ENTRIES,
                         ids=["-".join(entry[:3]) for entry in ENTRIES])
def test_published_data(generator, split, count, whole, first10, first1):
    sampler = Sampler(generator, 30, 30, split=split, seed=42)
    written = sha256()
    while sampler.position < int(count):
        text = jsonl(Vocabulary(30, 30), *encode_mazes(sampler.take(1000)))
        written.update(text)
        if sampler.position == 1000:
            lines = text.splitlines(keepends=True)
            assert sha256(lines[0]).hexdigest() == first1
            assert sha256(b"".join(lines[:10])).hexdigest() == first10
    assert written.hexdigest() == whole


# ── both ways of sampling ───────────────────────────────────────────────────────────────


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def joined(*parts):
    return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("generator", GENERATORS)
def test_chunks_do_not_matter(generator, sampling):
    whole = generate(generator, 8, 7, 40, split="test", sampling=sampling)
    sampler = Sampler(generator, 8, 7, split="test", sampling=sampling)
    assert same(whole, joined(sampler.take(1), sampler.take(24), sampler.take(0),
                              sampler.take(15)))


@pytest.mark.parametrize("generator", GENERATORS)
def test_indexed_example_depends_on_its_index_alone(generator):
    whole = generate(generator, 8, 7, 40, split="test", sampling="indexed")
    sampler = Sampler(generator, 8, 7, split="test", sampling="indexed")
    for index in (39, 0, 17):
        assert same(sampler.seek(index).take(1), [part[index:index + 1] for part in whole])


def test_paper_sampling_cannot_seek():
    sampler = Sampler("wilson", 8, 8, split="test")
    with pytest.raises(MazeError, match="sampling: got paper"):
        sampler.seek(3)
    assert same(sampler.seek(0).take(2), generate("wilson", 8, 8, 2, split="test"))


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_seed_and_split_matter(sampling):
    sets = [generate("wilson", 8, 8, 20, split=split, seed=seed, sampling=sampling)
            for split in ("train", "test") for seed in (0, 1, 42)]
    assert not any(same(a, b) for i, a in enumerate(sets) for b in sets[:i])


def test_seeds_2_to_the_31_apart_give_the_same_published_data_only():
    near, far = ([generate("dfs", 8, 8, 20, split="train", seed=seed, sampling=sampling)
                  for sampling in SAMPLINGS] for seed in (5, 5 + 2**31))
    assert same(near[0], far[0])
    assert not same(near[1], far[1])


# ── what must hold of any maze ──────────────────────────────────────────────────────────


def free_cells(grid):
    return [(int(x), int(y)) for y, x in np.argwhere(grid)]


def is_tree(grid):
    cells = free_cells(grid)
    edges = int((grid[1:] & grid[:-1]).sum() + (grid[:, 1:] & grid[:, :-1]).sum())
    cols = grid.shape[1]
    start = cells[0][0] + cols * cells[0][1]
    connected = all(distance(grid, start, x + cols * y) >= 0 for x, y in cells)
    return connected and edges == len(cells) - 1


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("generator", ["wilson", "kruskal", "dfs"])
@pytest.mark.parametrize(("rows", "cols"), [(3, 3), (4, 4), (5, 8), (8, 5), (7, 3), (12, 12)])
def test_perfect_mazes_are_trees(generator, rows, cols, sampling):
    for grid in generate(generator, rows, cols, 30, split="train", sampling=sampling).grids:
        assert is_tree(grid)


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("generator", GENERATORS)
def test_every_small_size_gives_mazes_or_a_clear_error(generator, sampling):
    failed = set()
    for rows in range(3, 10):
        for cols in range(3, 10):
            try:
                mazes = generate(generator, rows, cols, 10, split="test", sampling=sampling)
            except MazeError as error:
                failed.add((generator, "found no place for a start" in str(error)))
                continue
            assert mazes.grids.shape == (10, rows, cols)
            for i in range(10):
                maze = mazes.maze(i)
                assert {maze.start, maze.goal} <= set(free_cells(maze.grid))
                may_be_equal = sampling == "paper" and generator in ("wilson", "kruskal")
                assert maze.start != maze.goal or may_be_equal
    assert failed <= {("cellular_automata", True)}


def test_long_thin_and_large_grids():
    for rows, cols in ((3, 60), (60, 3), (180, 180)):
        for generator in GENERATORS:
            assert generate(generator, rows, cols, 1, split="test", sampling="indexed")


@pytest.mark.parametrize(("generator", "lines"), [("wilson", [460, 624]), ("kruskal", [783, 970])])
def test_published_oddity_start_is_goal(generator, lines):
    mazes = generate(generator, 9, 9, 1000, split="train", seed=7)
    equal = np.flatnonzero((mazes.starts == mazes.goals).all(axis=1))
    assert equal.tolist() == lines
    trace, plan = solve(mazes.maze(lines[0]))
    assert [event.kind for event in trace] == ["close"]
    assert plan == [mazes.maze(lines[0]).start]


def even_trees(grids) -> Counter:
    """How often each grid was drawn, of those whose rooms lie at even coordinates."""
    return Counter(grid.tobytes() for grid in grids if grid[0, 0])


def far_from_equal(counts: Counter) -> float:
    """Chi-square of equally likely grids, in standard deviations above its mean."""
    freedom, expected = len(counts) - 1, counts.total() / len(counts)
    chi2 = sum((count - expected) ** 2 / expected for count in counts.values())
    return (chi2 - freedom) / np.sqrt(2 * freedom)


def test_wilson_draws_every_spanning_tree_equally_often():
    """Of all 192 of 3x3 rooms as published, of those of each split where grids are held out."""
    published = even_trees(generate("wilson", 5, 5, 40_000, split="train", seed=5).grids)
    train, test = (even_trees(generate("wilson", 5, 5, 20_000, split=split,
                                       sampling="indexed").grids) for split in ("train", "test"))
    assert len(published) == 192
    assert train.keys() | test.keys() == published.keys()
    assert not train.keys() & test.keys()
    assert max(map(far_from_equal, (published, train, test))) < 4


def test_kruskal_does_not():  # the test above is able to notice it
    grids = generate("kruskal", 5, 5, 40_000, split="train", seed=5).grids
    assert far_from_equal(even_trees(grids)) > 20


def test_drunkards_walk_opens_its_coverage():
    for coverage, cells in ((0.0, 2), (0.25, 25), (0.5, 50), (0.999, 99), (1, 100)):
        grids = generate("drunkards_walk", 10, 10, 5, split="test",
                         params={"coverage": coverage}).grids
        assert (grids.sum(axis=(1, 2)) == cells).all()


def test_searchformer_walls_and_path_lengths():
    mazes = generate("searchformer", 30, 30, 1000, split="test")
    walls = 900 - mazes.grids.sum(axis=(1, 2), dtype=int)
    assert walls.min() >= 270
    assert walls.max() <= 450
    plans = [solve(mazes.maze(i)).plan for i in range(1000)]
    assert sum(len(plan) < 30 for plan in plans) == 20  # as in the published data


def test_free_space_has_no_walls():
    assert generate("free_space", 6, 9, 10, split="test", sampling="indexed").grids.all()


def test_cellular_automata_parameters():
    def grids(**params):
        return generate("cellular_automata", 12, 12, 20, split="test", params=params).grids

    published = {"fill_probability": 0.45, "survival_threshold": 4, "birth_threshold": 5,
                 "iterations": 3}
    assert np.array_equal(grids(), grids(**published))
    assert grids(fill_probability=0, iterations=0).all()
    # beyond the edge is wall: five of a corner's eight neighbours, three of a side's
    corners = np.ones((12, 12), np.uint8)
    corners[[0, 0, -1, -1], [0, -1, 0, -1]] = 0
    assert (grids(fill_probability=0, birth_threshold=4, iterations=1) == corners).all()
    assert grids(fill_probability=1, survival_threshold=9, iterations=1).all()
    for other in ({"survival_threshold": 3}, {"birth_threshold": 4}, {"iterations": 2}):
        assert not np.array_equal(grids(), grids(**other))


# ── errors ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("change", "message"), [
    ({"generator": "prim"}, "generator: got 'prim', takes one of wilson, kruskal"),
    ({"split": "dev"}, "split: got 'dev', takes one of train, test"),
    ({"sampling": "random"}, "sampling: got 'random', takes one of paper, indexed"),
    ({"rows": 2}, "rows: got 2, takes a whole number from 3 to 180"),
    ({"cols": 181}, "cols: got 181, takes a whole number from 3 to 180"),
    ({"seed": -1}, "seed: got -1, takes a whole number from 0 up"),
    ({"params": {"coverage": 0.5}}, "param coverage: got an unknown parameter, wilson takes none"),
    ({"generator": "drunkards_walk", "params": {"coverag": 0.5}},
     "param coverag: got an unknown parameter, drunkards_walk takes coverage"),
    ({"generator": "drunkards_walk", "params": {"coverage": 1.5}},
     "param coverage: got 1.5, takes a number from 0.0 to 1.0"),
    ({"generator": "drunkards_walk", "params": {"coverage": float("nan")}}, "coverage: got nan"),
    ({"generator": "drunkards_walk", "params": {"coverage": "0.5"}}, "coverage: got '0.5'"),
    ({"generator": "drunkards_walk", "params": {"coverage": True}}, "coverage: got True"),
    ({"generator": "cellular_automata", "params": {"iterations": 2.5}},
     "param iterations: got 2.5, takes a whole number from 0 to 1000"),
])
def test_wrong_settings(change, message):
    settings = {"generator": "wilson", "rows": 8, "cols": 8, "split": "test"} | change
    with pytest.raises(MazeError, match=message):
        Sampler(settings.pop("generator"), settings.pop("rows"), settings.pop("cols"), **settings)


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_no_room_for_start_and_goal(sampling):
    with pytest.raises(MazeError, match=r"automata found no place .* in maze 0 at 9x9"):
        generate("cellular_automata", 9, 9, 5, split="test", sampling=sampling,
                 params={"fill_probability": 1})


# ── one maze ────────────────────────────────────────────────────────────────────────────


def test_a_cell_is_column_then_row():
    maze = Maze.from_ascii("S.#.",
                           "..#.",
                           "...G")
    assert (maze.rows, maze.cols) == (3, 4)
    assert (maze.start, maze.goal) == ((0, 0), (3, 2))
    assert maze.grid[1, 2] == 0  # the wall at x = 2, y = 1
    assert maze.ascii() == str(maze) == "S.#.\n..#.\n...G"
    assert maze.ascii({(1, 2): "o", (9, 9): "o"}) == "S.#.\n..#.\n.o.G"


@pytest.mark.parametrize(("lines", "message"), [
    (["S.", ".G."], "row 2: got 3 columns, takes 2, as row 1 has"),
    (["S.", "xG"], r"row 2: got 'x', takes # \(wall\)"),
    (["S.", "g."], "row 2: got 'g'"),
    ([".."], "map: got 0 times S, takes one S and one G"),
    (["SG", ".S"], "map: got 2 times S"),
    ([], "map: got 0 times S"),
])
def test_maps_that_are_none(lines, message):
    with pytest.raises(MazeError, match=message):
        Maze.from_ascii(*lines)
