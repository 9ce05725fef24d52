"""The explorer's engine against Python, module for module, in a browser."""

import base64
import gzip
import hashlib
import json
import os
import re
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from models import CONFIGS, scrambled
from strategies import generated, responses, right_response, scattered
from strategies import mazes as any_maze
from test_published import mutants

from helpers import published, validator
from helpers.astar import solve
from helpers.checkpoints import load_model, read_checkpoint, write_checkpoint
from helpers.conditions import CONDITIONS
from helpers.corpus import Recipe, build
from helpers.decoding import Decoder, draw
from helpers.engine.files import PROJECT
from helpers.engine.packing import pack
from helpers.explanations import explain
from helpers.generators import GENERATORS
from helpers.grids import is_held_out
from helpers.language import SOLUTION, Vocabulary
from helpers.layouts import positions
from helpers.maze import SPLITS, Maze, MazeError, Mazes, Sampler
from helpers.model import ModelConfig, Transformer
from helpers.ownmazes import solvable
from helpers.responses import other_traces
from helpers.rules import PromptError, read_example, sections, trace_breaks
from helpers.share.box import ResponsesError, read_responses
from helpers.show.tables import open_list, replay
from helpers.study.specs import ModelSpec

ENGINE = sorted((PROJECT / "explorer" / "engine").glob("*.js"))
SMOKE = PROJECT / "results" / "smoke"
LARGER_MAZES = int(os.environ.get("LARGER_MAZES", "0"))  # all models; docs/performance.md has 500
LARGER = [path for path in sorted((PROJECT / "results" / "laptop" / "models").glob("*.safetensors"))
          if LARGER_MAZES or path.stem in ("correct_1", "solution_only+gap=random_1")]
