# The run graph: corpus → training → evaluation → analysis. Every step is one notebook,
# executed headless; its executed copy stays in the run's folder (notebooks/).
# Started by `python -m helpers study`, which sets the working directory to runs/<scale>.
import os
import re
from pathlib import Path

import torch

from helpers.study.notebooks import check_parameters
from helpers.study.scale import load_scale, sources

ROOT = Path(workflow.basedir)
SCALE = load_scale(config["scale"])
MODELS = [f"{condition}_{seed}" for seed in SCALE.seeds for condition in SCALE.conditions]
GPU = int(torch.cuda.is_available())

Path("notebooks").mkdir(exist_ok=True)
os.environ |= {"PROGRESS_FOLDER": str(Path("progress").resolve()),
               "PYDEVD_DISABLE_FILE_VALIDATION": "1"}


def notebook(name, parameters=""):
    """The shell command that executes one notebook with the run's values."""
    copy = f"notebooks/{name}{'_{wildcards.model}' if parameters else ''}.ipynb"
    command = (f"OMP_NUM_THREADS={{threads}} papermill --no-progress-bar --cwd {ROOT}/notebooks "
               f"{ROOT}/notebooks/{name}.ipynb {copy} -p scale {SCALE.name} "
               f"-p root {Path('..').resolve()} {parameters} > {{log}} 2>&1")
    check_parameters(ROOT / f"notebooks/{name}.ipynb", re.findall(r" -p (\w+)", command))
    return command


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
        "jupyter nbconvert --to html --output-dir . --output report.html "
        "notebooks/07_analysis.ipynb > {log} 2>&1"
