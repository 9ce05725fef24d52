"""Training and decoding on one GPU, beside transformers: `results/bench/<the GPU>.json`.

    python -m benchmarks.gpu                        everything, in 8 minutes
    python -m benchmarks.gpu --minutes 20           with more time before parts are left out
    python -m benchmarks.gpu --parts peak training  some parts
    python -m benchmarks.gpu --tiny --device cpu    the same in miniature, numbers without meaning

It takes a GPU of 80 GB, a C++ compiler with Python's headers (for torch.compile), and
transformers for the peers: without them these are left out. A part that fails is a row with
its error, and the others go on. Without a GPU it says so and ends with status 2.

What is measured: the best rate of a large bfloat16 product; steps of the paper's training
(30×30, 0.36 billion parameters, real examples, nothing but the step in the measured time)
under each form of attention; the same by transformers' Qwen2 with the same weights, padded
batches of as many examples as fit, bfloat16 autocast and fused AdamW; answers of a fixed
length to real prompts, since random weights never end, against the faster of transformers'
caches; and training and decoding of the laptop's model.
"""

import argparse
import gc
import inspect
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import numpy as np
import torch

from benchmarks import qwen2
from benchmarks.measure import here, row, scale, table
from helpers import decoding
from helpers import model as model_module
from helpers.batches import Batches, make_batch
from helpers.conditions import CONDITIONS, Examples, prompts, put_together
from helpers.corpus import build
from helpers.engine import packing
from helpers.engine.files import PROJECT, atomic
from helpers.engine.packing import Packing
from helpers.engine.precision import autocast
from helpers.model import Transformer
from helpers.study.cost import flops
from helpers.study.scale import Scale
from helpers.training import Trainer

CONDITION = "correct"
BATCH = 32  # examples of a step here: its share of a GPU of 16
MICRO_BATCH = 32768  # tokens of the paper's training at a time, where its scale names no number
WARM_UP, STEPS = 2, 3
BATCHES = WARM_UP + STEPS
PEAK_SHAPES = ((8192, 8192, 8192), (16384, 8192, 4096), (32768, 4864, 8192))
SHARE, TIMES = 0.45, 10.0  # targets: of the peak in training, against the peer in decoding
Values = list[tuple[str, float, str]]  # (what, number, unit)


@dataclass(frozen=True)
class Job:
    """One size of model: what is trained and answered."""

    name: str
    scale: Scale
    device: torch.device
    rows: int  # answered side by side
    new_tokens: int  # an answer

    @cached_property
    def examples(self) -> Examples:
        count = BATCHES * self.scale.training.batch_size
        corpus = build(replace(self.scale.recipe("train"), count=count))
        return put_together(corpus, CONDITIONS[CONDITION], seed=0)

    @cached_property
    def prompts(self) -> list[np.ndarray]:
        mazes = build(replace(self.scale.recipe("test"), count=self.rows))
        return prompts(mazes, CONDITIONS[CONDITION])

    def batches(self) -> Iterator[np.ndarray]:
        """Examples of each step, int64 [batch size]; all of them over and over."""
        while True:
            yield from np.arange(len(self.examples)).reshape(BATCHES, -1)

    def seconds(self, work: Callable[[], object]) -> float:
        self.wait()
        began = time.perf_counter()
        work()
        self.wait()
        return time.perf_counter() - began

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def model(self) -> Transformer:
        return Transformer(self.scale.transformer()).to(self.device)


# ── the parts ───────────────────────────────────────────────────────────────────────────


def peak(job: Job, tiny: bool) -> Values:
    """The best of a few large products."""
    rates = []
    for m, k, n in [(64, 64, 64)] if tiny else PEAK_SHAPES:
        a, b = (torch.randn(shape, device=job.device, dtype=torch.bfloat16)
                for shape in ((m, k), (k, n)))

        def work(a=a, b=b) -> None:
            for _ in range(10):
                a @ b

        work()
        rates.append(max(20 * m * k * n / job.seconds(work) for _ in range(3)))
    return [("", max(rates) / 1e12, "TFLOP/s")]


