"""Hypothesis strategies shared by the tests."""

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from helpers.astar import solve
from helpers.generators import GENERATORS
from helpers.language import REASONING, SOLUTION, Vocabulary, encode_mazes
from helpers.maze import SPLITS, Maze, MazeError, Mazes, generate


@st.composite
def scattered(draw, smallest: int = 1, largest: int = 6) -> Maze:
    """Any walls at all, start and goal anywhere: connected or not, the same cell or not."""
    sides = st.integers(smallest, largest)
    rows, cols = draw(sides), draw(sides)
    free = draw(st.lists(st.booleans(), min_size=rows * cols, max_size=rows * cols))
    grid = np.array(free, np.uint8).reshape(rows, cols)
    ends = [(draw(st.integers(0, cols - 1)), draw(st.integers(0, rows - 1))) for _ in "SG"]
    for x, y in ends:
        grid[y, x] = 1
    return Maze(grid, *ends)


@st.composite
def generated(draw, largest: int = 9) -> Maze:
    """A maze of any generator, at any size that it can fill."""
    sides = st.integers(3, largest)
    try:
        return generate(draw(st.sampled_from(list(GENERATORS))), draw(sides), draw(sides), 1,
                        split=draw(st.sampled_from(SPLITS)), seed=draw(st.integers(0, 2**40)),
                        sampling="indexed").maze(0)
    except MazeError:
        assume(False)


mazes = scattered(smallest=3) | generated()


def right_response(maze: Maze) -> list[str]:
    """What A* writes for a maze, from ``reasoning`` to ``end``, as words."""
    trace, plan = solve(maze)
    steps = (f"plan {x} {y}" for x, y in plan)
    return " ".join(["reasoning", *map(str, trace), "solution", *steps, "end"]).split()


WORDS = """create close reasoning solution plan end query start goal wall 0 1 2 3 007 45 c0 c1 c2
           c3 c01 c5000 c -1 1.5 x <pad> <unk> ٣"""
any_word = st.sampled_from([*WORDS.split(), "9" * 5000, "c" + "9" * 5000])


@st.composite
def responses(draw, maze: Maze) -> str:
    """The right response with up to five mistakes, from a wrong word to a lost event, or noise."""
    if draw(st.integers(0, 9)) == 0:
        return " ".join(draw(st.lists(any_word, max_size=40)))
    words = right_response(maze)
    for _ in range(draw(st.integers(0, 5))):
        edit = draw(st.sampled_from(["word", "number", "delete", "swap", "repeat", "insert"]))
        at = draw(st.integers(0, len(words)))
        if edit == "insert":
            words.insert(at, draw(any_word))
        elif edit == "word":
            words[at:at + 1] = [draw(any_word)]
        elif edit == "number":  # a near miss: another cost, another cell
            numbers = [i for i, word in enumerate(words) if word.lstrip("c").isdigit()]
            if numbers:
                i = draw(st.sampled_from(numbers))
                other = str(draw(st.integers(0, 9)))
                words[i] = "c" + other if words[i][0] == "c" else other
        else:  # the same mistakes with whole events and steps
            groups = [i for i, word in enumerate(words) if word in ("create", "close", "plan")]
            if groups:
                i, j = draw(st.sampled_from(groups)), draw(st.sampled_from(groups))
                size = 3 if words[i] == "plan" else 5
                if edit == "delete":
                    del words[i:i + size]
                elif edit == "repeat":
                    words[j:j] = words[i:i + size]
                elif (words[j] == "plan") == (size == 3):
                    words[i:i + size], words[j:j + size] = words[j:j + size], words[i:i + size]
    return " ".join(words)


@st.composite
def judged_ids(draw) -> tuple[Mazes, int, list[np.ndarray]]:
    """Three mazes of one size, an opening word, and for each maze what may follow it, as ids.

    Right responses with some ids replaced, or ids at random.
    """
    rows, cols, opening = draw(st.tuples(st.integers(3, 6), st.integers(3, 12),
                                         st.sampled_from([REASONING, SOLUTION])))
    problems = generate("drunkards_walk", rows, cols, 3, split="test",
                        seed=draw(st.integers(0, 999)), sampling="indexed")
    any_id = st.integers(0, Vocabulary(rows, cols).size - 1)
    tokens, bounds = encode_mazes(problems)
    responses = []
    for trace, plan, end in bounds[:, 1:]:
        ids = tokens[(trace if opening == REASONING else plan) + 1:end].tolist()
        for at, token in draw(st.lists(st.tuples(st.integers(0, 400), any_id), max_size=3)):
            ids[at % len(ids)] = token
        responses.append(np.array(draw(st.just(ids) | st.lists(any_id, max_size=30)), np.uint16))
    return problems, opening, responses
