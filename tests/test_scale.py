"""Scale files: whatever is wrong in one is an error in one line that names the place."""

import pytest

from helpers.corpus import PROMPT_PART, build
from helpers.study import yaml12
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
    needed = {name for name, field in Scale.model_fields.items() if field.is_required()}
    assert needed - {"name"} <= values.keys() <= Scale.model_fields.keys()


@pytest.mark.parametrize("name", [name for name in NAMES if len(sources(name)) == 1])
def test_values_are_those_of_the_file(name):
    values = yaml12.read((SCALES / f"{name}.yml").read_bytes())
    assert load_scale(name).training.warmup_steps == values["training"]["warmup_steps"]


def test_the_names_that_make_study_knows():
    assert {"smoke", "laptop"} <= set(NAMES)


def test_unknown_scale(tmp_path):
    refused(lambda: load_scale("nonsense"), "scale: got 'nonsense'", "takes one of", *NAMES)
    refused(lambda: load_scale("nonsense", tmp_path), "scale: got 'nonsense'")


@pytest.mark.parametrize("name", ["", "../smoke", "smoke.yml", "my scale", "-x", "smoke\n", "größe",
                                  12, None])
def test_names_that_no_scale_has(name, tmp_path):
    """Refused at once, also where there is such a file."""
    if isinstance(name, str) and "/" not in name:
        (tmp_path / f"{name}.yml").write_text(SCALE)
    (tmp_path / "good.yml").write_text(SCALE)
    refused(lambda: load_scale(name, tmp_path),
            f"scale: got {name!r}, takes letters, digits, _ and - (but no - first): one of good")


@pytest.mark.parametrize("name", ["12", "010", "6_8", "1e3", "0x10", "true", "null", "_", "a-B_1"])
def test_names_that_look_like_something_else(name, tmp_path):
    """They are text, in ``extends`` too."""
    (tmp_path / f"{name}.yml").write_text(SCALE)
    assert load_scale(name, tmp_path).name == name
    for written in (name, f"'{name}'"):
        (tmp_path / "mine.yml").write_text(f"extends: {written}\nrows: 7")
        assert load_scale("mine", tmp_path).rows == 7
        assert [path.stem for path in sources("mine", tmp_path)] == ["mine", name]


