"""`make study`: says what there is to do, runs it through Snakemake, shows how far it is."""

import fcntl
import math
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
from matplotlib.lines import Line2D

from helpers.batches import make_batch
from helpers.conditions import CONDITIONS, put_together
from helpers.corpus import build
from helpers.engine.files import PROJECT, atomic
from helpers.engine.progress import latest
from helpers.study.products import Product, Status
from helpers.study.runs import Run
from helpers.study.runs import cores as available_cores
from helpers.study.specs import Experiment, ModelSpec
from helpers.study.surroundings import environment

EXAMPLES = 16  # put together to check a condition


class StudyError(Exception):
    """A study that did not come to its end; the message says where to look."""


# ── what there is to do ─────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Job:
    """What one notebook makes when it is run once."""

    name: str
    products: tuple[Product, ...]

    @property
    def marker(self) -> str:
        """The file that tells Snakemake that there is nothing left to do."""
        return f"jobs/{self.name.replace(' ', '_')}.done"


def jobs(run: Run, experiment: Experiment) -> list[Job]:
    """What an experiment takes, in an order in which it can be done."""
    found = [Job("corpora", tuple(run.corpora(experiment)))]
    models = experiment.models(run.scale)
    found += [Job(f"training {model.name}", (run.model(model), run.curve(model)))
              for model in models]
    evaluations = experiment.evaluations(run.scale)
    for model in models:
        asked = [run.answers(one) for one in evaluations if one.model == model]
        found.append(Job(f"evaluation {model.name}", tuple(asked)))
    return [*found, Job(f"analysis {experiment.notebook}", (run.tables(experiment),)),
            Job(f"report {experiment.notebook}", (run.report(experiment),))]


def prepare(run: Run, experiment: Experiment, *, again: bool = False,
            say: Callable[[str], object] = lambda _: None) -> bool:
    """Finds out of each job whether it is up to date, and lets Snakemake know.

    Args:
        again: what is stale is to be made again.
        say: called with a line a job, before anything is touched.

    Returns:
        Whether there is something to do.

    Raises:
        StudyError: something that takes long is stale and nobody has said what to do.
    """
    for model in experiment.models(run.scale):
        check_condition(run, model)
    states = [(job, [run.store.status(one) for one in job.products])
              for job in jobs(run, experiment)]
    for job, found in states:
        state, why = _state(found)
        say(f"  {job.name:<32} {state}{f': {why}' if why else ''}")
    stale = [job.name for job, found in states
             if any(one.state == "stale" and one.product.costly for one in found)]
    if stale and not again:
        raise StudyError(
            f"study {run.scale.name}: {len(stale)} of {len(states)} steps were made with other "
            f"settings or code than stand there now ({', '.join(stale[:3])}"
            f"{' …' if len(stale) > 3 else ''}); AGAIN=1 makes them again (what is there stays "
            "until then), KEEP=1 goes on with them and says so in the results")
    for job, found in states:
        marker = run.file(job.marker)
        if all(one.usable for one in found):
            marker.touch()
        else:
            marker.unlink(missing_ok=True)
    return not all(one.usable for _, found in states for one in found)


def check_condition(run: Run, model: ModelSpec) -> None:
    """Puts a few examples together under a model's condition, and draws its mark.

    Raises:
        StudyError: something about the condition is not right; better now than after a training.
    """
    condition = CONDITIONS[model.condition]
    few = replace(run.scale_of(model).recipe("train"), count=EXAMPLES)
    try:
        examples = put_together(build(few), condition, model.seed, **run.parameters(model))
        make_batch(examples, np.arange(EXAMPLES))
        Line2D([0], [0], color=condition.colour, marker=condition.marker, ls=condition.line)
    except Exception as error:
        raise StudyError(f"condition {model.condition}: {type(error).__name__}: {error}") from error


def _state(found: list[Status]) -> tuple[str, str]:
    """What becomes of a job, and why."""
    if all(one.usable for one in found):
        kept = [one for one in found if one.state == "kept"]
        return ("kept as it is", kept[0].why) if kept else ("up to date", "")
    first = next(one for one in found if not one.usable)
    if first.state == "stale":
        return "will be made again", first.why
    return "will be made", first.why


# ── running it ──────────────────────────────────────────────────────────────────────────


def study(run: Run, name: str, experiment: Experiment, *, cores: int | None = None,
          again: bool = False) -> None:
    """Runs every step of an experiment that is not done yet.

    Args:
        name: of the experiment.
        cores: how many steps of one thread may run side by side; all cores by default.
        again: what was made with other settings or code is made again.

    Raises:
        StudyError: a step failed, is stale, or the same study is running already.
    """
    scale = run.scale
    threads = cores or available_cores()
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(PROJECT / "Snakefile"),
               "--directory", str(run.folder), "--cores", str(threads), "--nolock",
               "--rerun-incomplete", "--rerun-triggers", "mtime", "--keep-going",
               "--resources", "gpu=1", "--config", f"scale={scale.name}", f"experiment={name}",
               "again=1"]  # what is stale was dealt with here
    with locked(run):
        print(f"study {scale.name}, {name}: {threads} cores, everything under {run.folder}")
        if not prepare(run, experiment, again=again, say=print):
            return
        sys.stdout.flush()
        progress, log = run.folder / "progress", run.file("logs/snakemake.log")
        shutil.rmtree(progress, ignore_errors=True)
        progress.mkdir()
        with open(log, "w", encoding="utf-8") as output, \
             guarded(command, cwd=PROJECT, env=environment(), stdout=output,
                     stderr=subprocess.STDOUT) as process:
            try:
                _watch(process, progress, log)
            except KeyboardInterrupt:
                raise StudyError(f"study {scale.name}: stopped; the same command goes on from "
                                 "here") from None
    if process.returncode:
        raise StudyError(_failure(log))


