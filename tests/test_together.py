"""Several processes at one training: the same training, whatever their number, and an end to all."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from helpers import __main__ as cli
from helpers import training
from helpers.batches import Batches, make_batch, shares
from helpers.checkpoints import read_checkpoint
from helpers.conditions import CONDITIONS, put_together
from helpers.corpus import Recipe, build
from helpers.engine import together
from helpers.engine.files import PROJECT
from helpers.model import ModelConfig, Transformer
from helpers.optimisation import TrainingConfig
from helpers.training import Trainer, TrainingError

pytestmark = pytest.mark.usefixtures("one_thread")

CORPUS = build(Recipe("wilson", 4, 4, "train", 1, "indexed", 160))
MODEL = ModelConfig(vocabulary=CORPUS.vocabulary.size, context=256, width=32, layers=1, heads=2,
                    kv_heads=1, mlp_width=48)
SETTINGS = TrainingConfig(batch_size=8, warmup_steps=4, checkpoint_every=10, log_every=1,
                          snapshots=2, plan_weight=2.5, mean_over=3, micro_batch_tokens=200)
STEPS = 20


def run(folder: Path, stop_after: int | None = None) -> None:
    """A training in this process, or in all that it has joined."""
    batches = Batches(put_together(CORPUS, CONDITIONS["swapped"], 3), 8, 1, 3)
    Trainer(batches, MODEL, SETTINGS, seed=3, follows_from={}, folder=folder, compiled=False
            ).run(stop_after)


def in_processes(count: int, work, *args) -> list:
    """What ``work`` returns, or raises, in each of several processes that have joined."""
    context = multiprocessing.get_context("fork")  # nothing is imported again
    answers = context.Queue()

    def one(environment: dict) -> None:
        os.environ.update(environment)
        torch.set_num_threads(1)
        try:
            with together.together():
                answers.put((together.rank(), work(*args)))
        except Exception as error:
            answers.put((int(environment["RANK"]), f"{type(error).__name__}: {error}"))

    with together.meeting() as place:
        processes = [context.Process(target=one, args=(place(i, count),)) for i in range(count)]
        for process in processes:
            process.start()
        found = dict(answers.get(timeout=60) for _ in processes)
        for process in processes:
            process.join(60)
    return [found[i] for i in range(count)]


@pytest.fixture(scope="module", autouse=True)
def _exact():
    """float32 everywhere: what differs is the order of sums alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "autocast", lambda device: nullcontext())
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The folder of a training by one process."""
    folder = tmp_path_factory.mktemp("one")
    run(folder)
    return folder


def metrics(folder: Path) -> list[dict]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert all(row.pop("seconds") >= 0 for row in rows)
    return rows


def assert_same(folder: Path, whole: Path) -> None:
    """The same files, rows and weights, but for how sums are rounded."""
    names = [sorted(str(path.relative_to(one)) for path in one.rglob("*"))
             for one in (folder, whole)]
    assert names[0] == names[1]
    assert [row["step"] for row in metrics(folder)] == list(range(1, STEPS + 1))
    for ours, theirs in zip(metrics(folder), metrics(whole), strict=True):
        assert ours == pytest.approx(theirs, rel=2e-4)
    for name in ("model.safetensors", "checkpoint.safetensors"):
        (about, ours), (other, theirs) = (read_checkpoint(one / name) for one in (folder, whole))
        assert about["follows_from"] == other["follows_from"]
        assert about["counters"] == other["counters"]
        assert ours.keys() == theirs.keys()
        for key, value in ours.items():
            torch.testing.assert_close(value, theirs[key], rtol=1e-2, atol=2e-4, msg=key)


@pytest.mark.parametrize("count", [2, 3])
def test_any_number_of_processes_train_the_same(count, tmp_path, whole):
    assert in_processes(count, run, tmp_path) == [None] * count
    assert_same(tmp_path, whole)
    about, _ = read_checkpoint(tmp_path / "model.safetensors")
    assert about["circumstances"]["processes"] == count
    assert "processes" not in read_checkpoint(whole / "model.safetensors")[0]["circumstances"]


def test_a_checkpoint_of_some_is_one_for_others(tmp_path, whole):
    """Three begin, one goes on, two end."""
    in_processes(3, run, tmp_path, 7)
    run(tmp_path, 6)
    in_processes(2, run, tmp_path)
    assert_same(tmp_path, whole)


def test_unequal_weights_are_noticed(tmp_path):
    def differing() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(training, "Transformer",
                          lambda model, seed: Transformer(model, seed + together.rank()))
            run(tmp_path)

    for said in in_processes(2, differing):
        assert said.startswith("TrainingError: training: processes differ in their weights at "
                               "step 0; takes")
    assert not list(tmp_path.rglob("*.safetensors"))


def test_the_loss_that_is_no_number_ends_all(tmp_path):
    def broken() -> None:
        def wrong(*settings):
            objective = training.Likelihood(*settings)

            def of(batch):
                numbers = objective(batch)
                if together.rank() == 1:
                    objective.parameters[0].grad[0] = float("nan")
                together.add_gradients(objective.parameters)
                return numbers
            return of

        batches = Batches(put_together(CORPUS, CONDITIONS["swapped"], 3), 8, 1, 3)
        Trainer(batches, MODEL, SETTINGS, seed=3, follows_from={}, folder=tmp_path, compiled=False,
                objective=wrong).run()

    for said in in_processes(2, broken):
        assert said.startswith(f"{TrainingError.__name__}: training: gradient norm became nan")


def test_one_that_fails_ends_the_others(tmp_path):
    def failing() -> None:
        if together.rank() == 1:
            raise ValueError("a GPU is full")
        run(tmp_path)

    first, second = in_processes(2, failing)
    assert first.startswith("LostError: another process has ended (")
    assert second == "ValueError: a GPU is full"


# ── shares ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8])
def test_shares_of_a_batch(count):
    """All examples in their order, about as many tokens each, none without an example."""
    batch = make_batch(put_together(CORPUS, CONDITIONS["swapped"], 3), np.arange(8))
    parts = shares(batch, count)
    assert len(parts) == count
    for name in ("tokens", "positions", "lengths", "targets", "in_plan"):
        joined = np.concatenate([getattr(part, name) for part in parts])
        assert np.array_equal(joined, getattr(batch, name))
    for part in parts:
        assert len(part.lengths)
        assert np.array_equal(part.tokens[part.learn[1:]], part.targets[:-1]) or len(part.lengths) > 1
        assert abs(len(part.tokens) - len(batch.tokens) / count) <= batch.lengths.max()
    with pytest.raises(ValueError, match="got 8 examples, takes at least one for each of 9 parts"):
        shares(batch, 9)


def test_shares_of_very_unequal_examples():
    batch = make_batch(put_together(CORPUS, CONDITIONS["swapped"], 3), np.arange(6))
    for big in (0, 3, 5):
        lengths = np.ones(6, np.int64)
        lengths[big] = 95
        parts = shares(replace_lengths(batch, lengths), 4)
        assert [one for part in parts for one in part.lengths] == lengths.tolist()
        assert all(len(part.lengths) for part in parts)


def replace_lengths(batch, lengths):
    filler = np.zeros(lengths.sum(), np.int64)
    return batch._replace(tokens=filler, positions=filler, lengths=lengths,
                          learn=np.arange(len(filler)), targets=filler, in_plan=filler > 0)


def test_arrays_of_all_processes():
    arrays = [np.arange(n, dtype=np.uint16) for n in (3, 0, 5, 1, 2)]

    def work() -> list:
        own = together.share(5)
        return [array.tolist() for array in together.joined(arrays[own], 5)]

    expected = [array.tolist() for array in arrays]
    assert work() == expected
    assert in_processes(3, work) == [expected] * 3
