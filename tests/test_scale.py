"""Scale files: whatever is wrong in one is an error in one line that names the place."""

import pytest
import yaml

from helpers.corpus import PROMPT, build
from helpers.study.scale import SCALES, Scale, ScaleError, load_scale, sources

NAMES = sorted(path.stem for path in SCALES.glob("*.yml"))
# a scale of its own, so that those in scales/ can change
SCALE = """\
rows: 6
cols: 6
sampling: indexed
data_seed: 42
trained_on: wilson
conditions: [solution_only, correct, swapped]
seeds: [1]
distributions: [wilson, kruskal, dfs, drunkards_walk, searchformer]
train_examples: 1500
test_examples: 40
validation_examples: 20
model:
  width: 32
  layers: 2
  heads: 2
  kv_heads: 1
  mlp_width: 64
  rope_theta: 10000.0
training:
  batch_size: 16
  epochs: 1
  learning_rate: 0.02
  adam_learning_rate: 0.004
  weight_decay: 0.0
  warmup_steps: 20
  decay_fraction: 0.5
  plan_weight: 3.0
  checkpoint_every: 40
  log_every: 5
  compiled: false
decoding:
  max_new_tokens: 240
  batch_size: 64
"""


@pytest.fixture
def written(tmp_path):
    """Reads a scale file with this text."""
    def read(text: str | bytes) -> Scale:
        (tmp_path / "tried.yml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_scale("tried", tmp_path)

    return read


def refused(read, *parts: str) -> None:
    with pytest.raises(ScaleError) as caught:
        read()
    message = str(caught.value)
    assert "\n" not in message
    assert all(part in message for part in parts), message


@pytest.mark.parametrize("name", NAMES)
def test_scales_load(name):
    scale = load_scale(name)
    assert scale.name == name
    *_, values = sources(name).values()  # of the file that extends no other
    assert values.keys() == Scale.model_fields.keys() - {"name"}


@pytest.mark.parametrize("name", [name for name in NAMES if len(sources(name)) == 1])
def test_values_are_those_of_the_file(name):
    values = yaml.safe_load((SCALES / f"{name}.yml").read_text())
    assert load_scale(name).training.warmup_steps == values["training"]["warmup_steps"]


def test_the_names_that_make_study_knows():
    assert {"smoke", "laptop"} <= set(NAMES)


def test_unknown_scale(tmp_path):
    refused(lambda: load_scale("nonsense"), "scale: got 'nonsense'", "takes one of", *NAMES)
    for name in ("", "../smoke", "smoke.yml"):
        refused(lambda name=name: load_scale(name), repr(name))


@pytest.mark.parametrize(("line", "other", "parts"), [
    ("rows: 6", "rwos: 6", ["rwos: unknown name, takes one of rows, cols", "rows: got nothing"]),
    ("  width: 32", "  widht: 32", ["model.widht: unknown name, takes one of width, layers"]),
    ("  epochs: 1", "  epoch: 1", ["training.epoch: unknown name", "epochs"]),
    ("  learning_rate: 0.02", "  learning_rate: 1e-4",
     ["training.learning_rate: got '1e-4', takes a valid number"]),
    ("  learning_rate: 0.02", "  learning_rate: .inf", ["learning_rate: got inf, takes a finite"]),
    ("  learning_rate: 0.02", "  learning_rate: 0",
     ["learning_rate: got 0, takes a number greater than 0"]),
    ("  decay_fraction: 0.5", "  decay_fraction: 1.5", ["decay_fraction: got 1.5", "equal to 1"]),
    ("  compiled: false", "  compiled: 'false'", ["compiled: got 'false', takes a valid boolean"]),
    ("train_examples: 1500", "train_examples: 1500.5", ["train_examples: got 1500.5", "integer"]),
    ("train_examples: 1500", "train_examples: '1500'", ["train_examples: got '1500'", "integer"]),
    ("test_examples: 40", "test_examples: 0", ["test_examples: got 0"]),
    ("rows: 6", "rows: 2", ["rows: got 2, takes a number greater than or equal to 3"]),
    ("cols: 6\n", "", ["cols: got nothing, takes a value"]),
    ("cols: 6", "cols: null", ["cols: got None, takes a valid integer"]),
    ("sampling: indexed", "sampling: random", ["got 'random', takes 'paper' or 'indexed'"]),
    ("trained_on: wilson", "trained_on: willson", ["trained_on: got 'willson'", "'wilson'"]),
    ("correct, swapped]", "correct, swaped]", ["conditions.2: got 'swaped'", "'swapped'"]),
    ("correct, swapped]", "correct, correct]", ["conditions: got", "a list without repetition"]),
    ("seeds: [1]", "seeds: [1, 2, 1]", ["seeds: got [1, 2, 1], takes a list without repetition"]),
    ("kruskal, dfs", "kruskal, kruskal", ["distributions: got", "a list without repetition"]),
    ("seeds: [1]", "seeds: []", ["seeds: got [], takes a list of at least 1"]),
    ("seeds: [1]", "seeds: 1", ["seeds: got 1, takes a list"]),
    ("seeds: [1]", "seeds: [-1]", ["seeds.0: got -1"]),
    ("decoding:", "decoder:", ["decoder: unknown name", "decoding: got nothing"]),
    ("  width: 32", "  width: 30", ["width: got 30, takes a multiple of twice the heads (4)"]),
    ("  kv_heads: 1", "  kv_heads: 3", ["kv_heads: got 3, takes a divisor of heads (2)"]),
    ("rows: 6", "rows: 6\nname: mine", ["name: got 'mine'"]),
])
def test_one_wrong_line(written, line, other, parts):
    assert SCALE.count(line) == 1
    refused(lambda: written(SCALE.replace(line, other, 1)), "scale tried: ", *parts)


def test_several_faults_at_once(written):
    refused(lambda: written(SCALE.replace("rows: 6", "rows: 2").replace("epochs: 1", "epochs: x")),
            "rows: got 2", "training.epochs: got 'x'")


@pytest.mark.parametrize("text", ["rows: [", "a: b: c", "\t", "rows: \x00", b"\xff\xfe\xfa"])
def test_not_yaml(written, text):
    refused(lambda: written(text), "scale tried: is not YAML")


@pytest.mark.parametrize("text", ["", "- 1\n- 2", "laptop", "3"])
def test_no_mapping(written, text):
    refused(lambda: written(text), "scale tried: got", "takes a YAML mapping")


# ── a scale that extends another ────────────────────────────────────────────────────────


@pytest.fixture
def family(tmp_path):
    """Reads the last of several scale files, name → text, beside one called ``base``."""
    def read(**texts: str) -> Scale:
        for name, text in {"base": SCALE, **texts}.items():
            (tmp_path / f"{name}.yml").write_text(text)
        return load_scale(name, tmp_path)

    return read


def test_extends_replaces_what_is_given(family, written):
    base = written(SCALE).model_dump()
    values = family(mine="extends: base\ntrain_examples: 99\nseeds: [2, 3]\n"
                         "model: {width: 64}\ntraining: {epochs: 4, compiled: true}\n").model_dump()
    assert values.pop("name") == "mine"
    assert values["model"] == base["model"] | {"width": 64}
    assert values["training"] == base["training"] | {"epochs": 4, "compiled": True}
    assert values["seeds"] == (2, 3)  # a list is replaced whole
    assert values["train_examples"] == 99
    changed = {"name", "model", "training", "seeds", "train_examples"}
    assert {key: values[key] for key in base.keys() - changed} == {
        key: base[key] for key in base.keys() - changed}


def test_extends_nothing_but_the_name(family, written):
    assert (family(mine="extends: base").model_dump(exclude={"name"})
            == written(SCALE).model_dump(exclude={"name"}))


def test_extends_in_a_chain(family, tmp_path):
    scale = family(parent="extends: base\nrows: 8\ncols: 8\ndecoding: {batch_size: 7}",
                   child="extends: parent\ncols: 10\ndecoding: {max_new_tokens: 300}")
    assert (scale.rows, scale.cols) == (8, 10)
    assert scale.decoding.model_dump() == {"max_new_tokens": 300, "batch_size": 7}
    assert [path.name for path in sources("child", tmp_path)] == ["child.yml", "parent.yml",
                                                                  "base.yml"]


@pytest.mark.parametrize(("line", "parts"), [
    ("extends: bass", ["scale mine: extends: got 'bass', takes one of base, mine"]),
    ("extends: ../base", ["scale mine: extends: got '../base', takes one of"]),
    ("extends:", ["scale mine: extends: got None, takes one of"]),
    ("extends: [base]", ["scale mine: extends: got ['base'], takes one of"]),
    ("extends: mine", ["scale mine: extends: got 'mine', takes a scale that does not extend mine",
                       "(mine → mine)"]),
    ("extends: base\nextend: base", ["scale mine: extend: unknown name", "extends"]),
    ("extends: base\nname: mine", ["scale mine: name: got 'mine'"]),
    ("extends: base\nmodel: {widht: 3}", ["scale mine: model.widht: unknown name"]),
    ("extends: base\nmodel: {extends: base}", ["model.extends: unknown name, takes one of width"]),
    ("extends: base\nmodel:", ["scale mine: model: got None, takes"]),
    ("extends: base\nmodel: 3", ["scale mine: model: got 3, takes"]),
    ("extends: base\nrows: {a: 3}", ["scale mine: rows: got {'a': 3}, takes"]),
    ("extends: base\nmodel: {width: 30}", ["scale mine: width: got 30, takes a multiple"]),
])
def test_one_wrong_line_in_an_extending_scale(family, line, parts):
    refused(lambda: family(mine=line), *parts)


def test_faults_of_the_extended(family):
    refused(lambda: family(b="extends: a", a="extends: b"),
            "scale b: extends: got 'a', takes a scale that does not extend b itself", "a → b → a")
    refused(lambda: family(base=SCALE.replace("rows: 6", "rows: 2"), mine="extends: base"),
            "scale mine: rows: got 2")
    refused(lambda: family(base="rows: [", mine="extends: base"), "scale base: is not YAML")
    refused(lambda: family(base="- 1", mine="extends: base"), "scale base: got [1]")


# ── what follows from a scale ───────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", NAMES)
def test_recipes_draw_from_different_places(name):
    """Training from its own split; validation from test's, behind all of the test set."""
    scale = load_scale(name)
    train, validation = scale.recipe("train"), scale.recipe("validation")
    tests = [scale.recipe("test", generator) for generator in scale.distributions]
    assert (train.split, train.count, train.skip) == ("train", scale.train_examples, 0)
    assert {(test.split, test.skip) for test in tests} == {("test", 0)}
    assert [test.generator for test in tests] == list(scale.distributions)
    assert validation.split == "test"
    assert validation.skip >= max(test.count for test in tests)
    assert {recipe.seed for recipe in (train, validation, *tests)} == {scale.data_seed}
    assert {(recipe.rows, recipe.cols) for recipe in (train, validation, *tests)} == {
        (scale.rows, scale.cols)}


@pytest.mark.parametrize("name", [name for name in NAMES if load_scale(name).rows < 12])
def test_room_for_prompt_and_answer(name):
    scale = load_scale(name)
    config, longest = scale.transformer(), 0
    assert config.vocabulary == scale.vocabulary.size
    for generator in scale.distributions:
        corpus = build(scale.recipe("test", generator))
        longest = max(longest, corpus.lengths()[:, PROMPT].max() + 1)  # and the opening word
    assert longest + scale.decoding.max_new_tokens <= config.context
