/**
 * The language of the study: one example as words, as token ids, as events.
 *
 * An example is one line,
 *
 *     query start X Y goal X Y {wall X Y}* reasoning {close|create X Y cG cH}*
 *     solution {plan X Y}* end
 *
 * The vocabulary follows from the grid's size alone: 4 specials, 10 words, the coordinates and one
 * cost for every g that a path can have, in this order.
 */

export const SPECIAL_WORDS = ["<pad>", "<bos>", "<eos>", "<unk>"];
export const LANGUAGE_WORDS = ["query", "start", "goal", "wall", "reasoning", "create", "close",
  "solution", "plan", "end"];

const NAMED_WORDS = [...SPECIAL_WORDS, ...LANGUAGE_WORDS];
export const REASONING_ID = NAMED_WORDS.indexOf("reasoning");
export const SOLUTION_ID = NAMED_WORDS.indexOf("solution");
export const END_ID = NAMED_WORDS.indexOf("end");

/**
 * One step of a trace: a cell enters the open list (create) or is expanded (close).
 *
 * @typedef {{kind: "create"|"close", x: number, y: number, g: number, h: number}} TraceEvent
 *   g in moves from the start, h the Manhattan distance to the goal
 */

/**
 * The tokens of one grid size.
 *
 * @param {number} rows
 * @param {number} cols
 * @returns {{words: string[], ids: Map<string, number>, size: number,
 *   encode: (text: string) => Uint16Array, decode: (ids: Iterable<number>) => string}}
 *   `encode` takes words with white space between them and throws an Error that names the first
 *   unknown one and its place; `decode` joins words by single spaces and throws on an unknown id.
 */
export function vocabulary(rows, cols) {
  const coordinates = Array.from({ length: Math.max(rows, cols) }, (_, i) => `${i}`);
  const costs = Array.from({ length: rows * cols }, (_, i) => `c${i}`);
  const words = [...NAMED_WORDS, ...coordinates, ...costs];
  const ids = new Map(words.map((word, id) => [word, id]));
  const kind = `of a ${rows}x${cols} grid`;

  function encode(text) {
    return Uint16Array.from(splitWords(text), (word, place) => {
      const id = ids.get(word);
      if (id === undefined) {
        throw new Error(`word ${place + 1}: got ${quoteShort(word)}, takes the ${words.length} `
          + `tokens ${kind}`);
      }
      return id;
    });
  }

  function decode(tokens) {
    return Array.from(tokens, (id) => {
      if (!(id in words)) {
        throw new Error(`id: got ${id}, takes ids from 0 to ${words.length - 1}, the tokens `
          + `${kind}`);
      }
      return words[id];
    }).join(" ");
  }

  return { words, ids, size: words.length, encode, decode };
}

/** @returns {string[]} what stands between the white space of a text */
export function splitWords(text) {
  return text.split(/\s+/).filter((word) => word);
}

/** @returns {string[][]} words in groups of `size`, the last one perhaps shorter */
export function groupsOf(words, size) {
  return Array.from({ length: Math.ceil(words.length / size) },
    (_, i) => words.slice(i * size, (i + 1) * size));
}

/**
 * The events of a trace up to the first malformed group of five words.
 *
 * @param {string[]} words of the trace, without `reasoning`
 * @returns {TraceEvent[]} the trace is well-formed if they are a fifth as many as its words
 */
export function eventsOf(words) {
  const events = [];
  for (const [kind, x, y, g, h] of groupsOf(words, 5)) {
    const known = kind === "create" || kind === "close";
    if (!known || !isDecimal(x) || !isDecimal(y) || !isCost(g) || !isCost(h)) {
      break;
    }
    events.push({ kind, x: decimalValue(x), y: decimalValue(y), g: decimalValue(g.slice(1)),
      h: decimalValue(h.slice(1)) });
  }
  return events;
}

/**
 * The inverse of `eventsOf`.
 *
 * @param {TraceEvent[]} events
 * @returns {string[]} five words an event
 */
export function wordsOf(events) {
  return events.flatMap(({ kind, x, y, g, h }) => [kind, `${x}`, `${y}`, `c${g}`, `c${h}`]);
}

/** @returns {boolean} whether a word consists of the digits 0 to 9 */
export function isDecimal(word) {
  return word !== undefined && /^[0-9]+$/.test(word);
}

/**
 * The value of decimal digits, clipped at more than any grid holds, however many they are.
 *
 * @param {string} digits
 * @returns {number}
 */
export function decimalValue(digits) {
  return Number(digits.replace(/^0+/, "").slice(0, 9));
}

/**
 * A text between single quotes as error messages show it, the middle left out if it is long, and
 * with numbers for characters that cannot be seen or turn the text about.
 */
export function quoteShort(text) {
  const quoted = `'${text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (mark) => (
    `\\u{${mark.codePointAt(0).toString(16)}}`))}'`;
  return quoted.length <= 30 ? quoted : `${quoted.slice(0, 13)}...${quoted.slice(-14)}`;
}

function isCost(word) {
  return word !== undefined && word[0] === "c" && isDecimal(word.slice(1));
}
