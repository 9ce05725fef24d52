"""Conditions: which trace an example gets, from whom it is borrowed, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import right_response
from studies import SMOKE

from helpers.conditions import CONDITIONS, Condition, lenders, prompts, put_together
from helpers.corpus import (
    PLAN_PART,
    PROMPT_PART,
    TRACE_PART,
    Corpus,
    CorpusError,
    Recipe,
    Segments,
    build,
)
from helpers.generators import Parameter
from helpers.language import REASONING, SOLUTION
from helpers.maze import Mazes, generate

CORPORA = [build(Recipe("wilson", 5, 5, "train", 1, "indexed", 40)),
           build(Recipe("searchformer", 6, 4, "train", 2, "indexed", 20)),
           build(Recipe("drunkards_walk", 4, 7, "test", 3, "paper", 20,
                        params=(("coverage", 0.7),)))]


def problem(corpus: Corpus, index: int) -> tuple:
    maze = corpus.mazes.maze(index)
    return maze.grid.tobytes(), maze.start, maze.goal


# ── lenders ─────────────────────────────────────────────────────────────────────────────


def with_problems(numbers: list[int], seed: int = 0) -> Corpus:
    """A corpus (of mazes alone) whose examples pose these problems, by number."""
    all_of_them = generate("wilson", 5, 5, 20, split="test", seed=9, sampling="indexed")
    mazes = Mazes(*(array[numbers] for array in all_of_them))
    return Corpus(Recipe("wilson", 5, 5, "train", seed, "indexed", 40), np.empty(0, np.uint16),
                  np.zeros((len(numbers), 4), np.int64), mazes)


def check_lenders(corpus: Corpus, seed: int) -> None:
    found = lenders(corpus, seed)
    assert sorted(found) == list(range(len(corpus)))  # every trace is lent once
    for i, lender in enumerate(found):
        assert lender != i
        assert problem(corpus, lender) != problem(corpus, i)


@pytest.mark.parametrize("corpus", CORPORA, ids=lambda corpus: corpus.recipe.generator)
def test_lenders_of_corpora(corpus):
    for seed in range(5):
        check_lenders(corpus, seed)
        assert np.array_equal(lenders(corpus, seed), lenders(build(corpus.recipe), seed))


@given(st.lists(st.integers(0, 19), max_size=30), st.integers(0, 2**40), st.integers(0, 2**40))
def test_lenders(numbers, data_seed, seed):
    corpus = with_problems(numbers, data_seed)
    most = max(map(numbers.count, numbers), default=0)
    if 2 * most > len(numbers):  # some of the same problem would have to lend to each other
        with pytest.raises(CorpusError, match=r"^swapped: got \d+ different problems among"):
            lenders(corpus, seed)
    elif 3 * most <= len(numbers):
        check_lenders(corpus, seed)
    else:  # possible, but a lucky draw may be needed: an error is allowed, a wrong answer is not
        try:
            check_lenders(corpus, seed)
        except CorpusError:
            assert 2 * most >= len(numbers) - 1


def test_lenders_follow_from_both_seeds():
    """From that of the data and that of the training, and not from their sum."""
    numbers = list(range(20))
    found = {(data, seed): lenders(with_problems(numbers, data), seed).tolist()
             for data in range(4) for seed in range(4)}
    assert len({tuple(each) for each in found.values()}) == 16
    assert lenders(with_problems(numbers, 2), 3).tolist() == found[2, 3]


def test_any_other_example_may_lend():
    """However long its trace: each of 12 lends to each other about equally often."""
    corpus, n = CORPORA[0], 12
    part = Corpus(corpus.recipe, corpus.tokens, corpus.bounds[:n],
                  Mazes(*(array[:n] for array in corpus.mazes)))
    assert len({problem(part, i) for i in range(n)}) == n
    draws, counts = 3000, np.zeros((n, n), int)
    for seed in range(draws):
        counts[np.arange(n), lenders(part, seed)] += 1
    expected = draws / (n - 1)
    others = counts[~np.eye(n, dtype=bool)]
    assert np.abs(others - expected).max() < 5 * np.sqrt(expected)


def test_lent_traces_are_of_any_length():
    corpus = build(Recipe("wilson", 8, 8, "train", 4, "indexed", 2000))
    own = corpus.part(TRACE_PART).lengths()
    plan = corpus.part(PLAN_PART).lengths()
    for seed in range(5):
        lent = put_together(corpus, CONDITIONS["swapped"], seed).traces.lengths()
        assert sorted(lent) == sorted(own)
        for other in (own, plan, np.roll(own, 1), np.arange(2000)):  # nor does their place tell
            assert abs(np.corrcoef(lent, other)[0, 1]) < 5 / np.sqrt(2000)


# ── put together ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("corpus", CORPORA, ids=lambda corpus: corpus.recipe.generator)
def test_traces_of_each_condition(corpus):
    seed, decode = 4, corpus.vocabulary.decode
    together = {name: put_together(corpus, CONDITIONS[name], seed) for name in SMOKE.conditions}
    found = lenders(corpus, seed)
    for i in range(len(corpus)):
        own, lent = (right_response(corpus.mazes.maze(j)) for j in (i, found[i]))
        traces = {name: decode(each.traces.piece(i)).split() for name, each in together.items()}
        assert traces == {"solution_only": [], "correct": own[:own.index("solution")],
                          "swapped": lent[:lent.index("solution")]}
        for each in together.values():
            assert np.array_equal(each.prompts.piece(i), corpus.segment(i, PROMPT_PART))
            assert np.array_equal(each.plans.piece(i), corpus.segment(i, PLAN_PART))
    for each in together.values():
        assert len(each) == len(corpus)
        assert each.lengths().tolist() == [
            sum(len(part.piece(i)) for part in (each.prompts, each.traces, each.plans))
            for i in range(len(corpus))]


def some_lent(corpus: Corpus, seed: int, share: float, reverse: bool) -> Segments:
    """A reader's own condition: a share of the examples borrow, by chance; or the others do."""
    borrows = np.random.default_rng([seed, 1]).random(len(corpus)) < share
    found = lenders(corpus, seed)
    return corpus.part(TRACE_PART).of(np.where(borrows ^ bool(reverse), found, np.arange(
        len(corpus))))


