"""Committed notebooks: executed in order, clean, short cells, more prose than code.

And as people use them: any cell run again, opened in any order, from any folder.

That their outputs are still what they were is checked by ``pytest --nbval``.
"""

import ast
import re
from itertools import count, pairwise
from pathlib import Path
from statistics import median

import nbformat
import pytest

from helpers.engine.files import PROJECT
from helpers.study import scale as scale_module
from helpers.study.products import StaleError
from helpers.study.runs import Run
from helpers.study.scale import load_scale

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.name)
def notebook(request):
    return nbformat.read(request.param, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def test_there_are_notebooks():
    assert NOTEBOOKS


def test_each_says_how_long_it_takes_and_what_stands_beside_it():
    """Minutes, what a reader needs, and links to the notebooks before and after."""
    for place, path in enumerate(NOTEBOOKS):
        first = nbformat.read(path, as_version=4).cells[0].source
        assert re.search(r"\*About \d+ minutes · you need .+\*\n", first), path
        links = re.findall(r"\]\((\w+\.ipynb)\)", first)
        assert links == [other.name for other in
                         NOTEBOOKS[max(place - 1, 0):place] + NOTEBOOKS[place + 1:place + 2]]


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


# ── as people use them ──────────────────────────────────────────────────────────────────


class Names(ast.NodeVisitor):
    """The names that a cell reads before it binds them itself, and those that it binds."""

    def __init__(self, source: str):
        self.read, self.bound = set(), set()
        self.visit(ast.parse(source))

    def visit_Name(self, node):
        if isinstance(node.ctx, ast.Store):
            self.bound.add(node.id)
        elif node.id not in self.bound:
            self.read.add(node.id)

    def visit_in_order(self, *parts):
        for part in parts:
            for node in part if isinstance(part, list) else [part]:
                self.visit(node)

    def visit_Assign(self, node):
        self.visit_in_order(node.value, node.targets)

    def visit_AugAssign(self, node):
        self.visit(ast.parse(ast.unparse(node.target)))  # read before it is bound
        self.visit_in_order(node.value, node.target)

    def visit_For(self, node):
        self.visit_in_order(node.iter, node.target, node.body, node.orelse)

    def visit_comprehension_alone(self, node):
        inner = Names("")
        inner.visit_in_order(node.generators)
        inner.generic_visit(node)
        self.read |= inner.read - inner.bound - self.bound

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = visit_comprehension_alone

    def visit_alias(self, node):
        self.bound.add(node.asname or node.name)


@pytest.mark.parametrize(("source", "read", "bound"), [
    ("a = b", {"b"}, {"a"}),
    ("a = f(a)", {"a", "f"}, {"a"}),
    ("a = 1\nb = a", set(), {"a", "b"}),
    ("a += 1", {"a"}, {"a"}),
    ("for x, y in z:\n    w = x", {"z"}, {"x", "y", "w"}),
    ("[x + a for x in z if x]", {"a", "z"}, set()),
    ("from m import n as a", set(), {"a"}),
])
def test_names_of_a_cell(source, read, bound):
    names = Names(source)
    assert (names.read, names.bound) == (read, bound)


def test_any_cell_can_be_run_again(notebook):
    """What a cell reads, neither it nor a later one binds anew."""
    cells = [(cell.source, Names(cell.source)) for cell in code_cells(notebook)]
    for i, (source, names) in enumerate(cells):
        for later, other in cells[i:]:
            assert not names.read & other.bound, f"{source}\n── is changed by ──\n{later}"


@pytest.fixture
def tiny(tmp_path, monkeypatch) -> Path:
    """A folder for runs, where the smoke scale is smaller still."""
    for path in scale_module.SCALES.glob("*.yml"):
        text = path.read_text()
        if path.stem == "smoke":
            for name, value in (("train", 800), ("test", 4), ("validation", 3), ("warmup", 10)):
                text = re.sub(f"{name}_(examples|steps): .*", rf"{name}_\1: {value}", text)
        (tmp_path / path.name).write_text(text)
    monkeypatch.setattr(scale_module.load_scale, "__defaults__", (tmp_path,))
    return tmp_path / "runs"


def run_cells(name: str, times: int, **given) -> dict:
    """Runs every code cell so many times, one after the other; returns the notebook's names.

    As a guess it takes the one that the text before it gives as an instance.
    """
    notebook = nbformat.read(PROJECT / "notebooks" / f"{name}.ipynb", as_version=4)
    names = {"display": lambda *things: None}  # as IPython has it
    for before, cell in pairwise([None, *notebook.cells]):
        if cell not in code_cells(notebook):
            continue
        source = cell.source
        if source == "guess = {}":
            source = "guess = " + re.search(r"for instance `(\{.+?\})`", before.source)[1]
        for _ in range(times):
            exec(compile(source, name, "exec"), names)
            if "parameters" in cell.metadata.get("tags", []):
                names |= given
    return names


def test_opened_first_they_say_what_to_run(tiny):
    """Corpora are made where they are missing; models take minutes, so that is asked for."""
    with pytest.raises(StaleError, match=r"model correct_1: is missing; run notebook 05_training "
                                         r"first, .* or `make study SCALE=smoke`"):
        run_cells("06_evaluation", 1, root=str(tiny))
    with pytest.raises(StaleError, match="run notebook 06_evaluation first"):
        run_cells("07_analysis", 1, root=str(tiny), scale="smoke")


@pytest.mark.usefixtures("one_thread")
def test_every_cell_twice(tiny):
    for name in ("04_corpus", "05_training", "06_evaluation"):
        names = run_cells(name, 2, root=str(tiny))
        assert names["scale"] == "smoke"
        assert names["run"].folder == tiny / "smoke"
    for name, folder in (("07_analysis", "laptop"), ("08_regime", "laptop/regime"),
                         ("09_plan_weight", "laptop/plan_weight"),
                         ("12_coupling", "laptop/coupling"), ("13_length", "laptop/length"),
                         ("17_grpo", "small/grpo"), ("18_subnetwork", "smoke/subnetwork"),
                         ("19_convergence", "smoke/convergence"), ("20_spectrum", "small/spectrum"),
                         ("21_searchformer", "small/searchformer"),
                         ("22_diffusion", "smoke/diffusion"), ("23_compute", "smoke/compute"),
                         ("24_continuous", "smoke/continuous")):
        assert run_cells(name, 2)["folder"] == PROJECT / "results" / folder
    for name in ("10_position", "14_given", "15_subtext", "16_latents"):
        assert run_cells(name, 1)["guess"]


def test_a_guess_is_drawn_into_a_figure(notebook):
    """Most notebooks that ask for a prediction take it; what it is stands before it."""
    guesses = [i for i, cell in enumerate(notebook.cells) if cell.source == "guess = {}"]
    asks = any("redict" in cell.source for cell in notebook.cells)
    number = int(re.match(r"# (\d+)", notebook.cells[0].source)[1])
    in_words = (2, 3, 11)  # these ask for what no figure of theirs has
    assert bool(guesses) == (asks and number not in in_words)
    for i in guesses:
        assert re.search(r"for instance `\{.+?\}`", notebook.cells[i - 1].source)
        assert any("with_guess(" in cell.source for cell in notebook.cells[i:])


def test_runs_lie_in_the_project_wherever_one_is(tmp_path, monkeypatch):
    """So papermill without --cwd writes nothing elsewhere, and finds what `make study` made."""
    monkeypatch.chdir(tmp_path)
    made = []
    monkeypatch.setattr(Path, "mkdir", lambda path, **_: made.append(path))
    for root in ("runs", "../elsewhere", tmp_path):
        Run(load_scale("laptop"), root)
    assert made == [PROJECT / "runs" / "laptop", PROJECT.parent / "elsewhere" / "laptop",
                    tmp_path / "laptop"]


def test_notebooks_look_where_studies_are(notebook):
    (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    values = {}
    exec(cell.source, values)
    assert values.get("root", "runs") in ("runs", "")
