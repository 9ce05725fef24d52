/**
 * The maze generators, draw for draw those of Python: the same name, size, seed and index give the
 * same maze. Each example has a random stream of its own, and is drawn again if start and goal are
 * one cell or if its grid belongs to the other split; which grids are for testing follows from the
 * grid itself (`isHeldOut`).
 *
 * A generator's `draw` takes a stream, a grid of walls to open and its parameters in their order.
 * It returns start and goal as indices y · cols + x, or null where they find no place.
 */

import { LARGEST_SIDE, SMALLEST_SIDE, movesBetween } from "./maze.js";
import { RandomStream, mix64, uint64 } from "./random.js";

const DRAW_ATTEMPTS = 1000; // redraws after which a generator is said to find no maze
const HELD_OUT_SALT = 0x81af155173f23d65n; // of the hash that decides which grids are held out
const HELD_OUT_SHARE = 4n; // one grid of so many is kept for testing
const DATA_SPLITS = ["train", "test"];

/**
 * All generators, in the order in which they are listed for people: `name` for `drawMaze`, `label`
 * for people, `parameters` with their defaults by name.
 */
export const GENERATORS = [
  { name: "wilson", label: "Wilson", draw: drawWilson, parameters: {} },
  { name: "kruskal", label: "Kruskal", draw: drawKruskal, parameters: {} },
  { name: "dfs", label: "DFS", draw: drawDfs, parameters: {} },
  { name: "drunkards_walk", label: "Drunkard's Walk", draw: drawDrunkardsWalk,
    parameters: { coverage: 0.5 } },
  { name: "searchformer", label: "Searchformer-style", draw: drawSearchformer, parameters: {} },
  { name: "cellular_automata", label: "Cellular automata", draw: drawCellularAutomata,
    parameters: { fill_probability: 0.45, survival_threshold: 4, birth_threshold: 5,
      iterations: 3 } },
  { name: "free_space", label: "Free space", draw: drawFreeSpace, parameters: {} },
];

/**
 * Example `index` of a data set.
 *
 * @param {string} name of a generator
 * @param {number} rows
 * @param {number} cols
 * @param {number | bigint} dataSeed from 0 up
 * @param {number} index from 0 up
 * @param {"train" | "test"} [split]
 * @param {Object<string, number>} [parameters] those of the generator that are not the defaults
 * @returns {Maze}
 * @throws {Error} an argument that makes no sense; or no maze of this split at this size
 */
export function drawMaze(name, rows, cols, dataSeed, index, split = "test", parameters = {}) {
  const generator = GENERATORS.find((known) => known.name === name);
  if (!generator) {
    throw new Error(`generator: got '${name}', takes one of `
      + `${GENERATORS.map((known) => known.name).join(", ")}`);
  }
  checkWhole("rows", rows, SMALLEST_SIDE, LARGEST_SIDE);
  checkWhole("cols", cols, SMALLEST_SIDE, LARGEST_SIDE);
  if (typeof dataSeed !== "bigint" || dataSeed < 0n) {
    checkWhole("seed", dataSeed, 0);
  }
  checkWhole("index", index, 0);
  if (!DATA_SPLITS.includes(split)) {
    throw new Error(`split: got '${split}', takes train or test`);
  }
  const values = Object.values(settingsOf(generator, parameters));
  const stream = exampleStream(BigInt(dataSeed), DATA_SPLITS.indexOf(split), index);
  const grid = { rows, cols, walls: new Uint8Array(rows * cols) };
  let placed = false;
  for (let attempt = 0; attempt < DRAW_ATTEMPTS; attempt++) {
    grid.walls.fill(1);
    const ends = generator.draw(stream, grid, ...values);
    if (ends && ends[0] !== ends[1]) {
      if (isHeldOut(grid) === (split === "test")) {
        const [start, goal] = ends.map((cell) => [cell % cols, Math.floor(cell / cols)]);
        return { ...grid, start, goal };
      }
      placed = true;
    }
  }
  const kept = split === "test" ? "kept for testing" : "left for training";
  const lacks = placed ? `grid that is ${kept} (one of ${HELD_OUT_SHARE} is, by a hash)`
    : "place for a start and a different goal";
  throw new Error(`generator: ${name} found no ${lacks} in maze ${index} at ${rows}x${cols}; takes `
    + "a larger grid, or parameters that leave more room");
}

/**
 * Whether a grid is one to test on, never to train on.
 *
 * A hash of its size and cells sets one grid of four aside; the grid without walls is held out too,
 * since there is only one of it.
 *
 * @param {{rows: number, cols: number, walls: Uint8Array}} grid a maze, or its grid alone
 * @returns {boolean}
 */
