"""torch.compile as this project uses it: once for all sizes, and for all processes."""

import re
import shutil
import sys
import sysconfig
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch

from helpers.engine import caches


@cache
def can_compile(device: str) -> bool:
    """Whether torch.compile works here, found out once by compiling something small.

    Without a C++ compiler or Python's headers it does not, and nothing need be said. Where
    they are there and it fails all the same (no OpenMP, a cache folder from which nothing may
    be loaded), one line on stderr says why. What a killed compiler has left in the cache is
    made anew.

    Args:
        device: ``cpu`` or ``cuda``, where what is compiled is to run.
    """
    headers = Path(sysconfig.get_paths()["include"], "Python.h").exists()
    if not headers or sys.platform == "win32" or not any(map(shutil.which, ("g++", "clang++"))):
        return False
    from torch._inductor import codecache  # seconds, only here
    cache_folder = Path(codecache.cache_dir())
    # left where they are, for all users of the machine, nobody would clear away broken ones
    codecache._HEADER_DIR = str(cache_folder / "precompiled_headers")
    codecache._HEADER_LOCK_DIR = str(cache_folder / "precompiled_headers" / "locks")
    caches.remove_broken_libraries(cache_folder)
    why = _try(device)
    if why and caches.torch_folder():  # a precompiled header cut off shows only when it is used
        shutil.rmtree(cache_folder, ignore_errors=True)
        torch._inductor.utils.clear_caches()
        codecache._precompile_header.cache_clear()
        why = _try(device)
    if why and sys.stderr:
        print(f"torch.compile does not work here, so this goes on uncompiled: {why}",
              file=sys.stderr, flush=True)
    return why is None


def _try(device: str) -> str | None:
    """Compiles and calls a small function; None, or what went wrong in one line."""

    def function(x):
        return (2 * x + 1).sum()

    try:
        numbers = torch.arange(64.0, device=device)
        found, right = compile_once(function)(numbers).item(), function(numbers).item()
        return None if found == right else f"got {found} for {right}"
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines()
                 if line.strip() and not line.endswith(" raised:")]  # torch's heading
        spoken = [line for line in lines if re.search(r"\berror: ", line)]  # the compiler's word
        return (spoken or lines or [type(error).__name__])[0]


def compile_once(function: Callable) -> Callable:
    """The function through torch.compile, once for tensors of any size."""
    _settle()
    return torch.compile(function, dynamic=True)


@cache
def _settle() -> None:
    """What PyTorch's compiler is told, once; its import takes seconds, so not earlier."""
    from torch._dynamo import config as tracing
    from torch._functorch import config as differentiating
    # sizes vary from batch to batch, floats are settings: tried as variables, they compile all
    # twice
    tracing.specialize_float = True
    # what is compiled stays on disk for the next training; PyTorch leaves out functions with a
    # gradient of their own (packing has one), although the code of both is in the key
    differentiating.autograd_cache_allow_custom_autograd_functions = True
