"""The tests of the ladder: has a rung won or lost, is a target reached, could any rung still add something.

All of them are looked at after every block of items, so an ordinary test would claim too much. Each level is therefore
spent in two parts (alpha spending in its plainest form, by the union bound). A quarter goes to a test that may be
looked at any time: wealth that bets against the hypothesis reaches 1 / alpha with a chance of at most alpha if it is
true (Ville 1939; bets of Waudby-Smith and Ramdas 2024, JRSS B 86:1). The other three quarters wait for the last item
and go to an ordinary test of all items, which needs fewer of them to see a small gain. ``p_value`` is the smaller of
the two p-values, each divided by its share, and is valid whenever the judging ends.

Giving up can never cause a false claim, so it follows simpler rules: the always-valid interval lies at or below the
margin, or the chance that the last test succeeds has become small even for a hopeful guess of the gain (stochastic
curtailment; Lan, Simon and Halperin 1982, Sequential Analysis 1:207).

Several rungs share the level by the fallback procedure (Wiens 2003, Pharmaceutical Statistics 2:211): each owns an
equal part, and a rung that is kept, or that nobody tests, leaves its part to the next.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from promptkit.ladder.facts import Look
from promptkit.statistics import Sequential, above, difference_interval, mean_interval
from promptkit.statistics.quantiles import normal_cdf, normal_quantile

__all__ = ["Duel", "Finding", "MeanBounds", "can_win"]

Finding = Literal["won", "lost", "hopeless", "open"]
"""What a look may find: ``won`` and ``lost`` are shown, ``hopeless`` gives up, ``open`` ends without a finding."""

SHARE = 0.25
"""Part of a level that is spent on looks along the way; the rest is for the last one."""
STAKE = 0.5
"""Largest share of its wealth that a bet may lose at once."""
HOPELESS = 0.02
"""Chance of success at the last look below which a rung is given up."""
HOPEFUL = 0.9
"""Quantile of the gain, given what was seen, that this chance is computed for."""
ENOUGH = 30
"""Items below which nothing is given up for being hopeless."""


@dataclass
class Duel:
    """A rung against the kept one, item by item.

    Attributes:
        margin: Gain that must be exceeded.
        alpha: Chance of a false win that this test may have, all looks together.
        confidence: Confidence of intervals and of giving up.
        planned: Number of items there are.
        seed: Seed of permutations and bootstrap.
        differences: Scores of this rung minus those of the kept one.
        looks: What was seen at each look.

    Example:
        >>> duel = Duel(margin=0.02, alpha=0.05, confidence=0.95, planned=200)
        >>> duel.add([0.0] * 20, [1.0] * 20)
        'won'
        >>> Duel(margin=0.02, alpha=0.05, confidence=0.95, planned=40).add([1.0] * 20 + [0.0] * 20, [1.0] * 40)
        'won'
    """

    margin: float
    alpha: float
    confidence: float
    planned: int
    seed: int = 0
    differences: list[float] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Starts the betting."""
        self._race = Sequential(alpha=1 - self.confidence)
        self._wealth = _Wealth(self.margin, SHARE * self.alpha)

    def add(self, kept: Sequence[float], scores: Sequence[float]) -> Finding | None:
        """Takes the scores of the next items, and looks.

        Args:
            kept: Scores of the kept rung.
            scores: Scores of this rung on the same items.

        Returns:
            What was found, or ``None`` to go on.
        """
        for one, other in zip(kept, scores, strict=True):
            self._race.add(one, other)
            self._wealth.add(other - one)
            self.differences.append(other - one)
        self.looks.append(Look(items=self.items, difference=self.difference, low=self._race.low, high=self._race.high))
        if self.p_value <= self.alpha:
            return "won"
        if self._race.high <= self.margin:
            return "lost"
        if self.items >= self.planned:
            return "open"
        return "hopeless" if self._is_hopeless() else None

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
        """P-value of "the gain is at most the margin", valid at any look."""
        early = self._wealth.p_value / SHARE
        last = above(self.differences, self.margin, seed=self.seed) / (1 - SHARE) if self.items >= self.planned else 1.0
        return min(1.0, early, last)

    @property
    def method(self) -> str:
        """What ``low`` and ``high`` are."""
        return "all items" if self.items >= self.planned else "always valid"

    @property
    def interval(self) -> tuple[float, float]:
        """Interval of the difference: always valid along the way, the ordinary one when all items are judged."""
        if self.items < self.planned:
            return self._race.low, self._race.high
        found = difference_interval(self.differences, confidence=self.confidence, seed=self.seed)
        return found.low, found.high

    def _is_hopeless(self) -> bool:
        done, rest = self.items, self.planned - self.items
        if done < ENOUGH:
            return False
        # Where (almost) nothing differed yet, one more item that does is what cannot be excluded.
        spread = max(float(np.std(self.differences)), math.sqrt(1 / (done + 1)))
        needed = self.margin + normal_quantile(1 - (1 - SHARE) * self.alpha) * spread / math.sqrt(self.planned)
        hopeful = self.difference + normal_quantile(HOPEFUL) * spread / math.sqrt(done)
        needed_of_rest = (self.planned * needed - done * self.difference) / rest
        return normal_cdf((hopeful - needed_of_rest) / (spread / math.sqrt(rest))) < HOPELESS