@pytest.mark.parametrize(("line", "other", "parts"), [
    ("rows: 6", "rwos: 6", ["rwos: unknown name, takes one of rows, cols", "rows: got nothing"]),
    ("  width: 32", "  widht: 32", ["model.widht: unknown name, takes one of width, layers"]),
    ("  epochs: 1", "  epoch: 1", ["training.epoch: unknown name", "epochs"]),
    ("  learning_rate: 0.02", "  learning_rate: 1e-4x",
     ["training.learning_rate: got '1e-4x', takes a valid number"]),
    ("  learning_rate: 0.02", "  learning_rate: .inf", ["learning_rate: got inf, takes a finite"]),
    ("  learning_rate: 0.02", "  learning_rate: 0",
     ["learning_rate: got 0, takes a number greater than 0"]),
    ("  decay_fraction: 0.5", "  decay_fraction: 1.5", ["decay_fraction: got 1.5", "equal to 1"]),
    ("  compiled: false", "  compiled: 'false'", ["compiled: got 'false', takes a valid boolean"]),
    ("train_examples: 1500", "train_examples: 1500.5", ["train_examples: got 1500.5", "integer"]),
    ("train_examples: 1500", "train_examples: '1500'", ["train_examples: got '1500'", "integer"]),
    ("test_examples: 40", "test_examples: 0", ["test_examples: got 0"]),
    ("test_examples: 40", "test_examples: 1e10", ["test_examples: got 10000000000, takes a number "
                                                  "less than or equal to 1000000000"]),
    ("trained_on: wilson", "trained_on: " + "w" * 5000, ["trained_on: got 'www", "or a file"]),
    ("rows: 6", "rows: 2", ["rows: got 2, takes a number greater than or equal to 3"]),
    ("cols: 6\n", "", ["cols: got nothing, takes a value"]),
    ("cols: 6", "cols: null", ["cols: got nothing, takes a valid integer"]),
    ("sampling: indexed", "sampling: random", ["got 'random', takes 'paper' or 'indexed'"]),
    ("trained_on: wilson", "trained_on: willson",
     ["trained_on: got 'willson'", "takes one of wilson", "or a file of mazes"]),
    ("correct, swapped]", "correct, swaped]", ["conditions.2: got 'swaped'", "'swapped'"]),
    ("correct, swapped]", "correct, correct]", ["conditions: got", "a list without repetition"]),
    ("seeds: [1]", "seeds: [1, 2, 1]", ["seeds: got [1, 2, 1], takes a list without repetition"]),
    ("kruskal, dfs", "kruskal, kruskal", ["distributions: got", "a list without repetition"]),
    ("seeds: [1]", "seeds: []", ["seeds: got [], takes a list of at least 1"]),
    ("seeds: [1]", "seeds: 1", ["seeds: got 1, takes a list"]),
    ("seeds: [1]", "seeds: [-1]", ["seeds.0: got -1"]),
    ("decoding:", "decoder:", ["decoder: unknown name", "decoding: got nothing"]),
    ("  width: 32", "  width: 30", ["model.width: got 30, takes a multiple of twice the heads"]),
    ("  kv_heads: 1", "  kv_heads: 3", ["model.kv_heads: got 3, takes a divisor of heads (2)"]),
    ("rows: 6", "rows: 6\nname: mine", ["name: got 'mine'"]),
    ("rows: 6", "rows: 1:40", ["rows: got '1:40', takes a valid integer"]),
    ("rows: 6", "rows: 6_0", ["rows: got '6_0', takes a valid integer"]),
    ("rows: 6", "rows: 1.5e0", ["rows: got 1.5, takes a valid integer"]),
    ("rows: 6", "rows: 1e999", ["rows: got inf, takes a"]),
    ("rows: 6", "rows: " + "9" * 5000, ["rows: got inf, takes a"]),
    ("  compiled: false", "  compiled: no", ["compiled: got 'no', takes a valid boolean"]),
    ("seeds: [1]", "seeds: [1, x]", ["tried: seeds.1: got 'x', takes a valid integer"]),
    ("rows: 6", "rows: 6\n'': 1", ["line 2: got '' as a name, takes text"]),
    ("rows: 6", 'rows: 6\n"a\\nb": 1', [r"line 2: got 'a\nb' as a name, takes text"]),
    ("rows: 6", "rows: 6\n6: 8", ["line 2: got 6 as a name, takes text"]),
    ("  warmup_steps: 20", "  warmup_steps: 24",
     ["tried: training.warmup_steps: got 24, takes at most 23, a quarter of the 93 steps"]),
    ("  batch_size: 16", "  batch_size: 1501",
     ["tried: training.batch_size: got 1501, takes at most the 1500 train_examples"]),
])
def test_one_wrong_line(written, line, other, parts):
    assert SCALE.count(line) == 1
    refused(lambda: written(SCALE.replace(line, other, 1)), "scale tried: ", *parts)


def test_several_faults_at_once(written):
    refused(lambda: written(SCALE.replace("rows: 6", "rows: 2").replace("epochs: 1", "epochs: x")),
            "rows: got 2", "training.epochs: got 'x'")


def test_items_at_fault_do_not_make_a_list_short(written):
    with pytest.raises(ScaleError) as caught:
        written(SCALE.replace("seeds: [1]", "seeds: [x]"))
    assert str(caught.value) == "scale tried: seeds.0: got 'x', takes a valid integer"


