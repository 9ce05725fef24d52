"""A browser for tests, on pages served from this project."""

import pytest
from chromium import launched, served

from helpers.engine.files import PROJECT


@pytest.fixture(scope="session")
def site():
    """The address of the project's folder."""
    with served(PROJECT) as address:
        yield address


@pytest.fixture(scope="session")
def browser():
    """Chromium for all tests."""
    with launched() as chromium:
        yield chromium


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
