// One model: which, what it wrote and how sure it was, what the validator says, and another trace.

import { search } from "../engine/astar.js";
import { sha256Of } from "../engine/checksum.js";
import { drawMaze } from "../engine/generators.js";
import { quoteShort, splitWords, vocabulary, wordsOf } from "../engine/language.js";
import { promptWords } from "../engine/maze.js";
import { cellName } from "../engine/rules.js";
import { SEARCHES } from "./asking.js";
import { createBoard } from "./board.js";
import { button, change, choice, drawing, element, field, numeral, say, show } from "./dom.js";
import { settled } from "./key.js";
import { moveEnd, setWall } from "./mazes.js";
import { goToMoment } from "./steps.js";
import { createStream } from "./stream.js";
import { verdictLines } from "./verdicts.js";
import { percentOf, plural, sameCell, stepIn, partsOf, traceIn } from "./words.js";

const MARKERS = {
  o: "M8 2A6 6 0 1 0 8 14A6 6 0 1 0 8 2Z", s: "M2.5 2.5H13.5V13.5H2.5Z", "^": "M8 2L14.5 14H1.5Z",
  v: "M8 14L14.5 2H1.5Z", D: "M8 1L15 8L8 15L1 8Z", P: "M6 2H10V6H14V10H10V14H6V10H2V6H6Z",
  X: "M3 1L8 6L13 1L15 3L10 8L15 13L13 15L8 10L3 15L1 13L6 8L1 3Z",
};

const LENDERS = 1000; // mazes of a seed whose traces are lent

const NOTHING = { open: new Map(), closed: new Map() };

/** A condition's; hollow, as in the figures, of another seed than the first. */
function marker({ marker: shape, colour }, hollow) {
  return drawing("svg", { class: hollow ? "marker hollow" : "marker", viewBox: "-1 -1 18 18",
    "aria-hidden": "true" },
  drawing("path", { d: MARKERS[shape] || MARKERS.o, fill: hollow ? "none" : colour, stroke: colour }));
}

