// Puts an explorer into an element. It needs nothing but what `data` says and `load` brings.

import { createAsker } from "./asking.js";
import { element, show, change } from "./dom.js";
import { createModelsView } from "./modelsview.js";
import { createPicker } from "./picker.js";
import { createSearchView } from "./searchview.js";
import { enterView, firstState } from "./start.js";
import { keepPlaying, stepByKey } from "./steps.js";
import { createStore } from "./store.js";

const VIEWS = { search: "The search", models: "The models" };

/**
 * @param {HTMLElement} host gets the explorer in place of what it holds.
 * @param {object} data as `helpers.show.explorer.facts` in Python makes it.
 * @param {(file: string) => Promise<ArrayBuffer>} load brings a model or stored answers.
 * @param {boolean} whole whether the page holds nothing else that takes keys.
 * @returns {{store: object, end: () => void}}
 */
export function mount(host, data, load, whole = false) {
  const store = createStore(firstState(data));
  const asker = createAsker(store, data, load);
  const views = {
    search: () => createSearchView(store),
    models: () => createModelsView(store, asker, data),
  };
  const built = {};
  const panels = element("div", { class: "panels" });
  const tabs = data.views.map((name) => element("button", {
    type: "button", role: "tab", id: `${store.state.id}-${name}`,
    onclick: () => enterView(store, asker, name),
  }, VIEWS[name]));
  const list = element("div", { class: "tabs", role: "tablist", "aria-label": "Views" }, ...tabs);
  list.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!way) return;
    event.preventDefault();
    event.stopPropagation();
    const at = (tabs.indexOf(document.activeElement) + way + tabs.length) % tabs.length;
    tabs[at].focus();
    enterView(store, asker, data.views[at]);
  });
  const picker = createPicker(store);
  const root = element("div", { class: "bt", "data-lm-suppress-shortcuts": "true" },
    tabs.length > 1 ? list : null, picker.element, panels);
  root.addEventListener("keydown", (event) => stepByKey(store, event));
  const anywhere = (event) => { // left and right mean nothing else where nothing has the focus
    if (whole && event.target === document.body && /^Arrow(Left|Right)$/.test(event.key)) {
      stepByKey(store, event);
    }
  };
  document.addEventListener("keydown", anywhere);
  host.replaceChildren(root);

  store.subscribe((state) => {
    data.views.forEach((name, at) => {
      const here = name === state.view;
      change(tabs[at], "aria-selected", String(here));
      change(tabs[at], "tabindex", here ? "0" : "-1");
      if (here && !built[name]) {
        built[name] = views[name]();
        if (tabs.length > 1) {
          change(built[name].element, "role", "tabpanel");
          change(built[name].element, "aria-labelledby", tabs[at].id);
        }
        panels.append(built[name].element);
      }
      if (built[name]) show(built[name].element, here);
    });
    picker.update(state);
    built[state.view].update(state);
  });
  const stopPlaying = keepPlaying(store);
  if (store.state.view === "models") enterView(store, asker, "models");
  return {
    store,
    end() {
      document.removeEventListener("keydown", anywhere);
      stopPlaying();
      asker.stopAll();
    },
  };
}
