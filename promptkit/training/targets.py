"""Which layers of a model LoRA changes: resolved once, for planning and for training, on any model of transformers."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from promptkit.errors import SettingError, error_message, one_of
from promptkit.training.config import LoraSpec
from promptkit.training.experts import taken_for_experts

__all__ = ["GROUPS", "count_trained", "find_linear", "find_targets", "resolve_targets"]

GROUPS = ("all-linear", "attention")
"""Targets that need no names of layers: every linear layer but the output head, or those of attention."""

_SHOWN = 8


def resolve_targets(model: nn.Module, targets: str | Sequence[str]) -> list[str]:
    """Turns the setting ``targets`` into names that select exactly these linear layers, in PEFT's way of matching.

    PEFT takes a name for the end of a layer's path: ``q_proj`` selects every layer whose path ends in ``.q_proj``. Not
    selected are layers whose names it takes for experts (see ``taken_for_experts``), which it would not change.

    Args:
        model: A model of transformers, perhaps on the meta device.
        targets: One of ``GROUPS``, or names of layers as in ``["q_proj", "self_attn.v_proj"]``; never patterns.

    Returns:
        Sorted names, as short as they can be without selecting anything else.

    Raises:
        SettingError: A name selects nothing, the output head, what is no linear layer, or a layer that PEFT takes for
            an expert; names what is near.

    Example:
        >>> from torch import nn
        >>> model = nn.ModuleDict({"q_proj": nn.Linear(2, 2), "norm": nn.LayerNorm(2)})
        >>> resolve_targets(model, "all-linear")
        ['q_proj']
    """
    linear = find_linear(model)
    if isinstance(targets, str):
        if targets not in GROUPS:
            expected = f"{one_of(GROUPS)} or a list of names of layers"
            raise SettingError(
                error_message("targets", of="LoRA", expected=expected, got=targets, hint=_advice(targets, linear))
            )
        members = _group(model, linear, targets)
        wanted = set(members) - taken_for_experts(model, members)
        if not wanted:
            expected = f"a group with layers in it; this model has {len(linear)} linear layers that can be changed"
            raise SettingError(
                error_message("targets", of="LoRA", expected=expected, got=targets, hint="name its layers in a list")
            )
        return _shortest_names(model, wanted)
    if not targets or not all(isinstance(name, str) and name for name in targets):
        raise SettingError(
            error_message("targets", of="LoRA", expected="a list of at least one name of layers", got=targets)
        )
    head = _head_path(model)
    for name in dict.fromkeys(targets):
        _check_name(model, name, linear, head)
    lost = taken_for_experts(model, find_targets(model, targets))
    if lost:
        kind: Any = model.config
        expected = f"without names that PEFT takes for stacked experts of a {kind.model_type} model"
        hint = f"leave them out, as {min(lost)!r} would not be changed; name layers of attention, or take 'all-linear'"
        got = sorted({path.rpartition(".")[2] for path in lost})
        raise SettingError(error_message("targets", of="LoRA", expected=expected, got=got, hint=hint))
    return sorted(set(targets))


def find_linear(model: nn.Module) -> dict[str, nn.Module]:
    """Returns the linear layers of a model by path, in the order of the model, without its output head.

    Routers that are linear layers by class and return a choice of experts (phimoe, llama4) are none of them.
    """
    head = _head_path(model)
    kinds = (nn.Linear, Conv1D)
    return {
        path: layer
        for path, layer in model.named_modules()
        if isinstance(layer, kinds) and path != head and _returns_a_tensor(layer)
    }


def find_targets(model: nn.Module, names: Sequence[str]) -> dict[str, nn.Module]:
    """Returns the layers that names select in PEFT's way of matching, by path.

    Args:
        model: The model.
        names: Names as ``resolve_targets`` returns them.

    Returns:
        The layers whose path is, or ends in, one of the names, in the order of the model.
    """
    wanted = set(names)
    return {path: layer for path, layer in model.named_modules() if not wanted.isdisjoint(_endings(path))}


def count_trained(layers: Iterable[nn.Module], spec: LoraSpec) -> int:
    """Counts the numbers that a low-rank change of layers learns.

    Args:
        layers: The layers that are changed.
        spec: Rank and variant.

    Returns:
        How many numbers are learned. DoRA has a magnitude for every output, and AdaLoRA a value for every rank.

    Example:
        >>> [count_trained([nn.Linear(3, 5)], LoraSpec(rank=2, variant=variant)) for variant in ("lora", "dora")]
        [16, 21]
    """
    count = 0
    for layer in layers:
        linear: Any = layer
        if isinstance(layer, Conv1D):  # GPT-2's keeps its weight the other way round
            inputs, outputs = linear.weight.shape
        else:
            inputs, outputs = linear.in_features, linear.out_features
        count += spec.start_rank * (inputs + outputs)
        count += {"dora": outputs, "adalora": spec.start_rank}.get(spec.variant, 0)
    return count


def _returns_a_tensor(layer: nn.Module) -> bool:
    """Whether a linear layer whose class has a forward of its own returns one tensor, as a linear layer does."""
    if type(layer).forward in (nn.Linear.forward, Conv1D.forward):
        return True
    linear: Any = layer
    kind = linear.weight.dtype if linear.weight.is_floating_point() else torch.float32
    try:
        with torch.no_grad():
            found = layer(torch.zeros(1, linear.in_features, device=linear.weight.device, dtype=kind))
    except Exception:  # packed weights want a type of their own; what is wrong with them shows in the first pass
        return True
    return isinstance(found, Tensor)


def _head_path(model: nn.Module) -> str | None:
    try:
        head: Any = model.get_output_embeddings()  # type: ignore[operator]
    except (AttributeError, NotImplementedError):  # a plain module, or a model without a head
        return None
    return next((path for path, layer in model.named_modules() if layer is head), None) if head is not None else None


def _group(model: nn.Module, linear: dict[str, nn.Module], group: str) -> list[str]:
    if group == "all-linear":
        return list(linear)
    attention = {path for path, layer in model.named_modules() if "attention" in type(layer).__name__.lower()}
    return [path for path in linear if any(outer in attention for outer in _ancestors(path))]


def _ancestors(path: str) -> Iterator[str]:
    while "." in path:
        path = path.rpartition(".")[0]
        yield path


def _endings(path: str) -> Iterator[str]:
    """Yields the ends of a path at its dots, the shortest first and the whole path last."""
    parts = path.split(".")
    for count in range(1, len(parts) + 1):
        yield ".".join(parts[-count:])


def _shortest_names(model: nn.Module, wanted: set[str]) -> list[str]:
    taken = {ending for path, _ in model.named_modules() if path and path not in wanted for ending in _endings(path)}
    return sorted({next((ending for ending in _endings(path) if ending not in taken), path) for path in wanted})


def _check_name(model: nn.Module, name: str, linear: dict[str, nn.Module], head: str | None) -> None:
    hits = [path for path, _ in model.named_modules() if path == name or path.endswith(f".{name}")]
    if not hits:
        expected = "names of linear layers of this model"
        raise SettingError(error_message("targets", of="LoRA", expected=expected, got=name, hint=_advice(name, linear)))
    if head in hits:
        expected = "without the output head, whose change could neither be shared with the embeddings nor merged"
        raise SettingError(error_message("targets", of="LoRA", expected=expected, got=name, hint="leave it out"))
    other = next((path for path in hits if path not in linear), None)
    if other is not None:
        kind = type(model.get_submodule(other)).__name__
        expected = f"names of linear layers; {other!r} is of class {kind}"
        raise SettingError(error_message("targets", of="LoRA", expected=expected, got=name, hint=_advice(name, linear)))


def _advice(name: str, linear: dict[str, nn.Module]) -> str:
    """Says which names would do: those inside the layer that was named, those spelt alike, or all there are."""
    inside = dict.fromkeys(path.rpartition(".")[2] for path in linear if name in path.split(".")[:-1])
    leaves = list(dict.fromkeys(path.rpartition(".")[2] for path in linear))
    near = list(inside) or difflib.get_close_matches(name, [*leaves, *GROUPS], n=3, cutoff=0.6)
    if near:
        return f"did you mean {' or '.join(map(repr, near[:_SHOWN]))}?"
    more = ", ..." if len(leaves) > _SHOWN else ""
    return f"this model has {', '.join(map(repr, leaves[:_SHOWN]))}{more}"
