/**
 * Verdicts on responses: is the plan valid, is the trace a run of A* on this maze, and if not, where
 * and why. By our rules (`rules.js`), and by those of the paper's authors (`published.js`).
 */

import { search } from "./astar.js";
import { eventsOf, groupsOf, wordsOf } from "./language.js";
import { isPublishedPath, publishedPath, readAsPublished } from "./published.js";
import { planBreak, sectionsOf, sentenceOf, stepsOf, traceBreaks } from "./rules.js";

/**
 * Judges a response.
 *
 * @param {Maze} maze
 * @param {string[]} words from the opening word (`reasoning` or `solution`) on
 * @param {boolean} [hasTrace] whether the response opens with `reasoning` or `solution`: that word
 *   counts as standing before the words if it is not among them
 * @returns {Judgement}
 *
 * @typedef {{event: number, rule: string, expected: string, sentence: string}} BrokenEvent the
 *   number of the event (that behind the last where the end is too early), the rule, what it asks
 *   for, and all of that as a sentence
 * @typedef {object} Judgement
 * @property {boolean} planValid
 * @property {boolean} planOptimal valid, and as short as the shortest path
 * @property {string | null} planError the first broken rule
 * @property {number | null} planStep the step that breaks it
 * @property {string | null} planReason both as a sentence
 * @property {[number, number][]} plan its steps up to the first malformed one
 * @property {boolean | null} traceValid breaks no rule of A*; null without a trace
 * @property {boolean} traceStrict valid, creates all it should and nothing else, stops at the goal
 * @property {boolean} traceExact the very events that A* writes
 * @property {BrokenEvent | null} broken the first rule of A* that is broken
 * @property {BrokenEvent | null} brokenStrict the first of those and the strict ones
 * @property {TraceEvent[]} events those up to the first malformed one
 * @property {("valid" | "strict" | "broken" | "unjudged")[]} statuses of each event: breaks no
 *   rule, a strict one only, a rule, or stands where nothing is judged any more. A malformed event
 *   has one too.
 * @property {string | null} expected what A* would have done at the broken event, as the words of
 *   an event, or a sentence if that is nothing; null where nothing is broken, or where an event
 *   breaks a rule before a malformed one
 */
export function judge(maze, words, hasTrace) {
  const opening = { true: "reasoning", false: "solution" }[hasTrace];
  const response = !opening || words.includes(opening) ? words : [opening, ...words];
  const { trace, plan, ended } = sectionsOf(response);
  const solution = search(maze);
  return { ...judgePlan(maze, plan, ended, solution), ...judgeTrace(maze, trace, solution) };
}

/**
 * The verdict of the paper's authors.
 *
 * @param {Maze} maze
 * @param {string[]} words from the opening word on
 * @returns {{planValid: boolean, traceValid: boolean | null}} null without `reasoning`. A trace is
 *   invalid also where the plan has another length than the path that the trace found.
 */
export function publishedVerdict(maze, words) {
  const { events, malformed, plan } = readAsPublished(words);
  const path = malformed ? null : publishedPath(maze, events);
  const traceValid = path !== null && (plan === null || plan.length === path.length);
  return {
    planValid: plan !== null && isPublishedPath(maze, plan),
    traceValid: words.includes("reasoning") ? traceValid : null,
  };
}

function judgePlan(maze, words, ended, solution) {
  const broken = planBreak(maze, words, ended);
  const groups = groupsOf(words ?? [], 3);
  // without a way from start to goal no plan is valid
  return {
    planValid: !broken,
    planOptimal: !broken && groups.length === solution.plan.length,
    planError: broken && broken.rule,
    planStep: broken && broken.at,
    planReason: broken && sentenceOf("step", groups, broken),
    plan: stepsOf(words ?? []),
  };
}

function judgeTrace(maze, words, solution) {
  if (!words) {
    return { traceValid: null, traceStrict: false, traceExact: false, broken: null,
      brokenStrict: null, events: [], statuses: [], expected: null };
  }
  const { breaks, replay } = traceBreaks(maze, words);
  const groups = groupsOf(words, 5);
  const events = eventsOf(words);
  const malformed = breaks.find(({ rule }) => rule === "parse");
  const broken = malformed ?? breaks.find(({ strict }) => !strict) ?? null;
  const brokenStrict = malformed ?? breaks[0] ?? null;
  const described = (found) => found && { event: found.at, rule: found.rule,
    expected: found.expected, sentence: sentenceOf("event", groups, found) };
  return {
    traceValid: !broken,
    traceStrict: !brokenStrict,
    traceExact: !malformed && wordsOf(events).join() === wordsOf(solution.events).join(),
    broken: described(broken),
    brokenStrict: described(brokenStrict),
    events,
    statuses: statusesOf(groups, breaks),
    expected: broken && replay && nextInWords(replay),
  };
}

function statusesOf(groups, breaks) {
  const statuses = groups.map(() => "valid");
  for (const { rule, at, strict } of breaks) {
    if (rule === "after_goal" || !strict) {
      statuses.fill("unjudged", at);
    }
    if (at < groups.length) {
      statuses[at] = strict ? "strict" : "broken";
    }
  }
  return statuses;
}

function nextInWords(replay) {
  const event = replay.next();
  if (event) {
    return wordsOf([event]).join(" ");
  }
  return replay.isOver ? "nothing: the goal is closed" : "nothing: no cell is open any more";
}
