"""Progress of long work, shown where somebody looks.

A line says what is done, how much of it, what was measured and how long it will take, in that
order, so that a narrow terminal cuts the bar at its end and nothing else::

    training swapped 1        62 %  plan loss 0.412  1 h 12 min left  ██████▋

At a terminal or in a notebook that is a tqdm bar. A step that runs headless writes the
same bar to a file in the folder that the environment variable ``PROGRESS_FOLDER`` names,
from where `helpers.study.graph` shows it.
"""

import os
import time
from contextlib import suppress
from pathlib import Path

from tqdm import tqdm as text_bar
from tqdm.auto import tqdm

WIDTH = 77  # of a line in a file: with what stands before it, less than 80
TITLES = 24, 32  # length of the shortest, with spaces behind it, and of the longest
FORMAT = "{desc} {share}{measured}  {left}  {bar}"


class _Line:
    """What a bar of tqdm says; mixed into its classes.

    Where something ``compiles``, it does so in the first unit, from which nothing follows for
    the others: the time left is measured from its end on.
    """

    def __init__(self, *, compiles: bool, **settings):
        self.compiles = compiles
        self.since = None if compiles else (settings["initial"], time.monotonic())
        super().__init__(bar_format=FORMAT, **settings)

    def update(self, n: float = 1):
        shown = super().update(n)
        self.since = self.since or (self.n, time.monotonic())
        return shown

    @property
    def format_dict(self) -> dict:
        values = super().format_dict
        done, total = values["n"], values["total"]
        return values | {"share": f"{100 * done // total if total else 100:3} %",
                         "measured": f"  {values['postfix']}" if values["postfix"] else "",
                         "left": self._left(done, total)}

    def _left(self, done: int, total: int) -> str:
        if done >= total:
            return "done"
        if not self.since or done <= self.since[0]:
            return "compiling" if self.compiles else "starting"
        before, began = self.since
        seconds = (time.monotonic() - began) / (done - before) * (total - done)
        return f"{duration(seconds)} left"


class _TextLine(_Line, text_bar):
    """In a file."""


class _ShownLine(_Line, tqdm):
    """At a terminal or in a notebook."""


def bar(total: int, title: str, unit: str, done: int = 0, compiles: bool = False,
        shown: bool = True) -> tqdm:
    """A progress bar to be used in a ``with`` statement, ``done`` of ``total`` units in.

    Args:
        compiles: whether the first unit waits for a compiler, which the bar then says.
        shown: whether it is; not by processes that share work with the first.
    """
    least, most = TITLES
    settings = {"total": total, "initial": done, "desc": shortened(title, most).ljust(least),
                "unit": unit, "mininterval": 1, "miniters": 1, "compiles": compiles}
    folder = os.environ.get("PROGRESS_FOLDER")
    if not (folder and shown):
        return _ShownLine(**settings, disable=None if shown else True, dynamic_ncols=True)
    Path(folder).mkdir(parents=True, exist_ok=True)
    file = _File(Path(folder, f"{title.replace(' ', '_')}.log"))
    return _TextLine(**settings, file=file, ncols=WIDTH)


class _File:
    """What a bar writes to; on a full disk the bar stands still, and the work goes on."""

    encoding = "utf-8"  # by which tqdm knows that it may draw

    def __init__(self, path: Path):
        self.file = open(path, "w", encoding=self.encoding)  # noqa: SIM115

    def write(self, text: str) -> None:
        with suppress(OSError):
            self.file.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self.file.flush()


def latest(folder: Path) -> dict[str, str]:
    """The last state of every bar written in a folder, by title."""
    states = {}
    for path in sorted(folder.glob("*.log")):
        lines = path.read_text("utf-8", "replace").splitlines()  # bars are parted by \r
        states[path.stem] = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return states


def duration(seconds: float) -> str:
    """A time in two units at most: ``40 s``, ``3 min``, ``1 h 12 min``, ``9 d 7 h``."""
    if round(seconds) < 60:
        return f"{round(seconds)} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if hours else f"{minutes} min"
    days, hours = divmod(round(seconds / 3600), 24)
    return f"{days} d {hours} h"


def shortened(title: str, length: int) -> str:
    """A title with its middle left out where it is too long: both ends tell it from others."""
    cut = len(title) - length
    return title if cut <= 0 else f"{title[:length // 2]}…{title[length // 2 + cut + 1:]}"
