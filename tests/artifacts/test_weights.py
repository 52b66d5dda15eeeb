from __future__ import annotations

import copy
import json
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from promptkit.artifacts.peft_config import MAX_RANK, canonical_config, peft_config
from promptkit.artifacts.weights import (
    CONFIG_FILE,
    TENSOR_FILE,
    read_peft_folder,
    weights_from_files,
    weights_to_files,
)
from promptkit.errors import ArtifactError
from promptkit.types import Weights

TASK = {"task_type": "CAUSAL_LM"}
MODULES = ("model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.q_proj", "model.layers.1.mlp.up_proj")
KINDS = ("lora", "dora", "patterns", "adalora", "masked", "prompt", "prefix")


def numbers(*shape: int) -> np.ndarray:
    """Numbers that every floating-point type holds exactly."""
    return (np.arange(np.prod(shape)).reshape(shape) % 61 / 8 - 3).astype(np.float32)


def low_rank(names: tuple[str, ...], ranks: list[int]) -> dict[str, np.ndarray]:
    tensors = {}
    for module, rank in zip(MODULES, ranks, strict=True):
        shapes = {"A": (rank, 8), "B": (6, rank), "E": (rank, 1), "m": (6,)}
        tensors |= {f"{module}.{name}": numbers(*shapes[name[5]]) for name in names}
    return tensors


def make(kind: str) -> Weights:
    plain = {**TASK, "lora_alpha": 16, "target_modules": ["q_proj", "up_proj"]}
    lora = {**plain, "peft_type": "LORA", "r": 4}
    ada = {**plain, "peft_type": "ADALORA", "init_r": 4, "target_r": 2}
    names, svd = ("lora_A.weight", "lora_B.weight"), ("lora_A", "lora_B", "lora_E")
    if kind == "lora":
        config, tensors = lora, low_rank(names, [4, 4, 4])
    elif kind == "dora":
        config, tensors = {**lora, "use_dora": True}, low_rank((*names, "lora_magnitude_vector"), [4, 4, 4])
    elif kind == "patterns":
        more = {"rank_pattern": {"layers.1.self_attn.q_proj": 2}, "alpha_pattern": {"up_proj": 2.5}, "use_rslora": True}
        config, tensors = {**lora, **more}, low_rank(names, [4, 2, 4])
    elif kind == "adalora":
        config, tensors = ada, low_rank(svd, [4, 4, 4])
    elif kind == "masked":
        masks = {f"{m}.lora_E": [i < k for i in range(4)] for m, k in zip(MODULES, (3, 0, 4), strict=True)}
        config, tensors = {**ada, "rank_pattern": masks}, low_rank(svd, [3, 0, 4])
    elif kind == "prompt":
        config = {**TASK, "peft_type": "PROMPT_TUNING", "num_virtual_tokens": 5, "token_dim": 8}
        tensors = {"prompt_embeddings": numbers(5, 8)}
    else:
        more = {"num_layers": 2, "num_attention_heads": 2}
        config = {**TASK, **more, "peft_type": "PREFIX_TUNING", "num_virtual_tokens": 5, "token_dim": 8}
        tensors = {"prompt_embeddings": numbers(5, 32)}
    of = "lora" if config["peft_type"] in ("LORA", "ADALORA") else "prefix" if kind == "prefix" else "soft_prompt"
    return Weights(of, canonical_config(config), tensors, base="b5c0")


def parts(weights: Weights) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    files = weights_to_files(weights)
    prefix = "base_model.model." if weights.kind == "lora" else ""
    return json.loads(files[CONFIG_FILE]), {prefix + name: tensor for name, tensor in weights.tensors.items()}


def read(config: object, tensors: dict[str, np.ndarray] | bytes) -> Weights:
    text = config if isinstance(config, bytes) else json.dumps(config).encode()
    data = tensors if isinstance(tensors, bytes) else save(tensors)
    return weights_from_files({CONFIG_FILE: text, TENSOR_FILE: data}, base="b5c0", label="mine")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_read_back_equal(kind):
    weights = make(kind)
    files = weights_to_files(weights)
    again = weights_from_files(files, base="b5c0")
    assert again == weights
    assert again.kind == weights.kind and dict(again.config) == dict(weights.config)
    assert weights_to_files(again) == files
    assert weights_from_files(files, base="other") != weights


