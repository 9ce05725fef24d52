"""torch.compile is tried before anything relies on it; what a killed compiler left is mended."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from torch._inductor import codecache

from helpers.engine import caches, compiling

TRY = "from helpers.engine.compiling import can_compile; print(can_compile('cpu'))"


def attempt(**environment):
    """A training's first question, asked in a process of its own."""
    settings = os.environ | environment
    return subprocess.run([sys.executable, "-c", TRY], env=settings, capture_output=True,
                          text=True, timeout=500)


@pytest.mark.parametrize(("script", "word"), [
    ("echo 'main.cpp:1:10: fatal error: omp.h: No such file or directory' >&2; exit 1",
     "fatal error: omp.h: No such file or directory"),
    ('while [ "$1" != -o ]; do shift; done; : > "$2"', "ImportError")])
def test_a_compiler_that_does_not_work(tmp_path, script, word):
    """It fails, or leaves an empty library; either way one line says so and nothing is raised."""
    compiler = tmp_path / "bin" / "g++"
    compiler.parent.mkdir()
    compiler.write_text(f'#!/bin/sh\n[ "$1" = --version ] && {{ echo "g++ 12.2.0"; exit; }}\n'
                        f"{script}\n")
    compiler.chmod(0o755)
    done = attempt(PATH=f"{compiler.parent}:{os.environ['PATH']}",
                   **{caches.PLACE: str(tmp_path / "cache")})
    assert (done.stdout, done.returncode) == ("False\n", 0)
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "goes on uncompiled" in done.stderr
    assert word in done.stderr


@pytest.mark.skipif(not shutil.which("g++"), reason="needs a C++ compiler")
def test_an_unfinished_library_is_made_again(tmp_path):
    """The library of a compilation that was killed is there, but empty."""
    if not compiling.can_compile("cpu") or not caches.torch_folder():
        pytest.skip("torch.compile does not work here")
    ours = caches.torch_folder()
    folder = shutil.copytree(ours, tmp_path / ours.name, copy_function=os.link)
    libraries = sorted(folder.rglob("*.so"))
    assert libraries
    for library in libraries:
        library.unlink()  # the link, not what it links to
        library.write_bytes(b"")
    done = attempt(**{caches.PLACE: str(tmp_path)})
    assert (done.stdout, done.stderr, done.returncode) == ("True\n", "", 0)
    assert sorted(folder.rglob("*.so"))
    assert all(map(caches.is_whole, folder.rglob("*.so")))


@pytest.fixture
def tries(monkeypatch, tmp_path):
    """Lets `can_compile` go wrong as listed, in a cache of its own; the list of what is left."""
    left = []
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "torch-0123456789abcdef"))
    monkeypatch.setattr(compiling, "_try", lambda device: left.pop(0))
    monkeypatch.setattr(shutil, "which", lambda name: name)
    for name in ("_HEADER_DIR", "_HEADER_LOCK_DIR"):
        monkeypatch.setattr(codecache, name, "")
    return left


def test_what_cannot_be_told_is_emptied(tries, tmp_path, capsys):
    header = tmp_path / "torch-0123456789abcdef" / "precompiled_headers" / "x.h.gch"
    header.parent.mkdir(parents=True)
    header.touch()
    tries += ["cannot read PCH file", None]
    assert compiling.can_compile.__wrapped__("cpu")
    assert not header.exists()
    assert Path(codecache._HEADER_DIR) == header.parent
    assert capsys.readouterr().err == ""


def test_what_is_the_users_is_not_emptied(tries, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    (tmp_path / "mine").touch()
    tries += ["got 1 for 2"]
    assert not compiling.can_compile.__wrapped__("cpu")
    assert (tmp_path / "mine").exists()
    assert capsys.readouterr().err.endswith("uncompiled: got 1 for 2\n")


def test_without_a_compiler_nothing_is_said(monkeypatch, capsys):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert not compiling.can_compile.__wrapped__("cpu")
    assert capsys.readouterr().err == ""
