"""The spectrum of corruptions, and models of Searchformer-style mazes."""

import numpy as np
import pandas as pd
import pytest
from studies import SMOKE, at_most, miniature, train

from helpers import evaluation
from helpers.corpus import Recipe, build
from helpers.corruptions import CORRUPTIONS
from helpers.experiments import EXPERIMENTS, searchformer, spectrum
from helpers.show import claims
from helpers.show.looks import look_of_condition, look_of_generator, png
from helpers.show.spectra import draw_spectrum
from helpers.study import steps
from helpers.study.runs import Run
from helpers.study.scale import load_scale
from helpers.study.specs import EvaluationSpec, ModelSpec

LAPTOP = load_scale("laptop")
HOME = LAPTOP.model_copy(update={"distributions": ("wilson", "dfs")})  # half of the cells
TINY = miniature(train_examples=160, test_examples=6, validation_examples=2,
                 distributions=("wilson",), conditions=("correct",), decoding=at_most(120))


# ── what is asked ───────────────────────────────────────────────────────────────────────


def models(name: str, scale) -> set[str]:
    return {model.name for model in EXPERIMENTS[name].models(scale)}


def test_each_corruption_has_its_part():
    headline = {"solution_only_1", "correct_1", "swapped_1"}
    found = {name: models(f"spectrum_{name}", LAPTOP) - headline for name in spectrum.PARTS}
    assert found["shares"] == {f"partly_swapped+share={share}_1" for share in (0.25, 0.5, 0.75)}
    assert set.union(*(found[part] for part in ("events", "searches", "drops", "filler"))) == {
        f"{name}_1" for name in CORRUPTIONS}
    for name, one in CORRUPTIONS.items():
        assert f"{name}_1" in found[one.part]
    with_gaps = {name for name in found["gaps"] if "gap=random" in name}
    assert {f"{name}+gap=random_1" for name in (*LAPTOP.conditions, "half_without", "no_costs",
                                                "truncated", "wasteful")} <= with_gaps
    assert {name.replace("+gap=random", "") for name in with_gaps} == (
        found["gaps"] | headline) - with_gaps
    assert models("spectrum", LAPTOP) == headline.union(*found.values())
    assert len(models("spectrum", SMOKE)) < 12


def test_models_also_plan_behind_what_they_drew():
    for one in EXPERIMENTS["spectrum"].evaluations(LAPTOP):
        assert one.distribution in ("wilson", "drunkards_walk")
        if one.answering:
            assert one.source == EvaluationSpec(one.model, one.distribution, (("temperature", 1.0),
                                                                              ))
    asked = EXPERIMENTS["spectrum"].evaluations(LAPTOP)
    drawn = {one.model for one in asked if one.answering}
    assert drawn == {one.model for one in asked if one.model.has_trace}


@pytest.mark.parametrize(("model", "place", "arm"), [
    (ModelSpec("correct", 1), ("shares", "in 0 %"), "correct"),
    (ModelSpec("swapped", 1), ("shares", "in 100 %"), "swapped"),
    (ModelSpec("partly_swapped", 2, (("share", 0.25),)), ("shares", "in 25 %"),
     "partly_swapped 25 %"),
    (ModelSpec("solution_only", 1, (("gap", "random"),)), ("none", "no trace"),
     "solution_only with gaps"),
    (ModelSpec("dropped", 1, (("gap", "random"),)), ("drops", "by chance some or all"),
     "dropped with gaps")])
def test_names(model, place, arm):
    assert spectrum.place_of(model) == place
    assert spectrum.arm_of(EvaluationSpec(model, "wilson")) == arm
    assert spectrum.arm_of(EvaluationSpec(model, "wilson", spectrum.DRAWN)) == f"{arm} drawn"


def test_models_of_searchformer_style_mazes():
    names = {f"{name}+trained_on=searchformer_1" for name in LAPTOP.conditions}
    gaps = {f"{name}+gap=random+trained_on=searchformer_1" for name in LAPTOP.conditions}
    assert models("searchformer", LAPTOP) == names
    assert models("searchformer_gaps", LAPTOP) == names | gaps
    for model in EXPERIMENTS["searchformer"].models(LAPTOP):
        varied = LAPTOP.varied(model.variation)
        assert varied.recipe("train").generator == "searchformer"
        assert varied.recipe("test", "wilson") == LAPTOP.recipe("test", "wilson")
    assert {one.distribution for one in searchformer.evaluations(LAPTOP)} == set(
        LAPTOP.distributions)


