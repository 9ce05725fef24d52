"""Setting up .venv where ensurepip is missing, and what goes wrong on the way to pip."""

import functools
import importlib.util
import os
import shutil
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "setup_venv.py"
SPEC = importlib.util.spec_from_file_location("setup_venv", SCRIPT)
setup_venv = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(setup_venv)


@pytest.fixture
def set_up(tmp_path):
    """Runs a copy of setup_venv.py in a folder of its own, by a Python without ensurepip."""
    shutil.copy(SCRIPT, tmp_path)
    (tmp_path / "ensurepip.py").write_text("raise ImportError")

    def run(index, **environment):
        settings = os.environ | {"PIP_INDEX_URL": index, "no_proxy": "*"} | environment
        return subprocess.run([sys.executable, "setup_venv.py"], cwd=tmp_path, env=settings,
                              capture_output=True, text=True, timeout=60)
    return run


@pytest.fixture
def index(tmp_path):
    """A package index on this machine; its folder and address."""
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    folder = tmp_path / "simple"
    (folder / "pip").mkdir(parents=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0),
                                 functools.partial(Quiet, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://user:secret@127.0.0.1:{server.server_port}/simple"
    server.shutdown()
    server.server_close()


def test_no_network(set_up, tmp_path):
    result = set_up("http://user:secret@127.0.0.1:1/simple")
    assert result.returncode == 1
    assert result.stderr.startswith("setup_venv: cannot fetch pip from http://127.0.0.1:1/simple/")
    assert result.stderr.count("\n") == 1
    assert "secret" not in result.stdout + result.stderr
    assert not (tmp_path / ".venv" / ".ready").exists()


def test_no_certificates(set_up):
    result = set_up("https://127.0.0.1:1/simple", PIP_CERT="missing.pem")
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert "PIP_CERT" in result.stderr


def test_index_without_the_wheel(set_up, index):
    result = set_up(index[1])
    assert result.returncode == 1
    assert f"it does not list {setup_venv.PIP_WHEEL}" in result.stderr


def test_changed_wheel_is_never_run(set_up, index):
    folder, address = index
    (folder / "pip" / setup_venv.PIP_WHEEL).write_bytes(b"print('run')")
    result = set_up(address)
    assert (result.returncode, "run" in result.stdout) == (1, False)
    assert "was changed on its way" in result.stderr


def test_only_what_was_completed_is_kept(monkeypatch, tmp_path):
    monkeypatch.setattr(setup_venv, "PYTHON", Path(sys.executable))
    monkeypatch.setattr(setup_venv, "READY", tmp_path / ".ready")
    assert not setup_venv.works()
    (tmp_path / ".ready").touch()
    assert setup_venv.works()
