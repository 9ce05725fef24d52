"""torch.compile as this project uses it: once for all sizes, and for all processes."""

import shutil
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import torch
from torch._dynamo import config as _tracing
from torch._functorch import config as _differentiating

# sizes vary from batch to batch, floats are settings: tried as variables, they compile all twice
_tracing.specialize_float = True
# what is compiled stays on disk for the next training; PyTorch leaves out functions with a
# gradient of their own (packing has one), although the code of both is in the key
_differentiating.autograd_cache_allow_custom_autograd_functions = True


def can_compile() -> bool:
    """Whether torch.compile finds what it needs: a C++ compiler and Python's headers."""
    headers = Path(sysconfig.get_paths()["include"], "Python.h").exists()
    return headers and sys.platform != "win32" and any(map(shutil.which, ("g++", "clang++")))


def compile_once(function: Callable) -> Callable:
    """The function through torch.compile, once for tensors of any size."""
    return torch.compile(function, dynamic=True)
