"""Settings of training are checked when they are made, and training's records need no torch."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from promptkit.errors import DataError, SettingError
from promptkit.training import LoraSpec, SoftSpec, TrainingConfig, TrainingLog

LOG = TrainingLog(((1, 2.5), (2, 0.1)), ((0, 3.0), (2, 0.5)), 2, 2, 1.0, 0.5, 300, 600.0, 64, 1064, "patience")


def test_records_need_no_torch() -> None:
    code = "import promptkit.training, sys; print(sorted({'torch', 'transformers', 'peft'} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert shown.strip() == "[]"


def test_defaults_are_good() -> None:
    assert TrainingConfig().epochs == 8
    assert SoftSpec().start is None
    assert LoraSpec().start_rank == 8


@pytest.mark.parametrize(("rank", "start"), [(1, 2), (2, 3), (8, 12), (16, 24)])
def test_adalora_starts_at_one_and_a_half_times_its_rank(rank: int, start: int) -> None:
    assert LoraSpec(rank=rank, variant="adalora").start_rank == start


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rank": 0}, "rank must be greater than or equal to 1, got 0"),
        ({"rank": True}, "rank must be a valid integer, got True"),
        ({"alpha": 0}, "alpha must be greater than 0, got 0"),
        ({"alpha": 2e6}, "alpha must be less than or equal to 1000000, got 2000000.0"),
        ({"rank": 4097}, "rank must be less than or equal to 4096, got 4097"),
        ({"variant": "adalora", "rank": 4096}, "rank must be small enough .*, got 6144"),
        ({"variant": "adalora", "init_rank": "many"}, "init_rank must be a valid integer, got 'many'"),
        ({"dropout": 1.0}, "dropout must be less than 1, got 1.0"),
        ({"targets": ()}, "targets must be 'all-linear' or 'attention' or of length 1 or more"),
        ({"learning_rate": 1e6}, "learning_rate must be less than or equal to 1, got 1000000.0"),
        ({"learning_rate": float("nan")}, "learning_rate must be .* got nan"),
        ({"targets": "q_proj"}, "targets must be"),
        ({"variant": "pissa"}, "variant must be 'lora', 'rslora', 'dora' or 'adalora', got 'pissa'"),
        ({"init_rank": 12}, "init_rank must be None, got 12; only 'adalora'"),
        ({"variant": "adalora", "init_rank": 8}, "init_rank must be above the target rank 8, .* got 8"),
        ({"variant": "adalora", "init_rank": 4}, "init_rank must be above the target rank 8, .* got 4"),
    ],
)
def test_lora_that_cannot_work_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=f"^LoraSpec: {message}"):
        LoraSpec(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "suffix"}, "kind must be 'prompt', 'prefix' or 'ptuning', got 'suffix'"),
        ({"learning_rate": 0}, "learning_rate must be greater than 0"),
        ({"kind": "ptuning", "learning_rate": 2}, "learning_rate must be at most 1 for ptuning"),
        ({"tokens": 0}, "tokens must be greater than or equal to 1"),
        ({"tokens": 2, "start_text_ids": (1, 2, 3)}, "start_text_ids must be 2 tokens, .* got 3"),
        ({"tokens": 2, "start": np.zeros((3, 4))}, r"start must be an array \[2, width\], got \(3, 4\)"),
        ({"tokens": 1, "start": np.full((1, 4), np.nan)}, "start must be finite"),
        ({"tokens": 1, "start": np.zeros((1, 4)), "start_text_ids": (1,)}, "start_text_ids must be None where"),
    ],
)
def test_vectors_that_cannot_work_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=f"^SoftSpec: {message}"):
        SoftSpec(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, "epochs must be greater than or equal to 1"),
        ({"batch_size": 2.0}, "batch_size must be a valid integer"),
        ({"patience": 0}, "patience must be greater than or equal to 1"),
        ({"warmup": 1}, "warmup must be less than 1, got 1"),
        ({"clip": 0}, "clip must be greater than 0"),
        ({"weight_decay": float("nan")}, "weight_decay must be"),
        ({"max_minutes": 0}, "max_minutes must be greater than 0"),
        (
            {"precision": "float16"},
            r"precision must be 'float32', 'bfloat16' or 'auto' \(float16 loses small gradients, .*, got 'float16'",
        ),
        ({"precision": "int8"}, "precision must be 'float32', 'bfloat16' or 'auto'"),
        ({"schedule": "step"}, "schedule must be 'cosine', 'linear' or 'constant'"),
        ({"report_to": "all"}, "report_to must be 'none', 'tensorboard', 'wandb' or 'mlflow'"),
    ],
)
def test_training_that_cannot_work_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=f"^TrainingConfig: {message}"):
        TrainingConfig(**values)


def test_a_log_goes_to_json_and_back() -> None:
    assert TrainingLog.from_json(json.loads(json.dumps(LOG.to_json()))) == LOG


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stopped": "bored"}, "stopped must be one of"),
        ({"steps": -1}, "steps must be a whole number"),
        ({"steps": True}, "steps must be a whole number"),
        ({"seconds": "1"}, "seconds must be a number"),
        ({"loss": [[1]]}, "loss must be a list of"),
        ({"loss": [[1.5, 2.0]]}, "loss must be a list of"),
        ({"dev": [[1, float("nan")]]}, "dev must be a list of"),
        ({"dev": 7}, "dev must be a list of"),
        ({"more": 1}, "fields must be one of"),
    ],
)
def test_a_log_that_says_something_else_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=f"^TrainingLog: {message}"):
        TrainingLog.from_json({**LOG.to_json(), **change})
