"""What follows from what: fingerprints of code, records of products, and who checks them."""

import importlib
import json
import linecache
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.study import fingerprint
from helpers.study.fingerprint import code_of
from helpers.study.products import Product, StaleError, Store

PROJECT = Path(fingerprint.__file__).parents[2]

# ── which code counts ───────────────────────────────────────────────────────────────────

TOY = {"__init__": "", "base": '''
"""A module."""
from numba import njit
from helpers.engine.registry import Registry

FACTOR = 3
UNUSED = 1

@njit
def kernel(x):
    return x * FACTOR

def helper(x):
    """Words."""
    # a comment
    return kernel(x) + 1

def elsewhere(x):
    return -x

class Part:
    size = 2
    def grow(self):
        return helper(self.size)

def one(x):
    return x

TABLE = Registry({"one": one})
PAIR = (elsewhere, 1)
''', "top": '''
from toy import base
from toy.base import Part, TABLE

def start(name):
    return Part().grow() + base.helper(1) + TABLE[name](2)

def other():
    return base.PAIR[0](1)
'''}


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Writes a small package, with some text replaced, and gives its module ``top``."""
    monkeypatch.setattr(fingerprint, "PACKAGE", "toy")
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(*replacements):
        for name in [name for name in sys.modules if name.split(".")[0] == "toy"]:
            del sys.modules[name]
        folder = tmp_path / "toy"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name, text in TOY.items():
            for old, new in replacements:
                text = text.replace(old, new)
            (folder / f"{name}.py").write_text(text)
        importlib.invalidate_caches()
        linecache.clearcache()
        forget()
        return importlib.import_module("toy.top")

    def forget():
        for cached in (fingerprint._code_of, fingerprint._read, fingerprint._definitions_of):
            cached.cache_clear()

    yield write
    forget()


def test_code_is_followed_to_every_definition(toy):
    assert set(code_of(toy().start)) == {
        "toy.top.start", "toy.base.Part", "toy.base.helper", "toy.base.kernel"}
    assert set(code_of(toy().other)) == {"toy.top.other", "toy.base.elsewhere"}


@pytest.mark.parametrize(("old", "new", "changed"), [
    ('"""Words."""', '"""Other words."""', set()),
    ("# a comment", "# another", set()),
    ("    return kernel(x) + 1", "\n    return (kernel(x)\n            + 1)", set()),
    ("UNUSED = 1", "UNUSED = 2", set()),
    ("    return -x", "    return 2 * x", set()),
    ('TABLE = Registry({"one": one})', 'TABLE = Registry({"one": one, "two": elsewhere})', set()),
    ("x * FACTOR", "x * FACTOR + 0", {"toy.base.kernel"}),
    ("FACTOR = 3", "FACTOR = 4", {"toy.base.kernel"}),
    ("size = 2", "size = 5", {"toy.base.Part"}),
    ("helper(self.size)", "helper(self.size) + 1", {"toy.base.Part"}),
])
def test_what_counts_as_a_change(toy, old, new, changed):
    before = code_of(toy().start)
    after = code_of(toy((old, new)).start)
    assert {name for name in before if before[name] != after[name]} == changed


MADE = '''
import re
from collections import namedtuple
from dataclasses import dataclass
from functools import partial
from helpers.engine.registry import Registry

def scaled(x, by):
    return x * by

def maker(by):
    def made(x):
        return scaled(x, by)
    return made

@dataclass(frozen=True)
class Scaling:
    by: int
    def __call__(self, x):
        return x * self.by

@dataclass
class Shifting:  # has no hash
    by: int
    def __call__(self, x):
        return x + self.by

Point = namedtuple("Point", "x y")
WORD, PLACES, SIZES = re.compile("a+"), range(3), ({"b", "c"}, 4)
USUAL = Scaling(2)
STEPS = (maker(5), scaled, 6)

def follows():
    return WORD, PLACES, SIZES, USUAL, STEPS, Point

TABLE = Registry(given=partial(scaled, by=1), made=maker(7), both=(maker(7), maker(8))[1],
                 instance=Scaling(9), unhashed=Shifting(12), method=Scaling(10).__call__,
                 unnamed=lambda x: 11 * x, plain=follows)
'''


@pytest.mark.parametrize(("entry", "old", "new"), [
    ("given", "by=1", "by=10"), ("given", "x * by", "x + by"), ("made", "maker(7), ", "maker(0), "),
    ("made", "x * by", "x + by"), ("instance", "Scaling(9)", "Scaling(0)"),
    ("instance", "x * self.by", "x + self.by"), ("unhashed", "Shifting(12)", "Shifting(1)"),
    ("unhashed", "x + self.by", "x - self.by"), ("method", "Scaling(10)", "Scaling(0)"),
    ("unnamed", "11 * x", "12 * x"), ("plain", "a+", "a*"), ("plain", "range(3)", "range(4)"),
    ("plain", "USUAL = Scaling(2)", "USUAL = Scaling(3)"), ("plain", "maker(5)", "maker(4)"),
    ("plain", "scaled, 6)", "scaled, 7)"), ("plain", "maker(5), scaled", "scaled, maker(5)"),
    ("plain", '"c"}, 4', '"c"}, 5'), ("plain", '"x y"', '"y x"'),
])
def test_what_a_function_was_made_with_counts(toy, monkeypatch, entry, old, new):
    monkeypatch.setitem(TOY, "made", MADE)

    def code(*replacements):
        toy(*replacements)
        return code_of(importlib.import_module("toy.made").TABLE[entry])

    before = code()
    assert code((old, new)) != before
    assert code() == before


def test_two_of_one_maker_are_told_apart(toy, monkeypatch):
    monkeypatch.setitem(TOY, "made", MADE)
    toy()
    table = importlib.import_module("toy.made").TABLE
    assert code_of(table["made"]) != code_of(table["both"])
    assert code_of(table["made"], table["both"]) not in (code_of(table["made"]),
                                                         code_of(table["both"]))


def test_code_that_only_shows_or_stores_does_not_count():
    from helpers.training import Trainer
    assert not [name for name in code_of(Trainer) if ".progress." in name or ".files." in name]


# ── the real package, edited ────────────────────────────────────────────────────────────

# the copies one after the other in one process: only helpers is imported anew
LISTING = """
import json, linecache, sys
found = {}
for copy in sys.argv[1:]:
    sys.path[0] = copy
    for name in [name for name in sys.modules if name.split(".")[0] == "helpers"]:
        del sys.modules[name]
    linecache.clearcache()
    from helpers.experiments import EXPERIMENTS
    from helpers.study.runs import Run
    from helpers.study.scale import load_scale
    products = Run(load_scale("smoke"), copy + "/runs").products(EXPERIMENTS["headline"])
    found[copy] = {one.name: one.fingerprint for one in products}
