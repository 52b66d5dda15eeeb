"""Training windows of a packed token file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


class Windows:
    """Non-overlapping windows of a token file in a seeded, shuffled order."""

    def __init__(self, tokens: Path, mask: Path | None, context: int, seed: int) -> None:
        """Opens the files.

        Args:
            tokens: Binary file of uint16 token ids.
            mask: Binary file of uint8 loss weights of the same length, or None.
            context: Inputs per window; a window holds one token more.
            seed: Seed of the order of the windows.

        Raises:
            ValueError: If the lengths differ or the file holds too few windows.
        """
        self.tokens = np.memmap(tokens, dtype=np.uint16, mode="r")
        self.mask = None if mask is None else np.memmap(mask, dtype=np.uint8, mode="r")
        if self.mask is not None and len(self.mask) != len(self.tokens):
            raise ValueError("the mask and the tokens differ in length")
        self.span, self.seed = context + 1, seed
        count = len(self.tokens) // self.span
        self.held_out = max(1, count // 200)
        self.train = count - self.held_out
        if self.train < 1:
            raise ValueError("the token file holds fewer than two windows")
        self._epoch, self._order = -1, np.empty(0, dtype=np.int64)

    def _window(self, position: int) -> int:
        epoch, index = divmod(position, self.train)
        if epoch != self._epoch:
            generator = np.random.default_rng((self.seed, epoch))
            self._epoch, self._order = epoch, generator.permutation(self.train)
        return int(self._order[index])

    def _load(self, windows: list[int]) -> tuple[Tensor, Tensor, Tensor]:
        slices = [slice(w * self.span, (w + 1) * self.span) for w in windows]
        tokens = torch.from_numpy(np.stack([self.tokens[s] for s in slices]).astype(np.int64))
        weights = torch.ones(len(windows), self.span - 1)
        if self.mask is not None:
            loaded = np.stack([self.mask[s] for s in slices])[:, 1:]
            weights = torch.from_numpy(loaded.astype(np.float32))
        return tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous(), weights

    def batch(self, position: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs, targets and loss weights of ``size`` windows from ``position`` on."""
        return self._load([self._window(position + offset) for offset in range(size)])

    def validation(self, size: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Held-out windows in batches of exactly ``size``; at most 64 windows."""
        last = self.train + max(1, min(self.held_out, 64))
        for start in range(self.train, last, size):
            yield self._load([min(start + offset, last - 1) for offset in range(size)])
