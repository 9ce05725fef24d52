"""What several test modules ask for."""

import pytest
import torch
from hypothesis import settings

# the first example of a test may have to wait for a kernel to be compiled
settings.register_profile("compiled", deadline=None)
settings.load_profile("compiled")


@pytest.fixture(scope="module")
def one_thread():
    """torch computes on one thread, in one order, whatever the machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
