"""Is the trace read? What a plan owes to the trace that stands before it.

A model that has learnt to write traces is given one, up to ``solution``, and writes the plan
alone. A plan can fit the maze, and it can fit the trace (lead where the trace leads). Where the
two part, a model shows which of them it reads. Another's trace or filler, if as long as the true
trace, leaves the plan at its positions, so what the true trace does beyond them is reading, and
not position. Filler says nothing, but is also strange to a model; another's trace is not.
"""

from collections.abc import Iterable

import pandas as pd

from helpers import differences, evaluation
from helpers.asking import ASKING, CHANGED
from helpers.corpus import Corpus
from helpers.generators import GENERATORS
from helpers.responses import written_traces
from helpers.rules import path_of, read_events
from helpers.study import steps
from helpers.study.runs import Run
from helpers.study.scale import Scale
from helpers.study.specs import EvaluationSpec, Experiment, every

KINDS = {"true": "its maze's own", "other": "another maze's", "matched": "another's, as long",
         "filler": "filler, as long", "empty": "no event", "half": "first half of own",
         "renamed": "own, one cell renamed", "detour": "to another valid way",
         "wall": "through a wall", "own": "written by the model", "sampled": "the same, sampled"}
PAIRS = [*((kind, "true") for kind in KINDS if kind != "true"), ("empty", "filler")]
ASKED = ["condition", "seed", "distribution", "given"]
FITS = ["both", "only_maze", "only_trace", "neither"]


def evaluations(scale: Scale) -> list[EvaluationSpec]:
    """The headline's models with traces, given each kind; no other way where mazes have but one."""
    return [EvaluationSpec(one.model, one.distribution, (("given", kind),)) for kind in KINDS
            for one in readers(scale) if kind != "detour" or not _one_way(one.distribution)]


def readers(scale: Scale, *variations: tuple) -> list[EvaluationSpec]:
    """Models with traces, on the mazes they were trained on and the first that are open.

    Each trace given costs as much as an evaluation, so these two kinds stand for in and out of
    distribution.

    Args:
        variations: as for `every`.
    """
    outside = [name for name in scale.distributions if name != scale.trained_on]
    open_ones = [name for name in outside if not _one_way(name)] or outside
    return [one for one in every(scale, *variations, distributions=(scale.trained_on,
                                                                    *open_ones[:1]))
            if one.model.has_trace]


def _one_way(distribution: str) -> bool:
    return distribution in GENERATORS and GENERATORS[distribution].one_path


# ── tables ──────────────────────────────────────────────────────────────────────────────


def analyse(run: Run, evaluations: list[EvaluationSpec]) -> dict[str, pd.DataFrame]:
    """What plans fit; by how much the true trace is ahead, in valid plans and in likelihood."""
    rows = pd.concat([asked(run, one, dict(one.answering)["given"]) for one in evaluations],
                     ignore_index=True)
    arms = rows.assign(arm=rows["condition"] + " given " + rows["given"])
    pairs = [(f"{condition} given {a}", f"{condition} given {b}")
             for condition in rows["condition"].unique() for a, b in PAIRS]
    return {"rates": rates(rows, ASKED), **leads(arms, pairs)}


def asked(run: Run, one: EvaluationSpec, given: str) -> pd.DataFrame:
    """The judged answers of one evaluation to the mazes that allow it, with what was given."""
    rows = steps.all_rows(run, [one])
    kept = ~rows["given_true"] if given in CHANGED else slice(None)
    return rows[kept].assign(given=given)


