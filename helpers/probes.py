"""Linear probes: what can be read off by one direction a question.

A probe is a logistic regression: from features, such as a state of the residual stream, it says how
likely the answer to one yes-or-no question is yes. Here there is a question a cell. Features are
whitened first, so that nothing hangs on how a stream is scaled.

How well a probe ranks is AUROC: the chance that of two mazes, one with yes and one with no, it puts
the right one first. It is taken for each cell by itself, so that knowing which cells are mostly yes
counts for nothing, and averaged over cells. Intervals come from drawing grids as wholes.

Shapes: m mazes to fit on, n to be asked about, C features, T questions, B draws.
"""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numba import njit
from torch import Tensor

PENALTY = 10.0  # half of it times the squared weights is added to the summed loss
STEPS = 25  # of L-BFGS
FLAT = 1e-5  # directions with less than this share of the largest variance are left out
LEAST = 5  # mazes of either kind, below which a cell is not scored
DRAWS = 200  # of grids


# ── fitting ─────────────────────────────────────────────────────────────────────────────


def probed(fitted_on: Tensor, labels: np.ndarray, asked: Tensor) -> np.ndarray:
    """The scores of probes that are fitted on some mazes, for others.

    Args:
        fitted_on: float32 [m, C]. labels: bool [m, T]. asked: float32 [n, C].

    Returns:
        float32 [n, T], log-odds.
    """
    x, asked = whitened(fitted_on, asked)
    y = torch.from_numpy(labels).float()
    weights = torch.zeros(x.shape[1], y.shape[1], requires_grad=True)  # the last for the constant
    optimizer = torch.optim.LBFGS([weights], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        logits = x @ weights
        value = ((F.softplus(logits) - y * logits).sum()
                 + PENALTY / 2 * weights[:-1].square().sum())
        value.backward()
        return value

    optimizer.step(loss)
    return (asked @ weights.detach()).numpy()


def whitened(fitted_on: Tensor, asked: Tensor) -> tuple[Tensor, Tensor]:
    """Features turned and scaled so that those fitted on have unit covariance, and a constant.

    Args:
        fitted_on: float32 [m, C]. asked: float32 [n, C].

    Returns:
        float32 [m, K + 1] and [n, K + 1]; K directions that are not flat, none where all are.
    """
    mean = fitted_on.double().mean(0)
    variances, directions = torch.linalg.eigh(torch.cov((fitted_on.double() - mean).T))
    kept = variances > max(FLAT * float(variances[-1]), 1e-12)
    turn = directions[:, kept] * variances[kept] ** -0.5
    return tuple(torch.cat([((x.double() - mean) @ turn).float(), torch.ones(len(x), 1)], 1)
                 for x in (fitted_on, asked))


# ── scoring ─────────────────────────────────────────────────────────────────────────────


class Score(NamedTuple):
    """AUROC averaged over cells, with its 95 % interval; nan where no cell could be scored."""

    auroc: float
    low: float
    high: float
    cells: int  # that have enough mazes of either kind


def score(draws: np.ndarray, cells: int) -> Score:
    """The score that draws give (float64 [1 + B], see `aurocs`)."""
    low, high = np.nanpercentile(draws[1:], [2.5, 97.5]) if cells else (np.nan, np.nan)
    return Score(float(draws[0]), float(low), float(high), cells)


def scored(labels: np.ndarray) -> np.ndarray:
    """The questions with enough mazes of either kind, int64; labels are bool [n, T]."""
    yes = labels.sum(0)
    return np.flatnonzero((yes >= LEAST) & (yes <= len(labels) - LEAST))


def aurocs(scores: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """AUROC averaged over the questions of `scored`, once a draw.

    Args:
        scores: float32 [n, T]. labels: bool [n, T].
        counts: int64 [1 + B, n], how often each maze counts (`drawn`).

    Returns:
        float64 [1 + B]; nan where there is none.
    """
    total, known = np.zeros(len(counts)), np.zeros(len(counts))
    for question in scored(labels):
        found = _aurocs(scores[:, question], labels[:, question], counts)
        known += np.isfinite(found)
        total += np.nan_to_num(found)
    return np.divide(total, known, out=np.full(len(counts), np.nan), where=known > 0)


@njit(cache=True)
def _aurocs(scores, labels, counts):
    order = np.argsort(scores)
    out = np.full(len(counts), np.nan)
    for b in range(len(counts)):
        no, yes, right, i = 0, 0, 0.0, 0
        while i < len(order):
            tied, tied_no, tied_yes = scores[order[i]], 0, 0
            while i < len(order) and scores[order[i]] == tied:
                if labels[order[i]]:
                    tied_yes += counts[b, order[i]]
                else:
                    tied_no += counts[b, order[i]]
                i += 1
            right += tied_yes * (no + tied_no / 2)
            no += tied_no
            yes += tied_yes
        if no and yes:
            out[b] = right / (no * yes)
    return out


def drawn(grids: np.ndarray, seed: int = 0) -> np.ndarray:
    """How often each maze counts: once, then as its grid is drawn with replacement.

    Args:
        grids: the number of each maze's grid, int [n].

    Returns:
        int64 [1 + B, n].
    """
    kinds, number = np.unique(grids, return_inverse=True)
    rng = np.random.default_rng([seed, 0xB0])
    times = rng.multinomial(len(kinds), np.full(len(kinds), 1 / len(kinds)), DRAWS)
    return np.concatenate([np.ones((1, len(grids)), np.int64), times[:, number]])
