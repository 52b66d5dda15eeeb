"""Which prompts go through the model together, and how many leading tokens they share.

Pure planning on token lists. Prompts are put in lexicographic order, where the longest common prefixes stand beside
each other, and cut into groups where the tokens saved by sharing longer prefixes repay the extra batches. Inside a
group prompts go by length, so that little is spent on padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["Batch", "common_length", "plan_batches"]

MIN_SHARED = 16  # below this, handling a prefix costs more than computing it again
SPLIT_GAIN = 512  # prompt tokens that a cut must save; each cut costs another round of decoding


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that go through the model together.

    Attributes:
        rows: Indices into the rows that were planned, longest prompt first.
        shared: Leading tokens that all prompts of the batch have in common and that are computed once.
    """

    rows: tuple[int, ...]
    shared: int


def common_length(first: Sequence[int], second: Sequence[int]) -> int:
    """Returns how many leading tokens two prompts have in common.

    Example:
        >>> common_length([1, 2, 3], [1, 2, 4, 5])
        2
    """
    for at, (a, b) in enumerate(zip(first, second, strict=False)):
        if a != b:
            return at
    return min(len(first), len(second))


def _groups(near: Sequence[int], start: int, stop: int) -> list[tuple[int, int, int]]:
    """Cuts sorted prompts ``start:stop`` into groups ``(start, stop, shared)``.

    ``near[i]`` is the common length of prompts i and i + 1. The queue replaces recursion, which a long run of ever
    shorter prefixes would drive too deep.
    """
    found, todo = [], [(start, stop)]
    while todo:
        start, stop = todo.pop()
        inside = near[start : stop - 1]
        if not inside:
            found.append((start, stop, 0))
            continue
        shared = min(inside)
        cut = start + 1 + inside.index(shared)
        before = shared * (stop - start - 1)
        after = sum(min(near[a : b - 1], default=0) * (b - a - 1) for a, b in ((start, cut), (cut, stop)))
        if after > before + SPLIT_GAIN:
            todo += [(start, cut), (cut, stop)]
        else:
            found.append((start, stop, shared))
    return found


def plan_batches(
    prompts: Sequence[tuple[int, ...]],
    new_tokens: Sequence[int],
    *,
    batch_size: int,
    batch_tokens: int,
    share: bool = True,
    alone: bool = False,
) -> list[Batch]:
    """Divides rows into batches.

    Args:
        prompts: The prompt of each row, as tokens; rows with equal prompts are samples of one prompt.
        new_tokens: How many tokens each row may add.
        batch_size: Most rows in a batch.
        batch_tokens: Most tokens in a batch beside the shared prefix, padding included; a single row may exceed it.
        share: Whether leading tokens may be shared at all.
        alone: Whether a batch may hold one prompt only, and nothing is shared.

    Returns:
        Batches that together hold every row once.

    Example:
        >>> shared = tuple(range(100))
        >>> plan_batches([(*shared, 7), (*shared, 8, 9)], [4, 4], batch_size=8, batch_tokens=4096)
        [Batch(rows=(1, 0), shared=100)]
    """
    members: dict[tuple[int, ...], list[int]] = {}
    for row, prompt in enumerate(prompts):
        members.setdefault(prompt, []).append(row)
    ordered = sorted(members)
    near = [common_length(a, b) for a, b in pairwise(ordered)]
    if not ordered:
        return []
    if alone:
        groups = [(at, at + 1, 0) for at in range(len(ordered))]
    elif not share:
        groups = [(0, len(ordered), 0)]
    else:
        groups = _groups(near, 0, len(ordered))
    batches = []
    for start, stop, shared in sorted(groups):
        inside = sorted(ordered[start:stop], key=lambda prompt: (-len(prompt), prompt))
        rows = [row for prompt in inside for row in members[prompt]]
        if stop - start == 1 and len(rows) > 1 and share and not alone:
            shared = len(inside[0]) - 1  # samples of one prompt share all of it but the token they go on from
        shared = min(shared, len(inside[-1]) - 1)
        shared = shared if shared >= MIN_SHARED else 0
        lengths = [len(prompts[row]) - shared + new_tokens[row] for row in rows]
        slices = _slices(lengths, batch_size, batch_tokens)
        batches += [Batch(tuple(rows[a:b]), shared) for a, b in slices]
    return batches


def _slices(lengths: Sequence[int], batch_size: int, budget: int) -> list[tuple[int, int]]:
    """Cuts rows into consecutive slices whose rows, padded to the longest, keep within both limits."""
    slices, start, longest = [], 0, 0
    for at, length in enumerate(lengths):
        longest = max(longest, length)
        if at > start and (at - start == batch_size or longest * (at - start + 1) > budget):
            slices.append((start, at))
            start, longest = at, length
    if lengths:
        slices.append((start, len(lengths)))
    return slices
