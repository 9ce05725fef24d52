"""In which precision matrices are multiplied."""

from contextlib import nullcontext

import torch


def autocast(device: torch.device):
    """bfloat16 matrix products where the hardware has them, float32 elsewhere."""
    if device.type == "cuda":
        return torch.autocast("cuda", torch.bfloat16)
    return torch.autocast("cpu", torch.bfloat16) if has_bfloat16() else nullcontext()


def has_bfloat16() -> bool:
    """Whether this processor multiplies matrices of bfloat16 in hardware."""
    features = torch.cpu.get_capabilities()
    return bool(features.get("avx512_bf16") or features.get("amx_bf16"))
