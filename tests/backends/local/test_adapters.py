"""Weights that do not fit are refused whole; what they compute is compared with PEFT in test_local_peft.py."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from promptkit.backends.local.adapters import fold_lora, prefix_layers, soft_vectors
from promptkit.backends.local.backend import LocalBackend
from promptkit.errors import ArtifactError
from promptkit.types import Weights
from tests.support import learned

Q = "model.layers.0.self_attn.q_proj"


@cache
def _backend(folder: Path) -> LocalBackend:
    return LocalBackend(folder)


@pytest.fixture
def llama(tiny: Callable[..., Path]) -> LocalBackend:
    return _backend(tiny("llama"))


def edited(weights: Weights, config: dict[str, Any] | None = None, **tensors: Any) -> Weights:
    """Weights with other settings and tensors; a tensor of ``None`` is left out. Dots are written as double lines."""
    found = dict(weights.tensors) | {name.replace("__", "."): tensor for name, tensor in tensors.items()}
    kept = {name: tensor for name, tensor in found.items() if tensor is not None}
    return replace(weights, config={**weights.config, **(config or {})}, tensors=kept)


def nan(*shape: int) -> Any:
    array = np.zeros(shape, np.float32)
    array.flat[-1] = np.nan
    return array


def adaptive(weights: Weights) -> dict[str, Any]:
    """AdaLoRA's tensors for the layers ``q_proj`` in place of all others."""
    found: dict[str, Any] = dict.fromkeys(weights.tensors)
    for path in (Q, Q.replace("0", "1")):
        found |= {f"{path}.lora_A": learned.draw(0, 4, 32), f"{path}.lora_B": learned.draw(0, 32, 4)}
        found[f"{path}.lora_E"] = learned.draw(0, 4, 1)
    return found


