"""The site in a browser: what one can do with the explorer, by mouse, by keyboard, on a phone.

The pages are those that `build_page` writes, with the smallest published models.
"""

import gzip
import json
import re
import shutil
from http.server import SimpleHTTPRequestHandler

import numpy as np
import pytest
from chromium import served
from playwright.sync_api import expect

from helpers.astar import solve
from helpers.engine.files import PROJECT
from helpers.maze import Maze, generate
from helpers.show import slides
from helpers.show.site import build_page

AXE = PROJECT / ".cache" / "browser" / "axe.min.js"
STORED = PROJECT / "results" / "smoke" / "responses"
PATIENCE = 60_000  # milliseconds, on a machine that is busy
DONE = "document.querySelectorAll('.card[data-status=done]').length === {}"
expect.set_options(timeout=PATIENCE)


class Quiet(SimpleHTTPRequestHandler):
    extensions_map = SimpleHTTPRequestHandler.extensions_map | {".js": "text/javascript"}

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The address of a site with the models of the smoke scale."""
    folder = tmp_path_factory.mktemp("page")
    shutil.copytree(PROJECT / "results" / "smoke", folder / "results" / "smoke")
    build_page(folder / "site", folder / "results")
    with served(folder / "site", Quiet) as address:
        yield address


@pytest.fixture(scope="module")
def shared(page_at):
    """The page of all tests that ask for nothing of their own, without motion."""
    return page_at(color_scheme="light", reduced_motion="reduce")


@pytest.fixture
def explorer(page_at, built, shared):
    """A function that opens the explorer anew, at a view; with options on a page of its own."""

    def opened(view="search", size=(1280, 900), **options):
        page = page_at(**options) if options else shared
        page.set_default_timeout(PATIENCE)
        page.set_viewport_size(dict(zip(("width", "height"), size, strict=True)))
        page.goto(f"{built}/explorer/index.html")
        page.wait_for_selector(".bt .board")
        if view == "models":
            page.get_by_role("tab", name="The models").click()
            page.wait_for_function(DONE.format(3))
        return page

    return opened


def board_of(page):
    return page.locator(".stage [role=grid]")


def cell(page, x, y):
    cols = int(board_of(page).get_attribute("aria-colcount"))
    return board_of(page).locator("[role=gridcell]").nth(y * cols + x)


def drag(page, start, end):
    """From the middle of one cell to that of another."""
    (x, y), there = ((box["x"] + box["width"] / 2, box["y"] + box["height"] / 2) for box in
                     (cell(page, *place).bounding_box() for place in (start, end)))
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(*there, steps=12)
    page.mouse.up()


def walls(page):
    return board_of(page).locator(".wall")


def moment(page):
    """What is said of the step that the search stands at."""
    return page.locator(".moment")


def draw_map(page, *rows):
    if not page.get_by_role("button", name="Take this line").is_visible():
        page.get_by_role("button", name="As text").click()
    page.locator(".paste textarea").fill("\n".join(rows))
    page.get_by_role("button", name="Take this line").click()


def words_of(card) -> list[str]:
    return [unit.strip() for unit in card.locator(".unit").all_text_contents()]


def wide(page) -> int:
    """How many pixels the page is wider than its window."""
    return page.evaluate("document.documentElement.scrollWidth - innerWidth")


# ── the search ──────────────────────────────────────────────────────────────────────────


def test_choosing_a_maze(explorer):
    page = explorer()
    page.get_by_label("mazes by").select_option(label="Free space")
    page.get_by_role("spinbutton", name="columns").fill("5")
    page.keyboard.press("Enter")
    page.wait_for_selector(".stage [aria-colcount='5']")
    expect(walls(page)).to_have_count(0)
    before = board_of(page).get_attribute("aria-label")
    page.get_by_role("button", name="Another maze").click()
    page.wait_for_function("before => document.querySelector('.stage .board').ariaLabel !== before",
                           arg=before)

    for given, kept, said in (("900", "60", "900 was taken as 60"), ("", "60", "no number"),
                              ("3.6", "4", "a whole number"), ("7", "7", "")):
        columns = page.get_by_role("spinbutton", name="columns")
        columns.fill(given)
        page.keyboard.press("Enter")
        page.wait_for_selector(f".stage [aria-colcount='{kept}']")
        expect(page.locator(".picker")).to_contain_text(said, use_inner_text=True)
        expect(columns).to_have_value(kept)
    expect(page.locator(".picker [role=alert]")).to_be_empty()


def test_the_maze_and_its_search_are_those_of_python(explorer):
    page = explorer()
    page.get_by_role("spinbutton", name="number").fill("3")
    page.keyboard.press("Enter")
    maze = generate("wilson", 8, 8, 4, split="test", seed=42, sampling="indexed").maze(3)
    trace, plan = solve(maze)
    # all Wilson mazes of a size have equally many walls: the trace tells that it is another
    page.get_by_text(str(trace[0]), exact=True).first.wait_for()
    expect(walls(page)).to_have_count(int((maze.grid == 0).sum()))
    expect(page.locator(".search .stream .line.event .unit")).to_have_text(
        [str(event) for event in trace])
    expect(page.locator(".search .stream .line.step .unit")).to_have_text(
        [f"plan {x} {y}" for x, y in plan])


def test_steps_slider_and_keys(explorer):
    page = explorer()
    slider = page.get_by_role("slider")
    slider.fill("0")
    expect(moment(page)).to_have_text(re.compile("^Before"))
    page.get_by_role("button", name="One event on").click()
    expect(moment(page)).to_have_text(re.compile("^Event 0"))
    expect(page.locator(".sentence")).to_have_text(re.compile("^Close"))
    page.keyboard.press("End")
    expect(page.locator(".sentence")).to_contain_text("over")
    expect(board_of(page).locator("path.plan")).to_have_count(1)
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(moment(page)).to_have_text(re.compile("^Event 1"))
    page.keyboard.press("ArrowLeft")
    expect(moment(page)).to_have_text(re.compile("^Event 0"))
    expect(moment(page)).to_contain_text("1 of")
    page.get_by_label("speed").select_option("fast")
    page.get_by_role("button", name="Play").click()
    expect(moment(page)).to_have_text(re.compile("^Event 3"))
    page.get_by_role("button", name="Pause").click()


def test_events_and_cells_are_linked_both_ways(explorer):
    page = explorer()
    line = page.locator(".search .line.event").nth(2)
    line.locator(".unit").hover()
    page.wait_for_selector(".stage [role=grid] .marked")
    x, y = map(int, line.locator(".unit").text_content().split()[1:3])
    expect(cell(page, x, y)).to_contain_class("marked")
    cell(page, x, y).click()
    page.wait_for_selector(".chosen button")
    numbers = [int(text.split()[0]) for text in page.locator(".chosen button").all_text_contents()]
    assert 2 in numbers
    linked = page.locator(".search .line.linked .number").all_text_contents()
    assert [int(number) for number in linked] == numbers
    page.locator(".chosen button").first.click()
    expect(moment(page)).to_have_text(re.compile(f"^Event {numbers[0]},"))


def test_the_open_list_is_a_table(explorer):
    page = explorer()
    draw_map(page, "S..", "#.#", "..G")
    page.get_by_role("slider").fill("2")
    row = page.locator(".open-list tbody tr")
    expect(row.locator("th, td")).to_have_text(["(1, 0) next", "1", "3", "4", "(0, 0)"])
    expect(page.locator(".open-list thead th")).to_have_text(["cell", "g", "h", "f", "from"])


def test_drawing_with_the_mouse(explorer):
    page = explorer(size=(1280, 1500))
    draw_map(page, "S....", ".....", ".....", "....G")
    page.wait_for_selector(".stage [aria-rowcount='4']")
    page.get_by_role("button", name="Draw your own").click()
    page.wait_for_selector(".drawing")
    drag(page, (1, 1), (3, 1))
    expect(walls(page)).to_have_count(3)
    drag(page, (4, 3), (2, 2))
    page.wait_for_function("document.querySelector('.stage .board').ariaLabel"
                           ".includes('goal (2, 2)')")
    cell(page, 0, 0).click()  # the start stays free
    expect(walls(page)).to_have_count(3)


def test_a_maze_of_ones_own_gets_another_size(explorer):
    """What was drawn stays, as far as there is room for it."""
    page = explorer()
    draw_map(page, "S.#.", "..#.", "#..G")
    for name, given, rows, cols, left in (("columns", "5", 3, 5, 3), ("rows", "6", 6, 5, 3),
                                          ("rows", "3", 3, 5, 3)):
        page.get_by_role("spinbutton", name=name).fill(given)
        page.keyboard.press("Enter")
        page.wait_for_selector(f".stage [aria-rowcount='{rows}'][aria-colcount='{cols}']")
        expect(walls(page)).to_have_count(left)
    page.get_by_role("spinbutton", name="columns").fill("3")
    page.keyboard.press("Enter")
    page.wait_for_selector(".picker [role=alert]:has-text('The goal (3, 2) would lie off')")
    page.wait_for_selector(".stage [aria-colcount='5']")
    page.get_by_role("button", name="Another maze").click()  # as large as the one before
    page.wait_for_selector(".stage [aria-rowcount='3'][aria-colcount='5']")
    expect(page.locator(".picker [role=alert]")).to_be_empty()


def test_a_line_that_is_no_maze(explorer):
    page = explorer()
    before = board_of(page).get_attribute("aria-label")
    for line, said in (("hello", "Row 1"), ('{"text": "query start 0"}', "start"),
                       ("{", "JSON"), ("S.#\n...\n...", "G"), ("", "nothing"),
                       ('{"text": ""}\n{"text": ""}', "2 lines"),
                       ("\n".join(["S" + "." * 61, "." * 62, "." * 61 + "G"]), "at most 60"),
                       ("query start 0 0 goal 2 2 wall 2 2", "wall"),
                       ("query start 0 0 goal 2 2 wall \u202e1 1", "got '\\u{202e}1 1'")):
        draw_map(page, *line.split("\n"))
        alert = page.locator(".picker [role=alert]")
        expect(alert, line).to_contain_text(said, ignore_case=True)
        assert alert.text_content().endswith(".")
        assert board_of(page).get_attribute("aria-label") == before
    draw_map(page, "\ufeffS..", "...", "..G")
    page.wait_for_selector(".stage [aria-rowcount='3']")
    expect(page.locator(".picker [role=alert]")).to_be_empty()
    expect(page.locator(".picker .note")).to_have_text("This is the maze of your line.")
    draw_map(page, "?")  # what is said of a line before is not said of this one
    page.wait_for_selector(".picker [role=alert]:has-text('Row 1')")
    expect(page.locator(".picker .note")).to_be_empty()
    draw_map(page, "query start 0 0 goal 4 1 wall 2 2 solution plan 0 0 end")
    page.wait_for_selector(".picker .note:has-text('3 rows and 5 columns')")
    expect(page.locator(".picker .note")).to_contain_text("answer")


def test_a_line_with_something_else_behind_its_walls(explorer):
    page = explorer()
    draw_map(page, "query start 0 0 goal 4 1 wall 2 2 1 1")
    expect(page.locator(".picker .note")).to_contain_text("walls, '1 1', is no answer and is left")


def test_a_maze_whose_start_is_its_goal(explorer):
    """Some of the published mazes are such (notebook 1): solved before the search begins."""
    page = explorer()
    draw_map(page, "query start 1 0 goal 1 0 wall 0 1")
    page.wait_for_selector(".stage [role=grid][aria-label*='start (1, 0), goal (1, 0)']")
    expect(page.locator(".picker [role=alert]")).to_be_empty()
    expect(board_of(page).locator(".end")).to_have_text(["SG"])
    trace, plan = solve(Maze(np.array([[1, 1, 1], [0, 1, 1], [1, 1, 1]], np.uint8), (1, 0), (1, 0)))
    expect(page.locator(".search .line.event .unit")).to_have_text([str(event) for event in trace])
    expect(page.locator(".search .line.step .unit")).to_have_text(
        [f"plan {x} {y}" for x, y in plan])


def test_an_unsolvable_maze(explorer):
    page = explorer()
    draw_map(page, "S#.", ".#.", ".#G")
    page.wait_for_selector(".picker .note:has-text('No way')")
    page.get_by_role("button", name="To the end").click()
    expect(board_of(page).locator("path.plan")).to_have_count(0)
    expect(page.locator(".search .line.step")).to_have_count(0)


def test_the_maze_as_a_line_gives_itself_back(explorer):
    page = explorer()
    page.get_by_role("button", name="As text").click()
    line = page.locator(".paste textarea").input_value()
    assert json.loads(line)["text"].startswith("query start")
    before = board_of(page).get_attribute("aria-label").split(",")[0]
    count = walls(page).count()
    page.get_by_role("button", name="Take this line").click()
    page.wait_for_selector(".note:has-text('your line')")
    assert board_of(page).get_attribute("aria-label").split(",")[0] == before
    expect(walls(page)).to_have_count(count)


# ── the models ──────────────────────────────────────────────────────────────────────────


def test_three_models_side_by_side(explorer):
    page = explorer("models")
    cards = page.locator(".card")
    names = [cards.nth(n).get_attribute("aria-label") for n in range(3)]
    assert names == ["solution_only, seed 1", "correct, seed 1", "swapped, seed 1"]
    tops = {round(cards.nth(n).locator(".board").first.bounding_box()["y"]) for n in range(3)}
    assert len(tops) == 1
    assert cards.nth(0).locator(".line.event").count() == 0
    assert cards.nth(1).locator(".line.event .sign").count() > 1
    for n in range(3):
        assert cards.nth(n).locator(".verdict").inner_text().count("Plan") == 1
        assert "authors" in cards.nth(n).locator(".verdict").inner_text()
    unit = cards.nth(1).locator(".unit").nth(3)
    unit.focus()
    expect(unit).to_have_attribute("aria-label", re.compile("%"))
    bars = cards.nth(1).locator(".bars li")
    assert bars.count() == 5
    assert cards.nth(1).locator(".bars .written").count() == 1
    page.get_by_role("button", name="Remove this model").first.click()
    expect(cards).to_have_count(2)
    page.get_by_role("button", name="Add a model").click()
    page.wait_for_function(DONE.format(3))


def test_models_of_one_condition_are_told_apart(explorer, built):
    """Seeds and gaps stand in names, for ears too, and a narrow card does not cut them off."""
    page = explorer(color_scheme="light")
    data = page.request.get(f"{built}/explorer/data.json").json()
    first = data["models"][-1]
    others = [first | {"name": "swapped_2", "seed": 2, "label": "swapped, seed 2"},
              first | {"name": "swapped+gap=random_1", "label": "swapped, gap=random, seed 1"}]
    data["models"] += others
    data["shown"] = [first["name"], *(one["name"] for one in others)]
    page.route("**/data.json", lambda route: route.fulfill(json=data))
    page.reload()
    page.get_by_role("tab", name="The models").click()
    page.wait_for_function(DONE.format(3))
    labels = [one["label"] for one in [first, *others]]
    cards = page.locator(".card").all()
    assert [card.get_attribute("aria-label") for card in cards] == labels
    for card, label in zip(cards, labels, strict=True):
        assert card.get_by_role("list", name=f"Words of {label}", exact=True).count() == 1
        assert label in card.get_by_role("grid").get_attribute("aria-label")
    assert [card.locator(".marker.hollow").count() for card in cards] == [0, 1, 0]
    assert cards[2].locator(".state").inner_text().startswith("gap=random, seed 1, ")


def test_boards_step_together(explorer):
    page = explorer("models")
    page.get_by_role("slider").fill("2")
    page.wait_for_function("[...document.querySelectorAll('.card .line.now .number')]"
                           ".every((number) => number.textContent === '1')")
    assert page.locator(".card .line.now").count() == 2
    assert page.locator(".card path.plan").count() == 1  # solution_only has no trace


def test_stored_answers_are_what_the_model_writes(explorer):
    """The first stored answer, read again, and what the model writes of itself on that maze."""
    page = explorer("models")
    for place, model in enumerate(("solution_only_1", "correct_1", "swapped_1")):
        lines = gzip.decompress((STORED / model / "wilson.jsonl.gz").read_bytes()).splitlines()
        card = page.locator(".card").nth(place)
        card.get_by_text("Answers of the study").click()
        card.get_by_label("mazes by").select_option(label="Wilson")
        card.get_by_role("button", name="The next one").click()
        card.locator(".state:has-text('stored answer 1 of 40')").wait_for()
        page.wait_for_function(DONE.format(3))
        expect(card.locator(".unit")).to_have_text(json.loads(lines[1])["response"].split())
    card.get_by_text("Ask otherwise").click()
    card.get_by_label("temperature").fill("0.5")
    page.keyboard.press("Enter")
    page.wait_for_function(DONE.format(3))
    card.get_by_role("button", name="Draw again").click()
    page.wait_for_function(DONE.format(3))


def test_a_failure_and_a_senseless_trace(explorer):
    page = explorer("models")
    card = page.locator(".card").nth(2)
    card.get_by_text("Answers of the study").click()
    waiting = []
    page.route("**/swapped_1/*.jsonl.gz", lambda route: waiting.append(route))
    card.get_by_role("button", name="A failure").click()
    card.locator(".state:has-text('looking through')").wait_for()
    waiting.pop().continue_()
    page.unroute("**/swapped_1/*.jsonl.gz")
    page.wait_for_selector(".state:has-text('stored answer')")
    page.wait_for_function(DONE.format(3))
    assert card.locator(".verdict .bad:has-text('Plan')").count() == 1
    card.get_by_role("button", name="senseless").click()
    page.wait_for_function("document.querySelectorAll('.card')[2]"
                           ".querySelector('.verdict .good')?.textContent.includes('Plan')")
    assert card.locator(".verdict .bad:has-text('Trace')").count() == 1


def test_another_trace(explorer):
    page = explorer("models")
    card = page.locator(".card").nth(1)
    card.get_by_text("Change the trace").click()
    text = card.locator("textarea")
    assert text.input_value().startswith(("close", "create"))

    card.get_by_role("button", name="A*'s own").click()
    own = text.input_value().split()
    card.get_by_role("button", name="Let it write the plan").click()
    page.wait_for_selector(".card .verdict .good:has-text('the very events of A*')")
    page.wait_for_function(DONE.format(3))
    assert words_of(card)[:len(own) + 2] == ["reasoning", *own, "solution"]
    assert card.locator(".unit.given").count() == len(own) + 2

    card.get_by_role("button", name="Another maze's").click()
    assert card.locator(".lender .board").is_visible()
    lent = text.input_value().split()
    assert lent != own
    card.get_by_role("button", name="Another maze's").click()
    assert text.input_value().split() == lent  # it follows from the maze
    card.get_by_role("button", name="Filler").click()
    assert set(text.input_value().split()) == {"<unk>"}

    page.get_by_role("slider").fill("2")
    cut = card.get_by_role("button", name="Cut after 2 events")
    cut.click()
    assert text.input_value().split() == own[:10]
    card.get_by_role("button", name="go on with the trace").click()
    page.wait_for_selector(".card .state:has-text('10 of them given')")
    page.wait_for_function(DONE.format(3))
    assert words_of(card)[1:11] == own[:10]

    answer = words_of(card)
    for trace, said in (("close 0 0 banana", "'banana'"), ("close 0 0 c0 c4 end", "“end”"),
                        ("<unk> " * 400, "too long: it has 401 words")):
        text.fill(trace)
        card.get_by_role("button", name="Let it write the plan").click()
        page.wait_for_selector(f'.card [role=alert]:has-text("{said}")')
        card.locator(".board [role=gridcell]").first.hover()  # what is said stays
        page.wait_for_selector(".card .board .marked")
        page.wait_for_function(DONE.format(3))
        expect(card.locator("[role=alert]")).to_contain_text(said)
        assert words_of(card) == answer
        assert text.input_value().split() == trace.split()
        page.mouse.move(0, 0)
    text.fill("")
    card.get_by_role("button", name="go on with the trace").click()
    page.wait_for_function(DONE.format(3))
    expect(card.locator(".state")).not_to_contain_text("given")
    text.fill("close 0 0 c0 c4 solution")
    card.get_by_role("button", name="Let it write the plan").click()
    page.wait_for_selector(".card .state:has-text('6 of them given')")
    assert words_of(card)[:8].count("solution") == 1
    page.wait_for_function(DONE.format(3))
    card.get_by_role("button", name="Another maze's").click()
    card.get_by_role("button", name="Let it write the plan").click()
    page.wait_for_selector(f".card .state:has-text('{len(lent) + 1} of them given')")
    page.wait_for_function(DONE.format(3))
    assert text.input_value().split() == lent
    assert card.locator(".lender .board").is_visible()  # as long as its trace stands there


def test_walls_show_under_a_trace_that_runs_through_them(explorer):
    """A closed wall looks like neither a closed cell nor a wall that no event names."""
    page = explorer("models")
    draw_map(page, "S.#...", "......", "......", ".....G")
    page.wait_for_function(DONE.format(3))
    card = page.locator(".card").nth(1)
    card.get_by_text("Change the trace").click()
    card.locator("textarea").fill("close 0 0 c0 c8 close 2 0 c2 c6")
    card.get_by_role("button", name="Let it write the plan").click()
    page.wait_for_selector(".card .state:has-text('11 of them given')")
    page.wait_for_function(DONE.format(3))

    def looks(x):
        return card.locator(".board [role=gridcell]").nth(x).evaluate(
            "cell => [...cell.children].map((part) => [getComputedStyle(part).fill,"
            " getComputedStyle(part).stroke])")

    free, wall = looks(0), looks(2)
    assert wall[0] != free[0]
    page.get_by_role("slider").fill("0")
    page.wait_for_function("!document.querySelectorAll('.card')[1].querySelector('.closed')")
    assert looks(2)[0] == wall[0]
    assert looks(2)[1] != wall[1]


def test_writing_can_be_stopped(explorer):
    """As soon as a word is there; what was written stays, and is judged."""
    page = explorer("models")
    card = page.locator(".card").nth(1)
    whole = len(words_of(card))
    page.evaluate("""() => {
        // a turn of the page after every word, on however fast a machine
        const now = performance.now.bind(performance);
        let ahead = 0;
        performance.now = () => now() + (ahead += 1000);
        const card = document.querySelectorAll('.card')[1];
        const watch = new MutationObserver(() => {
            if (!/^writing, [1-9]/.test(card.querySelector('.state').textContent)) return;
            watch.disconnect();
            card.querySelector('.halt').click();
        });
        watch.observe(card, { subtree: true, childList: true, characterData: true });
    }""")
    card.get_by_text("Ask otherwise").click()
    card.get_by_label("gap").fill("1")
    page.keyboard.press("Enter")
    page.wait_for_selector(".card[data-status=stopped] .state:has-text('stopped after')")
    assert 1 < len(words_of(card)) < whole
    assert "authors" in card.locator(".verdict").inner_text()
    card.get_by_role("button", name="Ask again").click()
    page.wait_for_function(DONE.format(3))


def test_models_take_mazes_of_their_size_alone(explorer):
    page = explorer("models")
    expect(page.locator(".picker .note")).to_contain_text("4 rows and 6 columns")
    draw_map(page, "S..", "...", "..G")
    expect(page.locator(".picker [role=alert]")).not_to_be_empty()
    expect(page.locator(".card [aria-rowcount='4']")).to_have_count(3)
    page.get_by_role("button", name="Another maze").click()
    page.get_by_label("mazes by").first.select_option(label="Kruskal")
    expect(page.locator(".picker [role=alert]")).to_be_empty()
    page.wait_for_function(DONE.format(3))
    expect(page.locator(".card [aria-rowcount='4']")).to_have_count(3)
    page.get_by_role("tab", name="The search").click()
    page.wait_for_selector(".stage [aria-rowcount='8']")  # the one before is there again


def test_a_file_that_is_missing(explorer):
    page = explorer(color_scheme="light")
    page.route("**/models/correct_1.safetensors.gz", lambda route: route.fulfill(status=404))
    page.get_by_role("tab", name="The models").click()
    page.wait_for_selector(".card[data-status=failed] [role=alert]:has-text('cannot be loaded')")
    page.wait_for_function(DONE.format(2))


def test_a_server_that_unpacks(explorer):
    """Some unpack .gz files on the way: models come as they are."""
    page = explorer(color_scheme="light")
    page.route("**/models/*.gz", lambda route: route.fulfill(body=gzip.decompress(
        route.fetch().body())))
    page.get_by_role("tab", name="The models").click()
    page.wait_for_function(DONE.format(3))


# ── everybody ───────────────────────────────────────────────────────────────────────────


def test_by_keyboard_alone(explorer):
    page = explorer()

    def focus_on(selector):
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("s => document.activeElement.matches(s)", selector):
                return
        raise AssertionError(f"Tab does not lead to {selector}")

    focus_on("[role=tab]")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
    assert float(outline.removesuffix("px")) >= 2
    focus_on("button[aria-pressed]")  # draw
    page.keyboard.press("Enter")
    focus_on(".stage [role=gridcell]")
    start = page.evaluate("document.activeElement.ariaLabel")
    assert "start" in start
    before = walls(page).count()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    expect(walls(page)).not_to_have_count(before)
    label = page.evaluate("document.activeElement.ariaLabel")
    page.keyboard.press("g")
    page.wait_for_function("document.activeElement.ariaLabel.includes('goal')")
    assert label.split(",")[:2] == page.evaluate("document.activeElement.ariaLabel").split(",")[:2]
    focus_on(".stage input[type=range]")
    page.keyboard.press("Home")
    expect(moment(page)).to_have_text(re.compile("^Before"))
    focus_on(".search .stream button")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(moment(page)).to_have_text(re.compile("^Event"))
    page.keyboard.press("Shift+Tab")
    page.evaluate("document.querySelector('[role=tab][aria-selected=true]').focus()")
    page.keyboard.press("ArrowRight")
    page.wait_for_function(DONE.format(3))
    focus_on(".card .stream .unit")
    page.keyboard.press("ArrowRight")
    assert "%" in page.evaluate("document.activeElement.ariaLabel")


@pytest.mark.parametrize("view", ["search", "models"])
def test_no_scrolling_sideways(explorer, view):
    """On a phone, a small one, and in a window of 1280 pixels at 200 %."""
    page = explorer(view)

    def fits():
        for width in (390, 320, 640):
            page.set_viewport_size({"width": width, "height": 800})
            assert wide(page) <= 0, width

    fits()
    open_all(page)
    fits()
    for field in page.locator("input[type=number]:visible").all():  # the largest is seen whole
        field.fill("999999")
        assert not field.evaluate("field => field.scrollWidth > field.clientWidth")


def open_all(page):
    """Opens whatever can be opened: the drawing, the text, all that is folded on cards."""
    page.get_by_role("button", name="Draw your own").click()
    page.get_by_role("button", name="As text").click()
    for summary in page.locator(".card summary:visible").all():
        summary.click()


def test_the_step_counter_stands_beside_its_slider(explorer):
    """At any width with two columns or one; on phones the slider has a line of its own."""
    page = explorer()
    page.get_by_role("spinbutton", name="columns").fill("30")
    page.get_by_role("spinbutton", name="rows").fill("30")
    page.keyboard.press("Enter")
    page.wait_for_selector(".stage [aria-rowcount='30'][aria-colcount='30']")
    for width in (1280, 900, 830, 820, 810, 780, 700, 560):
        page.set_viewport_size({"width": width, "height": 900})
        slider, count = (page.locator(f".stage .player {part}").bounding_box()
                         for part in ("input", ".count"))
        middle = count["y"] + count["height"] / 2
        assert slider["y"] < middle < slider["y"] + slider["height"], width


def test_touch(explorer):
    page = explorer(size=(390, 844), has_touch=True, is_mobile=True)
    draw_map(page, "S...", "....", "...G")
    page.get_by_role("button", name="Draw your own").tap()
    page.wait_for_selector(".drawing")
    cell(page, 1, 1).tap()
    expect(walls(page)).to_have_count(1)


def test_dark_light_and_no_motion(explorer):
    shades = {}
    page = explorer()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        shades[scheme] = page.evaluate("getComputedStyle(document.querySelector('.bt'))"
                                       ".backgroundColor")
        assert page.evaluate("getComputedStyle(document.querySelector('.bt .ground'))"
                             ".transitionDuration") in ("0s", "0s, 0s")
    page.emulate_media(color_scheme="light")
    assert shades == {"light": "rgb(255, 255, 255)", "dark": "rgb(22, 25, 29)"}


@pytest.mark.skipif(not AXE.exists(), reason=f"{AXE}: not there (make test-browser fetches it)")
@pytest.mark.parametrize("view", ["search", "models", "index", "notebook"])
def test_nothing_bars_anybody(explorer, page_at, built, view):
    """axe finds nothing serious or critical: light and dark, on a phone, at 200 %."""
    if view in ("search", "models"):
        page = explorer(view)
        open_all(page)
        looks = [("light", 390), ("dark", 640)]
    else:
        path = {"index": "index.html", "notebook": "notebooks/11_answers.html"}[view]
        page = page_at(f"{built}/{path}")
        looks = [("light", 1280) if view == "index" else ("dark", 390)]
    page.add_script_tag(path=str(AXE))
    for scheme, width in looks:
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 900})
        found = page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
        bad = [(scheme, width, one["id"], [node["html"][:200] for node in one["nodes"]][:3])
               for one in found if one["impact"] in ("serious", "critical")]
        assert not bad, bad
    page.emulate_media(color_scheme="light")


def test_slides_fit_the_screen_and_the_paper(shared):
    """On a projector of 1280 × 720 and when printed nothing of a slide is out of sight."""
    shared.set_viewport_size({"width": 1280, "height": 720})
    shared.set_content(slides.page(slides.load_lecture()))
    for media in ("screen", "print"):
        shared.emulate_media(media=media)
        cut = shared.evaluate("""() => [...document.querySelectorAll("section")].filter((slide) => (
            slide.scrollHeight > slide.clientHeight + 2 || slide.clientHeight > innerHeight + 8))
            .map((slide) => slide.ariaLabel)""")
        assert not cut, media
    shared.emulate_media(media="screen")


def test_nothing_is_fetched_from_elsewhere(browser, built):
    page = browser.new_page()
    asked, errors = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    for path in ("index.html", "explorer/index.html", "notebooks/06_evaluation.html"):
        page.goto(f"{built}/{path}")
        page.wait_for_load_state("networkidle")
    assert not [url for url in asked if not url.startswith((built, "data:"))]
    assert not errors
    links = page.eval_on_selector_all("a[href]", "all => all.map((a) => a.href)")
    assert any(link.endswith("/explorer/index.html") for link in links)
    page.close()


def test_links_of_the_index_lead_somewhere(browser, built):
    """Each to a page that a phone shows without scrolling sideways, with all its pictures."""
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(f"{built}/index.html")
    links = page.eval_on_selector_all("a[href]", "all => all.map((a) => a.href)")
    inside = [link for link in links if link.startswith(built)]  # others are not for tests to ask
    assert len(inside) > 10
    for link in inside:
        assert page.goto(link).ok, link
        assert wide(page) <= 0, link
        assert not page.evaluate("[...document.images].filter((one) => !one.naturalWidth).length")
    page.close()
