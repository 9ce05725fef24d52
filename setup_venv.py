"""Sets up .venv beside this file and installs into it what pip is told to.

    python3 setup_venv.py --constraint constraints.txt --editable '.[test]'

Needs nothing but Python: Debian and Ubuntu keep ensurepip, and with it the usual way to
pip, in a package of its own; where it is missing, pip's wheel comes from the package index.
An environment that was completed is brought up to date, any other is made anew. Until that has
come to its end the old one is kept as ``.venv.before``, a copy made of hard links, and whatever
goes wrong puts it back, at the latest at the next start.
"""

import hashlib
import http.client
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path

FOLDER = Path(__file__).resolve().with_name(".venv").resolve()
BEFORE = FOLDER.with_name(".venv.before")
PYTHON, READY = FOLDER / "bin" / "python", FOLDER / ".ready"
PIP_WHEEL = "pip-26.3-py3-none-any.whl"
PIP_SHA256 = "f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13"


def works():
    """Whether an earlier set-up was completed and its Python and pip still run."""
    command = [PYTHON, "-m", "pip", "--version"]
    return READY.exists() and PYTHON.exists() and not subprocess.run(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode


def keep():
    """Copies the environment; pip replaces files and never changes them, so links will do."""
    def link(source, target):
        try:
            os.link(source, target)
        except OSError:  # a disk without hard links
            shutil.copy2(source, target)

    shutil.copytree(FOLDER, BEFORE, symlinks=True, copy_function=link,
                    ignore=shutil.ignore_patterns(READY.name))
    shutil.copy2(READY, BEFORE)  # the last: the copy is complete, and as old as the original


def restore():
    """Puts back the environment that an update has not brought to its end."""
    if (BEFORE / READY.name).exists() and not READY.exists():
        if FOLDER.exists():
            shutil.rmtree(FOLDER)
        BEFORE.rename(FOLDER)
    else:
        shutil.rmtree(BEFORE, ignore_errors=True)


def create():
    """Makes the environment, with pip in it."""
    try:
        import venv
    except ImportError:
        sys.exit("setup_venv: this Python lacks the module venv; try apt install python3-venv")
    try:
        import ensurepip  # noqa: F401
        has_pip = True
    except ImportError:
        has_pip = False
    venv.create(FOLDER, clear=True, symlinks=True, with_pip=has_pip)
    if not has_pip:
        with tempfile.TemporaryDirectory() as folder:
            wheel = Path(folder, PIP_WHEEL)
            wheel.write_bytes(fetch_pip())
            subprocess.run([PYTHON, wheel / "pip", "install", "--quiet", "--no-index", wheel],
                           check=True)


def fetch_pip():
    """The bytes of pip's wheel, from the package index that pip itself would ask."""
    index = urllib.parse.urlsplit(os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple"))
    page_url = index._replace(netloc=index.netloc.split("@")[-1], query="").geturl()
    page_url = page_url.rstrip("/") + "/pip/"
    logins = urllib.request.HTTPPasswordMgrWithPriorAuth()
    if index.username:
        logins.add_password(None, page_url, urllib.parse.unquote(index.username),
                            urllib.parse.unquote(index.password or ""), is_authenticated=True)
    try:
        secure = ssl.create_default_context(cafile=os.environ.get("PIP_CERT"))
        opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=secure),
                                             urllib.request.HTTPBasicAuthHandler(logins))
        with opener.open(page_url, timeout=60) as page:
            found = re.search(f'href="([^"]*{re.escape(PIP_WHEEL)})', page.read().decode())
            if not found:
                raise OSError(f"it does not list {PIP_WHEEL}")
            link = urllib.parse.urljoin(page.url, found[1].replace("&amp;", "&"))
        with opener.open(link, timeout=60) as file:
            content = file.read()
    except (OSError, ValueError, http.client.HTTPException) as error:
        sys.exit(f"setup_venv: cannot fetch pip from {page_url}: {error}; "
                 "check the network, PIP_INDEX_URL and PIP_CERT, or apt install python3-venv")
    if hashlib.sha256(content).hexdigest() != PIP_SHA256:
        sys.exit(f"setup_venv: {PIP_WHEEL} was changed on its way: its sha256 is not {PIP_SHA256}")
    return content


def install(arguments):
    """Runs pip install, its latest line on the screen; all of the last ones if it fails."""
    # of 18 000 modules few are ever imported, and those compile themselves: a minute spared
    command = [PYTHON, "-m", "pip", "install", "--no-compile", "--disable-pip-version-check",
               "--progress-bar", "off", *arguments]
    lines, began = [], time.monotonic()
    terminal = sys.stdout is not None and sys.stdout.isatty()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          universal_newlines=True) as pip:
        for line in pip.stdout:
            lines.append(line)
            if terminal:
                text = f"{time.monotonic() - began:4.0f} s  {line.strip()}"
                width = shutil.get_terminal_size().columns - 1
                print("\r\033[K" + text[:width], end="", flush=True)
    if terminal:
        print("\r\033[K", end="")
    if pip.returncode:
        sys.exit("".join(lines[-20:]) + "setup_venv: pip could not install the packages")
    print(f"Set up .venv in {time.monotonic() - began:.0f} s")


def main():
    if sys.version_info < (3, 11):  # noqa: UP036
        sys.exit("setup_venv: {} is Python {}.{}, takes 3.11 or later; try make PYTHON=python3.12"
                 .format(sys.executable, *sys.version_info))
    print("Setting up .venv (a few minutes the first time)", flush=True)
    try:
        restore()
        try:
            if works():
                keep()
            else:
                create()
            READY.unlink(missing_ok=True)  # from here to the end an interruption is noticed
            install(sys.argv[1:])
            READY.touch()
        finally:
            restore()
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"setup_venv: cannot make {FOLDER}: {error}")
    except KeyboardInterrupt:
        sys.exit("\nsetup_venv: interrupted; the next make starts anew")


if __name__ == "__main__":
    main()
