"""The slides of the lecture: each shows what it names, and the page needs nothing else."""

import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from test_report import PIXEL, Page

from helpers.engine.files import PROJECT
from helpers.show import slides

LECTURE = slides.load_lecture()
SLIDE = {"title": "One", "minutes": 1, "note": "Say it.", "notebook": "01_one", "under": "1 Why?"}


@pytest.fixture(scope="module")
def text() -> str:
    return slides.page(LECTURE)


@pytest.fixture(scope="module")
def page(text) -> Page:
    return Page(text)


@pytest.fixture
def folder(tmp_path):
    """A folder with one notebook, two headings in one cell of it."""
    picture = new_output("display_data", {"image/png": PIXEL, "text/plain": "<Figure>"},
                         metadata={"image/png": {"alt": "Rates of 2 < 3 \"models\"."}})
    table = "<style scoped>td {}</style><table border=\"1\"><tr><td>7</td></tr></table>"
    notebook = new_notebook(cells=[
        new_markdown_cell("# 1 · One\n\nAll of it.\n\n## 1 Why?\n\nBecause.\n\n$x^2$"),
        new_code_cell("draw()", outputs=[
            picture, new_output("stream", text="1 < 2\n"),
            new_output("display_data", {"text/html": table, "text/plain": "7"})]),
        new_markdown_cell("## 2 And?"), new_code_cell("1", outputs=[])])
    nbformat.write(notebook, tmp_path / "01_one.ipynb")
    return tmp_path


def lecture(folder, text: str):
    (folder / "lecture.yml").write_text(text, encoding="utf-8")
    return slides.load_lecture(folder / "lecture.yml")


# ── the lecture ─────────────────────────────────────────────────────────────────────────


def test_it_takes_45_minutes():
    assert LECTURE.minutes == sum(slide.minutes for slide in LECTURE.slides) == 45


@pytest.mark.parametrize("slide", LECTURE.slides, ids=lambda slide: slide.title)
def test_each_slide_has_content_and_a_note(slide):
    parts = slides.chosen(slide, PROJECT / "notebooks")
    assert slide.points or any(parts.values())
    assert len(slide.note) > 40
    assert all(re.search(r' alt="[^"]{30,}"', figure) for figure in parts["figure"])


def test_all_slides_are_on_the_page(page):
    assert len(page.of("section")) == len(LECTURE.slides)
    assert not [slide.title for slide in LECTURE.slides if slide.title not in page.text]
    assert f"{len(LECTURE.slides)} / {len(LECTURE.slides)}" in page.text
    shown = [name for slide in LECTURE.slides for name in slide.show if name.startswith("figure")]
    assert len(page.of("img")) == len(shown) > 5


def test_nothing_comes_from_elsewhere(page, text):
    for tag, attributes in page.tags:
        for name in ("src", "href", "data", "srcset", "poster"):
            assert not re.match(r"(?i)(https?:)?//", attributes.get(name) or ""), (tag, attributes)
    assert all(picture["src"].startswith("data:image/png;base64,") for picture in page.of("img"))
    assert not page.of("link")
    assert not re.search(r"(?i)@import|url\(|import\(|fetch\(|XMLHttp", text)


def test_no_path_of_this_machine_and_no_raw_mathematics(page, text):
    assert str(PROJECT) not in text
    assert "$" not in page.text


# ── what is chosen ──────────────────────────────────────────────────────────────────────


def test_what_stands_under_a_heading(folder):
    one = slides.Slide(**SLIDE, show=("figure 1", "output 2", "prose 1", "output 1"))
    parts = slides.chosen(one, folder)
    assert parts["prose"] == ["<p>Because.</p>\n"]
    assert parts["output"][0] == ('<div class="table" tabindex="0"><table><tr><td>7</td></tr>'
                                  "</table></div>")
    assert parts["output"][1] == '<pre tabindex="0">1 &lt; 2</pre>'
    (picture,) = Page(parts["figure"][0]).of("img")
    assert picture["alt"] == 'Rates of 2 < 3 "models".'
    assert (picture["width"], picture["height"]) == ("1", "1")


@pytest.mark.parametrize(("changed", "said"), [
    ({"notebook": "02_two"}, "02_two: no such notebook"),
    ({"under": "Why?"}, "01_one has no heading “Why?”"),
    ({"show": ("figure 2",)}, "no figure 2, there are 2 prose, 1 figure, 2 output"),
    ({"show": ("output 0",)}, "no output 0"),
    ({"show": ("figure",)}, "no figure,"),
    ({"show": ("table 1",)}, "no table 1"),
    ({"show": ("prose 2",)}, "prose 2 has mathematics"),
    ({"under": "2 And?"}, "there are 0 prose, 0 figure, 0 output")])
def test_what_is_not_there_is_an_error_of_one_line(folder, changed, said):
    slide = slides.Slide(**({**SLIDE, "show": ("figure 1",)} | changed))
    with pytest.raises(slides.LectureError) as caught:
        slides.chosen(slide, folder)
    assert said in str(caught.value)
    assert "slide “One”" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("text", "said"), [
    ("title: A\nminutes: 2\nslides:\n- {title: B, minutes: 1, note: C}", "take 1 minutes, not 2"),
    ("title: A\nminutes: 1\nslides:\n- {title: B, minuts: 1, note: C}", "slides.0.minuts"),
    ("title: A\nminutes: 1\nslides: []", "slides"),
    ("title: A\ntitle: B", "title")])
def test_a_list_that_cannot_be_used(folder, text, said):
    with pytest.raises(slides.LectureError, match=re.escape(said)) as caught:
        lecture(folder, text)
    assert str(caught.value).startswith("lecture.yml: ")
    assert "\n" not in str(caught.value)


def test_the_command_writes_the_page(tmp_path, capsys):
    slides.main(["--output", str(tmp_path / "site" / "slides.html")])
    assert (tmp_path / "site" / "slides.html").read_text(encoding="utf-8").startswith("<!doctype")
    with pytest.raises(SystemExit, match="no such notebook"):
        slides.main(["--notebooks", str(tmp_path), "--output", str(tmp_path / "other.html")])
    assert not (tmp_path / "other.html").exists()
