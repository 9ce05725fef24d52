"""The file of a model that llama.cpp reads: GGUF, version 3, architecture ``qwen2``, float32.

A file is a header, settings by name, names and shapes of tensors, then their numbers, each aligned
(https://github.com/ggml-org/ggml/blob/master/docs/gguf.md).

llama.cpp has no tokenizer of words between white space alone. That of T5 does as much: it puts a
``▁`` where a word begins and looks for the likeliest parts, and all of ours are whole words that
begin with one, so no text has more than one reading.
"""

import struct
from collections.abc import Sequence

import numpy as np
from torch import Tensor

VERSION, ALIGNMENT, FLOAT32 = 3, 32, 0
NORMAL, CONTROL = 1, 3  # kinds of tokens
NAMES = {"model.embed_tokens": "token_embd", "model.norm": "output_norm",
         "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
         "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
         "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
         "post_attention_layernorm": "ffn_norm"}


def gguf(config: dict, words: Sequence[str], specials: dict[str, str],
         tensors: dict[str, Tensor]) -> bytes:
    """The bytes of such a file.

    Args:
        config: what ``config.json`` says of a Qwen2.
        words: by id.
        specials: the special word of each role, as from `tokenizer.special_words`.
        tensors: by Qwen2's names, float32; the output layer is the embedding.
    """
    settings = _settings(config, words, specials)
    head = [b"GGUF", struct.pack("<IQQ", VERSION, len(tensors), len(settings))]
    head += [_text(name) + _value(value) for name, value in settings.items()]
    numbers, begins = [], 0
    for name, tensor in tensors.items():
        values = tensor.detach().numpy().astype("<f4")
        shape = values.shape[::-1]  # what varies fastest comes first
        head.append(_text(_name(name)) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape,
                                                     FLOAT32, begins))
        numbers.append(_aligned(values.tobytes()))
        begins += len(numbers[-1])
    return b"".join([_aligned(b"".join(head)), *numbers])


def _settings(config: dict, words: Sequence[str], specials: dict[str, str]) -> dict:
    ends = {word for role, word in specials.items() if role != "eos_token"}  # ``end`` is text
    marked = [word if word in ends or word.startswith("<") else f"▁{word}" for word in words]
    ids = {role: words.index(word) for role, word in specials.items()}
    shape = {"context_length": "max_position_embeddings", "embedding_length": "hidden_size",
             "block_count": "num_hidden_layers", "feed_forward_length": "intermediate_size",
             "attention.head_count": "num_attention_heads",
             "attention.head_count_kv": "num_key_value_heads",
             "attention.layer_norm_rms_epsilon": "rms_norm_eps", "rope.freq_base": "rope_theta"}
    tokens = {"model": "t5", "pre": "default", "tokens": marked, "scores": [0.0] * len(words),
              "token_type": [NORMAL if word.startswith("▁") else CONTROL for word in marked],
              "bos_token_id": ids["bos_token"], "eos_token_id": ids["eos_token"],
              "unknown_token_id": ids["unk_token"], "padding_token_id": ids["pad_token"],
              "add_bos_token": False, "add_eos_token": False, "add_space_prefix": True,
              "remove_extra_whitespaces": True}
    return ({"general.architecture": "qwen2", "general.file_type": FLOAT32}
            | {f"qwen2.{name}": config[theirs] for name, theirs in shape.items()}
            | {f"tokenizer.ggml.{name}": value for name, value in tokens.items()})


def _name(name: str) -> str:
    """llama.cpp's name of a tensor of Qwen2."""
    place, kind = name.rsplit(".", 1)
    if place.startswith("model.layers."):
        layer, part = place.removeprefix("model.layers.").split(".", 1)
        return f"blk.{layer}.{NAMES[part]}.{kind}"
    return f"{NAMES[place]}.{kind}"


def _value(value) -> bytes:
    """A setting: the number of its type, and itself; numbers of a list are signed."""
    if isinstance(value, list):
        number, form = {str: (8, ""), float: (6, "f"), int: (5, "i")}[type(value[0])]
        items = map(_text, value) if number == 8 else [np.array(value, f"<{form}4").tobytes()]
        return struct.pack("<IIQ", 9, number, len(value)) + b"".join(items)
    if isinstance(value, str):
        return struct.pack("<I", 8) + _text(value)
    number, form = {bool: (7, "?"), float: (6, "f"), int: (4, "I")}[type(value)]
    return struct.pack(f"<I{form}", number, value)


def _text(text: str) -> bytes:
    content = text.encode()
    return struct.pack("<Q", len(content)) + content


def _aligned(content: bytes) -> bytes:
    return content + bytes(-len(content) % ALIGNMENT)
