/**
 * Checkpoint files of the study: safetensors whose metadata has an entry `training`, checked by the
 * checksum in it.
 *
 * A safetensors file is the length of a header (8 bytes, little-endian), the header in JSON (of each
 * tensor its type, shape and place), and the tensors' bytes.
 */

import { checksumOf, pythonTuple } from "./checksum.js";

const TORCH_TYPES = { BF16: "torch.bfloat16", F32: "torch.float32" };
const BYTES_OF_TYPE = { BF16: 2, F32: 4 };

/**
 * Reads a checkpoint.
 *
 * @param {ArrayBuffer} buffer the whole file
 * @returns {{about: object, tensors: Map<string, {shape: number[], values: Float32Array}>}} what it
 *   says of itself; its bfloat16 tensors, and those in float32 rounded to bfloat16, as Python
 *   rounds those of every model that it loads
 * @throws {Error} no safetensors file of the study, or a truncated or changed one
 */
export function readCheckpoint(buffer) {
  const { header, bytes } = headerOf(buffer);
  const text = header.__metadata__?.training;
  // the checksum stands last in the text, and is one of the text before it
  const [, before, expected] = text?.match(/^(.*), "sha256": "([0-9a-f]{64})"\}$/s) ?? [];
  if (!expected) {
    throw new Error("model: got a safetensors file of something else, takes one of this study");
  }
  const tensors = Object.entries(header).filter(([name]) => name !== "__metadata__")
    .map(([name, { dtype, shape, data_offsets: [from, to] }]) => {
      const count = shape.reduce((product, side) => product * side, 1);
      if (!(from >= 0 && to <= bytes.length && to - from === count * BYTES_OF_TYPE[dtype])) {
        throw new Error(`model: its tensor ${name} is damaged, or of a type other than bfloat16 `
          + "and float32");
      }
      return { name, dtype, shape, bytes: bytes.subarray(from, to) };
    });
  const found = checksumOf(`${before}}`, tensors.map((tensor) => ({
    name: `${tensor.name} ${TORCH_TYPES[tensor.dtype]} ${pythonTuple(tensor.shape)}`,
    type: "uint8", shape: [tensor.bytes.length], bytes: tensor.bytes })));
  if (found !== expected) {
    throw new Error("model: its checksum does not match, its bytes have changed");
  }
  return {
    about: JSON.parse(text),
    tensors: new Map(tensors.map((tensor) => [tensor.name, {
      shape: tensor.shape, values: valuesOf(tensor) }])),
  };
}

function headerOf(buffer) {
  try {
    const length = Number(new DataView(buffer).getBigUint64(0, true));
    const text = new TextDecoder("utf-8", { fatal: true }).decode(new Uint8Array(buffer, 8, length));
    return { header: JSON.parse(text), bytes: new Uint8Array(buffer, 8 + length) };
  } catch {
    throw new Error("model: got no safetensors file, or a truncated one");
  }
}

/** Numbers of a tensor. A bfloat16 is the upper half of a float32. */
function valuesOf({ dtype, bytes }) {
  const bits = new Uint32Array(bytes.length / BYTES_OF_TYPE[dtype]);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let i = 0; i < bits.length; i++) {
    bits[i] = dtype === "BF16" ? view.getUint16(2 * i, true) << 16
      : roundedBits(view.getUint32(4 * i, true));
  }
  return new Float32Array(bits.buffer);
}

/** A float32's bits as those of the nearest bfloat16, of two equally near the even one. */
function roundedBits(bits) {
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) << 16;
}
