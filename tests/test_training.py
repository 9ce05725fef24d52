"""Training: it learns, it can be killed, and only the traces differ between conditions."""

import errno
import json
import multiprocessing
import os
import random
import signal
import time
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from studies import SMOKE
from torch._dynamo.utils import counters

from helpers import batches, checkpoints, training
from helpers.batches import Batch, Batches, make_batch
from helpers.checkpoints import CheckpointError, load_model, read_checkpoint
from helpers.conditions import CONDITIONS, put_together
from helpers.corpus import Recipe, build
from helpers.engine.compiling import can_compile
from helpers.model import ModelConfig, Transformer
from helpers.training import (
    Likelihood,
    Trainer,
    TrainingConfig,
    TrainingError,
    make_optimizers,
    rate,
)

pytestmark = pytest.mark.usefixtures("one_thread")

CORPUS = build(Recipe("wilson", 4, 4, "train", 1, "indexed", 240))
MODEL = ModelConfig(vocabulary=CORPUS.vocabulary.size, context=256, width=32, layers=2, heads=2,
                    kv_heads=1, mlp_width=48)
SETTINGS = TrainingConfig(batch_size=8, epochs=1, warmup_steps=5, checkpoint_every=7, log_every=1,
                          snapshots=4)
STEPS = 30
SWAPPED = put_together(CORPUS, CONDITIONS["swapped"], 3)


def trainer(folder, *, condition="swapped", corpus=CORPUS, model=MODEL, training=SETTINGS, seed=3,
            compiled=False, **changes) -> Trainer:
    """A training as a study makes it."""
    source = Batches(put_together(corpus, CONDITIONS[condition], seed), training.batch_size,
                     training.epochs, seed)
    about = {"condition": condition,
             "corpus": {**corpus.recipe.__dict__, "sha256": corpus.sha256}}
    return Trainer(source, model, training, seed=seed, follows_from=about, folder=folder,
                   compiled=compiled, **changes)


def metrics(folder) -> list[dict]:
    """The rows of a run, but for the seconds."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert all(row.pop("seconds") >= 0 for row in rows)
    return rows


def state(folder) -> dict:
    return read_checkpoint(folder / "checkpoint.safetensors")[1]


def contents(path) -> tuple[dict, dict]:
    """What a checkpoint says of itself, but for the seconds, and its tensors.

    Snapshots and models have none, so that equal trainings give equal files.
    """
    about, tensors = read_checkpoint(path)
    assert ("seconds" in about) == (path.name == "checkpoint.safetensors")
    assert about.pop("seconds", 0) >= 0
    return about, tensors


def assert_same_run(folder, other) -> None:
    """Equal to the last bit: weights, optimiser state, snapshots, metrics."""
    names = sorted(str(path.relative_to(other)) for path in other.rglob("*.safetensors"))
    assert names == sorted(str(path.relative_to(folder)) for path in folder.rglob("*.safetensors"))
    for name in names:
        (about, ours), (about_other, theirs) = contents(folder / name), contents(other / name)
        assert about == about_other
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert metrics(folder) == metrics(other)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The folder of a run from beginning to end."""
    folder = tmp_path_factory.mktemp("whole")
    trainer(folder).run()
    return folder


# ── a step in parts ─────────────────────────────────────────────────────────────────────


def test_micro_batches():
    batch = make_batch(SWAPPED, np.arange(40))
    for tokens in (1, 60, 500, 2000, len(batch.tokens) - 1):
        parts = training.micro_batches(batch, tokens)
        assert len(parts) > 1
        assert all(len(part.tokens) <= tokens or len(part.lengths) == 1 for part in parts)
        assert all(len(a.tokens) + b.lengths[0] > tokens
                   for a, b in pairwise(parts))  # none could be larger
        first = 0
        for part in parts:
            last = first + len(part.lengths)
            expected = make_batch(SWAPPED, np.arange(first, last))
            assert all(map(np.array_equal, part, expected))
            first = last
        assert first == 40
    for tokens in (None, len(batch.tokens)):
        (part,) = training.micro_batches(batch, tokens)
        assert part is batch


