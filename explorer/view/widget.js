// The explorer in a notebook: what it loads comes from the kernel, light or dark from JupyterLab.

import { change } from "./dom.js";
import { mount } from "./mount.js";

export function renderWidget({ model, el }) {
  const waiting = new Map(); // file → {resolve, reject} of each who waits for it

  function hear({ file, error }, buffers = []) {
    const those = waiting.get(file) || [];
    waiting.delete(file);
    for (const { resolve, reject } of those) {
      if (error) reject(new Error(error));
      else {
        const { buffer, byteOffset, byteLength } = buffers[0];
        resolve(buffer.slice(byteOffset, byteOffset + byteLength));
      }
    }
  }

  const load = (file) => new Promise((resolve, reject) => {
    const those = waiting.get(file) || [];
    waiting.set(file, [...those, { resolve, reject }]);
    if (!those.length) model.send({ load: file });
  });

  model.on("msg:custom", hear);
  const explorer = mount(el, model.get("data"), load);
  const dress = () => {
    const light = document.body.dataset.jpThemeLight;
    change(el.firstElementChild, "data-theme", light && (light === "true" ? "light" : "dark"));
  };
  const watch = new MutationObserver(dress);
  watch.observe(document.body, { attributeFilter: ["data-jp-theme-light"] });
  dress();
  return () => {
    watch.disconnect();
    model.off("msg:custom", hear);
    explorer.end();
  };
}
