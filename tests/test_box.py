"""Published models and answers: small, the same each time, and what the tables count."""

import gzip
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from helpers import evaluation, responses
from helpers.checkpoints import load_model, read_checkpoint
from helpers.corpus import Recipe, build
from helpers.engine.files import PROJECT, SUMS, spoilt, staged
from helpers.engine.precision import has_bfloat16
from helpers.experiments import EXPERIMENTS
from helpers.share.box import ResponsesError, read_responses, store_responses
from helpers.study import publish as publishing
from helpers.study import steps
from helpers.study.plan import StudyError
from helpers.study.publish import box, fetch, publish
from helpers.study.runs import Run
from helpers.study.scale import load_scale
from helpers.study.specs import EvaluationSpec, Experiment, ModelSpec

TINY = """
extends: smoke
rows: 4
cols: 5
conditions: [solution_only, correct]
seeds: [3]
distributions: [wilson, searchformer]
train_examples: 1200
test_examples: 60
validation_examples: 4
model: {width: 32, layers: 1, heads: 1, kv_heads: 1, mlp_width: 32}
training: {batch_size: 8, learning_rate: 0.02, adam_learning_rate: 0.02, warmup_steps: 3,
           snapshots: 1}
decoding: {max_new_tokens: 120, batch_size: 60}
"""
HEADLINE = EXPERIMENTS["headline"]
RESULTS = Path(__file__).resolve().parents[1] / "results"


@pytest.fixture(scope="module")
def run(tmp_path_factory, one_thread) -> Run:
    """A run of the headline from corpora to tables; its report is another's matter."""
    folder = tmp_path_factory.mktemp("box")
    (folder / "tiny.yml").write_text(TINY)
    (folder / "smoke.yml").write_bytes((RESULTS.parent / "scales" / "smoke.yml").read_bytes())
    run = Run(load_scale("tiny", folder), folder)
    for model in HEADLINE.models(run.scale):
        steps.train(run, model)
        steps.follow(run, model)
    steps.evaluate(run, HEADLINE.evaluations(run.scale))
    steps.analyse(run, HEADLINE)
    with run.store.making(run.report(HEADLINE)):
        for name in run.report(HEADLINE).files:
            run.file(name).write_text("as if written")
    return run


@pytest.fixture(scope="module")
def published(run, tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("results") / "tiny"
    publish(run, HEADLINE, target)
    return target


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*")
            if path.is_file()}


MODELS = [ModelSpec("solution_only", 3), ModelSpec("correct", 3)]
ASKED = [EvaluationSpec(model, distribution) for model in MODELS
         for distribution in ("wilson", "searchformer")]


def test_what_is_published(published):
    assert set(files(published)) == {
        *HEADLINE.published, SUMS, *(f"models/{model.name}.safetensors" for model in MODELS),
        *(f"trainings/{model.name}.json" for model in MODELS),
        *(f"responses/{spec.name}.jsonl.gz" for spec in ASKED)}
    assert [path.name for path in published.parent.iterdir()] == ["tiny"]


def test_checksums_of_what_is_published(run, published, tmp_path):
    """Of all tables and figures of a folder, also those that another experiment has put there."""
    target = tmp_path / "tiny"
    shutil.copytree(published, target)
    (target / SUMS).write_text(f"{'0' * 64}  of_another.csv\n")
    assert spoilt(target) == ["of_another.csv"]
    publish(run, HEADLINE, target)
    subprocess.run(["sha256sum", "--check", "--quiet", SUMS], cwd=published, check=True)
    assert spoilt(target) == ["of_another.csv"]
    assert set((target / SUMS).read_text().split()[1::2]) == {"of_another.csv", *HEADLINE.published}


def test_results_are_those_that_were_published():
    for path in (PROJECT / "results").rglob(SUMS):
        assert spoilt(path.parent) == []


def test_a_model_of_each_condition_and_seed(run):
    two = run.scale.model_copy(update={"seeds": (3, 4)})
    assert set(HEADLINE.whole(two)) == {replace(model, seed=seed) for model in MODELS
                                        for seed in (3, 4, 5, 6)}  # the last once they are there


# ── published models gone on with ──


def other_run(run: Run, folder: Path, **changes) -> Run:
    """A run with nothing in it, of the same scale or one with changes."""
    return Run(run.scale.model_copy(update=changes), folder)


