"""Dependent items: labels of groups as codes, and sums by group."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from promptkit.errors import SettingError, error_message
from promptkit.statistics.resampling import Scores

__all__ = ["Clusters", "Codes", "Groups", "group_codes"]

Groups: TypeAlias = "Sequence[Hashable] | None"
"""The group of each item, such as its document: items of one group are dependent. ``None``: every item is its own."""

Codes: TypeAlias = npt.NDArray[np.int64]


def group_codes(groups: Groups, items: int, of: str) -> Codes | None:
    """Numbers the groups of items.

    Args:
        groups: One label per item, or ``None``.
        items: Number of items.
        of: Whose setting it is, for messages.

    Returns:
        ``[items]`` whole numbers from 0, equal where labels are; ``None`` where no two items share a group.

    Raises:
        SettingError: There is not one label per item.

    Example:
        >>> group_codes(["a", "b", "a"], 3, "mean_interval").tolist()
        [0, 1, 0]
    """
    if groups is None:
        return None
    if isinstance(groups, str) or len(groups) != items:
        got = groups if isinstance(groups, str) else len(groups)
        raise SettingError(error_message("groups", of=of, expected=f"{items} labels, one per item", got=got))
    numbers: dict[Hashable, int] = {}
    codes = [numbers.setdefault(label, len(numbers)) for label in groups]
    return None if len(numbers) == items else np.array(codes, dtype=np.int64)


@dataclass(frozen=True)
class Clusters:
    """Sums of scores by group of dependent items; without groups, each item is a group of one.

    Attributes:
        totals: Sum of the scores of each kind of group.
        sizes: Items in each.
        counts: How many groups of the sample are of this kind.
    """

    totals: Scores
    sizes: Scores
    counts: Scores

    @staticmethod
    def of(values: Scores, codes: Codes | None = None) -> Clusters:
        """Adds up values by group.

        Args:
            values: ``[n]`` scores or differences.
            codes: The group of each; ``None`` if each item is one.

        Returns:
            The sums, in one order whatever that of the items.
        """
        if codes is None:
            kinds, counts = np.unique(values, return_counts=True)
            return Clusters(kinds, np.ones(kinds.size), counts.astype(np.float64))
        members: dict[int, list[float]] = {}
        for code, value in zip(codes.tolist(), values.tolist(), strict=True):
            members.setdefault(code, []).append(value)
        # Exact sums: neither the order of the items nor a change of all signs shows in the last digit.
        pairs = np.array([(math.fsum(one), len(one)) for one in members.values()])
        rows, counts = np.unique(pairs, axis=0, return_counts=True)
        return Clusters(rows[:, 0], rows[:, 1], counts.astype(np.float64))

    @property
    def mean(self) -> float:
        """The mean over all items."""
        return math.fsum(self.totals * self.counts) / math.fsum(self.sizes * self.counts)

    @property
    def usual_size(self) -> float:
        """The size of the group in which a random item lies, on average: what an unseen group may weigh."""
        return math.fsum(self.sizes**2 * self.counts) / math.fsum(self.sizes * self.counts)

    def mirrored(self) -> Clusters:
        """Changes the sign of every score."""
        order = np.lexsort((self.sizes, -self.totals))
        return Clusters(-self.totals[order], self.sizes[order], self.counts[order])

    def values(self) -> Scores:
        """One value per group whose mean and spread are those of the mean over all items, sorted.

        A group's value is the mean over all items plus its residual, ``mean + (total - size * mean) / mean size``
        (linearization of a ratio; Cochran 1977, section 6.4). Groups of one are the scores themselves.
        """
        if (self.sizes == 1).all():
            return np.repeat(self.totals, self.counts.astype(np.int64))
        mean, size = self.mean, math.fsum(self.sizes * self.counts) / math.fsum(self.counts)
        return np.sort(np.repeat(mean + (self.totals - self.sizes * mean) / size, self.counts.astype(np.int64)))