@pytest.mark.parametrize(("text", "fault"), [
    ("rows: [", "line 1: is not YAML (expected the node content"),
    ("rows: 3\na: b: c", "line 2: is not YAML (mapping values"),
    ("rows: 'x", "line 1: is not YAML (found unexpected end"),
    ("rows: 6\n\tcols: 8", "line 2: got a tab, takes spaces"),
    ("rows: 6\t", "line 1: got a tab, takes spaces"),
    ("\n\nrows: \x00", "line 3: got a character that no text has"),
    (b"rows: 6\n# \xe9\n", "line 2: got byte 0xe9, takes UTF-8"),
    ("rows: 6".encode("utf-16"), "line 1: got byte 0xff, takes UTF-8"),
    ("a: " + "[" * 3000, "got lists or sections hundreds deep, takes a few levels"),
    ("rows: 6\n---\nrows: 7", "line 2: got another document, takes one a file"),
    ("rows: 6\n...\nrows: 7", "line 3: got another document, takes one a file"),
    ("rows: 6\ncols: 8\nrows: 7", "line 3: rows: given again after line 1, takes one value"),
    ("model:\n  width: 8\nmodel:\n  width: 4", "line 3: model: given again after line 1"),
    ("model:\n  width: 8\n  x: 2\n  'width': 4", "line 4: model.width: given again after line 2"),
    ("model: {width: 8,\n  width: 8}", "line 2: model.width: given again after line 1"),
    ("a:\n- b: {c: 1}\n- b: {c: 1, d: 1, c: 1}", "line 3: a.1.b.c: given again after line 3"),
    ("extends: a\nextends: b", "line 2: extends: given again after line 1"),
    ("true: 6", "line 1: got True as a name, takes text"),
    ("? [a]\n: 6", "line 1: got ['a'] as a name, takes text"),
    ("? {a: 1}\n: 6", "line 1: got {'a': 1} as a name, takes text"),
    (": 6", "line 1: got None as a name, takes text"),
    ("rows: &x 6\ncols: *x", "line 1: got an anchor (&), takes plain values"),
    ("rows: 6\ncols: *x", "line 2: got an alias (*), takes plain values"),
    ("a: &a [*a]", "line 1: got an anchor (&), takes plain values"),
    ("rows: 6\ncols: !!int '8'", "line 2: got a tag (!), takes plain values"),
    ("rows: !!python/object:os.system x", "line 1: got a tag (!), takes plain values"),
    ("%YAML 1.1\n---\nrows: 010", "line 1: got a directive (%), takes plain values"),
])
def test_not_this_yaml(written, text, fault):
    refused(lambda: written(text), f"scale tried: {fault}")


@pytest.mark.parametrize(("text", "got"), [
    ("", "nothing"), ("# a comment", "nothing"), ("---\n", "nothing"), ("- 1\n- 2", "[1, 2]"),
    ("laptop", "'laptop'"), ("3", "3")])
def test_no_mapping(written, text, got):
    refused(lambda: written(text), f"scale tried: got {got}, takes a YAML mapping")


def test_no_file(tmp_path):
    (tmp_path / "folder.yml").mkdir()
    refused(lambda: load_scale("folder", tmp_path), "scale folder: got ", "(Is a directory)")


@pytest.mark.parametrize(("text", "value"), [
    ("010", 10), ("-010", -10), ("+5", 5), ("08", 8), ("0o10", 8), ("0x10", 16), ("1e4", 10000),
    ("1E4", 10000), ("1.5e+3", 1500), ("5e-3", 0.005), ("1E-4", 0.0001), (".5", 0.5), ("5.", 5.0),
    ("-.5e-3", -0.0005), ("6.0", 6.0), ("1.5", 1.5), (".inf", float("inf")),
    ("-.INF", -float("inf")), ("1:40", "1:40"), ("1_000", "1_000"), ("0b1", "0b1"),
    ("1e", "1e"), (".", "."), ("e5", "e5"), ("2001-01-01", "2001-01-01"), ("=", "="), ("<<", "<<"),
    ("true", True), ("False", False), ("TRUE", True), ("tRue", "tRue"), ("yes", "yes"),
    ("no", "no"), ("on", "on"), ("Off", "Off"), ("y", "y"), ("~", None), ("null", None), ("", None),
    ("'1e4'", "1e4"), ('"true"', "true"), ("''", ""), ("|\n  010\n", "010\n"),
    ("[1e1, no, {b: 010}]", [10, "no", {"b": 10}])])
