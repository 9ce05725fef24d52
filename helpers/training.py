"""One training run: the same settings for every condition, resumable to the bit.

Nothing random happens while training but for the order of the examples, and that follows
from the seed and the step. A checkpoint is therefore weights, optimiser state and a step
count; a run killed at any step and started again ends in the same weights, bit for bit,
on the same machine.
"""

import json
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from itertools import islice
from pathlib import Path

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
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from helpers.corpus import CONDITIONS, PLAN, PROMPT, Batch, Corpus, batch_indices, make_batch
from helpers.engine.compiling import can_compile, compile_once
from helpers.engine.files import atomic, checksum
from helpers.engine.muon import Muon
from helpers.engine.packing import pack, round_up
from helpers.engine.progress import bar
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
    validations: PositiveInt = 8  # points of the run at which plans for held-out mazes are judged
    checkpoint_every: PositiveInt = 500  # steps
    log_every: PositiveInt = 20  # steps
    micro_batch_tokens: PositiveInt | None = None  # a step in parts of so many, to save memory
    compiled: bool = True  # by torch.compile, where that works; a minute that long runs earn back


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message names it and the cause."""


class Trainer:
    """Trains one model under one condition, in a folder of its own.

    The folder gets ``metrics.jsonl`` (a line every few steps, and one each validation),
    ``checkpoint.safetensors`` (the latest state), at the end ``model.safetensors`` (weights).

    Args:
        corpus: the training examples.
        condition: a name of `corpus.CONDITIONS`.
        model, training: the settings.
        seed: of weights and order.
        folder: where the run lives.
        validate: called with the model at the validation points, returns numbers to log.
        device: ``cpu`` or ``cuda``.
        compiled: overrides the setting of that name.
    """

    def __init__(self, corpus: Corpus, condition: str, model: ModelConfig,
                 training: TrainingConfig, *, seed: int, folder: str | Path,
                 validate: Callable[[Transformer], dict] | None = None,
                 device: str = "cpu", compiled: bool | None = None):
        if model.vocabulary != corpus.vocabulary.size:
            raise CheckpointError(f"model: has {model.vocabulary} tokens, the corpus of a "
                                  f"{corpus.recipe.rows}x{corpus.recipe.cols} grid "
                                  f"{corpus.vocabulary.size}; takes a corpus of its own scale")
        self.corpus, self.condition, self.settings = corpus, condition, training
        self.seed, self.folder, self.validate = seed, Path(folder), validate
        self.device = torch.device(device)
        self.model = Transformer(model, seed).to(self.device)
        self.optimizers = make_optimizers(self.model, training)
        self.steps = training.epochs * (len(corpus) // training.batch_size)
        if not self.steps:
            raise ValueError(f"batch_size: got {training.batch_size}, takes at most the "
                             f"{len(corpus)} examples of the corpus")
        traces = [len(CONDITIONS[condition](corpus, i)) for i in range(len(corpus))]
        longest = int((corpus.lengths()[:, [PROMPT, PLAN]].sum(1) + traces).max()) - 1
        if longest > model.context:
            raise ValueError(f"context: got {model.context}, takes at least the {longest} tokens "
                             "that the longest training example feeds in")
        self.step = self.tokens = self.response_tokens = 0
        self.seconds = 0.0
        self.compiled = training.compiled and can_compile() if compiled is None else compiled
        self._loss = compiled_loss(self.model) if self.compiled else self.model.loss
        self.folder.mkdir(parents=True, exist_ok=True)
        self.checkpoint = self.folder / "checkpoint.safetensors"
        self.metrics = self.folder / "metrics.jsonl"

    def run(self, stop_after: int | None = None) -> Transformer:
        """Trains to the end, or for ``stop_after`` more steps, from the last checkpoint on."""
        if self.step == 0:
            self.metrics.touch()
            if self.checkpoint.exists():
                self.resume()
            else:
                self.metrics.write_text("")
        last = self.steps if stop_after is None else min(self.steps, self.step + stop_after)
        order = islice(batch_indices(len(self.corpus), self.settings.batch_size,
                                     self.settings.epochs, self.seed), self.step, last)
        marks = self._validation_steps()
        began = time.perf_counter() - self.seconds
        title = f"training {self.condition} {self.seed}"
        with bar(self.steps, title, "step", self.step, compiles=self.compiled) as progress:
            for indices in order:
                row = self._train_step(make_batch(self.corpus, self.condition, indices))
                self.seconds = time.perf_counter() - began
                if row:
                    progress.set_postfix_str(f"plan loss {row['plan_loss']:.3f}", refresh=False)
                    self._log(row)
                progress.update()
                if self.step in marks and self.validate:
                    self._log({"validation": self.validate(self.model)})
                    self.seconds = time.perf_counter() - began
                if self.step % self.settings.checkpoint_every == 0 or self.step == last:
                    self.save()
        if self.step == self.steps:
            _write(self.folder / "model.safetensors", self._about(), self._weights())
        return self.model

    def _train_step(self, batch: Batch) -> dict:
        """One update; returns the numbers to log, none at a step between two log lines."""
        for optimizer, peak in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = peak * rate(self.step, self.steps, self.settings)
        losses, each = [], []
        for part in micro_batches(batch, self.settings.micro_batch_tokens):
            tensors = to_tensors(part, self.settings.plan_weight, self.device, whole=batch)
            with autocast(self.device):
                loss, each_of_part = self._loss(*tensors)
            loss.backward()
            losses.append(loss.detach())
            each.append(each_of_part[:len(part.targets)])
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip_norm)
        for optimizer, _ in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self.step += 1
        self.tokens += len(batch.tokens)
        self.response_tokens += len(batch.targets)
        if self.step % self.settings.log_every and self.step not in (1, self.steps):
            return {}
        each = torch.cat(each).float().cpu().numpy()
        trace = each[~batch.in_plan]
        return {"loss": float(sum(losses)), "plan_loss": float(each[batch.in_plan].mean()),
                "trace_loss": float(trace.mean()) if len(trace) else None,
                "gradient_norm": float(norm)}

    def _validation_steps(self) -> set[int]:
        points = self.settings.validations
        return {round(self.steps * (i + 1) / points) for i in range(points)}

    def _log(self, row: dict) -> None:
        place = {"step": self.step, "examples": self.step * self.settings.batch_size,
                 "tokens": self.tokens, "response_tokens": self.response_tokens,
                 "seconds": round(self.seconds, 2)}
        with open(self.metrics, "a", encoding="utf-8") as file:
            file.write(json.dumps(place | row) + "\n")

    # ── checkpoints ──

    def _about(self) -> dict:
        """What a checkpoint says of itself; the identity must agree with the run it goes on in."""
        identity = {"condition": self.condition, "seed": self.seed,
                    "model": asdict(self.model.config), "training": self.settings.model_dump(),
                    "corpus": {"examples": len(self.corpus), **asdict(self.corpus.recipe)}}
        return {"identity": identity, "counters": [self.step, self.tokens, self.response_tokens]}

    def save(self) -> None:
        """Writes weights, optimiser state and counters."""
        tensors = self._weights()
        for i, (optimizer, _) in enumerate(self.optimizers):
            for j, state in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer.{i}.{j}.{name}": torch.as_tensor(value)
                            for name, value in state.items()}
        _write(self.checkpoint, self._about() | {"seconds": self.seconds}, tensors)

    def _weights(self) -> dict[str, torch.Tensor]:
        return {f"model.{name}": value for name, value in self.model.state_dict().items()}

    def resume(self) -> None:
        """Goes back to the state of the checkpoint.

        Raises:
            CheckpointError: it is unreadable, or belongs to a run with other settings.
        """
        about, tensors = read_checkpoint(self.checkpoint)
        theirs, ours = about["identity"], json.loads(json.dumps(self._about()["identity"]))
        theirs, ours = _flat(theirs), _flat(ours)
        for name, value in ours.items():
            if theirs.get(name) != value:
                raise CheckpointError(f"checkpoint {self.checkpoint}: was written with {name} "
                                      f"{theirs.get(name)}, this run has {value}; takes the same, "
                                      "or another folder")
        self.model.load_state_dict(_under("model.", tensors))
        for i, (optimizer, _) in enumerate(self.optimizers):
            state: dict[int, dict] = {}
            for name, value in _under(f"optimizer.{i}.", tensors).items():
                index, key = name.split(".", 1)
                state.setdefault(int(index), {})[key] = value
            optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
        self.step, self.tokens, self.response_tokens = about["counters"]
        self.seconds = about["seconds"]
        # whole lines only: a crash or a full disk may have torn the last one
        lines = self.metrics.read_text(encoding="utf-8").split("\n")[:-1]
        with atomic(self.metrics, "w") as file:
            file.writelines(line + "\n" for line in lines
                            if json.loads(line)["step"] <= self.step)


def read_checkpoint(path: str | Path) -> tuple[dict, dict[str, torch.Tensor]]:
    """What a checkpoint says of itself (``identity``, ``counters``), and its tensors.

    Raises:
        CheckpointError: no file, or a truncated, changed or foreign one.
    """
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {})["training"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        expected = about["sha256"]
        del about["sha256"]
    except FileNotFoundError:
        raise CheckpointError(f"checkpoint {path}: there is no such file") from None
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"checkpoint {path}: unreadable or truncated ({error})") from None
    if expected != _checksum(about, tensors):
        raise CheckpointError(f"checkpoint {path}: its checksum does not match, its bytes have "
                              "changed")
    return about, tensors


def _write(path: Path, about: dict, tensors: dict[str, torch.Tensor]) -> None:
    """Writes a checkpoint, whole or not at all."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    about = json.loads(json.dumps(about))  # tuples as the lists they will be when read
    about["sha256"] = _checksum(about, tensors)
    with atomic(path) as temporary:  # one entry: safetensors puts several in any order
        save_file(tensors, temporary, {"training": json.dumps(about)})


