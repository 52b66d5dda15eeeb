"""Whether a kept rung is good enough: bounds of its mean, and whether a later rung could still be kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from promptkit.ladder.sequential_test import MARGIN_LEVEL, labels, runs
from promptkit.statistics import Sequential, above, mean_interval

__all__ = ["ConfidenceSequence", "can_win"]

SHARE = 0.25
"""Part of a level that is spent on interim analyses; the rest is for the last one."""


def can_win(scores: Sequence[float], margin: float, alpha: float, planned: int, groups: Sequence[str] = ()) -> bool:
    """Tells whether a rung that answered every item perfectly could be kept.

    Args:
        scores: Scores of the kept rung so far, in [0, 1]; the items to come are taken to be alike.
        margin: The gain that must be exceeded.
        alpha: The level of the test.
        planned: Number of items there will be.
        groups: The group of each item, if any belong together.

    Returns:
        Whether a gain over the kept rung is possible.

    Example:
        >>> can_win([1.0] * 90 + [0.0] * 10, 0.02, 0.0125, 200), can_win([1.0] * 98 + [0.0] * 2, 0.02, 0.0125, 200)
        (True, False)
    """
    gaps = [1.0 - score for score in scores]
    units = sum(any(gaps[start:stop]) for start, stop in runs(groups or [""] * len(gaps)))
    if len(gaps) < planned:
        units = units * planned // len(gaps)
        gaps = (gaps * (planned // len(gaps) + 1))[:planned]
        groups = ()
    return 0.5**units <= alpha and above(gaps, margin, groups=labels(groups)) <= MARGIN_LEVEL


class ConfidenceSequence:
    """Bounds of a mean score that are valid at any time, and sharper when all items are judged.

    Args:
        alpha: Chance that the lower bound is ever above the true mean; the same for the upper bound.
        planned: Number of items there are.

    Example:
        >>> bounds = ConfidenceSequence(alpha=0.05, planned=100)
        >>> bounds.add([1.0] * 100)
        >>> bounds.low > 0.93, bounds.high
        (True, 1.0)
    """

    def __init__(self, alpha: float, planned: int) -> None:
        # A score s is raced against 1 - s: the mean difference is 2 s - 1, which uses the whole range of a race.
        self._race = Sequential(alpha=2 * SHARE * alpha)
        self._confidence = 1 - 2 * (1 - SHARE) * alpha
        self._planned = planned
        self._scores: list[float] = []
        self._groups: list[str] = []
        self._counted = 0

    def add(self, scores: Sequence[float], groups: Sequence[str] = ()) -> None:
        """Takes the scores of the next items, and the group of each if any belong together."""
        self._scores += scores
        self._groups += groups or [""] * len(scores)
        whole = runs(self._groups[self._counted :])
        if whole and self._groups[-1] and len(self._scores) < self._planned:
            whole.pop()  # the next items may belong to it
        for start, stop in whole:
            mean = float(np.mean(self._scores[self._counted + start : self._counted + stop]))
            self._race.add(1 - mean, mean)
        self._counted += whole[-1][1] if whole else 0

    @property
    def low(self) -> float:
        """Lower bound."""
        last = self._last()[0] if len(self._scores) >= self._planned else 0.0
        return max((self._race.low + 1) / 2, last)

    @property
    def high(self) -> float:
        """Upper bound."""
        last = self._last()[1] if len(self._scores) >= self._planned else 1.0
        return min((self._race.high + 1) / 2, last)

    def _last(self) -> tuple[float, float]:
        found = mean_interval(self._scores, groups=labels(self._groups), confidence=self._confidence)
        return found.low, found.high
