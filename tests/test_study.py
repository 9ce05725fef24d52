"""The front end of a study: refusals in one line, one study at a time, nothing left running."""

import errno
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from papermill.cli import papermill

import helpers
from helpers import __main__ as cli
from helpers.conditions import CONDITIONS
from helpers.engine.files import SUMS, sums
from helpers.engine.processes import guarded
from helpers.evaluation import HEADLINE
from helpers.experiments import EXPERIMENTS
from helpers.study import graph as study_module
from helpers.study import runs
from helpers.study import scale as scale_module
from helpers.study.graph import locked, study, summary
from helpers.study.notebooks import check_parameters, parameters
from helpers.study.plan import StudyError, check_condition, jobs, prepare
from helpers.study.publish import publish
from helpers.study.runs import OF_A_HOOK, Run, machine, revision
from helpers.study.scale import load_scale
from helpers.study.specs import ModelSpec

PROJECT = Path(helpers.__file__).parents[1]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(PROJECT)}


EXPERIMENT = EXPERIMENTS["headline"]


@pytest.fixture
def run(tmp_path) -> Run:
    return Run(load_scale("smoke"), tmp_path)


def as_if_made(run: Run, *kinds: str) -> None:
    """Files and records of the products of these kinds, as if they had been made."""
    for product in (*run.products(EXPERIMENT), run.report(EXPERIMENT)):
        if product.name.split()[0] in kinds:
            with run.store.making(product):
                for name in product.files:
                    run.file(name).write_text(f"{product.name} {name}")


def one_line(text: str, *parts: str) -> None:
    assert len(text.splitlines()) == 1, text
    assert text.startswith("helpers: ")
    assert all(part in text for part in parts), text


# ── wrong arguments ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("command", ["study", "publish"])
def test_unknown_scale(command, capsys):
    assert cli.main([command, "--scale", "nonsense"]) == 2
    one_line(capsys.readouterr().err, "--scale: got 'nonsense', takes one of", "laptop", "smoke")


@pytest.mark.parametrize(("line", "other", "part"), [
    ("rows: .*", "rwos: 6", "rwos: unknown name"),
    ("  learning_rate: .*", "  learning_rate: 2_0", "learning_rate: got '2_0', takes")])
def test_wrong_line_in_a_scale(tmp_path, monkeypatch, capsys, line, other, part):
    text = (scale_module.SCALES / "smoke.yml").read_text()
    (tmp_path / "mine.yml").write_text(re.sub(f"^{line}$", other, text, flags=re.MULTILINE))
    monkeypatch.setattr(scale_module.load_scale, "__defaults__", (tmp_path,))
    assert cli.main(["study", "--scale", "mine"]) == 2
    one_line(capsys.readouterr().err, "scale mine: ", part)


