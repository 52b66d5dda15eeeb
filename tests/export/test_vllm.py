from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import save

import promptkit as pk

GOOD = {
    "peft_type": "LORA",
    "r": 8,
    "lora_alpha": 16,
    "target_modules": ["q_proj"],
    "bias": "none",
    "modules_to_save": None,
    "init_lora_weights": True,
    "use_dora": False,
    "rank_pattern": {},
}
Q = "base_model.model.model.layers.0.self_attn.q_proj"
TENSORS = {f"{Q}.lora_A.weight": np.zeros((8, 4), np.float32), f"{Q}.lora_B.weight": np.zeros((4, 8), np.float32)}


@pytest.fixture
def folder(tmp_path):
    def write(change=None, tensors=TENSORS):
        (tmp_path / "adapter_config.json").write_text(json.dumps({**GOOD, **(change or {})}))
        (tmp_path / "adapter_model.safetensors").write_bytes(save(dict(tensors)))
        return tmp_path

    return write


@pytest.mark.parametrize(
    "change",
    [{}, {"use_rslora": True}, {"r": 16}, {"target_modules": "all-linear"}, {"init_lora_weights": "gaussian"}, {"bias": "none"}],
)  # fmt: skip
def test_plain_lora_is_taken(folder, change):
    assert pk.check_vllm(folder(change)) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"r": 17}, "r is 17, above the server's max_lora_rank of 16; start vLLM with --max-lora-rank 32"),
        ({"r": 1000}, "train with a rank of at most 512"),
        ({"r": None}, "r is None"),
        ({"use_dora": True}, "vLLM has no DoRA"),
        ({"bias": "all"}, "bias is trained"),
        ({"lora_bias": True}, "bias is trained"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save is set"),
        ({"init_lora_weights": "pissa_niter_4"}, "init_lora_weights is 'pissa_niter_4': it changed the base model"),
        ({"init_lora_weights": "olora"}, "it changed the base model"),
        ({"rank_pattern": {"q_proj": 4}}, "rank_pattern is set"),
        ({"alpha_pattern": {"q_proj": 4}}, "alpha_pattern is set"),
        ({"target_modules": None}, "target_modules is missing"),
        ({"lora_alpha": None}, "lora_alpha is missing"),
        ({"peft_type": "ADALORA"}, "peft_type is ADALORA"),
        ({"peft_type": "PROMPT_TUNING"}, "takes no soft prompt as an adapter; export it with to='prompt-embeds'"),
        ({"peft_type": "PREFIX_TUNING"}, "takes no soft prompt as an adapter"),
        ({"peft_type": "OFT"}, "peft_type is 'OFT'"),
        ({"peft_type": None}, "peft_type is None"),
    ],
)  # fmt: skip
def test_a_problem_is_named_and_stands_alone(folder, change, message):
    (problem,) = pk.check_vllm(folder(change))
    assert message in problem


def test_every_problem_is_named(folder):
    assert len(pk.check_vllm(folder({"r": 64, "use_dora": True, "bias": "all"}))) == 3


def test_a_server_that_allows_more_takes_more(folder):
    assert pk.check_vllm(folder({"r": 64}), max_lora_rank=64) == []
    with pytest.raises(pk.SettingError, match="max_lora_rank must be one of '1', '8'"):
        pk.check_vllm(folder(), max_lora_rank=17)


@pytest.mark.parametrize(
    "name", [f"{Q}.lora_magnitude_vector", f"{Q}.lora_E", "model.q_proj.lora_A.weight", f"{Q}.bias"]
)
def test_tensors_of_another_family_are_refused(folder, name):
    (problem,) = pk.check_vllm(folder(tensors={**TENSORS, name: np.zeros(4, np.float32)}))
    assert repr(name) in problem


def test_damaged_folders_are_a_problem_and_no_crash(folder, tmp_path):
    path = folder()
    (path / "adapter_model.safetensors").write_bytes(b"\x80\x04rubbish")
    assert "header" in pk.check_vllm(path)[0]
    (path / "adapter_model.safetensors").rename(path / "adapter_model.bin")
    assert pk.check_vllm(path) == [
        "adapter_model.safetensors is missing; adapter_model.bin is a pickle, which is not opened here"
    ]
    for text in ("[]", "{", '{"r": NaN}'):
        (path / "adapter_config.json").write_text(text)
        assert len(pk.check_vllm(path)) == 1
    assert "adapter_config.json is missing" in pk.check_vllm(tmp_path / "nowhere")[0]
