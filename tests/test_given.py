"""Traces given to models: what is changed in them, who wrote them, and what the tables say."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from studies import at_most, miniature, train

from helpers.asking import (
    ASKING,
    CHANGED,
    detours,
    empty_traces,
    fillers,
    half_traces,
    matched_traces,
    renamed_cells,
    shortcuts,
)
from helpers.corpus import Recipe, build
from helpers.experiments import EXPERIMENTS, given, subtext
from helpers.language import UNKNOWN
from helpers.responses import true_traces
from helpers.rules import judge_reference, path_of
from helpers.show import claims
from helpers.show.fits import draw_fits, draw_right_plans
from helpers.show.looks import png
from helpers.study import asking, steps
from helpers.study.runs import Run
from helpers.study.scale import load_scale
from helpers.study.specs import EvaluationSpec, ModelSpec

LAPTOP = load_scale("laptop")
TINY = miniature(
    train_examples=160, test_examples=6, validation_examples=2,
    trained_on="searchformer", distributions=("searchformer",),
    conditions=("correct", "swapped"),
    decoding=at_most(150))


def corpus_of(generator, count=40):
    return build(Recipe(generator, 6, 6, "test", 42, "indexed", count))


@pytest.fixture(scope="module")
def open_mazes():
    return corpus_of("searchformer")


@pytest.fixture(scope="module")
def perfect():
    return corpus_of("wilson")


def ways(corpus, traces):
    """Where each trace leads."""
    return [path_of(corpus.vocabulary.events(trace)) for trace in traces]


def verdicts(corpus, traces):
    """Each trace with the plan that it spells, judged on the maze that it is given for."""
    for i, (trace, way) in enumerate(zip(traces, ways(corpus, traces), strict=True)):
        plan = " ".join(f"plan {x} {y}" for x, y in way)
        yield judge_reference(corpus.mazes.maze(i), f"reasoning {corpus.vocabulary.decode(trace)} "
                                                    f"solution {plan} end")


# ── traces ──────────────────────────────────────────────────────────────────────────────


def test_filler_keeps_the_place_of_the_plan(perfect):
    own = true_traces(perfect)
    for trace, filler in zip(own, fillers(perfect), strict=True):
        assert len(filler) == len(trace)
        assert set(filler.tolist()) == {UNKNOWN}
        assert filler.dtype == trace.dtype


def test_another_trace_that_is_as_long(perfect):
    own, lent = true_traces(perfect), matched_traces(perfect)
    assert [*map(len, own)] == [*map(len, lent)]
    assert sorted(trace.tobytes() for trace in own) == sorted(trace.tobytes() for trace in lent)
    sizes = [*map(len, own)]
    for a, b in zip(own, lent, strict=True):
        assert sizes.count(len(a)) > 1 or np.array_equal(a, b)
    assert sum(not np.array_equal(*pair) for pair in zip(own, lent, strict=True)) > 20


def test_half_a_trace_and_none(perfect):
    for own, half, none in zip(true_traces(perfect), half_traces(perfect), empty_traces(perfect),
                               strict=True):
        assert np.array_equal(half, own[:len(half)])
        assert len(half) // 5 == len(own) // 5 // 2
        assert len(half) % 5 == len(none) == 0


@pytest.mark.parametrize("kind", ["perfect", "open_mazes"])
def test_a_renamed_cell_is_all_that_changes(kind, request):
    corpus = request.getfixturevalue(kind)
    own, renamed = true_traces(corpus), renamed_cells(corpus)
    changed = 0
    for before, after, a, b in zip(own, renamed, ways(corpus, own), ways(corpus, renamed),
                                   strict=True):
        assert len(before) == len(after)
        events, others = (trace.reshape(-1, 5) for trace in (before, after))
        assert np.array_equal(events[:, [0, 3, 4]], others[:, [0, 3, 4]])
        differ = (events != others).any(1)
        if not differ.any():
            assert len(a) == 2
            continue
        changed += 1
        assert len(np.unique(events[differ, 1:3], axis=0)) == 1
        (new,) = np.unique(others[differ, 1:3], axis=0)
        assert not (events[:, 1:3] == new).all(1).any()
        assert len(a) == len(b)
        assert sum(x != y for x, y in zip(a, b, strict=True)) == 1
        assert (a[0], a[-1]) == (b[0], b[-1])
    assert changed > 30


def test_a_detour_is_another_valid_way(open_mazes):
    own, others = true_traces(open_mazes), detours(open_mazes)
    changed = [not np.array_equal(*pair) for pair in zip(own, others, strict=True)]
    assert sum(changed) > 10
    for a, b, verdict, differs in zip(ways(open_mazes, own), ways(open_mazes, others),
                                      verdicts(open_mazes, others), changed, strict=True):
        assert verdict.plan.valid
        assert verdict.trace.valid
        assert (a != b) == differs == (not verdict.trace.exact)


def test_there_is_no_detour_without_a_loop(perfect):
    assert all(map(np.array_equal, true_traces(perfect), detours(perfect)))


@pytest.mark.parametrize("kind", ["perfect", "open_mazes"])
def test_a_shortcut_leads_through_one_wall(kind, request):
    corpus = request.getfixturevalue(kind)
    own, others = true_traces(corpus), shortcuts(corpus)
    through = [sum(not grid[y, x] for x, y in way)
               for grid, way in zip(corpus.mazes.grids, ways(corpus, others), strict=True)]
    assert sum(through) > 20
    for before, after, walls, verdict in zip(own, others, through, verdicts(corpus, others),
                                             strict=True):
        assert walls == (not np.array_equal(before, after))
        if walls:
            assert verdict.plan.error == "wall"
            assert not verdict.trace.valid


@pytest.mark.parametrize("name", ["renamed", "detour", "wall"])
def test_changes_follow_from_the_seed(open_mazes, name):
    first, again, other = (ASKING[name](open_mazes, seed) for seed in (0, 0, 1))
    assert all(map(np.array_equal, first, again))
    assert not all(map(np.array_equal, first, other))


# ── who is asked, and whose trace it is ─────────────────────────────────────────────────


def test_the_source_of_a_trace():
    model = ModelSpec("correct", 1, (("gap", "random"),))

    def source(given):
        return EvaluationSpec(model, "wilson", (("given", given),)).source

    assert EvaluationSpec(model, "wilson").source is source("true") is source("filler") is None
    assert source("own") == EvaluationSpec(model, "wilson")
    assert source("sampled") == EvaluationSpec(model, "wilson", (("temperature", 1.0),))
    assert source("swapped_2") == EvaluationSpec(ModelSpec("swapped", 2), "wilson")
    with pytest.raises(ValueError, match="model: got 'nobody', takes CONDITION"):
        source("nobody")


def test_who_is_asked():
    asked = given.evaluations(LAPTOP)
    assert {one.distribution for one in asked} == {"wilson", "drunkards_walk"}
    assert {one.model for one in asked} == {ModelSpec("correct", 1), ModelSpec("swapped", 1)}
    assert {one.distribution for one in asked if ("given", "detour") in one.answering} == {
        "drunkards_walk"}
    perfect = LAPTOP.model_copy(update={"distributions": ("wilson", "dfs")})
    assert {one.distribution for one in given.evaluations(perfect)} == {"wilson", "dfs"}


def test_readers_and_writers():
    """With one seed the other condition; with more also the next seed; with gaps those too."""
    def read(evaluations, reader):
        return {subtext.given(one) for one in evaluations if one.model.name == reader}

    assert read(subtext.evaluations(LAPTOP), "correct_1") == {"own", "true", "other", "swapped"}
    three = LAPTOP.model_copy(update={"seeds": (1, 2, 3)})
    assert read(subtext.evaluations(three), "swapped_3") == {
        "own", "true", "other", "correct", "another seed"}
    assert {one.source.model.seed for one in subtext.evaluations(three)
            if one.model.seed == 3 and subtext.given(one) == "another seed"} == {1}
    assert read(subtext.with_gaps(LAPTOP), "correct+gap=random_1") == {
        "own", "true", "other", "swapped+gap=random", "correct"}
    assert set(subtext.evaluations(three)) <= set(subtext.with_gaps(three))


# ── tables ──────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = Run(TINY, tmp_path_factory.mktemp("runs"))
    train(run, EXPERIMENTS["given"].models(TINY))
    return run


@pytest.fixture(scope="module")
def tables(run):
    """Of both experiments, from real answers; each reader makes its writers' answers itself."""
    found = {}
    for name in ("subtext", "given"):
        steps.evaluate(run, EXPERIMENTS[name].evaluations(TINY))
        found[name] = steps.analyse(run, EXPERIMENTS[name])
        assert set(found[name]) == {*EXPERIMENTS[name].tables, "corpus"}
        assert EXPERIMENTS[name].summary(run)
    return found


