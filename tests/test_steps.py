"""A whole study in miniature, called step by step as the notebooks call it."""

import errno
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.pyplot import close, subplots
from studies import HEADLINE, whole_study, written

from helpers import evaluation, responses
from helpers.checkpoints import load_model
from helpers.corpus import Corpus, count_possible, overlap
from helpers.engine.files import exclusive, write_sums
from helpers.ownmazes import Listed, solvable
from helpers.study import asking, runs, steps, yaml12
from helpers.study.plan import check_condition
from helpers.study.products import StaleError
from helpers.study.runs import Run
from helpers.study.scale import Scale, ScaleError, checked
from helpers.study.specs import EvaluationSpec, ModelSpec
from helpers.validator import judge_text

pytestmark = pytest.mark.usefixtures("alone")

TINY = """
rows: 4
cols: 5
sampling: indexed
data_seed: 5
trained_on: wilson
conditions: [solution_only, correct, swapped]
seeds: [3]
distributions: [wilson, drunkards_walk]
train_examples: 200
test_examples: 12
validation_examples: 6
model: {width: 16, layers: 1, heads: 1, kv_heads: 1, mlp_width: 16, rope_theta: 10000.0}
training: {batch_size: 8, warmup_steps: 3, snapshots: 2, checkpoint_every: 10, log_every: 5,
           compiled: false}
decoding: {max_new_tokens: 180, batch_size: 5}
"""


@pytest.fixture(scope="module")
def scale(tmp_path_factory) -> Scale:
    return written(TINY, tmp_path_factory.mktemp("scales"))


@pytest.fixture(scope="module")
def run(scale, tmp_path_factory) -> Run:
    return whole_study(scale, tmp_path_factory.mktemp("first"))


def test_a_run_computes_on_one_thread_unless_told_otherwise(scale, tmp_path, monkeypatch):
    for said, threads in (("2", 2), (None, 1)):
        torch.set_num_threads(2)
        if said:
            monkeypatch.setenv("OMP_NUM_THREADS", said)
        else:
            monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        Run(scale, tmp_path)
        assert torch.get_num_threads() == threads


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")
            if path.is_file() and not path.name.endswith("lock")}


def responses_of(run: Run, spec: EvaluationSpec) -> Path:
    return run.folder / run.answers(spec).files[1]


def test_files(scale, run):
    expected = {f"{name}.csv" for name in (*HEADLINE.tables, "corpus")} | {"run.json"}
    corpora = {"train_wilson_4x5_200", "test_wilson_4x5_12", "test_drunkards_walk_4x5_12",
               "test_wilson_4x5_from_1000000000_6"}
    expected |= {f"corpus/{name}.safetensors" for name in corpora}
    expected |= {f"made/corpus_{name}.json" for name in corpora} | {"made/tables_07_analysis.json"}
    for model in (f"{condition}_3" for condition in scale.conditions):
        expected |= {f"models/{model}/{name}" for name in (
            "metrics.jsonl", "checkpoint.safetensors", "model.safetensors", "curve.csv",
            "snapshots/00000012.safetensors")}
        expected |= {f"evaluation/{model}/{name}" for name in (
            "rows_wilson.csv", "responses_wilson.jsonl", "rows_drunkards_walk.csv",
            "responses_drunkards_walk.jsonl")}
        expected |= {f"made/{name}.json" for name in (
            f"model_{model}", f"curve_{model}", f"answers_{model}_wilson",
            f"answers_{model}_drunkards_walk")}
    assert names(run.folder) == expected
    assert run.folder.name == "tiny"


def test_same_settings_same_files(run, scale, tmp_path):
    again = whole_study(scale, tmp_path)
    seconds = {"run.json", "learning_curves.csv", *(
        name for name in names(run.folder) if name.startswith("made/")
        or name.endswith(("metrics.jsonl", "curve.csv", "checkpoint.safetensors")))}
    for name in sorted(names(run.folder) - seconds):
        assert (again.folder / name).read_bytes() == (run.folder / name).read_bytes(), name
    for model in HEADLINE.models(scale):
        one, other = (load_model(r.store.use(r.model(model))).state_dict() for r in (run, again))
        assert all(torch.equal(value, other[name]) for name, value in one.items())
        assert run.model(model).fingerprint == again.model(model).fingerprint
    one, other = (pd.read_csv(r.file("learning_curves.csv")).drop(columns="seconds")
                  for r in (run, again))
    pd.testing.assert_frame_equal(one, other)


