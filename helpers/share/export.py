"""A model as Hugging Face transformers know it: Qwen2's settings, and our tensors under its names.

Nothing here needs transformers. With it, the folder that `export` writes is read by
``AutoModelForCausalLM.from_pretrained``; and in memory a trained model becomes theirs by

    theirs = Qwen2ForCausalLM(Qwen2Config(**qwen2_config(model.config)))
    theirs.load_state_dict(qwen2_state(model), strict=False)

where ``strict=False`` lets the output layer be missing: it is the embedding.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from helpers.checkpoints import load_model, read_checkpoint
from helpers.engine.files import atomic_folder
from helpers.language import END, Vocabulary
from helpers.model import ModelConfig, Transformer
from helpers.share.card import card
from helpers.share.gguf import gguf
from helpers.share.tokenizer import (
    CODE,
    MODULE,
    special_words,
    tokenizer_config,
    tokenizer_json,
    words_of,
)


def export(path: str | Path, folder: str | Path, vocabulary: str = "ours",
           llama_cpp: bool = False) -> list[str]:
    """Writes a checkpoint's model as a Hugging Face folder, whole or not at all.

    Args:
        path: a training's ``model.safetensors``, or a published model.
        folder: nothing, or an empty folder.
        vocabulary: the order of its tokens, see `tokenizer.words_of`.
        llama_cpp: whether ``model.gguf`` is to be there too (`share.gguf`).

    Returns:
        The names of the files: settings, weights (float32), tokenizer, model card.

    Raises:
        CheckpointError: the file is none, or damaged.
        MazeError: no such order of a vocabulary.
        ValueError: a model that is no Qwen2.
        OSError: the folder is not empty, or cannot be written.
    """
    about, tensors = read_checkpoint(path)
    if objective := about["follows_from"].get("objective"):
        raise ValueError(f"objective: got {objective}, takes a model that writes word by word")
    if loops := about["follows_from"]["model"].get("loops"):
        raise ValueError(f"loops: got {loops}, takes a model without loops: Qwen2 has none")
    model = load_model(path)
    corpus = about["follows_from"]["corpus"]
    words = words_of(Vocabulary(corpus["rows"], corpus["cols"]), vocabulary)
    specials, ids = special_words(words), {word: i for i, word in enumerate(words)}
    ends = {"eos_token_id": ids[specials["eos_token"]]}
    config = qwen2_config(model.config) | ends | {
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "dtype": "float32",
        "rope_theta": model.config.rope_theta,  # where transformers before 5 look for it
        "hidden_act": "silu", "use_sliding_window": False, "attention_dropout": 0.0}
    generation = ends | {"pad_token_id": ids[specials["pad_token"]], "do_sample": False,
                         "max_length": model.config.context}
    state = qwen2_state(model)
    order = torch.tensor(list(words.values()))
    state["model.embed_tokens.weight"] = state["model.embed_tokens.weight"][order]
    contents = {"config.json": config, "generation_config.json": generation,
                "tokenizer.json": tokenizer_json(list(words), specials),
                "tokenizer_config.json": tokenizer_config(model.config.context, specials),
                "special_tokens_map.json": specials}
    with atomic_folder(folder) as new:
        for name, content in contents.items():
            (new / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n",
                                    encoding="utf-8")
        (new / "model.safetensors").write_bytes(save(
            {name: value.contiguous() for name, value in state.items()}, {"format": "pt"}))
        if llama_cpp:
            (new / "model.gguf").write_bytes(gguf(config, list(words), specials, state))
        (new / MODULE).write_text(CODE, encoding="utf-8")
        (new / "README.md").write_text(card(about, tensors, vocabulary), encoding="utf-8")
        return sorted(path.name for path in new.iterdir())


def qwen2_config(config: ModelConfig) -> dict:
    """The keyword arguments of transformers' ``Qwen2Config`` for a model of this shape.

    A sequence ends with our ``end``. There is no token for padding: Qwen2 would keep that
    token's embedding from learning.

    Raises:
        ValueError: only some heads know positions, which Qwen2 does not have.
    """
    if config.rotary_heads not in (None, config.kv_heads):
        raise ValueError(f"rotary_heads: got {config.rotary_heads}, takes all {config.kv_heads} "
                         "for an export; Qwen2's heads all know positions")
    return {"vocab_size": config.vocabulary, "hidden_size": config.width,
            "num_hidden_layers": config.layers, "intermediate_size": config.mlp_width,
            "num_attention_heads": config.heads, "num_key_value_heads": config.kv_heads,
            "max_position_embeddings": config.context, "rms_norm_eps": config.norm_eps,
            "initializer_range": config.init_std, "tie_word_embeddings": True,
            "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
            "bos_token_id": None, "eos_token_id": END, "pad_token_id": None}


def qwen2_state(model: Transformer | dict[str, Tensor]) -> dict[str, Tensor]:
    """Our tensors under Qwen2's names, the fused matrices taken apart.

    Args:
        model: a model, or tensors by their names in one: its weights or their gradients.

    Returns:
        Views of the same tensors, not copies. ``lm_head.weight`` is not among them, since it
        is ``model.embed_tokens.weight`` once more.
    """
    ours = model.state_dict() if isinstance(model, Transformer) else model
    theirs = {"model.embed_tokens.weight": ours["embedding.weight"],
              "model.norm.weight": ours["norm.weight"]}
    layers = {int(name.split(".")[1]) for name in ours if name.startswith("blocks.")}
    for layer in sorted(layers):
        source, target = f"blocks.{layer}.", f"model.layers.{layer}."
        out = ours[f"{source}attention.out.weight"]
        for kind in ("weight", "bias"):
            qkv = ours[f"{source}attention.qkv.{kind}"]
            queries = out.shape[1]  # all heads side by side; keys and values share the rest
            keys = (len(qkv) - queries) // 2
            for name, part in zip("qkv", qkv.split([queries, keys, keys]), strict=True):
                theirs[f"{target}self_attn.{name}_proj.{kind}"] = part
        gate, up = ours[f"{source}gate_up.weight"].chunk(2)
        theirs |= {f"{target}self_attn.o_proj.weight": out,
                   f"{target}mlp.gate_proj.weight": gate, f"{target}mlp.up_proj.weight": up,
                   f"{target}mlp.down_proj.weight": ours[f"{source}down.weight"],
                   f"{target}input_layernorm.weight": ours[f"{source}attention_norm.weight"],
                   f"{target}post_attention_layernorm.weight": ours[f"{source}mlp_norm.weight"]}
    return theirs
