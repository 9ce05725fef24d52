"""One training run: the same settings for every condition, resumable to the bit.

Nothing random happens while training but for the order of the examples, and that follows
from the seed and the step. A checkpoint is therefore weights, optimiser state and a step
count; a run killed at any step and started again ends in the same weights, bit for bit,
on the same machine.
"""

import json
import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)

from helpers.batches import Batch
from helpers.checkpoints import (
    CheckpointError,
    differences,
    read_checkpoint,
    under,
    write_checkpoint,
)
from helpers.engine.compiling import can_compile, compile_once
from helpers.engine.files import atomic, naming
from helpers.engine.muon import Muon
from helpers.engine.packing import pack, round_up
from helpers.engine.progress import bar
from helpers.layouts import GAPS, PROMPTS
from helpers.model import ModelConfig, Transformer


class TrainingConfig(BaseModel):
    """How to train; the same for all conditions."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    batch_size: PositiveInt = 32  # examples a step
    epochs: PositiveInt = 1  # passes over the corpus
    learning_rate: PositiveFloat = 0.02  # of Muon, for the matrices inside the blocks
    adam_learning_rate: PositiveFloat = 0.002  # of AdamW, for embedding, norms and biases
    weight_decay: NonNegativeFloat = 0.0  # of the matrices
    warmup_steps: NonNegativeInt = 200  # linear from 0
    decay_fraction: float = Field(0.5, ge=0, le=1)  # last share of the steps: the rate falls to 0
    clip_norm: PositiveFloat = 1.0  # largest gradient norm
    plan_weight: PositiveFloat = 1.0  # loss weight of a plan token; a trace token has 1
    mean_over: PositiveInt | None = None  # examples whose tokens share one mean; all of a step
    gap: Literal[tuple(GAPS)] = "none"  # positions left out before a response (`layouts`)
    prompts: Literal[tuple(PROMPTS)] = "as_is"  # what is done to prompts (`layouts`)
    snapshots: PositiveInt = 8  # points of the run at which weights are kept for a learning curve
    checkpoint_every: PositiveInt = 500  # steps
    log_every: PositiveInt = 20  # steps
    micro_batch_tokens: PositiveInt | None = None  # a step in parts of so many, to save memory
    compiled: bool = True  # by torch.compile, where that works; a minute that long runs earn back

    no_effect: ClassVar = {"snapshots", "checkpoint_every", "log_every", "compiled"}  # on weights

    def effective(self) -> dict:
        """The settings that the weights follow from."""
        return self.model_dump(exclude=self.no_effect)


class TrainingError(RuntimeError):
    """A training that cannot go on; the message says where and why."""


class Likelihood:
    """The objective of the study: weighted cross entropy of the response tokens.

    Args:
        model: what learns; its parameters get the gradients.
        settings: weight of plan tokens, size of micro-batches.
        compiled: whether to go through torch.compile.
    """

    def __init__(self, model: Transformer, settings: TrainingConfig, compiled: bool):
        self.settings = settings
        self.device = model.embedding.weight.device
        self._loss = compiled_loss(model) if compiled else model.loss

    def __call__(self, batch: Batch) -> Callable[[], dict]:
        """Adds the gradients of one batch; what is returned gives the numbers to log."""
        losses, each = [], []
        weights = token_weights(batch, self.settings.plan_weight, self.settings.mean_over)
        for part in micro_batches(batch, self.settings.micro_batch_tokens):
            of_part, weights = np.split(weights, [len(part.targets)])
            tensors = to_tensors(part, of_part, self.device)
            with autocast(self.device):
                loss, each_of_part = self._loss(*tensors)
            loss.backward()
            losses.append(loss.detach())
            each.append(each_of_part[:len(part.targets)])

        def numbers() -> dict:
            of_each = torch.cat(each).float().cpu().numpy()
            trace = of_each[~batch.in_plan]
            return {"loss": float(sum(losses)), "plan_loss": float(of_each[batch.in_plan].mean()),
                    "trace_loss": float(trace.mean()) if len(trace) else None}

        return numbers


class Trainer:
    """Trains one model, in a folder of its own.

    The folder gets ``metrics.jsonl`` (a line every few steps), ``checkpoint.safetensors`` (the
    latest state), ``snapshots/`` (weights at some points of the run), at the end
    ``model.safetensors`` (weights).

    Args:
        batches: what to learn from, a batch a step.
        model, training: the settings.
        seed: of the weights.
        follows_from: what else the weights follow from (condition, corpus, …), as JSON holds
            it; a checkpoint that says otherwise is refused.
        folder: where the run lives.
        title: of its progress bar.
        device: ``cpu`` or ``cuda``.
        compiled: overrides the setting of that name.
        objective: makes the gradients of a batch and gives numbers to log, ``loss`` among
            them; `Likelihood` if not given.
    """

    def __init__(self, batches: Sequence[Batch], model: ModelConfig, training: TrainingConfig, *,
                 seed: int, follows_from: dict, folder: str | Path, title: str = "training",
                 device: str = "cpu", compiled: bool | None = None,
                 objective: Callable[[Transformer, TrainingConfig, bool], Callable] = Likelihood):
        if batches.longest > model.context:
            raise ValueError(f"context: got {model.context}, takes at least the {batches.longest} "
                             "tokens that the longest training example feeds in")
        self.batches, self.settings = batches, training
        self.seed, self.folder, self.title = seed, Path(folder), title
        self.follows_from = json.loads(json.dumps(
            {"seed": seed, "model": model.shape(), "training": training.effective(),
             **follows_from}))
        self.model = Transformer(model, seed).to(torch.device(device))
        self.optimizers = make_optimizers(self.model, training)
        self.steps = len(batches)
        self.step = self.tokens = self.response_tokens = 0
        self.seconds = 0.0
        self.compiled = (training.compiled and can_compile(self.model.embedding.weight.device.type)
                         if compiled is None else compiled)
        self.objective = objective(self.model, training, self.compiled)
        self._finite: tuple[int, float] | None = None  # the last loss logged: step, value
        self.folder.mkdir(parents=True, exist_ok=True)
        self.checkpoint = self.folder / "checkpoint.safetensors"
        self.metrics = self.folder / "metrics.jsonl"

    def run(self, stop_after: int | None = None) -> Transformer:
        """Trains to the end, or for ``stop_after`` more steps, from the last checkpoint on.

        Raises:
            CheckpointError: the checkpoint there belongs to another training.
            TrainingError: loss, gradient or a weight is no longer a finite number.
        """
        if self.step == 0:
            self.metrics.touch()
            if self.checkpoint.exists():
                self.resume()
            else:
                self.metrics.write_text("")
        last = self.steps if stop_after is None else min(self.steps, self.step + stop_after)
        marks = self.snapshot_steps()
        began = time.perf_counter() - self.seconds
        with bar(self.steps, self.title, "step", self.step, compiles=self.compiled) as progress:
            while self.step < last:
                row = self._train_step(self.batches[self.step])
                self.seconds = time.perf_counter() - began
                if row:
                    shown = "plan_loss" if "plan_loss" in row else "loss"
                    text = f"{shown.replace('_', ' ')} {row[shown]:.3f}"
                    progress.set_postfix_str(text, refresh=False)
                    self._log(row)
                progress.update()
                if self.step in marks:
                    self._snapshot()
                if self.step % self.settings.checkpoint_every == 0 or self.step == last:
                    self.save()
        if self.step == self.steps:
            write_checkpoint(self.folder / "model.safetensors", self._about(), self._weights())
        return self.model

    def _train_step(self, batch: Batch) -> dict:
        """One update; returns the numbers to log, none at a step between two log lines."""
        for optimizer, peak in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = peak * rate(self.step, self.steps, self.settings)
        numbers = self.objective(batch)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip_norm)
        if not torch.isfinite(norm):  # as it is not either if the loss or a weight is not
            loss = numbers()["loss"]
            what = f"loss became {loss}" if not math.isfinite(loss) else (
                f"gradient norm became {float(norm)}")
            raise TrainingError(self._broken(what, self.step + 1))
        for optimizer, _ in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self.step += 1
        self.tokens += len(batch.tokens)
        self.response_tokens += len(batch.targets)
        if self.step % self.settings.log_every and self.step not in (1, self.steps):
            return {}
        row = numbers() | {"gradient_norm": float(norm)}
        self._finite = self.step, row["loss"]
        return row

    def _broken(self, what: str, step: int) -> str:
        """Says which training went wrong, where, and what was last right."""
        before = "; no loss was logged before" if self._finite is None else (
            f"; the last loss logged was {self._finite[1]:.4f} at step {self._finite[0]}")
        return f"{self.title}: {what} at step {step}{before}; takes lower learning rates"

    def snapshot_steps(self) -> set[int]:
        """The steps after which weights are kept; the last step is the model itself."""
        points = self.settings.snapshots
        return {round(self.steps * (i + 1) / points) for i in range(points)} - {0, self.steps}

    def _snapshot(self) -> None:
        folder = self.folder / "snapshots"
        folder.mkdir(exist_ok=True)
        write_checkpoint(folder / f"{self.step:08}.safetensors", self._about(), self._weights())

    def _log(self, row: dict) -> None:
        with naming(self.metrics), open(self.metrics, "a", encoding="utf-8") as file:
            seconds = {"seconds": round(self.seconds, 2)}
            file.write(json.dumps(self._counters() | seconds | row) + "\n")

    def _counters(self) -> dict:
        return {"step": self.step, "examples": self.step * self.settings.batch_size,
                "tokens": self.tokens, "response_tokens": self.response_tokens}

    # ── checkpoints ──

    def _about(self) -> dict:
        """What a checkpoint says of itself."""
        return {"follows_from": self.follows_from, "counters": self._counters(),
                "context": self.model.config.context, "circumstances": self.circumstances()}

    def circumstances(self) -> dict:
        """What changes how numbers are rounded, and no setting of the study."""
        return {"compiled": self.compiled, "threads": torch.get_num_threads(),
                "torch": torch.__version__}

    def save(self) -> None:
        """Writes weights, optimiser state and counters."""
        tensors = self._weights()
        for i, (optimizer, _) in enumerate(self.optimizers):
            for j, state in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer.{i}.{j}.{name}": torch.as_tensor(value)
                            for name, value in state.items()}
        # the time alone differs between equal trainings, so only a checkpoint has it
        write_checkpoint(self.checkpoint, self._about() | {"seconds": self.seconds}, tensors)

    def _weights(self) -> dict[str, torch.Tensor]:
        """The weights to write: an update may have broken them that no loss has seen yet."""
        weights = self.model.state_dict()
        for name, value in weights.items():
            if not torch.isfinite(value).all():
                raise TrainingError(self._broken(f"weights of {name} became infinite", self.step))
        return {f"model.{name}": value for name, value in weights.items()}

    def resume(self) -> None:
        """Goes back to the state of the checkpoint.

        Raises:
            CheckpointError: it is unreadable, or belongs to a run with other settings.
        """
        about, tensors = read_checkpoint(self.checkpoint)
        for name, theirs, ours in differences(about["follows_from"], self.follows_from):
            raise CheckpointError(f"checkpoint {self.checkpoint}: was written with {name} "
                                  f"{theirs}, this run has {ours}; takes the same, "
                                  "or another folder")
        self.model.load_state_dict(under("model.", tensors))
        for i, (optimizer, _) in enumerate(self.optimizers):
            state: dict[int, dict] = {}
            for name, value in under(f"optimizer.{i}.", tensors).items():
                index, key = name.split(".", 1)
                state.setdefault(int(index), {})[key] = value
            optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
        for name in ("step", "tokens", "response_tokens"):
            setattr(self, name, about["counters"][name])
        self.seconds = about["seconds"]
        # whole lines only: a crash or a full disk may have torn the last one
        lines = self.metrics.read_text(encoding="utf-8").split("\n")[:-1]
        lines = [line for line in lines if json.loads(line)["step"] <= self.step]
        with atomic(self.metrics, "w") as file:
            file.writelines(line + "\n" for line in lines)
        if lines:
            last = json.loads(lines[-1])
            self._finite = last["step"], last["loss"]


# ── the pieces of a step ────────────────────────────────────────────────────────────────


def make_optimizers(model: Transformer, settings: TrainingConfig) -> list[tuple]:
    """Muon (Jordan et al. 2024) for the matrices inside the blocks, AdamW for the rest.

    Returns:
        Pairs of optimiser and peak learning rate.
    """
    inside = [p for name, p in model.named_parameters() if p.dim() == 2 and "embedding" not in name]
    rest = [p for name, p in model.named_parameters() if p.dim() != 2 or "embedding" in name]
    emulated = inside[0].device.type == "cpu" and not has_bfloat16()
    dtype = torch.float32 if emulated else torch.bfloat16
    return [(Muon(inside, weight_decay=settings.weight_decay, dtype=dtype), settings.learning_rate),
            (torch.optim.AdamW(rest, weight_decay=0.0, betas=(0.9, 0.95), fused=True),
             settings.adam_learning_rate)]


def rate(step: int, steps: int, settings: TrainingConfig) -> float:
    """Share of the peak learning rate at a step: linear warm-up, constant, linear decay to 0."""
    warmup = (step + 1) / max(1, settings.warmup_steps)
    decay = (steps - step) / max(1, steps * settings.decay_fraction)
    return min(1.0, warmup, decay)


def compiled_loss(model: Transformer) -> Callable:
    """`Transformer.loss` through torch.compile, once for batches of any size."""
    if model.embedding.weight.device.type == "cpu":
        return compile_once(model.loss)
    # a large model's blocks are all the same: one of them is compiled, in seconds, not minutes
    for block in model.blocks:
        block.compile(dynamic=True)
    return model.loss


def micro_batches(batch: Batch, tokens: int | None) -> list[Batch]:
    """Cuts a batch between examples, into parts of at most so many inputs each.

    A part always has an example, however long; None cuts nothing.
    """
    if tokens is None or len(batch.tokens) <= tokens:
        return [batch]
    ends = np.cumsum(batch.lengths)
    parts, first, base = [], 0, 0
    while first < len(ends):
        last = max(first + 1, int(np.searchsorted(ends, base + tokens, "right")))
        end = int(ends[last - 1])
        a, b = np.searchsorted(batch.learn, [base, end])
        parts.append(Batch(batch.tokens[base:end], batch.positions[base:end],
                           batch.lengths[first:last], batch.learn[a:b] - base,
                           batch.targets[a:b], batch.in_plan[a:b]))
        first, base = last, end
    return parts


def token_weights(batch: Batch, plan_weight: float, mean_over: int | None = None) -> np.ndarray:
    """How much each target counts in the loss of a step, float32 [M], 1 in all.

    Args:
        plan_weight: of a plan's token, where a trace's has 1.
        mean_over: so many examples have one mean, the loss is the mean of these; one mean over
            all tokens of the step if None.
    """
    weights = np.where(batch.in_plan, plan_weight, 1.0)
    example = np.searchsorted(np.cumsum(batch.lengths), batch.learn, "right")
    group = example // (mean_over or len(batch.lengths))
    sums = np.bincount(group, weights)
    return (weights / sums[group] / len(sums)).astype(np.float32)


def to_tensors(batch: Batch, weights: np.ndarray, device: torch.device) -> tuple:
    """The arguments of `Transformer.loss` for a batch, or a part of one, and its tokens' weights.

    Sizes are rounded up to multiples of 256, since each new one costs a CPU's library of
    kernels time and memory; what fills them up weighs nothing.
    """
    packing = pack(batch.lengths, positions=batch.positions)
    n, m = len(packing.positions), round_up(len(batch.targets), 256)
    tokens, learn, targets, weights = (
        torch.from_numpy(np.pad(array, (0, size - len(array)), constant_values=filler)).to(device)
        for array, size, filler in ((batch.tokens, n, 0), (batch.learn, m, n - 1),
                                    (batch.targets, m, 0), (weights, m, 0)))
    return tokens, packing.to(device), learn, targets, weights


def autocast(device: torch.device):
    """bfloat16 matrix products where the hardware has them, float32 elsewhere."""
    if device.type == "cuda":
        return torch.autocast("cuda", torch.bfloat16)
    return torch.autocast("cpu", torch.bfloat16) if has_bfloat16() else nullcontext()


def has_bfloat16() -> bool:
    """Whether this processor multiplies matrices of bfloat16 in hardware."""
    features = torch.cpu.get_capabilities()
    return bool(features.get("avx512_bf16") or features.get("amx_bf16"))
