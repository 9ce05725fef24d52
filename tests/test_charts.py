"""Figures of trainings and results: everything in the table is drawn, and labelled."""

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from studies import SMOKE

from helpers.conditions import CONDITIONS, put_together
from helpers.corpus import Recipe, build
from helpers.evaluation import coupling, interval
from helpers.optimisation import TrainingConfig
from helpers.show import charts, curves, samples
from helpers.show.looks import look_of_condition, look_of_generator, png

DISTRIBUTIONS = ["wilson", "drunkards_walk", "searchformer"]
COLUMNS = ["condition", "seed", "distribution", "n", "plan_valid", "plan_valid_low",
           "plan_valid_high", "plan_optimal", "trace_valid", "trace_strict", "trace_exact",
           "trace_valid_given_plan_valid"]


@pytest.fixture(autouse=True)
def _closed_and_quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    assert not plt.get_fignums()


def shown(figure):
    assert png(figure).startswith(b"\x89PNG")
    return figure.axes


def words(legend) -> list[str]:
    return [text.get_text() for text in legend.get_texts()]


def ticks(axis) -> list[str]:
    return [label.get_text() for label in axis.get_ticklabels()]


def headline(conditions=("solution_only", "correct", "swapped"), seeds=(1,),
             distributions=DISTRIBUTIONS, n=40) -> pd.DataFrame:
    rows = []
    for i, condition in enumerate(conditions):
        for seed in seeds:
            for j, distribution in enumerate(distributions):
                k = (7 * i + 5 * j + seed) % (n + 1)
                traces = [pd.NA] * 4 if condition == "solution_only" else [k / n / 2] * 3 + [0.5]
                bounds = [pd.NA] * 2 if condition == "solution_only" else interval(k // 2, n)
                rows.append([condition, seed, distribution, n, k / n, *interval(k, n), k / n / 2,
                             *traces, *bounds])
    columns = list(dict.fromkeys([*COLUMNS, "trace_valid_low", "trace_valid_high"]))
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns[4:], "Float64"))


def points(ax) -> list:
    """What is drawn for each model, its error bars' caps left out."""
    return [line for line in ax.lines if line.get_marker() in "os^*"]


def filling(line) -> tuple:
    return line.get_fillstyle(), line.get_markerfacecolor()


# ── results ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("seeds", [(1,), (1, 2, 5)])
def test_headline(seeds):
    table = headline(seeds=seeds)
    figure = charts.draw_headline(table)
    plans, traces = shown(figure)
    names = [f"seed {seed}" for seed in seeds] if len(seeds) > 1 else []
    assert words(figure.legends[0]) == [*SMOKE.conditions, *names]  # each once
    assert "n = 40" in figure.legends[0].get_title().get_text()
    for ax, conditions in ((plans, 3), (traces, 2)):
        drawn = points(ax)
        assert len(drawn) == conditions * len(seeds)
        assert len({line.get_marker() for line in drawn}) == conditions
        assert len({filling(line) for line in drawn if line.get_marker() == "s"}) == len(seeds)
        labels = [label.replace("-\n", "-").replace("\n", " ") for label in ticks(ax.xaxis)]
        assert labels == [look_of_generator(name).label for name in DISTRIBUTIONS]
        assert ax.get_title()
    places = np.sort(np.concatenate([line.get_xdata() for line in points(plans)]))
    assert np.diff(places).min() > 0.02  # no two points hide one another
    heights = np.sort(np.concatenate([line.get_ydata() for line in points(plans)]))
    assert np.allclose(heights, np.sort(table["plan_valid"].to_numpy(float)))


def test_headline_without_traces_and_as_published(tmp_path):
    table = headline(["solution_only"], distributions=["dfs"])
    _, traces = shown(charts.draw_headline(table))
    assert not points(traces)
    table.to_csv(tmp_path / "headline.csv", index=False)
    shown(charts.draw_headline(pd.read_csv(tmp_path / "headline.csv")))
    shown(charts.draw_headline(headline(n=1)))


def test_headline_bars_are_the_intervals_of_the_table():
    """Whatever method made them: half as wide, they are drawn half as wide."""
    table = headline(n=400)
    for rate in ("plan_valid", "trace_valid"):
        for end in ("low", "high"):
            table[f"{rate}_{end}"] = (table[rate] + table[f"{rate}_{end}"]) / 2
    figure = charts.draw_headline(table)
    for ax, rate in zip(shown(figure), ("plan_valid", "trace_valid"), strict=True):
        bars = np.concatenate([lines.get_segments() for lines in ax.collections])
        ends = table.dropna(subset=rate)[[f"{rate}_low", f"{rate}_high"]].to_numpy(float)
        assert np.allclose(np.sort(bars[:, :, 1].ravel()), np.sort(ends.ravel()))
    assert "95 % intervals" in figure.legends[0].get_title().get_text()
    without = table.drop(columns=["trace_valid_low", "trace_valid_high"])
    _, traces = shown(charts.draw_headline(without))
    assert points(traces)
    assert not traces.collections


def test_headline_of_conditions_and_mazes_of_ones_own():
    figure = charts.draw_headline(headline(["correct", "mine"], distributions=["my.jsonl"]))
    plans, _ = shown(figure)
    assert words(figure.legends[0]) == ["correct", "mine"]
    assert ticks(plans.xaxis) == ["my.jsonl"]
    assert [line.get_marker() for line in points(plans)] == ["s", "*"]


