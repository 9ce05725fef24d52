"""Layouts: what a gap moves, what a prompt keeps, and that every condition gets the same."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from studies import SMOKE

from helpers.batches import Batches, make_batch
from helpers.conditions import CONDITIONS, put_together
from helpers.corpus import Recipe, build
from helpers.language import SOLUTION, UNKNOWN
from helpers.layouts import BEFORE_WALLS, GAPS, PROMPTS, positions

CORPUS = build(Recipe("wilson", 6, 6, "train", 1, "indexed", 60))
TOGETHER = {name: put_together(CORPUS, CONDITIONS[name], 3) for name in SMOKE.conditions}


def one_by_one(batch):
    """Tokens and positions of each example of a batch."""
    ends = np.cumsum(batch.lengths)
    return [(batch.tokens[end - length:end], batch.positions[end - length:end])
            for end, length in zip(ends, batch.lengths, strict=True)]


def jumps(places: np.ndarray) -> dict[int, int]:
    """Where positions do not follow each other: the place, and by how much they leap."""
    steps = np.diff(places) - 1
    return {int(i) + 1: int(steps[i]) for i in np.flatnonzero(steps)}


@pytest.mark.parametrize("condition", TOGETHER)
@pytest.mark.parametrize("gap", GAPS)
def test_where_the_gap_is(condition, gap):
    examples = TOGETHER[condition]
    plain = make_batch(examples, np.arange(60))
    batch = make_batch(examples, np.arange(60), GAPS[gap], draws=(3, 7))
    for name in ("tokens", "lengths", "learn", "targets", "in_plan"):
        assert np.array_equal(getattr(batch, name), getattr(plain, name))
    sizes, widths = set(TOGETHER["correct"].sizes.tolist()), []
    for i, (tokens, places) in enumerate(one_by_one(batch)):
        opening = len(examples.prompts.piece(i))
        solution = int(np.flatnonzero(tokens == SOLUTION)[0])
        found = jumps(places)
        assert places[0] == 0
        if condition == "solution_only":
            assert solution == opening
            allowed = {"none": set(), "random": {opening}, "solution": {opening},
                       "both": {opening}}[gap]
        else:
            allowed = {"none": set(), "random": {opening}, "solution": {solution},
                       "both": {opening, solution}}[gap]
        assert found.keys() == allowed
        if gap != "both" or condition != "solution_only":
            assert set(found.values()) <= sizes  # those of training traces
        widths += found.values()
    assert gap == "none" or len(set(widths)) > 10


@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize("prompts", PROMPTS)
def test_conditions_differ_in_the_trace_alone(gap, prompts):
    batches = {name: Batches(examples, 8, 2, 3, gap=GAPS[gap], prompts=PROMPTS[prompts])
               for name, examples in TOGETHER.items()}
    for step in (0, 3, 9):
        parts = {name: one_by_one(source[step]) for name, source in batches.items()}
        for none, own, lent in zip(*parts.values(), strict=True):
            begin = int(np.flatnonzero(none[0] == SOLUTION)[0])
            for other in (own, lent):
                assert np.array_equal(none[0][:begin], other[0][:begin])
                assert np.array_equal(none[1][:begin], other[1][:begin])
            if gap == "random":
                assert none[1][begin] == own[1][begin] == lent[1][begin]


def test_draws_follow_from_seed_and_step():
    def places(seed, step):
        source = Batches(TOGETHER["correct"], 8, 3, seed, gap=GAPS["random"])
        return source[step].positions.tolist()

    assert places(1, 4) == places(1, 4)
    source = Batches(TOGETHER["correct"], 8, 40, 1, gap=GAPS["random"])
    gaps = {}
    for step in range(len(source)):  # the same example has another gap in another epoch
        for index, (_, place) in zip(source.indices(step), one_by_one(source[step]), strict=True):
            gaps.setdefault(int(index), set()).update(jumps(place).values())
    assert min(map(len, gaps.values())) > 10


def walls(prompt: np.ndarray) -> list[tuple]:
    return list(map(tuple, prompt[BEFORE_WALLS:].reshape(-1, 3).tolist()))


@given(st.integers(0, 59), st.integers(0, 10**6))
def test_prompts(index, seed):
    prompt = CORPUS.part(0).piece(index)
    made = {name: way(prompt, np.random.default_rng(seed), 5) for name, way in PROMPTS.items()}
    assert np.array_equal(made["as_is"], prompt)
    assert made["filler"].tolist() == [*prompt.tolist(), *[UNKNOWN] * 5]
    assert all(np.array_equal(one[:BEFORE_WALLS], prompt[:BEFORE_WALLS]) for one in made.values())
    assert sorted(walls(made["shuffled"])) == sorted(walls(prompt))
    said = [walls(made["uneven"]).count(wall) for wall in walls(prompt)]
    assert sum(said) == len(walls(made["uneven"]))  # no wall that is not there
    assert max(said) <= 2
    assert max(said.count(0), said.count(2)) <= len(said) // 4
    assert all(one.dtype == prompt.dtype for one in made.values())


def test_prompts_do_vary():
    prompt = CORPUS.part(0).piece(0)
    for name in ("shuffled", "uneven"):
        made = {tuple(PROMPTS[name](prompt, np.random.default_rng(i), 5)) for i in range(40)}
        assert len(made) > 30
    assert len({len(PROMPTS["uneven"](prompt, np.random.default_rng(i), 5))
                for i in range(40)}) > 3


def test_positions():
    assert positions(6, 3, 4).tolist() == [0, 1, 2, 7, 8, 9]
    assert positions(5, 4, -3).tolist() == [0, 1, 2, 3, 1]
    assert positions(3, 3, 9).tolist() == [0, 1, 2]
