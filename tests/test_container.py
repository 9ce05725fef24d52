"""The container recipe installs what .venv has, runs as a user, and what it copies is there."""

import re
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
LINES = (PROJECT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", "").splitlines()
STEPS = [line.split(maxsplit=1) for line in LINES if line and not line.startswith("#")]


def place(name: str, words: str = "") -> int:
    return next(i for i, (one, rest) in enumerate(STEPS) if one == name and words in rest)


def test_one_command_by_default():
    assert STEPS[-1] == ["CMD", '["make", "study", "SCALE=smoke"]']


def test_a_user_of_its_own():
    """From before anything of the project is copied to the end."""
    users = [rest for name, rest in STEPS if name == "USER"]
    assert users == ["study"]
    assert place("USER") < place("COPY")
    assert all("--chown=study" in rest for name, rest in STEPS if name == "COPY")


def test_packages_are_those_of_the_makefile():
    """Pins and index are make's: nothing is named a second time."""
    install = place("RUN", "make .venv TORCH_INDEX=$TORCH_INDEX")
    assert place("ARG", "TORCH_INDEX=https://download.pytorch.org/whl/cpu") < install
    copied = STEPS[place("COPY")][1].split()[1:-1]
    assert all((PROJECT / name).is_file() for name in copied)
    needed = {"constraints.txt", "pyproject.toml", "setup_venv.py", "Makefile", "README.md"}
    assert needed <= set(copied)
    assert not re.search(r"pip install|==", "\n".join(rest for _, rest in STEPS))


def test_what_was_run_or_installed_here_stays_outside():
    ignored = (PROJECT / ".dockerignore").read_text().splitlines()
    assert {".venv", "runs", ".cache"} <= set(ignored)
    assert ".git" not in ignored  # run.json names the commit
