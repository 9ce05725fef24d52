"""The run graph as Snakemake reads it: steps, parameters, what they ask for, where they write.

A dry run takes seconds, so all ask one. (A real one, with a root of its own: `test_recipes.py`.)
"""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import helpers
from helpers.experiments import EXPERIMENTS
from helpers.study import needs
from helpers.study.runs import Run
from helpers.study.scale import load_scale
from helpers.study.surroundings import environment

PROJECT = Path(helpers.__file__).parents[1]
HEADLINE = EXPERIMENTS["headline"]
ODD = "it's a \"maze\" é"
NAME = "0_10"  # which YAML 1.1, and so Snakemake, would take for the number 8
SEEDS = (3, 7)
CONDITIONS = load_scale("paper").conditions


def dry_run(snakefile: Path, cwd: Path, *config: str) -> str:
    """All that it says."""
    done = subprocess.run([sys.executable, "-m", "snakemake", "--snakefile", snakefile, "--cores",
                           "2", "--dry-run", "--printshellcmds", "--config", *config],
                          cwd=cwd, env=environment() | {"PYTHONPATH": ""}, capture_output=True,
                          text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


# ── a copy in a folder with an odd name, called from elsewhere ──────────────────────────


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A copy with a scale of two seeds whose name looks like a number."""
    folder = tmp_path_factory.mktemp("copy") / ODD
    folder.mkdir()
    for name in ("helpers", "notebooks", "scales"):
        shutil.copytree(PROJECT / name, folder / name,
                        ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "Snakefile", folder)
    (folder / f"scales/{NAME}.yml").write_text(f"extends: paper\nseeds: {list(SEEDS)}\n")
    return folder


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("elsewhere")


@pytest.fixture(scope="module")
def said(folder, elsewhere) -> str:
    return dry_run(folder / "Snakefile", elsewhere, f"scale={NAME}")


@pytest.fixture(scope="module")
def run(folder, said, tmp_path_factory) -> Run:
    return Run(load_scale(NAME, folder / "scales"), tmp_path_factory.mktemp("none"))


@pytest.fixture(scope="module")
def commands(said) -> list[list[str]]:
    """The words of each step that runs a notebook."""
    lines = re.findall(r"^ *(?:Shell command: )?(OMP_NUM.*papermill.*)$", said, re.MULTILINE)
    return [shlex.split(line) for line in lines]


def test_it_writes_beside_itself(folder, elsewhere, commands):
    assert (folder / "runs" / NAME).is_dir()
    assert {path.name for path in elsewhere.iterdir()} <= {".snakemake"}  # its own log
    for words in commands:
        assert words[1] == words[4] == sys.executable
        assert {f"{folder}/notebooks", f"{folder}/runs"} <= set(words)
    assert f"{folder}/notebooks/04_corpus.ipynb" in commands[0]


def test_every_model_of_every_seed_is_trained_and_asked(commands):
    """A seed of its own for each, all the way to the notebook's parameters."""
    models = [words[words.index("model") + 1] for words in commands if "model" in words]
    assert sorted(models) == sorted(2 * [f"{condition}_{seed}" for seed in SEEDS
                                         for condition in CONDITIONS])
    assert len(commands) == len(models) + 2  # corpora, analysis


def test_a_scales_name_stays_text(commands):
    assert [words[words.index("scale") + 1] for words in commands] == [NAME] * len(commands)


def test_what_each_step_asks_for(said, run):
    parts = {}
    for part in re.split(r"\n(?=(?:local)?rule )", said):
        if named := re.match(r"(?:local)?rule (\w+):", part):
            parts.setdefault(named[1], part)
    for rule, condition in (("training", "correct"), ("training_without_trace", "solution_only")):
        model = next(one for one in HEADLINE.models(run.scale) if one.condition == condition)
        assert f"gpu={needs.training(run, model).gpu}, " in parts[rule]
    for rule, want in (("corpora", needs.corpora(run.scale)), ("report", needs.tables(run.scale))):
        assert f"mem_mb={want.mem_mb}, " in parts[rule]
        assert f"runtime={want.runtime}" in parts[rule]
        assert "gpu=" not in parts[rule]
