// What is said about events, cells and verdicts, and how a response falls into parts.

import { cellName } from "../engine/rules.js";

export const sameCell = (a, b) => Boolean(a && b) && a[0] === b[0] && a[1] === b[1];

export const percentOf = (p) => (p >= 0.9995 ? "100 %" : p < 0.0005 ? "0 %" : `${(100 * p).toFixed(1)} %`);

export const plural = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;

/**
 * A response in groups of words: {kind, from, to, number}. An event has five words and a step
 * three; every other word stands alone.
 */
export function partsOf(words) {
  const groups = [];
  const counts = { event: 0, step: 0 };
  let kind = null;
  for (let at = 0; at < words.length;) {
    const ends = kind === "event" ? ["solution", "end"] : ["end"];
    let to = at + 1;
    if (kind && !ends.includes(words[at])) {
      const size = kind === "event" ? 5 : 3;
      while (to < words.length && to < at + size && !ends.includes(words[to])) to += 1;
      groups.push({ kind, from: at, to, number: counts[kind]++ });
    } else {
      if (words[at] === "reasoning") kind = "event";
      else if (words[at] === "solution") kind = "step";
      else if (words[at] === "end") kind = null;
      groups.push({ kind: "word", from: at, to, number: null });
    }
    at = to;
  }
  return groups;
}

/** The event that five words write, or null. */
export function eventIn(words) {
  const match = /^(create|close) (\d+) (\d+) c(\d+) c(\d+)$/.exec(words.join(" "));
  if (!match) return null;
  const [x, y, g, h] = match.slice(2).map(Number);
  return { kind: match[1], x, y, g, h };
}

/** The cell that a step names, or null. */
export function stepIn(words) {
  const match = /^plan (\d+) (\d+)$/.exec(words.join(" "));
  return match && [Number(match[1]), Number(match[2])];
}

/** The words of the trace in a response, without `reasoning`. */
export function traceIn(words) {
  const begin = words.indexOf("reasoning") + 1;
  if (!begin) return [];
  const length = words.slice(begin).findIndex((word) => word === "solution" || word === "end");
  return words.slice(begin, length < 0 ? undefined : begin + length);
}

/** What A* does with event n, and why. */
export function eventSentence(event, before, maze) {
  const { kind, x, y, g, h } = event;
  const cell = [x, y];
  const sum = `f = ${g} + ${h} = ${g + h}`;
  if (kind === "create") {
    const old = before.open.find((entry) => entry.x === x && entry.y === y);
    return old
      ? `Create ${cellName(cell)} again: by this way g is ${g}, not ${old.g}, so ${sum}.`
      : `Create ${cellName(cell)}: it joins the open list with ${sum}.`;
  }
  const rivals = before.open.filter((entry) => entry.g + entry.h === g + h).length;
  const why = before.open.length <= 1 ? `it is all there is on the open list, ${sum}`
    : rivals > 1 ? `${sum} is the lowest, and of the ${rivals} cells with it this one came first`
      : `${sum} is the lowest of the open list`;
  const over = sameCell(cell, maze.goal) ? " It is the goal: the search is over." : "";
  return `Close ${cellName(cell)}: ${why}.${over}`;
}