def rates(rows: pd.DataFrame, cell: list[str]) -> pd.DataFrame:
    """What plans fit and how likely the right one is, a row a model, kind of maze and trace given.

    Args:
        rows: as of `asked`.
        cell: the columns that tell one row of the result from another.

    Returns:
        Those; n and grids; rates of plans that fit the maze and the trace, with intervals; how
        many fit both, one alone and neither; the mean log-probability of A*'s own plan in nats,
        with its interval; and the rate of given traces that are valid.
    """
    table = []
    for names, part in rows.groupby(cell, sort=False):
        maze, trace = (part[name].astype(bool) for name in ("plan_valid", "plan_follows_trace"))
        fits = [both.sum() for both in (maze & trace, maze & ~trace, ~maze & trace,
                                        ~maze & ~trace)]
        table.append([*names, len(part), part["grid"].nunique(),
                      maze.mean(), *evaluation.grid_interval(maze, part["grid"]),
                      trace.mean(), *evaluation.grid_interval(trace, part["grid"]),
                      *fits, *differences.average(part, "right_plan")[:3],
                      part["trace_valid"].mean()])
    bounds = [name + end for name in ("plan_valid", "plan_follows_trace")
              for end in ("", "_low", "_high")]
    return pd.DataFrame(table, columns=[
        *cell, "n", "grids", *bounds, *FITS, "right_plan", "right_plan_low", "right_plan_high",
        "trace_valid"])


def leads(rows: pd.DataFrame, pairs: Iterable[tuple[str, str]]) -> dict[str, pd.DataFrame]:
    """By how much b is ahead of a in each pair (a, b) of arms, on the mazes that both were asked.

    Args:
        rows: judged answers with a column ``arm``.

    Returns:
        ``effects`` in valid plans and ``likelihoods`` in nats, columns as of `differences`.
    """
    effects, likelihoods = [], []
    for pair in pairs:
        for distribution, part in rows[rows["arm"].isin(pair)].groupby("distribution", sort=False):
            a, b = (part[part["arm"] == arm] for arm in pair)
            keys = pd.merge(a, b, on=["seed", "maze"])[["seed", "maze"]]
            a, b = (arm.merge(keys, on=["seed", "maze"]) for arm in (a, b))
            if len(keys):
                effects.append(differences.differences(pd.concat([a, b]), arm="arm"))
                found = differences.change(a, b, "right_plan")
                name = f"right_plan: {pair[1]} - {pair[0]}"
                likelihoods.append([name, distribution, *found[:-1]])
    return {"effects": pd.concat(effects, ignore_index=True) if effects else
            pd.DataFrame(columns=differences.COLUMNS),
            "likelihoods": pd.DataFrame(likelihoods, columns=differences.COLUMNS)}


# ── for people ──────────────────────────────────────────────────────────────────────────


def of_one_maze(corpus: Corpus, i: int) -> pd.DataFrame:
    """The traces that need no model, for one maze of a corpus: tokens, and where each leads."""
    table = []
    for kind, name in KINDS.items():
        if ASKING[kind] is not written_traces:
            trace = ASKING[kind](corpus)[i]
            events, _ = read_events(corpus.vocabulary.decode(trace).split())
            way = " ".join(f"{x},{y}" for x, y in path_of(events))
            table.append([name, len(trace), way or "nowhere"])
    return pd.DataFrame(table, columns=["trace given", "tokens", "leads along the cells x,y"])


def by_given(rates: pd.DataFrame, value: str, percent: bool = True, reader: str = "condition"
             ) -> pd.DataFrame:
    """A number of the rates, a column a distribution; in per cent, or as it is."""
    wide = rates.pivot_table(index=[reader, "seed", "given"], columns="distribution",
                             values=value, sort=False).astype(float)
    return (100 * wide).round(1) if percent else wide.round(2)


def summary(run: Run) -> str:
    """How often plans fit the maze, by the trace given."""
    return by_given(pd.read_csv(run.file("given", "rates.csv")), "plan_valid").to_string()


EXPERIMENT = Experiment(
    question="Is the trace read, or does it only take up place?", notebook="14_given",
    evaluations=evaluations, analyse=analyse, summary=summary,
    tables=("rates", "effects", "likelihoods"), figures=("fits", "right_plans"), folder="given")
