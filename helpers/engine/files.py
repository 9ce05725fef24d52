"""Where the project lies, files that appear whole or not at all, and checksums of arrays."""

import errno
import fcntl
import glob
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO

import numpy as np
from safetensors import SafetensorError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)  # what a disk says that takes no more
PROJECT = Path(__file__).resolve().parents[2]  # where README and Makefile lie


@contextmanager
def atomic(path: str | os.PathLike, mode: str | None = None) -> Iterator[IO | Path]:
    """Writes a file under a temporary name beside it, and renames it once it is on disk.

    Whatever goes wrong within the ``with`` block, no temporary file remains and what stood
    under the final name stands there still. A device or a pipe is written to as it is.
    The temporary file of a writer that was killed goes with a later write of the same name.

    Args:
        path: the final name; a symbolic link is followed.
        mode: ``"w"`` or ``"wb"`` to be given an open file; None to be given the temporary
            path, for libraries that open files themselves.

    Raises:
        OSError: it cannot be written; the error names the file.
    """
    path = Path(path)
    special = path.exists() and not path.is_file()
    path = path if special else path.resolve()
    place = nullcontext(path) if special else _temporary(path, folder=mode is None)
    with naming(path), place as target:
        if mode is None:
            if not special:  # in a folder, since safetensors has a temporary file of its own
                target /= path.name
            yield target
        else:
            with open(target, mode, encoding=None if "b" in mode else "utf-8") as handle:
                yield handle
        if not special:
            with open(target, "rb+") as handle:
                os.fsync(handle.fileno())
            os.replace(target, path)
            _sweep(path)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Errors of writing name the file: a full disk's do not, and safetensors has its own."""
    try:
        yield
    except SafetensorError as error:
        found = re.search(r"\(os error (\d+)\)", str(error))
        if not found:
            raise
        raise OSError(int(found[1]), os.strerror(int(found[1])), str(path)) from None
    except OSError as error:
        if error.filename is None and error.errno in FULL:
            error.filename = str(path)
        raise


@contextmanager
def _temporary(path: Path, folder: bool = False) -> Iterator[Path]:
    """A new file or folder beside ``path``, its writer's for as long as the block lasts.

    It is locked: a lock goes with its process, so what is not locked has been left behind.
    """
    while True:
        target = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        if folder:
            target.mkdir()
        try:
            handle = os.open(target, os.O_RDONLY if folder else os.O_RDWR | os.O_CREAT | os.O_EXCL,
                             0o666)
        except FileNotFoundError:
            if folder and target.parent.is_dir():  # swept up between the two
                continue
            raise
        except OSError:
            if folder:
                target.rmdir()
            raise
        with suppress(OSError):  # a disk without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        if target.exists():
            break
        os.close(handle)
    try:
        yield target
    finally:
        if folder:
            shutil.rmtree(target, ignore_errors=True)
        else:
            target.unlink(missing_ok=True)
        os.close(handle)


def _sweep(path: Path) -> None:
    """Removes temporary files of ``path`` that their writers have left behind."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        with suppress(OSError):  # another writer is at it or was faster, or it is not ours
            handle = os.open(left, os.O_RDONLY if left.is_dir() else os.O_RDWR)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left) if left.is_dir() else left.unlink()
            finally:
                os.close(handle)


@contextmanager
def atomic_folder(path: str | os.PathLike) -> Iterator[Path]:
    """Fills a folder under a temporary name beside it, and renames it once all is on disk.

    Whatever goes wrong within the ``with`` block, no temporary folder remains.

    Args:
        path: the final name, of nothing or of an empty folder.
    """
    path = Path(path).resolve()
    with naming(path), _temporary(path, folder=True) as target:
        yield target
        _to_disk(target)
        os.replace(target, path)
        _sweep(path)


@contextmanager
def scratch(path: str | os.PathLike) -> Iterator[Path]:
    """A temporary folder beside a file, for what that is put together from; gone with the block.

    What a writer that was killed has left goes with a later write of the same name.
    """
    path = Path(path).resolve()
    with naming(path), _temporary(path, folder=True) as folder:
        yield folder


@contextmanager
def staged(folder: str | os.PathLike, gone: Callable[[Path], bool] = lambda path: False
           ) -> Iterator[Path]:
    """A temporary folder whose files go into another, each in its place, once all are on disk.

    Whatever goes wrong within the ``with`` block, the other folder stays as it was.

    Args:
        folder: where they go; made if it is not there.
        gone: of each other file there, by its path in the folder, whether it is to go.
    """
    folder = Path(folder).resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with naming(folder), _temporary(folder, folder=True) as stage:
        yield stage
        _to_disk(stage)
        new = {path.relative_to(stage) for path in stage.rglob("*") if path.is_file()}
        for path in sorted(new):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            os.replace(stage / path, folder / path)
        for path in sorted(folder.rglob("*"), reverse=True):
            inside = path.relative_to(folder)
            if path.is_file() and inside not in new and gone(inside):
                path.unlink()
                if not any(path.parent.iterdir()):
                    path.parent.rmdir()
        _sweep(folder)


def _to_disk(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb+") as handle:
                os.fsync(handle.fileno())


@contextmanager
def exclusive(path: str | os.PathLike, wait: bool = True) -> Iterator[None]:
    """Lets one process at a time into this block; the lock goes with its process, however it ends.

    Raises:
        BlockingIOError: another process is in there, and we do not wait.
    """
    with open(path, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield


def checksum(about: dict, arrays: dict[str, np.ndarray]) -> str:
    """SHA-256 over a description that JSON can hold and over arrays, names and types included."""
    digest = hashlib.sha256(json.dumps(about).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array)
    return digest.hexdigest()


def sha256(path: str | os.PathLike) -> str:
    """SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


SUMS = "SHA256SUMS"  # the file of a folder's checksums, as ``sha256sum --check`` reads it


def sums(folder: str | os.PathLike) -> dict[str, str]:
    """The checksums that are noted in a folder, by the file's name; none where nothing is."""
    path = Path(folder, SUMS)
    lines = path.read_text("utf-8", "replace").splitlines() if path.exists() else []
    return {name: noted for noted, _, name in (line.partition("  ") for line in lines)}


def write_sums(folder: str | os.PathLike, names: Iterable[str], others: dict[str, str]) -> None:
    """Notes the checksums of files in a folder, and those of others that are to lie there."""
    found = others | {name: sha256(Path(folder, name)) for name in names}
    Path(folder, SUMS).write_text("".join(f"{found[name]}  {name}\n" for name in sorted(found)),
                                  encoding="utf-8")


def spoilt(folder: str | os.PathLike) -> list[str]:
    """The files of a folder that are not what is noted of them, or not there."""
    return [name for name, noted in sums(folder).items()
            if not Path(folder, name).is_file() or sha256(Path(folder, name)) != noted]
