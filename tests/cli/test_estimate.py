"""``promptkit estimate``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import Run

FALCON = {
    "model_type": "falcon",
    "vocab_size": 50304,
    "hidden_size": 2048,
    "num_hidden_layers": 24,
    "num_attention_heads": 32,
    "alibi": True,
    "bias": True,
    "multi_query": False,
    "new_decoder_architecture": False,
    "parallel_attn": False,
}


@pytest.fixture
def falcon(tmp_path: Path) -> str:
    (tmp_path / "falcon-rw-1b").mkdir()
    (tmp_path / "falcon-rw-1b" / "config.json").write_text(json.dumps(FALCON))
    return str(tmp_path / "falcon-rw-1b")


def test_a_plan_is_a_few_lines(run: Run, falcon: str) -> None:
    outcome = run("estimate", "--model", falcon, "--strategy", "lora", "--rank", "8", "--targets", "query_key_value")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.splitlines() == [
        "LoRA of rank 8, variant lora on falcon-rw-1b",
        "  trainable    1,572,864 of 1,313,198,080 parameters (0.1198 %)",
        "  memory       5.27 GB: the model in float32, and weights, gradients and Adam's moments in float32",
        "  activations  about 20.13 GB more for 4,096 tokens in a batch",
        "  layers       24: query_key_value",
    ]


def test_machines_get_json(run: Run, falcon: str) -> None:
    arguments = [
        "--strategy",
        "soft_prompt",
        "--tokens",
        "20",
        "--soft-kind",
        "prefix",
        "--dtype",
        "bfloat16",
        "--json",
    ]
    told = json.loads(run("estimate", "--model", falcon, *arguments).out)
    assert told["trainable_parameters"] == 20 * 2 * 24 * 2048
    assert told["memory_bytes"] == 2 * told["base_parameters"] + 16 * told["trainable_parameters"]


@pytest.mark.parametrize("strategy", ["few_shot", "chain_of_thought"])
def test_prompting_is_planned_on_the_reference_model(run: Run, strategy: str) -> None:
    told = json.loads(run("estimate", "--strategy", strategy, "--json").out)
    assert told["model"] == "reference" and told["trainable_parameters"] == 0 < told["base_parameters"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--targets", "q_proj,nope"], "error: LoRA: targets must be names of linear layers of this model, got 'nope'"),
        (["--strategy", "few_shot", "--rank", "4"], "error: FewShot: setting must be one of"),
        (["--strategy", "lora", "--tokens", "4"], "error: LoRA: setting must be one of"),
        (["--model", "./nowhere"], "error: estimate: model must be a folder with a config.json, got './nowhere'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_an_error_of_one_line(run: Run, arguments: list[str], message: str) -> None:
    outcome = run("estimate", *arguments)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith(message) and outcome.err.count("\n") == 1
