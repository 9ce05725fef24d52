"""How long a study will take: the arithmetic, and that it is told only of what is to be made."""

import pytest

from helpers.experiments import EXPERIMENTS
from helpers.study import cost, graph
from helpers.study.runs import Run
from helpers.study.scale import load_scale
from helpers.study.specs import ModelSpec

SMOKE = load_scale("smoke")


@pytest.fixture
def run(tmp_path):
    return Run(SMOKE, tmp_path)


def test_minutes_follow_from_the_arithmetic(run, monkeypatch):
    monkeypatch.setattr(cost, "speed", lambda: 1e9)
    one = cost.training_flops(run, ModelSpec("correct", 1))
    assert cost.minutes(run, [ModelSpec("correct", 1)] * 3, 2) == pytest.approx(
        3 * one / (cost.SHARE * 1e9 * 2) / 60)
    twice = ModelSpec("correct", 1, (("train_examples", 2 * SMOKE.train_examples),))
    assert cost.training_flops(run, twice) == pytest.approx(2 * one)
    assert cost.training_flops(run, ModelSpec("solution_only", 1)) < 0.8 * one


def test_speed_is_that_of_a_processor():
    assert 1e8 < cost.speed(256) < 1e13


def test_it_is_said_before_trainings_and_not_without(run, monkeypatch, capsys):
    monkeypatch.setattr(graph, "minutes", lambda run, models, cores: 61.4 * len(list(models)))
    graph.announce(run, EXPERIMENTS["headline"], 2)
    assert capsys.readouterr().out.startswith("3 trainings, at least 184 minutes on 2 cores")
    monkeypatch.setattr(type(run.store.status(run.model(ModelSpec("correct", 1)))), "usable", True)
    graph.announce(run, EXPERIMENTS["headline"], 2)
    assert not capsys.readouterr().out
