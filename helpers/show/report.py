"""The report of a study: its executed analysis notebook as one page that needs nothing else.

The page says on top which study it is of, from when and from which commit. Code is folded, every
picture has its words, no path of this machine is in it, and nothing is fetched from anywhere.
"""

import sys
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.engine.files import PROJECT, atomic
from helpers.show.sentences import caution

if TYPE_CHECKING:  # Jupyter's packages take seconds: only where a page is written
    from nbformat import NotebookNode

# a figure with its words, in a template of nbconvert
PICTURE = """\
<img src="data:image/png;base64,{{ output.data['image/png'] | replace('\\n', '') }}"
 alt="{{ (output | get_metadata('alt', 'image/png') or 'a figure without description') | e }}">
"""

# nbconvert's page, without the scripts that it takes from elsewhere
TEMPLATE = """
{%- extends 'lab/index.html.j2' -%}
{% block html_head_js %}{% endblock %}
{% block jupyter_widgets %}{% endblock %}
{% block html_head_js_mathjax %}{% endblock %}
{% block html_head_js_mermaidjs %}{% endblock %}
{% block html_head_css %}
<style>
main { max-width: 75rem; margin: auto; }
main > header { padding: 1em; font-family: var(--jp-content-font-family); }
main > header dt { float: left; clear: left; width: 6em; }
main > header .caution { border: 3px solid #d55e00; padding: 0 1em; font-size: 1.2em; }
details.code { margin: 0.2em 1em; }
details.code > summary { color: #5c6166; cursor: pointer; font-size: 0.85em; }
</style>
{% endblock %}
{% block body_header %}{{ super() }}{{ resources.report_header }}{% endblock %}
{% block input_group %}
<details class="code"><summary>code</summary>{{ super() }}</details>
{% endblock %}
{% block data_png %}
<div class="jp-RenderedImage jp-OutputArea-output">
""" + PICTURE + """\
</div>
{% endblock %}
"""


def write_report(notebook: Path, target: Path, about: dict) -> None:
    """Turns an executed notebook into the page of a study.

    Args:
        notebook: the executed copy.
        target: the HTML file.
        about: what ``run.json`` says; of it scale, date, commit and dirty are shown.
    """
    import nbformat
    from jinja2 import DictLoader
    from nbconvert import HTMLExporter
    page = nbformat.read(notebook, as_version=4)
    _without_paths(page, Path(target).resolve().parent)
    page.metadata["title"] = f"Study {about['scale']['name']}"
    exporter = HTMLExporter(extra_loaders=[DictLoader({"report.html.j2": TEMPLATE})],
                            template_file="report.html.j2", exclude_input_prompt=True,
                            exclude_output_prompt=True)
    html, _ = exporter.from_notebook_node(page, {"report_header": header(about)})
    with atomic(target, "w") as file:
        file.write(html)


def header(about: dict) -> str:
    """The top of the page, as HTML."""
    from nbconvert.filters import markdown2html
    commit = about.get("commit") or "not recorded"
    rows = {"study": about["scale"]["name"], "date": about.get("date") or "not recorded",
            "commit": commit + (", with changes that are not committed" if about.get("dirty")
                                else "")}
    listing = "".join(f"<dt>{name}</dt><dd>{escape(str(text))}</dd>" for name, text in rows.items())
    warning = caution(about["scale"]["test_examples"])
    banner = f'<div class="caution" role="note">{markdown2html(warning)}</div>' if warning else ""
    return f"<header>{banner}<dl>{listing}</dl></header>"


def _without_paths(page: "NotebookNode", folder: Path) -> None:
    """Shortens this machine's paths in sources and texts, the longest first."""
    names = {str(folder): ".", str(folder.parent): "..", str(PROJECT): "borrowed-traces",
             sys.prefix: "python", str(Path.home()): "~"}
    names = sorted(((path, name) for path, name in names.items() if len(path) > 1),
                   key=lambda pair: -len(pair[0]))

    def shorten(text: str) -> str:
        for path, name in names:
            text = text.replace(path, name)
        return text

    for cell in page.cells:
        cell.source = shorten(cell.source)
        for output in cell.get("outputs", []):
            for place, kind in _texts(output):
                place[kind] = shorten(place[kind])


def _texts(output: "NotebookNode") -> Iterable[tuple[dict, str]]:
    """Where the texts of an output lie; images and other data are no texts."""
    if output.output_type == "stream":
        yield output, "text"
    for kind in output.get("data", {}):
        if kind.startswith("text/"):
            yield output.data, kind
