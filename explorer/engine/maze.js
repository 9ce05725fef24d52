/**
 * Mazes: what one is, and how it is read and written.
 *
 * A cell is `[x, y]`: x the column, y the row, origin top left, y down. As an index it is
 * y · cols + x.
 *
 * @typedef {{rows: number, cols: number, walls: Uint8Array, start: [number, number],
 *   goal: [number, number]}} Maze walls has rows · cols entries, 1 where a wall stands
 */

import { decimalValue, isDecimal, quoteShort, splitWords } from "./language.js";

export const SMALLEST_SIDE = 3;
export const LARGEST_SIDE = 180; // with 180 every token still has an id below 2^16
export const MOVES = [[0, -1], [1, 0], [0, 1], [-1, 0]]; // up, right, down, left

// ── cells ────────────────────────────────────────────────────────────────────────────────────

/** @returns {boolean} whether a cell lies on the grid */
export function isInside({ rows, cols }, x, y) {
  return x >= 0 && x < cols && y >= 0 && y < rows;
}

/** @returns {boolean} whether a cell lies on the grid and is no wall */
export function isFree(maze, x, y) {
  return isInside(maze, x, y) && !maze.walls[y * maze.cols + x];
}

/** @returns {number} the Manhattan distance between two cells */
export function manhattan([ax, ay], [bx, by]) {
  return Math.abs(ax - bx) + Math.abs(ay - by);
}

/** @returns {boolean} whether two cells are one */
export function isSameCell([ax, ay], [bx, by]) {
  return ax === bx && ay === by;
}

/**
 * Fewest moves between two free cells, by breadth-first search.
 *
 * @param {{rows: number, cols: number, walls: Uint8Array}} grid
 * @param {number} from an index
 * @param {number} to an index
 * @returns {number} −1 where there is no way
 */
export function movesBetween(grid, from, to) {
  const { rows, cols } = grid;
  const moves = new Int32Array(rows * cols).fill(-1);
  const queue = [from];
  moves[from] = 0;
  for (let head = 0; head < queue.length && moves[to] < 0; head++) {
    const cell = queue[head];
    const x = cell % cols;
    const y = (cell - x) / cols;
    for (const [dx, dy] of MOVES) {
      const near = cell + dy * cols + dx;
      if (isFree(grid, x + dx, y + dy) && moves[near] < 0) {
        moves[near] = moves[cell] + 1;
        queue.push(near);
      }
    }
  }
  return moves[to];
}

/** @returns {boolean} whether a way leads from start to goal */
export function isSolvable(maze) {
  const { cols, start, goal } = maze;
  return movesBetween(maze, start[1] * cols + start[0], goal[1] * cols + goal[0]) >= 0;
}

/**
 * What is wrong with a maze that somebody has drawn.
 *
 * @param {Maze} maze
 * @returns {string[]} a sentence each; none for a maze that can be asked
 */
export function checkMaze(maze) {
  const found = [];
  for (const [name, side] of [["rows", maze.rows], ["columns", maze.cols]]) {
    if (!isSide(side)) {
      found.push(`The grid has ${side} ${name}, it takes ${SMALLEST_SIDE} to ${LARGEST_SIDE}.`);
    }
  }
  if (maze.walls.length !== maze.rows * maze.cols) {
    found.push(`The grid has ${maze.walls.length} cells, it takes ${maze.rows} times ${maze.cols}.`);
  }
  for (const [name, [x, y]] of [["start", maze.start], ["goal", maze.goal]]) {
    if (!Number.isInteger(x) || !Number.isInteger(y) || !isInside(maze, x, y)) {
      found.push(`The ${name} (${x}, ${y}) lies off the grid.`);
    } else if (!isFree(maze, x, y)) {
      found.push(`The ${name} (${x}, ${y}) stands on a wall.`);
    }
  }
  return found;
}

// ── as a prompt ──────────────────────────────────────────────────────────────────────────────

