"""The experiments: which models each needs, what it makes of their answers, its figure."""

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from helpers.evaluation import HEADLINE, TRACE_LEVELS, interval
from helpers.experiments import EXPERIMENTS, convergence, headline, plan_weight, regime
from helpers.show import claims
from helpers.show.charts import draw_plan_weight
from helpers.show.looks import look_of_generator, png
from helpers.show.trends import draw_convergence, draw_regime
from helpers.study import steps
from helpers.study.runs import Run
from helpers.study.scale import ScaleError, load_scale
from helpers.study.specs import EvaluationSpec, ModelSpec, every, models_of

SIDES = (6, 8, 10)
CONDITIONS = ("solution_only", "correct", "swapped")
DISTRIBUTIONS = ("wilson", "drunkards_walk")
SMOKE = load_scale("smoke")
NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


# ── specs ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("spec", [
    ModelSpec("solution_only", 1), ModelSpec("correct", 12, (("gap", "random"),)),
    ModelSpec("swapped", 0, (("plan_weight", 4.0), ("rows", 6)))])
def test_names_of_models(spec):
    assert ModelSpec.parse(spec.name) == spec
    assert "/" not in spec.name


@pytest.mark.parametrize("name", ["", "correct", "correct_", "_1", "correct+gap_1x", "a b_1"])
def test_what_is_no_name(name):
    with pytest.raises(ValueError, match="takes CONDITION"):
        ModelSpec.parse(name)


@pytest.mark.parametrize(("name", "part"), [
    ("correct+gap=none+rows=6+gap=random_1", "takes each entry once"),
    ("correct+tuning_rate=0.1_1", "whose tuning_rate says nothing without after=grpo"),
    ("correct+after=nothing+only=all_1", "whose after says nothing without after=grpo"),
    (f"correct_{2**63}", "takes a seed below 2^63")])
def test_names_that_say_nothing_or_too_much(name, part):
    with pytest.raises(ValueError, match=re.escape(f"model: got {name!r}, {part}")):
        ModelSpec.parse(name)


def test_a_name_has_its_entries_in_one_order():
    assert ModelSpec.parse("correct+rows=6+cols=8_1").name == "correct+cols=8+rows=6_1"
    assert ModelSpec.parse("correct+trained_on=a=b_1").variation == (("trained_on", "a=b"),)


def test_what_a_scale_has_is_no_variation():
    found = every(SMOKE, (("plan_weight", SMOKE.training.plan_weight), ("rows", 9)))
    assert {one.model.variation for one in found} == {(("rows", 9),)}


def test_a_scale_is_varied_by_name():
    varied = SMOKE.varied([("plan_weight", 2.0), ("width", 32), ("rows", 8)])
    assert (varied.training.plan_weight, varied.model.width, varied.rows) == (2.0, 32, 8)
    assert varied.decoding.max_new_tokens == 2 * SMOKE.decoding.max_new_tokens
    for wrong, part in (({"plan_wight": 2.0}, "plan_wight: unknown name"),
                        ({"width": 33}, "takes a multiple"), ({"rows": 2}, "rows: got 2")):
        with pytest.raises(ScaleError, match=part):
            SMOKE.varied(wrong.items())


# ── every experiment ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_is_whole(name):
    experiment = EXPERIMENTS[name]
    assert experiment.question.endswith("?")
    assert (NOTEBOOKS / f"{experiment.notebook}.ipynb").exists()
    for scale in (SMOKE, load_scale("laptop")):
        assert len(set(experiment.evaluations(scale))) == len(experiment.evaluations(scale))
        traced = [model.has_trace for model in experiment.models(scale)]
        assert traced == sorted(traced, reverse=True)  # the longest first


def test_experiments_share_models_and_keep_their_files_apart():
    folders = [folder for _, folder in {(one.notebook, one.folder) for one in EXPERIMENTS.values()}]
    assert len(set(folders)) == len(folders)
    first, weight = (set(EXPERIMENTS[name].models(SMOKE)) for name in ("headline", "plan_weight"))
    assert first & weight


