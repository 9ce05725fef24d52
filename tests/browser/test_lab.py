"""The explorer as a widget, in JupyterLab."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress

import pytest
from playwright.sync_api import TimeoutError

from helpers.engine.files import PROJECT
from helpers.show.explorer import write_notebook

PATIENCE = 180  # seconds for JupyterLab to start, and for its kernel


@pytest.fixture
def lab(tmp_path):
    """The address of a JupyterLab of its own, without a token, on this machine alone."""
    write_notebook(tmp_path / "work" / "explorer.ipynb")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    own = {name: str(tmp_path / name) for name in
           ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR",
            "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root",
               "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}",
               "--IdentityProvider.token=", "--ServerApp.password=",
               f"--ServerApp.root_dir={tmp_path / 'work'}"]
    with open(tmp_path / "log", "w") as log:
        server = subprocess.Popen(command, env=os.environ | own | {"PYTHONPATH": str(PROJECT)},
                                  stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                urllib.request.urlopen(f"{address}/api/status", timeout=5).close()
                break
            except OSError:
                assert server.poll() is None, (tmp_path / "log").read_text()
                assert time.monotonic() < until, (tmp_path / "log").read_text()
                time.sleep(0.5)
        yield address
    finally:
        server.terminate()
        server.wait(30)


def test_widget_in_a_notebook(lab, browser):
    page = browser.new_page(viewport={"width": 1280, "height": 1100})
    page.set_default_timeout(PATIENCE * 1000)
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{lab}/lab/tree/explorer.ipynb")
    page.wait_for_selector("[data-status=idle]", state="attached")  # the kernel is ready
    for _ in range(4):  # a key that is pressed while JupyterLab still starts is lost
        page.locator(".jp-CodeCell .cm-content").first.click()
        page.keyboard.press("Shift+Enter")
        with suppress(TimeoutError):
            page.wait_for_selector(".bt .stage .board, .jp-OutputArea-output", timeout=45_000)
            break
    page.wait_for_selector(".bt .stage .board, .jp-RenderedText")
    assert not page.locator(".jp-CodeCell .jp-RenderedText").all_inner_texts()
    page.wait_for_selector(".bt .stage .board")
    root = page.locator(".bt")
    slider = root.get_by_role("slider")
    root.get_by_role("button", name="To the start").click()
    page.wait_for_function("document.querySelector('.bt .moment').textContent.startsWith('Before')")
    page.keyboard.press("ArrowRight")  # JupyterLab does not take the key
    page.wait_for_function("document.querySelector('.bt .moment').textContent"
                           ".startsWith('Event 0')")
    assert slider.input_value() == "1"

    shades = []
    for light in ("true", "false"):
        page.evaluate("light => { document.body.dataset.jpThemeLight = light; }", light)
        page.wait_for_function("light => document.querySelector('.bt').dataset.theme === light",
                               arg="light" if light == "true" else "dark")
        shades.append(root.evaluate("node => getComputedStyle(node).backgroundColor"))
    assert shades[0] != shades[1]

    if root.get_by_role("tab").count():  # models come from the kernel
        root.get_by_role("tab", name="The models").click()
        page.wait_for_function("document.querySelectorAll('.bt .card[data-status=done]').length")
    assert not [error for error in errors if "bt" in error.lower() or "explorer" in error.lower()]
    page.close()
