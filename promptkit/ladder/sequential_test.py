"""The tests of the ladder: whether a rung is better than the kept one.

A rung is kept on two conditions, tested after every block of items (an interim analysis):

1. A gain is shown: the hypothesis "the gain is at most 0" is rejected by a group-sequential test, whose error rate
   holds over all analyses, however early judging ends (``promptkit.statistics.group_sequential``).
2. The gain exceeds the margin: an ordinary one-sided test of "the gain is at most the margin" gives at most
   ``MARGIN_LEVEL``. The margin is what a gain is worth, not what is claimed with full confidence; a rung whose true
   gain is the margin itself passes about one time in five.

Stopping early without a win cannot cause a false claim, so its rules are simpler: the always-valid interval lies at or
below the margin, or success at the last analysis is unlikely even for an optimistic guess of the gain (futility by
stochastic curtailment; Lan, Simon and Halperin 1982, Sequential Analysis 1:207).

The rungs of one climb share the level (``SharedLevel``): each test takes an equal part of what is left, and only a
test that ends without a win uses it up. So a rung that is kept, fails or is left out costs the later ones nothing.
This is a graphical procedure (Bretz et al. 2009, Statistics in Medicine 28:586) whose weights go forward only.

Where items belong together (``groups``), the units of all tests are the groups.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from promptkit.ladder.facts import InterimAnalysis
from promptkit.statistics import Sequential, above, difference_interval
from promptkit.statistics.group_sequential import GroupSequentialSignTest
from promptkit.statistics.quantiles import normal_cdf, normal_quantile

__all__ = ["MARGIN_LEVEL", "Outcome", "SequentialTest", "SharedLevel", "labels", "runs"]

Outcome = Literal["won", "lost", "futile", "open"]
"""Outcome of a test: ``won`` and ``lost`` are shown, ``futile`` stops for futility, ``open`` stays undecided."""

MARGIN_LEVEL = 0.2
"""Level of the test that a gain exceeds the margin."""
FUTILE = 0.02
"""Chance of success at the last analysis below which a test is stopped for futility."""
OPTIMISTIC = 0.95
"""Quantile of the gain, given what was seen, that this chance is computed for."""
ENOUGH, ENOUGH_SHARE = 30, 0.125
"""Items, and share of all items, before which no test is stopped for futility."""


class SharedLevel:
    """The error rate of a climb, shared by its tests.

    Args:
        level: Chance of any false win in the climb, in (0, 1).
        tests: Number of tests that may come, at least 1.

    Example:
        >>> level = SharedLevel(0.05, tests=4)
        >>> first = level.next
        >>> level.settle(won=True)  # costs nothing, so three tests share the whole
        >>> second = level.next
        >>> level.settle(won=False)
        >>> round(first, 4), round(second, 4), round(level.next, 4)
        (0.0125, 0.0167, 0.0167)
    """

    def __init__(self, level: float, tests: int) -> None:
        self._left, self._tests = level, max(1, tests)

    @property
    def next(self) -> float:
        """The level of the next test."""
        return self._left / self._tests

    def settle(self, *, won: bool) -> None:
        """Notes the end of a test."""
        if not won:
            self._left -= self.next
        self.skip()

    def skip(self) -> None:
        """Notes that one of the tests will not take place."""
        self._tests = max(1, self._tests - 1)


@dataclass
class SequentialTest:
    """A rung against the kept one, item by item.

    Attributes:
        margin: Gain that must be exceeded, by a test at ``MARGIN_LEVEL``.
        alpha: Chance that a rung without a gain is kept, over all analyses together.
        confidence: Confidence of intervals and of stopping early.
        planned: Number of items there are.
        seed: Seed of permutations and bootstrap.
        differences: Scores of this rung minus those of the kept one.
        groups: The group of each item so far; "" for an item without one.
        analyses: Every interim analysis, in order.

    Example:
        >>> test = SequentialTest(margin=0.02, alpha=0.05, confidence=0.95, planned=200)
        >>> test.add([0.0] * 20, [1.0] * 20)
        'won'
        >>> short = SequentialTest(margin=0.02, alpha=0.05, confidence=0.95, planned=40)
        >>> short.add([1.0] * 20 + [0.0] * 20, [1.0] * 40)
        'won'
    """

    margin: float
    alpha: float
    confidence: float
    planned: int
    seed: int = 0
    differences: list[float] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    analyses: list[InterimAnalysis] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Starts the tests."""
        self._race = Sequential(alpha=1 - self.confidence)
        self._gain = GroupSequentialSignTest(self.alpha)
        self._scores: list[tuple[float, float]] = []
        self._counted = 0
        self._p_value = 0, 1.0

    def add(self, kept: Sequence[float], scores: Sequence[float], groups: Sequence[str] = ()) -> Outcome | None:
        """Takes the scores of the next items and runs an interim analysis.

        Args:
            kept: Scores of the kept rung.
            scores: Scores of this rung on the same items.
            groups: The group of each item; items of one group come one after the other. Empty if none belong together.

        Returns:
            The outcome, or ``None`` to go on.
        """
        pairs = list(zip(kept, scores, strict=True))
        self._scores += pairs
        self.differences += [other - one for one, other in pairs]
        self.groups += groups or [""] * len(pairs)
        if units := self._settled():
            self._gain.analyze(units, self._counted / self.planned)
        self.analyses.append(
            InterimAnalysis(items=self.items, difference=self.difference, low=self._race.low, high=self._race.high)
        )
        if self._gain.crossed and self.p_margin <= MARGIN_LEVEL:
            return "won"
        if self._race.high <= self.margin:
            return "lost"
        if self.items >= self.planned:
            return "open"
        return "futile" if self._is_futile() else None

    @property
    def items(self) -> int:
        """Number of items so far."""
        return len(self.differences)

    @property
    def difference(self) -> float:
        """Mean difference so far."""
        return float(np.mean(self.differences))

    @property
    def p_value(self) -> float:
        """P-value of "the gain is at most 0", valid at any interim analysis."""
        if self._p_value[0] != self._counted:
            self._p_value = self._counted, self._gain.p_value
        return self._p_value[1]

    @property
    def p_margin(self) -> float:
        """Ordinary p-value of "the gain is at most the margin" on the items so far."""
        return above(self.differences, self.margin, groups=labels(self.groups), seed=self.seed)

    @property
    def method(self) -> str:
        """What ``low`` and ``high`` are."""
        return "all items" if self.items >= self.planned else "always valid"

    @property
    def interval(self) -> tuple[float, float]:
        """Interval of the difference: always valid along the way, the ordinary one when all items are judged."""
        if self.items < self.planned:
            return self._race.low, self._race.high
        groups = labels(self.groups)
        found = difference_interval(self.differences, groups=groups, confidence=self.confidence, seed=self.seed)
        return found.low, found.high

    def _settled(self) -> list[float]:
        """Sums over the groups completed since the last analysis; an item without a group is one by itself."""
        units: list[float] = []
        whole = runs(self.groups[self._counted :])
        if whole and self.groups[-1] and self.items < self.planned:
            whole.pop()  # the next items may belong to it
        for start, stop in whole:
            part = np.asarray(self._scores[self._counted + start : self._counted + stop])
            self._race.add(*part.mean(axis=0).tolist())
            units.append(float(part[:, 1].sum() - part[:, 0].sum()))
        self._counted += whole[-1][1] if whole else 0
        return units

    def _is_futile(self) -> bool:
        done, rest = self.items, self.planned - self.items
        if done < max(ENOUGH, ENOUGH_SHARE * self.planned):
            return False
        # Where (almost) nothing differed yet, one more item that does is what cannot be excluded.
        spread = max(_spread(self.differences, self.groups), math.sqrt(1 / (done + 1)))
        error = spread / math.sqrt(self.planned)
        needed = max(
            normal_quantile(1 - self.alpha) * error,
            self.margin + normal_quantile(1 - MARGIN_LEVEL) * error,
        )
        optimistic = self.difference + normal_quantile(OPTIMISTIC) * spread / math.sqrt(done)
        needed_of_rest = (self.planned * needed - done * self.difference) / rest
        return normal_cdf((optimistic - needed_of_rest) / (spread / math.sqrt(rest))) < FUTILE


