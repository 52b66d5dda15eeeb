"""What low-rank changes cannot reach: experts that are no linear layers, and layers that PEFT takes for experts."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any

from torch import nn
from transformers.pytorch_utils import Conv1D

__all__ = ["left_out", "taken_for_experts"]

_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")


def taken_for_experts(model: nn.Module, paths: Iterable[str]) -> set[str]:
    """Returns the layers whose names PEFT reads as names of experts.

    Since version 5 transformers keeps the experts of most mixture-of-experts models as one stacked parameter. PEFT
    (0.19 and later) therefore rewrites a configuration that names ``gate_proj``, ``up_proj`` or ``down_proj`` on such
    an architecture: it changes the stacked experts and leaves the dense layers and shared experts of these names as
    they are, when it trains and when it loads. PEFT itself is asked, name by name.

    Args:
        model: A model of transformers, perhaps on the meta device.
        paths: Paths of its linear layers.

    Returns:
        Those of the paths that a configuration of PEFT cannot mean.
    """
    kind = getattr(getattr(model, "config", None), "model_type", None)
    try:
        from transformers import conversion_mapping

        known: Any = conversion_mapping.get_checkpoint_conversion_mapping
        if kind is None or known(kind) is None:
            return set()  # PEFT rewrites nothing, and importing it takes seconds
        from peft import LoraConfig
        from peft.utils.transformers_weight_conversion import convert_peft_config_for_transformers
    except ImportError:  # versions without such a rewriting, or no PEFT, without which nothing is trained
        return set()

    def kept(name: str) -> bool:
        config = LoraConfig(target_modules=[name])
        try:
            convert_peft_config_for_transformers(config, model=model, conversions=None)
        except ValueError:  # one half of a pair that is stacked into one parameter
            return False
        return set(config.target_modules or ()) == {name} and not config.target_parameters

    listed = list(paths)
    lost = {name for name in {path.rpartition(".")[2] for path in listed} if not kept(name)}
    return {path for path in listed if path.rpartition(".")[2] in lost}


def left_out(model: nn.Module, changed: Collection[str]) -> tuple[str, ...]:
    """Names the weights of experts and routers, and the linear layers, that a change of all linear layers leaves out.

    Args:
        model: A model of transformers, perhaps on the meta device.
        changed: Paths of the layers that are changed.

    Returns:
        One line for the weights of a name in all layers: the name with ``*`` for numbers, how many tensors there are,
        and how many numbers they hold. Empty where nothing but embeddings, norms, convolutions and the output head is
        left out.
    """
    found: dict[str, list[int]] = {}
    head = _output_head(model)
    for path, module in model.named_modules():
        if path in changed or module is head or isinstance(module, nn.Embedding | nn.modules.conv._ConvNd):
            continue
        for name, parameter in module.named_parameters(recurse=False):
            linear = isinstance(module, nn.Linear | Conv1D) and name == "weight"
            # [1, 1, n] is a vector in a form that broadcasts
            stacked = sum(size > 1 for size in parameter.shape) >= 3
            expert = stacked or (parameter.dim() >= 2 and _is_expert(path, module))
            if linear or expert:
                found.setdefault(_NUMBER.sub("*", f"{path}.{name}"), []).append(parameter.numel())
    return tuple(
        f"{name} ({len(sizes)} {'tensor' if len(sizes) == 1 else 'tensors'}, {sum(sizes):,} numbers)"
        for name, sizes in found.items()
    )


def _is_expert(path: str, module: nn.Module) -> bool:
    words = f"{path} {type(module).__name__}".lower()
    return "expert" in words or "router" in words


def _output_head(model: nn.Module) -> Any:
    try:
        return model.get_output_embeddings()  # type: ignore[operator]
    except (AttributeError, NotImplementedError):  # a plain module, or a model without a head
        return None
