"""The README says what is there: published numbers, files, commands."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from helpers.engine.files import SUMS, spoilt, sums
from helpers.evaluation import HEADLINE
from helpers.experiments import EXPERIMENTS

PROJECT = Path(__file__).resolve().parent.parent
README = (PROJECT / "README.md").read_text(encoding="utf-8")
LAYOUT = (PROJECT / "docs" / "layout.md").read_text(encoding="utf-8")
RESULTS = PROJECT / "results" / "laptop"


def part(name: str) -> str:
    """What stands between the README's markers of this name."""
    return README.split(f"<!-- {name} -->")[1].split(f"<!-- /{name} -->")[0]


def test_headline_numbers_are_the_published_ones():
    """A row a condition, a rate a seed."""
    table = pd.read_csv(RESULTS / "headline.csv")
    for (condition, distribution), cells in table.groupby(["condition", "distribution"]):
        (row,) = [line for line in part("table").splitlines()
                  if line.startswith(f"| `{condition}`")]
        rates = " · ".join(f"{100 * rate:.1f}" for rate in cells.sort_values("seed")["plan_valid"])
        assert rates in [cell.strip() for cell in row.split("|")], (condition, distribution)


def valid(table: str, condition: str, distribution: str, results: Path = RESULTS, **cell) -> str:
    """Valid plans in one cell of a published table, in per cent, its seeds side by side."""
    found = pd.read_csv(results / table).sort_values("seed")
    if "otherwise" in found and "otherwise" not in cell:  # of position: a variation beside gaps
        found = found[found["otherwise"].isna()]
    for name, value in (cell | {"condition": condition, "distribution": distribution}).items():
        found = found[found[name] == value]
    return " · ".join(f"{100 * rate:.1f}" for rate in found["plan_valid"])


def test_numbers_in_sentences_are_the_published_ones():
    """Each number with a point in what the README says of results, and no other."""
    none, correct, swapped = "solution_only", "correct", "swapped"
    main, position, given = "headline.csv", "position/rates.csv", "given/rates.csv"
    regime, loops = "regime/regime.csv", "searchformer/rates.csv"
    spectrum, drawn = "spectrum/rates.csv", {"trace": "drawn", "trained_gap": "none"}
    wilson, walk = "wilson", "drunkards_walk"
    lead = pd.read_csv(RESULTS / "differences.csv").set_index(["quantity", "distribution"]).loc[
        ("plan_valid: correct - solution_only", wilson)]
    seeds = [float(rate) for rate in valid(main, swapped, wilson).split(" · ")]
    four = {"plan_weight": 4, "seed": 1}
    moved = {"trained_gap": "none", "answered_gap": 1}
    realigned = {"trained_gap": "none", "answered": "realigned"}
    gaps = {"trained_gap": "random", "answered": "as_is", "given": "nothing"}
    small = RESULTS.parent / "small"
    effects = pd.read_csv(small / "position" / "effects.csv").set_index(
        ["quantity", "distribution"]).xs(walk, level="distribution") * 100
    gains = {name: effects.loc[f"plan_valid: {name} realigned - {name}"]
             for name in (none, correct, swapped)}
    share = effects.loc["plan_valid: (solution_only realigned - solution_only) / "
                        "(swapped - solution_only)"]
    walks, wilsons = ([valid(main, name, kind, small) for name in (swapped, correct, none)]
                      for kind in (walk, wilson))
    ahead, behind = (pd.read_csv(small / "differences.csv").set_index(
        ["quantity", "distribution"]).loc["plan_valid: swapped - correct"].loc[kind] * 100
        for kind in (walk, wilson))

    def cured(by: str, kind: str = walk) -> str:
        return valid(position, none, kind, small, otherwise=by)

    expected = [
        f"`swapped` has {walks[0]} %, `correct` {walks[1]}, no trace {walks[2]}; on Wilson mazes "
        f"{wilsons[0]}, {wilsons[1]} and {wilsons[2]}.",
        f"`swapped` is {ahead['estimate']:.1f} points ahead of `correct` out of distribution "
        f"({ahead['low']:.1f} to {ahead['high']:.1f}), and {-behind['estimate']:.1f} behind in it "
        f"({-behind['high']:.1f} to {-behind['low']:.1f}).",
        f"{100 * lead['estimate']:.1f} points ahead of no trace ({100 * lead['low']:.1f} to "
        f"{100 * lead['high']:.1f} over seeds and grids)",
        f"no trace has {valid(regime, none, wilson, rows=8)} %, `correct` "
        f"{valid(regime, correct, wilson, rows=8)}, `swapped` "
        f"{valid(regime, swapped, wilson, rows=8)}, and no trace",
        f"`swapped` {valid('plan_weight/rates.csv', swapped, wilson, **four)} %, "
        f"no trace {valid('plan_weight/rates.csv', none, wilson, **four)}, "
        f"`correct` {valid('plan_weight/rates.csv', correct, wilson, **four)}.",
        f"`swapped` has {valid(main, swapped, walk)} %, `correct` {valid(main, correct, walk)}.",
        f"as much as {max(seeds) - min(seeds):.1f} points apart",
        f"has {valid(position, none, walk, small, **realigned)} % instead of "
        f"{valid(main, none, walk, small)} once its response is moved back",
        f"other mazes' traces have {valid(main, swapped, walk, small)}, moved or not.",
        f"no trace gains {gains[none]['estimate']:.1f} points there ({gains[none]['low']:.1f} to "
        f"{gains[none]['high']:.1f} over seeds and grids), `correct` "
        f"{gains[correct]['estimate']:.1f} ({gains[correct]['low']:.1f} to "
        f"{gains[correct]['high']:.1f}), `swapped` nothing ({gains[swapped]['low']:.1f} to "
        f"{gains[swapped]['high']:.1f}).",
        f"no trace {share['estimate']:.1f} % of the lead that `swapped` has ({share['low']:.1f} or "
        "more).",
        f"it has {valid(position, none, walk, **realigned)} % instead of "
        f"{valid(main, none, walk)},",
        f"falls to {valid(position, none, wilson, **moved)} %, while `swapped` stays at "
        f"{valid(position, swapped, wilson, **moved)} (seed 1).",
        f"give no trace {cured('prompts=uneven')} % on Drunkard's Walk, and "
        f"{cured('prompts=uneven', wilson)} on Wilson mazes; filler before the response "
        f"{cured('prompts=filler')}; no rotary positions {cured('rotary_heads=0')}.",
        f"give {cured('prompts=shuffled')}, positions in half of the heads "
        f"{cured('rotary_heads=1')}.",
        f"no trace has {valid(position, none, walk, small, **gaps)} % on Drunkard's Walk on 6×6, "
        f"`swapped` {valid(position, swapped, walk, small, **gaps)} (",
        f"on 8×8 {valid(position, none, walk, **gaps)} and "
        f"{valid(position, swapped, walk, **gaps)} (seed 1).",
        f"a model has {valid(spectrum, 'filler', walk, small, **drawn)} % on Drunkard's Walk and "
        f"{valid(spectrum, 'filler', wilson, small, **drawn)} on Wilson mazes; `swapped`, asked "
        f"likewise, {valid(spectrum, swapped, walk, small, **drawn)} and "
        f"{valid(spectrum, swapped, wilson, small, **drawn)} (",
        f"no trace has {valid(loops, none, walk, small, trained_gap='none')} % there",
        f"plans right in {valid(given, correct, wilson, given='other')} %, `swapped` in "
        f"{valid(given, swapped, wilson, given='other')};",
        f"`swapped` does in {valid(given, swapped, wilson, given='empty')}.",
    ]
    left = re.sub(r"\]\(.*?\)", "]", " ".join((part("first") + part("headline")).split()))
    for words in expected:
        assert words in left
        left = left.replace(words, "")
    assert not re.findall(r"\d+\.\d", left)


