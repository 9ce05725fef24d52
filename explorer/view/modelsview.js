// Up to three models side by side, asked about the same maze.

import { createCard } from "./card.js";
import { MOST_SLOTS } from "./asking.js";
import { button, element, say, show } from "./dom.js";
import { createKey } from "./key.js";
import { createKeys, createPlayer, createSpeed } from "./player.js";
import { momentOf } from "./steps.js";

export function createModelsView(store, asker, data) {
  const player = createPlayer(store);
  const status = element("p", { class: "quiet", role: "status" });
  const cards = new Map();
  const holder = element("div", { class: "cards" });
  const add = button("Add a model", () => {
    const shown = store.state.slots.map(({ model }) => model);
    const next = data.models.find(({ name }) => !shown.includes(name)) || data.models[0];
    asker.add(next.name);
  });
  const left = data.left_out.length
    ? element("p", { class: "quiet" }, `Not offered here, for they know mazes of another size: ${
      data.left_out.join(", ")}.`) : null;
  const made = element("div", { class: "models" },
    element("div", { class: "bar" },
      element("div", { class: "row under" }, player.element, createSpeed(store), add),
      element("div", { class: "row under" },
        createKey(["open", "closed", "current", "wall", "plan", "crossed"]), status)),
    holder, left, data.caution ? element("p", { class: "quiet" }, data.caution) : null,
    createKeys());

  function update(state) {
    player.update(state);
    const ids = new Set(state.slots.map(({ id }) => id));
    for (const [id, card] of cards) {
      if (!ids.has(id)) {
        card.element.remove();
        cards.delete(id);
      }
    }
    for (const slot of state.slots) {
      if (!cards.has(slot.id)) {
        cards.set(slot.id, createCard(store, asker, data, slot.id));
        holder.append(cards.get(slot.id).element);
      }
      cards.get(slot.id).update(state, slot, momentOf(state));
    }
    show(add, state.slots.length < MOST_SLOTS);
    const writing = state.slots.filter((slot) => slot.status === "running").length;
    say(status, state.slots.length === 0 ? "No model is chosen."
      : writing ? `${writing} of ${state.slots.length} models are writing.`
        : "Each word has a bar: how sure the model was of it.");
  }

  return { element: made, update };
}
