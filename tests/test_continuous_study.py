"""Models whose trace is taken away, in a study: what they follow from, and the experiment."""

import re

import numpy as np
import pytest
import torch
from studies import train, written
from test_continuous import CORPUS, plainly
from test_steps import TINY
from torch.nn.functional import cosine_similarity

from helpers.checkpoints import load_model, read_checkpoint
from helpers.conditions import CONDITIONS, lenders, prompts
from helpers.corpus import PROMPT_PART
from helpers.engine.files import PROJECT, sha256
from helpers.experiments import EXPERIMENTS
from helpers.experiments import continuous as experiment
from helpers.study import asking, cost, steps
from helpers.study.runs import Run
from helpers.study.scale import ScaleError, load_scale
from helpers.study.specs import EvaluationSpec, ModelSpec

pytestmark = pytest.mark.usefixtures("alone")


SMOKE, LAPTOP = load_scale("smoke"), load_scale("laptop")


def of(name: str, condition: str = "correct", *more: tuple) -> ModelSpec:
    return ModelSpec(condition, 3, (("objective", name), *more))


def test_what_follows_from_what(tmp_path):
    run = Run(SMOKE, tmp_path)
    usual, fed = run.model(ModelSpec("correct", 3)), run.model(of("continuous"))
    assert not [name for name in usual.code if "curriculum" in name or "continuous" in name]
    assert "curriculum" not in usual.settings
    assert of("continuous").before == ModelSpec("correct", 3)
    assert of("continuous", "correct", ("train_examples", 400)).before == ModelSpec(
        "correct", 3, (("train_examples", 400),))
    assert usual.name in [one.name for one in fed.inputs]
    assert fed.settings["curriculum"] == {"latent_steps": 6, "latents_each": 1}
    assert "helpers.curriculum.StagedTrainer" in fed.code
    assert "helpers.continuous.read" in fed.code
    paused = run.model(of("paused", "correct", ("latents_each", 2)))
    assert paused.settings["curriculum"]["latents_each"] == 2
    assert "helpers.continuous.read" not in paused.code
    other = run.answers(EvaluationSpec(of("continuous"), "wilson", (("latents", "another"),)))
    assert "helpers.asking.other_prompts" in other.code


def test_what_no_model_can_be(tmp_path):
    for name, error in (("correct+latent_steps=2_1", "latent_steps says nothing without objective"),
                        ("correct+latents_each=2+objective=diffusion_1", "says nothing without")):
        with pytest.raises(ValueError, match=error):
            ModelSpec.parse(name)
    with pytest.raises(ScaleError, match="objective: got 'paused' for a model that goes on from"):
        SMOKE.varied([("objective", "paused"), ("after", "grpo")])
    with pytest.raises(ScaleError, match="got 240 latents in all, takes fewer than the 240 max_"):
        SMOKE.varied([("objective", "continuous"), ("latents_each", 40)])
    with pytest.raises(ScaleError, match="latent_steps: got 0, takes a number greater than 0"):
        SMOKE.varied([("objective", "continuous"), ("latent_steps", 0)])
    with pytest.raises(ScaleError, match="tiny: objective: got 'kept', takes one that begins with"):
        written("extends: smoke\nobjective: kept\n", _beside_scales(tmp_path))


def _beside_scales(folder):
    """A folder of scales in which one may extend the smoke scale."""
    (folder / "smoke.yml").write_text((PROJECT / "scales" / "smoke.yml").read_text())
    return folder


def test_latents_are_lent_to_models_that_feed_them_back(tmp_path):
    run, asked = Run(SMOKE, tmp_path), (("latents", "another"),)
    found = asking.asking(run, EvaluationSpec(of("continuous"), "wilson", asked), CORPUS)
    for i, prompt in enumerate(found["latents"]):
        assert not np.array_equal(prompt, CORPUS.segment(i, PROMPT_PART))
    with pytest.raises(ValueError, match=r"latents: got .another. for correct\+objective=paused_3"):
        asking.asking(run, EvaluationSpec(of("paused"), "wilson", asked), CORPUS)


def test_what_it_costs(tmp_path):
    """No more than half of the training before, and less without latents."""
    run = Run(SMOKE, tmp_path)
    before, kept, removed, fed = (cost.training_flops(run, spec) for spec in (
        ModelSpec("correct", 3), of("kept"), of("removed"), of("continuous")))
    assert kept == pytest.approx(before / 2)
    assert removed < fed < kept


