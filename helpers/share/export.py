"""A model as Hugging Face transformers know it: Qwen2's settings, and our tensors under its names.

Nothing here needs transformers. With it, a trained model becomes theirs by

    theirs = Qwen2ForCausalLM(Qwen2Config(**qwen2_config(model.config)))
    theirs.load_state_dict(qwen2_state(model), strict=False)

where ``strict=False`` lets the output layer be missing: it is the embedding.
"""

from torch import Tensor

from helpers.language import END
from helpers.model import ModelConfig, Transformer


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
