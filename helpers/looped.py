"""A model that computes more without writing more: its blocks are gone through again and again.

Every loop goes through the same few blocks (one, usually), so a model of 16 loops computes as much
a token as one of 16 blocks and has the weights of one (Dehghani et al. 2018, Universal
Transformers). After each loop the next word could be read, and a *halting head* says how likely
this is late enough: λ. Read one after the other, a token stops at loop n with p(n) = λ(n) · Π (1 −
λ(i)), i < n; the last loop takes what is left (Banino et al. 2021, PonderNet). λ begins at σ(−3),
about 5 %: were it a half, early loops would be given nearly all weight, become as good as later
ones, and that would be that. An answer is read at the first loop with λ ≥ ½, or the last.

Learnt is every loop's prediction (*deep supervision*), half of the weight on all loops alike and
half where a token would stop: Σ ½ (1/N + p(n)) · CE(n). The head learns to tell, from what a token
is by then, whether the last loop is better by more than `PRICE` for each loop that is left, and
changes nothing else: p of itself has no gradient, for where λ is small it would have none either,
and a head that once waits for the last loop would wait for ever.

A token's later loops are computed even where it stops, since those behind it attend to them: loops
are what a model needs, not what it saves.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.engine.packing import Packing
from helpers.model import ModelConfig, Transformer

BIAS = -3.0  # of the halting head at first
PRICE = 1e-3  # of a loop, in nats a word
SHARE = 0.1  # of the head's loss: AdamW heeds no scale, but gradients are cut to one length


@dataclass(frozen=True)
class LoopedConfig(ModelConfig):
    """`ModelConfig`, of whose ``layers`` only the first ``layers / loops`` are different blocks."""

    loops: int = 1

    def __post_init__(self):
        super().__post_init__()
        if self.loops < 1 or self.layers % self.loops:
            raise ValueError(f"loops: got {self.loops}, takes a divisor of layers ({self.layers})")


class Repeated(nn.ModuleList):
    """Modules that are gone through several times; `children` has each once."""

    def __init__(self, modules: nn.ModuleList, times: int):
        super().__init__(modules)
        self.times = times

    def __iter__(self) -> Iterator[nn.Module]:
        for _ in range(self.times):
            yield from self.children()


class HaltingHead(nn.Module):
    """From what a token is after a loop to the logit of stopping there, the same for all at first.

    Its weight is no matrix: AdamW trains it, as it does norms and biases.
    """

    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width))
        self.bias = nn.Parameter(torch.full((1,), BIAS))

    def forward(self, states: Tensor) -> Tensor:
        """[…, C] → float32 […]."""
        return states.float() @ self.weight + self.bias


def stopping(logits: Tensor) -> Tensor:
    """How likely each loop is the last: logits of λ, [loops, M] → [loops, M], 1 over all loops."""
    goes_on = torch.cumprod(torch.sigmoid(-logits[:-1]), 0)
    reached = torch.cat([torch.ones_like(logits[:1]), goes_on])
    return torch.cat([reached[:-1] * torch.sigmoid(logits[:-1]), reached[-1:]])


class LoopedTransformer(Transformer):
    """The decoder with shared blocks; its weights at first are those of one with as many blocks.

    Attributes:
        halts: whether a word is read where its token stops, or after all loops.
    """

    def __init__(self, config: LoopedConfig, seed: int = 0):
        few = {**config.shape(), "layers": config.layers // config.loops}
        del few["loops"]
        super().__init__(ModelConfig(**few, context=config.context), seed)
        self.config, self.halts = config, True
        self.blocks = Repeated(self.blocks, config.loops)
        self.halting = HaltingHead(config.width)

    # ── a state for each loop ──

    def states(self, tokens: Tensor, packing: Packing, wanted: Tensor | None = None) -> Tensor:
        """As `hidden`, after each loop: [loops, N, C], or [loops, M, C]."""
        rope, x, found = self.rotary(packing.positions), self.embedding(tokens), []
        *blocks, last = self.blocks
        for block in blocks:
            x = block(x, rope, packing)
            found.append(x if wanted is None else x[wanted])
        return self._after_loops([*found, last(x, rope, packing, wanted)])

    def _after_loops(self, states: list[Tensor]) -> Tensor:
        """Of states after each block those after each loop, normalised."""
        every = self.config.layers // self.config.loops
        return self.norm(torch.stack(states[every - 1::every]))

    # ── where a token stops ──

    def stops(self, states: Tensor) -> Tensor:
        """At which loop each token stops, int64 [M], from 0: the first with λ ≥ ½, or the last.

        Args:
            states: [loops, M, C].
        """
        if not self.halts:
            return torch.full(states.shape[1:2], len(states) - 1, device=states.device)
        enough = self.halting(states) >= 0
        enough[-1] = True
        return enough.byte().argmax(0)

    def stopped(self, states: Tensor) -> Tensor:
        """States of all loops, [loops, M, C] → those at which tokens stop, [M, C]."""
        index = self.stops(states)[None, :, None].expand(1, -1, states.shape[-1])
        return states.gather(0, index).squeeze(0)

    # ── as of `Transformer` ──

    def hidden(self, tokens: Tensor, packing: Packing, wanted: Tensor | None = None) -> Tensor:
        return self.stopped(self.states(tokens, packing, wanted))

    def read(self, states: list[Tensor]) -> Tensor:
        return self.exact_logits(self.stopped(self._after_loops(states)))

    def loss(self, tokens: Tensor, packing: Packing, learn: Tensor, targets: Tensor,
             weights: Tensor) -> tuple[Tensor, Tensor]:
        """Of all loops, as the module says; the cross entropy given back is where tokens stop."""
        states = self.states(tokens, packing, learn)
        loops = len(states)
        logits = self.logits(states).float().flatten(0, 1)
        each = F.cross_entropy(logits, targets.repeat(loops), reduction="none").view(loops, -1)
        read = states.detach()
        late = self.halting(read)
        learnt = ((stopping(late).detach() + 1 / loops) / 2 * each).sum(0)
        cost = each.detach()
        left = torch.arange(loops - 1, 0, -1, device=cost.device)[:, None]
        enough = (cost[:-1] <= cost[-1] + PRICE * left).float()
        told = F.binary_cross_entropy_with_logits(late[:-1], enough, reduction="none").sum(0)
        there = cost.gather(0, self.stops(read)[None]).squeeze(0)
        return ((learnt + SHARE / loops * told) * weights).sum(), there


def after(model: LoopedTransformer, loops: int) -> LoopedTransformer:
    """A copy of a model that stops after so many loops, whatever the halting head says.

    Raises:
        ValueError: the model has no such loop.
    """
    config = model.config
    if isinstance(loops, bool) or not isinstance(loops, int) or not 1 <= loops <= config.loops:
        raise ValueError(f"loops: got {loops!r}, takes a whole number from 1 to {config.loops}, "
                         "the model's")
    layers = config.layers // config.loops * loops
    short = LoopedTransformer(replace(config, layers=layers, loops=loops))
    short.load_state_dict(model.state_dict())
    short.halts = False
    return short.to(model.embedding.weight.device)