NAMES = ["wilson", "kruskal", "dfs", "drunkards_walk", "searchformer"]
MODELS = sorted((SMOKE / "models").glob("*.safetensors"))
ANSWERS = sorted((SMOKE / "responses").glob("*/*.jsonl.gz"))
in_browser = settings(deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def engine(page_at):
    """A function that calls a JavaScript function with all that the engine exports, and a value.

    On the page there are also ``mazeOf`` (see `plain`), ``bytesOf`` (see `encoded`) and
    ``failing``, the message with which a function ends.
    """
    page = page_at("/blank")
    page.evaluate("""async (names) => {
        const modules = await Promise.all(names.map((name) => import(`/explorer/engine/${name}`)));
        window.engine = Object.assign({}, ...modules);
        window.mazeOf = ({walls, ...maze}) => ({...maze, walls: Uint8Array.from(walls)});
        window.bytesOf = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
        window.failing = async (work) => {
            try { await work(); return null; } catch (error) { return error.message; }
        };
    }""", [path.name for path in ENGINE])
    return lambda function, value=None: page.evaluate(
        f"(value) => ({function})(window.engine, value)", value)


def plain(maze: Maze) -> dict:
    """A maze as ``mazeOf`` takes it."""
    return {"rows": maze.rows, "cols": maze.cols, "walls": (1 - maze.grid).ravel().tolist(),
            "start": list(maze.start), "goal": list(maze.goal)}


def encoded(content: bytes) -> str:
    """Bytes as ``bytesOf`` takes them."""
    return base64.b64encode(content).decode()


# ── the modules ─────────────────────────────────────────────────────────────────────────


def test_modules_join_into_one_that_needs_no_page(page_at):
    """Without a clash of names, and in a worker, which has no document."""
    source = "\n".join(
        re.sub(r"^export (?=\S)", "", re.sub(r'^import \{[^}]*\} from "[^"]+";$', "", text,
                                             flags=re.M), flags=re.M)
        for text in (path.read_text() for path in ENGINE))
    assert not re.search(r"^(import|export)\b", source, re.M)
    found = page_at("/blank").evaluate("""(source) => new Promise((resolve, reject) => {
        const file = new Blob([source], {type: "text/javascript"});
        const worker = new Worker(URL.createObjectURL(file), {type: "module"});
        worker.onmessage = ({data}) => resolve(data);
        worker.onerror = ({message}) => reject(message);
    })""", source + "\npostMessage(search(drawMaze('wilson', 5, 5, 42, 0)).events.length);")
    maze = Sampler("wilson", 5, 5, split="test", sampling="indexed").take(1).maze(0)
    assert found == len(solve(maze).trace)


@pytest.mark.parametrize("path", ENGINE, ids=lambda path: path.name)
def test_imports_are_named_and_from_beside(path):
    text = path.read_text()
    whole = re.findall(r'^import \{[\s\w,]+\} from "\./\w+\.js";$', text, re.M)
    assert len(re.findall(r"\bimport\b", text)) == len(whole)
    assert not any(re.search(r"\bas\b", line) for line in whole)
    assert not re.search(r"export (default|\*|\{)", text)


# ── language ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("rows", "cols"), [(3, 3), (4, 6), (8, 8), (30, 30), (7, 12)])
def test_vocabulary(engine, rows, cols):
    vocabulary = Vocabulary(rows, cols)
    found = engine("""({vocabulary}, [rows, cols]) => {
        const {words, size, ids, encode, decode} = vocabulary(rows, cols);
        return [words, size, [...encode(` ${words.join("\\n ")} `)], decode(words.keys()),
                ids.get("c7")];
    }""", [rows, cols])
    assert found == [list(vocabulary.tokens), vocabulary.size, list(range(vocabulary.size)),
                     " ".join(vocabulary.tokens), vocabulary.ids["c7"]]


def test_words_and_ids_that_a_vocabulary_lacks(engine):
    found = engine("""({vocabulary}, _) => Promise.all([
        failing(() => vocabulary(4, 6).encode("plan 1 7")),
        failing(() => vocabulary(4, 6).encode("x".repeat(500))),
        failing(() => vocabulary(4, 6).decode([4, 44])),
        failing(() => vocabulary(4, 6).encode(" ")),
    ])""")
    assert found[0] == "word 3: got '7', takes the 44 tokens of a 4x6 grid"
    assert re.fullmatch(r"word 1: got 'x+\.\.\.x+', takes the 44 tokens of a 4x6 grid", found[1])
    assert found[2] == "id: got 44, takes ids from 0 to 43, the tokens of a 4x6 grid"
    assert found[3] is None


def test_events_and_words(engine):
    maze = Maze.from_ascii("S..", "##.", "G..")
    words = [word for event in solve(maze).trace for word in str(event).split()]
    broken = [*words[:10], "create", "2", "0", "2", "c9", *words[15:]]
    events, again, before, short = engine("""({eventsOf, wordsOf}, [words, broken]) =>
        [eventsOf(words), wordsOf(eventsOf(words)), eventsOf(broken), eventsOf(words.slice(0, 9))]
    """, [words, broken])
    assert events == [event._asdict() for event in solve(maze).trace]
    assert again == words
    assert before == events[:2]
    assert short == events[:1]


# ── generators ──────────────────────────────────────────────────────────────────────────

SIZES = [(5, 5), (8, 8), (4, 6), (11, 7), (3, 10), (16, 16)]


def drawn(engine, cases: list) -> list:
    """For each (generator, rows, cols, seed, index, split, params) a maze, or why there is none."""
    return engine("""({drawMaze}, cases) => cases.map((given) => {
        try {
            const {walls, ...maze} = drawMaze(...given);
            return {...maze, walls: Array.from(walls)};
        } catch (error) {
            return error.message;
        }
    })""", [list(case) for case in cases])


def python_draws(generator, rows, cols, seed, index, split="test", params=None) -> dict | str:
    try:
        return plain(Sampler(generator, rows, cols, seed=seed, split=split, sampling="indexed",
                             params=params).seek(index).take(1).maze(0))
    except MazeError as error:
        return str(error)


@pytest.mark.parametrize("generator", GENERATORS)
def test_mazes_of_a_seed(engine, generator):
    cases = [(generator, rows, cols, seed, index, split)
             for rows, cols in SIZES for seed in (0, 2**40 + 5) for split in SPLITS
             for index in (0, 1, 99_999)]
    assert drawn(engine, cases) == [python_draws(*case) for case in cases]


@pytest.mark.parametrize("generator", GENERATORS)
def test_large_mazes_of_a_seed(engine, generator):
    cases = [(generator, 30, 30, 42, index, "test") for index in range(2)]
    assert drawn(engine, cases) == [python_draws(*case) for case in cases]


@pytest.mark.parametrize(("generator", "params"), [
    ("drunkards_walk", {"coverage": 0.8}),
    ("drunkards_walk", {"coverage": 0.0}),
    ("cellular_automata", {"fill_probability": 0.3}),
    ("cellular_automata", {"iterations": 0, "birth_threshold": 3}),
    ("cellular_automata", {"survival_threshold": 5, "birth_threshold": 4, "iterations": 1}),
])
def test_parameters_of_generators(engine, generator, params):
    cases = [(generator, 9, 8, 3, index, "test", params) for index in range(20)]
    assert drawn(engine, cases) == [python_draws(*case) for case in cases]


@pytest.mark.parametrize("case", [
    ("cellular_automata", 3, 3, 42, 0, "test"),
    ("drunkards_walk", 3, 3, 42, 0, "train", {"coverage": 0.0}),
    ("free_space", 3, 3, 42, 0, "train"),
])
def test_why_there_is_no_maze(engine, case):
    assert drawn(engine, [case]) == [python_draws(*case)]


@pytest.mark.parametrize(("case", "message"), [
    (("prim", 8, 8, 42, 0), "generator: got 'prim', takes one of wilson, kruskal"),
    (("dfs", 2, 8, 42, 0), "rows: got 2, takes a whole number from 3 to 180"),
    (("dfs", 8, 181, 42, 0), "cols: got 181, takes"),
    (("dfs", 8, 8, -1, 0), "seed: got -1, takes"),
    (("dfs", 8, 8, 42, 0.5), "index: got 0.5, takes"),
    (("dfs", 8, 8, 42, 0, "valid"), "split: got 'valid', takes train or test"),
    (("dfs", 8, 8, 42, 0, "test", {"coverage": 1}), "param coverage: got an unknown parameter"),
    (("drunkards_walk", 8, 8, 42, 0, "test", {"coverage": "x"}), "param coverage: got x, takes"),
])
def test_mazes_that_make_no_sense(engine, case, message):
    assert drawn(engine, [case])[0].startswith(message)


def test_names_of_generators(engine):
    assert engine("({GENERATORS}) => GENERATORS.map(({name, label}) => [name, label])") == [
        [name, known.label] for name, known in GENERATORS.items()]


def test_which_grids_are_held_out(engine):
    rng = np.random.default_rng(0)
    grids = [rng.integers(2, size=size, dtype=np.uint8)
             for size in [(3, 3), (8, 8), (16, 8), (5, 13), (6, 7), (10, 10)] for _ in range(100)]
    grids += [np.ones((rows, cols), np.uint8) for rows, cols in SIZES]
    found = engine("({isHeldOut}, mazes) => mazes.map((maze) => isHeldOut(mazeOf(maze)))",
                   [plain(Maze(grid, (0, 0), (0, 0))) for grid in grids])
    assert found == [bool(is_held_out(grid)) for grid in grids]
    assert 120 < sum(found) < 190


@pytest.mark.parametrize("changes", [
    {}, {"generator": "cellular_automata", "params": (("iterations", 0),), "unsolvable": False,
         "skip": 5},
    {"generator": "drunkards_walk", "params": (("coverage", 0.7),), "split": "train"}])
def test_data_sets_and_their_checksum(engine, changes):
    corpus = build(replace(Recipe("wilson", 8, 8, "test", 42, "indexed", 30), **changes))
    mazes, checksum = engine("""async ({drawCorpus, corpusChecksum}, text) => {
        const mazes = [...drawCorpus(JSON.parse(text))];
        return [mazes.map(({walls, ...maze}) => ({...maze, walls: Array.from(walls)})),
                await corpusChecksum(text, mazes)];
    }""", json.dumps(asdict(corpus.recipe)))
    assert mazes == [plain(corpus.mazes.maze(i)) for i in range(30)]
    assert checksum == corpus.sha256


@pytest.mark.parametrize(("changes", "message"), [
    ({"sampling": "paper"}, "sampling: got 'paper', takes indexed"),
    ({"generator": "own/mazes.txt"}, "generator: got 'own/mazes.txt', takes one of wilson")])
def test_data_sets_that_cannot_be_drawn(engine, changes, message):
    recipe = asdict(Recipe("wilson", 8, 8, "test", 42, "indexed", 30)) | changes
    assert engine("({drawCorpus}, recipe) => failing(() => [...drawCorpus(recipe)])",
                  recipe).startswith(message)


# ── mazes ───────────────────────────────────────────────────────────────────────────────


@in_browser
@given(maze=scattered() | generated())
def test_prompts_and_solvability(engine, maze):
    prompt = Vocabulary(maze.rows, maze.cols)
    words, again, has_way = engine("""({promptWords, mazeOfPrompt, isSolvable}, given) => {
        const maze = mazeOf(given);
        const {walls, ...again} = mazeOfPrompt([...promptWords(maze), "solution"],
                                               maze.rows, maze.cols);
        return [promptWords(maze), {...again, walls: Array.from(walls)}, isSolvable(maze)];
    }""", plain(maze))
    assert " ".join(words) == prompt.decode(prompt.prompt_ids(maze))
    assert again == plain(maze)
    assert has_way == solvable(Mazes.of([maze])).all()


PROMPT = "query start 0 0 goal 2 2 wall 2 0 wall 0 1"
TEXTS = ["", "start 0 0 goal 2 2", "query goal 2 2 start 0 0", "query start 0 0 wall 1 1 goal 2 2",
         "query start 0", "query start", "query start 0 x goal 2 2", "query start 0 -1 goal 2 2",
         "query start 0 ٣ goal 2 2", "query start 0 0 goal 2 3 solution",
         "query start 0 0 goal 45 2 solution", f"query start 0 0 goal {'9' * 5000} 2",
         f"{PROMPT} wall 1 solution", f"{PROMPT} wall 3 0 solution", f"{PROMPT} wall 0 0 solution",
         f"{PROMPT} wall 2 2 solution", f"{PROMPT} end solution", f"{PROMPT} end reasoning",
         f"{PROMPT} close 0 0 c0 c4 reasoning", f"{PROMPT} {'x' * 5000} reasoning",
         f"{PROMPT} start 0 0", f"{PROMPT} plan 0 0 wall 1 1", f"{PROMPT} solution wall 0 0 end",
         PROMPT, f"{PROMPT} plan 0 0 end", f"{PROMPT} x", f"{PROMPT} wall 02 000 end",
         f"{PROMPT} reasoning close 0 0 c0 c4 solution end"]


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
@pytest.mark.parametrize("size", [(3, 3), (3, 5), (5, 3)])
def test_examples(engine, text, size):
    found = engine("""({readExample, splitWords}, [text, rows, cols]) => {
        try {
            const {maze: {walls, ...maze}, response} = readExample(splitWords(text), rows, cols);
            return [{...maze, walls: Array.from(walls)}, response.join(" ")];
        } catch (error) {
            return error.message;
        }
    }""", [text, *size])
    assert found == python_reads(text, *size)


def python_reads(text: str, *size: int) -> list | str:
    try:
        maze, response = read_example(text, *size)
    except PromptError as error:
        return str(error)
    return [plain(maze), response]


def parsed(engine, text: str, *size: int):
    return engine("""({parseLine}, [text, ...size]) => {
        try {
            const {maze: {walls, ...maze}, response} = parseLine(text, ...size);
            return [{...maze, walls: Array.from(walls)}, response.join(" ")];
        } catch (error) {
            return error.message;
        }
    }""", [text, *size])


@pytest.mark.parametrize("text", [
    PROMPT, f'{{"text":"{PROMPT}"}}\n', f' {{"text": "{PROMPT}", "id": 1}}', "S.#\n#..\n..G",
    "\ufeffS.#\n#..\n..G", f"\ufeff{PROMPT}", "\nS #\r\n#  \r\n..G\r\n\r\n"])
def test_lines_of_all_forms(engine, text):
    maze = Maze.from_ascii("S.#", "#..", "..G")
    assert parsed(engine, text) == [plain(maze), ""]
    assert parsed(engine, text, 3, 3) == [plain(maze), ""]


def test_line_with_a_response(engine):
    line = json.dumps({"text": f"{PROMPT} solution plan 0 0 end"})
    assert parsed(engine, line)[1] == "solution plan 0 0 end"


def test_prompt_on_a_larger_grid_than_its_cells_need(engine):
    """A prompt does not say its size: it is given, or the smallest that holds it."""
    assert parsed(engine, PROMPT, 4, 6)[0] == plain(read_example(PROMPT, 4, 6)[0])
    found = parsed(engine, "query start 0 0 goal 1 0")[0]
    assert (found["rows"], found["cols"]) == (3, 3)
    found = parsed(engine, "query start 0 0 goal 1 5 wall 3 0")[0]
    assert (found["rows"], found["cols"]) == (6, 4)


@pytest.mark.parametrize(("text", "message"), [
    ("", "line: got nothing, takes a line of the data or a map"),
    (" \n\ufeff", "line: got nothing"),
    (f'{{"text": "{PROMPT}"}}\n{{"text": "{PROMPT}"}}\n', "line: got 2 lines, takes one"),
    ("S.\0\n...\n..G", "row 1: got a character that cannot be shown, takes # (wall)"),
    ("{", 'got no JSON object with a string under "text"'),
    ("[1]", 'got no JSON object with a string under "text"'),
    ("null", "row 1: got 'n', takes # (wall), . or space (free), S (start) and G (goal)"),
    ('{"text": 3}', 'got no JSON object with a string under "text"'),
    ('{"text": "S.G"}', "prompt: got 'S.G' as word 1, takes 'query'"),
    ("S.G\n..\n...", "row 2: got 2 columns, takes 3, as row 1 has"),
    ("S.G\n.x.\n...", "row 2: got 'x', takes # (wall)"),
    ("S.G\n...\n..G", "map: got 2 times G, takes one S and one G"),
    ("S.G", "maze: got 1x3, takes sides from 3 to 180"),
    ("query start 0 0 goal 2 200", "maze: got 201x3, takes sides from 3 to 180"),
    ("query start 0 0 goal 999999999 999999999", "maze: got 1000000000x1000000000, takes sides"),
])
def test_lines_of_no_form(engine, text, message):
    assert parsed(engine, text).startswith(message)


def test_line_of_another_size(engine):
    assert parsed(engine, "S..\n...\n..G", 4, 4) == "maze: got 3x3, takes 4x4"


@pytest.mark.parametrize(("changes", "sentences"), [
    ({}, []),
    ({"start": [0, 3]}, ["The start (0, 3) lies off the grid."]),
    ({"start": [0.5, 0]}, ["The start (0.5, 0) lies off the grid."]),
    ({"start": [2, 0]}, ["The start (2, 0) stands on a wall."]),
    ({"goal": [0, 1], "start": [-1, 0]}, ["The start (-1, 0) lies off the grid.",
                                          "The goal (0, 1) stands on a wall."]),
    ({"goal": [0, 0]}, []),  # as in some of the published mazes (notebook 1)
    ({"walls": [0] * 8}, ["The grid has 8 cells, it takes 3 times 3."]),
    ({"rows": 1, "walls": [0] * 3, "goal": [2, 0]},
     ["The grid has 1 rows, it takes 3 to 180."]),
])
def test_mazes_somebody_has_drawn(engine, changes, sentences):
    maze = plain(Maze.from_ascii("S.#", "#..", "..G")) | changes
    assert engine("({checkMaze}, maze) => checkMaze(mazeOf(maze))", maze) == sentences


# ── A* ──────────────────────────────────────────────────────────────────────────────────


def searched(engine, mazes: list[Maze]) -> list:
    return engine("""({search}, mazes) => mazes.map((maze) => {
        const {events, plan, steps} = search(mazeOf(maze));
        return [events, plan, steps];
    })""", [plain(maze) for maze in mazes])


def python_searches(maze: Maze) -> list:
    trace, plan = solve(maze)
    has_way = bool(solvable(Mazes.of([maze])).all())
    return [[event._asdict() for event in trace], list(map(list, plan)) if has_way else None,
            sum(event.kind == "close" for event in trace)]


@pytest.mark.parametrize("generator", GENERATORS)
def test_search(engine, generator):
    mazes = [part.maze(i) for rows, cols, count in [*((*size, 8) for size in SIZES), (30, 30, 1)]
             for part in [Sampler(generator, rows, cols, split="test", sampling="indexed")
                          .take(count)] for i in range(count)]
    assert searched(engine, mazes) == [python_searches(maze) for maze in mazes]


def test_search_where_anything_may_be_walled(engine):
    """With the start as goal, and with goals out of reach."""
    rng = np.random.default_rng(0)
    mazes = []
    for _ in range(600):
        rows, cols = rng.integers(1, 9, 2)
        grid = (rng.random((rows, cols)) < rng.choice([0.5, 0.7, 0.9])).astype(np.uint8)
        ends = [(int(rng.integers(cols)), int(rng.integers(rows))) for _ in "SG"]
        for x, y in ends:
            grid[y, x] = 1
        mazes.append(Maze(grid, *ends))
    expected = [python_searches(maze) for maze in mazes]
    assert searched(engine, mazes) == expected
    assert sum(plan is None for _, plan, _ in expected) > 100


@in_browser
@given(data=st.data())
def test_open_list(engine, data):
    """Of right traces and of broken ones, whatever they say."""
    maze = data.draw(any_maze)
    events = list(solve(maze).trace)
    if events and data.draw(st.booleans()):
        i, j = (data.draw(st.integers(0, len(events) - 1)) for _ in "ij")
        events[i] = events[j]
    n = data.draw(st.integers(0, len(events)))
    found = engine("""({openListAfter}, [maze, events, n]) =>
        openListAfter(mazeOf(maze), events, n)""",
                   [plain(maze), [event._asdict() for event in events], n])
    opened, closed = replay(maze, events[:n])
    table = open_list(maze, events[:n])
    for entries, costs in ((found["open"], opened), (found["closed"], closed)):
        assert [((e["x"], e["y"]), (e["g"], e["h"]), e["f"]) for e in entries] == [
            (cell, cost, sum(cost)) for cell, cost in costs.items()]
    chosen = table.index[table["next"] == "close"].tolist()
    assert found["next"] == (chosen[0] if chosen else None)
    closes = [[event.x, event.y] for event in events[:n] if event.kind == "close"]
    assert found["current"] == (closes[-1] if closes else None)


def test_parents(engine):
    """Back from the goal they are the plan."""
    mazes = Sampler("searchformer", 12, 12, split="test", sampling="indexed").take(20)
    for maze in map(mazes.maze, range(20)):
        trace, plan = solve(maze)
        entries = engine("""({search, openListAfter}, given) => {
            const maze = mazeOf(given);
            const {events} = search(maze);
            return openListAfter(maze, events, events.length).closed;
        }""", plain(maze))
        parents = {(e["x"], e["y"]): e["parent"] for e in entries}
        path = [maze.goal]
        while parents[path[-1]]:
            path.append(tuple(parents[path[-1]]))
        assert path[::-1] == plan
        assert [(e["x"], e["y"]) for e in entries] == [(e.x, e.y) for e in trace
                                                       if e.kind == "close"]


# ── verdicts ────────────────────────────────────────────────────────────────────────────


def judgements(engine, maze: Maze, texts: list[str], *has_trace: bool) -> list[dict]:
    return engine("""({judge}, [maze, texts, hasTrace]) =>
        texts.map((words) => judge(mazeOf(maze), words, ...hasTrace))""",
                  [plain(maze), [text.split() for text in texts], list(has_trace)])


def judged(engine, maze: Maze, text: str, *has_trace: bool) -> dict:
    return judgements(engine, maze, [text], *has_trace)[0]


def is_pythons(found: dict, maze: Maze, response: str) -> None:
    """Asserts that a judgement says what Python's verdict and its explanation say."""
    plan, trace = validator.judge(maze, response)
    assert (found["planValid"], found["planOptimal"], found["planError"], found["planStep"]) == plan
    lines = explain(maze, response).splitlines()
    assert plan.valid or "plan: " + found["planReason"] in lines
    assert not plan.valid or found["planReason"] is None
    if trace is None:
        assert found["traceValid"] is None
        assert found["broken"] is None
        return
    broken, strict = ({"rule": None, "event": None} | (found[name] or {})
                      for name in ("broken", "brokenStrict"))
    assert (found["traceValid"], found["traceStrict"], found["traceExact"], broken["rule"],
            broken["event"], strict["rule"], strict["event"]) == trace
    assert trace.valid or "trace: " + broken["sentence"] in lines
    if strict["rule"] and strict != broken:
        assert "trace (strict rules): " + strict["sentence"] in lines
    words = sections(response)[0]
    statuses = ["valid"] * -(-len(words) // 5)
    if trace.error != "parse":
        for found_break in trace_breaks(maze, words):
            if found_break.rule == "after_goal" or not found_break.strict:
                statuses[found_break.at:] = ["unjudged"] * len(statuses[found_break.at:])
            if found_break.at < len(statuses):
                statuses[found_break.at] = "strict" if found_break.strict else "broken"
        assert found["statuses"] == statuses
    else:
        assert len(found["statuses"]) == len(statuses)
        assert found["statuses"][trace.event] == "broken"


@settings(in_browser, max_examples=40)
@given(data=st.data())
def test_verdicts_on_mutants(engine, data):
    """Of each maze 20 at once, which the browser judges in one go; likewise below."""
    maze = data.draw(any_maze | scattered())
    texts = data.draw(st.lists(responses(maze) | mutants(maze), min_size=20, max_size=20))
    for text, found in zip(texts, judgements(engine, maze, texts), strict=True):
        is_pythons(found, maze, text)


def published_verdicts(engine, maze: Maze, texts: list[str]) -> list[tuple]:
    return [(found["planValid"], found["traceValid"]) for found in engine(
        """({publishedVerdict}, [maze, texts]) =>
            texts.map((words) => publishedVerdict(mazeOf(maze), words))""",
        [plain(maze), [text.split() for text in texts]])]


def python_publishes(maze: Maze, text: str) -> tuple:
    plan, trace = published.judge(maze, text)
    return plan.valid, trace and trace.valid


@settings(in_browser, max_examples=40)
@given(data=st.data())
def test_published_verdicts_on_mutants(engine, data):
    maze = data.draw(any_maze | scattered())
    texts = data.draw(st.lists(mutants(maze) | responses(maze), min_size=20, max_size=20))
    assert published_verdicts(engine, maze, texts) == [
        python_publishes(maze, text) for text in texts]


def small_changes(words: list[str], rng: np.random.Generator, count: int) -> list[str]:
    """A right response with one number, event or step changed: near misses, one by one."""
    found = []
    groups = [i for i, word in enumerate(words) if word in ("create", "close", "plan")]
    numbers = [i for i, word in enumerate(words) if word[-1].isdigit()]
    for _ in range(count):
        changed = list(words)
        at = int(rng.choice(groups))
        size = 3 if words[at] == "plan" else 5
        match rng.integers(6):
            case 0 | 1:
                i = rng.choice(numbers)
                changed[i] = changed[i][:-1] + str(rng.integers(10))
            case 2:
                del changed[at:at + size]
            case 3:
                changed[at:at] = changed[at:at + size]
            case 4:
                changed[at:at + 2 * size] = [*changed[at + size:at + 2 * size],
                                             *changed[at:at + size]]
            case 5:
                changed[at] = str(rng.choice(["create", "close", "plan"]))
        found.append(" ".join(changed))
    return found


@pytest.mark.parametrize("generator", GENERATORS)
def test_verdicts_on_small_changes(engine, generator):
    rng = np.random.default_rng(0)
    counts = {True: 0, False: 0}
    mazes = Sampler(generator, 7, 9, split="test", sampling="indexed").take(3)
    for maze in map(mazes.maze, range(3)):
        texts = small_changes(right_response(maze), rng, 25)
        for text, found in zip(texts, judgements(engine, maze, texts), strict=True):
            is_pythons(found, maze, text)
            counts[found["traceValid"]] += 1
        assert published_verdicts(engine, maze, texts) == [
            python_publishes(maze, text) for text in texts]
    assert min(counts.values()) > 8


def test_published_costs_of_any_size(engine):
    maze = Maze.from_ascii("S.#", "#..", "..G")
    trace = ("reasoning close 0 0 c0 c4 create 1 0 c{} c3 close 1 0 c{} c3 create 1 1 c2 c2 "
             "close 1 1 c2 c2 create 2 1 c3 c1 close 2 1 c3 c1 create 2 2 c4 c0 close 2 2 c4 c0")
    for g, other in ((10**17, 10**17 + 1), (10**18 - 2, 10**18 - 1), (10**18 - 1, 10**18),
                     (10**18 - 1, 10**4000)):
        texts = [trace.format(g, other), trace.format(g, g), trace.format("00" + str(g), g)]
        assert published_verdicts(engine, maze, texts) == [
            python_publishes(maze, text) for text in texts]


def test_published_costs_of_any_letter(engine):
    """Their first character may be any, also one of two UTF-16 units."""
    maze = Maze.from_ascii("S.#", "#..", "..G")
    right = " ".join(right_response(maze))
    texts = [right.replace(" c1", other) for other in (" x1", " 11", " -1", " é1", " 😀1", " cc1",
                                                       " 1", " ١1", " c١")]
    verdicts = published_verdicts(engine, maze, texts)
    assert verdicts == [python_publishes(maze, text) for text in texts]
    assert [trace for _, trace in verdicts] == [True] * 5 + [False] * 2 + [True, False]


def test_what_astar_would_have_done(engine):
    """At each event of a right trace but the last, put another in its place: it names the right."""
    mazes = Sampler("searchformer", 8, 8, split="test", sampling="indexed").take(2)
    for maze in map(mazes.maze, range(2)):
        events = list(map(str, solve(maze).trace))
        for at, right in enumerate(events):
            wrong = " ".join(["reasoning", *events[:at], "create 7 7 c63 c63"])
            assert judged(engine, maze, wrong)["expected"] == right
            malformed = " ".join(["reasoning", *events[:at], "close 7"])
            assert judged(engine, maze, malformed)["expected"] == right
    nothing = judged(engine, Maze.from_ascii("S#G", ".#.", ".#."),
                     "reasoning close 0 0 c0 c2 create 0 1 c1 c3 close 0 1 c1 c3 "
                     "create 0 2 c2 c4 close 0 2 c2 c4")
    assert nothing["broken"]["rule"] == "goal_not_reached"
    assert nothing["expected"] == "nothing: no cell is open any more"
    over = judged(engine, Maze.from_ascii("SG#", "...", "..."),
                  "reasoning close 0 0 c0 c1 create 1 0 c1 c0 create 0 1 c1 c2 close 1 0 c1 c0 x")
    assert over["broken"]["rule"] == "parse"
    assert over["expected"] == "nothing: the goal is closed"
    assert judged(engine, maze, " ".join(right_response(maze)))["expected"] is None


def test_opening_word_that_is_not_among_the_words(engine):
    maze = Maze.from_ascii("S.#", "#..", "..G")
    whole = " ".join(right_response(maze))
    plan = whole[whole.index("solution"):]
    for text, has_trace in ((whole, True), (plan, False)):
        expected = judged(engine, maze, text)
        assert judged(engine, maze, text, has_trace) == expected
        assert judged(engine, maze, text.split(" ", 1)[1], has_trace) == expected
    assert judged(engine, maze, "close 0 0 c0 c4")["traceValid"] is None


# ── checkpoints ─────────────────────────────────────────────────────────────────────────


def test_sha256(engine):
    contents = [bytes(range(256))[:n] for n in (*range(130), 255)] + [b"a" * 100_000]
    found = engine("""({sha256Of}, parts) => parts.map((part) => {
        const bytes = new Uint8Array(bytesOf(part));
        return [sha256Of([bytes]), sha256Of([bytes.slice(0, 7), bytes.slice(7)])];
    })""", [encoded(content) for content in contents])
    assert found == [[hashlib.sha256(content).hexdigest()] * 2 for content in contents]


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_models_as_they_are_published(engine, path):
    found = engine("""({readModel}, content) => {
        const {config, about, rows, cols, opening, weights} = readModel(bytesOf(content));
        return {config, about, rows, cols, opening, embedding: Array.from(weights.embedding)};
    }""", encoded(path.read_bytes()))
    about, tensors = read_checkpoint(path)
    model, follows_from = load_model(path), about["follows_from"]
    assert found["config"] == asdict(model.config)
    assert {name: found["about"][name] for name in about} == about
    assert found["about"]["condition"] == follows_from["condition"]
    assert found["about"]["seed"] == follows_from["seed"]
    assert (found["rows"], found["cols"]) == (4, 6)
    assert found["opening"] == CONDITIONS[follows_from["condition"]].opening
    assert found["embedding"] == tensors["model.embedding.weight"].float().ravel().tolist()


def refused(engine, content: bytes) -> str:
    return engine("({readModel}, content) => failing(() => readModel(bytesOf(content)))",
                  encoded(content))


def test_files_that_are_no_models(engine, tmp_path):
    content = MODELS[0].read_bytes()
    damaged = "model: got no safetensors file, or a truncated one"
    changed = "model: its checksum does not match, its bytes have changed"
    for n in (0, 5, 8, 500, 3000):
        assert refused(engine, content[:n]) == damaged
    assert refused(engine, content[:-1]).startswith("model: its tensor ")
    assert refused(engine, content[:9] + b"\0" * (len(content) - 9)) == damaged
    assert refused(engine, ANSWERS[0].read_bytes()) == damaged
    rng = np.random.default_rng(0)
    for at in rng.integers(8 + int.from_bytes(content[:8], "little"), len(content), 20):
        flipped = bytes([content[at] ^ 1])
        assert refused(engine, content[:at] + flipped + content[at + 1:]) == changed
    for old, new in ((b'\\"seed\\": 1', b'\\"seed\\": 2'), (b'"BF16"', b'"F16" ')):
        assert refused(engine, content.replace(old, new, 1)) is not None
    assert refused(engine, content.replace(b"sha256", b"sha255")) == (
        "model: got a safetensors file of something else, takes one of this study")
    build(Recipe("wilson", 4, 6, "test", 1, "indexed", 2)).save(tmp_path / "corpus.safetensors")
    assert refused(engine, (tmp_path / "corpus.safetensors").read_bytes()) == (
        "model: got a safetensors file of something else, takes one of this study")


def stored(path, model, rows: int = 4, cols: int = 6, condition: str = "correct") -> bytes:
    """A model as a run stores it, in float32, with what a file must say of it."""
    about = {"follows_from": {"seed": 1, "model": model.config.shape(), "condition": condition,
                              "corpus": {"rows": rows, "cols": cols}},
             "context": model.config.context}
    write_checkpoint(path, about, {f"model.{name}": value
                                   for name, value in model.state_dict().items()}
                     | {"optimizer.x": torch.ones(3)})
    return path.read_bytes()


def test_models_of_a_run_are_rounded_as_in_python(engine, tmp_path):
    model = scrambled(replace(CONFIGS["plain"], vocabulary=44))
    content = stored(tmp_path / "model", model)
    found = engine("""({readModel}, content) =>
        Array.from(readModel(bytesOf(content)).weights.embedding)""", encoded(content))
    assert found == load_model(tmp_path / "model").embedding.weight.ravel().tolist()
    assert found != model.embedding.weight.ravel().tolist()


def test_models_of_another_shape(engine, tmp_path):
    config = replace(CONFIGS["plain"], vocabulary=44)
    model = scrambled(config)
    assert refused(engine, stored(tmp_path / "model", model, rows=5)) == (
        "model: got 44 tokens, takes the 50 of a 5x6 grid")
    model.config = replace(config, mlp_width=49)
    assert refused(engine, stored(tmp_path / "model", model)) == (
        "model: got the shape 96,32 for blocks.0.gate_up.weight, takes 98,32")
    model.config = replace(config, layers=3)
    assert refused(engine, stored(tmp_path / "model", model)) == (
        "model: got the shape of none for blocks.2.attention_norm.weight, takes 32")


# ── answers ─────────────────────────────────────────────────────────────────────────────

LAPTOP = ModelConfig(vocabulary=86, context=800, width=128, layers=4, heads=2, kv_heads=2,
                     mlp_width=512, rope_theta=1e4)
SHAPES = {name: replace(config, vocabulary=44, context=256) for name, config in CONFIGS.items()} | {
    "half rotary": ModelConfig(vocabulary=44, context=256, width=32, layers=2, heads=4, kv_heads=2,
                               mlp_width=24, rope_theta=100.0, rotary_heads=1),
    "narrow heads": ModelConfig(vocabulary=44, context=256, width=36, layers=2, heads=6, kv_heads=3,
                                mlp_width=20),
    "laptop": LAPTOP}


def lively(config: ModelConfig) -> Transformer:
    """A model without training; a large one with smaller weights, since its sums are longer."""
    return scrambled(config, 3) if config.width < 100 else Transformer(
        replace(config, init_std=0.1), 3)


def hidden_logits(model, ids: list[int], placed: list[int]) -> np.ndarray:
    """Logits after each of n tokens at given positions, float32 [n, vocabulary]."""
    packing = pack(np.array([len(ids)]), groups=1, positions=np.array(placed))
    tokens = torch.zeros(len(packing.positions), dtype=torch.int64)
    tokens[:len(ids)] = torch.tensor(ids)
    with torch.no_grad():
        return model(tokens, packing)[:len(ids)].numpy()


def near(found: list, expected: np.ndarray) -> None:
    """Asserts that logits are those of Python as chances: within 1e-4 of each log-probability."""
    ours, theirs = (torch.tensor(np.array(values)).double().log_softmax(-1)
                    for values in (found, expected))
    assert (ours - theirs).abs().max() < 1e-4


@pytest.mark.parametrize("name", SHAPES)
def test_logits(engine, tmp_path, name):
    """Of models of all shapes, token after token, with gaps, and after going back."""
    config = SHAPES[name]
    size = (8, 8) if name == "laptop" else (4, 6)
    content = stored(tmp_path / "model", lively(config), *size)
    model = load_model(tmp_path / "model")
    ids = np.random.default_rng(0).integers(config.vocabulary, size=150).tolist()
    each, gapped, back, fed = engine("""({readModel, Session}, [content, ids]) => {
        const model = readModel(bytesOf(content));
        const session = new Session(model);
        const reads = (tokens, options) => {
            session.feed(tokens, options);
            return Array.from(session.logits());
        };
        const each = ids.map((id) => reads([id]));
        session.truncate(0);
        const gapped = [reads(ids.slice(0, 60)), reads(ids.slice(60, 100), {gap: 40}),
                        reads(ids.slice(100, 120)), reads(ids.slice(120), {gap: -15})];
        session.truncate(110);
        const back = [Array.from(session.logits()), reads(ids.slice(110, 120)), session.length];
        session.truncate(50);
        back.push(reads(ids.slice(50, 60)), Array.from(session.logits()));
        session.truncate(0);
        const fed = ids.slice(0, 20).map((id) => { session.feed([id]); return session.length; });
        session.truncate(9);
        session.feed([]);
        return [each, gapped, back, [fed.at(-1), Array.from(session.logits())]];
    }""", [encoded(content), ids])
    straight = hidden_logits(model, ids, range(150))
    near(each, straight)
    shifted = hidden_logits(model, ids, [*range(60), *range(100, 160), *range(105, 135)])
    near(gapped, shifted[[59, 99, 119, 149]])
    near([back[0], back[1], back[3], back[4]], shifted[[109, 119, 59, 59]])
    assert back[2] == 120
    assert fed[0] == 20
    near(fed[1:], straight[[8]])


def test_what_a_session_refuses(engine):
    found = engine("""({readModel, Session}, content) => {
        const session = new Session(readModel(bytesOf(content)));
        return Promise.all([
            () => session.logits(),
            () => session.feed([1, 44]),
            () => session.feed([-1]),
            () => session.feed([1.5]),
            () => session.feed(new Array(321).fill(1)),
            () => session.feed([1], {gap: 0.5}),
            () => session.truncate(1),
            () => session.truncate(-1),
            () => { if (session.length) { throw new Error("it has read something"); } },
            () => session.feed(new Array(320).fill(1)),
        ].map(failing));
    }""", encoded(MODELS[0].read_bytes()))
    assert found == [
        "logits: got no token yet, takes at least one",
        "ids: got 44, takes ids from 0 to 43", "ids: got -1, takes ids from 0 to 43",
        "ids: got 1.5, takes ids from 0 to 43",
        "ids: got 321 tokens, takes at most the model's context of 320",
        "gap: got 0.5, takes a whole number", "n: got 1, takes a whole number from 0 to 0",
        "n: got -1, takes a whole number from 0 to 0", None, None]


def answered(engine, content: bytes, asked: list[dict]) -> list:
    """Ids and their log-probabilities, an entry for each of ``asked`` (prompt, and options)."""
    return engine("""async ({readModel, answer}, [content, asked]) => {
        const model = readModel(bytesOf(content));
        const answers = [];
        for (const {prompt, ...options} of asked) {
            const ids = [];
            const logs = [];
            const onToken = (id, session) => {
                const logits = session.logits();
                const top = Math.max(...logits);
                const sum = logits.reduce((total, logit) => total + Math.exp(logit - top), 0);
                logs.push(logits[id] - top - Math.log(sum));
            };
            for await (const id of answer(model, prompt, {...options, onToken})) {
                ids.push(id);
            }
            answers.push([ids, logs]);
        }
        return answers;
    }""", [encoded(content), asked])


def python_answers(path, prompts: list[np.ndarray], max_new_tokens: int, openings: list[int],
                   gap: int = 0) -> tuple[list, list]:
    """As `responses.respond`, in float32 whatever the machine, with log-probabilities."""
    placed = [positions(len(prompt), opening, gap)
              for prompt, opening in zip(prompts, openings, strict=True)]
    found = Decoder(load_model(path), full_precision=True).answer(
        prompts, max_new_tokens=max_new_tokens, positions=placed, log_probabilities=True)
    return [ids.tolist() for ids in found.ids], found.log_probabilities


def are_pythons(found: list, ids: list, logs: list) -> None:
    """Asserts equal tokens and log-probabilities within 3e-4 (greatest of 2 500 answers: 1.0e-4).

    Answers may part where the two likeliest tokens are as good as tied: then they are compared up
    to there.
    """
    parted = 0
    for (ours, our_logs), theirs, their_logs in zip(found, ids, logs, strict=True):
        same = next((i for i, pair in enumerate(zip(ours, theirs, strict=False))
                     if pair[0] != pair[1]), None)
        if same is None:
            assert ours == theirs
        else:
            assert abs(our_logs[same] - their_logs[same]) < 1e-5, (ours, theirs)
            parted += 1
        assert np.abs(np.subtract(our_logs[:same], their_logs[:same])).max(initial=0) < 3e-4
    assert parted <= len(found) // 100


def asking(condition: str, mazes: list[Maze]) -> list[np.ndarray]:
    opening = np.uint16(CONDITIONS[condition].opening)
    return [np.append(Vocabulary(maze.rows, maze.cols).prompt_ids(maze), opening)
            for maze in mazes]


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_greedy_answers(engine, one_thread, path):
    """Of the smoke models together to 510 mazes."""
    own, count = MODELS.index(path), 102 // len(MODELS)  # other mazes for each
    mazes = [part.maze(i) for name in NAMES
             for part in [Sampler(name, 4, 6, split="test", sampling="indexed").take(102)]
             for i in range(own * count, (own + 1) * count)]
    prompts = asking(path.stem.rsplit("_", 1)[0], mazes)
    found = answered(engine, path.read_bytes(), [
        {"prompt": prompt.tolist(), "maxNewTokens": 120} for prompt in prompts])
    expected = python_answers(path, prompts, 120, [len(p) - 1 for p in prompts])
    are_pythons(found, *expected)


@pytest.mark.parametrize("gap", [23, -4])
def test_greedy_answers_behind_a_gap(engine, one_thread, gap):
    path = SMOKE / "models" / "correct_1.safetensors"
    mazes = Sampler("searchformer", 4, 6, split="test", sampling="indexed").take(20)
    prompts = asking("correct", [mazes.maze(i) for i in range(20)])
    found = answered(engine, path.read_bytes(), [
        {"prompt": prompt.tolist(), "maxNewTokens": 100, "gap": gap} for prompt in prompts])
    expected = python_answers(path, prompts, 100, [len(p) - 1 for p in prompts], gap)
    are_pythons(found, *expected)
    without = answered(engine, path.read_bytes(), [
        {"prompt": prompt.tolist(), "maxNewTokens": 100} for prompt in prompts])
    assert [ids for ids, _ in without] != [ids for ids, _ in found]


def test_greedy_answers_to_a_given_trace(engine, one_thread):
    path = SMOKE / "models" / "swapped_1.safetensors"
    corpus = build(Recipe("wilson", 4, 6, "test", 42, "indexed", 40))
    prompts = asking("swapped", [corpus.mazes.maze(i) for i in range(40)])
    given_ids = [[*trace.tolist(), SOLUTION] for trace in other_traces(corpus)]
    found = answered(engine, path.read_bytes(), [
        {"prompt": prompt.tolist(), "given": ids, "maxNewTokens": 40, "gap": 7}
        for prompt, ids in zip(prompts, given_ids, strict=True)])
    whole = [np.append(prompt, np.array(ids, np.uint16))
             for prompt, ids in zip(prompts, given_ids, strict=True)]
    are_pythons(found, *python_answers(path, whole, 40, [len(p) - 1 for p in prompts], 7))


@pytest.mark.parametrize("path", LARGER, ids=lambda path: path.stem)
def test_greedy_answers_of_laptop_models(engine, one_thread, path):
    """To few mazes, for they are larger; to as many as the environment says."""
    mazes = [Sampler(NAMES[i % 5], 8, 8, split="test", sampling="indexed").seek(i // 5).take(1)
             .maze(0) for i in range(LARGER_MAZES or 2)]
    prompts = asking(ModelSpec.parse(path.stem).condition, mazes)
    found = answered(engine, path.read_bytes(), [
        {"prompt": prompt.tolist(), "maxNewTokens": 300} for prompt in prompts])
    are_pythons(found, *python_answers(path, prompts, 300, [len(p) - 1 for p in prompts]))


def test_answer_is_as_long_as_the_context_allows(engine, tmp_path):
    model = scrambled(replace(CONFIGS["plain"], vocabulary=44, context=40))
    content = stored(tmp_path / "model", model)
    [[ids, _], [short, _]] = answered(engine, content, [
        {"prompt": [4, 5, 6, 8]}, {"prompt": [4, 5, 6, 8], "maxNewTokens": 5}])
    assert len(ids) == 36 or ids[-1] == 13
    assert short == ids[:5]


def test_what_an_answer_refuses(engine):
    found = engine("""async ({readModel, answer}, content) => {
        const model = readModel(bytesOf(content));
        const refusal = (...given) => failing(async () => {
            for await (const id of answer(model, ...given)) { break; }
        });
        return Promise.all([
            refusal([]), refusal([4], {maxNewTokens: 320}), refusal([4], {maxNewTokens: 0}),
            refusal(new Array(320).fill(4)), refusal([4], {given: [99]}),
            refusal([4], {temperature: -1}), refusal([4], {gap: "x"}),
        ]);
    }""", encoded(MODELS[0].read_bytes()))
    assert found == [
        "promptIds: got none, takes at least one id",
        "maxNewTokens: got 320, with the 1 tokens before takes at least 1 and together at most the "
        "context of 320",
        "maxNewTokens: got 0, with the 1 tokens before takes at least 1 and together at most the "
        "context of 320",
        "maxNewTokens: got 0, with the 320 tokens before takes at least 1 and together at most the "
        "context of 320",
        "ids: got 99, takes ids from 0 to 43", "temperature: got -1, takes 0 or a number from "
        "0.000001 up", "gap: got x, takes a whole number"]


def test_answer_is_stopped_by_its_signal_and_lets_the_page_live(engine, tmp_path):
    content = stored(tmp_path / "model", lively(LAPTOP), 8, 8)
    ids, turns, whole = engine("""async ({readModel, answer}, content) => {
        const model = readModel(bytesOf(content));
        const stop = new AbortController();
        const ids = [];
        for await (const id of answer(model, [4, 5, 6, 8], {signal: stop.signal})) {
            ids.push(id);
            if (ids.length === 7) { stop.abort(); }
        }
        let turns = 0;
        const timer = setInterval(() => { turns += 1; }, 1);
        const answers = [];
        for (let first = 4; first < 14; first++) {
            answers.push([]);
            for await (const id of answer(model, [first, 5, 6, 8], {maxNewTokens: 50})) {
                answers.at(-1).push(id);
            }
        }
        clearInterval(timer);
        return [ids, turns, answers[0]];
    }""", encoded(content))
    assert ids == whole[:7]
    assert len(whole) > 7
    assert turns > 5


def test_drawn_tokens_are_those_of_python(engine):
    """For the same logits and the same number in [0, 1)."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (400, 44)).astype(np.float32)
    draws = rng.random(400, np.float32)
    draws[:3] = 0, np.nextafter(np.float32(1), np.float32(0)), 0.5
    for temperature in (0.3, 1.0, 2.5):
        found = engine("""({sample}, [logits, draws, temperature]) => logits.map((row, i) =>
            sample(Float32Array.from(row), temperature, () => draws[i]))""",
                       [logits.tolist(), draws.tolist(), temperature])
        expected = draw(torch.tensor(logits), temperature, torch.tensor(draws)).tolist()
        assert np.mean(np.equal(found, expected)) > 0.99  # float32 sums there, float64 here
    found = engine("({sample}, logits) => logits.map((row) => sample(Float32Array.from(row), 0))",
                   logits.tolist())
    assert found == logits.argmax(-1).tolist()


def test_sampled_answers_follow_from_their_seed(engine):
    path = SMOKE / "models" / "correct_1.safetensors"
    prompt = asking("correct", [Sampler("wilson", 4, 6, split="test", sampling="indexed")
                                .take(1).maze(0)])[0].tolist()
    found = answered(engine, path.read_bytes(), [
        {"prompt": prompt, "temperature": 2, "seed": seed} for seed in (1, 1, 2)])
    assert found[0] == found[1]
    assert found[0][0] != found[2][0]


def test_top_tokens(engine):
    logits = np.random.default_rng(0).normal(0, 2, 44).astype(np.float32)
    logits[7] = logits[3] = 9
    hot, cold, certain = engine("""({topTokens}, logits) => [2, 1, 0].map((temperature) =>
        topTokens(Float32Array.from(logits), 5, temperature))""", logits.tolist())
    for top, temperature in ((hot, 2), (cold, 1)):
        chances = torch.tensor(logits).double().div(temperature).softmax(-1).numpy()
        order = np.argsort(-logits, kind="stable")[:5].tolist()
        assert [token["id"] for token in top] == order
        assert np.allclose([token["p"] for token in top], chances[order], rtol=1e-9)
    assert certain[0] == {"id": 3, "p": 1}
    assert {token["p"] for token in certain[1:]} == {0}


# ── stored answers ──────────────────────────────────────────────────────────────────────


def stored_answers(engine, content: bytes):
    return engine("""async ({readResponses}, content) => {
        try {
            const {about, responses, mazes} = await readResponses(bytesOf(content));
            return [about, responses, mazes.map(({walls, ...maze}) =>
                ({...maze, walls: Array.from(walls)}))];
        } catch (error) {
            return error.message;
        }
    }""", encoded(content))


@pytest.mark.parametrize("path", ANSWERS, ids=lambda path: f"{path.parent.name} {path.name}")
def test_answers_as_they_are_published(engine, path):
    about, texts, mazes = stored_answers(engine, path.read_bytes())
    python = read_responses(path)
    assert {name: about[name] for name in python.about} == python.about
    opening = CONDITIONS[about["condition"]].opening
    assert texts == [python.corpus.vocabulary.decode([opening, *ids]) for ids in python.responses]
    assert mazes == [plain(python.corpus.mazes.maze(i)) for i in range(len(python.corpus))]


def test_files_that_are_no_answers(engine, tmp_path):
    content = ANSWERS[0].read_bytes()
    lines = gzip.decompress(content).splitlines(keepends=True)
    damaged = "responses: got no gzip file, or a truncated one"

    def changed(*edits: tuple[bytes, bytes]) -> bytes:
        text = b"".join(lines)
        for old, new in edits:
            assert old in text
            text = text.replace(old, new, 1)
        return gzip.compress(text)

    cases = {
        b"": damaged, content[:-20]: damaged, b"{}": damaged, MODELS[0].read_bytes(): damaged,
        gzip.compress(b""): "responses: got no JSON in line 1",
        gzip.compress(b"{}"):
            "responses: got a file of something else, takes answers to a test set",
        gzip.compress(b"".join(lines[:-1])):
            "responses: got 39 answers, takes 40, one for each maze",
        changed((lines[4], b"{\n")): "responses: got no JSON in line 5",
        changed((lines[4], b"3\n")): "responses: got no words of a 4x6 grid in line 5",
        changed((b" 2 1 ", b" 2 x ")): "responses: got no words of a 4x6 grid in line ",
        changed((b'"seed": 42', b'"seed": 43')): "responses: its mazes are not those of its recipe",
        changed((b'"indexed"', b'"paper"')): "sampling: got 'paper', takes indexed",
    }
    for case, message in cases.items():
        assert stored_answers(engine, case).startswith(message)
        (tmp_path / "answers").write_bytes(case)
        with pytest.raises(ResponsesError):  # what is refused here Python refuses too
            read_responses(tmp_path / "answers")