def _checksum(about: dict, tensors: dict[str, torch.Tensor]) -> str:
    return checksum(about, {f"{name} {value.dtype} {tuple(value.shape)}":
                            value.reshape(-1).view(torch.uint8).numpy()
                            for name, value in tensors.items()})


def load_model(path: str | Path, corpus: Corpus | None = None, device: str = "cpu") -> Transformer:
    """The model of a checkpoint.

    Args:
        corpus: what it is to be used on, checked to be of its scale.

    Raises:
        CheckpointError: as `read_checkpoint`, or the corpus has another grid size.
    """
    about, tensors = read_checkpoint(path)
    trained_on = about["identity"]["corpus"]
    if corpus is not None:
        theirs, ours = ((r["rows"], r["cols"]) for r in (trained_on, asdict(corpus.recipe)))
        if theirs != ours:
            raise CheckpointError(f"corpus: got a {ours[0]}x{ours[1]} grid, checkpoint {path} "
                                  f"takes {theirs[0]}x{theirs[1]}")
    model = Transformer(ModelConfig(**about["identity"]["model"]))
    model.load_state_dict(_under("model.", tensors))
    return model.to(device)


def _flat(identity: dict) -> dict:
    """``{"model": {"width": 32}}`` as ``{"model width": 32}``."""
    return {f"{name} {key}".strip(): value for name, part in identity.items()
            for key, value in (part if isinstance(part, dict) else {"": part}).items()}


