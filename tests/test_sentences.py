"""Sentences say what stands in their table, and nothing that does not."""

from types import SimpleNamespace

import pandas as pd
import pytest

from helpers.differences import COLUMNS
from helpers.engine.files import PROJECT
from helpers.evaluation import PUBLISHED
from helpers.evaluation import comparisons as compared
from helpers.show import coupled, sentences
from helpers.show.words import listed, percents, seeds_of, span

NONE, RIGHT, LENT = "solution_only", "correct", "swapped"


def rates(cells: dict, n=1000, half=0.02, distribution="wilson", **more) -> pd.DataFrame:
    """(condition, seed) → plan validity, with intervals of this half width."""
    return pd.DataFrame([{"condition": condition, "seed": seed, "distribution": distribution,
                          "n": n, "plan_valid": rate, "plan_valid_low": max(rate - half, 0),
                          "plan_valid_high": min(rate + half, 1), **more}
                         for (condition, seed), rate in cells.items()])


def plans(cells: dict, **settings) -> str:
    return sentences.plans(rates(cells, **settings), "wilson")


# ── who is ahead ────────────────────────────────────────────────────────────────────────


def test_one_seed_clearly_ahead():
    said = plans({(NONE, 1): 0.5, (RIGHT, 1): 0.7, (LENT, 1): 0.1})
    assert said == ("- **Wilson** (trained on): `correct` (70.0 %) has the most valid plans, "
                    "before `solution_only` (50.0 %) and `swapped` (10.0 %). "
                    "Its interval lies above all others.")


def test_two_seeds_that_agree():
    said = plans({(NONE, 1): 0.5, (NONE, 2): 0.4, (RIGHT, 1): 0.2, (RIGHT, 2): 0.1,
                  (LENT, 1): 0.7, (LENT, 2): 0.9})
    assert "`swapped` (70.0 and 90.0 %) has the most valid plans in both seeds, before " in said
    assert "The order is the same in every seed." in said
    assert "lies above all others in both seeds" in said
    assert "overlap" not in said


def test_the_rest_in_another_order():
    said = plans({(NONE, 1): 0.5, (NONE, 2): 0.1, (RIGHT, 1): 0.2, (RIGHT, 2): 0.4,
                  (LENT, 1): 0.7, (LENT, 2): 0.9})
    assert "Behind it the order is not the same in every seed." in said
    level = plans({(NONE, 1): 0.2, (NONE, 2): 0.1, (RIGHT, 1): 0.2, (RIGHT, 2): 0.1,
                   (LENT, 1): 0.7, (LENT, 2): 0.9})
    assert "The order is the same" not in level


def test_seeds_that_contradict_each_other():
    said = plans({(RIGHT, 1): 0.5, (RIGHT, 2): 0.4, (LENT, 1): 0.3, (LENT, 2): 0.9})
    assert "no condition is ahead in both seeds" in said
    assert "seed 1: `correct` has the most; seed 2: `swapped` has the most" in said
    assert "has the most valid plans" not in said
    assert "lies above" not in said


def test_three_seeds():
    said = plans({(name, seed): rate for name, rate in ((RIGHT, 0.5), (LENT, 0.3))
                  for seed in (1, 2, 7)})
    assert "`correct` (50.0, 50.0 and 50.0 %) has the most valid plans in all 3 seeds" in said


def test_overlapping_intervals_are_named():
    said = plans({(NONE, 1): 0.5, (NONE, 2): 0.5, (RIGHT, 1): 0.51, (RIGHT, 2): 0.7})
    assert "But intervals overlap with its own (seed 1: `solution_only`)." in said
    assert "lies above" not in said
    touching = plans({(NONE, 1): 0.50, (RIGHT, 1): 0.54}, half=0.02)
    assert "(`solution_only`)" in touching


