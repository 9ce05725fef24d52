"""The explorer's pictures in ``docs/images``, taken of the site as it stands: ``make pictures``.

Letters and edges depend on the machine's fonts and browser, so the files differ from one to another
although they show the same.
"""

import tempfile
from pathlib import Path

from chromium import launched, served
from playwright.sync_api import Page

from helpers.engine.files import PROJECT
from helpers.show.site import build_page

IMAGES = PROJECT / "docs" / "images"
PATIENCE = 600_000  # milliseconds: models answer meanwhile
DONE = "document.querySelectorAll('.card[data-status=done]').length === 3"


def search(page: Page) -> None:
    """The README's: in the middle of a search."""
    page.get_by_label("mazes by").select_option(label="Searchformer-style")
    page.locator(".stage [role=gridcell]").nth(5 * 8 + 1).click()
    page.get_by_role("slider").fill("27")
    page.screenshot(path=IMAGES / "explorer_search.png", full_page=True)


def models(page: Page) -> None:
    """The course's: three models and their verdicts."""
    _ask(page)
    page.screenshot(path=IMAGES / "explorer_models.png")


def phone(page: Page) -> None:
    """One of them on a phone, in the dark."""
    _ask(page)
    page.get_by_role("slider").fill("30")
    page.locator(".card").nth(1).screenshot(path=IMAGES / "explorer_phone.png")


def _ask(page: Page) -> None:
    page.get_by_role("tab", name="The models").click()
    page.wait_for_function(DONE)  # of the maze that is there at first


PICTURES = {search: {"viewport": {"width": 1280, "height": 900}},
            models: {"viewport": {"width": 1280, "height": 1000}},
            phone: {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 1.5,
                    "color_scheme": "dark"}}


def main() -> None:
    """Builds the site in a folder of its own and takes all pictures."""
    with tempfile.TemporaryDirectory() as folder, launched() as browser:
        build_page(Path(folder), PROJECT / "results")
        with served(Path(folder)) as address:
            for take, how in PICTURES.items():
                page = browser.new_page(reduced_motion="reduce", **how)
                page.set_default_timeout(PATIENCE)
                page.goto(f"{address}/explorer/index.html")
                page.wait_for_selector(".bt .board")
                take(page)
                page.close()


if __name__ == "__main__":
    main()
