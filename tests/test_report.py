"""The report is one page that stands for itself."""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from helpers.engine.files import PROJECT
from helpers.show.report import header, write_report

PIXEL = ("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5E"
         "rkJggg==")
ABOUT = {"scale": {"name": "laptop", "test_examples": 1000}, "date": "2026-11-25",
         "commit": "abc1234", "dirty": False}


class Page(HTMLParser):
    def __init__(self, text: str):
        super().__init__()
        self.tags = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data

    def of(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.tags if name == tag]


def executed(folder: Path) -> Path:
    """An executed notebook with this machine's paths in all kinds of places."""
    shown = new_output("display_data", {"image/png": PIXEL, "text/plain": "<Figure>"},
                       metadata={"image/png": {"alt": "Rates of 2 < 3 \"models\"."}})
    cells = [new_markdown_cell(f"# Analysis\n\nin {folder}, $x^2$"),
             new_code_cell(f'root = "{folder.parent}"', metadata={"tags": ["injected-parameters"]}),
             new_code_cell("draw()", outputs=[shown]),
             new_code_cell("print(1)", outputs=[
                 new_output("stream", text=f"{sys.prefix}/lib: {Path.home()}/x {PROJECT}/y"),
                 new_output("display_data", {"text/html": f"<p>{folder}</p>",
                                             "text/plain": str(folder)})])]
    notebook = new_notebook(cells=cells, metadata={"papermill": {"input_path": str(folder)}})
    path = folder / "07_analysis.ipynb"
    nbformat.write(notebook, path)
    return path


@pytest.fixture
def page(tmp_path) -> Page:
    write_report(executed(tmp_path), tmp_path / "report.html", ABOUT)
    return Page((tmp_path / "report.html").read_text(encoding="utf-8"))


def test_says_what_it_is_of(page):
    top = page.text[page.text.index("study"):][:200]
    assert re.search(r"laptop\s*date\s*2026-11-25\s*commit\s*abc1234\s", top)
    assert "not committed" not in top
    assert "shows that every step works" not in page.text


@pytest.mark.parametrize(("changed", "said"), [
    ({"dirty": True}, "abc1234, with changes that are not committed"),
    ({"commit": None, "date": None}, "not recorded"),
    ({"commit": "<b>"}, "&lt;b&gt;")])
def test_what_is_recorded(changed, said):
    assert said in header(ABOUT | changed)
    assert "not recorded" in header({"scale": ABOUT["scale"]})  # of a run made before


def test_a_small_run_says_so_first(tmp_path):
    small = ABOUT | {"scale": {"name": "smoke", "test_examples": 40}}
    write_report(executed(tmp_path), tmp_path / "report.html", small)
    text = Page((tmp_path / "report.html").read_text(encoding="utf-8")).text
    assert "nothing about the question" in text
    assert text.index("nothing about the question") < text.index("smoke", text.index("40"))
    assert text.index("nothing about the question") < text.index("Analysis")


def test_code_is_folded_and_there(page):
    folded = [tag for tag in page.of("details") if tag.get("class") == "code"]
    assert len(folded) == 3
    assert not [tag for tag in folded if "open" in tag]
    assert "draw()" in page.text


def test_pictures_have_words(page):
    (picture,) = page.of("img")
    assert picture["alt"] == 'Rates of 2 < 3 "models".'
    assert picture["src"] == f"data:image/png;base64,{PIXEL}"


def test_nothing_comes_from_elsewhere(page, tmp_path):
    for tag, attributes in page.tags:
        for name in ("src", "href", "data"):
            assert not re.match(r"(?i)(https?:)?//", attributes.get(name) or ""), (tag, attributes)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not page.of("script")
    assert not re.search(r"(?i)@import|url\(['\"]?(https?:)?//|import\(", text)


def test_no_path_of_this_machine(page, tmp_path):
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    for path in (tmp_path, tmp_path.parent, PROJECT, sys.prefix):
        assert str(path) not in text
    assert f"{Path.home()}/x" not in text
    assert PIXEL in text
