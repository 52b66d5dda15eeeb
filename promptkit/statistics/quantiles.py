"""The normal and the t distribution, as far as intervals and tests need them, without scipy."""

from __future__ import annotations

import math
from statistics import NormalDist

__all__ = ["normal_cdf", "normal_quantile", "student_cdf", "student_quantile"]

_NORMAL = NormalDist()
_SERIES = 200
"""Degrees of freedom up to which the t distribution is summed exactly; beyond, an expansion is as good."""


def normal_cdf(z: float) -> float:
    """Returns the share of a standard normal below z; exact far into both tails.

    Example:
        >>> normal_cdf(0.0)
        0.5
    """
    return 0.5 * math.erfc(-z / math.sqrt(2))


def normal_quantile(share: float) -> float:
    """Returns the z below which a share in (0, 1) of a standard normal lies.

    Example:
        >>> round(normal_quantile(0.975), 6)
        1.959964
    """
    return _NORMAL.inv_cdf(share)


def student_cdf(t: float, df: int) -> float:
    """Returns the share of a t distribution below t, by the finite series for whole degrees of freedom.

    Args:
        t: The point.
        df: Degrees of freedom, at least 1.

    Returns:
        A share in [0, 1]. Source: Abramowitz and Stegun (1964), 26.7.3 and 26.7.4.

    Example:
        >>> round(student_cdf(2.262157, 9), 6)
        0.975
    """
    angle = math.atan2(t, math.sqrt(df))
    sine, cosine = math.sin(angle), math.cos(angle)
    if df % 2:
        term, total = cosine, 0.0
        for step in range(1, df - 1, 2):
            total += term
            term *= cosine * cosine * (step + 1) / (step + 2)
        inside = 2 / math.pi * (angle + sine * total)
    else:
        term, total = 1.0, 0.0
        for step in range(0, df - 1, 2):
            total += term
            term *= cosine * cosine * (step + 1) / (step + 2)
        inside = sine * total
    return 0.5 + inside / 2


def student_quantile(share: float, df: int) -> float:
    """Returns the t below which a share of a t distribution lies.

    Up to 200 degrees of freedom the distribution is inverted by bisection; beyond, the expansion of Abramowitz and
    Stegun (1964), 26.7.5, differs by less than 1e-7 for shares from .0001 to .9999.

    Args:
        share: A share in (0, 1).
        df: Degrees of freedom, at least 1.

    Returns:
        The quantile.

    Example:
        >>> round(student_quantile(0.975, 9), 4), round(student_quantile(0.975, 999), 4)
        (2.2622, 1.9623)
    """
    if share < 0.5:
        return -student_quantile(1 - share, df)
    z = normal_quantile(share)
    if df > _SERIES:
        first = (z**3 + z) / 4
        second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
        third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
        return z + first / df + second / df**2 + third / df**3
    low, high = 0.0, max(1.0, z)
    while student_cdf(high, df) < share:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if student_cdf(middle, df) < share else (low, middle)
    return (low + high) / 2
