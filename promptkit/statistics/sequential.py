"""An always-valid paired comparison: betting confidence sequences."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

import numpy as np
import numpy.typing as npt

from promptkit.errors import SettingError, error_message

__all__ = ["Sequential"]

_STEP = 0.002
"""Distance of the differences for which capital is kept; ends of the interval are rounded outwards to it."""
_SHARE = 0.5
"""Largest share of its capital that a bet may lose at once."""


class Sequential:
    """Compares two arms item by item, with an interval that holds at all times at once.

    A fixed-size test that is evaluated twenty times along the way makes five times the false claims that its level
    allows. This one keeps its level however often it is evaluated, and whenever and for whatever reason it is stopped.

    Every possible mean difference is tested by a betting martingale, whose capital grows in expectation only if the
    hypothesis is false. A difference whose martingale reaches 1 / alpha is ruled out; the chance that this ever happens
    to the true one is at most alpha (Ville's inequality). The bets are the predictable plug-in bets of the hedged
    capital process of Waudby-Smith and Ramdas (2024, "Estimating means of bounded random variables by betting", JRSS B
    86:1, theorem 3), half the capital on either side, at most half of it at stake. Deviation: the interval is kept on a
    grid of .002, and its ends lie on the outer side.

    Items that belong together, such as several questions on one document, are one observation: add the means of their
    scores. Items must come in random order: the promise is about the mean of a stream, not about sorted data.

    Args:
        alpha: Chance of a false claim, at all times together.
        margin: The smallest difference that matters. Within it arms count as equivalent, if it is above 0.

    Attributes:
        items: Number of items so far.
        low: Lower end of the interval of the mean difference (second minus first); never falls.
        high: Its upper end; never rises.
        decided: ``better`` or ``worse`` (the second arm, by more than the margin), ``equivalent`` (surely within the
            margin), or ``None``. Once decided it stays.

    Raises:
        SettingError: A setting is out of range, or a score is.

    Example:
        >>> race = Sequential(alpha=0.05)
        >>> for item in range(100):
        ...     if race.add(0.0, 1.0):
        ...         break
        >>> race.decided, race.items
        ('better', 10)
    """

    def __init__(self, alpha: float = 0.05, margin: float = 0.0) -> None:
        if not 0 < alpha < 1:
            raise SettingError(error_message("alpha", of="Sequential", expected="between 0 and 1", got=alpha))
        if not 0 <= margin < 1:
            raise SettingError(error_message("margin", of="Sequential", expected="from 0 to below 1", got=margin))
        self.alpha, self.margin = alpha, margin
        self.items = 0
        self.low, self.high = -1.0, 1.0
        self.decided: Literal["better", "worse", "equivalent"] | None = None
        # A difference d is bet on as (d + 1) / 2, which lies between 0 and 1. Both margins are grid points.
        grid = np.union1d(np.linspace(-1, 1, round(2 / _STEP) + 1), [-margin, margin])
        self._means: npt.NDArray[np.float64] = (grid + 1) / 2
        self._grid = grid
        with np.errstate(divide="ignore"):
            self._most_up = np.minimum(_SHARE / self._means, 1e9)
            self._most_down = np.minimum(_SHARE / (1 - self._means), 1e9)
        self._up = np.zeros_like(grid)
        self._down = np.zeros_like(grid)
        self._sum, self._squares, self._differences = 0.5, 0.25, 0.0

    @property
    def difference(self) -> float:
        """The mean difference so far; 0 before the first item."""
        return self._differences / self.items if self.items else 0.0

    def add(self, score_a: float, score_b: float) -> bool:
        """Takes the scores of both arms on the next item.

        Args:
            score_a: Score of the first arm, in [0, 1].
            score_b: Score of the second arm, in [0, 1].

        Returns:
            Whether the comparison is decided.

        Raises:
            SettingError: A score is outside [0, 1].
        """
        if not (0 <= score_a <= 1 and 0 <= score_b <= 1):
            raise SettingError(error_message("scores", of="Sequential", expected="from 0 to 1", got=(score_a, score_b)))
        x = (score_b - score_a + 1) / 2
        bet = self._next_bet()
        # Bets against a mean rest on earlier items alone; a bet that knew x would not be valid.
        self._up += np.log1p(np.minimum(bet, self._most_up) * (x - self._means))
        self._down += np.log1p(-np.minimum(bet, self._most_down) * (x - self._means))
        self.items += 1
        self._differences += score_b - score_a
        self._sum += x
        self._squares += (x - self._sum / (self.items + 1)) ** 2
        self._update()
        return self.decided is not None

    def add_all(self, pairs: Iterable[tuple[float, float]]) -> bool:
        """Takes the scores of several items in order, all of them, also after a decision.

        Args:
            pairs: ``(score_a, score_b)`` per item.

        Returns:
            Whether the comparison is decided.
        """
        for score_a, score_b in pairs:
            self.add(score_a, score_b)
        return self.decided is not None

    def _next_bet(self) -> float:
        """The predictable plug-in: small where earlier items varied much, and falling with their number."""
        step = self.items + 1
        variance = self._squares / step
        return math.sqrt(2 * math.log(2 / self.alpha) / (variance * step * math.log(step + 1)))

    def _update(self) -> None:
        """Rules out means; capital against a mean falls with it on one side and rises on the other."""
        enough = math.log(2 / self.alpha)
        ruled_low = int(np.count_nonzero(self._up >= enough))
        ruled_high = int(np.count_nonzero(self._down >= enough))
        if ruled_low:
            self.low = max(self.low, float(self._grid[ruled_low - 1]))
        if ruled_high:
            self.high = min(self.high, float(self._grid[-ruled_high]))
        if self.decided is not None:
            return
        if self.low >= self.margin and ruled_low:
            self.decided = "better"
        elif self.high <= -self.margin and ruled_high:
            self.decided = "worse"
        elif self.margin and -self.margin <= self.low and self.high <= self.margin:
            self.decided = "equivalent"
