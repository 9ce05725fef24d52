"""Headless runs in a hostile shell, from any folder, beside whatever the user has configured."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

import helpers
from helpers.engine import caches
from helpers.study import surroundings
from helpers.study.surroundings import environment

PROJECT = Path(helpers.__file__).parents[1]
ODD = "it's a \"maze\" é"
LOOK = """
import sys, warnings
import helpers, matplotlib
import matplotlib.pyplot as plt
print(sys.executable, helpers.__file__, "intruder" in globals(), "intruder" in sys.modules)
print(matplotlib.rcParams["lines.linewidth"], sys.getfilesystemencoding(), sys.flags.optimize)
warnings.warn("no error")
plt.plot([1, 2]);
"""


@pytest.fixture
def hostile(tmp_path):
    """What a shell can have set that would change or break a notebook."""
    for path, text in {
            "kernels/python3/kernel.json": '{"argv": ["false"], "display_name": "x", '
                                           '"language": "python"}',
            "ipython/profile_default/startup/00.py": "intruder = 1",
            "ipython/profile_default/ipython_config.py": "c.InteractiveShellApp.matplotlib = 'agg'",
            "jupyter/jupyter_config.py": "raise SystemExit('personal')",
            "jupyter/jupyter_nbconvert_config.py": "raise SystemExit('personal')",
            "matplotlibrc": "lines.linewidth: 9",
            "path/sitecustomize.py": "import intruder",
            "path/intruder.py": "",
            "start.py": "intruder = 2"}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return os.environ | {
        "MPLBACKEND": "Agg", "MATPLOTLIBRC": str(tmp_path / "matplotlibrc"),
        "MPLCONFIGDIR": str(tmp_path), "JUPYTER_PATH": str(tmp_path),
        "JUPYTER_CONFIG_DIR": str(tmp_path / "jupyter"), "JUPYTER_PREFER_ENV_PATH": "0",
        "JUPYTER_DATA_DIR": str(tmp_path), "IPYTHONDIR": str(tmp_path / "ipython"),
        "PYTHONSTARTUP": str(tmp_path / "start.py"), "PYTHONPATH": str(tmp_path / "path"),
        "PYTHONWARNINGS": "error", "PYTHONOPTIMIZE": "2", "SNAKEMAKE_PROFILE": "/nowhere",
        "PYTEST_ADDOPTS": "--no-such-option", "HOME": "/proc/nowhere", "LC_ALL": "C",
        "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "BASH_ENV": str(tmp_path / "no.sh")}


def test_a_notebook_in_a_hostile_shell(hostile, tmp_path):
    folder = tmp_path / ODD
    folder.mkdir()
    nbformat.write(new_notebook(cells=[new_code_cell(LOOK)], metadata={
        "kernelspec": {"name": "python3", "display_name": "Python 3"}}), folder / "in.ipynb")
    done = subprocess.run(
        [sys.executable, "-E", "-m", "helpers.study.surroundings", "python", "-m", "papermill",
         "--no-progress-bar", "--cwd", folder, folder / "in.ipynb", folder / "out.ipynb"],
        cwd=PROJECT, env=hostile, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    outputs = nbformat.read(folder / "out.ipynb", as_version=4).cells[-1].outputs
    printed = "".join(output.text for output in outputs if output.get("name") == "stdout")
    assert printed.splitlines() == [f"{sys.executable} {PROJECT}/helpers/__init__.py False False",
                                    "1.5 utf-8 0"]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    report = subprocess.run(
        [sys.executable, "-E", "-m", "helpers.study.surroundings", "python", "-m", "nbconvert",
         "--to", "html", folder / "out.ipynb"], cwd=PROJECT, env=hostile, capture_output=True,
        text=True, timeout=300)
    assert report.returncode == 0, report.stderr
    assert "data:image/png" in (folder / "out.html").read_text()


def test_environment(hostile, monkeypatch, tmp_path):
    # told apart from our own, in which this test may be running
    hostile = {name: f"{value}, the user's" if name.startswith(surroundings.PERSONAL) else value
               for name, value in hostile.items()}
    for name, value in hostile.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("KEPT", "1")
    settings = environment()
    assert settings["KEPT"] == "1"
    assert not [name for name, value in settings.items()
                if value == hostile.get(name) and name.startswith(surroundings.PERSONAL)]
    assert settings["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)
    assert not {"MPLBACKEND", "PYTHONWARNINGS", "SNAKEMAKE_PROFILE", "BASH_ENV"} & set(settings)


def test_a_process_below_has_the_same_caches(monkeypatch, tmp_path):
    """Where nothing can be written beside the project, the place is handed down."""
    (tmp_path / ".cache").touch()
    monkeypatch.setattr(caches, "PROJECT", tmp_path)
    monkeypatch.delenv(caches.PLACE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    settings = environment()
    assert settings["XDG_CACHE_HOME"] != str(tmp_path / "user")
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert caches.cache_folder() == tmp_path / "user" / "borrowed-traces"
    assert environment()["XDG_CACHE_HOME"] == settings["XDG_CACHE_HOME"]


@pytest.mark.parametrize("arguments", [[], ["no-such-command"]])
def test_nothing_to_run(arguments, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["surroundings", *arguments])
    with pytest.raises(SystemExit) as caught:
        surroundings.main()
    assert caught.value.code.startswith("surroundings: ")
    assert "\n" not in caught.value.code


# ── make, from a folder with an odd name ────────────────────────────────────────────────


STUB = """#!/usr/bin/env python3
import json, os, sys
with open("called", "a") as file:
    print(json.dumps([sys.argv[1:], os.environ.get("PROGRESS_FOLDER"), os.getcwd()]), file=file)
"""


@pytest.fixture
def make(tmp_path):
    """Runs make in a folder with an odd name whose Python notes down what it is called with."""
    folder = tmp_path / ODD
    stub = folder / ".venv" / "bin" / "python"
    stub.parent.mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(PROJECT / name, folder)
    stub.write_text(STUB)
    stub.chmod(0o755)
    (folder / ".venv" / ".ready").touch()

    def run(*targets):
        done = subprocess.run(["make", *targets], cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        called = folder / "called"
        calls = [json.loads(line) for line in called.read_text().splitlines()
                 ] if called.exists() else []
        called.unlink(missing_ok=True)
        return folder, done.stdout, calls
    return run


def test_make_alone_lists_the_targets(make):
    _, printed, calls = make()
    assert calls == []
    for target in ("study", "test", "lab", "bench", "publish"):
        assert re.search(f"^make {target} ", printed, re.MULTILINE)


def test_make_in_an_odd_folder(make):
    folder, _, ((arguments, progress, where),) = make("nbval")
    assert progress == f"{folder}/runs/smoke/progress"
    assert where == str(folder)
    assert arguments == ["-E", "-m", "helpers.study.surroundings", "python", "-m", "pytest",
                         "--numprocesses", "auto", "--dist", "loadfile", "--nbval", "notebooks"]
    for target, words in {"lint": "ruff check .", "smoke": "helpers study --scale smoke",
                          "study": "helpers study --scale laptop --experiment headline"}.items():
        _, _, ((arguments, _, _),) = make(target)
        assert " ".join(arguments).endswith(f"helpers.study.surroundings python -m {words}")


def test_lab_opens_the_whole_project(make):
    _, _, ((arguments, _, _),) = make("lab")
    assert arguments == ["-m", "jupyterlab", "--notebook-dir", "."]
