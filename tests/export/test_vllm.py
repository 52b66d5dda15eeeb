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


def matrices(rank=8, module=Q, dtype=np.float32):
    return {
        f"{module}.lora_A.weight": np.zeros((rank, 4), dtype),
        f"{module}.lora_B.weight": np.zeros((4, rank), dtype),
    }


TENSORS = matrices()


@pytest.fixture
def folder(tmp_path):
    def write(change=None, tensors=None):
        if tensors is None:
            tensors = matrices((change or {}).get("r") or 8)
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
        ({"target_modules": []}, "target_modules is missing"),
        ({"target_modules": 5}, "target_modules is missing"),
        ({"target_modules": [5]}, "target_modules holds 5, which is no name of a layer"),
        ({"target_modules": ["q_proj", "(a+)+$"]}, "target_modules holds '(a+)+$', which is no name of a layer"),
        ({"target_modules": r".*\\.q_proj"}, "which is not run here; list the names of the layers"),
        ({"target_modules": ["q_proj", "v_proj"]}, "target_modules names 'v_proj', for which there are no tensors"),
        ({"target_modules": ["q_proj", "a", "b"]}, "target_modules names 'a', for which there are no tensors, and 1 more"),
        ({"lora_alpha": None}, "lora_alpha is missing"),
        ({"lora_alpha": 0}, "lora_alpha is 0 and must be a number above 0"),
        ({"lora_alpha": -16.0}, "lora_alpha is -16.0 and must be a number above 0"),
        ({"lora_alpha": True}, "lora_alpha is missing"),
        ({"use_qalora": True}, "use_qalora is set: vLLM would compute plain LoRA, and answer wrongly"),
        ({"alora_invocation_tokens": [1, 2]}, "alora_invocation_tokens is set"),
        ({"layer_replication": [[0, 2]]}, "layer_replication is set"),
        ({"target_parameters": ["experts.gate_up_proj"]}, "target_parameters is set"),
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


A, B = f"{Q}.lora_A.weight", f"{Q}.lora_B.weight"
V = Q.replace("q_proj", "v_proj")


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({A: TENSORS[A]}, "q_proj has lora_A.weight and no lora_B.weight; save the adapter again, whole"),
        ({B: TENSORS[B]}, "q_proj has lora_B.weight and no lora_A.weight"),
        ({A: TENSORS[A], B: np.zeros((4, 4), np.float32)}, "has shape [4, 4] and must be [outputs, 8] by r"),
        ({A: np.zeros((4, 4), np.float32), B: TENSORS[B]}, "has shape [4, 4] and must be [8, inputs] by r"),
        (matrices(4), "has shape [4, 4] and must be [8, inputs] by r, and 1 more like it"),
        ({A: np.zeros(8, np.float32), B: TENSORS[B]}, "has shape [8] and must be [8, inputs]"),
        ({A: np.zeros((8, 0), np.float32), B: TENSORS[B]}, "has shape [8, 0]"),
        ({A: TENSORS[A], B: TENSORS[B].astype(np.float64)}, "is of type F64 and must be one of 'F32', 'BF16', 'F16'"),
        (matrices(dtype=np.int8), "is of type I8"),
        ({A: TENSORS[A], B: np.full((4, 8), np.nan, np.float32)}, "holds NaN or infinity; train again"),
        ({A: np.full((8, 4), np.inf, np.float16), B: TENSORS[B]}, "holds NaN or infinity"),
        (TENSORS | matrices(module=V), "v_proj has tensors and is not among target_modules"),
        ({}, "holds no tensors"),
        (TENSORS | {"base_model.model.lm_head.weight": np.zeros((9, 4), np.float32)}, "a name that vLLM does not know"),
        (TENSORS | {"base_model.model.model.embed_tokens.lora_embedding_A": np.zeros((8, 9), np.float32)}, "a name that"),
    ],
)  # fmt: skip
def test_tensors_that_would_answer_wrongly_are_a_problem(folder, tensors, message):
    (problem,) = pk.check_vllm(folder(tensors=tensors))
    assert message in problem


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("targets", [["q_proj", "v_proj"], ["self_attn.q_proj", "v_proj"], "all-linear"])
def test_several_layers_are_taken_as_they_are_named(folder, dtype, targets):
    tensors = matrices(dtype=dtype) | matrices(module=V, dtype=dtype)
    assert pk.check_vllm(folder({"target_modules": targets}, tensors)) == []
    assert len(pk.check_vllm(folder({"target_modules": ["q_proj", "k_proj"]}, tensors))) == 2  # the twin


def test_a_text_of_target_modules_names_one_whole_path(folder):
    """PEFT takes a text for a pattern of the whole path, under which a bare name selects nothing."""
    assert pk.check_vllm(folder({"target_modules": Q.removeprefix("base_model.model.")})) == []
    assert len(pk.check_vllm(folder({"target_modules": "q_proj"}))) == 2


@pytest.mark.parametrize("name", ["new_embeddings.safetensors", "new_embeddings.bin"])
def test_new_rows_of_the_vocabulary_are_a_problem(folder, name):
    path = folder()
    (path / name).write_bytes(b"")
    assert pk.check_vllm(path) == [f"{name} is there: vLLM takes no new rows of the vocabulary"]


def test_an_empty_folder_is_a_problem(tmp_path):
    assert pk.check_vllm(tmp_path) == ["adapter_config.json is missing: no folder in the format of PEFT"]
    (tmp_path / "adapter_config.json").write_text(json.dumps(GOOD))
    assert pk.check_vllm(tmp_path) == ["adapter_model.safetensors is missing"]
