// Makes elements. Attributes: `onclick` and the like are listeners, true and false switch an
// attribute on and off, everything else is written as it is.

const SVG = "http://www.w3.org/2000/svg";

export function element(tag, attributes = {}, ...children) {
  return dressed(document.createElement(tag), attributes, children);
}

export function drawing(tag, attributes = {}, ...children) {
  return dressed(document.createElementNS(SVG, tag), attributes, children);
}

function dressed(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "value") node.value = value;
    else change(node, name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** Sets an attribute if it is another one now; false, null and undefined take it away. */
export function change(node, name, value) {
  if (value === false || value === null || value === undefined) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
    return;
  }
  const text = value === true ? "" : String(value);
  if (node.getAttribute(name) !== text) node.setAttribute(name, text);
}

/** Sets a text if it is another one now, so that screen readers hear only what is new. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function show(node, shown) {
  if (node.hidden === shown) node.hidden = !shown;
}

export function button(text, onclick, attributes = {}) {
  return element("button", { type: "button", onclick, ...attributes }, text);
}

/** A control with its name in front of it. */
export function field(name, control, attributes = {}) {
  return element("label", { class: "field", ...attributes }, element("span", {}, name), control);
}

export function choice(options, value, onchange, attributes = {}) {
  const select = element("select", { onchange: () => onchange(select.value), ...attributes },
    ...options.map(([key, label]) => element("option", { value: key }, label)));
  select.value = value;
  return select;
}

/**
 * A number. What is none brings back the number before; what is no whole one, or too small or
 * large, becomes the nearest that will do.
 *
 * @param {(kept: number | null, said: string | null) => void} onchange gets the number, null where
 *   none was given, and in a sentence what has been made of what was given
 */
export function numeral(value, low, high, onchange, attributes = {}) {
  const step = attributes.step || 1;
  let before = String(value);
  const input = element("input", {
    type: "number", min: low, max: high, value, inputmode: "numeric",
    onfocus: () => { before = input.value; },
    onchange: () => {
      if (input.value === "" || !Number.isFinite(Number(input.value))) {
        input.value = before;
        onchange(null, `That was no number. It takes one from ${low} to ${high}.`);
        return;
      }
      const given = Number(input.value);
      const near = Math.min(high, Math.max(low, Number((Math.round(given / step) * step).toFixed(6))));
      input.value = before = String(near);
      onchange(near, near === given ? null : `${given} was taken as ${near}: it takes ${
        step === 1 ? "a whole number" : `steps of ${step}`} from ${low} to ${high}.`);
    },
    ...attributes,
  });
  return input;
}

/** Scrolls a box, never the page, until one of its parts is in sight. */
export function reveal(box, part) {
  const outer = box.getBoundingClientRect();
  const inner = part.getBoundingClientRect();
  if (inner.top < outer.top) box.scrollTop -= outer.top - inner.top + 8;
  else if (inner.bottom > outer.bottom) box.scrollTop += inner.bottom - outer.bottom + 8;
}