def test_a_study_goes_on_from_what_is_published(run, published, tmp_path):
    """Its tables are those of the run that was published, with nothing trained."""
    fetched, lines = other_run(run, tmp_path), []
    assert set(fetch(fetched, HEADLINE, published, lines.append)) == set(MODELS)
    assert {tuple(line.split()) for line in lines} == {(one.name, "taken", "over")
                                                       for one in MODELS}
    for model in MODELS:
        for product in (fetched.model(model), fetched.curve(model)):
            assert fetched.store.status(product).state == "current"
            ours, theirs = (one.store.record(product) for one in (fetched, run))
            code = ours.pop("input_code")  # of the mazes, which are not taken over
            assert code == run.store.input_code(product)
            assert {name.split()[0] for name in code} == {"corpus"}
            assert {name: value for name, value in ours.items() if name != "files"} == {
                name: value for name, value in theirs.items() if name != "files"}
        assert steps.metrics(fetched, model).equals(steps.metrics(run, model))
        steps.train(fetched, model)  # nothing to do
        assert not list(fetched.folder.rglob("work-*"))
    steps.make_corpora(fetched, HEADLINE)
    steps.evaluate(fetched, HEADLINE.evaluations(fetched.scale))
    steps.analyse(fetched, HEADLINE)
    for name in HEADLINE.published:
        if name.endswith(".csv"):
            assert fetched.file(name).read_bytes() == run.file(name).read_bytes()
    assert fetch(fetched, HEADLINE, published, lines.append) == []
    assert lines[-1].endswith("is here already")


def test_fetch_of_other_settings(run, published, tmp_path, monkeypatch):
    other, lines = other_run(run, tmp_path, train_examples=1208), []
    assert fetch(other, HEADLINE, published, lines.append) == []
    assert "was made otherwise (corpus " in lines[0]
    assert lines[0].endswith("KEEP=1 takes it over all the same")
    assert not [path for path in other.folder.rglob("*") if path.is_file()]
    monkeypatch.setattr(other.store, "keep", True)
    assert set(fetch(other, HEADLINE, published)) == set(MODELS)
    assert {other.store.status(other.model(one)).state for one in MODELS} == {"kept"}


def test_fetch_of_what_is_not_published(run, published, tmp_path):
    other, lines = other_run(run, tmp_path, seeds=(3, 4)), []
    assert set(fetch(other, HEADLINE, published, lines.append)) == set(MODELS)
    assert sum(line.endswith("is not published") for line in lines) == len(MODELS)


@pytest.mark.parametrize("name", ["models/correct_3.safetensors", "trainings/correct_3.json"])
def test_fetch_of_a_damaged_file(run, published, tmp_path, name):
    folder = tmp_path / "results"
    for path, content in files(published).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content[:-20] if path == name else content)
    other = other_run(run, tmp_path)
    with pytest.raises(StudyError, match=rf"fetch.*{name}: .*unreadable or truncated"):
        fetch(other, HEADLINE, folder)
    assert other.store.status(other.model(MODELS[1])).state == "missing"


@pytest.mark.parametrize("spec", MODELS, ids=lambda spec: spec.name)
def test_a_published_model_is_that_of_the_run(run, published, spec):
    path = published / "models" / f"{spec.name}.safetensors"
    source = run.store.use(run.model(spec))
    assert path.stat().st_size < source.stat().st_size
    about, tensors = read_checkpoint(path)
    theirs, weights = read_checkpoint(source)
    made = about.pop("made")
    assert about == theirs
    assert made["commit"] == run.store.record(run.model(spec))["commit"]
    assert made["machine"]["cores"] >= 1
    assert {value.dtype for value in tensors.values()} == {torch.bfloat16}
    one, other = load_model(path), load_model(source)
    assert one.config == other.config
    for name, value in one.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, other.state_dict()[name])
        assert torch.equal(value, weights[f"model.{name}"].bfloat16().float())


@pytest.mark.parametrize("spec", ASKED, ids=lambda spec: spec.name)
def test_published_answers_are_what_the_published_model_answers(run, published, spec):
    stored = read_responses(published / "responses" / f"{spec.name}.jsonl.gz")
    assert stored.about == {"model": spec.model.name, "condition": spec.model.condition,
                            "answering": {"max_new_tokens": 120}}
    corpus = run.load(run.corpus("test", spec.distribution))
    assert stored.corpus.sha256 == corpus.sha256
    model = load_model(published / "models" / f"{spec.model.name}.safetensors", stored.corpus)
    answers = responses.respond(model, stored.corpus, spec.model.condition, max_new_tokens=120)
    assert len({answer.tobytes() for answer in answers}) > 1  # there is something to compare
    for answer, response in zip(answers, stored.responses, strict=True):
        assert np.array_equal(answer, response)