def test_who_is_asked_what():
    asked = EXPERIMENTS["continuous"].evaluations(LAPTOP)
    models = {one.model.name for one in asked}
    assert models == {f"{condition}{more}_1" for condition in ("correct", "swapped") for more in (
        "", *(f"+objective={name}" for name in ("kept", "removed", "paused", "continuous")))} | {
        "solution_only_1", "solution_only+objective=kept_1"}
    others = [one for one in asked if "latents" in dict(one.answering)]
    assert {one.model.name for one in others} == {"correct+objective=continuous_1",
                                                  "swapped+objective=continuous_1"}
    assert {one.distribution for one in asked} == {"wilson", "drunkards_walk"}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    """The experiment in miniature, with its tables."""
    text = TINY + "curriculum: {latent_steps: 2}\n"
    for name, value in (("max_new_tokens", 120), ("snapshots", 2), ("validation_examples", 2),
                        ("train_examples", 96), ("test_examples", 6), ("warmup_steps", 1)):
        text = re.sub(rf"{name}: (\d+|\[.*\])", f"{name}: {value}", text)
    scale = written(text, tmp_path_factory.mktemp("scales")).model_copy(
        update={"conditions": ("solution_only", "correct")})
    found, made = Run(scale, tmp_path_factory.mktemp("run")), EXPERIMENTS["continuous"]
    asked = made.evaluations(scale)
    train(found, sorted(made.models(scale), key=lambda model: model.staged))
    steps.evaluate(found, asked)
    found.made = made.analyse(found, asked)
    return found


def test_a_training_goes_on_from_the_one_before(run):
    path = run.store.use(run.model(of("continuous")))
    about = read_checkpoint(path)[0]
    assert about["follows_from"]["before"] == sha256(run.store.use(run.model(of("kept").before)))
    assert about["follows_from"]["stages"] == [[0, 1, 1], [1, 2, 2], [3, None, 2]]
    assert about["counters"]["step"] == 6
    again = steps.trainer(run, of("continuous"), run.folder / "again")
    assert again.follows_from == about["follows_from"]
    start = load_model(run.store.use(run.model(of("kept").before)))
    assert all(torch.equal(value, start.state_dict()[name])
               for name, value in again.model.state_dict().items())


def test_tables(run):
    rates, effects, along, latents = (run.made[name] for name in (
        "rates", "effects", "along", "latents"))
    usual = experiment.usual(rates)
    assert usual.groupby("went_on", sort=False).size().to_dict() == {
        "before": 4, "trace kept": 4, "trace removed": 2, "pauses": 2, "fed back": 2}
    assert [*experiment.by_way(usual).columns] == ["wilson", "drunkards_walk"]
    by = effects.set_index(["quantity", "distribution"])
    for pair in ("correct continuous - correct paused", "correct paused - correct removed",
                 "correct continuous - solution_only kept", "correct kept - correct continuous",
                 "correct kept - correct",
                 "correct continuous - correct continuous, another's latents"):
        assert by.loc[f"plan_valid: {pair}", "n"].tolist() == [6, 6]
    assert by.loc["plan_valid: correct paused realigned - correct paused"].index.tolist() == [
        "drunkards_walk"]
    assert by.loc["last latents of two mazes alike, correct", "estimate"].between(-1, 1).all()
    out = along.groupby("went_on", sort=False)["left_out"].agg(list).to_dict()
    assert out["fed back"] == out["trace removed"] == ["2", "all"]
    assert set(out["trace kept"]) == {"none"}
    assert latents["latent"].tolist() == [1, 2, 1, 2]
    assert (latents["n"] == 6).all()
    assert latents["entropy"].between(0, np.log(CORPUS.vocabulary.size + 9)).all()


def test_latents_that_are_looked_at_are_those_of_the_answers(run):
    spec = EvaluationSpec(of("continuous"), "wilson")
    seen = experiment.looked_at(run, spec)
    mazes = run.load(run.corpus("test", "wilson", run.scale))
    model = load_model(run.store.use(run.model(spec.model)), mazes)
    texts_of = prompts(mazes, CONDITIONS["correct"])
    with torch.no_grad():
        alone = [plainly(model, text, np.arange(len(text)), 2, 1)[1] for text in texts_of]
    others = lenders(mazes, 0)
    for i, own in enumerate(alone):
        for latent in (0, 1):
            row = seen[(seen["maze"] == i) & (seen["latent"] == latent + 1)].iloc[0]
            assert row["alike"] == pytest.approx(
                float(cosine_similarity(own[latent], alone[others[i]][latent], dim=0)), abs=1e-4)
            chances = model.logits(own[latent]).double().softmax(-1)
            entropy = -(chances * chances.log()).sum().item()
            assert row["entropy"] == pytest.approx(entropy, rel=1e-3)


def test_a_trace_cannot_be_taken_from_what_has_none(run, tmp_path):
    with pytest.raises(ScaleError, match=r"got .solution_only\+objective=paused_3.: objective: "):
        steps.trainer(run, of("paused", "solution_only"), tmp_path / "none")
    assert not (tmp_path / "none").exists()