def test_plan_weight_varies_what_has_a_trace(monkeypatch):
    found = {model.name for model in EXPERIMENTS["plan_weight"].models(SMOKE)}
    assert SMOKE.training.plan_weight == 4.0
    assert found == {"solution_only_1", "correct_1", "swapped_1", "correct+plan_weight=1.0_1",
                     "swapped+plan_weight=1.0_1"}


def test_regime_differs_in_the_grid_alone():
    """Else a difference between two grids might be one between two settings."""
    laptop = load_scale("laptop")
    names = {name for model in EXPERIMENTS["regime"].models(laptop)
             for name, _ in model.variation}
    assert names == {"rows", "cols", "train_examples"}
    sizes = {(dict(model.variation).get("rows", laptop.rows),
              dict(model.variation).get("cols", laptop.cols))
             for model in EXPERIMENTS["regime"].models(laptop)}
    assert sizes == {(6, 6), (8, 8), (10, 10)}
    larger = {dict(model.variation).get("rows", laptop.rows)
              for model in EXPERIMENTS["regime_large"].models(laptop)}
    assert larger == {6, 8, 10, 12}


def test_convergence_differs_in_the_examples_alone(tmp_path):
    laptop = load_scale("laptop")
    asked = EXPERIMENTS["convergence"].models(laptop)
    amounts = {dict(model.variation).get("train_examples", laptop.train_examples)
               for model in asked}
    assert sorted(amounts) == [25_000, 50_000, 100_000]
    assert {name for model in asked for name, _ in model.variation} == {"train_examples"}
    assert set(models_of(laptop)) <= set(asked)  # the last point is the headline
    amounts = {run_of.train_examples for run_of in map(
        Run(load_scale("long"), tmp_path).scale_of, EXPERIMENTS["convergence"].models(
            load_scale("long")))}
    assert sorted(amounts) == [50_000, 100_000, 200_000, 400_000]
    others = set(EXPERIMENTS["convergence_weights"].models(laptop)) - set(asked)
    assert {dict(model.variation).get("train_examples") for model in others} == {50_000, None}
    assert all(model.has_trace for model in others)


@pytest.fixture
def answered(monkeypatch, tmp_path):
    """A run whose models have answered, each model with a rate of its own."""
    scale = SMOKE.model_copy(update={"distributions": DISTRIBUTIONS, "seeds": (1, 2)})
    rates: dict[ModelSpec, float] = {}

    def rows(run, specs):
        parts = []
        for spec in specs:
            rate = rates.setdefault(spec.model, (len(rates) % 11) / 10)
            trace = spec.model.has_trace
            parts.append(pd.DataFrame({
                "condition": spec.model.condition, "seed": spec.model.seed,
                "distribution": spec.distribution, "maze": range(40), "grid": range(40),
                "plan_valid": np.arange(40) < 40 * rate, "plan_optimal": False,
                "plan_published": np.arange(40) < 40 * rate,
                **{name: pd.array([trace or None] * 40, "boolean")
                   for name in TRACE_LEVELS}}))
        return pd.concat(parts, ignore_index=True)

    def curves(run, models):
        return pd.DataFrame([{"condition": model.condition, "seed": model.seed, "examples": 100,
                              "tokens": 1, "response_tokens": 1, "seconds": 1.0}
                             for model in models])

    monkeypatch.setattr(steps, "all_rows", rows)
    monkeypatch.setattr(steps, "all_curves", curves)
    return Run(scale, tmp_path), rates