def _under(prefix: str, tensors: dict) -> dict:
    return {name[len(prefix):]: value for name, value in tensors.items() if name.startswith(prefix)}


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
        parts.append(Batch(batch.tokens[base:end], batch.lengths[first:last],
                           batch.learn[a:b] - base, batch.targets[a:b], batch.in_plan[a:b]))
        first, base = last, end
    return parts


def to_tensors(batch: Batch, plan_weight: float, device: torch.device,
               whole: Batch | None = None) -> tuple:
    """The arguments of `Transformer.loss`; weights sum to 1, over the whole of which it is a part.

    Sizes are rounded up to multiples of 256, since each new one costs a CPU's library of
    kernels time and memory; what fills them up weighs nothing.
    """
    packing = pack(batch.lengths)
    weights, total = (np.where(part.in_plan, plan_weight, 1.0).astype(np.float32)
                      for part in (batch, whole or batch))
    n, m = len(packing.positions), round_up(len(batch.targets), 256)
    tokens, learn, targets, weights = (
        torch.from_numpy(np.pad(array, (0, size - len(array)), constant_values=filler)).to(device)
        for array, size, filler in ((batch.tokens, n, 0), (batch.learn, m, n - 1),
                                    (batch.targets, m, 0), (weights / total.sum(), m, 0)))
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
