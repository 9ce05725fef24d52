"""Corpora: whole on disk or not at all, drawn as the recipe says, and counted right."""

import errno
import multiprocessing
import os
import resource
import tracemalloc
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from hashlib import sha256
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from helpers import corpus as corpus_module
from helpers import language
from helpers.corpus import (
    Corpus,
    CorpusError,
    Overlap,
    Recipe,
    build,
    count_possible,
    grid_keys,
    overlap,
    problem_keys,
    write,
)
from helpers.engine.arrays import Growing
from helpers.generators import GENERATORS
from helpers.language import jsonl
from helpers.maze import SPLITS, Maze, MazeError, Mazes, Sampler, generate
from helpers.study.scale import load_scale

TRAIN = Recipe("wilson", 5, 5, "train", 1, "indexed", 40)
CORPORA = [build(TRAIN), build(Recipe("searchformer", 6, 4, "train", 2, "indexed", 20)),
           build(Recipe("drunkards_walk", 4, 7, "test", 3, "paper", 20,
                        params=(("coverage", 0.7),)))]


@pytest.fixture
def corpus() -> Corpus:
    return CORPORA[0]


def same(a: Corpus, b: Corpus) -> bool:
    return (a.recipe, a.sha256) == (b.recipe, b.sha256) and all(
        x.dtype == y.dtype and np.array_equal(x, y)
        for x, y in zip((a.tokens, a.bounds, *a.mazes), (b.tokens, b.bounds, *b.mazes),
                        strict=True))


# ── files ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("corpus", CORPORA, ids=lambda corpus: corpus.recipe.generator)
def test_saved_and_loaded(corpus, tmp_path):
    corpus.save(tmp_path / "a")
    assert same(Corpus.load(tmp_path / "a"), corpus)
    assert os.listdir(tmp_path) == ["a"]


def test_same_recipe_same_bytes(corpus, tmp_path):
    for i in range(8):  # metadata with several entries would come out in a new order each time
        build(TRAIN).save(tmp_path / str(i))
    assert len({(tmp_path / str(i)).read_bytes() for i in range(8)}) == 1


