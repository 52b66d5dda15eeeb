"""Tiny random models with the reference model's tokenizer, and random weights for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import promptkit as pk
from promptkit.types import Weights

REFERENCE = Path(pk.__file__).parent / "models" / "reference"
COMMON = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
}
SHAPES: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256},
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4, "seq_length": 256},
    "falcon": {**COMMON, "new_decoder_architecture": False, "alibi": False},
    "gpt_neox": COMMON,
    "llama": {**COMMON, "num_key_value_heads": 2, "tie_word_embeddings": True},
    "qwen2": {**COMMON, "num_key_value_heads": 2},
    "gemma": {**COMMON, "num_key_value_heads": 1, "head_dim": 16},
    "phi": COMMON,
    "opt": {**COMMON, "ffn_dim": 64, "word_embed_proj_dim": 32},
    "t5": {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0},
}


@pytest.fixture(scope="session")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., pk.LocalBackend]:
    """A function ``backend(kind, **config)`` that returns a backend of a tiny random model."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

    root, made = tmp_path_factory.mktemp("models"), dict[str, pk.LocalBackend]()

    def build(kind: str = "llama", **options: Any) -> pk.LocalBackend:
        name = "-".join([kind, *(f"{key}{value}" for key, value in options.items())])
        if name not in made:
            fields = {"vocab_size": 2048, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
            config = AutoConfig.for_model(kind, **fields | SHAPES[kind] | options)
            torch.manual_seed(3)
            model = (AutoModelForSeq2SeqLM if kind == "t5" else AutoModelForCausalLM).from_config(config)
            with torch.no_grad():  # the usual small start would make every logit and every position look alike
                for name, parameter in model.named_parameters():
                    if parameter.dim() == 1:
                        parameter.add_(torch.randn_like(parameter) / 10)
                    elif not name.endswith(("embed_tokens.weight", "word_embeddings.weight", "wte.weight")):
                        parameter.mul_(12)
            model.save_pretrained(root / name)
            AutoTokenizer.from_pretrained(REFERENCE).save_pretrained(root / name)
            made[name] = pk.LocalBackend(root / name, max_context=256, chat=False)
        return made[name]

    return build


def _soft_prompt(backend: pk.LocalBackend, tokens: int = 5) -> Weights:
    width = backend.model.get_input_embeddings().weight.shape[1]
    task = "SEQ_2_SEQ_LM" if backend.model.config.is_encoder_decoder else "CAUSAL_LM"
    config = {"peft_type": "PROMPT_TUNING", "task_type": task, "num_virtual_tokens": tokens, "token_dim": width}
    spread = float(backend.model.get_input_embeddings().weight.detach().std())
    vectors = spread * np.random.default_rng(4).standard_normal((tokens, width))
    return Weights("soft_prompt", config, {"prompt_embeddings": vectors.astype(np.float32)}, backend.fingerprint())


def _prefix(backend: pk.LocalBackend, tokens: int = 5) -> Weights:
    config = backend.model.config
    heads, layers = config.num_key_value_heads, config.num_hidden_layers
    width = heads * config.hidden_size // config.num_attention_heads
    fields = {
        "peft_type": "PREFIX_TUNING",
        "task_type": "CAUSAL_LM",
        "num_virtual_tokens": tokens,
        "token_dim": width,
        "num_layers": layers,
        "num_attention_heads": heads,
    }
    values = np.random.default_rng(6).standard_normal((tokens, 2 * layers * width)).astype(np.float32)
    return Weights("prefix", fields, {"prompt_embeddings": values}, backend.fingerprint())


def _low_rank(backend: pk.LocalBackend, variant: str = "lora", rank: int = 3) -> Weights:
    """Random weights of a size that changes answers, on every linear layer."""
    from transformers.pytorch_utils import Conv1D

    from promptkit.artifacts.peft_config import canonical_config
    from promptkit.training.targets import find_linear, resolve_targets

    layers: dict[str, Any] = find_linear(backend.model)
    config: dict[str, Any] = {
        "peft_type": "ADALORA" if variant == "adalora" else "LORA",
        "task_type": "SEQ_2_SEQ_LM" if backend.model.config.is_encoder_decoder else "CAUSAL_LM",
        "lora_alpha": 4.0,
        "target_modules": resolve_targets(backend.model, "all-linear"),
        "fan_in_fan_out": any(isinstance(layer, Conv1D) for layer in layers.values()),
    }
    if variant == "adalora":
        config |= {"init_r": rank, "target_r": rank - 1}
    else:
        config |= {"r": rank, "use_rslora": variant == "rslora", "use_dora": variant == "dora"}
    draw, tensors = np.random.default_rng(5), {}
    for path, layer in layers.items():
        outputs, inputs = layer.weight.shape[::-1] if isinstance(layer, Conv1D) else layer.weight.shape
        end = "" if variant == "adalora" else ".weight"
        size = 1.5 * float(layer.weight.detach().std())
        tensors[f"{path}.lora_A{end}"] = draw.standard_normal((rank, inputs))
        tensors[f"{path}.lora_B{end}"] = size * draw.standard_normal((outputs, rank)) / rank
        if variant == "adalora":
            tensors[f"{path}.lora_E"] = draw.standard_normal((rank, 1))
        if variant == "dora":
            tensors[f"{path}.lora_magnitude_vector"] = size * inputs**0.5 * (1 + draw.random(outputs))
    tensors = {name: tensor.astype(np.float32) for name, tensor in tensors.items()}
    return Weights("lora", canonical_config(config), tensors, backend.fingerprint())


def _predictor(backend: Any, soft_prompt: Weights | None = None, lora: Weights | None = None) -> pk.PlanPredictor:
    plan = pk.Plan(kind="lora", form="completion", shots=0, max_new_tokens=8)
    return pk.PlanPredictor(plan, pk.load_task("notation"), backend, {}, soft_prompt, lora)


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """The functions ``soft_prompt``, ``prefix``, ``low_rank`` (random weights for a backend) and ``predictor``."""
    return SimpleNamespace(soft_prompt=_soft_prompt, prefix=_prefix, low_rank=_low_rank, predictor=_predictor)
