"""The explorer as a widget, in JupyterLab.

Nothing here waits for a time: each step waits for what the one before brings about, however slow
the machine is. `PATIENCE` ends what will never come.
"""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from helpers.engine.files import PROJECT
from helpers.show.explorer import write_notebook

PATIENCE = 300  # seconds for any one step
EXCUSED = "Server Connection Error"  # a dialog: the server took longer than JupyterLab waits
NEEDLESS = ("jupyter_lsp", "jupyter_server_terminals")  # of the server's extensions
CHATTY = ("@jupyterlab/apputils-extension:announcements", "@jupyterlab/extensionmanager-extension",
          "@jupyterlab/lsp-extension", "@jupyterlab/terminal-extension")  # of the page's


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
    settings = tmp_path / "JUPYTER_CONFIG_DIR" / "labconfig" / "page_config.json"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps({"disabledExtensions": dict.fromkeys(CHATTY, True)}))
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root",
               "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}",
               "--IdentityProvider.token=", "--ServerApp.password=", "--expose-app-in-browser",
               f"--ServerApp.jpserver_extensions={dict.fromkeys(NEEDLESS, False)}",
               f"--ServerApp.root_dir={tmp_path / 'work'}"]
    with open(tmp_path / "log", "w") as log:
        server = subprocess.Popen(command, env=os.environ | own | {"PYTHONPATH": str(PROJECT)},
                                  stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                urllib.request.urlopen(f"{address}/api/status", timeout=PATIENCE).close()
                break
            except OSError:
                assert server.poll() is None, (tmp_path / "log").read_text()
                assert time.monotonic() < until, (tmp_path / "log").read_text()
                time.sleep(0.5)
        yield address
    finally:
        server.terminate()
        server.wait(PATIENCE)


@pytest.fixture
def notebook(lab, browser):
    """The page of the notebook, once JupyterLab has started and its kernel is ready."""
    page = browser.new_page(viewport={"width": 1280, "height": 1100})
    page.set_default_timeout(PATIENCE * 1000)
    page.set_default_navigation_timeout(PATIENCE * 1000)
    seen = []
    page.add_locator_handler(page.locator("dialog.jp-Dialog"), lambda dialog: dismiss(dialog, seen))
    page.goto(f"{lab}/lab/tree/explorer.ipynb")
    page.wait_for_function("window.jupyterapp")
    page.evaluate("() => jupyterapp.restored")
    page.wait_for_function("jupyterapp.shell.currentWidget?.sessionContext")
    page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.ready")
    yield page
    page.close()
    assert not [text for text in seen if not text.startswith(EXCUSED)], seen


def dismiss(dialog, seen: list[str]) -> None:
    """Closes what covers the page, so that it is told in the end and not waited for in vain."""
    seen.append(dialog.inner_text())
    dialog.locator(".jp-Dialog-button").last.click()


def test_widget_in_a_notebook(notebook):
    page, errors = notebook, []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.locator(".jp-CodeCell .cm-content").first.click()
    page.keyboard.press("Shift+Enter")
    page.wait_for_function("document.querySelector('.jp-CodeCell .jp-InputPrompt').textContent"
                           " !== '[ ]:'")
    page.wait_for_selector(".bt .stage .board, .jp-OutputArea-output .jp-RenderedText")
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
