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
BLOCK = README.split("<!-- headline -->")[1].split("<!-- /headline -->")[0]


def test_headline_numbers_are_the_published_ones():
    """A row a condition, a rate a seed; without published numbers the README has none."""
    if not RESULTS.exists():
        assert "No results at present" in BLOCK
        assert not re.search(r"\d %", BLOCK)
        return
    table = pd.read_csv(RESULTS / "headline.csv")
    for (condition, distribution), part in table.groupby(["condition", "distribution"]):
        (row,) = [line for line in BLOCK.splitlines() if line.startswith(f"| `{condition}`")]
        rates = " · ".join(f"{100 * rate:.1f}" for rate in part.sort_values("seed")["plan_valid"])
        assert rates in [cell.strip() for cell in row.split("|")], (condition, distribution)


@pytest.mark.parametrize("run", sorted((PROJECT / "results").rglob("run.json")),
                         ids=lambda path: str(path.parent.relative_to(PROJECT / "results")))
def test_published_results_are_whole(run):
    """A results folder holds all that one experiment made at one scale, from one run."""
    about = json.loads(run.read_text())
    experiment, *_ = [one for one in EXPERIMENTS.values() if one.notebook == about["experiment"]]
    assert {path.name for path in run.parent.iterdir() if path.is_file()} - {SUMS} == set(
        experiment.published)
    assert set(sums(run.parent)) <= set(experiment.published)
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
    assert max(first.values()) < README.index("<!-- headline -->")