def test_called_again_every_step_leaves_all_as_it_is(run, scale):
    dates = {name: (run.folder / name).stat().st_mtime_ns for name in names(run.folder)
             if not name.startswith(("made/tables", "run.json")) and "/" in name}
    steps.make_corpora(run, HEADLINE)
    for model in HEADLINE.models(scale):
        steps.train(run, model)
        steps.follow(run, model)
    steps.evaluate(run, HEADLINE.evaluations(scale))
    assert dates == {name: (run.folder / name).stat().st_mtime_ns for name in dates}


def test_corpora(scale, run):
    table = pd.read_csv(run.file("corpus.csv")).set_index("corpus")
    train = run.load(run.corpus("train"))
    assert table["n"].to_dict() == {
        "train_wilson_4x5_200": 200, "test_wilson_4x5_12": 12, "test_drunkards_walk_4x5_12": 12,
        "test_wilson_4x5_from_1000000000_6": 6}
    for name, row in table.iterrows():
        corpus = Corpus.load(run.folder / "corpus" / f"{name}.safetensors")
        seen = overlap(corpus, train)
        for column in ("also_in_training", "grids_also_in_training", "distinct_problems",
                       "distinct_grids", "most_problems_per_grid"):
            assert row[column] == getattr(seen, column)
        ratio = len(corpus) / seen.distinct_grids
        assert row["problems_per_grid"] == pytest.approx(ratio, abs=0.01)
        assert row["unsolvable"] == 0
        if corpus.recipe.split == "test":
            assert seen.grids_also_in_training == seen.also_in_training == 0
    first = table.iloc[0]
    assert first["grids_also_in_training"] == first["distinct_grids"]
    assert first["share_of_grids_trained_on"] == pytest.approx(
        first["distinct_grids"] / count_possible("wilson", 4, 5).grids)
    assert np.isnan(table.loc["test_drunkards_walk_4x5_12", "share_of_grids_trained_on"])


def test_paper_sampling_counts_what_was_seen(scale, tmp_path):
    """The published data are kept as they are; the table says what of them was trained on."""
    paper = Run(scale.model_copy(update={"sampling": "paper"}), tmp_path)
    table = steps.make_corpora(paper, HEADLINE).set_index("corpus")
    wilson = table.loc["test_wilson_4x5_12"]
    assert wilson["grids_also_in_training"] == wilson["distinct_grids"] > 1
    assert 0 < wilson["also_in_training"] < 12
    assert table.loc["test_drunkards_walk_4x5_12", "grids_also_in_training"] == 0


def test_headline(scale, run):
    lines = run.file("headline.csv").read_text().splitlines()
    assert lines[0] == (
        "condition,seed,distribution,n,plan_valid,plan_valid_low,plan_valid_high,plan_optimal,"
        "trace_valid,trace_strict,trace_exact,trace_valid_given_plan_valid,trace_valid_low,"
        "trace_valid_high,grids,plan_published,trace_published")
    cells = {tuple(line.split(",")[:4]) for line in lines[1:]}
    assert cells == {(condition, "3", distribution, "12") for condition in scale.conditions
                     for distribution in scale.distributions}
    for line in lines[1:]:
        values = line.split(",")
        assert all(0 <= float(value) <= 1 for value in values[4:8])
        assert (values[8] == "") == (values[0] == "solution_only")
        assert 1 <= int(values[14]) <= 12
        assert (values[-1] == "") == (values[0] == "solution_only")


def test_run_json(scale, run):
    about = json.loads(run.file("run.json").read_text())
    assert {"scale", "machine", "packages", "seconds", "products", "kept", "commit", "dirty",
            "date"} <= set(about)
    values = yaml12.read(TINY.encode())
    for name in set(values) - {"model", "training"}:
        assert about["scale"][name] == values[name]
    assert about["scale"]["training"]["batch_size"] == 8
    assert about["machine"]["cores"] >= 1
    assert {"processor", "memory_gib", "accelerator", "python"} <= set(about["machine"])
    assert set(about["packages"]) == set(runs.PACKAGES)
    assert set(about["seconds"]) == set(about["products"])
    assert {"model correct_3", "curve swapped_3", "corpus train_wilson_4x5_200",
            "answers solution_only_3/drunkards_walk"} <= set(about["products"])
    assert all(seconds >= 0 for seconds in about["seconds"].values())
    assert about["kept"] == {}


