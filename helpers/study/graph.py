"""`make study`: says what there is to do, runs it through Snakemake, shows how far it is."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from helpers.engine.files import PROJECT, exclusive
from helpers.engine.processes import guarded
from helpers.study.cost import minutes
from helpers.study.plan import StudyError, jobs, prepare
from helpers.study.runs import Run
from helpers.study.runs import cores as available_cores
from helpers.study.specs import Experiment
from helpers.study.surroundings import environment
from helpers.study.watch import failure, watch


def study(run: Run, name: str, experiment: Experiment, *, cores: int | None = None,
          again: bool = False, profile: Path | None = None) -> None:
    """Runs every step of an experiment that is not done yet.

    Args:
        name: of the experiment.
        cores: how many steps of one thread may run side by side; all cores by default.
        again: what was made with other settings or code is made again.
        profile: a folder with settings of Snakemake, which say where steps run, a cluster for
            instance, and how many side by side.

    Raises:
        StudyError: a step failed, is stale, or the same study is running already.
    """
    scale = run.scale
    threads = cores or available_cores()
    one_gpu = ["--resources", "device=1"] if torch.cuda.is_available() else []
    where = ["--profile", str(profile)] if profile else ["--cores", str(threads), *one_gpu]
    # markers follow from products; to what a killed run left unfinished Snakemake would go back,
    # and to nothing else (--rerun-incomplete)
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(PROJECT / "Snakefile"),
               "--directory", str(run.folder), *where, "--nolock", "--ignore-incomplete",
               "--rerun-triggers", "mtime", "--keep-going", "--config", f"scale={scale.name}",
               f"experiment={name}", f"root={run.folder.parent}",
               "again=1"]  # what is stale was dealt with here
    with locked(run):
        place = f"by {profile}" if profile else f"{threads} cores"
        print(f"study {scale.name}, {name}: {place}, everything under {run.folder}")
        if not prepare(run, experiment, again=again, say=print):
            return
        sys.stdout.flush()
        todo = jobs(run, experiment)
        if not profile:
            announce(run, experiment, threads)
        shutil.rmtree(run.folder / "progress", ignore_errors=True)
        (run.folder / "progress").mkdir()
        for job in todo:  # of an earlier attempt
            (run.folder / job.log).unlink(missing_ok=True)
        with open(run.file("logs/snakemake.log"), "w", encoding="utf-8") as output, \
             guarded(command, cwd=PROJECT, env=environment(), stdout=output,
                     stderr=subprocess.STDOUT) as process:
            try:
                watch(process, run, todo)
            except KeyboardInterrupt:
                raise StudyError(f"study {scale.name}: stopped; the same command goes on from "
                                 "here") from None
    if process.returncode:
        raise StudyError(failure(run, todo))


def announce(run: Run, experiment: Experiment, cores: int) -> None:
    """Says how long the trainings that are to be made will take, where that can be told."""
    models = [model for model in experiment.models(run.scale)
              if not run.store.status(run.model(model)).usable]
    if models and not torch.cuda.is_available():
        estimate = max(1, round(minutes(run, models, min(cores, len(models)))))
        print(f"{len(models)} training{'s' * (len(models) > 1)}, about {estimate} "
              f"minute{'s' * (estimate > 1)} on {cores} cores, going by how fast this machine "
              "multiplies; compiling and answers come on top", flush=True)


@contextmanager
def locked(run: Run) -> Iterator[None]:
    """Lets no other study into the folder; the lock goes with its process, however that ends.

    Raises:
        StudyError: another study is in there.
    """
    try:
        with exclusive(run.file("lock"), wait=False):
            yield
    except BlockingIOError:
        raise StudyError(f"study {run.folder.name}: is running already in {run.folder}") from None


def summary(run: Run, experiment: Experiment) -> str:
    """What an experiment found, and where the report lies."""
    kept = [f"kept, made with other settings or code: {one.product.name} ({one.why})"
            for one in map(run.store.status, run.products(experiment)) if one.state == "kept"]
    return "\n".join([*kept, *([""] if kept else []), experiment.summary(run), "",
                      f"Report: {run.file(experiment.folder, 'report.html')}",
                      f"Tables: {run.file(experiment.folder, 'run.json').parent}"])
