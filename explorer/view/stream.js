// The words of a response, in a list with a line for each event.
//
// In the search a line is one button; of a model each word is one, for each has a probability.

import { change, element, reveal, say } from "./dom.js";
import { eventIn, partsOf, percentOf } from "./words.js";

const SIGNS = {
  valid: ["✓", "valid"], strict: ["!", "leaves out or adds something"],
  broken: ["✗", "breaks a rule"], unjudged: ["·", "not judged, for an event before breaks a rule"],
};

/**
 * @param {object} told `choose(group, place)` on click, `over(group | null, place)` on hover and
 *   focus; place is that of the word in the response.
 * @param {boolean} each whether each word is a button.
 */
export function createStream(told, each = false) {
  const list = element("ol", { class: `stream${each ? " each" : ""}` });
  let lines = []; // {item, key, group, units, sign}
  let units = []; // [button, line, place]
  let cursor = 0;

  function build(group, words) {
    const line = { key: words.join(" "), group, units: [] };
    const parts = each ? words.map((word) => [word]) : [words];
    parts.forEach((part, i) => {
      const unit = element("button", { type: "button", tabindex: "-1", class: "unit" },
        element("span", {}, part.join(" ")));
      const place = () => line.group.from + i;
      unit.addEventListener("click", () => told.choose(line.group, place()));
      unit.addEventListener("focus", () => told.over?.(line.group, place()));
      unit.addEventListener("pointerenter", () => told.over?.(line.group, place()));
      line.units.push(unit);
    });
    line.sign = element("span", { class: "sign" });
    const kind = eventIn(words)?.kind || group.kind;
    line.item = element("li", { class: `line ${group.kind} ${kind}` },
      group.kind === "event"
        ? element("span", { class: "number", "aria-hidden": "true" }, String(group.number)) : null,
      ...line.units, line.sign);
    return line;
  }

  list.addEventListener("pointerleave", () => told.over?.(null));
  list.addEventListener("focusout", (event) => {
    if (!list.contains(event.relatedTarget)) told.over?.(null);
  });
  list.addEventListener("focusin", (event) => {
    const at = units.findIndex(([unit]) => unit === event.target);
    if (at >= 0) roveTo(at);
  });

  function roveTo(at) {
    if (units[cursor]) change(units[cursor][0], "tabindex", "-1");
    cursor = Math.max(0, Math.min(units.length - 1, at));
    if (units[cursor]) change(units[cursor][0], "tabindex", "0");
  }

  list.addEventListener("keydown", (event) => {
    const line = units[cursor]?.[1];
    const to = (index) => {
      const found = lines[Math.max(0, Math.min(lines.length - 1, index))];
      return units.findIndex(([unit]) => unit === found.units[0]);
    };
    const ways = {
      ArrowUp: () => to(lines.indexOf(line) - 1), ArrowDown: () => to(lines.indexOf(line) + 1),
      ...(each && { ArrowLeft: () => cursor - 1, ArrowRight: () => cursor + 1 }),
    };
    if (!line || !(event.key in ways)) return;
    event.preventDefault();
    event.stopPropagation();
    roveTo(ways[event.key]());
    units[cursor][0].focus({ preventScroll: true });
    reveal(list, units[cursor][1].item);
  });

  /**
   * @param {object} next {label, words, chances: [{p}] | null, given: how many words were given,
   *   statuses: of events, current: number of the event just written, linked: Set of numbers,
   *   follow: whether the end is kept in sight}
   */
  function update({ label, words, chances, given = 0, statuses, current, linked, follow }) {
    change(list, "aria-label", label);
    const groups = partsOf(words);
    lines.slice(groups.length).forEach((line) => line.item.remove());
    lines = groups.map((group, i) => {
      const part = words.slice(group.from, group.to);
      const old = lines[i];
      if (old && old.key === part.join(" ") && old.group.kind === group.kind
        && old.group.number === group.number) {
        old.group = group;
        return old;
      }
      const line = build(group, part);
      if (old) old.item.replaceWith(line.item);
      else list.append(line.item);
      return line;
    });
    units = lines.flatMap((line) => line.units.map((unit, i) => [unit, line, line.group.from + i]));
    if (!units[cursor] || !list.contains(document.activeElement)) {
      const at = units.findIndex(([, line]) => line.group.number === current
        && line.group.kind === "event");
      units.forEach(([unit]) => change(unit, "tabindex", "-1"));
      roveTo(at < 0 ? 0 : at);
    }
    const last = lines.findLastIndex((line) => line.group.kind === "event");
    const here = lines.findIndex((line) => line.group.kind === "event" && line.group.number === current);
    for (const [at, line] of lines.entries()) {
      const event = line.group.kind === "event";
      const { number } = line.group;
      const state = here >= 0 && at === here ? "now" : at > here && at > 0 && here !== last ? "coming" : "";
      const status = event && statuses ? statuses[number] || "" : "";
      change(line.item, "class", ["line", line.group.kind,
        eventIn(words.slice(line.group.from, line.group.to))?.kind, state, status,
        event && linked?.has(number) ? "linked" : ""].filter(Boolean).join(" "));
      change(line.item, "aria-current", state === "now" ? "step" : false);
      const [glyph, meaning] = SIGNS[status] || ["", ""];
      say(line.sign, glyph);
      change(line.sign, "role", glyph ? "img" : false);
      change(line.sign, "aria-label", meaning || false);
    }
    for (const [unit, line, place] of units) {
      const p = chances?.[place]?.p;
      const known = each && p !== undefined && p !== null;
      const forced = place < given;
      change(unit, "style", known ? `--p: ${p.toFixed(4)}` : false);
      change(unit, "class", ["unit", known ? "likely" : "", forced ? "given" : "",
        known && p < 0.5 ? "unsure" : ""].filter(Boolean).join(" "));
      const word = unit.textContent;
      change(unit, "aria-label", known ? `${word}, ${percentOf(p)}${forced ? ", given" : ""}`
        : each ? false : line.group.kind === "event" ? `event ${line.group.number}: ${word}` : false);
    }
    const seen = follow ? lines.at(-1) : lines.find((line) => line.item.classList.contains("now"));
    if (seen && !list.contains(document.activeElement)) reveal(list, seen.item);
  }

  return { element: list, update };
}
