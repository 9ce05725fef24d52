"""`make study`: runs the graph of a scale, shows how far it is, prints what came out."""

import fcntl
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

from helpers.evaluation import PUBLISHED as PUBLISHED_RATES
from helpers.evaluation import percent_table
from helpers.progress import latest
from helpers.runs import PUBLISHED, Run
from helpers.scale import Scale

PROJECT = Path(__file__).resolve().parent.parent


class StudyError(Exception):
    """A study that did not come to its end; the message says where to look."""


def study(scale: Scale, cores: int | None = None) -> Run:
    """Runs every step of a scale that is not done yet.

    Args:
        cores: how many steps of one thread may run side by side; all cores by default.

    Raises:
        StudyError: a step failed, or the same study is running already.
    """
    run = Run.of(scale, PROJECT / "runs")
    cores = cores or len(os.sched_getaffinity(0))
    progress = run.folder / "progress"
    shutil.rmtree(progress, ignore_errors=True)
    progress.mkdir()
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(PROJECT / "Snakefile"),
               "--directory", str(run.folder), "--cores", str(cores), "--nolock",
               "--rerun-incomplete", "--keep-going", "--resources", "gpu=1",
               "--config", f"scale={scale.name}"]
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    print(f"study {scale.name}: {len(scale.conditions) * len(scale.seeds)} models, "
          f"{cores} cores, everything under {run.folder}", flush=True)
    log = run.file("logs/snakemake.log")
    with open(run.file("lock"), "w") as lock, open(log, "w") as output:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # freed even if we are killed
        except BlockingIOError:
            raise StudyError(f"study {scale.name}: is running already in {run.folder}") from None
        process = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=output,
                                   stderr=subprocess.STDOUT)
        try:
            _watch(process, progress)
        except KeyboardInterrupt:
            process.wait()
            raise StudyError(f"study {scale.name}: stopped; the same command goes on from here"
                             ) from None
    if process.returncode:
        raise StudyError(_failure(run, log))
    return run


def _watch(process: subprocess.Popen, progress: Path) -> None:
    """Shows the bars of the running steps until the process ends."""
    live, shown, drawn, printed = sys.stdout.isatty(), {}, 0, 0.0
    began = time.monotonic()
    while True:
        ended = process.poll() is not None
        states = {title: line for title, line in latest(progress).items()
                  if line and line != shown.get(title)}
        if live:
            lines = [line for line in latest(progress).values() if line]
            print(f"\033[{drawn}F\033[J" if drawn else "", end="")
            print(*lines, f"{time.monotonic() - began:6.0f} s", sep="\n", flush=True)
            drawn = len(lines) + 1
        elif states and (time.monotonic() - printed > 30 or ended):
            print(*states.values(), sep="\n", flush=True)
            shown |= states
            printed = time.monotonic()
        if ended:
            return
        time.sleep(1)


def _failure(run: Run, log: Path) -> str:
    """Which step failed, its error in short, and where the whole of it stands."""
    for path in sorted(log.parent.glob("*.log"), key=os.path.getmtime, reverse=True):
        if path != log and "Error" in (text := path.read_text(encoding="utf-8")):
            reason = next(line for line in reversed(text.splitlines()) if "Error" in line)
            return f"step {path.stem} failed: {reason.strip()} (whole log: {path})"
    return f"study failed before its first step, see {log}"


def summary(run: Run) -> str:
    """The headline table beside the published numbers, and where the report lies."""
    table = pd.read_csv(run.file("headline.csv"))
    lines = [f"Plan validity, per cent [95 % interval], n = {table['n'].min()} mazes a cell",
             percent_table(table).to_string(), ""]
    if table["trace_valid"].notna().any():
        traces = table.dropna(subset="trace_valid").pivot(
            index=["condition", "seed"], columns="distribution", values="trace_valid")
        traces = (100 * traces[table["distribution"].unique()]).round(1)
        lines += ["Trace validity, per cent", traces.to_string(), ""]
    lines.append("Published plan validity (30x30, trained on Wilson mazes), per cent")
    published = pd.DataFrame(PUBLISHED_RATES).unstack(level=1).swaplevel(axis=1)
    lines += [published.sort_index(axis=1).to_string(), "",
              f"Report: {run.file('report.html')}", f"Tables: {run.folder}"]
    return "\n".join(lines)


def publish(run: Run, target: Path) -> list[str]:
    """Copies a finished run's summaries to ``target``; returns their names.

    Raises:
        StudyError: the run has not come to its end.
    """
    missing = [name for name in PUBLISHED if not (run.folder / name).exists()]
    if missing:
        raise StudyError(f"publish: {run.folder} lacks {', '.join(missing)}; run the study first")
    target.mkdir(parents=True, exist_ok=True)
    for name in PUBLISHED:
        shutil.copyfile(run.folder / name, target / name)
    return list(PUBLISHED)
