/** Gzipped files, as the page's models and all stored answers are. */

/** Whether a file begins as gzip does. */
export function isGzip(buffer) {
  return `${new Uint8Array(buffer.slice(0, 3))}` === "31,139,8";
}

/**
 * @param {ArrayBuffer} buffer a whole .gz file
 * @returns {Promise<ArrayBuffer>} what is in it
 * @throws {Error} none, or a truncated one
 */
export async function unzip(buffer) {
  try {
    const stream = new Blob([buffer]).stream().pipeThrough(new DecompressionStream("gzip"));
    return await new Response(stream).arrayBuffer();
  } catch {
    throw new Error("got no gzip file, or a truncated one");
  }
}
