"""One batch on its way through a model: start with prompts, keep some rows, feed the next tokens.

``CausalRun``, ``UncachedRun`` and ``Seq2SeqRun`` offer the same three steps, so the decoding loop and the scoring know
only of those. In a cache, rows are left-padded, each with its own positions, and leave as soon as they are finished.
Prompts are keys of ``local_keys``: each row brings its own soft prompt and LoRA, or none, and its virtual tokens stand
right before its text, ``[padding][virtual][text]``, where padding in between would move the text away from them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional
from transformers import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from promptkit.backends.local.attention import Prefix, attending
from promptkit.backends.local.batch_adapters import BatchAdapters
from promptkit.backends.local.batched_lora import BatchedLora
from promptkit.backends.local.keys import extended

__all__ = ["CausalRun", "Run", "Seq2SeqRun", "UncachedRun", "compute_prefix"]


_PLAIN = BatchAdapters()  # for prompts without learned weights


class Run(Protocol):
    """A batch of rows inside a model."""

    def start(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Reads the prompts, as keys; returns the logits of the token after each, ``[rows, vocabulary]``."""
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


def compute_prefix(
    model: Any, tokens: Sequence[int], accepts: frozenset[str], adapters: BatchAdapters = _PLAIN
) -> Prefix:
    """Computes the keys and values of a prefix.

    Args:
        model: A causal transformers model.
        tokens: The prefix, as the start of a key.
        accepts: Names of the arguments that the model's ``forward`` takes.
        adapters: The weights of the key.

    Returns:
        The prefix, ready to be shared by any number of batches.
    """
    cache = DynamicCache(config=model.config)
    count, given = adapters.given(tokens)
    for layer, (keys, values) in enumerate(given):
        cache.update(keys, values, layer)
    # The prefix's own logits are never read; asking for one position spares the vocabulary product of the others.
    only = {"logits_to_keep": 1} if "logits_to_keep" in accepts else {}
    if count < len(tokens):
        inputs, _ = adapters.inputs(model, [tokens[count:]], left=True)
        with torch.no_grad(), adapters.changes([tokens]).active():
            model(**inputs, past_key_values=cache, use_cache=True, **only)
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
        single: Whether further tokens are read one by one, for models that take only one at a time from a cache.
        adapters: The weights that the prompts' keys stand for.
    """

    def __init__(
        self,
        model: Any,
        accepts: frozenset[str],
        prefix: Prefix | None = None,
        *,
        shared: bool,
        masked: bool = True,
        single: bool = False,
        adapters: BatchAdapters = _PLAIN,
    ) -> None:
        self._model = model
        self._accepts = accepts
        self._prefix = prefix
        self._shared = shared
        self._masked = masked
        self._single = single
        self._mixture = adapters
        # Models without attention name their state otherwise.
        self._cache_name = "cache_params" if "cache_params" in accepts else "past_key_values"
        self._changes = BatchedLora([])
        self._cache = DynamicCache(config=model.config)
        self._real = torch.empty(0)
        self._length = torch.empty(0)  # real tokens of each row so far

    def start(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Reads the prompts; see ``Run.start``."""
        device, rows = self._model.device, len(prompts)
        known = len(self._prefix.tokens) if self._prefix else 0
        self._changes = self._mixture.changes(prompts)
        self._length = torch.full((rows,), known, dtype=torch.long, device=device)
        self._real = torch.zeros((rows, 0), dtype=torch.bool, device=device)
        if self._prefix and not self._shared:
            self._real = torch.ones((rows, known), dtype=torch.bool, device=device)
            for layer, (keys, values) in enumerate(self._prefix.layers):
                self._cache.update(keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1), layer)
        inputs, real = self._mixture.inputs(self._model, self._take_given([ids[known:] for ids in prompts]), left=True)
        return self._forward(inputs, real, last=True)[:, -1]

    def _take_given(self, keys: Sequence[Sequence[int]]) -> Sequence[Sequence[int]]:
        """Puts learned keys and values into the cache; returns what is left for the model to read."""
        given = [self._mixture.given(key) for key in keys]
        counts = torch.tensor([count for count, _ in given])
        width = int(counts.max())
        if not width:
            return keys
        like = next(layers for _, layers in given if layers)
        for layer, pair in enumerate(like):
            wide = [one.new_zeros(len(keys), one.shape[1], width, one.shape[3]) for one in pair]
            for row, (count, layers) in enumerate(given):
                if count:
                    for whole, own in zip(wide, layers[layer], strict=True):
                        whole[row, :, width - count :] = own[0]
            self._cache.update(wide[0], wide[1], layer)
        real = torch.arange(width) >= width - counts[:, None]
        self._real = torch.cat([self._real, real.to(self._real.device)], dim=1)
        self._length = self._length + counts.to(self._length.device)
        return [key[count:] for key, (count, _) in zip(keys, given, strict=True)]

    def keep(self, rows: Sequence[int]) -> None:
        """Makes these rows, which may repeat, the rows of the batch."""
        index = torch.tensor(rows, dtype=torch.long, device=self._model.device)
        self._cache.reorder_cache(index)  # type: ignore[arg-type]  # any tensor of integers
        self._changes.keep(rows)
        self._real = self._real[index]
        self._length = self._length[index]

    def feed(self, tokens: Tensor, real: Tensor | None = None) -> Tensor:
        """Reads further tokens ``[rows, new]``; see ``Run.feed``."""
        real = torch.ones_like(tokens, dtype=torch.bool) if real is None else real
        width = 1 if self._single else tokens.shape[1]
        steps = zip(torch.split(tokens, width, dim=1), torch.split(real, width, dim=1), strict=True)
        parts = [self._forward({"input_ids": ids}, own, last=False) for ids, own in steps]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def _forward(self, inputs: Mapping[str, Tensor], real: Tensor, *, last: bool) -> Tensor:
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
        extra[self._cache_name] = self._cache
        with torch.no_grad(), attending(self._prefix if self._shared else None), self._changes.active():
            output = self._model(**inputs, use_cache=True, **extra)
        logits: Tensor = output.logits
        return logits.float()


