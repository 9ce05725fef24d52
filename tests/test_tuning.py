"""Models that go on from others, as a study makes them, and the two experiments about them."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import torch
from studies import train, written
from test_steps import TINY

from helpers import subnetwork
from helpers.checkpoints import read_checkpoint
from helpers.experiments import EXPERIMENTS, grpo
from helpers.experiments import subnetwork as experiment
from helpers.grpo import PART, TuningConfig
from helpers.show.claims import CLAIMS
from helpers.show.curves import draw_along
from helpers.show.looks import png
from helpers.study import cost, needs, steps, tuning
from helpers.study.runs import Run
from helpers.study.scale import ScaleError, load_scale
from helpers.study.specs import EvaluationSpec, ModelSpec

pytestmark = pytest.mark.usefixtures("alone")

SETTINGS = """
tuning: {tuning_steps: 3, mazes: 2, answers: 3, tuning_rate: 0.01}
"""
BASE = ModelSpec("correct", 3)


def after(*variation: tuple) -> ModelSpec:
    return ModelSpec("correct", 3, tuple(sorted((("after", "grpo"), *variation))))


@pytest.fixture(scope="module")
def scale(tmp_path_factory):
    text = TINY + SETTINGS
    for name, value in (("max_new_tokens", 110), ("snapshots", 1), ("test_examples", 6),
                        ("validation_examples", 2), ("distributions", "[wilson]")):
        text = re.sub(rf"{name}: (\d+|\[.*\])", f"{name}: {value}", text)
    scale = written(text, tmp_path_factory.mktemp("scales"))
    return scale.model_copy(update={"conditions": ("correct",)})


def made(run: Run, experiment, evaluations: list[EvaluationSpec]) -> dict[str, pd.DataFrame]:
    train(run, sorted(dict.fromkeys(one.model for one in evaluations),
                      key=lambda one: len(one.masked_by) + bool(one.before)))
    steps.evaluate(run, evaluations)
    return experiment.analyse(run, evaluations)


@pytest.fixture(scope="module")
def run(scale, tmp_path_factory) -> Run:
    """A run in which both experiments have been made, and their tables."""
    found = Run(scale, tmp_path_factory.mktemp("run"))
    found.made = {name: made(found, EXPERIMENTS[name], EXPERIMENTS[name].evaluations(scale))
                  for name in ("grpo", "subnetwork")}
    return found


# ── specs and settings ──────────────────────────────────────────────────────────────────


def test_what_a_model_goes_on_from():
    varied = ModelSpec("swapped", 2, (("after", "grpo"), ("gap", "random"), ("kl", 0.04),
                                      ("only", "changed")))
    assert ModelSpec.parse(varied.name) == varied
    assert varied.before == ModelSpec("swapped", 2, (("gap", "random"),))
    assert [one.name for one in varied.masked_by] == ["swapped+after=grpo+gap=random+kl=0.04_2"]
    assert BASE.before is None
    assert BASE.masked_by == after().masked_by == ()


def test_a_scale_says_how_and_a_model_whether(tmp_path):
    (tmp_path / "bad.yml").write_text(TINY + "tuning: {after: grpo}\n")
    with pytest.raises(ScaleError, match=r"scale bad: tuning.after: got 'grpo', takes no such"):
        load_scale("bad", tmp_path)
    (tmp_path / "bad.yml").write_text(TINY + "tuning: {clip: 2, steps: 3}\n")
    with pytest.raises(ScaleError, match=r"tuning.clip: got 2, takes a number less than 1.*"
                                         r"tuning.steps: unknown name, takes one of after, only"):
        load_scale("bad", tmp_path)


def test_other_models_follow_from_nothing_of_this(scale, tmp_path):
    """A scale's `tuning` is no part of a training's fingerprint, but of what goes on."""
    other = scale.model_copy(update={"tuning": TuningConfig(tuning_steps=99)})
    one, two = Run(scale, tmp_path), Run(other, tmp_path)
    assert one.model(BASE).fingerprint == two.model(BASE).fingerprint
    assert one.model(after()).fingerprint != two.model(after()).fingerprint
    assert "helpers.tuner.Tuner" in one.model(after()).code
    assert "helpers.grpo.Policy" in one.model(after()).code
    assert "helpers.grpo.Policy" not in one.model(BASE).code
    assert one.model(after()).inputs[0] == one.model(BASE)
    kl = tuple((name, value) for name, value in (("after", "continued"), ("kl", 0.5)))
    settings = one.model(ModelSpec("correct", 3, kl)).settings["tuning"]
    assert "kl" not in settings  # continued training has none


def test_what_it_costs(scale, tmp_path):
    run = Run(scale, tmp_path)
    one = cost.training_flops(run, BASE) / (scale.steps() * scale.training.batch_size)
    assert cost.training_flops(run, after()) == pytest.approx(one * 2 * 3 * 2 * 3)
    assert needs.training(run, after()).mem_mb >= needs.activations(
        scale.transformer(), PART) / 1e6


# ── made ────────────────────────────────────────────────────────────────────────────────


def test_each_goes_on_from_the_published_weights(run):
    """What a run trained and what is published begin alike: rounded to bfloat16."""
    start = subnetwork.read_weights(run.store.use(run.model(BASE)), as_published=True)
    for spec in (after(), ModelSpec("correct", 3, (("after", "continued"),))):
        about, tensors = read_checkpoint(run.store.use(run.model(spec)))
        assert about["follows_from"]["tuning"]["after"] == dict(spec.variation)["after"]
        moved = [float((tensors[f"model.{name}"] - value).abs().max())
                 for name, value in start.items()]
        assert max(moved) <= 3 * 0.011 + 1e-6  # three steps of AdamW at 0.01
    assert steps.metrics(run, after())["step"].tolist() == [1, 2, 3]
    assert steps.follow(run, after())["step"].tolist() == [3]


def test_a_second_call_does_nothing(run, monkeypatch):
    monkeypatch.setattr(steps, "trainer", lambda *_: 1 / 0)
    assert len(steps.train(run, after())) == 3


def test_masked_training_keeps_the_others(run):
    start, whole, part = (subnetwork.read_weights(run.store.use(run.model(spec)),
                                                  as_published=not spec.before)
                          for spec in (BASE, after(), after(("only", "changed"))))
    learns = tuning.learning(start, whole, "changed", 3)
    for name, which in learns.items():
        assert torch.equal(part[name][~which], start[name][~which])
    others = tuning.learning(start, whole, "random", 3)
    assert [int(one.sum()) for one in others.values()] == [
        int(one.sum()) for one in learns.values()]


def test_grpo_tables(run):
    tables = run.made["grpo"]
    assert set(tables) == set(grpo.EXPERIMENTS["grpo"].tables)
    assert set(tables["rates"]["after"]) == set(grpo.NAMES.values())
    found = tables["effects"]["quantity"].unique()
    for rate in ("plan_valid", "trace_valid"):
        for pair in ("correct after grpo - correct", "correct after grpo - correct after continued",
                     "correct after grpo with kl - correct"):
            assert f"{rate}: {pair}" in found
    along = tables["along"]
    assert along.groupby("after").size().to_dict() == {
        "grpo": 3, "continued": 3, "rejection": 3, "grpo with kl": 3}
    assert along.loc[along["after"] == "continued", "plan_valid"].isna().all()
    own = along.dropna(subset="plan_valid")
    assert own[["trace_valid", "trace_published", "trace_tokens", "no_spread", "cut_off"]
               ].notna().all(axis=None)
    assert grpo.by_way(tables["rates"]).index.names[0] == "after"
    ends = grpo.ends(along)["plan_valid"]  # of three steps: the first, and the third
    first = own.groupby("after", sort=False)["plan_valid"].first()
    assert ends["first"].tolist() == first.tolist()
    pairs = grpo.by_pair(tables["effects"], "trace_valid")
    assert pairs.index[0] == "correct after grpo - correct"
    assert len(pairs) == 4 + 2


def test_longer_is_three_times_as_many_steps_and_an_arm_of_its_own(run):
    scale = run.scale
    asked = {one.model for one in grpo.EXPERIMENTS["grpo_longer"].evaluations(scale)}
    assert {grpo.name_of(model) for model in asked} == {"before", "grpo longer", "continued longer"}
    for model in asked - {BASE}:
        assert run.scale_of(model).tuning.tuning_steps == 3 * scale.tuning.tuning_steps
        assert model.before == BASE
    rows = pd.DataFrame([
        {"condition": "correct", "seed": 1, "distribution": "wilson", "after": after, "maze": i,
         "grid": i, "plan_valid": i < right, "trace_valid": True, "trace_published": True}
        for after, right in (("before", 5), ("grpo", 6), ("grpo longer", 9),
                             ("continued longer", 7))
        for i in range(10)])
    found = grpo.effects(rows).set_index("quantity")["estimate"]
    assert found["plan_valid: correct after grpo longer - correct"] == pytest.approx(0.4)
    assert found["plan_valid: correct after grpo longer - correct after continued longer"] == (
        pytest.approx(0.2))
    assert "plan_valid: correct after grpo - correct after continued" not in found


def test_subnetwork_tables(run):
    tables = run.made["subnetwork"]
    assert set(tables) == set(experiment.EXPERIMENT.tables)
    assert tables["alone"]["training"].tolist() == [
        "before", "grpo", "grpo of the changed", "grpo of random ones", "grpo again"]
    assert (tables["changed"]["at_all"] >= tables["changed"]["in_bfloat16"]).all()
    whole = tables["changed"].query("weights == 'all' and training == 'grpo'")
    effects = tables["effects"].set_index("quantity")["estimate"]
    assert effects["unchanged in bfloat16, correct after grpo"] == pytest.approx(
        1 - whole["in_bfloat16"].item())
    alone = tables["alone"].set_index("training")["plan_valid"]
    assert effects["plan_valid: correct after grpo of the changed - correct after grpo"] == (
        pytest.approx(alone["grpo of the changed"] - alone["grpo"]))


def test_claims_name_quantities_of_these_tables(run):
    """By these very names, of the one condition of the scale here."""
    for name, tables in run.made.items():
        wanted = {claim.quantity for claim in CLAIMS if claim.table == f"{name}/effects.csv"
                  and "swapped" not in claim.quantity}
        assert wanted
        assert wanted <= set(tables["effects"]["quantity"])


@pytest.mark.parametrize(("model", "said"), [
    ("correct_3", "model: got correct_3, takes one that goes on from another, such as "
                  "correct+after=grpo_3"),
    ("correct+after=gpro_3", "tuning.after: got 'gpro', takes 'nothing', 'grpo'"),
    ("correct", "model: got 'correct', takes CONDITION")])
def test_what_is_no_such_model(model, said, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        tuning.main(["--scale", "smoke", "--root", str(tmp_path), model])
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


# ── the figure ──────────────────────────────────────────────────────────────────────────


def along(conditions: tuple[str, ...], seeds: tuple[int, ...] = (1,)) -> pd.DataFrame:
    return pd.DataFrame([
        {"condition": condition, "seed": seed, "after": "grpo", "step": step + 1,
         "plan_valid": 0.5 + step / 100, "no_spread": 0.2, "trace_tokens": 100 - step,
         "trace_valid": np.nan if condition == "solution_only" else 0.9 - step / 50,
         "trace_published": 0.9} for condition in conditions for seed in seeds
        for step in range(20)])


def test_figure_along():
    figure = draw_along(along(("solution_only", "correct", "swapped"), (1, 2)))
    assert png(figure).startswith(b"\x89PNG")
    assert "correct: valid plans 50.0 and 64.5 %, valid traces 90.0 and 61.0 %" in figure.alt
    assert "solution_only: valid plans 50.0 and 64.5 %;" in figure.alt
    assert len(figure.legends[0].get_texts()) == 4
    assert "not made yet" in json.dumps([text.get_text() for ax in draw_along(
        along(("correct",)).assign(plan_valid=np.nan)).axes
        for text in ax.texts])
