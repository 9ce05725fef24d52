"""The experiment on compute: budgets by arithmetic, who is asked what, tables, refusals."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from studies import train, written
from test_steps import TINY

from helpers import __main__ as cli
from helpers.batches import Batches
from helpers.conditions import CONDITIONS, put_together
from helpers.corpus import TRACE_PART, build, expansions
from helpers.experiments import EXPERIMENTS, compute
from helpers.language import CLOSE_WORD
from helpers.looped import LoopedTransformer
from helpers.show.looks import png
from helpers.show.trends import draw_loops
from helpers.study import cost, steps
from helpers.study.runs import Run
from helpers.study.scale import ScaleError, load_scale
from helpers.study.specs import EvaluationSpec, ModelSpec, models_of

pytestmark = pytest.mark.usefixtures("alone")

SMOKE, LAPTOP = load_scale("smoke"), load_scale("laptop")
LOOPED = (("layers", 16), ("loops", 16), ("train_examples", 50_000))


# ── budgets ─────────────────────────────────────────────────────────────────────────────


def read(scale, condition: str, examples: int) -> tuple[int, float]:
    """Words that so many examples let a model learn, and what a training on them computes."""
    mazes = build(replace(scale.recipe("train"), count=examples))
    batches = Batches(put_together(mazes, CONDITIONS[condition], 1), examples, 1, 1)
    batch = batches[0]
    return len(batch.targets), cost.flops(scale.transformer(), batch.lengths, len(batch.targets))


@pytest.mark.parametrize(("budget", "which"), [("tokens", 0), ("flops", 1)])
def test_budgets_hold_for_the_examples_themselves(budget, which):
    """Not only for the few that they are reckoned from."""
    scale = SMOKE.varied([("train_examples", 2400), ("warmup_steps", 20)])
    found = compute.examples(scale, compute.PLAIN, budget)
    ours = read(scale, "solution_only", found)[which]
    theirs = read(scale, "correct", 1200)[which]
    assert found > 1200
    assert ours == pytest.approx(theirs, rel=0.03)


def test_loops_cost_what_as_many_blocks_do():
    """But for the output layer, which reads after each."""
    deep, looped = (LAPTOP.varied(compute.shapes(LAPTOP)[kind]).transformer()
                    for kind in (compute.DEEP, compute.LOOPED))
    lengths, learnt = np.array([100, 130]), 40
    more = 6 * deep.vocabulary * deep.width * learnt * 15
    assert cost.flops(looped, lengths, learnt) - cost.flops(deep, lengths, learnt) == more
    spent = {arm.name: arm.examples for arm in compute.arms(LAPTOP)}
    assert spent["solution_only looped at equal FLOPs"] * 2 == spent["solution_only looped"]


def test_who_is_asked_what():
    asked = EXPERIMENTS["compute"].evaluations(LAPTOP)
    names = {one.model.name for one in asked}
    half = models_of(LAPTOP, (("train_examples", 50_000),))
    assert names > {model.name for model in half}
    # within a hundredth, equal FLOPs are those of the headline's model, which is there
    assert names - {model.name for model in half} == {
        "filler+train_examples=50000_1", "solution_only_1",
        "solution_only+layers=16+loops=16+train_examples=50000_1",
        "solution_only+layers=16+loops=16+train_examples=25000_1"}
    some = [one for one in asked if "loops" in dict(one.answering)]
    assert {one.model for one in some} == {ModelSpec("solution_only", 1, LOOPED)}
    assert [dict(one.answering)["loops"] for one in some] == [1, 2, 4, 8, 16]
    assert {one.distribution for one in some} == {"wilson"}
    moved = {one.model for one in asked if dict(one.answering).get("gap") == "realigned"}
    assert moved == {one.model for one in asked}
    for part, expected in (("words", {"solution_only+train_examples=269000_1"}),
                           ("depth", {"solution_only+layers=16+train_examples=50000_1",
                                      "solution_only+loops=4+train_examples=50000_1"})):
        asked = EXPERIMENTS[f"compute_{part}"].evaluations(LAPTOP)
        assert {one.model.name for one in asked} - names == expected


# ── looped models in a study ────────────────────────────────────────────────────────────


def test_models_without_loops_follow_from_none(tmp_path):
    run, spec = Run(LAPTOP, tmp_path), ModelSpec("solution_only", 1)
    plain, looped = run.model(spec), run.model(ModelSpec("solution_only", 1, LOOPED))
    assert "loops" not in plain.settings["model"]
    answers = run.answers(EvaluationSpec(spec, "wilson"))
    assert not [name for name in (*plain.code, *answers.code) if "looped" in name
                or "looping" in name]
    assert looped.settings["model"]["loops"] == 16
    assert "helpers.looped.LoopedTransformer" in looped.code
    after = run.answers(EvaluationSpec(ModelSpec("solution_only", 1, LOOPED), "wilson",
                                       (("loops", 4),)))
    assert "helpers.looped.after" in after.code
    assert after.settings["loops"] == 4


def test_what_no_looped_model_can_be():
    with pytest.raises(ScaleError, match=r"model.loops: got 3, takes a divisor of layers \(4\)"):
        LAPTOP.varied([("loops", 3)])
    with pytest.raises(ScaleError, match="objective: got 'diffusion' for a looped model, takes "):
        LAPTOP.varied([("loops", 4), ("objective", "diffusion")])


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    """The experiment in miniature, with its tables."""
    text = TINY
    for name, value in (("max_new_tokens", 140), ("snapshots", 1), ("validation_examples", 2),
                        ("train_examples", 64), ("test_examples", 8), ("warmup_steps", 1),
                        ("distributions", "[wilson, drunkards_walk]")):
        text = re.sub(rf"{name}: (\d+|\[.*\])", f"{name}: {value}", text)
    scale = written(text, tmp_path_factory.mktemp("scales")).model_copy(
        update={"conditions": ("solution_only", "correct")})
    found, experiment = Run(scale, tmp_path_factory.mktemp("run")), EXPERIMENTS["compute_words"]
    found.asked = experiment.evaluations(scale)
    train(found, experiment.models(scale))
    steps.evaluate(found, found.asked)
    found.made = experiment.analyse(found, found.asked)
    return found


def test_tables(run):
    made = run.made
    assert set(made) == set(EXPERIMENTS["compute"].tables)
    effects = made["effects"].set_index(["quantity", "distribution"])
    for pair in ("correct - solution_only", "correct - solution_only at equal response tokens",
                 "correct - solution_only at equal FLOPs", "correct - filler drawn",
                 "solution_only looped - solution_only", "correct - solution_only looped"):
        assert effects.loc[f"plan_valid: {pair}", "n"].tolist() == [8, 8], pair
    for pair in ("correct realigned - solution_only at equal FLOPs realigned",
                 "solution_only looped realigned - solution_only looped"):
        assert effects.loc[f"plan_valid: {pair}"].index.tolist() == ["drunkards_walk"], pair
    assert [name for name, _ in effects.index if "looped after" in name] == [
        f"plan_valid: solution_only looped - solution_only looped after {n}" for n in (1, 2, 4)]
    assert effects.index.is_unique
    rates = made["rates"]
    plain = compute.usual(rates)
    assert plain.groupby("budget").size().to_dict() == dict.fromkeys(compute.BUDGETS.values(), 6)
    level = plain[plain["condition"] == "correct"].groupby("distribution")["plan_valid"]
    assert (level.nunique() == 1).all()
    assert ("equal examples", "looped") in compute.by_budget(rates).index.droplevel(
        ["condition", "seed"])
    work = made["work"].set_index(["kind", "condition", "budget"])
    reference = work.loc[("plain", "correct", "equal FLOPs")]
    for budget, number in (("equal FLOPs", "flops"), ("equal response tokens", "response_tokens")):
        assert work.loc[("plain", "solution_only", budget), number] == pytest.approx(
            reference[number], rel=0.04)
    looped = work.loc[("looped", "solution_only", "equal examples")]
    assert (looped["blocks"], looped["parameters"]) == (4, reference["parameters"])
    assert len(compute.amounts(made["work"])) == len(work)


def test_loops_and_difficulty(run):
    """The last loop is the most a word takes; A*'s expansions are the closes of its trace."""
    found = run.made["difficulty"]
    assert set(found["kind"]) == {"looped", "plain"}
    loops = found[found["kind"] == "looped"]
    assert loops["length"].between(1, 4).all()
    assert set(found.loc[found["kind"] == "plain", "condition"]) == {"correct", "filler"}
    fifths = run.made["fifths"]
    assert fifths.groupby(compute.CELL)["n"].sum().eq(8).all()
    one = next(one for one in run.asked if one.model.condition == "correct" and not one.answering)
    mazes = run.load(run.corpus("test", one.distribution, run.scale))
    assert expansions(mazes) == [list(mazes.segment(i, TRACE_PART)).count(CLOSE_WORD)
                                         for i in range(len(mazes))]
    rows = pd.DataFrame({"length": [1.0, 2.0, 4.0], "expansions": [5, 9, 30]})
    assert compute.follows(rows) == pytest.approx(1)
    assert compute.follows(rows.assign(length=-rows["length"])) == pytest.approx(-1)