print(json.dumps(found))
"""
EDITS = {
    "nothing": [],
    "words and looks": [
        ("conditions.py", "The example's own A* trace.", "Its own."),
        ("conditions.py", "#d55e00", "#d55e01"), ("corpus.py", "# numpy's would be", "# those are"),
        ("engine/progress.py", "WIDTH = 77", "WIDTH = 70")],
    "A*": [("astar.py", "g + 1 >= best[near]", "g + 1 > best[near]")],
    "swapped": [("conditions.py", "of(lenders(corpus, seed))", "of(np.arange(len(corpus)))")],
    "another generator": [
        ("generators.py", '"free_space": Generator', '"copy": Generator(_dfs, "x", "#000000", "x"),'
         '\n    "free_space": Generator')],
    "a default": [("generators.py", '"coverage": Parameter(0.5', '"coverage": Parameter(0.4')],
    "rounding": [("checkpoints.py", "value.bfloat16()", "value.half()")],
    "verdicts": [("rules_kernel.py", "def _judge_plan(grid, ends, steps, n):",
                  "def _judge_plan(grid, ends, steps, n):\n    n = n + 0")],
}


@pytest.fixture(scope="module")
def fingerprints(tmp_path_factory):
    """Of every product of the smoke study, in copies of the package that were edited."""
    copies = {}
    for name, edits in EDITS.items():
        copy = copies[name] = tmp_path_factory.mktemp("copy")
        for part in ("helpers", "scales", "notebooks"):
            shutil.copytree(PROJECT / part, copy / part,
                            ignore=shutil.ignore_patterns("__pycache__"))
        for file, old, new in edits:
            path = copy / "helpers" / file
            text = path.read_text()
            assert old in text, (file, old)
            path.write_text(text.replace(old, new, 1))
    done = subprocess.run([sys.executable, "-c", LISTING, *map(str, copies.values())],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    return {name: found[str(copy)] for name, copy in copies.items()}


@pytest.mark.parametrize(("edit", "kinds"), [
    ("words and looks", set()), ("another generator", set()),
    ("A*", {"corpus", "model", "curve", "answers", "tables"}),
    ("rounding", {"curve", "answers", "tables"}), ("verdicts", {"curve", "answers", "tables"})])
def test_what_an_edit_makes_stale(fingerprints, edit, kinds):
    before, after = fingerprints["nothing"], fingerprints[edit]
    changed = {name for name in before if before[name] != after[name]}
    assert {name.split()[0] for name in changed} == kinds
    assert changed == {name for name in before if name.split()[0] in kinds}


def test_a_condition_edited_makes_its_own_models_stale_alone(fingerprints):
    before, after = fingerprints["nothing"], fingerprints["swapped"]
    changed = {name for name in before if before[name] != after[name]}
    assert {name for name in changed if name.startswith("model")} == {"model swapped_1"}
    assert all("swapped" in name or name.startswith("tables") for name in changed)


def test_a_default_of_a_generator_makes_its_mazes_stale(fingerprints):
    before, after = fingerprints["nothing"], fingerprints["a default"]
    changed = {name for name in before if before[name] != after[name]}
    assert {name.split()[0] for name in changed} == {"corpus", "answers", "tables"}
    assert changed == {name for name in before if "drunkards_walk" in name or "tables" in name}


# ── records ─────────────────────────────────────────────────────────────────────────────


def maker():
    return 1


def product(name="thing", settings=None, inputs=(), **more) -> Product:
    return Product(name, (f"{name}.txt",), settings or {"a": 1, "deep": {"b": 2}}, (maker,),
                   "00_none", inputs, **more)


def made(store: Store, one: Product, text: str = "x") -> Product:
    with store.making(one):
        store.path(one).write_text(text)
    return one


def test_missing_then_current(tmp_path):
    store = Store(tmp_path)
    one = product()
    assert store.status(one).state == "missing"
    with pytest.raises(StaleError, match="thing: is missing; run notebook 00_none first"):
        store.use(one)
    assert store.use(made(store, one)) == tmp_path / "thing.txt"
    assert store.status(one).state == "current"


def half(store: Store):
    store.path(product()).write_text("half")
    raise KeyboardInterrupt


def test_a_block_that_fails_makes_nothing(tmp_path):
    store = Store(tmp_path)
    making = store.making(product())
    with pytest.raises(KeyboardInterrupt), making:
        half(store)
    assert store.status(product()).state == "missing"


def test_changed_or_deleted_files_are_missed(tmp_path):
    store = Store(tmp_path)
    one = made(store, product(), "as made")
    (tmp_path / "thing.txt").touch()  # another date, the same bytes
    assert store.status(one).state == "current"
    (tmp_path / "thing.txt").write_text("no more")
    assert "has changed" in store.status(one).why
    (tmp_path / "thing.txt").unlink()
    assert "thing.txt is not there" in store.status(one).why


def test_what_changed_is_named(tmp_path):
    store = Store(tmp_path)
    below = made(store, product("below"))
    made(store, product(inputs=(below,)))
    other = product("below", {"a": 7, "deep": {"b": 2}})
    status = store.status(product(settings={"a": 1, "deep": {"b": 3}}, inputs=(other,)))
    assert status.state == "stale"
    assert "deep.b was 2, is 3" in status.why
    assert "below is another" in status.why
    with pytest.raises(StaleError, match=r"is stale \(deep.b was 2, is 3"):
        store.use(product(settings={"a": 1, "deep": {"b": 3}}))


def test_long_reasons_are_cut_short(tmp_path):
    store, few = Store(tmp_path), ["a", "b"]
    below = [made(store, product(name)) for name in few]
    made(store, product("above", {"asked": few, "order": few}, tuple(below)))
    more = [*below, *(product(name) for name in "cdef")]
    now = product("above", {"asked": [*"bcdef"], "order": few[::-1]}, tuple(more))
    assert store.status(now).why == (
        "asked with c, d and 2 more; asked without a; order was ['a', 'b'], is ['b', 'a']; "
        "c, d and 2 more are new")


def test_kept_products_are_used_and_remembered(tmp_path):
    below = made(Store(tmp_path), product("below"))
    other = product("below", {"a": 7})
    keeping = Store(tmp_path, keep=True)
    assert keeping.status(other).state == "kept"
    above = made(keeping, product("above", inputs=(other,)))
    record = json.loads((tmp_path / "made" / "above.json").read_text())
    assert record["inputs"] == {"below": below.fingerprint}  # what it was really made from
    assert Store(tmp_path).status(above).why == "below is another"
    assert Store(tmp_path).status(product("above", inputs=(below,))).state == "current"


def test_a_torn_record_counts_as_none(tmp_path):
    store = Store(tmp_path)
    one = made(store, product())
    (tmp_path / "made" / "thing.json").write_text('{"product": ')
    assert store.status(one).state == "missing"
