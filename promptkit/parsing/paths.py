"""Which reasoning paths are the same.

Two paths are the same if they lead to one answer by the same words: equal after Unicode NFKC, case and white space
are folded. With a threshold, near-duplicates are the same too: the Jaccard overlap of their character 5-grams, which
needs no words and so works in every script. Likeness is closed into groups (a like b, b like c: one group), so the
groups do not depend on the order of the samples.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

from promptkit.errors import SettingError, error_message

__all__ = ["fresh_paths", "group_paths", "normal_path"]

_GRAM = 5


def normal_path(text: str) -> str:
    r"""Returns the form in which reasoning texts are compared.

    Example:
        >>> normal_path("2 + 3\n  Makes 5")
        '2 + 3 makes 5'
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def group_paths(paths: Sequence[tuple[str, str]], near: float | None = None) -> list[int]:
    """Numbers the distinct paths.

    Args:
        paths: (answer, reasoning) of each sample.
        near: Overlap in (0, 1] from which two reasonings with one answer are the same; ``None`` for equal texts only.

    Returns:
        For each sample the index of the first sample on the same path.

    Raises:
        SettingError: The threshold is out of range.

    Example:
        >>> group_paths([("5", "2 + 3"), ("6", "3 + 3"), ("5", "2  + 3")])
        [0, 1, 0]
    """
    groups, first = _equal(paths)
    root = {index: index for index in groups}

    def find(index: int) -> int:
        while root[index] != index:
            index = root[index]
        return index

    for earlier, later in _alike(first, near):
        low, high = sorted((find(earlier), find(later)))
        root[high] = low
    return [find(index) for index in groups]


def fresh_paths(paths: Sequence[tuple[str, str]], near: float | None = None) -> list[bool]:
    """Tells of each sample whether no earlier one is like it. Later samples never change what is said of earlier ones.

    Args:
        paths: As for ``group_paths``.
        near: As for ``group_paths``.

    Returns:
        One flag a sample.

    Raises:
        SettingError: The threshold is out of range.

    Example:
        >>> fresh_paths([("5", "2 + 3"), ("6", "3 + 3"), ("5", "2  + 3")])
        [True, True, False]
    """
    groups, first = _equal(paths)
    repeated = {later for _, later in _alike(first, near)}
    return [index == group and index not in repeated for index, group in enumerate(groups)]


def _equal(paths: Sequence[tuple[str, str]]) -> tuple[list[int], dict[tuple[str, str], int]]:
    """Returns for each sample the first one with an equal path, and the equal paths with their first samples."""
    first: dict[tuple[str, str], int] = {}
    groups = [first.setdefault((answer, normal_path(text)), index) for index, (answer, text) in enumerate(paths)]
    return groups, first


def _alike(first: dict[tuple[str, str], int], near: float | None) -> Iterator[tuple[int, int]]:
    """Yields the pairs (earlier, later) of different texts with one answer that overlap enough."""
    if near is None:
        return
    if type(near) not in (int, float) or not 0 < near <= 1:
        raise SettingError(error_message("near", of="vote", expected="a number above 0, at most 1, or None", got=near))
    seen: dict[str, list[tuple[int, set[str]]]] = {}
    for (answer, text), index in first.items():
        grams = {text[start : start + _GRAM] for start in range(max(1, len(text) - _GRAM + 1))}
        others = seen.setdefault(answer, [])
        for other, other_grams in others:
            shorter, longer = sorted((len(grams), len(other_grams)))
            if shorter < near * longer:
                continue  # even a full overlap would not reach the threshold
            shared = len(grams & other_grams)
            if shared >= near * (len(grams) + len(other_grams) - shared):
                yield other, index
        others.append((index, grams))