@pytest.mark.parametrize("tokens", [1, 700])
def test_a_step_in_parts_is_the_same_step(tmp_path, monkeypatch, tokens):
    monkeypatch.setattr(training, "autocast", lambda device: nullcontext())
    settings = SETTINGS.model_copy(update={"plan_weight": 2.5})
    batch = make_batch(SWAPPED, np.arange(8))
    gradients, rows = [], []
    for name, change in (("whole", None), ("parts", tokens)):
        run = trainer(tmp_path / name,
                      training=settings.model_copy(update={"micro_batch_tokens": change}))
        clip, found = torch.nn.utils.clip_grad_norm_, {}

        def noted(parameters, norm, run=run, clip=clip, found=found):
            found.update({name: p.grad.clone() for name, p in run.model.named_parameters()})
            return clip(parameters, norm)

        with monkeypatch.context() as patch:
            patch.setattr(torch.nn.utils, "clip_grad_norm_", noted)
            rows.append(run._train_step(batch))
        gradients.append(found)
    assert rows[1] == pytest.approx(rows[0], rel=1e-5)
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-4, atol=1e-7, msg=name)


@pytest.mark.parametrize(("plan_weight", "mean_over"), [(1.0, None), (4.0, 3), (1.0, 1)])
def test_weights_of_tokens(plan_weight, mean_over):
    batch = make_batch(SWAPPED, np.arange(8))
    weights = training.token_weights(batch, plan_weight, mean_over)
    assert weights.dtype == np.float32
    ends = np.cumsum(batch.lengths)
    of_example = [(batch.learn >= end - length) & (batch.learn < end)
                  for end, length in zip(ends, batch.lengths, strict=True)]
    shares = range(0, 8, mean_over or 8)
    for first in shares:  # the last of 8 by threes has two examples, and counts as much
        part = np.any(of_example[first:first + (mean_over or 8)], axis=0)
        assert weights[part].sum() == pytest.approx(1 / len(shares), rel=1e-5)
        trace, plan = (set(weights[part & which].tolist())
                       for which in (~batch.in_plan, batch.in_plan))
        assert len(trace) == len(plan) == 1
        assert plan.pop() == pytest.approx(plan_weight * trace.pop(), rel=1e-5)


# ── it learns ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("condition", SMOKE.conditions)
def test_loss_falls(tmp_path, condition):
    settings = SETTINGS.model_copy(update={"epochs": 6, "batch_size": 12})
    trainer(tmp_path, condition=condition, training=settings).run()
    rows = metrics(tmp_path)
    first, last = (np.mean([row["loss"] for row in part]) for part in (rows[:3], rows[-5:]))
    assert 3.2 < first < 3.6  # ln 34 = 3.5: nothing is known of the 34 tokens
    assert last < 0.55 * first
    assert all(np.isfinite(row["gradient_norm"]) for row in rows)
    assert all((row["trace_loss"] is None) == (condition == "solution_only") for row in rows)


def test_metrics_are_what_they_say(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "autocast", lambda device: nullcontext())
    settings = SETTINGS.model_copy(update={"plan_weight": 2.5})
    run = trainer(tmp_path, training=settings)
    start = {name: value.clone() for name, value in run.model.state_dict().items()}
    run.run(stop_after=3)
    rows = metrics(tmp_path)
    tokens = response_tokens = 0
    for i in range(3):
        batch = make_batch(SWAPPED, Batches(SWAPPED, 8, 1, 3).indices(i))
        tokens, response_tokens = tokens + len(batch.tokens), response_tokens + len(batch.targets)
        assert [rows[i][name] for name in ("step", "examples", "tokens", "response_tokens")] == [
            i + 1, 8 * (i + 1), tokens, response_tokens]
        if i == 0:
            run.model.load_state_dict(start)
            arrays = training.to_tensors(batch, training.token_weights(batch, 1.0),
                                         torch.device("cpu"))
            logits = run.model(arrays[0], arrays[1])[torch.from_numpy(batch.learn)]
            targets = torch.from_numpy(batch.targets)
            each = F.cross_entropy(logits, targets, reduction="none").detach().numpy()
            plan, trace = each[batch.in_plan], each[~batch.in_plan]
            assert rows[0]["plan_loss"] == pytest.approx(plan.mean(), rel=1e-4)
            assert rows[0]["trace_loss"] == pytest.approx(trace.mean(), rel=1e-4)
            assert rows[0]["loss"] == pytest.approx(
                (2.5 * plan.sum() + trace.sum()) / (2.5 * len(plan) + len(trace)), rel=1e-4)


