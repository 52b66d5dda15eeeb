"""A low-rank change is tried before it is trained: the model must use it, and the engine must answer with it alike.

Architectures differ in ways that no list can keep up with: layers whose weight is read without the layer being called,
layers that see the rows of a batch in another order, routers, shared layers. So the change is given random numbers, and
the log-probabilities of two answers are compared between the model that is trained and the backend that will serve.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from promptkit.errors import UnsupportedError
from promptkit.training.checks import is_memory_error
from promptkit.training.config import Pair
from promptkit.training.dataset import Item, encode
from promptkit.training.learner import Learner
from promptkit.types import ScoreRequest

if TYPE_CHECKING:
    from promptkit.backends.local.backend import LocalBackend

__all__ = ["check_first_pass"]

_NOISE = {".lora_B.": 0.05, ".lora_E.": 1.0}  # what starts at 0, and about how much of a layer's output it is to be
_SHARE, _PER_TOKEN = 0.1, 1e-3  # largest difference: a share of what the change does, or nats per token
_SHARE_LOW, _PER_TOKEN_LOW = 0.5, 0.05  # the same where a number has fewer bits than float32


def check_first_pass(
    learner: Learner, backend: LocalBackend, pairs: Sequence[Pair], *, before: int, bfloat16: bool
) -> None:
    """Checks before the first step that the low-rank change will be trained and can be used.

    Costs three forward passes of the two shortest pairs. The learner is left as it was, bit by bit.

    Args:
        learner: What is to be trained.
        backend: The model's backend, which will answer with what was learned.
        pairs: What is to be learned from; at least one.
        before: Places of the context window that learned vectors take.
        bfloat16: Whether training computes in bfloat16.

    Raises:
        UnsupportedError: A layer is never called, so that its change would not count; or the backend cannot answer with
            the change, or answers otherwise than the model that is trained. Says what to do.
    """
    if learner.change is None:
        return
    kind = backend.model.config.model_type
    order = sorted(pairs, key=lambda pair: len(str(pair.prompt)) + len(pair.answer))
    chosen = [replace(pair, end=False) for pair in (order * 2 if len(order) == 1 else order)[:2]]
    try:
        items = encode(backend, chosen, of="pairs", before=before)
        unused = _unused(learner, items)
        if not unused:
            different = _difference(learner, backend, chosen, items, bfloat16=bfloat16)
    except Exception as error:  # third-party code may raise anything
        if is_memory_error(error):
            raise
        reason = (str(error).strip().splitlines() or [""])[0]
        raise UnsupportedError(
            f"LoRA: a {kind} model must run with changed layers in training and in the engine, got "
            f"{type(error).__name__}: {reason:.300}; name other layers in targets, for example those of attention, or "
            "use another model; nothing was trained"
        ) from error
    if unused:
        others = sorted({path.rpartition(".")[2] for path in set(learner.change.layers) - set(unused)})
        raise UnsupportedError(
            f"LoRA: layers that are changed must be called by the model, got {len(unused)} of a {kind} model, such as "
            f"{unused[0]!r}, whose weights it reads by itself, so that a change would never count; "
            + (f"use targets={others}" if others else "use another model")
            + "; nothing was trained"
        )
    if different:
        raise UnsupportedError(
            f"LoRA: the engine must answer with a change as the model that is trained does, got {different} on a "
            f"{kind} model; name other layers in targets, for example those of attention, or use another model; "
            "nothing was trained"
        )


def _unused(learner: Learner, items: Sequence[Item]) -> list[str]:
    """Returns the layers that are never called although their weights are used.

    An expert to which no token was sent is not called either, and its weight is not used.
    """
    assert learner.change is not None
    called: set[str] = set()
    hooks = [
        learner.layer(path).register_forward_hook(lambda *_, path=path: called.add(path))
        for path in learner.change.layers
    ]
    try:
        learner.log_probability(items)
    finally:
        for hook in hooks:
            hook.remove()
    weights: dict[str, Any] = {
        path: layer.weight for path, layer in learner.change.layers.items() if path not in called
    }
    weights = {path: weight for path, weight in weights.items() if weight.is_floating_point()}
    if not weights:
        return []
    try:
        for weight in weights.values():
            weight.requires_grad_(True)
        learner.gradients(items)
        return [path for path, weight in weights.items() if weight.grad is not None]
    finally:
        for weight in weights.values():
            weight.requires_grad_(False)
            weight.grad = None
        for parameter in learner.parameters.values():
            parameter.grad = None


def _difference(
    learner: Learner, backend: LocalBackend, pairs: Sequence[Pair], items: Sequence[Item], *, bfloat16: bool
) -> str:
    """Compares log-probabilities of two answers; returns in words what differs, or nothing."""
    with _random_change(learner):
        wanted = [learner.log_probability([item]) for item in items]
        lora, soft = learner.weights(backend.fingerprint())
    if not all(map(math.isfinite, wanted)):
        return ""  # the training loop says so at its first step
    first, second = (ScoreRequest(pair.prompt, (pair.answer,), soft_prompt=soft, lora=lora) for pair in pairs)
    plain = replace(second, lora=None)
    bare = backend.score([plain])[0][0][0]
    # Rows with and without the change in one batch, as requests of several predictors will be.
    got = [row[0][0] for row in backend.score([first, plain, second])]
    exact = backend.model.dtype == torch.float32 and not bfloat16
    share, each = (_SHARE, _PER_TOKEN) if exact else (_SHARE_LOW, _PER_TOKEN_LOW)
    room = max(share * abs(wanted[1] - bare), each * max(len(item.answer) for item in items))
    for should, found, what in zip(
        (wanted[0], bare, wanted[1]), got, ("with the change", "beside a row with the change", "with the change"),
        strict=True,
    ):  # fmt: skip
        if not abs(should - found) <= room:
            return f"a log-probability of {found:.4g} {what} where {should:.4g} is right"
    return ""


@contextmanager
def _random_change(learner: Learner) -> Iterator[None]:
    """Gives the change random numbers, without a number of torch's global generator, and takes them back."""
    draw = torch.Generator().manual_seed(0)
    kept = {}
    for name, parameter in learner.parameters.items():
        scale = next((scale for part, scale in _NOISE.items() if part in name), None)
        if scale is not None:
            kept[name] = parameter.detach().clone()
            noise = scale * torch.randn(parameter.shape, generator=draw)
            with torch.no_grad():
                parameter.add_(noise.to(parameter.device, parameter.dtype))
    try:
        yield
    finally:
        with torch.no_grad():
            for name, tensor in kept.items():
                learner.parameters[name].copy_(tensor)
