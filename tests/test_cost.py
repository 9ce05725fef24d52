"""How long a study will take: the arithmetic, and that it is told only of what is to be made."""

import re

import pytest

from helpers.engine.files import PROJECT
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
    assert capsys.readouterr().out.startswith("3 trainings, about 184 minutes on 2 cores")
    monkeypatch.setattr(type(run.store.status(run.model(ModelSpec("correct", 1)))), "usable", True)
    graph.announce(run, EXPERIMENTS["headline"], 2)
    assert not capsys.readouterr().out


PEAK = 989e12  # FLOP/s of an H100, bfloat16, dense
GPUS = re.compile(r"^\| (\d+)[^|]* \| ([\d.]+) s \+ (\d+) \+ (\d+) ms \| (?:(\d+) h )?(\d+) min "
                  r"\| ([\d.]+) \| \$([\d.]+) \|$", re.MULTILINE)


@pytest.fixture(scope="module")
def of_scales(tmp_path_factory) -> dict[tuple[str, str], float]:
    """FLOP of a training, by scale and condition."""
    runs = [Run(load_scale(name), tmp_path_factory.mktemp(name)) for name in ("paper", "gpu")]
    return {(run.scale.name, condition): cost.training_flops(run, ModelSpec(condition, 1))
            for run in runs for condition in ("correct", "solution_only")}


def test_times_and_prices_of_the_page_on_scaling(of_scales):
    """A row's step, training, hours and price follow from the scale and from each other."""
    flops, steps = of_scales["paper", "correct"], load_scale("paper").steps()
    page = (PROJECT / "docs" / "scaling.md").read_text(encoding="utf-8")
    rows = [[float(value or 0) for value in row] for row in GPUS.findall(page)]
    assert [row[0] for row in rows] == [1, 8, 16, 16]
    for n, products, add, update, hours, minutes, gpu_hours, price in rows:
        assert products == pytest.approx(flops / steps / n / (0.45 * PEAK), abs=0.006)
        training = steps * (products + (add + update) / 1000)
        assert 60 * hours + minutes == pytest.approx(training / 60, abs=0.6)
        assert gpu_hours == pytest.approx(n * training / 3600, abs=0.06)
        assert price == pytest.approx(2.5 * n * training / 3600, abs=0.06)


@pytest.mark.parametrize(("name", "condition", "share"), [
    ("paper", "correct", 0.45), ("paper", "solution_only", 0.45),
    ("gpu", "correct", 0.25), ("gpu", "solution_only", 0.25)])
def test_operations_of_the_page_on_performance(of_scales, name, condition, share):
    page = (PROJECT / "docs" / "performance.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| {name}, `{condition}`[^|]*\| ([\d.]+)·10([⁰¹²³⁴⁵⁶⁷⁸⁹]+) \| "
                    rf"(?:(\d+) h )?([\d.]+) min(?: at {share:.0%}|)".replace("%", " %"), page,
                    re.MULTILINE)
    digits = row[2].translate(str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789"))
    flops = of_scales[name, condition]
    assert float(row[1]) * 10 ** int(digits) == pytest.approx(flops, rel=0.006)
    minutes = 60 * int(row[3] or 0) + float(row[4])
    assert minutes == pytest.approx(flops / share / PEAK / 60, abs=0.6)
