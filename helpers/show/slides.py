"""Slides for a lecture, made from the executed notebooks: one page that needs nothing else.

`docs/lecture.yml` lists them: what a slide says itself, and what it shows from under which heading
of which notebook. ``make slides`` writes the page. What is not there, such as a heading that was
renamed, is an error in one line.
"""

import argparse
import base64
import re
import struct
import sys
from html import escape
from pathlib import Path
from typing import Annotated

import nbformat
from jinja2 import Environment
from markupsafe import Markup
from nbconvert.filters import markdown2html
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from helpers.engine.files import PROJECT, atomic
from helpers.study import yaml12

LECTURE = PROJECT / "docs" / "lecture.yml"
HEADING = re.compile(r"#+ (.+)")
KINDS = ("prose", "figure", "output")


class LectureError(ValueError):
    """A lecture that cannot be made, in one line."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Slide(_Part):
    """One slide. ``show`` names what stands under a heading, counted from 1: ``figure 2``."""

    title: str
    minutes: PositiveInt
    note: str  # for whoever speaks
    points: str = ""  # Markdown
    notebook: str = ""  # its name without .ipynb
    under: str = ""  # the heading's text
    show: Annotated[tuple[str, ...], Field(strict=False)] = ()


class Lecture(_Part):
    """All slides, in order, and how long they take together."""

    title: str
    minutes: PositiveInt
    slides: Annotated[tuple[Slide, ...], Field(strict=False, min_length=1)]


def load_lecture(path: Path = LECTURE) -> Lecture:
    """Reads the list of slides.

    Raises:
        LectureError: not YAML, a name that is unknown or missing, or minutes that do not add up.
    """
    try:
        lecture = Lecture.model_validate(yaml12.read(path.read_bytes()))
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise LectureError(f"{path.name}: {'; '.join(faults)}") from None
    except ValueError as error:
        raise LectureError(f"{path.name}: {error}") from None
    total = sum(slide.minutes for slide in lecture.slides)
    if total != lecture.minutes:
        raise LectureError(f"{path.name}: its slides take {total} minutes, not {lecture.minutes}")
    return lecture


def sections(notebook: nbformat.NotebookNode) -> dict[str, dict[str, list[str]]]:
    """Heading → prose, figures and other output under it, up to the next heading, as HTML."""
    found, here = {}, None
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for block in re.split(r"\n\s*\n", cell.source.strip()):
                if heading := HEADING.fullmatch(block):
                    here = found.setdefault(heading[1], {kind: [] for kind in KINDS})
                elif here:
                    here["prose"].append(markdown2html(block))
        elif here:
            for output in cell.get("outputs", []):
                kind, html = _shown(output)
                here[kind].append(html)
    return found


def _shown(output: nbformat.NotebookNode) -> tuple[str, str]:
    """What an output is, and as HTML."""
    data = output.get("data", {})
    if "image/png" in data:
        picture = data["image/png"].replace("\n", "")
        width, height = struct.unpack(">II", base64.b64decode(picture[:32])[16:])
        alt = output.metadata.get("image/png", {}).get("alt", "")
        return "figure", (f'<img src="data:image/png;base64,{picture}" alt="{escape(alt)}" '
                          f'width="{width}" height="{height}">')
    if "text/markdown" in data:
        return "output", markdown2html(data["text/markdown"])
    if "text/html" in data:
        table = re.sub(r"(?s)<style.*?</style>| border=\"1\"", "", data["text/html"])
        return "output", f'<div class="table" tabindex="0">{table}</div>'
    text = output.get("text", data.get("text/plain", ""))
    return "output", f'<pre tabindex="0">{escape(text.rstrip())}</pre>'


def chosen(slide: Slide, folder: Path) -> dict[str, list[str]]:
    """What a slide shows from its notebook: kind → HTML.

    Raises:
        LectureError: no such notebook, heading, or thing under it; or mathematics, which a page
            without scripts from elsewhere does not show.
    """
    found = {kind: [] for kind in KINDS}
    if not slide.show:
        return found
    fault = f"slide “{slide.title}”: {slide.notebook}"
    path = folder / f"{slide.notebook}.ipynb"
    if not path.is_file():
        raise LectureError(f"{fault}: no such notebook")
    section = sections(nbformat.read(path, as_version=4)).get(slide.under)
    if section is None:
        raise LectureError(f"{fault} has no heading “{slide.under}”")
    for name in slide.show:
        kind, _, number = name.partition(" ")
        there = section.get(kind, [])
        if not number.isdecimal() or not 1 <= int(number) <= len(there):
            counts = ", ".join(f"{len(section[kind])} {kind}" for kind in KINDS)
            raise LectureError(f"{fault}, “{slide.under}”: no {name}, there are {counts}")
        if kind == "prose" and "$" in there[int(number) - 1]:
            raise LectureError(f"{fault}, “{slide.under}”: {name} has mathematics")
        found[kind].append(there[int(number) - 1])
    return found


def page(lecture: Lecture, folder: Path = PROJECT / "notebooks") -> str:
    """The lecture as one HTML page.

    Args:
        folder: of the executed notebooks.
    """
    slides, begin = [], 0
    for slide in lecture.slides:
        parts = chosen(slide, folder)
        sizes = re.findall(r'width="(\d+)" height="(\d+)"', "".join(parts["figure"]))
        tall = len(sizes) == 1 and int(sizes[0][0]) < 1.6 * int(sizes[0][1])
        words = "".join([markdown2html(slide.points), *parts["prose"], *parts["output"]])
        number = slide.notebook.partition("_")[0].lstrip("0")
        titled = slide.under.startswith(f"{number} · ")  # the notebook's own title
        slides.append({
            "title": slide.title, "note": slide.note, "begin": begin, "minutes": slide.minutes,
            "words": Markup(words), "figures": Markup("".join(parts["figure"])),
            "layout": "beside" if tall and words else "below" if sizes else "text",
            "source": slide.show and (f"notebook {slide.under}" if titled else
                                      f"notebook {number} · section {slide.under}")})
        begin += slide.minutes
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(PAGE).render(title=lecture.title, slides=slides)


PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
:root { color-scheme: light dark; --ink: #1d2125; --paper: #fff; --faint: #5c6166;
  --line: #d5d9dd; --accent: #00609a; --code: #f2f4f6; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8eaed; --paper: #15181b; --faint: #a5acb3; --line: #3a4046;
    --accent: #6cbef0; --code: #22272c; } }
* { box-sizing: border-box; }
html { scroll-snap-type: y mandatory; background: var(--paper); color: var(--ink);
  font: clamp(16px, min(1.75vw, 3.1vh), 44px)/1.4 system-ui, sans-serif; }
body { margin: 0; }
section { min-height: 100vh; min-height: 100dvh; scroll-snap-align: start; position: relative;
  display: flex; flex-direction: column; padding: 1.6em 2.4em 1em; }
section:focus { outline: none; }
h1, h2 { margin: 0 0 .5em; line-height: 1.15; color: var(--accent); text-wrap: balance; }
h1 { font-size: 2.6em; }
h2 { font-size: 1.6em; }
main { flex: 1; display: flex; flex-direction: column; justify-content: center; gap: .8em;
  min-width: 0; }
.beside main { flex-direction: row; align-items: center; gap: 2em; justify-content: space-between; }
.beside .words { flex: 1 1 50%; }
.beside .figures { flex: 0 1 auto; max-width: 56%; }
.words, .figures { min-width: 0; }
.text .words { font-size: 1.2em; }
section:first-of-type h1, section:first-of-type footer { margin-top: auto; }
section:first-of-type main { flex: none; }
.words > :first-child { margin-top: 0; }
.words > :last-child { margin-bottom: 0; }
.figures { text-align: center; }
img { max-width: 100%; width: auto; height: auto; max-height: 72vh; background: #fff;
  border-radius: 6px; }
.below .words + .figures img { max-height: 58vh; }
@media (prefers-color-scheme: dark) { img { padding: 8px; } }
p, ul, ol { margin: 0 0 .6em; max-width: 62em; }
ul, ol { padding-left: 1.3em; }
li { margin: .25em 0; }
a { color: var(--accent); }
.anchor-link { display: none; }
code, pre { font-family: ui-monospace, "DejaVu Sans Mono", monospace; background: var(--code);
  border-radius: 4px; }
code { font-size: .86em; padding: .05em .25em; }
pre { font-size: .74em; line-height: 1.45; padding: .8em 1em; margin: .4em 0; overflow-x: auto;
  white-space: pre-wrap; }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-size: .8em; margin: .4em 0; }
th, td { text-align: left; padding: .3em .9em .3em 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
footer { display: flex; flex-wrap: wrap; gap: .2em 1.5em; color: var(--faint); font-size: .68em;
  padding-top: .8em; align-items: baseline; }
footer .number { margin-left: auto; }
summary { cursor: pointer; }
details p { position: absolute; left: 2.4rem; right: 2.4rem; bottom: 2.6rem; margin: 0;
  padding: .8em 1em; font-size: 1.3em; color: var(--ink); background: var(--code);
  border: 1px solid var(--line); border-radius: 6px; }
@media (max-width: 700px) {
  html { scroll-snap-type: none; }
  section { padding: 1.2em 1em .8em; }
  h1 { font-size: 2em; }
  h2 { font-size: 1.4em; }
  main, .beside main { flex-direction: column; align-items: stretch; gap: .8em;
    justify-content: start; }
  .beside .words { flex: none; }
  .beside .figures { max-width: none; }
  .below .figures { overflow-x: auto; }
  .below img { max-width: none; max-height: none; width: 640px; }
  details p { left: 1rem; right: 1rem; }
}
@media print {
  @page { size: 13.333in 7.5in; margin: 0; }
  :root { color-scheme: light; --ink: #000; --paper: #fff; --faint: #444; --line: #bbb;
    --accent: #00507f; --code: #f2f4f6; }
  html { font-size: 21px; }
  section { height: 7.5in; min-height: 0; break-after: page; break-inside: avoid;
    overflow: hidden; }
  section:last-of-type { break-after: auto; }
  img { max-height: 5.3in; padding: 0; }
  .below .words + .figures img { max-height: 4.3in; }
  details:not([open]) { display: none; }
}
</style>
</head>
<body>
{% for slide in slides %}
<section id="{{ loop.index }}" class="{{ slide.layout }}" tabindex="-1"
 aria-roledescription="slide" aria-label="{{ loop.index }} of {{ loop.length }}: {{ slide.title }}">
{% if loop.first %}
<h1>{{ slide.title }}</h1>
{% else %}
<h2>{{ slide.title }}</h2>
{% endif %}
<main>
{% if slide.words %}
<div class="words">{{ slide.words }}</div>
{% endif %}
{% if slide.figures %}
<div class="figures" tabindex="0">{{ slide.figures }}</div>
{% endif %}
</main>
<footer>
<details><summary>note</summary><p>{{ slide.note }}
 <i>(from minute {{ slide.begin }}, {{ slide.minutes }} min)</i></p></details>
{% if slide.source %}
<span>{{ slide.source }}</span>
{% endif %}
<span class="number">{{ loop.index }} / {{ loop.length }}</span>
</footer>
</section>
{% endfor %}
<script>
// arrows, space, Page Up and Down, Home, End: from slide to slide; n: notes
const slides = [...document.querySelectorAll("section")];
const tops = () => slides.map(slide => slide.getBoundingClientRect().top);
const here = () => Math.max(0, tops().filter(top => top <= innerHeight / 2).length - 1);
const go = number => {
  const slide = slides[Math.min(Math.max(number, 0), slides.length - 1)];
  location.replace("#" + slide.id);
  slide.focus({preventScroll: true});
};
addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === " " && event.target.closest("summary, a")) return;
  const key = event.key === " " ? (event.shiftKey ? "PageUp" : "PageDown") : event.key;
  const {top, bottom} = slides[here()].getBoundingClientRect();
  // a slide longer than the screen is read to its end first
  if (["ArrowDown", "PageDown"].includes(key) && bottom > innerHeight + 8) return;
  if (["ArrowUp", "PageUp"].includes(key) && top < -8) return;
  const target = {ArrowRight: here() + 1, ArrowDown: here() + 1, PageDown: here() + 1,
    ArrowLeft: here() - 1, ArrowUp: here() - 1, PageUp: here() - 1, Home: 0,
    End: slides.length - 1}[key];
  if (key === "n") document.querySelectorAll("details").forEach((note, i, all) => {
    note.open = i ? all[0].open : !note.open; });
  if (target === undefined) return;
  event.preventDefault();
  go(target);
});
</script>
</body>
</html>
"""


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="helpers.show.slides", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--notebooks", type=Path, default=PROJECT / "notebooks",
                        help="folder of executed notebooks (default: those of the project)")
    parser.add_argument("--output", type=Path, default=PROJECT / "site" / "slides.html")
    options = parser.parse_args(arguments)
    try:
        html = page(load_lecture(), options.notebooks)
    except LectureError as error:
        sys.exit(str(error))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    with atomic(options.output, "w") as file:
        file.write(html)
    print(options.output)


if __name__ == "__main__":
    main()