def test_published_answers_judged_are_the_published_numbers(run, published):
    parts = []
    for spec in ASKED:
        stored = read_responses(published / "responses" / f"{spec.name}.jsonl.gz")
        rows = evaluation.judge(stored.corpus, spec.model.condition, stored.responses)
        in_run = pd.read_csv(run.store.use(run.answers(spec))).drop(columns="gap")
        assert rows.to_csv(index=False) == in_run.astype(rows.dtypes).to_csv(index=False)
        parts.append(rows.assign(condition=spec.model.condition, seed=3,
                                 distribution=spec.distribution))
    assert_in_headline(pd.concat(parts, ignore_index=True), published)


def assert_in_headline(rows: pd.DataFrame, folder: Path) -> None:
    """The rates of judged answers stand in the table of that folder."""
    made = evaluation.headline(rows).set_index(evaluation.CELL)
    table = pd.read_csv(folder / "headline.csv").set_index(evaluation.CELL).loc[made.index]
    pd.testing.assert_frame_equal(made.astype(float), table.astype(float))


def test_published_again_the_same_bytes(run, published, tmp_path):
    publish(run, HEADLINE, tmp_path / "tiny")
    assert files(tmp_path / "tiny") == files(published)


def test_published_anew(run, tmp_path):
    """What is no longer among the models goes; other experiments' folders stay."""
    target = tmp_path / "tiny"
    publish(run, HEADLINE, target)
    (target / "regime").mkdir()
    (target / "regime" / "map.csv").write_text("theirs")
    for name in ("models/correct_9.safetensors", "responses/correct_9/wilson.jsonl.gz",
                 "models/correct+gap=random_9.safetensors"):
        (target / name).parent.mkdir(exist_ok=True)
        (target / name).write_text("of another seed")
    names = publish(run, HEADLINE, target)
    assert set(files(target)) == {*names, "regime/map.csv",
                                  "models/correct+gap=random_9.safetensors"}
    assert not (target / "responses" / "correct_9").exists()


def test_all_or_nothing(run, tmp_path, monkeypatch):
    target = tmp_path / "tiny"
    target.mkdir()
    (target / "headline.csv").write_text("of an earlier run")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(publishing, "store_responses", full)
    with pytest.raises(OSError, match="No space left"):
        publish(run, HEADLINE, target)
    assert files(tmp_path) == {"tiny/headline.csv": b"of an earlier run"}
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_large_models_and_other_experiments_leave_the_box_empty(run, tmp_path, monkeypatch):
    unnamed = Experiment(*(getattr(HEADLINE, name) for name in (
        "question", "notebook", "evaluations", "analyse", "summary", "tables", "figures",
        "folder")))
    assert box(run, unnamed, tmp_path) == []
    monkeypatch.setattr(publishing, "SMALL", 1000)
    assert box(run, HEADLINE, tmp_path) == []
    assert files(tmp_path) == {}


def test_staged_replaces_what_is_there(tmp_path):
    (tmp_path / "a" / "old").mkdir(parents=True)
    (tmp_path / "a" / "old" / "left").write_text("1")
    (tmp_path / "a" / "kept").write_text("1")
    with staged(tmp_path / "a", lambda path: path.parts[0] == "old") as folder:
        (folder / "kept").write_text("2")
        (folder / "new").mkdir()
        (folder / "new" / "one").write_text("2")
    assert files(tmp_path) == {"a/kept": b"2", "a/new/one": b"2"}


# ── responses on disk ───────────────────────────────────────────────────────────────────

CORPUS = build(Recipe("searchformer", 4, 4, "test", 1, "indexed", 5))
ANSWERS = [CORPUS.tokens[begin:end] for begin, end in CORPUS.bounds[:, [1, 3]]]


@pytest.fixture
def stored(tmp_path) -> Path:
    path = tmp_path / "answers.jsonl.gz"
    texts = responses.texts(CORPUS, "correct", [ids[1:] for ids in ANSWERS])
    store_responses(path, {"condition": "correct", "model": "correct_1"}, CORPUS, list(texts))
    return path


