"""Learning from one's own answers: GRPO (Shao et al. 2024), and what it is compared with.

A trained model answers a maze several times, at temperature 1. A valid plan is worth 1, all else
0, traces count for nothing. What is worth more than the mean of its group, the answers to one
maze, becomes likelier, what is worth less unlikelier. Each step draws new answers from the model
as it is and makes one update, so the ratio of new to old chances is 1 but for rounding: the
decoder rounds otherwise than a training step. Answers follow from the weights, the seed and the
step, so a run that is killed goes on to the bit (`helpers.tuner`).

The two controls differ in what is learnt from: ``rejection`` from the model's own right answers,
each as likely as the others; ``continued`` from the examples it was trained on. A model that fills
its answers in goes on the same ways, by `helpers.unigrpo`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor

from helpers.batches import Accompanied, Batch, make_batch, micro_batches
from helpers.conditions import CONDITIONS, Examples
from helpers.corpus import PROMPT_PART, Corpus, Segments
from helpers.decoding import Answers, Decoder
from helpers.engine.precision import autocast
from helpers.engine.registry import Registry
from helpers.language import END, SOLUTION
from helpers.maze import Mazes
from helpers.model import Transformer
from helpers.optimisation import TrainingConfig
from helpers.training import to_tensors
from helpers.validator import judge_responses

SMALL = 1e-4  # added to the spread of a group
PART = 16384  # tokens that are learnt from at once, where the training does not say


class TuningConfig(BaseModel):
    """How a trained model goes on; the same for all ways of going on."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    after: Literal["nothing", "grpo", "rejection", "continued"] = "nothing"  # after its training
    only: Literal["all", "changed", "random"] = "all"  # the weights that learn (`subnetwork`)
    draws: NonNegativeInt = 0  # seed of mazes and answers, beside the model's own
    tuning_steps: PositiveInt = 100
    mazes: PositiveInt = 16  # a step
    answers: int = Field(8, ge=2)  # to each maze
    tuning_rate: float = Field(2e-5, gt=0)  # learning rate of AdamW, for all weights
    clip: float = Field(0.2, gt=0, lt=1)  # how far from 1 a ratio of chances still counts
    kl: NonNegativeFloat = 0.0  # weight of the divergence from the model before

    def effective(self) -> dict:
        """The settings that the weights follow from: those that this way of going on reads."""
        unread = {"grpo": set(), "rejection": {"clip", "kl"}, "continued": {"clip", "kl"}}
        return self.model_dump(exclude=unread.get(self.after, set()))


# ── answers ─────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Sampled(Accompanied):
    """The answers of a step that teach something: a batch, and what each target is worth."""

    worth: np.ndarray  # float32 [M], the advantage or reward of a target's answer
    then: np.ndarray  # float32 [M], log-probabilities as they were drawn
    before: np.ndarray  # float32 [M], those of the model before; [0] where nothing asks for them
    written: int  # tokens of all answers, of those too that are worth nothing and left out
    seen: dict  # numbers about the answers, to log


