# The run graph of an experiment: corpora → trainings → evaluations → analysis → report. Every
# step is one notebook, executed headless; its executed copy stays in the run's folder.
# `make study` starts it; so does, from anywhere,
#
#     snakemake --snakefile …/Snakefile --cores 2 --ignore-incomplete --config scale=smoke
#
# Whether a step is up to date follows from its products' fingerprints (helpers/study), not from
# dates: a step that has nothing to do has its marker in jobs/, and only those are looked at here.
# What a step asks of a cluster follows from the scale (helpers/study/needs.py).
import functools
import os
import re
import sys
from pathlib import Path
from shlex import quote

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT))  # the helpers beside this file, wherever others are installed

from helpers.experiments import EXPERIMENTS
from helpers.study import needs
from helpers.study.plan import prepare
from helpers.study.notebooks import check_parameters
from helpers.study.runs import KEEP, Run
from helpers.study.scale import load_scale

PYTHON = sys.executable
# as it stands in the command line, from which Snakemake reads 6_8 and 010 as numbers
GIVEN = dict(entry.split("=", 1) for entry in workflow.config_settings.config_args)
NAME = str(config.get("experiment", "headline"))
EXPERIMENT = EXPERIMENTS[NAME]
if config.get("keep"):
    os.environ[KEEP] = "1"
RUN = Run(load_scale(GIVEN.get("scale", "").strip("'\"")), config.get("root", "runs"))
MODELS = {model.name: model for model in EXPERIMENT.models(RUN.scale)}
WITHOUT_TRACE = [name for name, model in MODELS.items() if not model.has_trace]
GOING_ON = [name for name, model in MODELS.items() if model.before]


workdir: str(RUN.folder)


if workflow.is_main_process:  # not where a cluster runs one of the steps
    prepare(RUN, EXPERIMENT, again=bool(config.get("again")))
Path("notebooks").mkdir(exist_ok=True)
os.environ |= {"PROGRESS_FOLDER": str(Path("progress").resolve()), "PYTHONPATH": str(ROOT)}


def one_of(names):
    """What a wildcard may be; a dash, which no model is called, where there is none."""
    return "|".join(map(re.escape, names)) or "-"


def python(command):
    """The shell command that runs a Python module headless, in surroundings of its own."""
    return ("OMP_NUM_THREADS={threads} {PYTHON:q} -m helpers.study.surroundings "
            f"{{PYTHON:q}} -m {command} > {{log}} 2>&1")


def notebook(name, parameters=""):
    """The shell command that executes one notebook with the run's values."""
    copy = f"notebooks/{name}{'_{wildcards.model}' if parameters else ''}.ipynb"
    names = {"scale": RUN.scale.name, "experiment": NAME, "root": RUN.folder.parent}
    path = ROOT / "notebooks" / f"{name}.ipynb"
    check_parameters(path, [*names, *(["model"] if parameters else [])])
    # text goes in raw: papermill's other option makes numbers of what looks like them
    words = ["--no-progress-bar", "--cwd", path.parent, path, copy,
             *(word for key, value in names.items() for word in ("-r", key, value))]
    return python(f"papermill {' '.join(quote(str(word)) for word in words)} {parameters}")


MODEL = "-r model {wildcards.model:q}"
CORPORA, TABLES = needs.corpora(RUN.scale), needs.tables(RUN.scale)


@functools.cache
def training_needs(model):
    return needs.training(RUN, MODELS[model])


@functools.cache
def evaluation_needs(model):
    asked = [one for one in EXPERIMENT.evaluations(RUN.scale) if one.model.name == model]
    return needs.evaluation(RUN, MODELS[model], asked)


def asked_of(model):
    """The models that answer before one can be evaluated: itself, and those whose traces it gets."""
    asked = [one for one in EXPERIMENT.evaluations(RUN.scale) if one.model.name == model]
    return {model, *(one.source.model.name for one in asked if one.source)}


