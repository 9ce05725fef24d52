"""The site: the explorer, the notebooks as pages, an index. ``make page`` writes it to ``site/``.

    site/index.html            what there is
    site/explorer/             the explorer with the models of one scale, and all they answered
    site/notebooks/NAME.html   the committed notebooks with their outputs; pictures/ beside them

Models are gzipped, four fifths of their size. It is plain files: any web server will do, and
nothing is fetched from elsewhere. Notebooks are turned into pages by nbconvert, which JupyterLab
brings along: no further package is needed, and the pages show the very outputs that nbval compares.
(jupyter-book would run or restyle them with a tool chain of its own.)
"""

import argparse
import base64
import gzip
import json
import re
import shutil
import sys
from html import escape
from pathlib import Path

import nbformat
from jinja2 import DictLoader
from nbconvert import HTMLExporter
from pygments.formatters import HtmlFormatter

from helpers.engine.files import PROJECT, atomic
from helpers.show.explorer import EXPLORER, facts, models_folder
from helpers.show.formulas import markdown
from helpers.show.report import PICTURE

OWN, SLIDES = {"index.html", "explorer", "notebooks"}, "slides.html"  # what a site's folder holds

SHELL = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · Borrowed traces</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{root}explorer/site.css">
</head>
<body>
<header class="site">
<nav aria-label="Site">{links}</nav>
</header>
<main>
{body}
</main>
</body>
</html>
"""

NOTEBOOK = """\
{%- extends 'basic/index.html.j2' -%}
{% block in_prompt %}{% endblock %}
{% block output_area_prompt %}{% endblock %}
{% block data_html %}
<div class="output_html" tabindex="0" role="region" aria-label="Output">
{{ output.data['text/html'] }}</div>
{% endblock %}
{% block data_png %}
""" + PICTURE + """\
{% endblock %}
{% block data_widget_view %}
<p class="widget">Here JupyterLab shows something to step through; the
<a href="../explorer/index.html">explorer</a> does so on a page.</p>
{% endblock %}
"""


def build_page(target: str | Path, results: Path = PROJECT / "results",
               notebooks: Path = PROJECT / "notebooks") -> Path:
    """Writes the site into a folder, in place of the one that it wrote before.

    The slides of ``make slides``, which lie there too, stay.

    Args:
        target: the folder; it is made where there is none.
        results: with a folder for each scale.
        notebooks: executed ones, pages of which are made.

    Raises:
        FileExistsError: the folder holds something else than a site.
    """
    target = Path(target)
    if target.exists() and {path.name for path in target.iterdir()} - OWN - {SLIDES}:
        raise FileExistsError(f"{target}: holds something else than a site, takes an empty folder")
    for name in OWN - {"index.html"}:
        shutil.rmtree(target / name, ignore_errors=True)
    folder = models_folder(results)
    explorer = target / "explorer"
    shutil.copytree(EXPLORER, explorer)
    told = facts(folder)
    for one in told["models"] + told["responses"]:
        content = (folder / one["file"]).read_bytes()
        if not one["file"].endswith(".gz"):
            content, one["file"] = gzip.compress(content, mtime=0), f"{one['file']}.gz"
        copy = explorer / one["file"]
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(content)
    with atomic(explorer / "data.json", "w") as file:
        json.dump(told, file)
    with open(explorer / "site.css", "a", encoding="utf-8") as file:
        file.write(code_colours())
    exporter = page_exporter()
    pages = [write_notebook(path, target / "notebooks", exporter)
             for path in sorted(notebooks.glob("[0-9]*.ipynb"))]
    write_index(target, told, pages)
    return target


def write_index(target: Path, told: dict, pages: list[tuple[Path, str, str]]) -> None:
    entries = "".join(f'<li><a href="{path.relative_to(target).as_posix()}">{escape(title)}</a>'
                      f"<br>{aim}</li>\n" for path, title, aim in pages)
    asked = ", and let small models write" if told["models"] else ""
    caution = f'<p>{escape(told["caution"])}</p>' if told["caution"] else ""
    body = f"""\
<h1>Borrowed traces</h1>
<p><i>Does it matter which maze a reasoning trace belongs to?</i> An open, runnable study:
transformers are trained to write the trace of a search before a plan through a maze. Some learn
from the trace of the maze itself, some from that of another one, some from none.</p>
<p class="first"><a href="explorer/index.html">Open the explorer</a></p>
<p>Watch A* search a maze, draw your own{asked}. All of it runs in your browser.</p>
{caution}
<h2>The notebooks, in order</h2>
<ol class="notebooks">
{entries}</ol>
"""
    page = SHELL.format(title="Does it matter whose trace it is?", root="", body=body,
                        links='<a href="explorer/index.html">Explorer</a>')
    with atomic(target / "index.html", "w") as file:
        file.write(page)


def page_exporter() -> HTMLExporter:
    """Makes pages of notebooks; one for all, for reading its templates takes longer than a page."""
    exporter = HTMLExporter(extra_loaders=[DictLoader({"page.html.j2": NOTEBOOK})],
                            template_file="page.html.j2", exclude_anchor_links=True)
    exporter.register_filter("markdown2html", markdown)
    return exporter


def write_notebook(source: Path, folder: Path, exporter: HTMLExporter) -> tuple[Path, str, str]:
    """Writes a notebook as a page. Returns its path, its title and, as HTML, its aim."""
    notebook = nbformat.read(source, as_version=4)
    body, _ = exporter.from_notebook_node(notebook)
    body = re.sub(r'href="([^":]+)\.ipynb"', r'href="\1.html"', body)
    text = notebook.cells[0].source
    title = re.search(r"^# (.*)", text, re.MULTILINE)[1]
    aim = re.search(r"^\*\*Aim\.\*\* (.*)", text, re.MULTILINE)
    target = folder / f"{source.stem}.html"
    target.parent.mkdir(parents=True, exist_ok=True)
    body = with_files(body, folder / "pictures", source.stem)
    links = ('<a href="../index.html">Borrowed traces</a> '
             '<a href="../explorer/index.html">Explorer</a>')
    with atomic(target, "w") as file:
        file.write(SHELL.format(title=escape(title), root="../", links=links,
                                body=f'<article class="notebook">{body}</article>'))
    return target, title, markdown(aim[1]).strip().removeprefix("<p>").removesuffix(
        "</p>") if aim else ""


def with_files(body: str, folder: Path, name: str) -> str:
    """A page whose pictures are files of a folder beside it, a quarter smaller than in its text."""
    def file_of(picture: re.Match) -> str:
        numbers.append(len(numbers) + 1)
        file = folder / f"{name}_{numbers[-1]}.png"
        folder.mkdir(exist_ok=True)
        file.write_bytes(base64.b64decode(picture[1]))
        return f'src="{folder.name}/{file.name}"'

    numbers: list[int] = []
    return re.sub(r'src="data:image/png;base64,([^"]+)"', file_of, body)


def code_colours() -> str:
    """The colours of code, for light and for dark."""
    light, dark = (HtmlFormatter(style=style).get_style_defs(".highlight")
                   for style in ("default", "github-dark"))
    return f"\n{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="helpers.show.site",
                                     description="Write the site of the study.")
    parser.add_argument("target", nargs="?", default="site", help="a folder; site if not given")
    target = build_page(parser.parse_args(argv).target)
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    print(f"{target}/: {size / 1e6:.1f} MB. To see it: python -m http.server --bind 127.0.0.1 "
          f"--directory {target}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
