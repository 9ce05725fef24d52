"""The explorer as a widget: what it is told, one module, what the kernel hands out."""

import base64
import gzip
import json
import re
import shutil

import nbformat
import pytest

from helpers.conditions import CONDITIONS
from helpers.engine.files import PROJECT
from helpers.maze import Maze, MazeError
from helpers.show import explorer, formulas, site
from helpers.show.explorer import Explorer, explore

MAZE = Maze.from_ascii("S..", "#.#", "..G")
SMOKE = PROJECT / "results" / "smoke"
needs_models = pytest.mark.skipif(not (SMOKE / "models").exists(), reason="no models published")


# ── one module ──────────────────────────────────────────────────────────────────────────


def test_all_files_are_in_the_module_each_behind_what_it_imports():
    text = explorer.module("view/widget.js")
    names = re.findall(r"^// ((?:engine|view)/\w+\.js)$", text, re.MULTILINE)
    files = {path.relative_to(explorer.EXPLORER).as_posix()
             for path in explorer.EXPLORER.glob("*/*.js")}
    assert set(names) == files
    assert len(names) == len(files)
    assert not re.search(r"^(import|export)\b", text, re.MULTILINE)
    for name in names:
        source = explorer.EXPLORER / name
        for other in explorer.IMPORT.findall(source.read_text(encoding="utf-8")):
            first = (source.parent / other).resolve().relative_to(explorer.EXPLORER).as_posix()
            if (first, name) != ("engine/maze.js", "engine/language.js"):
                assert names.index(first) < names.index(name), (first, name)


@pytest.mark.parametrize(("more", "complaint"), [
    ("const twice = 1;\n", "twice is declared in a.js and in b.js"),
    ("export default 3;\n", "export default"), ('import x from "y";\n', "import x")])
def test_files_that_cannot_be_joined(tmp_path, monkeypatch, more, complaint):
    (tmp_path / "a.js").write_text("export const twice = 2;\n")
    (tmp_path / "b.js").write_text('import { twice } from "./a.js";\n\n' + more)
    monkeypatch.setattr(explorer, "EXPLORER", tmp_path)
    with pytest.raises(explorer.ModuleError, match=complaint):
        explorer.module("b.js")


def test_nothing_comes_from_elsewhere():
    for path in explorer.EXPLORER.rglob("*"):
        if path.is_file():
            text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
            assert "//" not in re.sub(r"^\s*//.*|\s// .*|/\*.*?\*/", "", text, flags=re.M | re.S
                                      ).replace("https://arxiv.org", ""), path


# ── what it is told ─────────────────────────────────────────────────────────────────────


@needs_models
def test_facts_name_models_and_answers_that_are_there():
    told = explorer.facts(SMOKE)
    assert told["views"] == ["search", "models"]
    assert told["size"] == {"rows": 4, "cols": 6}
    assert told["shown"] == ["solution_only_1", "correct_1", "swapped_1"]
    assert next(model["label"] for model in told["models"]) == "solution_only, seed 1"
    for one in told["models"] + told["responses"]:
        assert (SMOKE / one["file"]).is_file()
    for name, condition in CONDITIONS.items():
        assert told["conditions"][name]["colour"] == condition.colour
    assert json.loads(json.dumps(told)) == told


@needs_models
def test_models_as_their_scale_says_come_first_and_are_shown():
    told = explorer.facts(PROJECT / "results" / "laptop")
    assert told["shown"] == ["solution_only_1", "correct_1", "swapped_1"]
    labels = {model["name"]: model["label"] for model in told["models"]}
    assert [name for name in labels if name.endswith("_1")][:3] == told["shown"]
    assert labels["solution_only+gap=random_1"] == "solution_only, gap=random, seed 1"


def test_without_models_there_is_the_search():
    assert explorer.facts(None)["views"] == ["search"]
    assert explorer.models_folder(PROJECT / "docs") is None


@needs_models
def test_models_of_another_size_are_left_out(tmp_path):
    folder = tmp_path / "smoke"
    shutil.copytree(SMOKE, folder)
    about = json.loads((folder / "run.json").read_text())
    about["scale"]["rows"] = 5
    (folder / "run.json").write_text(json.dumps(about))
    told = explorer.facts(folder)
    assert told["left_out"] == ["correct_1", "solution_only_1", "swapped_1"]
    assert not told["models"]


