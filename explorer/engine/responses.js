/**
 * The answers of a model to a test set, as the study publishes them: gzip of JSON lines, the first
 * of which says whose they are and to which mazes. The mazes are drawn again from their recipe.
 */

import { corpusChecksum, drawCorpus } from "./corpus.js";
import { unzip } from "./gzip.js";
import { splitWords, vocabulary } from "./language.js";
import { taskPauses } from "./tasks.js";

/**
 * Reads a file of answers.
 *
 * @param {ArrayBuffer} buffer a whole .jsonl.gz file
 * @returns {Promise<{about: object, responses: string[], mazes: Maze[]}>} `about` names at least
 *   `model`, `condition` and `corpus`, the recipe of the mazes; a response begins with its opening
 *   word, and the maze of the same number is what it answers
 * @throws {Error} a truncated or foreign file; or its mazes are not those that its recipe gives now
 */
export async function readResponses(buffer) {
  const content = await unzip(buffer).catch((error) => {
    throw new Error(`responses: ${error.message}`);
  });
  const lines = new TextDecoder().decode(content).trimEnd().split("\n");
  const about = jsonOf(lines[0], 1);
  const { corpus, corpus_sha256: expected } = about;
  if (typeof corpus?.generator !== "string" || typeof expected !== "string") {
    throw new Error("responses: got a file of something else, takes answers to a test set");
  }
  const pause = taskPauses();
  const responses = [];
  for (const line of lines.slice(1)) {
    responses.push(jsonOf(line, responses.length + 2).response);
    await pause();
  }
  if (responses.length !== corpus.count) {
    throw new Error(`responses: got ${responses.length} answers, takes ${corpus.count}, one for `
      + "each maze");
  }
  const known = vocabulary(corpus.rows, corpus.cols).ids;
  for (const [i, response] of responses.entries()) {
    if (typeof response !== "string" || !splitWords(response).every((word) => known.has(word))) {
      throw new Error(`responses: got no words of a ${corpus.rows}x${corpus.cols} grid in line `
        + `${i + 2}`);
    }
    await pause();
  }
  const mazes = [];
  for (const maze of drawCorpus(corpus)) {
    mazes.push(maze);
    await pause();
  }
  const [recipe] = lines[0].match(/(?<="corpus": )\{[^{}]*\}/);
  if (await corpusChecksum(recipe, mazes) !== expected) {
    throw new Error(`responses: its mazes are not those of its recipe (${corpus.generator}, `
      + `${corpus.rows}x${corpus.cols}), which has changed`);
  }
  return { about, responses, mazes };
}

function jsonOf(line, number) {
  try {
    return Object(JSON.parse(line));
  } catch {
    throw new Error(`responses: got no JSON in line ${number}`);
  }
}
