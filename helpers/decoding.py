"""Batched answers: greedy or sampled, with a key/value cache that is allocated once.

Prompts are taken in order of length. A batch is a number of rows; those whose answer has
ended are given to the next prompts, some at a time, and once none waits the other rows move
together. What a row writes does not depend on its company, and a draw follows from the seed,
the prompt's place in the list and the token's in the answer.

On a GPU a step is a few hundred small kernels, which take longer to launch than to run. So
it is captured once for each shape and replayed as a CUDA graph (`Graphs`), and the host looks
only now and then which rows have ended. Until then those write on, where nothing reads.
"""

from collections.abc import Callable
from contextlib import nullcontext
from copy import deepcopy
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from helpers.engine.compiling import can_compile, compile_once
from helpers.engine.packing import round_up
from helpers.engine.progress import bar
from helpers.language import END
from helpers.model import Cache, Transformer, prefill, step
from helpers.training import autocast

COLDEST = 1e-6  # temperature above 0


class Pace(NamedTuple):
    """When to do what is not done at every step."""

    look: int  # steps from one look at which rows have ended to the next
    reach: int  # attention reads so many positions, or a multiple: one graph for each
    refill: float  # share of ended rows that other prompts are given
    shrink: float  # share of ended rows without which the others go on


PACES = {"cpu": Pace(look=1, reach=64, refill=1 / 8, shrink=1 / 8),
         "cuda": Pace(look=16, reach=512, refill=1 / 8, shrink=1 / 2)}  # to shrink is to capture


@torch.no_grad()
def generate(model: Transformer, prompts: list[np.ndarray], *, max_new_tokens: int,
             batch_size: int = 256, temperature: float = 0.0, seed: int = 0,
             full_precision: bool = False, title: str | None = None) -> list[np.ndarray]:
    """Lets a model answer.

    Args:
        model: on the device to be used.
        prompts: token ids, one array a prompt.
        max_new_tokens: after so many an answer is cut off.
        batch_size: prompts answered side by side.
        temperature: 0 takes the likeliest token, above that tokens are drawn.
        seed: of those draws.
        full_precision: compute in float32 even where bfloat16 is faster.
        title: of a progress bar; none is shown without.

    Returns:
        An answer a prompt, in the same order: uint16 ids after the prompt, ``end`` included
        where the model wrote it.

    Raises:
        ValueError: an argument that makes no sense, or prompt and answer together can outgrow
            the model's context; the message names the argument, what it got, what it takes.
    """
    _check(prompts, model.config.vocabulary, max_new_tokens=max_new_tokens,
           batch_size=batch_size, seed=seed, temperature=temperature)
    if not len(prompts):
        return []
    longest = max(map(len, prompts)) + max_new_tokens
    if longest > model.config.context:
        raise ValueError(f"max_new_tokens: got {max_new_tokens}, with the longest prompt "
                         f"{longest}, takes at most the context of {model.config.context}")
    answers: list[np.ndarray] = [np.empty(0, np.uint16)] * len(prompts)
    device = model.embedding.weight.device
    training = model.training
    model.eval()
    with (nullcontext() if full_precision else autocast(device),
          bar(len(prompts), title, "maze") if title else nullcontext() as progress):
        waiting = np.argsort([len(prompt) for prompt in prompts], kind="stable")
        rows = Rows(_for_steps(model), min(batch_size, len(prompts)), longest, max_new_tokens,
                    temperature, seed)
        pace = PACES[device.type]
        advance = stepper(rows)

        def collect(ended: np.ndarray) -> None:
            for prompt, answer in rows.answers(ended):
                answers[prompt] = answer
                if progress:
                    progress.update()

        while len(waiting) or rows.alive.any():
            ended = (~rows.alive).nonzero().squeeze(1).cpu().numpy()
            share = len(ended) / len(rows)
            if share >= (pace.refill if len(waiting) else pace.shrink):
                collect(ended)
                if len(waiting):
                    next_prompts, waiting = np.split(waiting, [len(ended)])
                    rows.fill(ended[:len(next_prompts)], next_prompts, prompts)
                    continue  # a first token may be a last one
                rows.drop(ended)
            for _ in range(pace.look):
                advance(rows.reach(pace.reach))
                rows.lengths += 1
        collect(np.arange(len(rows)))
    model.train(training)
    return answers