def training(job: Job, attention: Callable = nullcontext) -> Values:
    """Steps of our training, see `Trainer`.

    Args:
        attention: within this context the model has another form of it.
    """
    batches = job.batches()
    with attention(), TemporaryDirectory() as folder:
        source = Batches(job.examples, job.scale.training.batch_size, 1, seed=0)
        trainer = Trainer(source, job.scale.transformer(), job.scale.training, seed=0,
                          follows_from={}, folder=folder, device=str(job.device))
        for _ in range(WARM_UP):
            trainer._train_step(make_batch(job.examples, next(batches)))
        chosen = [make_batch(job.examples, next(batches)) for _ in range(STEPS)]
        reset_peak(job.device)
        seconds = job.seconds(lambda: [trainer._train_step(batch) for batch in chosen])
    done = sum(flops(trainer.model.config, batch.lengths, len(batch.learn)) for batch in chosen)
    return [("", sum(len(batch.tokens) for batch in chosen) / seconds, "tokens/s"),
            (" FLOP/s", done / seconds / 1e12, "TFLOP/s"), *memory(job.device)]


def training_by_peer(job: Job) -> Values:
    """The same steps by transformers, of as many examples at a time as fit."""
    size, theirs = job.scale.training.batch_size, qwen2.qwen2(job.model()).train().to(job.device)
    optimizer = torch.optim.AdamW(theirs.parameters(), lr=1e-3, fused=True)
    batches = job.batches()

    def step(indices: np.ndarray, at_a_time: int) -> None:
        for part in np.split(indices, range(at_a_time, size, at_a_time)):
            given = {name: tensor.to(job.device) for name, tensor in
                     qwen2.padded(job.examples, part).items()}
            with autocast(job.device):
                loss = theirs(**given).loss
            (loss * len(part) / size).backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), job.scale.training.clip_norm)
        optimizer.step()
        optimizer.zero_grad()

    at_a_time = min(size, 16)
    while True:
        try:
            for indices in (next(batches) for _ in range(BATCHES)):  # all lengths there are
                step(indices, at_a_time)
            break
        except torch.OutOfMemoryError:
            if at_a_time == 1:
                raise
            at_a_time //= 2
            optimizer.zero_grad()
            reset_memory(job.device)
    chosen = [next(batches) for _ in range(STEPS)]
    reset_peak(job.device)
    seconds = job.seconds(lambda: [step(indices, at_a_time) for indices in chosen])
    tokens = sum(int(make_batch(job.examples, part).lengths.sum()) for part in chosen)
    return [("", tokens / seconds, "tokens/s"), (" examples at a time", at_a_time, ""),
            *memory(job.device)]


def answering(job: Job) -> Values:
    """Our answers, reading of the prompts and capturing of graphs included."""
    model = job.model()

    def answer(new_tokens: int) -> None:
        answers = decoding.generate(model, job.prompts, max_new_tokens=new_tokens,
                                    batch_size=job.rows)
        assert {len(each) for each in answers} == {new_tokens}

    with patch.object(decoding, "END", -1):  # no token ends an answer
        answer(min(48, job.new_tokens))
        reset_peak(job.device)
        seconds = job.seconds(partial(answer, job.new_tokens))
    return [("", job.rows * job.new_tokens / seconds, "tokens/s"), *memory(job.device)]


