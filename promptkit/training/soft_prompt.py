"""Vectors before the text while they are trained: input embeddings, a network that makes them, keys and values.

Each kind learns an *offset* from its start, in units of the spread of the model's own numbers, so that one learning
rate suits models whose embeddings have other scales (and the keys and values of one model, whose layers differ).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from transformers import DynamicCache

from promptkit.artifacts.peft_config import canonical_config
from promptkit.errors import SettingError, UnsupportedError, error_message
from promptkit.training.config import SoftSpec
from promptkit.types import JSONObject, Weights

__all__ = ["Prefix", "Vectors", "build_soft", "soft_weights"]

_SAMPLE = 4096  # embeddings that are enough to know their spread
_PROBE = 24  # random tokens whose keys and values show the spread of each layer; fewer than any sliding window has


class Vectors(nn.Module):
    """Input embeddings before the text (prompt tuning), perhaps made by a small network (P-tuning).

    P-tuning's network is that of PEFT's prompt encoder, an embedding and three linear layers, with two deviations: it
    makes an offset from the start, and its last layer starts at 0, so that training starts at the start exactly.

    Args:
        start: First vectors, ``[tokens, hidden]``.
        spread: Standard deviation of the model's embeddings.
        network: Whether to learn through a network.
    """

    def __init__(self, start: Tensor, spread: Tensor, *, network: bool) -> None:
        super().__init__()
        self.start: Tensor
        self.spread: Tensor
        self.register_buffer("start", start)
        self.register_buffer("spread", spread)
        tokens, hidden = start.shape
        self.network: nn.Sequential | None = None
        if not network:
            self.offset = nn.Parameter(torch.zeros_like(start))
            return
        self.offset = nn.Parameter(torch.randn(tokens, hidden))
        last = nn.Linear(hidden, hidden)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        layers = [nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), last]
        self.network = nn.Sequential(*layers).to(start.device)
        self.offset.data = self.offset.data.to(start.device)

    def forward(self) -> Tensor:
        """Returns the vectors, ``[tokens, hidden]``."""
        made = self.offset if self.network is None else self.network(self.offset)
        return self.start + self.spread * made


@dataclass(frozen=True, slots=True)
class _Shape:
    layers: int
    heads: int
    size: int

    @property
    def width(self) -> int:
        return self.heads * self.size


class Prefix(nn.Module):
    """Keys and values before the text, one of each per layer and place, in PEFT's layout.

    Args:
        start: First values, ``[tokens, layers * 2 * heads * size]``: for every layer its keys, then its values.
        spread: Their spread in the model, ``[layers * 2 * heads * size]``.
        shape: Layers, key heads and their size.
        config: The model's configuration, for its cache.
    """

    def __init__(self, start: Tensor, spread: Tensor, shape: _Shape, config: Any) -> None:
        super().__init__()
        self.start: Tensor
        self.spread: Tensor
        self.register_buffer("start", start)
        self.register_buffer("spread", spread)
        self.offset = nn.Parameter(torch.zeros_like(start))
        self.shape = shape
        self._config = config

    def forward(self) -> Tensor:
        """Returns keys and values, ``[tokens, layers * 2 * width]``."""
        return self.start + self.spread * self.offset

    def cache(self, rows: int, dtype: torch.dtype) -> DynamicCache:
        """Returns a cache of so many rows that holds the prefix."""
        shape = self.shape
        whole = self().to(dtype).view(-1, shape.layers, 2, shape.heads, shape.size).permute(1, 2, 3, 0, 4)
        cache = DynamicCache(config=self._config)
        for layer in range(shape.layers):
            keys, values = whole[layer].unbind()
            cache.update(keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1), layer)
        return cache


def build_soft(spec: SoftSpec, model: Any, *, seq2seq: bool) -> Vectors | Prefix:
    """Builds what is to be trained; draws from torch's global generator.

    Args:
        spec: Kind, number and start.
        model: The model.
        seq2seq: Whether it has an encoder and a decoder; vectors then stand before the encoder's text.

    Returns:
        The module, in float32 on the model's device.

    Raises:
        SettingError: ``start`` or ``start_text_ids`` does not fit the model.
        UnsupportedError: The model cannot take a prefix.
    """
    ids = spec.start_text_ids
    size = model.get_input_embeddings().weight.shape[0]
    if ids is not None and not all(0 <= number < size for number in ids):
        raise SettingError(error_message("start_text_ids", of="SoftSpec", expected=f"token ids below {size}", got=ids))
    with torch.no_grad():
        if spec.kind == "prefix":
            return _build_prefix(spec, model, seq2seq)
        return _build_vectors(spec, model)


def _build_vectors(spec: SoftSpec, model: Any) -> Vectors:
    embed = model.get_input_embeddings()
    count = embed.weight.shape[0]
    sample = torch.arange(0, count, max(1, count // _SAMPLE), device=model.device)
    # Through the module and not by its weights, as some architectures scale embeddings there.
    words = embed(sample).float()
    if spec.start_text_ids is not None:
        start = embed(torch.tensor(spec.start_text_ids, device=model.device)).float()
    else:
        start = _start(spec, words)
    return Vectors(start, words.std(), network=spec.kind == "ptuning")


def _start(spec: SoftSpec, like: Tensor) -> Tensor:
    """Takes the given start, or draws one with the mean and spread of each column of ``like``."""
    if spec.start is not None:
        start = torch.from_numpy(np.asarray(spec.start, dtype=np.float32).copy()).to(like.device)
        if start.shape[1] != like.shape[1]:
            expected = f"an array [{spec.tokens}, {like.shape[1]}], as wide as this model's"
            raise SettingError(error_message("start", of="SoftSpec", expected=expected, got=tuple(start.shape)))
        return start
    noise = torch.randn(spec.tokens, like.shape[1]).to(like.device)
    return like.mean(0) + like.std(0) * noise


def _build_prefix(spec: SoftSpec, model: Any, seq2seq: bool) -> Prefix:
    if seq2seq:
        raise UnsupportedError(
            f"SoftSpec: kind must be 'prompt' or 'ptuning' for a {model.config.model_type} model, got 'prefix'; a "
            "prefix needs a causal model"
        )
    count = model.get_input_embeddings().weight.shape[0]
    probe = torch.randint(0, count, (_PROBE,)).tolist()
    like, shape = _keys_and_values(model, probe)
    if spec.start_text_ids is not None:
        start, _ = _keys_and_values(model, spec.start_text_ids)
    else:
        start = _start(spec, like)
    # One spread for all numbers of a layer's keys, and one for its values: some columns hardly vary among tokens.
    spread = like.view(len(like), shape.layers * 2, shape.width).std(dim=(0, 2))
    return Prefix(start, spread.repeat_interleave(shape.width), shape, model.config)


def _keys_and_values(model: Any, ids: Any) -> tuple[Tensor, _Shape]:
    """Computes what the model's cache holds for a text, one row per token in PEFT's layout."""
    cache = DynamicCache(config=model.config)
    model(input_ids=torch.tensor([list(ids)], device=model.device), past_key_values=cache, use_cache=True)
    layers: list[Any] = list(cache.layers)
    shapes = {tuple(each.shape) for layer in layers for each in (layer.keys, layer.values)}
    if len(shapes) != 1 or next(iter(shapes))[2] != len(ids):
        raise UnsupportedError(
            f"SoftSpec: kind must be 'prompt' or 'ptuning' for this {model.config.model_type} model, got 'prefix'; the "
            f"layers of its cache differ: {sorted(shapes)}"
        )
    _, heads, _, size = shapes.pop()
    each = torch.stack([part[0] for layer in layers for part in (layer.keys, layer.values)])
    return each.permute(2, 0, 1, 3).flatten(1).float(), _Shape(len(layers), heads, size)


def soft_weights(soft: Vectors | Prefix, base: str, *, seq2seq: bool) -> Weights:
    """Folds what was trained into plain numbers.

    Args:
        soft: The trained module.
        base: Fingerprint of the base model.
        seq2seq: Whether the base has an encoder and a decoder.

    Returns:
        The weights under PEFT's names.
    """
    with torch.no_grad():
        vectors: npt.NDArray[np.float32] = soft().float().cpu().numpy().copy()
    config: JSONObject = {
        "peft_type": "PROMPT_TUNING",
        "task_type": "SEQ_2_SEQ_LM" if seq2seq else "CAUSAL_LM",
        "num_virtual_tokens": len(vectors),
        "token_dim": vectors.shape[1],
    }
    if isinstance(soft, Vectors):
        return Weights("soft_prompt", canonical_config(config), {"prompt_embeddings": vectors}, base)
    shape = soft.shape
    config |= {"peft_type": "PREFIX_TUNING", "token_dim": shape.width}
    config |= {"num_layers": shape.layers, "num_attention_heads": shape.heads}
    return Weights("prefix", canonical_config(config), {"prompt_embeddings": vectors}, base)