def test_values(text, value):
    found = yaml12.read(f"\ufeffa: {text}\r\n".encode())
    assert found == {"a": value}
    assert type(found["a"]) is type(value)


def test_numbers_of_a_scale(written):
    scale = written(SCALE.replace("train_examples: 1500", "train_examples: 1.5e3")
                    .replace("cols: 6", "cols: 010").replace("learning_rate: 0.02",
                                                             "learning_rate: 5e-3")
                    .replace("plan_weight: 3.0", "plan_weight: 1e1"))
    assert (scale.train_examples, scale.cols) == (1500, 10)
    assert (scale.training.learning_rate, scale.training.plan_weight) == (0.005, 10.0)
    assert type(scale.training.plan_weight) is float


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
    values = family(mine="extends: base\ntrain_examples: 990\nseeds: [2, 3]\n"
                         "model: {width: 64}\ntraining: {epochs: 4, compiled: true}\n").model_dump()
    assert values.pop("name") == "mine"
    assert values["model"] == base["model"] | {"width": 64}
    assert values["training"] == base["training"] | {"epochs": 4, "compiled": True}
    assert values["seeds"] == (2, 3)  # a list is replaced whole
    assert values["train_examples"] == 990
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
    ("extends: ../base", ["scale mine: extends: got '../base', takes letters"]),
    ("extends:", ["scale mine: extends: got '', takes letters"]),
    ("extends: [base]", ["scale mine: extends: got ['base'], takes letters"]),
    ("extends: mine", ["scale mine: extends: got 'mine', takes a scale that does not extend mine",
                       "(mine → mine)"]),
    ("extends: base\nextend: base", ["scale mine: extend: unknown name", "extends"]),
    ("extends: base\nname: mine", ["scale mine: name: got 'mine'"]),
    ("extends: base\nmodel: {widht: 3}", ["scale mine: model.widht: unknown name"]),
    ("extends: base\nmodel: {extends: base}", ["model.extends: unknown name, takes one of width"]),
    ("extends: base\nmodel:", ["scale mine: model: got nothing, takes a section"]),
    ("extends: base\nmodel: 3", ["scale mine: model: got 3, takes a section"]),
    ("extends: base\nrows: {a: 3}", ["scale mine: rows: got {'a': 3}, takes"]),
    ("extends: base\nmodel: {width: 30}", ["scale mine: model.width: got 30, takes a multiple"]),
])
def test_one_wrong_line_in_an_extending_scale(family, line, parts):
    refused(lambda: family(mine=line), *parts)


def test_faults_of_the_extended(family):
    refused(lambda: family(b="extends: a", a="extends: b"),
            "scale b: extends: got 'a', takes a scale that does not extend b itself", "a → b → a")
    refused(lambda: family(base=SCALE.replace("rows: 6", "rows: 2"), mine="extends: base"),
            "scale mine: rows: got 2")
    refused(lambda: family(base="rows: [", mine="extends: base"), "scale base: line 1: is not YAML")
    refused(lambda: family(base="- 1", mine="extends: base"), "scale base: got [1]")


# ── what follows from a scale ───────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", NAMES)
def test_the_committed_scales_warm_up_as_they_say(name):
    """Their rates are those of before, when a warm-up was cut to a quarter of the steps."""
    scale = load_scale(name)
    assert scale.steps() // 4 >= scale.training.warmup_steps > 0
    if name == "smoke":
        assert (scale.steps(), scale.training.warmup_steps) == (625, 50)



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
        longest = max(longest, corpus.lengths()[:, PROMPT_PART].max() + 1)  # and the opening word
    assert longest + scale.decoding.max_new_tokens <= config.context
