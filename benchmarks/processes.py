"""What takes processes of its own: memory of a training, and two at a time on two cores."""

import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks import qwen2, training
from benchmarks.measure import in_turn, row, scale
from helpers.batches import make_batch
from helpers.corpus import build
from helpers.study.runs import cores

STATUS = Path("/proc/self/status")  # Linux keeps the peak of a process here
BUSY = 1.5  # load above which others compute as well; these benchmarks make 1
ROUNDS, STEPS, FEW_STEPS = 3, 15, 2  # steps a round, and in miniature
EXAMPLES, FEW_EXAMPLES = 200_000, 200  # of the corpus that one or two processes build


def rows(tiny: bool = False) -> list[dict]:
    return [*memory(tiny), *pairs(tiny)]


def process(threads: int = 1) -> ProcessPoolExecutor:
    """A fresh Python process, so many threads for torch in it."""
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), torch.set_num_threads,
                               (threads,))


# ── memory ──────────────────────────────────────────────────────────────────────────────


def memory(tiny: bool) -> list[dict]:
    """Peak memory of a process that trains, in MiB: ours and the peer's."""
    if not STATUS.exists():
        print(f"processes: no peak memory, since there is no {STATUS}")
        return []
    names = [None, qwen2.NAME] if qwen2.available() else [None]
    found = {}
    for name in names:
        with process() as worker:
            found[name] = worker.submit(peak_memory, tiny, name is not None).result()
    return [row("train_peak_memory", found[None], "MiB", peer=names[-1],
                peer_value=found.get(qwen2.NAME))]


def peak_memory(tiny: bool, of_peer: bool) -> float:
    """MiB that this process has held at most, after a round of training steps.

    Ours counts what torch.compile takes within the process, not the C++ compilers it starts.
    """
    settings = scale(tiny)
    examples = training.examples_for(settings, FEW_STEPS if tiny else STEPS)
    chosen = training.batches_of(examples, settings.training.batch_size).shuffled
    with TemporaryDirectory() as folder:
        trainer = training.ours(settings, examples, folder)
        step = training.stepping(trainer)
        if of_peer:
            step = training.peer(settings, trainer).step
            del trainer
        for indices in chosen:
            step(indices)
    # not resource.getrusage: its maximum includes the parent's memory at the time of the fork
    return next(int(line.split()[1]) / 1024 for line in STATUS.read_text().splitlines()
                if line.startswith("VmHWM"))


# ── two at a time ───────────────────────────────────────────────────────────────────────


def pairs(tiny: bool) -> list[dict]:
    """Two single-threaded trainings against one with two threads; two builders against one.

    Wall-clock time, since that is the question. There is no corpus build with several
    processes in the package; here two build half as many examples each.
    """
    if cores() < 2:
        print("processes: two at a time are not measured on one core")
        return []
    if (load := os.getloadavg()[0]) > BUSY:
        print(f"processes: the machine is busy (load {load:.1f}), so two at a time tell little")
    with ExitStack() as stack:
        single = [stack.enter_context(process()) for _ in range(2)]
        double = stack.enter_context(process(2))
        for ready in [worker.submit(prepare, tiny) for worker in (*single, double)]:
            ready.result()
        steps, examples = (FEW_STEPS, FEW_EXAMPLES) if tiny else (STEPS, EXAMPLES)
        found = in_turn({
            "train_two_single": lambda _: together(single, run_steps, steps),
            "train_one_double": lambda _: together([double], run_steps, steps),
            "corpus_two_processes": lambda _: together(single, build_some, examples // 2),
            "corpus_one_process": lambda _: together(single[:1], build_some, examples),
        }, 1 if tiny else ROUNDS, "two at a time")
    return [row(name, found[name], unit, peer=other, peer_value=found[other])
            for name, unit, other in (
                ("train_two_single", "tokens/s", "train_one_double"),
                ("corpus_two_processes", "examples/s", "corpus_one_process"))]


def together(workers: list[ProcessPoolExecutor], work: Callable[[int], int], n: int) -> float:
    """What all workers do at the same time, a second of wall-clock time."""
    began = time.perf_counter()
    done = [worker.submit(work, n) for worker in workers]
    return sum(each.result() for each in done) / (time.perf_counter() - began)


def prepare(tiny: bool) -> None:
    """Makes a training in this process, compiles it, and warms the corpus kernels up."""
    global _step, _examples, _batches, _recipe, _seeds
    settings = scale(tiny)
    _examples = training.examples_for(settings, FEW_STEPS if tiny else STEPS)
    _batches = training.batches_of(_examples, settings.training.batch_size)
    with TemporaryDirectory() as folder:
        _step = training.stepping(training.ours(settings, _examples, folder))
    _recipe, _seeds = settings.recipe("train"), count(1)
    for indices in _batches.warm_up:
        _step(indices)


def run_steps(n: int) -> int:
    """Trains for n steps; returns their tokens."""
    chosen = _batches.shuffled[:n]
    for indices in chosen:
        _step(indices)
    return sum(len(make_batch(_examples, i).tokens) for i in chosen)


def build_some(n: int) -> int:
    """Builds n examples of the training corpus, with a seed of their own."""
    build(replace(_recipe, count=n, seed=next(_seeds)))
    return n
