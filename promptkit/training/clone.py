"""A clone of a model that shares its weights.

Training wraps layers and puts hooks on modules. A model that serves others at the same time must see none of it, and
a copy of its weights would double the memory. The clone is a copy of the *modules* alone: every parameter and buffer
in it is the very tensor of the model, and nothing in training writes to those.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

from torch import Tensor, nn

from promptkit.errors import UnsupportedError

__all__ = ["AnswerHead", "clone_sharing_weights", "frozen"]

_HOOKS = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_backward_hooks",
    "_backward_pre_hooks",
)


def clone_sharing_weights(model: nn.Module) -> Any:
    """Copies the modules of a model and keeps its numbers.

    Args:
        model: The model. Nobody may be changing its modules meanwhile.

    Returns:
        A model in evaluation mode that computes the same from the same tensors, without hooks.
    """
    known: dict[int, Any] = {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())}
    for module in model.modules():
        for name in _HOOKS:  # hooks belong to whoever put them on the original, and may hold anything
            known[id(getattr(module, name))] = OrderedDict()
    return copy.deepcopy(model, known).eval()


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Keeps a model's own parameters out of the gradient, and afterwards leaves them as they were found."""
    wanted = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    for parameter, _ in wanted:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter, was in wanted:
            parameter.requires_grad_(was)
            parameter.grad = None


class AnswerHead:
    """Lets the output head of a model see only the places from which answer tokens are predicted.

    The vocabulary product is most of the work of a small model with a large vocabulary, and the loss needs it at the
    answers alone. Hidden states are gathered right before the head, so that whatever an architecture does to them
    before and to the logits after it (scaling, soft caps) stays in its own hands.

    Args:
        model: A transformers model with a head.

    Raises:
        UnsupportedError: The model has no head of its own.
    """

    def __init__(self, model: Any) -> None:
        head = model.get_output_embeddings()
        if head is None:
            raise UnsupportedError(
                f"training: a {model.config.model_type} model must have an output head, got none; use another model"
            )
        self._picked: tuple[Tensor, Tensor] | None = None
        head.register_forward_pre_hook(self._gather)

    def _gather(self, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if self._picked is None:
            return None
        hidden, *others = inputs
        return (hidden[self._picked][None], *others)

    @contextmanager
    def only(self, rows: Tensor, places: Tensor) -> Iterator[None]:
        """Inside the block the logits are ``[1, answer tokens, vocabulary]``.

        Args:
            rows: Row of each answer token.
            places: The place from which it is predicted.
        """
        self._picked = (rows, places)
        try:
            yield
        finally:
            self._picked = None
