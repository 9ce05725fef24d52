"""Progress of long work, shown where somebody looks.

At a terminal or in a notebook that is a tqdm bar. A step that runs headless writes the
same bar to a file in the folder that the environment variable ``PROGRESS_FOLDER`` names,
from where `helpers.study.graph` shows it.
"""

import os
from pathlib import Path

from tqdm import tqdm as text_bar
from tqdm.auto import tqdm


def bar(total: int, title: str, unit: str, done: int = 0) -> tqdm:
    """A progress bar to be used in a ``with`` statement, ``done`` of ``total`` units in."""
    settings = {"total": total, "initial": done, "desc": title, "unit": unit, "mininterval": 1}
    folder = os.environ.get("PROGRESS_FOLDER")
    if not folder:
        return tqdm(**settings, disable=None)
    Path(folder).mkdir(parents=True, exist_ok=True)
    file = open(Path(folder, f"{title.replace(' ', '_')}.log"), "w", encoding="utf-8")  # noqa: SIM115
    return text_bar(**settings, file=file, ncols=90)


def latest(folder: Path) -> dict[str, str]:
    """The last state of every bar written in a folder, by title."""
    states = {}
    for path in sorted(folder.glob("*.log")):
        lines = path.read_text("utf-8", "replace").splitlines()  # bars are parted by \r
        states[path.stem] = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return states
