"""Code declared equivalent is taken as such, and published trainings still come out the same."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.astar import search
from helpers.checkpoints import read_checkpoint
from helpers.engine.precision import has_bfloat16
from helpers.study import equivalent, steps
from helpers.study.fingerprint import code_of
from helpers.study.products import Product, Store
from helpers.study.runs import Run
from helpers.study.scale import load_scale
from helpers.study.specs import ModelSpec
from helpers.training import Trainer

RESULTS = Path(__file__).resolve().parents[1] / "results"
TRAININGS = sorted(RESULTS.glob("*/trainings/*.json"))


def entries(folder: Path, *changes: dict) -> Path:
    path = folder / "entries.json"
    path.write_text(json.dumps([{"why": "a test", "changes": one} for one in changes]))
    equivalent._read.cache_clear()
    return path


@pytest.mark.parametrize(("theirs", "ours", "changed"), [
    ({"a": "1"}, {"a": "1"}, []),
    ({"a": "1"}, {"a": "2"}, []),  # declared
    ({"a": "1"}, {"a": "3"}, []),  # by two steps
    ({"a": "2"}, {"a": "1"}, ["a"]),  # not backwards
    ({"a": "1"}, {"a": "4"}, ["a"]),
    ({"a": "1"}, {"a": "1", "new": "5"}, []),
    ({"a": "1"}, {"a": "1", "new": "6"}, ["new"]),
    ({"a": "1", "old": "7"}, {"a": "1"}, []),
    ({"b": "1"}, {"b": "2"}, ["b"])])
def test_changed_code(tmp_path, theirs, ours, changed):
    path = entries(tmp_path, {"a": ["1", "2"], "new": [None, "5"]},
                   {"a": ["2", "3"], "old": ["7", None]})
    assert equivalent.changed_code(theirs, ours, path) == changed


def test_declare(tmp_path):
    path = entries(tmp_path)
    assert equivalent.changed_code({"a": "1"}, {"a": "2"}, path) == ["a"]
    equivalent.declare("moved", {"a": ("1", "2")}, path)
    assert equivalent.changed_code({"a": "1"}, {"a": "2"}, path) == []
    assert json.loads(path.read_text()) == [{"why": "moved", "changes": {"a": ["1", "2"]}}]


def test_products_of_equivalent_code_are_current(tmp_path, monkeypatch):
    """And so are those made from them; with other settings they are not."""
    def product(name: str, code: dict, inputs: tuple = (), settings: dict | None = None) -> Product:
        found = Product(name, (f"{name}.txt",), settings or {}, (), "a notebook", inputs)
        found.__dict__["code"] = code
        return found

    path = entries(tmp_path, {"helpers.a": ["1", "2"]})
    monkeypatch.setattr(equivalent.changed_code, "__defaults__", (path,))
    below = product("below", {"helpers.a": "1"})
    store = Store(tmp_path)
    for one in (below, product("above", {}, (below,))):
        with store.making(one):
            (tmp_path / one.files[0]).write_text("as made")
    now = product("below", {"helpers.a": "2"})
    assert now.fingerprint != below.fingerprint
    assert store.status(now).state == "current"
    assert store.status(product("above", {}, (now,))).state == "current"
    other = product("below", {"helpers.a": "3"})
    assert store.status(other).why == "code changed: a"
    assert store.status(product("above", {}, (other,))).why == "below is another"
    assert store.status(replace(now, settings={"b": 1})).state == "stale"


def test_corpora_of_equivalent_code_are_as_good(tmp_path, monkeypatch):
    """There, and where a model is all that was taken over: of that its note has to say the code."""
    recipe = {"count": 3, "params": ()}  # a list, when it is read again

    def product(name: str, code: dict, inputs: tuple = (), settings: dict = recipe) -> Product:
        found = Product(name, (f"{name}.txt",), settings, (), "a notebook", inputs)
        found.__dict__["code"] = code
        return found

    path = entries(tmp_path, {"helpers.a": ["1", "2"]})
    monkeypatch.setattr(equivalent.changed_code, "__defaults__", (path,))
    before, now, other = (product("corpus", {"helpers.a": version}) for version in "123")
    there, elsewhere = Store(tmp_path / "there"), Store(tmp_path / "elsewhere")
    for one in (before, product("model", {}, (before,))):
        with there.making(one):
            there.folder.mkdir(exist_ok=True)
            (there.folder / one.files[0]).write_text("as made")
    model = product("model", {}, (now,))
    assert [there.status(one).state for one in (now, model)] == ["current"] * 2
    assert there.input_code(model) == {"corpus": {"helpers.a": "1"}}
    record = {name: value for name, value in there.record(model).items() if name != "files"}
    elsewhere.folder.mkdir()
    (elsewhere.folder / "model.txt").write_text("as made")
    for code, corpus, states in (
            ({}, now, ["missing", "stale"]), (there.input_code(model), now, ["missing", "current"]),
            (there.input_code(model), other, ["missing", "stale"]),
            (there.input_code(model), product("corpus", now.code, (), {"count": 4}),
             ["missing", "stale"]),
            ({"corpus": {"helpers.a": "2"}}, now, ["missing", "stale"])):  # it is not by that code
        model = product("model", {}, (corpus,))
        elsewhere.adopt(model, record | {"input_code": code})
        assert [elsewhere.status(one).state for one in (corpus, model)] == states
        assert elsewhere.input_code(model) == code


def test_changes_since_published_trainings(tmp_path):
    """In the code of their mazes too, which are not published."""
    folder = tmp_path / TRAININGS[0].parts[-3] / "trainings"
    folder.mkdir(parents=True)
    training = json.loads(TRAININGS[0].read_text(encoding="utf-8"))
    assert equivalent.changes_since([TRAININGS[0]]) == {}
    (corpus,) = training["made"][0]["input_code"].values()
    corpus["helpers.astar.search"], corpus["helpers.corpus.gone"] = "another", "what was"
    training["made"][0]["code"]["helpers.model.rotate"] = "another"
    path = folder / TRAININGS[0].name
    path.write_text(json.dumps(training))
    found = equivalent.changes_since([path])
    assert {name: was for name, (was, _) in found.items()} == {
        "helpers.astar.search": "another", "helpers.corpus.gone": "what was",
        "helpers.model.rotate": "another"}
    assert found["helpers.corpus.gone"][1] is None
    assert found["helpers.astar.search"][1] == code_of(search)["helpers.astar.search"]


def test_entries_are_what_they_say():
    for entry in json.loads(equivalent.ENTRIES.read_text()):
        assert entry["why"].strip()
        assert entry["changes"]
        for was, is_ in entry["changes"].values():
            assert was != is_


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Of runs whose data sets are drawn once for all trainings."""
    return tmp_path_factory.mktemp("runs")