class Rollouts:
    """A model's own answers, step by step: other mazes each time, and each several times.

    What depends on how a model answers is in `answer`, `sizes`, `learnt` and `tensors`.

    Args:
        model: as it is when a step is asked for.
        corpus: whose mazes it answers.
        condition: of the model.
        settings: how many mazes and answers a step; the seed of what is drawn.
        worth: (rewards, float [mazes, answers]) → what each answer is worth, [mazes, answers].
        seed: of the model.
        max_new_tokens, batch_size: as of `Decoder.answer`.
        before: the model before, if its log-probabilities are wanted.
        part: of how many tokens at once.
    """

    tensors = staticmethod(to_tensors)  # arguments of a model that learns from a batch

    def __init__(self, model: Transformer, corpus: Corpus, condition: str, settings: TuningConfig,
                 worth: Callable[[np.ndarray], np.ndarray], *, seed: int, max_new_tokens: int,
                 batch_size: int = 256, before: Transformer | None = None, part: int = PART):
        self.model, self.corpus, self.settings, self.worth = model, corpus, settings, worth
        self.opening, self.before, self.part = CONDITIONS[condition].opening, before, part
        self.draws = (seed, settings.draws)
        self.answering = {"max_new_tokens": max_new_tokens, "batch_size": batch_size}
        if settings.mazes > len(corpus):
            raise ValueError(f"mazes: got {settings.mazes}, takes at most the {len(corpus)} of the "
                             "corpus")
        self.longest = int(corpus.part(PROMPT_PART).lengths().max()) + max_new_tokens

    def __len__(self) -> int:
        return self.settings.tuning_steps

    def indices(self, step: int) -> np.ndarray:
        """The mazes of a step, int64 [mazes], each once in a pass over the corpus."""
        a_pass = len(self.corpus) // self.settings.mazes
        order = np.random.default_rng([*self.draws, step // a_pass]).permutation(len(self.corpus))
        return order[step % a_pass * self.settings.mazes:][:self.settings.mazes]

    def __getitem__(self, step: int) -> Sampled:
        asked = self.indices(step).repeat(self.settings.answers)
        prompts = [np.append(self.corpus.segment(i, PROMPT_PART), np.uint16(self.opening))
                   for i in asked]
        (seed,) = np.random.SeedSequence([*self.draws, step, 0x60]).generate_state(1)
        found = self.answer(prompts, int(seed))
        mazes = Mazes(*(array[asked] for array in self.corpus.mazes))
        rewards, seen = rewarded(mazes, found.ids, self.opening)
        groups = rewards.reshape(-1, self.settings.answers)
        seen["no_spread"] = float((groups.std(1) == 0).mean())
        worth = self.worth(groups).reshape(-1)
        # what is worth nothing has no gradient, unless it is held to the model before
        kept = np.flatnonzero(worth) if self.before is None else np.arange(len(worth))
        kept = kept if len(kept) else np.arange(1)
        batch, then = self.learnt(prompts, found, kept)
        before = np.empty(0, np.float32) if self.before is None else self.logs(self.before, batch)
        sizes = self.sizes(found)
        each = worth[kept].repeat(sizes[kept]).astype(np.float32)
        return Sampled(batch, each, then, before, int(sizes.sum()), seen)

    def answer(self, prompts: list[np.ndarray], seed: int) -> Answers:
        """An answer to each prompt, drawn at temperature 1; ``ids`` are those to be judged."""
        return Decoder(self.model).answer(prompts, **self.answering, temperature=1.0, seed=seed,
                                          log_probabilities=True)

    def sizes(self, found: Answers) -> np.ndarray:
        """How many tokens of each answer can be learnt from, int64 [n]."""
        return np.array([len(ids) for ids in found.ids])

    def learnt(self, prompts: list[np.ndarray], found: Answers, kept: np.ndarray
               ) -> tuple[Batch, np.ndarray]:
        """Some answers (int [b]) as a batch, and the log-probabilities its targets had, [M]."""
        ids, logs = ([all_of[i] for i in kept] for all_of in (found.ids, found.log_probabilities))
        return batch_of([prompts[i] for i in kept], ids), np.concatenate(logs)

    @torch.no_grad()
    def logs(self, model: Transformer, batch: Batch) -> np.ndarray:
        """Log-probabilities that a model gives the targets of a batch, float32 [M], in nats."""
        return np.concatenate([
            log_probabilities(model, part, self.tensors)[:len(part.targets)].cpu().numpy()
            for part in micro_batches(batch, self.part)])


def rewarded(mazes: Mazes, answers: list[np.ndarray], opening: int) -> tuple[np.ndarray, dict]:
    """What answers are worth, float [n]: 1 for a valid plan, 0 else or if it was cut off.

    Returns:
        And shares to log: valid plans, valid traces by our rules and by the authors', answers
        that were cut off; mean tokens of an answer, and of its trace.
    """
    verdicts = judge_responses(mazes, answers, opening)
    cut = np.array([not len(ids) or ids[-1] != END for ids in answers])
    rewards = (verdicts["plan_valid"] & ~cut).astype(float)
    traces = [_trace_tokens(ids) for ids in answers]
    seen = {"plan_valid": rewards.mean(), "cut_off": cut.mean(),
            "answer_tokens": np.mean([len(ids) for ids in answers])}
    if opening != SOLUTION:
        seen |= {"trace_valid": verdicts["trace_valid"].mean(),
                 "trace_published": verdicts["trace_published"].mean(),
                 "trace_tokens": np.mean(traces)}
    return rewards, {name: float(value) for name, value in seen.items()}


def _trace_tokens(ids: np.ndarray) -> int:
    """How many words stand before ``solution``."""
    ends = np.flatnonzero(ids == SOLUTION)
    return int(ends[0]) if len(ends) else len(ids)


def batch_of(prompts: list[np.ndarray], answers: list[np.ndarray]) -> Batch:
    """Prompts (opening word included) and answers as a batch whose targets are the answers."""
    whole = [np.append(*pair) for pair in zip(prompts, answers, strict=True)]
    ends = np.cumsum([len(ids) for ids in whole])
    begins = ends - [len(ids) for ids in whole]
    opened = begins + [len(prompt) - 1 for prompt in prompts]
    # a plan begins with `solution`, so where there is no trace it begins with the opening word
    solved = [place if prompt[-1] == SOLUTION else place + 1 + _trace_tokens(answer)
              for place, prompt, answer in zip(opened, prompts, answers, strict=True)]
    text, solved = np.concatenate(whole), np.array(solved)
    return make_batch(Examples(Segments(text, begins, opened), Segments(text, opened, solved),
                               Segments(text, solved, ends), np.zeros(len(whole), np.int64)),
                      np.arange(len(whole)))


# ── what is learnt from them ────────────────────────────────────────────────────────────


def advantages(rewards: np.ndarray) -> np.ndarray:
    """By how much each answer is better than its group, in spreads of that group.

    (r − mean) / (std + 1e-4), std with n − 1 as in TRL and verl; 0 where all are alike.

    Args:
        rewards: float [mazes, answers].
    """
    spread = rewards.std(1, ddof=1, keepdims=True)
    return (rewards - rewards.mean(1, keepdims=True)) / (spread + SMALL)


def surrogate(now: Tensor, then: Tensor, worth: Tensor, clip: float) -> Tensor:
    """The loss of each token, [M]: −min(ρ A, clip(ρ, 1 − ε, 1 + ε) A) with ρ = exp(now − then)."""
    ratio = (now - then).exp()
    return -torch.minimum(ratio * worth, ratio.clamp(1 - clip, 1 + clip) * worth)


def divergence(now: Tensor, before: Tensor) -> Tensor:
    """What each token adds to KL(now ‖ before), [M], never negative (Schulman's k3)."""
    gap = before - now
    return gap.exp() - gap - 1


def log_probabilities(model: Transformer, batch: Batch, arguments: Callable = to_tensors) -> Tensor:
    """Of each target, float32, in nats; [M] and what fills it up.

    Args:
        arguments: of the model, `training.to_tensors` or another that takes and gives the same.
    """
    device = model.embedding.weight.device
    nothing = np.zeros(len(batch.targets), np.float32)
    tokens, packing, learn, targets, _ = arguments(batch, nothing, device)
    with autocast(device):
        logits = model.exact_logits(model.hidden(tokens, packing, learn))
    return -F.cross_entropy(logits, targets, reduction="none")


class FromAnswers:
    """An objective of own answers: the mean over all their tokens, whatever answer they are of.

    A mean over each answer first would make a token of a long answer weigh less, and so favour
    long wrong answers and short right ones.

    Args:
        settings: clip and weight of the divergence.
        model: what learns.
        training: how large a part of a step is.
    """

    rollouts = Rollouts  # where the answers come from

    def __init__(self, settings: TuningConfig, model: Transformer, training: TrainingConfig,
                 compiled: bool):
        self.settings, self.model = settings, model
        self.part = training.micro_batch_tokens

    def __call__(self, sampled: Sampled) -> Callable[[], dict]:
        """Adds the gradients of one step; what is returned gives the numbers to log."""
        columns = [sampled.worth, sampled.then, sampled.before]
        count, losses, found = self.count(sampled), [], []
        for part in micro_batches(sampled.batch, self.part):
            heads, columns = zip(*(np.split(one, [len(part.targets)]) for one in columns),
                                 strict=True)
            now = log_probabilities(self.model, part, self.rollouts.tensors)[:len(part.targets)]
            worth, then, before = (torch.from_numpy(head).to(now.device) for head in heads)
            loss = self.each(now, then, before, worth).sum() / count
            loss.backward()
            losses.append(loss.detach())
            found.append((now.detach() - then).cpu())
        ratios = torch.cat(found).exp()

        def numbers() -> dict:
            clip = self.settings.clip
            return {"loss": float(sum(losses)), **sampled.seen,
                    "off_by": float((ratios - 1).abs().mean()),
                    "clipped": float(((ratios - 1).abs() > clip).float().mean())}

        return numbers


class Policy(FromAnswers):
    """GRPO: what is better than its group becomes likelier, what is worse unlikelier."""

    worth = staticmethod(advantages)

    def count(self, sampled: Sampled) -> int:
        return sampled.written

    def each(self, now: Tensor, then: Tensor, before: Tensor, worth: Tensor) -> Tensor:
        loss = surrogate(now, then, worth, self.settings.clip)
        return loss + self.settings.kl * divergence(now, before) if self.settings.kl else loss


class Imitation(FromAnswers):
    """Rejection sampling: right answers are examples to learn, wrong ones are left out."""

    worth = staticmethod(lambda rewards: rewards)

    def count(self, sampled: Sampled) -> float:
        return max(1.0, float(sampled.worth.sum()))

    def each(self, now: Tensor, then: Tensor, before: Tensor, worth: Tensor) -> Tensor:
        return -now * worth


OBJECTIVES: dict[str, type[FromAnswers]] = Registry({"grpo": Policy, "rejection": Imitation})
