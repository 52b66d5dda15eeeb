"""From pairs to batches: tokens, their order, and how they are cut into forward passes.

Lengths are grouped: an epoch is shuffled, stretches of it are sorted by length and cut into optimiser steps, and the
steps are shuffled again. Rows are padded on the right, where causal attention never looks, so padding changes nothing
and needs no mask. The order depends on seed and epoch alone: a resumed run needs no saved generator.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from promptkit.errors import ContextLengthError, DataError, SettingError, error_message
from promptkit.training.config import Pair

if TYPE_CHECKING:
    from promptkit.backends.local.backend import LocalBackend

__all__ = ["Batch", "Item", "collate", "cut", "encode", "order"]

_STRETCH = 16  # optimiser steps whose pairs are sorted together: little padding, and still much of the shuffle
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Item:
    """A pair in tokens.

    Attributes:
        prompt: What the model reads.
        answer: What it is to write.
    """

    prompt: tuple[int, ...]
    answer: tuple[int, ...]

    @property
    def length(self) -> int:
        """Tokens of prompt and answer."""
        return len(self.prompt) + len(self.answer)


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one forward pass.

    Attributes:
        ids: What the model reads, padded on the right, ``[rows, width]``.
        real: Where ``ids`` is no padding, ``[rows, width]``.
        decoder_ids: What a decoder beside the encoder reads, ``[rows, answer width]``; ``None`` for causal models.
        rows: Row of each answer token, ``[answer tokens]``.
        places: The place from which it is predicted, in ``ids`` or ``decoder_ids``, ``[answer tokens]``.
        targets: The answer tokens, ``[answer tokens]``.
    """

    ids: Tensor
    real: Tensor
    decoder_ids: Tensor | None
    rows: Tensor
    places: Tensor
    targets: Tensor


def encode(backend: LocalBackend, pairs: Sequence[Pair], *, of: str, before: int) -> list[Item]:
    """Turns pairs into the tokens of generation.

    Args:
        backend: The model's backend, whose tokens are used.
        pairs: The pairs.
        of: What messages call them, for example ``"pairs"``.
        before: Places that learned vectors take before the text.

    Returns:
        One item per pair, in order.

    Raises:
        DataError: An answer has no token, so nothing could be learned from its pair.
        ContextLengthError: A pair does not fit the context window; names it and its length.
        SettingError: A pair wants the model's end token and it has none.
        UnsupportedError: A text cannot be put into tokens safely.
    """
    items = [_encode(backend, pair, f"{of}[{number}]") for number, pair in enumerate(pairs)]
    empty = [number for number, item in enumerate(items) if not item.answer]
    if empty:
        got = f"none in {len(empty)} of {len(items)} ({_list(empty)})"
        raise DataError(f"{of}: answers must have at least one token to learn, got {got}; remove these pairs")
    window, apart = backend.context_window, backend._loaded.seq2seq
    long = {
        number: before + (max(len(item.prompt), len(item.answer) - before) if apart else item.length)
        for number, item in enumerate(items)
    }
    long = {number: length for number, length in long.items() if length > window}
    if long:
        worst = max(long, key=long.__getitem__)
        raise ContextLengthError(
            f"{of}: learned vectors, prompt and answer must fit the context window of {window} tokens, got "
            f"{len(long)} of {len(items)} that do not ({_list(list(long))}); the longest, {of}[{worst}], has {before} "
            f"+ {len(items[worst].prompt)} + {len(items[worst].answer)}; shorten or remove them, as a pair is never cut"
        )
    return items


def _encode(backend: LocalBackend, pair: Pair, of: str) -> Item:
    codec = backend._codec
    prompt = codec.prompt_ids(pair.prompt)
    if not prompt:
        raise DataError(error_message("prompt", of=of, expected="text with at least one token", got=pair.prompt.text))
    answer = codec.continuation_ids(pair.prompt, pair.answer) if pair.answer else []
    if pair.end and answer:
        answer = [*answer, _end_token(backend, of)]
    return Item(tuple(prompt), tuple(answer))