/**
 * The prompt of a maze, `query` to its last wall.
 *
 * @param {Maze} maze
 * @returns {string[]}
 */
export function promptWords({ cols, walls, start, goal }) {
  const words = ["query", "start", ...start.map(String), "goal", ...goal.map(String)];
  walls.forEach((wall, cell) => {
    if (wall) {
      words.push("wall", `${cell % cols}`, `${Math.floor(cell / cols)}`);
    }
  });
  return words;
}

/**
 * The maze that a prompt tells of; whatever response follows the walls is passed over.
 *
 * @param {string[]} words
 * @param {number} [rows] a prompt does not say the grid's size: the smallest that holds all its
 *   cells where none is given
 * @param {number} [cols]
 * @returns {Maze}
 * @throws {Error} no well-formed prompt, a cell off the grid, a start or goal on a wall
 */
export function mazeOfPrompt(words, rows, cols) {
  return readExample(words, rows, cols).maze;
}

/**
 * Splits an example into its maze and its response.
 *
 * @param {string[]} words
 * @param {number} [rows] as of `mazeOfPrompt`
 * @param {number} [cols]
 * @returns {{maze: Maze, response: string[]}} the response with its opening word, or empty
 * @throws {Error} as `mazeOfPrompt`, or something else than a response follows the walls
 */
export function readExample(words, rows, cols) {
  const cells = [];
  expectWord(words, 0, "query");
  expectWord(words, 1, "start");
  cells.push(readCell(words, 2, "start"));
  expectWord(words, 4, "goal");
  cells.push(readCell(words, 5, "goal"));
  let at = 7;
  for (; words[at] === "wall"; at += 3) {
    cells.push(readCell(words, at + 1, "wall"));
  }
  const needed = (axis) => Math.max(SMALLEST_SIDE, ...cells.map((cell) => cell[axis] + 1));
  if (rows === undefined || cols === undefined) {
    checkSides(needed(1), needed(0));
  }
  const maze = mazeOfCells(cells, rows ?? needed(1), cols ?? needed(0));
  const response = words.slice(at);
  const opens = (word) => word === "reasoning" || word === "solution";
  const leftover = ["goal", "query", "start", "wall"].find((word) => response.includes(word));
  if (response.some(opens)) {
    if (!opens(response[0])) {
      throw new Error(`prompt: got ${quoteShort(response[0])} after the walls, takes 'reasoning' or `
        + "'solution'");
    }
  } else if (leftover) {
    throw new Error(`prompt: got '${leftover}' after the walls, takes a response`);
  }
  return { maze, response };
}

/**
 * Reads a maze in any form in which the study takes one: a line of its data, `{"text": "query …"}`,
 * such a text alone, or a map of `#` (wall), `.` or space (free), `S` and `G`, a line a row.
 *
 * @param {string} text
 * @param {number} [rows] the grid's size; as of `mazeOfPrompt` where it is not given
 * @param {number} [cols]
 * @returns {{maze: Maze, response: string[], sized: boolean}} the response is empty where none
 *   follows; `sized` says whether the text told the grid's size, as a map does
 * @throws {Error} none of these, or another size
 */
