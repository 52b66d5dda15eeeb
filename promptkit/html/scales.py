"""Axes: from values to places in a drawing, with ticks at round values."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

__all__ = ["Scale", "Tick", "linear", "logarithmic"]


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on an axis: its place and its text."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Scale:
    """Puts values of [``low``, ``high``] between two places; what lies outside goes to the nearer end.

    Attributes:
        low: The value at ``start``.
        high: The value at ``end``.
        start: A place in the units of the drawing.
        end: Another place.
        log: Whether equal ratios take equal space.
        ticks: Marks at round values.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False
    ticks: tuple[Tick, ...] = ()

    def __call__(self, value: float) -> float:
        """Returns the place of a value."""
        low, high = self.low, self.high
        value = min(max(value, low), high)
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        share = (value - low) / (high - low)
        return round(self.start + share * (self.end - self.start), 2)


def linear(values: Iterable[float], start: float, end: float, label: Callable[[float], str]) -> Scale:
    """Makes an even axis that ends at round values and shows every given one.

    Args:
        values: Values to be shown, finite; at least one.
        start: Where the lowest value is drawn.
        end: Where the highest value is drawn.
        label: Gives the text of a tick.

    Returns:
        The axis, with about five ticks.

    Example:
        >>> axis = linear([0.12, 0.93], 100, 0, "{:g}".format)
        >>> axis.low, axis.high, axis(0.5), [tick.label for tick in axis.ticks]
        (0.0, 1.0, 50.0, ['0', '0.2', '0.4', '0.6', '0.8', '1'])
    """
    known = list(values)
    low, high = min(known), max(known)
    if high - low < 1e-9 * max(1.0, abs(high)):
        low, high = low - 0.5 * max(1.0, abs(low)), high + 0.5 * max(1.0, abs(high))
    step = _round_up((high - low) / 5)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    plain = Scale(first * step, last * step, start, end)
    at = [place * step for place in range(first, last + 1)]
    return Scale(plain.low, plain.high, start, end, False, tuple(Tick(plain(x), label(round(x, 10))) for x in at))


def logarithmic(values: Iterable[float], start: float, end: float, label: Callable[[float], str]) -> Scale:
    """Makes an axis on which equal ratios take equal space.

    Args:
        values: Values to be shown, finite and above 0; at least one.
        start: Where the lowest value is drawn.
        end: Where the highest value is drawn.
        label: Gives the text of a tick.

    Returns:
        The axis, with ticks at 1, 2 and 5 times powers of ten where few powers are in sight, else at powers.

    Example:
        >>> axis = logarithmic([30, 400], 0, 100, "{:g}".format)
        >>> [tick.label for tick in axis.ticks]
        ['50', '100', '200', '500']
    """
    known = list(values)
    low, high = min(known) / 1.3, max(known) * 1.3
    if high / low < 4:
        low, high = low / 1.5, high * 1.5
    plain = Scale(low, high, start, end, True)
    decades = math.log10(high / low)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    step = max(1, math.ceil(decades / 6))
    factors = (1, 2, 5) if decades < 2.5 else (1, 3) if decades < 3.5 else (1,)
    at = [factor * 10.0**power for power in powers if power % step == 0 for factor in factors]
    ticks = tuple(Tick(plain(value), label(value)) for value in at if low <= value <= high)
    return Scale(low, high, start, end, True, ticks)


def _round_up(step: float) -> float:
    """The next of 1, 2, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9))
