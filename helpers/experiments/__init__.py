"""The experiments, one module a question. To add one: a module, its notebook, a line below."""

from helpers.engine.registry import Registry
from helpers.experiments import headline, latents, plan_weight, position, regime
from helpers.study.specs import Experiment

EXPERIMENTS: dict[str, Experiment] = Registry({
    "headline": headline.EXPERIMENT,
    "plan_weight": plan_weight.EXPERIMENT,
    "regime": regime.EXPERIMENT,
    **position.EXPERIMENTS,
    "latents": latents.EXPERIMENT,
})