def answering_by_peer(job: Job, cache: str) -> Values:
    """transformers' answers, its weights in bfloat16 as ours are."""
    theirs = qwen2.qwen2(job.model()).to(job.device, torch.bfloat16).eval()
    theirs.generation_config.eos_token_id = None
    ids, mask = (tensor.to(job.device) for tensor in qwen2.padded_left(job.prompts))
    given = {} if cache == "dynamic" else {"cache_implementation": cache}

    def answer() -> None:
        out = theirs.generate(ids, attention_mask=mask, max_new_tokens=job.new_tokens,
                              do_sample=False, pad_token_id=0, **given)
        assert out.shape[1] == ids.shape[1] + job.new_tokens

    if cache == "static":
        answer()  # it compiles for this length
    else:
        theirs.generate(ids, attention_mask=mask, max_new_tokens=4, do_sample=False,
                        pad_token_id=0)
    reset_peak(job.device)
    return [("", job.rows * job.new_tokens / job.seconds(answer), "tokens/s"),
            *memory(job.device)]


# ── forms of attention ──────────────────────────────────────────────────────────────────


@contextmanager
def varlen() -> Iterator[None]:
    """torch's own variable-length kernel in place of FlexAttention."""
    from torch.nn.attention.varlen import varlen_attn
    known = inspect.signature(varlen_attn).parameters  # they differ from version to version
    causal = {"window_size": (-1, 0)} if "window_size" in known else {"is_causal": True}
    shares = "enable_gqa" in known
    if shares:
        causal["enable_gqa"] = True

    def masked(packing: Packing, device) -> Packing:
        firsts = packing.begins.unique()  # and each token of no example
        bounds = torch.cat([firsts, torch.tensor([len(packing.begins)])]).int().to(device)
        return Packing(packing.positions.to(device), packing.begins.to(device), None, None, [],
                       (bounds, int(bounds.diff().max())))

    def attend(q, k, v, mask):
        bounds, longest = mask
        if not shares:
            k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], dim=1) for x in (k, v))
        return varlen_attn(q, k, v, bounds, bounds, longest, longest, **causal)

    with (patch.object(Packing, "masked", masked),
          patch.object(model_module, "masked_attention", attend)):
        yield


def rows_of_examples():
    """Examples laid out in rows, as where nothing can be compiled for the GPU."""
    return patch.object(packing, "can_compile", lambda device: False)


# ── all of it ───────────────────────────────────────────────────────────────────────────


def parts(paper: Job, laptop: Job, tiny: bool) -> dict[str, Callable[[], Values]]:
    """What is measured, by name, what matters most first."""
    found = {"peak": partial(peak, paper, tiny),
             "training": partial(training, paper),
             "decoding": partial(answering, paper),
             "training, laptop": partial(training, laptop),
             "decoding, laptop": partial(answering, laptop),
             "training, peer": partial(training_by_peer, paper),
             "decoding, peer, dynamic cache": partial(answering_by_peer, paper, "dynamic"),
             "training, varlen_attn": partial(training, paper, varlen),
             "training, rows": partial(training, paper, rows_of_examples),
             "training, laptop, peer": partial(training_by_peer, laptop),
             "decoding, laptop, peer, dynamic cache": partial(answering_by_peer, laptop,
                                                              "dynamic"),
             "decoding, peer, static cache": partial(answering_by_peer, paper, "static"),
             "decoding, laptop, peer, static cache": partial(answering_by_peer, laptop, "static")}
    if not qwen2.available():
        found = {name: work for name, work in found.items() if "peer" not in name}
    return found