def _end_token(backend: LocalBackend, of: str) -> int:
    own = backend.tokenizer.eos_token_id
    if not backend._eos:
        hint = "end answers with a text of their own and stop generation there"
        raise SettingError(
            error_message("end", of=of, expected="False for a model without an end token", got=True, hint=hint)
        )
    return int(own) if own in backend._eos else min(backend._eos)


def _list(numbers: Sequence[int]) -> str:
    more = ", ..." if len(numbers) > _SHOWN else ""
    return f"numbers {', '.join(map(str, numbers[:_SHOWN]))}{more}"


def order(items: Sequence[Item], per_step: int, seed: int, epoch: int) -> list[list[int]]:
    """Plans an epoch.

    Args:
        items: What is learned from.
        per_step: Pairs of an optimiser step.
        seed: Seed of the run.
        epoch: Number of the epoch.

    Returns:
        The numbers of the items of every step; each item once, and pairs of like length together.

    Example:
        >>> items = [Item((1,) * length, (2,)) for length in (9, 1, 8, 2)]
        >>> sorted(sorted(step) for step in order(items, 2, seed=0, epoch=0))
        [[0, 2], [1, 3]]
    """
    draw = random.Random(f"order {seed} {epoch}")
    numbers = list(range(len(items)))
    draw.shuffle(numbers)
    stretch = _STRETCH * per_step
    steps = []
    for start in range(0, len(numbers), stretch):
        # Ties keep the shuffled order, so pairs of one length meet in ever new company.
        near = sorted(numbers[start : start + stretch], key=lambda number: items[number].length)
        steps += [near[at : at + per_step] for at in range(0, len(near), per_step)]
    draw.shuffle(steps)
    return steps


def cut(items: Sequence[Item], batch_size: int, batch_tokens: int) -> list[list[Item]]:
    """Cuts the items of a step into forward passes, the longest first, so that memory is short at once or never.

    Args:
        items: The items.
        batch_size: Most rows of a pass.
        batch_tokens: Most tokens of a pass, padding included; a longer item runs alone.

    Returns:
        The items of each pass.

    Example:
        >>> items = [Item((1,) * length, (2,)) for length in (9, 1, 8, 2)]
        >>> [[item.length for item in part] for part in cut(items, 3, 20)]
        [[10, 9], [3, 2]]
    """
    parts: list[list[Item]] = []
    for item in sorted(items, key=lambda item: -item.length):
        full = not parts or len(parts[-1]) == batch_size or (len(parts[-1]) + 1) * parts[-1][0].length > batch_tokens
        if full:
            parts.append([])
        parts[-1].append(item)
    return parts


def collate(items: Sequence[Item], device: torch.device, decoder_start: int | None) -> Batch:
    """Makes a batch of items.

    Args:
        items: The items.
        device: Where the model is.
        decoder_start: First token of a decoder with an encoder; ``None`` for causal models.

    Returns:
        The batch. The last token of an answer is never read, only predicted.
    """
    if decoder_start is None:
        read = [(*item.prompt, *item.answer[:-1]) for item in items]
        first = [len(item.prompt) - 1 for item in items]
        decoder_ids = None
    else:
        read = [item.prompt for item in items]
        first = [0] * len(items)
        decoder_ids = _pad([(decoder_start, *item.answer[:-1]) for item in items]).to(device)
    rows = [row for row, item in enumerate(items) for _ in item.answer]
    places = [first[row] + at for row, item in enumerate(items) for at in range(len(item.answer))]
    lengths = torch.tensor([len(ids) for ids in read])
    return Batch(
        ids=_pad(read).to(device),
        real=(torch.arange(int(lengths.max())) < lengths[:, None]).to(device),
        decoder_ids=decoder_ids,
        rows=torch.tensor(rows).to(device),
        places=torch.tensor(places).to(device),
        targets=torch.tensor([number for item in items for number in item.answer]).to(device),
    )


def _pad(lists: Sequence[Sequence[int]]) -> Tensor:
    width = max(map(len, lists))
    return torch.tensor([[*ids, *[0] * (width - len(ids))] for ids in lists])