export function createCard(store, asker, data, id) {
  const slotNow = () => store.state.slots.find((slot) => slot.id === id);
  const infoOf = (name) => data.models.find((model) => model.name === name);
  const labelOf = ({ condition, seed, label }) => (
    label || `${data.conditions[condition].label}, seed ${seed}`);
  const firstSeed = Math.min(...data.models.map(({ seed }) => seed));

  // ── which model, and its state ──

  const sign = element("span", { class: "sign-of-condition" });
  const which = choice(data.models.map((one) => [one.name, labelOf(one)]), slotNow().model,
  (model) => asker.ask(id, { model, given: null, origin: null }), { "aria-label": "Model" });
  const halt = button("Stop", () => asker.halt(id), { class: "halt" });
  const again = button("Ask again", () => asker.ask(id, slotNow().temperature > 0
    ? { seed: slotNow().seed + 1 } : {}), { class: "halt" });
  const gone = button("×", () => asker.remove(id), { class: "gone", "aria-label": "Remove this model", title: "Remove this model" });
  const state = element("p", { class: "state quiet" });
  const problem = element("p", { class: "alert", role: "alert" });

  // ── what it wrote ──

  const board = createBoard({
    hover: (cell) => {
      if (!sameCell(cell, store.state.hover)) store.set({ hover: cell });
    },
    select: (cell) => store.set({ cell: sameCell(cell, store.state.cell) ? null : cell }),
    wall: (cell, wall) => setWall(store, cell, wall),
    move: (name, cell) => moveEnd(store, name, cell),
  });
  const verdict = element("ul", { class: "verdict", "aria-label": "Verdict" });
  const bars = element("div", { class: "bars" });
  const stream = createStream({
    choose: (part, place) => {
      if (part.kind === "event") goToMoment(store, part.number + 1);
      else if (part.from > 0) goToMoment(store, Infinity);
      tellOf(place);
    },
    over: (part, place) => {
      const event = part?.kind === "event" ? slotNow()?.events[part.number] : null;
      const hover = event ? [event.x, event.y] : null;
      if (!sameCell(hover, store.state.hover)) store.set({ hover });
      if (part) tellOf(place);
    },
  }, true);

  let told = null; // the place of the word whose runners-up are shown
  function tellOf(place) {
    const slot = slotNow();
    told = place;
    const at = place ?? leastSure(slot);
    const known = slot.chances[at];
    const word = slot.words[at];
    if (!known) {
      bars.replaceChildren(element("p", { class: "quiet" }, place === 0
        ? "The first word belongs to the question." : ""));
      return;
    }
    const listed = known.top.some((other) => other.word === word) ? known.top
      : [...known.top, { word, p: known.p }];
    bars.replaceChildren(
      element("p", {}, place === null ? "Least sure of " : "", `word ${at}, `, element("code", {}, word)),
      element("ol", {}, ...listed.map((other) => element("li",
        { class: other.word === word ? "written" : false },
        element("code", {}, other.word),
        element("span", { class: "bar", style: `--p: ${other.p.toFixed(4)}`, "aria-hidden": "true" }),
        element("span", { class: "number" }, percentOf(other.p))))));
  }

  // ── asked otherwise ──

  const settings = { gap: 0, temperature: 0, seed: 1 };
  const setting = (name, value, low, high, attributes) => numeral(value, low, high, (kept, said) => (
    kept === null ? asker.complain(id, said) : asker.ask(id, { [name]: kept, remark: said })),
  attributes);
  const gap = setting("gap", 0, -200, 1000);
  const temperature = setting("temperature", 0, 0, 3, { step: 0.05, inputmode: "decimal" });
  const seed = setting("seed", 1, 0, 999999);
  const otherwise = element("details", {}, element("summary", {}, "Ask otherwise"),
    element("div", { class: "row" }, field("gap", gap), field("temperature", temperature),
      field("seed of its draws", seed)),
    element("p", { class: "quiet" }, "The gap leaves out positions between question and answer. At "
      + "temperature 0 the likeliest word is taken; above it words are drawn."));

  // ── another trace ──

  const text = element("textarea", { rows: 5, spellcheck: "false", autocomplete: "off" });
  const lender = element("figure", { class: "lender", hidden: true });
  const lent = createBoard();
  lender.append(lent.element, element("figcaption", { class: "quiet" }, "The trace above belongs to this maze."));
  const put = (words, maze = null) => {
    text.value = words.join(" ");
    show(lender, Boolean(maze));
    if (maze) {
      lent.update({ maze, states: settled(maze, [], 0), current: null, plan: search(maze).plan,
        label: `The other maze, start ${cellName(maze.start)}, goal ${cellName(maze.goal)}` });
    }
  };
  const cut = button("", () => {
    const slot = slotNow();
    put(traceIn(slot.words).slice(0, 5 * Math.min(store.state.moments.models, slot.events.length)));
  });
  const write = (andPlan) => {
    const written = splitWords(text.value);
    const given = andPlan && !written.includes("solution") ? [...written, "solution"] : written;
    const { maze } = store.state;
    const { ids } = vocabulary(maze.rows, maze.cols);
    const unknown = given.find((word) => !ids.has(word));
    if (unknown) asker.complain(id, `The word ${quoteShort(unknown)} is none that the model knows.`);
    else if (given.slice(0, -1).includes("end")) {
      asker.complain(id, "The word “end” ends an answer: nothing can follow it.");
    } else asker.ask(id, { given, origin: null });
  };
  const changing = element("details", {}, element("summary", {}, "Change the trace"),
    field("The trace; the model goes on behind it", text),
    element("div", { class: "row tight" },
      button("A*'s own", () => put(wordsOf(store.state.events))),
      button("Another maze's", () => put(...borrowed(store.state))),
      cut,
      button("Filler", () => put(splitWords(text.value).map(() => "<unk>")))),
    lender,
    element("div", { class: "row tight" },
      button("Let it write the plan", () => write(true), { class: "main" }),
      button("Let it go on with the trace", () => write(false)),
      button("Its own again", () => asker.ask(id, { given: null, origin: null }))));

  // ── stored answers ──

  const kind = element("select", {});
  const storedOnes = element("details", {}, element("summary", {}, "Answers of the study"),
    element("p", { class: "quiet" }, "All that this model answered to the test mazes."),
    field("mazes by", kind),
    element("div", { class: "row tight" }, ...SEARCHES.map((one) => button(one.label,
      () => asker.showStored(id, kind.value, one), { "data-search": one.name }))));
  let offered = null;
  function offer(model) {
    if (offered === model) return;
    offered = model;
    const kinds = data.responses.filter((stored) => stored.model === model);
    kind.replaceChildren(...kinds.map(({ distribution, label }) => (
      element("option", { value: distribution }, label))));
    show(storedOnes, kinds.length > 0);
    change(storedOnes.querySelector("[data-search=senseless]"), "hidden", !asker.hasTrace(model));
    show(changing, asker.hasTrace(model));
    const { condition, seed } = infoOf(model);
    sign.replaceChildren(marker(data.conditions[condition], seed !== firstSeed));
  }

  const made = element("article", { class: "card" },
    element("header", {}, sign, which, gone),
    element("div", { class: "status" }, state, halt, again),
    element("div", { class: "picture" }, board.element), verdict,
    element("div", { class: "answer" }, problem, stream.element, bars),
    element("div", { class: "more" }, otherwise, changing, storedOnes));
  tellOf(null);

  function update(whole, slot, moment) {
    const { maze } = whole;
    const at = Math.min(moment, slot.events.length);
    const event = at > 0 ? slot.events[at - 1] : null;
    const over = at === slot.events.length && slot.words.includes("solution");
    const broken = slot.verdict?.broken;
    const brokenAt = broken && broken.event < at ? slot.events[broken.event] : null;
    const planBroken = over && slot.verdict && slot.status !== "running" && !slot.verdict.planValid;
    const label = labelOf(infoOf(slot.model));
    offer(slot.model);
    which.value = slot.model;
    change(made, "aria-label", label);
    change(which, "title", label);
    const parts = label.split(", "); // a narrow card cuts a long name off before its end
    const variation = parts.length > 2 ? parts.slice(1).join(", ") : "";
    change(made, "data-status", slot.status);
    board.update({
      maze, states: asker.hasTrace(slot.model) ? settled(maze, slot.events, at) : NOTHING, current: event && [event.x, event.y],
      plan: over ? planOf(slot.words) : null, numbers: whole.numbers && maze.cols <= 8,
      marked: whole.hover, selected: whole.cell, editing: whole.editing,
      crossed: brokenAt && [brokenAt.x, brokenAt.y],
      brokenStep: planBroken && slot.verdict.planStep !== null
        ? planOf(slot.words)[slot.verdict.planStep] : null,
      label: `What ${label} wrote, drawn on the maze, ${at} of ${slot.events.length} events`,
    });
    const linked = whole.hover || whole.cell;
    stream.update({
      label: `Words of ${label}`, words: slot.words, chances: slot.chances, current: at - 1,
      given: slot.given ? slot.given.length + 1 : 0, statuses: slot.verdict?.statuses || [],
      follow: slot.status === "running",
      linked: new Set(slot.events.flatMap((one, n) => (
        one && sameCell([one.x, one.y], linked) ? [n] : []))),
    });
    const running = slot.status === "running";
    const written = plural(Math.max(0, slot.words.length - 1), "word");
    say(state, slot.looking ? "looking through its answers…" : [variation, { running: `writing, ${written}`, done: written, stopped: `stopped after ${written}`,
      failed: "no answer" }[slot.status], slot.origin
      ? `stored answer ${slot.origin.index + 1} of ${slot.origin.of}`
      : slot.given?.length ? `${slot.given.length} of them given` : "", slot.remark].filter(Boolean).join(", "));
    show(halt, running);
    show(again, ["stopped", "failed"].includes(slot.status) || (!running && slot.temperature > 0));
    say(again, slot.temperature > 0 ? "Draw again" : "Ask again");
    say(problem, slot.problem || "");
    verdict.replaceChildren(...verdictLines(slot, maze, asker.hasTrace(slot.model)));
    for (const [input, value] of [[gap, slot.gap], [temperature, slot.temperature], [seed, slot.seed]]) {
      if (input !== document.activeElement) input.value = value;
    }
    say(cut, `Cut after ${plural(at, "event")}`);
    if (slot.words !== settings.words) {
      if (!running && !slot.problem && document.activeElement !== text && settings.status !== slot.status
        && splitWords(text.value).join(" ") !== traceIn(slot.words).join(" ")) put(traceIn(slot.words));
      settings.words = slot.words;
      settings.status = slot.status;
      if (told === null || !slot.chances[told]) tellOf(null);
    }
  }

  return { element: made, update };
}

/** The place of the word that a model itself wrote with the lowest probability. */
function leastSure({ words, chances, given }) {
  const from = given && given.length + 1 < words.length ? given.length + 1 : 1;
  let found = from;
  for (let at = from; at < words.length; at += 1) {
    if (chances[at] && chances[at].p < chances[found].p) found = at;
  }
  return found;
}

/** The cells of a plan up to the first step that cannot be read. */
function planOf(words) {
  const cells = partsOf(words).filter(({ kind }) => kind === "step")
    .map(({ from, to }) => stepIn(words.slice(from, to)));
  const end = cells.indexOf(null);
  return end < 0 ? cells : cells.slice(0, end);
}

/** The true trace of another maze of the same kind, and that maze: always the same for a maze. */
function borrowed({ maze, drawn }) {
  const ownWords = `${promptWords(maze)}`;
  const number = Number(`0x${sha256Of([new TextEncoder().encode(ownWords)]).slice(0, 8)}`);
  const otherAt = (index) => drawMaze(drawn.generator, maze.rows, maze.cols, drawn.seed, index);
  let other = otherAt(number % LENDERS);
  if (`${promptWords(other)}` === ownWords) other = otherAt(number % LENDERS + 1);
  return [wordsOf(search(other).events), other];
}
