"""The front end of a study: refusals in one line, one study at a time, nothing left running."""

import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import nbformat
import pandas as pd
import pytest

import helpers
from helpers import __main__ as cli
from helpers.engine.progress import bar, duration, latest
from helpers.evaluation import HEADLINE
from helpers.study import graph as study_module
from helpers.study import scale as scale_module
from helpers.study.graph import StudyError, guarded, locked, publish, running, steps, study, summary
from helpers.study.runs import PUBLISHED, Run
from helpers.study.scale import load_scale

PROJECT = Path(helpers.__file__).parents[1]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(PROJECT)}


@pytest.fixture
def run(tmp_path) -> Run:
    return Run(tmp_path)


def one_line(text: str, *parts: str) -> None:
    assert len(text.splitlines()) == 1, text
    assert text.startswith("helpers: ")
    assert all(part in text for part in parts), text


# ── wrong arguments ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("command", ["study", "publish"])
def test_unknown_scale(command, capsys):
    assert cli.main([command, "--scale", "nonsense"]) == 2
    one_line(capsys.readouterr().err, "--scale: got 'nonsense', takes one of", "laptop", "smoke")


def test_unknown_scale_as_a_process():
    done = subprocess.run([sys.executable, "-m", "helpers", "study", "--scale", "nonsense"],
                          env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    one_line(done.stderr, "'nonsense'")


@pytest.mark.parametrize(("line", "other", "part"), [
    ("rows: .*", "rwos: 6", "rwos: unknown name"),
    ("  learning_rate: .*", "  learning_rate: 2_0", "learning_rate: got '2_0', takes")])
def test_wrong_line_in_a_scale(tmp_path, monkeypatch, capsys, line, other, part):
    text = (scale_module.SCALES / "smoke.yml").read_text()
    (tmp_path / "mine.yml").write_text(re.sub(f"^{line}$", other, text, flags=re.MULTILINE))
    monkeypatch.setattr(scale_module.load_scale, "__defaults__", (tmp_path,))
    assert cli.main(["study", "--scale", "mine"]) == 2
    one_line(capsys.readouterr().err, "scale mine: ", part)


@pytest.mark.parametrize("cores", ["0", "-1", "two", ""])
def test_wrong_number_of_cores(cores, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["study", "--scale", "smoke", "--cores", cores])
    assert caught.value.code == 2
    one_line(capsys.readouterr().err, f"--cores: got {cores!r}, takes a whole number from 1 up")


# ── the run graph and the notebooks ─────────────────────────────────────────────────────


def declared(notebook: str) -> set[str]:
    """The names that a notebook's parameters cell gives values to."""
    cells = nbformat.read(PROJECT / "notebooks" / f"{notebook}.ipynb", as_version=4).cells
    (cell,) = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    return set(re.findall(r"^(\w+) = ", cell.source, re.MULTILINE))


def test_parameters_are_declared():
    """Papermill only warns of a name that the notebook does not have."""
    snakefile = (PROJECT / "Snakefile").read_text()
    shared = set(re.findall(r"-[pr] (\w+)", snakefile[:snakefile.index("\nMODEL = ")]))
    per_model = set(re.findall(r"-[pr] (\w+)", re.search(r"^MODEL = (.*)$", snakefile,
                                                         re.MULTILINE)[1]))
    assert shared == {"scale", "root"}
    assert per_model == {"condition", "seed"}
    used = re.findall(r"^ +notebook\(\"(\w+)\"(.*)\)$", snakefile, re.MULTILINE)
    assert len(used) == 4
    for notebook, more in used:
        assert shared | (per_model if "MODEL" in more else set()) <= declared(notebook), notebook


def test_a_scales_name_stays_text(tmp_path):
    """From the command line into the notebook, where it looks like a number to Snakemake."""
    for part in ("helpers", "notebooks"):
        shutil.copytree(PROJECT / part, tmp_path / part)
    shutil.copy(PROJECT / "Snakefile", tmp_path)
    (tmp_path / "scales").mkdir()
    text = (PROJECT / "scales/smoke.yml").read_text()
    for name in ("6_8", "010", "1e3"):
        (tmp_path / f"scales/{name}.yml").write_text(text)
        done = subprocess.run(
            [sys.executable, "-m", "snakemake", "--directory", f"runs/{name}", "--dry-run",
             "--printshellcmds", "--cores", "1", "--config", f"scale={name}"],
            cwd=tmp_path, env=ENVIRONMENT | {"PYTHONPATH": str(tmp_path)}, capture_output=True,
            text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        commands = re.findall(r" -r scale (\S+) -r root ", done.stdout + done.stderr)
        assert commands == [name] * 8  # corpus, three models trained and evaluated, analysis


def test_papermill_gives_a_notebook_text(tmp_path):
    """With -r; with -p it would be the number 68, and load_scale refuses that."""
    copy = tmp_path / "copy.ipynb"
    subprocess.run([sys.executable, "-m", "papermill", "--prepare-only", "-r", "scale", "6_8",
                    PROJECT / "notebooks/04_corpus.ipynb", copy], check=True, capture_output=True)
    (cell,) = [cell for cell in nbformat.read(copy, as_version=4).cells
               if "injected-parameters" in cell.metadata.get("tags", [])]
    assert cell.source.splitlines()[-1] == 'scale = "6_8"'


# ── what went wrong ─────────────────────────────────────────────────────────────────────

FAILED = """Building DAG of jobs...
Job stats:
job           count
----------  -------
corpus            1
training          2
all               1
total             4

[Sun Nov 22 11:00:04 2026]
localrule corpus:
    output: corpus.csv
    log: logs/corpus.log
    jobid: 3
    resources: tmpdir=/tmp
[Sun Nov 22 11:00:20 2026]
Finished jobid: 3 (Rule: corpus)
1 of 4 steps (25%) done

[Sun Nov 22 11:00:20 2026]
rule training:
    input: corpus.csv
    output: training/correct_1/model.safetensors
    log: logs/training_correct_1.log
    jobid: 2
    wildcards: model=correct_1

[Sun Nov 22 11:00:21 2026]
rule training:
    input: corpus.csv
    output: training/swapped_1/model.safetensors
    log: logs/training_swapped_1.log
    jobid: 5
    wildcards: model=swapped_1
"""
ERROR = """[Sun Nov 22 11:00:40 2026]
Error in rule training:
    message: None
    jobid: 2
    log: logs/training_correct_1.log (check log file(s) for error details)
    shell:
        papermill
        (command exited with non-zero exit code)
Exiting because a job execution failed. Look above for error messages
"""
TRACEBACK = """Executing notebook with kernel: python3
Traceback (most recent call last):
papermill.exceptions.PapermillExecutionError: \n
---------------------------------------------------------------------------
\x1b[31mCheckpointError\x1b[39m                 Traceback (most recent call last)
Cell In[9], line 1
\x1b[31mCheckpointError\x1b[39m: checkpoint x: was written with seed 3, this run has 4

"""


@pytest.fixture
def log(run) -> Path:
    path = run.file("logs/snakemake.log")
    path.write_text(FAILED + ERROR)
    run.file("logs/corpus.log").write_text("ValueError: of an earlier attempt\n")
    run.file("logs/training_correct_1.log").write_text(TRACEBACK)
    return path


def test_failed_step(log):
    message = study_module._failure(log)
    where = log.with_name("training_correct_1.log")
    assert message == ("step training_correct_1 failed: CheckpointError: checkpoint x: was written "
                       f"with seed 3, this run has 4 (whole log: {where})")


def test_failed_step_without_a_word(log):
    for text, reason in (("", "no word of why"), ("Killed\n\n", "Killed"),
                         ("No Error here\nbash: papermill: command not found\n", "papermill")):
        log.with_name("training_correct_1.log").write_text(text)
        message = study_module._failure(log)
        assert "step training_correct_1 failed" in message
        assert reason in message
        assert "\n" not in message


def test_failure_of_the_graph_itself(log):
    """Then the logs of earlier steps have nothing to do with it."""
    log.write_text("NameError in file Snakefile, line 9:\nname 'x' is not defined\n")
    message = study_module._failure(log)
    assert message == ("study failed: NameError in file Snakefile, line 9: name 'x' is not "
                       f"defined (whole log: {log})")
    log.write_text("ScaleError in file Snakefile, line 9:\nscale x: rows: got 2\n  File x\n")
    assert "line 9: scale x: rows: got 2 (whole" in study_module._failure(log)


def test_failed_study(run, tmp_path, monkeypatch, capsys):
    """From the process's exit status to one line and exit status 1."""
    (tmp_path / "Snakefile").write_text("rule all:\n    input: no_such_word\n")
    monkeypatch.setattr(study_module, "PROJECT", tmp_path)
    assert cli.main(["study", "--scale", "smoke", "--cores", "1"]) == 1
    captured = capsys.readouterr()
    one_line(captured.err, "study failed: NameError", "snakemake.log")
    assert "everything under" in captured.out
    assert "elapsed" in captured.out


# ── what is under way ───────────────────────────────────────────────────────────────────


def test_steps(log):
    log.write_text("Building DAG of jobs...\n")
    assert steps(log) == ""
    log.write_text(FAILED)
    assert steps(log) == "1 of 4 steps done, running: training"
    log.write_text(FAILED + ERROR)
    assert steps(log) == "1 of 4 steps done, running: training"  # the other one
    log.write_text(FAILED[:FAILED.index("[Sun Nov 22 11:00:20")])
    assert steps(log) == "0 of 4 steps done, running: corpus"
    log.write_text(FAILED[:FAILED.index("\n[Sun Nov 22 11:00:20 2026]\nrule")])
    assert steps(log) == "1 of 4 steps done"


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
            (tmp_path / "snakemake.txt").touch()
            study_module._watch(Ending(), tmp_path, tmp_path / "snakemake.txt")
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
def test_watch(log, tmp_path, monkeypatch, capsys, terminal):
    log.write_text(FAILED)
    progress = tmp_path / "progress"
    progress.mkdir()
    (progress / "a.log").write_text("\ra   0 %  starting  \ra  44 %  12 s left  ##")
    (progress / "b.log").write_text("\rb 100 %  done  ####\n")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    study_module._watch(Ending(), progress, log)
    out = capsys.readouterr().out
    assert out.count("0:00:00 elapsed, 1 of 4 steps done, running: training\n") == 2
    assert out.count("  a  44 %  12 s left  ##\n") == 1
    assert "done  ##" not in out
    assert ("\033[2F\033[J" in out) == terminal  # two lines drawn, then drawn over
    assert ("\033" in out) == terminal


# ── one at a time, and nothing left running ─────────────────────────────────────────────


def test_second_study_in_the_same_folder(run):
    with locked(run), pytest.raises(StudyError, match="is running already"), locked(run):
        pass
    with locked(run):
        pass


def test_second_study_touches_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(study_module, "PROJECT", tmp_path)
    scale = load_scale("smoke")
    run = Run.of(scale, tmp_path / "runs")
    for name in ("progress/training.log", "logs/snakemake.log"):
        run.file(name).write_text("of the first")
    with locked(run), pytest.raises(StudyError, match="is running already"):
        study(scale)
    assert run.file("progress/training.log").read_text() == "of the first"
    assert run.file("logs/snakemake.log").read_text() == "of the first"


def test_guarded(tmp_path):
    with guarded(["sh", "-c", "exit 3"]) as process:
        assert process.wait() == 3
    with pytest.raises(KeyboardInterrupt), guarded(["sh", "-c", "sleep 60 & sleep 60"]) as process:
        raise KeyboardInterrupt
    assert process.returncode == -signal.SIGKILL


PARENT = """
import sys
from helpers.study.graph import guarded
with guarded(["sh", "-c", "sleep 60 & echo $!; wait"]) as process:
    process.wait()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_killed_study_leaves_nothing_running(number):
    parent = subprocess.Popen([sys.executable, "-c", PARENT], env=ENVIRONMENT, text=True,
                              stdout=subprocess.PIPE)
    grandchild = int(parent.stdout.readline())
    os.kill(grandchild, 0)
    parent.send_signal(number)
    assert parent.wait(timeout=10) == -number
    assert gone(grandchild)


def gone(pid: int) -> bool:
    """Whether a process has ended within ten seconds, buried or not."""
    for _ in range(100):
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.1)
    return False


# ── what came out ───────────────────────────────────────────────────────────────────────


def headline() -> pd.DataFrame:
    return pd.DataFrame([
        ["solution_only", 1, "wilson", 40, 0.5, 0.352, 0.648, 0.5, None, None, None, None],
        ["solution_only", 1, "dfs", 40, 0.1, 0.04, 0.23, 0.1, None, None, None, None],
        ["swapped", 1, "wilson", 40, 0.25, 0.142, 0.402, 0.2, 0.15, 0.1, 0.1, 0.3],
        ["swapped", 1, "dfs", 40, 0.0, 0.0, 0.088, 0.0, 0.05, 0.0, 0.0, None]], columns=HEADLINE)


def test_summary(run):
    headline().to_csv(run.file("headline.csv"), index=False)
    text = summary(run)
    for part in ("n = 40 mazes a cell", "50.0 [35.2, 64.8]", "25.0 [14.2, 40.2]", "79.9", "26.0",
                 "Trace validity, per cent", "15.0", str(run.folder / "report.html")):
        assert part in text
    assert max(map(len, text.splitlines())) < 100 + len(str(run.folder))
    headline().iloc[:2].to_csv(run.file("headline.csv"), index=False)
    assert "Trace validity" not in summary(run)


def test_publish(run, tmp_path):
    target = tmp_path / "results" / "tiny"
    with pytest.raises(StudyError, match="run the study first"):
        publish(run, target)
    for name in PUBLISHED[1:]:
        run.file(name).write_text(name)
    with pytest.raises(StudyError, match=f"lacks {re.escape(PUBLISHED[0])}; run the study first"):
        publish(run, target)
    assert not target.exists()
    run.file(PUBLISHED[0]).write_text(PUBLISHED[0])
    assert publish(run, target) == list(PUBLISHED)
    assert {path.name: path.read_text() for path in target.iterdir()} == {
        name: name for name in PUBLISHED}


def test_publish_before_a_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(study_module, "PROJECT", tmp_path)
    assert cli.main(["publish", "--scale", "smoke"]) == 1
    one_line(capsys.readouterr().err, "publish: ", "lacks headline.csv", "run the study first")
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("folder", sorted((PROJECT / "results").glob("*/run.json")),
                         ids=lambda path: path.parent.name)
def test_published_results_belong_together(folder):
    """A results folder holds all tables of one run, and the scale it names."""
    assert {path.name for path in folder.parent.iterdir()} >= set(PUBLISHED)
    about = json.loads(folder.read_text())
    assert about["scale"]["name"] == folder.parent.name
    table = pd.read_csv(folder.with_name("headline.csv"))
    assert list(table.columns) == HEADLINE
    assert set(table["n"]) == {about["scale"]["test_examples"]}
    cells = table[["condition", "seed", "distribution"]].drop_duplicates()
    assert len(table) == len(cells) == len(about["scale"]["conditions"]) * len(
        about["scale"]["seeds"]) * len(about["scale"]["distributions"])
