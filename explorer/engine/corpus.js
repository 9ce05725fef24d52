/**
 * Data sets: the mazes of a recipe, the same that Python draws, and the checksum that tells so.
 *
 * @typedef {{generator: string, rows: number, cols: number, split: string, seed: number,
 *   sampling: string, count: number, skip: number, unsolvable: boolean,
 *   params: [string, number][]}} Recipe as stored answers and models name theirs; `skip` examples
 *   are passed over first, then, where `unsolvable` is false, all without a way to the goal
 */

import { search } from "./astar.js";
import { checksumOf } from "./checksum.js";
import { drawMaze } from "./generators.js";
import { vocabulary, wordsOf } from "./language.js";
import { isSolvable, promptWords } from "./maze.js";
import { taskPauses } from "./tasks.js";

const CORPUS_FORMAT = "2"; // of Python's files of data sets, which enters their checksum

/**
 * The mazes of a recipe, one after the other.
 *
 * @param {Recipe} recipe
 * @yields {Maze}
 * @throws {Error} mazes that are not drawn one by one from a seed, or what `drawMaze` refuses
 */
export function* drawCorpus(recipe) {
  const { generator, rows, cols, seed, split, count, skip, unsolvable, params } = recipe;
  if (recipe.sampling !== "indexed") {
    throw new Error(`sampling: got '${recipe.sampling}', takes indexed`);
  }
  let kept = 0;
  for (let drawn = 0; kept < count; drawn++) {
    const maze = drawMaze(generator, rows, cols, seed, skip + drawn, split,
      Object.fromEntries(params));
    if (unsolvable || isSolvable(maze)) {
      kept += 1;
      yield maze;
    }
  }
}

/**
 * One example as words: prompt, A*'s own trace, plan. The plan is start and goal alone where no way
 * leads from one to the other.
 *
 * @param {Maze} maze
 * @returns {string[][]} the words of each of the three parts
 */
export function exampleParts(maze) {
  const { events, plan } = search(maze);
  const steps = plan ?? [maze.start, maze.goal];
  return [
    promptWords(maze),
    ["reasoning", ...wordsOf(events)],
    ["solution", ...steps.flatMap(([x, y]) => ["plan", `${x}`, `${y}`]), "end"],
  ];
}

/**
 * The checksum of a data set, `helpers.corpus.Corpus.sha256`.
 *
 * @param {string} recipe as Python's `json.dumps` writes it
 * @param {Maze[]} mazes at least one, all of one size
 * @returns {Promise<string>} 64 hexadecimal digits
 */
export async function corpusChecksum(recipe, mazes) {
  const [{ rows, cols }] = mazes;
  const words = vocabulary(rows, cols);
  const tokens = [];
  const bounds = [];
  const pause = taskPauses();
  for (const maze of mazes) {
    for (const part of exampleParts(maze)) {
      bounds.push(BigInt(tokens.length));
      part.forEach((word) => tokens.push(words.ids.get(word)));
    }
    bounds.push(BigInt(tokens.length));
    await pause();
  }
  const count = mazes.length;
  const entry = (name, type, array, ...shape) => ({ name, type, shape,
    bytes: new Uint8Array(array.buffer) });
  return checksumOf(`{"format": "${CORPUS_FORMAT}", "recipe": ${recipe}}`, [
    entry("tokens", "uint16", Uint16Array.from(tokens), tokens.length),
    entry("bounds", "int64", BigInt64Array.from(bounds), count, 4),
    entry("grids", "uint8", Uint8Array.from(mazes.flatMap(({ walls }) =>
      Array.from(walls, (wall) => 1 - wall))), count, rows, cols),
    entry("starts", "int16", Int16Array.from(mazes.flatMap(({ start }) => start)), count, 2),
    entry("goals", "int16", Int16Array.from(mazes.flatMap(({ goal }) => goal)), count, 2),
  ]);
}
