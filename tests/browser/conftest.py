"""A browser for tests: headless Chromium through Playwright, on pages served from this project.

They ask for ``chromium`` of the system and for the package ``playwright`` (its Python part alone).
"""

import functools
import shutil
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import sync_playwright

from helpers.engine.files import PROJECT

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync"]
BLANK = b'<!doctype html><html lang="en"><link rel="icon" href="data:,"><title>Blank</title></html>'


class Files(SimpleHTTPRequestHandler):
    """The project's files, and an empty page at ``/blank``."""

    extensions_map = SimpleHTTPRequestHandler.extensions_map | {".js": "text/javascript"}

    def do_GET(self):
        if self.path != "/blank":
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(BLANK)))
        self.end_headers()
        self.wfile.write(BLANK)

    def end_headers(self):
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture(scope="session")
def site():
    """The address of the project's folder, without a slash at its end."""
    server = ThreadingHTTPServer(("127.0.0.1", 0),
                                 functools.partial(Files, directory=str(PROJECT)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def browser():
    """Chromium, without a window."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if not program:
        pytest.fail("chromium: got none, takes the system's (apt-get install chromium)")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, headless=True, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def page_at(browser, site):
    """A function that opens a page: a path of the site, or an address, and options of Playwright's
    ``new_page``. What a page throws and nobody catches fails the module's last test."""
    pages, errors = [], []

    def opened(path: str = "/blank", **options):
        page = browser.new_page(**options)
        page.on("pageerror", lambda error: errors.append(f"{path}: {error}"))
        page.goto(path if "://" in path else site + path)
        pages.append(page)
        return page

    yield opened
    for page in pages:
        page.close()
    assert not errors, errors
