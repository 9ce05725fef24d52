"""What several test modules ask for."""

import pytest
import torch


@pytest.fixture(scope="module")
def one_thread():
    """torch computes on one thread, in one order, whatever the machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