def test_coupling():
    rows = pd.DataFrame([[condition, seed, distribution, i, i % 2 == 0, i % 3 == 0]
                         for condition in ("correct", "swapped") for seed in (1, 2)
                         for distribution in DISTRIBUTIONS for i in range(12)],
                        columns=["condition", "seed", "distribution", "grid", "plan_valid",
                                 "trace_valid"])
    figure = charts.draw_coupling(coupling(rows))
    axes = shown(figure)
    assert [ax.get_title() for ax in axes] == ["correct", "swapped"]
    assert words(figure.legends[0]) == ["both valid", "only the plan valid",
                                        "only the trace valid", "neither valid"]
    for ax in axes:
        widths = np.array([bar.get_width() for bar in ax.patches]).reshape(4, 6)
        assert np.allclose(widths.sum(0), 1)
        assert np.allclose(widths[:, 0], [2 / 12, 4 / 12, 2 / 12, 4 / 12])
        assert ax.yaxis_inverted()  # the first cell on top
        assert len({bar.get_hatch() for bar in ax.patches}) == 4
    assert len(set(ticks(axes[0].yaxis))) == 6
    assert "Wilson, seed 2 (n = 12)" in ticks(axes[0].yaxis)
    one = coupling(rows[(rows["seed"] == 1) & (rows["condition"] == "swapped")])
    (ax,) = shown(charts.draw_coupling(one))
    assert "Wilson (n = 12)" in ticks(ax.yaxis)
    assert ax.yaxis_inverted()


def test_coupling_without_traces():
    rows = pd.DataFrame({"condition": "solution_only", "seed": 1, "distribution": "wilson",
                         "grid": [0], "plan_valid": [True],
                         "trace_valid": pd.array([pd.NA], "boolean")})
    (ax,) = shown(charts.draw_coupling(coupling(rows)))
    assert "traces" in ax.get_title()


# ── trainings ───────────────────────────────────────────────────────────────────────────


def test_learning_curves():
    points = pd.DataFrame([
        [condition, seed, 1000 * i, 1000 * i * width, 200, i / 8, *interval(25 * i, 200)]
        for condition, width in (("solution_only", 20), ("correct", 170), ("swapped", 170))
        for seed in (1, 2) for i in range(1, 9)],
        columns=["condition", "seed", "examples", "response_tokens", "n", "plan_valid",
                 "plan_valid_low", "plan_valid_high"])
    axes = shown(curves.draw_learning_curves(points))
    assert [ax.get_xlabel() for ax in axes] == ["examples trained on",
                                                "response tokens trained on"]
    (legend,) = axes[0].figure.legends
    assert words(legend) == [*SMOKE.conditions, "seed 1", "seed 2"]
    assert "n = 200" in legend.get_title().get_text()
    for ax, column in zip(axes, ("examples", "response_tokens"), strict=True):
        assert len(ax.lines) == len(ax.collections) == 6
        assert {(line.get_marker(), line.get_linestyle()) for line in ax.lines} == {
            (look.marker, look.line) for look in map(look_of_condition, SMOKE.conditions)}
        assert len({filling(line) for line in ax.lines if line.get_marker() == "^"}) == 2
        assert max(line.get_xdata().max() for line in ax.lines) == points[column].max()


@pytest.mark.parametrize("traces", [True, False])
def test_losses(traces):
    lines = [{"step": step, "plan_loss": 3 / step, "trace_loss": 4 / step if traces else None}
             for step in range(1, 30)]
    lines.insert(9, {"step": 9, "validation": {"n": 5, "plan_valid": 0.0}})
    (ax,) = shown(curves.draw_losses(pd.DataFrame(lines)))
    labels = words(ax.get_legend())
    assert [label.split(" tokens")[0] for label in labels] == (
        ["trace", "plan"] if traces else ["plan"])
    assert "nats" in ax.get_ylabel()
    assert ax.get_yscale() == "log"


def test_rate():
    settings = TrainingConfig(batch_size=4, learning_rate=0.03, warmup_steps=10)
    (ax,) = shown(curves.draw_rate(settings, 402))
    (line,) = ax.lines
    assert len(line.get_ydata()) == 100
    assert line.get_ydata().max() == pytest.approx(0.03)
    assert ax.get_ylabel()


def test_starts():
    corpus = build(Recipe("wilson", 5, 5, "train", 1, "indexed", 60))
    traces = {name: put_together(corpus, CONDITIONS[name], 1).traces
              for name in ("correct", "swapped")}
    (ax,) = shown(samples.draw_starts(corpus, traces))
    assert ticks(ax.yaxis) == ["correct", "swapped", "chance"]
    own, lent, chance = (bar.get_width() for bar in ax.patches)
    assert own == 1
    assert len({bar.get_hatch() for bar in ax.patches}) == 3
    assert 0 <= lent < 0.5
    pairs = [np.array_equal(corpus.mazes.starts[i], corpus.mazes.starts[j])
             for i in range(60) for j in range(60) if i != j]
    assert chance == pytest.approx(np.mean(pairs))
    assert "n = 60" in ax.get_xlabel()
