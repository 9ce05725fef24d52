// What the marks on a board mean, and which cells are open and closed after some events.

import { drawing, element } from "./dom.js";

const NAMES = {
  open: "open", closed: "closed", current: "just written", wall: "wall", plan: "plan",
  crossed: "a rule broken",
};

export function createKey(names) {
  return element("ul", { class: "key", "aria-label": "Marks" }, ...names.map((name) => {
    const cell = drawing("g", { class: `cell ${name}` },
      drawing("rect", { class: "ground", width: 40, height: 40 }),
      drawing("path", { class: "hatch", d: "M0 20L20 0M0 40L40 0M20 40L40 20" }),
      drawing("rect", { class: "frame", x: 4, y: 4, width: 32, height: 32, rx: 5 }),
      drawing("rect", { class: "ring", x: 2, y: 2, width: 36, height: 36, rx: 3 }));
    if (name === "plan") {
      cell.append(drawing("path", { class: "plan", d: "M0 20H40" }),
        drawing("circle", { class: "step", cx: 20, cy: 20, r: 5 }));
    }
    if (name === "crossed") cell.append(drawing("path", { class: "cross", d: "M10 10L30 30M10 30L30 10" }));
    return element("li", {}, drawing("svg", { class: "board", viewBox: "-1 -1 42 42",
      "aria-hidden": "true" }, cell), NAMES[name]);
  }));
}

/**
 * The cells open and closed after the first n events, with their last g and h: maps from cell
 * index. Takes any events, sensible or not; null stands for one that cannot be read.
 */
export function settled(maze, events, n) {
  const open = new Map();
  const closed = new Map();
  const [x, y] = maze.start;
  const h = Math.abs(x - maze.goal[0]) + Math.abs(y - maze.goal[1]);
  if (n === 0) open.set(y * maze.cols + x, { g: 0, h });
  for (const event of events.slice(0, n)) {
    if (!event || event.x >= maze.cols || event.y >= maze.rows) continue;
    const index = event.y * maze.cols + event.x;
    if (event.kind === "create") open.set(index, event);
    else {
      open.delete(index);
      closed.set(index, event);
    }
  }
  return { open, closed };
}
