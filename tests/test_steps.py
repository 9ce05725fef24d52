"""A whole study in miniature, called step by step as the notebooks call it."""

import errno
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.pyplot import close, subplots

from helpers import evaluation, training
from helpers.corpus import Corpus, overlap
from helpers.study import runs, steps, yaml12
from helpers.study.runs import Run
from helpers.study.scale import Scale, load_scale
from helpers.validator import judge_text

TINY = """
rows: 4
cols: 5
sampling: indexed
data_seed: 5
trained_on: wilson
conditions: [solution_only, correct, swapped]
seeds: [3]
distributions: [wilson, drunkards_walk]
train_examples: 200
test_examples: 12
validation_examples: 6
model: {width: 16, layers: 1, heads: 1, kv_heads: 1, mlp_width: 16, rope_theta: 10000.0}
training: {batch_size: 8, warmup_steps: 3, validations: 2, checkpoint_every: 10, log_every: 5,
           compiled: false}
decoding: {max_new_tokens: 180, batch_size: 5}
"""


@pytest.fixture(autouse=True, scope="module")
def _alone(one_thread):
    """One thread and no folder for bars, whatever the machine and its settings."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PROGRESS_FOLDER", raising=False)
        yield


@pytest.fixture(scope="module")
def scale(tmp_path_factory) -> Scale:
    folder = tmp_path_factory.mktemp("scales")
    (folder / "tiny.yml").write_text(TINY)
    return load_scale("tiny", folder)


def whole_study(scale: Scale, root: Path) -> Run:
    run = Run.of(scale, root)
    steps.make_corpora(scale, run)
    for condition in scale.conditions:
        for seed in scale.seeds:
            steps.train(scale, run, condition, seed)
            steps.evaluate(scale, run, condition, seed)
    steps.analyse(scale, run)
    return run


@pytest.fixture(scope="module")
def run(scale, tmp_path_factory) -> Run:
    return whole_study(scale, tmp_path_factory.mktemp("first"))


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_files(scale, run):
    expected = {f"{name}.csv" for name in (*steps.TABLES, "corpus")} | {"run.json"}
    expected |= {f"corpus/{name}.safetensors"
                 for name in ("train", "validation", "test_wilson", "test_drunkards_walk")}
    expected.add("steps/corpus.json")
    for condition in scale.conditions:
        expected |= {f"training/{condition}_3/{name}" for name in (
            "metrics.jsonl", "checkpoint.safetensors", "model.safetensors")}
        expected |= {f"evaluation/{condition}_3/{name}" for name in (
            "rows.csv", "responses_wilson.jsonl", "responses_drunkards_walk.jsonl")}
        expected |= {f"steps/{step}_{condition}_3.json" for step in ("training", "evaluation")}
    assert names(run.folder) == expected
    assert run.folder.name == "tiny"
    assert run.model("correct", 3).is_file()


def test_same_settings_same_files(scale, run, tmp_path):
    again = whole_study(scale, tmp_path)
    seconds = {"run.json", "learning_curves.csv", *(
        name for name in names(run.folder)
        if name.startswith("steps/") or name.endswith(("metrics.jsonl", "checkpoint.safetensors")))}
    for name in sorted(names(run.folder) - seconds):
        assert (again.folder / name).read_bytes() == (run.folder / name).read_bytes(), name
    one, other = (pd.read_csv(r.file("learning_curves.csv")).drop(columns="seconds")
                  for r in (run, again))
    pd.testing.assert_frame_equal(one, other)


def test_corpora(scale, run):
    table = pd.read_csv(run.file("corpus.csv")).set_index("corpus")
    train = Corpus.load(run.corpus("train"))
    assert table["n"].to_dict() == {"train": 200, "test_wilson": 12, "test_drunkards_walk": 12,
                                    "validation": 6}
    for name, row in table.drop(index="train").iterrows():
        corpus = Corpus.load(run.corpus(name))
        assert overlap(corpus, train) == row["also_in_training"] == 0
        assert corpus.removed == row["removed"]
        assert row["distinct_problems"] == len(set(corpus.problems.tolist()))
    shares = table["share_of_problems_trained_on"]
    assert 0 < shares["train"] < 1
    assert np.isnan(shares["test_drunkards_walk"])
    assert table.loc["test_wilson", "removed"] > 0  # small as the grid is


def test_headline(scale, run):
    lines = run.file("headline.csv").read_text().splitlines()
    assert lines[0] == (
        "condition,seed,distribution,n,plan_valid,plan_valid_low,plan_valid_high,plan_optimal,"
        "trace_valid,trace_strict,trace_exact,trace_valid_given_plan_valid")
    cells = [line.split(",")[:4] for line in lines[1:]]
    assert cells == [[condition, "3", distribution, "12"] for condition in scale.conditions
                     for distribution in scale.distributions]
    for line in lines[1:]:
        values = line.split(",")
        assert all(0 <= float(value) <= 1 for value in values[4:8])
        assert (values[8] == "") == (values[0] == "solution_only")


def test_run_json(scale, run):
    about = json.loads(run.file("run.json").read_text())
    assert set(about) == {"scale", "machine", "packages", "seconds"}
    values = yaml12.read(TINY.encode())
    assert {name: about["scale"][name] for name in values if name not in (
        "model", "training")} == {name: values[name] for name in values if name not in (
            "model", "training")}
    assert about["scale"]["training"]["batch_size"] == 8
    assert about["machine"]["cores"] >= 1
    assert {"processor", "memory_gib", "accelerator", "python"} <= set(about["machine"])
    assert about["packages"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert set(about["packages"]) == set(runs.PACKAGES)
    assert set(about["seconds"]) == {"corpus", *(
        f"{step}_{condition}_3" for step in ("training", "evaluation")
        for condition in scale.conditions)}
    assert all(seconds >= 0 for seconds in about["seconds"].values())


def test_rows_survive_the_file(scale, run):
    made = []
    for condition in scale.conditions:
        for distribution in scale.distributions:
            corpus = Corpus.load(run.corpus(f"test_{distribution}"))
            model = training.load_model(run.model(condition, 3), corpus)
            responses = evaluation.respond(model, corpus, condition, max_new_tokens=180,
                                           batch_size=5)
            made.append(evaluation.judge(corpus, condition, responses).assign(
                condition=condition, seed=3, distribution=distribution))
    made, read = pd.concat(made, ignore_index=True), steps.all_rows(scale, run)
    assert list(read.columns[:4]) == [*evaluation.CELL, "maze"]
    for name in ("trace_valid", "trace_strict", "trace_exact"):
        assert read[name].dtype == "boolean"
        assert read[name].isna().equals(~read["has_trace"])
    for name in ("plan_valid", "plan_optimal", "has_trace"):
        assert read[name].dtype == bool
    assert read.to_csv() == made[read.columns].to_csv()
    for table in (evaluation.headline, evaluation.comparisons, evaluation.coupling,
                  evaluation.errors):
        pd.testing.assert_frame_equal(table(read), table(made))


def test_responses_judged_again(scale, run):
    rows = steps.all_rows(scale, run)
    for (condition, seed, distribution), part in rows.groupby(evaluation.CELL, sort=False):
        path = run.evaluation(condition, seed, f"responses_{distribution}.jsonl")
        lines = path.read_text().splitlines()
        for line, row in zip(lines, part.to_dict("records"), strict=True):
            verdict = judge_text(json.loads(line)["text"], 4, 5).as_dict()
            for name in ("valid", "optimal"):
                assert verdict["plan"][name] == row[f"plan_{name}"]
            assert (verdict["plan"]["error"] or "") == (
                "" if row["plan_valid"] else row["plan_error"])
            assert (verdict["trace"] is None) == (not row["has_trace"])
            for name in ("valid", "strict", "exact") if row["has_trace"] else ():
                assert verdict["trace"][name] == row[f"trace_{name}"]
            if row["has_trace"] and not row["trace_valid"]:
                assert verdict["trace"]["error"] == row["trace_error"]
                assert verdict["trace"]["event"] == row["trace_event"]


def test_tables_are_made_from_a_run_or_read_as_published(scale, run, tmp_path, monkeypatch):
    made, folder = steps.tables(scale, str(run.folder.parent))
    assert folder == run.folder
    assert set(made) == set(steps.TABLES)
    published = tmp_path / "results" / "tiny"
    published.mkdir(parents=True)
    for name in steps.TABLES:
        (published / f"{name}.csv").write_bytes(run.file(f"{name}.csv").read_bytes())
    monkeypatch.setattr(steps, "PROJECT", tmp_path)
    read, folder = steps.tables(scale, "")
    assert folder == published
    for name in steps.TABLES:
        assert read[name].to_csv() == made[name].to_csv()


# ── interrupted ─────────────────────────────────────────────────────────────────────────


def test_a_step_that_fails_records_nothing(run, tmp_path):
    other = Run(tmp_path)
    with pytest.raises(KeyboardInterrupt), other.step("corpus"):
        raise KeyboardInterrupt
    assert names(tmp_path) == set()
    assert other.seconds() == {}


def test_evaluation_on_a_full_disk(scale, run, monkeypatch):
    before = {name: (run.folder / name).read_bytes() for name in names(run.folder)}

    def full(*_):
        yield "query"
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(evaluation, "texts", full)
    with pytest.raises(OSError, match="No space left"):
        steps.evaluate(scale, run, "correct", 3)
    assert {name: (run.folder / name).read_bytes() for name in names(run.folder)} == before


def test_training_interrupted_in_a_validation(scale, run, tmp_path, monkeypatch):
    other = Run.of(scale, tmp_path)
    steps.make_corpora(scale, other)

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "plan_validity", interrupted)
        with pytest.raises(KeyboardInterrupt):
            steps.train(scale, other, "swapped", 3)
    assert not other.model("swapped", 3).exists()
    assert "training_swapped_3" not in other.seconds()
    metrics = steps.train(scale, other, "swapped", 3)
    assert metrics["step"].max() == 25
    assert other.model("swapped", 3).read_bytes() == run.model("swapped", 3).read_bytes()


def test_seconds_of_a_training_count_what_came_before(scale, run):
    before = run.seconds()["training_correct_3"]
    steps.train(scale, run, "correct", 3)  # done long ago
    assert run.seconds()["training_correct_3"] == before > 0


def test_corpus_of_another_scale(scale, run, tmp_path):
    other = scale.model_copy(update={"rows": 5, "cols": 5})
    larger = Run.of(other, tmp_path)
    steps.make_corpora(other, larger)
    theirs = larger.training("correct", 3)
    theirs.mkdir(parents=True)
    (theirs / "model.safetensors").write_bytes(run.model("correct", 3).read_bytes())
    with pytest.raises(training.CheckpointError, match=r"got a 5x5 grid, .* takes 4x5"):
        steps.evaluate(other, larger, "correct", 3)


# ── figures ─────────────────────────────────────────────────────────────────────────────


def drawn() -> Figure:
    figure, ax = subplots()
    ax.plot([0, 1], [1, 0], label="a line")
    ax.legend()
    close(figure)
    return figure


def test_figures_are_the_same_to_the_byte(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        steps.save_figure(drawn(), tmp_path / name, "line")
    one, other = ((tmp_path / name / "line.svg").read_bytes() for name in ("one", "other"))
    assert one == other
    assert one.lstrip().startswith(b"<?xml")
    assert b"<dc:date>" not in one


def test_published_figures_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(steps, "PROJECT", tmp_path)
    published = tmp_path / "results" / "tiny"
    published.mkdir(parents=True)
    steps.save_figure(drawn(), published, "line")
    assert names(tmp_path) == set()