@pytest.mark.parametrize("command", ["study", "publish", "fetch"])
def test_an_experiment_that_asks_nothing_of_a_scale(command, tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.yml").write_text("extends: smoke\nconditions: [solution_only]\n")
    shutil.copy(scale_module.SCALES / "smoke.yml", tmp_path)
    monkeypatch.setattr(scale_module.load_scale, "__defaults__", (tmp_path,))
    words = [command, "--scale", "mine", "--root", str(tmp_path / "runs")]
    assert cli.main([*words, "--experiment", "coupling"]) == 2
    one_line(capsys.readouterr().err, "--experiment: got 'coupling', which asks nothing of the "
                                      "conditions of scale mine, solution_only; takes another")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("cores", ["0", "-1", "two", ""])
def test_wrong_number_of_cores(cores, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["study", "--scale", "smoke", "--cores", cores])
    assert caught.value.code == 2
    one_line(capsys.readouterr().err, f"--cores: got {cores!r}, takes a whole number from 1 up")


@pytest.mark.parametrize(("changes", "said"), [
    ({"colour": "no colour"}, "'no colour' is not a valid value for color"),
    ({"traces": lambda corpus, seed: CONDITIONS["correct"].traces(corpus, seed).of(np.arange(2))},
     "swapped: got 2 traces for 16 examples")])
def test_a_condition_that_is_not_whole(tmp_path, monkeypatch, capsys, changes, said):
    """It is refused before anything is made, its look in figures too."""
    monkeypatch.setitem(CONDITIONS, "swapped", replace(CONDITIONS["swapped"], **changes))
    assert cli.main(["study", "--scale", "smoke", "--root", str(tmp_path)]) == 1
    one_line(capsys.readouterr().err, "helpers: condition swapped: ", said)
    assert not [path for path in tmp_path.rglob("*.*") if path.is_file()]


@pytest.mark.parametrize("name", ["near-swapped", "Near", "near swapped", "näher", "a+b", "2nd"])
def test_a_condition_whose_name_no_model_can_have(name, run, monkeypatch):
    """It is refused before anything trains, not by the notebook that trains it."""
    monkeypatch.setitem(CONDITIONS, name, CONDITIONS["correct"])
    with pytest.raises(StudyError, match=re.escape(f"condition {name}: got {name!r} as a name, "
                                                   "takes small letters")):
        check_condition(run, ModelSpec(name, 1))


# ── the run graph and the notebooks ─────────────────────────────────────────────────────


def test_unknown_parameters_are_refused():
    notebook = PROJECT / "notebooks" / "05_training.ipynb"
    check_parameters(notebook, ["scale", "root", "experiment", "model"])
    with pytest.raises(ValueError, match=r"parameter sed: notebook 05_training\.ipynb "
                                         "takes experiment, model, root, scale$"):
        check_parameters(notebook, ["scale", "sed"])


@pytest.mark.parametrize("name", ["04_corpus", "05_training", "06_evaluation",
                                  *(one.notebook for one in EXPERIMENTS.values())])
def test_notebooks_take_what_the_run_graph_gives(name):
    """Papermill only warns of a name that the notebook does not have."""
    given = {"scale", "experiment", "root"} | ({"model"} if name[:2] in ("05", "06") else set())
    assert given <= parameters(PROJECT / "notebooks" / f"{name}.ipynb")


# ── what is up to date ──────────────────────────────────────────────────────────────────


def plan(run: Run, **given) -> list[str]:
    lines = []
    prepare(run, EXPERIMENT, say=lines.append, **given)
    return lines


def test_nothing_made_yet(run):
    lines = plan(run)
    assert len(lines) == 1 + 3 + 3 + 1 + 1
    assert all(line.endswith("will be made") for line in lines)
    assert not list(run.folder.glob("jobs/*"))


def test_everything_made(run):
    as_if_made(run, "corpus", "model", "curve", "answers", "tables", "report")
    assert all(line.endswith("up to date") for line in plan(run))
    assert len(list(run.folder.glob("jobs/*.done"))) == 9
    assert not prepare(run, EXPERIMENT)


def test_a_deleted_corpus_is_missed_and_nothing_else_redone(run):
    as_if_made(run, "corpus", "model", "curve", "answers", "tables", "report")
    plan(run)
    lost = run.folder / run.corpus("train").files[0]
    lost.unlink()
    first, *others = plan(run)
    assert "will be made: corpus/train_wilson" in first
    assert all(line.endswith("up to date") for line in others)
    assert not (run.folder / "jobs" / "corpora.done").exists()
    # started again, for Snakemake would not come to the corpora else; it finds its products there
    assert not (run.folder / "jobs" / "training_correct_1.done").exists()


def test_a_changed_table_is_missed(run):
    as_if_made(run, "corpus", "model", "curve", "answers", "tables", "report")
    run.file("comparisons.csv").write_text("of an earlier run")
    assert [line for line in plan(run) if "will be" in line] == [
        "  analysis 07_analysis             will be made: comparisons.csv has changed since it "
        "was made"]


def with_rate(run: Run, root: Path) -> Run:
    """The same run, asked for another learning rate."""
    training = run.scale.training.model_copy(update={"learning_rate": 0.001})
    return Run(run.scale.model_copy(update={"training": training}), root)


def test_a_changed_setting_is_said_before_anything_is_touched(run, tmp_path):
    as_if_made(run, "corpus", "model", "curve", "answers", "tables", "report")
    plan(run)
    before = sorted(path for path in run.folder.rglob("*"))
    other = with_rate(run, tmp_path)
    lines = []
    with pytest.raises(StudyError, match=r"AGAIN=1 makes them again .* KEEP=1 goes on with them"):
        prepare(other, EXPERIMENT, say=lines.append)
    assert lines[0].endswith("up to date")
    assert "will be made again: training.learning_rate was 0.005, is 0.001" in lines[1]
    assert "will be made again: model correct_1 is another" in lines[4]
    assert before == sorted(path for path in run.folder.rglob("*"))
    plan(other, again=True)
    assert {path.name for path in run.folder.glob("jobs/*")} == {"corpora.done"}
    assert (run.folder / run.model(ModelSpec("correct", 1)).files[0]).exists()  # until it is made


def test_kept_is_said(run, tmp_path, monkeypatch):
    as_if_made(run, "corpus", "model", "curve", "answers", "tables", "report")
    monkeypatch.setenv("STUDY_KEEP", "1")
    other = with_rate(run, tmp_path)
    assert "kept as it is: training.learning_rate was 0.005, is 0.001" in plan(other)[1]
    assert not prepare(other, EXPERIMENT)
    other.file("headline.csv").write_text(headline().to_csv(index=False))
    with other.store.making(other.tables(EXPERIMENT)):
        pass
    assert "kept, made with other settings or code: model correct_1" in summary(other, EXPERIMENT)


@pytest.mark.parametrize("change", [
    {"training": {"checkpoint_every": 7}}, {"training": {"log_every": 3}},
    {"training": {"snapshots": 3}}, {"training": {"compiled": True}},
    {"decoding": {"batch_size": 3}}])
def test_settings_that_change_no_result_force_nothing(run, tmp_path, change):
    as_if_made(run, "corpus", "model", "curve", "answers", "tables", "report")
    (section, values), = change.items()
    part = getattr(run.scale, section).model_copy(update=values)
    other = Run(run.scale.model_copy(update={section: part}), tmp_path)
    assert all(line.endswith("up to date") for line in plan(other))


def test_longer_answers_leave_models_alone(run, tmp_path):
    as_if_made(run, "corpus", "model", "curve", "answers", "tables", "report")
    part = run.scale.decoding.model_copy(update={"max_new_tokens": 500})
    other = Run(run.scale.model_copy(update={"decoding": part}), tmp_path)
    for model in EXPERIMENT.models(run.scale):
        assert other.store.status(other.model(model)).state == "current"
    assert other.store.status(other.answers(EXPERIMENT.evaluations(run.scale)[0])).state == "stale"


@pytest.mark.parametrize(("change", "stale"), [
    ({"test_examples": 41}, {"answers", "tables"}),
    ({"validation_examples": 21}, {"curve", "tables"})])
def test_other_mazes_make_stale_what_was_asked_of_them(run, tmp_path, change, stale):
    as_if_made(run, "corpus", "model", "curve", "answers", "tables")
    other = Run(run.scale.model_copy(update=change), tmp_path)
    states = {one.name: other.store.status(one).state for one in other.products(EXPERIMENT)}
    assert {name.split()[0] for name, state in states.items() if state == "stale"} == stale


@pytest.mark.parametrize("kind", ["corpus", "model", "answers", "tables"])
def test_what_lacks_in_the_middle_is_made(run, kind):
    """Snakemake is content with the last marker, so none may stand behind something that lacks."""
    as_if_made(run, "corpus", "model", "curve", "answers", "tables", "report")
    assert not prepare(run, EXPERIMENT)
    lost = next(one for one in run.products(EXPERIMENT) if one.name.startswith(kind))
    run.file(lost.files[0]).unlink()
    assert prepare(run, EXPERIMENT)
    for job in jobs(run, EXPERIMENT):
        needs = set()
        waiting = list(job.products)
        while waiting:  # all that the job's products are made from
            one = waiting.pop()
            needs.add(one.name)
            waiting += one.inputs
        assert run.file(job.marker).exists() == (lost.name not in needs), job.name


def test_papermill_gives_a_notebook_text(tmp_path):
    """With -r; with -p it would be the number 68, and load_scale refuses that."""
    copy = tmp_path / "copy.ipynb"
    papermill(["--prepare-only", "-r", "scale", "6_8", str(PROJECT / "notebooks/04_corpus.ipynb"),
               str(copy)], standalone_mode=False)
    (cell,) = [cell for cell in nbformat.read(copy, as_version=4).cells
               if "injected-parameters" in cell.metadata.get("tags", [])]
    assert cell.source.splitlines()[-1] == 'scale = "6_8"'


# ── one at a time, and nothing left running ─────────────────────────────────────────────


def test_second_study_in_the_same_folder(run):
    with locked(run), pytest.raises(StudyError, match="is running already"), locked(run):
        pass
    with locked(run):
        pass


def test_second_study_touches_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(study_module, "PROJECT", tmp_path)
    run = Run(load_scale("smoke"), tmp_path / "runs")
    for name in ("progress/training.log", "logs/snakemake.log"):
        run.file(name).write_text("of the first")
    with locked(run), pytest.raises(StudyError, match="is running already"):
        study(run, "headline", EXPERIMENT)
    assert run.file("progress/training.log").read_text() == "of the first"
    assert run.file("logs/snakemake.log").read_text() == "of the first"


@pytest.mark.parametrize("name", ["runs", "runs/smoke", "runs/smoke/logs"])
def test_a_file_where_a_folder_belongs(tmp_path, capsys, name):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    assert cli.main(["study", "--scale", "smoke", "--root", str(tmp_path / "runs")]) == 1
    one_line(capsys.readouterr().err, str(path))


def test_a_lock_that_cannot_be_had(tmp_path, monkeypatch, capsys):
    """A full disk, or one that knows no locks."""
    def flock(*_):
        raise OSError(errno.ENOLCK, "No locks available")
    monkeypatch.setattr(fcntl, "flock", flock)
    assert cli.main(["study", "--scale", "smoke", "--root", str(tmp_path)]) == 1
    one_line(capsys.readouterr().err, "No locks available")


def test_machine():
    about = machine()
    assert about["processor"]
    assert about["cores"] >= 1
    assert 0.1 < about["memory_gib"] < 1e5


def test_revision(tmp_path, monkeypatch):
    """Of this checkout, even in a hook of another; of none where git does not track it."""
    def git(*words):
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        done = subprocess.run(["git", "-C", str(tmp_path), *who, *words], check=True,
                              capture_output=True, text=True)
        return done.stdout.strip()

    for name in OF_A_HOOK:
        monkeypatch.delenv(name, raising=False)
    copy = tmp_path / "outer" / "copy"
    copy.mkdir(parents=True)
    (copy / "README.md").touch()
    monkeypatch.setattr(runs, "PROJECT", copy)
    unknown = {"commit": None, "dirty": None}
    assert revision() == unknown
    git("init", "--quiet")
    git("commit", "--quiet", "--allow-empty", "--message", "another project's")
    assert revision() == unknown
    git("add", ".")
    git("commit", "--quiet", "--message", "with it")
    known = {"commit": git("rev-parse", "HEAD"), "dirty": False}
    assert revision() == known
    for name in OF_A_HOOK:
        monkeypatch.setenv(name, str(tmp_path / "of a hook"))
    assert revision() == known
    (copy / "README.md").write_text("changed")
    assert revision() == known | {"dirty": True}
    monkeypatch.setenv("PATH", "")
    assert revision() == unknown


def test_guarded(tmp_path):
    with guarded(["sh", "-c", "exit 3"]) as process:
        assert process.wait() == 3
    with pytest.raises(KeyboardInterrupt), guarded(["sh", "-c", "sleep 60 & sleep 60"]) as process:
        raise KeyboardInterrupt
    assert process.returncode == -signal.SIGKILL


PARENT = """
from helpers.engine.processes import guarded
with guarded(["sh", "-c", "sleep 60 & echo $!; wait"]) as process:
    process.wait()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_killed_study_leaves_nothing_running(number):
    # as in a terminal, also where these tests run under nohup
    parent = subprocess.Popen([sys.executable, "-c", PARENT], env=ENVIRONMENT, text=True,
                              stdout=subprocess.PIPE,
                              preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL))
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
        ["solution_only", 1, "wilson", 40, 0.5, 0.352, 0.648, 0.5, *[None] * 6, 40, 0.5,
         None],
        ["solution_only", 1, "dfs", 40, 0.1, 0.04, 0.23, 0.1, *[None] * 6, 40, 0.1, None],
        ["swapped", 1, "wilson", 40, 0.25, 0.142, 0.402, 0.2, 0.15, 0.1, 0.1, 0.3, 0.07,
         0.29, 40, 0.25, 0.1],
        ["swapped", 1, "dfs", 40, 0.0, 0.0, 0.088, 0.0, 0.05, 0.0, 0.0, None, 0.01, 0.17, 40,
         0.0, 0.05]],
        columns=HEADLINE)


def test_summary(run):
    headline().to_csv(run.file("headline.csv"), index=False)
    text = summary(run, EXPERIMENT)
    for part in ("n = 40 mazes a cell", "50.0 [35.2, 64.8]", "25.0 [14.2, 40.2]", "79.9", "26.0",
                 "Trace validity, per cent", "15.0", str(run.folder / "report.html")):
        assert part in text
    assert max(map(len, text.splitlines())) < 100 + len(str(run.folder))
    headline().iloc[:2].to_csv(run.file("headline.csv"), index=False)
    assert "Trace validity" not in summary(run, EXPERIMENT)


def test_publish(run, tmp_path):
    target = tmp_path / "results" / "tiny"
    as_if_made(run, "corpus", "model", "curve", "answers", "tables")
    with pytest.raises(StudyError, match="report 07_analysis is missing; run the study first"):
        publish(run, EXPERIMENT, target)
    assert not target.exists()
    as_if_made(run, "report")
    tables_alone = replace(EXPERIMENT, whole=lambda scale: [])  # models: test_box.py
    assert publish(run, tables_alone, target) == [*EXPERIMENT.published, SUMS]
    assert set(sums(target)) == set(EXPERIMENT.published)
    assert {path.name: path.read_bytes() for path in target.iterdir() if path.name != SUMS} == {
        name: run.file(name).read_bytes() for name in EXPERIMENT.published}


def test_publish_refuses_what_does_not_belong_together(run, tmp_path):
    as_if_made(run, "corpus", "model", "curve", "answers", "tables", "report")
    run.file("corpus.csv").write_text("of another run")
    with pytest.raises(StudyError, match=r"tables 07_analysis is missing \(corpus.csv has changed"):
        publish(run, EXPERIMENT, tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_publish_before_a_run(tmp_path, capsys):
    assert cli.main(["publish", "--scale", "smoke", "--root", str(tmp_path)]) == 1
    one_line(capsys.readouterr().err, "publish: ", "is missing", "run the study first")


def test_unknown_experiment(capsys):
    assert cli.main(["study", "--scale", "smoke", "--experiment", "nonsense"]) == 2
    one_line(capsys.readouterr().err, "--experiment: got 'nonsense', takes one of headline")


@pytest.mark.parametrize("folder", sorted((PROJECT / "results").glob("*/run.json")),
                         ids=lambda path: path.parent.name)
def test_published_results_belong_together(folder):
    """A results folder holds all tables of one run, and the scale it names."""
    assert {path.name for path in folder.parent.iterdir()} >= set(EXPERIMENT.published)
    about = json.loads(folder.read_text())
    assert about["scale"]["name"] == folder.parent.name
    table = pd.read_csv(folder.with_name("headline.csv"))
    assert list(table.columns) == HEADLINE
    assert set(table["n"]) == {about["scale"]["test_examples"]}
    cells = table[["condition", "seed", "distribution"]].drop_duplicates()
    assert len(table) == len(cells)
    whole = table[table["seed"].isin(about["scale"]["seeds"])]  # of further ones what is made
    assert len(whole) == len(about["scale"]["conditions"]) * len(about["scale"]["seeds"]) * len(
        about["scale"]["distributions"])
