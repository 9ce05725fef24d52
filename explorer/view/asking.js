// Lets models answer: loads them, asks, stops, judges, finds stored answers. What is shown of an
// answer is a slot of the state; up to three stand side by side.

import { isGzip, unzip } from "../engine/gzip.js";
import { END_ID, vocabulary } from "../engine/language.js";
import { promptWords } from "../engine/maze.js";
import { answer, prompted, readModel, topTokens } from "../engine/model.js";
import { readResponses } from "../engine/responses.js";
import { taskPauses } from "../engine/tasks.js";
import { judge, publishedVerdict } from "../engine/validator.js";
import { sentence, takeMaze } from "./mazes.js";
import { eventIn, partsOf } from "./words.js";

export const MOST_SLOTS = 3;

const SHOWN = 5; // of the words that a model thought of
const PAUSE = 30; // milliseconds between two views of an answer that is being written

const EMPTY = {
  words: [], chances: [], events: [], verdict: null, published: null, problem: null, remark: null,
};

/** Which stored answers one can ask for: {name, label, fits(verdict)}. */
export const SEARCHES = [
  { name: "failure", label: "A failure", fits: (verdict) => !verdict.planValid },
  { name: "senseless", label: "A valid plan after a senseless trace",
    fits: (verdict) => verdict.planValid && verdict.traceValid === false },
  { name: "next", label: "The next one", fits: () => true },
];

/** What a model expects where each of these ids stands: pairs of the id and the logits there. */
async function* expected(model, prompt, gap, ids) {
  if (!ids.length) return;
  const pause = taskPauses();
  const session = await prompted(model, prompt, gap, pause);
  for (const id of ids) {
    yield [id, session.logits()];
    session.feed([id]);
    await pause();
  }
}

