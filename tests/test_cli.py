"""The command line: what it writes, and that wrong arguments cost one line and nothing else."""

import errno
import json
import os
import resource
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from helpers import __main__ as cli
from helpers.engine.files import atomic

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
    ([], "COMMAND: got nothing, takes generate, validate, study, publish or regime"),
    (["train"], "COMMAND: got 'train', takes generate, validate, study, publish or regime"),
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
        "",
        json.dumps({"text": "query start 9 9"}),
        json.dumps({"text": f"{PROMPT} solution plan 0 0 plan 1 1 end", "more": 1}),
    ]
    Path("in.jsonl").write_bytes("\n".join(lines).encode() + b'\n{"text": "\xff"}\n')
    assert run("validate", output="-") == 1
    out, err = capsys.readouterr()
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row.get("error", "").partition(":")[0] for row in rows] == [
        "", "line 2", "", "line 4", "line 5", "line 6", "", "line 8"]
    assert rows[1] == {"error": 'line 2: got no JSON object with a string under "text"'}
    assert rows[5] == {"error": "line 6: prompt: start 9 9 lies off the grid of 3 rows and "
                                "3 columns"}
    assert rows[2]["plan"]["error"] == "wrong_start"
    assert rows[2]["trace"]["error"] == "goal_not_reached"
    assert rows[6] == {"plan": {"valid": False, "optimal": False, "error": "jump", "step": 1},
                       "trace": None}
    assert err.splitlines() == [
        "lines: 3 judged, 5 malformed",
        "plans: 1 of 3 (33.3%) valid, 1 optimal; wrong_start 1; jump 1",
        "traces: 0 of 1 (0.0%) valid, 0 strict, 0 exact; goal_not_reached 1"]


def test_validate_nothing(capsys):
    Path("in.jsonl").write_text("")
    assert run("validate") == 0
    assert Path("out.jsonl").read_text() == ""
    assert "plans: 0 of 0 valid" in capsys.readouterr().err


def test_validate_in_place():
    Path("in.jsonl").write_text(json.dumps({"text": f"{PROMPT} solution {PLAN} end"}) + "\n")
    assert run("validate", output="in.jsonl") == 0
    assert json.loads(Path("in.jsonl").read_text())["plan"]["valid"]


@pytest.mark.parametrize(("changes", "message"), [
    ({"input": "absent.jsonl"}, "INPUT.jsonl: got 'absent.jsonl' (No such file or directory)"),
    ({"input": "."}, "INPUT.jsonl: got '.' (Is a directory), takes a file that can be read"),
    ({"rows": "two"}, "--rows: got 'two', takes a whole number from 3 up"),
    ({"cols": None}, "--cols: got nothing, takes a whole number from 3 up"),
    ({"rows": "200"}, "--rows: got 200, takes a whole number from 3 to 180"),
    ({"output": "no/such/folder"}, "--output: got 'no/such/folder'"),
])
def test_validate_refuses(capsys, changes, message):
    Path("in.jsonl").write_text("")
    assert message in refused(capsys, argv("validate", **changes))


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
    monkeypatch.setattr(cli, "jsonl", full_after(1, cli.jsonl))
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
    monkeypatch.setattr(cli, "generate", fail)
    assert run("generate") == 1
    assert capsys.readouterr() == ("", f"helpers: {line}\n")


def test_killed_by_hand_leaves_nothing(monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "jsonl", interrupt)
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
        assert files() == [path.name]  # nothing under the final name yet
    assert files() == ["out.txt"]
    assert Path("out.txt").read_text(encoding="utf-8") == "naïve"
    with pytest.raises(KeyboardInterrupt), atomic("out.txt", mode):
        raise KeyboardInterrupt
    assert files() == ["out.txt"]
    assert Path("out.txt").read_text(encoding="utf-8") == "naïve"


def test_atomic_sweeps_up_after_the_killed():
    """Temporary files of the same name that nobody has written to for long, and no others."""
    names = [".out[1].txt.0123abcd.tmp", ".out[1].txt.4567abcd.tmp", ".out1.txt.89ababcd.tmp"]
    for name in names:
        Path(name).write_text("half of")
    for name in names[1:]:
        os.utime(name, (0, 0))
    with atomic("out[1].txt", "w") as file:
        file.write("all")
    assert files() == sorted([names[0], names[2], "out[1].txt"])


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
