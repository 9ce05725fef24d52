"""How far a running study is, and why it failed."""

import os
import pty
import re
import select
import sys
import termios
import time
from types import SimpleNamespace

import pytest

from helpers import __main__ as cli
from helpers.engine.progress import bar, duration, latest
from helpers.experiments import EXPERIMENTS
from helpers.study import graph, watch
from helpers.study.plan import jobs
from helpers.study.runs import Run
from helpers.study.scale import load_scale
from helpers.study.watch import failure, running, steps

EXPERIMENT = EXPERIMENTS["headline"]


@pytest.fixture
def run(tmp_path) -> Run:
    return Run(load_scale("smoke"), tmp_path)


# ── what went wrong ─────────────────────────────────────────────────────────────────────

TRACEBACK = """Executing notebook with kernel: python3
Traceback (most recent call last):
papermill.exceptions.PapermillExecutionError: \n
---------------------------------------------------------------------------
\x1b[31mCheckpointError\x1b[39m                 Traceback (most recent call last)
Cell In[9], line 1
\x1b[31mCheckpointError\x1b[39m: checkpoint x: was written with seed 3, this run has 4

"""


@pytest.fixture
def todo(run) -> list:
    """The jobs of a study in the middle: the first is done, the next has failed."""
    found = jobs(run, EXPERIMENT)
    run.file(found[0].marker).touch()
    run.file(found[0].log).write_text("ValueError: of an earlier attempt\n")
    run.file(found[1].log).write_text(TRACEBACK)
    run.file("logs/snakemake.log").write_text("")
    return found


def test_failed_step(run, todo):
    where = run.folder / "logs" / "training_correct_1.log"
    assert failure(run, todo) == (
        "step training correct_1 failed: CheckpointError: checkpoint x: was written with seed 3, "
        f"this run has 4 (whole log: {where})")


def test_failed_step_without_a_word(run, todo):
    for text, reason in (("", "no word of why"), ("Killed\n\n", "Killed"),
                         ("No Error here\nbash: papermill: command not found\n", "papermill")):
        (run.folder / todo[1].log).write_text(text)
        message = failure(run, todo)
        assert "step training correct_1 failed" in message
        assert reason in message
        assert "\n" not in message


def test_failed_step_on_a_full_disk(run, todo, monkeypatch):
    """Its log may be empty, and yet it is said why."""
    (run.folder / todo[1].log).write_text("")
    monkeypatch.setattr(watch.shutil, "disk_usage", lambda _: SimpleNamespace(free=4096))
    assert failure(run, todo).endswith(f"; no space left on {run.folder}'s disk")


def test_failure_of_the_graph_itself(run, todo):
    """Then the logs of earlier steps have nothing to do with it."""
    (run.folder / todo[1].log).unlink()
    log = run.folder / "logs" / "snakemake.log"
    log.write_text("NameError in file Snakefile, line 9:\nname 'x' is not defined\n")
    assert failure(run, todo) == (
        "study failed: NameError in file Snakefile, line 9: name 'x' is not defined "
        f"(whole log: {log})")
    log.write_text("ScaleError in file Snakefile, line 9:\nscale x: rows: got 2\n  File x\n")
    assert "line 9: scale x: rows: got 2 (whole" in failure(run, todo)


