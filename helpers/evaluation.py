"""From responses to verdicts to rates that say how sure they are.

A row is one response on one maze. A cell is one (condition, seed, distribution). Rates
come with their n and a 95 % Wilson-score interval (Edwin Wilson's, unrelated to the maze
algorithm); conditions are compared on the same mazes with McNemar's exact test.
"""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pandas as pd
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from helpers.corpus import PLAN, PROMPT, TRACE, Corpus, opening_word, prompts
from helpers.decoding import generate
from helpers.language import Vocabulary
from helpers.maze import Maze, MazeError, Mazes
from helpers.model import Transformer
from helpers.validator import judge_responses

CELL = ["condition", "seed", "distribution"]
HEADLINE = [*CELL, "n", "plan_valid", "plan_valid_low", "plan_valid_high", "plan_optimal",
            "trace_valid", "trace_strict", "trace_exact", "trace_valid_given_plan_valid"]

# Published plan validity, models trained on Wilson mazes, per cent (condition → distribution)
PUBLISHED = {
    "v2 (May 2025)": {("correct", "wilson"): 50.1, ("swapped", "wilson"): 51.6,
                      ("correct", "drunkards_walk"): 2.5, ("swapped", "drunkards_walk"): 26.0},
    "v3": {("correct", "wilson"): 79.9, ("swapped", "wilson"): 83.3,
           ("correct", "drunkards_walk"): 0.0, ("swapped", "drunkards_walk"): 11.7},
}


# ── responses to rows ───────────────────────────────────────────────────────────────────


def respond(model: Transformer, corpus: Corpus, condition: str, *, max_new_tokens: int,
            batch_size: int = 256, title: str | None = None) -> list[np.ndarray]:
    """A model's greedy answer to every maze of a corpus, uint16 ids after the opening word."""
    return generate(model, prompts(corpus, condition), max_new_tokens=max_new_tokens,
                    batch_size=batch_size, title=title)


def answer(model: Transformer, maze: Maze, condition: str) -> str:
    """A model's greedy response to any maze of its grid, as `validator.explain` reads it::

        model = load_model("runs/laptop/training/correct_1/model.safetensors")
        response = answer(model, maze, "correct")
        print(explain(maze, response))
    """
    return answers(model, Mazes.of([maze]), condition)[0]


def answers(model: Transformer, mazes: Mazes, condition: str) -> list[str]:
    """Greedy responses as text, opening word included, each as long as the context allows.

    Raises:
        MazeError: mazes of another grid than the model's.
    """
    rows, cols = mazes.grids.shape[1:]
    vocabulary = Vocabulary(rows, cols)
    if vocabulary.size != model.config.vocabulary:
        raise MazeError(f"maze: got {rows}x{cols}, which has {vocabulary.size} tokens, takes the "
                        f"grid of the model, which has {model.config.vocabulary}")
    opening = np.uint16(opening_word(condition))
    asked = [np.append(vocabulary.prompt_ids(mazes.maze(i)), opening)
             for i in range(len(mazes.grids))]
    room = model.config.context - max(map(len, asked))
    return [vocabulary.decode(np.append(opening, ids))
            for ids in generate(model, asked, max_new_tokens=room)]


def judge(corpus: Corpus, condition: str, responses: list[np.ndarray]) -> pd.DataFrame:
    """Verdicts, a row a response, see `validator.judge_ids` for the columns.

    Trace columns are empty where the condition has no trace.
    """
    rows = pd.DataFrame(judge_responses(corpus.mazes, responses, opening_word(condition)))
    lengths = corpus.lengths()
    rows.insert(0, "maze", np.arange(len(rows)))
    rows["response_tokens"] = [len(response) for response in responses]
    rows["prompt_tokens"] = lengths[:, PROMPT]
    rows["own_trace_tokens"] = lengths[:, TRACE]
    rows["own_plan_steps"] = (lengths[:, PLAN] - 2) // 3  # without `solution` and `end`
    for name in ("trace_valid", "trace_strict", "trace_exact"):
        rows[name] = rows[name].astype("boolean").where(rows["has_trace"])
    return rows


def texts(corpus: Corpus, condition: str, responses: list[np.ndarray]) -> Iterator[str]:
    """Prompt and response of each maze as text, as the command ``validate`` reads it."""
    for prompt, response in zip(prompts(corpus, condition), responses, strict=True):
        yield corpus.vocabulary.decode(np.concatenate([prompt, response]))


def plan_validity(model: Transformer, corpus: Corpus, condition: str, max_new_tokens: int,
                  batch_size: int = 256) -> dict:
    """The numbers of a learning curve: share of valid plans (and traces), with n."""
    rows = judge(corpus, condition, respond(model, corpus, condition, batch_size=batch_size,
                                            max_new_tokens=max_new_tokens))
    result = {"n": len(rows), "plan_valid": float(rows["plan_valid"].mean())}
    if rows["has_trace"].any():
        result["trace_valid"] = float(rows["trace_valid"].mean())
    return result


# ── rows to tables ──────────────────────────────────────────────────────────────────────


def interval(successes: int, n: int) -> tuple[float, float]:
    """95 % Wilson-score interval of a rate; (nan, nan) for n = 0."""
    if n == 0:
        return float("nan"), float("nan")
    low, high = proportion_confint(successes, n, alpha=0.05, method="wilson")
    return float(low), float(high)