@pytest.mark.parametrize("kind", KINDS)
def test_the_configuration_in_the_file_has_one_form(kind):
    weights = make(kind)
    assert canonical_config(peft_config(weights.config)) == weights.config


def bf16(tensor: np.ndarray) -> bytes:
    return (np.ascontiguousarray(tensor, np.float32).view(np.uint32) >> 16).astype("<u2").tobytes()


def packed(tensors: dict[str, np.ndarray], dtype: str) -> bytes:
    header, body = {}, b""
    for name, tensor in tensors.items():
        data = bf16(tensor) if dtype == "BF16" else tensor.astype("<f2" if dtype == "F16" else "<f4").tobytes()
        header[name] = {
            "dtype": dtype,
            "shape": list(tensor.shape),
            "data_offsets": [len(body), len(body) + len(data)],
        }
        body += data
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("kind", ["lora", "prefix"])
def test_narrow_numbers_are_widened_without_loss(kind, dtype):
    weights = make(kind)
    config, tensors = parts(weights)
    assert read(config, packed(tensors, dtype)) == weights


def test_p_tuning_becomes_prompt_tuning():
    config, tensors = parts(make("prompt"))
    more = {"peft_type": "P_TUNING", "encoder_hidden_size": 8, "encoder_reparameterization_type": "MLP"}
    assert read({**config, **more}, tensors) == make("prompt")


def test_a_name_of_a_base_model_is_neither_believed_nor_kept():
    config, tensors = parts(make("lora"))
    config |= {"base_model_name_or_path": "https://example.org/evil", "revision": "main"}
    again = read(config, tensors)
    assert again == make("lora") and again.base == "b5c0"
    assert b"example.org" not in weights_to_files(again)[CONFIG_FILE]


REFUSED_FIELDS = [
    ("lora", {"r": 10**6}, "r must be a whole number from 1 to 4,096, got 1000000"),
    ("lora", {"r": 0}, "r must be a whole number"),
    ("lora", {"r": True}, "r must be a whole number"),
    ("lora", {"r": 4.0}, "r must be a whole number"),
    ("lora", {"r": None}, "r must be given"),
    ("lora", {"lora_alpha": 0}, "lora_alpha must be a number above 0"),
    ("lora", {"lora_alpha": "16"}, "lora_alpha must be"),
    ("lora", {"lora_dropout": 1}, "lora_dropout must be"),
    ("lora", {"target_modules": ".*(a+)+$"}, "target_modules must be a list of 1 to"),
    ("lora", {"target_modules": ["(a+)+$"]}, "target_modules must be names of modules, never patterns"),
    ("lora", {"target_modules": []}, "target_modules must be a list"),
    ("lora", {"target_modules": ["q_proj"]}, "target_modules must be names that select 'model.layers.1.mlp.up_proj'"),
    ("lora", {"target_modules": ["q_proj", "up_proj", "k_proj"]}, "must be names of modules that have tensors"),
    ("lora", {"rank_pattern": {".*": 4}}, "rank_pattern must be names of modules, never patterns"),
    ("lora", {"rank_pattern": {"k_proj": 4}}, "rank_pattern must be names of modules that have tensors"),
    ("lora", {"rank_pattern": {"q_proj": 4, "self_attn.q_proj": 4}}, "at most one selects"),
    ("lora", {"rank_pattern": {"q_proj": 5000}}, "rank_pattern['q_proj'] must be a whole number"),
    ("lora", {"rank_pattern": {"up_proj": 3}}, "lora_A.weight: shape must be [3, 8]"),
    ("lora", {"alpha_pattern": {"up_proj": -1}}, "alpha_pattern['up_proj'] must be"),
    ("lora", {"use_dora": True}, "lacks the tensor 'model.layers.0.self_attn.q_proj.lora_magnitude_vector'"),
    ("lora", {"use_dora": 1}, "use_dora must be true or false"),
    ("lora", {"bias": "all"}, "bias must be one of 'none'"),
    ("lora", {"modules_to_save": ["lm_head"]}, "'modules_to_save' must be left out, null or false"),
    ("lora", {"auto_mapping": {"parent_library": "os", "base_model_class": "system"}}, "'auto_mapping' must be left"),
    ("lora", {"trust_remote_code": True}, "'trust_remote_code' must be left out"),
    ("lora", {"init_lora_weights": "pissa"}, "leaves the base model as it is"),
    ("lora", {"loftq_config": {"loftq_bits": 4}}, "'loftq_config' must be left out"),
    ("lora", {"layers_to_transform": [0]}, "'layers_to_transform' must be left out"),
    ("lora", {"peft_type": "OFT"}, "peft_type must be one of"),
    ("lora", {"peft_type": ["LORA"]}, "peft_type must be one of"),
    ("lora", {"peft_type": "ADALORA", "init_r": 4}, "the name of a tensor must be"),
    ("lora", {"task_type": "SEQ_CLS"}, "task_type must be"),
    ("lora", {"base_model_name_or_path": {"url": "x"}}, "base_model_name_or_path must be a text"),
    ("masked", {"rank_pattern": {f"{MODULES[0]}.lora_E": [True] * 3}}, "must be a list of 4 true or false"),
    ("masked", {"rank_pattern": {f"{MODULES[0]}.lora_E": 3}}, "must be a list of true and false"),
    ("masked", {"use_rslora": True}, "'use_rslora' must be left out"),
    ("adalora", {"init_r": 5}, "lora_A: shape must be [5, 8]"),
    ("prompt", {"num_virtual_tokens": 5000}, "num_virtual_tokens must be a whole number from 1 to 4,096"),
    ("prompt", {"num_virtual_tokens": 4}, "prompt_embeddings: shape must be [4, 8]"),
    ("prompt", {"token_dim": 16}, "shape must be [5, 16]"),
    ("prompt", {"tokenizer_kwargs": {"trust_remote_code": True}}, "'tokenizer_kwargs' must be left out"),
    ("prompt", {"num_transformer_submodules": 2}, "num_transformer_submodules must be one of 1"),
    ("prefix", {"num_layers": 3}, "shape must be [5, 48]"),
    ("prefix", {"num_attention_heads": 3}, "token_dim must be a multiple of num_attention_heads, 3"),
    ("prefix", {"num_layers": None}, "num_layers must be given"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "change", "message"), REFUSED_FIELDS, ids=[str(row[1])[:40] for row in REFUSED_FIELDS]
)
def test_a_bad_field_is_named(kind, change, message):
    config, tensors = parts(make(kind))
    with pytest.raises(ArtifactError) as caught:
        read({**config, **change}, tensors)
    assert message in str(caught.value) and str(caught.value).startswith("mine")


