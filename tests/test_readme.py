"""The README says what is there: published numbers, files, commands."""

import re
from pathlib import Path

import pandas as pd
import pytest

from helpers.evaluation import HEADLINE, percent_table
from helpers.study.runs import PUBLISHED

PROJECT = Path(__file__).resolve().parent.parent
README = (PROJECT / "README.md").read_text(encoding="utf-8")
RESULTS = PROJECT / "results" / "laptop"


def test_headline_numbers_are_the_published_ones():
    table = percent_table(pd.read_csv(RESULTS / "headline.csv"))
    for (condition, seed), row in table.iterrows():
        cells = [cell.strip() for line in README.splitlines() if line.startswith(f"| {condition}")
                 for cell in line.split("|")]
        assert set(row) <= set(cells), f"{condition}, seed {seed}: the README has {cells}"


def test_published_results_are_whole():
    assert not [name for name in PUBLISHED if not (RESULTS / name).exists()]
    headline = pd.read_csv(RESULTS / "headline.csv")
    assert list(headline.columns) == HEADLINE
    assert set(headline["condition"]) == {"solution_only", "correct", "swapped"}
    assert headline["distribution"].nunique() == 5
    assert (headline["n"] == 1000).all()


def test_figures_shown_exist():
    for path in re.findall(r"!\[[^]]*]\(([^)]+)\)", README):
        assert (PROJECT / path).exists(), path


def test_file_tree_is_complete():
    tree = README.split("## Where things are")[1].split("##")[0]
    modules = {path.name for path in (PROJECT / "helpers").glob("*.py")} - {"__init__.py"}
    assert not [name for name in modules if name not in tree]
    folders = ("scales", "notebooks", "helpers", "tests", "benchmarks", "results", "docs")
    assert not [name for name in folders if f"{name}/" not in tree]


@pytest.mark.parametrize("target", ["study", "test", "lab", "notebooks", "publish", "regime",
                                    "bench", "figures"])
def test_make_targets_exist(target):
    assert re.search(rf"^{target}:", (PROJECT / "Makefile").read_text(), re.MULTILINE)