def test_shapes_of_a_batch_are_few_and_what_fills_them_weighs_nothing():
    sizes = set()
    source = Batches(SWAPPED, 8, 1, 3)
    for batch in (source[step] for step in range(STEPS)):
        tokens, _, learn, targets, weights = training.to_tensors(
            batch, training.token_weights(batch, 4.0), torch.device("cpu"))
        m = len(batch.targets)
        assert len(tokens) % 256 == len(learn) % 256 == 0
        assert len(learn) == len(targets) == len(weights)
        assert torch.equal(learn[:m], torch.from_numpy(batch.learn))
        assert weights[:m].sum() == pytest.approx(1)
        assert not weights[m:].any()
        assert (learn[m:] == len(tokens) - 1).all()  # a token of no example
        sizes.add((len(tokens), len(learn)))
    assert len(sizes) < 10


def test_snapshots_are_spread_over_the_run(tmp_path, whole):
    """Each holds the weights of its step; the last is the model itself."""
    paths = sorted((whole / "snapshots").iterdir())
    assert [path.name for path in paths] == [
        "00000008.safetensors", "00000015.safetensors", "00000022.safetensors"]
    run = trainer(tmp_path)
    for path, stop in zip(paths, (8, 7, 7), strict=True):
        model = run.run(stop_after=stop)
        about, tensors = read_checkpoint(path)
        expected = dict(metrics(whole)[run.step - 1])
        assert about["counters"].items() >= {
            name: expected[name] for name in ("step", "examples", "tokens", "response_tokens")
        }.items()
        assert tensors.keys() == {f"model.{name}" for name in model.state_dict()}
        assert all(torch.equal(tensors[f"model.{name}"], value)
                   for name, value in model.state_dict().items())


@pytest.mark.parametrize(("points", "steps"), [(1, []), (2, [15]), (30, list(range(1, 30))),
                                               (400, list(range(1, 30)))])
def test_number_of_snapshots(tmp_path, points, steps):
    run = trainer(tmp_path, training=SETTINGS.model_copy(update={"snapshots": points}))
    assert sorted(run.snapshot_steps()) == steps


def test_rows_are_written_every_so_often(tmp_path, whole):
    trainer(tmp_path, training=SETTINGS.model_copy(update={"log_every": 12})).run(stop_after=25)
    assert [row["step"] for row in metrics(tmp_path)] == [1, 12, 24]
    assert [row["step"] for row in metrics(whole)] == list(range(1, STEPS + 1))


# ── only the trace differs ──────────────────────────────────────────────────────────────


def test_conditions_begin_with_the_same_weights_and_see_the_same_mazes(tmp_path, monkeypatch):
    seen, weights = {condition: [] for condition in SMOKE.conditions}, {}
    for condition in SMOKE.conditions:
        def noted(examples, indices, *layout, condition=condition):
            seen[condition].append(indices.tolist())
            return make_batch(examples, indices, *layout)

        monkeypatch.setattr(batches, "make_batch", noted)
        run = trainer(tmp_path / condition, condition=condition)
        weights[condition] = {name: value.clone() for name, value in run.model.state_dict().items()}
        run.run(stop_after=4)
    first, *others = SMOKE.conditions
    for other in others:
        assert seen[first] == seen[other]
        assert all(torch.equal(value, weights[other][name])
                   for name, value in weights[first].items())
    assert [len(steps) for steps in seen.values()] == [4, 4, 4]


