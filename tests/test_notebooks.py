"""Committed notebooks: executed in order, clean, short cells, more prose than code.

That their outputs are still what they were is checked by ``pytest --nbval``.
"""

from itertools import count
from pathlib import Path
from statistics import median

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.name)
def notebook(request):
    return nbformat.read(request.param, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def test_there_are_notebooks():
    assert NOTEBOOKS


def test_valid_with_unique_cell_ids(notebook):
    nbformat.validate(notebook)
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)


def test_executed_in_order_without_errors(notebook):
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == [n for n, _ in zip(count(1), cells)]
    kinds = {output.output_type for cell in cells for output in cell.outputs}
    assert "error" not in kinds
    streams = [output for cell in cells for output in cell.outputs
               if output.output_type == "stream"]
    assert not [output.text for output in streams if output.name == "stderr"]


def test_every_picture_has_its_words(notebook):
    pictures = [output for cell in code_cells(notebook) for output in cell.outputs
                if "image/png" in output.get("data", {})]
    assert all(len(output.metadata.get("image/png", {}).get("alt", "")) > 30
               for output in pictures)


def test_clean_metadata(notebook):
    assert notebook.metadata.kernelspec.name == "python3"
    assert not {"papermill", "widgets"} & set(notebook.metadata)
    for cell in notebook.cells:
        assert not {"papermill", "execution"} & set(cell.metadata)


def test_one_cell_takes_parameters(notebook):
    tagged = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1


def test_short_cells_and_more_prose_than_code(notebook):
    lengths = [len(cell.source.splitlines()) for cell in code_cells(notebook)]
    assert max(lengths) <= 30
    assert median(lengths) <= 6
    prose = [cell for cell in notebook.cells if cell.cell_type == "markdown"]
    assert len(prose) >= len(lengths)
    words = sum(len(cell.source.split()) for cell in prose)
    assert words > sum(len(cell.source.split()) for cell in code_cells(notebook))


def test_markers_stand_alone_on_their_line(notebook):
    for cell in code_cells(notebook):
        for line in cell.source.splitlines():
            if "NBVAL" in line:
                assert line.startswith("# NBVAL_")
                assert " " not in line.removeprefix("# ")