BROKEN: dict[str, tuple[Callable[[Weights], Weights], str]] = {
    "a tensor is missing": (
        lambda w: edited(w, model__layers__1__mlp__up_proj__lora_B__weight=None),
        "tensor 'model.layers.1.mlp.up_proj.lora_B.weight' must be given",
    ),
    "a layer is missing": (
        lambda w: replace(w, tensors={name: t for name, t in w.tensors.items() if "layers.1" not in name}),
        "tensor 'model.layers.1.mlp.down_proj.lora_A.weight' must be given",
    ),
    "a tensor too many": (
        lambda w: edited(w, model__layers__7__q_proj__lora_A__weight=learned.draw(0, 4, 32)),
        "'model.layers.7.q_proj.lora_A.weight' must belong to a layer in target_modules",
    ),
    "another input": (
        lambda w: edited(w, **{f"{Q}.lora_A.weight": learned.draw(0, 4, 31)}),
        r"q_proj.lora_A.weight must be of shape \[4, 32\] for this model and its rank, got \[4, 31\]",
    ),
    "another output": (
        lambda w: edited(w, **{f"{Q}.lora_B.weight": learned.draw(0, 33, 4)}),
        r"must be of shape \[32, 4\]",
    ),
    "another rank": (
        lambda w: edited(
            w, **{f"{Q}.lora_A.weight": learned.draw(0, 3, 32), f"{Q}.lora_B.weight": learned.draw(0, 32, 3)}
        ),
        r"must be of shape \[4, 32\]",
    ),
    "not a number": (lambda w: edited(w, **{f"{Q}.lora_A.weight": nan(4, 32)}), "finite .* got 'NaN or infinity'"),
    "double": (
        lambda w: edited(w, **{f"{Q}.lora_A.weight": learned.draw(0, 4, 32).astype(np.float64)}),
        "float32, got 'float64'",
    ),
    "a pattern for targets": (lambda w: edited(w, {"target_modules": ".*"}), "patterns are never run"),
    "no targets": (lambda w: edited(w, {"target_modules": ["nothing"]}), "must name layers of this model"),
    "a norm as target": (
        lambda w: edited(
            w,
            {"target_modules": ["norm"]},
            **dict.fromkeys(w.tensors),
            **{"model.norm.lora_A.weight": learned.draw(0, 4, 32), "model.norm.lora_B.weight": learned.draw(0, 32, 4)},
        ),
        "model.norm must be a linear layer of this model, got 'LlamaRMSNorm'",
    ),
    "a pattern for ranks": (lambda w: edited(w, {"rank_pattern": {"(a+)+$": 4}}), "must be names of layers"),
    "a bias": (lambda w: edited(w, {"bias": "all"}), "bias must be 'none'"),
    "whole layers": (lambda w: edited(w, {"modules_to_save": ["lm_head"]}), "modules_to_save must be left out"),
    "no alpha": (lambda w: edited(w, {"lora_alpha": 0}), "lora_alpha must be a number above 0"),
    "infinite alpha": (lambda w: edited(w, {"alpha_pattern": {"q_proj": math.inf}}), "lora_alpha must be a number"),
    "another method": (lambda w: edited(w, {"peft_type": "LOHA"}), "peft_type must be one of 'LORA', 'ADALORA'"),
    "no rank": (lambda w: edited(w, {"r": None}), "rank must be an integer of at least 1, got None"),
    "rank 0": (lambda w: edited(w, {"rank_pattern": {"q_proj": 0}}), "rank must be an integer of at least 1, got 0"),
    "targets that are no names": (lambda w: edited(w, {"target_modules": [1]}), "must be a list of names of layers"),
    "AdaLoRA with magnitudes": (
        lambda w: edited(w, {"peft_type": "ADALORA", "use_dora": True}),
        "use_dora must be False for AdaLoRA",
    ),
    "AdaLoRA without a start": (
        lambda w: edited(w, {"peft_type": "ADALORA", "target_modules": ["q_proj"]}, **adaptive(w)),
        "rank must be an integer of at least 1, got None",
    ),
    "magnitudes missing": (lambda w: edited(w, {"use_dora": True}), "lora_magnitude_vector' must be given"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_lora_is_refused(llama: LocalBackend, what: str) -> None:
    sound = learned.lora(llama)
    llama.check_weights(sound)
    change, message = BROKEN[what]
    with pytest.raises(ArtifactError, match=message):
        llama.check_weights(change(sound))


@given(st.data())
def test_no_edit_of_a_lora_passes_unnoticed(tiny_llama: LocalBackend, data: st.DataObject) -> None:
    """Any tensor renamed, reshaped, dropped or made non-finite: refused, never taken for zero."""
    sound = _sound(tiny_llama)
    name = data.draw(st.sampled_from(sorted(sound.tensors)))
    tensor = sound.tensors[name]
    edits: dict[str, dict[str, Any]] = {
        "drop": {name: None},
        "rename": {name: None, name.replace("model", "mode1"): tensor},
        "turn": {name: np.ascontiguousarray(tensor.T)},
        "cut": {name: tensor[:-1]},
        "wide": {name: np.concatenate([tensor, tensor], axis=1)},
        "flat": {name: tensor.reshape(-1)},
        "nan": {name: nan(*tensor.shape)},
    }
    way = data.draw(st.sampled_from(sorted(edits)))
    if way == "turn" and tensor.shape[0] == tensor.shape[1]:
        return
    with pytest.raises(ArtifactError):
        fold_lora(edited(sound, **edits[way]), tiny_llama.model)


@pytest.fixture(scope="module")
def tiny_llama(tiny: Callable[..., Path]) -> LocalBackend:
    return _backend(tiny("llama"))


@cache
def _sound(backend: LocalBackend) -> Weights:
    found: Weights = learned.lora(backend, targets=["q_proj", "down_proj"])
    return found


def test_a_row_without_length_is_refused(llama: LocalBackend) -> None:
    dora = learned.lora(llama, variant="dora", targets=["q_proj"])
    weight = llama.model.get_submodule(Q).weight.detach()
    left, values, right = torch.linalg.svd(weight)
    b, a = (left * values)[:, :4], right[:4]  # the whole of a layer whose other directions are taken out
    with torch.no_grad():
        llama.model.get_submodule(Q).weight.copy_(0 * weight)
    try:
        zero = edited(
            dora, **{f"{Q}.lora_A.weight": a.numpy() * 0, f"{Q}.lora_B.weight": np.ascontiguousarray(b.numpy())}
        )
        with pytest.raises(ArtifactError, match="a changed row must have a length, got 0"):
            fold_lora(zero, llama.model)
    finally:
        with torch.no_grad():
            llama.model.get_submodule(Q).weight.copy_(weight)


def test_folding_leaves_the_arrays_and_the_model_alone(llama: LocalBackend) -> None:
    weights = learned.lora(llama, variant="rslora")
    before = weights.fingerprint
    folded = fold_lora(weights, llama.model)[Q]
    folded.a.zero_()
    assert replace(weights).fingerprint == before
    assert folded.b.shape == (32, 4)
    assert torch.allclose(folded.b, torch.from_numpy(weights.tensors[f"{Q}.lora_B.weight"]) * 8 / 2)


def test_soft_prompts_that_do_not_fit_are_refused(llama: LocalBackend, tiny: Callable[..., Path]) -> None:
    soft = learned.soft_prompt(llama)
    assert soft_vectors(soft, llama.model).shape == (5, 32)
    cases: list[tuple[Weights, str]] = [
        (edited(soft, prompt_embeddings=learned.draw(0, 5, 31)), r"of shape \[5, 32\] .* got \[5, 31\]"),
        (edited(soft, prompt_embeddings=learned.draw(0, 10, 32)), r"of shape \[5, 32\] .* got \[10, 32\]"),
        (edited(soft, prompt_embeddings=nan(5, 32)), "finite"),
        (edited(soft, other=learned.draw(0, 5, 32)), "tensors must be the one tensor 'prompt_embeddings'"),
        (edited(soft, {"num_virtual_tokens": 0}), "num_virtual_tokens must be an integer of at least 1"),
    ]
    for weights, message in cases:
        with pytest.raises(ArtifactError, match=message):
            llama.check_weights(weights)


def test_prefixes_that_do_not_fit_are_refused(llama: LocalBackend) -> None:
    given = learned.prefix(llama)
    like = llama._loaded.prefix([0]).layers
    assert [tuple(keys.shape) for keys, _ in prefix_layers(given, like)] == [(1, 2, 5, 8)] * 2
    with pytest.raises(ArtifactError, match=r"of shape \[5, 64\] .* got \[5, 128\]"):
        llama.check_weights(edited(given, prompt_embeddings=learned.draw(0, 5, 128)))
    uneven = (like[0], (like[1][0], like[1][1][..., :4]))
    with pytest.raises(ArtifactError, match="keys and values of one shape in all layers"):
        prefix_layers(given, uneven)