class Rows:
    """The rows of a batch: which prompt each answers, and how far it is.

    All tensors keep their memory, which CUDA graphs hold on to; after `drop` they are the
    first part of it.

    Args:
        number: rows.
        longest: tokens of prompt and answer at most.
        max_new_tokens, temperature, seed: as of `generate`.
    """

    def __init__(self, model: Transformer, number: int, longest: int, max_new_tokens: int,
                 temperature: float, seed: int):
        device = model.embedding.weight.device
        dtype = torch.bfloat16 if torch.is_autocast_enabled(device.type) else torch.float32
        self.model, self.temperature, self.seed = model, temperature, seed
        self.end = max_new_tokens  # the column behind the last, where ended rows write on
        self.cache = Cache(model.config, number, longest, dtype, device)
        self.tokens = torch.zeros(number, dtype=torch.int64, device=device)  # the last of each
        self.places = torch.full_like(self.tokens, self.end)  # column of the next
        self.alive = torch.zeros(number, dtype=torch.bool, device=device)
        self.written = torch.zeros(number, self.end + 1, dtype=torch.int64, device=device)
        draws = self.end + 1 if temperature else 0
        self.draws = torch.zeros(number, draws, device=device)  # in [0, 1), one a token
        self.prompts = np.full(number, -1)  # which each answers, −1 none
        self.lengths = np.zeros(number, np.int64)  # of the cache, or more

    def __len__(self) -> int:
        return len(self.prompts)

    def fill(self, rows: np.ndarray, which: np.ndarray, prompts: list[np.ndarray]) -> None:
        """Gives rows (int [b]) to prompts (int [b]) and writes the first token of each."""
        self.prompts[rows] = which
        self.lengths[rows] = [len(prompts[i]) for i in which]
        index = torch.from_numpy(rows).to(self.alive.device)
        self.places[index], self.alive[index] = 0, True
        if self.temperature:
            drawn = [np.random.default_rng([self.seed, i]).random(self.end + 1, np.float32)
                     for i in which]
            self.draws[index] = torch.from_numpy(np.stack(drawn)).to(index.device)
        self._write(index, prefill(self.model, self.cache, [prompts[i] for i in which], index))

    def step(self, longest: int) -> None:
        """Feeds each row its last token and writes the next.

        Args:
            longest: as `reach` says.
        """
        logits = step(self.model, self.cache, self.tokens, self.alive, longest)
        self._write(torch.arange(len(self), device=logits.device), logits)

    def _write(self, rows: Tensor, logits: Tensor) -> None:
        places = self.places[rows]
        if self.temperature:
            tokens = draw(logits, self.temperature, self.draws[rows, places])
        else:
            tokens = logits.argmax(-1)
        alive = self.alive[rows] & (tokens != END) & (places + 1 < self.end)
        self.written[rows, places] = tokens
        self.tokens[rows] = tokens
        self.places[rows] = torch.where(alive, places + 1, self.end)
        self.alive[rows] = alive

    def reach(self, multiple: int) -> int:
        """How many positions of the cache the next step has to read, rounded up."""
        longest = self.cache.keys.shape[3]
        return min(longest, round_up(int(self.lengths.max()) + 1, multiple))

    def answers(self, rows: np.ndarray) -> list[tuple[int, np.ndarray]]:
        """(prompt, answer) of rows that have ended, each once."""
        rows = rows[self.prompts[rows] >= 0]
        ids = self.written[torch.from_numpy(rows).to(self.written.device), :self.end]
        found = [(int(prompt), _until_end(row)) for prompt, row in
                 zip(self.prompts[rows], ids.cpu().numpy().astype(np.uint16), strict=True)]
        self.prompts[rows], self.lengths[rows] = -1, 0
        return found

    def drop(self, ended: np.ndarray) -> None:
        """Goes on without these rows (int [b], ascending); the last others take their places."""
        staying = np.delete(np.arange(len(self)), ended)
        rows = np.arange(len(staying))
        rows[ended[ended < len(rows)]] = staying[staying >= len(rows)]
        index = torch.from_numpy(rows).to(self.alive.device)
        self.cache.keep(index)
        for name in ("tokens", "places", "alive", "written", "draws"):
            values = getattr(self, name)
            values[:len(rows)] = values[index]
            setattr(self, name, values[:len(rows)])
        self.prompts, self.lengths = self.prompts[rows], self.lengths[rows]


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


def _for_steps(model: Transformer) -> Transformer:
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
        for block in model.blocks:  # they share what is compiled
            block.step = compile_once(block.step)
    return model


def draw(logits: Tensor, temperature: float, draws: Tensor) -> Tensor:
    """Tokens with the model's chances: the first up to which they sum to more than a draw.

    Args:
        logits: [B, vocabulary]. draws: float32 [B], uniform in [0, 1).

    Returns:
        int64 [B].
    """
    sums = (logits.float() / temperature).softmax(-1).cumsum(-1)
    below = sums <= draws[:, None] * sums[:, -1:]
    return below.sum(-1).clamp(max=logits.shape[-1] - 1)


def _check(prompts: list[np.ndarray], vocabulary: int, *, temperature: float,
           **counts: int) -> None:
    """Refuses arguments of `generate` that make no sense."""
    for name, count in counts.items():
        least = 0 if name == "seed" else 1
        if not isinstance(count, int | np.integer) or isinstance(count, bool) or count < least:
            raise ValueError(f"{name}: got {count!r}, takes a whole number from {least} up")
    # colder than that float32 overflows
    if temperature != 0 and not COLDEST <= temperature < np.inf:
        raise ValueError(f"temperature: got {temperature!r}, takes 0 or a finite number from "
                         f"{COLDEST:g} up")
    for i, prompt in enumerate(prompts):
        ids = np.asarray(prompt)
        if ids.ndim != 1 or not ids.size or ids.dtype.kind not in "iu":
            raise ValueError(f"prompts: got {prompt!r} in place {i}, takes a row of at least one "
                             "token id")
        outside = ids[(ids < 0) | (ids >= vocabulary)]
        if len(outside):
            raise ValueError(f"prompts: got the id {outside[0]} in place {i}, takes ids from 0 to "
                             f"{vocabulary - 1}")


def _until_end(ids: np.ndarray) -> np.ndarray:
    """Ids up to the first ``end``, or all."""
    ends = np.flatnonzero(ids == END)
    return ids[:ends[0] + 1] if len(ends) else ids
