/**
 * A trained model, and how it answers token by token: a Qwen2.5 decoder, as `helpers.model` has it.
 *
 * RMSNorm before each half of a block, rotary positions, grouped key/value heads, SwiGLU, bias on
 * queries, keys and values only, tied embeddings.
 */

import { LANES, addTo, addUp, inPanels, multiply, paddedLength, panelPlace, rmsNorm, softmax,
  swiglu } from "./kernels.js";
import { END_ID, REASONING_ID, SOLUTION_ID, vocabulary } from "./language.js";
import { RandomStream } from "./random.js";
import { readCheckpoint } from "./safetensors.js";
import { taskPauses } from "./tasks.js";

const COLDEST_TEMPERATURE = 1e-6; // temperature above 0, as in Python

/**
 * Reads a model as the study publishes them.
 *
 * @param {ArrayBuffer} buffer a whole .safetensors file
 * @returns {Model}
 * @throws {Error} a file of something else, a truncated or changed one
 *
 * @typedef {object} Model
 * @property {object} config vocabulary, context (longest sequence, in tokens), width, layers, heads,
 *   kv_heads, mlp_width, rope_theta, rotary_heads (key/value heads that know positions; null: all),
 *   norm_eps
 * @property {object} about all that the file says of itself, with `condition` and `seed` up front
 * @property {number} rows of the grids that it has learnt
 * @property {number} cols
 * @property {number} opening the id of the word that opens its responses, `reasoning` or `solution`
 * @property {{embedding: Float32Array, head: Float32Array, norm: Float32Array, blocks: object[]}}
 *   weights matrices in panels, see `kernels.js`; the embedding also as it is, [vocabulary, width]
 */
export function readModel(buffer) {
  const { about, tensors } = readCheckpoint(buffer);
  const { model: shape, condition, seed, corpus } = about.follows_from;
  const config = { rotary_heads: null, ...shape, context: about.context };
  const { rows, cols } = corpus;
  const { size } = vocabulary(rows, cols);
  if (size !== config.vocabulary) {
    throw new Error(`model: got ${config.vocabulary} tokens, takes the ${size} of a ${rows}x${cols} `
      + "grid");
  }
  return {
    config, rows, cols,
    about: { condition, seed, ...about },
    opening: condition === "solution_only" ? SOLUTION_ID : REASONING_ID,
    weights: arrangeWeights(config, tensors),
  };
}

/** The tensors of a file as a model's weights, each of the shape that follows from the config. */
function arrangeWeights(config, tensors) {
  const { width, mlp_width: hidden } = config;
  const headWidth = width / config.heads;
  const qkv = (config.heads + 2 * config.kv_heads) * headWidth;

  function take(name, ...shape) {
    const found = tensors.get(`model.${name}`);
    if (`${found?.shape}` !== `${shape}`) {
      throw new Error(`model: got the shape ${found?.shape ?? "of none"} for ${name}, takes `
        + `${shape}`);
    }
    return found.values;
  }
  const matrix = (name, ...shape) => inPanels(take(name, ...shape), ...shape);
  const block = (name) => ({
    attentionNorm: take(`${name}.attention_norm.weight`, width),
    qkv: matrix(`${name}.attention.qkv.weight`, qkv, width),
    bias: take(`${name}.attention.qkv.bias`, qkv),
    out: matrix(`${name}.attention.out.weight`, width, width),
    mlpNorm: take(`${name}.mlp_norm.weight`, width),
    gateUp: matrix(`${name}.gate_up.weight`, 2 * hidden, width),
    down: matrix(`${name}.down.weight`, width, hidden),
  });
  return {
    embedding: take("embedding.weight", config.vocabulary, width),
    head: matrix("embedding.weight", config.vocabulary, width),
    norm: take("norm.weight", width),
    blocks: Array.from({ length: config.layers }, (_, i) => block(`blocks.${i}`)),
  };
}

