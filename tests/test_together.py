"""Several processes at one work: the same work, whatever their number, and one end to all."""

import json
import multiprocessing
import os
import shutil
import signal
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from helpers import __main__ as cli
from helpers import training
from helpers.batches import Batches, make_batch, shares
from helpers.checkpoints import read_checkpoint
from helpers.conditions import CONDITIONS, put_together
from helpers.corpus import Recipe, build
from helpers.engine import together
from helpers.experiments import EXPERIMENTS
from helpers.model import ModelConfig, Transformer
from helpers.optimisation import TrainingConfig
from helpers.study import asking, steps, tuning
from helpers.study.products import Store
from helpers.study.runs import Run
from helpers.study.scale import load_scale
from helpers.study.specs import EvaluationSpec, ModelSpec
from helpers.training import Trainer, TrainingError

pytestmark = pytest.mark.usefixtures("one_thread")

CORPUS = build(Recipe("wilson", 4, 4, "train", 1, "indexed", 160))
MODEL = ModelConfig(vocabulary=CORPUS.vocabulary.size, context=256, width=32, layers=1, heads=2,
                    kv_heads=1, mlp_width=48)
SETTINGS = TrainingConfig(batch_size=8, warmup_steps=4, checkpoint_every=10, log_every=1,
                          snapshots=2, plan_weight=2.5, mean_over=3, micro_batch_tokens=200)
STEPS = 20


def run(folder: Path, stop_after: int | None = None, objective=training.Likelihood) -> None:
    """A training in this process, or in all that it has joined."""
    batches = Batches(put_together(CORPUS, CONDITIONS["swapped"], 3), 8, 1, 3)
    Trainer(batches, MODEL, SETTINGS, seed=3, follows_from={}, folder=folder, compiled=False,
            objective=objective).run(stop_after)


