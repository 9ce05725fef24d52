// First, back, play, on, last; a slider; how fast.

import { button, change, choice, element, field, say } from "./dom.js";
import { goToMoment, momentOf, togglePlay, totalOf } from "./steps.js";

const PAUSES = [["1200", "slow"], ["500", "normal"], ["120", "fast"]];
const SHAPES = {
  first: "M3 3V13M13 3L6 8L13 13Z", back: "M11 3L4 8L11 13Z", play: "M5 2.5L13 8L5 13.5Z",
  pause: "M4 3H7V13H4ZM9 3H12V13H9Z", on: "M5 3L12 8L5 13Z", last: "M13 3V13M3 3L10 8L3 13Z",
};

export function createPlayer(store) {
  const symbol = (name) => {
    const holder = element("span", { class: "symbol", "aria-hidden": "true" });
    holder.innerHTML = `<svg viewBox="0 0 16 16"><path d="${SHAPES[name]}"/></svg>`;
    return holder;
  };
  const control = (name, title, act) => {
    const made = button("", act, { class: "step-button", "aria-label": title, title });
    made.append(symbol(name));
    return made;
  };
  const here = () => momentOf(store.state);
  const play = control("play", "Play", () => togglePlay(store));
  const slider = element("input", {
    type: "range", min: 0, step: 1, "aria-label": "Events done",
    oninput: () => goToMoment(store, Number(slider.value)),
  });
  const count = element("output", { class: "count" });
  const made = element("div", { class: "player", role: "group", "aria-label": "Steps" },
    element("div", { class: "buttons" },
      control("first", "To the start", () => goToMoment(store, 0)),
      control("back", "One event back", () => goToMoment(store, here() - 1)),
      play,
      control("on", "One event on", () => goToMoment(store, here() + 1)),
      control("last", "To the end", () => goToMoment(store, Infinity))),
    slider, count);
  let shape = "play";

  function update(state) {
    const total = totalOf(state);
    const moment = momentOf(state);
    change(slider, "max", total);
    slider.value = moment;
    change(slider, "aria-valuetext", `${moment} of ${total} events`);
    say(count, `${moment} / ${total}`);
    const wanted = state.playing ? "pause" : "play";
    if (wanted === shape) return;
    shape = wanted;
    play.replaceChildren(symbol(shape));
    change(play, "aria-label", state.playing ? "Pause" : "Play");
    change(play, "title", state.playing ? "Pause" : "Play");
  }

  return { element: made, update };
}

export function createSpeed(store) {
  return field("speed", choice(PAUSES, String(store.state.pause),
    (value) => store.set({ pause: Number(value) })), { class: "field beside" });
}

export function createKeys() {
  const key = (name) => element("kbd", {}, name);
  return element("p", { class: "keys" }, "Keys: ", key("←"), " ", key("→"), " one event, ",
    key("Home"), " ", key("End"), " first and last, ", key("Space"),
    " play. On the board arrows move from cell to cell, ", key("Enter"), " chooses one.");
}
