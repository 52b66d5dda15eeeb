"""Made-up weights for tiny models, and what plain transformers computes with them: an oracle without hooks or batches."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, DynamicCache
from transformers.pytorch_utils import Conv1D

from promptkit.backends.local.backend import LocalBackend
from promptkit.types import Weights

Array = np.ndarray[Any, np.dtype[np.float32]]


def linear_layers(model: Any) -> dict[str, Any]:
    head = model.get_output_embeddings()
    kinds = (torch.nn.Linear, Conv1D)
    return {path: layer for path, layer in model.named_modules() if isinstance(layer, kinds) and layer is not head}


def sizes(layer: Any) -> tuple[int, int]:
    """Inputs and outputs of a linear layer."""
    if isinstance(layer, Conv1D):
        return layer.weight.shape[0], layer.weight.shape[1]
    return layer.in_features, layer.out_features


def draw(seed: int, *shape: int, scale: float = 1.0) -> Array:
    return (np.random.default_rng(seed).normal(size=shape) * scale).astype(np.float32)


def soft_prompt(backend: LocalBackend, seed: int = 0, tokens: int = 5) -> Weights:
    table = backend.model.get_input_embeddings().weight
    vectors = draw(seed, tokens, table.shape[1], scale=float(table.detach().std()))
    config = {
        "peft_type": "PROMPT_TUNING",
        "task_type": "SEQ_2_SEQ_LM" if backend.model.config.is_encoder_decoder else "CAUSAL_LM",
        "num_virtual_tokens": tokens,
        "token_dim": table.shape[1],
        "num_transformer_submodules": 1,
        "inference_mode": True,
    }
    return Weights("soft_prompt", config, {"prompt_embeddings": vectors}, backend.fingerprint())


def prefix(backend: LocalBackend, seed: int = 0, tokens: int = 5) -> Weights:
    layers = backend._loaded.prefix([0]).layers
    heads, size = layers[0][0].shape[1], layers[0][0].shape[3]
    config = {
        "peft_type": "PREFIX_TUNING",
        "task_type": "CAUSAL_LM",
        "num_virtual_tokens": tokens,
        "token_dim": heads * size,
        "num_attention_heads": heads,
        "num_layers": len(layers),
        "num_transformer_submodules": 1,
        "inference_mode": True,
    }
    numbers = draw(seed, tokens, len(layers) * 2 * heads * size)
    return Weights("prefix", config, {"prompt_embeddings": numbers}, backend.fingerprint())


def lora(
    backend: LocalBackend,
    seed: int = 0,
    *,
    variant: str = "lora",
    rank: int = 4,
    targets: list[str] | None = None,
    rank_pattern: dict[str, int] | None = None,
    alpha_pattern: dict[str, float] | None = None,
) -> Weights:
    """A LoRA of any variant; ``targets`` are names as in PEFT, all linear layers by default."""
    layers = linear_layers(backend.model)
    names = targets or sorted({path.rpartition(".")[2] for path in layers})
    rank_pattern = rank_pattern or {}
    tensors: dict[str, Array] = {}
    for at, (path, layer) in enumerate(layers.items()):
        if not any(path == name or path.endswith(f".{name}") for name in names):
            continue
        inputs, outputs = sizes(layer)
        r = next((value for name, value in rank_pattern.items() if path.endswith(name)), rank)
        spread = 1.5 * float(layer.weight.detach().std())
        a, b = draw(seed * 1000 + at, r, inputs), draw(seed * 1000 + at + 500, outputs, r, scale=spread / r)
        if variant == "adalora":
            tensors |= {f"{path}.lora_A": a, f"{path}.lora_B": b, f"{path}.lora_E": draw(seed + at, r, 1)}
            continue
        tensors |= {f"{path}.lora_A.weight": a, f"{path}.lora_B.weight": b}
        if variant == "dora":
            weight = layer.weight.detach() if isinstance(layer, torch.nn.Linear) else layer.weight.detach().T
            norm = weight.norm(dim=1).numpy()
            tensors[f"{path}.lora_magnitude_vector"] = norm * (1 + draw(seed + at, outputs, scale=0.3))
    config: dict[str, Any] = {
        "peft_type": "ADALORA" if variant == "adalora" else "LORA",
        "task_type": "SEQ_2_SEQ_LM" if backend.model.config.is_encoder_decoder else "CAUSAL_LM",
        "lora_alpha": 2 * rank,
        "lora_dropout": 0.0,
        "target_modules": names,
        "fan_in_fan_out": any(isinstance(layer, Conv1D) for layer in layers.values()),
        "inference_mode": True,
    }
    if variant == "adalora":
        config |= {"init_r": rank, "target_r": rank, "total_step": 1, "tinit": 0, "tfinal": 0}
    else:
        config |= {"r": rank, "use_rslora": variant == "rslora", "use_dora": variant == "dora"}
        config |= {"rank_pattern": rank_pattern, "alpha_pattern": alpha_pattern or {}}
    return Weights("lora", config, tensors, backend.fingerprint())


def merged(folder: Path, weights: Weights | None) -> Any:
    """The model as transformers alone loads it, with a plain LoRA added to its weight matrices."""
    model = plain_model(folder)
    if weights is None:
        return model
    model = copy.deepcopy(model)
    for path, layer in linear_layers(model).items():
        if f"{path}.lora_A.weight" not in weights.tensors:
            continue
        a, b = (torch.from_numpy(weights.tensors[f"{path}.lora_{part}.weight"]) for part in "AB")
        change = b @ a * (weights.config["lora_alpha"] / weights.config["r"])
        with torch.no_grad():
            layer.weight += change.T if isinstance(layer, Conv1D) else change
    return model


_models: dict[Path, Any] = {}


def plain_model(folder: Path) -> Any:
    if folder not in _models:
        seq2seq = "t5" in folder.name
        kind: Any = AutoModelForSeq2SeqLM if seq2seq else AutoModelForCausalLM
        _models[folder] = kind.from_pretrained(folder, dtype=torch.float32).eval()
    return _models[folder]


def oracle(folder: Path, ids: list[int], new: int, soft: Weights | None, low: Weights | None) -> tuple[list[int], Any]:
    """Greedy tokens and the logits of the first, for one prompt alone, step by step without any mask."""
    model = merged(folder, low)
    with torch.no_grad():
        vectors = model.get_input_embeddings()(torch.tensor([ids]))
        if soft is not None and soft.kind == "soft_prompt":
            vectors = torch.cat([torch.from_numpy(soft.tensors["prompt_embeddings"])[None], vectors], dim=1)
        if model.config.is_encoder_decoder:
            return _seq2seq(model, vectors, new)
        cache = DynamicCache(config=model.config)
        if soft is not None and soft.kind == "prefix":
            given = torch.from_numpy(soft.tensors["prompt_embeddings"])
            count = soft.config["num_layers"]
            heads = soft.config["num_attention_heads"]
            given = given.view(len(given), count, 2, heads, -1).permute(1, 2, 3, 0, 4)
            for layer in range(count):
                cache.update(given[layer, 0][None], given[layer, 1][None], layer)
        logits = model(inputs_embeds=vectors, past_key_values=cache, use_cache=True).logits[0, -1]
        first, tokens = logits, [int(logits.argmax())]
        while len(tokens) < new and tokens[-1] != model.config.eos_token_id:
            logits = model(torch.tensor([tokens[-1:]]), past_key_values=cache, use_cache=True).logits[0, -1]
            tokens.append(int(logits.argmax()))
    return tokens, first


def _seq2seq(model: Any, vectors: Any, new: int) -> tuple[list[int], Any]:
    tokens = [model.config.decoder_start_token_id]
    first = None
    while len(tokens) <= new and (len(tokens) == 1 or tokens[-1] != model.config.eos_token_id):
        logits = model(inputs_embeds=vectors, decoder_input_ids=torch.tensor([tokens])).logits[0, -1]
        first = logits if first is None else first
        tokens.append(int(logits.argmax()))
    return tokens[1:], first
