// The open list as a table, in the order of insertion.

import { cellName } from "../engine/rules.js";
import { change, element, say, show } from "./dom.js";

export function createOpenList() {
  const caption = element("caption");
  const body = element("tbody");
  const heads = [["cell", "cell"], ["g", "moves from the start"], ["h", "moves to the goal if there were no walls"],
    ["f", "g + h"], ["from", "the cell closed when it was created"]];
  const table = element("table", {}, caption, element("thead", {}, element("tr", {},
    ...heads.map(([name, title]) => element("th", { scope: "col", title }, name)))), body);
  const empty = element("p", { class: "quiet" }, "It is empty.");
  const made = element("div", { class: "open-list", tabindex: "0", role: "region",
    "aria-label": "Open list" }, table, empty);

  function update({ open, next: nextAt }) {
    say(caption, "Open list, in the order of insertion");
    body.replaceChildren(...open.map((entry, at) => {
      const next = at === nextAt;
      const from = entry.parent ? cellName(entry.parent) : "–";
      const cell = element("th", { scope: "row" }, cellName([entry.x, entry.y]));
      if (next) cell.append(element("span", { class: "next" }, " next"));
      return element("tr", { class: next ? "lowest" : false }, cell,
        ...[entry.g, entry.h, entry.f, from].map((value) => element("td", {}, String(value))));
    }));
    show(empty, open.length === 0);
    change(made, "class", `open-list${open.length ? "" : " is-empty"}`);
  }

  return { element: made, update };
}
