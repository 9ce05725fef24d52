"""The command line: what it writes, and that wrong arguments cost one line and nothing else."""

import errno
import fcntl
import gzip
import json
import os
import resource
import subprocess
import sys
import tracemalloc
from hashlib import sha256
from pathlib import Path

import pytest

from helpers import __main__ as cli
from helpers.batches import Batches
from helpers.checkpoints import load_model, read_checkpoint, write_checkpoint
from helpers.commands import mazes
from helpers.conditions import CONDITIONS, put_together
from helpers.corpus import Recipe, build
from helpers.engine.files import atomic
from helpers.explanations import explain, picture
from helpers.maze import Maze
from helpers.model import ModelConfig
from helpers.optimisation import TrainingConfig
from helpers.responses import answer
from helpers.share import examples
from helpers.training import Trainer

PROMPT = "query start 0 0 goal 2 2 wall 2 0 wall 0 1"
PLAN = "plan 0 0 plan 1 0 plan 1 1 plan 2 1 plan 2 2"


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def files() -> list[str]:
    """What lies in the test's folder, hidden and temporary files included."""
    return sorted(os.listdir("."))


def argv(command: str, **changes: str | None) -> list[str]:
    """A right command with some of its arguments changed, or left out where None."""
    arguments = {
        "generate": {"--generator": "wilson", "--split": "test", "--count": "5", "--rows": "8",
                     "--cols": "9", "--output": "out.jsonl"},
        "validate": {"--rows": "3", "--cols": "3", "--output": "out.jsonl"},
    }[command]
    arguments |= {f"--{name}": value for name, value in changes.items() if name != "input"}
    positional = [changes.get("input", "in.jsonl")] if command == "validate" else []
    options = [word for name, value in arguments.items() if value is not None
               for word in (name, value)]
    return [command, *positional, *options]


def run(command: str, **changes: str | None) -> int:
    return cli.main(argv(command, **changes))


def refused(capsys, words: list[str]) -> str:
    """The one line of a command that must be refused, and leave nothing behind."""
    before = files()
    try:
        status = cli.main(words)
    except SystemExit as exit:
        status = exit.code
    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert err.startswith("helpers: ")
    assert files() == before
    return err


# ── generate ────────────────────────────────────────────────────────────────────────────


def test_generate_defaults_are_the_published_data(capfdbinary):
    assert run("generate", rows=None, cols=None, count="1000", output="-") == 0
    out, err = capfdbinary.readouterr()
    assert sha256(out).hexdigest() == (
        "aa7f5908393849c9a35287fa4d0418b1aa9cf5cfcebe1a7094d2711b7991a728")
    assert err == b""  # no progress bar where stderr is no terminal


def test_generate_writes_the_file_whole():
    assert run("generate", rows="30", cols="30", count="2500", seed="7") == 0
    assert files() == ["out.jsonl"]
    written = Path("out.jsonl").read_bytes()
    assert written.count(b"\n") == 2500  # more than one chunk
    assert run("generate", rows="30", cols="30", count="10", seed="7") == 0
    assert written.startswith(Path("out.jsonl").read_bytes())  # replaced, and the same stream


def test_generate_parameters(capsys):
    words = argv("generate", generator="cellular_automata", sampling="indexed", output="-")
    assert cli.main([*words, "--param", "fill_probability=0", "--param", "iterations=0"]) == 0
    assert "wall" not in capsys.readouterr().out