def test_models_of_further_seeds_are_shown_once_they_are_there(tmp_path, monkeypatch):
    run, experiment = Run(SMOKE, tmp_path), EXPERIMENTS["headline"]
    own = every(SMOKE)
    assert {one.model.seed for one in own} == {1}
    assert run.evaluations(experiment) == own
    asked = EXPERIMENTS["seeds"].evaluations(SMOKE)
    assert set(asked) == {replace(one, model=replace(one.model, seed=seed))
                          for one in own for seed in (1, 2, 3)}
    there = {"answers swapped_2/wilson", "curve swapped_2", "answers correct_3/wilson"}
    monkeypatch.setattr(run.store, "status",
                        lambda product: SimpleNamespace(usable=product.name in there))
    shown = [*own, EvaluationSpec(ModelSpec("swapped", 2), "wilson")]  # of correct_3 no curve
    assert run.evaluations(experiment) == shown
    inputs = {one.name for one in run.tables(experiment).inputs}
    assert inputs == {f"answers {one.name}" for one in shown} | {
        f"curve {one.model.name}" for one in shown}
    weight = replace(experiment, evaluations=plan_weight.evaluations)  # any experiment does so
    assert shown[-1] in run.evaluations(weight)


def test_headline_tables(answered, monkeypatch):
    run, rates = answered
    rows, curves = steps.all_rows, steps.all_curves
    monkeypatch.setattr(steps, "all_rows", lambda *given: rows(*given).assign(
        plan_error=None, trace_error=None))
    monkeypatch.setattr(steps, "all_curves", lambda *given: curves(*given).assign(variation=""))
    made = headline.analyse(run, every(run.scale))
    assert set(made) == set(EXPERIMENTS["headline"].tables)
    table = made["differences"].set_index(["quantity", "distribution"])
    assert len(table) == (3 + 1) * 2  # plans of three pairs, traces of one
    assert set(table["seeds"]) == {2}
    for a, b in (("solution_only", "correct"), ("correct", "swapped")):
        lead = [rates[ModelSpec(b, seed)] - rates[ModelSpec(a, seed)] for seed in (1, 2)]
        assert table.at[(f"plan_valid: {b} - {a}", "wilson"), "estimate"] == pytest.approx(
            np.mean(lead))


def test_plan_weight_tables(answered):
    run, rates = answered
    asked = plan_weight.evaluations(run.scale)
    made = plan_weight.analyse(run, asked)
    assert set(made) == set(EXPERIMENTS["plan_weight"].tables)
    table = made["rates"].set_index(["plan_weight", "condition", "seed", "distribution"])
    assert len(table) == 2 * 3 * 2 * 2
    for model, rate in rates.items():
        weights = [dict(model.variation).get("plan_weight", 4.0)]
        for weight in weights if model.has_trace else (1.0, 4.0):
            assert table.at[(weight, model.condition, model.seed, "wilson"),
                            "plan_valid"] == pytest.approx(rate)
    effects = made["effects"].set_index(["quantity", "distribution"])["estimate"]
    mean = table["plan_valid"].groupby(level=["plan_weight", "condition", "distribution"]).mean()
    for quantity, a, b in (
            ("swapped - correct, plan weight 1", (1.0, "correct"), (1.0, "swapped")),
            ("correct - solution_only, plan weight 4", (4.0, "solution_only"), (4.0, "correct")),
            ("plan weight 4 - plan weight 1, correct", (1.0, "correct"), (4.0, "correct"))):
        assert effects[f"plan_valid: {quantity}", "wilson"] == pytest.approx(
            mean[*b, "wilson"] - mean[*a, "wilson"])
    assert len(effects) == (3 + 3 + 2) * 2
    assert {claim.quantity for claim in claims.CLAIMS
            if claim.table == "plan_weight/effects.csv"} <= set(made["effects"]["quantity"])
    assert plan_weight.rates_by_weight(made["rates"]).index.names[0] == "plan_weight"
    assert png(draw_plan_weight(made["rates"])).startswith(b"\x89PNG")