def test_a_field_that_is_switched_off_says_nothing():
    config, tensors = parts(make("lora"))
    off = {"auto_mapping": None, "trust_remote_code": False, "loftq_config": {}, "something_new": None}
    assert read({**config, **off}, tensors) == make("lora")


HOSTILE = {
    "deep": b"[" * 100_000 + b"]" * 100_000,
    "twice": b'{"r": 4, "r": 8}',
    "nan": b'{"r": NaN}',
    "list": b"[]",
    "text": b"import os",
    "long": b'{"a": "' + b"x" * 1_100_000 + b'"}',
    "bytes": b'{"a": "\xff"}',
    "pickle": pickle.dumps({"r": 8}),
    "old pickle": b"cos\nsystem\n(S'true'\ntR.",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_json_is_refused(name):
    _, tensors = parts(make("lora"))
    with pytest.raises(ArtifactError):
        read(HOSTILE[name], tensors)


Q = f"base_model.model.{MODULES[0]}"


def edited(kind: str, name: str, tensor: np.ndarray | None) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    config, tensors = parts(make(kind))
    if tensor is None:
        del tensors[name]
    else:
        tensors[name] = tensor
    return config, tensors


@pytest.mark.parametrize(
    ("kind", "name", "tensor", "message"),
    [
        ("lora", f"{Q}.lora_A.weight", None, f"lacks the tensor '{MODULES[0]}.lora_A.weight'"),
        ("lora", f"{Q}.lora_A.weight", numbers(8, 4), f"{MODULES[0]}.lora_A.weight: shape must be [4, 4]"),
        ("lora", f"{Q}.lora_A.weight", numbers(3, 8), "lora_A.weight: shape must be [4, 8]"),
        ("lora", f"{Q}.lora_B.weight", numbers(6, 4, 1), "lora_B.weight: shape must be"),
        ("lora", f"{Q}.lora_B.weight", numbers(6, 4).astype(np.float64), "dtype must be one of 'F32', 'BF16', 'F16'"),
        ("lora", f"{Q}.lora_B.weight", numbers(6, 4).astype(np.int32), "lora_B.weight: dtype must be"),
        ("lora", f"{Q}.lora_B.weight", numbers(6, 4) * np.nan, f"{Q}.lora_B.weight must hold finite numbers only"),
        ("lora", f"{Q}.lora_B.weight", numbers(6, 4) + np.inf, "must hold finite numbers only"),
        ("lora", f"{Q}.lora_E.weight", numbers(4, 1), "the name of a tensor must be"),
        ("lora", f"{Q}.lora_magnitude_vector", numbers(6), "the name of a tensor must be"),
        ("lora", "base_model.model.lm_head.weight", numbers(4, 8), "the name of a tensor must be"),
        ("lora", "prompt_embeddings", numbers(4, 8), "must be names of tensors that start with 'base_model.model.'"),
        ("lora", f"base_model.model.{'a.' * 40}q_proj.lora_A.weight", numbers(4, 8), "the name of a tensor must be"),
        ("dora", f"{Q}.lora_magnitude_vector", numbers(5), "lora_magnitude_vector: shape must be [6]"),
        ("adalora", f"{Q}.lora_E", numbers(4), "lora_E: shape must be [4, 1]"),
        ("prompt", "prompt_embeddings", numbers(5, 9), "prompt_embeddings: shape must be [5, 8]"),
        ("prompt", "extra", numbers(5, 8), "holds the tensor 'extra'"),
        ("prefix", "prompt_embeddings", None, "lacks the tensor 'prompt_embeddings'"),
    ],
)  # fmt: skip
def test_a_bad_tensor_is_named(kind, name, tensor, message):
    with pytest.raises(ArtifactError) as caught:
        read(*edited(kind, name, tensor))
    assert message in str(caught.value)


def test_infinite_halves_are_seen_after_widening():
    config, tensors = parts(make("prompt"))
    data = bytearray(packed(tensors, "F16"))
    data[-2:] = struct.pack("<e", float("inf"))
    with pytest.raises(ArtifactError, match="finite"):
        read(config, bytes(data))


class Canary:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_renamed_pickle_is_refused_and_never_run(tmp_path, protocol):
    config, tensors = parts(make("lora"))
    bomb = pickle.dumps(Canary(str(tmp_path / "canary")), protocol=protocol)
    for files in ((config, bomb), (bomb, save(tensors)), (config, save(tensors) + bomb)):
        with pytest.raises(ArtifactError):
            read(*files)
    assert not (tmp_path / "canary").exists()


def test_a_file_too_many_or_too_few_is_refused():
    files = weights_to_files(make("lora"))
    with pytest.raises(ArtifactError, match="files must be"):
        weights_from_files({CONFIG_FILE: files[CONFIG_FILE]}, base="b5c0")
    with pytest.raises(ArtifactError, match="files must be"):
        weights_from_files({**files, "optimizer.pt": b""}, base="b5c0")


def save_to(folder: Path, kind: str) -> Path:
    folder.mkdir()
    for name, data in weights_to_files(make(kind)).items():
        (folder / name).write_bytes(data)
    return folder


def test_a_folder_of_peft_is_read(tmp_path):
    folder = save_to(tmp_path / "mine", "lora")
    (folder / "README.md").write_text("# Made elsewhere")
    assert read_peft_folder(folder, "b5c0") == make("lora")


def test_a_folder_without_tensors_or_with_links_is_refused(tmp_path):
    folder = save_to(tmp_path / "mine", "lora")
    (folder / TENSOR_FILE).rename(folder / "adapter_model.bin")
    with pytest.raises(ArtifactError, match=r"adapter_model.safetensors is missing.*pickle, which is never opened"):
        read_peft_folder(folder, "b5c0")
    (folder / TENSOR_FILE).symlink_to(folder / "adapter_model.bin")
    with pytest.raises(ArtifactError, match="no link"):
        read_peft_folder(folder, "b5c0")
    with pytest.raises(ArtifactError, match="adapter_config.json is missing"):
        read_peft_folder(tmp_path / "nowhere", "b5c0")


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("lora", {"kind": "soft_prompt"}, "kind must be 'lora'"),
        ("lora", {"config": {**make("lora").config, "r": MAX_RANK + 1}}, "r must be"),
        ("prompt", {"tensors": {"prompt_embeddings": numbers(5, 8).astype(np.float64)}}, "dtype must be float32"),
        ("prompt", {"tensors": {"prompt_embeddings": numbers(5, 8) + np.inf}}, "finite"),
        ("prompt", {"tensors": {}}, "lacks the tensor"),
    ],
)  # fmt: skip
def test_what_could_not_be_read_back_is_not_written(kind, change, message):
    weights = make(kind)
    values = {"kind": weights.kind, "config": weights.config, "tensors": weights.tensors, "base": weights.base}
    with pytest.raises(ArtifactError, match=message.replace("(", r"\(")):
        weights_to_files(Weights(**{**values, **change}))