@pytest.mark.parametrize(("changes", "message"), [
    ({"generator": "prim"}, "--generator: got 'prim', takes one of wilson, kruskal, dfs"),
    ({"generator": None}, "--generator: got nothing, takes one of wilson, kruskal, dfs"),
    ({"split": "dev"}, "--split: got 'dev', takes train or test"),
    ({"sampling": "random"}, "--sampling: got 'random', takes paper"),
    ({"count": "0"}, "--count: got '0', takes a whole number from 1 up"),
    ({"count": "many"}, "--count: got 'many', takes a whole number from 1 up"),
    ({"count": "1.5"}, "--count: got '1.5', takes a whole number from 1 up"),
    ({"count": None}, "--count: got nothing, takes the number of examples"),
    ({"seed": "-1"}, "--seed: got '-1', takes a whole number from 0 up"),
    ({"seed": "9" * 5000}, "takes a whole number from 0 up"),
    ({"rows": "2"}, "--rows: got '2', takes a whole number from 3 up"),
    ({"cols": "181"}, "--cols: got 181, takes a whole number from 3 to 180"),
    ({"param": "coverage=0.5"}, "--param coverage: got an unknown parameter, wilson takes none"),
    ({"param": "coverage"}, "--param: got 'coverage', takes KEY=VALUE with a number as VALUE"),
    ({"param": "coverage=half"}, "--param: got 'coverage=half', takes KEY=VALUE"),
    ({"generator": "drunkards_walk", "param": "coverag=0.5"},
     "--param coverag: got an unknown parameter, drunkards_walk takes coverage"),
    ({"generator": "drunkards_walk", "param": "coverage=1.5"},
     "--param coverage: got 1.5, takes a number from 0.0 to 1.0"),
    ({"generator": "drunkards_walk", "param": "coverage=nan"}, "--param coverage: got nan"),
    ({"generator": "cellular_automata", "param": "iterations=2.5"},
     "--param iterations: got 2.5, takes a whole number from 0 to 1000"),
    ({"generator": "cellular_automata", "rows": "3", "cols": "3"},
     "--generator: cellular_automata found no place for a start and a different goal"),
    ({"output": None}, "--output: got nothing, takes a file, or - for stdout"),
    ({"output": ""}, "--output: got ''"),
    ({"output": "no/such/folder"}, "--output: got 'no/such/folder' (No such file or directory)"),
    ({"output": "."}, "--output: got '.' (Is a directory), takes a file that can be written"),
    ({"outptu": "x"}, "--outptu: got an unknown argument, takes -h, --help, --generator"),
])
def test_generate_refuses(capsys, changes, message):
    assert message in refused(capsys, argv("generate", **changes))


@pytest.mark.parametrize(("words", "message"), [
    ([], "COMMAND: got nothing, takes generate, validate, ask, study"),
    (["learn"], "COMMAND: got 'learn', takes generate, validate, ask, study"),
    (["generate", "--count"], "--count: got nothing, takes the number of examples"),
    (["--verbose"], "COMMAND: got nothing"),
    (["validate", "a", "b", "--rows", "3", "--cols", "3", "--output", "-"],
     "b: got an unknown argument"),
    (["validate", "--rows", "3", "--cols", "3", "--output", "-"], "INPUT.jsonl: got nothing"),
])
def test_wrong_words(capsys, words, message):
    assert message in refused(capsys, words)


def test_refusal_leaves_the_old_file_alone(capsys):
    Path("out.jsonl").write_text("old")
    refused(capsys, argv("generate", generator="cellular_automata", rows="3", cols="3"))
    assert Path("out.jsonl").read_text() == "old"


# ── validate ────────────────────────────────────────────────────────────────────────────


def test_validate_a_generated_file(capsys):
    run("generate", rows="6", cols="7", count="50")
    assert run("validate", input="out.jsonl", output="verdicts.jsonl", rows="6", cols="7") == 0
    right = {"plan": {"valid": True, "optimal": True, "error": None, "step": None},
             "trace": {"valid": True, "strict": True, "exact": True, "error": None, "event": None,
                       "strict_error": None, "strict_event": None}}
    lines = Path("verdicts.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [right] * 50
    out, err = capsys.readouterr()
    assert out == ""
    assert err == ("lines: 50 judged, 0 malformed\n"
                   "plans: 50 of 50 (100.0%) valid, 50 optimal\n"
                   "traces: 50 of 50 (100.0%) valid, 50 strict, 50 exact\n")


def test_validate_goes_on_after_malformed_lines(capsys):
    lines = [
        json.dumps({"text": f"{PROMPT} solution {PLAN} end"}),
        "no json",
        json.dumps({"text": f"{PROMPT} reasoning close 0 0 c0 c4 solution plan 45 0 end"}),
        json.dumps({"txt": PROMPT}),
        json.dumps({"text": "query start 9 9"}),
        json.dumps({"text": f"{PROMPT} solution plan 0 0 plan 1 1 end", "more": 1}),
    ]
    Path("in.jsonl").write_bytes("\n".join(lines).encode() + b'\n{"text": "\xff"}\n')
    assert run("validate", output="-") == 1
    out, err = capsys.readouterr()
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row.get("error", "").partition(":")[0] for row in rows] == [
        "", "line 2", "", "line 4", "line 5", "", "line 7"]
    assert rows[1] == {"error": 'line 2: got no JSON object with a string under "text"'}
    assert rows[4] == {"error": "line 5: prompt: start 9 9 lies off the grid of 3 rows and "
                                "3 columns"}
    assert rows[2]["plan"]["error"] == "wrong_start"
    assert rows[2]["trace"]["error"] == "goal_not_reached"
    assert rows[5] == {"plan": {"valid": False, "optimal": False, "error": "jump", "step": 1},
                       "trace": None}
    assert err.splitlines() == [
        "lines: 3 judged, 4 malformed",
        "plans: 1 of 3 (33.3%) valid, 1 optimal; wrong_start 1; jump 1",
        "traces: 0 of 1 (0.0%) valid, 0 strict, 0 exact; goal_not_reached 1"]


