"""Where compiled code lies: in the project's own ``.cache``, in a folder named by a key.

Numba asks only whether a kernel's own file has changed: with `astar.search` changed, a kernel of
`language` that has taken it in would go on with the old one. So the key of Numba's folder is a
checksum of all files that kernels follow from. PyTorch's has the compiler in it, so that what one
compiler made, or failed to make, says nothing about another.

This module imports neither: `helpers` calls `settle` before anything else imports them.
"""

import fcntl
import hashlib
import importlib.metadata
import os
import re
import shutil
import struct
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from helpers.engine.files import PROJECT

PLACE = "BORROWED_TRACES_CACHE"  # the environment variable that names another place than .cache
KEPT = 3  # folders of a kind: of two branches, say, and of what was tried in between


def settle() -> None:
    """Tells Numba and PyTorch, by the environment, where their compiled code lies.

    A folder that the user has chosen for PyTorch is used as it is, one for Numba holds ours.
    Where nothing can be written both do as they would without us.
    """
    with suppress(OSError):
        name = _named("numba", sources_key())
        given = os.environ.get("NUMBA_CACHE_DIR")
        place = Path(given) if given and not _ours("numba", given) else cache_folder()
        os.environ["NUMBA_CACHE_DIR"] = str(_use(place / name))
        if "numba" in sys.modules:  # it has read its environment already
            sys.modules["numba"].config.CACHE_DIR = os.environ["NUMBA_CACHE_DIR"]
    with suppress(OSError):
        given = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
        if not given or _ours("torch", given):
            folder = cache_folder(plain=True) / _named("torch", compiler_key())
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(_use(folder))


def cache_folder(plain: bool = False) -> Path:
    """The project's ``.cache``; where that cannot be written the user's, else a temporary folder.

    Args:
        plain: only a path that a shell reads as one word: PyTorch pastes it unquoted into
            compilers' commands.

    Raises:
        OSError: none of them can be written.
    """
    places = [PROJECT / ".cache",
              Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"),
                   "borrowed-traces"),
              Path(tempfile.gettempdir(), f"borrowed-traces-{os.getuid()}")]
    if given := os.environ.get(PLACE):
        places.insert(0, Path(given))
    for place in places:
        if plain and not re.fullmatch(r"[\w./,:=@%+-]+", str(place)):
            continue
        with suppress(OSError):
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=place) as file:
                file.write(b"room")
                file.flush()
            # anybody may have made a folder of this name among temporary files
            if place != places[-1] or place.stat().st_uid == os.getuid():
                return place
    raise OSError("no folder for compiled code can be written")


def sources_key() -> str:
    """Checksum of Numba's version, of the files that import it and of what those import of ours."""
    files = {path: path.read_bytes() for path in (PROJECT / "helpers").rglob("*.py")}
    todo = [path for path, source in files.items()
            if re.search(rb"^\s*(from|import) numba\b", source, re.MULTILINE)]
    taken = set()
    while todo:
        path = todo.pop()
        taken.add(path)
        for name in re.findall(rb"^\s*(?:from|import) (helpers[.\w]+)", files[path], re.MULTILINE):
            imported = PROJECT.joinpath(*name.decode().split(".")).with_suffix(".py")
            if imported in files.keys() - taken:
                todo.append(imported)
    digest = hashlib.sha256(importlib.metadata.version("numba").encode())
    for path in sorted(taken):
        digest.update(f"\n{path.relative_to(PROJECT)}\n".encode() + files[path])
    return digest.hexdigest()


def compiler_key() -> str:
    """Checksum of the versions of PyTorch and Python and of which C++ compiler PATH names."""
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    state = os.stat(os.path.realpath(compiler)) if compiler else None
    about = [importlib.metadata.version("torch"), sys.version, compiler,
             state and (state.st_size, state.st_mtime_ns)]
    return hashlib.sha256(repr(about).encode()).hexdigest()


def torch_folder() -> Path | None:
    """PyTorch's folder where that is ours, to be emptied at will; None where the user chose it."""
    given = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    return Path(given) if given and _ours("torch", given) else None


def remove_broken_libraries(folder: Path) -> None:
    """Deletes the libraries that a killed compiler has left unfinished; they are then made anew."""
    for library in folder.rglob("*.so"):
        with suppress(OSError):
            if is_whole(library):
                continue
            lock = folder / "locks" / f"{library.name.split('.')[0]}.lock"  # PyTorch's own
            lock.parent.mkdir(exist_ok=True)
            with open(lock, "a") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while one is at work on it
                library.unlink()


def is_whole(library: Path) -> bool:
    """Whether a library is there to its end: a linker writes its table of sections last."""
    if sys.platform != "linux":
        return True
    with open(library, "rb") as file:
        header = file.read(64)
        if len(header) < 64 or header[:4] != b"\x7fELF":
            return False
        (table,), (size, count) = (struct.unpack_from("=Q", header, offset=40),
                                   struct.unpack_from("=HH", header, offset=58))
        return table + size * count <= os.fstat(file.fileno()).st_size


def _named(kind: str, key: str) -> str:
    return f"{kind}-{key[:16]}"


def _ours(kind: str, path: str) -> bool:
    """Whether a folder of the environment was put there by us, in a process before this one."""
    return bool(re.fullmatch(rf"{kind}-[0-9a-f]{{16}}", Path(path).name))


def _use(folder: Path) -> Path:
    """Makes the folder, or notes that it is in use; the oldest of its kind make room for a new."""
    if not folder.exists():
        folder.mkdir(parents=True, exist_ok=True)
        kind = folder.name.partition("-")[0]
        siblings = [path for path in folder.parent.iterdir() if _ours(kind, path)]
        siblings.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        for old in siblings[KEPT:]:
            shutil.rmtree(old, ignore_errors=True)
    os.utime(folder)
    return folder