def refused(path) -> str:
    with pytest.raises(CorpusError) as caught:
        Corpus.load(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_every_changed_byte_of_the_header_is_noticed(corpus, tmp_path):
    build(replace(TRAIN, count=2)).save(tmp_path / "a")
    whole = (tmp_path / "a").read_bytes()
    for place in range(8 + int.from_bytes(whole[:8], "little")):
        data = bytearray(whole)
        data[place] ^= 1 << (5 * place) % 8
        (tmp_path / "a").write_bytes(data)
        refused(tmp_path / "a")


@given(st.integers(0), st.integers(1, 255))
def test_a_changed_byte_anywhere_is_noticed(tmp_path_factory, place, change):
    path = tmp_path_factory.getbasetemp() / "changed"
    CORPORA[0].save(path)
    data = bytearray(path.read_bytes())
    header = 8 + int.from_bytes(data[:8], "little")
    data[header + place % (len(data) - header)] ^= change
    path.write_bytes(data)
    assert "checksum" in refused(path)


@given(st.integers(0))
def test_truncated_file(tmp_path_factory, length):
    path = tmp_path_factory.getbasetemp() / "truncated"
    CORPORA[0].save(path)
    data = path.read_bytes()
    path.write_bytes(data[:length % len(data)])
    assert "truncated" in refused(path)


def test_file_is_missing_or_foreign(tmp_path):
    assert "no such file" in refused(tmp_path / "a")
    assert "unreadable" in refused(tmp_path)  # a folder
    for metadata in (None, {"format": "pt"}, {"corpus": "no JSON"}, {"corpus": "{}"},
                     {"corpus": '{"format": "2"}'},
                     {"corpus": '{"format": "0", "sha256": ""}'}):
        save_file({"weights": np.ones(3)}, tmp_path / "b", metadata)
        refused(tmp_path / "b")


def test_a_file_of_the_old_format(corpus, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(corpus_module, "FORMAT", "1")
        replace(corpus).save(tmp_path / "a")
    assert "got format 1, takes 2; make it again" in refused(tmp_path / "a")


@pytest.mark.parametrize("before", [None, b"what stood there"])
def test_disk_full_midway(corpus, tmp_path, monkeypatch, before):
    def half_written(arrays, path, metadata):
        path.write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if before:
        (tmp_path / "a").write_bytes(before)
    monkeypatch.setattr(corpus_module, "save_file", half_written)
    with pytest.raises(OSError, match="No space left"):
        corpus.save(tmp_path / "a")
    assert os.listdir(tmp_path) == (["a"] if before else [])
    assert not before or (tmp_path / "a").read_bytes() == before


def test_disk_full_for_real(corpus, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(Exception, match="File too large"):
            corpus.save(tmp_path / "a")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert os.listdir(tmp_path) == []


def test_the_checksum_is_of_all_it_holds(corpus):
    recipe, found = corpus.recipe, {corpus.sha256}
    for changed in (replace(corpus, recipe=replace(recipe, seed=7)),
                    replace(corpus, tokens=corpus.tokens + 1),
                    replace(corpus, bounds=corpus.bounds.astype(np.int32)),
                    replace(corpus, mazes=corpus.mazes._replace(goals=corpus.mazes.starts))):
        found.add(changed.sha256)
    assert len(found) == 5
    assert replace(corpus).sha256 == corpus.sha256


# ── piece by piece ──────────────────────────────────────────────────────────────────────

PIECES = [TRAIN, replace(TRAIN, generator="searchformer", rows=6, unsolvable=False, count=50),
          replace(TRAIN, generator="drunkards_walk", sampling="paper", split="test", skip=31),
          replace(TRAIN, cols=9, skip=10**9), replace(TRAIN, count=1)]


@pytest.mark.parametrize("cells", [1, 8 * 25, 900_000])
@pytest.mark.parametrize("recipe", PIECES, ids=lambda recipe: recipe.name)
def test_written_piece_by_piece_the_file_is_the_same(recipe, cells, tmp_path, monkeypatch):
    build(recipe).save(tmp_path / "whole")
    monkeypatch.setattr(language, "CELLS", cells)  # a maze at once, some, all
    progress = []
    write(recipe, tmp_path / "pieces", progress=progress.append)
    assert (tmp_path / "pieces").read_bytes() == (tmp_path / "whole").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["pieces", "whole"]
    assert (len(progress) == 1) == (cells == 900_000 or recipe.count == 1)


def test_memory_does_not_grow_with_the_number_of_examples(tmp_path, monkeypatch):
    """Of what numpy allocates; files that are mapped are no copies."""
    monkeypatch.setattr(language, "CELLS", 64 * 25)
    most = {}
    for count in (200, 4000):
        tracemalloc.start()
        write(replace(TRAIN, count=count), tmp_path / str(count))
        most[count] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    size = {count: (tmp_path / str(count)).stat().st_size for count in most}
    assert most[4000] - most[200] < 0.02 * (size[4000] - size[200])


def test_a_piece_that_finds_no_room(tmp_path, monkeypatch):
    """What stood there stands there still, and the pieces before are gone."""
    monkeypatch.setattr(language, "CELLS", 10 * 25)
    (tmp_path / "a").write_bytes(b"what stood there")

    def full(drawn: int) -> None:
        if sum(path.stat().st_size for path in tmp_path.glob(".a.*.tmp/*")):  # from the second on
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match="No space left") as caught:
        write(TRAIN, tmp_path / "a", progress=full)
    assert caught.value.filename == str(tmp_path / "a")
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"what stood there"


def test_pieces_of_a_writer_that_was_killed_go_with_the_next_write(tmp_path):
    left = tmp_path / ".a.01234567.tmp"
    left.mkdir()
    (left / "tokens").write_bytes(b"a piece")
    write(TRAIN, tmp_path / "a")
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("piece", [np.zeros((2, 3), np.int32), np.zeros((2, 4), np.int64)])
def test_pieces_of_one_array_are_of_one_kind(piece, tmp_path):
    found = Growing(tmp_path)
    found.add(a=np.zeros((5, 3), np.int64))
    with pytest.raises(ValueError, match=r"^a: got .* takes .* as before"):
        found.add(a=piece)


# ── memory ──────────────────────────────────────────────────────────────────────────────


def arrays_of(corpus: Corpus) -> dict[str, np.ndarray]:
    return {"tokens": corpus.tokens, "bounds": corpus.bounds, **corpus.mazes._asdict()}


def mappings(path) -> list[dict[str, int]]:
    """Where this process has mapped a file: first and last address, and KiB of its own copies."""
    found, ours = [], False
    for line in open("/proc/self/smaps"):  # noqa: SIM115
        first, *words = line.split()
        if not first.endswith(":"):
            ours = words[-1:] == [str(path)]
            if ours:
                begin, end = (int(address, 16) for address in first.split("-"))
                found.append({"begin": begin, "end": end, "own": 0})
        elif ours and first == "Private_Dirty:":
            found[-1]["own"] = int(words[0])
    return found


needs_smaps = pytest.mark.skipif(not os.path.exists("/proc/self/smaps"),
                                 reason="only Linux says what a process has mapped")


@needs_smaps
def test_arrays_of_a_loaded_corpus_are_the_file_itself(corpus, tmp_path):
    corpus.save(tmp_path / "a")
    loaded = Corpus.load(tmp_path / "a")
    places = mappings(tmp_path / "a")
    for name, array in arrays_of(loaded).items():
        assert not array.flags.owndata, name
        address = array.__array_interface__["data"][0]
        assert any(place["begin"] <= address and address + array.nbytes <= place["end"]
                   for place in places), name


def read_all(path) -> tuple[str, int]:
    """In a process of its own: what a corpus holds, and how many KiB of it are copies."""
    loaded = Corpus.load(path)
    return loaded.sha256, sum(place["own"] for place in mappings(path))


@needs_smaps
def test_processes_share_a_loaded_corpus(corpus, tmp_path):
    corpus.save(tmp_path / "a")
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as workers:
        found = list(workers.map(read_all, [tmp_path / "a"] * 2))
    assert found == [(corpus.sha256, 0)] * 2


# ── what is drawn ───────────────────────────────────────────────────────────────────────


def slow_key(maze: Maze) -> tuple:
    return maze.grid.tobytes(), maze.start, maze.goal


def keys_of(mazes: Mazes) -> list[tuple]:
    return [slow_key(mazes.maze(i)) for i in range(len(mazes.starts))]


def test_paper_sampling_is_the_published_data():
    corpus = build(Recipe("wilson", 30, 30, "train", 42, "paper", 10))
    assert sha256(jsonl(corpus.vocabulary, corpus.tokens, corpus.bounds)).hexdigest() == (
        "303e03160c53212442c8e155814a6c7b0d177155c96abdb7ccaf96700dd54c90")


@pytest.mark.parametrize("sampling", ["paper", "indexed"])
@pytest.mark.parametrize(("skip", "count"), [(0, 60), (25, 35), (59, 1), (5000, 3)])
def test_a_corpus_is_a_part_of_its_stream(sampling, skip, count):
    progress = []
    corpus = build(Recipe("wilson", 4, 4, "test", 5, sampling, count, skip),
                   progress=progress.append)
    sampler = Sampler("wilson", 4, 4, split="test", seed=5, sampling=sampling)
    drawn = keys_of(sampler.take(skip + count))
    assert keys_of(corpus.mazes) == drawn[skip:]
    # what was passed over counts where it had to be drawn
    assert sum(progress) == count + (skip if sampling == "paper" else 0)


@pytest.mark.parametrize(("count", "skip"), [(0, 0), (-3, 0), (3, -1)])
def test_nothing_asked_for(count, skip, tmp_path):
    with pytest.raises(MazeError, match=r"^count, skip: got"):
        build(replace(TRAIN, count=count, skip=skip))
    with pytest.raises(MazeError, match=r"^count, skip: got"):
        write(replace(TRAIN, count=count, skip=skip), tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_names_tell_corpora_apart():
    recipes = [Recipe("dfs", 5, 6, "test", 1, "indexed", 20),
               Recipe("dfs", 5, 6, "test", 1, "indexed", 20, skip=40),
               Recipe("dfs", 5, 6, "train", 1, "indexed", 20),
               Recipe("dfs", 6, 5, "test", 1, "indexed", 20),
               Recipe("drunkards_walk", 5, 6, "test", 1, "indexed", 20),
               Recipe("drunkards_walk", 5, 6, "test", 1, "indexed", 20,
                      params=(("coverage", 0.7),))]
    assert recipes[-1].name == "test_drunkards_walk_coverage=0.7_5x6_20"
    assert len({recipe.name for recipe in recipes}) == len(recipes)


@pytest.mark.parametrize("scale", ["smoke", "laptop"])
def test_validation_mazes_are_the_same_behind_any_test_set(scale):
    """In indexed sampling, so that more test mazes change no learning curve."""
    scale = load_scale(scale)
    assert scale.sampling == "indexed"
    few, many = (scale.varied({"test_examples": n, "validation_examples": 20}.items())
                 for n in (10, 5000))
    recipe = few.recipe("validation")
    assert recipe == many.recipe("validation")
    assert recipe.skip >= 10**9  # no test set reaches it
    sampler = Sampler("wilson", scale.rows, scale.cols, split="test", sampling="indexed")
    assert keys_of(build(recipe).mazes) == keys_of(sampler.seek(recipe.skip).take(20))


def test_validation_mazes_of_the_published_stream_follow_its_test_mazes():
    scale = load_scale("paper").varied({"test_examples": 7, "validation_examples": 5}.items())
    behind = build(scale.recipe("validation")).mazes
    both = generate("wilson", 30, 30, 12, split="test", seed=42)
    assert keys_of(behind) == keys_of(both)[7:]


# ── keys and counts ─────────────────────────────────────────────────────────────────────


@given(st.data())
def test_keys_are_equal_for_equal_problems_alone(data):
    rows, cols = data.draw(st.integers(3, 5)), data.draw(st.integers(3, 5))
    several = generate("free_space", rows, cols, 60, split="test", sampling="indexed",
                       seed=data.draw(st.integers(0, 99)))
    several.grids[:, 0, 0] = np.arange(60) % 2
    slow = keys_of(several)
    keys, grids = problem_keys(several), grid_keys(several)
    for i, j in combinations(range(60), 2):
        assert (keys[i] == keys[j]) == (slow[i] == slow[j])
        assert (grids[i] == grids[j]) == (slow[i][0] == slow[j][0])


def posing(problems: list[tuple[int, int]]) -> Corpus:
    """A corpus (of mazes alone) of these problems, each the number of a grid and of its ends."""
    grids = build(replace(TRAIN, count=40)).mazes.grids
    grids = grids[np.unique(grids, axis=0, return_index=True)[1]]
    mazes = Mazes(np.stack([grids[grid] for grid, _ in problems]),
                  np.array([(ends, 0) for _, ends in problems], np.int16),
                  np.array([(0, ends) for _, ends in problems], np.int16))
    return Corpus(TRAIN, np.empty(0, np.uint16), np.zeros((len(problems), 4), np.int64), mazes)


def test_overlap_by_hand():
    training = posing([(0, 1), (0, 1), (0, 2), (1, 1), (2, 2)])
    corpus = posing([(0, 1), (0, 3), (0, 3), (1, 1), (1, 1), (3, 1), (0, 1)])
    assert overlap(corpus, training) == Overlap(
        distinct_problems=4, distinct_grids=3, most_problems_per_grid=4,
        also_in_training=4,  # (0, 1) and (1, 1), twice each
        grids_also_in_training=2)  # grids 0 and 1, not 3
    assert overlap(training, training) == Overlap(4, 3, 3, 5, 3)
    assert overlap(posing([(4, 1), (5, 1)]), training) == Overlap(2, 2, 1, 0, 0)


pairs = st.tuples(st.integers(0, 5), st.integers(1, 3))


@given(st.lists(pairs, min_size=1, max_size=30), st.lists(pairs, min_size=1, max_size=30))
def test_overlap(problems, trained_on):
    found = overlap(posing(problems), posing(trained_on))
    grids = Counter(grid for grid, _ in problems)
    assert found == (len(set(problems)), len(grids), max(grids.values()),
                     sum(problem in trained_on for problem in problems),
                     len(set(grids) & {grid for grid, _ in trained_on}))


@pytest.mark.parametrize("sampling", ["paper", "indexed"])
def test_overlap_of_corpora(sampling):
    """Published mazes of a small size recur; held-out grids do not."""
    training = build(Recipe("kruskal", 4, 4, "train", 1, sampling, 300))
    corpus = build(Recipe("wilson", 4, 4, "test", 1, sampling, 100))
    theirs, ours = set(keys_of(training.mazes)), keys_of(corpus.mazes)
    grids = {key[0] for key in ours}
    found = overlap(corpus, training)
    assert found.also_in_training == sum(key in theirs for key in ours)
    assert found.grids_also_in_training == len(grids & {key[0] for key in theirs})
    assert found.distinct_grids == len(grids)
    if sampling == "paper":
        assert found.also_in_training > 50
        assert found.grids_also_in_training == 8
    else:
        assert (found.also_in_training, found.grids_also_in_training) == (0, 0)


def test_numbers_of_grids(corpus):
    keys = [grid.tobytes() for grid in corpus.mazes.grids]
    assert corpus.grids.shape == (len(corpus),)
    for i, j in combinations(range(len(corpus)), 2):
        assert (corpus.grids[i] == corpus.grids[j]) == (keys[i] == keys[j])


# ── how many there are ──────────────────────────────────────────────────────────────────


def trees_by_trying(across: int, down: int) -> int:
    """Spanning trees of a grid of rooms, by looking at every choice of n − 1 doors."""
    rooms = [(x, y) for y in range(down) for x in range(across)]
    doors = [(a, b) for a, b in combinations(rooms, 2)
             if abs(a[0] - b[0]) + abs(a[1] - b[1]) == 1]
    found = 0
    for chosen in combinations(doors, len(rooms) - 1):
        group = {room: room for room in rooms}
        for a, b in chosen:
            if group[a] == group[b]:
                break
            group = {room: group[a] if of == group[b] else of for room, of in group.items()}
        else:
            found += 1
    return found


@pytest.mark.parametrize("generator", ["wilson", "kruskal"])
@pytest.mark.parametrize(("rows", "cols"), [(4, 4), (4, 6), (6, 6)])
def test_number_of_grids_and_problems(generator, rows, cols):
    trees, free = trees_by_trying(cols // 2, rows // 2), rows * cols // 2 - 1
    found = count_possible(generator, rows, cols)
    assert found == (2 * trees, 2 * trees * free * (free - 1))  # rooms at even cells, or at odd


def test_known_numbers():
    assert count_possible("wilson", 6, 6) == (2 * 192, 104448)
    assert count_possible("wilson", 6, 8).grids == 4830
    assert count_possible("kruskal", 8, 8) == (2 * 100352, 186654720)
    assert np.isnan(count_possible("dfs", 6, 6)).all()
    assert 1e90 < count_possible("wilson", 30, 30).problems < np.inf


@pytest.mark.parametrize("generator", ["wilson", "kruskal"])
@pytest.mark.parametrize(("rows", "cols"), [(3, 3), (4, 4), (3, 5), (6, 4), (5, 5)])
def test_number_of_problems_by_drawing_them_all(generator, rows, cols):
    both = [generate(generator, rows, cols, 9000, split=split, seed=1, sampling="indexed")
            for split in SPLITS]
    mazes = Mazes(*map(np.concatenate, zip(*both, strict=True)))
    grids = {grid.tobytes(): int(grid.sum()) for grid in mazes.grids}
    possible = count_possible(generator, rows, cols)
    assert possible == (len(grids), sum(n * (n - 1) for n in grids.values()))
    if possible.problems < 500:
        assert len(set(keys_of(mazes))) == possible.problems


def test_generators_whose_grids_can_be_counted_say_so():
    counted = {name for name in GENERATORS if not np.isnan(count_possible(name, 6, 6).grids)}
    assert counted == {name for name, one in GENERATORS.items() if one.rooms}
    assert counted == {"wilson", "kruskal"}
