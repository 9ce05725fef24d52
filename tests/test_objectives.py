"""Objectives in a study: what follows from each, plans backwards, and the experiment on them."""

import re

import numpy as np
import pandas as pd
import pytest
from studies import STUDIED, train, written
from test_steps import TINY

from helpers import __main__ as cli
from helpers import objectives
from helpers.batches import Batches
from helpers.checkpoints import read_checkpoint
from helpers.conditions import CONDITIONS, put_together
from helpers.corpus import PLAN_PART, TRACE_PART, Recipe, build
from helpers.experiments import EXPERIMENTS, diffusion, grpo
from helpers.language import SOLUTION
from helpers.objectives import OBJECTIVES, TurnedBatches, turned
from helpers.show.looks import png
from helpers.show.trends import draw_steps
from helpers.study import asking, cost, needs, steps
from helpers.study.runs import Run
from helpers.study.scale import ScaleError, load_scale
from helpers.study.specs import EvaluationSpec, ModelSpec, models_of
from helpers.validator import judge_responses

pytestmark = pytest.mark.usefixtures("alone")

CORPUS = build(Recipe("wilson", 4, 4, "train", 1, "indexed", 40))
SMOKE, LAPTOP = load_scale("smoke"), load_scale("laptop")


def of(name: str, condition: str = "correct", *more: tuple) -> ModelSpec:
    return ModelSpec(condition, 3, (("objective", name), *more))


# ── plans backwards ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("plan", "expected"), [
    ("solution plan 0 1 plan 1 1 plan 2 1 end", "solution plan 2 1 plan 1 1 plan 0 1 end"),
    ("plan 0 1 plan 1 1 end", "plan 1 1 plan 0 1 end"),
    ("plan 0 1 plan 1 1", "plan 1 1 plan 0 1"),  # cut off
    ("plan 0 1 plan 1", "plan 0 1 plan 1"), ("solution end", "solution end"), ("", "")])
def test_plans_are_turned_step_by_step(plan, expected):
    ids = CORPUS.vocabulary.encode(plan)
    assert CORPUS.vocabulary.decode(turned(ids)) == expected
    assert turned(ids).dtype == np.uint16
    assert np.array_equal(turned(turned(ids)), ids)


@pytest.mark.parametrize("condition", STUDIED)
def test_examples_are_the_same_but_for_the_plan(condition):
    examples = put_together(CORPUS, CONDITIONS[condition], 1)
    usual, backwards = (kind(examples, 4, 1, 1)[2] for kind in (Batches, TurnedBatches))
    assert np.array_equal(usual.lengths, backwards.lengths)
    assert np.array_equal(usual.targets[~usual.in_plan], backwards.targets[~usual.in_plan])
    own, other = (np.split(batch.targets[usual.in_plan],
                           np.flatnonzero(np.diff(batch.learn[usual.in_plan]) > 1) + 1)
                  for batch in (usual, backwards))
    for plan, back in zip(own, other, strict=True):
        assert np.array_equal(turned(plan), back)
        assert len(plan) < 5 or not np.array_equal(plan, back)


@pytest.mark.parametrize("condition", STUDIED)
def test_answers_are_turned_back(condition, monkeypatch):
    """What a perfect model of backward plans writes is judged as right."""
    has_trace = CONDITIONS[condition].has_trace
    right = [np.concatenate([
        *([CORPUS.segment(i, TRACE_PART)[1:], CORPUS.segment(i, PLAN_PART)[:1]] * has_trace),
        turned(CORPUS.segment(i, PLAN_PART)[1:])]) for i in range(len(CORPUS))]
    monkeypatch.setattr(objectives, "respond", lambda *_, **__: right)
    answers = objectives.respond_backwards(None, CORPUS, condition)
    opening = CONDITIONS[condition].opening
    assert judge_responses(CORPUS.mazes, answers, opening)["plan_valid"].all()
    assert judge_responses(CORPUS.mazes, right, opening)["plan_valid"].mean() < 0.2
    nothing = np.array([5, 6, 7, 8], np.uint16)  # no solution, no plan
    monkeypatch.setattr(objectives, "respond", lambda *_, **__: [nothing])
    assert not has_trace or np.array_equal(
        objectives.respond_backwards(None, CORPUS, condition)[0], nothing)
    assert SOLUTION not in nothing


# ── what follows from what ──────────────────────────────────────────────────────────────