def test_level_conditions_have_no_leader():
    said = plans({(NONE, 1): 0.1, (RIGHT, 1): 0.5, (LENT, 1): 0.5})
    assert "no condition is ahead" in said
    assert "`correct` and `swapped`, level, have the most" in said
    assert "no valid plan" in plans({(RIGHT, 1): 0.0, (LENT, 1): 0.0})


def test_few_mazes_tell_nothing():
    table = rates({(RIGHT, 1): 0.9, (LENT, 1): 0.1}, n=40)
    said = sentences.plans(table, "wilson")
    assert said == "n = 40 mazes: too few to tell."
    mixed = pd.concat([table, rates({(RIGHT, 1): 0.9, (LENT, 1): 0.1}, distribution="dfs")])
    few, many = sentences.plans(mixed, "wilson").splitlines()
    assert "too few" in few
    assert "**DFS**: `correct` (90.0 %) has" in many


def test_what_is_missing_is_not_compared():
    alone = plans({(RIGHT, 1): 0.5, (RIGHT, 2): 0.6})
    assert "`correct` (50.0 and 60.0 %); no other condition" in alone
    said = plans({(NONE, 1): 0.5, (NONE, 2): 0.9, (RIGHT, 1): 0.7})
    assert "`correct` (70.0 %) has the most valid plans, before `solution_only` (50.0 %)." in said
    assert "seed 2" in said
    assert "both seeds" not in said
    assert "no seed has every condition" in plans({(NONE, 1): 0.5, (RIGHT, 2): 0.7})
    without = rates({(NONE, 1): 0.5, (RIGHT, 1): 0.7}).drop(
        columns=["plan_valid_low", "plan_valid_high"])
    assert "interval" not in sentences.plans(without, "wilson")


def test_distributions_of_ones_own():
    table = rates({(RIGHT, 1): 0.5, ("mine", 1): 0.6}, distribution="a.jsonl")
    said = sentences.plans(table, "dfs")
    assert said.startswith("- **a.jsonl**: `mine` (60.0 %) has the most")


# ── traces ──────────────────────────────────────────────────────────────────────────────


def traces(valid: dict, n=1000) -> str:
    table = pd.DataFrame([{"condition": condition, "seed": seed, "distribution": distribution,
                           "n": n, "trace_valid": rate}
                          for (condition, seed, distribution), rate in valid.items()])
    return sentences.traces(table.astype({"trace_valid": "Float64"}), "wilson")


def test_traces_never_valid():
    said = traces({(LENT, 1, "wilson"): 0.0, (LENT, 2, "wilson"): 0.0, (LENT, 1, "dfs"): 0.0,
                   (LENT, 2, "dfs"): 0.0, (NONE, 1, "wilson"): pd.NA})
    assert said == ("- `swapped`: not one of its traces is valid, in any seed and on any kind of "
                    "maze (n = 1 000).")
    assert "seed" not in traces({(LENT, 1, "wilson"): 0.0})


def test_one_valid_trace_is_enough_to_say_otherwise():
    said = traces({(LENT, 1, "wilson"): 0.0, (LENT, 1, "dfs"): 0.001})
    assert "not one" not in said
    assert "none" not in said
    assert "0.0 % of its traces are valid on Wilson" in said
    assert "0.1 % on DFS" in said


def test_traces_elsewhere_alone_and_none_at_all():
    assert traces({(RIGHT, 1, "dfs"): 0.5}) == "- `correct`: 50.0 % on DFS."
    assert traces({(NONE, 1, "dfs"): pd.NA}) == "No condition here writes traces."
    assert "too few" in traces({(LENT, 1, "dfs"): 0.0}, n=40)


# ── maze by maze ────────────────────────────────────────────────────────────────────────


def pairs(*rows, n=1000) -> str:
    """(seed, distribution, lead of swapped over correct, p)."""
    return sentences.comparisons(pd.DataFrame(
        [(seed, where, RIGHT, LENT, n, lead, p) for seed, where, lead, p in rows],
        columns=["seed", "distribution", "a", "b", "n", "b_minus_a", "p"]))