# A random edit of an adapter gives the very same weights or is refused. Edits of numbers alone are not among them:
# those are what the hashes of the manifest are for.
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 10**7),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "none", "../x", "a|b", "https://example.org", "PISSA", ".*"]),
    st.lists(st.sampled_from(["q_proj", "up_proj", "lm_head", "(", "model"]), max_size=4),
    st.dictionaries(st.sampled_from(["q_proj", "up_proj", "^x"]), st.integers(0, 6), max_size=2),
)
MEANING = ("lora_alpha", "alpha_pattern", "use_rslora", "fan_in_fan_out", "lora_dropout", "target_r", "task_type")


@st.composite
def edits(draw: st.DrawFn) -> tuple[Weights, dict[str, Any], dict[str, np.ndarray]]:
    weights = make(draw(st.sampled_from(KINDS)))
    config, tensors = copy.deepcopy(parts(weights))
    original = dict(tensors)
    for _ in range(draw(st.integers(1, 2))):
        what = draw(st.sampled_from(["field", "new", "drop field", "drop", "rename", "add", "shape", "dtype", "nan"]))
        name = draw(st.sampled_from(sorted(tensors))) if tensors else None
        if what == "field":
            config[draw(st.sampled_from(sorted(set(config) - set(MEANING)) or ["r"]))] = draw(JUNK)
        elif what == "new":
            config[draw(st.text(min_size=1, max_size=12))] = draw(JUNK)
        elif what == "drop field":
            config.pop(draw(st.sampled_from(sorted(set(config) - set(MEANING)) or ["r"])), None)
        elif name is None:
            continue
        elif what == "drop":
            del tensors[name]
        elif what == "rename":
            tensors[draw(st.sampled_from([name + "x", "x" + name, name.upper(), ""]))] = tensors.pop(name)
        elif what == "add":
            tensors[draw(st.sampled_from([name + ".weight", "extra", "base_model.model.x.lora_A.weight"]))] = numbers(
                4, 8
            )
        elif what == "shape":
            shape = draw(st.lists(st.integers(0, 9), max_size=3))
            tensors[name] = numbers(*shape) if shape else np.float32(1).reshape(())
        elif what == "dtype" and np.array_equal(tensors[name], original.get(name, ())):
            tensors[name] = tensors[name].astype(
                draw(st.sampled_from([np.float16, np.float64, np.int64, np.uint8, bool]))
            )
        elif what == "nan" and tensors[name].size:
            tensors[name] = np.full_like(tensors[name], np.nan, dtype=np.float32)
    return weights, config, tensors


def fits_the_model(weights: Weights) -> bool:
    """What files cannot say and a backend asks its model: which modules there are, and how wide."""
    if weights.kind != "lora":
        sizes = {"token_dim": 8, "num_layers": 2, "num_attention_heads": 2}
        return all(weights.config.get(name, size) == size for name, size in sizes.items())
    inputs = {name.split(".lora_")[0]: t.shape[1] for name, t in weights.tensors.items() if ".lora_A" in name}
    outputs = {name.split(".lora_")[0]: t.shape[0] for name, t in weights.tensors.items() if ".lora_B" in name}
    return inputs == dict.fromkeys(MODULES, 8) and outputs == dict.fromkeys(MODULES, 6)


@settings(max_examples=400, deadline=None)
@given(edits())
def test_an_edited_adapter_equals_the_original_or_is_refused(edit):
    weights, config, tensors = edit
    try:
        again = read(config, {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()})
    except ArtifactError:
        return
    if fits_the_model(again):
        assert {n: t.tolist() for n, t in again.tensors.items()} == {n: t.tolist() for n, t in weights.tensors.items()}
        # A pattern may say the same ranks in other words; everything else is the same to the letter.
        assert {**again.config, "rank_pattern": 0} == {**weights.config, "rank_pattern": 0}
