"""What several test modules ask for."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings

# the first example of a test may have to wait for a kernel to be compiled, all for a busy machine
settings.register_profile("compiled", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("compiled")

# modules that take longest, longest first: at the end, one core would wait for the other
LONG = ("test_training", "test_recipes", "test_decoding", "test_steps", "test_position",
        "test_compiling", "test_notebooks", "test_cli", "test_equivalent", "test_study",
        "test_run_graph", "test_products", "test_loss_curve")


def pytest_collection_modifyitems(items):
    place = {name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONG)))


@pytest.fixture(scope="module")
def one_thread():
    """torch computes on one thread, in one order, whatever the machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def float32():
    """No products in bfloat16, whatever the machine: for tests that hold numbers to others."""
    with pytest.MonkeyPatch.context() as patch:
        # not `has_bfloat16`: which code a number follows from would be read with it away
        patch.setattr("torch.cpu.get_capabilities", dict)
        yield


@pytest.fixture(scope="module")
def alone(one_thread):
    """One thread and no folder for bars, whatever the machine and its settings."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PROGRESS_FOLDER", raising=False)
        yield


@pytest.fixture
def odd(monkeypatch):
    """Right is what begins with an odd word, so that an untrained model has spread."""
    def rewarded(mazes, answers, opening):
        rewards = np.array([float(ids[0] % 2) for ids in answers])
        return rewards, {"plan_valid": rewards.mean()}

    monkeypatch.setattr("helpers.grpo.rewarded", rewarded)
