"""The peer of training and decoding: Hugging Face transformers' Qwen2 with our weights."""

from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor

from helpers.conditions import Examples
from helpers.engine.compiling import compile_once
from helpers.engine.precision import autocast
from helpers.language import END
from helpers.model import Transformer
from helpers.share.export import qwen2_config, qwen2_state

NAME = "transformers Qwen2"
IGNORED = -100  # a label that is not learnt


def available() -> bool:
    """Whether transformers is installed; says so if not."""
    found = find_spec("transformers") is not None
    if not found:
        print("No peer: transformers is not installed; pip install --editable '.[bench]' adds it.")
    return found


def qwen2(ours: Transformer) -> torch.nn.Module:
    """``Qwen2ForCausalLM`` with the same weights, in float32."""
    from transformers import Qwen2Config, Qwen2ForCausalLM
    theirs = Qwen2ForCausalLM(Qwen2Config(**qwen2_config(ours.config)))
    theirs.load_state_dict(qwen2_state(ours), strict=False)
    return theirs


def padded(examples: Examples, indices: np.ndarray) -> dict[str, Tensor]:
    """Examples as the collator of transformers' Trainer gives them to a model.

    Returns:
        ``input_ids``, ``attention_mask`` and ``labels``, int64 [B, T], T the longest
        example's length. Labels are the tokens behind the word that opens the response.
    """
    parts = examples.prompts, examples.traces, examples.plans
    whole = [np.concatenate([part.piece(i) for part in parts]) for i in indices]
    shape = len(whole), max(map(len, whole))
    ids, mask = np.full(shape, END), np.zeros(shape, np.int64)
    labels = np.full(shape, IGNORED)
    for place, (index, example) in enumerate(zip(indices, whole, strict=True)):
        first = len(examples.prompts.piece(index)) + 1
        ids[place, :len(example)], mask[place, :len(example)] = example, 1
        labels[place, first:len(example)] = example[first:]
    return {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask),
            "labels": torch.from_numpy(labels)}


class Peer:
    """Training as transformers' Trainer does it: padded batches, AdamW, clipped gradients.

    Args:
        ours: the weights to begin with.
        compiled: by torch.compile, which the Trainer does on request only.
    """

    def __init__(self, ours: Transformer, examples: Examples, *, clip_norm: float,
                 compiled: bool = False):
        self.model = qwen2(ours).train()
        self.examples, self.clip_norm = examples, clip_norm
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, fused=True)
        self._call = compile_once(self.model) if compiled else self.model

    def step(self, indices: np.ndarray) -> None:
        with autocast(torch.device("cpu")):
            loss = self._call(**padded(self.examples, indices)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()


def padded_left(prompts: list[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Prompts as ``generate`` takes them: ids and mask, int64 [B, T], T the longest's length."""
    shape = len(prompts), max(map(len, prompts))
    ids, mask = torch.full(shape, END), torch.zeros(shape, dtype=torch.int64)
    for place, prompt in enumerate(prompts):
        ids[place, -len(prompt):] = torch.from_numpy(prompt.astype(np.int64))
        mask[place, -len(prompt):] = 1
    return ids, mask


def answers(model: torch.nn.Module, prompts: list[np.ndarray], max_new_tokens: int,
            cache: str) -> list[list[int]]:
    """Greedy answers of ``model.generate`` to all prompts at once, each up to its ``end``.

    Args:
        cache: ``dynamic`` or ``static``.
    """
    ids, mask = padded_left(prompts)
    given = {} if cache == "dynamic" else {"cache_implementation": cache}
    out = model.generate(ids, attention_mask=mask, max_new_tokens=max_new_tokens,
                         do_sample=False, pad_token_id=END, **given)
    found = out[:, ids.shape[1]:].tolist()
    return [answer[:answer.index(END) + 1] if END in answer else answer for answer in found]