/** A sequence that a model reads and goes on with: its keys and values are kept. */
export class Session {
  /** @param {Model} model */
  constructor(model) {
    const { config } = model;
    const { width, heads, kv_heads: kvHeads, mlp_width: hidden } = config;
    const headWidth = width / heads;
    const floats = (length) => new Float32Array(length);
    const perHead = (length) => Array.from({ length: config.layers },
      () => Array.from({ length: kvHeads }, () => floats(length)));
    this.model = model;
    this.ids = []; // the tokens read
    this.positions = []; // of each
    this.gap = 0; // how far the next token's position is ahead of its place
    this.hasLogits = false; // whether `scores` are those after the last token

    const places = paddedLength(config.context);
    this.keys = perHead(places * headWidth); // in panels of LANES places
    this.values = perHead(config.context * paddedLength(headWidth)); // a row a place
    this.frequencies = Float32Array.from({ length: headWidth / 2 },
      (_, i) => config.rope_theta ** -Math.fround((2 * i) / headWidth));
    this.cos = floats(headWidth / 2);
    this.sin = floats(headWidth / 2);
    // what a token's work needs, allocated once
    this.x = floats(width);
    this.normed = floats(width);
    this.qkv = floats(paddedLength((heads + 2 * kvHeads) * headWidth));
    this.attention = floats(places);
    this.read = floats(paddedLength(headWidth));
    this.mixed = floats(width);
    this.added = floats(paddedLength(width));
    this.gateUp = floats(paddedLength(2 * hidden));
    this.hidden = floats(hidden);
    this.scores = floats(paddedLength(config.vocabulary));
  }

  /** @returns {number} how many tokens have been read */
  get length() {
    return this.ids.length;
  }

  /**
   * Reads tokens.
   *
   * @param {Iterable<number>} ids
   * @param {{gap?: number}} [options] gap: by how much the positions of these tokens and all that
   *   follow are shifted, against those counted through from 0; negative moves them back over what
   *   stands before. As before if not given, at first 0.
   * @throws {Error} an unknown id, more tokens than the model's context, a gap that is no whole
   *   number; nothing is read then
   */
  feed(ids, { gap = this.gap } = {}) {
    const { vocabulary: size, context } = this.model.config;
    const tokens = [...ids];
    const outside = tokens.find((id) => !Number.isInteger(id) || id < 0 || id >= size);
    if (outside !== undefined) {
      throw new Error(`ids: got ${outside}, takes ids from 0 to ${size - 1}`);
    }
    if (this.length + tokens.length > context) {
      throw new Error(`ids: got ${this.length + tokens.length} tokens, takes at most the model's `
        + `context of ${context}`);
    }
    if (!Number.isInteger(gap)) {
      throw new Error(`gap: got ${gap}, takes a whole number`);
    }
    this.gap = gap;
    tokens.forEach((id, i) => this.readToken(id, i === tokens.length - 1));
  }

  /**
   * Goes back to the first n tokens.
   *
   * @param {number} n from 0 to `length`
   */
  truncate(n) {
    if (!Number.isInteger(n) || n < 0 || n > this.length) {
      throw new Error(`n: got ${n}, takes a whole number from 0 to ${this.length}`);
    }
    if (n < this.length) {
      this.gap = n ? this.positions[n - 1] - (n - 1) : 0;
      this.ids.length = this.positions.length = n;
      this.hasLogits = false;
    }
  }

  /**
   * What the model expects behind the last token.
   *
   * @returns {Float32Array} [vocabulary], unnormalised log-probabilities
   * @throws {Error} before the first token
   */
  logits() {
    if (!this.length) {
      throw new Error("logits: got no token yet, takes at least one");
    }
    if (!this.hasLogits) { // after `truncate`
      const last = this.ids.at(-1);
      this.truncate(this.length - 1);
      this.readToken(last, true);
    }
    return this.scores.slice(0, this.model.config.vocabulary);
  }

