"""Surroundings of their own for what runs headless: notebooks, the run graph, the checks.

    python -m helpers.study.surroundings COMMAND …

runs a command in them. A personal configuration of Jupyter, IPython, matplotlib, Snakemake or
pytest, another Python's packages or a foreign kernel change nothing there.
"""

import os
import sys
from pathlib import Path

from helpers.engine.caches import PLACE, cache_folder
from helpers.engine.files import PROJECT

# what a shell may have set for these programs is meant for other work of the user's
PERSONAL = ("PYTHON", "PYTEST_", "IPYTHON", "JUPYTER", "PAPERMILL_", "MPL", "MATPLOTLIB",
            "SNAKEMAKE_", "TQDM_", "XDG_", "LC_", "LANG", "BASH_ENV")

# glibc keeps what a training step frees for the next instead of asking the system for new pages,
# which is a fifteenth of a step (docs/performance.md)
MEMORY = {"MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TRIM_THRESHOLD_": "1073741824"}


def environment() -> dict[str, str]:
    """The environment variables for a headless process; its configuration lies in ``.cache``.

    Raises:
        OSError: no folder can be written.
    """
    place = cache_folder()
    own = place / "surroundings"
    own.mkdir(exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PERSONAL)}
    programs = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', os.defpath)}"
    return MEMORY | kept | {
        "PATH": programs, "PYTHONPATH": str(PROJECT), "PYTHONNOUSERSITE": "1", "PYTHONUTF8": "1",
        "LC_ALL": "C.UTF-8", PLACE: str(place),
        # kernels: those of this environment, before any other
        "JUPYTER_PREFER_ENV_PATH": "1",
        **{name: str(own / name.lower()) for name in (
            "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR", "MPLCONFIGDIR",
            "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")},
        "PYDEVD_DISABLE_FILE_VALIDATION": "1"}


def main() -> None:
    if not sys.argv[1:]:
        sys.exit("surroundings: got nothing, takes a command to run")
    try:
        settings = environment()
        os.execvpe(sys.argv[1], sys.argv[1:], settings)
    except OSError as error:
        sys.exit(f"surroundings: cannot run {sys.argv[1]} ({error.strerror or error})")


if __name__ == "__main__":
    main()