export function isHeldOut({ rows, cols, walls }) {
  const stir = (state, word) => uint64(mix64(state ^ word) + HELD_OUT_SALT);
  let state = mix64(BigInt(rows * 65536 + cols));
  const bits = Array.from(walls, (wall) => 1 - wall).join("");
  const whole = bits.length - (bits.length % 64);
  for (let at = 0; at < whole; at += 64) {
    state = stir(state, BigInt(`0b${bits.slice(at, at + 64)}`));
  }
  state = mix64(stir(state, BigInt(`0b0${bits.slice(whole)}`)));
  return !walls.includes(1) || state % HELD_OUT_SHARE === 0n;
}

function exampleStream(seed, split, index) {
  const key = mix64(uint64(2n * seed + BigInt(split + 1))) | 1n;
  return new RandomStream(mix64(key ^ mix64(BigInt(index))));
}

function settingsOf({ name, parameters }, given) {
  for (const [key, value] of Object.entries(given)) {
    if (!(key in parameters)) {
      throw new Error(`param ${key}: got an unknown parameter, ${name} takes `
        + `${Object.keys(parameters).join(", ") || "none"}`);
    }
    if (!Number.isFinite(value) || value < 0) {
      throw new Error(`param ${key}: got ${value}, takes a number from 0 up`);
    }
  }
  return { ...parameters, ...given };
}

function checkWhole(name, value, least, most = Number.MAX_SAFE_INTEGER) {
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new Error(`${name}: got ${value}, takes a whole number from ${least} to ${most}`);
  }
}

// ── one function a generator ─────────────────────────────────────────────────────────────────

/** Rooms of a grid that lie two cells apart, the first at (offset, offset), as Wilson and Kruskal
 * have them: how many across and down, and the cell of each. */
function roomsOf({ rows, cols }, offset) {
  const across = (cols - offset + 1) >> 1;
  const down = (rows - offset + 1) >> 1;
  const cell = (room) => (offset + 2 * Math.floor(room / across)) * cols
    + offset + 2 * (room % across);
  return { across, down, cell };
}

/** Opens two cells that lie two apart, and the cell between them. */
function openBetween({ walls }, a, b) {
  walls[a] = walls[(a + b) / 2] = walls[b] = 0;
}

function freeCells({ walls }) {
  return Array.from(walls.keys()).filter((cell) => !walls[cell]);
}

/** Start and goal by index into the free cells, the goal until it differs. */
function twoFreeCells(stream, grid) {
  const cells = freeCells(grid);
  if (cells.length < 2) {
    return null;
  }
  const start = cells[stream.below(cells.length)];
  let goal;
  do {
    goal = cells[stream.below(cells.length)];
  } while (goal === start);
  return [start, goal];
}

/** Columns and rows drawn until they hit a free cell. */
function randomFreeCell(stream, { rows, cols, walls }) {
  for (;;) {
    const x = stream.below(cols);
    const cell = stream.below(rows) * cols + x;
    if (!walls[cell]) {
      return cell;
    }
  }
}

/** Loop-erased random walks from rooms outside the maze until each meets it. */
function drawWilson(stream, grid) {
  const { across, down, cell } = roomsOf(grid, stream.chance(0.5) ? 0 : 1);
  const rooms = across * down;
  const inMaze = new Uint8Array(rooms);
  const first = stream.below(rooms);
  inMaze[first] = 1;
  grid.walls[cell(first)] = 0;
  for (let missing = rooms - 1; missing;) {
    let room;
    do {
      room = stream.below(rooms);
    } while (inMaze[room]);
    const path = [room];
    while (!inMaze[room]) {
      const next = neighbouringRoom(room, stream.below(4), across, rooms);
      if (next === null) {
        continue;
      }
      room = next;
      const place = path.indexOf(room);
      if (place < 0) {
        path.push(room);
      } else {
        path.length = place + 1; // cuts the loop
      }
    }
    for (let i = 0; i < path.length - 1; i++) {
      inMaze[path[i]] = 1;
      openBetween(grid, cell(path[i]), cell(path[i + 1]));
    }
    missing -= path.length - 1;
  }
  const cells = freeCells(grid);
  const draw = () => cells[stream.below(cells.length)];
  const start = draw();
  const goal = draw();
  return [start, goal === start ? draw() : goal];
}

/** The room right of, left of, below or above another; null beyond the edge. */
function neighbouringRoom(room, direction, across, rooms) {
  const column = room % across;
  switch (direction) {
    case 0: return column === across - 1 ? null : room + 1;
    case 1: return column === 0 ? null : room - 1;
    case 2: return room >= rooms - across ? null : room + across;
    default: return room < across ? null : room - across;
  }
}

