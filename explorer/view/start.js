// The first state, and how one goes from view to view.

import { openListAfter, search } from "../engine/astar.js";
import { drawMaze } from "../engine/generators.js";
import { mazeOfPrompt } from "../engine/maze.js";
import { drawAnother, factsOf, takeMaze } from "./mazes.js";

let explorers = 0;

export function firstState(data) {
  const drawn = { ...data.drawn, index: longest(data.drawn) };
  const { size } = data;
  const maze = data.maze
    ? mazeOfPrompt(data.maze.prompt.split(" "), data.maze.rows, data.maze.cols)
    : drawMaze(drawn.generator, drawn.rows, drawn.cols, drawn.seed, drawn.index);
  const facts = factsOf(maze, data.maze ? null : drawn);
  explorers += 1;
  return {
    ...facts, id: `explorer-${explorers}`, view: data.view || data.views[0], drawn, size, version: 0,
    moments: { search: fullest(facts), models: Infinity },
    playing: false, pause: 500, numbers: maze.cols <= 8, cell: null, hover: null, editing: false,
    largest: data.largest, error: null, note: null, slots: [], aside: null, lent: null, live: true,
  };
}

/** Of the first mazes the one with the longest search: there is something to see. */
function longest({ generator, rows, cols, seed }) {
  const lengths = Array.from({ length: 20 }, (_, index) => (
    search(drawMaze(generator, rows, cols, seed, index)).events.length));
  return lengths.indexOf(Math.max(...lengths));
}

/** The moment at which most cells are open. */
function fullest({ maze, events }) {
  const sizes = events.map((_, n) => openListAfter(maze, events, n).open.length);
  return sizes.indexOf(Math.max(...sizes));
}

/** Shows a view. The models take mazes of their own size alone: another one is set aside. */
export function enterView(store, asker, name) {
  const { state } = store;
  const { size, maze, source, aside } = state;
  const changes = { view: name, playing: false, editing: false, error: null, note: null };
  if (name === "search") {
    if (aside) takeMaze(store, aside.maze, aside.source, { ...changes, aside: null });
    else store.set(changes);
    return;
  }
  store.set(changes);
  if (maze.rows !== size.rows || maze.cols !== size.cols) {
    drawAnother(store, {}, {
      aside: { maze, source },
      note: `The models know mazes of ${size.rows} rows and ${size.cols} columns alone, so here is `
        + "one of that size. Yours waits in the search.",
    });
  }
  asker.begin();
}