  /** Reads one token behind the others; only of the last one of many logits are wanted. */
  readToken(id, wantsLogits) {
    const { config, weights } = this.model;
    const { x, normed, added } = this;
    this.ids.push(id);
    this.positions.push(this.length - 1 + this.gap);
    this.turnTo(this.positions.at(-1));
    x.set(weights.embedding.subarray(id * config.width, (id + 1) * config.width));
    for (const [layer, block] of weights.blocks.entries()) {
      rmsNorm(x, block.attentionNorm, config.norm_eps, normed);
      multiply(block.qkv, normed, this.qkv);
      addTo(this.qkv.subarray(0, block.bias.length), block.bias);
      this.remember(layer);
      if (!wantsLogits && layer === config.layers - 1) {
        break; // of the last block other tokens read keys and values alone
      }
      this.attend(layer);
      multiply(block.out, this.mixed, added);
      addTo(x, added);
      rmsNorm(x, block.mlpNorm, config.norm_eps, normed);
      multiply(block.gateUp, normed, this.gateUp);
      swiglu(this.gateUp, this.hidden);
      multiply(block.down, this.hidden, added);
      addTo(x, added);
    }
    if (wantsLogits) {
      rmsNorm(x, weights.norm, config.norm_eps, normed);
      multiply(weights.head, normed, this.scores);
    }
    this.hasLogits = wantsLogits;
  }

  /** Sets the angles by which the heads of a token at a position are turned. */
  turnTo(position) {
    this.frequencies.forEach((frequency, i) => {
      const angle = Math.fround(position * frequency);
      this.cos[i] = Math.cos(angle);
      this.sin[i] = Math.sin(angle);
    });
  }

  /** Turns queries and keys of the last token, and keeps its keys and values. */
  remember(layer) {
    const { qkv } = this;
    const { heads, kv_heads: kvHeads, rotary_heads: turning, width } = this.model.config;
    const headWidth = width / heads;
    const place = this.length - 1;
    for (let head = 0; head < heads + kvHeads; head++) {
      const kvHead = head < heads ? Math.floor((head * kvHeads) / heads) : head - heads;
      if (kvHead < (turning ?? kvHeads)) {
        this.turn(head * headWidth);
      }
    }
    for (let head = 0; head < kvHeads; head++) {
      const keys = this.keys[layer][head];
      const base = panelPlace(place, headWidth);
      const key = (heads + head) * headWidth;
      for (let i = 0; i < headWidth; i++) {
        keys[base + LANES * i] = qkv[key + i];
      }
      const value = (heads + kvHeads + head) * headWidth;
      this.values[layer][head].set(qkv.subarray(value, value + headWidth),
        place * this.read.length);
    }
  }

  /** Turns one head, in place: its two halves against each other. */
  turn(from) {
    const { qkv, cos, sin } = this;
    const half = cos.length;
    for (let i = from; i < from + half; i++) {
      const a = qkv[i];
      const b = qkv[i + half];
      qkv[i] = a * cos[i - from] - b * sin[i - from];
      qkv[i + half] = b * cos[i - from] + a * sin[i - from];
    }
  }

  /** Fills `mixed` with what the last token reads in all heads. */
  attend(layer) {
    const { heads, kv_heads: kvHeads, width } = this.model.config;
    const headWidth = width / heads;
    const places = this.length;
    for (let head = 0; head < heads; head++) {
      const kvHead = Math.floor((head * kvHeads) / heads);
      const query = this.qkv.subarray(head * headWidth, (head + 1) * headWidth);
      multiply(this.keys[layer][kvHead], query, this.attention, places);
      softmax(this.attention, places, 1 / Math.sqrt(headWidth));
      addUp(this.values[layer][kvHead], this.attention, places, this.read);
      this.mixed.set(this.read.subarray(0, headWidth), head * headWidth);
    }
  }
}

// ── what is written ──────────────────────────────────────────────────────────────────────────

/**
 * The likeliest next tokens.
 *
 * @param {Float32Array} logits
 * @param {number} k how many
 * @param {number} [temperature] by which logits are divided; 0: the likeliest has all chances
 * @returns {{id: number, p: number}[]} the likeliest first, of equals that with the lower id
 */
export function topTokens(logits, k, temperature = 1) {
  const chances = chancesOf(logits, temperature);
  return Array.from(chances, (p, id) => ({ id, p })).sort((a, b) => b.p - a.p).slice(0, k);
}