@contextmanager
def locked(run: Run) -> Iterator[None]:
    """Lets no other study into the folder; the lock goes with its process, however that ends.

    Raises:
        StudyError: another study is in there.
    """
    with open(run.file("lock"), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StudyError(f"study {run.folder.name}: is running already in {run.folder}"
                             ) from None
        yield


@contextmanager
def guarded(command: list[str], **settings) -> Iterator[subprocess.Popen]:
    """A process that ends, with all it has started, when this block or this process ends.

    However that happens: a shell that leads their process group waits at the far end of a
    pipe that we hold, and kills the group once the pipe closes. It is there before the
    process is, so at no moment can one be left over; two never train in the same folder.
    """
    guard = subprocess.Popen(["sh", "-c", "read -r _; kill -9 0"], stdin=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, process_group=0)
    process = subprocess.Popen(command, process_group=guard.pid, **settings)
    try:
        yield process
    finally:
        guard.communicate()
        process.wait()


def _watch(process: subprocess.Popen, progress: Path, log: Path) -> None:
    """Shows how far the run and its running steps are until the process ends.

    At a terminal every second in place, elsewhere a few lines every half minute.
    """
    live, drawn, printed, shown = sys.stdout.isatty(), 0, -math.inf, None
    began = time.monotonic()
    while True:
        ended = process.poll() is not None
        elapsed = int(time.monotonic() - began)
        width = shutil.get_terminal_size().columns - 1
        lines = [] if ended else running(progress)
        done = steps(log)
        status = f"{timedelta(seconds=elapsed)} elapsed, {done or 'starting'}"
        if live:
            print(f"\033[{drawn}F\033[J" if drawn else "", end="")
            print(*(line[:width] for line in (status, *lines)), sep="\n", flush=True)
            drawn = len(lines) + 1
        elif ended or (elapsed - printed >= 30 and (done, lines) != shown):
            print(status, *lines, sep="\n", flush=True)
            printed, shown = elapsed, (done, lines)
        if ended:
            return
        time.sleep(1)


def running(progress: Path) -> list[str]:
    """The bars of what is under way, as `engine.progress` draws them."""
    return [f"  {line}" for line in latest(progress).values() if line and " 100 % " not in line]


def steps(log: Path) -> str:
    """What Snakemake's log says: steps done and under way; empty before the first one starts."""
    text = log.read_text(encoding="utf-8", errors="replace")
    total = re.search(r"^total +(\d+)", text, re.MULTILINE)
    if not total:
        return ""
    done = re.findall(r"^(\d+) of \d+ steps", text, re.MULTILINE)
    ended = re.findall(r"^(?:Finished |Error in rule .*\n(?:    .*\n)*?    )jobid: (\d+)", text,
                       re.MULTILINE)
    started = re.findall(r"^(?:local)?rule (\w+):\n(?:    .*\n)*?    jobid: (\d+)", text,
                         re.MULTILINE)
    names = sorted({name for name, job in started if job not in ended and name != "all"})
    return (f"{done[-1] if done else 0} of {total[1]} steps done"
            + (f", running: {', '.join(names)}" if names else ""))


def _failure(log: Path) -> str:
    """Which step failed, its error in short, and where the whole of it stands."""
    text = log.read_text(encoding="utf-8", errors="replace")
    for failed in re.findall(r"^Error in rule .*\n(?:    .*\n)*?    log: ([^\s,]+)", text,
                             re.MULTILINE):
        path = log.parent.parent / failed
        if path.exists():
            return f"step {path.stem} failed: {_reason(path)} (whole log: {path})"
    return f"study failed: {_reason(log)} (whole log: {log})"


def _reason(log: Path) -> str:
    """The last line that names an error, with the next where it says why, else the last line."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", log.read_text(encoding="utf-8", errors="replace"))
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["no word of why"]
    errors = [" ".join(lines[i:i + 1 + line.endswith(":")]) for i, line in enumerate(lines)
              if re.match(r"[\w.]*(Error|Exception|Interrupt)\b", line)
              and "Traceback" not in line]
    return (errors or lines)[-1]


def summary(run: Run, experiment: Experiment) -> str:
    """What an experiment found, and where the report lies."""
    kept = [f"kept, made with other settings or code: {one.product.name} ({one.why})"
            for one in map(run.store.status, run.products(experiment)) if one.state == "kept"]
    return "\n".join([*kept, *([""] if kept else []), experiment.summary(run), "",
                      f"Report: {run.file(experiment.folder, 'report.html')}",
                      f"Tables: {run.file(experiment.folder, 'run.json').parent}"])


def publish(run: Run, experiment: Experiment, target: Path) -> list[str]:
    """Copies an experiment's tables and figures to ``target``; returns their names.

    Raises:
        StudyError: they are not complete, or do not follow from what stands there now.
    """
    for product in (*run.products(experiment), run.report(experiment)):
        status = run.store.status(product)
        if not status.usable:
            raise StudyError(f"publish: {product.name} is {status.state}"
                             f"{f' ({status.why})' if status.why else ''}; run the study first")
    names = experiment.published
    target.mkdir(parents=True, exist_ok=True)
    for name in names:
        with atomic(target / name, "wb") as file:
            file.write(run.file(experiment.folder, name).read_bytes())
    return names