def test_models_of_the_usual_objective_follow_from_no_other(tmp_path):
    run, spec = Run(SMOKE, tmp_path), ModelSpec("correct", 1)
    usual = [run.model(spec), run.curve(spec), run.answers(EvaluationSpec(spec, "wilson"))]
    for product in usual:
        assert "objective" not in product.settings
        assert not [name for name in product.code if "diffusion" in name or "unmasking" in name
                    or "objectives" in name]
    filled, back = (of(name) for name in ("diffusion", "backwards"))
    assert run.model(filled).settings["objective"] == "diffusion"
    assert "helpers.diffusion.Denoising" in run.model(filled).code
    assert "helpers.diffusion.FullAttention" in run.model(filled).code
    assert "helpers.objectives.turned" in run.model(back).code
    answers = run.answers(EvaluationSpec(filled, "wilson", (("order", "left"), ("steps", 5))))
    assert "helpers.unmasking.left_to_right" in answers.code
    assert "helpers.responses.respond" not in answers.code
    assert answers.settings["steps"] == 5
    assert "helpers.objectives.turned" in run.answers(EvaluationSpec(back, "wilson")).code


def test_what_no_model_can_be(tmp_path):
    with pytest.raises(ScaleError, match="objective: got 'difusion', takes 'likelihood', "):
        SMOKE.varied([("objective", "difusion")])
    with pytest.raises(ScaleError, match=r"objective: got 'backwards' for a model that goes on "
                                         r"from another, takes 'likelihood' or 'diffusion'$"):
        SMOKE.varied([("objective", "backwards"), ("after", "grpo")])
    run = Run(SMOKE, tmp_path)
    for name in set(OBJECTIVES) - {objectives.USUAL}:
        with pytest.raises(ValueError, match=f"given: got 'true' for .*, takes no trace.* {name}"):
            asking.asking(run, EvaluationSpec(of(name), "wilson", (("given", "true"),)), CORPUS)


def test_what_it_costs(tmp_path):
    run = Run(SMOKE, tmp_path)
    usual, back, filled = (cost.training_flops(run, spec) for spec in (
        ModelSpec("correct", 3), of("backwards"), of("diffusion")))
    assert back == usual < 1.5 * usual < filled
    spec = of("diffusion")
    few, many = (needs.evaluation(run, spec, [EvaluationSpec(
        spec, "wilson", (("order", "left"), ("steps", number)))] * 100) for number in (1, "all"))
    assert few.runtime < many.runtime


# ── the experiment ──────────────────────────────────────────────────────────────────────


def test_who_is_asked_what():
    asked = EXPERIMENTS["diffusion"].evaluations(LAPTOP)
    models = {one.model.name for one in asked}
    assert models == {f"{condition}{more}+train_examples=50000_1" for condition in LAPTOP.conditions
                      for more in ("", "+objective=backwards", "+objective=diffusion")}
    assert {one.model for one in EXPERIMENTS["regime"].evaluations(LAPTOP)} & {
        one.model for one in asked} == set(models_of(LAPTOP, (("train_examples", 50_000),)))
    ways = [one for one in asked if "order" in dict(one.answering)]
    assert {dict(one.answering)["mazes"] for one in ways} == {diffusion.ASKED}
    assert {one.distribution for one in ways} == {"wilson"}
    of_plans = [diffusion.way(one) for one in ways if one.model.condition == "solution_only"]
    assert len(of_plans) == len(set(of_plans)) == 1 + 4 + 3 + 4
    assert "all" not in {dict(one.answering)["steps"] for one in ways if one.model.has_trace}
    more = set(EXPERIMENTS["diffusion_all_steps"].evaluations(LAPTOP)) - set(asked)
    assert len(more) == 2 * 4
    assert {dict(one.answering)["steps"] for one in more} == {"all"}
    models = EXPERIMENTS["diffusion_reward"].models(LAPTOP)
    assert {dict(model.variation).get("after") for model in models} == {
        None, "grpo", "continued", "rejection"}
    assert {model.before for model in models} - {None} == {
        model for model in models if not model.before}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    """The experiment in miniature, with its tables."""
    text = TINY + "tuning: {tuning_steps: 2, mazes: 2, answers: 2, tuning_rate: 0.01}\n"
    for name, value in (("max_new_tokens", 140), ("snapshots", 1), ("validation_examples", 2),
                        ("train_examples", 96), ("test_examples", 8), ("warmup_steps", 1),
                        ("distributions", "[wilson, drunkards_walk]")):
        text = re.sub(rf"{name}: (\d+|\[.*\])", f"{name}: {value}", text)
    scale = written(text, tmp_path_factory.mktemp("scales")).model_copy(
        update={"conditions": ("solution_only", "correct")})
    found, experiment = Run(scale, tmp_path_factory.mktemp("run")), EXPERIMENTS["diffusion"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diffusion, "ASKED", 4)
        patch.setattr(diffusion, "NUMBERS", (1, 20, "all"))
        found.asked = [*experiment.evaluations(scale), *(
            one for one in diffusion.with_reward(scale)
            if one.model.before and not one.model.has_trace)]
        train(found, sorted({one.model for one in found.asked},
                            key=lambda model: bool(model.before)))
        steps.evaluate(found, found.asked)
        found.made = experiment.analyse(found, found.asked)
    return found


