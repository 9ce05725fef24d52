"""The pages of docs/ name what is there: figures, files, headings, commands."""

import re
from importlib import import_module
from pathlib import Path

import nbformat
import pytest

from helpers.engine.files import PROJECT

DOCS = PROJECT / "docs"
FIGURES = (DOCS / "figures.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (\d+) \| (\d+) \| [^|]+ \| `(\w+)\.(draw_\w+)` \| ([^|]+) \|$", FIGURES,
                  re.MULTILINE)
NOTEBOOKS = {int(path.name[:2]): nbformat.read(path, as_version=4)
             for path in (PROJECT / "notebooks").glob("*.ipynb")}
PAGES = [PROJECT / "CONTRIBUTING.md", *(DOCS / f"{name}.md" for name in ("course", "faq",
                                                                        "figures"))]


def drawn() -> set[tuple[int, int, str]]:
    """Notebook, section and drawing function of each figure."""
    found = set()
    for number, notebook in NOTEBOOKS.items():
        section = 0
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                section = int(([section, *re.findall(r"^## (\d+)", cell.source, re.M)])[-1])
            else:
                found |= {(number, section, name)
                          for name in re.findall(r"\b(draw_\w+)\(", cell.source)}
    return found


def test_each_figure_of_a_notebook_is_listed_and_no_other():
    listed = {(int(notebook), int(section), name) for notebook, section, _, name, _ in ROWS}
    assert listed == drawn()
    assert len(ROWS) == FIGURES.count("\n| ") - 2


def test_figures_are_drawn_by_what_is_named():
    for _, _, module, name, _ in ROWS:
        module = import_module(f"helpers.show.{module}")
        assert getattr(module, name).__module__ == module.__name__


def test_data_of_figures_exist():
    named = [name for *_, data in ROWS for name in re.findall(r"`([^`]+\.\w+)`", data)]
    assert len(named) > 10
    assert not [name for name in named if not (PROJECT / "results" / "smoke" / name).is_file()]


def test_a_figure_of_ones_own(tmp_path, monkeypatch):
    """What the page says at its end gives a picture, large enough to print."""
    monkeypatch.chdir(PROJECT)
    (code,) = re.findall(r"```python\n(.*?)```", FIGURES, re.DOTALL)
    exec(code.replace('"headline.png"', repr(str(tmp_path / "headline.png"))), {})
    header = (tmp_path / "headline.png").read_bytes()[:24]
    assert header.startswith(b"\x89PNG")
    assert int.from_bytes(header[16:20], "big") > 3000


def test_saved_figures_are_listed():
    saved = {str(path.relative_to(PROJECT / "results" / "smoke"))
             for path in (PROJECT / "results" / "smoke").rglob("*.svg")}
    assert saved == set(re.findall(r"`([\w/]+\.svg)` \|", FIGURES))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_what_a_page_names_is_there(path: Path):
    text = path.read_text(encoding="utf-8")
    for link, section in re.findall(r"\]\((?!http)([^)#]*)#?([^)]*)\)", text):
        target = path.parent / link if link else path
        assert target.exists(), link
        if section:
            titles = re.findall(r"^#+ (.+)", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert section in {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-")
                               for title in titles}, section
    makefile = (PROJECT / "Makefile").read_text()
    for target in re.findall(r"`make (\w+)", text):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for name in re.findall(r"`((?:helpers|tests|scales|docs|results/smoke)/[\w/.]+)`", text):
        assert (PROJECT / name).exists(), name


def test_sections_of_the_course_are_there():
    """``notebook 2, 3 and 4–5`` names sections by number."""
    course = (DOCS / "course.md").read_text(encoding="utf-8")
    cited = re.findall(r"\[notebook (\d+)\]\(\S+\), sections? ([\d, –and]+)", course)
    assert len(cited) > 8
    for notebook, sections in cited:
        there = {int(number) for cell in NOTEBOOKS[int(notebook)].cells
                 if cell.cell_type == "markdown"
                 for number in re.findall(r"^## (\d+)", cell.source, re.MULTILINE)}
        assert {int(number) for number in re.findall(r"\d+", sections)} <= there, notebook


def test_the_course_knows_what_the_notebooks_show():
    """Which of them show the laptop study, and which the smoke scale."""
    shown = {}
    for number, notebook in NOTEBOOKS.items():
        (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
        if scale := re.search(r'^scale = "(\w+)"', cell.source, re.MULTILINE):
            shown.setdefault(scale[1], set()).add(number)
    course = " ".join((DOCS / "course.md").read_text(encoding="utf-8").split())
    (laptop, smoke), = re.findall(r"notebooks ([\d, toand]+) show the laptop study; ([\d, toand]+) "
                                  "show the smoke scale", course)
    assert numbers(laptop) == shown["laptop"]
    assert numbers(smoke) == shown["smoke"]
    (small,) = re.findall(r"; ([\d, toand]+) shows? the scale `small`", course)
    assert numbers(small) == shown["small"]


def numbers(text: str) -> set[int]:
    """Of ``4 to 6, 8 and 9``."""
    spans = [list(map(int, re.findall(r"\d+", part))) for part in re.split(r", | and ", text)]
    return {number for span in spans for number in range(span[0], span[-1] + 1)}


def test_every_figure_of_a_result_can_be_read_up():
    """The FAQ says how to read each figure but a plain maze."""
    text = (DOCS / "faq.md").read_text(encoding="utf-8")
    reading = text.partition("## How do I read")[2].partition("\n## ")[0]
    told = set()
    for notebook, sections in re.findall(r"(?:notebook |[(;] ?)(\d+), ((?:section )?[\d, and]+)",
                                         reading):
        told |= {(int(notebook), int(section)) for section in re.findall(r"\d+", sections)}
    wanted = {(int(notebook), int(section)) for notebook, section, _, name, _ in ROWS
              if name not in ("draw_mazes", "draw_trace")}
    assert not wanted - told
    assert len(wanted) > 40


def test_no_module_is_long():
    """Whoever opens one should be able to read it at a sitting."""
    long = {path.name: lines for path in (PROJECT / "helpers").rglob("*.py")
            if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 350}
    assert not long
