"""What came out of a study, to be compared with what came out of another."""

import re
from io import StringIO
from pathlib import Path

import pandas as pd

TIMES = re.compile(r"seconds|run\.json|metrics\.jsonl")  # files and columns that tell the time


def outcome(run: Path) -> dict[str, bytes]:
    """The bytes of all data sets, weights, answers, verdicts and tables, but for times."""
    found = {}
    for pattern in ("corpus/*.safetensors", "models/*/model.safetensors", "evaluation/**/*.*",
                    "*.csv", "*.svg", "models/*/curve.csv", "models/*/snapshots/*"):
        for path in run.glob(pattern):
            name, content = str(path.relative_to(run)), path.read_bytes()
            if path.suffix == ".csv" and b"seconds" in content.partition(b"\n")[0]:
                table = pd.read_csv(StringIO(content.decode()))
                content = table[[one for one in table if not TIMES.search(one)]].to_csv().encode()
            if not TIMES.search(name):
                found[name] = content
    return found


def records(run: Path) -> dict[str, str]:
    """What is noted of each product that is there, tables and pages aside: those are moments' work.

    Made again, a product has a record with other seconds.
    """
    return {path.name: path.read_text() for path in run.glob("made/*.json")
            if not path.name.startswith(("tables", "report"))}


def leftovers(folder: Path) -> list[str]:
    """Temporary files, and folders of trainings that are complete."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*")
                  if ".tmp" in path.name or path.name.startswith("work-"))