def test_a_model_knows_its_room(run):
    spec, other = (ModelSpec("correct", 3, (*more, ("train_examples", 48)))
                   for more in ((("objective", "diffusion"),), ()))
    about = read_checkpoint(run.store.use(run.model(spec)))[0]["follows_from"]
    examples = steps.examples_of(run, other)[0].examples
    assert about["room"] == (examples.traces.lengths() + examples.plans.lengths()).max() - 1
    assert about["objective"] == "diffusion"
    rows = steps.all_rows(run, [EvaluationSpec(spec, "wilson")])
    assert rows["response_tokens"].max() <= about["room"]
    plain = read_checkpoint(run.store.use(run.model(other)))[0]["follows_from"]
    assert not {"room", "objective"} & set(plain)


def test_what_goes_on_from_a_model_that_fills_in(run):
    """It follows from that model and its room, and from random masks where answers are learnt."""
    half = ("train_examples", 48)
    base = ModelSpec("solution_only", 3, (("objective", "diffusion"), half))
    own, examples = (ModelSpec("solution_only", 3, (("after", way), *base.variation))
                     for way in ("grpo", "continued"))
    assert own.before == examples.before == base
    for spec, code, other in ((own, "unigrpo.MaskedRollouts", "diffusion.Denoising"),
                              (examples, "diffusion.Denoising", "unigrpo.MaskedPolicy")):
        product = run.model(spec)
        assert f"helpers.{code}" in product.code
        assert f"helpers.{other}" not in product.code
        assert "helpers.diffusion.MaskedBatches" in product.code
        assert product.settings["objective"] == "diffusion"
        assert product.inputs[0].name == run.model(base).name
        about, before = (read_checkpoint(run.store.use(run.model(one)))[0]["follows_from"]
                         for one in (spec, base))
        assert about["room"] == before["room"]
        assert about["objective"] == "diffusion"
    assert not [name for name in run.model(ModelSpec("correct", 3, (("after", "grpo"),))).code
                if "diffusion" in name or "unmasking" in name]
    seen = steps.metrics(run, own)
    assert seen["off_by"].max() < 0.01
    assert seen["cut_off"].notna().all()
    answers = cost.training_flops(run, own) / cost.training_flops(run, examples)
    assert answers == pytest.approx(8)  # twenty readings, one as it was; learning is three


def test_tables_of_what_went_on(run):
    paid = diffusion.paid(run.made)
    shown = grpo.by_way(paid["rates"]).index.get_level_values("after")
    assert [*dict.fromkeys(shown)] == ["before", "grpo", "continued", "rejection"]
    pairs = grpo.by_pair(paid["effects"], "plan_valid").index
    assert [*pairs] == [f"solution_only after {name}" for name in (
        "grpo - solution_only", "continued - solution_only", "rejection - solution_only",
        "grpo - solution_only after continued", "grpo - solution_only after rejection")]
    assert [*grpo.ends(paid["along"]).index.get_level_values("after")] == ["grpo", "rejection"]
    assert set(run.made["rates"]["seed"]) == {3}
    assert not run.made["effects"]["quantity"].str.contains("after").any()
    nothing = diffusion.paid({"rates": run.made["rates"]})
    assert [len(table) for table in nothing.values()] == [0, 0, 0]
    assert len(grpo.by_way(nothing["rates"])) == len(grpo.ends(nothing["along"])) == 0
    assert len(grpo.by_pair(nothing["effects"], "plan_valid")) == 0


