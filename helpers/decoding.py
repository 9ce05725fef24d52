"""Batched answers: greedy or sampled, with a key/value cache that is allocated once.

Prompts are taken in order of length. A batch is a number of rows; those whose answer has
ended are given to the next prompts, some at a time, and once none waits the other rows move
together. What a row writes does not depend on its company, and a draw follows from the seed,
the prompt's place in the list and the token's in the answer.

On a GPU, where steps are replayed as graphs (`helpers.stepping`), the host looks only now and then
which rows have ended. Until then those write on, where nothing reads.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from helpers.engine.packing import round_up
from helpers.engine.precision import autocast
from helpers.engine.progress import bar
from helpers.language import END
from helpers.model import Cache, Transformer, prefill, step
from helpers.stepping import for_steps, stepper

COLDEST = 1e-6  # temperature above 0


class Pace(NamedTuple):
    """When to do what is not done at every step."""

    look: int  # steps from one look at which rows have ended to the next
    reach: int  # attention reads so many positions, or a multiple: one graph for each
    refill: float  # share of ended rows that other prompts are given
    shrink: float  # share of ended rows without which the others go on


PACES = {"cpu": Pace(look=1, reach=64, refill=1 / 8, shrink=1 / 8),
         "cuda": Pace(look=16, reach=512, refill=1 / 8, shrink=1 / 2)}  # to shrink is to capture


def generate(model: Transformer, prompts: list[np.ndarray], *, max_new_tokens: int,
             batch_size: int = 256, temperature: float = 0.0, seed: int = 0,
             full_precision: bool = False, positions: list[np.ndarray] | None = None,
             title: str | None = None) -> list[np.ndarray]:
    """Lets a model answer once; the arguments are those of `Decoder` and its `answer`.

    Returns:
        An answer a prompt, in the same order: uint16 ids after the prompt, ``end`` included
        where the model wrote it.
    """
    decoder = Decoder(model, full_precision=full_precision)
    return decoder.answer(prompts, max_new_tokens=max_new_tokens, batch_size=batch_size,
                          temperature=temperature, seed=seed, positions=positions,
                          title=title).ids


class Answers(NamedTuple):
    """What a model wrote, an entry a prompt."""

    ids: list[np.ndarray]  # uint16, after the prompt, ``end`` included where the model wrote it
    log_probabilities: list[np.ndarray] | None  # float32, of each of these tokens, in nats


class Decoder:
    """A model that answers, once or many times: cache and compiled steps are kept between calls.

    The weights must stay as they are; after an update a decoder is made anew.

    Args:
        model: on the device to be used.
        full_precision: compute in float32 even where bfloat16 is faster.
    """

    def __init__(self, model: Transformer, *, full_precision: bool = False):
        self.model, self.device = model, model.embedding.weight.device
        self.full_precision = full_precision
        with self._precision():
            self.stepping = for_steps(model)
        self._kept: tuple[tuple, Rows, Callable[[int], None]] | None = None

    def _precision(self):
        return nullcontext() if self.full_precision else autocast(self.device)

    @torch.no_grad()
    def answer(self, prompts: list[np.ndarray], *, max_new_tokens: int, batch_size: int = 256,
               temperature: float = 0.0, seed: int = 0, log_probabilities: bool = False,
               positions: list[np.ndarray] | None = None, title: str | None = None) -> Answers:
        """Answers prompts.

        Args:
            prompts: token ids, one array a prompt.
            max_new_tokens: after so many an answer is cut off.
            batch_size: prompts answered side by side.
            temperature: 0 takes the likeliest token, above that tokens are drawn.
            seed: of those draws.
            log_probabilities: whether to give those of the tokens written, at temperature 1.
            positions: of the tokens of each prompt, see `layouts.positions`; an answer's go on
                from the last. Counted from 0 if None.
            title: of a progress bar; none is shown without.

        Raises:
            ValueError: an argument that makes no sense, or prompt and answer together can
                outgrow the model's context; the message names the argument, what it got, what
                it takes.
        """
        config = self.model.config
        _check(prompts, config.vocabulary, max_new_tokens=max_new_tokens,
               batch_size=batch_size, seed=seed, temperature=temperature)
        if not len(prompts):
            return Answers([], [] if log_probabilities else None)
        longest = max(map(len, prompts)) + max_new_tokens
        if longest > config.context:
            raise ValueError(f"max_new_tokens: got {max_new_tokens}, with the longest prompt "
                             f"{longest}, takes at most the context of {config.context}")
        found: dict[int, tuple] = {}
        training = self.model.training
        self.model.eval()
        with (self._precision(),
              bar(len(prompts), title, "maze") if title else nullcontext() as progress):
            waiting = np.argsort([len(prompt) for prompt in prompts], kind="stable")
            rows, advance = self._rows(min(batch_size, len(prompts)), longest, max_new_tokens,
                                       temperature, log_probabilities)
            rows.restart(seed)
            pace = PACES[self.device.type]

            def collect(ended: np.ndarray) -> None:
                for prompt, *answer in rows.answers(ended):
                    found[prompt] = answer
                    if progress:
                        progress.update()

            while len(waiting) or rows.alive.any():
                ended = (~rows.alive).nonzero().squeeze(1).cpu().numpy()
                share = len(ended) / len(rows)
                if share >= (pace.refill if len(waiting) else pace.shrink):
                    collect(ended)
                    if len(waiting):
                        next_prompts, waiting = np.split(waiting, [len(ended)])
                        rows.fill(ended[:len(next_prompts)], next_prompts, prompts, positions)
                        continue  # a first token may be a last one
                    rows.drop(ended)
                for _ in range(pace.look):
                    advance(rows.reach(pace.reach))
                    rows.lengths += 1
            collect(np.arange(len(rows)))
        self.model.train(training)
        ids, logs = zip(*(found[i] for i in range(len(prompts))), strict=True)
        return Answers(list(ids), list(logs) if log_probabilities else None)

    def _rows(self, *shape) -> tuple["Rows", Callable[[int], None]]:
        """Rows of a shape and what advances them: those of the last call where they fit."""
        if self._kept is None or self._kept[0] != shape:
            self._kept = None  # before others are allocated
            rows = Rows(self.stepping, *shape)
            self._kept = shape, rows, stepper(rows)
        return self._kept[1:]


class Rows:
    """The rows of a batch: which prompt each answers, and how far it is.

    All tensors keep their memory, which CUDA graphs hold on to; after `drop` they are the
    first part of it.

    Args:
        number: rows.
        longest: tokens of prompt and answer at most.
        max_new_tokens, temperature, log_probabilities: as of `Decoder.answer`.
    """

    def __init__(self, model: Transformer, number: int, longest: int, max_new_tokens: int,
                 temperature: float, log_probabilities: bool = False):
        device = model.embedding.weight.device
        dtype = torch.bfloat16 if torch.is_autocast_enabled(device.type) else torch.float32
        self.model, self.temperature = model, temperature
        self.end = end = max_new_tokens  # the column behind the last, where ended rows write on
        tokens = torch.zeros(number, dtype=torch.int64, device=device)
        self._whole = {
            "cache": Cache(model.config, number, longest, dtype, device),
            "tokens": tokens,  # the last of each
            "places": tokens.clone(),  # column of the next
            "alive": tokens.bool(),
            "written": torch.zeros(number, end + 1, dtype=torch.int64, device=device),
            "draws": torch.zeros(number, end + 1 if temperature else 0, device=device),  # in [0, 1)
            "logs": torch.zeros(number, end + 1 if log_probabilities else 0, device=device)}
        self.restart(0)

    def restart(self, seed: int) -> None:
        """All rows again, on the same memory, none of them answering.

        Args:
            seed: of the draws.
        """
        for name, value in self._whole.items():
            setattr(self, name, value.whole() if name == "cache" else value)
        self.seed = seed
        self.alive.fill_(False)
        self.places.fill_(self.end)
        self.prompts = np.full(len(self.tokens), -1)  # which each answers, −1 none
        self.lengths = np.zeros(len(self.tokens), np.int64)  # of the cache, or more

    def __len__(self) -> int:
        return len(self.prompts)

    def fill(self, rows: np.ndarray, which: np.ndarray, prompts: list[np.ndarray],
             positions: list[np.ndarray] | None = None) -> None:
        """Gives rows (int [b]) to prompts (int [b]) and writes the first token of each."""
        self.prompts[rows] = which
        self.lengths[rows] = [len(prompts[i]) for i in which]
        index = torch.from_numpy(rows).to(self.alive.device)
        self.places[index], self.alive[index] = 0, True
        if self.temperature:
            drawn = [np.random.default_rng([self.seed, i]).random(self.end + 1, np.float32)
                     for i in which]
            self.draws[index] = torch.from_numpy(np.stack(drawn)).to(index.device)
        asked, placed = ([all_of[i] for i in which] if all_of else None
                         for all_of in (prompts, positions))
        self._write(index, prefill(self.model, self.cache, asked, index, placed))

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
        if self.logs.shape[1]:
            chances = logits.float().log_softmax(-1)
            self.logs[rows, places] = chances.gather(1, tokens[:, None]).squeeze(1)
        self.tokens[rows] = tokens
        self.places[rows] = torch.where(alive, places + 1, self.end)
        self.alive[rows] = alive

    def reach(self, multiple: int) -> int:
        """How many positions of the cache the next step has to read, rounded up."""
        longest = self.cache.keys.shape[3]
        return min(longest, round_up(int(self.lengths.max()) + 1, multiple))

    def answers(self, rows: np.ndarray) -> list[tuple[int, np.ndarray, np.ndarray]]:
        """(prompt, answer, log-probabilities if wanted) of rows that have ended, each once."""
        rows = rows[self.prompts[rows] >= 0]
        index = torch.from_numpy(rows).to(self.written.device)
        ids = self.written[index, :self.end].cpu().numpy().astype(np.uint16)
        logs = self.logs[index].cpu().numpy()
        found = []
        for prompt, row, log in zip(self.prompts[rows], ids, logs, strict=True):
            answer = _until_end(row)
            found.append((int(prompt), answer, log[:len(answer)]))
        self.prompts[rows], self.lengths[rows] = -1, 0
        return found

    def drop(self, ended: np.ndarray) -> None:
        """Goes on without these rows (int [b], ascending); the last others take their places."""
        staying = np.delete(np.arange(len(self)), ended)
        rows = np.arange(len(staying))
        rows[ended[ended < len(rows)]] = staying[staying >= len(rows)]
        index = torch.from_numpy(rows).to(self.alive.device)
        self.cache.keep(index)
        for name in ("tokens", "places", "alive", "written", "draws", "logs"):
            values = getattr(self, name)
            values[:len(rows)] = values[index]
            setattr(self, name, values[:len(rows)])
        self.prompts, self.lengths = self.prompts[rows], self.lengths[rows]


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
