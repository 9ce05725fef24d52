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


# ── an update that fails ────────────────────────────────────────────────────────────────


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """A completed environment, without pip; an update that changes it as pip would."""
    folder = tmp_path / ".venv"
    for name, path in {"FOLDER": folder, "BEFORE": tmp_path / ".venv.before",
                       "PYTHON": Path(sys.executable), "READY": folder / ".ready"}.items():
        monkeypatch.setattr(setup_venv, name, path)
    (folder / "lib").mkdir(parents=True)
    (folder / "lib" / "torch.py").write_text("2.11")
    (folder / "bin").symlink_to("lib")
    (folder / ".ready").touch()
    os.utime(folder / ".ready", (1000, 1000))
    return folder


def update(error=None):
    """What pip does to the environment: a file replaced, one added; then the end, or an error."""
    def install(arguments):
        old = setup_venv.FOLDER / "lib" / "torch.py"
        old.unlink()
        old.write_text("2.13")
        (setup_venv.FOLDER / "lib" / "new.py").touch()
        if error:
            raise error
    return install


def state(folder):
    return ((folder / "lib" / "torch.py").read_text(), sorted(os.listdir(folder / "lib")),
            (folder / ".ready").stat().st_mtime, (folder / "bin").is_symlink())


@pytest.mark.parametrize("error", [SystemExit("pip could not"), KeyboardInterrupt(),
                                   OSError("disk full")])
def test_a_failed_update_leaves_what_was_there(environment, monkeypatch, error):
    monkeypatch.setattr(setup_venv, "install", update(error))
    before = state(environment)
    with pytest.raises(SystemExit):
        setup_venv.main()
    assert state(environment) == before  # the age too: make tries again
    assert sorted(path.name for path in environment.parent.iterdir()) == [".venv"]


def test_a_killed_update_is_undone_at_the_next_start(environment, monkeypatch):
    before = state(environment)
    setup_venv.keep()
    (environment / ".ready").unlink()
    update()([])
    monkeypatch.setattr(setup_venv, "install", update(SystemExit("still no network")))
    with pytest.raises(SystemExit):
        setup_venv.main()
    assert state(environment) == before


def test_a_copy_that_was_not_finished_is_never_put_back(environment):
    setup_venv.keep()
    (setup_venv.BEFORE / ".ready").unlink()
    shutil.rmtree(environment)
    setup_venv.restore()
    assert list(environment.parent.iterdir()) == []


def test_an_update(environment, monkeypatch):
    monkeypatch.setattr(setup_venv, "install", update())
    setup_venv.main()
    content, names, age, _ = state(environment)
    assert (content, names) == ("2.13", ["new.py", "torch.py"])
    assert age > 1000
    assert not setup_venv.BEFORE.exists()


@pytest.mark.parametrize("links", [True, False])
def test_a_copy_holds_what_pip_replaces(environment, monkeypatch, links):
    def no_link(source, target):
        raise OSError("not on this disk")
    if not links:
        monkeypatch.setattr(os, "link", no_link)
    setup_venv.keep()
    update()([])
    assert (setup_venv.BEFORE / "lib" / "torch.py").read_text() == "2.11"


def test_closed_stdout(environment, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(SystemExit, match="could not install"):
        setup_venv.install(["--no-index", "no-such-package"])