def rate_interval(share: float, n: int) -> tuple[float, float]:
    """`interval` of a rate stored as share of n; (nan, nan) where there is none."""
    return interval(round(share * n), int(n)) if pd.notna(share) else interval(0, 0)


def headline(rows: pd.DataFrame) -> pd.DataFrame:
    """A row a cell, rates between 0 and 1, the columns of `HEADLINE`."""
    table = []
    for cell, part in rows.groupby(CELL, sort=False):
        low, high = interval(int(part["plan_valid"].sum()), len(part))
        valid = part[part["plan_valid"]]
        table.append([*cell, len(part), part["plan_valid"].mean(), low, high,
                      part["plan_optimal"].mean(),
                      *(part[name].mean() for name in ("trace_valid", "trace_strict",
                                                       "trace_exact")),
                      valid["trace_valid"].mean() if len(valid) else pd.NA])
    numbers = dict.fromkeys(HEADLINE[4:], "Float64")
    return pd.DataFrame(table, columns=HEADLINE).astype(numbers)


def comparisons(rows: pd.DataFrame) -> pd.DataFrame:
    """Each two conditions on the same mazes: how often only one has a valid plan.

    ``p`` is McNemar's exact test of "both err equally often" (McNemar 1947), not corrected
    for the number of comparisons.
    """
    table = []
    for (seed, distribution), part in rows.groupby(["seed", "distribution"], sort=False):
        verdicts = part.pivot(index="maze", columns="condition", values="plan_valid")
        for a, b in combinations(part["condition"].unique(), 2):
            valid = verdicts[[a, b]].dropna().astype(bool)  # mazes that both have answered
            counts = pd.crosstab(pd.Categorical(valid[a], [True, False]),
                                 pd.Categorical(valid[b], [True, False]), dropna=False)
            both, only_a, only_b, neither = counts.to_numpy().ravel()
            p = mcnemar(counts.to_numpy(), exact=True).pvalue
            table.append([seed, distribution, a, b, len(valid), both, only_a, only_b, neither,
                          (only_b - only_a) / len(valid), p])
    return pd.DataFrame(table, columns=["seed", "distribution", "a", "b", "n", "both", "only_a",
                                        "only_b", "neither", "b_minus_a", "p"])


def coupling(rows: pd.DataFrame) -> pd.DataFrame:
    """Plan validity against trace validity in each cell that has traces.

    ``phi`` is the correlation of the two verdicts, empty where one of them never varies.
    """
    table = []
    for cell, part in rows[rows["has_trace"]].groupby(CELL, sort=False):
        plan, trace = part["plan_valid"].astype(bool), part["trace_valid"].astype(bool)
        varied = plan.nunique() == 2 and trace.nunique() == 2
        phi = float(np.corrcoef(plan, trace)[0, 1]) if varied else pd.NA
        low, high = interval(int((plan & trace).sum()), int(plan.sum()))
        table.append([*cell, len(part), int((plan & trace).sum()), int((plan & ~trace).sum()),
                      int((~plan & trace).sum()), int((~plan & ~trace).sum()), phi, low, high])
    return pd.DataFrame(table, columns=[
        *CELL, "n", "both_valid", "only_plan_valid", "only_trace_valid", "neither_valid", "phi",
        "trace_valid_given_plan_valid_low", "trace_valid_given_plan_valid_high"])


def errors(rows: pd.DataFrame) -> pd.DataFrame:
    """How often each first error of plans and traces occurs, a row a cell, part and error."""
    parts = []
    for part, kind in (("plan", "plan_error"), ("trace", "trace_error")):
        judged = rows if part == "plan" else rows[rows["has_trace"]]
        counts = judged.groupby([*CELL, judged[kind].fillna("none")], sort=False).size()
        counts.index.names = [*CELL, "error"]
        parts.append(counts.rename("count").reset_index().assign(part=part))
    return pd.concat(parts, ignore_index=True)[[*CELL, "part", "error", "count"]]


def percent_table(table: pd.DataFrame, rate: str = "plan_valid") -> pd.DataFrame:
    """A rate of `headline` for people: per cent [95 % interval], a column a distribution."""
    table = table.dropna(subset=rate)
    texts = []
    for share, n in table[[rate, "n"]].astype(float).itertuples(index=False):
        low, high = rate_interval(share, n)
        texts.append(f"{100 * share:.1f} [{100 * low:.1f}, {100 * high:.1f}]")
    shown = table.assign(text=texts).pivot(index=["condition", "seed"], columns="distribution",
                                           values="text")
    return shown[table["distribution"].unique()].loc[table["condition"].unique()]


def learning_curves(metrics: dict[tuple[str, int], list[dict]]) -> pd.DataFrame:
    """The validation lines of training runs, (condition, seed) → lines of ``metrics.jsonl``.

    Plan validity comes with its interval; ``examples`` and ``response_tokens`` say how much
    had been trained on by then.
    """
    table = []
    for (condition, seed), lines in metrics.items():
        for line in (line for line in lines if "validation" in line):
            found = line["validation"]
            low, high = rate_interval(found["plan_valid"], found["n"])
            table.append([condition, seed, line["step"], line["examples"], line["tokens"],
                          line["response_tokens"], line["seconds"], found["n"],
                          found["plan_valid"], low, high, found.get("trace_valid")])
    return pd.DataFrame(table, columns=[
        "condition", "seed", "step", "examples", "tokens", "response_tokens", "seconds", "n",
        "plan_valid", "plan_valid_low", "plan_valid_high", "trace_valid"])