export function parseLine(text, rows, cols) {
  const trimmed = text.trim(); // of a byte order mark too
  let found;
  if (!trimmed) {
    throw new Error("line: got nothing, takes a line of the data or a map");
  } else if (/^[{[]/.test(trimmed)) {
    found = { ...readExample(splitWords(textOfJson(trimmed)), rows, cols), sized: false };
  } else if (/^query(\s|$)/.test(trimmed)) {
    found = { ...readExample(splitWords(trimmed), rows, cols), sized: false };
  } else {
    found = { maze: mazeOfMap(text.replace(/^\ufeff/, "")), response: [], sized: true };
  }
  const { maze } = found;
  checkSides(maze.rows, maze.cols);
  if (maze.rows !== (rows ?? maze.rows) || maze.cols !== (cols ?? maze.cols)) {
    throw new Error(`maze: got ${maze.rows}x${maze.cols}, takes ${rows}x${cols}`);
  }
  return found;
}

function textOfJson(line) {
  let text;
  try {
    text = JSON.parse(line).text;
  } catch { /* the same is wrong with it as with JSON of another form */ }
  if (typeof text !== "string") {
    const lines = line.split(/\s*\n\s*/);
    if (lines.length > 1 && lines.every((one) => /^\{.*\}$/.test(one))) {
      throw new Error(`line: got ${lines.length} lines, takes one`);
    }
    throw new Error('got no JSON object with a string under "text"');
  }
  return text;
}

function mazeOfMap(text) {
  const lines = text.replace(/^(\r?\n)+|(\r?\n)+$/g, "").split(/\r?\n/);
  lines.forEach((line, row) => {
    if (line.length !== lines[0].length) {
      throw new Error(`row ${row + 1}: got ${line.length} columns, takes ${lines[0].length}, as `
        + "row 1 has");
    }
    const foreign = line.match(/[^#. SG]/u);
    if (foreign) {
      const mark = /\p{C}/u.test(foreign[0]) ? "a character that cannot be shown"
        : `'${foreign[0]}'`;
      throw new Error(`row ${row + 1}: got ${mark}, takes # (wall), . or space (free), `
        + "S (start) and G (goal)");
    }
  });
  const marks = lines.join("");
  const cols = lines[0].length;
  const [start, goal] = ["S", "G"].map((mark) => {
    const count = marks.split(mark).length - 1;
    if (count !== 1) {
      throw new Error(`map: got ${count} times ${mark}, takes one S and one G`);
    }
    const cell = marks.indexOf(mark);
    return [cell % cols, Math.floor(cell / cols)];
  });
  const walls = Uint8Array.from(marks, (mark) => Number(mark === "#"));
  return { rows: lines.length, cols, walls, start, goal };
}

function checkSides(rows, cols) {
  if (!isSide(rows) || !isSide(cols)) {
    throw new Error(`maze: got ${rows}x${cols}, takes sides from ${SMALLEST_SIDE} to `
      + `${LARGEST_SIDE}`);
  }
}

function isSide(side) {
  return Number.isInteger(side) && side >= SMALLEST_SIDE && side <= LARGEST_SIDE;
}

function expectWord(words, at, word) {
  if (words[at] !== word) {
    const got = at < words.length ? quoteShort(words[at]) : "nothing";
    throw new Error(`prompt: got ${got} as word ${at + 1}, takes '${word}'`);
  }
}

/** The two numbers at a place, and after which word they stand: [x, y, what]. */
function readCell(words, at, what) {
  const digits = words.slice(at, at + 2);
  if (digits.length < 2 || !digits.every(isDecimal)) {
    const got = digits.length ? quoteShort(digits.join(" ")) : "nothing";
    throw new Error(`prompt: got ${got} after ${what}, takes two decimal numbers`);
  }
  return [...digits.map(decimalValue), what];
}

/** The maze of cells [x, y, what]: start, goal, walls. */
function mazeOfCells(cells, rows, cols) {
  for (const [x, y, what] of cells) {
    if (x >= cols || y >= rows) {
      throw new Error(`prompt: ${what} ${x} ${y} lies off the grid of ${rows} rows and ${cols} `
        + "columns");
    }
  }
  const walls = new Uint8Array(rows * cols);
  for (const [x, y] of cells.slice(2)) {
    walls[y * cols + x] = 1;
  }
  const [start, goal] = cells.map(([x, y]) => [x, y]);
  for (const [x, y, what] of cells.slice(0, 2)) {
    if (walls[y * cols + x]) {
      throw new Error(`prompt: ${what} ${x} ${y} is a wall, takes a free cell`);
    }
  }
  return { rows, cols, walls, start, goal };
}
