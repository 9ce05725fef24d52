"""The experiments on traces, coupling and length: their numbers are what they say."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from models import scrambled

from helpers import resampling
from helpers.conditions import CONDITIONS, prompts
from helpers.corpus import PLAN_PART, TRACE_PART, build
from helpers.decoding import Decoder
from helpers.evaluation import judge
from helpers.experiments import EXPERIMENTS, coupling, length
from helpers.language import SOLUTION
from helpers.responses import trace_chances
from helpers.show import claims, tracecharts
from helpers.show.looks import png
from helpers.study import asking, steps
from helpers.study.runs import Run
from helpers.study.scale import load_scale
from helpers.study.specs import EvaluationSpec, ModelSpec

SMOKE = load_scale("smoke")
PLACES = ("wilson", "dfs", "drunkards_walk", "searchformer", "free_space")
N = 240


def made_up(**columns) -> pd.DataFrame:
    """Answers of two conditions: traces follow the maze under ``correct``, break when long."""
    parts = []
    for condition in ("correct", "swapped"):
        for distribution in PLACES:
            rng = np.random.default_rng(len(parts))
            own = rng.integers(5, 60, N)
            plan = rng.random(N) < 0.7
            right = (rng.random(N) < 1 / (1 + np.exp((own - 40) / 8))) & (condition == "correct")
            noisy = own + rng.integers(-4, 9, N) if condition == "correct" else rng.permutation(own)
            parts.append(pd.DataFrame({
                "condition": condition, "seed": 1, "trained_gap": "none", "answered": "as it is",
                "distribution": distribution, "grid": np.arange(N) // 2, "plan_valid": plan,
                "plan_published": plan, "plan_alone": plan, "trace_valid": right,
                "trace_published": right & plan, "trace_alone": right,
                "own_trace_tokens": 5 * own + 1, "own_events": own, "trace_events": noisy,
                "own_plan_steps": own // 4 + 1, "trace_event": np.where(right, -1, noisy // 2),
                "trace_error": np.where(right, None, "wrong_cost"), "cut_off": own > 50,
                "own_cut_off": own > 55, "sure": -0.1 * rng.random(N) - 0.2 * ~plan, **columns}))
    return pd.concat(parts, ignore_index=True)


ROWS = made_up()


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch):
    monkeypatch.setattr(resampling, "DRAWS", 10)


@pytest.fixture(scope="module")
def mazes():
    return build(replace(SMOKE.recipe("test", "searchformer"), count=12))


# ── what is asked for ───────────────────────────────────────────────────────────────────


def test_only_models_with_traces_without_and_with_gaps():
    for name in ("coupling", "length"):
        experiment, scale = EXPERIMENTS[name], load_scale("laptop")
        assert {model.name for model in experiment.models(scale)} == {"correct_1", "swapped_1"}
        assert {one.model.name for one in experiment.gathers(scale)} == {
            "correct+gap=random_1", "swapped+gap=random_1"}


def test_free_space_is_asked_once_as_it_is_and_once_realigned():
    for scale in (SMOKE, SMOKE.model_copy(update={"distributions": ("wilson", "free_space")})):
        free = [one for one in length.evaluations(scale) if one.distribution == "free_space"]
        assert len(free) == len(set(free)) == 2 * 2
        assert {one.answering for one in free} == {(), (("gap", "realigned"),)}


# ── answers, judged ─────────────────────────────────────────────────────────────────────


@pytest.fixture
def answered(mazes, monkeypatch, tmp_path):
    """A run in which a model has written the right trace and then the plan without a step."""
    texts, responses = [], []
    for i in range(len(mazes)):
        prompt, trace, plan = (mazes.part(which).piece(i) for which in range(3))
        short = np.concatenate([plan[:4], plan[7:]])  # `solution plan X Y`, then the third step
        responses.append(np.concatenate([trace[1:], short]))
        texts.append(mazes.vocabulary.decode(np.concatenate([prompt, trace, short])))
    rows = judge(mazes, "correct", responses).assign(
        condition="correct", seed=1, distribution="searchformer", variation="")
    monkeypatch.setattr(steps, "all_rows", lambda run, specs: rows.copy())
    monkeypatch.setattr(asking, "written", lambda run, spec: texts)
    monkeypatch.setattr(Run, "load", lambda run, product: mazes)
    return Run(SMOKE, tmp_path), EvaluationSpec(ModelSpec("correct", 1), "searchformer")


def test_a_trace_is_judged_without_its_plan(answered):
    """Whose length makes it invalid by the published verdict alone."""
    rows = coupling.judged(*answered)
    assert rows["trace_alone"].all()
    assert rows["trace_valid"].all()
    assert not rows["trace_published"].any()
    assert set(rows["trained_gap"]) == {"none"}


def test_lengths_are_those_of_what_was_written(answered, mazes, monkeypatch):
    monkeypatch.setattr(length, "sure", lambda run, one, mazes: np.zeros(len(mazes)))
    rows = length.judged(*answered)
    assert (rows["own_events"] == rows["trace_events"]).all()
    right = [len(mazes.part(TRACE_PART).piece(i)) - 1 + len(mazes.part(PLAN_PART).piece(i))
             for i in range(len(mazes))]
    limit = SMOKE.decoding.max_new_tokens
    assert (rows["own_cut_off"] == (np.array(right) > limit)).all()
    assert (rows["cut_off"] == (np.array(right) - 3 >= limit)).all()
    realigned = replace(answered[1], answering=(("gap", "realigned"),))
    again = length.judged(answered[0], realigned)
    assert set(again["answered"]) == {"realigned"}
    assert again["sure"].isna().all()


def test_problems_of_one_grid_are_told_apart(answered, monkeypatch):
    monkeypatch.setattr(length, "sure", lambda run, one, mazes: np.zeros(len(mazes)))
    rows = steps.all_rows(None, None)
    monkeypatch.setattr(steps, "all_rows", lambda run, specs: rows.assign(grid=0))
    assert length.judged(*answered)["grid"].nunique() > 1


def test_how_sure_a_model_was_is_what_it_was_when_it_wrote(mazes):
    model = scrambled(SMOKE.transformer())
    given = prompts(mazes, CONDITIONS["correct"])
    written = Decoder(model).answer(given, max_new_tokens=40, log_probabilities=True)
    ends = [next((i for i, word in enumerate(ids) if word == SOLUTION), len(ids))
            for ids in written.ids]
    traces = [ids[:end] for ids, end in zip(written.ids, ends, strict=True)]
    found = trace_chances(model, mazes, "correct", [*traces[:-1], traces[-1][:0]], batch_size=5)
    assert len(found[-1]) == 0
    for each, logs, end in zip(found[:-1], written.log_probabilities, ends, strict=False):
        assert np.allclose(each, logs[:end], atol=0.1)  # other kernels, perhaps bfloat16
    assert np.concatenate(found).min() < -0.5


# ── coupling ────────────────────────────────────────────────────────────────────────────


def test_verdicts_stand_side_by_side():
    table = coupling.verdicts(ROWS)
    assert len(table) == 2 * len(PLACES) * 3
    one = table.query("condition == 'correct' and distribution == 'wilson'").set_index("verdict")
    part = ROWS[(ROWS["condition"] == "correct") & (ROWS["distribution"] == "wilson")]
    for level, name in coupling.VERDICTS.items():
        trace, plan = part[f"trace_{level}"], part["plan_valid"]
        assert one.loc[name, "both_valid"] == (trace & plan).sum()
        assert one.loc[name, "phi"] == pytest.approx(resampling.correlation(trace, plan))
        assert one.loc[name, "trace_valid_given_plan_valid"] == trace[plan].mean()
    assert coupling.phis(table).loc["correct"].shape == (3, len(PLACES))


def test_bins_hold_every_valid_plan_once():
    table = coupling.by_length(ROWS)
    sums = table.groupby(["condition", "distribution"])["n"].sum()
    assert (sums == ROWS[ROWS["plan_valid"]].groupby(["condition", "distribution"]).size()).all()
    assert (table["above"] < table["up_to"]).all()
    one = table[(table["condition"] == "correct") & (table["distribution"] == "wilson")].iloc[-1]
    part = ROWS.query("condition == 'correct' and distribution == 'wilson' and plan_valid")
    inside = part[part["own_trace_tokens"].between(one["above"], one["up_to"], inclusive="right")]
    assert one["trace_valid"] == inside["trace_valid"].mean()


def test_a_curve_is_near_the_truth_and_grids_are_wholes():
    """Of 2 000 answers on as many grids; the same again adds no grid, so nothing is surer."""
    rng = np.random.default_rng(1)
    tokens = rng.uniform(0, 300, 2000)

    def truth(x):
        return 1 / (1 + np.exp((x - 200) / 40))

    rows = pd.DataFrame({"own_trace_tokens": tokens, "grid": np.arange(2000),
                         "trace_valid": rng.random(2000) < truth(tokens)})
    found = coupling.curve(rows)
    right = truth(found["tokens"])
    inside = (found["trace_valid_low"] < right) & (right < found["trace_valid_high"])
    assert inside.mean() > 0.7
    assert np.abs(found["trace_valid"] - right).max() < 0.08
    again = coupling.curve(pd.concat([rows, rows], ignore_index=True))
    width, same = (table["trace_valid_high"] - table["trace_valid_low"] for table in (found, again))
    assert np.allclose(width, same, rtol=0.02)


def test_curves_are_of_cells_with_enough_of_both():
    assert set(coupling.curves(ROWS)["condition"]) == {"correct"}
    assert coupling.curves(ROWS[ROWS["condition"] == "swapped"]).empty


def test_where_traces_break():
    found = coupling.broken(ROWS)
    assert len(found) == (~ROWS["trace_valid"]).sum()
    assert found["place"].between(0, 1).all()
    table = coupling.places(ROWS)
    assert (table.groupby(["condition", "distribution", "plan_valid"])["broken_by_then"].last()
            == 1).all()
    counts = coupling.first_breaks(coupling.breaks(ROWS))
    assert counts.to_numpy().sum() == len(found)
    whole = ROWS.assign(trace_error=None)
    assert coupling.places(whole).empty
    assert coupling.breaks(whole).empty


def test_what_the_rule_adds():
    """Here a trace is invalid by the published verdict where the plan is; in itself it is free."""
    one = ROWS[(ROWS["condition"] == "correct") & (ROWS["distribution"] == "wilson")]
    assert coupling.of_the_rule(one) > 0.3
    assert coupling.of_the_rule(one.assign(trace_published=one["trace_alone"])) == 0
    assert coupling.longer(one) > 0.3
    assert coupling.invalid_share(one.assign(plan_valid=one["trace_valid"])) == 0


# ── length ──────────────────────────────────────────────────────────────────────────────


def test_lengths_beside_those_needed():
    table = length.lengths(ROWS).set_index(["condition", "distribution"])
    assert (table.loc["correct", "correlation"] > 0.9).all()
    assert (table.loc["swapped", "correlation"].abs() < 0.25).all()
    assert (table["correlation_low"] < table["correlation"]).all()
    assert "0.9" in length.correlations(table.reset_index()).loc["correct", "wilson"].item()
    written = length.written(ROWS)
    assert (written.groupby(["condition", "distribution"])["n"].sum() == N).all()


def test_free_space_by_distance():
    table = length.free_space(ROWS)
    free = ROWS[ROWS["distribution"] == "free_space"]
    assert (table.groupby("condition")["n"].sum() == N).all()
    assert table["up_to"].max() >= (free["own_plan_steps"] - 1).max() > table["above"].max()
    assert length.free_space(ROWS[ROWS["distribution"] == "wilson"]).empty
    assert length.endless(free) == ((free["cut_off"] & ~free["own_cut_off"]).sum()
                                    / (~free["own_cut_off"]).sum())


def test_sure_of_the_trace():
    table = length.sureness(ROWS)
    assert (table["ahead"] > 0.9).all()
    assert (table["sure_if_valid"] > table["sure_if_not"]).all()
    fifths = length.by_sureness(ROWS)
    assert (fifths.groupby(["condition", "distribution"])["sure"].diff().dropna() > 0).all()
    assert (fifths.groupby(["condition", "distribution"])["n"].sum() == N).all()
    assert length.sureness(ROWS.assign(sure=np.nan)).empty


# ── for people ──────────────────────────────────────────────────────────────────────────


def test_claims_name_effects_that_are_there():
    realigned = ROWS[ROWS["distribution"] == "free_space"].assign(answered="realigned", sure=np.nan)
    for module, rows in ((coupling, ROWS), (length, pd.concat([ROWS, realigned]))):
        name = module.__name__.rpartition(".")[2]
        table = module.effects(rows)
        found = set(zip(table["quantity"], table["distribution"], strict=True))
        claimed = {(claim.quantity, where) for claim in claims.CLAIMS
                   if claim.table == f"{name}/effects.csv" for where in claim.distributions}
        assert claimed
        assert claimed <= found


@pytest.mark.parametrize(("draw", "table"), [
    (lambda table: tracecharts.draw_by_length(table, coupling.curves(ROWS)), coupling.by_length),
    (tracecharts.draw_places, coupling.places), (tracecharts.draw_written, length.written),
    (tracecharts.draw_free_space, length.free_space),
    (tracecharts.draw_sureness, length.by_sureness)])
def test_figures_say_what_they_show(draw, table):
    rows = table(ROWS[ROWS["distribution"].isin(("wilson", "free_space"))])
    figure = draw(rows)
    assert png(figure).startswith(b"\x89PNG")
    assert "correct" in figure.alt
    assert draw(rows.iloc[:0]).alt.startswith("Nothing to draw")