def measured(jobs: dict[str, Callable[[], Values]], minutes: float,
             device: torch.device) -> list[dict]:
    """A row a number; of a part that failed or came too late, a row that says so."""
    began, values, errors = time.monotonic(), {}, {}
    for name, work in jobs.items():
        if time.monotonic() - began > 60 * minutes:
            errors[name] = f"left out: {minutes:g} minutes had passed"
            continue
        torch.compiler.reset()  # so that no part counts towards another's limit of recompilations
        reset_memory(device)
        part_began = time.monotonic()
        try:
            values |= {name + what: (value, unit) for what, value, unit in work()}
        except Exception as error:  # whatever it is, the others go on
            errors[name] = re.sub(r"\s+", " ", f"{type(error).__name__}: {error}")[:300]
        print(f"{name}: {time.monotonic() - part_began:.0f} s "
              f"{errors.get(name, '')}", flush=True)
    peers = {}
    for kind in ("training", "decoding", "training, laptop", "decoding, laptop"):
        rates = {name: value for name, (value, unit) in values.items()
                 if name.startswith(f"{kind}, peer") and unit == "tokens/s"}
        if rates:
            peers[kind] = max(rates, key=rates.get)
    rows = []
    for name, (value, unit) in values.items():
        other, rival = peers.get(name), "transformers"
        if other:
            target = {"target": TIMES, "target_of": "ratio"} if "decoding" in name else {}
            rows.append(row(name, value, unit, peer=rival + other.split("peer")[1],
                            peer_value=values[other][0], **target))
        elif name.endswith(" FLOP/s") and "peak" in values:
            target = {"target": SHARE, "target_of": "ratio"} if name == "training FLOP/s" else {}
            rows.append(row(name, value, unit, peer="peak", peer_value=values["peak"][0], **target))
        else:
            rows.append(row(name, value, unit))
    return rows + [row(name, None, "") | {"error": error} for name, error in errors.items()]


def memory(device: torch.device) -> Values:
    if device.type != "cuda":
        return []
    return [(" peak memory", torch.cuda.max_memory_allocated() / 2**30, "GiB")]


def reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()


def reset_memory(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def sizes(device: torch.device, tiny: bool) -> tuple[Job, Job]:
    """The paper's training and the laptop's; in miniature, a smaller one for both."""
    if tiny:
        return tuple(Job(name, scale(tiny), device, rows=3, new_tokens=9)
                     for name in ("paper", "laptop"))
    paper = scale(tiny, "paper")
    micro = paper.training.micro_batch_tokens or MICRO_BATCH
    paper = paper.model_copy(update={
        "training": paper.training.model_copy(update={"micro_batch_tokens": micro,
                                                      "batch_size": BATCH})})
    return (Job("paper", paper, device, rows=64, new_tokens=512),
            Job("laptop", scale(tiny), device, rows=256, new_tokens=400))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--tiny", action="store_true", help="everything in miniature")
    parser.add_argument("--minutes", type=float, default=8,
                        help="after so many, parts that have not begun are left out")
    parser.add_argument("--parts", nargs="+", metavar="PART",
                        help="only those whose name begins so: training, decoding, …")
    parser.add_argument("--output", type=Path, help="instead of results/bench/<the GPU>.json")
    given = parser.parse_args(arguments)
    if given.device == "cuda" and not torch.cuda.is_available():
        print("benchmarks.gpu: there is no GPU that torch can use")
        return 2
    if given.device == "cpu" and not given.tiny:
        parser.error("--device cpu: takes --tiny too, a CPU would take days")
    device = torch.device(given.device)
    gpu = torch.cuda.get_device_name() if device.type == "cuda" else "no GPU"
    about = {"gpu": gpu, "torch": torch.__version__}
    if qwen2.available():
        about["transformers"] = version("transformers")
    print(", ".join(f"{name} {value}" for name, value in about.items()), flush=True)
    jobs = parts(*sizes(device, given.tiny), given.tiny)
    if given.parts:
        jobs = {name: work for name, work in jobs.items()
                if name.startswith(tuple(given.parts))}
    machine = f"{gpu}; {here()}"
    rows = [row | {"machine": machine} for row in measured(jobs, given.minutes, device)]
    slug = re.sub(r"[^a-z0-9]+", "-", gpu.lower()).strip("-")
    output = given.output or PROJECT / "results" / "bench" / f"{slug}.json"
    output.parent.mkdir(parents=True, exist_ok=True)
    with atomic(output, "w") as file:
        json.dump(about | {"rows": rows}, file, indent=1)
        file.write("\n")
    print(table(rows))
    for each in rows:
        if "error" in each:
            print(f"{each['name']}: {each['error']}")
    print(f"Written to {output}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
