"""Weights on disk: written whole or not at all, checked when read, never unpickled."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from helpers.architectures import build, configured
from helpers.corpus import Corpus
from helpers.engine.files import atomic, checksum
from helpers.model import Transformer


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message names it and the cause."""


def read_checkpoint(path: str | Path) -> tuple[dict, dict[str, torch.Tensor]]:
    """What a checkpoint says of itself (``follows_from``, ``counters``), and its tensors.

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


def write_checkpoint(path: Path, about: dict, tensors: dict[str, torch.Tensor]) -> None:
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


def load_model(path: str | Path, corpus: Corpus | None = None, device: str = "cpu",
               context: int | None = None) -> Transformer:
    """The model of a checkpoint, in float32, its weights rounded to bfloat16.

    So few bits fit into `results/`: what a model answers in a run, the published one answers.

    Args:
        corpus: what it is to be used on, checked to be of its grid size.
        context: its longest sequence, in tokens; as in training if None.

    Raises:
        CheckpointError: as `read_checkpoint`, or the corpus has another grid size.
    """
    about, tensors = read_checkpoint(path)
    trained_on = about["follows_from"]["corpus"]
    if corpus is not None:
        theirs, ours = ((r["rows"], r["cols"]) for r in (trained_on, asdict(corpus.recipe)))
        if theirs != ours:
            raise CheckpointError(f"corpus: got a {ours[0]}x{ours[1]} grid, checkpoint {path} "
                                  f"takes {theirs[0]}x{theirs[1]}")
    model = build(configured(about["follows_from"]["model"], context or about["context"]))
    model.load_state_dict(rounded(under("model.", tensors)))
    return model.to(device)


def rounded(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors in bfloat16, the precision in which models answer and are published."""
    return {name: value.bfloat16() for name, value in tensors.items()}


def differences(theirs: dict, ours: dict) -> Iterator[tuple[str, object, object]]:
    """The entries in which two nested descriptions differ: name, theirs, ours."""
    for name in dict.fromkeys([*theirs, *ours]):
        a, b = theirs.get(name), ours.get(name)
        if isinstance(a, dict) and isinstance(b, dict):
            yield from ((f"{name} {inner}", *values) for inner, *values in differences(a, b))
        elif a != b:
            yield name, a, b


def under(prefix: str, tensors: dict) -> dict:
    return {name[len(prefix):]: value for name, value in tensors.items() if name.startswith(prefix)}
