// The maze on show: drawn by a generator, by hand, or read from a line. What is no maze is said in
// a sentence, and the last good one stays.

import { search } from "../engine/astar.js";
import { drawMaze } from "../engine/generators.js";
import { quoteShort } from "../engine/language.js";
import { checkMaze, isSolvable, parseLine } from "../engine/maze.js";
import { cellName } from "../engine/rules.js";
import { sameCell } from "./words.js";

/** What follows from a maze. `source` says how a generator drew it, null otherwise. */
export function factsOf(maze, source) {
  const { events, plan } = search(maze);
  return { maze, source, events, plan, solvable: isSolvable(maze) };
}

export function takeMaze(store, maze, source = null, changes = {}) {
  const { state } = store;
  store.set({
    ...factsOf(maze, source), error: null, note: null, cell: null, hover: null, playing: false,
    moments: { ...state.moments, search: 0 }, version: state.version + 1, lent: null, ...changes,
  });
}

/** Draws a maze with these changes to how the last one was drawn, for models in their size. */
export function drawAnother(store, changes, also = {}) {
  const { state } = store;
  const drawn = { ...state.drawn, ...changes };
  const source = { ...drawn, ...sizeWanted(state) };
  try {
    const maze = drawMaze(source.generator, source.rows, source.cols, source.seed, source.index);
    takeMaze(store, maze, source, { drawn, ...also });
  } catch (error) {
    store.set({ error: sentence(error) });
  }
}

/** Takes the maze of a line of text, of any size in the search, of the models' for them. */
export function readLine(store, text) {
  const { state } = store;
  const wanted = sizeWanted(state);
  try {
    const { maze, sized, response } = read(text, wanted || state.maze, !wanted, state.largest);
    const note = ["This is the maze of your line."];
    if (!sized && !wanted) {
      note.push("A line does not say how large its grid is: it was read as one of "
        + `${maze.rows} rows and ${maze.cols} columns, which can be changed above.`);
    }
    if (["reasoning", "solution"].includes(response[0])) {
      note.push("The answer that follows its walls is left out.");
    } else if (response.length) {
      note.push(`What follows its walls, ${quoteShort(response.join(" "))}, is no answer and is left out.`);
    }
    takeMaze(store, maze, null, { note: note.join(" "), ...sizeOfOwn(state, maze) });
  } catch (error) {
    store.set({ error: sentence(error) });
  }
}

/** A prompt does not say how large its grid is: of this size if it fits, else the smallest. */
function read(text, { rows, cols }, anySize, largest) {
  let found;
  try {
    found = parseLine(text, rows, cols);
  } catch (error) {
    if (!anySize) throw error;
    found = parseLine(text);
  }
  const { maze } = found;
  if (Math.max(maze.rows, maze.cols) > largest) {
    throw new Error(`The explorer shows grids of at most ${largest} rows and columns, and this one `
      + `has ${maze.rows} and ${maze.cols}.`);
  }
  const [wrong] = checkMaze(maze);
  if (wrong) throw new Error(wrong);
  return found;
}

/** The next maze that is drawn is as large as the one on show. */
function sizeOfOwn(state, { rows, cols }) {
  return sizeWanted(state) ? {} : { drawn: { ...state.drawn, rows, cols } };
}

/** A maze of one's own gets other rows or columns: free ones, or some fewer. */
export function resize(store, changes, also = {}) {
  const { maze } = store.state;
  const { rows, cols } = { ...maze, ...changes };
  for (const name of ["start", "goal"]) {
    const [x, y] = maze[name];
    if (x >= cols || y >= rows) {
      store.set({ error: `The ${name} ${cellName(maze[name])} would lie off a grid of ${rows} rows `
        + `and ${cols} columns. Move it first.` });
      return;
    }
  }
  const walls = new Uint8Array(rows * cols);
  walls.forEach((_, index) => {
    const [x, y] = [index % cols, Math.floor(index / cols)];
    if (x < maze.cols && y < maze.rows) walls[index] = maze.walls[y * maze.cols + x];
  });
  edited(store, { ...maze, rows, cols, walls }, { ...sizeOfOwn(store.state, { rows, cols }), ...also });
}

/** The size that a maze must have, null where any will do. */
export const sizeWanted = (state) => (state.view === "models" ? state.size : null);

export function setWall(store, [x, y], wall) {
  const { maze } = store.state;
  if (sameCell([x, y], maze.start) || sameCell([x, y], maze.goal)) {
    store.set({ error: `${cellName([x, y])} is the ${sameCell([x, y], maze.start) ? "start" : "goal"
    }: it has to stay free.` });
    return;
  }
  const walls = maze.walls.slice();
  walls[y * maze.cols + x] = wall ? 1 : 0;
  edited(store, { ...maze, walls });
}

export function moveEnd(store, name, [x, y]) {
  const { maze } = store.state;
  const other = name === "start" ? "goal" : "start";
  if (sameCell([x, y], maze[other])) {
    store.set({ error: "Start and goal need two different cells." });
    return;
  }
  const walls = maze.walls.slice();
  walls[y * maze.cols + x] = 0;
  edited(store, { ...maze, walls, [name]: [x, y] });
}

export function fillWalls(store, wall) {
  const { maze } = store.state;
  const walls = maze.walls.map((_, index) => (
    wall && ![maze.start, maze.goal].some(([x, y]) => y * maze.cols + x === index) ? 1 : 0));
  edited(store, { ...maze, walls });
}

/** A maze changed by hand: its whole search is shown at once. */
function edited(store, maze, also = {}) {
  const wrong = checkMaze(maze);
  if (wrong.length) {
    store.set({ error: wrong[0] });
    return;
  }
  const facts = factsOf(maze, null);
  const moments = { ...store.state.moments, search: facts.events.length };
  takeMaze(store, maze, null, { moments, ...also });
}

export function sentence(error) {
  const text = String(error?.message || error).trim();
  const first = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(first) ? first : `${first}.`;
}