def test_rows_survive_the_file(scale, run):
    made = []
    asked = HEADLINE.evaluations(scale)
    for spec in asked:
        corpus = run.load(run.corpus("test", spec.distribution))
        model = load_model(run.store.use(run.model(spec.model)), corpus)
        condition = spec.model.condition
        written = responses.respond(model, corpus, condition, max_new_tokens=180, batch_size=5)
        made.append(evaluation.judge(corpus, condition, written).assign(
            condition=condition, seed=3, distribution=spec.distribution, variation="", gap=0))
    made, read = pd.concat(made, ignore_index=True), steps.all_rows(run, asked)
    assert list(read.columns[:6]) == [*evaluation.CELL, "variation", "maze", "grid"]
    for name in evaluation.TRACE_LEVELS:
        assert read[name].dtype == "boolean"
        assert read[name].isna().equals(read["condition"] == "solution_only")
    for name in ("plan_valid", "plan_optimal"):
        assert read[name].dtype == bool
    assert read.to_csv() == made[read.columns].to_csv()
    for table in (evaluation.headline, evaluation.comparisons, evaluation.coupling,
                  evaluation.published_coupling, evaluation.errors):
        pd.testing.assert_frame_equal(table(read), table(made))


def test_every_model_answers_with_its_own_weights(scale, run):
    """Two seeds, two models: neither stands in for the other."""
    two = Run(scale.model_copy(update={"seeds": (3, 4)}), run.folder.parent)
    specs = [EvaluationSpec(ModelSpec("correct", seed), "wilson") for seed in (3, 4)]
    steps.train(two, specs[1].model)
    steps.evaluate(two, specs)
    one, other = (responses_of(two, spec).read_text() for spec in specs)
    assert one != other
    corpus = two.load(two.corpus("test", "wilson"))
    model = load_model(two.store.use(two.model(specs[1].model)), corpus)
    answers = responses.respond(model, corpus, "correct", max_new_tokens=180, batch_size=5)
    texts = responses.texts(corpus, "correct", answers)
    assert other == "".join(json.dumps({"text": text}, separators=(",", ":")) + "\n"
                            for text in texts)


def test_the_learning_curve_is_of_validation_mazes(scale, run):
    spec = ModelSpec("solution_only", 3)
    curve = steps.follow(run, spec)
    assert list(curve["step"]) == [12, 25]
    corpus = run.load(run.corpus("validation"))
    tested = {key.tobytes() for name in scale.distributions
              for key in run.load(run.corpus("test", name)).problems}
    assert len(corpus) == 6
    assert not tested & {key.tobytes() for key in corpus.problems}
    model = load_model(run.store.use(run.model(spec)), corpus)
    answers = responses.respond(model, corpus, "solution_only", max_new_tokens=180)
    rows = evaluation.judge(corpus, "solution_only", answers)
    assert curve["n"].iloc[-1] == 6
    assert curve["plan_valid"].iloc[-1] == rows["plan_valid"].mean()
    names_of_inputs = [one.name for one in run.curve(spec).inputs]
    assert names_of_inputs == ["model solution_only_3", "corpus test_wilson_4x5_from_1000000000_6"]


def test_responses_judged_again(scale, run):
    for spec in HEADLINE.evaluations(scale):
        rows = steps.all_rows(run, [spec])
        lines = responses_of(run, spec).read_text().splitlines()
        for line, row in zip(lines, rows.to_dict("records"), strict=True):
            verdict = judge_text(json.loads(line)["text"], 4, 5).as_dict()
            for name in ("valid", "optimal"):
                assert verdict["plan"][name] == row[f"plan_{name}"]
            assert (verdict["plan"]["error"] or "") == (
                "" if row["plan_valid"] else row["plan_error"])
            if spec.model.condition == "solution_only":
                continue
            for name in ("valid", "strict", "exact"):
                assert verdict["trace"][name] == row[f"trace_{name}"]
            if not row["trace_valid"]:
                assert verdict["trace"]["error"] == row["trace_error"]
                assert verdict["trace"]["event"] == row["trace_event"]


