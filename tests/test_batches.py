"""Batches: examples laid end to end, loss on the response alone, an order of their own."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import right_response
from studies import STUDIED

from helpers.batches import Batches, make_batch
from helpers.conditions import CONDITIONS, Examples, lenders, prompts, put_together
from helpers.corpus import Corpus, Recipe, Segments, build
from helpers.maze import Maze

SEED = 3
CORPORA = [build(Recipe("wilson", 5, 5, "train", 1, "indexed", 40)),
           build(Recipe("searchformer", 6, 4, "train", 2, "indexed", 20)),
           build(Recipe("drunkards_walk", 4, 7, "test", 3, "paper", 20,
                        params=(("coverage", 0.7),)))]
EXAMPLES = {(number, name): put_together(corpus, CONDITIONS[name], SEED)
            for number, corpus in enumerate(CORPORA) for name in STUDIED}


def words_of(maze: Maze) -> list[str]:
    """The prompt of a maze, written with nothing but string formatting."""
    walls = [f"wall {x} {y}" for y in range(maze.rows) for x in range(maze.cols)
             if maze.grid[y, x] == 0]
    ends = "start {} {} goal {} {}".format(*maze.start, *maze.goal)
    return " ".join(["query", ends, *walls]).split()


def example_words(corpus: Corpus, condition: str, index: int) -> tuple[list[str], list[str],
                                                                     list[str]]:
    """Prompt, trace and plan of an example under a condition, from the mazes alone."""
    own = right_response(corpus.mazes.maze(index))
    lender = {"correct": index, "swapped": lenders(corpus, SEED)[index]}.get(condition)
    trace = right_response(corpus.mazes.maze(lender)) if lender is not None else ["solution"]
    return (words_of(corpus.mazes.maze(index)), trace[:trace.index("solution")],
            own[own.index("solution"):])


batches = st.integers(0, len(CORPORA) - 1).flatmap(lambda number: st.tuples(
    st.just(number), st.lists(st.integers(0, len(CORPORA[number]) - 1), min_size=1, max_size=6)))


@pytest.mark.parametrize("condition", STUDIED)
@given(batches)
def test_batch(condition, drawn):
    number, indices = drawn
    corpus = CORPORA[number]
    batch = make_batch(EXAMPLES[number, condition], np.array(indices))
    tokens, lengths, learn, targets, in_plan = [], [], [], [], []
    for index in indices:
        prompt, trace, plan = example_words(corpus, condition, index)
        example = prompt + trace + plan
        opening = example.index("solution" if condition == "solution_only" else "reasoning")
        for place, (word, following) in enumerate(pairwise(example)):
            if place >= opening:
                learn.append(len(tokens))
                targets.append(following)
                in_plan.append(place >= example.index("solution"))
            tokens.append(word)
        lengths.append(len(example) - 1)
    decode = corpus.vocabulary.decode
    assert decode(batch.tokens) == " ".join(tokens)
    assert batch.lengths.tolist() == lengths
    assert batch.positions.tolist() == [i for length in lengths for i in range(length)]
    assert batch.learn.tolist() == learn
    assert decode(batch.targets) == " ".join(targets)
    assert batch.in_plan.tolist() == in_plan
    assert [array.dtype for array in batch] == [np.int64] * 5 + [bool]


@given(batches)
def test_conditions_differ_in_the_trace_alone(drawn):
    number, indices = drawn
    prompts_and_plans, n_plan = [], []
    for condition in STUDIED:
        batch = make_batch(EXAMPLES[number, condition], np.array(indices))
        starts = np.cumsum(batch.lengths) - batch.lengths
        given_tokens = [batch.tokens[start:first].tolist() for start, first in zip(
            starts, batch.learn[np.searchsorted(batch.learn, starts)], strict=True)]
        prompts_and_plans.append((given_tokens, batch.targets[batch.in_plan].tolist()))
        n_plan.append(int(batch.in_plan.sum()))
    assert prompts_and_plans[0] == prompts_and_plans[1] == prompts_and_plans[2]
    assert len(set(n_plan)) == 1


@pytest.mark.parametrize("condition", STUDIED)
def test_prompts_are_what_training_gives(condition):
    for index, prompt in enumerate(prompts(CORPORA[0], CONDITIONS[condition])):
        batch = make_batch(EXAMPLES[0, condition], np.array([index]))
        assert prompt.tolist() == batch.tokens[:batch.learn[0] + 1].tolist()
        assert prompt[-1] == CONDITIONS[condition].opening


# ── order ───────────────────────────────────────────────────────────────────────────────


def numbered(n: int) -> Examples:
    """Examples whose tokens are their numbers: a prompt of one, a trace of two, a plan of one."""
    tokens = np.repeat(np.arange(n, dtype=np.uint16), 4)
    first = 4 * np.arange(n)
    return Examples(*(Segments(tokens, first + a, first + b) for a, b in ((0, 1), (1, 3), (3, 4))),
                    sizes=np.full(n, 2))


@given(st.integers(1, 40), st.integers(1, 45), st.integers(1, 4), st.integers(0, 2**32))
def test_order_of_examples(n, batch_size, epochs, seed):
    if batch_size > n:
        with pytest.raises(ValueError, match=f"got {batch_size}, takes at most the {n} examples"):
            Batches(numbered(n), batch_size, epochs, seed)
        return
    source, again = (Batches(numbered(n), batch_size, epochs, seed) for _ in range(2))
    per_epoch = n // batch_size
    assert len(source) == epochs * per_epoch
    steps = [source.indices(step) for step in range(len(source))]
    for epoch in range(epochs):
        seen = np.concatenate(steps[epoch * per_epoch:(epoch + 1) * per_epoch])
        assert len(seen) == len(np.unique(seen)) == per_epoch * batch_size
        assert set(seen) <= set(range(n))
    # any step can be asked for first: a training that goes on begins in the middle
    assert all(np.array_equal(again.indices(step), steps[step])
               for step in reversed(range(len(steps))))


def test_a_batch_is_of_the_examples_of_its_step():
    examples = numbered(30)
    source = Batches(examples, 7, 2, seed=1)
    for step in range(len(source)):
        batch = source[step]
        assert all(map(np.array_equal, batch, make_batch(examples, source.indices(step))))
        assert batch.tokens.tolist() == np.repeat(source.indices(step), 3).tolist()


def test_order_differs_by_seed_and_epoch():
    orders = [source.indices(step).tolist() for seed in (0, 1, 2)
              for source in [Batches(numbered(50), 50, 3, seed)] for step in range(3)]
    assert len({tuple(order) for order in orders}) == 9
    assert all(sorted(order) == list(range(50)) for order in orders)


def test_what_is_left_over_comes_another_time():
    source = Batches(numbered(10), 4, 30, seed=0)
    assert {int(i) for step in range(len(source)) for i in source.indices(step)} == set(range(10))


@pytest.mark.parametrize("condition", STUDIED)
def test_the_longest_example(condition):
    examples = EXAMPLES[0, condition]
    source = Batches(examples, 10, 1, seed=0)
    assert source.longest == max(source[step].lengths.max() for step in range(4))