# ── in a notebook ───────────────────────────────────────────────────────────────────────


def test_a_maze_of_ones_own():
    shown = explore(MAZE)
    assert shown.data["maze"] == {"rows": 3, "cols": 3, "prompt":
                                  "query start 0 0 goal 2 2 wall 0 1 wall 2 1"}
    assert repr(shown) == "Explorer(search)"
    with pytest.raises(MazeError, match="view: got 'model'"):
        explore(view="model")
    with pytest.raises(MazeError, match="maze: got 3x61, takes at most 60"):
        explore(Maze.from_ascii("S" + "." * 60, "." * 61, "." * 60 + "G"))


@needs_models
def test_the_kernel_hands_out_files_of_the_explorer_alone(monkeypatch):
    shown, sent = Explorer(explorer.facts(SMOKE), SMOKE), []
    monkeypatch.setattr(shown, "send", lambda content, buffers=None: sent.append(
        (content, buffers)))
    shown._hand_out(shown, {"load": "models/correct_1.safetensors"}, [])
    assert sent[0] == ({"file": "models/correct_1.safetensors"},
                       [(SMOKE / "models" / "correct_1.safetensors").read_bytes()])
    for other in ("run.json", "../../README.md", None):
        shown._hand_out(shown, {"load": other}, [])
        assert "none of this explorer's files" in sent[-1][0]["error"]


# ── formulas ────────────────────────────────────────────────────────────────────────────


def test_formulas_are_drawn_or_written():
    drawn = formulas.markdown(r"a $\frac{1}{2}$ and $$x^2$$")
    assert drawn.count("<svg") == 2
    assert r'aria-label="\frac{1}{2}"' in drawn
    assert formulas.formula(r"\begin{cases}a\end{cases}").startswith("<code>")
    assert formulas.formula(r"\frac{1}{2}") == formulas.formula.__wrapped__(r"\frac{1}{2}")


@pytest.mark.parametrize("beside", [(), ("explorer",)])
def test_a_folder_of_something_else_is_left_alone(tmp_path, beside):
    for name in beside:
        (tmp_path / name).mkdir()
    (tmp_path / "letter").touch()
    with pytest.raises(FileExistsError, match="something else than a site"):
        site.build_page(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"letter", *beside}


def test_slides_and_site_share_a_folder(tmp_path):
    notebooks, made = tmp_path / "notebooks", tmp_path / "site"
    notebooks.mkdir()
    for name in ("06_evaluation", "09_plan_weight"):
        shutil.copy(PROJECT / "notebooks" / f"{name}.ipynb", notebooks)
    made.mkdir()
    (made / "slides.html").write_text("slides")
    for _ in range(2):  # into a folder with slides, and over a site
        site.build_page(made, notebooks=notebooks)
        assert {path.name for path in made.iterdir()} == {"slides.html", "index.html",
                                                          "explorer", "notebooks"}
        assert {path.name for path in (made / "notebooks").iterdir()} == {
            "06_evaluation.html", "09_plan_weight.html", "pictures"}
        (made / "notebooks" / "of_before.html").touch()
    assert (made / "slides.html").read_text() == "slides"


def test_what_a_site_holds_is_small_and_whole(tmp_path):
    """Models are gzipped, pictures are files; nothing is lost."""
    notebooks, results = tmp_path / "notebooks", tmp_path / "results"
    notebooks.mkdir()
    notebook = shutil.copy(PROJECT / "notebooks" / "09_plan_weight.ipynb", notebooks)
    shutil.copytree(SMOKE, results / "smoke")
    made = site.build_page(tmp_path / "site", results, notebooks)
    for one in json.loads((made / "explorer" / "data.json").read_text())["models"]:
        model = (made / "explorer" / one["file"]).read_bytes()
        plain = (SMOKE / "models" / f"{one['name']}.safetensors").read_bytes()
        assert gzip.decompress(model) == plain
        assert len(model) < 0.9 * len(plain)
    page = (made / "notebooks" / "09_plan_weight.html").read_text()
    drawn = [output.data["image/png"] for cell in nbformat.read(notebook, as_version=4).cells
             for output in cell.get("outputs", ()) if "image/png" in output.get("data", {})]
    found = re.findall(r'<img [^>]*src="([^"]+)"', page)
    assert [(made / "notebooks" / name).read_bytes() for name in found] == [
        base64.b64decode(picture) for picture in drawn]
    assert drawn