class UncachedRun:
    """A batch inside a causal model that keeps no usable state: every step reads the rows from their first token.

    Rows of equal length are read together and others apart, so there is no padding and no mask.

    Args:
        model: The model.
        accepts: Names of the arguments that its ``forward`` takes.
        adapters: The weights that the prompts' keys stand for.
    """

    def __init__(self, model: Any, accepts: frozenset[str], adapters: BatchAdapters = _PLAIN) -> None:
        self._model = model
        self._accepts = accepts
        self._mixture = adapters
        self._keys: list[tuple[int, ...]] = []

    def start(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Reads the prompts; see ``Run.start``."""
        self._keys = [tuple(prompt) for prompt in prompts]
        return torch.stack([logits[-1] for logits in self._read([1] * len(self._keys))])

    def keep(self, rows: Sequence[int]) -> None:
        """Makes these rows, which may repeat, the rows of the batch."""
        self._keys = [self._keys[row] for row in rows]

    def feed(self, tokens: Tensor, real: Tensor | None = None) -> Tensor:
        """Reads the rows again with further tokens ``[rows, new]``; see ``Run.feed``."""
        width = tokens.shape[1]
        counts = [width] * len(self._keys) if real is None else real.sum(1).tolist()
        own = zip(self._keys, tokens.tolist(), counts, strict=True)
        self._keys = [extended(key, ids[:count]) for key, ids, count in own]
        logits = self._read(counts)
        return torch.stack([functional.pad(one, (0, 0, 0, width - len(one))) for one in logits])

    def _read(self, counts: Sequence[int]) -> list[Tensor]:
        """Returns the logits of the token after each of the last ``counts`` tokens of every row."""
        found: dict[int, Tensor] = {}
        lengths = [len(key) for key in self._keys]
        for length in sorted(set(lengths)):
            rows = [row for row, own in enumerate(lengths) if own == length]
            keys = [self._keys[row] for row in rows]
            most = max(1, *(counts[row] for row in rows))
            options = {"use_cache": False, "logits_to_keep": most}
            inputs, _ = self._mixture.inputs(self._model, keys, left=True)
            with torch.no_grad(), self._mixture.changes(keys).active():
                output = self._model(**inputs, **{name: options[name] for name in options if name in self._accepts})
            for row, logits in zip(rows, output.logits.float(), strict=True):
                found[row] = logits[len(logits) - counts[row] :]
        return [found[row] for row in range(len(lengths))]


class Seq2SeqRun:
    """A batch inside an encoder-decoder model.

    Args:
        model: The model.
        start_token: The token that the decoder starts with.
        cached: Whether the decoder keeps its state in a cache; otherwise every step reads the answer from its start.
        single: Whether further tokens are read one by one, for models that take only one at a time from a cache.
        adapters: The weights that the prompts' keys stand for.
    """

    def __init__(
        self,
        model: Any,
        start_token: int,
        *,
        cached: bool = True,
        single: bool = False,
        adapters: BatchAdapters = _PLAIN,
    ) -> None:
        self._model = model
        self._start = start_token
        self._cached = cached
        self._single = single
        self._mixture = adapters
        self._changes = BatchedLora([])
        self._cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        self._encoded = torch.empty(0)
        self._real = torch.empty(0)
        self._read = torch.empty(0)  # what an uncached decoder has read so far

    def start(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Encodes the prompts; returns the logits of the first token of each answer."""
        device = self._model.device
        self._changes = self._mixture.changes(prompts)
        inputs, self._real = self._mixture.inputs(self._model, prompts, left=False)
        with torch.no_grad(), self._changes.active():
            encoded = self._model.get_encoder()(**inputs, attention_mask=self._real.long())
        self._encoded = encoded.last_hidden_state
        first = torch.full((len(prompts), 1), self._start, dtype=torch.long, device=device)
        self._read = first[:, :0]
        return self.feed(first)[:, -1]

    def keep(self, rows: Sequence[int]) -> None:
        """Makes these rows, which may repeat, the rows of the batch."""
        index = torch.tensor(rows, dtype=torch.long, device=self._model.device)
        self._cache.reorder_cache(index)  # type: ignore[arg-type]  # any tensor of integers
        self._changes.keep(rows)
        self._encoded = self._encoded[index]
        self._real = self._real[index]
        self._read = self._read[index]

    def feed(self, tokens: Tensor, real: Tensor | None = None) -> Tensor:
        """Reads further tokens; padding on the right changes nothing before it, so ``real`` is not needed."""
        if self._cached:
            width = 1 if self._single else tokens.shape[1]
            parts = [self._decode(ids) for ids in torch.split(tokens, width, dim=1)]
            return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
        self._read = torch.cat([self._read, tokens], dim=1)
        return self._decode(self._read)[:, -tokens.shape[1] :]

    def _decode(self, tokens: Tensor) -> Tensor:
        state = {"past_key_values": self._cache, "use_cache": True} if self._cached else {"use_cache": False}
        with torch.no_grad(), self._changes.active():
            output = self._model(
                encoder_outputs=BaseModelOutput(last_hidden_state=self._encoded),
                attention_mask=self._real.long(),
                decoder_input_ids=tokens,
                **state,
            )
        logits: Tensor = output.logits
        return logits.float()