def test_comparisons_clear_in_all_seeds():
    said = pairs((1, "wilson", 0.1, 1e-9), (2, "wilson", 0.2, 1e-9), (1, "dfs", -0.1, 1e-9),
                 (2, "dfs", -0.1, 1e-9))
    assert "0.05 / 4" in said
    assert "`swapped` clearly ahead in both seeds on Wilson (+10.0 and +20.0)" in said
    assert "`correct` clearly ahead in both seeds on DFS (-10.0 and -10.0)" in said


def test_comparisons_within_chance_in_one_or_all_or_opposite():
    assert "`swapped` clearly ahead in seed 2 alone on Wilson (+0.1 and +20.0)" in pairs(
        (1, "wilson", 0.001, 0.9), (2, "wilson", 0.2, 1e-9))
    opposite = pairs((1, "wilson", -0.1, 1e-9), (2, "wilson", 0.2, 1e-9))
    assert "in opposite directions from seed to seed, on Wilson" in opposite
    assert "ahead" not in opposite
    chance = pairs((1, "wilson", 0.02, 0.3))
    assert "no clear difference on Wilson (+2.0)" in chance
    assert "ahead" not in chance


def test_comparisons_count_all_rows_against_chance():
    """p = 0.03 would do for one row; it does not for two."""
    assert "ahead" in pairs((1, "wilson", 0.1, 0.03))
    assert "ahead" not in pairs((1, "wilson", 0.1, 0.03), (2, "wilson", 0.1, 0.03))


def test_comparisons_that_cannot_be_made():
    assert "too few" in pairs((1, "wilson", 0.5, 1e-9), n=40)
    assert "no two conditions" in pairs()


# ── learning curves ─────────────────────────────────────────────────────────────────────


def curve(*heights, condition=RIGHT, seed=1, half=0.05) -> pd.DataFrame:
    return pd.DataFrame([{"condition": condition, "seed": seed, "n": 200, "plan_valid": height,
                          "plan_valid_low": height - half, "plan_valid_high": height + half}
                         for height in heights])


def test_convergence():
    said = sentences.convergence(pd.concat([curve(0.1, 0.5, 0.6), curve(0.1, 0.5, 0.52, seed=2),
                                            curve(0.9, 0.5, condition=LENT)]))
    assert "`correct`: seed 1: +10.0 points, still climbing; seed 2: +2.0 points, within " in said
    assert "`swapped`: -40.0 points, falling." in said
    assert "n = 200" in said


def test_convergence_without_two_validations():
    assert "only one validation" in sentences.convergence(curve(0.5))
    assert "too few" in sentences.convergence(curve(0.1, 0.9).assign(n=20))
    assert sentences.convergence(curve(0.5)[:0]) == "No validation was made."


# ── plan and trace ──────────────────────────────────────────────────────────────────────


def said_of(*rows) -> str:
    return coupled.coupling(pd.DataFrame(rows, columns=[
        "condition", "seed", "distribution", "both_valid", "only_plan_valid", "only_trace_valid",
        "neither_valid"]))


def test_coupling_where_both_go_together_and_where_not():
    said = said_of((RIGHT, 1, "wilson", 90, 10, 20, 80), (RIGHT, 1, "dfs", 30, 70, 60, 40))
    first, other = said.splitlines()
    assert "`correct` on Wilson: 90.0 % of 100 valid plans come with a valid trace, " in first
    assert "20.0 % of 100 invalid ones" in first
    assert "`correct` on DFS: 30.0 % of 100 valid plans come with a valid trace, " in other
    assert "60.0 % of 100 invalid ones" in other
    assert "All seeds" not in said


def test_coupling_sums_seeds_and_says_so():
    said = said_of((RIGHT, 1, "wilson", 90, 10, 20, 80), (RIGHT, 2, "wilson", 90, 10, 0, 100))
    assert said.startswith("All seeds together (seeds 1 and 2):")
    assert "90.0 % of 200 valid plans" in said
    assert "10.0 % of 200 invalid ones" in said


