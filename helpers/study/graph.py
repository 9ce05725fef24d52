"""`make study`: runs the graph of a scale, shows how far it is, prints what came out."""

import fcntl
import math
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pandas as pd

from helpers.engine.progress import latest
from helpers.evaluation import PUBLISHED as PUBLISHED_RATES
from helpers.evaluation import percent_table
from helpers.study.runs import PUBLISHED, Run
from helpers.study.runs import cores as available_cores
from helpers.study.scale import PROJECT, Scale


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
    threads = cores or available_cores()
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(PROJECT / "Snakefile"),
               "--directory", str(run.folder), "--cores", str(threads), "--nolock",
               "--rerun-incomplete", "--keep-going", "--resources", "gpu=1",
               "--config", f"scale={scale.name}"]
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    with locked(run):
        print(f"study {scale.name}: {len(scale.conditions) * len(scale.seeds)} models, "
              f"{threads} cores, everything under {run.folder}", flush=True)
        progress, log = run.folder / "progress", run.file("logs/snakemake.log")
        shutil.rmtree(progress, ignore_errors=True)
        progress.mkdir()
        with open(log, "w", encoding="utf-8") as output, \
             guarded(command, cwd=PROJECT, env=environment, stdout=output,
                     stderr=subprocess.STDOUT) as process:
            try:
                _watch(process, progress, log)
            except KeyboardInterrupt:
                raise StudyError(f"study {scale.name}: stopped; the same command goes on from "
                                 "here") from None
    if process.returncode:
        raise StudyError(_failure(log))
    return run


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


def summary(run: Run) -> str:
    """The headline table beside the published numbers, and where the report lies."""
    table = pd.read_csv(run.file("headline.csv"))
    lines = [f"Plan validity, per cent [95 % interval], n = {table['n'].min()} mazes a cell",
             percent_table(table).to_string(), ""]
    if table["trace_valid"].notna().any():
        lines += ["Trace validity, per cent [95 % interval], the same mazes",
                  percent_table(table, "trace_valid").to_string(), ""]
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