def test_what_was_written_is_what_is_given(run, tables):
    reader, writer = ModelSpec("swapped", 1), ModelSpec("correct", 1)
    spec = EvaluationSpec(reader, "searchformer", (("given", writer.name),))
    mazes = run.load(run.corpus("test", "searchformer"))
    traces = asking.asking(run, spec, mazes)["traces"]
    for text, source, trace in zip(asking.written(run, spec), asking.written(run, spec.source),
                                   traces, strict=True):
        words = mazes.vocabulary.decode(trace)
        assert f" reasoning {words} solution".replace("  ", " ") in text
        assert f" reasoning {words}".rstrip() in source
    inputs = {one.name for one in run.answers(spec).inputs}
    assert {"model swapped_1", "answers correct_1/searchformer"} <= inputs


def test_drawn_answers_are_others(run, tables):
    model = ModelSpec("correct", 1)
    greedy, drawn = (asking.written(run, EvaluationSpec(model, "searchformer", answering))
                     for answering in ((), (("temperature", 1.0),)))
    assert greedy != drawn


def test_rates_are_those_of_their_rows(run, tables):
    rates = tables["given"]["rates"]
    assert (rates[given.FITS].sum(axis=1) == rates["n"]).all()
    assert np.allclose(rates["both"] + rates["only_maze"], rates["plan_valid"] * rates["n"])
    assert np.allclose(rates["both"] + rates["only_trace"],
                       rates["plan_follows_trace"] * rates["n"])
    assert (rates[rates["given"] == "true"]["trace_valid"] == 1).all()
    assert (rates["right_plan"] < 0).all()
    for kind in CHANGED:  # mazes that do not allow a change are left out
        part = rates[rates["given"] == kind]
        mazes = run.load(run.corpus("test", "searchformer"))
        changed = sum(not np.array_equal(*pair) for pair in zip(
            true_traces(mazes), ASKING[kind](mazes), strict=True))
        assert set(part["n"]) == ({changed} if changed else set())


