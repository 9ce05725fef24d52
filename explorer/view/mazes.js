// The maze on show: drawn by a generator, by hand, or read from a line. What is no maze is said in
// a sentence, and the last good one stays.

import { search } from "../engine/astar.js";
import { drawMaze } from "../engine/generators.js";
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
  const size = sizeWanted(store.state);
  const { rows, cols } = size || store.state.maze;
  try {
    takeMaze(store, read(text, rows, cols, !size), null, { note: "This is the maze of your line." });
  } catch (error) {
    store.set({ error: sentence(error) });
  }
}

/** A prompt does not say how large its grid is: of this size if it fits, else the smallest. */
function read(text, rows, cols, anySize) {
  let maze;
  try {
    maze = parseLine(text, rows, cols).maze;
  } catch (error) {
    if (!anySize) throw error;
    maze = parseLine(text).maze;
  }
  const [wrong] = checkMaze(maze);
  if (wrong) throw new Error(wrong);
  return maze;
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
function edited(store, maze) {
  const wrong = checkMaze(maze);
  if (wrong.length) {
    store.set({ error: wrong[0] });
    return;
  }
  const facts = factsOf(maze, null);
  const moments = { ...store.state.moments, search: facts.events.length };
  takeMaze(store, maze, null, { moments });
}

export function sentence(error) {
  const text = String(error?.message || error).trim();
  const first = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(first) ? first : `${first}.`;
}
