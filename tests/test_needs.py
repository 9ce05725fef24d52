"""What steps ask of a cluster: follows from the scale, whatever machine submits; as documented."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from ruamel.yaml import YAML

from helpers import __main__ as cli
from helpers.experiments import EXPERIMENTS
from helpers.model import Transformer
from helpers.study import cost, graph, needs
from helpers.study.runs import Run
from helpers.study.scale import load_scale

PROJECT = Path(__file__).resolve().parent.parent
HEADLINE = EXPERIMENTS["headline"]
SCALES = ("smoke", "laptop", "gpu", "paper")
DOCUMENTED = (PROJECT / "docs" / "cluster.md").read_text(encoding="utf-8")


def asked(run: Run, model) -> list:
    return [one for one in HEADLINE.evaluations(run.scale) if one.model == model]


@pytest.fixture
def any_machine(monkeypatch):
    """A machine that has a GPU and cannot be measured."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(cost, "speed", lambda: 1 / 0)


@pytest.mark.parametrize("name", SCALES)
def test_what_the_page_says(name, tmp_path, any_machine):
    run = Run(load_scale(name), tmp_path)
    model = next(one for one in HEADLINE.models(run.scale) if one.condition == "correct")
    cells = []
    for one in (needs.training(run, model), needs.evaluation(run, model, asked(run, model))):
        cells.append(f"1 {'GPU' if one.gpu else 'core'}, {one.mem_mb} MB, {one.runtime} min")
    assert f"| {name} | {cells[0]} | {cells[1]} |" in DOCUMENTED


def test_more_work_asks_for_more(tmp_path):
    scale = load_scale("laptop")
    model = HEADLINE.models(scale)[0]
    twice = scale.varied([("train_examples", 2 * scale.train_examples)])
    wider = scale.varied([("width", 2 * scale.model.width)])
    run, other, wide = (Run(one, tmp_path) for one in (scale, twice, wider))
    less, more, most = (needs.training(one, model) for one in (run, other, wide))
    assert more.runtime - needs.START > 1.8 * (less.runtime - needs.START)
    assert most.runtime > less.runtime
    assert most.mem_mb > less.mem_mb
    assert needs.corpora(twice).runtime > needs.corpora(scale).runtime
    both = asked(run, model)
    assert needs.evaluation(run, model, both).runtime > needs.evaluation(
        run, model, both[:1]).runtime


def test_a_training_of_more_than_a_day_asks_for_a_gpu(tmp_path, monkeypatch):
    run = Run(load_scale("smoke"), tmp_path)
    model = HEADLINE.models(run.scale)[0]
    for share, gpu in ((0.99, 0), (1.01, 1)):
        monkeypatch.setattr(needs, "training_flops",
                            lambda *_, share=share: share * needs.CORE * needs.DAY)
        assert needs.training(run, model).gpu == gpu
        assert needs.evaluation(run, model, asked(run, model)).gpu == gpu
    monkeypatch.setattr(needs, "training_flops", lambda *_: needs.CORE * 3600)
    assert 120 <= needs.training(run, model).runtime - needs.START <= 122  # twice an hour, answers


def test_parameters_are_nearly_those_of_a_model():
    config = load_scale("laptop").transformer()
    assert 0.98 < needs.parameters(config) / Transformer(config).parameter_count() <= 1


# ── how a study is submitted ────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("profile", "cuda"), [(True, True), (False, True), (False, False)])
def test_where_steps_run(profile, cuda, tmp_path, monkeypatch):
    """By a profile nothing of this machine counts; without, one GPU takes one step at a time."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(graph, "prepare", lambda *_, **__: True)
    seen = []

    def stop(command, **_):
        seen.extend(command)
        raise graph.StudyError("stopped here")

    monkeypatch.setattr(graph, "guarded", stop)
    monkeypatch.setattr(graph, "minutes", lambda *_: 1)
    with pytest.raises(graph.StudyError, match="stopped here"):
        graph.study(Run(load_scale("smoke"), tmp_path), "headline", HEADLINE, cores=2,
                    profile=tmp_path if profile else None)
    text = " ".join(seen)
    assert (f"--profile {tmp_path}" in text) == profile
    assert ("--cores 2" in text) == (not profile)
    assert ("--resources device=1" in text) == (cuda and not profile)


def test_the_profile_is_one_of_snakemakes():
    """Options that Snakemake or its SLURM executor has, and nothing that follows from the scale."""
    given = YAML(typ="safe", pure=True).load(PROJECT / "profiles" / "slurm" / "config.yaml")
    assert given["executor"] == "slurm"
    command = [sys.executable, "-m", "snakemake", "--help"]
    known = subprocess.run(command, capture_output=True, text=True,
                           env={**os.environ, "COLUMNS": "200"}).stdout
    for name in given:
        assert f"--{name}" in known or name.startswith("slurm-"), name
    assert not {"cores", "set-resources"} & set(given)


@pytest.mark.parametrize(("words", "message"), [
    (["--profile", "none"], "--profile: got 'none', takes a folder with a config.yaml"),
    (["--profile", "profile", "--cores", "2"], "--cores: got it with --profile, takes one"),
])
def test_profiles_that_are_none(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "profile").mkdir()
    (tmp_path / "profile" / "config.yaml").touch()
    assert cli.main(["study", "--scale", "smoke", "--root", str(tmp_path), *words]) == 2
    assert capsys.readouterr().err.startswith(f"helpers: {message}")