def test_same_seed_same_run(tmp_path, whole):
    torch.manual_seed(99)  # nothing but the seed given counts
    np.random.seed(99)  # noqa: NPY002
    trainer(tmp_path).run()
    assert_same_run(tmp_path, whole)


def test_another_seed_another_run(tmp_path, whole):
    trainer(tmp_path, seed=4).run(stop_after=2)
    assert metrics(tmp_path)[0]["loss"] != metrics(whole)[0]["loss"]


def test_weights_and_order_follow_from_the_seed(tmp_path):
    drawn = {}
    for seed in (0, 3, 4):
        run = trainer(tmp_path / str(seed), seed=seed)
        weights = run.model.state_dict()
        assert all(torch.equal(value, weights[name])
                   for name, value in Transformer(MODEL, seed).state_dict().items())
        drawn[seed] = weights["embedding.weight"], weights["blocks.0.down.weight"], run.batches
    for (embedding, down, source), (other, other_down, others) in pairwise(drawn.values()):
        assert not torch.equal(embedding, other)
        assert not torch.equal(down, other_down)
        assert not np.array_equal(source.indices(0), others.indices(0))


# ── stopped and gone on ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("stops", [[1, 1, 5], [7, 7], [13, 4, 12], [29], [30]])
def test_stopped_and_resumed(tmp_path, whole, stops):
    for stop in stops:
        trainer(tmp_path).run(stop_after=stop)
    model = trainer(tmp_path).run()
    assert_same_run(tmp_path, whole)
    final = state(whole)
    assert all(torch.equal(value, final[f"model.{name}"])
               for name, value in model.state_dict().items())


def test_one_object_run_bit_by_bit(tmp_path, whole):
    run = trainer(tmp_path)
    for stop in (2, 9, 1):
        run.run(stop_after=stop)
    run.run()
    assert_same_run(tmp_path, whole)


def test_run_again_when_done(tmp_path, whole):
    trainer(tmp_path).run()
    before = metrics(tmp_path)
    model = trainer(tmp_path).run()
    assert metrics(tmp_path) == before
    assert torch.equal(model.embedding.weight, state(whole)["model.embedding.weight"])


class Slow(Likelihood):
    """So slow that a step can be met."""

    def __call__(self, batch):
        time.sleep(0.03)
        return super().__call__(batch)


def test_killed_and_resumed(tmp_path, whole):
    """SIGKILL at moments that nobody chose, at least twice within the run."""
    context = multiprocessing.get_context("fork")  # nothing is imported again
    log, codes = tmp_path / "metrics.jsonl", []
    for lines in (4, 17, None):
        process = context.Process(target=lambda: trainer(tmp_path, objective=Slow).run())
        process.start()
        while lines and process.is_alive():
            if log.exists() and log.read_bytes().count(b"\n") >= lines:
                time.sleep(random.random() * 0.05)
                process.kill()
                break
            time.sleep(0.002)
        process.join(120)
        codes.append(process.exitcode)
    assert codes == [-signal.SIGKILL, -signal.SIGKILL, 0]
    assert_same_run(tmp_path, whole)


@pytest.mark.parametrize("torn", ['{"step": 14, "exam', "{", '{"step": 13}'])
def test_torn_metrics(tmp_path, whole, torn):
    trainer(tmp_path).run(stop_after=13)
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write(torn)
    trainer(tmp_path).run()
    assert_same_run(tmp_path, whole)


# ── checkpoints that cannot be used ─────────────────────────────────────────────────────


