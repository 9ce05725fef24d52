"""Files are on the disk before they get their name, so that a power cut leaves old or new."""

import os

import pytest

from helpers.engine import files
from helpers.engine.files import atomic


@pytest.mark.parametrize("mode", ["w", "wb", None])
@pytest.mark.parametrize("before", [None, "what stood there"])
def test_written_to_disk_before_it_is_renamed(tmp_path, monkeypatch, mode, before):
    path, events = tmp_path / "out", []
    if before:
        path.write_text(before)
    fsync, replace = os.fsync, os.replace

    def synced(handle):
        about = os.fstat(handle)
        events.append(("synced", about.st_ino, about.st_size))
        fsync(handle)

    def replaced(source, target):
        about = os.stat(source)
        events.append(("replaced", about.st_ino, about.st_size))
        replace(source, target)

    monkeypatch.setattr(files.os, "fsync", synced)
    monkeypatch.setattr(files.os, "replace", replaced)
    with atomic(path, mode) as file:
        if mode is None:
            file.write_text("12345")
        else:
            file.write("12345" if mode == "w" else b"12345")
        assert (path.read_text() if path.exists() else None) == before
    assert path.read_text() == "12345"
    inode = path.stat().st_ino
    assert events == [("synced", inode, 5), ("replaced", inode, 5)]


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
