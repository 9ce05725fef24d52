"""The three lists of packages agree: pyproject.toml, environment.yml and constraints.txt."""

import ast
import os
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA = YAML(typ="safe", pure=True).load(ROOT / "environment.yml")
CONDA_NAMES = {"torch": "pytorch", "snakemake": "snakemake-minimal"}

NEEDED = [Requirement(line) for line in PROJECT["dependencies"]]
EXTRAS = {extra: [Requirement(line) for line in lines]
          for extra, lines in PROJECT["optional-dependencies"].items()}
TESTS = EXTRAS["test"]


def pins():
    """Canonical name → version of constraints.txt."""
    lines = [line.split("#")[0].strip() for line in (ROOT / "constraints.txt").open()]
    parts = [line.partition("==") for line in lines if line]
    return {canonicalize_name(name): Version(version) for name, _, version in parts}


def conda_packages():
    """Name → bounds of environment.yml, python and pip among them."""
    found = [Requirement(line) for line in CONDA["dependencies"] if isinstance(line, str)]
    return {package.name: package.specifier for package in found}


def test_conda_has_the_same_packages_within_the_same_bounds():
    wanted = {CONDA_NAMES.get(package.name, package.name): package.specifier
              for package in NEEDED + TESTS}
    wanted |= {"python": SpecifierSet(PROJECT["requires-python"]), "pip": SpecifierSet()}
    assert conda_packages() == wanted


def test_what_is_imported_is_named():
    """Packages that others bring along today may be left out by them tomorrow."""
    known = {canonicalize_name(package.name) for package in [*NEEDED, *chain(*EXTRAS.values())]}
    known |= {"llvmlite", "markupsafe"}  # parts of numba and jinja2
    of_module = packages_distributions()
    for path in (ROOT / "helpers").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else [
                node.module] if isinstance(node, ast.ImportFrom) else []
            for module in {name.split(".")[0] for name in names} - sys.stdlib_module_names:
                packages = of_module.get(module, [module.replace("_", "-")])
                assert module == "helpers" or known & set(map(canonicalize_name, packages)), path


def test_conda_installs_the_package_itself_and_asks_conda_forge_first():
    assert CONDA["dependencies"][-1] == {"pip": ["-e ."]}
    assert CONDA["channels"][0] == "conda-forge"


@pytest.mark.parametrize("name", ["jupyterlab", "torch", "numpy", "seaborn", "ipywidgets",
                                  "papermill", "nbval"])
def test_named(name):
    assert name in {package.name for package in NEEDED + TESTS}
    assert CONDA_NAMES.get(name, name) in conda_packages()


@pytest.mark.parametrize("package", [*NEEDED, *chain(*EXTRAS.values())],
                         ids=lambda package: package.name)
def test_pinned_within_its_bounds(package):
    assert pins()[canonicalize_name(package.name)] in package.specifier


def test_pins_are_of_exact_public_versions():
    assert pins()["torch"] == Version("2.13.0")
    assert not [name for name, version in pins().items() if version.local]


def test_torch_is_a_range():
    torch = next(package for package in NEEDED if package.name == "torch")
    assert {"2.11.0", "2.13.0", "2.20.0"} == set(
        torch.specifier.filter(["2.10.0", "2.11.0", "2.13.0", "2.20.0"]))


def test_binder_has_a_python_that_will_do_and_installs_the_package():
    (python, pip) = YAML(typ="safe", pure=True).load(ROOT / ".binder" / "environment.yml")[
        "dependencies"]
    assert pip == "pip"
    assert re.fullmatch(r"python=\d+\.\d+", python)  # the one form that repo2docker reads
    assert Version(python.partition("=")[2]) in SpecifierSet(PROJECT["requires-python"])
    after = ROOT / ".binder" / "postBuild"
    assert os.access(after, os.X_OK)
    assert after.read_text().startswith("#!/bin/bash\n")
    assert after.read_text().rstrip().endswith("--editable .")