MIXED = Condition(some_lent, "mixed", "#000000", "x", "-.", parameters={
    "share": Parameter(0.5, 0, 1), "reverse": Parameter(0, 0, 1, integer=True)})


def test_a_condition_of_the_readers_own():
    corpus = CORPORA[0]
    own, lent = (put_together(corpus, CONDITIONS[name], 3) for name in ("correct", "swapped"))

    def begins(share, seed=3, reverse=0):
        return put_together(corpus, MIXED, seed, share=share, reverse=reverse).traces.begins

    assert np.array_equal(begins(0), own.traces.begins)
    assert np.array_equal(begins(1), lent.traces.begins)
    assert np.array_equal(begins(0, reverse=1), lent.traces.begins)
    borrowed = begins(0.5) != own.traces.begins
    assert 8 <= borrowed.sum() <= 32
    assert np.array_equal(begins(0.5), begins(0.5))
    assert not np.array_equal(borrowed, begins(0.5, seed=4) != own.traces.begins)
    assert MIXED.opening == REASONING


def test_traces_from_elsewhere():
    """A trace may be any tokens: of another corpus, or made up."""
    corpus, other = CORPORA[0], build(Recipe("dfs", 5, 5, "train", 1, "indexed", 40))
    foreign = Condition(lambda corpus, seed: other.part(TRACE_PART), "foreign", "k", "o", "-")
    together = put_together(corpus, foreign, 1)
    for i in range(len(corpus)):
        assert np.array_equal(together.traces.piece(i), other.segment(i, TRACE_PART))


@pytest.mark.parametrize("corpus", CORPORA, ids=lambda corpus: corpus.recipe.generator)
def test_a_condition_that_gives_no_trace_for_some_example(corpus):
    part, n = corpus.part(TRACE_PART), len(corpus)

    def of(ends, has_trace=True):
        traces = lambda corpus, seed: Segments(part.tokens, part.begins[:len(ends)], ends)  # noqa: E731
        return Condition(traces, "odd", "k", "o", "-", has_trace=has_trace)

    one_missing = part.ends.copy()
    one_missing[3] = part.begins[3]
    backwards = part.ends.copy()
    backwards[3] = part.begins[3] - 1
    one_there = part.begins.copy()
    one_there[3] = part.ends[3]
    for wrong, message in (
            (of(one_missing), f"odd: got {n - 1} traces for {n} examples, takes a trace for each"),
            (of(backwards), f"odd: got {n} traces for {n} examples, takes a trace for each"),
            (of(part.ends[:-1]), f"odd: got {n - 1} traces for {n} examples, takes a trace for"),
            (of(part.begins), f"odd: got 0 traces for {n} examples, takes a trace for each"),
            (of(one_there, False), f"odd: got 1 traces for {n} examples, takes no traces"),
            (of(part.ends, False), f"odd: got {n} traces for {n} examples, takes no traces")):
        with pytest.raises(CorpusError, match=message):
            put_together(corpus, wrong, 1)
    put_together(corpus, of(part.ends), 1)
    put_together(corpus, of(part.begins, False), 1)


# ── prompts ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("condition", [*CONDITIONS.values(), MIXED], ids=lambda one: one.label)
@pytest.mark.parametrize("corpus", CORPORA, ids=lambda corpus: corpus.recipe.generator)
def test_prompts(corpus, condition):
    opening = "reasoning" if condition.has_trace else "solution"
    for i, prompt in enumerate(prompts(corpus, condition)):
        maze = corpus.mazes.maze(i)
        walls = [f"wall {x} {y}" for y in range(maze.rows) for x in range(maze.cols)
                 if maze.grid[y, x] == 0]
        ends = "query start {} {} goal {} {}".format(*maze.start, *maze.goal)
        assert corpus.vocabulary.decode(prompt) == " ".join([ends, *walls, opening])
        assert prompt.dtype == np.uint16


def test_openings():
    openings = {name: one.opening for name, one in CONDITIONS.items()}
    assert openings.pop("solution_only") == SOLUTION
    assert set(openings.values()) == {REASONING}
    assert replace(CONDITIONS["correct"], has_trace=False).opening == SOLUTION
