"""Does a reward for the plan alone make traces worse?

Each model of a scale goes on for some steps, by GRPO and by its two controls (`helpers.grpo`);
mazes are those of its training. GRPO is also held to the model before, by a divergence. Another
part, ``grpo_longer``, takes three times the steps.
"""

from collections.abc import Callable

import pandas as pd

from helpers import differences, evaluation
from helpers.experiments.regime import in_and_out
from helpers.grpo import TuningConfig
from helpers.study import steps
from helpers.study.runs import Run
from helpers.study.scale import Scale
from helpers.study.specs import EvaluationSpec, Experiment, ModelSpec, every

GRPO = (("after", "grpo"),)
CONTINUED, REJECTION = (("after", "continued"),), (("after", "rejection"),)
HELD = (*GRPO, ("kl", 0.04))
NAMES = {(): "before", GRPO: "grpo", CONTINUED: "continued", REJECTION: "rejection",
         HELD: "grpo with kl"}
LONGER = 3  # times the steps of a scale
ALONG = ("step", "plan_valid", "cut_off", "no_spread", "trace_valid", "trace_published",
         "trace_tokens", "answer_tokens", "loss", "gradient_norm", "off_by", "clipped", "seconds")


def evaluations(scale: Scale) -> list[EvaluationSpec]:
    """Every model before and after; what has no trace is not held back."""
    return [one for one in every(scale, *NAMES, distributions=in_and_out(scale))
            if one.model.variation != HELD or one.model.has_trace]


def longer(scale: Scale) -> list[EvaluationSpec]:
    """Every model before, after GRPO and after more of the examples, of more steps."""
    more = ("tuning_steps", LONGER * scale.tuning.tuning_steps)
    return every(scale, (), *((*way, more) for way in (GRPO, CONTINUED)),
                 distributions=in_and_out(scale))


def name_of(model: ModelSpec) -> str:
    """``grpo longer``: how a model went on, whatever else there is to it."""
    way = dict(entry for entry in model.variation if entry[0] in TuningConfig.model_fields)
    more = " longer" if way.pop("tuning_steps", None) else ""
    return NAMES[tuple(way.items())] + more


def analyse(run: Run, evaluations: list[EvaluationSpec]) -> dict[str, pd.DataFrame]:
    """Rates before and after; what going on did; what was seen along the way."""
    models = list(dict.fromkeys(one.model for one in evaluations))
    rows = {one: steps.all_rows(run, [one]).assign(after=name_of(one.model)) for one in evaluations}
    rates = [_with_after(evaluation.headline(part), part) for part in rows.values()]
    seen = [_placed(model, steps.metrics(run, model).reindex(columns=ALONG))
            for model in models if model.before]
    curves = [steps.all_curves(run, [model]).drop(columns="variation").assign(
        after=name_of(model)) for model in models if model.before]
    return {"rates": pd.concat(rates, ignore_index=True),
            "effects": effects(pd.concat(rows.values(), ignore_index=True)),
            "along": pd.concat(seen, ignore_index=True),
            "curves": pd.concat(curves, ignore_index=True)}


def _with_after(table: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    table.insert(0, "after", rows["after"].iloc[0])
    table["mean_trace_events"] = rows["trace_events"].mean()
    return table


def _placed(model: ModelSpec, table: pd.DataFrame) -> pd.DataFrame:
    for place, (name, value) in enumerate((("condition", model.condition), ("seed", model.seed),
                                           ("after", name_of(model)))):
        table.insert(place, name, value)
    return table


def effects(rows: pd.DataFrame) -> pd.DataFrame:
    """After minus before, and GRPO minus its controls, of plans and traces.

    Arms are called ``correct`` and ``correct after grpo``.
    """
    tables = []
    for condition, part in rows.groupby("condition", sort=False):
        arms = {name: condition if name == "before" else f"{condition} after {name}"
                for name in part["after"].unique()}
        pairs = [("before", name) for name in arms if name != "before"]
        pairs += [pair for pair in (("continued", "grpo"), ("rejection", "grpo"),
                                    ("continued longer", "grpo longer")) if set(pair) <= set(arms)]
        for pair in pairs:
            two = pd.concat([part[part["after"] == name] for name in pair])
            tables.append(differences.differences(
                two.assign(arm=two["after"].map(arms)),
                ("plan_valid", "trace_valid", "trace_published"), arm="arm"))
    return pd.concat(tables, ignore_index=True)


# ── for people ──────────────────────────────────────────────────────────────────────────


def by_way(rates: pd.DataFrame, rate: str = "plan_valid") -> pd.DataFrame:
    """A rate in per cent [95 % interval], ways of going on one below the other."""
    shown = {way: evaluation.percent_table(part, rate)
             for way, part in rates.groupby("after", sort=False)}
    return pd.concat(shown, names=["after"]) if shown else pd.DataFrame()


def by_pair(effects: pd.DataFrame, rate: str) -> pd.DataFrame:
    """Differences of a rate in points [95 % interval], a column a distribution."""
    table = effects[effects["quantity"].str.startswith(f"{rate}: ")]
    texts = [f"{100 * one:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]" for one, low, high in
             table[["estimate", "low", "high"]].itertuples(index=False)]
    pairs = table["quantity"].str.removeprefix(f"{rate}: ")
    shown = table.assign(text=texts, difference=pairs).pivot(
        index="difference", columns="distribution", values="text")
    return shown.loc[pairs.unique(), table["distribution"].unique()]


def ends(along: pd.DataFrame, most: int = 10) -> pd.DataFrame:
    """Means of the first and of the last steps of each training of own answers, half at most."""
    own = along.dropna(subset="plan_valid")
    if own.empty:
        return own
    shown = ["plan_valid", "trace_valid", "trace_published", "trace_tokens", "no_spread", "cut_off"]
    steps = min(most, int(own["step"].max()) // 2)
    key = [own[name] for name in ("condition", "seed", "after")]
    groups = own.groupby(["condition", "seed", "after"], sort=False)[shown]
    parts = {"first": groups.head(steps), "last": groups.tail(steps)}
    return pd.concat({name: part.groupby(key, sort=False).mean() for name, part in parts.items()},
                     axis=1).swaplevel(axis=1)[shown]


def summary(run: Run) -> str:
    """Plan and trace validity by way of going on."""
    rates = pd.read_csv(run.file("grpo", "rates.csv"))
    return "\n".join(["Plan validity, per cent [95 % interval]", by_way(rates).to_string(), "",
                      "Trace validity, per cent [95 % interval]",
                      by_way(rates.dropna(subset="trace_valid"), "trace_valid").to_string()])


def _experiment(question: str, asked: Callable[[Scale], list[EvaluationSpec]]) -> Experiment:
    return Experiment(
        question=question, notebook="17_grpo", evaluations=asked, analyse=analyse, summary=summary,
        tables=("rates", "effects", "along", "curves"), figures=("grpo", "along"), folder="grpo",
        gathers=lambda scale: [*evaluations(scale), *longer(scale)])


EXPERIMENTS = {
    "grpo": _experiment("Does a reward for the plan alone make traces worse?", evaluations),
    "grpo_longer": _experiment("And do more steps of it?", longer)}
