"""The benchmarks' own arithmetic, and all of them in miniature: no time here has a meaning."""

import json
from concurrent.futures import Future

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from studies import STUDIED

from benchmarks import __main__ as everything
from benchmarks import decoding, measure, processes, qwen2, roofline
from benchmarks.training import grouped
from helpers.batches import make_batch
from helpers.conditions import CONDITIONS, put_together
from helpers.corpus import Recipe, build
from helpers.model import ModelConfig, Transformer
from helpers.study.cost import flops
from helpers.training import to_tensors, token_weights

CORPUS = build(Recipe("wilson", 4, 4, "train", 1, "indexed", 12))
CONFIG = ModelConfig(vocabulary=CORPUS.vocabulary.size, context=256, width=32, layers=2, heads=4,
                     kv_heads=2, mlp_width=48)


def test_operations_of_a_step():
    config = ModelConfig(vocabulary=10, context=8, width=8, layers=3, heads=4, kv_heads=2,
                         mlp_width=5)
    products = 8 * 8 + 2 * 8 * 4 + 8 * 8 + 3 * 8 * 5  # q, k and v, out, gate and up and down
    pairs = (1 + 2 + 3) + (1 + 2)  # of an example of 3 tokens and one of 2
    forward = 2 * (3 * products * 5 + 10 * 8 * 4) + 3 * 2 * (2 * 8 * pairs)
    assert flops(config, np.array([3, 2]), learnt=4) == 3 * forward


def test_operations_count_every_matrix_of_the_model():
    inside = sum(weight.numel() for name, weight in Transformer(CONFIG).named_parameters()
                 if weight.dim() == 2 and "embedding" not in name)
    one = flops(CONFIG, np.array([1]), learnt=0)
    assert one == 6 * inside + 12 * CONFIG.width * CONFIG.layers


@given(st.lists(st.integers(1, 99), min_size=1, max_size=60), st.integers(1, 5), st.integers(1, 4))
def test_grouped_batches(lengths, batch_size, batches):
    order = grouped(np.array(lengths), batch_size, batches)
    assert sorted(order) == list(range(len(lengths)))
    size = batch_size * batches
    for first in range(0, len(lengths), size):
        part = order[first:first + size]
        assert sorted(part) == list(range(first, min(first + size, len(lengths))))
        assert np.all(np.diff(np.array(lengths)[part]) <= 0)


@pytest.mark.parametrize("condition", STUDIED)
def test_the_peer_learns_the_same_tokens(condition):
    """The loss of padded examples is that of our packed batch."""
    indices = np.array([3, 7, 1, 11])
    examples = put_together(CORPUS, CONDITIONS[condition], 1)
    batch = make_batch(examples, indices)
    given = qwen2.padded(examples, indices)
    assert given["attention_mask"].sum() == batch.lengths.sum() + 4  # the last tokens as well
    assert given["labels"][given["labels"] != qwen2.IGNORED].tolist() == batch.targets.tolist()
    ours = Transformer(CONFIG, 5)
    loss, _ = ours.loss(*to_tensors(batch, token_weights(batch, 1.0),
                                   torch.device("cpu")))
    assert qwen2.qwen2(ours)(**given).loss.item() == pytest.approx(loss.item(), rel=1e-5)


def test_the_peer_trains_from_our_weights():
    ours = Transformer(CONFIG, 5)
    before = ours.embedding.weight.clone()
    peer = qwen2.Peer(ours, put_together(CORPUS, CONDITIONS["correct"], 1), clip_norm=1.0)
    peer.step(np.array([0, 1, 2]))
    theirs = peer.model.get_input_embeddings().weight
    assert torch.equal(ours.embedding.weight, before)
    assert not torch.equal(theirs, before)
    assert theirs is peer.model.get_output_embeddings().weight


def test_medians_of_jobs_in_turn():
    called = []

    def job(name):
        return lambda number: called.append((number, name)) or [5, 1, 3][number] * len(name)

    assert measure.in_turn({"a": job("a"), "bb": job("bb")}, 3) == {"a": 3, "bb": 6}
    assert called == [(0, "a"), (0, "bb"), (1, "a"), (1, "bb"), (2, "a"), (2, "bb")]


def test_rows_as_a_file_and_as_a_table(tmp_path):
    rows = [measure.row("alone", 12345.678, "mazes/s"),
            measure.row("rate", 30_000, "mazes/s", target=25_000),
            measure.row("step", 300.0, "tokens/s", peer="theirs", peer_value=200.0, target=2.0,
                        target_of="ratio"),
            measure.row("no peer", 300.0, "tokens/s", target=2.0, target_of="ratio")]
    assert [row["value"] for row in rows] == [12350.0, 30_000, 300, 300]
    assert [row["met"] for row in rows] == [None, True, False, None]
    assert [row["ratio"] for row in rows] == [None, None, 1.5, None]
    measure.write(rows, tmp_path / "runs" / "bench.json")
    read = json.loads((tmp_path / "runs" / "bench.json").read_text())
    assert read == [row | {"machine": measure.here()} for row in rows]
    assert all({"name", "value", "unit", "peer", "peer_value", "ratio"} <= set(row) for row in read)
    lines = measure.table(rows).splitlines()
    assert len(lines) == 1 + len(rows)
    assert lines[2].split() == ["rate", "30,000", "mazes/s", "25,000", "yes"]
    assert lines[3].split() == ["step", "300", "tokens/s", "theirs", "200", "1.5", "2×", "NO"]


