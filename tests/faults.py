"""A study that is killed at random moments, beside one that is not: ``make test-faults``.

Kills ``helpers study`` with all it has started, by SIGKILL, so many times at moments that follow
from a seed, and starts it again, until it is complete; then the next study, in another folder; then
who publishes one. What comes out must be that of a study left alone, byte for byte; no temporary
file may be left, and what a killed study had finished must not be made again. Then disks: one that
is full at each of many sizes, one that takes nothing, a clock set back, and studies and trainings
at work in one folder. Each must give one line and lose nothing. All of it lies in a temporary
folder and goes with it.

    python tests/faults.py [KILLS] [SEED] [SCALE]
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from outcomes import leftovers, outcome, records

PROJECT = Path(__file__).resolve().parent.parent
SCALE = sys.argv[3] if len(sys.argv) > 3 else "smoke"
SPAN = 0.6  # of the time that an undisturbed study takes, in which it is killed
PUBLISH = """
import sys
from pathlib import Path
from helpers.experiments import EXPERIMENTS
from helpers.study.publish import publish
from helpers.study.runs import Run
from helpers.study.scale import load_scale
run = Run(load_scale(sys.argv[1]), sys.argv[2])
print("begins", flush=True)
publish(run, EXPERIMENTS["headline"], Path(sys.argv[3]))
"""


def say(*words) -> None:
    print("test-faults:", *words, flush=True)


def study(root: Path, *words: str) -> subprocess.Popen:
    """``helpers study`` with its runs in a folder."""
    command = [sys.executable, "-m", "helpers", "study", "--scale", SCALE, "--root", str(root)]
    return subprocess.Popen([*command, *words], cwd=PROJECT, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def finished(root: Path, *words: str) -> str:
    """What a study says that comes to its end."""
    process = study(root, *words)
    out, err = process.communicate()
    if process.returncode:
        sys.exit(f"test-faults: a study failed\n{out}\n{err}")
    return out


def training(root: Path, model: str) -> subprocess.Popen:
    """A training of one's own in a study's folder, as of its notebook."""
    command = [sys.executable, "-m", "helpers", "train", "--scale", SCALE, "--root", str(root)]
    return subprocess.Popen([*command, "--model", model], cwd=PROJECT, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def refused(process: subprocess.Popen, part: str) -> None:
    """What cannot be done says so in one line, which has this in it."""
    out, err = process.communicate()
    if not process.returncode or err.count("\n") != 1 or not re.search(part, err):
        sys.exit(f"test-faults: got status {process.returncode} and {err!r}, takes one line with "
                 f"{part!r}\n{out}")
    say("said:", err.strip())


def same(run: Path, undisturbed: Path) -> None:
    """Ends the test unless both runs are the same and nothing is left over."""
    one, other = outcome(run), outcome(undisturbed)
    different = sorted(name for name in one.keys() | other.keys()
                       if one.get(name) != other.get(name))
    if different or len(one) < 10:
        sys.exit(f"test-faults: of {len(one)} files these differ: {', '.join(different)}")
    if left := leftovers(run):
        sys.exit(f"test-faults: left behind: {', '.join(left)}")


def kill(folder: Path, undisturbed: Path, kills: int, seed: int, seconds: float) -> None:
    """Kills studies so many times in all."""
    rng, done, studies = np.random.default_rng(seed), 0, 0
    while done < kills:
        root, made = folder / f"killed_{studies}", {}
        while True:
            process = study(root)
            after = rng.uniform(0, SPAN * seconds)
            try:
                out, err = process.communicate(timeout=after if done < kills else None)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.communicate()
                done += 1
                time.sleep(1)  # its guard kills what it has started
            now = records(root / SCALE)
            again = sorted(name for name in made if made[name] != now.get(name))
            if again:
                sys.exit(f"test-faults: made again although it was there: {', '.join(again)}")
            made = now
            if process.returncode == 0:
                break
            if process.returncode != -signal.SIGKILL:
                sys.exit(f"test-faults: a study failed after {done} kills\n{out}\n{err}")
            say(f"killed {done} of {kills}, after {after:.0f} s: {len(made)} products there")
        same(root / SCALE, undisturbed)
        studies += 1
        say(f"{studies} studies complete after {done} kills, the same byte for byte")


def publishing(folder: Path, undisturbed: Path, kills: int, seed: int) -> None:
    """Kills who publishes a study so many times, from the moment on that it begins to write."""

    def begun(target: Path) -> subprocess.Popen:
        words = [sys.executable, "-c", PUBLISH, SCALE, str(undisturbed.parent), str(target)]
        process = subprocess.Popen(words, cwd=PROJECT, stdout=subprocess.PIPE, text=True)
        process.stdout.readline()
        return process

    def files(target: Path) -> dict[Path, bytes]:
        return {path.relative_to(target): path.read_bytes() for path in target.rglob("*")
                if path.is_file()}

    rng, done, alone, target = np.random.default_rng(seed), 0, folder / "once", folder / "often"
    process, began = begun(alone), time.monotonic()
    if process.wait():
        sys.exit("test-faults: a study cannot be published")
    seconds = time.monotonic() - began
    for _ in range(kills):
        process = begun(target)
        try:
            process.wait(rng.uniform(0, seconds))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            done += 1
    if begun(target).wait() or files(target) != files(alone) or len(files(alone)) < 10:
        sys.exit("test-faults: what is published is another")
    if left := [*leftovers(target), *leftovers(target.parent)]:
        sys.exit(f"test-faults: publishing left behind: {', '.join(left)}")
    say(f"published after {done} kills in {seconds:.1f} s, the same byte for byte")


@contextmanager
def mounted(place: Path, options: str) -> Iterator[None]:
    """A disk of its own in memory, of a size such as ``size=1m``; root alone may have one."""
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", place], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def disks(folder: Path, undisturbed: Path) -> None:
    """A disk that is full ever later, then one that takes nothing any more."""
    place = folder / "disk"
    takes = sum(path.stat().st_size for path in undisturbed.rglob("*") if path.is_file())
    with mounted(place, "size=64k"):
        for share in (0.05, 0.3, 0.6, 0.8):
            size = f"remount,size={int(share * takes)}"
            subprocess.run(["mount", "-o", size, place], check=True)
            refused(study(place), "No space left on device|no space left")
        subprocess.run(["mount", "-o", "remount,size=1g", place], check=True)
        finished(place)
        same(place / SCALE, undisturbed)
        say("a full disk: the same byte for byte, once there is room")
        subprocess.run(["mount", "-o", "remount,ro", place], check=True)
        refused(study(place), f"{place}.*Read-only file system")


def others(folder: Path, undisturbed: Path) -> None:
    """Studies side by side, and a clock that was set back."""
    first, second = study(folder / "one"), study(folder / "two")
    while not (folder / "one" / SCALE / "lock").exists():
        time.sleep(0.1)
    time.sleep(1)
    refused(study(folder / "one"), "is running already")
    for process, root in ((first, folder / "one"), (second, folder / "two")):
        out, err = process.communicate()
        if process.returncode:
            sys.exit(f"test-faults: a study failed\n{out}\n{err}")
        same(root / SCALE, undisturbed)
    say("two studies at once: the same byte for byte")
    for path in (folder / "one").rglob("*"):  # as if the clock had been set back by a day
        if path.is_file():
            about = path.stat()
            os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns + 86_400 * 10**9))
    before = records(folder / "one" / SCALE)
    next((folder / "one" / SCALE).glob("evaluation/*/rows_wilson.csv")).unlink()
    finished(folder / "one")
    again = [name for name, text in records(folder / "one" / SCALE).items() if before[name] != text]
    if sorted(name.partition("_")[0] for name in again) not in (["answers"], ["answers", "tables"],
                                                               ["answers", "report", "tables"]):
        sys.exit(f"test-faults: with the clock set back these were made again: {again}")
    same(folder / "one" / SCALE, undisturbed)
    say("a clock set back: the same byte for byte")


def trainings(folder: Path, undisturbed: Path) -> None:
    """A training of one's own beside a study that trains the same, then the other way round."""
    root = folder / "trained"

    def under_way(process: subprocess.Popen) -> str:
        """The model that is being trained, once it is."""
        while process.poll() is None:
            for path in (root / SCALE).glob("models/*/work-*/metrics.jsonl"):
                return path.parts[-3]
            time.sleep(0.1)
        sys.exit(f"test-faults: nothing was trained\n{process.communicate()}")

    process = study(root)
    model = under_way(process)
    refused(training(root, model), f"training {model}: another process does it already")
    out, err = process.communicate()
    if process.returncode:
        sys.exit(f"test-faults: a study failed\n{out}\n{err}")
    same(root / SCALE, undisturbed)
    shutil.rmtree(root / SCALE / "models" / model)
    process = training(root, model)
    under_way(process)
    refused(study(root), f"training {model} failed.*another process does it already")
    if process.wait():
        sys.exit(f"test-faults: a training failed\n{process.communicate()}")
    finished(root)
    same(root / SCALE, undisturbed)
    say("a training beside a study: the same byte for byte")


def main(kills: int = 50, seed: int = 1) -> None:
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        folder = Path(name)
        say(f"{kills} kills, seed {seed}; first a study left alone")
        began = time.monotonic()
        finished(folder / "alone")
        seconds = time.monotonic() - began
        undisturbed = folder / "alone" / SCALE
        say(f"it took {seconds:.0f} s")
        kill(folder, undisturbed, kills, seed, seconds)
        publishing(folder, undisturbed, 1 + kills // 5, seed)
        others(folder, undisturbed)
        trainings(folder, undisturbed)
        if os.geteuid():
            say("left out: full and read-only disks, which take root")
        else:
            disks(folder, undisturbed)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
