/**
 * What a plan and a trace must be, and how to tell people where one is not.
 *
 * A response is what follows the walls of a prompt: `reasoning` with a trace, `solution` with a
 * plan. The trace stands between `reasoning` and the first following `solution` or `end`, the plan
 * between the first `solution` and the first `end` after it.
 *
 * @typedef {{rule: string, at: number | null, expected: string, strict: boolean}} Break a broken
 *   rule: which, at which event or step, what it asks for, and if only the strict rules have it
 */

import { decimalValue, eventsOf, groupsOf, isDecimal, wordsOf } from "./language.js";
import { MOVES, isFree, isInside, isSameCell, manhattan } from "./maze.js";

/**
 * @param {string[]} words of a response
 * @returns {{trace: string[] | null, plan: string[] | null, ended: boolean}} the words of trace and
 *   plan, null where there is none, and whether the plan ends
 */
export function sectionsOf(words) {
  const after = (word) => (words.includes(word) ? words.slice(words.indexOf(word) + 1) : null);
  const before = (part, stops) => {
    const at = part.findIndex((word) => stops.includes(word));
    return at < 0 ? part : part.slice(0, at);
  };
  const trace = after("reasoning");
  const plan = after("solution");
  return {
    trace: trace && before(trace, ["solution", "end"]),
    plan: plan && before(plan, ["end"]),
    ended: Boolean(plan?.includes("end")),
  };
}

/**
 * The first broken rule of a plan.
 *
 * @param {Maze} maze
 * @param {string[] | null} words between `solution` and `end`
 * @param {boolean} ended whether `end` stands behind them
 * @returns {Break | null}
 */
export function planBreak(maze, words, ended) {
  const broken = (rule, at, expected) => ({ rule, at, expected, strict: false });
  if (!words) {
    return broken("missing", null, "a plan after the word solution");
  }
  const groups = groupsOf(words, 3);
  const steps = stepsOf(words);
  if (steps.length < groups.length) {
    return broken("parse", steps.length, "plan X Y");
  }
  if (!ended) {
    return broken("unterminated", steps.length, "the word end");
  }
  if (!steps.length) {
    return broken("empty", null, "at least one step");
  }
  for (const [i, cell] of steps.entries()) {
    if (i === 0 && !isSameCell(cell, maze.start)) {
      return broken("wrong_start", i, `the start, ${cellName(maze.start)}`);
    }
    if (!isInside(maze, ...cell)) {
      return broken("off_grid", i, `a cell of the ${maze.rows}x${maze.cols} grid`);
    }
    if (!isFree(maze, ...cell)) {
      return broken("wall", i, "a free cell");
    }
    if (i > 0 && manhattan(cell, steps[i - 1]) !== 1) {
      return broken("jump", i, `a neighbour of ${cellName(steps[i - 1])}`);
    }
  }
  if (!isSameCell(steps.at(-1), maze.goal)) {
    return broken("wrong_end", steps.length - 1, `the goal, ${cellName(maze.goal)}`);
  }
  return null;
}

/**
 * The steps of a plan up to the first malformed group of three words.
 *
 * @param {string[]} words between `solution` and `end`
 * @returns {[number, number][]}
 */
export function stepsOf(words) {
  const steps = [];
  for (const [word, x, y] of groupsOf(words, 3)) {
    if (word !== "plan" || !isDecimal(x) || !isDecimal(y)) {
      break;
    }
    steps.push([decimalValue(x), decimalValue(y)]);
  }
  return steps;
}

/**
 * The broken rules of a trace, in order, up to the first that is not a strict one.
 *
 * A malformed event breaks a trace before any other rule is asked; what stands before it is
 * replayed all the same.
 *
 * @param {Maze} maze
 * @param {string[]} words of the trace, without `reasoning`
 * @returns {{breaks: Break[], replay: Replay | null}} the replay up to the break that ended it, or
 *   to the end; null where a malformed trace broke another rule before
 */
export function traceBreaks(maze, words) {
  const events = eventsOf(words);
  const replay = new Replay(maze);
  const breaks = [];
  const wellFormed = 5 * events.length === words.length;
  for (const [at, event] of events.entries()) {
    if (replay.isOver) {
      breaks.push({ rule: "after_goal", at, expected: "nothing after the goal was closed",
        strict: true });
      break;
    }
    breaks.push(...replay.breaksOf(event).map((found) => ({ at, ...found })));
    if (breaks.some(({ strict }) => !strict)) {
      break;
    }
    replay.carryOut(event);
  }
  const ended = breaks.every(({ strict }) => strict);
  if (!wellFormed) {
    breaks.push({ rule: "parse", at: events.length, expected: "create|close X Y cG cH",
      strict: false });
    return { breaks, replay: ended ? replay : null };
  }
  if (ended && !replay.isOver) {
    breaks.push({ rule: "goal_not_reached", at: events.length,
      expected: `a close of the goal, ${cellName(maze.goal)}`, strict: false });
  }
  return { breaks, replay };
}

/** A trace carried out event by event: what is open, what is closed, and what may follow. */
export class Replay {
  /** @param {Maze} maze */
  constructor(maze) {
    this.maze = maze;
    this.open = new Map([[this.indexOf(maze.start), 0]]); // index → g, in insertion order
    this.closed = new Map(); // index → g
    this.last = null; // the cell closed last
  }

  /** @returns {boolean} whether the goal is closed */
  get isOver() {
    return this.closed.has(this.indexOf(this.maze.goal));
  }

