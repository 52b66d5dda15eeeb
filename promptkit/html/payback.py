"""When the training of one rung is repaid against another, from the costs in the record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from promptkit.evaluation import Payback
from promptkit.html.arms import Arm

__all__ = ["UNITS", "Repaid", "Unit", "asked", "fitted", "paybacks"]

Unit = Literal["tokens", "seconds"]
UNITS: tuple[Unit, ...] = ("tokens", "seconds")


@dataclass(frozen=True, slots=True)
class Repaid:
    """The winner and another rung: the one with the more expensive fit instead of the other.

    Attributes:
        first: The rung with the cheaper fit.
        second: The rung with the more expensive fit.
        unit: What is counted.
        sums: When the more expensive fit is repaid.
    """

    first: Arm
    second: Arm
    unit: Unit
    sums: Payback

    @property
    def total(self) -> float | None:
        """What both have cost when the fit is repaid; ``None`` if that is at once or never."""
        if not 0 < self.sums.requests < 1e15:
            return None
        return fitted(self.first, self.unit) + self.sums.requests * self.sums.first


def paybacks(arms: Sequence[Arm], unit: Unit) -> list[Repaid]:
    """Sets the winner against every other rung.

    Args:
        arms: The judged rungs.
        unit: What is counted.

    Returns:
        One comparison for every other rung, in their order; none without a winner.
    """
    winner = next((arm for arm in arms if arm.won), None)
    found = []
    for other in arms:
        if winner is None or other is winner:
            continue
        first, second = (winner, other) if fitted(other, unit) > fitted(winner, unit) else (other, winner)
        training = fitted(second, unit) - fitted(first, unit)
        found.append(Repaid(first, second, unit, Payback(unit, training, asked(first, unit), asked(second, unit))))
    return found


def fitted(arm: Arm, unit: Unit) -> float:
    """Cost of the fit."""
    return arm.fit_tokens if unit == "tokens" else arm.fit_seconds


def asked(arm: Arm, unit: Unit) -> float:
    """Cost of one request."""
    return arm.tokens if unit == "tokens" else arm.seconds