def test_coupling_without_a_valid_trace():
    said = said_of((LENT, 1, "wilson", 0, 50, 0, 50), (LENT, 1, "dfs", 0, 10, 0, 90))
    assert "none of its 60 valid plans, on any kind of maze, comes with a valid trace" in said
    some = said_of((LENT, 1, "wilson", 0, 50, 1, 49), (LENT, 1, "dfs", 0, 40, 0, 60))
    assert "none of its" not in some
    assert "not a right trace" not in some


def test_coupling_of_few():
    assert "5 of 5 valid plans" in said_of((RIGHT, 1, "wilson", 5, 0, 1, 94))
    assert "too few to tell" in said_of((RIGHT, 1, "wilson", 5, 0, 1, 94))
    assert "too few to tell" in said_of((RIGHT, 1, "wilson", 99, 0, 1, 0))
    assert "no valid plan" in said_of((RIGHT, 1, "wilson", 0, 0, 5, 95))
    few = said_of((LENT, 1, "wilson", 0, 9, 0, 31))
    assert "0 of 9 valid plans" in few
    assert "not a right trace" not in few
    assert said_of() == "No condition here writes traces."


def test_published_coupling():
    columns = ["condition", "seed", "distribution", "n", "phi", "trace_ours_alone",
               "trace_published_alone", "phi_ours"]
    table = pd.DataFrame([(RIGHT, 1, "wilson", 1000, 0.956, 30, 1, 0.811),
                          (RIGHT, 2, "wilson", 1000, 0.9, 1500, 0, 0.8),
                          (LENT, 1, "wilson", 1000, None, 0, 0, None),
                          (LENT, 2, "wilson", 1000, 0.25, 0, 0, None)], columns=columns)
    said = coupled.published_coupling(table)
    assert "some of its coupling is in the rule" in said
    assert "by either verdict, by seed (seeds 1 and 2):" in said
    assert ("- `correct` on Wilson: the verdicts differ on 1 531 of 2 000 traces (1 530 valid by "
            "ours alone, 1 by the published one alone); phi is 0.81 and 0.80 by ours and 0.96 and "
            "0.90 by the published one.") in said
    assert ("- `swapped` on Wilson: the verdicts differ on 0 of 2 000 traces; phi is undefined and "
            "undefined by ours and undefined and 0.25 by the published one.") in said
    assert "by seed" not in coupled.published_coupling(table[:1])
    assert coupled.published_coupling(table.assign(n=40)) == "n = 40 mazes: too few to tell."
    assert coupled.published_coupling(table[:0]) == "No condition here writes traces."


def test_breaks():
    table = pd.DataFrame([(RIGHT, "trace", "none", 90), (RIGHT, "trace", "wrong_cost", 4),
                          (RIGHT, "trace", "jump", 3), (RIGHT, "trace", "jump", 3),
                          (RIGHT, "plan", "wall", 50)],
                         columns=["condition", "part", "error", "count"])
    assert coupled.breaks(table) == ("- `correct`: of 10 broken traces 60.0 % break `jump` "
                                       "first.")
    assert coupled.breaks(table[:1]) == "No trace is broken."


# ── the published numbers ───────────────────────────────────────────────────────────────


def test_beside_published():
    here = pd.concat([rates({(RIGHT, 1): 0.9, (RIGHT, 2): 0.8, (LENT, 1): 0.2, (LENT, 2): 0.9}),
                      rates({(RIGHT, 1): 0.1, (LENT, 1): 0.4}, distribution="drunkards_walk")])
    said = sentences.beside_published(here, PUBLISHED)
    assert "Wilson: -70.0 and +10.0 points here, +1.5 (v2 (May 2025)) and +3.4 (v3)" in said
    assert "Drunkard's Walk: +30.0 points here, +23.5" in said
    assert "Drunkard" not in sentences.beside_published(
        here[here["distribution"] == "wilson"], PUBLISHED)
    lacking = sentences.beside_published(here[here["condition"] == RIGHT], PUBLISHED)
    assert lacking == "Not all conditions of the published numbers are here."
    assert "too few" in sentences.beside_published(here.assign(n=40), PUBLISHED)


