"""A trained model goes on learning, by whichever way, all of its weights or some.

Several processes that have joined (`engine.together`) each draw all answers and make the whole of
each update: the same one.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from helpers.batches import Batches
from helpers.corpus import Corpus
from helpers.grpo import PART, FromAnswers, TuningConfig
from helpers.model import Transformer
from helpers.optimisation import TrainingConfig
from helpers.training import Trainer


class Tuner(Trainer):
    """Goes on with a trained model, in a folder of its own, as `training.Trainer` does.

    AdamW for all weights and one learning rate: Muon's updates change every entry of a matrix
    by about as much, whatever its gradient.

    Args:
        model: what goes on; it is changed.
        batches: `grpo.Rollouts`, or those of its training for ``continued``.
        settings: how.
        training: of the model before: weight of the plan, size of parts, how often is saved.
        objective: what makes gradients: a kind of `grpo.FromAnswers`, or as of `Trainer`.
        learns: for each parameter which of its entries learn, bool of its shape; the others keep
            their values to the bit, weight decay or not. All learn if None.
        about: as of `Trainer`.
    """

    def __init__(self, model: Transformer, batches, settings: TuningConfig,
                 training: TrainingConfig, *, objective: Callable,
                 learns: dict[str, Tensor] | None = None, **about):
        training = training.model_copy(update={
            "batch_size": settings.mazes * settings.answers, "learning_rate": settings.tuning_rate,
            "warmup_steps": 0, "decay_fraction": 0.0, "log_every": 1, "checkpoint_every": 20,
            "micro_batch_tokens": training.micro_batch_tokens or PART})
        if issubclass(objective, FromAnswers):
            objective = partial(objective, settings)
        super().__init__(batches, model.config, training, compiled=False,
                         objective=lambda *_: None, **about)
        self.model = model
        self.objective = objective(model, training, self.compiled)
        adam = torch.optim.AdamW(model.parameters(), weight_decay=training.weight_decay)
        self.optimizers = [(adam, settings.tuning_rate)]
        if learns is not None:
            hold(model, adam, learns)


def hold(model: Transformer, optimizer: torch.optim.Optimizer, learns: dict[str, Tensor]) -> None:
    """Lets an optimiser change nothing but the entries that learn: no gradient, no decay."""
    kept = {}
    for name, weight in model.named_parameters():
        moves = learns[name].to(weight.device)
        kept[weight] = ~moves, weight.detach()[~moves].clone()
        weight.register_hook(lambda gradient, moves=moves: gradient * moves)

    @torch.no_grad()
    def put_back(*_) -> None:
        for weight, (still, values) in kept.items():
            weight[still] = values

    optimizer.register_step_post_hook(put_back)


def tuner(model: Transformer, corpus: Corpus, condition: str, settings: TuningConfig,
          training: TrainingConfig, *, objective: type, examples: Batches,
          before: Transformer | None = None, learns: dict[str, Tensor] | None = None, seed: int,
          max_new_tokens: int, batch_size: int, folder: Path, **about) -> Tuner:
    """What goes on with a model, by whichever way the settings say."""
    batches = examples
    if issubclass(objective, FromAnswers):
        batches = objective.rollouts(
            model, corpus, condition, settings, objective.worth, seed=seed,
            max_new_tokens=max_new_tokens, batch_size=batch_size, before=before,
            part=training.micro_batch_tokens or PART)
    return Tuner(model, batches, settings, training, objective=objective, learns=learns, seed=seed,
                 folder=folder, **about)
