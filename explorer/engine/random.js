/**
 * Random numbers that Python draws too: splitmix64 (Steele, Lea and Flood 2014) on BigInt.
 *
 * A stream answers two questions only, "an index below n" and "is it below p", as the streams of
 * the study's maze generators do. So the same seed gives the same maze in both languages.
 */

const TWO_TO_32 = 2 ** 32;
const GOLDEN_GAMMA = 0x9e3779b97f4a7c15n;

/**
 * The low 64 bits of a whole number.
 *
 * @param {bigint} z
 * @returns {bigint}
 */
export function uint64(z) {
  return BigInt.asUintN(64, z);
}

/**
 * The finaliser of splitmix64.
 *
 * @param {bigint} z below 2^64
 * @returns {bigint} below 2^64
 */
export function mix64(z) {
  z = uint64((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
  z = uint64((z ^ (z >> 27n)) * 0x94d049bb133111ebn);
  return z ^ (z >> 31n);
}

/** A stream of random numbers; equal states give equal streams. */
export class RandomStream {
  /** @param {bigint} state where it begins */
  constructor(state) {
    this.state = uint64(state);
  }

  /** @returns {number} the next 32 random bits */
  next() {
    this.state = uint64(this.state + GOLDEN_GAMMA);
    return Number(mix64(this.state) >> 32n);
  }

  /**
   * @param {number} n from 1 to 2^21
   * @returns {number} an index below n
   */
  below(n) {
    return Math.floor((this.next() * n) / TWO_TO_32); // the product is exact
  }

  /** @returns {boolean} whether the next number in [0, 1) is below p */
  chance(p) {
    return this.next() < p * TWO_TO_32;
  }

  /** @returns {number} a number in [0, 1) */
  unit() {
    return this.next() / TWO_TO_32;
  }

  /** Fisher–Yates from the last of the first n items down, in place. */
  shuffle(items, n = items.length) {
    for (let i = n - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [items[i], items[j]] = [items[j], items[i]];
    }
  }
}