@pytest.mark.parametrize("run", sorted((PROJECT / "results").rglob("run.json")),
                         ids=lambda path: str(path.parent.relative_to(PROJECT / "results")))
def test_published_results_are_whole(run):
    """A results folder holds all that one experiment made at one scale, from one run."""
    about = json.loads(run.read_text())
    experiment, *_ = [one for one in EXPERIMENTS.values() if one.notebook == about["experiment"]]
    assert {path.name for path in run.parent.iterdir() if path.is_file()} - {SUMS} == set(
        experiment.published)
    assert set(sums(run.parent)) == set(experiment.published)
    assert not spoilt(run.parent)
    assert run.parent == PROJECT / "results" / about["scale"]["name"] / experiment.folder
    assert about["commit"]
    assert not about["dirty"]
    assert not about["kept"]
    corpora = pd.read_csv(run.with_name("corpus.csv"))
    tests = corpora[corpora["corpus"].str.startswith("test")]
    if about["scale"]["sampling"] == "indexed":
        assert not tests["grids_also_in_training"].any()


def test_headline_tables_have_all_columns():
    for path in (PROJECT / "results").glob("*/headline.csv"):
        table = pd.read_csv(path)
        assert list(table.columns) == HEADLINE
        about = json.loads(path.with_name("run.json").read_text())["scale"]
        assert (table["n"] == about["test_examples"]).all()
        assert set(about["seeds"]) <= set(table["seed"])  # and further ones, as far as made
        cells = table.groupby("seed").size()
        assert (cells[about["seeds"]] == len(about["conditions"]) * len(about["distributions"])
                ).all()


def test_files_shown_exist():
    for path in re.findall(r"\]\(((?!http)[^)#]+)\)", README):
        assert (PROJECT / path).exists(), path


def test_the_layout_is_complete():
    for path in (PROJECT / "helpers").rglob("*.py"):
        if path.name != "__init__.py":
            assert re.search(rf"\b{path.stem}\b", LAYOUT), path
    for folder in ("scales", "notebooks", "helpers", "tests", "benchmarks", "results", "docs"):
        assert f"{folder}/" in LAYOUT


@pytest.mark.parametrize("target", ["study", "test", "lab", "notebooks", "publish", "bench"])
def test_make_targets_exist(target):
    makefile = (PROJECT / "Makefile").read_text()
    assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    assert f"## {target}" in makefile


def test_conditions_are_defined_before_they_are_used():
    first = {name: README.index(name) for name in ("solution_only", "swapped")}
    assert max(first.values()) < README.index("<!-- first -->")
