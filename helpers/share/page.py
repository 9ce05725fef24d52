"""The site: the explorer, the notebooks as pages, an index. ``make page`` writes it to ``site/``.

    site/index.html            what there is
    site/explorer/             the explorer with the models of one scale, and all they answered
    site/notebooks/NAME.html   the committed notebooks with their outputs

It is plain files: any web server will do, and nothing is fetched from elsewhere. Notebooks are
turned into pages by nbconvert, which JupyterLab brings along: no further package is needed, and
the pages show the very outputs that nbval compares. (jupyter-book would run or restyle them with
a tool chain of its own.)

`facts` and `module` are what the explorer needs wherever it is shown; `helpers.show.explorer` puts
the same one into a notebook.
"""

import argparse
import json
import re
import shutil
import sys
from collections.abc import Iterator
from functools import cache
from html import escape
from io import StringIO
from pathlib import Path
from zlib import crc32

import nbformat
from jinja2 import DictLoader
from matplotlib import rc_context
from matplotlib.font_manager import FontProperties
from matplotlib.mathtext import MathTextParser, math_to_image
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from pygments.formatters import HtmlFormatter

from helpers.checkpoints import read_checkpoint
from helpers.conditions import CONDITIONS
from helpers.engine.files import PROJECT, atomic
from helpers.generators import GENERATORS

EXPLORER = PROJECT / "explorer"
SCALES = ("laptop", "smoke")  # whose models are shown: the first that there is
TOYS = ("The models here are toys of the smoke scale: they show that every step works, and nothing "
        "about the question.")
OWN, SLIDES = {"index.html", "explorer", "notebooks"}, "slides.html"  # what a site's folder holds
SIDE = 8  # of mazes in the search, where models know smaller ones

# ── what the explorer shows ─────────────────────────────────────────────────────────────


def models_folder(results: Path = PROJECT / "results") -> Path | None:
    """The results of the scale whose models are shown; None where no models are published."""
    return next((results / scale for scale in SCALES
                 if any((results / scale / "models").glob("*.safetensors"))), None)


def facts(folder: Path | None) -> dict:
    """All that the explorer is told, as JSON holds it. Files are named from ``folder`` on.

    Args:
        folder: results with ``models/`` and ``responses/``; None for the search alone.
    """
    conditions = {name: {"label": known.label, "colour": known.colour, "marker": known.marker,
                         "has_trace": known.has_trace} for name, known in CONDITIONS.items()}
    told = {"views": ["search"], "conditions": conditions, "models": [], "responses": [],
            "shown": [], "left_out": [], "size": None, "caution": "",
            "drawn": {"generator": "wilson", "rows": SIDE, "cols": SIDE, "seed": 42}}
    if folder is None:
        return told
    scale = json.loads((folder / "run.json").read_text(encoding="utf-8"))["scale"]
    rows, cols = scale["rows"], scale["cols"]
    order = list(CONDITIONS)
    for path in sorted((folder / "models").glob("*.safetensors"), key=lambda path: path.stem):
        about = read_checkpoint(path)[0]["follows_from"]
        if (about["corpus"]["rows"], about["corpus"]["cols"]) != (rows, cols):
            told["left_out"].append(path.stem)
        elif about["condition"] in conditions:
            told["models"].append({
                "name": path.stem, "condition": about["condition"], "seed": about["seed"],
                "label": label_of(path.stem, about), "file": f"models/{path.name}"})
    told["models"].sort(key=lambda model: (order.index(model["condition"]), model["seed"],
                                           model["name"]))
    for model in told["models"]:
        if model["condition"] not in {one["condition"] for one in told["models"]
                                      if one["name"] in told["shown"]}:
            told["shown"].append(model["name"])
        answers = (folder / "responses" / model["name"]).glob("*.jsonl.gz")
        names = sorted((path.name.removesuffix(".jsonl.gz") for path in answers),
                       key=[*GENERATORS].index)
        told["responses"] += [
            {"model": model["name"], "distribution": name, "label": GENERATORS[name].label,
             "file": f"responses/{model['name']}/{name}.jsonl.gz"} for name in names]
    return told | {"views": ["search", "models"], "size": {"rows": rows, "cols": cols},
                   "max_new_tokens": scale["decoding"]["max_new_tokens"],
                   "caution": TOYS if scale["name"] == "smoke" else "",
                   "drawn": {"generator": scale["trained_on"], "rows": max(rows, SIDE),
                             "cols": max(cols, SIDE), "seed": scale["data_seed"]}}


def label_of(name: str, about: dict) -> str:
    """A model's name for people; what is unusual about it follows in brackets."""
    usual = f"{about['condition']}_{about['seed']}"
    label = f"{CONDITIONS[about['condition']].label}, seed {about['seed']}"
    return label if name == usual else f"{label} ({name})"


# ── its JavaScript as one module ────────────────────────────────────────────────────────