  /** Carries out an event that breaks no rule but perhaps `not_improving`. */
  carryOut({ kind, x, y, g }) {
    const cell = this.indexOf([x, y]);
    if (kind === "close") {
      this.open.delete(cell);
      this.closed.set(cell, g);
      this.last = [x, y];
    } else if (g < this.openG(cell)) {
      this.open.set(cell, g); // an entry that is there keeps its place
    }
  }

  /**
   * The rules that an event would break now: strict ones, then at most one that is not.
   *
   * @param {TraceEvent} event
   * @returns {{rule: string, expected: string, strict: boolean}[]}
   */
  breaksOf(event) {
    return event.kind === "create" ? this.breaksOfCreate(event) : this.breaksOfClose(event);
  }

  /**
   * What A* itself would do now.
   *
   * @returns {TraceEvent | null} null where the goal is closed or nothing is open
   */
  next() {
    const [missing] = this.missing();
    const lowest = this.lowest();
    if (this.isOver || (!missing && lowest === null)) {
      return null;
    }
    return missing ? this.eventAt("create", missing, this.lastG() + 1)
      : this.eventAt("close", this.cellAt(lowest), this.openG(lowest));
  }

  breaksOfCreate({ x, y, g, h }) {
    const { maze, last } = this;
    const cell = this.indexOf([x, y]);
    if (!last) {
      return [plainBreak("invalid_neighbor", `a close of the start, ${cellName(maze.start)}, `
        + "first")];
    }
    if (manhattan([x, y], last) !== 1 || !isFree(maze, x, y) || this.closed.has(cell)) {
      return [plainBreak("invalid_neighbor", "a free cell, not yet closed, beside "
        + `${cellName(last)}, which was closed last`)];
    }
    const right = this.eventAt("create", [x, y], this.lastG() + 1);
    if (g !== right.g || h !== right.h) {
      return [plainBreak("wrong_cost", wordsOf([right]).join(" "))];
    }
    if (g >= this.openG(cell)) {
      return [strictBreak("not_improving", `g below c${this.openG(cell)}, at which the cell is `
        + "open already")];
    }
    return [];
  }

  breaksOfClose({ x, y, g, h }) {
    const { maze } = this;
    const cell = isInside(maze, x, y) ? this.indexOf([x, y]) : -1;
    const missing = this.missing();
    const found = missing.length ? [strictBreak("missing_create",
      `a create of ${missing.map(cellName).join(" and ")} first`)] : [];
    if (this.closed.has(cell)) {
      return [...found, plainBreak("already_closed", "a cell that is not closed yet")];
    }
    if (!this.open.has(cell)) {
      return [...found, plainBreak("not_in_open", "a cell of the open list")];
    }
    const right = this.eventAt("close", [x, y], this.openG(cell));
    if (g !== right.g || h !== right.h) {
      return [...found, plainBreak("wrong_cost", wordsOf([right]).join(" "))];
    }
    const lowest = this.lowest();
    if (this.f(lowest) < this.f(cell)) {
      return [...found, plainBreak("not_lowest_f", "a cell with the lowest f = g + h, such as "
        + `${cellName(this.cellAt(lowest))} with ${this.f(lowest)}, not ${this.f(cell)}`)];
    }
    return found;
  }

  /** Neighbours of the cell closed last that A* creates and this trace has not created yet. */
  missing() {
    const { maze, last } = this;
    return last === null ? [] : MOVES.map(([dx, dy]) => [last[0] + dx, last[1] + dy])
      .filter(([x, y]) => isFree(maze, x, y) && !this.closed.has(this.indexOf([x, y]))
        && this.lastG() + 1 < this.openG(this.indexOf([x, y])));
  }

  /** The index of the open cell with the lowest f, the earliest among equals; null without one. */
  lowest() {
    const cells = [...this.open.keys()];
    return cells.length ? cells.reduce((best, cell) => (this.f(cell) < this.f(best) ? cell : best))
      : null;
  }

  f(cell) {
    return this.open.get(cell) + manhattan(this.cellAt(cell), this.maze.goal);
  }

  openG(cell) {
    return this.open.get(cell) ?? Infinity;
  }

  lastG() {
    return this.closed.get(this.indexOf(this.last));
  }

  eventAt(kind, [x, y], g) {
    return { kind, x, y, g, h: manhattan([x, y], this.maze.goal) };
  }

  indexOf([x, y]) {
    return y * this.maze.cols + x;
  }

  cellAt(index) {
    return [index % this.maze.cols, Math.floor(index / this.maze.cols)];
  }
}

/**
 * A broken rule as a sentence: where, what stands there, which rule, what it asks for.
 *
 * @param {"event" | "step"} unit
 * @param {string[][]} groups of words of the trace or the plan
 * @param {Break} broken
 * @returns {string}
 */
export function sentenceOf(unit, groups, { rule, at, expected }) {
  const says = `breaks ${rule}: expected ${expected}`;
  if (at === null) {
    return says;
  }
  const what = at < groups.length ? `"${groups[at].join(" ")}"` : "the end";
  return `${unit} ${at}, ${what}, ${says}`;
}

/** @returns {string} a cell as sentences name it */
export function cellName([x, y]) {
  return `(${x}, ${y})`;
}

function plainBreak(rule, expected) {
  return { rule, expected, strict: false };
}

function strictBreak(rule, expected) {
  return { rule, expected, strict: true };
}
