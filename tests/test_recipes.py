"""docs/changing.md, followed literally in a copy of the project, and the study run with it."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest

PROJECT = Path(__file__).resolve().parents[1]
RECIPES = (PROJECT / "docs" / "changing.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"<!-- (\w+) ([\w/.]+)(?:: (.*?)|, (\d+) times)? -->\n```\w*\n(.*?)```",
                   re.DOTALL)


def follow(project: Path) -> None:
    """Does what each marked block says."""
    blocks = BLOCK.findall(RECIPES)
    assert len(blocks) == RECIPES.count("<!-- ") >= 10
    for how, file, where, times, text in blocks:
        path = project / file
        if how == "file":
            path.write_text("\n".join([text] * int(times or 1)))
        elif how == "notebook":
            book = nbformat.v4.new_notebook(metadata={"kernelspec": {
                "name": "python3", "display_name": "Python 3", "language": "python"}})
            given = nbformat.v4.new_code_cell('scale = ""\nexperiment = ""\nroot = ""')
            given.metadata["tags"] = ["parameters"]
            book.cells = [given, nbformat.v4.new_code_cell(text)]
            nbformat.write(book, path)
        else:
            source = path.read_text()
            assert source.count(where) == 1, where
            new = {"before": text + "\n\n" + where if not text.endswith("\n\n\n") else text + where,
                   "in": f"{where}\n{text.rstrip()}", "replace": text.rstrip()}[how]
            path.write_text(source.replace(where, new))


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    copy = tmp_path_factory.mktemp("with a space") / "project"
    copy.mkdir()
    for part in ("helpers", "scales", "notebooks"):
        shutil.copytree(PROJECT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "Snakefile", copy)
    follow(copy)
    return copy


def run(project: Path, *words) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "helpers", *map(str, words)], cwd=project,
                          env=os.environ | {"PYTHONPATH": str(project)}, capture_output=True,
                          text=True)


def test_the_generator_draws_what_it_says(project):
    """And those that come after it in the registry still draw their own."""
    for generator, walls in (("spiral", None), ("free_space", 0)):
        done = run(project, "generate", "--generator", generator, "--split", "test", "--count", 3,
                   "--rows", 6, "--cols", 6, "--output", "-")
        assert done.returncode == 0, done.stderr
        counts = [json.loads(line)["text"].split(" reasoning")[0].count("wall")
                  for line in done.stdout.splitlines()]
        assert walls is None or set(counts) == {walls}
        assert walls == 0 or 0 < max(counts) < 36


def test_a_corruption_is_a_condition_and_a_part_of_the_spectrum(project):
    """What its five lines say is what a model learns from; small scales show it first."""
    code = """if True:
        import numpy as np
        from helpers.conditions import CONDITIONS, put_together
        from helpers.corpus import build
        from helpers.experiments import EXPERIMENTS
        from helpers.study.scale import load_scale
        scale = load_scale("mine")
        corpus = build(scale.recipe("train"))
        own, mine = (put_together(corpus, CONDITIONS[name], 1).traces
                     for name in ("correct", "backwards"))
        for i in range(len(corpus)):
            events, found = (each.piece(i)[1:].reshape(-1, 5) for each in (own, mine))
            assert np.array_equal(found, events[::-1])
        print(*EXPERIMENTS["spectrum_events"].models(scale))"""
    done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": str(project)})
    assert done.returncode == 0, done.stderr
    assert "condition='backwards', seed=1, variation=()" in done.stdout


def test_the_experiment_runs(project):
    done = run(project, "study", "--scale", "mine", "--experiment", "nearness")
    assert done.returncode == 0, done.stdout + done.stderr
    table = pd.read_csv(project / "runs" / "mine" / "nearness" / "nearness.csv")
    assert set(table["variation"]) == {"away=1", "away=100"}
    assert set(table["distribution"]) == {"wilson", "spiral", "mazes.txt"}
    assert (table["n"] == 12).all()
    again = run(project, "study", "--scale", "mine", "--experiment", "nearness")
    assert again.returncode == 0
    assert "will be" not in again.stdout


def test_what_a_killed_study_left_unfinished_is_no_obstacle(project):
    """Snakemake notes which outputs were under way; they may be there all the same."""
    folder = project / "runs" / "mine"
    (folder / "nearness" / "nearness.csv").unlink()
    for marker in folder.glob("jobs/evaluation_*.done"):
        name = base64.b64encode(f"jobs/{marker.name}".encode()).decode()
        (folder / ".snakemake" / "incomplete" / name).touch()
    done = run(project, "study", "--scale", "mine", "--experiment", "nearness")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "nearness" / "nearness.csv").exists()


def test_a_condition_that_is_not_whole_is_refused_before_anything_trains(project, tmp_path):
    """Its figure too."""
    path = project / "helpers" / "conditions.py"
    source = path.read_text()
    words = ("study", "--scale", "mine", "--experiment", "nearness", "--root", tmp_path)
    for old, new, part in (('"#009e73", "D"', '"no colour", "D"', "colour"),
                           (".of(lent)", ".of(lent[:2])", "near")):
        path.write_text(source.replace(old, new))
        done = run(project, *words)
        path.write_text(source)
        assert done.returncode == 1
        assert done.stderr.startswith("helpers: condition near_swapped: ")
        assert part in done.stderr
        assert not list(tmp_path.rglob("*.safetensors"))
