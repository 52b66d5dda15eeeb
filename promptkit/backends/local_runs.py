"""One batch on its way through a model: start with prompts, keep some rows, feed the next tokens.

``CausalRun`` and ``Seq2SeqRun`` offer the same three steps, so the decoding loop and the scoring know only of those.
Rows are left-padded, each with its own positions, and leave the cache as soon as they are finished.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from promptkit.backends.local_attention import Prefix, attending

__all__ = ["CausalRun", "Run", "Seq2SeqRun", "compute_prefix"]


class Run(Protocol):
    """A batch of rows inside a model."""

    def start(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Reads the prompts; returns the logits of the token after each, ``[rows, vocabulary]``."""
        ...

    def keep(self, rows: Sequence[int]) -> None:
        """Makes these rows, which may repeat, the rows of the batch."""
        ...

    def feed(self, tokens: Tensor, real: Tensor | None = None) -> Tensor:
        """Reads further tokens ``[rows, new]``, where ``real`` is false for padding on the right.

        Returns:
            Logits of the token after each of them, ``[rows, new, vocabulary]``.
        """
        ...


def _padded(lists: Sequence[Sequence[int]], pad: int, device: torch.device, *, left: bool) -> tuple[Tensor, Tensor]:
    """Makes a rectangle of token lists; also returns where it holds real tokens."""
    width = max(len(ids) for ids in lists)
    ids = torch.full((len(lists), width), pad, dtype=torch.long)
    real = torch.zeros((len(lists), width), dtype=torch.bool)
    for row, tokens in enumerate(lists):
        place = slice(width - len(tokens), width) if left else slice(0, len(tokens))
        ids[row, place] = torch.tensor(tokens, dtype=torch.long)
        real[row, place] = True
    return ids.to(device), real.to(device)


def compute_prefix(model: Any, tokens: Sequence[int], accepts: frozenset[str]) -> Prefix:
    """Computes the keys and values of a prefix.

    Args:
        model: A causal transformers model.
        tokens: The prefix.
        accepts: Names of the arguments that the model's ``forward`` takes.

    Returns:
        The prefix, ready to be shared by any number of batches.
    """
    cache = DynamicCache(config=model.config)
    ids = torch.tensor([list(tokens)], device=model.device)
    # The prefix's own logits are never read; asking for one position spares the vocabulary product of the others.
    only = {"logits_to_keep": 1} if "logits_to_keep" in accepts else {}
    with torch.no_grad():
        model(input_ids=ids, past_key_values=cache, use_cache=True, **only)
    layers: list[Any] = list(cache.layers)
    return Prefix(tuple(tokens), tuple((layer.keys, layer.values) for layer in layers))


class CausalRun:
    """A batch inside a causal model.

    Args:
        model: The model.
        accepts: Names of the arguments that its ``forward`` takes.
        prefix: Computed prefix that every prompt starts with, or ``None``.
        shared: Whether the prefix is attended to as one block (the model must have been loaded with the attention of
            ``local_attention``); otherwise it is copied into every row.
        masked: Whether rows may have padding. Without, all prompts must have one length, and models whose layers
            are not all attention see no mask that they would misread.
    """

    def __init__(
        self, model: Any, accepts: frozenset[str], prefix: Prefix | None = None, *, shared: bool, masked: bool = True
    ) -> None:
        self._model = model
        self._accepts = accepts
        self._prefix = prefix
        self._shared = shared
        self._masked = masked
        self._cache = DynamicCache(config=model.config)
        self._real = torch.empty(0)
        self._length = torch.empty(0)  # real tokens of each row so far

    def start(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Reads the prompts; returns the logits of the token after each, ``[rows, vocabulary]``."""
        device, rows = self._model.device, len(prompts)
        known = len(self._prefix.tokens) if self._prefix else 0
        own = [ids[known:] for ids in prompts]
        ids, real = _padded(own, 0, device, left=True)
        self._length = torch.full((rows,), known, dtype=torch.long, device=device)
        self._real = torch.zeros((rows, 0), dtype=torch.bool, device=device)
        if self._prefix and not self._shared:
            self._real = torch.ones((rows, known), dtype=torch.bool, device=device)
            for layer, (keys, values) in enumerate(self._prefix.layers):
                self._cache.update(keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1), layer)
        return self._forward(ids, real, last=True)[:, -1]

    def keep(self, rows: Sequence[int]) -> None:
        """Makes these rows, which may repeat, the rows of the batch."""
        index = torch.tensor(rows, dtype=torch.long, device=self._model.device)
        self._cache.batch_select_indices(index)
        self._real = self._real[index]
        self._length = self._length[index]

    def feed(self, tokens: Tensor, real: Tensor | None = None) -> Tensor:
        """Reads further tokens ``[rows, new]``; see ``Run.feed``."""
        real = torch.ones_like(tokens, dtype=torch.bool) if real is None else real
        return self._forward(tokens, real, last=False)

    def _forward(self, ids: Tensor, real: Tensor, *, last: bool) -> Tensor:
        self._real = torch.cat([self._real, real], dim=1)
        positions = (self._length[:, None] + real.cumsum(1) - 1).clamp(min=0) * real
        self._length = self._length + real.sum(1)
        extra: dict[str, Any] = {}
        if "position_ids" in self._accepts:
            extra["position_ids"] = positions
        if last and "logits_to_keep" in self._accepts:
            extra["logits_to_keep"] = 1
        if self._masked:
            extra["attention_mask"] = self._real.long()
        with torch.no_grad(), attending(self._prefix if self._shared else None):
            output = self._model(input_ids=ids, past_key_values=self._cache, use_cache=True, **extra)
        logits: Tensor = output.logits
        return logits.float()


class Seq2SeqRun:
    """A batch inside an encoder-decoder model.

    Args:
        model: The model.
        start_token: The token that the decoder starts with.
    """

    def __init__(self, model: Any, start_token: int) -> None:
        self._model = model
        self._start = start_token
        self._cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        self._encoded = torch.empty(0)
        self._real = torch.empty(0)

    def start(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Encodes the prompts; returns the logits of the first token of each answer."""
        device = self._model.device
        ids, self._real = _padded(prompts, 0, device, left=False)
        with torch.no_grad():
            encoded = self._model.get_encoder()(input_ids=ids, attention_mask=self._real.long())
        self._encoded = encoded.last_hidden_state
        first = torch.full((len(prompts), 1), self._start, dtype=torch.long, device=device)
        return self.feed(first)[:, -1]

    def keep(self, rows: Sequence[int]) -> None:
        """Makes these rows, which may repeat, the rows of the batch."""
        index = torch.tensor(rows, dtype=torch.long, device=self._model.device)
        self._cache.batch_select_indices(index)
        self._encoded = self._encoded[index]
        self._real = self._real[index]

    def feed(self, tokens: Tensor, real: Tensor | None = None) -> Tensor:
        """Reads further tokens; padding on the right changes nothing before it, so ``real`` is not needed."""
        with torch.no_grad():
            output = self._model(
                encoder_outputs=BaseModelOutput(last_hidden_state=self._encoded),
                attention_mask=self._real.long(),
                decoder_input_ids=tokens,
                past_key_values=self._cache,
                use_cache=True,
            )
        logits: Tensor = output.logits
        return logits.float()
