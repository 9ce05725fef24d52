/**
 * The sums behind a transformer, over plain typed arrays.
 *
 * A matrix lies in panels of `LANES` outputs: all weights of the first input for these outputs, then
 * those of the second, and so on. So a loop over inputs reads memory in order, adds to eight sums
 * that do not wait for each other, and loads each input once for all of them. Sums are in float64,
 * which JavaScript engines compute faster than float32, into which they are rounded at the end.
 */

export const LANES = 8;

/** @returns {number} a length, rounded up to whole panels */
export function paddedLength(length) {
  return LANES * Math.ceil(length / LANES);
}

/**
 * Lays a matrix out in panels; outputs behind the last are zero.
 *
 * @param {Float32Array} rows [outputs, inputs]
 * @param {number} outputs
 * @param {number} inputs
 * @returns {Float32Array} [outputs / LANES, inputs, LANES]
 */
export function inPanels(rows, outputs, inputs) {
  const panels = new Float32Array(paddedLength(outputs) * inputs);
  for (let output = 0; output < outputs; output++) {
    const base = panelPlace(output, inputs);
    for (let input = 0; input < inputs; input++) {
      panels[base + LANES * input] = rows[output * inputs + input];
    }
  }
  return panels;
}

/** @returns {number} where in panels the first weight of an output lies; the next is LANES behind */
export function panelPlace(output, inputs) {
  const lane = output % LANES;
  return (output - lane) * inputs + lane;
}

/**
 * The product of a matrix and a vector.
 *
 * @param {Float32Array} panels of `inPanels`
 * @param {Float32Array} x [inputs], its length says how many
 * @param {Float32Array} y [outputs, rounded up to whole panels or less], filled
 * @param {number} [outputs] that are wanted, rounded up to whole panels; all of y if not given
 */
export function multiply(panels, x, y, outputs = y.length) {
  const inputs = x.length;
  let at = 0;
  for (let output = 0; output < outputs; output += LANES) {
    let s0 = 0, s1 = 0, s2 = 0, s3 = 0, s4 = 0, s5 = 0, s6 = 0, s7 = 0;
    for (let input = 0; input < inputs; input++) {
      const value = x[input];
      s0 += panels[at] * value;
      s1 += panels[at + 1] * value;
      s2 += panels[at + 2] * value;
      s3 += panels[at + 3] * value;
      s4 += panels[at + 4] * value;
      s5 += panels[at + 5] * value;
      s6 += panels[at + 6] * value;
      s7 += panels[at + 7] * value;
      at += LANES;
    }
    y[output] = s0;
    y[output + 1] = s1;
    y[output + 2] = s2;
    y[output + 3] = s3;
    y[output + 4] = s4;
    y[output + 5] = s5;
    y[output + 6] = s6;
    y[output + 7] = s7;
  }
}

/**
 * The sum of rows, each times its weight.
 *
 * @param {Float32Array} rows [at least count, y.length]
 * @param {Float32Array} weights [at least count]
 * @param {number} count
 * @param {Float32Array} y [a multiple of LANES], filled
 */
export function addUp(rows, weights, count, y) {
  const width = y.length;
  for (let column = 0; column < width; column += LANES) {
    let s0 = 0, s1 = 0, s2 = 0, s3 = 0, s4 = 0, s5 = 0, s6 = 0, s7 = 0;
    let at = column;
    for (let row = 0; row < count; row++) {
      const weight = weights[row];
      s0 += rows[at] * weight;
      s1 += rows[at + 1] * weight;
      s2 += rows[at + 2] * weight;
      s3 += rows[at + 3] * weight;
      s4 += rows[at + 4] * weight;
      s5 += rows[at + 5] * weight;
      s6 += rows[at + 6] * weight;
      s7 += rows[at + 7] * weight;
      at += width;
    }
    y[column] = s0;
    y[column + 1] = s1;
    y[column + 2] = s2;
    y[column + 3] = s3;
    y[column + 4] = s4;
    y[column + 5] = s5;
    y[column + 6] = s6;
    y[column + 7] = s7;
  }
}

/**
 * Numbers as chances, in place: e to the power of each, scaled so that they sum to 1.
 *
 * @param {Float32Array} values
 * @param {number} count how many of them, from the first on
 * @param {number} scale by which they are multiplied before
 */
export function softmax(values, count, scale) {
  let top = -Infinity;
  for (let i = 0; i < count; i++) {
    top = Math.max(top, values[i]);
  }
  let sum = 0;
  for (let i = 0; i < count; i++) {
    values[i] = Math.exp((values[i] - top) * scale);
    sum += values[i];
  }
  for (let i = 0; i < count; i++) {
    values[i] /= sum;
  }
}

/**
 * RMSNorm: x divided by its root mean square, times a weight each.
 *
 * @param {Float32Array} x
 * @param {Float32Array} weight
 * @param {number} eps added to the mean square
 * @param {Float32Array} y filled
 */
export function rmsNorm(x, weight, eps, y) {
  let sum = 0;
  for (let i = 0; i < x.length; i++) {
    sum += x[i] * x[i];
  }
  const scale = 1 / Math.sqrt(sum / x.length + eps);
  for (let i = 0; i < x.length; i++) {
    y[i] = weight[i] * x[i] * scale;
  }
}

/**
 * The hidden layer of a SwiGLU: silu(gate) · up.
 *
 * @param {Float32Array} gateUp both, one behind the other, at least [2 · hidden.length]
 * @param {Float32Array} hidden filled
 */
export function swiglu(gateUp, hidden) {
  const width = hidden.length;
  for (let i = 0; i < width; i++) {
    const gate = gateUp[i];
    hidden[i] = (gate / (1 + Math.exp(-gate))) * gateUp[width + i];
  }
}

/** Adds y to x, in place, as far as x goes. */
export function addTo(x, y) {
  for (let i = 0; i < x.length; i++) {
    x[i] += y[i];
  }
}
