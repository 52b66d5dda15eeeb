"""Attention to a prefix that all rows of a batch share, kept once instead of once per row.

Every query attends to two blocks: the shared prefix, for which the queries of all rows are stacked into one matrix
product, and the row's own tokens. Softmax over both is exact: each block yields its weighted values, its sum of
exponentials and its maximum, and these merge (cascade inference, Ye et al. 2024; Hydragen, Juravsky et al. 2024,
arXiv 2402.05099). A batch of 32 rows then reads the prefix once per layer and step instead of 32 times.

The function is registered with transformers under ``NAME`` and behaves as "sdpa" outside of ``attending``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

__all__ = ["NAME", "Prefix", "attending", "register"]

NAME = "promptkit_shared"
_CHUNK = 1 << 24  # most attention scores held at once, 64 MB in float32


@dataclass(frozen=True, slots=True)
class Prefix:
    """The computed keys and values of a token prefix.

    Attributes:
        tokens: The prefix.
        layers: Keys and values per layer, each ``[1, key heads, len(tokens), head size]``.
    """

    tokens: tuple[int, ...]
    layers: tuple[tuple[Tensor, Tensor], ...]


_active: ContextVar[Prefix | None] = ContextVar("promptkit_shared_prefix", default=None)


@contextmanager
def attending(prefix: Prefix | None) -> Iterator[None]:
    """Lets every attention inside the block see ``prefix`` before the row's own tokens."""
    token = _active.set(prefix)
    try:
        yield
    finally:
        _active.reset(token)


def register() -> None:
    """Makes the attention known to transformers; doing so again changes nothing."""
    AttentionInterface.register(NAME, _forward)
    AttentionMaskInterface.register(NAME, sdpa_mask)


def _forward(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention in the form that transformers calls; see ``AttentionInterface``."""
    prefix = _active.get()
    if prefix is None:
        plain: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
        return plain
    for extra in ("position_bias", "softcap", "s_aux"):
        if kwargs.get(extra) is not None:
            raise NotImplementedError(f"attention with {extra} cannot be merged with a shared prefix")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    keys, values = prefix.layers[module.layer_idx]
    return merged_attention(query * scale, key, value, keys[0], values[0], attention_mask), None


def merged_attention(
    query: Tensor, key: Tensor, value: Tensor, shared_key: Tensor, shared_value: Tensor, mask: Tensor | None
) -> Tensor:
    """Attends to a shared block and to own tokens.

    Args:
        query: Scaled queries ``[rows, heads, new, size]``.
        key: Own keys ``[rows, key heads, own, size]``.
        value: Own values, same shape but for the size.
        shared_key: Keys of the prefix ``[key heads, prefix, size]``; every query sees all of them.
        shared_value: Values of the prefix.
        mask: ``[rows, 1, new, own]``, true where a query sees an own key; ``None`` for plain causal.

    Returns:
        Mixed values ``[rows, new, heads, size]``.
    """
    rows, heads, new, size = query.shape
    key_heads, own = key.shape[1], key.shape[2]
    group = heads // key_heads
    if mask is None and new > 1:
        mask = torch.ones(new, own, dtype=torch.bool, device=query.device).tril(own - new)[None, None]

    grouped = query.reshape(rows, key_heads, group * new, size)
    scores = (grouped @ key.mT).float().view(rows, key_heads, group, new, own)
    if mask is not None:
        scores = scores.masked_fill(~mask.unsqueeze(2), torch.finfo(torch.float32).min)
    mixed, total, peak = _block(scores.view(rows, key_heads, group * new, own), value)

    stacked = grouped.transpose(0, 1).reshape(key_heads, rows * group * new, size)
    step = max(1, _CHUNK // (key_heads * shared_key.shape[1]))
    pieces = torch.split(stacked, step, dim=1)
    parts = [_block((piece @ shared_key.mT).float(), shared_value) for piece in pieces]
    shared = [torch.cat(column, dim=1) if len(parts) > 1 else column[0] for column in zip(*parts, strict=True)]
    mixed2, total2, peak2 = (column.view(key_heads, rows, group * new, -1).transpose(0, 1) for column in shared)

    top = torch.maximum(peak, peak2)
    weight, weight2 = (peak - top).exp(), (peak2 - top).exp()
    out = (mixed * weight + mixed2 * weight2) / (total * weight + total2 * weight2)
    out = out.view(rows, heads, new, -1).transpose(1, 2)
    return out.to(query.dtype).contiguous()


def _block(scores: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the unnormalised mix of a block's values, its sum of exponentials and its largest score."""
    peak = scores.amax(-1, keepdim=True)
    weights = (scores - peak).exp_()
    return (weights.to(value.dtype) @ value).float(), weights.sum(-1, keepdim=True), peak