def test_failed_study(tmp_path, monkeypatch, capsys):
    """From the process's exit status to one line and exit status 1."""
    (tmp_path / "Snakefile").write_text("rule all:\n    input: no_such_word\n")
    monkeypatch.setattr(graph, "PROJECT", tmp_path)
    assert cli.main(["study", "--scale", "smoke", "--cores", "1",
                     "--root", str(tmp_path / "runs")]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("helpers: study failed: NameError")
    assert "snakemake.log" in captured.err
    assert len(captured.err.splitlines()) == 1
    assert "everything under" in captured.out
    assert "elapsed" in captured.out


# ── what is under way ───────────────────────────────────────────────────────────────────


def test_steps(run, todo):
    assert steps(run, todo) == "1 of 9 steps done, under way: training correct_1"
    run.file(todo[1].marker).touch()
    assert steps(run, todo) == "2 of 9 steps done"


def test_bars_of_other_processes(tmp_path, monkeypatch):
    folder = tmp_path / "progress"
    monkeypatch.setenv("PROGRESS_FOLDER", str(folder))
    with bar(40, "training correct 1", "step", done=10) as progress:
        assert latest(folder).keys() == {"training_correct_1"}
        (line,) = running(folder)
        assert re.fullmatch("  training correct 1 +25 %  starting +[█▎▌▊]+ *", line)
        progress.mininterval = 0
        progress.update(20)
        (line,) = running(folder)
        assert re.match("  training correct 1 +75 %  0 s left ", line)
        assert "\n" not in line
        progress.update(9)
        assert " 97 %  " in running(folder)[0]
        progress.update(1)
    assert running(folder) == []  # done
    assert " 100 %  done " in latest(folder)["training_correct_1"]
    (folder / "torn.log").write_bytes("torn  50 %  ██".encode()[:-1])
    (folder / "empty.log").write_text("")
    assert [line.strip()[:10] for line in running(folder)] == ["torn  50 %"]


@pytest.fixture
def clock(monkeypatch):
    """Time that stands still until it is told to go on."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_time_left_is_measured_behind_the_compilation(tmp_path, monkeypatch, clock):
    """A first step of a minute says nothing about the others; never 104 hours left."""
    monkeypatch.setenv("PROGRESS_FOLDER", str(tmp_path))
    with bar(6250, "training swapped 1", "step", done=50, compiles=True) as progress:
        progress.mininterval = 0

        def line(seconds: float, units: int) -> str:
            clock[0] += seconds
            progress.update(units)
            progress.refresh()
            return running(tmp_path)[0]

        assert "  compiling " in running(tmp_path)[0]
        progress.set_postfix_str("plan loss 2.312", refresh=False)
        assert "   0 %  plan loss 2.312  compiling " in line(60, 1)  # nothing measured yet
        assert "   0 %  plan loss 2.312  10 min left " in line(1, 10)
        assert "   0 %  plan loss 2.312  1 h 43 min left" in line(9, 0)
        assert "  96 %  plan loss 2.312  4 min left" in line(5940, 5940)


@pytest.mark.parametrize(("seconds", "text"), [
    (0, "0 s"), (40.4, "40 s"), (59.4, "59 s"), (59.6, "1 min"), (200, "3 min"), (3569, "59 min"),
    (3571, "1 h 0 min"), (4320, "1 h 12 min"), (47.9 * 3600, "47 h 54 min"),
    (223.86 * 3600, "9 d 8 h")])
def test_duration(seconds, text):
    assert duration(seconds) == text


@pytest.fixture
def terminal(monkeypatch):
    """A terminal of 80 columns: the file to write to, and what it was sent, line by line."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    monkeypatch.setenv("COLUMNS", "80")

    def sent() -> list[str]:
        received = b""
        while select.select([ours], [], [], 0.5)[0]:  # it comes in pieces
            received += os.read(ours, 1 << 16)
        return re.split("[\r\n]+", received.decode())

    with open(theirs, "w", encoding="utf-8") as file:
        yield file, sent
    os.close(ours)


@pytest.mark.parametrize("title", ["training solution_only 2",
                                   "training correct+gap_2+trained_on_dfs 12"])
@pytest.mark.parametrize("headless", [False, True])
def test_bars_at_80_columns(title, headless, tmp_path, monkeypatch, clock, terminal):
    """Title, share, loss and time left are seen, where the step runs and in the study's front."""
    file, sent = terminal
    for name in ("stdout", "stderr"):  # here, since pytest sets its own before the test
        monkeypatch.setattr(sys, name, file)
    monkeypatch.delenv("PROGRESS_FOLDER", raising=False)
    if headless:
        monkeypatch.setenv("PROGRESS_FOLDER", str(tmp_path))
    with bar(900, title, "step", compiles=True) as progress:
        progress.mininterval = 0
        progress.update()
        clock[0] += 1332
        progress.set_postfix_str("plan loss 10.412", refresh=False)
        progress.update(250)
        if headless:
            monkeypatch.setattr(time, "sleep", lambda seconds: None)
            run = Run(load_scale("smoke"), tmp_path / "runs")
            (run.folder / "progress").symlink_to(tmp_path)
            watch.watch(Ending(), run, [])
        lines = sent()
    assert max(map(len, lines)) <= 80
    (line,) = [line for line in lines if "loss" in line]
    assert line.strip().startswith(title[:16])
    assert f"{title[-15:]}  27 %  plan loss 10.412  58 min left  █" in line
    assert headless or "  compiling  " in lines[1]


class Ending:
    """A process that ends at the second look."""

    looks = 0

    def poll(self):
        self.looks += 1
        return 0 if self.looks > 1 else None


@pytest.mark.parametrize("terminal", [False, True])
def test_watch(run, todo, monkeypatch, capsys, terminal):
    progress = run.folder / "progress"
    progress.mkdir()
    (progress / "a.log").write_text("\ra   0 %  starting  \ra  44 %  12 s left  ##")
    (progress / "b.log").write_text("\rb 100 %  done  ####\n")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    watch.watch(Ending(), run, todo)
    out = capsys.readouterr().out
    assert out.count("0:00:00 elapsed, 1 of 9 steps done, under way: training correct_1\n") == 2
    assert out.count("  a  44 %  12 s left  ##\n") == 1
    assert "done  ##" not in out
    assert ("\033[2F\033[J" in out) == terminal  # two lines drawn, then drawn over
    assert ("\033" in out) == terminal