def test_a_looped_model_is_asked_and_not_exported(run, tmp_path, capsys):
    spec = next(one.model for one in run.asked if "loops" in dict(one.model.variation))
    path = str(run.store.use(run.model(spec)))
    assert type(steps.trainer(run, spec, tmp_path / "work").model) is LoopedTransformer
    (tmp_path / "maze.txt").write_text("S...G\n.....\n.....\n.....\n")
    assert cli.main(["ask", "--model", path, "--maze", str(tmp_path / "maze.txt")]) in (0, 1)
    capsys.readouterr()
    assert cli.main(["export", path, str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "takes a model without loops" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_figure(run):
    made = run.made
    home = made["rates"][(made["rates"]["distribution"] == "wilson")
                         & (made["rates"]["answered"] == "as it is")
                         & (made["rates"]["budget"] == "equal examples")]
    fifths = made["fifths"][made["fifths"]["kind"] == "looped"]
    figure = draw_loops(home, fifths, ("solution_only", "correct"))
    first = figure.axes[0]
    assert [text.get_text() for text in first.get_xticklabels()] == ["1", "2", "4",
                                                                    "where it stops"]
    looped = home[home["kind"] == "looped"].set_index("loops")["plan_valid"]
    line = next(line for line in first.lines if line.get_marker() == "D")
    assert line.get_ydata() == pytest.approx(looped[["1", "2", "4", "where it stops"]])
    assert png(figure).startswith(b"\x89PNG")
