"""The explorer in a notebook: the search in a maze, and what the published models write::

    explore(maze)             # how A* searches this maze
    explore(view="models")    # the models of results/, side by side

It is the very page that ``make page`` builds (`helpers.show.site`), as an anywidget: all runs in
the browser, and the kernel only hands out files of models and answers. A page without a kernel
shows the search alone.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import anywidget
import nbformat
import traitlets
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from helpers.checkpoints import read_checkpoint
from helpers.conditions import CONDITIONS
from helpers.engine.files import PROJECT, atomic
from helpers.generators import GENERATORS
from helpers.language import Vocabulary
from helpers.maze import Maze, MazeError, check_choice
from helpers.show.words import model_label, model_place
from helpers.study.specs import ModelSpec

VIEWS = ("search", "models")
EXPLORER = PROJECT / "explorer"
SCALES = ("laptop", "smoke")  # whose models are shown: the first that there is
TOYS = ("The models here are toys of the smoke scale: they show that every step works, and nothing "
        "about the question.")
SIDE = 8  # of mazes in the search, where models know smaller ones
LARGEST = 60  # rows or columns of a grid that a page still shows without standing still

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
            "shown": [], "left_out": [], "size": None, "caution": "", "largest": LARGEST,
            "drawn": {"generator": "wilson", "rows": SIDE, "cols": SIDE, "seed": 42}}
    if folder is None:
        return told
    scale = json.loads((folder / "run.json").read_text(encoding="utf-8"))["scale"]
    rows, cols = scale["rows"], scale["cols"]
    for path in sorted((folder / "models").glob("*.safetensors"), key=lambda path: path.stem):
        about = read_checkpoint(path)[0]["follows_from"]
        if (about["corpus"]["rows"], about["corpus"]["cols"]) != (rows, cols):
            told["left_out"].append(path.stem)
        elif about["condition"] in conditions:
            told["models"].append({
                "name": path.stem, "condition": about["condition"], "seed": about["seed"],
                "label": model_label(ModelSpec.parse(path.stem)), "file": f"models/{path.name}"})
    told["models"].sort(key=lambda model: model_place(ModelSpec.parse(model["name"])))
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


# ── in a notebook ───────────────────────────────────────────────────────────────────────


class Explorer(anywidget.AnyWidget):
    """The explorer as a widget.

    Attributes:
        data: what it is told (`facts`).
    """

    _esm = module("view/widget.js") + "\nexport default { render: renderWidget };\n"
    _css = (EXPLORER / "style.css").read_text(encoding="utf-8")
    data = traitlets.Dict().tag(sync=True)

    def __init__(self, data: dict, folder=None):
        super().__init__(data=data)
        self._folder = folder
        self._files = {one["file"] for one in data["models"] + data["responses"]}
        self.on_msg(self._hand_out)

    def __repr__(self) -> str:
        return f"Explorer({' and '.join(self.data['views'])})"

    def _hand_out(self, _, content: dict, buffers: list) -> None:
        """Sends a file that the page asks for, or says why not."""
        file = content.get("load")
        try:
            if file not in self._files:
                raise FileNotFoundError(f"{file}: is none of this explorer's files")
            self.send({"file": file}, [(self._folder / file).read_bytes()])
        except OSError as error:
            self.send({"file": file, "error": str(error)})


def explore(maze: Maze | None = None, view: str = "search") -> Explorer:
    """The explorer, to be the last line of a cell.

    Args:
        maze: shown first; one that a generator draws if not given.
        view: ``search`` or ``models``, shown first. With a maze of one's own, or where no models
            are published, there is the search alone.

    Raises:
        MazeError: another view, or a maze of more than 60 rows or columns.
    """
    check_choice("view", view, VIEWS)
    folder = models_folder()
    told = facts(folder if maze is None else None)
    if maze is not None:
        if max(maze.rows, maze.cols) > LARGEST:
            raise MazeError(f"maze: got {maze.rows}x{maze.cols}, takes at most {LARGEST} rows and "
                            "columns")
        vocabulary = Vocabulary(maze.rows, maze.cols)
        told["maze"] = {"rows": maze.rows, "cols": maze.cols,
                        "prompt": vocabulary.decode(vocabulary.prompt_ids(maze))}
    if view in told["views"]:
        told["view"] = view
    return Explorer(told, folder)


def write_notebook(path: Path) -> None:
    """Writes a notebook that shows the explorer; ``make explore`` opens it."""
    cells = [new_markdown_cell("# Explorer\n\nRun the next cell (Shift + Enter)."),
             new_code_cell("from helpers.show.explorer import explore\n\nexplore()")]
    notebook = new_notebook(cells=cells, metadata={"kernelspec": {
        "name": "python3", "display_name": "Python 3", "language": "python"}})
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path, "w") as file:
        nbformat.write(notebook, file)


if __name__ == "__main__":
    write_notebook(Path(sys.argv[1]))
