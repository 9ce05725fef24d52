/**
 * A* on a grid, and the trace that it leaves.
 *
 * The open list keeps insertion order. Each turn closes the entry with the lowest f = g + h (the
 * earliest inserted among equals; h is the Manhattan distance), stops when that is the goal, and
 * otherwise looks at the neighbours up, right, down, left: one that is free, not closed and reached
 * at a lower g than before is created; if it is open already it keeps its place in the list.
 */

import { MOVES, isFree, isSameCell, manhattan } from "./maze.js";

/**
 * Runs A*.
 *
 * @param {Maze} maze
 * @returns {{events: TraceEvent[], plan: [number, number][] | null, steps: number}} the trace, a
 *   shortest plan from start to goal (null where no way leads there), and how many cells were closed
 */
export function search(maze) {
  const { rows, cols, start, goal } = maze;
  const indexOf = ([x, y]) => y * cols + x;
  const best = new Int32Array(rows * cols).fill(rows * cols + 1); // lowest g so far
  const parent = new Map();
  const closed = new Set();
  const open = [start];
  const events = [];
  const f = (cell) => best[indexOf(cell)] + manhattan(cell, goal);
  const write = (kind, cell) => events.push({ kind, x: cell[0], y: cell[1],
    g: best[indexOf(cell)], h: manhattan(cell, goal) });

  best[indexOf(start)] = 0;
  while (open.length) {
    const cell = open.reduce((lowest, other) => (f(other) < f(lowest) ? other : lowest));
    open.splice(open.indexOf(cell), 1);
    closed.add(indexOf(cell));
    write("close", cell);
    if (isSameCell(cell, goal)) {
      return { events, plan: pathFrom(parent, start, goal, indexOf), steps: closed.size };
    }
    const g = best[indexOf(cell)] + 1;
    for (const [dx, dy] of MOVES) {
      const near = [cell[0] + dx, cell[1] + dy];
      if (isFree(maze, ...near) && !closed.has(indexOf(near)) && g < best[indexOf(near)]) {
        if (!parent.has(indexOf(near))) {
          open.push(near);
        }
        best[indexOf(near)] = g;
        parent.set(indexOf(near), cell);
        write("create", near);
      }
    }
  }
  return { events, plan: null, steps: closed.size };
}

/** The cells from start to goal, found from the goal back by parents. */
function pathFrom(parent, start, goal, indexOf) {
  const path = [goal];
  while (!isSameCell(path.at(-1), start)) {
    path.push(parent.get(indexOf(path.at(-1))));
  }
  return path.reverse();
}

/**
 * Open and closed list after some events of a trace.
 *
 * Nothing is judged: an event of a broken trace is carried out as it stands.
 *
 * @param {Maze} maze
 * @param {TraceEvent[]} events
 * @param {number} n how many of them are carried out
 * @returns {{open: Entry[], closed: Entry[], current: [number, number] | null,
 *   next: number | null}} both lists in the order of insertion; the cell closed last, which is
 *   being expanded; the place in the open list of the cell that A* closes next, null once the goal
 *   is closed or nothing is open. An Entry is {x, y, g, h, f, parent}, its parent the cell [x, y]
 *   that was being expanded when it was created, null for the start.
 */
export function openListAfter(maze, events, n) {
  const open = new Map();
  const closed = new Map();
  let current = null;
  const entry = (x, y, g, h, parent) => ({ x, y, g, h, f: g + h, parent });
  open.set(`${maze.start}`, entry(...maze.start, 0, manhattan(maze.start, maze.goal), null));
  for (const { kind, x, y, g, h } of events.slice(0, n)) {
    const key = `${[x, y]}`;
    if (kind === "create") {
      open.set(key, entry(x, y, g, h, current)); // an entry that is there keeps its place
    } else {
      const parent = (open.get(key) ?? closed.get(key))?.parent ?? null;
      open.delete(key);
      closed.set(key, entry(x, y, g, h, parent));
      current = [x, y];
    }
  }
  const list = [...open.values()];
  const lowest = list.reduce((best, { f }, at) => (f < list[best].f ? at : best), 0);
  const next = list.length && !closed.has(`${maze.goal}`) ? lowest : null;
  return { open: list, closed: [...closed.values()], current, next };
}
