"""Which weights a training has changed, how many, and of what rank the change is.

A model begins to go on from weights rounded to bfloat16 (`checkpoints.load_model`) and learns in
float32. A published model is rounded again, and whatever change is too small for that is gone: a
weight w then moves only if it changes by about |w| / 512 or more. So how few weights a training
changes hangs on how one counts (`WAYS`).
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from helpers.checkpoints import read_checkpoint, rounded, under
from helpers.engine.registry import Registry

Weights = dict[str, Tensor]

# (weights before, after, float32) → which count as changed, bool
WAYS: dict[str, Callable[[Tensor, Tensor], Tensor]] = Registry({
    "at_all": lambda before, after: before != after,
    "above_1e-5": lambda before, after: (after - before).abs() > 1e-5,
    "in_bfloat16": lambda before, after: before.bfloat16() != after.bfloat16(),
    "above_1_percent": lambda before, after: (after - before).abs() > 0.01 * before.abs(),
})


def read_weights(path: str | Path, as_published: bool = False) -> Weights:
    """The weights of a checkpoint in float32, as they were saved or as they are published.

    Raises:
        CheckpointError: as `read_checkpoint`.
    """
    weights = under("model.", read_checkpoint(path)[1])
    weights = rounded(weights) if as_published else weights
    return {name: value.float() for name, value in weights.items()}


def changed(before: Weights, after: Weights, way: str) -> Weights:
    """Which entries count as changed, bool, one of `WAYS`."""
    return {name: WAYS[way](before[name], after[name]) for name in before}


def random_signs(before: Weights, after: Weights, seed: int) -> Weights:
    """Weights as far from those before as those after, each in a random direction."""
    generator = torch.Generator().manual_seed(seed)
    return {name: value + (after[name] - value) * (
        2.0 * torch.randint(2, value.shape, generator=generator) - 1)
        for name, value in before.items()}


def as_many_at_random(learns: Weights, seed: int) -> Weights:
    """As many entries of each parameter, drawn at random."""
    generator = torch.Generator().manual_seed(seed)
    return {name: value.flatten()[torch.randperm(value.numel(), generator=generator)
                                  ].view(value.shape) for name, value in learns.items()}


# ── tables ──────────────────────────────────────────────────────────────────────────────


def shares(before: Weights, after: Weights) -> pd.DataFrame:
    """How much of each parameter has changed, a row each, ``all`` last.

    Returns:
        ``weights``, ``entries``; the share changed by each of `WAYS`; ``mean_change`` and
        ``mean_weight``, of absolute values; and of matrices the ranks that `ranks` gives.
    """
    masks = {way: changed(before, after, way) for way in WAYS}
    rows = [{"weights": name, "entries": value.numel(),
             **{way: float(masks[way][name].float().mean()) for way in WAYS},
             "mean_change": float((after[name] - value).abs().mean()),
             "mean_weight": float(value.abs().mean()), **ranks(after[name] - value)}
            for name, value in before.items()]
    table = pd.DataFrame(rows)
    means = [*WAYS, "mean_change", "mean_weight"]
    whole = table[means].mul(table["entries"], axis=0).sum() / table["entries"].sum()
    last = {"weights": "all", "entries": table["entries"].sum(), **whole}
    return pd.concat([table, pd.DataFrame([last])], ignore_index=True)


def ranks(change: Tensor) -> dict:
    """Of a matrix: its rank at most; its numerical rank; how many directions hold 99 % of it.

    The numerical rank counts singular values above the largest times max(rows, columns) times
    float32's epsilon; 99 % are of the sum of their squares. Nothing for what is no matrix.
    """
    if change.dim() != 2:
        return {}
    values = torch.linalg.svdvals(change.double()).numpy()
    least = values.max() * max(change.shape) * np.finfo(np.float32).eps
    energy = np.cumsum(values**2)
    return {"full_rank": min(change.shape), "rank": int((values > least).sum()),
            "rank_99": int(np.searchsorted(energy, 0.99 * energy[-1]) + 1) if energy[-1] else 0}


def overlaps(a: Weights, b: Weights) -> pd.DataFrame:
    """How much of what one training changed another changed too, a row a parameter, ``all`` last.

    Args:
        a, b: bool, as of `changed`.

    Returns:
        ``weights``, ``a`` and ``b`` (shares changed), ``of_a`` (share of a's entries that are b's
        too) and ``by_chance`` (what that would be if b had drawn as many of each parameter).
    """
    counts = pd.DataFrame(_counts(a, b), columns=["weights", "entries", "a", "b", "both", "chance"])
    whole = counts.drop(columns="weights").sum()
    counts = pd.concat([counts, pd.DataFrame([{"weights": "all", **whole}])], ignore_index=True)
    some = counts["a"].where(counts["a"] > 0)
    return pd.DataFrame({"weights": counts["weights"], "a": counts["a"] / counts["entries"],
                         "b": counts["b"] / counts["entries"], "of_a": counts["both"] / some,
                         "by_chance": counts["chance"] / some})


def _counts(a: Weights, b: Weights) -> Iterator[list]:
    for name, ours in a.items():
        mine, theirs = int(ours.sum()), int(b[name].sum())
        yield [name, ours.numel(), mine, theirs, int((ours & b[name]).sum()),
               mine * theirs / ours.numel()]


def distances(before: Weights, whole: Weights, part: Weights) -> dict:
    """How near a training of some weights comes to one of all, each as a change of those before.

    Returns:
        ``cosine`` of the two changes; ``distance`` between the weights over the length of the
        whole change; ``length``, that of the part's change over it.
    """
    first, second = (torch.cat([(after[name] - value).flatten().double()
                                for name, value in before.items()]) for after in (whole, part))
    length = first.norm()
    return {"cosine": float(torch.dot(first, second) / (length * second.norm())),
            "distance": float((first - second).norm() / length),
            "length": float(second.norm() / length)}
