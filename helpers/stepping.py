"""How the steps of a decoder run: plainly, or on a GPU as CUDA graphs.

On a GPU a step is a few hundred small kernels, which take longer to launch than to run. So
it is captured once for each shape and replayed.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import TYPE_CHECKING

import torch
from torch import nn

from helpers.engine.compiling import can_compile, compile_once
from helpers.model import Transformer

if TYPE_CHECKING:
    from helpers.decoding import Rows


class Graphs:
    """`Rows.step` as CUDA graphs, one for each number of rows and length of attention.

    The first call of a shape runs plainly, which compiles and allocates what it needs; the
    second captures; that graph is replayed from then on.
    """

    def __init__(self, rows: Rows):
        self.rows = rows
        self.replays: dict[tuple[int, int], Callable | None] = {}
        self.pool = None

    def __call__(self, longest: int) -> None:
        shape = len(self.rows), longest
        if shape not in self.replays:
            self.rows.step(longest)
            self.replays[shape] = None
            return
        if self.replays[shape] is None:
            self.replays[shape] = self.capture(lambda: self.rows.step(longest))
        self.replays[shape]()

    def capture(self, work: Callable) -> Callable:
        """What does the work, on the same memory; capturing it does nothing."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self.pool):
            work()
        self.pool = graph.pool()  # one for all: no two run at a time
        return graph.replay


def stepper(rows: Rows) -> Callable[[int], None]:
    """`Rows.step`, by graphs where there are."""
    return Graphs(rows) if rows.alive.is_cuda else rows.step


def for_steps(model: Transformer) -> Transformer:
    """The model for many small steps: on a GPU with autocast a copy, its matrices in bfloat16.

    Autocast would convert them anew at every step that is replayed. The products are the same.
    """
    device = model.embedding.weight.device.type
    if device != "cuda":
        return model
    model = deepcopy(model)
    if torch.is_autocast_enabled(device):
        for module in model.modules():
            if isinstance(module, nn.Linear):
                module.to(torch.bfloat16)
    if can_compile(device):
        for block in model.blocks.children():  # they share what is compiled
            block.step = compile_once(block.step)
    return model
