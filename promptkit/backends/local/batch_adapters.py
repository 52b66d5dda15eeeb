"""The learned weights of one call: which tokens stand for them, and what the model is given in place of those."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from promptkit.backends.local.adapters import Layers
from promptkit.backends.local.batched_lora import BatchedLora, Changes
from promptkit.backends.local.keys import PromptKey, lora_number, prompt_key, text_of, virtual_of
from promptkit.types import Weights

__all__ = ["BatchAdapters", "Ready", "padded"]


@dataclass(frozen=True, slots=True, eq=False)
class Ready:
    """Weights checked against a model and put on its device; one of the three is not empty.

    Attributes:
        vectors: Vectors of a soft prompt, ``[tokens, width]``.
        layers: Keys and values of a prefix.
        changes: Low-rank changes by layer.
    """

    vectors: Tensor | None = None
    layers: Layers = ()
    changes: Changes = field(default_factory=dict)


def padded(lists: Sequence[Sequence[int]], device: torch.device, *, left: bool) -> tuple[Tensor, Tensor]:
    """Makes a rectangle of token lists, padded with zeros; also returns where it holds real tokens."""
    width = max(len(ids) for ids in lists)
    ids = torch.zeros((len(lists), width), dtype=torch.long)
    real = torch.zeros((len(lists), width), dtype=torch.bool)
    for row, tokens in enumerate(lists):
        place = slice(width - len(tokens), width) if left else slice(0, len(tokens))
        ids[row, place] = torch.tensor(tokens, dtype=torch.long)
        real[row, place] = True
    return ids.to(device), real.to(device)


class BatchAdapters:
    """The weights that the requests of one call name, numbered in the order in which they come.

    Args:
        ready: Returns weights made ready; called once for each.
    """

    def __init__(self, ready: Callable[[Weights], Ready] | None = None) -> None:
        self._ready = ready
        self._numbers: dict[Weights, int] = {}
        self._all: list[Ready] = []

    def key(self, text: Sequence[int], soft_prompt: Weights | None, lora: Weights | None) -> PromptKey:
        """Names a prompt together with its weights; see ``local_keys``.

        Args:
            text: Tokens of the prompt's text.
            soft_prompt: Its soft prompt or prefix.
            lora: Its LoRA.

        Returns:
            The key, one number per virtual token and token of text.

        Raises:
            ArtifactError: Weights do not fit the model.
        """
        virtual = 0 if soft_prompt is None else soft_prompt.tokens
        return prompt_key(text, soft=self._number(soft_prompt), virtual=virtual, lora=self._number(lora))

    def _number(self, weights: Weights | None) -> int:
        if weights is None:
            return 0
        if weights not in self._numbers:
            assert self._ready is not None, "batch adapters without a source of weights"
            self._all.append(self._ready(weights))
            self._numbers[weights] = len(self._all)
        return self._numbers[weights]

    def changes(self, keys: Sequence[Sequence[int]]) -> BatchedLora:
        """Returns the low-rank changes of rows with these keys."""
        numbers = [lora_number(key) for key in keys]
        return BatchedLora([self._all[number - 1].changes if number else None for number in numbers])

    def given(self, key: Sequence[int]) -> tuple[int, Layers]:
        """Returns how many tokens a key starts with whose keys and values are learned, and these."""
        number, first, count = virtual_of(key)
        if not number or not self._all[number - 1].layers:
            return 0, ()
        span = slice(first, first + count)
        return count, tuple((keys[:, :, span], values[:, :, span]) for keys, values in self._all[number - 1].layers)

    def inputs(self, model: Any, keys: Sequence[Sequence[int]], *, left: bool) -> tuple[Mapping[str, Tensor], Tensor]:
        """Builds what the model is to read: tokens, or vectors where a row has a soft prompt.

        Args:
            model: The transformers model.
            keys: What each row still has to read.
            left: Whether padding is on the left.

        Returns:
            ``input_ids`` ``[rows, tokens]`` or ``inputs_embeds`` ``[rows, tokens, width]``, and where they are real.
        """
        fronts = [virtual_of(key) for key in keys]
        texts = [[*[0] * front[2], *text_of(key)] for front, key in zip(fronts, keys, strict=True)]
        ids, real = padded(texts, model.device, left=left)
        if not any(count for _, _, count in fronts):
            return {"input_ids": ids}, real
        with torch.no_grad():
            vectors = model.get_input_embeddings()(ids)
        for row, (number, first, count) in enumerate(fronts):
            if count:
                learned = self._all[number - 1].vectors
                assert learned is not None
                start = vectors.shape[1] - len(texts[row]) if left else 0
                vectors[row, start : start + count] = learned[first : first + count]
        return {"inputs_embeds": vectors}, real