IMPORT = re.compile(r'^import\s*\{[^}]*\}\s*from\s*"(\.{1,2}/[^"]+)";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const|let)\b)", re.MULTILINE)
DECLARED = re.compile(r"^(?:export )?(?:async )?(?:function\*?|class|const|let) ([\w$]+)",
                      re.MULTILINE)


class ModuleError(ValueError):
    """JavaScript files that cannot be joined; the message names the file and the cause."""


def module(entry: str = "view/mount.js") -> str:
    """The explorer's files as one ES module that exports nothing, what is imported first.

    Raises:
        ModuleError: two files declare the same name, or import or export in another way.
    """
    declared, parts = {}, []
    for path in in_order(EXPLORER / entry):
        source = path.read_text(encoding="utf-8")
        for name in DECLARED.findall(source):
            if name in declared:
                raise ModuleError(f"explorer: {name} is declared in {declared[name]} and in "
                                  f"{path.name}, takes names that differ")
            declared[name] = path.name
        joined = EXPORT.sub("", IMPORT.sub("", source))
        if other := re.search(r"^(?:import|export)\b.*", joined, re.MULTILINE):
            raise ModuleError(f"explorer: {path.name} has {other[0]!r}, takes import and export of "
                              "names alone")
        parts.append(f"// {path.relative_to(EXPLORER).as_posix()}\n\n{joined}")
    return "\n".join(parts)


def in_order(path: Path, seen: set[Path] | None = None) -> Iterator[Path]:
    """A file behind all that it imports, each once."""
    seen = set() if seen is None else seen
    path = path.resolve()
    if path in seen:
        return
    seen.add(path)
    for name in IMPORT.findall(path.read_text(encoding="utf-8")):
        yield from in_order(path.parent / name, seen)
    yield path


# ── the site ────────────────────────────────────────────────────────────────────────────

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
<img src="data:image/png;base64,{{ output.data['image/png'] | replace('\\n', '') }}"
 alt="{{ (output | get_metadata('alt', 'image/png') or 'a figure without description') | e }}">
{% endblock %}
{% block data_widget_view %}
<p class="widget">Here JupyterLab shows something to step through; the
<a href="../explorer/index.html">explorer</a> does so on a page.</p>
{% endblock %}
"""


def build_page(target: str | Path, results: Path = PROJECT / "results") -> Path:
    """Writes the site into a folder, in place of the one that it wrote before.

    The slides of ``make slides``, which lie there too, stay.

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
        copy = explorer / one["file"]
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / one["file"], copy)
    with atomic(explorer / "data.json", "w") as file:
        json.dump(told, file)
    with open(explorer / "site.css", "a", encoding="utf-8") as file:
        file.write(code_colours())
    pages = [write_notebook(path, target / "notebooks") for path in
             sorted((PROJECT / "notebooks").glob("[0-9]*.ipynb"))]
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


def write_notebook(source: Path, folder: Path) -> tuple[Path, str, str]:
    """Writes a notebook as a page. Returns its path, its title and, as HTML, its aim."""
    notebook = nbformat.read(source, as_version=4)
    exporter = HTMLExporter(extra_loaders=[DictLoader({"page.html.j2": NOTEBOOK})],
                            template_file="page.html.j2", exclude_anchor_links=True)
    exporter.register_filter("markdown2html", markdown)
    body, _ = exporter.from_notebook_node(notebook)
    body = re.sub(r'href="([^":]+)\.ipynb"', r'href="\1.html"', body)
    text = notebook.cells[0].source
    title = re.search(r"^# (.*)", text, re.MULTILINE)[1]
    aim = re.search(r"^\*\*Aim\.\*\* (.*)", text, re.MULTILINE)
    target = folder / f"{source.stem}.html"
    target.parent.mkdir(parents=True, exist_ok=True)
    links = ('<a href="../index.html">Borrowed traces</a> '
             '<a href="../explorer/index.html">Explorer</a>')
    with atomic(target, "w") as file:
        file.write(SHELL.format(title=escape(title), root="../", links=links,
                                body=f'<article class="notebook">{body}</article>'))
    return target, title, markdown(aim[1]).strip().removeprefix("<p>").removesuffix(
        "</p>") if aim else ""


def code_colours() -> str:
    """The colours of code, for light and for dark."""
    light, dark = (HtmlFormatter(style=style).get_style_defs(".highlight")
                   for style in ("default", "github-dark"))
    return f"\n{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n"


# ── formulas ────────────────────────────────────────────────────────────────────────────


class Renderer(IPythonRenderer):
    """Markdown whose formulas are small drawings: MathJax would come from elsewhere."""

    def inline_math(self, body: str) -> str:
        return formula(body)

    def block_math(self, body: str) -> str:
        return f'<p class="formula">{formula(body)}</p>\n'


def markdown(source: str) -> str:
    renderer = Renderer(escape=False, exclude_anchor_links=True)
    return MarkdownWithMath(renderer=renderer).render(source)


@cache
def formula(tex: str) -> str:
    """A formula as inline SVG with its TeX as words; the TeX alone where it cannot be drawn."""
    words = " ".join(tex.split())
    drawn = re.sub(r"\\[bp]mod\b", r"\\;\\mathrm{mod}\\;", words)
    drawn = re.sub(r"\\text\{([^}]*)\}", lambda m: rf"\mathrm{{{m[1]}}}".replace(" ", r"\ "), drawn)
    size = FontProperties(size=12)
    buffer = StringIO()
    try:
        depth = MathTextParser("path").parse(f"${drawn}$", 72, size).depth
        with rc_context({"mathtext.fontset": "cm", "svg.hashsalt": "formula"}):
            math_to_image(f"${drawn}$", buffer, size, dpi=72, format="svg", color="#010203")
    except ValueError:
        return f"<code>{escape(words)}</code>"
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg"):].replace("#010203", "currentColor")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="[^"]*patch[^"]*"', "", svg)
    name = f"formula{crc32(tex.encode()):x}"
    svg = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    return svg.replace("<svg", f'<svg class="formula" role="img" aria-label="{escape(words)}" '
                               f'style="vertical-align: {-depth:.1f}pt"', 1)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="helpers.share.page",
                                     description="Write the site of the study.")
    parser.add_argument("target", nargs="?", default="site", help="a folder; site if not given")
    target = build_page(parser.parse_args(argv).target)
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    print(f"{target}/: {size / 1e6:.1f} MB. To see it: python -m http.server --bind 127.0.0.1 "
          f"--directory {target}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
