// Chooses the maze: a generator's, one of your own, or that of a line of text.

import { GENERATORS } from "../engine/generators.js";
import { SMALLEST_SIDE, promptWords } from "../engine/maze.js";
import { button, change, choice, element, field, numeral, say, show } from "./dom.js";
import { drawAnother, fillWalls, readLine, resize, sizeWanted } from "./mazes.js";

const OWN = "own";

export function createPicker(store) {
  const { drawn } = store.state;
  const redraw = (changes, also) => drawAnother(store, changes, also);
  /** Another number: another maze, or, as a size, the same with more or less of it. */
  const numbered = (name, most, low = 0) => numeral(drawn[name], low, most, (value, said) => {
    if (value === null) return store.set({ error: said });
    const own = !store.state.source && ["rows", "cols"].includes(name);
    return (own ? resize.bind(null, store) : redraw)({ [name]: value }, { note: said });
  });
  const generator = choice([...GENERATORS.map(({ name, label }) => [name, label]),
    [OWN, "your own"]], drawn.generator,
  (name) => (name === OWN ? store.set({ editing: true }) : redraw({ generator: name })));
  const cols = numbered("cols", store.state.largest, SMALLEST_SIDE);
  const rows = numbered("rows", store.state.largest, SMALLEST_SIDE);
  const index = numbered("index", 999999);
  const seed = numbered("seed", 999999);
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
    say(note, [state.error ? "" : state.note, state.solvable ? "" : "No way leads from start to goal in this maze. A* closes "
      + "every cell it can reach, and then has nothing left to do."].filter(Boolean).join(" "));
  }

  return { element: made, update };
}