def test_one_model_is_trained_by_one_process(scale, tmp_path):
    """The second says so in a line and touches nothing."""
    run, spec = Run(scale, tmp_path), HEADLINE.models(scale)[0]
    with exclusive(run.file(f"models/{spec.name}/lock")), pytest.raises(
            StaleError, match=f"^training {spec.name}: another process does it already .*lock"):
        steps.train(run, spec)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["lock"]


def test_tables_are_made_from_a_run_or_read_as_published(scale, run, tmp_path, monkeypatch):
    made, folder = steps.tables(scale, HEADLINE, str(run.folder.parent))
    assert folder == run.folder
    assert set(made) == {*HEADLINE.tables, "corpus"}
    published = tmp_path / "results" / "tiny"
    monkeypatch.setattr(steps, "PROJECT", tmp_path)
    with pytest.raises(StaleError, match="nothing is published there"):
        steps.tables(scale, HEADLINE, "")
    published.mkdir(parents=True)
    for name in made:
        (published / f"{name}.csv").write_bytes(run.file(f"{name}.csv").read_bytes())
    read, folder = steps.tables(scale, HEADLINE, "")
    assert folder == published
    for name in made:
        assert read[name].to_csv() == made[name].to_csv()
    write_sums(published, [f"{name}.csv" for name in made], {})
    assert set(steps.tables(scale, HEADLINE, "")[0]) == set(made)
    content = (published / "headline.csv").read_bytes()
    (published / "headline.csv").write_bytes(content.replace(b"0", b"1", 1))
    with pytest.raises(StaleError, match=r"headline\.csv: is not what was published"):
        steps.tables(scale, HEADLINE, "")


# ── interrupted ─────────────────────────────────────────────────────────────────────────


def test_answers_on_a_full_disk(scale, run, tmp_path, monkeypatch):
    """The earlier answers stay, nothing is half-written, and nothing counts as made."""
    spec = EvaluationSpec(ModelSpec("correct", 3), "wilson")
    run.file("made", "answers_correct_3_wilson.json").rename(tmp_path / "record")
    before = {name: (run.folder / name).read_bytes() for name in names(run.folder)}

    def full(*_):
        yield "query"
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(asking, "texts", full)
        with pytest.raises(OSError, match="No space left"):
            steps.evaluate(run, [spec])
    assert {name: (run.folder / name).read_bytes() for name in names(run.folder)} == before
    assert run.store.status(run.answers(spec)).state == "missing"
    (tmp_path / "record").rename(run.file("made", "answers_correct_3_wilson.json"))


def test_a_training_in_another_process_is_left_alone(scale, run, tmp_path):
    other = Run(scale, tmp_path)
    spec = ModelSpec("correct", 3)
    folder = other.file("models", "correct_3", "lock").parent
    with steps._alone(folder / "lock", "it"), pytest.raises(StaleError, match="another process"):
        steps.train(other, spec)


def test_an_interrupted_training_goes_on_and_ends_in_the_same_model(scale, run, tmp_path):
    other = Run(scale, tmp_path)
    spec = ModelSpec("swapped", 3)
    work = other.file("models", spec.name, "x").parent / f"work-{other.model(spec).fingerprint}"
    steps.trainer(other, spec, work).run(stop_after=14)
    assert other.store.status(other.model(spec)).state == "missing"
    metrics = steps.train(other, spec)
    assert metrics["step"].max() == 25
    assert not work.exists()
    one, two = (load_model(r.store.use(r.model(spec))).state_dict() for r in (run, other))
    assert all(torch.equal(value, two[name]) for name, value in one.items())


def test_corpus_of_another_scale(scale, run, tmp_path):
    mazes = Run(scale.model_copy(update={"rows": 5}), tmp_path)
    corpus = steps.corpus(mazes, mazes.corpus("test", "wilson"))
    with pytest.raises(ValueError, match=r"got a 5x5 grid, .* takes 4x5"):
        load_model(run.store.use(run.model(ModelSpec("correct", 3))), corpus)


