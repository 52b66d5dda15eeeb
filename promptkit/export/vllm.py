"""Whether vLLM will take a LoRA folder, by the rules that it publishes. Reads the folder and nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from promptkit.artifacts.checks import MAX_JSON, parse_json
from promptkit.artifacts.manifest import read_file
from promptkit.artifacts.peft_config import MODULE_NAME
from promptkit.artifacts.tensors import check_safetensors
from promptkit.artifacts.weights import CONFIG_FILE, MAX_BYTES, TENSOR_FILE, not_finite
from promptkit.errors import ArtifactError, SettingError, error_message, one_of

__all__ = ["check_vllm"]

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM takes for ``--max-lora-rank``."""

_PREFIX, _DOWN, _UP = "base_model.model.", ".lora_A.weight", ".lora_B.weight"
_TYPES = ("F32", "BF16", "F16")
_OTHER_SUMS = (
    "alora_invocation_tokens arrow_config kasa_config lora_ga_config monteclora_config use_bdlora use_qalora "
    "velora_config"
).split()
_EMBEDDINGS = ("new_embeddings.safetensors", "new_embeddings.bin")

Tensors = Mapping[str, tuple[str, tuple[int, ...]]]
"""Data type and shape of each tensor, by name."""


def check_vllm(folder: str | os.PathLike[str], max_lora_rank: int = 16) -> list[str]:
    """Says what keeps vLLM from serving a LoRA folder.

    Rules (vLLM's documentation of LoRA adapters, and the checks of its PEFT reader): plain LoRA or rsLoRA, rank of at
    most ``--max-lora-rank``, one rank and one alpha for all layers, no DoRA, no trained bias, no modules saved whole,
    no weights that belong to a changed base (PiSSA, OLoRA, LoftQ, CorDA), no new rows of the vocabulary, only tensors
    named ``lora_A.weight`` and ``lora_B.weight``. What vLLM would take and answer wrongly with is a problem too: a
    matrix without its other half, ranks that are not ``r``, layers with matrices that ``target_modules`` does not name
    and names without a layer, numbers that are not finite. Soft prompts are no LoRA; vLLM takes them as
    ``prompt_embeds``. Whether a model has the layers is not looked at.

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
        raise SettingError(
            error_message("max_lora_rank", of="check_vllm", expected=one_of(map(str, RANKS)), got=max_lora_rank)
        )
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
        problems = [*_rank(config, max_lora_rank), *_settings(config), *_vocabulary(path), *_tensors(path, config)]
    return problems


def _kind(config: dict[str, Any]) -> list[str]:
    kind = config.get("peft_type")
    if kind in ("PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING"):
        hint = "" if kind == "PREFIX_TUNING" else "; export it with to='prompt-embeds', or to='baked'"
        return [f"peft_type is {kind}: vLLM takes no soft prompt as an adapter{hint}"]
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
        hint = f"start vLLM with --max-lora-rank {enough}" if enough else f"train with a rank of at most {RANKS[-1]}"
        problems.append(f"r is {rank}, above the server's max_lora_rank of {limit}; {hint}")
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
    for field in _OTHER_SUMS:
        if config.get(field):
            problems.append(f"{field} is set: vLLM would compute plain LoRA, and answer wrongly")
    init = config.get("init_lora_weights", True)
    if init not in (True, False, None, "gaussian", "eva", "orthogonal"):
        problems.append(
            f"init_lora_weights is {init!r:.80}: it changed the base model; convert it to plain LoRA with PEFT"
        )
    problems += _targets(config.get("target_modules"))
    alpha: Any = config.get("lora_alpha")
    if type(alpha) not in (int, float):
        problems.append("lora_alpha is missing")
    elif not alpha > 0:
        problems.append(f"lora_alpha is {alpha!r:.80} and must be a number above 0")
    return problems


def _targets(targets: object) -> list[str]:
    if isinstance(targets, str):
        if targets == "all-linear" or MODULE_NAME.fullmatch(targets):
            return []
        return [f"target_modules is the pattern {targets!r:.80}, which is not run here; list the names of the layers"]
    if not isinstance(targets, list) or not targets:
        return ["target_modules is missing"]
    odd = [name for name in targets if not isinstance(name, str) or not MODULE_NAME.fullmatch(name)]
    return [f"target_modules holds {odd[0]!r:.80}, which is no name of a layer"] if odd else []


def _vocabulary(path: Path) -> list[str]:
    found = [name for name in _EMBEDDINGS if os.path.lexists(path / name)]
    return [f"{found[0]} is there: vLLM takes no new rows of the vocabulary"] if found else []


def _tensors(path: Path, config: dict[str, Any]) -> list[str]:
    try:
        data = read_file(path / TENSOR_FILE, MAX_BYTES, TENSOR_FILE)
        tensors = check_safetensors(data, TENSOR_FILE)
    except FileNotFoundError:
        why = (
            "; adapter_model.bin is a pickle, which is not opened here" if (path / "adapter_model.bin").exists() else ""
        )
        return [f"{TENSOR_FILE} is missing{why}"]
    except ArtifactError as error:
        return [str(error)]
    if not tensors:
        return [f"{TENSOR_FILE} holds no tensors"]
    for name in sorted(tensors):
        if not name.startswith(_PREFIX) or not name.endswith((_DOWN, _UP)):
            # One is enough: whole families of names are unknown together.
            return [f"the tensor {name!r:.200} has a name that vLLM does not know"]
    problems = [*_types(tensors), *_halves(tensors), *_shapes(tensors, config.get("r"))]
    problems += _selection({_module(name) for name in tensors}, config.get("target_modules"))
    bad = "" if problems else not_finite(data, tensors)
    return [*problems, f"the tensor {bad!r:.200} holds NaN or infinity; train again"] if bad else problems


def _module(name: str) -> str:
    return name.removeprefix(_PREFIX).removesuffix(_DOWN).removesuffix(_UP)


def _types(tensors: Tensors) -> list[str]:
    found = sorted(name for name, (dtype, _) in tensors.items() if dtype not in _TYPES)
    if not found:
        return []
    return [f"the tensor {found[0]!r:.200} is of type {tensors[found[0]][0]} and must be {one_of(_TYPES)}"]


def _halves(tensors: Tensors) -> list[str]:
    modules = sorted({_module(name) for name in tensors})
    problems = []
    for mine, other in ((_DOWN, _UP), (_UP, _DOWN)):
        lone = [name for name in modules if f"{_PREFIX}{name}{other}" not in tensors]
        if lone:
            problems.append(
                f"{lone[0]} has {mine[1:]} and no {other[1:]}{_others(lone)}; save the adapter again, whole"
            )
    return problems


def _shapes(tensors: Tensors, rank: object) -> list[str]:
    """Checks ``lora_A`` [r, inputs] and ``lora_B`` [outputs, r], by whose ``r`` vLLM scales them all."""
    wrong = [
        name
        for name, (_, shape) in sorted(tensors.items())
        if len(shape) != 2 or min(shape) < 1 or (type(rank) is int and shape[0 if name.endswith(_DOWN) else 1] != rank)
    ]
    if not wrong:
        return []
    expected = f"[{rank}, inputs]" if wrong[0].endswith(_DOWN) else f"[outputs, {rank}]"
    return [
        f"the tensor {wrong[0]!r:.200} has shape {list(tensors[wrong[0]][1])} and must be {expected} by r"
        f"{_others(wrong)}"
    ]


def _selection(modules: set[str], targets: object) -> list[str]:
    """Compares the layers that have matrices with those that the configuration names, in PEFT's way of matching."""
    if targets == "all-linear" or _targets(targets):
        return []
    names = [targets] if isinstance(targets, str) else list(targets)  # type: ignore[call-overload]

    def selects(name: str, module: str) -> bool:
        # A text is a pattern for the whole path; a name in a list may be the end of it.
        return module == name or (isinstance(targets, list) and module.endswith(f".{name}"))

    problems = []
    foreign = sorted(name for name in set(names) if not any(selects(name, module) for module in modules))
    if foreign:
        problems.append(f"target_modules names {foreign[0]!r:.80}, for which there are no tensors{_others(foreign)}")
    unnamed = sorted(module for module in modules if not any(selects(name, module) for name in names))
    if unnamed:
        problems.append(f"{unnamed[0]} has tensors and is not among target_modules{_others(unnamed)}")
    return problems


def _others(found: Iterable[str]) -> str:
    more = len(list(found)) - 1
    return f", and {more} more like it" if more else ""
