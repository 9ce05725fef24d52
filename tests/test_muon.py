"""Muon against PyTorch's own, and against the published iteration written out."""

import numpy as np
import pytest
import torch

from helpers.engine.muon import Muon, orthogonal

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPES = [(24, 16), (16, 24), (24, 16), (16, 16), (24, 16), (5, 40)]
DECAY = 0.3


def matrices(seed: int, count: int = 1) -> list[list[torch.Tensor]]:
    """``count`` times a matrix of each shape, entries of any size."""
    generator = torch.Generator().manual_seed(seed)
    return [[torch.randn(shape, generator=generator) * 10.0 ** (i - 2)
             for i, shape in enumerate(SHAPES)] for _ in range(count)]


def parameters(start: list[torch.Tensor]) -> list[torch.nn.Parameter]:
    return [torch.nn.Parameter(value.clone()) for value in start]


def after(optimizer, params, gradients, rates) -> list[torch.Tensor]:
    """The weights after one step with each of these gradients, and learning rates."""
    for gradient, rate in zip(gradients, rates, strict=True):
        for p, value in zip(params, gradient, strict=True):
            p.grad = value.clone()
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
    return [p.detach() for p in params]


def written_out(start, gradients, rates, *, momentum=0.95, decay=DECAY):
    """Jordan et al. 2024, matrix by matrix, in float64."""
    a, b, c = 3.4445, -4.7750, 2.0315
    found = []
    for i, weight in enumerate(start):
        w, mean = weight.double().numpy().copy(), 0.0
        for gradient, rate in zip(gradients, rates, strict=True):
            g = gradient[i].double().numpy()
            mean = momentum * mean + (1 - momentum) * g
            x = (1 - momentum) * g + momentum * mean
            x = x / np.linalg.norm(x)
            for _ in range(5):
                x = a * x + (b * (x @ x.T) + c * (x @ x.T) @ (x @ x.T)) @ x
            w = w - rate * decay * w - rate * max(1, w.shape[0] / w.shape[1]) ** 0.5 * x
        found.append(torch.from_numpy(w))
    return found


START, GRADIENTS, RATES = matrices(0)[0], matrices(1, 6), [0.02, 0.1, 0.05, 0.1, 0.02, 0.01]


def moved(values, start=START) -> list[torch.Tensor]:
    return [value.double() - begin.double() for value, begin in zip(values, start, strict=True)]


def distance(ours, theirs) -> float:
    """The largest difference of two ways gone, as a share of the way."""
    return max(float((a - b).norm() / b.norm()) for a, b in zip(moved(ours), moved(theirs),
                                                                 strict=True))


def ours(dtype=torch.float32, decay=DECAY, start=START, gradients=GRADIENTS):
    params = parameters(start)
    return after(Muon(params, weight_decay=decay, dtype=dtype), params, gradients, RATES)


def test_the_published_iteration():
    assert distance(ours(), written_out(START, GRADIENTS, RATES)) < 1e-4


@pytest.mark.parametrize("change", [{"momentum": 0.0}, {"momentum": 0.9}, {"decay": 0.0}])
def test_another_iteration_is_noticed(change):
    assert distance(ours(), written_out(START, GRADIENTS, RATES, **change)) > 0.05


def test_pytorchs_own():
    params = parameters(START)
    theirs = torch.optim.Muon(params, weight_decay=DECAY)  # whose products are in bfloat16
    theirs = after(theirs, params, GRADIENTS, RATES)
    assert distance(ours(torch.bfloat16), theirs) < 1e-2
    assert distance(ours(torch.float32), theirs) < 5e-2
    assert distance(ours(torch.bfloat16, decay=0.0), theirs) > 5e-2


def test_matrices_of_one_shape_are_as_if_each_were_alone():
    together = ours()
    for i, value in enumerate(together):
        alone = ours(start=START[i:i + 1], gradients=[[each[i]] for each in GRADIENTS])
        torch.testing.assert_close(alone[0], value, rtol=1e-5, atol=1e-6)


def test_a_matrix_without_a_gradient_stays():
    params = parameters(START)
    optimizer = Muon(params, lr=0.1, weight_decay=DECAY)
    for p, value in list(zip(params, GRADIENTS[0], strict=True))[1:]:
        p.grad = value.clone()
    optimizer.step()
    assert torch.equal(params[0], START[0])
    assert not any(torch.equal(p, start) for p, start in zip(params[1:], START[1:], strict=True))


def test_a_gradient_of_zeros():
    params = parameters(START)
    for p in params:
        p.grad = torch.zeros_like(p)
    Muon(params, lr=0.1).step()
    assert all(torch.equal(p, start) for p, start in zip(params, START, strict=True))


@pytest.mark.parametrize("shape", [(8, 8), (8, 30), (30, 8), (64, 64)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_orthogonal(shape, dtype):
    """Singular vectors stay, singular values come near 1."""
    x = torch.randn(10, *shape, generator=torch.Generator().manual_seed(4))
    left, values, right = torch.linalg.svd(x, full_matrices=False)
    y = orthogonal(x.to(dtype)).float()
    assert y.shape == x.shape
    inner = left.mT @ y @ right.mT
    found = inner.diagonal(dim1=1, dim2=2)
    large = values > values[:, :1] / 20  # the least may take more than five iterations
    assert ((found > 0.6) & (found < 1.3))[large].all()
    off = inner - torch.diag_embed(found)
    assert off.abs().max() < (1e-4 if dtype == torch.float32 else 0.1)
