"""Processes that leave nothing behind."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def guarded(command: list[str], **settings) -> Iterator[subprocess.Popen]:
    """A process that ends, with all it has started, when this block or this process ends.

    However that happens: a shell that leads their process group waits at the far end of a
    pipe that we hold, and kills the group once the pipe closes. It is there before the
    process is, so at no moment can one be left over; two never train in the same folder.
    """
    guard = subprocess.Popen(["sh", "-c", "read -r _; kill -9 0"], stdin=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, process_group=0)
    process = subprocess.Popen(command, process_group=guard.pid, **settings)
    try:
        yield process
    finally:
        guard.communicate()
        process.wait()
