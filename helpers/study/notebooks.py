"""What a notebook can be given: the names in its cell tagged ``parameters``."""

import ast
import json
from collections.abc import Iterable
from pathlib import Path


def parameters(notebook: Path) -> set[str]:
    """The names that the parameters cell of a notebook gives values to."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    tagged = ("".join(cell["source"]) for cell in cells
              if "parameters" in cell["metadata"].get("tags", []))
    return {node.id for source in tagged for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def check_parameters(notebook: Path, names: Iterable[str]) -> None:
    """Raises ValueError for a name that a notebook does not have; papermill only warns of it."""
    known = parameters(notebook)
    for name in names:
        if name not in known:
            raise ValueError(f"parameter {name}: notebook {notebook.name} takes "
                             f"{', '.join(sorted(known))}")
