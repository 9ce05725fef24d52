"""Small models shared by the tests."""

import torch

from helpers.model import ModelConfig, Transformer

CONFIGS = {
    "plain": ModelConfig(vocabulary=50, context=128, width=32, layers=2, heads=2, kv_heads=2,
                         mlp_width=48),
    "grouped": ModelConfig(vocabulary=37, context=96, width=48, layers=3, heads=6, kv_heads=2,
                           mlp_width=40, rope_theta=100.0, norm_eps=1e-5),
    "one key/value head": ModelConfig(vocabulary=64, context=2048, width=64, layers=1, heads=4,
                                      kv_heads=1, mlp_width=96, rope_theta=1e4),
}


def scrambled(config: ModelConfig, seed: int = 0) -> Transformer:
    """A model whose biases and norms are not at their initial values, with lively logits."""
    model = Transformer(config, seed)
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.2 * torch.randn(weight.shape, generator=generator)
    return model
