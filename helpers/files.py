"""Files that appear whole or not at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def atomic(path: str | os.PathLike, mode: str | None = None) -> Iterator[IO | Path]:
    """Writes a file under a temporary name beside it, and renames it once it is on disk.

    Whatever goes wrong within the ``with`` block, no temporary file remains and what stood
    under the final name stands there still. A device or a pipe is written to as it is.

    Args:
        path: the final name; a symbolic link is followed.
        mode: ``"w"`` or ``"wb"`` to be given an open file; None to be given the temporary
            path, for libraries that open files themselves.
    """
    path = Path(path)
    special = path.exists() and not path.is_file()
    path = path if special else path.resolve()
    target = path if special else path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        if mode is None:
            yield target
        else:
            with open(target, mode, encoding=None if "b" in mode else "utf-8") as handle:
                yield handle
        if not special:
            with open(target, "rb+") as handle:
                os.fsync(handle.fileno())
            os.replace(target, path)
    finally:
        if not special:
            target.unlink(missing_ok=True)
