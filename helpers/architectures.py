"""Which model a configuration describes; to add one, write both and an entry in `ARCHITECTURES`."""

from typing import NamedTuple

from helpers.engine.registry import Registry
from helpers.looped import LoopedConfig, LoopedTransformer
from helpers.model import ModelConfig, Transformer


class Architecture(NamedTuple):
    """One architecture: its settings, and the model of these."""

    config: type[ModelConfig]
    model: type[Transformer]


ARCHITECTURES: dict[str, Architecture] = Registry({
    "plain": Architecture(ModelConfig, Transformer),
    "looped": Architecture(LoopedConfig, LoopedTransformer),
})


def architecture(shape: dict) -> Architecture:
    """The entry of `ModelConfig.shape`, whose names tell it."""
    return ARCHITECTURES["looped" if "loops" in shape else "plain"]


def configured(shape: dict, context: int) -> ModelConfig:
    """The configuration of a shape, with room for sequences of so many tokens."""
    return architecture(shape).config(**shape, context=context)


def build(config: ModelConfig, seed: int = 0) -> Transformer:
    """The model of a configuration, with its initial weights."""
    return architecture(config.shape()).model(config, seed)
