"""Muon: momentum whose matrices are brought near to orthogonal ones before each update.

Jordan et al. 2024 (https://kellerjordan.github.io/posts/muon/). The same update as
`torch.optim.Muon`, but all matrices of one shape go through the Newton–Schulz iteration
together, and in float32 where bfloat16 products are only emulated: there PyTorch's own
took three quarters of a training step.
"""

import torch
from torch import Tensor

COEFFICIENTS = 3.4445, -4.7750, 2.0315  # of the quintic iteration, steepest at 0
ITERATIONS = 5
MOMENTUM = 0.95


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum for matrices inside a network.

    Args:
        params: matrices, [out, in] each.
        lr: learning rate; a matrix with more rows than columns gets √(rows / columns) times that.
        weight_decay: share of the weights taken away at a step, times lr.
        dtype: of the iteration's products.
    """

    def __init__(self, params, lr: float = 0.02, weight_decay: float = 0.0,
                 dtype: torch.dtype = torch.float32):
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})
        self.dtype = dtype

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            lr, decay = group["lr"], 1 - group["lr"] * group["weight_decay"]
            for same in _by_shape([p for p in group["params"] if p.grad is not None]):
                rows, columns = same[0].shape
                updates = torch.stack([self._momentum(p) for p in same])
                updates = orthogonal(updates.to(self.dtype)).to(same[0].dtype)
                for p, update in zip(same, updates, strict=True):
                    p.mul_(decay).sub_(update, alpha=lr * max(1, rows / columns) ** 0.5)

    def _momentum(self, p: Tensor) -> Tensor:
        """Takes a gradient into its running mean; returns the Nesterov mix of both."""
        state = self.state[p]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(p)
        mean = state["momentum_buffer"].lerp_(p.grad, 1 - MOMENTUM)
        return p.grad.lerp(mean, MOMENTUM)


def orthogonal(x: Tensor) -> Tensor:
    """[n, a, b] → about the nearest matrices with orthonormal rows or columns.

    Singular values end up between about 0.7 and 1.2, which serves as well as 1.
    """
    if x.shape[1] > x.shape[2]:
        return orthogonal(x.mT).mT
    a, b, c = COEFFICIENTS
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


def _by_shape(params: list[Tensor]) -> list[list[Tensor]]:
    groups: dict[torch.Size, list[Tensor]] = {}
    for p in params:
        groups.setdefault(p.shape, []).append(p)
    return list(groups.values())
