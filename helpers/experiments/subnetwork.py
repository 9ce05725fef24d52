"""Does GRPO change few weights, and are they all it needs?

What GRPO changed is counted in several ways (`helpers.subnetwork`), beside supervised steps of
the same number and rate and beside changes of the same size in random directions. A second GRPO
of the same model from other draws says which weights come again; GRPO of the changed weights
alone, and of as many others, says whether it takes those.
"""

import numpy as np
import pandas as pd

from helpers import differences, evaluation, subnetwork
from helpers.experiments.grpo import CONTINUED, GRPO
from helpers.study import steps
from helpers.study.runs import Run
from helpers.study.scale import Scale
from helpers.study.specs import EvaluationSpec, Experiment, ModelSpec, every

AGAIN = (*GRPO, ("draws", 1))
CHANGED, RANDOM = (*GRPO, ("only", "changed")), (*GRPO, ("only", "random"))
NAMES = {(): "before", GRPO: "grpo", CONTINUED: "continued", AGAIN: "grpo again",
         CHANGED: "grpo of the changed", RANDOM: "grpo of random ones"}
PAIRS = ((GRPO, AGAIN), (GRPO, CONTINUED))
ALONE = (GRPO, CHANGED, RANDOM, AGAIN)
COMPARED = ((GRPO, CHANGED), (RANDOM, CHANGED), (GRPO, AGAIN), (CONTINUED, GRPO))


def evaluations(scale: Scale) -> list[EvaluationSpec]:
    """Models with a trace, asked what they were trained on."""
    return [one for one in every(scale, *NAMES, distributions=(scale.trained_on,))
            if one.model.has_trace]


def analyse(run: Run, evaluations: list[EvaluationSpec]) -> dict[str, pd.DataFrame]:
    """Shares changed, overlaps, and what trainings of some weights came to; effects."""
    made: dict[str, list] = {"changed": [], "overlaps": [], "alone": []}
    answers, asked = [], {one.model: one for one in evaluations}
    for model in [model for model in asked if not model.before]:
        parts = {variation: ModelSpec(model.condition, model.seed, variation)
                 for variation in NAMES}
        weights = {variation: subnetwork.read_weights(run.store.use(run.model(spec)),
                                                      as_published=not spec.before)
                   for variation, spec in parts.items()}
        judged = {variation: steps.all_rows(run, [asked[spec]])
                  for variation, spec in parts.items()}
        answers += [part.assign(arm=f"{model.condition} after {NAMES[variation]}")
                    for variation, part in judged.items()]
        rows = {variation: evaluation.headline(part) for variation, part in judged.items()}
        for name, tables in tables_of(weights, rows, model.seed).items():
            for place, column in enumerate(("condition", "seed")):
                tables.insert(place, column, getattr(model, column))
            made[name].append(tables)
    tables = {name: pd.concat(parts, ignore_index=True) for name, parts in made.items()}
    found = [effects(pd.concat(answers, ignore_index=True)),
             unchanged(tables["changed"], run.scale.trained_on)]
    return tables | {"effects": pd.concat(found, ignore_index=True)}


def effects(rows: pd.DataFrame) -> pd.DataFrame:
    """Trainings of some weights less one of all, less one of others; two of all; the control.

    Args:
        rows: judged answers with a column ``arm``, such as ``correct after grpo``.
    """
    tables = []
    for condition in rows["condition"].unique():
        for pair in COMPARED:
            arms = [f"{condition} after {NAMES[one]}" for one in pair]
            two = pd.concat([rows[rows["arm"] == arm] for arm in arms], ignore_index=True)
            tables.append(differences.differences(two, arm="arm"))
    return pd.concat(tables, ignore_index=True)


