from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

from promptkit.errors import SettingError
from promptkit.training.targets import find_linear, resolve_targets

COMMON = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
GATED = ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"]
BLOOM = ["dense", "dense_4h_to_h", "dense_h_to_4h", "query_key_value"]
CASES = {
    "gpt2": ({"n_embd": 32, "n_layer": 2, "n_head": 4}, ["c_attn", "c_fc", "c_proj"], ["attn.c_proj", "c_attn"]),
    "bloom": ({"hidden_size": 32, "n_layer": 2, "n_head": 4}, BLOOM, ["dense", "query_key_value"]),
    "falcon": (COMMON, BLOOM, ["dense", "query_key_value"]),
    "gpt_neox": (COMMON, BLOOM, ["dense", "query_key_value"]),
    "llama": (COMMON, GATED, ["k_proj", "o_proj", "q_proj", "v_proj"]),
    "mistral": ({**COMMON, "num_key_value_heads": 2}, GATED, ["k_proj", "o_proj", "q_proj", "v_proj"]),
    "qwen2": (COMMON, GATED, ["k_proj", "o_proj", "q_proj", "v_proj"]),
    "qwen3": (COMMON, GATED, ["k_proj", "o_proj", "q_proj", "v_proj"]),
    "gemma": (COMMON, GATED, ["k_proj", "o_proj", "q_proj", "v_proj"]),
    "phi": (COMMON, ["dense", "fc1", "fc2", "k_proj", "q_proj", "v_proj"], ["dense", "k_proj", "q_proj", "v_proj"]),
    "opt": (
        {**COMMON, "ffn_dim": 64, "word_embed_proj_dim": 32},
        ["fc1", "fc2", "k_proj", "out_proj", "q_proj", "v_proj"],
        ["k_proj", "out_proj", "q_proj", "v_proj"],
    ),
    "t5": ({"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}, ["k", "o", "q", "v", "wi", "wo"], ["k", "o", "q", "v"]),
}  # fmt: skip


def empty(kind: str, **fields: object) -> nn.Module:
    config = AutoConfig.for_model(kind, vocab_size=100, **{**CASES[kind][0], **fields})
    with torch.device("meta"):
        return (AutoModelForSeq2SeqLM if kind == "t5" else AutoModelForCausalLM).from_config(config)


def selected(model: nn.Module, names: list[str]) -> set[str]:
    """What PEFT would select by these names: whole paths, or their ends."""
    paths = [path for path, _ in model.named_modules()]
    return {path for path in paths if path in names or any(path.endswith(f".{name}") for name in names)}


@pytest.mark.parametrize("kind", CASES)
def test_groups_are_found_on_every_architecture(kind: str) -> None:
    _, everything, attention = CASES[kind]
    model = empty(kind)
    assert resolve_targets(model, "all-linear") == everything
    assert selected(model, everything) == set(find_linear(model))
    assert resolve_targets(model, "attention") == attention
    assert all("attention" in path.lower() or "attn" in path for path in selected(model, attention))


@pytest.mark.parametrize("tied", [True, False])
def test_the_output_head_is_never_a_target(tied: bool) -> None:
    model = empty("gpt_neox", tie_word_embeddings=tied)
    assert "lm_head" in dict(model.named_modules())
    assert "lm_head" not in selected(model, resolve_targets(model, "all-linear"))
    with pytest.raises(SettingError, match="without the output head"):
        resolve_targets(model, ["dense", "lm_head"])


def test_a_name_that_would_select_more_is_lengthened() -> None:
    """The bad twin of ``dense``: a head of that very name."""
    block = nn.ModuleDict({"dense": nn.Linear(2, 2), "norm": nn.LayerNorm(2)})
    model = nn.ModuleDict({"body": nn.ModuleDict({"0": block}), "dense": nn.Linear(2, 9)})
    model.get_output_embeddings = lambda: model["dense"]
    names = resolve_targets(model, "all-linear")
    assert names == ["0.dense"] and selected(model, names) == {"body.0.dense"}


def test_names_are_taken_as_they_are() -> None:
    model = empty("llama")
    assert resolve_targets(model, ("v_proj", "self_attn.q_proj", "v_proj")) == ["self_attn.q_proj", "v_proj"]
    assert resolve_targets(model, ["model.layers.1.mlp.up_proj"]) == ["model.layers.1.mlp.up_proj"]


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ("q_proj", "targets must be one of 'all-linear', 'attention' or a list of names of layers, got 'q_proj'"),
        (".*_proj", "or a list of names of layers"),
        ([], "at least one name"),
        ([""], "at least one name"),
        (["layers"], "'model.layers' is of class ModuleList"),
        (["input_layernorm"], "is of class LlamaRMSNorm"),
        (["proj"], "did you mean"),
        (["mlp"], "did you mean 'gate_proj' or 'up_proj' or 'down_proj'?"),
        (["q_proj", "(a+)+$"], "got '(a+)+$'"),
    ],
)  # fmt: skip
def test_other_names_are_refused(targets: object, message: str) -> None:
    with pytest.raises(SettingError) as caught:
        resolve_targets(empty("llama"), targets)  # type: ignore[arg-type]
    assert message in str(caught.value)


def test_a_model_without_linear_layers_has_no_group() -> None:
    with pytest.raises(SettingError, match="this model has 0 linear layers"):
        resolve_targets(nn.ModuleDict({"norm": nn.LayerNorm(2)}), "all-linear")