# ── one part, made ──────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("alone")
def test_a_part_from_mazes_to_tables(tmp_path):
    run, experiment = Run(TINY, tmp_path), EXPERIMENTS["spectrum_filler"]
    asked = experiment.evaluations(TINY)
    assert {one.model.name for one in asked} == {"correct_1", "filler_1"}
    train(run, experiment.models(TINY))
    steps.evaluate(run, asked)
    made = steps.analyse(run, experiment)
    assert set(made["rates"]["arm"]) == {"correct", "correct drawn", "filler", "filler drawn"}
    assert (made["rates"]["n"] == 6).all()
    assert made["left"].set_index("arm").at["filler", "own_events"] == 0
    assert "filler, as long" in experiment.summary(run)


# ── tables ──────────────────────────────────────────────────────────────────────────────


def rate_of(one: EvaluationSpec) -> float:
    """A rate for each arm, told from its name; drawn traces do a little worse."""
    return sum(map(ord, one.model.kind)) % 10 / 10


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    """Runs of the laptop scale, in which 40 mazes are answered by rates."""
    def rows(run, specs):
        return pd.concat([pd.DataFrame({
            "condition": one.model.condition, "seed": one.model.seed,
            "distribution": one.distribution, "variation": one.model.variation_text,
            "maze": range(40), "grid": range(40), "plan_optimal": False, "plan_published": False,
            "plan_valid": np.arange(40) < 40 * rate_of(one),
            "plan_error": ["missing", None] * 20 if one.model.condition == "filler" else None,
            **{level: pd.array([one.model.has_trace or None] * 40, "boolean")
               for level in evaluation.TRACE_LEVELS}}) for one in specs], ignore_index=True)

    corpus = build(Recipe("wilson", 8, 8, "train", 1, "indexed", 30))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "all_rows", rows)
        patch.setattr(Run, "load", lambda run, product: corpus)
        yield Run(HOME, tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def tables(answered):
    return spectrum.analyse(answered, EXPERIMENTS["spectrum"].evaluations(HOME))


def test_tables_of_the_spectrum(tables):
    assert set(tables) == set(EXPERIMENTS["spectrum"].tables)
    rates = tables["rates"].set_index(["arm", "distribution"])
    assert rates.index.is_unique
    for one in EXPERIMENTS["spectrum"].evaluations(HOME):
        row = rates.loc[(spectrum.arm_of(one), one.distribution)]
        assert row["plan_valid"] == pytest.approx(rate_of(one))
        assert row["endless"] == (0.5 if one.model.condition == "filler" else 0)
        assert row["trace"] == ("none" if not one.model.has_trace else
                                "drawn" if one.answering else "written")
        assert row["trained_gap"] == dict(one.model.variation).get("gap", "none")
    effects = tables["effects"].set_index(["quantity", "distribution"])
    assert effects.index.is_unique
    assert effects.at[("plan_valid: walk - correct", "wilson"), "estimate"] == pytest.approx(
        rates.at[("walk", "wilson"), "plan_valid"] - rates.at[("correct", "wilson"), "plan_valid"])
    for quantity in ("dropped with gaps - correct with gaps", "dropped with gaps - dropped",
                     "dropped with gaps - solution_only with gaps", "walk drawn - correct drawn",
                     "swapped drawn - solution_only", "half_filler - filler",
                     "partly_swapped 25 % - correct"):
        assert (f"plan_valid: {quantity}", "wilson") in effects.index
    assert list(tables["left"]["arm"][:5]) == [
        "correct", "partly_swapped 25 %", "partly_swapped 50 %", "partly_swapped 75 %", "swapped"]
    left = tables["left"].set_index("arm")
    assert set(left.index) == {arm for arm in tables["rates"]["arm"] if "gaps" not in arm
                               and "drawn" not in arm} - {"solution_only"}
    assert left.at["correct", "valid"] == 1 > left.at["partly_swapped 25 %", "valid"]
    parts = tables["parts"].set_index("part")
    assert (parts["wanted"] == parts["made"]).all()
    assert parts.at["shares", "new"] == 3
    assert 2.8 < parts.at["shares", "as_long_as"] < 3.2  # as long as whole traces
    assert 3.5 < parts.at["drops", "as_long_as"] < parts.at["drops", "new"] == 5


def test_tables_of_what_is_there(answered):
    """Parts that were not made are missing from the tables, and said to be."""
    few = EXPERIMENTS["spectrum_filler"].evaluations(HOME)
    made = spectrum.analyse(answered, few)
    parts = made["parts"].set_index("part")
    assert parts.at["filler", "made"] == parts.at["filler", "wanted"] > parts.at["drops", "made"]
    assert {arm.split()[0] for arm in made["rates"]["arm"]} == {*LAPTOP.conditions, "filler",
                                                               "half_filler"}
    shown = spectrum.by_arm(made["rates"])
    assert shown.shape == (5, 3)  # no trace, written, drawn
    assert (shown.loc[("", "no trace", 1)] == "–").sum() == 2


def test_tables_of_searchformer(answered):
    made = searchformer.analyse(answered, searchformer.with_gaps(HOME))
    assert set(made) == set(EXPERIMENTS["searchformer"].tables)
    rates = made["rates"].set_index(["trained_gap", "condition", "distribution"])
    assert len(rates) == 2 * 3 * 2
    for one in searchformer.with_gaps(HOME):
        gap = dict(one.model.variation).get("gap", "none")
        assert rates.at[(gap, one.model.condition, one.distribution),
                        "plan_valid"] == pytest.approx(rate_of(one))
    quantities = set(made["differences"]["quantity"])
    assert {"plan_valid: swapped - correct", "plan_valid: swapped with gaps - correct with gaps",
            "trace_valid: swapped - correct"} <= quantities
    assert list(searchformer.rates_by_gap(made["rates"]).index.unique(0)) == ["none", "random"]


def test_claims_name_quantities_of_these_tables(answered, tables):
    found = {"spectrum": tables["effects"], "searchformer": searchformer.analyse(
        answered, searchformer.with_gaps(HOME))["differences"]}
    for folder, table in found.items():
        named = [claim for claim in claims.CLAIMS if claim.table.startswith(f"{folder}/")]
        assert named
        asked = {one.distribution for one in EXPERIMENTS[folder].evaluations(LAPTOP)}
        for claim in named:
            assert claim.quantity in set(table["quantity"]), claim
            assert asked.issuperset(claim.distributions), claim


# ── the figure ──────────────────────────────────────────────────────────────────────────


def test_each_arm_is_a_point(tables):
    rates = pd.concat([tables["rates"], tables["rates"].assign(distribution="drunkards_walk")])
    figure = draw_spectrum(rates, spectrum.TITLES)
    assert png(figure).startswith(b"\x89PNG")
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    says = [one.says for one in CORRUPTIONS.values()]
    assert [label for label in labels if label in says] == says
    assert [label for label in labels if label.startswith("in ") and label.endswith("%")] == [
        f"in {share} %" for share in (0, 25, 50, 75, 100)]
    for ax, kind in zip(figure.axes, ("wilson", "drunkards_walk"), strict=True):
        assert ax.get_title() == look_of_generator(kind).label
        drawn = [line for line in ax.lines if line.get_marker() in "soD<^v"]
        rows = rates[rates["distribution"] == kind]
        assert sorted(x for line in drawn for x in line.get_xdata()) == pytest.approx(
            sorted(rows["plan_valid"]))
        places = np.round([y for line in drawn for y in line.get_ydata()]).astype(int)
        found = sorted(labels[place] for place in places)
        assert found == sorted(rows["says"])
        assert {line.get_color() for line in drawn} == {
            look_of_condition(name).colour for name in rows["condition"]}
    assert "filler drawn" in figure.alt
    assert "shuffled" in figure.alt
    assert draw_spectrum(rates.iloc[:0], spectrum.TITLES).alt.startswith("Nothing to draw")
