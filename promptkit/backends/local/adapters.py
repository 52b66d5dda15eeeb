"""Learned weights made ready for one model: checked against it, in one form for every kind, on its device.

Every low-rank variant becomes the same two small matrices and, for DoRA, one scale per output. Each follows what PEFT
0.21 computes, so that stock PEFT and this engine give the same answers from the same file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from promptkit.errors import ArtifactError, error_message, one_of
from promptkit.types import Weights

__all__ = ["Folded", "fold_lora", "prefix_layers", "soft_vectors"]

_PARTS = {"LORA": ("lora_A.weight", "lora_B.weight"), "ADALORA": ("lora_A", "lora_B", "lora_E")}
_MAGNITUDE = "lora_magnitude_vector"
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
# Settings of PEFT under which these tensors would compute something else than what is folded here.
_UNSUPPORTED = (
    "alora_invocation_tokens arrow_config exclude_modules kasa_config layer_replication layers_to_transform lora_bias "
    "modules_to_save monteclora_config target_parameters trainable_token_indices use_bdlora use_qalora velora_config"
).split()
_RANKNUM_GUARD = 1e-5  # PEFT adds it to AdaLoRA's rank before it divides

Layers = tuple[tuple[Tensor, Tensor], ...]
"""Keys and values of each layer, ``[1, key heads, tokens, head size]``."""


@dataclass(frozen=True, slots=True)
class Folded:
    """A low-rank change of one linear layer: ``out' = scale * (out - bias) + bias + x @ a.T @ b.T``.

    Attributes:
        a: ``[rank, inputs]``.
        b: ``[outputs, rank]``, every factor folded in.
        scale: ``[outputs]``, or ``None`` for 1.
    """

    a: Tensor
    b: Tensor
    scale: Tensor | None = None

    @property
    def is_zero(self) -> bool:
        """Whether the layer computes what it would without the change, as it does before the first step of training."""
        plain = self.scale is None or bool(torch.allclose(self.scale, torch.ones_like(self.scale)))
        return plain and not bool(self.b.any())


def fold_lora(weights: Weights, model: nn.Module) -> dict[str, Folded]:
    """Brings any low-rank variant into one form.

    LoRA (Hu et al. 2021, arXiv 2106.09685) scales by alpha / r, rsLoRA (Kalajdzievski 2023, arXiv 2312.03732) by
    alpha / sqrt(r), AdaLoRA (Zhang et al. 2023, arXiv 2303.10512) has a diagonal between its matrices and is scaled
    by alpha / (initial rank) as PEFT does, whatever rank is left; DoRA (Liu et al. 2024, arXiv 2402.09353) scales each
    output by magnitude / norm of the changed weight row.

    Args:
        weights: Weights of kind ``lora``.
        model: The model that they change; read, never changed.

    Returns:
        The change of each layer by its path, float32 tensors on the layer's device.

    Raises:
        ArtifactError: They do not fit the model; names the tensor or field. Nothing missing is ever taken for zero.
    """
    config, kind = weights.config, str(weights.config.get("peft_type"))
    if weights.kind != "lora" or kind not in _PARTS:
        got = f"{kind} in weights of kind {weights.kind!r}"
        raise ArtifactError(error_message("peft_type", of="LoRA", expected=one_of(_PARTS), got=got))
    _check_settings(config)
    if kind == "ADALORA" and config.get("use_dora"):
        raise ArtifactError(error_message("use_dora", of="LoRA", expected="False for AdaLoRA", got=config["use_dora"]))
    parts = _PARTS[kind] + ((_MAGNITUDE,) if config.get("use_dora") else ())
    paths = _targeted(config.get("target_modules"), model)
    _check_names({f"{path}.{part}" for path in paths for part in parts}, set(weights.tensors))
    return {path: _fold(path, layer, weights, parts) for path, layer in paths.items()}


def _check_settings(config: Mapping[str, Any]) -> None:
    for field in _UNSUPPORTED:
        if config.get(field):
            raise ArtifactError(error_message(field, of="LoRA", expected="left out or empty", got=config[field]))
    if config.get("bias", "none") != "none":
        raise ArtifactError(error_message("bias", of="LoRA", expected="'none'", got=config["bias"]))
    alphas = [config.get("lora_alpha"), *(config.get("alpha_pattern") or {}).values()]
    for alpha in alphas:
        if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 < alpha < math.inf:
            raise ArtifactError(error_message("lora_alpha", of="LoRA", expected="a number above 0", got=alpha))


def _targeted(targets: object, model: nn.Module) -> dict[str, nn.Module]:
    """Finds the layers that PEFT would change: those whose path is, or ends in, one of the names."""
    listed = list(targets) if isinstance(targets, list | tuple | set | frozenset) else []
    if not listed or not all(isinstance(name, str) for name in listed):
        expected = "a list of names of layers; patterns are never run"
        raise ArtifactError(error_message("target_modules", of="LoRA", expected=expected, got=targets))
    names, paths = frozenset(listed), {}
    for path, layer in model.named_modules():
        ends = [path[at:] for at in (0, *(dot.end() for dot in re.finditer(r"\.", path)))]
        if names.intersection(ends):
            paths[path] = layer
    return paths


def _check_names(wanted: set[str], found: set[str]) -> None:
    if not wanted:
        raise ArtifactError("LoRA: target_modules must name layers of this model, got none of them; use its own model")
    if wanted - found:
        raise ArtifactError(
            f"LoRA: the tensor {min(wanted - found)!r} must be given for this model, got {len(found)} others; "
            "use the model for which it was trained, or save it again, whole"
        )
    if found - wanted:
        raise ArtifactError(
            f"LoRA: the tensor {min(found - wanted)!r:.200} must belong to a layer in target_modules of this model, "
            "got none such; use the model for which it was trained"
        )


def _fold(path: str, layer: nn.Module, weights: Weights, parts: Sequence[str]) -> Folded:
    config, adaptive = weights.config, weights.config["peft_type"] == "ADALORA"
    if not isinstance(layer, nn.Linear | Conv1D):
        raise ArtifactError(
            error_message(path, of="LoRA", expected="a linear layer of this model", got=type(layer).__name__)
        )
    linear: Any = layer
    inputs, outputs = linear.weight.shape if isinstance(layer, Conv1D) else (layer.in_features, layer.out_features)
    rank = _rank(config, path)
    shapes = [(rank, inputs), (outputs, rank), (rank, 1) if adaptive else (outputs,)]
    where = linear.weight.device
    tensors = [_tensor(weights, f"{path}.{part}", shape).to(where) for part, shape in zip(parts, shapes, strict=False)]
    a, b = tensors[:2]
    if adaptive:
        return Folded(a * tensors[2], b * (config["lora_alpha"] / (config["init_r"] + _RANKNUM_GUARD)))
    alpha = _by_name(config.get("alpha_pattern"), path, config["lora_alpha"])
    b = b * (alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank)
    if not config.get("use_dora"):
        return Folded(a, b)
    weight = linear.weight.detach()
    if weight.shape != ((inputs, outputs) if isinstance(layer, Conv1D) else (outputs, inputs)):
        raise ArtifactError(
            error_message(path, of="LoRA", expected="a layer that is not quantised, for DoRA", got=type(layer))
        )
    weight = (weight.T if isinstance(layer, Conv1D) else weight).float()
    scale = tensors[2] / torch.linalg.norm(weight + b @ a, dim=1)
    if not bool(torch.isfinite(scale).all()):
        raise ArtifactError(f"LoRA: {path}: a changed row must have a length, got 0; train again")
    return Folded(a, b * scale[:, None], scale)


def _by_name(pattern: Mapping[str, Any] | None, path: str, default: Any) -> Any:
    """Looks a layer up in a ``rank_pattern`` or ``alpha_pattern``: the first name that its path ends in counts."""
    for name, value in (pattern or {}).items():
        if not _NAME.fullmatch(name):  # PEFT would run it as a regular expression
            raise ArtifactError(
                error_message("rank_pattern or alpha_pattern", of="LoRA", expected="names of layers", got=name)
            )
        if path == name or path.endswith(f".{name}"):
            return value
    return default


def _rank(config: Mapping[str, Any], path: str) -> int:
    """Returns the rank of a layer. AdaLoRA keeps, for each rank that it started with, whether it is left."""
    if config["peft_type"] == "ADALORA":
        start = config.get("init_r")
        mask = (config.get("rank_pattern") or {}).get(f"{path}.lora_E")
        rank: Any = start if mask is None else sum(map(bool, mask))
        least = 0
    else:
        rank = start = _by_name(config.get("rank_pattern"), path, config.get("r"))
        least = 1
    for value, low in ((start, 1), (rank, least)):
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise ArtifactError(
                error_message("rank", of=f"LoRA: {path}", expected=f"an integer of at least {low}", got=value)
            )
    return int(rank)


def _tensor(weights: Weights, name: str, shape: tuple[int, ...]) -> Tensor:
    array = weights.tensors[name]
    if array.shape != shape:
        expected = f"of shape {list(shape)} for this model and its rank"
        raise ArtifactError(error_message(name, of=weights.kind, expected=expected, got=list(array.shape)))
    if array.dtype != np.float32 or not np.isfinite(array).all():
        got = str(array.dtype) if array.dtype != np.float32 else "NaN or infinity"
        raise ArtifactError(
            error_message(name, of=weights.kind, expected="finite numbers in float32", got=got, hint="train again")
        )
    return torch.from_numpy(np.array(array))  # a copy: torch would write through to the caller's array


def _prompt_tensor(weights: Weights, width: int) -> Tensor:
    name = "prompt_embeddings"
    if set(weights.tensors) != {name}:
        expected = f"the one tensor {name!r}"
        raise ArtifactError(error_message("tensors", of=weights.kind, expected=expected, got=sorted(weights.tensors)))
    tokens = weights.config.get("num_virtual_tokens")
    if isinstance(tokens, bool) or not isinstance(tokens, int) or tokens < 1:
        raise ArtifactError(
            error_message("num_virtual_tokens", of=weights.kind, expected="an integer of at least 1", got=tokens)
        )
    return _tensor(weights, name, (tokens, width))


def soft_vectors(weights: Weights, model: Any) -> Tensor:
    """Makes the vectors of a soft prompt ready.

    They stand beside what the model's embedding layer returns, as in PEFT: where that layer scales its output, as
    Gemma's does, the vectors are not scaled again.

    Args:
        weights: Weights of kind ``soft_prompt``.
        model: The transformers model.

    Returns:
        ``[tokens, width]`` in the model's data type.

    Raises:
        ArtifactError: They do not fit the model.
    """
    embeddings = model.get_input_embeddings()
    return _prompt_tensor(weights, embeddings.weight.shape[1]).to(embeddings.weight.device, embeddings.weight.dtype)


def prefix_layers(weights: Weights, like: Layers) -> Layers:
    """Makes the keys and values of prefix tuning (Li & Liang 2021, arXiv 2101.00190) ready.

    Args:
        weights: Weights of kind ``prefix``; per token the keys of layer 0, its values, the keys of layer 1 and so on.
        like: Keys and values of any text as this model computes them, for their number, shape and data type.

    Returns:
        Keys and values of each layer.

    Raises:
        ArtifactError: They do not fit the model, or its layers have keys and values of different shapes.
    """
    shapes = {(one.shape[1], one.shape[3]) for pair in like for one in pair}
    if len(shapes) != 1:
        expected = "meant for a model with keys and values of one shape in all layers, as PEFT's format needs"
        raise ArtifactError(
            error_message("kind", of="prefix", expected=expected, got=sorted(shapes), hint="train kind='prompt'")
        )
    ((heads, size),) = shapes
    key = like[0][0]
    tensor = _prompt_tensor(weights, len(like) * 2 * heads * size)
    split = tensor.view(len(tensor), len(like) * 2, heads, size).permute(1, 2, 0, 3)[:, None]
    split = split.to(key.device, key.dtype).contiguous()
    return tuple((split[2 * layer], split[2 * layer + 1]) for layer in range(len(like)))