# ── own mazes ───────────────────────────────────────────────────────────────────────────

OWN = """S...G
.#.#.
.#.#.
.....

S.#.G
.##..
..#..
..#..

..S.G
.#...
.#.#.
.....

S.##.
.###.
...#.
.G.#.

.....
.#.#S
.#.#.
.G...
"""


def test_a_file_of_mazes_as_distribution(scale, run, tmp_path):
    """Split and held out like a generator's; those without a way are counted."""
    path = tmp_path / "own.txt"
    path.write_text("\n".join([OWN] * 4))
    values = scale.model_dump() | {"distributions": (str(path),), "test_examples": 4}
    mine = Run(Scale.model_validate(values), tmp_path)
    asked = [EvaluationSpec(ModelSpec("correct", 3), str(path))]
    steps.train(mine, asked[0].model)
    rows = steps.evaluate(mine, asked)
    assert set(rows["distribution"]) == {str(path)}
    assert len(rows) == 4
    table = steps.make_corpora(mine, HEADLINE).set_index("corpus")
    assert table.loc["test_own_4x5_4", "grids_also_in_training"] == 0
    path.write_text("\n".join([OWN.replace("S...G", "S..G.")] * 4))
    assert mine.store.status(mine.corpus("test", str(path))).state == "stale"


def test_unsolvable_mazes_are_not_trained_on_unless_asked_for(scale, tmp_path):
    path = tmp_path / "own.txt"
    path.write_text("\n".join([OWN] * 30))
    for wanted in (False, True):
        values = scale.model_dump() | {"trained_on": str(path), "distributions": ("wilson",),
                                       "unsolvable": wanted, "train_examples": 40,
                                       "test_examples": 2, "validation_examples": 2}
        values["training"] = values["training"] | {"warmup_steps": 0}
        mine = Run(Scale.model_validate(values), tmp_path / str(wanted))
        table = steps.make_corpora(mine, HEADLINE)
        assert (table["unsolvable"].iloc[0] > 0) == wanted


def test_a_file_with_too_few_mazes_that_have_a_way(scale, tmp_path):
    """Of those that are left for training as many as are asked for, but two have none."""
    path = tmp_path / "own.txt"
    path.write_text("\n".join([OWN] * 6))
    left = [solvable(Listed(str(path), 4, 5, "train", any_).mazes) for any_ in (True, False)]
    assert len(left[0]) > len(left[1]) == left[0].sum()
    values = scale.model_dump() | {"trained_on": str(path), "distributions": ("wilson",),
                                   "test_examples": 2, "validation_examples": 2}
    values["training"] = values["training"] | {"warmup_steps": 0, "batch_size": 2}
    few, many = ({"train_examples": len(one)} for one in reversed(left))
    mine = Run(checked(values | few), tmp_path)
    assert len(steps.corpus(mine, mine.corpus("train"))) == len(left[1])
    for model in HEADLINE.models(mine.scale)[:1]:
        check_condition(mine, model)  # of fewer examples than it looks at elsewhere
    with pytest.raises(ScaleError, match=f"got {len(left[1])} mazes with a way that are left for "
                                         rf"training \(.*\), takes {len(left[0])}$"):
        checked(values | many)


# ── figures ─────────────────────────────────────────────────────────────────────────────


def drawn() -> Figure:
    figure, ax = subplots()
    ax.plot([0, 1], [1, 0], label="a line")
    ax.legend()
    close(figure)
    return figure


def test_figures_are_the_same_to_the_byte(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        steps.save_figure(drawn(), tmp_path / name, "line")
    for kind, begin in (("svg", b"<?xml"), ("png", b"\x89PNG")):
        one, other = ((tmp_path / name / f"line.{kind}").read_bytes() for name in ("one", "other"))
        assert one == other
        assert one.lstrip().startswith(begin)
        assert b"<dc:date>" not in one


def test_published_figures_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(steps, "PROJECT", tmp_path)
    published = tmp_path / "results" / "tiny"
    published.mkdir(parents=True)
    steps.save_figure(drawn(), published, "line")
    assert names(tmp_path) == set()