def test_regime_tables(answered):
    run, rates = answered
    made = regime.analyse(run, regime.with_largest(run.scale))
    assert set(made) == set(EXPERIMENTS["regime"].tables)
    assert list(made["regime"]["rows"].unique()) == [4, 6, 8]
    assert (made["regime"]["train_examples"] == run.scale.train_examples // 2).all()
    for model, rate in rates.items():
        table = made["regime"]
        part = table[(table["rows"] == dict(model.variation).get("rows", 4))
                     & (table["condition"] == model.condition) & (table["seed"] == model.seed)]
        assert np.allclose(part["plan_valid"].astype(float), rate)
    assert set(made["comparisons"]["rows"]) == {4, 6, 8}
    assert len(made["effects"]) == 3 * 3 * 2
    effects = made["effects"].set_index(["quantity", "distribution"])["estimate"]
    varied = (("cols", 8), ("rows", 6), ("train_examples", run.scale.train_examples // 2))
    assert effects["plan_valid: swapped - correct, on 6×8", "wilson"] == pytest.approx(np.mean([
        rates[ModelSpec("swapped", seed, varied)] - rates[ModelSpec("correct", seed, varied)]
        for seed in (1, 2)]))
    assert len(made["trained_on"]) == 3 * 3 * 2


def test_convergence_tables(answered):
    run, rates = answered
    made = convergence.analyse(run, convergence.with_weightings(run.scale))
    assert set(made) == set(EXPERIMENTS["convergence"].tables)
    table = made["rates"]
    # the scale's own plan weight is 4 already
    assert list(table["weighting"].unique()) == [convergence.SAME, "mean_over=4"]
    assert list(table["train_examples"].unique()) == [5000, 10000]
    for model, rate in rates.items():
        varied = dict(model.variation)
        part = table[(table["train_examples"] == varied.get("train_examples", 10000))
                     & (table["weighting"] == ("mean_over=4" if "mean_over" in varied
                                               else convergence.SAME))
                     & (table["condition"] == model.condition) & (table["seed"] == model.seed)]
        assert len(part) == 2
        assert np.allclose(part["plan_valid"].astype(float), rate)
    effects = made["effects"].set_index(["quantity", "distribution"])["estimate"]
    own = table[(table["weighting"] == convergence.SAME) & (table["distribution"] == "wilson")]
    means = own.groupby(["condition", "train_examples"])["plan_valid"].mean()
    for condition in CONDITIONS:
        assert effects[(f"plan_valid: {condition} after all - after 1/2", "wilson")
                       ] == pytest.approx(means[(condition, 10000)] - means[(condition, 5000)])
    assert effects.index.is_unique
    shown = convergence.rates_by_examples(table)
    assert list(shown.columns) == [5000, 10000]
    assert len(shown) == 2 * (3 + 2) * 2
    assert len(convergence.gains(made["effects"])) == 3 + 2
    figure = draw_convergence(table[table["weighting"] == convergence.SAME])
    assert png(figure).startswith(b"\x89PNG")
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == [
        "5 000", "10 000"]
    drawn = [line for line in figure.axes[0].lines if line.get_marker() in "os^"]
    part = table[(table["condition"] == "solution_only") & (table["seed"] == 1)
                 & (table["distribution"] == "wilson")]
    assert np.allclose(drawn[0].get_ydata(), part["plan_valid"].astype(float))


# ── the regime map ──────────────────────────────────────────────────────────────────────


def made_up(sides=SIDES, seeds=(1,), n=40) -> pd.DataFrame:
    """A table of the regime with numbers that tell each cell from all others."""
    cells = []
    for side in sides:
        for i, condition in enumerate(CONDITIONS):
            for seed in seeds:
                for j, distribution in enumerate(DISTRIBUTIONS):
                    k = (n - side - 7 * i - 11 * j - 3 * seed) % (n + 1)
                    traces = [None] * 6 if i == 0 else [
                        *[k // 2 / n] * 3, 0.5, *interval(k // 2, n)]
                    cells.append([side, side, 1600, condition, seed, distribution, n, k / n,
                                  *interval(k, n), k / n, *traces, n, k / n, traces[0]])
    return pd.DataFrame(cells, columns=["rows", "cols", "train_examples", *HEADLINE])


@pytest.fixture
def table() -> pd.DataFrame:
    return made_up()


def test_tables_for_people(table):
    plans, traces = regime.rates_by_grid(table), regime.rates_by_grid(table, "trace_valid")
    assert list(plans.columns) == list(traces.columns) == ["6×6", "8×8", "10×10"]
    assert list(plans.index) == [(d, c, 1) for d in DISTRIBUTIONS for c in CONDITIONS]
    assert list(traces.index) == [(d, c, 1) for d in DISTRIBUTIONS for c in CONDITIONS[1:]]
    for row in table.itertuples():
        text = plans.at[(row.distribution, row.condition, row.seed), f"{row.rows}×{row.cols}"]
        assert text.startswith(f"{100 * row.plan_valid:.1f} [{100 * row.plan_valid_low:.1f}, ")
    leads = regime.leads_by_grid(pd.DataFrame(
        [[side, side, seed, d, "correct", "swapped", 0.25, side / 1000] for side in SIDES
         for seed in (1, 2) for d in DISTRIBUTIONS],
        columns=["rows", "cols", "seed", "distribution", "a", "b", "b_minus_a", "p"]))
    assert leads.loc[("wilson", "correct", "swapped", 1)].to_dict() == {
        "6×6": "+25.0 (p = 6e-03)", "8×8": "+25.0 (p = 8e-03)", "10×10": "+25.0 (p = 1e-02)"}
    assert list(leads.index) == [(d, "correct", "swapped", seed)
                                 for d in DISTRIBUTIONS for seed in (1, 2)]


# ── the figure ──────────────────────────────────────────────────────────────────────────


def test_figure(table):
    figure = draw_regime(table)
    assert png(figure).startswith(b"\x89PNG")
    assert [ax.get_title() for ax in figure.axes] == [
        look_of_generator(d).label for d in DISTRIBUTIONS]
    for ax, distribution in zip(figure.axes, DISTRIBUTIONS, strict=True):
        lines = [line for line in ax.lines if line.get_marker() in "os^"]
        assert len(lines) == len(CONDITIONS)
        for line, condition in zip(lines, CONDITIONS, strict=True):
            part = table[(table["condition"] == condition)
                         & (table["distribution"] == distribution)]
            assert np.allclose(line.get_ydata(), part["plan_valid"])
            assert np.allclose(line.get_xdata(), SIDES, atol=0.2)
        assert [label.get_text() for label in ax.get_xticklabels()] == ["6×6", "8×8", "10×10"]
        assert {text.get_text(): text.get_color() for text in ax.texts} == {
            condition: line.get_color()
            for condition, line in zip(CONDITIONS, lines, strict=True)}
    title = figure.legends[0].get_title().get_text()
    assert "1 600 training examples a model, 40 test mazes a point" in title


@pytest.mark.parametrize("rates", [(0, 0, 0), (1, 1, 1), (0.5, 0.51, 0.49), (0.97, 1, 0.99)])
def test_labels_do_not_cover_each_other(table, rates):
    values = table["condition"].map(dict(zip(CONDITIONS, rates, strict=True)))
    figure = draw_regime(table.assign(plan_valid=values, plan_valid_low=values,
                                      plan_valid_high=values))
    png(figure)  # lays it out
    for ax in figure.axes:
        boxes = sorted((text.get_window_extent() for text in ax.texts), key=lambda box: box.y0)
        assert all(low.y1 <= high.y0 for low, high in pairwise(boxes))
        frame = ax.get_window_extent()
        assert all(frame.y0 - 12 < box.y0 and box.y1 < frame.y1 + 12 and box.x1 <= frame.x1 + 1
                   for box in boxes)


def test_figure_with_several_seeds_and_unequal_examples():
    table = made_up((6, 8), seeds=(1, 2))
    table.loc[table["rows"] == 8, "train_examples"] = 3200
    figure = draw_regime(table)
    for ax in figure.axes:
        assert len([line for line in ax.lines if line.get_marker() in "os^"]) == 6
        assert len(ax.texts) == len(CONDITIONS)
    legend = figure.legends[0]
    assert "1 600 to 3 200 training examples" in legend.get_title().get_text()
    assert [text.get_text() for text in legend.get_texts()][-2:] == ["seed 1", "seed 2"]


def test_figures_of_one_grid():
    table = made_up((6,))
    assert png(draw_regime(table)).startswith(b"\x89PNG")
