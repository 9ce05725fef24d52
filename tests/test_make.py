"""What `make test-browser` asks for: installed where that may be, else named in one line.

And the gate, which goes on without.
"""

import os
import shutil
import subprocess

import pytest

from helpers.engine.files import PROJECT

MISSING = "chromium: got none, takes the system's (as root: apt-get install chromium)\n"


@pytest.fixture
def make(tmp_path):
    """A function that makes a target where these programs are all there is (name → sh script)."""

    def made(target: str, programs: dict[str, str]) -> subprocess.CompletedProcess:
        for name, script in programs.items():
            (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
            (tmp_path / name).chmod(0o755)
        return subprocess.run([shutil.which("make"), "--no-print-directory", target], cwd=PROJECT,
                              env={"PATH": str(tmp_path)}, text=True, capture_output=True)

    return made


@pytest.mark.parametrize("programs", [
    {"id": "echo 1000", "apt-get": "echo never >&2"}, {"id": "echo 0"},
    {"id": "echo 0", "apt-get": "exit 100"}])
def test_no_browser_and_none_to_be_had(make, programs):
    done = make("chromium", programs)
    assert done.returncode == 2
    assert MISSING in done.stderr
    assert "never" not in done.stderr


def test_root_installs_the_browser(make):
    done = make("chromium", {"id": "echo 0", "apt-get": 'echo "$@"'})
    assert done.returncode == 0
    assert done.stdout == "update --quiet\ninstall --yes --no-install-recommends chromium\n"
    there = make("chromium", {"id": "exit 1", "apt-get": "exit 1", "chromium": ""})
    assert (there.returncode, there.stdout + there.stderr) == (0, "")


@pytest.mark.parametrize(("fails", "status", "called", "said"), [
    ("none", 0, ["test", "test-browser"], ""),
    ("test", 2, ["test"], ""),
    ("chromium", 0, ["test"], "no Chromium here"),
    ("test-browser", 2, ["test", "test-browser"], "")])
def test_the_gate(tmp_path, fails, status, called, said):
    """What cannot be tried is said; what is tried and fails, fails it. The browser comes beside."""
    stub, log = tmp_path / "make", tmp_path / "log"
    stub.write_text(f'#!/bin/sh\necho "$1" >> {log}\necho noise >&2\n'
                    f'[ "$1" != {fails} ] || exit 2\n')
    stub.chmod(0o755)
    done = subprocess.run([PROJECT / ".ci" / "run"], text=True, capture_output=True,
                          env={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert done.returncode == status
    beside = ["chromium"]  # at any moment, or not any more where the tests have failed at once
    assert [word for word in log.read_text().split() if word not in beside] == called
    assert said in done.stdout
    assert len(done.stdout.splitlines()) == bool(said)