/** All passages in random order; one that joins two trees is opened. */
function drawKruskal(stream, grid) {
  const { across, down, cell } = roomsOf(grid, stream.chance(0.5) ? 0 : 1);
  const edges = [];
  for (let room = 0; room < across * down; room++) {
    grid.walls[cell(room)] = 0;
    if (room % across < across - 1) {
      edges.push([room, room + 1]);
    }
    if (room < across * (down - 1)) {
      edges.push([room, room + across]);
    }
  }
  stream.shuffle(edges);
  const parent = Array.from({ length: across * down }, (_, room) => room);
  const rootOf = (room) => {
    while (parent[room] !== room) {
      room = parent[room] = parent[parent[room]];
    }
    return room;
  };
  for (const [a, b] of edges) {
    if (rootOf(a) !== rootOf(b)) {
      parent[rootOf(a)] = rootOf(b);
      openBetween(grid, cell(a), cell(b));
    }
  }
  const start = randomFreeCell(stream, grid);
  const goal = randomFreeCell(stream, grid);
  return [start, goal === start ? randomFreeCell(stream, grid) : goal];
}

/** Goes on from the last room to one that is closed yet, or back where there is none. */
function drawDfs(stream, grid) {
  const { rows, cols, walls } = grid;
  const stack = [0];
  walls[0] = 0;
  while (stack.length) {
    const cell = stack.at(-1);
    const x = cell % cols;
    const y = (cell - x) / cols;
    const ways = [
      [y > 1, cell - 2 * cols], [x < cols - 2, cell + 2],
      [y < rows - 2, cell + 2 * cols], [x > 1, cell - 2],
    ].filter(([inside, near]) => inside && walls[near]);
    if (ways.length) {
      const [, near] = ways[stream.below(ways.length)];
      openBetween(grid, cell, near);
      stack.push(near);
    } else {
      stack.pop();
    }
  }
  const start = randomFreeCell(stream, grid);
  let goal;
  do {
    goal = randomFreeCell(stream, grid);
  } while (goal === start);
  return [start, goal];
}

/** A random walk that opens what it enters, until a share of the grid is open. */
function drawDrunkardsWalk(stream, grid, coverage) {
  const { rows, cols, walls } = grid;
  const cells = rows * cols;
  const target = Math.max(2, Math.min(cells, Math.floor(cells * coverage)));
  let x = stream.below(cols);
  let y = stream.below(rows);
  walls[y * cols + x] = 0;
  for (let open = 1; open < target;) {
    const ways = [[x > 0, -1, 0], [x < cols - 1, 1, 0], [y > 0, 0, -1], [y < rows - 1, 0, 1]]
      .filter(([inside]) => inside);
    const [, dx, dy] = ways[stream.below(ways.length)];
    x += dx;
    y += dy;
    open += walls[y * cols + x];
    walls[y * cols + x] = 0;
  }
  return twoFreeCells(stream, grid);
}

/** Between three and five tenths of all cells are walls, anywhere; start and goal lie far apart. */
function drawSearchformer(stream, grid) {
  const { rows, cols, walls } = grid;
  const base = Math.floor((rows * cols) / 10);
  const cells = Array.from({ length: rows * cols }, (_, cell) => cell);
  for (let attempt = 0; attempt < DRAW_ATTEMPTS; attempt++) {
    stream.shuffle(cells);
    const count = 3 * base + stream.below(2 * base + 1);
    walls.fill(0);
    cells.slice(0, count).forEach((cell) => { walls[cell] = 1; });
    const free = cells.slice(count);
    stream.shuffle(free);
    let ends;
    let moves;
    for (let pair = 0; pair < 100; pair++) {
      ends = free.slice(0, 2);
      moves = movesBetween(grid, ...ends);
      if (moves + 1 >= Math.max(rows, cols)) {
        break;
      }
      stream.shuffle(free); // after the last try too, as the published tool does
    }
    if (moves >= 0) {
      return ends;
    }
  }
  return null;
}

/** Random walls that live and die by how many of the eight cells around are walls. */
function drawCellularAutomata(stream, grid, fill, survival, birth, iterations) {
  const { rows, cols, walls } = grid;
  for (let cell = 0; cell < walls.length; cell++) {
    walls[cell] = Number(stream.chance(fill));
  }
  for (let i = 0; i < iterations; i++) {
    const before = walls.slice();
    const isWall = (x, y) => x < 0 || x >= cols || y < 0 || y >= rows || before[y * cols + x] === 1;
    for (let y = 0; y < rows; y++) {
      for (let x = 0; x < cols; x++) {
        let around = -Number(isWall(x, y));
        for (const ny of [y - 1, y, y + 1]) {
          for (const nx of [x - 1, x, x + 1]) {
            around += Number(isWall(nx, ny));
          }
        }
        walls[y * cols + x] = Number(isWall(x, y) ? around >= survival : around > birth);
      }
    }
  }
  return twoFreeCells(stream, grid);
}

/** No walls at all. */
function drawFreeSpace(stream, grid) {
  grid.walls.fill(0);
  return twoFreeCells(stream, grid);
}
