"""A one-sided group-sequential test of paired differences, with interim analyses before a planned number of items."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from promptkit.errors import SettingError, error_message
from promptkit.statistics.quantiles import normal_cdf, normal_quantile

__all__ = ["GroupSequentialSignTest", "spent_level"]

EARLY = 0.1
"""Part of the level that is spent in proportion to the items seen; the rest follows O'Brien and Fleming."""
STEP = 0.01
"""Resolution of differences other than -1, 0 and 1."""
_HALVINGS = 14
"""Halvings of the range of log p: it is found to .13 %."""


def spent_level(alpha: float, share: float) -> float:
    """Returns how much of a level may be spent by the time a share of the items is seen.

    Nine tenths follow the O'Brien-Fleming form of Lan and DeMets (1983, Biometrika 70:659), which keeps nearly the
    whole level for the last analysis, and one tenth grows in proportion to the items, so that large gains end a
    comparison early.

    Args:
        alpha: The level, in (0, 1).
        share: Share of the planned items that is seen, in (0, 1].

    Returns:
        The level that all analyses so far may spend together; ``alpha`` at the last one.

    Example:
        >>> [round(spent_level(0.05, share), 4) for share in (0.1, 0.5, 1.0)]
        [0.0005, 0.0075, 0.05]
    """
    if share >= 1:
        return alpha
    late = 2 * normal_cdf(-normal_quantile(1 - alpha / 2) / math.sqrt(share))
    return (1 - EARLY) * late + EARLY * alpha * share


class GroupSequentialSignTest:
    """Tests "the mean difference is at most 0" at several interim analyses, with one error rate for all.

    If two arms are equally good, each difference is as likely as its negative. Given the sizes of the differences,
    their sum is therefore a random walk with known steps, and the chance that it first crosses the boundary at an
    analysis is computed exactly by convolution. The boundary is the lowest one whose chance keeps to the level that
    ``spent_level`` allows so far; what an analysis cannot use, because sums come in steps, is left to the next. For scores of 0 and 1 with independent items the error rate is exact whatever the share of items that differ,
    and the last analysis is nearly the exact one-sided McNemar test. For other scores the test is exact for symmetric
    differences and holds in large samples otherwise; they are rounded to steps of .01.

    A unit is one item, or the sum over items that belong together: then the units are what is independent, and what
    is flipped. Stopping without a claim, at any time and for any reason, does not raise the error rate (the boundary
    of futility is non-binding). The times of the analyses must not depend on the signs of the differences.

    Args:
        alpha: Chance of a false claim over all analyses together, in (0, 1).

    Raises:
        SettingError: ``alpha`` is out of range.

    Example:
        >>> test = GroupSequentialSignTest(alpha=0.05)
        >>> test.analyze([1.0, 0.0, -1.0, 1.0] * 5, share=0.5), test.analyze([1.0] * 9 + [0.0] * 11, share=1.0)
        (False, True)
        >>> round(test.p_value, 3)
        0.003
    """

    def __init__(self, alpha: float) -> None:
        if not 0 < alpha < 1:
            raise SettingError(
                error_message("alpha", of="GroupSequentialSignTest", expected="between 0 and 1", got=alpha)
            )
        self.alpha = alpha
        self.crossed = False
        self._analyses: list[tuple[list[int], float]] = []
        self._walk = _Walk(alpha)

    def analyze(self, units: Sequence[float], share: float) -> bool:
        """Takes the differences of the units since the last analysis, and tests.

        Args:
            units: Differences (second arm minus first), or sums of them over items that belong together.
            share: Share of all planned items that is seen, from 0 to 1.

        Returns:
            Whether a gain is shown, now or at an earlier analysis.
        """
        steps = [round(unit / STEP) for unit in units]
        self._analyses.append((steps, share))
        self.crossed = self._walk.analyze(steps, share) or self.crossed
        return self.crossed

    @property
    def p_value(self) -> float:
        """Repeated p-value (Jennison and Turnbull): the smallest level at which a gain would be shown by now."""
        low, high = math.log(1e-9), 0.0
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            walk = _Walk(math.exp(middle))
            crossed = [walk.analyze(steps, share) for steps, share in self._analyses]  # no analysis may be left out
            low, high = (low, middle) if any(crossed) else (middle, high)
        found = math.exp(high)
        # Sums come in steps, so near the level itself the search may end on its other side.
        return min(found, self.alpha) if self.crossed else max(found, math.nextafter(self.alpha, 1.0))


class _Walk:
    """The chances of all sums that have not crossed yet, and the sum that was seen, at one level."""

    def __init__(self, alpha: float) -> None:
        self._alpha = alpha
        self._unit = round(1 / STEP)  # whole points, until a difference needs finer ones
        self._chances: npt.NDArray[np.float64] = np.ones(1)  # of the sums -reach .. reach
        self._sum, self._spent = 0, 0.0

    def analyze(self, steps: Sequence[int], share: float) -> bool:
        for step in filter(None, steps):
            self._sum += step
            self._refine(math.gcd(self._unit, step))
            shift = 2 * abs(step) // self._unit
            wider = np.zeros(self._chances.size + shift)
            wider[shift:] += self._chances / 2
            wider[:-shift] += self._chances / 2
            self._chances = wider
        tails = np.cumsum(self._chances[::-1])[::-1]
        allowed = spent_level(self._alpha, share) - self._spent
        first = int(np.searchsorted(-tails, -allowed * (1 + 1e-9)))  # the lowest sum whose tail is allowed
        if first == tails.size:
            return False
        self._spent += float(tails[first])
        self._chances[first:] = 0.0
        return self._sum >= (first - (tails.size - 1) // 2) * self._unit

    def _refine(self, unit: int) -> None:
        finer = self._unit // unit
        if finer > 1:
            spread = np.zeros((self._chances.size - 1) * finer + 1)
            spread[::finer] = self._chances
            self._chances, self._unit = spread, unit