def unchanged(changed: pd.DataFrame, distribution: str) -> pd.DataFrame:
    """Which share of all weights is as it was, once rounded; and how much of that is rounding.

    Columns as of `differences`. An interval is over seeds; of one seed the share is a count, and
    has no error.

    Args:
        changed: table of that name.
        distribution: that the models were trained on.
    """
    table, whole = [], changed[changed["weights"] == "all"]
    for (condition, training), part in whole.groupby(["condition", "training"], sort=False):
        name = f"{condition} after {training}"
        for quantity, shares in (
                (f"unchanged in bfloat16, {name}", 1 - part["in_bfloat16"]),
                (f"unchanged: in bfloat16 - at all, {name}", part["at_all"] - part["in_bfloat16"])):
            seeds, mean = len(shares), shares.mean()
            spread = differences.quantile(seeds - 1) * shares.std() if seeds > 1 else 0.0
            reach = spread / np.sqrt(seeds)
            table.append([quantity, distribution, mean, mean - reach, mean + reach, seeds,
                          int(part["entries"].iloc[0])])
    return pd.DataFrame(table, columns=differences.COLUMNS)


def tables_of(weights: dict, rows: dict[tuple, pd.DataFrame], seed: int
              ) -> dict[str, pd.DataFrame]:
    """The tables of one model.

    Args:
        weights: by variation, the keys of `NAMES`.
        rows: by variation, a row of `evaluation.headline` each.
    """
    before = weights[()]
    after = {NAMES[one]: weights[one] for one in (GRPO, CONTINUED)}
    after["random signs"] = subnetwork.random_signs(before, weights[GRPO], seed)
    changed = [subnetwork.shares(before, found).assign(training=name)
               for name, found in after.items()]
    overlaps = [subnetwork.overlaps(*(subnetwork.changed(before, weights[one], way)
                                      for one in pair)).assign(
                    pair=" and ".join(NAMES[one] for one in pair), way=way)
                for pair in PAIRS for way in ("above_1e-5", "in_bfloat16")]
    alone = [rows[()].iloc[0][_RATES].to_dict() | {"training": "before"}]
    alone += [rows[one].iloc[0][_RATES].to_dict() | {"training": NAMES[one]}
              | {"in_bfloat16": _all_changed(before, weights[one])}
              | subnetwork.distances(before, weights[GRPO], weights[one]) for one in ALONE]
    found = {"changed": changed, "overlaps": overlaps, "alone": [pd.DataFrame(alone)]}
    return {name: _names_first(pd.concat(parts, ignore_index=True))
            for name, parts in found.items()}


_RATES = ["n", "plan_valid", "plan_valid_low", "plan_valid_high", "trace_valid"]


def _all_changed(before: subnetwork.Weights, after: subnetwork.Weights) -> float:
    found = subnetwork.changed(before, after, "in_bfloat16").values()
    return sum(int(one.sum()) for one in found) / sum(one.numel() for one in found)


def _names_first(table: pd.DataFrame) -> pd.DataFrame:
    names = [name for name in ("training", "pair", "way") if name in table]
    return table[[*names, *table.columns.drop(names)]]


# ── for people ──────────────────────────────────────────────────────────────────────────


def whole(changed: pd.DataFrame) -> pd.DataFrame:
    """Per cent of all weights changed, a column a way of counting."""
    table = changed[changed["weights"] == "all"].set_index(["condition", "seed", "training"])
    return (100 * table[list(subnetwork.WAYS)]).round(2)


def by_matrix(changed: pd.DataFrame, training: str = "grpo") -> pd.DataFrame:
    """Per cent of each matrix changed once rounded to bfloat16, and ranks of the change."""
    table = changed[(changed["training"] == training) & changed["rank"].notna()]
    shown = table[["condition", "seed", "weights", "entries", "full_rank", "rank", "rank_99"]]
    return shown.astype({"full_rank": int, "rank": int, "rank_99": int}).assign(
        in_bfloat16=(100 * table["in_bfloat16"]).round(2))


def summary(run: Run) -> str:
    """Shares changed, and trainings of some weights alone."""
    changed, alone = (pd.read_csv(run.file("subnetwork", f"{name}.csv"))
                      for name in ("changed", "alone"))
    return "\n\n".join(["Weights changed, per cent, by way of counting",
                        whole(changed).to_string(), alone.round(3).to_string(index=False)])


EXPERIMENT = Experiment(
    question="Does GRPO change few weights, and are they all it needs?", notebook="18_subnetwork",
    evaluations=evaluations, analyse=analyse, summary=summary,
    tables=("changed", "overlaps", "alone", "effects"), figures=("subnetwork",),
    folder="subnetwork")
