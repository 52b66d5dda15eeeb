"""What happened in a training run, as numbers that can be saved and drawn. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from promptkit.errors import DataError, error_message, one_of
from promptkit.types import JSONObject

__all__ = ["Curve", "Stopped", "TrainingLog", "thin"]

Curve = tuple[tuple[int, float], ...]
"""Points (optimiser step, loss in nats per answer token)."""

Stopped = Literal["epochs", "patience", "max_minutes", "sigterm", "sigint"]
"""Why training ended: all epochs were seen, dev stopped improving, time was up, or the process was asked to stop."""


@dataclass(frozen=True, slots=True)
class TrainingLog:
    """The course of a training run.

    Attributes:
        loss: Training loss of every optimiser step, nats per answer token; in runs of more than 2,000 steps the means
            of equal stretches, each at its last step.
        dev: Loss on the dev pairs, step 0 (before training) included; empty without dev pairs.
        best_step: Step whose weights were kept: the best on dev, or the last without dev pairs.
        steps: Optimiser steps that were made.
        epochs: Epochs that were seen, the last one perhaps in part.
        seconds: Wall-clock seconds, earlier parts of a resumed run included.
        tokens: Tokens that were read in training, padding not counted.
        tokens_per_second: ``tokens`` by the seconds of training steps alone.
        trainable_parameters: Numbers that were learned.
        total_parameters: Numbers of the base model and those that were learned.
        stopped: Why training ended.

    Example:
        >>> log = TrainingLog(((1, 2.5),), (), 1, 1, 1.0, 0.5, 300, 600.0, 64, 1064, "epochs")
        >>> TrainingLog.from_json(log.to_json()) == log
        True
    """

    loss: Curve
    dev: Curve
    best_step: int
    steps: int
    epochs: float
    seconds: float
    tokens: int
    tokens_per_second: float
    trainable_parameters: int
    total_parameters: int
    stopped: Stopped

    def to_json(self) -> JSONObject:
        """Returns plain JSON values."""
        return {name: [list(point) for point in value] if name in _CURVES else value for name, value in _items(self)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> TrainingLog:
        """Reads what ``to_json`` wrote.

        Args:
            content: The JSON values.

        Returns:
            The log.

        Raises:
            DataError: A field is missing, unknown or of the wrong type.
        """
        names = [field.name for field in fields(cls)]
        if set(content) != set(names):
            raise DataError(error_message("fields", of="TrainingLog", expected=one_of(names), got=sorted(content)))
        values = {name: _read(name, content[name]) for name in names}
        return cls(**values)


def thin(points: Sequence[tuple[int, float]], most: int = 2000) -> Curve:
    """Shortens a curve to means of equal stretches, so that a log of a long run stays small.

    Args:
        points: Pairs of step and loss.
        most: Most points that remain.

    Returns:
        The curve; each point at the last step of its stretch.

    Example:
        >>> thin([(1, 4.0), (2, 2.0), (3, 1.0)], most=2)
        ((2, 3.0), (3, 1.0))
    """
    size = -(-len(points) // most)
    parts = [points[at : at + size] for at in range(0, len(points), max(1, size))]
    return tuple((part[-1][0], sum(loss for _, loss in part) / len(part)) for part in parts)


_CURVES = ("loss", "dev")
_FRACTIONS = ("epochs", "seconds", "tokens_per_second")


def _items(log: TrainingLog) -> list[tuple[str, Any]]:
    return list(asdict(log).items())


def _read(name: str, value: Any) -> Any:
    def refuse(expected: str) -> DataError:
        return DataError(error_message(name, of="TrainingLog", expected=expected, got=value))

    if name == "stopped":
        if value not in get_args(Stopped):
            raise refuse(one_of(get_args(Stopped)))
        return value
    if name in _CURVES:
        points: Any = value if isinstance(value, list | tuple) else [None]
        if not all(isinstance(point, list | tuple) and len(point) == 2 for point in points):
            raise refuse("a list of [step, loss]")
        if not all(type(step) is int and step >= 0 and _is_number(loss) for step, loss in points):
            raise refuse("a list of [step, loss]")
        return tuple((step, float(loss)) for step, loss in points)
    if name in _FRACTIONS:
        if not _is_number(value) or value < 0:
            raise refuse("a number of at least 0")
        return float(value)
    if type(value) is not int or value < 0:
        raise refuse("a whole number of at least 0")
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
