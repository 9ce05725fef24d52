// A maze as a picture that one can walk through: an SVG whose cells form an ARIA grid.
//
// What a cell is shows by shape as well as by colour: open cells have a dashed frame, closed ones
// are hatched, the one just written has a thick frame, a plan is a line with dots.

import { change, drawing, say } from "./dom.js";
import { sameCell } from "./words.js";

const SIDE = 40;
const WAYS = { ArrowUp: [0, -1], ArrowRight: [1, 0], ArrowDown: [0, 1], ArrowLeft: [-1, 0] };
const HATCH = "M0 10L10 0M0 20L20 0M0 30L30 0M0 40L40 0M10 40L40 10M20 40L40 20M30 40L40 30";
const CROSS = "M-9 -9L9 9M-9 9L9 -9";

/**
 * @param {object} told what happens on the board: `select(cell)`, `hover(cell | null)`,
 *   `wall(cell, isWall)`, `move("start" | "goal", cell)`; each may be missing.
 */
export function createBoard(told = {}) {
  const grid = drawing("g", { role: "presentation" });
  const numbers = drawing("g", { class: "over", "aria-hidden": "true" });
  const over = drawing("g", { class: "over", "aria-hidden": "true" });
  const svg = drawing("svg", { class: "board", role: "grid" }, grid, numbers, over);
  let cells = [];
  let picture = null;
  let cursor = [0, 0];
  let held = null; // what the pointer drags: "start", "goal", or 0 or 1 for walls
  let dragged = false;

  const cellAt = ([x, y]) => cells[y * picture.maze.cols + x];
  const inside = ([x, y]) => x >= 0 && y >= 0 && x < picture.maze.cols && y < picture.maze.rows;
  const isWall = ([x, y]) => picture.maze.walls[y * picture.maze.cols + x] === 1;

  function build(maze) {
    cells = [];
    const rows = [];
    for (let y = 0; y < maze.rows; y += 1) {
      const row = drawing("g", { role: "row" });
      for (let x = 0; x < maze.cols; x += 1) {
        const transform = `translate(${x * SIDE} ${y * SIDE})`;
        const parts = {
          g: drawing("g", { role: "gridcell", transform }),
          numbers: drawing("g", { transform }),
          f: drawing("text", { class: "f", x: 20, y: 21 }),
          gh: drawing("text", { class: "gh", x: 20, y: 33.5 }),
        };
        parts.g.append(
          drawing("rect", { class: "ground", width: SIDE, height: SIDE }),
          drawing("path", { class: "hatch", d: HATCH }),
          drawing("rect", { class: "frame", x: 4, y: 4, width: 32, height: 32, rx: 5 }),
          drawing("rect", { class: "ring", x: 2, y: 2, width: 36, height: 36, rx: 3 }),
        );
        parts.numbers.append(parts.f, parts.gh);
        cells.push(parts);
        row.append(parts.g);
      }
      rows.push(row);
    }
    grid.replaceChildren(...rows);
    numbers.replaceChildren(...cells.map((parts) => parts.numbers));
    change(svg, "viewBox", `-2 -2 ${maze.cols * SIDE + 4} ${maze.rows * SIDE + 4}`);
    change(svg, "aria-rowcount", maze.rows);
    change(svg, "aria-colcount", maze.cols);
    cursor = [...maze.start];
  }

  /**
   * @param {object} next {maze, label, states: {open, closed: Map cell index → {g, h}}, current,
   *   plan, brokenStep, crossed, marked, selected, numbers, editing}
   */
  function update(next) {
    const before = picture;
    picture = next;
    const { maze } = next;
    if (!before || before.maze.rows !== maze.rows || before.maze.cols !== maze.cols) build(maze);
    change(svg, "aria-label", next.label);
    change(svg, "class", `board${next.editing ? " editing" : ""}${told.move ? " movable" : ""}`);
    const path = new Set((next.plan || []).filter(inside).map(([x, y]) => y * maze.cols + x));
    cells.forEach((parts, index) => {
      const cell = [index % maze.cols, Math.floor(index / maze.cols)];
      const { open, closed } = next.states;
      const values = open.get(index) || closed.get(index);
      const kinds = ["cell"];
      const words = [`column ${cell[0]}, row ${cell[1]}`];
      const as = (kind, word = kind) => {
        kinds.push(kind);
        words.push(word);
      };
      if (isWall(cell)) as("wall");
      if (sameCell(cell, maze.start)) as("start");
      if (sameCell(cell, maze.goal)) as("goal");
      if (open.has(index)) as("open");
      if (closed.has(index)) as("closed");
      if (values) words.push(`g ${values.g}, h ${values.h}, f ${values.g + values.h}`);
      if (sameCell(cell, next.current)) as("current", "just written");
      if (path.has(index)) as("way", "on the plan");
      if (sameCell(cell, next.marked)) kinds.push("marked");
      if (sameCell(cell, next.crossed)) as("crossed", "here a rule is broken");
      change(parts.g, "class", kinds.join(" "));
      change(parts.numbers, "class", ["open", "closed", "way"].filter((kind) => (
        kinds.includes(kind))).join(" "));
      change(parts.g, "aria-label", words.join(", "));
      change(parts.g, "aria-selected", sameCell(cell, next.selected) ? "true" : "false");
      change(parts.g, "tabindex", sameCell(cell, cursor) ? "0" : "-1");
      const small = maze.cols > 10;
      const beside = sameCell(cell, maze.start) || sameCell(cell, maze.goal);
      change(parts.f, "x", beside ? 25 : 20);
      say(parts.f, next.numbers && values ? String(values.g + values.h) : "");
      say(parts.gh, next.numbers && values && !small ? `${values.g}+${values.h}` : "");
    });
    drawOver(next);
  }

  function drawOver({ maze, plan, brokenStep, crossed, states, numbers: written }) {
    const middle = ([x, y]) => [x * SIDE + SIDE / 2, y * SIDE + SIDE / 2];
    const parts = [];
    const steps = plan || [];
    if (steps.length) {
      const way = steps.map(middle);
      parts.push(drawing("path", { class: "casing", d: `M${way.join("L")}` }),
        drawing("path", { class: "plan", d: `M${way.join("L")}` }),
        ...way.map(([x, y]) => drawing("circle", { class: "step", cx: x, cy: y, r: 4 })));
    }
    const ends = sameCell(maze.start, maze.goal) ? [["goal", "SG"]] : [["start", "S"], ["goal", "G"]];
    for (const [name, letter] of ends) {
      const [x, y] = maze[name];
      const small = written && (states.open.has(y * maze.cols + x)
        || states.closed.has(y * maze.cols + x));
      const place = small ? `translate(${x * SIDE + 9} ${y * SIDE + 9}) scale(.5)`
        : `translate(${middle(maze[name])})`;
      parts.push(drawing("g", { class: `end ${name}`, transform: place },
        name === "start" ? drawing("circle", { r: 13 })
          : drawing("rect", { x: -12, y: -12, width: 24, height: 24, rx: 4 }),
        drawing("text", letter.length > 1 ? { y: 5, class: "both" } : { y: 6 }, letter)));
    }
    for (const cell of [crossed, brokenStep]) {
      if (!cell || !inside(cell)) continue;
      const place = `translate(${middle(cell)})`;
      parts.push(drawing("path", { class: "cross casing", d: CROSS, transform: place }),
        drawing("path", { class: "cross", d: CROSS, transform: place }));
    }
    over.replaceChildren(...parts);
  }

  function goTo(cell) {
    if (!inside(cell)) return;
    change(cellAt(cursor).g, "tabindex", "-1");
    cursor = cell;
    change(cellAt(cursor).g, "tabindex", "0");
    cellAt(cursor).g.focus();
  }

  svg.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const end = { s: "start", g: "goal" }[event.key.toLowerCase()];
    if (event.key in WAYS) {
      goTo([cursor[0] + WAYS[event.key][0], cursor[1] + WAYS[event.key][1]]);
    } else if (event.key === "Home") goTo([0, cursor[1]]);
    else if (event.key === "End") goTo([picture.maze.cols - 1, cursor[1]]);
    else if (event.key === " " || event.key === "Enter") {
      if (picture.editing) told.wall?.(cursor, !isWall(cursor));
      else told.select?.(cursor);
    } else if (picture.editing && end) told.move?.(end, cursor);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });

  const under = (event) => {
    const matrix = svg.getScreenCTM();
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse());
    const cell = [Math.floor(point.x / SIDE), Math.floor(point.y / SIDE)];
    return inside(cell) ? cell : null;
  };

  svg.addEventListener("pointerdown", (event) => {
    const cell = under(event);
    if (!cell || event.button) return;
    cursor = cell;
    held = null;
    dragged = false;
    if (told.move && sameCell(cell, picture.maze.start)) held = "start";
    else if (told.move && sameCell(cell, picture.maze.goal)) held = "goal";
    else if (picture.editing && told.wall) {
      held = isWall(cell) ? 0 : 1;
      told.wall(cell, held === 1);
    }
    if (held === null) return;
    svg.setPointerCapture(event.pointerId);
    if (event.pointerType !== "touch") event.preventDefault();
    cellAt(cell).g.focus({ preventScroll: true });
  });

  svg.addEventListener("pointermove", (event) => {
    const cell = under(event);
    if (held === null || !event.buttons) told.hover?.(cell);
    else if (!cell || sameCell(cell, cursor)) return;
    else if (typeof held === "string") told.move(held, cell);
    else if (!sameCell(cell, picture.maze.start) && !sameCell(cell, picture.maze.goal)) {
      told.wall(cell, held === 1);
    }
    if (held === null || !cell) return;
    cursor = cell;
    dragged = true;
  });

  svg.addEventListener("pointerleave", () => told.hover?.(null));
  svg.addEventListener("pointerup", () => { held = null; });
  svg.addEventListener("pointercancel", () => { held = null; });
  svg.addEventListener("click", (event) => {
    const cell = under(event);
    if (cell && !picture.editing && !dragged) told.select?.(cell);
  });

  return { element: svg, update };
}
