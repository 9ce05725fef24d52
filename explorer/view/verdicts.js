// What the validator says of an answer, line by line and in plain words.

import { element } from "./dom.js";

const PLAN_RULES = {
  missing: "there is none", parse: "it cannot be read", unterminated: "it does not end",
  empty: "it has no step", wrong_start: "it does not begin at the start",
  off_grid: "it leaves the grid", wall: "it runs into a wall", jump: "it jumps",
  wrong_end: "it does not end at the goal",
};

const TRACE_RULES = {
  parse: "cannot be read", invalid_neighbor: "creates a cell that could not come now",
  wrong_cost: "has wrong costs", already_closed: "closes a cell for the second time",
  not_in_open: "closes a cell that is not open",
  not_lowest_f: "closes a cell, though another has a lower f",
  goal_not_reached: "it ends before the goal is closed",
};

const SIGN_OF = { good: ["✓", "valid"], bad: ["✗", "not valid"], none: ["–", "none"] };

export function verdictLines(slot, maze, traced) {
  const { verdict, published, status } = slot;
  if (!verdict) return [];
  const done = status !== "running";
  const lines = [];
  if (traced) lines.push(line("Trace", traceKind(verdict, done), ...traceWords(verdict, done)));
  lines.push(line("Plan", planKind(verdict, done), planWords(verdict, done)));
  if (published) {
    const by = (valid) => (valid === null ? "none" : valid ? "✓ valid" : "✗ not valid");
    lines.push(element("li", { class: "authors" }, "By the authors' rules: ",
      traced ? `trace ${by(published.traceValid)}, ` : null, `plan ${by(published.planValid)}.`));
  }
  return lines;
}

function line(name, kind, ...words) {
  const [glyph, meaning] = SIGN_OF[kind];
  return element("li", { class: kind },
    element("span", { class: "sign", role: "img", "aria-label": meaning }, glyph),
    element("span", {}, element("b", {}, name), " ", ...words));
}

const traceKind = ({ traceValid, broken }, done) => (
  traceValid ? "good" : broken && (done || broken.rule !== "goal_not_reached") ? "bad" : "none");

function traceWords({ traceExact, traceStrict, traceValid, broken, expected, events }, done) {
  if (traceExact) return ["the very events of A*"];
  if (traceStrict) return ["a faultless run of A*, though not this one's"];
  if (traceValid) return ["breaks no rule, but leaves out or adds events"];
  if (!broken || (!done && broken.rule === "goal_not_reached")) return [`${events.length} events so far`];
  const early = broken.rule === "goal_not_reached";
  const says = TRACE_RULES[broken.rule] || `breaks ${broken.rule}`;
  const told = early ? `${says}. ` : `event ${broken.event} ${says}. Expected: ${broken.expected}. `;
  if (!expected) return [told];
  return expected.startsWith("nothing") ? [told, `A* would have written ${expected}.`]
    : [told, "A* would have written ", element("code", {}, expected), "."];
}

const planKind = ({ planValid }, done) => (planValid ? "good" : done ? "bad" : "none");

function planWords({ planValid, planOptimal, planError, planStep }, done) {
  if (planOptimal) return "valid, and as short as can be";
  if (planValid) return "valid, but not the shortest";
  if (!done) return "not there yet";
  return `${PLAN_RULES[planError] || planError}${planStep === null ? "" : `, at step ${planStep}`}`;
}