def test_responses_there_and_back(stored):
    read = read_responses(stored)
    assert read.corpus.recipe == CORPUS.recipe
    assert read.about == {"condition": "correct", "model": "correct_1"}
    assert [ids.tolist() for ids in read.responses] == [ids[1:].tolist() for ids in ANSWERS]
    assert evaluation.judge(read.corpus, "correct", read.responses)["trace_exact"].all()
    lines = gzip.decompress(stored.read_bytes()).decode().splitlines()
    assert [set(json.loads(line)) for line in lines[1:]] == [{"response"}] * 5
    assert json.loads(lines[1])["response"].startswith("reasoning close ")


def test_answers_to_other_mazes_are_not_stored(tmp_path):
    texts = list(responses.texts(CORPUS, "correct", ANSWERS))
    with pytest.raises(ResponsesError, match="an answer to another maze than 'query start"):
        store_responses(tmp_path / "x", {"condition": "correct"}, CORPUS, texts[1:] + texts[:1])
    assert not (tmp_path / "x").exists()


def changed(path: Path, change) -> None:
    lines = gzip.decompress(path.read_bytes()).decode().splitlines(keepends=True)
    path.write_bytes(gzip.compress("".join(change(lines)).encode()))


@pytest.mark.parametrize(("change", "message"), [
    (lambda lines: lines[:-1], "got 4 answers, takes 5, one for each maze"),
    (lambda lines: [lines[0].replace('"seed": 1', '"seed": 2'), *lines[1:]],
     "its mazes are not those of its recipe test_searchformer_4x4_5"),
    (lambda lines: [lines[0].replace("searchformer", "nobody"), *lines[1:]],
     "its mazes cannot be drawn (generator: got 'nobody'"),
    (lambda lines: lines[1:], "unreadable or truncated"),
    (lambda lines: [*lines[:-1], '{"response":"reasoning close 9 9"}\n'],
     "unreadable or truncated (word: got '9'"),
    (lambda lines: [], "unreadable or truncated"),
])
def test_responses_that_cannot_be_used(stored, change, message):
    changed(stored, change)
    with pytest.raises(ResponsesError) as caught:
        read_responses(stored)
    assert str(caught.value).startswith(f"responses {stored}: ")
    assert message in str(caught.value)


def test_responses_damaged(stored):
    with pytest.raises(ResponsesError, match="there is no such file"):
        read_responses(stored.with_name("absent"))
    stored.write_bytes(stored.read_bytes()[:-9])
    with pytest.raises(ResponsesError, match="unreadable or truncated"):
        read_responses(stored)


# ── what lies in results/ ───────────────────────────────────────────────────────────────

BOXES = sorted(path.parent for path in RESULTS.rglob("models") if path.is_dir())


@pytest.mark.parametrize("folder", BOXES, ids=lambda path: str(path.relative_to(RESULTS)))
def test_the_box(folder):
    """Small, and what stands in the tables beside it; asked again, the models answer the same."""
    assert sum(map(len, files(folder / "responses").values())) < 4 * 2**20
    machine = json.loads((folder / "run.json").read_text())["machine"]
    for path in sorted((folder / "models").iterdir()):
        assert path.stat().st_size < publishing.SMALL
        spec, parts = ModelSpec.parse(path.stem), []
        for file in sorted((folder / "responses" / path.stem).iterdir()):
            stored = read_responses(file)
            rows = evaluation.judge(stored.corpus, spec.condition, stored.responses)
            parts.append(rows.assign(condition=spec.condition, seed=spec.seed,
                                     distribution=file.name.removesuffix(".jsonl.gz")))
        if (folder / "headline.csv").exists() and not spec.variation:
            assert_in_headline(pd.concat(parts, ignore_index=True), folder)
        few = build(replace(stored.corpus.recipe, count=min(20, len(stored.corpus))))
        answers = responses.respond(load_model(path, few), few, spec.condition,
                                     max_new_tokens=stored.about["answering"]["max_new_tokens"])
        same = np.mean([np.array_equal(a, b)
                        for a, b in zip(answers, stored.responses, strict=False)])
        # sums in another order, or products in bfloat16 or not, turn a close call round
        assert same >= (0.9 if machine["bfloat16"] == has_bfloat16() else 0.7)
