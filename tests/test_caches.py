"""Where compiled code lies: what its folders are named by, where they go, what is thrown away."""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import helpers
from helpers.engine import caches

PROJECT = Path(helpers.__file__).parents[1]
NUMBA_KEY, TORCH_KEY = "numba-0123456789abcdef", "torch-0123456789abcdef"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A small project: one kernel that takes in another, from the next file."""
    folder = tmp_path / "project"
    (folder / "helpers" / "engine").mkdir(parents=True)
    for name in ("__init__.py", "engine/__init__.py", "engine/caches.py", "engine/files.py"):
        shutil.copy(PROJECT / "helpers" / name, folder / "helpers" / name)
    write(folder, "inner", "from helpers import words\n@njit(cache=True)\ndef value(): return 1\n")
    write(folder, "outer", "from helpers.inner import value\n"
                           "@njit(cache=True)\ndef total(): return 10 + value()\n")
    (folder / "helpers" / "words.py").write_text("GREETING = 'hello'\n")
    monkeypatch.setattr(caches, "PROJECT", folder)
    for name in ("NUMBA_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", caches.PLACE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    monkeypatch.setattr(caches.tempfile, "tempdir", str(tmp_path))
    return folder


def write(folder, name, source):
    (folder / "helpers" / f"{name}.py").write_text("from numba import njit\n" + source)


def test_a_changed_kernel_reaches_those_that_take_it_in(project):
    def run():
        # -B: Python itself would take a file of the same second and size for the same
        return subprocess.run([sys.executable, "-B", "-c", "from helpers.outer import total; "
                               "print(total())"], cwd=project, check=True, capture_output=True,
                              env=os.environ | {"PYTHONPATH": str(project)}, text=True).stdout

    assert run() == "11\n"
    compiled = list((project / ".cache").rglob("*.nbc"))
    assert len(compiled) == 2
    source = project / "helpers" / "inner.py"
    source.write_text(source.read_text().replace("return 1", "return 2"))
    assert run() == "12\n"


def test_key_follows_from_kernels_and_what_they_import(project):
    key = caches.sources_key()
    (project / "helpers" / "words.py").write_text("GREETING = 'good day'\n")
    assert caches.sources_key() == key  # `from helpers import words`: no kernel reads a module
    write(project, "inner", "from helpers.words import GREETING\n")
    changed = caches.sources_key()
    assert changed != key
    (project / "helpers" / "words.py").write_text("GREETING = 'hello'\n")
    assert caches.sources_key() not in (key, changed)


def test_key_of_this_project():
    """Every module with kernels is in, and none of the upper floors."""
    assert len(caches.sources_key()) == 64
    assert Path(os.environ["NUMBA_CACHE_DIR"]).name == f"numba-{caches.sources_key()[:16]}"
    import numba
    assert os.environ["NUMBA_CACHE_DIR"] == numba.config.CACHE_DIR


def test_places(project, tmp_path, monkeypatch):
    user, temporary = tmp_path / "user", tmp_path / f"borrowed-traces-{os.getuid()}"
    assert caches.cache_folder() == project / ".cache"
    (project / ".cache").rmdir()
    (project / ".cache").touch()  # root may write anywhere, but not into a file
    assert caches.cache_folder() == user / "borrowed-traces"
    shutil.rmtree(user)
    user.touch()
    assert caches.cache_folder() == temporary
    monkeypatch.setattr(os, "getuid", lambda: 12345678)
    (tmp_path / "borrowed-traces-12345678").mkdir()  # somebody else's
    with pytest.raises(OSError, match="can be written"):
        caches.cache_folder()
    caches.settle()  # says nothing, and sets nothing
    assert "NUMBA_CACHE_DIR" not in os.environ


@pytest.mark.parametrize("name", ["a b", "it's", 'say "x"', "$HOME", "a;b"])
def test_compilers_get_a_path_that_is_one_word(project, tmp_path, monkeypatch, name):
    odd = tmp_path / name
    monkeypatch.setattr(caches, "PROJECT", odd)
    assert caches.cache_folder() == odd / ".cache"
    assert caches.cache_folder(plain=True) == tmp_path / "user" / "borrowed-traces"


def test_what_the_user_has_set(project, tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "mine"))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "mine"))
    caches.settle()
    assert Path(os.environ["NUMBA_CACHE_DIR"]).parent == tmp_path / "mine"
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path / "mine")
    assert caches.torch_folder() is None
    for variable, name in (("NUMBA_CACHE_DIR", NUMBA_KEY), ("TORCHINDUCTOR_CACHE_DIR", TORCH_KEY)):
        monkeypatch.setenv(variable, str(tmp_path / "other" / name))  # another checkout's
    caches.settle()
    for variable in ("NUMBA_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR"):
        assert Path(os.environ[variable]).parent == project / ".cache"
    assert caches.torch_folder() == Path(os.environ["TORCHINDUCTOR_CACHE_DIR"])


def test_another_compiler_has_another_folder(project, tmp_path, monkeypatch):
    key = caches.compiler_key()
    compiler = tmp_path / "bin" / "g++"
    compiler.parent.mkdir()
    compiler.write_text("#!/bin/sh\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", str(compiler.parent))
    assert caches.compiler_key() != key
    monkeypatch.setenv("PATH", "")
    assert len(caches.compiler_key()) == 64


def test_old_folders_go(tmp_path):
    for number in range(5):
        folder = tmp_path / f"numba-{number:016x}"
        caches._use(folder)
        os.utime(folder, (number, number))
    (tmp_path / "numba-of-somebody").mkdir()
    (tmp_path / TORCH_KEY).mkdir()
    caches._use(tmp_path / f"numba-{2:016x}")  # used again: the youngest now
    caches._use(tmp_path / NUMBA_KEY)
    assert {path.name for path in tmp_path.iterdir()} == {
        "numba-of-somebody", TORCH_KEY, NUMBA_KEY, f"numba-{2:016x}", f"numba-{4:016x}"}


# ── libraries ───────────────────────────────────────────────────────────────────────────


@pytest.fixture
def library(tmp_path):
    """A library, of Numba's, under the name that one of PyTorch's would have."""
    import numba.core.typeconv._typeconv as some
    target = tmp_path / "ab" / "cabc.main.so"
    target.parent.mkdir()
    shutil.copy(some.__file__, target)
    return target


def test_a_whole_library_stays(library, tmp_path):
    caches.remove_broken_libraries(tmp_path)
    assert library.exists()


@pytest.mark.parametrize("size", [0, 3, 64, 1000, -1])
def test_a_broken_library_goes(library, tmp_path, size):
    content = library.read_bytes()
    library.write_bytes(content[:size])
    caches.remove_broken_libraries(tmp_path)
    assert not library.exists()
    library.write_bytes(bytes(len(content)))  # its head is written last
    caches.remove_broken_libraries(tmp_path)
    assert not library.exists()


def test_a_library_in_the_making_stays(library, tmp_path):
    library.write_bytes(b"")
    (tmp_path / "locks").mkdir()
    with open(tmp_path / "locks" / "cabc.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        caches.remove_broken_libraries(tmp_path)
        assert library.exists()
    caches.remove_broken_libraries(tmp_path)
    assert not library.exists()