def test_leads_are_of_the_same_mazes(tables):
    made = tables["given"]
    rates = made["rates"].set_index(["condition", "given", "distribution"])
    for name in ("effects", "likelihoods"):
        column = "plan_valid" if name == "effects" else "right_plan"
        table = made[name].set_index(["quantity", "distribution"])
        for condition in ("correct", "swapped"):
            row = table.loc[(f"{column}: {condition} given filler - {condition} given empty",
                             "searchformer")]
            means = [rates.at[(condition, kind, "searchformer"), column]
                     for kind in ("empty", "filler")]
            assert row["estimate"] == pytest.approx(means[1] - means[0])
            assert row["low"] <= row["estimate"] <= row["high"]
            assert row["n"] == TINY.test_examples


def test_claims_name_quantities_of_these_tables(tables):
    named = [claim for claim in claims.CLAIMS if claim.table.startswith(("given/", "subtext/"))]
    assert len(named) > 3
    for claim in named:
        folder, name = Path(claim.table).parts
        quantities = set(tables[folder][Path(name).stem]["quantity"])
        assert claim.quantity in quantities or subtext.OTHER_SEED in claim.quantity


# ── figures ─────────────────────────────────────────────────────────────────────────────


def test_figures_say_what_they_show(tables):
    rates = tables["given"]["rates"]
    for figure in (draw_right_plans(rates, given.KINDS),
                   draw_fits(tables["subtext"]["rates"], subtext.WRITERS, "reader")):
        assert png(figure).startswith(b"\x89PNG")
        assert "swapped, Searchformer-style" in figure.alt
    assert draw_fits(rates.iloc[:0], given.KINDS).alt.startswith("Nothing to draw")
    assert draw_right_plans(rates.iloc[:0], given.KINDS).alt.startswith("Nothing to draw")


def test_bars_are_the_shares_of_the_table():
    table = pd.DataFrame([["correct", 1, "wilson", "true", 40, 20, 10, 6, 4, 0.75, 0.65]], columns=[
        *given.ASKED, "n", *given.FITS, "plan_valid", "plan_follows_trace"])
    (ax,) = draw_fits(table, given.KINDS).axes
    assert [bar.get_width() for bar in ax.patches] == pytest.approx([0.5, 0.25, 0.15, 0.1])
    assert [label.get_text() for label in ax.get_yticklabels()] == [given.KINDS["true"]]