class Here:
    """In the place of a process of its own: the same work in this one."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def submit(self, work, *arguments) -> Future:
        done = Future()
        done.set_result(work(*arguments))
        return done


@pytest.mark.usefixtures("one_thread")
def test_every_part_in_miniature(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(processes, "process", lambda threads=1: Here())
    monkeypatch.setattr(processes, "cores", lambda: 2)
    path = tmp_path / "bench" / "here.json"
    everything.main(["--tiny", "--output", str(path)])
    rows = {row["name"]: row for row in json.loads(path.read_text())}
    assert all(row["value"] > 0 or name.endswith("_same") for name, row in rows.items())
    assert {"generate_wilson", "text_dfs", "validate", "corpus_wilson", "train_step",
            "train_flops_share", "decode_short", "decode_long", "decode_long_time",
            "decode_long_same", "train_two_single", "corpus_two_processes", "roofline_peak",
            "roofline_memory", "roofline_mlp_in", "roofline_all"} <= set(rows)
    for name in ("train_step", "decode_short", "decode_long"):
        assert rows[name]["peer"].startswith(qwen2.NAME)
        assert rows[name]["ratio"] > 0
    assert {row["machine"] for row in rows.values()} == {measure.here()}
    assert "cores" in measure.here()
    assert f"Written to {path}" in capsys.readouterr().out


def test_products_of_a_step_are_those_that_are_counted():
    """What is counted of a step is three times the work forward, of a square of scores half."""
    config = measure.scale(False).transformer()
    lengths, learnt = np.full(16, 250), 16 * 200
    shapes = roofline.products(config, int(lengths.sum()), learnt, len(lengths))
    layers = {name: roofline.work(shape) * (1 if name == "vocabulary" else config.layers)
              for name, shape in shapes.items()}
    scores = layers["attention_scores"], layers["attention_values"]
    assert scores[0] == scores[1]
    counted = 3 * (sum(layers.values()) - sum(scores) * (1 - 251 / 500))
    assert flops(config, lengths, learnt) == pytest.approx(counted, rel=1e-12)


def test_roofs():
    """Of a product by hand: 5 × 2 × 3 × 4 numbers; and of one that memory holds back."""
    assert roofline.work((5, 2, 3, 4)) == 5 * 2 * 24
    assert roofline.moved((5, 2, 3, 4), 2) == 5 * 2 * (6 + 12 + 8)
    shapes = {"small": (1, 10, 10, 10), "large": (1, 1000, 1000, 1000)}
    found = {"peak": 100e9, "bandwidth": 12e9, "small": 5e9, "large": 80e9}
    rows = {row["name"]: row for row in roofline._rows(shapes, found, 4)}
    assert rows["roofline_small"]["peer_value"] == 20  # 12 GB/s × 2000 / 1200 bytes
    assert rows["roofline_small"]["peer"].endswith("memory")
    assert rows["roofline_large"]["peer_value"] == 100
    assert rows["roofline_large"]["ratio"] == 0.8
    seconds = 2000 / 5e9 + 2e9 / 80e9
    assert rows["roofline_all"]["value"] == pytest.approx((2000 + 2e9) / seconds / 1e9, rel=1e-3)


@pytest.mark.parametrize(("kind", "has_trace"), [("short", False), ("long", True)])
def test_decoding_is_that_of_published_models(kind, has_trace):
    condition = decoding.WORK[kind]
    assert CONDITIONS[condition].has_trace == has_trace
    assert decoding.model_of(condition, False).config == measure.scale(False).transformer()


def test_some_parts(tmp_path, monkeypatch):
    called = []
    for name in everything.PARTS:
        monkeypatch.setitem(everything.PARTS, name, lambda tiny, name=name: called.append(
            (name, tiny)) or [measure.row(name, 1.0, "s")])
    path = tmp_path / "some.json"
    everything.main(["data", "decoding", "--output", str(path)])
    assert called == [("data", False), ("decoding", False)]
    assert [row["name"] for row in json.loads(path.read_text())] == ["data", "decoding"]
    with pytest.raises(SystemExit):
        everything.main(["dta"])


def test_miniature_and_real_scales():
    assert measure.scale(False).name == "laptop"
    assert measure.scale(False, "paper").name == "paper"
    assert measure.scale(True).model.width == 32
    assert not measure.scale(True).training.compiled
