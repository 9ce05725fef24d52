"""The experiments, one module a question. To add one: a module, its notebook, a line below."""

from helpers.engine.registry import Registry
from helpers.experiments import (
    compute,
    continuous,
    convergence,
    coupling,
    diffusion,
    given,
    grpo,
    headline,
    latents,
    length,
    plan_weight,
    position,
    regime,
    searchformer,
    spectrum,
    subnetwork,
    subtext,
)
from helpers.study.specs import Experiment

EXPERIMENTS: dict[str, Experiment] = Registry({
    **headline.EXPERIMENTS,
    "plan_weight": plan_weight.EXPERIMENT,
    **regime.EXPERIMENTS,
    **position.EXPERIMENTS,
    "coupling": coupling.EXPERIMENT,
    **length.EXPERIMENTS,
    **grpo.EXPERIMENTS,
    "subnetwork": subnetwork.EXPERIMENT,
    "given": given.EXPERIMENT,
    **subtext.EXPERIMENTS,
    "latents": latents.EXPERIMENT,
    **convergence.EXPERIMENTS,
    **spectrum.EXPERIMENTS,
    **searchformer.EXPERIMENTS,
    **diffusion.EXPERIMENTS,
    **compute.EXPERIMENTS,
    "continuous": continuous.EXPERIMENT,
})
