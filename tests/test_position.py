"""The position experiment: what each part asks for, and that its numbers are what they say."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from models import scrambled
from studies import SMOKE, at_most, miniature, train

from helpers import differences, evaluation
from helpers.conditions import CONDITIONS, prompts
from helpers.corpus import PLAN_PART, TRACE_PART
from helpers.engine.packing import pack
from helpers.experiments import EXPERIMENTS, position
from helpers.language import SOLUTION
from helpers.layouts import GAPS
from helpers.responses import (
    other_traces,
    realigned,
    respond,
    right_plans,
    true_traces,
    written_traces,
)
from helpers.show import charts, claims, sentences
from helpers.study import steps
from helpers.study.runs import Run
from helpers.study.scale import load_scale
from helpers.study.specs import EvaluationSpec, ModelSpec

LAPTOP = load_scale("laptop")
TINY = miniature(
    train_examples=160, test_examples=12, validation_examples=4,
    distributions=("wilson", "searchformer"),
    decoding=at_most(120))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return Run(TINY, tmp_path_factory.mktemp("runs"))


def make(run, specs):
    train(run, dict.fromkeys(one.model for one in specs))
    steps.evaluate(run, specs)


# ── what is asked for ───────────────────────────────────────────────────────────────────


def models(part, scale):
    return {one.model for one in position.PARTS[part][1](scale)}


def test_parts_share_models_and_train_no_more_than_they_say():
    headline = {one.model for one in EXPERIMENTS["headline"].evaluations(LAPTOP)}
    for part in ("realign", "width"):
        assert models(part, LAPTOP) == headline
    kinds = {(model.condition, model.variation) for model in models("gaps", LAPTOP)}
    assert kinds == {(condition, ()) for condition in LAPTOP.conditions} | {
        (condition, (("gap", "random"),)) for condition in LAPTOP.conditions} | {
        ("correct", (("gap", kind),)) for kind in ("solution", "both")}
    assert models("read", LAPTOP) <= models("gaps", LAPTOP)
    assert all(model.has_trace for model in models("read", LAPTOP))
    assert {model.condition for model in models("cures", LAPTOP)} == {"solution_only", "correct"}
    for seeds in (1, 2, 3):  # two at most, these are many
        several = LAPTOP.model_copy(update={"seeds": tuple(range(1, seeds + 1))})
        assert len(models("cures", several)) == 2 * min(seeds, 2) * len(position.CURES)
    assert len(models("sizes", LAPTOP)) == 2 * 3 * 2
    for scale in (SMOKE, LAPTOP):
        everything = EXPERIMENTS["position"].evaluations(scale)
        for name in position.PARTS:
            assert set(EXPERIMENTS[f"position_{name}"].evaluations(scale)) <= set(everything)
        further = EXPERIMENTS["position_seeds"].evaluations(scale)
        assert {(one.model.seed in scale.seeds, one.model.variation) for one in further} == {
            (False, ()), (False, position.RANDOM)}
        own = {replace(one, model=replace(one.model, seed=scale.seeds[0])) for one in further}
        assert own == {one for one in everything if one.model.variation in ((), position.RANDOM)
                       and one.model.seed == scale.seeds[0]
                       and "gap" not in {k for k, v in one.answering if v != "realigned"}}


def test_variations_are_settings_of_a_scale():
    for one in EXPERIMENTS["position"].evaluations(LAPTOP):
        LAPTOP.varied(one.model.variation)  # raises where one is not


# ── how models are asked ────────────────────────────────────────────────────────────────


def test_realigned_responses_begin_where_most_did_in_training(run):
    training = steps.corpus(run, run.corpus("train"))
    for name, varied in (("wilson", False), ("searchformer", True)):
        mazes = steps.corpus(run, run.corpus("test", name))
        begins = [len(mazes.part(0).piece(i)) + gap for i, gap in enumerate(
            realigned(mazes, training))]
        usual = {len(training.part(0).piece(i)) for i in range(len(training))}
        assert set(begins) == usual  # one length in all of training
        assert (len(set(realigned(mazes, training))) > 1) == varied


def test_a_gap_moves_what_a_model_answers(run):
    model = scrambled(TINY.transformer())
    mazes = steps.corpus(run, run.corpus("test", "wilson"))
    plain, moved, one_by_one = (
        respond(model, mazes, "solution_only", max_new_tokens=30, gap=gap)
        for gap in (0, 40, np.full(12, 40)))
    assert all(map(np.array_equal, moved, one_by_one))
    assert not all(map(np.array_equal, plain, moved))


@pytest.mark.parametrize("given", [true_traces, other_traces])
def test_what_is_given_is_part_of_the_answer(run, given):
    model = scrambled(replace(TINY.transformer(), context=400))
    mazes = steps.corpus(run, run.corpus("test", "searchformer"))
    traces = given(mazes)
    answers = respond(model, mazes, "correct", max_new_tokens=20, traces=traces)
    for trace, answer in zip(traces, answers, strict=True):
        assert np.array_equal(answer[:len(trace)], trace)
        assert answer[len(trace)] == SOLUTION
        assert len(answer) <= len(trace) + 21
    rows = evaluation.judge(mazes, "correct", answers)
    assert rows["trace_exact"].all() == (given is true_traces)
    own = true_traces(mazes)
    assert all(map(np.array_equal, own, traces)) == (given is true_traces)
    with pytest.raises(ValueError, match="traces: got some for solution_only"):
        respond(model, mazes, "solution_only", max_new_tokens=20, traces=traces)


def test_how_likely_the_right_plan_is(run, float32):
    """One maze at a time, without packing, the same sums."""
    model = scrambled(replace(TINY.transformer(), context=400))
    mazes = steps.corpus(run, run.corpus("test", "searchformer"))
    for condition, traces in (("correct", other_traces(mazes)), ("solution_only", None)):
        found = right_plans(model, mazes, condition, traces=traces, batch_size=5)
        for i, prompt in enumerate(prompts(mazes, CONDITIONS[condition])):
            given = [] if traces is None else [*traces[i], SOLUTION]
            plan = mazes.part(PLAN_PART).piece(i)[1:].astype(np.int64)
            text = np.concatenate([prompt, given, plan]).astype(np.int64)
            with torch.no_grad():
                packing = pack(np.array([len(text)]), token_multiple=1)
                tokens = torch.from_numpy(np.append(text, 0))
                chances = model(tokens, packing).log_softmax(-1).numpy()
            places = np.arange(len(text) - len(plan), len(text))
            assert found[i] == pytest.approx(chances[places - 1, plan].sum(), rel=1e-3)


def test_written_traces_are_read_back(run):
    mazes = steps.corpus(run, run.corpus("test", "wilson"))
    part = mazes.part(TRACE_PART)
    texts = [mazes.vocabulary.decode(np.concatenate([mazes.part(i).piece(0) for i in range(3)]))
             for _ in range(3)]
    for text in (texts[0], texts[0].split(" solution")[0], texts[0].split(" solution")[0] + " end"):
        assert np.array_equal(written_traces(mazes, [text])[0], part.piece(0)[1:])
    for text in ("query reasoning solution plan 0 0 end", "query reasoning end", "query reasoning"):
        assert not len(written_traces(mazes, [text])[0])  # of a model that wrote none


def test_a_plan_follows_its_trace():
    trace = "close 0 0 c0 c3 create 1 0 c1 c2 create 0 1 c1 c2 close 0 1 c1 c2"
    for plan, follows in (("plan 0 0 plan 0 1", True), ("plan 0 0 plan 1 0", False), ("", False)):
        assert evaluation.follows_trace(f"{trace} solution {plan} end") is follows
    assert not evaluation.follows_trace("solution end")
    assert not evaluation.follows_trace(f"{trace} close solution plan 0 0 plan 0 1 end")
    circle = "close 0 0 c0 c3 create 1 0 c1 c2 close 1 0 c1 c2 create 0 0 c2 c2 close 0 0 c2 c2"
    assert evaluation.follows_trace(f"{circle} solution plan 1 0 plan 0 0 end")


# ── tables ──────────────────────────────────────────────────────────────────────────────


def test_tables_gather_what_is_there(run):
    experiment = EXPERIMENTS["position_realign"]
    make(run, experiment.evaluations(TINY))
    first = steps.analyse(run, experiment)
    assert set(first["parts"].query("wanted == made")["part"]) == {"realign"}
    more = [one for part in ("width", "gaps", "read") for one in position.PARTS[part][1](TINY)]
    make(run, [one for one in more if dict(one.answering).get("gap", 3) in (-3, 3)])
    tables = steps.analyse(run, experiment)
    rates = tables["rates"]
    assert len(rates) == len(run.evaluations(experiment))
    assert set(tables["parts"].query("wanted == made")["part"]) == {"realign", "gaps", "read"}
    assert set(rates["trained_gap"]) == set(GAPS)
    assert set(rates["answered"]) == {"as_is", "realigned", "fixed"}
    fixed = rates[rates["answered"] == "fixed"]
    assert set(fixed["answered_gap"]) == {-3, 3}
    back = rates[(rates["answered"] == "realigned") & (rates["distribution"] == "wilson")]
    assert (back["answered_gap"] == 0).all()
    assert not rates.loc[rates["condition"] == "solution_only", "trace_valid"].notna().any()
    assert (rates["right_plan"].notna() == (rates["given"] != "nothing")).all()
    given = rates[rates["given"] == "true"]
    assert (given["trace_valid"] == 1).all()
    quantities = set(tables["effects"]["quantity"])
    assert {claim.quantity for claim in claims.CLAIMS if claim.table in (
        "differences.csv", "position/effects.csv")
        and claim.quantity.startswith("plan_valid")} <= quantities  # by these very names
    assert "plan_valid: swapped with gaps - correct" not in quantities  # only like with like
    assert len(sentences.effects(tables["effects"]))
    for part in position.PARTS:
        assert len(position.states(rates, part)) or part in ("cures", "sizes")
    assert all(name in position.summary(run) for name in position.PARTS)
    again = steps.analyse(run, EXPERIMENTS["position_read"])  # what came last makes no difference
    for name in ("rates", "effects"):
        pd.testing.assert_frame_equal(again[name], tables[name])
    about = json.loads(run.file("position", "run.json").read_text())
    assert len(about["products"]) > len(rates)


def test_a_rate_is_that_of_its_rows(run):
    one = EvaluationSpec(ModelSpec("correct", 1), "searchformer", (("gap", "realigned"),))
    make(run, [one])
    rows = steps.all_rows(run, [one])
    cell = position._cell(one, rows).iloc[0]
    assert cell["n"] == len(rows) == 12
    assert cell["plan_valid"] == rows["plan_valid"].mean()
    assert cell["answered_gap"] == rows["gap"].mean() != 0


RATES = pd.DataFrame([
    ["correct", 1, "none", answered, gap, where, 40, 0.5, 0.4, 0.6, 0.3, given, "", 40, 0.5, -2.0]
    for where in ("wilson", "dfs") for answered, gap, given in (
        ("as_is", 0, "nothing"), ("realigned", 2, "nothing"), ("fixed", 5, "nothing"),
        ("as_is", 0, "true"))], columns=[
    *position.ASKED, "n", "plan_valid", "plan_valid_low", "plan_valid_high", "trace_valid",
    "given", "otherwise", "grids", "plan_follows_trace", "right_plan"])


@pytest.mark.parametrize(("draw", "part"), [
    (lambda table: charts.draw_by(table, "state", "answered"), "realign"),
    (charts.draw_shifts, "width"), (charts.draw_given, "read")])
def test_figures_say_what_they_show(draw, part):
    figure = draw(position.states(RATES, part))
    assert "50.0 %" in figure.alt
    assert draw(position.states(RATES, part).iloc[:0]).alt.startswith("Nothing to draw")


def test_models_with_gaps_are_told_apart():
    """In every part that shows them; what would be a mean of two models is refused."""
    both = pd.concat([RATES, RATES.assign(trained_gap="random", plan_valid=0.9)])
    elsewhere = RATES[RATES["given"] == "nothing"].assign(trained_gap="solution", plan_valid=0.2)
    assert "solution" in position.validity(pd.concat([both, elsewhere]), "gaps").index.levels[2]
    assert position.validity(pd.concat([both, elsewhere]), "read").equals(
        position.validity(both, "read"))  # these were given no trace
    for part, states in (("gaps", ["none", "random"]), ("read", [
            "nothing", "true", "nothing with gaps", "true with gaps"])):
        found = position.validity(both, part)
        assert found.index.get_level_values("state").tolist() == states
        assert found["dfs"].tolist() == [50.0] * (len(states) // 2) + [90.0] * (len(states) // 2)
    seeds = pd.concat([RATES.assign(seed=seed, condition=condition) for seed in (2, 1)
                       for condition in ("solution_only", "correct")])
    order = [label[:2] for label in position.validity(seeds, "gaps").index]
    assert order == [("solution_only", 1), ("solution_only", 2), ("correct", 1), ("correct", 2)]
    with pytest.raises(ValueError, match="got several of one realign cell"):
        position.validity(pd.concat([RATES, RATES]), "realign")


def test_a_column_without_a_text_is_none_of_numbers(tmp_path):
    """As it is where no model varies, and a table has been written and read."""
    RATES.to_csv(tmp_path / "rates.csv", index=False)
    read = pd.read_csv(tmp_path / "rates.csv")
    assert read["otherwise"].isna().all()
    for part in position.PARTS:
        assert position.states(read, part).equals(position.states(RATES, part).astype(
            read.dtypes.drop("otherwise"))), part


# ── claims ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("claimed", "low", "high", "said"), [
    ("above", 0.01, 0.3, "supported"), ("above", -0.2, -0.01, "contradicted"),
    ("above", -0.02, 0.03, "not seen"), ("above", -0.02, 0.2, "cannot tell"),
    ("below", -0.3, -0.01, "supported"), ("below", 0.01, 0.2, "contradicted"),
    ("below", -0.03, 0.02, "not seen"), ("below", float("nan"), float("nan"), "cannot tell"),
    ("not below", -0.04, 0.2, "supported"), ("not below", -0.3, -0.06, "contradicted"),
    ("not below", -0.06, 0.2, "cannot tell"), ("not above", -0.2, 0.04, "supported"),
    ("not above", 0.06, 0.3, "contradicted"), ("not above", 0.02, 0.3, "cannot tell"),
    ("more", 0.06, 0.2, "supported"), ("more", 0.01, 0.04, "contradicted"),
    ("more", 0.01, 0.2, "cannot tell"), ("half", 0.6, 2.0, "supported"),
    ("half", 0.1, 0.4, "contradicted"), ("half", float("nan"), float("nan"), "cannot tell")])
def test_verdicts_on_claims(claimed, low, high, said):
    assert claims.verdict(claimed, low, high, 2) == said
    assert claims.verdict(claimed, low, high, 1) == f"{said}, of one seed"


def test_something_is_claimed_of_each_experiment():
    asked = {"differences.csv" if name == "headline" else f"{EXPERIMENTS[name].folder}/"
             for name in EXPERIMENTS if EXPERIMENTS[name].folder or name == "headline"}
    unclaimed = {table for table in asked
                 if not any(claim.table.startswith(table) for claim in claims.CLAIMS)}
    assert not unclaimed


def test_claims_name_the_experiment_that_makes_their_number():
    for claim in claims.CLAIMS:
        if claim.experiment:
            folder = EXPERIMENTS[claim.experiment].folder
            assert claim.table.startswith(f"{folder}/"), claim


def test_the_page_of_claims_is_what_the_results_say():
    assert claims.PAGE.read_text(encoding="utf-8") == claims.page()


def test_claims_beside_results(tmp_path):
    folder = tmp_path / "laptop"
    (folder / "position").mkdir(parents=True)
    (folder / "headline.csv").touch()
    table = pd.DataFrame([["plan_valid: swapped - correct", "wilson", -0.01, -0.03, 0.02, 3, 1000]],
                         columns=differences.COLUMNS)
    table.to_csv(folder / "differences.csv", index=False)
    (row,) = claims.rows(claims.CLAIMS[0], folder)
    assert row[-6:] == ["Wilson", "-1.0", "-3.0 to +2.0", "1 000", "3", "supported"]
    seen, _, unseen = claims.page(tmp_path).partition("**No result yet**")
    assert " | ".join(row) in seen
    assert claims.CLAIMS[0].says not in unseen
    for claim in claims.CLAIMS[1:]:
        assert {row[-1] for row in claims.rows(claim, folder)} == {claims.NO_RESULT}
        assert claim.says not in seen
        assert f"- {claim.says} (" in unseen
