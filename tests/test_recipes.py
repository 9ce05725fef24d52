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


# all in one process: the mazes of the new generator and of one that comes after it, the traces of
# the new corruption, and what the notebooks of each step make for the new experiment
SCRIPT = """
import json, sys
from pathlib import Path

import numpy as np

from helpers.__main__ import main
from helpers.conditions import CONDITIONS, put_together
from helpers.corpus import build
from helpers.experiments import EXPERIMENTS
from helpers.study.scale import load_scale

for generator in ("spiral", "free_space"):
    assert main(["generate", "--generator", generator, "--split", "test", "--count", "3",
                 "--rows", "6", "--cols", "6", "--output", f"{generator}.jsonl"]) == 0

scale = load_scale("mine")
corpus = build(scale.recipe("train"))
own, mine = (put_together(corpus, CONDITIONS[name], 1).traces for name in ("correct", "backwards"))
for i in range(len(corpus)):
    events, found = (each.piece(i)[1:].reshape(-1, 5) for each in (own, mine))
    assert np.array_equal(found, events[::-1])
print(*EXPERIMENTS["spectrum_events"].models(scale))


def execute(notebook, **given):
    names = {"display": lambda *things: None}  # as IPython has it
    for cell in json.loads(Path("notebooks", f"{notebook}.ipynb").read_text())["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), notebook, "exec"), names)
        if "parameters" in cell["metadata"].get("tags", []):
            names |= given


given = {"scale": "mine", "experiment": "nearness", "root": sys.argv[1]}
execute("04_corpus", **given)
for model in ("near_swapped+away=1_1", "near_swapped+away=100_1"):
    for notebook in ("05_training", "06_evaluation"):
        execute(notebook, model=model, **given)
"""


@pytest.fixture(scope="module")
def made(project) -> str:
    """What the script says; what it makes lies in the project."""
    return run(project, "-c", SCRIPT, str(project / "elsewhere"))


def run(project: Path, *words: str) -> str:
    done = subprocess.run([sys.executable, *words], cwd=project, capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": str(project)})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.usefixtures("made")
def test_the_generator_draws_what_it_says(project):
    """And those that come after it in the registry still draw their own."""
    for generator, walls in (("spiral", None), ("free_space", 0)):
        lines = (project / f"{generator}.jsonl").read_text().splitlines()
        counts = [json.loads(line)["text"].split(" reasoning")[0].count("wall") for line in lines]
        assert len(counts) == 3
        assert walls is None or set(counts) == {walls}
        assert walls == 0 or 0 < max(counts) < 36


def test_a_corruption_is_a_condition_and_a_part_of_the_spectrum(made):
    """What its five lines say is what a model learns from; small scales show it first."""
    assert "condition='backwards', seed=1, variation=()" in made


@pytest.mark.usefixtures("made")
def test_the_experiment_runs(project):
    """`study` finds what its notebooks have made, and goes on from there.

    Also where a killed study has left steps unfinished: Snakemake notes which outputs were under
    way, and they may be there all the same. All of it lies under the root that is given.
    """
    folder = project / "elsewhere" / "mine"
    unfinished = folder / ".snakemake" / "incomplete"
    unfinished.mkdir(parents=True)
    for away in (1, 100):
        marker = f"jobs/evaluation_near_swapped+away={away}_1.done"
        (unfinished / base64.b64encode(marker.encode()).decode()).touch()
    said = run(project, "-m", "helpers", "study", "--scale", "mine", "--experiment", "nearness",
               "--root", "elsewhere")
    assert re.findall(r"^  (.+?) +will be made$", said, re.MULTILINE) == [
        "analysis 25_nearness", "report 25_nearness"]
    assert (folder / "nearness" / "report.html").exists()
    table = pd.read_csv(folder / "nearness" / "nearness.csv")
    assert set(table["variation"]) == {"away=1", "away=100"}
    assert set(table["distribution"]) == {"wilson", "spiral", "mazes.txt"}
    assert (table["n"] == 12).all()
    assert not (project / "runs").exists()
