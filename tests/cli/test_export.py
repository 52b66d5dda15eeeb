"""``promptkit export``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import promptkit as pk
from promptkit.types import Weights

from .conftest import Run


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the saved predictors ``lora``, ``both`` and ``plain``, with weights that change hardly anything."""
    backend = pk.LocalBackend("reference")
    task = {"task_type": "CAUSAL_LM"}
    config = {**task, "peft_type": "LORA", "r": 2, "lora_alpha": 4.0, "lora_dropout": 0.0, "target_modules": ["q_proj"]}
    config |= {"fan_in_fan_out": False, "use_rslora": False, "use_dora": False}
    tensors = {}
    for layer in range(6):
        path = f"model.layers.{layer}.self_attn.q_proj"
        tensors[f"{path}.lora_A.weight"] = np.full((2, 256), 1e-3, np.float32)
        tensors[f"{path}.lora_B.weight"] = np.full((256, 2), 1e-3, np.float32)
    lora = Weights("lora", config, tensors, backend.fingerprint())
    fields = {**task, "peft_type": "PROMPT_TUNING", "num_virtual_tokens": 3, "token_dim": 256}
    vectors = {"prompt_embeddings": np.full((3, 256), 1e-3, np.float32)}
    soft = Weights("soft_prompt", fields, vectors, backend.fingerprint())
    root = tmp_path_factory.mktemp("saved")
    plan = pk.Plan(kind="lora", max_new_tokens=4)
    for name, weights in {"lora": {"lora": lora}, "both": {"lora": lora, "soft_prompt": soft}, "plain": {}}.items():
        pk.PlanPredictor(plan, pk.load_task("notation"), backend, **weights).save(root / name)
    return root


def test_a_saved_lora_is_exported_and_vllm_is_asked(run: Run, saved: Path, tmp_path: Path) -> None:
    outcome = run("export", str(saved / "lora"), str(tmp_path / "out"))
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.splitlines() == [f"{tmp_path / 'out'}: peft", "vLLM will take it"]
    assert (tmp_path / "out" / "adapter_model.safetensors").is_file()


@pytest.mark.parametrize(("to", "vllm"), [("peft", []), ("baked", None), ("prompt-embeds", None)])
def test_machines_get_json(run: Run, saved: Path, tmp_path: Path, to: str, vllm: object) -> None:
    outcome = run("export", str(saved / "both"), str(tmp_path / "out"), "--to", to, "--json")
    assert json.loads(outcome.out) == {"folder": str(tmp_path / "out"), "to": to, "vllm": vllm}
    assert (tmp_path / "out" / "promptkit_export.json").is_file()


@pytest.mark.parametrize(
    ("name", "to", "message"),
    [
        ("plain", "peft", "error: export to 'peft': weights must be there, got None"),
        ("both", "merged", "error: export to 'merged': weights must be a LoRA alone"),
        ("lora", "baked", "error: export to 'baked': weights must be a soft prompt"),
        ("nothing", "peft", "error: nothing"),
    ],
)  # fmt: skip
def test_what_cannot_be_exported_is_an_error_of_one_line(
    run: Run, saved: Path, tmp_path: Path, name: str, to: str, message: str
) -> None:
    outcome = run("export", str(saved / name), str(tmp_path / "out"), "--to", to)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith(message) and outcome.err.count("\n") == 1
    assert not (tmp_path / "out").exists()