def test_validate_by_the_published_verdict(capsys):
    trace = ("close 0 0 c0 c4 create 1 0 c1 c9 close 1 0 c1 c9 create 1 1 c2 c2 close 1 1 c2 c2 "
             "create 2 1 c3 c1 close 2 1 c3 c1 create 2 2 c4 c0 close 2 2 c4 c0")
    around = PLAN.replace("plan 1 1", "plan 1 1 plan 1 0 plan 1 1", 1)
    lines = [f"{PROMPT} reasoning {trace} solution {PLAN} end",
             f"{PROMPT} reasoning {trace} solution {around} end",
             f"{PROMPT} solution plan 0 0 end", "query start 9 9", PROMPT]
    Path("in.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in lines))
    assert run("validate", verdict="published", output="-") == 1
    out, err = capsys.readouterr()
    assert [json.loads(line) for line in out.splitlines()] == [
        {"plan": {"valid": True}, "trace": {"valid": True}},
        {"plan": {"valid": True}, "trace": {"valid": False}},
        {"plan": {"valid": False}, "trace": None},
        {"error": "line 4: prompt: start 9 9 lies off the grid of 3 rows and 3 columns"},
        {"plan": {"valid": False}, "trace": None}]
    assert err.splitlines() == ["lines: 4 judged, 1 malformed", "plans: 2 of 4 (50.0%) valid",
                                "traces: 1 of 2 (50.0%) valid"]
    assert run("validate", verdict="ours", output="-") == run("validate", output="-") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[:5] == lines[5:]
    assert json.loads(lines[0])["trace"]["error"] == "wrong_cost"


def test_validate_nothing(capsys):
    Path("in.jsonl").write_text("")
    assert run("validate") == 0
    assert Path("out.jsonl").read_text() == ""
    assert "plans: 0 of 0 valid" in capsys.readouterr().err


RIGHT = json.dumps({"text": f"{PROMPT} solution {PLAN} end"})
WRONG = json.dumps({"text": f"{PROMPT} solution plan 0 0 plan 1 1 end"})
FORMS = {
    "lines": f"{RIGHT}\n{WRONG}\n".encode(),
    "no end of line": f"{RIGHT}\n{WRONG}".encode(),
    "CRLF": f"{RIGHT}\r\n{WRONG}\r\n".encode(),
    "blank lines": f"\n{RIGHT}\n \t\n\r\n{WRONG}\n\n".encode(),
    "byte order mark": f"{RIGHT}\n{WRONG}\n".encode("utf-8-sig"),
    "UTF-16": f"{RIGHT}\n{WRONG}\n".encode("utf-16"),
    "UTF-16, big endian, CRLF": f"\ufeff{RIGHT}\r\n{WRONG}".encode("utf-16-be"),
    "array": f"[{RIGHT}, {WRONG}]".encode(),
    "array over lines": json.dumps([json.loads(RIGHT), json.loads(WRONG)], indent=1).encode(),
}


@pytest.mark.parametrize("packed", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("form", FORMS)
def test_validate_reads(form, packed, capsys):
    Path("in.jsonl").write_bytes(packed(FORMS[form]))
    assert run("validate") == 0
    verdicts = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert [verdict["plan"]["valid"] for verdict in verdicts] == [True, False]
    assert "lines: 2 judged, 0 malformed" in capsys.readouterr().err


@pytest.mark.parametrize("redirected", [True, False])
def test_validate_stdin(redirected):
    content = gzip.compress(FORMS["lines"])
    Path("in.jsonl").write_bytes(content)
    with open("in.jsonl", "rb") as file:
        source = {"stdin": file} if redirected else {"input": content}
        done = subprocess.run([sys.executable, "-m", "helpers", *argv("validate", input="-",
                                                                     output="-")],
                              env=ENVIRONMENT, capture_output=True, **source)
    assert done.returncode == 0
    assert [json.loads(line)["plan"]["valid"] for line in done.stdout.splitlines()] == [True, False]


def test_blank_lines_and_entries_keep_their_numbers(capsys):
    for content, places in ((f"\n{RIGHT}\n\n{{}}\n", ["line 4"]), (f"[{RIGHT}, 5, {{}}]",
                                                                ["entry 2", "entry 3"])):
        Path("in.jsonl").write_text(content)
        assert run("validate", output="-") == 1
        rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [row["error"].partition(":")[0] for row in rows[1:]] == places


def test_validate_keeps_nothing_in_memory():
    """Ten times the lines take no more of it."""
    peaks = []
    for lines in (1000, 10_000):
        Path("in.jsonl").write_text(f"{RIGHT}\n" * lines)
        tracemalloc.start()
        assert run("validate") == 0
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 500_000  # verdicts kept would be 1.3 MB


@pytest.mark.parametrize("link", [None, os.symlink, os.link])
@pytest.mark.parametrize("other", ["in.jsonl", "./in.jsonl"])
def test_validate_refuses_to_overwrite_its_input(capsys, link, other):
    Path("in.jsonl").write_text(RIGHT)
    if link:
        link(other, "other.jsonl")
        other = "other.jsonl"
    message = refused(capsys, argv("validate", output=other))
    assert f"--output: got {other!r}, which is the input, takes another file" in message
    assert Path("in.jsonl").read_text() == RIGHT


@pytest.mark.parametrize("shell", ["validate - --output a <a", "validate a --output - >>a",
                                   "validate - --output - <a >>a"])
def test_validate_refuses_its_input_redirected(shell):
    Path("a").write_text(RIGHT)
    done = subprocess.run(f"{sys.executable} -m helpers {shell} --rows 3 --cols 3",
                          shell=True, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.endswith("which is the input, takes another file\n")
    assert (files(), Path("a").read_text()) == (["a"], RIGHT)


def test_validate_names_a_size_that_fits_no_line(capsys):
    run("generate", rows="8", cols="9", output="in.jsonl")
    message = refused(capsys, argv("validate", rows="8", cols="5"))
    assert ("--rows, --cols: got 8, 5, which fit no line of in.jsonl, takes the size of its mazes: "
            "line 1 needs at least 8 rows and 9 columns") in message


LONG = "\n".join(map(str, range(5000))).encode()


@pytest.mark.parametrize(("content", "message"), [
    (gzip.compress(LONG, mtime=0)[:4000], "(truncated or damaged gzip: Compressed file ended"),
    (gzip.compress(LONG, mtime=0)[:-8] + bytes(8), "(CRC check failed"),
    (b"\x1f\x8b no gzip", "(Unknown compression method)"),
    (FORMS["lines"].decode().encode("utf-16-le"), "(not text, or UTF-16 without a byte order mark"),
    (f"[{RIGHT}, ".encode(), "(begins as a JSON array and is none: Expecting value"),
    (f"[{RIGHT}]\n[{RIGHT}]".encode(), "(begins as a JSON array and is none: Extra data"),
    (b"[" * 100_000, "(begins as a JSON array and is none: "),
])
def test_validate_names_what_it_cannot_read(capsys, content, message):
    Path("in.jsonl").write_bytes(content)
    line = refused(capsys, argv("validate"))
    assert f"INPUT.jsonl: got 'in.jsonl' {message}" in line
    assert "takes a file that can be read, with lines" in line


@pytest.mark.parametrize(("changes", "message"), [
    ({"input": "absent.jsonl"}, "INPUT.jsonl: got 'absent.jsonl' (No such file or directory)"),
    ({"input": "."}, "INPUT.jsonl: got '.' (Is a directory), takes a file that can be read"),
    ({"input": "no\nfile"}, "INPUT.jsonl: got 'no\\nfile' (No such file or directory)"),
    ({"rows": "two"}, "--rows: got 'two', takes a whole number from 3 up"),
    ({"cols": None}, "--cols: got nothing, takes a whole number from 3 up"),
    ({"rows": "200"}, "--rows: got 200, takes a whole number from 3 to 180"),
    ({"output": "no/such/folder"}, "--output: got 'no/such/folder'"),
    ({"verdict": "theirs"}, "--verdict: got 'theirs', takes ours (the default: each broken rule"),
    ({"verdict": ""}, "--verdict: got '', takes ours"),
])
def test_validate_refuses(capsys, changes, message):
    Path("in.jsonl").write_text("")
    assert message in refused(capsys, argv("validate", **changes))


# ── ask ─────────────────────────────────────────────────────────────────────────────────

MAPS = "S.#.\n#..G\n....\n####\n\nS#G.\n####\n....\n....\n"


@pytest.fixture(scope="module")
def model(tmp_path_factory, one_thread) -> str:
    """A model that has learnt next to nothing, for 4x4 mazes."""
    corpus = build(Recipe("wilson", 4, 4, "train", 1, "indexed", 16))
    config = ModelConfig(vocabulary=corpus.vocabulary.size, context=80, width=16, layers=1,
                         heads=1, kv_heads=1, mlp_width=16)
    folder = tmp_path_factory.mktemp("model")
    batches = Batches(put_together(corpus, CONDITIONS["solution_only"], 1), 8, 1, 1)
    about = {"condition": "solution_only", "corpus": corpus.recipe.__dict__}
    Trainer(batches, config, TrainingConfig(batch_size=8), seed=1, follows_from=about,
            folder=folder, compiled=False).run()
    return str(folder / "model.safetensors")


def test_ask(model, capsys):
    Path("maps.txt").write_text(MAPS)
    assert cli.main(["ask", "--model", model, "--maze", "maps.txt"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith("no way from start to goal: 1 of 2 mazes, number 2\n")
    first, second = out.split("\n\n")[1:3]
    maze = Maze.from_ascii("S.#.", "#..G", "....", "####")
    response = answer(load_model(model), maze, "solution_only")
    assert response.startswith("solution ")
    assert first == "\n".join(["maze 1 of 2", f"answer: {response}", explain(maze, response),
                               picture(maze, response)])
    assert second.startswith("maze 2 of 2, unsolvable\nanswer: solution ")
    assert "\nplan: " in second


def test_ask_one_of_several(model, capsys):
    prompt = "query start 0 0 goal 3 3 wall 1 0"
    Path("mazes.jsonl").write_text(2 * f'{{"text": "{prompt} solution end"}}\n\n')
    assert cli.main(["ask", "--model", model, "--maze", "mazes.jsonl", "--which", "2"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("maze 2 of 2\nanswer: solution ")
    assert "maze 1" not in out


def test_ask_with_a_trace(model, capsys, monkeypatch):
    """What a model that has learnt to solve mazes would be seen to write."""
    response = ("reasoning close 0 0 c0 c4 create 1 0 c1 c3 close 1 0 c1 c3 solution "
                "plan 0 0 plan 1 0 plan 1 1 plan 2 1 plan 3 1 end")
    monkeypatch.setattr("helpers.responses.answers", lambda *_: [response])
    Path("maps.txt").write_text(MAPS)
    assert cli.main(["ask", "--model", model, "--maze", "maps.txt", "--which", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[2:] == [
        "plan: valid, optimal",
        'trace: event 3, the end, breaks goal_not_reached: expected a close of the goal, (3, 1)',
        "Sx#.", "#..G", "....", "####", "S start, G goal, # wall, o open, x closed, ! here",
        "S*#.", "#**G", "....", "####", "S start, G goal, # wall, * plan, x closed by the trace",
        ""]


@pytest.mark.parametrize(("words", "message"), [
    (["--maze", "maps.txt", "--model", "absent"],
     "--model: checkpoint absent: there is no such file; takes the model.safetensors of a"),
    (["--maze", "maps.txt", "--model", "."], "--model: checkpoint .: unreadable or truncated"),
    (["--maze", "maps.txt", "--model", "maps.txt"], "--model: checkpoint maps.txt: unreadable"),
    (["--maze", "absent"], "--maze absent: No such file or directory; the model is one for 4x4"),
    (["--maze", "small.txt"],
     "--maze small.txt: maze 1 (from line 1): got 3x3, takes 4x4; the model is one for 4x4"),
    (["--maze", "large.jsonl"],
     "--maze large.jsonl: line 1: prompt: goal 4 4 lies off the grid of 4 rows and 4 columns; the "
     "model is one for 4x4"),
    (["--maze", "maps.txt", "--which", "0"], "--which: got '0', takes a whole number from 1 up"),
    (["--maze", "maps.txt", "--which", "3"],
     "--which: got 3, takes a whole number from 1 to 2, the mazes in maps.txt"),
    ([], "--maze: got nothing, takes a file of mazes, maps of # . S G"),
])
def test_ask_refuses(model, capsys, words, message):
    Path("maps.txt").write_text(MAPS)
    Path("small.txt").write_text("S..\n...\n..G")
    Path("large.jsonl").write_text('{"text": "query start 0 0 goal 4 4"}')
    assert message in refused(capsys, ["ask", "--model", model, *words])


@pytest.mark.parametrize(("change", "message"), [
    (lambda about: about.pop("follows_from"), "does not say what it is of; takes the model.safet"),
    (lambda about: about["follows_from"].update(condition="mine"),
     "got one of condition 'mine', takes one of solution_only, correct, swapped")])
@pytest.mark.parametrize("words", [["ask", "--maze", "maps.txt", "--model"], ["export"]])
def test_models_of_something_else(model, words, change, message, capsys):
    about, tensors = read_checkpoint(model)
    change(about)
    write_checkpoint(Path("other.safetensors"), about, tensors)
    Path("maps.txt").write_text(MAPS)
    folder = ["folder"] * (words[0] == "export")
    assert message in refused(capsys, [*words, "other.safetensors", *folder])
    assert not Path("folder").exists()


# ── disks and pipes ─────────────────────────────────────────────────────────────────────


def full_after(calls: int, function):
    """The function, until the disk is full."""

    def called(*args):
        nonlocal calls
        if not calls:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        calls -= 1
        return function(*args)

    return called


def test_disk_full_midway(capsys, monkeypatch):
    monkeypatch.setattr(examples, "jsonl", full_after(1, examples.jsonl))
    message = refused(capsys, argv("generate", rows="30", cols="30", count="1500"))
    assert "--output: got 'out.jsonl' (No space left on device)" in message


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_disk_full_for_real(capsys):
    Path("in.jsonl").write_text("{}\n")
    for command in ("generate", "validate"):
        message = refused(capsys, argv(command, output="/dev/full"))
        assert "--output: got '/dev/full' (No space left on device)" in message


ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(cli.__file__).parents[1])}
GENERATE = [sys.executable, "-m", "helpers",
            *argv("generate", rows=None, cols=None, count="3000")]


def test_file_that_may_not_grow_as_large():
    done = subprocess.run(
        GENERATE, env=ENVIRONMENT, capture_output=True, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20)))
    assert done.returncode == 2
    assert done.stderr == ("helpers: --output: got 'out.jsonl' (File too large), takes a file that "
                           "can be written, or - for stdout\n")
    assert files() == []


def test_closed_pipe_is_quiet():
    with subprocess.Popen([*GENERATE, "--output", "-"], env=ENVIRONMENT, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as process:
        assert process.stdout.read(8) == b'{"text":'
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 141


def shell(redirection: str, words: list[str]) -> subprocess.CompletedProcess:
    """A command as a process, with its streams redirected as in a shell."""
    root = Path(cli.__file__).parents[1]
    return subprocess.run(["sh", "-c", f'exec "$@" {redirection}', "sh", sys.executable, "-m",
                           "helpers", *words], capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": str(root)}, timeout=120)


@pytest.mark.parametrize(("redirection", "words", "part"), [
    (">&-", argv("generate", output="-"), "stdout: is closed"),
    (">&-", ["study", "--scale", "smoke"], "stdout: is closed"),
    ("<&- >&-", ["publish", "--scale", "smoke"], "stdout: is closed"),
    (">/dev/full", argv("generate", output="-"), "No space left on device")])
def test_stdout_that_takes_nothing(redirection, words, part):
    done = shell(redirection, words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1, done.stderr
    assert part in done.stderr
    assert files() == []


def test_streams_that_are_not_needed_may_be_closed():
    done = shell("<&- >&- 2>&-", argv("generate"))
    assert (done.returncode, done.stdout, done.stderr, files()) == (0, "", "", ["out.jsonl"])
    done = shell("2>&-", argv("generate", count="none"))
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "")


@pytest.mark.parametrize(("error", "line"), [
    (OSError(errno.EROFS, "Read-only file system", "/x/runs"), "/x/runs: Read-only file system"),
    (OSError(errno.ENOSPC, "No space left on device"), "cannot write: No space left on device"),
    (OSError("no folder for compiled code can be written"),
     "cannot write: no folder for compiled code can be written")])
def test_files_that_cannot_be_written(capsys, monkeypatch, error, line):
    """Whatever command meets it, and wherever: no traceback."""
    def fail(args):
        raise error
    monkeypatch.setattr(mazes, "generate", fail)
    assert run("generate") == 1
    assert capsys.readouterr() == ("", f"helpers: {line}\n")


def test_killed_by_hand_leaves_nothing(monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(examples, "jsonl", interrupt)
    assert run("generate") == 130
    assert files() == []


def test_commands_do_not_import_torch():
    code = "import helpers.__main__, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT).returncode == 0


@pytest.mark.parametrize("mode", ["w", "wb", None])
def test_atomic(mode):
    content = "naïve" if mode == "w" else "naïve".encode()
    with atomic("out.txt", mode) as file:
        path = Path(file if mode is None else file.name)
        if mode is None:
            file.write_bytes(content)
        else:
            file.write(content)
        temporary = path if mode else path.parent  # libraries are given a folder
        assert files() == [temporary.name]  # nothing under the final name yet
    assert files() == ["out.txt"]
    assert Path("out.txt").read_text(encoding="utf-8") == "naïve"
    with pytest.raises(KeyboardInterrupt), atomic("out.txt", mode):
        raise KeyboardInterrupt
    assert files() == ["out.txt"]
    assert Path("out.txt").read_text(encoding="utf-8") == "naïve"


def test_atomic_sweeps_up_after_the_killed():
    """Temporary files of the same name whose writers are gone, and no others."""
    names = [".out[1].txt.0123abcd.tmp", ".out[1].txt.4567abcd.tmp", ".out1.txt.89ababcd.tmp"]
    for name in names:
        Path(name).write_text("half of")
    with open(names[0]) as other, atomic("out[1].txt", "w") as file:
        fcntl.flock(other, fcntl.LOCK_EX)  # as its writer does
        file.write("all")
    assert files() == sorted([names[0], names[2], "out[1].txt"])


def test_what_a_library_has_left_goes_too():
    """safetensors, killed, leaves a temporary file of its own."""
    Path(".out.0123abcd.tmp").mkdir()
    Path(".out.0123abcd.tmp", ".tmpABCDEF").write_text("half of")
    with atomic("out") as path:
        path.write_text("all")
    assert files() == ["out"]


def test_atomic_follows_links_and_keeps_devices():
    Path("real.txt").write_text("old")
    Path("link.txt").symlink_to("real.txt")
    with atomic("link.txt", "w") as file:
        file.write("new")
    assert Path("link.txt").is_symlink()
    assert Path("real.txt").read_text() == "new"
    with atomic(os.devnull, "w") as file:
        file.write("new")
    assert not Path(os.devnull).is_file()
