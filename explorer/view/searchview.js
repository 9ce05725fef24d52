// How A* searches one maze: the board, the step in words, the open list, the words it leaves.

import { openListAfter } from "../engine/astar.js";
import { wordsOf } from "../engine/language.js";
import { cellName } from "../engine/rules.js";
import { createBoard } from "./board.js";
import { button, element, say, show } from "./dom.js";
import { createKey, settled } from "./key.js";
import { moveEnd, setWall } from "./mazes.js";
import { createOpenList } from "./openlist.js";
import { createKeys, createPlayer, createSpeed } from "./player.js";
import { goToMoment, momentOf } from "./steps.js";
import { createStream } from "./stream.js";
import { eventSentence, plural, sameCell } from "./words.js";

export function createSearchView(store) {
  const board = createBoard({
    select: (cell) => store.set({ cell: sameCell(cell, store.state.cell) ? null : cell }),
    hover: (cell) => {
      if (!sameCell(cell, store.state.hover)) store.set({ hover: cell });
    },
    wall: (cell, wall) => setWall(store, cell, wall),
    move: (name, cell) => moveEnd(store, name, cell),
  });
  const player = createPlayer(store);
  const openList = createOpenList();
  const stream = createStream({
    choose: (group) => {
      if (group.kind === "event") goToMoment(store, group.number + 1);
      else goToMoment(store, group.kind === "word" && group.from === 0 ? 0 : Infinity);
    },
    over: (group) => {
      const event = group?.kind === "event" ? store.state.events[group.number] : null;
      const hover = event ? [event.x, event.y] : null;
      if (!sameCell(hover, store.state.hover)) store.set({ hover });
    },
  });
  const numbers = element("input", {
    type: "checkbox", onchange: () => store.set({ numbers: numbers.checked }),
  });
  const moment = element("p", { class: "moment" });
  const step = element("p", { class: "sentence" });
  const now = element("div", { class: "telling" }, moment, step);
  const chosen = element("div", { class: "chosen", role: "status" });
  const made = element("div", { class: "search" },
    element("div", { class: "stage" }, board.element, player.element,
      element("div", { class: "row under" },
        element("label", { class: "check" }, numbers, " f, g and h in the cells"), createSpeed(store)),
      createKey(["open", "closed", "current", "wall", "plan"])),
    element("div", { class: "side" }, now, chosen, openList.element,
      element("div", { class: "text" },
        element("h2", {}, "What the search leaves as text"),
        element("p", { class: "quiet" }, "kind, x, y, g, h: this is what models are trained on."),
        stream.element)),
    createKeys());

  let told = null;
  function cellFacts({ cell, events }) {
    if (!cell) return chosen.replaceChildren();
    const own = events.map((event, n) => ({ ...event, n }))
      .filter(({ x, y }) => sameCell([x, y], cell));
    return chosen.replaceChildren(element("p", {}, element("b", {}, `Cell ${cellName(cell)}: `),
      own.length ? `${plural(own.length, "event")}. ` : "the search does not touch it. ",
      ...own.flatMap(({ kind, n, g, h }) => [button(`${n} ${kind}, f = ${g} + ${h}`,
        () => goToMoment(store, n + 1), { class: "link" }), " "])));
  }

  function update(state) {
    const { maze, events, plan } = state;
    const at = momentOf(state);
    const event = events[at - 1] || null;
    const over = at === events.length;
    board.update({
      maze, states: settled(maze, events, at), current: event && [event.x, event.y],
      plan: over ? plan : null, marked: state.hover, selected: state.cell, numbers: state.numbers,
      editing: state.editing,
      label: `Maze of ${maze.rows} rows and ${maze.cols} columns, start ${cellName(maze.start)}, goal `
        + `${cellName(maze.goal)}, ${at} of ${events.length} events done`,
    });
    player.update(state);
    openList.update(openListAfter(maze, events, at));
    const words = ["reasoning", ...wordsOf(events), ...(plan
      ? ["solution", ...plan.flatMap(([x, y]) => ["plan", String(x), String(y)]), "end"] : [])];
    const linked = state.hover || state.cell;
    stream.update({
      label: "Trace and plan", words, current: at - 1,
      linked: new Set(events.flatMap(({ x, y }, n) => (sameCell([x, y], linked) ? [n] : []))),
    });
    numbers.checked = state.numbers;
    now.setAttribute("aria-live", state.playing ? "off" : "polite");
    say(moment, event ? `Event ${at - 1}, ${at} of ${events.length} done` : "Before the first event");
    say(step, event ? eventSentence(event, openListAfter(maze, events, at - 1), maze)
      : `Only the start ${cellName(maze.start)} is open. Step on, or press play.`);
    show(chosen, Boolean(state.cell));
    if (told !== state.cell || told?.maze !== maze) {
      told = state.cell;
      cellFacts(state);
    }
  }

  return { element: made, update };
}
