"""Which weights a training changed: counts, ranks, overlaps, on changes that are known."""

import pandas as pd
import pytest
import torch

from helpers import subnetwork
from helpers.checkpoints import write_checkpoint
from helpers.experiments import subnetwork as experiment
from helpers.show.curves import draw_changed
from helpers.show.looks import png

generator = torch.Generator().manual_seed(0)
BEFORE = {"a": torch.randn(20, 30, generator=generator).bfloat16().float(),
          "b": torch.rand(40, generator=generator).bfloat16().float() + 1}


def test_ways_of_counting():
    """Of four weights at 1: one stays, one moves by 4e-6, one by 1e-3, one by 0.02."""
    before = {"w": torch.ones(4)}
    after = {"w": torch.tensor([1.0, 1 + 4e-6, 1.001, 1.02])}
    table = subnetwork.shares(before, after).set_index("weights")
    assert table.loc["w", list(subnetwork.WAYS)].tolist() == [0.75, 0.5, 0.25, 0.25]
    assert table.at["w", "mean_change"] == pytest.approx((4e-6 + 1e-3 + 0.02) / 4, rel=1e-2)
    assert pd.isna(table["rank"]["w"]) if "rank" in table else True


def test_shares_of_all_weigh_by_entries():
    after = {"a": BEFORE["a"], "b": BEFORE["b"] + 1}
    table = subnetwork.shares(BEFORE, after).set_index("weights")
    assert table["at_all"].to_dict() == {"a": 0, "b": 1, "all": pytest.approx(40 / 640)}
    assert table.at["all", "entries"] == 640
    assert table.at["a", "rank"] == 0


@pytest.mark.parametrize("rank", [1, 3, 20])
def test_ranks(rank):
    change = torch.randn(20, rank, generator=generator) @ torch.randn(rank, 30, generator=generator)
    assert subnetwork.ranks(change)["rank"] == rank
    assert subnetwork.ranks(change)["full_rank"] == 20
    main = 100 * change[:, :1] @ change[:1] + torch.eye(20, 30)
    assert subnetwork.ranks(main)["rank_99"] == 1
    assert subnetwork.ranks(torch.eye(20, 30))["rank_99"] == 20


def test_overlap_against_chance():
    a = {"m": torch.arange(100) < 50}
    same, apart, half = ({"m": a["m"]}, {"m": ~a["m"]}, {"m": torch.arange(100) % 2 == 0})
    for b, share in ((same, 1), (apart, 0), (half, 0.5)):
        table = subnetwork.overlaps(a, b).set_index("weights")
        assert table.loc["all", ["of_a", "by_chance"]].tolist() == [share, 0.5]
    none = {"m": torch.zeros(100, dtype=torch.bool)}
    assert subnetwork.overlaps(none, a)["of_a"].isna().all()


def test_chance_is_by_parameter():
    """Two trainings that change the same matrix, and nothing else, overlap by that alone."""
    a = {"m": torch.rand(10000, generator=generator) < 0.5, "n": torch.zeros(10000).bool()}
    b = {"m": torch.rand(10000, generator=generator) < 0.5, "n": torch.zeros(10000).bool()}
    whole = subnetwork.overlaps(a, b).set_index("weights").loc["all"]
    assert whole["of_a"] == pytest.approx(whole["by_chance"], abs=0.03)
    assert whole["by_chance"] == pytest.approx(0.5, abs=0.02)


def test_random_signs_keep_sizes_and_random_masks_counts():
    after = {name: value + 0.1 * torch.rand(value.shape) for name, value in BEFORE.items()}
    found = subnetwork.random_signs(BEFORE, after, 1)
    for name, value in BEFORE.items():
        ours, theirs = found[name] - value, after[name] - value
        assert torch.allclose(ours.abs(), theirs.abs(), atol=1e-6)
        assert 0.2 < (ours.sign() == theirs.sign()).float().mean() < 0.8
    learns = {"a": BEFORE["a"] > 1, "b": BEFORE["b"] > 1.5}
    drawn = subnetwork.as_many_at_random(learns, 2)
    for name, mask in learns.items():
        assert drawn[name].sum() == mask.sum()
        assert not torch.equal(drawn[name], mask)


def test_distances():
    after = {name: value + torch.randn(value.shape, generator=generator)
             for name, value in BEFORE.items()}
    half = {name: (value + after[name]) / 2 for name, value in BEFORE.items()}
    assert subnetwork.distances(BEFORE, after, after) == pytest.approx(
        {"cosine": 1, "distance": 0, "length": 1})
    assert subnetwork.distances(BEFORE, after, half) == pytest.approx(
        {"cosine": 1, "distance": 0.5, "length": 0.5})


def test_weights_as_saved_and_as_published(tmp_path):
    value = torch.tensor([1 + 1e-4, 2.0])
    write_checkpoint(tmp_path / "m.safetensors", {}, {"model.w": value, "optimizer.0": value + 1})
    assert torch.equal(subnetwork.read_weights(tmp_path / "m.safetensors")["w"], value)
    assert subnetwork.read_weights(tmp_path / "m.safetensors", as_published=True)["w"].tolist() == [
        1.0, 2.0]


def test_tables_and_figure():
    weights = {variation: {name: value + scale * torch.rand(value.shape, generator=generator)
                           for name, value in BEFORE.items()} if variation else BEFORE
               for scale, variation in zip((0, 1e-3, 1e-2, 1e-3, 1e-3, 1e-3), experiment.NAMES,
                                           strict=True)}
    rates = pd.DataFrame([{"n": 40, "plan_valid": 0.5, "plan_valid_low": 0.4,
                           "plan_valid_high": 0.6, "trace_valid": 0.1}])
    made = experiment.tables_of(weights, dict.fromkeys(weights, rates), 1)
    made = {name: table.assign(condition="correct", seed=1) for name, table in made.items()}
    assert {*made, "effects"} == set(experiment.EXPERIMENT.tables)
    whole = experiment.whole(made["changed"]).loc[("correct", 1)]
    assert whole.at["grpo", "in_bfloat16"] < whole.at["continued", "in_bfloat16"]
    assert whole.at["random signs", "at_all"] == whole.at["grpo", "at_all"]
    assert list(experiment.by_matrix(made["changed"])["weights"]) == ["a"]
    assert made["alone"].set_index("training").at["grpo", "distance"] == 0
    figure = draw_changed(made["changed"])
    assert png(figure).startswith(b"\x89PNG")
    assert f"at all {whole.at['grpo', 'at_all']:.1f} %" in figure.alt


def test_shares_unchanged_over_seeds():
    changed = pd.DataFrame([
        ["correct", seed, "grpo", weights, 100, at_all, rounded]
        for seed, rounded in ((1, 0.1), (2, 0.2), (3, 0.3))
        for weights, at_all in (("a", 0.5), ("all", 1.0))],
        columns=["condition", "seed", "training", "weights", "entries", "at_all", "in_bfloat16"])
    table = experiment.unchanged(changed, "wilson").set_index("quantity")
    half = 4.3027 * 0.1 / 3**0.5  # Student's t of 2 degrees of freedom
    for quantity in ("unchanged in bfloat16", "unchanged: in bfloat16 - at all"):
        row = table.loc[f"{quantity}, correct after grpo"]
        assert row[["estimate", "low", "high"]].tolist() == pytest.approx(
            [0.8, 0.8 - half, 0.8 + half], abs=1e-4)
        assert (row["seeds"], row["n"]) == (3, 100)
    one = experiment.unchanged(changed[changed["seed"] == 1], "wilson")
    assert one[["estimate", "low", "high"]].to_numpy() == pytest.approx(0.9)  # a count
