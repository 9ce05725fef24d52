"""Files are on the disk before they get their name, so that a power cut leaves old or new."""

import errno
import os

import pytest
from safetensors import SafetensorError

from helpers.engine import files
from helpers.engine.files import atomic, atomic_folder, naming, staged
from helpers.engine.progress import bar


@pytest.fixture
def events(monkeypatch) -> list[tuple[str, int, int]]:
    """What is forced to disk and what is renamed: (which of the two, inode, size)."""
    found = []
    fsync, replace = os.fsync, os.replace

    def synced(handle):
        about = os.fstat(handle)
        found.append(("synced", about.st_ino, about.st_size))
        fsync(handle)

    def replaced(source, target):
        about = os.stat(source)
        found.append(("replaced", about.st_ino, about.st_size))
        replace(source, target)

    monkeypatch.setattr(files.os, "fsync", synced)
    monkeypatch.setattr(files.os, "replace", replaced)
    return found


@pytest.mark.parametrize("mode", ["w", "wb", None])
@pytest.mark.parametrize("before", [None, "what stood there"])
def test_written_to_disk_before_it_is_renamed(tmp_path, events, mode, before):
    path = tmp_path / "out"
    if before:
        path.write_text(before)
    with atomic(path, mode) as file:
        if mode is None:
            file.write_text("12345")
        else:
            file.write("12345" if mode == "w" else b"12345")
        assert (path.read_text() if path.exists() else None) == before
    assert path.read_text() == "12345"
    inode = path.stat().st_ino
    assert events == [("synced", inode, 5), ("replaced", inode, 5)]


@pytest.mark.parametrize("filled", [atomic_folder, staged])
def test_folders_are_written_to_disk_before_they_are_renamed(tmp_path, events, filled):
    names = ("one", "inside/another")
    with filled(tmp_path / "out") as folder:
        (folder / "inside").mkdir()
        for name in names:
            (folder / name).write_text(name)
    inodes = {(tmp_path / "out" / name).stat().st_ino for name in names}
    kinds = [kind for kind, inode, _ in events]
    assert kinds == sorted(kinds, reverse=True)  # synced, all of them, before anything is replaced
    assert {inode for kind, inode, size in events if kind == "synced" and size} == inodes


def test_a_full_disk_names_the_file(tmp_path):
    """What the system says of it does not, nor what safetensors makes of that."""
    for error in (OSError(errno.ENOSPC, "No space left"),
                  SafetensorError("I/O error: No space left on device (os error 28)")):
        with pytest.raises(OSError, match="No space left") as caught, naming(tmp_path / "out"):
            raise error
        assert (caught.value.errno, caught.value.filename) == (28, str(tmp_path / "out"))
    with pytest.raises(SafetensorError), naming(tmp_path):
        raise SafetensorError("something else")


def test_a_bar_on_a_full_disk_stands_still(tmp_path, monkeypatch):
    (tmp_path / "training.log").symlink_to("/dev/full")
    monkeypatch.setenv("PROGRESS_FOLDER", str(tmp_path))
    with bar(3, "training", "step") as progress:
        for _ in range(3):
            progress.update()
            progress.refresh()
    assert progress.n == 3


def test_a_disk_that_does_not_take_it(tmp_path, monkeypatch):
    """What fails only when the data reaches the disk fails before the old file is gone."""
    path = tmp_path / "out"
    path.write_text("what stood there")

    def full(handle):
        raise OSError("No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"), atomic(path, "w") as file:
        file.write("half of it")
    assert path.read_text() == "what stood there"
    assert os.listdir(tmp_path) == ["out"]
