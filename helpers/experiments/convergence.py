"""Is a condition behind because it learns later, or for good?

The conditions after an eighth, a quarter, half and all of a scale's examples. Each point is a
training of its own, on the first so many mazes of one corpus, with a learning rate that has
fallen to 0 at its end: a point in the middle of one training stands where the rate is still
high, and says little about what so many examples can teach.

What each example weighs is a rival explanation: a condition may learn later only because its
plans are a smaller share of the loss. So plans of weight 4, and the mean over few examples, which
is how the published models weigh them, stand beside it at the last two points.
"""

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise

import pandas as pd

from helpers import evaluation
from helpers.differences import differences, named
from helpers.experiments.regime import in_and_out
from helpers.study import steps
from helpers.study.runs import Run
from helpers.study.scale import Scale
from helpers.study.specs import EvaluationSpec, Experiment, every

SHARES = (1 / 8, 1 / 4, 1 / 2, 1)  # of a scale's examples
WEIGHTINGS = ((("plan_weight", 4.0),), (("mean_over", 4),))
SAME = "a token"  # what each weighs alike, in the scale's own weighting


def evaluations(scale: Scale) -> list[EvaluationSpec]:
    """All conditions and seeds after each share of the examples."""
    return _after(scale, SHARES, ())


def with_weightings(scale: Scale) -> list[EvaluationSpec]:
    """The same; and conditions with a trace under other weightings, at the last two points."""
    others = [one for weighting in WEIGHTINGS for one in _after(scale, SHARES[-2:], weighting)
              if one.model.has_trace]
    return list(dict.fromkeys([*evaluations(scale), *others]))


def _after(scale: Scale, shares: tuple[float, ...], weighting: tuple) -> list[EvaluationSpec]:
    """None after so few that a training would be mostly warm-up."""
    amounts = [int(share * scale.train_examples) for share in shares]
    shortest = max(4 * scale.training.warmup_steps, 1) * scale.training.batch_size
    return every(scale, *((("train_examples", amount), *weighting) for amount in amounts
                          if amount >= shortest), distributions=in_and_out(scale))


# ── tables ──────────────────────────────────────────────────────────────────────────────


def analyse(run: Run, evaluations: list[EvaluationSpec]) -> dict[str, pd.DataFrame]:
    """Rates after each number of examples; what was won by the last doubling, and who is ahead."""
    rates, effects, ends = [], [], {}
    for (weighting, amount), asked in _cells(run, evaluations).items():
        rows, share = steps.all_rows(run, asked), _share(amount, run.scale)
        table = evaluation.headline(rows)
        for name, value in (("train_examples", amount), ("weighting", weighting)):
            table.insert(0, name, value)
        rates.append(table)
        said = weighting * (weighting != SAME)
        effects.append(named(differences(rows), f"after {share}", said))
        ends.setdefault(said, []).append((share, rows))
    for said, points in ends.items():
        for (fewer, before), (more, after) in pairwise(points):
            for condition, part in after.groupby("condition", sort=False):
                both = pd.concat([before[before["condition"] == condition].assign(arm="before"),
                                  part.assign(arm="after")])
                gained = differences(both, arm="arm").assign(
                    quantity=f"plan_valid: {condition} after {more} - after {fewer}")
                effects.append(named(gained, said))
    return {"rates": pd.concat(rates, ignore_index=True),
            "effects": pd.concat(effects, ignore_index=True)}


def _cells(run: Run, evaluations: list[EvaluationSpec]) -> dict[tuple[str, int], list]:
    """The evaluations of each weighting after each number of examples, fewest first."""
    cells: dict[tuple[str, int], list[EvaluationSpec]] = {}
    for one in evaluations:
        others = [f"{name}={value}" for name, value in one.model.variation
                  if name != "train_examples"]
        amount = run.scale_of(one.model).train_examples
        cells.setdefault((", ".join(others) or SAME, amount), []).append(one)
    return dict(sorted(cells.items(), key=lambda cell: (cell[0][0] != SAME, *cell[0])))


def _share(amount: int, scale: Scale) -> str:
    """``1/2``, or ``all``."""
    share = Fraction(amount, scale.train_examples).limit_denominator(64)
    return "all" if share == 1 else str(share)


# ── for people ──────────────────────────────────────────────────────────────────────────


def rates_by_examples(rates: pd.DataFrame, rate: str = "plan_valid") -> pd.DataFrame:
    """A rate in per cent [95 % interval], a column a number of examples."""
    shown = {(weighting, name): evaluation.percent_table(
        part.assign(distribution=part["train_examples"]), rate).rename_axis(columns="examples")
        for (weighting, name), part in rates.groupby(["weighting", "distribution"], sort=False)}
    return pd.concat(shown, names=["weighting", "distribution"]).fillna("–")


def gains(effects: pd.DataFrame) -> pd.DataFrame:
    """What each doubling of the examples has won, in points with its interval."""
    table = effects[effects["quantity"].str.contains(" - after ")]
    texts = [f"{100 * value:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]" for value, low, high
             in table[["estimate", "low", "high"]].itertuples(index=False)]
    return table.assign(text=texts, quantity=table["quantity"].str.removeprefix("plan_valid: ")
                        ).pivot_table(index="quantity", columns="distribution", values="text",
                                      aggfunc="first", sort=False).fillna("–")


def summary(run: Run) -> str:
    """Plan validity by number of examples."""
    return rates_by_examples(pd.read_csv(run.file("convergence", "rates.csv"))).to_string()


def _experiment(question: str, evaluations: Callable[[Scale], list[EvaluationSpec]]) -> Experiment:
    return Experiment(
        question=question, notebook="19_convergence", evaluations=evaluations, analyse=analyse,
        summary=summary, tables=("rates", "effects"), figures=("convergence",),
        folder="convergence", gathers=with_weightings)


EXPERIMENTS = {
    "convergence": _experiment("Does a condition learn later, or less for good?", evaluations),
    "convergence_weights": _experiment("And where plans weigh more, or examples weigh alike?",
                                       with_weightings)}