# ── the run ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("mazes", "warned"), [(40, True), (199, True), (200, False)])
def test_a_run_that_shows_nothing_says_so(mazes, warned):
    scale = SimpleNamespace(rows=6, cols=8, conditions=("none", RIGHT), trained_on="wilson",
                            train_examples=50_000, test_examples=mazes, distributions=("dfs",))
    models = pd.DataFrame({"condition": RIGHT, "seed": [1, 1, 2]})
    said = sentences.trained(scale, models)
    assert said.startswith("**This run shows that every step works, and nothing") == warned
    assert ("2 models: `correct`, seeds 1 and 2, each trained on 50 000 mazes (Wilson) and asked "
            f"{mazes} of each kind: DFS.") in said


def test_published_tables_can_be_said():
    """All columns as they are stored, empty cells included; as if enough mazes had been asked."""
    for folder in {path.parent for path in (PROJECT / "results").glob("*/headline.csv")}:
        table = pd.read_csv(folder / "headline.csv").assign(n=1000)
        said = sentences.plans(table, "wilson"), sentences.traces(table, "wilson")
        assert len(said[0].splitlines()) == table["distribution"].nunique()
        assert "nan" not in "".join(said)
        assert sentences.comparisons(pd.read_csv(folder / "comparisons.csv").assign(n=1000))


def test_comparisons_as_they_are_made():
    rows = pd.DataFrame([(RIGHT, 1, "wilson", i, i, i < 100) for i in range(300)]
                        + [(LENT, 1, "wilson", i, i, i < 200) for i in range(300)],
                        columns=["condition", "seed", "distribution", "maze", "grid",
                                 "plan_valid"])
    assert "`swapped` clearly ahead on Wilson (+33.3)" in sentences.comparisons(compared(rows))


def test_words():
    assert [listed([]), listed([1]), listed([1, 2]), listed("abc")] == [
        "", "1", "1 and 2", "a, b and c"]
    assert percents([0.976, 1]) == "97.6 and 100.0 %"
    assert span(pd.Series([1600, 3200])) == "1 600 to 3 200"
    assert seeds_of(pd.DataFrame({"seed": [2, 1, 2]})) == "seeds 1 and 2"


def test_effects_of_one_seed_among_others_are_told_apart():
    """An interval over grids alone is not read as one over seeds."""
    table = pd.DataFrame([["b - a", "wilson", 0.1, 0.05, 0.15, 1, 1000],
                          ["c - a", "wilson", 0.1, -0.05, 0.25, 2, 1000]], columns=COLUMNS)
    said = sentences.effects(table)
    assert "- b - a (one seed): **Wilson +10.0 [+5.0, +15.0]**." in said
    assert "- c - a: Wilson +10.0 [-5.0, +25.0]." in said
    assert "(one seed)" not in sentences.effects(table[:1])  # it says so above
    assert said.startswith("In points, with")
    assert sentences.effects(table.assign(quantity="(b - a) / (c - a)")).startswith(
        "In points, shares in per cent, with")


def test_an_effect_that_is_no_number_is_said_to_be_none():
    """A correlation with a verdict that never varies, say."""
    table = pd.DataFrame([["phi", "wilson", *[float("nan")] * 3, 1, 1000],
                          ["phi", "dfs", 0.1, *[float("nan")] * 2, 1, 1000]], columns=COLUMNS)
    assert "- phi: Wilson undefined; DFS +10.0 (no bounds)." in sentences.effects(table)