@pytest.mark.parametrize("path", TRAININGS, ids=lambda path: f"{path.parts[-3]} {path.stem}")
def test_a_published_training_begins_as_it_began(path, root, tmp_path, one_thread):
    """Its first steps, made again with the code as it is, have the losses that were logged.

    Another processor sums in another order, or multiplies in another precision: within that.
    """
    spec, run = ModelSpec.parse(path.stem), Run(load_scale(path.parts[-3]), root)
    training = json.loads(path.read_text(encoding="utf-8"))
    logged = json.loads(training["metrics.jsonl"].splitlines()[0])
    batches, corpus = steps.examples_of(run, spec)
    published, _ = read_checkpoint(path.parents[1] / "models" / f"{path.stem}.safetensors")
    assert corpus["sha256"] == published["follows_from"]["corpus"]["sha256"]
    scale = run.scale_of(spec)
    Trainer(batches, scale.transformer(), scale.training, seed=spec.seed, folder=tmp_path,
            follows_from={}, compiled=False).run(stop_after=logged["step"])
    made = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[0])
    exact = not (has_bfloat16() or training["made"][0]["machine"]["bfloat16"])
    for name in ("loss", "plan_loss"):
        assert made[name] == pytest.approx(logged[name], rel=2e-3 if exact else 2e-2)
    assert made["tokens"] == logged["tokens"]
