"""Export of the training model to a plain transformers folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from model import Llama
from torch import Tensor


def to_transformers(model: Llama, *, copy: bool = True) -> dict[str, Tensor]:
    """Maps the stacked weights to the names of ``LlamaForCausalLM``: float32 copies, or views of the weights."""
    state: dict[str, Tensor] = {
        "model.embed_tokens.weight": model.embed,
        "model.norm.weight": model.final_norm,
    }
    for index in range(model.config.num_hidden_layers):
        prefix = f"model.layers.{index}."
        for name, matrix in zip("qkvo", model.attn[index], strict=True):
            state[f"{prefix}self_attn.{name}_proj.weight"] = matrix
        gate, up, down = model.mlp[index]
        state[f"{prefix}mlp.gate_proj.weight"] = gate
        state[f"{prefix}mlp.up_proj.weight"] = up
        state[f"{prefix}mlp.down_proj.weight"] = down.T
        state[f"{prefix}input_layernorm.weight"] = model.norms[index, 0]
        state[f"{prefix}post_attention_layernorm.weight"] = model.norms[index, 1]
    if not copy:
        return state
    return {name: tensor.detach().float().contiguous() for name, tensor in state.items()}


@torch.no_grad()
def load_exported(model: Llama, folder: Path) -> None:
    """Fills a model with the weights of a folder that ``export`` wrote.

    Args:
        model: The model to fill, of the same shape.
        folder: The transformers folder.

    Raises:
        ValueError: If a tensor is missing or has another shape.
    """
    from safetensors.torch import load_file

    saved = load_file(folder / "model.safetensors")
    for name, target in to_transformers(model, copy=False).items():
        if name not in saved or saved[name].shape != target.shape:
            raise ValueError(f"{folder}: {name} must have shape {tuple(target.shape)}")
        target.copy_(saved[name])


@torch.no_grad()
def export(model: Llama, folder: Path, special: dict[str, Any]) -> float:
    """Writes a plain transformers folder with bfloat16 weights.

    Args:
        model: The trained model; its weights are left as they are.
        folder: Where config.json, model.safetensors and generation_config.json go.
        special: Values for ``bos_token_id``, ``eos_token_id`` and ``pad_token_id``.

    Returns:
        The largest absolute difference between the logits of both implementations
        in float32, measured before the weights are rounded.

    Raises:
        RuntimeError: If that difference reaches 1e-3.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    shape: dict[str, Any] = dict(vars(model.config))
    theta = shape.pop("rope_theta")
    config = LlamaConfig(
        **shape,
        num_key_value_heads=model.config.num_attention_heads,
        rope_parameters={"rope_type": "default", "rope_theta": theta},
        tie_word_embeddings=True,
        attention_bias=False,
        mlp_bias=False,
        use_cache=True,
        **special,
    )
    exported = LlamaForCausalLM(config).eval()
    missing, unexpected = exported.load_state_dict(to_transformers(model), strict=False)
    if unexpected or set(missing) - {"lm_head.weight"}:
        raise RuntimeError(f"weights do not match: missing {missing}, unexpected {unexpected}")
    exported.tie_weights()
    reference = Llama(model.config, dtype=torch.float32)
    reference.load_state_dict(model.state_dict())
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, model.config.vocab_size, (2, 64), generator=generator)
    difference = float((reference(tokens) - exported(tokens).logits).abs().max())
    if not difference < 1e-3:
        raise RuntimeError(f"exported logits differ by {difference}")
    exported.to(torch.bfloat16).save_pretrained(folder)
    return difference


def read_special_tokens(tokenizer: Path | None) -> tuple[int | None, dict[str, Any]]:
    """Reads the vocabulary size and the special token ids of a tokenizer folder.

    Args:
        tokenizer: A folder with ``tokenizer.json``, or None.

    Returns:
        The vocabulary size (None without a folder) and the special token ids.
    """
    special: dict[str, Any] = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"))
    if tokenizer is None:
        return None, special
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(tokenizer)
    return len(loaded), {name: getattr(loaded, name) for name in special}