class _Wealth:
    """Wealth of a gambler who bets that the mean difference is above a value, at odds that are fair if it is not."""

    def __init__(self, null: float, alpha: float) -> None:
        self._mean = (null + 1) / 2
        self._most = STAKE / self._mean
        self._aim = 2 * math.log(1 / alpha)
        self._sum, self._squares, self._items = 0.5, 0.25, 0
        self._log, self._best = 0.0, 0.0

    def add(self, difference: float) -> None:
        """Settles the bet on the next item, which was made before anyone saw it."""
        x = (difference + 1) / 2
        step = self._items + 1
        bet = math.sqrt(self._aim / (self._squares / step * step * math.log(step + 1)))
        self._log += math.log1p(min(bet, self._most) * (x - self._mean))
        self._best = max(self._best, self._log)
        self._items = step
        self._sum += x
        self._squares += (x - self._sum / (step + 1)) ** 2

    @property
    def p_value(self) -> float:
        """One by the highest wealth so far."""
        return math.exp(-self._best)


def can_win(scores: Sequence[float], margin: float, alpha: float, planned: int) -> bool:
    """Tells whether a rung that answered every item perfectly could be shown to win.

    Args:
        scores: Scores of the kept rung so far, in [0, 1]; the items to come are taken to be alike.
        margin: The gain that must be exceeded.
        alpha: The level of the test.
        planned: Number of items there will be.

    Returns:
        Whether there is room above the kept rung.

    Example:
        >>> can_win([1.0] * 90 + [0.0] * 10, 0.02, 0.0125, 200), can_win([1.0] * 98 + [0.0] * 2, 0.02, 0.0125, 200)
        (True, False)
    """
    room = [1.0 - score for score in scores]
    whole = (room * (planned // len(room) + 1))[:planned] if len(room) < planned else room
    return above(whole, margin) <= (1 - SHARE) * alpha


class MeanBounds:
    """Bounds of a mean score that may be looked at at any time, and are sharper when all items are judged.

    Args:
        alpha: Chance that the lower bound is ever above the truth; the upper one has the same.
        planned: Number of items there are.

    Example:
        >>> bounds = MeanBounds(alpha=0.05, planned=100)
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

    def add(self, scores: Sequence[float]) -> None:
        """Takes the scores of the next items."""
        for score in scores:
            self._race.add(1 - score, score)
        self._scores += scores

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
        found = mean_interval(self._scores, confidence=self._confidence)
        return found.low, found.high
