# The run graph: corpus → training → evaluation → analysis. Every step is one notebook,
# executed headless; its executed copy stays in the run's folder (notebooks/).
# Started by `python -m helpers study`, or plainly from any directory; works in runs/<scale>.
import os
import sys
from pathlib import Path

import torch

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT))  # the helpers beside this file, wherever others are installed

from helpers.study.scale import load_scale, sources

PYTHON = sys.executable
SCALE = load_scale(config["scale"])
MODELS = [f"{condition}_{seed}" for seed in SCALE.seeds for condition in SCALE.conditions]
GPU = int(torch.cuda.is_available())

workdir: ROOT / "runs" / SCALE.name


RUNS = Path("..").resolve()
Path("notebooks").mkdir(exist_ok=True)
os.environ |= {"PROGRESS_FOLDER": str(Path("progress").resolve()), "PYTHONPATH": str(ROOT)}


def python(command):
    """The shell command that runs a Python module headless, in surroundings of its own."""
    return ("OMP_NUM_THREADS={threads} {PYTHON:q} -m helpers.study.surroundings "
            f"{{PYTHON:q}} -m {command} > {{log}} 2>&1")


def notebook(name, parameters=""):
    """The shell command that executes one notebook with the run's values."""
    copy = f"notebooks/{name}{'_{wildcards.model}' if parameters else ''}.ipynb"
    return python(f"papermill --no-progress-bar --cwd {{ROOT:q}}/notebooks "
                  f"{{ROOT:q}}/notebooks/{name}.ipynb {copy} -p scale {SCALE.name} "
                  f"-p root {{RUNS:q}} {parameters}")


MODEL = "-p condition {params.condition} -p seed {params.seed}"


def split(model):
    return model.rpartition("_")[::2]


rule all:
    input:
        "headline.csv", "report.html"


rule corpus:
    input:
        list(sources(SCALE.name)), ROOT / "notebooks/04_corpus.ipynb"
    output:
        "corpus.csv"
    log:
        "logs/corpus.log"
    shell:
        notebook("04_corpus")


rule training:
    input:
        "corpus.csv", ROOT / "notebooks/05_training.ipynb"
    output:
        "training/{model}/model.safetensors"
    params:
        condition=lambda wildcards: split(wildcards.model)[0],
        seed=lambda wildcards: split(wildcards.model)[1],
    wildcard_constraints:
        model="(?!solution_only).+"
    priority: 3
    resources:
        gpu=GPU
    log:
        "logs/training_{model}.log"
    shell:
        notebook("05_training", MODEL)


# the shortest comes last: it then trains beside the evaluation of the others
use rule training as training_without_trace with:
    wildcard_constraints:
        model="solution_only.+"
    priority: 2


rule evaluation:
    input:
        "training/{model}/model.safetensors", ROOT / "notebooks/06_evaluation.ipynb"
    output:
        "evaluation/{model}/rows.csv"
    params:
        condition=lambda wildcards: split(wildcards.model)[0],
        seed=lambda wildcards: split(wildcards.model)[1],
    priority: 1
    resources:
        gpu=GPU
    log:
        "logs/evaluation_{model}.log"
    shell:
        notebook("06_evaluation", MODEL)


rule analysis:
    input:
        expand("evaluation/{model}/rows.csv", model=MODELS), ROOT / "notebooks/07_analysis.ipynb"
    output:
        "headline.csv", "run.json"
    log:
        "logs/analysis.log"
    shell:
        notebook("07_analysis")


rule report:
    input:
        "headline.csv"
    output:
        "report.html"
    log:
        "logs/report.log"
    shell:
        python("nbconvert --to html --output-dir . --output report.html "
               "notebooks/07_analysis.ipynb")