def runs(groups: Sequence[str]) -> list[tuple[int, int]]:
    """Finds the units of a test: neighbours of one group, and items without a group.

    Args:
        groups: The group of each item; "" for none.

    Returns:
        Start and stop of each unit, in order.

    Example:
        >>> runs(["a", "a", "", "", "b"])
        [(0, 2), (2, 3), (3, 4), (4, 5)]
    """
    starts = [at for at, group in enumerate(groups) if not (at and group and group == groups[at - 1])]
    return list(zip(starts, [*starts[1:], len(groups)], strict=True))


def labels(groups: Sequence[str]) -> list[str] | None:
    """Names every item's group as the functions of ``promptkit.statistics`` take it.

    Args:
        groups: The group of each item; "" for an item without one.

    Returns:
        One name per item, different ones for items without a group; ``None`` if no item has one.

    Example:
        >>> labels(["", ""]), len(set(labels(["a", "a", "", ""])))
        (None, 3)
    """
    return [group or f"\0{place}" for place, group in enumerate(groups)] if any(groups) else None


def _spread(differences: Sequence[float], groups: Sequence[str]) -> float:
    """Standard deviation of an item, as large as it acts in the mean where items belong together."""
    if not any(groups):
        return float(np.std(differences))
    values = np.asarray(differences) - np.mean(differences)
    squares = [float(values[start:stop].sum()) ** 2 for start, stop in runs(groups)]
    return math.sqrt(sum(squares) / len(values))
