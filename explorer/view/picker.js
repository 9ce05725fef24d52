// Chooses the maze: a generator's, one of your own, or that of a line of text.

import { GENERATORS } from "../engine/generators.js";
import { promptWords } from "../engine/maze.js";
import { button, change, choice, element, field, numeral, say, show } from "./dom.js";
import { drawAnother, fillWalls, readLine, sizeWanted } from "./mazes.js";

const LARGEST = 30;
const OWN = "own";

export function createPicker(store) {
  const { drawn } = store.state;
  const redraw = (changes) => drawAnother(store, changes);
  const generator = choice([...GENERATORS.map(({ name, label }) => [name, label]),
    [OWN, "your own"]], drawn.generator,
  (name) => (name === OWN ? store.set({ editing: true }) : redraw({ generator: name })));
  const cols = numeral(drawn.cols, 3, LARGEST, (value) => redraw({ cols: value }));
  const rows = numeral(drawn.rows, 3, LARGEST, (value) => redraw({ rows: value }));
  const index = numeral(drawn.index, 0, 999999, (value) => redraw({ index: value }));
  const seed = numeral(drawn.seed, 0, 999999, (value) => redraw({ seed: value }));
  const size = element("div", { class: "pair" }, field("columns", cols), field("rows", rows));
  const fixed = element("p", { class: "quiet fixed" });
  const another = button("Another maze", () => redraw({ index: store.state.drawn.index + 1 }),
    { class: "main" });
  const edit = button("Draw", () => store.set({ editing: !store.state.editing }),
    { "aria-pressed": "false" });
  const help = element("div", { class: "drawing" }, element("p", {},
    "Click or drag over cells to build and break walls, and drag S and G. With the keyboard: arrows "
    + "move, space builds or breaks a wall, S and G bring start and goal here."),
  button("No walls", () => fillWalls(store, false)), button("All walls", () => fillWalls(store, true)));

  const line = element("textarea", { rows: 4, spellcheck: "false", autocomplete: "off" });
  const paste = element("div", { class: "paste", id: `${store.state.id}-paste` },
    field("The maze as the data sets write it. Put another line here, or a map of # . S G.", line),
    element("div", { class: "row" },
      button("Take this line", () => readLine(store, line.value), { class: "main" }),
      button("Back to this maze's line", () => write(store.state))));
  const open = button("As text", () => {
    show(paste, paste.hidden);
    change(open, "aria-expanded", String(!paste.hidden));
    if (!paste.hidden) line.focus();
  }, { "aria-expanded": "false", "aria-controls": paste.id });
  show(paste, false);
  const alert = element("p", { class: "alert", role: "alert" });
  const note = element("p", { class: "note", role: "status" });
  const made = element("section", { class: "picker", "aria-label": "Maze" },
    element("div", { class: "row" }, field("mazes by", generator), size, fixed,
      element("div", { class: "pair" }, field("number", index), field("seed", seed)),
      element("div", { class: "pair" }, another, edit, open)),
    help, paste, alert, note);
  let written = null;

  function write({ maze }) {
    written = maze;
    line.value = JSON.stringify({ text: promptWords(maze).join(" ") });
    store.set({ error: null });
  }

  function update(state) {
    const { source } = state;
    generator.value = source ? source.generator : OWN;
    const wanted = sizeWanted(state);
    show(size, !wanted);
    show(fixed, Boolean(wanted));
    if (wanted) say(fixed, `${wanted.rows} × ${wanted.cols}, the size the models know`);
    for (const [input, value] of [[cols, state.maze.cols], [rows, state.maze.rows],
      [index, state.drawn.index], [seed, state.drawn.seed]]) {
      if (input !== document.activeElement) input.value = value;
    }
    change(edit, "aria-pressed", String(state.editing));
    say(edit, state.editing ? "Done drawing" : "Draw your own");
    show(help, state.editing);
    if (state.maze !== written) {
      written = state.maze;
      line.value = JSON.stringify({ text: promptWords(state.maze).join(" ") });
    }
    say(alert, state.error || "");
    say(note, [state.note, state.solvable ? "" : "No way leads from start to goal in this maze. A* closes "
      + "every cell it can reach, and then has nothing left to do."].filter(Boolean).join(" "));
  }

  return { element: made, update };
}
