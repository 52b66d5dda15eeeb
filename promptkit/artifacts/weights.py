"""Learned weights as PEFT's two files, and back.

``adapter_config.json`` says what the numbers mean, ``adapter_model.safetensors`` holds them; stock PEFT loads them. A
file is taken whole or refused: PEFT itself only warns where tensors are missing, and then answers like the base model.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save

from promptkit.artifacts.checks import MAX_JSON, check_bytes, parse_json
from promptkit.artifacts.manifest import read_file
from promptkit.artifacts.peft_config import MODULE_NAME, canonical_config, peft_config
from promptkit.artifacts.tensors import check_safetensors
from promptkit.errors import ArtifactError, error_message, one_of
from promptkit.types import JSONObject, Weights

__all__ = [
    "CONFIG_FILE",
    "TENSOR_FILE",
    "check_tensors",
    "not_finite",
    "read_peft_folder",
    "weights_from_files",
    "weights_to_files",
]

CONFIG_FILE = "adapter_config.json"
TENSOR_FILE = "adapter_model.safetensors"
MAX_BYTES = 2_000_000_000
"""Most bytes of the file with the tensors."""

_PREFIX = "base_model.model."
_VECTORS = "prompt_embeddings"
_PARTS = {"LORA": ("lora_A.weight", "lora_B.weight"), "ADALORA": ("lora_A", "lora_B", "lora_E")}
_MAGNITUDE = "lora_magnitude_vector"
_KINDS: dict[str, Literal["soft_prompt", "prefix", "lora"]] = {
    "LORA": "lora",
    "ADALORA": "lora",
    "PROMPT_TUNING": "soft_prompt",
    "PREFIX_TUNING": "prefix",
}
_WIDTHS = {"F32": 4, "BF16": 2, "F16": 2}

Shapes = Mapping[str, tuple[int, ...]]


def weights_to_files(weights: Weights) -> dict[str, bytes]:
    """Writes weights as the two files that stock PEFT loads.

    Args:
        weights: The weights; checked as strictly as when they are read.

    Returns:
        The content of ``adapter_config.json`` and ``adapter_model.safetensors``.

    Raises:
        ArtifactError: They could not be read back; names the field or tensor.

    Example:
        >>> config = {"peft_type": "PROMPT_TUNING", "task_type": "CAUSAL_LM", "num_virtual_tokens": 2, "token_dim": 3}
        >>> soft = Weights("soft_prompt", config, {"prompt_embeddings": np.zeros((2, 3), np.float32)}, base="b5c0")
        >>> weights_from_files(weights_to_files(soft), base="b5c0") == soft
        True
    """
    label = f"weights of kind {weights.kind!r}"
    config = canonical_config(weights.config, label)
    if _KINDS[config["peft_type"]] != weights.kind:
        raise ArtifactError(
            error_message("kind", of=label, expected=f"{_KINDS[config['peft_type']]!r}", got=weights.kind)
        )
    for name, tensor in weights.tensors.items():
        if tensor.dtype != np.float32:
            raise ArtifactError(
                error_message("dtype", of=f"{label}: {name}", expected="float32", got=str(tensor.dtype))
            )
        _check_finite(tensor, f"{label}: {name}")
    check_tensors(config, {name: tensor.shape for name, tensor in weights.tensors.items()}, label)
    prefix = _PREFIX if weights.kind == "lora" else ""
    arrays = {prefix + name: np.ascontiguousarray(weights.tensors[name]) for name in sorted(weights.tensors)}
    document = json.dumps(peft_config(config), indent=2, sort_keys=True) + "\n"
    files = {CONFIG_FILE: document.encode(), TENSOR_FILE: save(arrays, {"format": "pt"})}
    _check_size(files[TENSOR_FILE], f"{label}: {TENSOR_FILE}")
    return files


def weights_from_files(files: Mapping[str, bytes], *, base: str, label: str = "weights") -> Weights:
    """Reads weights from PEFT's two files, or refuses them and says why. Nothing in them is run.

    Args:
        files: The bytes by name; exactly ``adapter_config.json`` and ``adapter_model.safetensors``.
        base: Fingerprint of the base model for which they were trained. The files never choose a base.
        label: What messages call them.

    Returns:
        The weights, in float32 whatever the file holds.

    Raises:
        ArtifactError: A file is missing or is not what its name says; a field is unknown or out of range; a tensor is
            missing, too many, of another shape or type than the configuration says, or not finite.
    """
    if set(files) != {CONFIG_FILE, TENSOR_FILE}:
        raise ArtifactError(
            error_message("files", of=label, expected=f"{CONFIG_FILE} and {TENSOR_FILE}", got=sorted(files))
        )
    for name in (CONFIG_FILE, TENSOR_FILE):
        check_bytes(name, files[name], label)
    config = parse_json(files[CONFIG_FILE], f"{label}: {CONFIG_FILE}")
    if not isinstance(config, dict):
        raise ArtifactError(f"{label}: {CONFIG_FILE} must be a JSON object")
    config = canonical_config(config, f"{label}: {CONFIG_FILE}")
    kind = _KINDS[config["peft_type"]]
    tensors = _read_tensors(files[TENSOR_FILE], config, _PREFIX if kind == "lora" else "", f"{label}: {TENSOR_FILE}")
    return Weights(kind, config, tensors, base)


def read_peft_folder(folder: str | os.PathLike[str], backend_fingerprint: str) -> Weights:
    """Loads an adapter that stock PEFT saved, as strictly as promptkit's own.

    Args:
        folder: The folder with ``adapter_config.json`` and ``adapter_model.safetensors``; other files are not opened.
        backend_fingerprint: ``backend.fingerprint()`` of the model for which the adapter was trained. That it is this
            model is the caller's word: the name in the folder is not trusted.

    Returns:
        The weights.

    Raises:
        ArtifactError: A file is missing, a pickle, or refused by ``weights_from_files``.
    """
    path = Path(os.path.abspath(folder))
    pickled = "; adapter_model.bin is a pickle, which is never opened" if (path / "adapter_model.bin").exists() else ""
    files = {}
    for name, limit in ((CONFIG_FILE, MAX_JSON), (TENSOR_FILE, MAX_BYTES)):
        try:
            files[name] = read_file(path / name, limit, f"{path.name}: {name}")
        except (FileNotFoundError, NotADirectoryError):
            raise ArtifactError(f"{path.name}: {name} is missing; save the adapter with PEFT again{pickled}") from None
    return weights_from_files(files, base=backend_fingerprint, label=path.name)


def check_tensors(config: JSONObject, shapes: Shapes, label: str) -> None:
    """Checks that there are exactly the tensors that a configuration calls for, in its shapes.

    Args:
        config: A configuration as ``canonical_config`` returns it.
        shapes: The shape of each tensor, by name without ``base_model.model.``.
        label: What messages call the weights.

    Raises:
        ArtifactError: A tensor is missing, too many or of another shape.
    """
    if config["peft_type"] in _PARTS:
        _check_low_rank(config, shapes, label)
        return
    width = config["token_dim"]
    if config["peft_type"] == "PREFIX_TUNING":
        if width % config["num_attention_heads"]:
            expected = f"a multiple of num_attention_heads, {config['num_attention_heads']}"
            raise ArtifactError(error_message("token_dim", of=label, expected=expected, got=width))
        width *= 2 * config["num_layers"]
    _check_names({_VECTORS}, set(shapes), label)
    _check_shape(shapes[_VECTORS], (config["num_virtual_tokens"], width), f"{label}: {_VECTORS}")


def _check_low_rank(config: JSONObject, shapes: Shapes, label: str) -> None:
    parts = _PARTS[config["peft_type"]] + ((_MAGNITUDE,) if config.get("use_dora") else ())
    modules = {_module(name, parts, label) for name in shapes}
    if not modules:
        raise ArtifactError(f"{label} must hold the tensors of at least one module, got none")
    _check_names({f"{module}.{part}" for module in modules for part in parts}, set(shapes), label)
    _check_selection(config, modules, label)
    adalora = config["peft_type"] == "ADALORA"
    for module in sorted(modules):
        rank = _masked_rank(config, module, label) if adalora else _rank(config, module)
        down, up = (shapes[f"{module}.{part}"] for part in parts[:2])
        inputs, outputs = down[-1] if len(down) == 2 else 0, up[0] if len(up) == 2 else 0
        _check_shape(down, (rank, max(1, inputs)), f"{label}: {module}.{parts[0]}")
        _check_shape(up, (max(1, outputs), rank), f"{label}: {module}.{parts[1]}")
        if adalora:
            _check_shape(shapes[f"{module}.lora_E"], (rank, 1), f"{label}: {module}.lora_E")
        if _MAGNITUDE in parts:
            _check_shape(shapes[f"{module}.{_MAGNITUDE}"], (outputs,), f"{label}: {module}.{_MAGNITUDE}")


def _module(name: str, parts: tuple[str, ...], label: str) -> str:
    for part in parts:
        module = name.removesuffix(f".{part}")
        if module != name and MODULE_NAME.fullmatch(module):
            return module
    raise ArtifactError(
        error_message("the name of a tensor", of=label, expected=f"a module's path and {one_of(parts)}", got=name)
    )


def _check_names(wanted: set[str], found: set[str], label: str) -> None:
    if wanted - found:
        raise ArtifactError(f"{label} lacks the tensor {min(wanted - found)!r}; save the adapter again, whole")
    if found - wanted:
        raise ArtifactError(f"{label} holds the tensor {min(found - wanted)!r:.200}, which is no part of such weights")


def _check_selection(config: JSONObject, modules: set[str], label: str) -> None:
    """Checks that the names in a configuration and the modules with tensors select each other, without a doubt."""
    endings = {module: _endings(module) for module in sorted(modules)}
    known = {ending for own in endings.values() for ending in own}
    patterns = {
        "rank_pattern": {key.removesuffix(".lora_E") for key in config.get("rank_pattern", {})},
        "alpha_pattern": set(config.get("alpha_pattern", ())),
    }
    targets = set(config["target_modules"])
    for field, names in {"target_modules": targets, **patterns}.items():
        for name in sorted(names - known):
            raise ArtifactError(error_message(field, of=label, expected="names of modules that have tensors", got=name))
    for module, own in endings.items():
        if targets.isdisjoint(own):
            expected = f"names that select {module!r}, which has tensors"
            raise ArtifactError(error_message("target_modules", of=label, expected=expected, got=sorted(targets)))
        for field, names in patterns.items():
            if len(names.intersection(own)) > 1:  # PEFT would take whichever is first in the file
                expected = f"names of which at most one selects {module!r}"
                raise ArtifactError(
                    error_message(field, of=label, expected=expected, got=sorted(names.intersection(own)))
                )


def _endings(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[place:]) for place in range(len(parts))]


def _rank(config: JSONObject, module: str) -> int:
    found = [rank for name, rank in config.get("rank_pattern", {}).items() if name in _endings(module)]
    return int(found[0] if found else config["r"])


def _masked_rank(config: JSONObject, module: str, label: str) -> int:
    mask = config.get("rank_pattern", {}).get(f"{module}.lora_E")
    if mask is None:
        return int(config["init_r"])
    if len(mask) != config["init_r"]:
        expected = f"a list of {config['init_r']} true or false, as init_r says"
        raise ArtifactError(error_message(f"rank_pattern[{module!r:.80}]", of=label, expected=expected, got=len(mask)))
    return sum(mask)


def _check_shape(found: tuple[int, ...], wanted: tuple[int, ...], label: str) -> None:
    if found != wanted:
        raise ArtifactError(
            error_message("shape", of=label, expected=f"{list(wanted)} as the configuration says", got=list(found))
        )


def _check_size(data: bytes, label: str) -> None:
    if len(data) > MAX_BYTES:
        raise ArtifactError(error_message("size", of=label, expected=f"at most {MAX_BYTES:,} bytes", got=len(data)))


def _read_tensors(data: bytes, config: JSONObject, prefix: str, label: str) -> dict[str, npt.NDArray[np.float32]]:
    _check_size(data, label)
    found = check_safetensors(data, label)
    for name, (dtype, _) in found.items():
        if not name.startswith(prefix):
            expected = f"names of tensors that start with {prefix!r}"
            raise ArtifactError(error_message("content", of=label, expected=expected, got=name))
        if dtype not in _WIDTHS:
            raise ArtifactError(error_message("dtype", of=f"{label}: {name}", expected=one_of(_WIDTHS), got=dtype))
    check_tensors(config, {name.removeprefix(prefix): shape for name, (_, shape) in found.items()}, label)
    tensors = {}
    for name, tensor in _arrays(data, found):
        _check_finite(tensor, f"{label}: {name}")
        tensors[name.removeprefix(prefix)] = tensor
    return tensors


def not_finite(data: bytes, found: Mapping[str, tuple[str, tuple[int, ...]]]) -> str:
    """Finds a tensor with a number that is not finite.

    Args:
        data: A safetensors file.
        found: What ``check_safetensors`` returned for it; every type is F32, BF16 or F16.

    Returns:
        The name of the first such tensor, or "".
    """
    return next((name for name, tensor in _arrays(data, found) if not np.isfinite(tensor).all()), "")


def _arrays(
    data: bytes, found: Mapping[str, tuple[str, tuple[int, ...]]]
) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    """Reads the tensors of a file that was checked, one after another, by name."""
    length = int.from_bytes(data[:8], "little")
    header: dict[str, Any] = json.loads(data[8 : 8 + length])
    for name in sorted(found):
        dtype, shape = found[name]
        begin, end = header[name]["data_offsets"]
        yield name, _widen(memoryview(data)[8 + length + begin : 8 + length + end], dtype).reshape(shape)


def _widen(data: memoryview, dtype: str) -> npt.NDArray[np.float32]:
    if dtype == "BF16":  # the upper half of a float32
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(data, "<f4" if dtype == "F32" else "<f2").astype(np.float32)


def _check_finite(tensor: npt.NDArray[np.float32], label: str) -> None:
    if not np.isfinite(tensor).all():
        raise ArtifactError(f"{label} must hold finite numbers only, got NaN or infinity; train again")
