from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from promptkit.backends.local import forward as local_runs
from promptkit.backends.local import model as local_models
from promptkit.backends.local.model import Loaded, _reach, load_model
from promptkit.errors import BackendError, SettingError


def load(folder: Path, **settings: Any) -> Loaded:
    return load_model(folder, **({"dtype": "float32", "device": "cpu", "max_context": None} | settings))


@pytest.mark.parametrize(
    ("kind", "sharing"),
    [("llama", "shared"), ("gpt2", "shared"), ("bloom", "copied"), ("falcon", "copied"), ("t5", "padded")],
)
def test_the_probe_finds_the_fastest_exact_way(tiny: Callable[..., Path], kind: str, sharing: str) -> None:
    loaded = load(tiny(kind))
    assert loaded.sharing == sharing
    assert loaded.seq2seq == (kind == "t5")
    assert loaded.eos == {1}
    assert not loaded.model.training


def test_the_probe_sees_wrong_positions(tiny: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    # The bad twin: a model that counts padding as text, as one that takes no positions would.
    original = local_runs.CausalRun.__init__

    def forgetful(self: Any, model: Any, accepts: frozenset[str], *rest: Any, **more: Any) -> None:
        original(self, model, accepts - {"position_ids"}, *rest, **more)

    monkeypatch.setattr(local_runs.CausalRun, "__init__", forgetful)
    assert load(tiny("llama")).sharing == "alone"


def test_the_probe_falls_back_where_a_way_raises(tiny: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise NotImplementedError

    monkeypatch.setattr(local_models.local_attention, "merged_attention", broken)
    assert load(tiny("llama")).sharing == "copied"


def test_a_model_that_takes_no_cache_runs_without(tiny: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise TypeError("unexpected keyword 'past_key_values'")

    monkeypatch.setattr(local_runs.CausalRun, "_forward", broken)
    assert load(tiny("llama")).sharing == "uncached"


def test_dtype_is_as_asked_and_float16_needs_a_gpu(tiny: Callable[..., Path]) -> None:
    assert load(tiny("llama"), dtype="bfloat16").model.dtype == torch.bfloat16
    with pytest.raises(SettingError, match="dtype must be 'float32' or 'bfloat16' on a CPU, got 'float16'"):
        load(tiny("llama"), dtype="float16")
    with pytest.raises(SettingError, match="dtype must be one of 'float32', 'bfloat16', 'float16', got 'int8'"):
        load(tiny("llama"), dtype="int8")
    with pytest.raises(SettingError, match="device must be 'auto' or a device that torch has here, got 'toaster'"):
        load(tiny("llama"), device="toaster")


def test_the_window_is_the_models_or_given(tiny: Callable[..., Path]) -> None:
    assert load(tiny("llama")).window == 512
    assert load(tiny("gpt2"), max_context=100).window == 100
    with pytest.raises(SettingError, match="max_context must be at most the model's own 512, got 513"):
        load(tiny("llama"), max_context=513)
    with pytest.raises(SettingError, match="max_context must be an integer of at least 1, got 0"):
        load(tiny("llama"), max_context=0)


def test_an_unknown_window_is_not_guessed(tiny: Callable[..., Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny("bloom"), tmp_path / "bloom"))
    config = json.loads((folder / "config.json").read_text())
    config.pop("seq_length")
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(SettingError, match="max_context must be given for a bloom model.*for example max_context=2048"):
        load(folder)
    assert load(folder, max_context=300).window == 300


def test_missing_tensors_are_refused_not_made_up(tiny: Callable[..., Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = Path(shutil.copytree(tiny("llama"), tmp_path / "llama"))
    tensors = load_file(folder / "model.safetensors")
    tensors.pop("model.layers.1.mlp.up_proj.weight")
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(BackendError, match=r"got none for 'model.layers.1.mlp.up_proj.weight' and 0 others"):
        load(folder)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.safetensors", b"\xff" * 64),
        ("config.json", b"{}"),
        ("config.json", b'{"model_type": "own", "auto_map": {"AutoConfig": "evil.Config"}}'),
        ("config.json", b"not json"),
        ("tokenizer.json", b"{}"),
    ],
)
def test_damaged_files_are_a_typed_error(tiny: Callable[..., Path], tmp_path: Path, name: str, content: bytes) -> None:
    folder = Path(shutil.copytree(tiny("llama"), tmp_path / "llama"))
    (folder / name).write_bytes(content)
    canary = tmp_path / "canary"
    (folder / "evil.py").write_text(f"open({str(canary)!r}, 'w')\nclass Config: pass\n")
    with pytest.raises(BackendError, match="must hold a model that transformers loads without remote code, got"):
        load(folder)
    assert not canary.exists()


def test_loading_leaves_the_progress_bars_of_others_alone(
    tiny: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    from transformers.utils import logging

    folder = tiny("llama")
    capfd.readouterr()
    logging.enable_progress_bar()
    load(folder)
    assert logging.is_progress_bar_enabled()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("config", "reach"),
    [
        ({}, 1 << 60),
        ({"sliding_window": 128}, 128),
        ({"sliding_window": 128, "layer_types": ["full_attention"]}, 1 << 60),
        ({"sliding_window": 128, "layer_types": ["full_attention", "sliding_attention"]}, 128),
        ({"attention_chunk_size": 64, "layer_types": ["chunked_attention"]}, 64),
        ({"layer_types": ["linear_attention", "full_attention"]}, 0),
        ({"attention_types": [[["global", "local"], 2]], "window_size": 256}, 256),
    ],
)
def test_reach_is_that_of_the_shortest_sighted_layer(config: dict[str, Any], reach: int) -> None:
    assert _reach(SimpleNamespace(**config)) == reach
