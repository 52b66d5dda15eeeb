"""Low-rank changes of linear layers, row by row of a batch, without touching the model's weights.

A forward hook on each changed layer adds what the rows' own changes add. It finds them in a context variable, which a
batch sets around its own calls of the model and which no other thread sees: everywhere else the hook does nothing,
and the base model's numbers stay what they are, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from promptkit.backends.local.adapters import Folded
from promptkit.errors import UnsupportedError

__all__ = ["BatchedLora", "Changes"]

_MANY = 3  # different LoRAs in a batch from which the grid pays

Changes = Mapping[nn.Module, Folded]
"""The changed layers of one LoRA."""

_active: ContextVar[BatchedLora | None] = ContextVar("promptkit_row_changes", default=None)


class BatchedLora:
    """The low-rank changes under which each row of a batch is computed.

    Args:
        rows: The changes of each row; ``None`` for the base model. Rows with equal changes are fastest side by side.
    """

    def __init__(self, rows: Sequence[Changes | None]) -> None:
        self._rows = list(rows)
        self._segments = _segments(self._rows)
        self._all = list({id(changes): changes for _, _, changes in self._segments}.values())
        self._grid: _Grid | None = None
        for changes in self._all:
            for layer in changes:
                if _add_changes not in layer._forward_hooks.values():
                    layer.register_forward_hook(_add_changes)

    def keep(self, rows: Sequence[int]) -> None:
        """Makes these rows, which may repeat, the rows of the batch."""
        if self._segments:
            self._rows = [self._rows[row] for row in rows]
            self._segments = _segments(self._rows)
            if self._grid is not None and self._segments:
                self._grid.place(self._rows)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Lets the layers of this thread's model calls inside the block be changed."""
        token = _active.set(self if self._segments else None)
        try:
            yield
        finally:
            _active.reset(token)

    def add(self, layer: nn.Module, x: Tensor, out: Tensor) -> Tensor:
        """Returns the output of a layer with the changes of each row.

        Args:
            layer: The layer.
            x: Its input, ``[rows, ..., inputs]`` or ``[rows * tokens, inputs]``.
            out: Its output for the base model; may be written to.

        Returns:
            The changed output, ``out`` itself where no row is changed.

        Raises:
            UnsupportedError: The rows cannot be told apart in the input.
        """
        if self._grid is not None and self._grid.add_to_all(layer, x, out):
            return out
        own = [(start, stop, folded) for start, stop, changes in self._segments if (folded := changes.get(layer))]
        if not own:
            return out
        count = len(self._rows)
        each, rest = divmod(x.numel() // x.shape[-1], count)
        if rest or (x.dim() > 2 and x.shape[0] != count):
            raise UnsupportedError(
                f"LocalBackend: a layer changed by LoRA must see all {count} rows of its batch, got input of shape "
                f"{list(x.shape)} at a {type(layer).__name__}; leave it out of target_modules"
            )
        flat, result = x.reshape(-1, x.shape[-1]), out.reshape(-1, out.shape[-1])
        if len(self._all) >= _MANY and out.dtype == torch.float32:
            if self._grid is None:
                self._grid = _Grid(self._all, x.device)
                self._grid.place(self._rows)
            if self._grid.add(layer, flat, result, each):
                return result.view(out.shape)
        for start, stop, folded in own:
            place = slice(start * each, stop * each)
            _add(flat[place], result[place], folded, getattr(layer, "bias", None))
        return result.view(out.shape)


class _Grid:
    """Many LoRAs side by side: their small products as two batched ones, as two per LoRA cost more in calls.

    Args:
        changes: All changes of the batch; those whose rows have left keep their place, with rows that do not count.
        device: Where the rows are.
    """

    def __init__(self, changes: Sequence[Changes], device: torch.device) -> None:
        self._changes = changes
        self._device = device
        self._numbers = {id(own): number for number, own in enumerate(changes)}
        self._stacks: dict[nn.Module, tuple[Tensor, Tensor] | None] = {}

    def place(self, rows: Sequence[Changes | None]) -> None:
        """Notes the place of each row in the grid ``[changes, most rows with equal changes]``."""
        members: list[list[int]] = [[] for _ in self._changes]
        for row, own in enumerate(rows):
            if own is not None:
                members[self._numbers[id(own)]].append(row)
        width = max(map(len, members))
        order = [row for own in members for row in own]
        first = min(order)
        self._count, self._first, self._length = len(rows), first, len(order)
        self._in_order = order == list(range(first, first + len(order)))
        self._even = len(order) == len(members) * width
        filled = [row - first for own in members for row in own + [first] * (width - len(own))]
        back = [number * width + at for number, own in enumerate(members) for at in range(len(own))]
        self._filled = torch.tensor(filled, device=self._device)
        self._back = torch.tensor(back, device=self._device)

    def add_to_all(self, layer: nn.Module, x: Tensor, out: Tensor) -> bool:
        """Adds the changes of a layer where all rows have one and all LoRAs equally many: the shortest way."""
        stacks = self._stacks.get(layer)
        apart = x.shape[0] == self._count or (x.dim() == 2 and x.shape[0] % self._count == 0)
        if stacks is None or not (self._even and self._in_order and self._length == self._count and apart):
            return False
        a, b = stacks
        if not (x.is_contiguous() and out.is_contiguous()):
            return False
        low = torch.bmm(x.view(len(a), -1, a.shape[1]), a)
        out.view(len(b), -1, b.shape[2]).baddbmm_(low, b)
        return True

    def add(self, layer: nn.Module, x: Tensor, out: Tensor, each: int) -> bool:
        """Adds the changes of a layer where rows with equal changes stand side by side, in order.

        Args:
            layer: The layer.
            x: Its input, ``[rows * each, inputs]``.
            out: Its output, ``[rows * each, outputs]``.
            each: Tokens of each row.

        Returns:
            Whether they were added; else a loop has to do it.
        """
        if not self._in_order or not (self._even or each == 1):
            return False
        if layer not in self._stacks:
            self._stacks[layer] = _stack([changes.get(layer) for changes in self._changes])
        stacks = self._stacks[layer]
        if stacks is None:
            return False
        a, b = stacks
        place = slice(self._first * each, (self._first + self._length) * each)
        x, out = x[place], out[place]
        if self._even:
            low = torch.bmm(x.view(len(a), -1, x.shape[1]), a)
            out.view(len(b), -1, out.shape[1]).baddbmm_(low, b)
        else:
            low = torch.bmm(x.index_select(0, self._filled).view(len(a), -1, x.shape[1]), a)
            out.add_(torch.bmm(low, b).flatten(0, 1).index_select(0, self._back))
        return True


def _stack(all_folded: Sequence[Folded | None]) -> tuple[Tensor, Tensor] | None:
    """Stacks changes as ``[changes, inputs, rank]`` and ``[changes, rank, outputs]``, lower ranks filled with zeros."""
    known = [folded for folded in all_folded if folded is not None and folded.scale is None]
    if len(known) < len(all_folded):
        return None
    rank = max(len(folded.a) for folded in known)
    a = torch.stack([functional.pad(folded.a, (0, 0, 0, rank - len(folded.a))) for folded in known])
    b = torch.stack([functional.pad(folded.b.T, (0, 0, 0, rank - len(folded.a))) for folded in known])
    return a.mT, b


def _segments(rows: Sequence[Changes | None]) -> list[tuple[int, int, Changes]]:
    """Returns the runs of rows with equal changes as (start, stop, changes), without those of the base model."""
    found, start = [], 0
    for _, run in groupby(rows, key=id):
        own = list(run)
        if own[0] is not None:
            found.append((start, start + len(own), own[0]))
        start += len(own)
    return found


def _add(x: Tensor, out: Tensor, folded: Folded, bias: Any) -> None:
    """Changes the output of some rows in place; the low-rank part is computed in float32."""
    low = functional.linear(x.float(), folded.a)
    if out.dtype == torch.float32 and folded.scale is None:
        out.addmm_(low, folded.b.T)
        return
    plain = out.float()
    if folded.scale is not None:
        own = 0.0 if bias is None else bias.float()
        plain = folded.scale * (plain - own) + own
    out.copy_(torch.addmm(plain, low, folded.b.T))


def _add_changes(layer: nn.Module, arguments: tuple[Any, ...], output: Tensor) -> Tensor | None:
    """The hook: leaves the output alone unless this very thread computes rows with changes."""
    rows = _active.get()
    return None if rows is None else rows.add(layer, arguments[0], output)
