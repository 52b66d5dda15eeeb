"""What a climb judged: rungs with scores and costs, and the frontier of those that nothing cheaper beats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from promptkit.evaluation.payback import TRAINING_WEIGHT
from promptkit.ladder.record import Record, Trial

__all__ = ["Arm", "frontier", "judged_arms"]


@dataclass(frozen=True, slots=True)
class Arm:
    """A judged rung.

    Attributes:
        trial: Its last trial.
        won: Whether it is the winner.
        tokens: Prompt and generated tokens per item.
        seconds: Seconds per item.
        fit_tokens: Tokens of its fit, a trained one weighted as in ``break_even``.
        fit_seconds: Seconds of its fit.
    """

    trial: Trial
    won: bool
    tokens: float
    seconds: float
    fit_tokens: float
    fit_seconds: float

    @property
    def name(self) -> str:
        """Name of the rung."""
        return self.trial.rung


def judged_arms(record: Record) -> tuple[Arm, ...]:
    """Lists the rungs that answered items, in order of the climb, each by its last try.

    Args:
        record: The record.

    Returns:
        The rungs; those without finite scores and costs are left out.
    """
    last = {trial.rung: trial for trial in record.trials if trial.score is not None}
    won = record.decision.winner if record.decision is not None else None
    found = []
    for name, trial in last.items():
        cost, fit, score = trial.cost, trial.fit, trial.score
        if cost is None or score is None:
            continue
        arm = Arm(
            trial,
            name == won,
            cost.prompt_tokens_per_item + cost.generated_tokens_per_item,
            cost.seconds / max(1, cost.items),
            _real(TRAINING_WEIGHT * fit.training_tokens + fit.prompt_tokens + fit.generated_tokens) if fit else 0.0,
            fit.seconds if fit else 0.0,
        )
        figures = (score.mean, score.low, score.high, arm.tokens, arm.seconds, arm.fit_tokens, arm.fit_seconds)
        if all(math.isfinite(one) and abs(one) < 1e30 for one in figures):
            found.append(arm)
    return tuple(found)


def frontier(points: Sequence[tuple[float, float]]) -> list[int]:
    """Finds the points that no cheaper or equally expensive one equals or beats.

    Args:
        points: Cost and quality of each.

    Returns:
        Their places, from cheap to expensive; quality rises along them.

    Example:
        >>> frontier([(1, 0.5), (2, 0.4), (3, 0.9), (3, 0.8)])
        [0, 2]
    """
    found: list[int] = []
    for place in sorted(range(len(points)), key=lambda place: (points[place][0], -points[place][1])):
        if not found or points[place][1] > points[found[-1]][1]:
            found.append(place)
    return found


def _real(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf
