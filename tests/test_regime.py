"""The regime map: several finished runs in one table and one figure, or nothing at all."""

import json
import re
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from helpers import __main__ as cli
from helpers.evaluation import HEADLINE, interval
from helpers.experiments import regime
from helpers.show.charts import draw_regime
from helpers.show.figures import look_of_generator
from helpers.show.widgets import png
from helpers.study import scale

SIDES = (6, 8, 10)
CONDITIONS = ("solution_only", "correct", "swapped")
DISTRIBUTIONS = ("wilson", "drunkards_walk")


def made_up(root, side, seeds=(1,), n=40):
    """The files of a run that `regime` reads, with numbers that tell each cell from all others."""
    folder = root / f"regime_{side:02}"
    folder.mkdir(parents=True)
    cells, curves = [], []
    for i, condition in enumerate(CONDITIONS):
        for seed in seeds:
            for j, distribution in enumerate(DISTRIBUTIONS):
                k = (n - side - 7 * i - 11 * j - 3 * seed) % (n + 1)
                traces = [None] * 4 if i == 0 else [k // 2 / n] * 3 + [0.5]
                cells.append([condition, seed, distribution, n, k / n, *interval(k, n), k / n,
                              *traces])
            for step in (50, 100):
                curves.append([condition, seed, step, 16 * step, side * step * (i + 2),
                               side * step * (i + 1) + seed])
    pd.DataFrame(cells, columns=HEADLINE).to_csv(folder / "headline.csv", index=False)
    pd.DataFrame(curves, columns=["condition", "seed", "step", "examples", "tokens",
                                  "response_tokens"]
                 ).to_csv(folder / "learning_curves.csv", index=False)
    pd.DataFrame({"corpus": ["train", "test_drunkards_walk"],
                  "share_of_problems_trained_on": [0.5**side, None]}
                 ).to_csv(folder / "corpus.csv", index=False)
    pd.DataFrame([[seed, distribution, "correct", "swapped", n, 0.25, side / 1000]
                  for seed in seeds for distribution in DISTRIBUTIONS],
                 columns=["seed", "distribution", "a", "b", "n", "b_minus_a", "p"]
                 ).to_csv(folder / "comparisons.csv", index=False)
    (folder / "run.json").write_text(json.dumps(
        {"scale": {"name": folder.name, "rows": side, "cols": side}, "seconds": {"corpus": 1.5}}))
    return folder.name


@pytest.fixture
def gathered(tmp_path):
    # the largest first: the table is to be in order of size all the same
    return regime.gather(tmp_path, [made_up(tmp_path, side) for side in reversed(SIDES)])


def test_a_row_a_cell(gathered):
    table = gathered.cells
    assert list(table.columns) == regime.COLUMNS
    cells = list(table[["rows", "condition", "distribution"]].itertuples(index=False, name=None))
    assert cells == [(side, condition, distribution) for side in SIDES
                     for condition in CONDITIONS for distribution in DISTRIBUTIONS]
    assert (table["scale"] == table["rows"].map("regime_{:02}".format)).all()
    assert (table["cols"] == table["rows"]).all()
    assert (table["train_examples"] == 1600).all()  # at the end of training
    which = table["condition"].map(CONDITIONS.index)
    assert (table["train_tokens"] == table["rows"] * 100 * (which + 2)).all()
    assert (table["train_response_tokens"] == table["rows"] * 100 * (which + 1) + 1).all()
    assert np.allclose(table["share_of_problems_trained_on"], 0.5 ** table["rows"])
    assert {name: run["seconds"] for name, run in gathered.runs.items()} == {
        f"regime_{side:02}": {"corpus": 1.5} for side in SIDES}


def test_comparisons(gathered, tmp_path):
    table = gathered.comparisons
    assert list(table["rows"]) == [side for side in SIDES for _ in DISTRIBUTIONS]
    part = table[table["scale"] == "regime_08"].reset_index(drop=True)
    pd.testing.assert_frame_equal(part.drop(columns=regime.GRID),
                                  pd.read_csv(tmp_path / "regime_08" / "comparisons.csv"))


@pytest.mark.parametrize("rate", regime.RATES)
def test_rates_with_intervals(gathered, rate):
    table = gathered.cells
    has = table[table[rate].notna()]
    assert set(has["condition"]) == set(CONDITIONS[rate == "trace_valid":])
    for share, n, low, high in has[[rate, "n", f"{rate}_low", f"{rate}_high"]].to_numpy():
        assert (low, high) == interval(round(share * n), int(n))
    without = table[table[rate].isna()]
    assert without[[f"{rate}_low", f"{rate}_high"]].isna().all(axis=None)


def test_numbers_are_those_of_the_run(gathered, tmp_path):
    table = gathered.cells
    found = pd.read_csv(tmp_path / "regime_08" / "headline.csv")
    part = table[table["scale"] == "regime_08"].reset_index(drop=True)
    same = ["condition", "seed", "distribution", "n", "plan_valid", "plan_valid_low",
            "plan_valid_high", "trace_valid"]
    pd.testing.assert_frame_equal(part[same], found[same])


def test_written_and_read_again(gathered, tmp_path, monkeypatch):
    target = tmp_path / "results" / "regime"
    written = regime.write(gathered, target)
    assert sorted(path.name for path in target.iterdir()) == sorted(written)
    svg = (target / "regime.svg").read_bytes()
    assert svg.startswith(b"<?xml")
    regime.write(gathered, target)
    assert (target / "regime.svg").read_bytes() == svg  # the same figure, the same bytes
    monkeypatch.setattr(regime, "PROJECT", tmp_path)
    again = regime.load()
    pd.testing.assert_frame_equal(again.cells, gathered.cells)
    pd.testing.assert_frame_equal(again.comparisons, gathered.comparisons)
    assert again.runs == gathered.runs


def test_tables_for_people(gathered):
    cells = gathered.cells
    plans, traces = regime.rates_by_grid(cells), regime.rates_by_grid(cells, "trace_valid")
    assert list(plans.columns) == list(traces.columns) == ["6×6", "8×8", "10×10"]
    assert list(plans.index) == [(d, c, 1) for d in DISTRIBUTIONS for c in CONDITIONS]
    assert list(traces.index) == [(d, c, 1) for d in DISTRIBUTIONS for c in CONDITIONS[1:]]
    for row in cells.itertuples():
        text = plans.at[(row.distribution, row.condition, row.seed), f"{row.rows}×{row.cols}"]
        assert text.startswith(f"{100 * row.plan_valid:.1f} [{100 * row.plan_valid_low:.1f}, ")
    leads = regime.leads_by_grid(gathered.comparisons)
    assert leads.loc[("wilson", "correct", "swapped", 1)].to_dict() == {
        "6×6": "+25.0 (p = 6e-03)", "8×8": "+25.0 (p = 8e-03)", "10×10": "+25.0 (p = 1e-02)"}
    learnt = regime.trained_on(cells)
    assert list(learnt.index) == [(f"{side}×{side}", c) for side in SIDES for c in CONDITIONS]
    assert learnt.at[("8×8", "swapped"), "train_tokens"] == 3200


def test_seeds_stand_together(tmp_path):
    found = regime.gather(tmp_path, [made_up(tmp_path, side, seeds=(1, 2)) for side in SIDES])
    leads = regime.leads_by_grid(found.comparisons)
    assert list(leads.index) == [(d, "correct", "swapped", seed)
                                 for d in DISTRIBUTIONS for seed in (1, 2)]
    assert len(regime.trained_on(found.cells)) == len(SIDES) * len(CONDITIONS)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of two scales."""
    monkeypatch.setattr(scale, "PROJECT", tmp_path)
    (tmp_path / "scales").mkdir()
    for name in ("regime_06", "regime_08", "laptop"):
        (tmp_path / "scales" / f"{name}.yml").touch()
    monkeypatch.setattr(regime.names, "__defaults__", (tmp_path / "scales",))
    return tmp_path


def test_command(project, capsys):
    for side in (8, 6):
        made_up(project / "runs", side)
    assert cli.main(["regime"]) == 0
    assert "regime.csv comparisons.csv regime.svg runs.json" in capsys.readouterr().out
    table = pd.read_csv(project / "results" / "regime" / "regime.csv")
    assert list(table["scale"].unique()) == ["regime_06", "regime_08"]
    pd.testing.assert_frame_equal(regime.load(project / "runs").cells, table)


@pytest.mark.parametrize("lost", ["headline.csv", "run.json", "corpus.csv",
                                  "learning_curves.csv", "comparisons.csv", None])
def test_missing_runs_are_named(project, capsys, lost):
    made_up(project / "runs", 6)
    if lost:
        made_up(project / "runs", 8)
        (project / "runs" / "regime_08" / lost).unlink()
    assert cli.main(["regime"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert re.fullmatch(r"helpers: regime: \S+runs lacks finished runs of regime_08; `make regime` "
                        r"makes them\n", said.err)
    assert not (project / "results").exists()


def test_a_figure_that_fails_leaves_what_was_there(gathered, tmp_path, monkeypatch):
    monkeypatch.setattr(regime, "draw_regime", lambda table: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        regime.write(gathered, tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_scales_of_the_map_differ_in_the_grid_alone():
    """Else a difference between two grids might be one between two settings."""
    loaded = [scale.load_scale(name) for name in regime.names()]
    assert all(s.name == f"regime_{s.rows:02}" and s.rows == s.cols for s in loaded)
    assert len(loaded) >= 4
    assert len({s.model_copy(update={"name": "", "rows": 0, "cols": 0,
                                     "decoding": s.decoding.batch_size}).model_dump_json(
                                         warnings=False) for s in loaded}) == 1


# ── the figure ──────────────────────────────────────────────────────────────────────────


def test_figure(gathered):
    table = gathered.cells
    figure = draw_regime(table)
    assert png(figure).startswith(b"\x89PNG")
    assert [ax.get_title() for ax in figure.axes] == [
        look_of_generator(d).label for d in DISTRIBUTIONS]
    for ax, distribution in zip(figure.axes, DISTRIBUTIONS, strict=True):
        lines = [line for line in ax.lines if line.get_marker() in "os^"]
        assert len(lines) == len(CONDITIONS)
        for line, condition in zip(lines, CONDITIONS, strict=True):
            part = table[(table["condition"] == condition)
                         & (table["distribution"] == distribution)]
            assert np.allclose(line.get_ydata(), part["plan_valid"])
            assert np.allclose(line.get_xdata(), SIDES, atol=0.2)
        assert [label.get_text() for label in ax.get_xticklabels()] == ["6×6", "8×8", "10×10"]
        assert {text.get_text(): text.get_color() for text in ax.texts} == {
            condition: line.get_color()
            for condition, line in zip(CONDITIONS, lines, strict=True)}
    title = figure.legends[0].get_title().get_text()
    assert "1 600 training examples a model, 40 test mazes a point" in title


@pytest.mark.parametrize("rates", [(0, 0, 0), (1, 1, 1), (0.5, 0.51, 0.49), (0.97, 1, 0.99)])
def test_labels_do_not_cover_each_other(gathered, rates):
    table = gathered.cells
    values = table["condition"].map(dict(zip(CONDITIONS, rates, strict=True)))
    figure = draw_regime(table.assign(plan_valid=values, plan_valid_low=values,
                                      plan_valid_high=values))
    png(figure)  # lays it out
    for ax in figure.axes:
        boxes = sorted((text.get_window_extent() for text in ax.texts), key=lambda box: box.y0)
        assert all(low.y1 <= high.y0 for low, high in pairwise(boxes))
        frame = ax.get_window_extent()
        assert all(frame.y0 - 12 < box.y0 and box.y1 < frame.y1 + 12 and box.x1 <= frame.x1 + 1
                   for box in boxes)


def test_figure_with_several_seeds_and_unequal_examples(tmp_path):
    runs = [made_up(tmp_path, side, seeds=(1, 2)) for side in (6, 8)]
    table = regime.gather(tmp_path, runs).cells
    table.loc[table["rows"] == 8, "train_examples"] = 3200
    figure = draw_regime(table)
    for ax in figure.axes:
        assert len([line for line in ax.lines if line.get_marker() in "os^"]) == 6
        assert len(ax.texts) == len(CONDITIONS)
    legend = figure.legends[0]
    assert "1 600 to 3 200 training examples" in legend.get_title().get_text()
    assert [text.get_text() for text in legend.get_texts()][-2:] == ["seed 1", "seed 2"]


def test_figures_of_one_grid(tmp_path):
    table = regime.gather(tmp_path, [made_up(tmp_path, 6)]).cells
    assert png(draw_regime(table)).startswith(b"\x89PNG")
