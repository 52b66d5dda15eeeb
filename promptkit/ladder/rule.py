"""By what a climb decides: one record, which ``climb``, its YAML file and the decision record share."""

from __future__ import annotations

from promptkit.records import FrozenRecord

__all__ = ["DecisionRule"]


class DecisionRule(FrozenRecord):
    """By what a climb decides whether a more expensive rung is kept.

    Attributes:
        margin: Gain that a more expensive rung must exceed to be kept, in [0, 1).
        confidence: Confidence of all decisions together, and of every interval shown, in [0.5, 1).
        block: Items judged between two interim analyses, at least 1.
        retries: Further tries of a rung whose model failed, at least 0.

    Example:
        >>> DecisionRule().margin
        0.02
    """

    margin: float = 0.02
    confidence: float = 0.95
    block: int = 20
    retries: int = 1