def in_processes(count: int, work, *args) -> list:
    """What ``work`` returns, or raises, in each of several processes that have joined.

    Of one that was killed, the signal.
    """
    context = multiprocessing.get_context("fork")  # nothing is imported again
    pipes = [context.Pipe(duplex=False) for _ in range(count)]

    def one(environment: dict, answer) -> None:
        os.environ.update(environment)
        torch.set_num_threads(1)
        try:
            with together.together():
                answer.send(work(*args))
        except Exception as error:
            answer.send(f"{type(error).__name__}: {error}")

    with together.meeting() as place:
        processes = [context.Process(target=one, args=(place(i, count), pipes[i][1]))
                     for i in range(count)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(120)
    return [process.exitcode or pipe.recv()
            for process, (pipe, _) in zip(processes, pipes, strict=True)]


@pytest.fixture(scope="module", autouse=True)
def _exact(float32):
    """What differs is the order of sums alone."""


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
            patch.setattr(training, "build",
                          lambda model, seed: Transformer(model, seed + together.rank()))
            run(tmp_path)

    for said in in_processes(2, differing):
        assert said.startswith("TrainingError: training: processes differ in their weights at "
                               "step 0; takes")
    assert not list(tmp_path.rglob("*.safetensors"))


def test_the_loss_that_is_no_number_ends_all(tmp_path):
    def wrong(*settings):
        objective = training.Likelihood(*settings)

        def of(batch):
            if together.rank() == 1:
                objective.parameters[0].grad = torch.full_like(objective.parameters[0], torch.nan)
            return objective(batch)
        return of

    for said in in_processes(2, run, tmp_path, None, wrong):
        assert said.startswith(f"{TrainingError.__name__}: training: gradient norm became nan")


def test_one_killed_ends_the_others_and_the_run_goes_on(tmp_path, whole):
    def killed(*settings):
        objective, steps = training.Likelihood(*settings), iter(range(STEPS))

        def of(batch):
            if next(steps) == 13 and together.rank() == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            return objective(batch)
        return of

    first, second, third = in_processes(3, run, tmp_path, None, killed)
    assert first.startswith("LostError: another process has ended (")
    assert second == -signal.SIGKILL
    assert third.startswith("LostError: ")
    assert len(metrics(tmp_path)) == 13
    assert not (tmp_path / "model.safetensors").exists()
    in_processes(2, run, tmp_path)
    assert_same(tmp_path, whole)


# ── how they are started ────────────────────────────────────────────────────────────────


def test_launch(capfd):
    """What they do together is done; then one is killed, and what is to be said is returned."""
    assert together.launch(["tests.worker"], 2, cores=2) == (
        1, "process 2 of 2 ended (killed by SIGKILL)")
    assert capfd.readouterr() == ("3\n", "")


@pytest.mark.parametrize(("last", "first", "status", "said", "shown"), [
    ("pass", "pass", 0, "", ""),
    ("sys.exit(2)", "sys.exit('wrong')", 1, "", "wrong\n"),  # the first speaks for all
    ("sys.exit('a GPU is full')", "sys.exit(75)", 1,
     "process 2 of 2 ended (exit status 1: a GPU is full)", ""),
    ("sys.exit('gone')", "time.sleep(600)", 1, "process 2 of 2 ended (exit status 1: gone)", "")])
def test_how_processes_end(last, first, status, said, shown, tmp_path, monkeypatch, capfd):
    """One line in all; none is left over."""
    monkeypatch.setattr(together, "GRACE", 1)
    (tmp_path / "ending.py").write_text(
        f"import os, sys, time\nif os.environ['RANK'] == '1': {last}\nelse: {first}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert together.launch(["ending"], 2, cores=2) == (status, said)
    assert capfd.readouterr() == ("", shown)


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
        same_example = np.diff(part.learn) == 1
        assert np.array_equal(part.tokens[part.learn[1:]][same_example],
                              part.targets[:-1][same_example])
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


# ── by command ──────────────────────────────────────────────────────────────────────────

TINY = "+".join(["swapped", "batch_size=8", "checkpoint_every=5", "layers=1", "max_new_tokens=100",
                 "snapshots=1", "test_examples=11", "train_examples=320", "validation_examples=4",
                 "warmup_steps=4", "width=32"]) + "_1"
ASKED = ["wilson", "drunkards_walk"]


def command(name: str, root: Path, *words: str) -> list[str]:
    return [name, "--scale", "smoke", "--model", TINY, "--root", str(root), *words]


@pytest.fixture(scope="module")
def experiment():
    """Two distributions, asked of the one model, also with its own trace given and a gap."""
    model = ModelSpec.parse(TINY)
    asked = [EvaluationSpec(model, ASKED[0]), EvaluationSpec(model, ASKED[1], (("gap", 3),)),
             EvaluationSpec(model, ASKED[0], (("given", "own"),))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(EXPERIMENTS, "headline",
                      replace(EXPERIMENTS["headline"], evaluations=lambda scale: asked))
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory, experiment) -> Path:
    """The root of a run with one model, trained by command in this process."""
    root = tmp_path_factory.mktemp("alone")
    assert cli.main(command("train", root)) == 0
    return root


def files(root: Path, pattern: str) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob(pattern)
            if path.is_file()}


def test_train_makes_what_the_notebook_makes(trained):
    """And nothing a second time."""
    run, spec = Run(load_scale("smoke"), trained), ModelSpec.parse(TINY)
    assert run.store.status(run.model(spec)).state == "current"
    assert run.store.status(run.curve(spec)).state == "current"
    before = files(trained, "*")
    assert cli.main(command("train", trained, "--processes", "2")) == 0
    assert files(trained, "*") == before


def test_shares_of_mazes_are_answered_alike(trained, tmp_path, experiment):
    """Rows and answers of three processes are those of one, in the same order."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    assert cli.main(command("evaluate", trained)) == 0
    assert in_processes(3, cli.main, command("evaluate", tmp_path)) == [0, 0, 0]
    ours, theirs = (files(root, "responses_*.jsonl") for root in (tmp_path, trained))
    assert len(ours) == 3
    assert ours == theirs
    run = Run(load_scale("smoke"), tmp_path)
    other = Run(load_scale("smoke"), trained)
    asked = EXPERIMENTS["headline"].evaluations(run.scale)
    pd.testing.assert_frame_equal(steps.all_rows(run, asked), steps.all_rows(other, asked))
    assert "right_plan" in steps.all_rows(run, asked)


@pytest.mark.parametrize(("words", "message"), [
    (["--processes", "0"], "--processes: got '0', takes a whole number from 1 up"),
    (["--processes", "9"], "--processes: got 9, takes at most 8, the examples of a batch"),
    (["--strategy", "fsdp"], "--strategy: got 'fsdp', takes ddp, each process holds the whole"),
    (["--model", "swapped"], "--model: got 'swapped', takes CONDITION"),
    (["--model", "lent_1"], "--model: got 'lent_1', takes a condition among solution_only"),
    (["--model", "swapped+depth=2_1"], "--model: got 'swapped+depth=2_1': scale smoke: depth: un"),
    (["--model", "correct+gap=none+gap=random_1"], "--model: got 'correct+gap=none+gap=random_1'"),
    (["--scale", "huge"], "--scale: got 'huge', takes one of")])
def test_what_train_refuses(words, message, tmp_path, capsys):
    refused = command("train", tmp_path, *words)
    with suppress(SystemExit):
        assert cli.main(refused) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"helpers: {message}")


@pytest.mark.parametrize(("name", "message"), [
    ("correct+max_new_tokens=5+train_examples=320", "context: got 85, takes at least the "),
    ("swapped+batch_size=1+train_examples=1", "swapped: got 1 different problems among 1 examples"),
    ("correct+cols=3+rows=3+train_examples=320+trained_on=searchformer",
     "generator: searchformer found no grid that is left for training"),
    ("correct+after=grpo+mazes=321+train_examples=320", "mazes: got 321, takes at most the 320")])
def test_settings_and_mazes_that_do_not_go_together(name, message, tmp_path, capsys, monkeypatch):
    """Seen only once the mazes are there; nothing of a model is."""
    monkeypatch.setattr(Store, "use", lambda store, product: store.path(product))
    monkeypatch.setattr(tuning, "load_model", lambda *_: Transformer(MODEL))
    monkeypatch.setattr(tuning, "sha256", lambda *_: "")
    name += "+warmup_steps=0_1"
    words = ["train", "--scale", "smoke", "--model", name, "--root", str(tmp_path)]
    assert cli.main(words) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"helpers: --model: got {ModelSpec.parse(name).name!r}: {message}")
    assert not [path for path in tmp_path.rglob("models/*/*") if path.name != "lock"]


def test_a_model_too_large_for_memory(tmp_path, capsys, monkeypatch):
    def large(*_):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory\nmore")

    def wrong(*_):
        raise RuntimeError("something else")

    monkeypatch.setattr(steps, "train", large)
    assert cli.main(command("train", tmp_path)) == 1
    assert capsys.readouterr().err == (f"helpers: {TINY}: out of memory ([enforce fail] "
                                       "DefaultCPUAllocator: can't allocate memory)\n")
    monkeypatch.setattr(steps, "train", wrong)
    with pytest.raises(RuntimeError, match="something else"):
        cli.main(command("train", tmp_path))


def test_too_few_mazes_to_give_one_the_trace_of_another(trained, tmp_path, capsys, monkeypatch):
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    other = EvaluationSpec(ModelSpec.parse(TINY), "wilson", (("given", "other"),))
    monkeypatch.setitem(EXPERIMENTS, "headline",
                        replace(EXPERIMENTS["headline"], evaluations=lambda scale: [other]))
    few = build(Recipe("wilson", 4, 6, "test", 1, "indexed", 1))
    monkeypatch.setattr(asking, "corpus", lambda *_: few)
    assert cli.main(command("evaluate", tmp_path)) == 2
    assert capsys.readouterr().err == (
        f"helpers: --model: got {TINY!r}, asked {other.name}: swapped: got 1 different problems "
        "among 1 examples, takes enough to lend each another's trace\n")


def test_more_processes_than_there_can_be(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert cli.main(command("train", tmp_path, "--processes", "3")) == 2
    assert "takes at most 2, the GPUs of this machine" in capsys.readouterr().err
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert cli.main(command("train", tmp_path, "--processes", "2")) == 2
    assert "under torchrun, which says how many; takes none" in capsys.readouterr().err
    monkeypatch.setenv("LOCAL_RANK", "2")
    assert cli.main(command("train", tmp_path)) == 1
    assert capsys.readouterr().err == (
        "helpers: processes: got number 3 on a machine of 2 GPUs, takes one a GPU\n")


def test_what_evaluate_refuses(tmp_path, capsys, experiment):
    words = ["evaluate", "--scale", "smoke", "--model", "correct_1", "--root", str(tmp_path)]
    assert cli.main(words) == 2
    assert capsys.readouterr().err == ("helpers: --model: got 'correct_1', takes one that headline "
                                       f"asks at scale smoke: {TINY}\n")
    assert cli.main(command("evaluate", tmp_path)) == 1
    assert f"model {TINY}: is missing; run notebook 05_training" in capsys.readouterr().err
