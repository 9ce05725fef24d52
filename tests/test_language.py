"""The language: text, ids and events say the same, and as much as the published data."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import mazes, right_response

from helpers.astar import solve
from helpers.generators import GENERATORS
from helpers.language import (
    END,
    PAD,
    REASONING,
    SOLUTION,
    Vocabulary,
    encode_mazes,
    jsonl,
    read_jsonl_text,
)
from helpers.maze import Mazes, Sampler, generate
from helpers.rules import read_example


def test_vocabulary_at_30x30():
    vocabulary = Vocabulary(30, 30)
    assert vocabulary.size == len(vocabulary.tokens) == len(set(vocabulary.tokens)) == 944
    assert vocabulary.tokens[PAD] == "<pad>"
    assert vocabulary.tokens[REASONING] == "reasoning"
    assert vocabulary.tokens[SOLUTION] == "solution"
    assert vocabulary.tokens[END] == "end"
    assert vocabulary.tokens[14:44] == tuple(map(str, range(30)))
    assert vocabulary.tokens[44:] == tuple(f"c{i}" for i in range(900))
    assert all(vocabulary.ids[token] == i for i, token in enumerate(vocabulary.tokens))


@pytest.mark.parametrize(("rows", "cols", "size"), [(3, 3, 26), (5, 8, 62), (8, 5, 62),
                                                    (180, 180, 32594)])
def test_vocabulary_follows_from_the_grid_size(rows, cols, size):
    assert Vocabulary(rows, cols).size == len(Vocabulary(rows, cols).tokens) == size


@given(st.data())
def test_text_and_ids_are_lossless(data):
    vocabulary = Vocabulary(data.draw(st.integers(3, 12)), data.draw(st.integers(3, 12)))
    ids = data.draw(st.lists(st.integers(0, vocabulary.size - 1)))
    assert vocabulary.encode(vocabulary.decode(np.array(ids, np.uint16))).tolist() == ids


def test_unknown_word():
    with pytest.raises(ValueError, match="word: got 'c900', takes the 944 tokens of a 30x30 grid"):
        Vocabulary(30, 30).encode("close 0 0 c900 c1")


@given(mazes)
def test_example_says_the_maze_and_what_astar_wrote(maze):
    vocabulary = Vocabulary(maze.rows, maze.cols)
    one = Mazes(maze.grid[None], np.array([maze.start]), np.array([maze.goal]))
    tokens, bounds = encode_mazes(one)
    prompt, trace, plan, end = bounds[0]
    assert (prompt, end) == (0, len(tokens))
    assert len(tokens) <= vocabulary.worst_case()
    assert (tokens[trace], tokens[plan], tokens[-1]) == (REASONING, SOLUTION, END)
    assert np.array_equal(tokens[:trace], vocabulary.prompt_ids(maze))
    events = vocabulary.events(tokens[trace + 1:plan])
    assert events == solve(maze).trace
    assert np.array_equal(vocabulary.event_ids(events), tokens[trace + 1:plan])

    text = vocabulary.decode(tokens)
    assert text.split()[trace:] == right_response(maze)
    again, response = read_example(text, maze.rows, maze.cols)
    assert np.array_equal(again.grid, maze.grid)
    assert (again.start, again.goal) == (maze.start, maze.goal)
    assert response == " ".join(right_response(maze))


@pytest.mark.parametrize("generator", GENERATORS)
def test_jsonl_is_the_json_of_the_decoded_text(generator):
    vocabulary = Vocabulary(12, 10)
    tokens, bounds = encode_mazes(generate(generator, 12, 10, 300, split="test"), chunk=100)
    lines = [json.dumps({"text": vocabulary.decode(tokens[first:last])}, separators=(",", ":"))
             for first, last in bounds[:, [0, 3]]]
    assert jsonl(vocabulary, tokens, bounds).decode() == "".join(line + "\n" for line in lines)
    some = jsonl(vocabulary, tokens, bounds[40:43]).decode()
    assert some.splitlines() == lines[40:43]
    assert jsonl(vocabulary, tokens, bounds[:0]) == b""
    assert [read_jsonl_text(line) for line in lines[:3]] == [
        vocabulary.decode(tokens[first:last]) for first, last in bounds[:3, [0, 3]]]


@pytest.mark.parametrize("line", [
    "", "text", "[]", "3", "null", "{}", '{"text": 3}', '{"text": null}', '{"txt": "a"}',
    "[" * 10_000, b'{"text": "\xff"}', '{"text": ' + "9" * 5000 + "}"])
def test_lines_that_are_no_example(line):
    with pytest.raises(ValueError, match='got no JSON object with a string under "text"'):
        read_jsonl_text(line)


# test set; tokens of prompt (through ``reasoning``), trace and plan: mean and largest; of the
# line: mean, 95th percentile and largest; the largest cost
COUNTS = """
wilson            1361 1361 1547 4470 149  474 3059 5455 6242 157
kruskal           1361 1361 1431 4410 135  435 2928 5153 6115 144
dfs               1361 1361 2008 4475 298 1047 3669 6083 6825 348
drunkards_walk    1358 1358  827 4110  59  207 2246 3571 5668  68
searchformer      1040 1358 1521 4795 118  288 2681 4301 6004  95
cellular_automata  666 1097 1126 7125  63  162 1857 3881 7699  53
"""


@pytest.mark.parametrize("facts", COUNTS.split("\n")[1:-1], ids=lambda facts: facts.split()[0])
def test_published_token_counts(facts):
    generator, *facts = facts.split()
    tokens, bounds = encode_mazes(generate(generator, 30, 30, 1000, split="test"))
    prompt, trace, plan = np.diff(bounds, axis=1).T
    prompt, trace, plan = prompt + 1, trace - 1, plan - 2  # reasoning; solution and end
    line = bounds[:, 3] - bounds[:, 0]
    counts = [value for part in (prompt, trace, plan) for value in (part.mean(), part.max())]
    counts += [line.mean(), np.percentile(line, 95), line.max(),
               tokens.max() - Vocabulary(30, 30).first_cost]
    assert np.abs(np.array(counts) - np.array(facts, float)).max() <= 1


def test_published_training_set_has_151_million_tokens():
    sampler = Sampler("wilson", 30, 30, split="train")
    assert sum(len(encode_mazes(sampler.take(1000))[0]) for _ in range(50)) == 151_338_232
