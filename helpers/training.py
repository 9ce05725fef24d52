"""One training run: the same settings for every condition, resumable to the bit.

Several processes may share it (`engine.together`): each has the whole model and its share of every
batch, the first writes all files. Sums of gradients are then rounded in another order, and nothing
else differs; a checkpoint of any number of processes is one for any other.

Nothing random happens while training but for the order of the examples, and that follows
from the seed and the step. A checkpoint is therefore weights, optimiser state and a step
count; a run killed at any step and started again ends in the same weights, bit for bit,
on the same machine.
"""

import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from helpers.architectures import build
from helpers.batches import Batch, micro_batches, shares
from helpers.checkpoints import (
    CheckpointError,
    differences,
    read_checkpoint,
    under,
    write_checkpoint,
)
from helpers.engine import together
from helpers.engine.compiling import can_compile, compile_once
from helpers.engine.files import atomic, naming
from helpers.engine.packing import pack, round_up
from helpers.engine.precision import autocast
from helpers.engine.progress import bar
from helpers.model import ModelConfig, Transformer
from helpers.optimisation import TrainingConfig, make_optimizers, rate


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
        self.settings, self.parameters = settings, list(model.parameters())
        self.device = model.embedding.weight.device
        self._loss = compiled_loss(model) if compiled else model.loss

    def __call__(self, batch: Batch) -> Callable[[], dict]:
        """Adds the gradients of one batch; what is returned gives the numbers to log.

        Each process takes its share of the examples. A token weighs as much as in one process.
        """
        losses, each = [], []
        weights = token_weights(batch, self.settings.plan_weight, self.settings.mean_over)
        parts, rank = shares(batch, together.size()), together.rank()
        share, first = parts[rank], sum(len(part.targets) for part in parts[:rank])
        weights = weights[first:]
        for part in micro_batches(share, self.settings.micro_batch_tokens):
            of_part, weights = np.split(weights, [len(part.targets)])
            tensors = to_tensors(part, of_part, self.device)
            with autocast(self.device):
                loss, each_of_part = self._loss(*tensors)
            loss.backward()
            losses.append(loss.detach())
            each.append(each_of_part[:len(part.targets)])
        together.add_gradients(self.parameters)

        def numbers() -> dict:
            of_all = torch.zeros(len(batch.targets))
            of_all[first:first + len(share.targets)] = torch.cat(each).float().cpu()
            of_each = together.add(of_all).numpy()
            trace = of_each[~batch.in_plan]
            return {"loss": float(together.add(sum(losses))),
                    "plan_loss": float(of_each[batch.in_plan].mean()),
                    "trace_loss": float(trace.mean()) if len(trace) else None}

        return numbers


class Trainer:
    """Trains one model, in a folder of its own, which all processes see.

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
        self.model = build(model, seed).to(torch.device(device))
        self.optimizers = make_optimizers(self.model, training)
        self.steps = len(batches)
        self.step = self.tokens = self.response_tokens = 0
        self.seconds = 0.0
        self.compiled = (training.compiled and can_compile(self.model.embedding.weight.device.type)
                         if compiled is None else compiled)
        self.objective = objective(self.model, training, self.compiled)
        self.first = together.rank() == 0  # of the processes: it writes
        self._finite: tuple[int, float] | None = None  # the last loss logged: step, value
        self.folder.mkdir(parents=True, exist_ok=True)
        self.checkpoint = self.folder / "checkpoint.safetensors"
        self.metrics = self.folder / "metrics.jsonl"

    def run(self, stop_after: int | None = None) -> Transformer:
        """Trains to the end, or for ``stop_after`` more steps, from the last checkpoint on.

        Raises:
            CheckpointError: the checkpoint there belongs to another training.
            TrainingError: loss, gradient or a weight is no longer a finite number, or processes
                differ in their weights.
            LostError: another process has ended.
        """
        if self.step == 0:
            if self.first:
                self.metrics.touch()
            if self.checkpoint.exists():
                self.resume()
            elif self.first:
                self.metrics.write_text("")
        self._compare()
        last = self.steps if stop_after is None else min(self.steps, self.step + stop_after)
        marks = self.snapshot_steps()
        began = time.perf_counter() - self.seconds
        with bar(self.steps, self.title, "step", self.step, compiles=self.compiled,
                 shown=self.first) as progress:
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
        if self.step == self.steps and self.first:
            write_checkpoint(self.folder / "model.safetensors", self._about(), self._weights())
        together.wait()
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
        if not self.first:
            return
        folder = self.folder / "snapshots"
        folder.mkdir(exist_ok=True)
        write_checkpoint(folder / f"{self.step:08}.safetensors", self._about(), self._weights())

    def _log(self, row: dict) -> None:
        if not self.first:
            return
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
        several = {"processes": together.size()} if together.size() > 1 else {}
        return {"compiled": self.compiled, "threads": torch.get_num_threads(),
                "torch": torch.__version__, **several}

    def save(self) -> None:
        """Writes weights, optimiser state and counters."""
        self._compare()
        tensors = self._weights()
        if not self.first:
            return
        for i, (optimizer, _) in enumerate(self.optimizers):
            for j, state in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer.{i}.{j}.{name}": torch.as_tensor(value)
                            for name, value in state.items()}
        # the time alone differs between equal trainings, so only a checkpoint has it
        write_checkpoint(self.checkpoint, self._about() | {"seconds": self.seconds}, tensors)

    def _compare(self) -> None:
        """Holds the processes to have the same weights after the same step."""
        if together.size() > 1 and not together.agree(
                self.step, *(p.detach().double().sum().item() for p in self.model.parameters())):
            raise TrainingError(f"{self.title}: processes differ in their weights at step "
                                f"{self.step}; takes machines of one kind, and a folder that all "
                                "of them see")

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
        if self.first:
            self._cut_metrics()

    def _cut_metrics(self) -> None:
        """Takes out of the log what came after the checkpoint."""
        # whole lines only: a crash or a full disk may have torn the last one
        lines = self.metrics.read_text(encoding="utf-8").split("\n")[:-1]
        lines = [line for line in lines if json.loads(line)["step"] <= self.step]
        with atomic(self.metrics, "w") as file:
            file.writelines(line + "\n" for line in lines)
        if lines:
            last = json.loads(lines[-1])
            self._finite = last["step"], last["loss"]


# ── the pieces of a step ────────────────────────────────────────────────────────────────


def compiled_loss(model: Transformer) -> Callable:
    """`Transformer.loss` through torch.compile, once for batches of any size."""
    if model.embedding.weight.device.type == "cpu":
        return compile_once(model.loss)
    # a large model's blocks are all the same: one of them is compiled, in seconds, not minutes
    for block in model.blocks:
        block.compile(dynamic=True)
    return model.loss


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
