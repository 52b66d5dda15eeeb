"""LoRA on as many architectures of transformers as can be built tiny: usable in every way, or refused before step 1."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import promptkit as pk
from promptkit.types import ScoreRequest

S: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}
"""Sizes of most; what a configuration does not know is ignored."""
HEAD = {**S, "head_dim": 8}
GPT: dict[str, Any] = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 512}
FULL = {**S, "num_key_value_heads": 4}
MOE = {**HEAD, "moe_intermediate_size": 16, "num_experts_per_tok": 2}
ROUTED = {
    **MOE,
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
    "n_group": 1,
    "topk_group": 1,
}
MLA = {"num_key_value_heads": 4, "kv_lora_rank": 8, "q_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4}
LOCAL = {**HEAD, "num_local_experts": 4, "num_experts_per_tok": 2}
FEW = {**HEAD, "num_experts": 4, "num_experts_per_tok": 2}
SSM = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_n_groups": 1}
SEQ: dict[str, Any] = {
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 48,
    "num_layers": 2,
    "num_heads": 4,
    "decoder_start_token_id": 0,
}
BART: dict[str, Any] = {
    "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "max_position_embeddings": 512, "decoder_start_token_id": 0,
}  # fmt: skip
USABLE: dict[str, dict[str, Any]] = {
    "llama": S, "mistral": HEAD, "gemma": HEAD, "gemma2": {**HEAD, "query_pre_attn_scalar": 8}, "phi": FULL, "phi3": S,
    "gpt2": GPT, "gpt_bigcode": GPT, "gptj": {**GPT, "rotary_dim": 4}, "codegen": {**GPT, "rotary_dim": 4},
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4}, "falcon": FULL, "gpt_neox": FULL,
    "gpt_neo": {**S, "num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]]},
    "opt": {**FULL, "ffn_dim": 48, "word_embed_proj_dim": 32}, "qwen2": S, "qwen3": HEAD, "olmo2": S, "cohere": S,
    "granite": S, "stablelm": S, "starcoder2": S, "persimmon": FULL, "gemma3_text": {**HEAD, "query_pre_attn_scalar": 8},
    "mpt": {"d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 512}, "ctrl": {**GPT, "dff": 48},
    "mixtral": LOCAL, "qwen2_moe": {**MOE, "num_experts": 4, "shared_expert_intermediate_size": 16},
    "qwen3_moe": {**MOE, "num_experts": 4, "mlp_only_layers": [0]}, "olmoe": FEW, "phimoe": LOCAL, "granitemoe": LOCAL,
    "granitemoeshared": {**LOCAL, "shared_intermediate_size": 16}, "gpt_oss": LOCAL, "flex_olmo": FEW,
    "glm4_moe": ROUTED, "dots1": ROUTED, "solar_open": ROUTED, "minimax_m2": LOCAL,
    "deepseek_v2": {**ROUTED, **MLA, "v_head_dim": 8}, "deepseek_v3": {**ROUTED, **MLA, "head_dim": 4, "v_head_dim": 8},
    "llama4_text": {**LOCAL, "intermediate_size_mlp": 48, "num_experts_per_tok": 1},
    "jetmoe": {**S, "kv_channels": 8, "num_local_experts": 4, "num_experts_per_tok": 2},
    "ernie4_5_moe": {**MOE, "moe_num_experts": 4, "moe_k": 2, "moe_num_shared_experts": 1, "moe_layer_start_index": 1},
    "hunyuan_v1_moe": {**HEAD, "num_experts": 4, "moe_topk": 2}, "t5": SEQ, "bart": BART,
}  # fmt: skip
"""Architectures on which a LoRA of all linear layers is usable."""
ODD: dict[str, dict[str, Any]] = {
    "mamba": {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4},
    "mamba2": {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8, "num_heads": 8, "head_dim": 8, "n_groups": 1},
    "falcon_h1": {**HEAD, **SSM, "mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_chunk_size": 8},
    "jamba": {**FEW, "mamba_d_state": 4, "attn_layer_period": 2, "attn_layer_offset": 1, "use_mamba_kernels": False},
    "bamba": {**S, **SSM, "attn_layer_indices": [1]},
    "granitemoehybrid": {**LOCAL, **SSM, "shared_intermediate_size": 16, "layer_types": ["mamba", "attention"]},
    "nemotron_h": {**HEAD, "hybrid_override_pattern": "M*-", "mamba_num_heads": 8, "mamba_head_dim": 8, "n_groups": 1},
    "recurrent_gemma": {**S, "lru_width": 32, "attention_window_size": 64},
    "rwkv": {"hidden_size": 32, "num_hidden_layers": 2, "attention_hidden_size": 32, "context_length": 512},
    "lfm2": {**S, "layer_types": ["conv", "full_attention"]},
    "xlnet": {"d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 48}, "openai-gpt": GPT,
    "switch_transformers": {**SEQ, "num_experts": 4, "expert_capacity": 64},
    "nllb-moe": {**BART, "num_experts": 4, "expert_capacity": 64, "encoder_sparse_step": 2, "decoder_sparse_step": 2},
}  # fmt: skip
"""Architectures with layers that are not attention, without a cache, or with experts that see rows out of order."""
TASK = pk.load_task("tone")
EXAMPLES = [pk.Example(pk.Query({"message": f"so be it {i}"}, f"e{i}"), (("calm", "angry")[i % 2],)) for i in range(6)]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:LoRA.targets"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


def save_tiny(kind: str, fields: dict[str, Any], make_tokenizer: Callable[..., Any], folder: Path) -> Path:
    tokenizer = make_tokenizer()
    ids = {"vocab_size": len(tokenizer), "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}
    config = transformers.AutoConfig.for_model(kind, **{**ids, **fields})
    causal, seq2seq = transformers.AutoModelForCausalLM, transformers.AutoModelForSeq2SeqLM
    torch.manual_seed(0)
    model = (seq2seq if config.is_encoder_decoder else causal).from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(4)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def opened(folder: Path) -> pk.LocalBackend:
    try:
        return pk.LocalBackend(folder, device="cpu", chat=False)
    except pk.SettingError:  # a configuration without a window
        return pk.LocalBackend(folder, device="cpu", chat=False, max_context=512)


def scores(backend: pk.LocalBackend, predictor: pk.PlanPredictor, lora: Any) -> Any:
    asked = [predictor.ask(one.query).prompt for one in EXAMPLES]
    found = backend.score([ScoreRequest(prompt, (" a", " be"), lora=lora) for prompt in asked])
    return np.array([[value for value, _ in row] for row in found])


def check(folder: Path, backend: pk.LocalBackend, adapter: pk.LoRA, steps: list[int], tmp_path: Path) -> None:
    plan = pk.estimate(folder, adapter)
    predictor = adapter.fit(EXAMPLES, backend, progress=lambda step, *_: steps.append(step))
    assert predictor.lora is not None and predictor.training is not None
    assert sum(each.size for each in predictor.lora.tensors.values()) == plan.trainable_parameters
    assert predictor.training.trainable_parameters == plan.trainable_parameters
    assert predictor.notes.get("left_out", []) == list(plan.left_out)
    queries = [one.query for one in EXAMPLES]
    answers = [one.text for one in predictor.predict(queries)]
    learned = scores(backend, predictor, predictor.lora)
    assert np.abs(learned - scores(backend, predictor, None)).max() > 1e-3
    predictor.save(tmp_path / "saved")
    again = pk.load(tmp_path / "saved", backend)
    assert again.lora == predictor.lora and [one.text for one in again.predict(queries)] == answers
    predictor.export(tmp_path / "merged", to="merged")
    np.testing.assert_allclose(scores(opened(tmp_path / "merged"), predictor, None), learned, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("kind", USABLE)
def test_a_lora_is_usable(kind: str, make_tokenizer: Callable[..., Any], tmp_path: Path) -> None:
    folder = save_tiny(kind, USABLE[kind], make_tokenizer, tmp_path / "model")
    adapter = pk.LoRA(TASK, rank=2, epochs=2, batch_size=4, learning_rate=0.05, precision="float32", max_new_tokens=4)
    check(folder, opened(folder), adapter, [], tmp_path)


@pytest.mark.parametrize("variant", ["rslora", "dora", "adalora"])
@pytest.mark.parametrize("kind", ["gpt2", "mixtral", "qwen3_moe", "llama4_text", "t5"])
def test_its_variants_are_usable(kind: str, variant: Any, make_tokenizer: Callable[..., Any], tmp_path: Path) -> None:
    folder = save_tiny(kind, USABLE[kind], make_tokenizer, tmp_path / "model")
    adapter = pk.LoRA(
        TASK, rank=2, epochs=6, batch_size=3, learning_rate=0.05, precision="float32", max_new_tokens=4, variant=variant
    )
    check(folder, opened(folder), adapter, [], tmp_path)


@pytest.mark.parametrize("kind", ODD)
def test_elsewhere_it_is_usable_or_refused_before_training(
    kind: str, make_tokenizer: Callable[..., Any], tmp_path: Path
) -> None:
    folder, steps = save_tiny(kind, ODD[kind], make_tokenizer, tmp_path / "model"), list[int]()
    try:
        backend = opened(folder)
    except pk.PromptkitError:
        return
    adapter = pk.LoRA(TASK, rank=2, epochs=2, batch_size=4, learning_rate=0.05, precision="float32", max_new_tokens=4)
    try:
        check(folder, backend, adapter, steps, tmp_path)
    except pk.PromptkitError as error:
        assert steps == [], f"{kind} was trained and then could not be used: {error}"
