"""How far a running study is, and why it failed."""

import math
import re
import shutil
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

from helpers.engine.progress import latest
from helpers.study.plan import Job
from helpers.study.runs import Run

ROOM = 2**20  # bytes below which a disk counts as full


def watch(process: subprocess.Popen, run: Run, jobs: list[Job]) -> None:
    """Shows how far the run and its running steps are until the process ends.

    At a terminal every second in place, elsewhere a few lines every half minute.
    """
    live, drawn, printed, shown = sys.stdout.isatty(), 0, -math.inf, None
    began = time.monotonic()
    while True:
        ended = process.poll() is not None
        elapsed = int(time.monotonic() - began)
        width = shutil.get_terminal_size().columns - 1
        lines = [] if ended else running(run.folder / "progress")
        done = steps(run, jobs)
        status = f"{timedelta(seconds=elapsed)} elapsed, {done}"
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


def steps(run: Run, jobs: list[Job]) -> str:
    """How many steps are done, and which are under way: those that have a log and no marker."""
    left = [job for job in jobs if not (run.folder / job.marker).exists()]
    under_way = [job.name for job in left if (run.folder / job.log).exists()]
    return (f"{len(jobs) - len(left)} of {len(jobs)} steps done"
            + (f", under way: {', '.join(under_way)}" if under_way else ""))


def failure(run: Run, jobs: list[Job]) -> str:
    """Which step failed, its error in short, and where the whole of it stands."""
    for job in jobs:
        log = run.folder / job.log
        if log.exists() and not (run.folder / job.marker).exists():
            return f"step {job.name} failed: {reason(log)} (whole log: {log}){_room(run.folder)}"
    log = run.folder / "logs/snakemake.log"
    return f"study failed: {reason(log)} (whole log: {log}){_room(run.folder)}"


def _room(folder: Path) -> str:
    """What a log cannot say: that there was no room for it either."""
    return "" if shutil.disk_usage(folder).free >= ROOM else f"; no space left on {folder}'s disk"


def reason(log: Path) -> str:
    """The last line that names an error, with the next where it says why, else the last line."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", log.read_text(encoding="utf-8", errors="replace"))
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["no word of why"]
    errors = [" ".join(lines[i:i + 1 + line.endswith(":")]) for i, line in enumerate(lines)
              if re.match(r"[\w.]*(Error|Exception|Interrupt)\b", line)
              and "Traceback" not in line]
    return (errors or lines)[-1]