def refused(action, *parts: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message
    assert all(part in message for part in parts), message


@pytest.mark.parametrize("keep", [0, 5, 100, 0.5, -1])
def test_truncated_checkpoint(tmp_path, whole, keep):
    data = (whole / "checkpoint.safetensors").read_bytes()
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(data[:keep if isinstance(keep, int) else int(keep * len(data))])
    for action in (trainer(tmp_path).run, lambda: read_checkpoint(path), lambda: load_model(path)):
        refused(action, str(path), "truncated")


def test_missing_or_foreign_checkpoint(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    refused(lambda: load_model(path), str(path), "no such file")
    for metadata in (None, {"format": "pt"}, {"training": "{}"}, {"training": "[]"},
                     {"training": '{"follows_from"'}):
        save_file({"weights": torch.ones(3)}, path, metadata)
        refused(trainer(tmp_path).run, str(path), "unreadable")


def test_changed_byte(tmp_path, whole):
    """Wherever it stands: in the header it may do no harm, else it is noticed."""
    path = tmp_path / "model.safetensors"
    data = (whole / path.name).read_bytes()
    expected = read_checkpoint(whole / path.name)
    header = 8 + int.from_bytes(data[:8], "little")
    noticed = 0
    for place in (*range(0, header, 7), *range(header, len(data), 2999), len(data) - 1):
        changed = bytearray(data)
        changed[place] ^= 1
        path.write_bytes(changed)
        try:
            about, tensors = read_checkpoint(path)
        except CheckpointError:
            noticed += 1
        else:
            assert place < header
            assert about == expected[0]
            assert all(torch.equal(value, expected[1][name]) for name, value in tensors.items())
    assert noticed > 50
    changed = bytearray(data)
    changed[-1] ^= 1
    path.write_bytes(changed)
    refused(lambda: load_model(path), str(path), "checksum does not match")


def test_same_settings_same_bytes(tmp_path, whole):
    """Of what is written down, but for the seconds it took."""
    trainer(tmp_path).run(stop_after=11)
    trainer(tmp_path).run()
    written = []
    for folder in (tmp_path, whole):
        about, tensors = contents(folder / "model.safetensors")
        for _ in range(4):  # metadata with several entries would come out in a new order each time
            checkpoints.write_checkpoint(tmp_path / "again", about, tensors)
            written.append((tmp_path / "again").read_bytes())
    assert len(set(written)) == 1


@pytest.mark.parametrize(("changes", "difference"), [
    ({"seed": 4}, "seed 3, this run has 4"),
    ({"condition": "correct"}, "condition swapped, this run has correct"),
    ({"model": replace(MODEL, mlp_width=50)}, "model mlp_width 48, this run has 50"),
    ({"training": SETTINGS.model_copy(update={"learning_rate": 0.5})},
     "training learning_rate 0.02, this run has 0.5"),
    ({"corpus": build(replace(CORPUS.recipe, seed=2))}, "corpus seed 1, this run has 2"),
    ({"corpus": build(replace(CORPUS.recipe, count=239))},
     "corpus count 240, this run has 239"),
    ({"corpus": replace(CORPUS, tokens=CORPUS.tokens[::-1].copy()[::-1])}, None),
    ({"corpus": replace(CORPUS, mazes=CORPUS.mazes._replace(goals=CORPUS.mazes.starts))},
     f"corpus sha256 {CORPUS.sha256}, this run has"),
])
def test_checkpoint_of_another_run(tmp_path, whole, changes, difference):
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes((whole / path.name).read_bytes())
    if difference is None:  # the same numbers in other memory
        trainer(tmp_path, **changes).run()
        return
    refused(trainer(tmp_path, **changes).run, str(path), f"was written with {difference}")
    assert path.read_bytes() == (whole / path.name).read_bytes()


def test_checkpoint_of_another_scale(tmp_path, whole):
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes((whole / path.name).read_bytes())
    other = build(Recipe("wilson", 5, 5, "train", 1, "indexed", 40))
    refused(trainer(tmp_path, corpus=other, model=replace(MODEL, vocabulary=other.vocabulary.size)
                    ).run, str(path), "vocabulary 34, this run has 44")
    refused(lambda: load_model(path, other), str(path), "5x5", "4x4")


def test_model_of_a_checkpoint(tmp_path, whole):
    """Its weights in the precision in which models are published."""
    expected = {name: value.bfloat16().float() for name, value in state(whole).items()
                if name.startswith("model.")}
    for name in ("checkpoint.safetensors", "model.safetensors"):
        model = load_model(whole / name, CORPUS)
        assert model.config == MODEL
        assert all(torch.equal(value, expected[f"model.{name}"])
                   for name, value in model.state_dict().items())


def test_model_with_more_room(whole):
    """For longer answers than were trained on; the weights are the same."""
    path = whole / "model.safetensors"
    longer, usual = load_model(path, context=999), load_model(path)
    assert (longer.config.context, usual.config.context) == (999, 256)
    assert all(torch.equal(value, longer.state_dict()[name])
               for name, value in usual.state_dict().items())


def test_room_is_no_setting_of_a_training(tmp_path, whole):
    """More of it, or another way to show and store, and the run goes on as it was."""
    trainer(tmp_path).run(stop_after=9)
    other = SETTINGS.model_copy(update={"snapshots": 3, "checkpoint_every": 50, "log_every": 7,
                                        "compiled": not SETTINGS.compiled})
    trainer(tmp_path, model=replace(MODEL, context=300), training=other).run()
    theirs = state(whole)
    assert all(torch.equal(value, theirs[name]) for name, value in state(tmp_path).items())


@pytest.mark.parametrize("stop", [10, 14])  # what comes next is a checkpoint, or a snapshot
def test_disk_full_while_a_checkpoint_is_written(tmp_path, whole, monkeypatch, stop):
    def half_written(tensors, path, metadata):
        path.write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "checkpoint.safetensors"
    trainer(tmp_path).run(stop_after=stop)
    before = path.read_bytes()
    with monkeypatch.context() as full:
        full.setattr(checkpoints, "save_file", half_written)
        with pytest.raises(OSError, match="No space left"):
            trainer(tmp_path).run()
    assert path.read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["checkpoint.safetensors", "metrics.jsonl", "snapshots"]
    assert os.listdir(tmp_path / "snapshots") == ["00000008.safetensors"]
    trainer(tmp_path).run()
    assert_same_run(tmp_path, whole)


# ── numbers that are none ───────────────────────────────────────────────────────────────


def broken_at(step: int, how: str) -> type:
    """An objective whose loss or gradient is no finite number at one step."""
    class Broken(Likelihood):
        calls = 0

        def __call__(self, batch):
            numbers, Broken.calls = super().__call__(batch), Broken.calls + 1
            if Broken.calls != step:
                return numbers
            value = float(how.split()[-1])
            (self.model.norm if "norms" in how else self.model.embedding).weight.grad[-1] = value
            return numbers if "gradient" in how else lambda: numbers() | {"loss": value}

        def __init__(self, model, *settings):
            super().__init__(model, *settings)
            self.model = model

    return Broken


@pytest.mark.parametrize(("how", "what"), [
    ("loss nan", "loss became nan"), ("loss inf", "loss became inf"),
    ("gradient nan", "gradient norm became nan"), ("gradient -inf", "gradient norm became inf"),
    ("gradient of the norms nan", "gradient norm became nan")])
def test_what_is_not_finite_stops_a_training(tmp_path, whole, how, what):
    """At a step that is logged, or is not."""
    log_every = 1 if "inf" in how else 4
    settings = SETTINGS.model_copy(update={"log_every": log_every})
    run = trainer(tmp_path, training=settings, title="training swapped_3",
                  objective=broken_at(11, how))
    with pytest.raises(TrainingError) as caught:
        run.run()
    last = {1: 10, 4: 8}[log_every]
    loss = metrics(whole)[last - 1]["loss"]
    assert str(caught.value) == (
        f"training swapped_3: {what} at step 11; the last loss logged was {loss:.4f} at step "
        f"{last}; takes lower learning rates")
    assert not (tmp_path / "model.safetensors").exists()
    assert all(np.isfinite(row["loss"]) for row in metrics(tmp_path))
    assert read_checkpoint(tmp_path / "checkpoint.safetensors")[0]["counters"]["step"] == 7
    trainer(tmp_path).run()  # nothing that was broken is kept
    assert all(torch.equal(value, state(whole)[name]) for name, value in state(tmp_path).items())


def test_not_finite_from_the_beginning(tmp_path):
    run = trainer(tmp_path, objective=broken_at(1, "loss nan"))
    with pytest.raises(TrainingError, match="became nan at step 1; no loss was logged before;"):
        run.run()
    assert sorted(os.listdir(tmp_path)) == ["metrics.jsonl"]


def test_not_finite_after_a_pause(tmp_path, whole):
    """The last loss is the one that was logged before it was stopped."""
    sparse = SETTINGS.model_copy(update={"log_every": 12})
    trainer(tmp_path, training=sparse).run(stop_after=14)
    run = trainer(tmp_path, training=sparse, objective=broken_at(2, "loss inf"))
    loss = metrics(whole)[11]["loss"]
    with pytest.raises(TrainingError, match=f"inf at step 16; the last loss .* {loss:.4f} at step "
                                            "12;"):
        run.run()


@pytest.mark.parametrize(("name", "rate", "last"), [
    ("learning_rate", 1e30, 30), ("adam_learning_rate", 1e30, 30), ("adam_learning_rate", 3e38, 1)])
def test_learning_rates_that_are_much_too_high(tmp_path, name, rate, last):
    """Weights that the very last update has broken are not stored either."""
    settings = SETTINGS.model_copy(update={name: rate, "warmup_steps": 0, "decay_fraction": 0.0,
                                           "batch_size": 240 // last})
    what = "weights of .* became infinite" if last == 1 else "became (nan|inf)"
    with pytest.raises(TrainingError, match=rf"training: .*{what} at step \d+"):
        trainer(tmp_path, training=settings).run()
    assert list(tmp_path.rglob("*.safetensors")) == []


# ── another objective, other batches ────────────────────────────────────────────────────


class Listed(list):
    """Batches from anywhere."""

    longest = 4


def squares(model, settings, compiled):
    """An objective of one's own: it pulls the first word's embedding to that of a batch's."""
    def objective(batch):
        loss = (model.embedding.weight[0] - float(batch.tokens[0])).square().mean()
        loss.backward()
        for weight in model.parameters():
            weight.grad = torch.zeros_like(weight) if weight.grad is None else weight.grad
        return lambda: {"loss": float(loss.detach())}
    return objective


def test_objective_and_batches_of_ones_own(tmp_path):
    batch = Batch(*map(np.array, ([1, 0, 0], [0, 1, 2], [3], [1, 2], [0, 0], [False, True])))
    run = Trainer(Listed([batch] * 20), MODEL, SETTINGS.model_copy(update={"clip_norm": 1e9}),
                  seed=1, follows_from={"condition": "none"}, folder=tmp_path, compiled=False,
                  objective=squares)
    model = run.run()
    rows = metrics(tmp_path)
    assert [row["step"] for row in rows] == list(range(1, 21))
    assert [row["tokens"] for row in rows] == list(range(3, 63, 3))
    assert [row["response_tokens"] for row in rows] == list(range(2, 42, 2))
    assert all(b["loss"] < a["loss"] for a, b in pairwise(rows))
    assert rows[0].keys() == {"step", "examples", "tokens", "response_tokens", "loss",
                              "gradient_norm"}
    about, tensors = read_checkpoint(tmp_path / "model.safetensors")
    assert about["follows_from"]["condition"] == "none"
    assert torch.equal(tensors["model.embedding.weight"], model.embedding.weight)
    with pytest.raises(ValueError, match="context: got 3, takes at least the 4 tokens"):
        Trainer(Listed([batch]), replace(MODEL, context=3), SETTINGS, seed=1, follows_from={},
                folder=tmp_path / "short")


# ── settings ────────────────────────────────────────────────────────────────────────────


def test_batch_larger_than_the_corpus(tmp_path):
    settings = SETTINGS.model_copy(update={"batch_size": 241})
    with pytest.raises(ValueError, match="batch_size: got 241, takes at most the 240 examples"):
        trainer(tmp_path, training=settings)


@pytest.mark.parametrize("condition", SMOKE.conditions)
def test_context_shorter_than_an_example(tmp_path, condition):
    examples = put_together(CORPUS, CONDITIONS[condition], 3)
    longest = max(make_batch(examples, np.array([i])).lengths[0] for i in range(240))
    trainer(tmp_path, condition=condition, model=replace(MODEL, context=int(longest)))
    with pytest.raises(ValueError, match=f"context: got {longest - 1}, takes at least the "
                                         f"{longest} tokens"):
        trainer(tmp_path, condition=condition, model=replace(MODEL, context=int(longest) - 1))


def test_every_parameter_has_one_optimizer(tmp_path):
    model = trainer(tmp_path).model
    (muon, _), (adam, _) = make_optimizers(model, SETTINGS)
    parameters = [[weight for group in optimizer.param_groups for weight in group["params"]]
                  for optimizer in (muon, adam)]
    assert sorted(map(id, chain(*parameters))) == sorted(map(id, model.parameters()))
    assert all(weight.dim() == 2 for weight in parameters[0])
    assert any(weight is model.embedding.weight for weight in parameters[1])


@given(st.integers(1, 3000), st.floats(0, 0.25), st.floats(0, 1))
def test_learning_rate(steps, warmup_share, decay_fraction):
    warmup_steps = int(steps * warmup_share)  # no scale takes more than a quarter
    settings = SETTINGS.model_copy(update={"warmup_steps": warmup_steps,
                                           "decay_fraction": decay_fraction})
    rates = np.array([rate(step, steps, settings) for step in range(steps)])
    warmup = max(1, warmup_steps)
    assert np.all((rates > 0) & (rates <= 1))
    changes = np.sign(np.diff(rates).round(12))
    assert np.all(np.diff(changes) <= 0)  # up, then level, then down
    assert rates[0] == pytest.approx(min(1 / warmup, rate(0, steps, settings)))
    assert rates[0] <= 1 / warmup
    if decay_fraction <= 0.5:
        assert rates.max() == 1
        assert np.allclose(np.diff(rates[:warmup]), 1 / warmup)
        assert np.all(rates[warmup - 1:int(steps * (1 - decay_fraction))] == 1)
    if steps * decay_fraction >= 1:
        assert rates[-1] <= 1 / (steps * decay_fraction) + 1e-12


def test_the_warm_up_is_as_long_as_it_says():
    settings = SETTINGS.model_copy(update={"warmup_steps": 80, "decay_fraction": 0.0})
    assert [rate(step, 100, settings) for step in (0, 39, 79, 99)] == [1 / 80, 0.5, 1, 1]
    assert rate(9, 10, settings) == 10 / 80  # never at its peak in a run that is too short


def test_compiled_is_eager(tmp_path, monkeypatch):
    """Losses and gradients of a few steps of several shapes; the next training compiles nothing."""
    if not can_compile("cpu"):
        pytest.skip("torch.compile does not work here")
    monkeypatch.setattr(training, "autocast", lambda device: nullcontext())
    # each group of rows is code of its own: with two there is half as much for the compiler
    monkeypatch.setattr(training, "pack", partial(training.pack, groups=2))
    for name in ("eager", "compiled", "again"):
        torch._dynamo.reset()
        counters.clear()
        trainer(tmp_path / name, compiled=name != "eager", model=replace(MODEL, layers=1),
                ).run(stop_after=5)
    for ours, theirs in zip(*(metrics(tmp_path / name) for name in ("eager", "compiled")),
                            strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3)
    assert metrics(tmp_path / "again") == metrics(tmp_path / "compiled")
    assert counters["aot_autograd"]["total"] == counters["aot_autograd"]["autograd_cache_hit"] > 0