rule all:
    input:
        f"jobs/report_{EXPERIMENT.notebook}.done"


rule corpora:
    output:
        touch("jobs/corpora.done")
    resources:
        mem_mb=CORPORA.mem_mb,
        runtime=CORPORA.runtime
    log:
        "logs/corpora.log"
    shell:
        notebook("04_corpus")


rule training:
    input:
        ancient("jobs/corpora.done")
    output:
        touch("jobs/training_{model}.done")
    wildcard_constraints:
        model=one_of(name for name in MODELS if name not in {*WITHOUT_TRACE, *GOING_ON})
    priority: 3
    resources:
        gpu=lambda wildcards: training_needs(wildcards.model).gpu,
        mem_mb=lambda wildcards: training_needs(wildcards.model).mem_mb,
        runtime=lambda wildcards: training_needs(wildcards.model).runtime,
        device=1  # on one machine: one at a time where there is one GPU (study/graph.py)
    log:
        "logs/training_{model}.log"
    shell:
        notebook("05_training", MODEL)


# the shortest come last: they then train beside the evaluation of the others
use rule training as training_without_trace with:
    wildcard_constraints:
        model=one_of(name for name in WITHOUT_TRACE if name not in GOING_ON)
    priority: 2


# a model that goes on from others waits for them, and has no notebook of its own
rule going_on:
    input:
        lambda wildcards: ancient([f"jobs/training_{one.name}.done" for one in (
            MODELS[wildcards.model].before, *MODELS[wildcards.model].masked_by)])
    output:
        touch("jobs/training_{model}.done")
    wildcard_constraints:
        model=one_of(GOING_ON)
    priority: 2
    resources:
        gpu=lambda wildcards: training_needs(wildcards.model).gpu,
        mem_mb=lambda wildcards: training_needs(wildcards.model).mem_mb,
        runtime=lambda wildcards: training_needs(wildcards.model).runtime,
        device=1  # on one machine: one at a time where there is one GPU (study/graph.py)
    log:
        "logs/training_{model}.log"
    shell:
        python(f"helpers.study.tuning --scale {RUN.scale.name} "
               f"--root {quote(str(RUN.folder.parent))} {{wildcards.model:q}}")


rule evaluation:
    input:
        ancient(lambda wildcards: [f"jobs/training_{name}.done" for name in asked_of(wildcards.model)])
    output:
        touch("jobs/evaluation_{model}.done")
    priority: 1
    resources:
        gpu=lambda wildcards: evaluation_needs(wildcards.model).gpu,
        mem_mb=lambda wildcards: evaluation_needs(wildcards.model).mem_mb,
        runtime=lambda wildcards: evaluation_needs(wildcards.model).runtime,
        device=1  # on one machine: one at a time where there is one GPU (study/graph.py)
    log:
        "logs/evaluation_{model}.log"
    shell:
        notebook("06_evaluation", MODEL)


rule analysis:
    input:
        ancient(expand("jobs/evaluation_{model}.done", model=MODELS))
    output:
        touch(f"jobs/analysis_{EXPERIMENT.notebook}.done")
    resources:
        mem_mb=TABLES.mem_mb,
        runtime=TABLES.runtime
    log:
        f"logs/analysis_{EXPERIMENT.notebook}.log"
    shell:
        notebook(EXPERIMENT.notebook)


rule report:
    input:
        ancient(f"jobs/analysis_{EXPERIMENT.notebook}.done")
    output:
        touch(f"jobs/report_{EXPERIMENT.notebook}.done")
    resources:
        mem_mb=TABLES.mem_mb,
        runtime=TABLES.runtime
    log:
        f"logs/report_{EXPERIMENT.notebook}.log"
    shell:
        python(f"helpers report --scale {RUN.scale.name} --experiment {NAME} "
               f"--root {quote(str(RUN.folder.parent))}")
