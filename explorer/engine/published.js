/**
 * How the paper's authors read a response, beside `rules.js`.
 *
 * The words `reasoning`, `solution` and `end` are dropped; everything else is read, word after
 * word, wherever it stands. The plan is the last unbroken run of steps, and may leave the grid. The
 * costs of a create are free and creates may be left out; only a close must fit the open list.
 */

import { isDecimal } from "./language.js";
import { isFree, isInside, isSameCell, manhattan } from "./maze.js";

const DROPPED_WORDS = ["reasoning", "solution", "end"];
const GROUP_SIZES = new Map([["create", 5], ["close", 5], ["plan", 3]]); // by the word that opens it
const LARGEST_NUMBER = 10n ** 18n - 1n; // larger ones count as this

/**
 * Reads the words of a response one after the other.
 *
 * @param {string[]} words
 * @returns {{events: {kind: string, cell: [number, number], g: bigint, h: bigint}[],
 *   malformed: boolean, plan: [number, number][] | null}} the events that are well-formed; whether
 *   one is malformed, or a word belongs to no event and no step; the plan, null if it does not parse
 */
export function readAsPublished(words) {
  const events = [];
  let malformed = false;
  let run = []; // of steps, null where one lacks its numbers
  let inRun = false;
  let brokenOff = false;
  for (const { group, cutShort } of publishedGroups(words)) {
    if (group[0] === "plan") {
      run = [...(inRun ? run : []), publishedStep(group)];
      brokenOff ||= cutShort;
    } else {
      const event = publishedEvent(group);
      if (event) {
        events.push(event);
      } else {
        malformed = true;
      }
    }
    inRun = group[0] === "plan";
  }
  const parses = run.length > 0 && !run.includes(null) && !brokenOff;
  return { events, malformed, plan: parses ? run : null };
}

/** @returns {boolean} whether steps lead from start to goal by neighbours that are no walls */
export function isPublishedPath(maze, plan) {
  return isSameCell(plan[0], maze.start) && isSameCell(plan.at(-1), maze.goal)
    && plan.slice(1).every((cell, i) => manhattan(cell, plan[i]) === 1
      && (isFree(maze, ...cell) || !isInside(maze, ...cell)));
}

/**
 * The path that a trace found, by its own parents.
 *
 * @param {Maze} maze
 * @param {{kind: string, cell: [number, number], g: bigint, h: bigint}[]} events
 * @returns {[number, number][] | null} null where the trace breaks a rule
 */
export function publishedPath(maze, events) {
  const { start, goal } = maze;
  const h = BigInt(manhattan(start, goal));
  const open = new Map([[`${start}`, { g: 0n, h }]]);
  const parent = new Map();
  const closed = [];
  const isClosed = (cell) => closed.some((other) => isSameCell(cell, other));
  for (const { kind, cell, ...costs } of events) {
    if (!isFree(maze, ...cell)) {
      return null;
    }
    const entry = open.get(`${cell}`);
    if (kind === "create") {
      if (!closed.length || manhattan(cell, closed.at(-1)) !== 1 || isClosed(cell)) {
        return null;
      }
      if (!entry || costs.g < entry.g) {
        open.set(`${cell}`, costs);
        parent.set(`${cell}`, closed.at(-1));
      }
    } else {
      const f = costs.g + costs.h;
      if (!entry || costs.g !== entry.g || costs.h !== entry.h
          || [...open.values()].some((other) => other.g + other.h < f)) {
        return null;
      }
      open.delete(`${cell}`);
      closed.push(cell);
    }
  }
  if (!isClosed(goal)) {
    return null;
  }
  const path = [goal]; // always a valid one: a cell is created beside one that is closed already
  while (!isSameCell(path.at(-1), start)) {
    path.push(parent.get(`${path.at(-1)}`));
  }
  return path.reverse();
}

/** Events, steps and words that belong to neither; cut short at a word that opens another kind of
 * group, which is read next. */
function publishedGroups(words) {
  const kept = words.filter((word) => !DROPPED_WORDS.includes(word));
  const groups = [];
  for (let at = 0; at < kept.length;) {
    const opener = kept[at];
    const whole = kept.slice(at, at + (GROUP_SIZES.get(opener) ?? 1));
    const other = whole.findIndex((word) => GROUP_SIZES.has(word) && word !== opener);
    const group = other < 0 ? whole : whole.slice(0, other);
    groups.push({ group, cutShort: other >= 0 });
    at += group.length;
  }
  return groups;
}

function publishedStep([, ...digits]) {
  return digits.length === 2 && digits.every(isDecimal) ? digits.map(coordinateOf) : null;
}

function publishedEvent([kind, x, y, ...costs]) {
  const [g, h] = costs.map((word) => word.replace(/^./su, "")); // whatever character it is
  if (!GROUP_SIZES.has(kind) || costs.length < 2 || ![x, y, g, h].every(isDecimal)) {
    return null;
  }
  return { kind, cell: [coordinateOf(x), coordinateOf(y)], g: publishedNumber(g),
    h: publishedNumber(h) };
}

function coordinateOf(digits) {
  return Number(publishedNumber(digits));
}

function publishedNumber(digits) {
  const value = BigInt(digits.replace(/^0+/, "").slice(0, 19));
  return value < LARGEST_NUMBER ? value : LARGEST_NUMBER;
}