def test_only_so_many_mazes_are_asked(run):
    table = run.made["rates"]
    ways = table["order"] != "none"
    some = ways & ~((table["order"] == "confidence") & (table["steps"] == "20"))
    assert (table.loc[some, "n"] == 4).all()
    assert (table.loc[~some, "n"] == 8).all()
    one = next(one for one in run.asked if "mazes" in dict(one.answering))
    texts = asking.written(run, one)
    whole = run.load(run.corpus("test", one.distribution, run.scale))
    assert len(texts) == 4
    for i, text in enumerate(texts):
        assert text.startswith(whole.vocabulary.decode(whole.segment(i, 0)))


def test_tables(run):
    made = run.made
    assert set(made) == set(EXPERIMENTS["diffusion"].tables)
    effects = made["effects"].set_index(["quantity", "distribution"])
    for pair in ("correct diffusion - correct", "correct backwards - correct",
                 "correct diffusion - correct backwards",
                 "correct diffusion - solution_only diffusion"):
        assert effects.loc[f"plan_valid: {pair}", "n"].tolist() == [8, 8]
    assert effects.loc["plan_valid: correct diffusion - correct diffusion, confidence in 1",
                       "n"].tolist() == [4]
    assert ("plan_valid: solution_only diffusion, confidence in all - solution_only diffusion",
            "wilson") in effects.index
    assert effects.loc["plan_valid: solution_only realigned - solution_only"].index.tolist() == [
        "drunkards_walk"]
    orders = effects.loc["order of the plan, solution_only diffusion", "estimate"]
    assert orders.between(-1, 1).all()
    usual = diffusion.usual(made["rates"])
    assert usual.groupby("objective").size().to_dict() == dict.fromkeys(diffusion.NAMES.values(), 4)
    shown = diffusion.by_objective(usual)
    assert [*dict.fromkeys(shown.index.get_level_values(0))] == [*diffusion.NAMES.values()]
    ways = diffusion.by_way(made["rates"])
    assert [*ways.columns] == ["1", "20", "all"]
    assert ways.loc[("solution_only", 3)].notna().sum().tolist() == [1, 4, 4]
    assert ways.loc[("correct", 3), "all"].isna().all()


def test_what_is_revealed_when(run):
    """Shares of all steps, in quarters; the correlation is that of these very steps."""
    spec = next(one for one in run.asked if one.model.condition == "solution_only"
                and diffusion.objective(one) == "diffusion" and not one.answering)
    shown = diffusion.revealed(run, spec)
    assert set(shown["part"]) <= {"plan"}
    assert shown[[*diffusion.QUARTERS]].stack().between(0, 1).all()
    assert diffusion._order(np.array([3, 3, 2, 1])) < -0.9
    assert diffusion._order(np.array([2, 2, 2, 2])) == 0
    assert diffusion._quarters(np.array([0, 0, 1, 1, 2, 2, 3, 5]))["last"] == 4


@pytest.mark.parametrize("name", ["diffusion", "backwards"])
def test_other_commands_refuse_such_a_model(run, name, tmp_path, capsys):
    spec = ModelSpec("correct", 3, (("objective", name), ("train_examples", 48)))
    path = str(run.store.use(run.model(spec)))
    (tmp_path / "maze.txt").write_text("S...G\n.....\n.....\n.....\n")
    for words in (["ask", "--model", path, "--maze", str(tmp_path / "maze.txt")],
                  ["export", path, str(tmp_path / "out")]):
        assert cli.main(words) == 2
        error = capsys.readouterr().err
        assert name in error
        assert "word by word" in error
        assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_figure():
    rows = [{"condition": condition, "seed": 1, "distribution": "wilson", "n": 40,
             "objective": "diffusion", "order": order, "steps": number, "plan_valid": 0.25,
             "plan_valid_low": 0.2, "plan_valid_high": 0.3}
            for condition in STUDIED for order in ("confidence", "left")
            for number in ("1", "5", "20", "all") if number != "1" or order == "confidence"]
    rows.append(rows[0] | {"objective": "word by word", "order": "none", "steps": "none",
                           "plan_valid": 0.75})
    names = {"confidence": "by confidence", "left": "from the left"}
    figure = draw_steps(pd.DataFrame(rows), names, {"word by word": "--"})
    assert png(figure).startswith(b"\x89PNG")
    assert "solution_only from the left 25.0, 25.0, 25.0, 25.0" in figure.alt
    assert "solution_only word by word 75.0 %" in figure.alt
