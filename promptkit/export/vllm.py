"""Whether vLLM will take a LoRA folder, by the rules that it publishes. Reads the folder and nothing else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from promptkit.artifact.checks import MAX_JSON, parse_json
from promptkit.artifact.manifest import read_file
from promptkit.artifact.tensors import check_safetensors
from promptkit.artifact.weights import CONFIG_FILE, MAX_BYTES, TENSOR_FILE
from promptkit.errors import ArtifactError, SettingError, explain, one_of

__all__ = ["check_vllm"]

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM takes for ``--max-lora-rank``."""


def check_vllm(folder: str | os.PathLike[str], max_lora_rank: int = 16) -> list[str]:
    """Says what keeps vLLM from serving a LoRA folder.

    Rules (vLLM's documentation of LoRA adapters, and the checks of its PEFT reader): plain LoRA or rsLoRA, rank of at
    most ``--max-lora-rank``, one rank and one alpha for all layers, no DoRA, no trained bias, no modules saved whole,
    no weights that belong to a changed base (PiSSA, OLoRA, LoftQ, CorDA), only tensors named ``lora_A.weight`` and
    ``lora_B.weight``. Soft prompts are no LoRA; vLLM takes them as ``prompt_embeds``. Whether a model has the layers is
    not looked at.

    Args:
        folder: A folder in PEFT's format, from promptkit or elsewhere.
        max_lora_rank: The server's ``--max-lora-rank``; 16 unless set.

    Returns:
        The problems, in words; empty if vLLM will take it.

    Raises:
        SettingError: vLLM has no such ``max_lora_rank``.

    Example:
        >>> check_vllm("no/such/folder")
        ['adapter_config.json is missing: no folder in the format of PEFT']
    """
    if max_lora_rank not in RANKS:
        raise SettingError(explain("max_lora_rank", of="check_vllm", must=one_of(map(str, RANKS)), got=max_lora_rank))
    path = Path(os.path.abspath(folder))
    try:
        data = read_file(path / CONFIG_FILE, MAX_JSON, CONFIG_FILE)
        config = parse_json(data, CONFIG_FILE)
    except (FileNotFoundError, NotADirectoryError):
        return [f"{CONFIG_FILE} is missing: no folder in the format of PEFT"]
    except ArtifactError as error:
        return [str(error)]
    if not isinstance(config, dict):
        return [f"{CONFIG_FILE} must be a JSON object"]
    problems = _kind(config)
    if not problems:
        problems = [*_rank(config, max_lora_rank), *_settings(config), *_tensors(path)]
    return problems


def _kind(config: dict[str, Any]) -> list[str]:
    kind = config.get("peft_type")
    if kind in ("PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING"):
        do = "" if kind == "PREFIX_TUNING" else "; export it with to='prompt-embeds', or to='baked'"
        return [f"peft_type is {kind}: vLLM takes no soft prompt as an adapter{do}"]
    if kind == "ADALORA":
        return ["peft_type is ADALORA, whose tensors vLLM does not know; export it with to='merged'"]
    if kind != "LORA":
        return [f"peft_type is {kind!r:.80}: vLLM takes LORA only"]
    return []


def _rank(config: dict[str, Any], limit: int) -> list[str]:
    rank = config.get("r")
    if type(rank) is not int or rank < 1:
        return [f"r is {rank!r:.80} and must be a whole number of at least 1"]
    problems = []
    if rank > limit:
        enough = next((str(one) for one in RANKS if one >= rank), None)
        do = f"start vLLM with --max-lora-rank {enough}" if enough else f"train with a rank of at most {RANKS[-1]}"
        problems.append(f"r is {rank}, above the server's max_lora_rank of {limit}; {do}")
    for field in ("rank_pattern", "alpha_pattern"):
        if config.get(field):
            problems.append(
                f"{field} is set: vLLM scales all layers by one r and one lora_alpha, and would answer wrongly"
            )
    return problems


def _settings(config: dict[str, Any]) -> list[str]:
    problems = []
    if config.get("use_dora"):
        problems.append("use_dora is set: vLLM has no DoRA; export it with to='merged'")
    if config.get("bias", "none") != "none" or config.get("lora_bias"):
        problems.append("bias is trained: vLLM takes no biases of adapters")
    for field in ("modules_to_save", "trainable_token_indices", "layer_replication", "target_parameters"):
        if config.get(field):
            problems.append(f"{field} is set: vLLM takes low-rank matrices only")
    init = config.get("init_lora_weights", True)
    if init not in (True, False, None, "gaussian", "eva", "orthogonal"):
        problems.append(
            f"init_lora_weights is {init!r:.80}: it changed the base model; convert it to plain LoRA with PEFT"
        )
    if not isinstance(config.get("target_modules"), str | list):
        problems.append("target_modules is missing")
    if type(config.get("lora_alpha")) not in (int, float):
        problems.append("lora_alpha is missing")
    return problems


def _tensors(path: Path) -> list[str]:
    try:
        tensors = check_safetensors(read_file(path / TENSOR_FILE, MAX_BYTES, TENSOR_FILE), TENSOR_FILE)
    except FileNotFoundError:
        why = (
            "; adapter_model.bin is a pickle, which is not opened here" if (path / "adapter_model.bin").exists() else ""
        )
        return [f"{TENSOR_FILE} is missing{why}"]
    except ArtifactError as error:
        return [str(error)]
    problems = [f"{TENSOR_FILE} holds no tensors"] if not tensors else []
    for name in sorted(tensors):
        if not name.startswith("base_model.model.") or not name.endswith((".lora_A.weight", ".lora_B.weight")):
            problems.append(f"the tensor {name!r:.200} has a name that vLLM does not know")
            break  # one stands for all: whole families of names are unknown together
    return problems
