/**
 * SHA-256 (FIPS 180-4), and the study's checksum of arrays.
 *
 * Browsers have SHA-256 too, but on secure pages only, and not at once.
 */

/**
 * The checksum of `helpers.engine.files.checksum`.
 *
 * @param {string} about a description, as Python's `json.dumps` writes it
 * @param {{name: string, type: string, shape: number[], bytes: Uint8Array}[]} arrays with numpy's
 *   names of their types, their bytes little-endian
 * @returns {string} 64 hexadecimal digits
 */
export function checksumOf(about, arrays) {
  const inOrder = arrays.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const text = new TextEncoder();
  return sha256Of([text.encode(about), ...inOrder.flatMap(({ name, type, shape, bytes }) => [
    text.encode(`${name} ${type} ${pythonTuple(shape)}`), bytes])]);
}

/** @returns {string} numbers as Python writes them in a tuple: `(3, 4)`, `(5,)` */
export function pythonTuple(numbers) {
  return numbers.length === 1 ? `(${numbers[0]},)` : `(${numbers.join(", ")})`;
}

/**
 * @param {Uint8Array[]} parts bytes, one part after the other
 * @returns {string} 64 hexadecimal digits
 */
export function sha256Of(parts) {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const message = new Uint8Array(64 * Math.ceil((length + 9) / 64)); // a 1 bit and the length
  let at = 0;
  for (const part of parts) {
    message.set(part, at);
    at += part.length;
  }
  message[at] = 0x80;
  const view = new DataView(message.buffer);
  view.setBigUint64(message.length - 8, BigInt(8 * length));
  const primes = firstPrimes(64);
  const state = Uint32Array.from(primes.slice(0, 8), (prime) => fraction32(Math.sqrt(prime)));
  const constants = Uint32Array.from(primes, (prime) => fraction32(Math.cbrt(prime)));
  const schedule = new Uint32Array(64);
  for (let block = 0; block < message.length; block += 64) {
    for (let i = 0; i < 16; i++) {
      schedule[i] = view.getUint32(block + 4 * i);
    }
    digestBlock(state, schedule, constants);
  }
  return Array.from(state, (word) => word.toString(16).padStart(8, "0")).join("");
}

function digestBlock(state, w, k) {
  for (let i = 16; i < 64; i++) {
    const early = w[i - 15];
    const late = w[i - 2];
    w[i] = w[i - 16] + w[i - 7]
      + (rotated(early, 7) ^ rotated(early, 18) ^ (early >>> 3))
      + (rotated(late, 17) ^ rotated(late, 19) ^ (late >>> 10));
  }
  let [a, b, c, d, e, f, g, h] = state;
  for (let i = 0; i < 64; i++) {
    const choice = (e & f) ^ (~e & g);
    const majority = (a & b) ^ (a & c) ^ (b & c);
    const first = (h + (rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25)) + choice + k[i] + w[i]) | 0;
    const second = ((rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22)) + majority) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + first) | 0;
    d = c;
    c = b;
    b = a;
    a = (first + second) | 0;
  }
  [a, b, c, d, e, f, g, h].forEach((word, i) => { state[i] += word; });
}

function rotated(word, by) {
  return (word >>> by) | (word << (32 - by));
}

/** The first 32 bits behind the point. */
function fraction32(number) {
  return Math.floor((number % 1) * 2 ** 32);
}

function firstPrimes(count) {
  const primes = [];
  for (let n = 2; primes.length < count; n++) {
    if (primes.every((prime) => n % prime)) {
      primes.push(n);
    }
  }
  return primes;
}