export function createAsker(store, data, load) {
  const files = new Map(); // what was loaded, by name
  const running = new Map(); // slot id → AbortController
  const looking = new Map(); // slot id → the search for a stored answer that counts
  let asked = null; // the maze that was asked last
  let numbered = 0;

  const slotOf = (id) => store.state.slots.find((slot) => slot.id === id);
  const infoOf = (name) => data.models.find((model) => model.name === name);
  const hasTrace = (name) => data.conditions[infoOf(name).condition].has_trace;

  function change(id, changes) {
    store.set({
      slots: store.state.slots.map((slot) => (slot.id === id ? { ...slot, ...changes } : slot)),
    });
  }

  /** A file read once; what failed is tried again the next time. */
  function fetched(file, read) {
    if (!files.has(file)) {
      const coming = Promise.resolve(load(file)).then(read);
      coming.catch(() => files.delete(file));
      files.set(file, coming);
    }
    return files.get(file);
  }

  function add(name) {
    numbered += 1;
    store.set({
      slots: [...store.state.slots, {
        ...EMPTY, id: numbered, model: name, gap: 0, temperature: 0, seed: 1, given: null,
        origin: null, status: "idle", maze: null, looking: false,
      }],
    });
    return ask(numbered);
  }

  function remove(id) {
    stop(id);
    store.set({ slots: store.state.slots.filter((slot) => slot.id !== id) });
  }

  function stop(id) {
    running.get(id)?.abort();
    running.delete(id);
  }

  /** Asks anew, with other settings where some are given. */
  async function ask(id, changes = {}) {
    stop(id);
    const control = new AbortController();
    running.set(id, control);
    const before = slotOf(id);
    const { model: name, gap, temperature, seed, given } = { ...before, ...changes };
    const { maze, moments } = store.state;
    const traced = hasTrace(name);
    const words = [traced ? "reasoning" : "solution"];
    const chances = [null];
    change(id, { ...EMPTY, ...changes, words, maze, status: "running" });
    store.set({ moments: { ...moments, models: Infinity }, playing: false });
    const here = () => running.get(id) === control;
    const tell = (also = {}) => {
      if (!here()) return;
      const whole = also.status !== undefined; // else the last event may be half written
      const parts = partsOf(words);
      const last = parts.at(-1);
      const half = !whole && last.kind === "event" && last.to - last.from < 5;
      const judged = half ? words.slice(0, last.from) : words;
      change(id, {
        words: words.slice(), chances: chances.slice(), problem: null,
        events: parts.filter((part) => part.kind === "event" && !(half && part === last))
          .map((part) => eventIn(words.slice(part.from, part.to))),
        verdict: judge(maze, judged, traced),
        published: whole ? publishedVerdict(maze, words) : null,
        ...also,
      });
    };
    try {
      // gzipped on a page, but not from a kernel, nor where the server has unpacked it
      const model = await fetched(infoOf(name).file, async (buffer) => (
        readModel(isGzip(buffer) ? await unzip(buffer) : buffer)));
      if (!here()) return;
      const { words: tokens, encode } = vocabulary(model.rows, model.cols);
      const prompt = encode([...promptWords(maze), words[0]].join(" "));
      const forced = encode((given || []).join(" "));
      const room = model.config.context - prompt.length - forced.length;
      if (room < (forced.at(-1) === END_ID ? 0 : 1)) {
        throw new Error(`The trace is too long: it has ${forced.length} words, and behind this maze `
          + `the model has places for ${model.config.context - prompt.length - 1}.`);
      }
      let shown = 0;
      const take = (token, logits) => {
        const top = topTokens(logits, logits.length, temperature || 1);
        words.push(tokens[token]);
        chances.push({ p: top.find((one) => one.id === token).p,
          top: top.slice(0, SHOWN).map((one) => ({ word: tokens[one.id], p: one.p })) });
        if (performance.now() - shown < PAUSE) return;
        shown = performance.now();
        tell();
      };
      for await (const [token, logits] of expected(model, prompt, gap, forced)) {
        if (!here()) return;
        take(token, logits);
      }
      if (forced.at(-1) !== END_ID) {
        const writing = answer(model, prompt, {
          gap, temperature, seed, given: forced, signal: control.signal,
          maxNewTokens: Math.min(data.max_new_tokens, room),
          onToken: (token, session) => here() && take(token, session.logits()),
        });
        for await (const _ of writing) if (!here()) return;
      }
      tell({ status: "done" });
    } catch (error) {
      const problem = sentence(error); // what was there on this maze comes back
      if (here()) {
        change(id, before.maze === maze && before.model === name && before.status !== "running"
          ? { ...before, problem } : { status: "failed", problem });
      }
    } finally {
      if (here()) running.delete(id);
    }
  }

  /** Says what is wrong with what somebody asks for; the answer that is there stays. */
  const complain = (id, problem) => change(id, { problem, remark: null });

  /** Ends the writing; what is there stays, and is judged. */
  function halt(id) {
    const slot = slotOf(id);
    stop(id);
    if (slot.status !== "running") return;
    const { maze } = store.state;
    change(id, {
      status: "stopped", verdict: judge(maze, slot.words, hasTrace(slot.model)),
      published: publishedVerdict(maze, slot.words),
    });
  }

  function askAll(except = null) {
    asked = store.state.maze;
    store.state.slots.forEach(({ id }) => id !== except
      && ask(id, { given: null, origin: null }));
  }

  /** Shows the next stored answer of a model that fits, on its own maze. */
  async function showStored(id, distribution, search) {
    const { model } = slotOf(id);
    const { maze } = store.state;
    const mine = {};
    looking.set(id, mine);
    change(id, { looking: true });
    const { file } = data.responses.find((stored) => (
      stored.model === model && stored.distribution === distribution));
    try {
      const { about, responses, mazes } = await fetched(file, readResponses);
      const before = slotOf(id)?.origin;
      const from = before?.distribution === distribution ? before.index + 1 : 0;
      const pause = taskPauses();
      for (let i = 0; i < responses.length; i += 1) {
        const index = (from + i) % responses.length;
        const words = responses[index].split(" ");
        await pause();
        if (!search.fits(judge(mazes[index], words, hasTrace(model)))) continue;
        if (looking.get(id) !== mine) return;
        if (store.state.maze !== maze || slotOf(id)?.model !== model) return; // asked otherwise since
        asked = mazes[index];
        takeMaze(store, mazes[index], null, {
          note: `Maze ${index + 1} of the ${responses.length} that models were tested on.`,
        });
        askAll(id);
        ask(id, { given: words.slice(1), gap: about.answering?.gap || 0, temperature: 0,
          origin: { distribution, index, of: responses.length } });
        return;
      }
      store.set({ error: `None of its ${responses.length} answers there is like that.` });
    } catch (error) {
      store.set({ error: sentence(error) });
    } finally {
      if (looking.get(id) === mine) change(id, { looking: false });
    }
  }

  /** The models' view is open: three models at first, asked about the maze that is there. */
  function begin() {
    if (!store.state.slots.length && asked === null) {
      asked = store.state.maze;
      data.shown.slice(0, MOST_SLOTS).forEach(add);
    } else if (asked !== store.state.maze) askAll();
  }

  let waiting = null;
  store.subscribe((state) => { // while one draws, models wait for a moment's rest
    if (state.view !== "models" || asked === state.maze || asked === null) return;
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      if (store.state.view === "models" && asked !== store.state.maze) askAll();
    }, state.editing ? 300 : 0);
  });

  return {
    add, remove, ask, halt, begin, showStored, complain, hasTrace,
    stopAll: () => [...running.keys()].forEach(stop),
  };
}
