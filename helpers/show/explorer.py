"""The explorer in a notebook: the search in a maze, and what the published models write::

    explore(maze)             # how A* searches this maze
    explore(view="models")    # the models of results/, side by side

It is the very page that ``make page`` builds, as an anywidget: all runs in the browser, and the
kernel only hands out files of models and answers. A page without a kernel shows the search alone.
"""

import sys
from pathlib import Path

import anywidget
import nbformat
import traitlets
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from helpers.engine.files import atomic
from helpers.language import Vocabulary
from helpers.maze import Maze, check_choice
from helpers.share.page import EXPLORER, facts, models_folder, module

VIEWS = ("search", "models")


class Explorer(anywidget.AnyWidget):
    """The explorer as a widget.

    Attributes:
        data: what it is told (`helpers.share.page.facts`).
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
        MazeError: another view.
    """
    check_choice("view", view, VIEWS)
    folder = models_folder()
    told = facts(folder if maze is None else None)
    if maze is not None:
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