/**
 * A next token.
 *
 * @param {Float32Array} logits
 * @param {number} temperature 0 takes the likeliest, above that it is drawn
 * @param {() => number} [rng] gives numbers in [0, 1); not asked at temperature 0
 * @returns {number} an id
 */
export function sample(logits, temperature, rng) {
  const chances = chancesOf(logits, temperature);
  if (temperature === 0) {
    return chances.indexOf(1);
  }
  let left = rng();
  const drawn = chances.findIndex((p) => (left -= p) < 0);
  return drawn < 0 ? chances.length - 1 : drawn; // rounding left less than 1
}

/** Chances of all tokens, float64 [vocabulary]. */
function chancesOf(logits, temperature) {
  if (temperature !== 0 && !(temperature >= COLDEST_TEMPERATURE && temperature < Infinity)) {
    throw new Error(`temperature: got ${temperature}, takes 0 or a number from ${COLDEST_TEMPERATURE} up`);
  }
  const chances = Float64Array.from(logits);
  const likeliest = chances.indexOf(chances.reduce((a, b) => Math.max(a, b)));
  if (temperature === 0) {
    chances.fill(0);
    chances[likeliest] = 1;
  } else {
    softmax(chances, chances.length, 1 / temperature);
  }
  return chances;
}

/**
 * A session that has read a prompt, word by word, and gives way to others in between.
 * @param {Model} model
 * @param {number[]} prompt the ids of the prompt and the word that opens the response
 * @param {number} gap by how much positions are shifted from the opening word on
 * @param {() => Promise<void>} pause as of `taskPauses`
 * @returns {Promise<Session>}
 */
export async function prompted(model, prompt, gap, pause) {
  const session = new Session(model);
  for (const id of prompt.slice(0, -1)) {
    session.feed([id]);
    await pause();
  }
  session.feed(prompt.slice(-1), { gap });
  return session;
}

/**
 * Lets a model answer, token by token, and the page live on meanwhile.
 *
 * @param {Model} model
 * @param {ArrayLike<number>} promptIds the prompt and the word that opens the response
 * @param {object} [options]
 * @param {number} [options.gap] by how much positions are shifted from the opening word on
 * @param {number} [options.maxNewTokens] after so many the answer is cut off; what the context holds
 *   if not given
 * @param {number} [options.temperature] 0, as if not given, takes the likeliest token
 * @param {number} [options.seed] of what is drawn above that
 * @param {ArrayLike<number>} [options.given] ids that stand behind the opening word already, such as
 *   a trace and `solution`; they are not yielded
 * @param {(id: number, session: Session) => void} [options.onToken] is told of each token before it
 *   is read: the session's logits are still those that it was taken from
 * @param {AbortSignal} [options.signal] ends the answer early, without an error
 * @yields {number} ids, up to `end`
 * @throws {Error} what `Session.feed` and `sample` refuse, or more tokens than the context holds
 */
export async function* answer(model, promptIds, options = {}) {
  const { gap = 0, temperature = 0, seed = 0, given = [], onToken, signal } = options;
  const { context } = model.config;
  const prompt = Array.from(promptIds);
  const before = prompt.length + given.length;
  const { maxNewTokens = context - before } = options;
  if (!prompt.length) {
    throw new Error("promptIds: got none, takes at least one id");
  }
  if (!Number.isInteger(maxNewTokens) || maxNewTokens < 1 || before + maxNewTokens > context) {
    throw new Error(`maxNewTokens: got ${maxNewTokens}, with the ${before} tokens before takes at `
      + `least 1 and together at most the context of ${context}`);
  }
  const stream = new RandomStream(BigInt(seed));
  const pause = taskPauses();
  const session = await prompted(model, prompt, gap, pause);
  for (const id of given) {
    session.feed([id]);
    await pause();
  }
  for (let n = 1; n <= maxNewTokens && !signal?.aborted; n++) {
    const id = sample(session.logits(), temperature, () => stream.unit());
    onToken?.(id, session);
    yield id;
    if (id === END_ID || n === maxNewTokens) {
      return;
    }
    session.feed([id]);
    await pause();
  }
}
