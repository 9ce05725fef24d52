"""Several processes at one work: which of them this is, sums over all, how they begin and end.

A process that has joined no others is the first of one, and every sum is its own: so work is
written once, for any number. Gradients of shares of a batch are *added*, since the loss gives
each token its weight in the whole batch: nothing is averaged by process, and shares may be of
any size. Each process has the whole model and the whole state of the optimiser.

Processes are started here, side by side on one machine (`launch`), or by ``torchrun``, on
several; either way ``torch.distributed`` connects them, by gloo on CPUs and NCCL on GPUs.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from helpers.engine.files import PROJECT
from helpers.engine.processes import guarded

LOST = 75  # exit status of a process that could not go on without another (EX_TEMPFAIL)
LAUNCHED = "STUDY_LAUNCHED"  # environment variable: `launch` says what went wrong, nobody else
GRACE = 5  # seconds in which the others may end by themselves


class TogetherError(RuntimeError):
    """Processes that cannot work together; the message says why."""


class LostError(TogetherError):
    """Another process has ended, or does not answer."""


def rank() -> int:
    """Which process this is, from 0 on. The first writes files and says how far it is."""
    return dist.get_rank() if _several() else 0


def size() -> int:
    """How many processes there are."""
    return dist.get_world_size() if _several() else 1


def _several() -> bool:
    return dist.is_available() and dist.is_initialized()


# ── what they do together ───────────────────────────────────────────────────────────────


def add(x: Tensor) -> Tensor:
    """Sums a tensor over all processes, in place; all get the same bits.

    Raises:
        LostError: one of them has ended.
    """
    return _reduced(x, dist.ReduceOp.SUM) if size() > 1 else x


def add_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Sums the gradients of parameters over all processes, in one message."""
    if size() > 1:
        gradients = [p.grad for p in parameters if p.grad is not None]
        total = add(torch.cat([gradient.reshape(-1) for gradient in gradients]))
        for gradient, part in zip(gradients, total.split([g.numel() for g in gradients]),
                                  strict=True):
            gradient.copy_(part.view_as(gradient))


def agree(*numbers: float) -> bool:
    """Whether all processes have the same numbers."""
    if size() == 1:
        return True
    here = torch.tensor([*numbers, *(-number for number in numbers)], dtype=torch.float64)
    most, least = _reduced(here, dist.ReduceOp.MAX).chunk(2)
    return torch.equal(most, -least)


def wait() -> None:
    """Until all processes are here."""
    add(torch.zeros(1))


def _reduced(x: Tensor, operation) -> Tensor:
    try:
        dist.all_reduce(x, operation)
    except RuntimeError as error:
        raise LostError(f"another process has ended ({str(error).splitlines()[0]})") from None
    return x


def share(n: int) -> slice:
    """The part of n things that this process takes; the parts of all follow one another."""
    return slice(rank() * n // size(), (rank() + 1) * n // size())


def joined(parts: list[np.ndarray], n: int) -> list[np.ndarray]:
    """The n arrays of all processes, in order, of which each has its `share`.

    Args:
        parts: uint16 arrays of any length.
    """
    if size() == 1:
        return parts
    mine, lengths = share(n), torch.zeros(n, dtype=torch.int64)
    lengths[mine] = torch.tensor([len(part) for part in parts], dtype=torch.int64)
    ends = np.append(0, add(lengths).cumsum(0))
    values = torch.zeros(ends[-1], dtype=torch.int64)
    own = np.concatenate([np.zeros(0, np.int64), *parts])
    values[ends[mine.start]:ends[mine.stop]] = torch.from_numpy(own)
    return np.split(add(values).numpy().astype(np.uint16), ends[1:-1])


# ── how they begin and end ──────────────────────────────────────────────────────────────


@contextmanager
def together() -> Iterator[None]:
    """Joins the other processes, if the environment (of `launch` or torchrun) says that there are.

    Raises:
        TogetherError: they cannot be reached, or there is no GPU for this one.
    """
    if _several() or int(os.environ.get("WORLD_SIZE", 1)) == 1:  # joined already, or alone
        yield
        return
    gpus, here = torch.cuda.device_count(), int(os.environ.get("LOCAL_RANK", 0))
    if gpus:
        if here >= gpus:
            raise TogetherError(f"processes: got number {here + 1} on a machine of {gpus} GPUs, "
                                "takes one a GPU")
        torch.cuda.set_device(here)
    try:
        dist.init_process_group("cpu:gloo,cuda:nccl" if gpus else "gloo")
    except (RuntimeError, ValueError) as error:
        raise TogetherError(f"processes: cannot join the others ({str(error).splitlines()[0]})"
                            ) from None
    try:
        yield
    finally:
        dist.destroy_process_group()


@contextmanager
def meeting() -> Iterator[Callable[[int, int], dict[str, str]]]:
    """A place on this machine where processes find each other.

    Yields:
        A function of a process's number and how many there are, to what its environment says.
    """
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    yield lambda number, count: {
        "RANK": str(number), "LOCAL_RANK": str(number), "WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",  # the store is ours, none of theirs starts one
        "TORCH_CPP_LOG_LEVEL": "ERROR",
        **({"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {})}


def launch(command: list[str], count: int, cores: int) -> tuple[int, str]:
    """Runs a command in several processes on this machine; when one fails, all end.

    Args:
        command: what each runs, as arguments of ``python -m``; it calls `together`.
        count: how many.
        cores: of the machine, shared out as threads unless OMP_NUM_THREADS says otherwise.

    Returns:
        The exit status, and what there is to say of it that the first process has not said.
    """
    threads = {"OMP_NUM_THREADS": str(max(1, cores // count))} | dict(os.environ)
    paths = [str(PROJECT), *filter(None, [os.environ.get("PYTHONPATH")])]
    usual = threads | {"PYTHONPATH": os.pathsep.join(paths), LAUNCHED: "1"}
    with TemporaryDirectory() as folder, meeting() as place, ExitStack() as stack:
        said = [Path(folder, f"{number}.log") for number in range(count)]
        running = []
        for number in range(count):
            # the first speaks for all; what another says matters if it alone fails
            quiet = {} if number == 0 else {"stdout": subprocess.DEVNULL,
                                            "stderr": stack.enter_context(said[number].open("w"))}
            running.append(stack.enter_context(guarded(
                [sys.executable, "-m", *command], env=usual | place(number, count), **quiet)))
        ended = _ended(running)
        if not any(ended):
            return 0, ""
        number = next((i for i, status in enumerate(ended) if status not in (0, None, LOST)), 0)
        if number == 0 and ended[0] in (1, 2):
            return ended[0], ""
        how = f"exit status {ended[number]}" if (ended[number] or 0) >= 0 else (
            f"killed by {signal.Signals(-ended[number]).name}")
        lines = said[number].read_text(errors="replace").split("\n") if number else []
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return 1, f"process {number + 1} of {count} ended ({how}{': ' * bool(last)}{last})"


def _ended(running: list[subprocess.Popen]) -> list[int | None]:
    """The exit statuses once all have ended, or some time after one has failed."""
    until = None
    while True:
        statuses = [process.poll() for process in running]
        if None not in statuses or (until and time.monotonic() > until):
            return statuses
        if any(statuses) and not until:
            until = time.monotonic() + GRACE
        time.sleep(0.1)
