"""The normal, the t, the beta and the binomial distribution, as far as intervals and tests need them, without scipy."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = [
    "beta_quantile",
    "binomial_cdf",
    "incomplete_beta",
    "normal_cdf",
    "normal_quantile",
    "student_cdf",
    "student_quantile",
]

Floats: TypeAlias = npt.NDArray[np.float64]

_NORMAL = NormalDist()
_FRACTION = 3000
"""Most terms of a continued fraction; it takes about the root of the larger parameter."""
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


def incomplete_beta(a: Floats, b: Floats, x: Floats) -> Floats:
    """Returns the regularised incomplete beta function, element by element.

    Args:
        a: First parameters, above 0.
        b: Second parameters, above 0.
        x: Points in [0, 1].

    Returns:
        Shares in [0, 1]: of a beta distribution below x. Source: the continued fraction of Abramowitz and Stegun
        (1964), 26.5.8, by Lentz's method.

    Example:
        >>> incomplete_beta(np.array([2.0]), np.array([3.0]), np.array([0.5])).round(4).tolist()
        [0.6875]
    """
    a, b, x = np.broadcast_arrays(a, b, x)
    turned = x > (a + 1) / (a + b + 2)  # on this side the fraction of the other tail converges
    a, b, x = np.where(turned, b, a), np.where(turned, a, b), np.where(turned, 1 - x, x)
    logs = [math.lgamma(i + j) - math.lgamma(i) - math.lgamma(j) for i, j in zip(a.tolist(), b.tolist(), strict=True)]
    with np.errstate(divide="ignore"):
        front = np.exp(np.array(logs) + a * np.log(x) + b * np.log1p(-x)) / a
    tiny = 1e-300
    c, d = np.ones_like(x), 1 / _not_zero(1 - (a + b) * x / (a + 1), tiny)
    total = d.copy()
    for m in range(1, _FRACTION):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _not_zero(1 + term * d, tiny)
            c = _not_zero(1 + term / c, tiny)
            total = total * c * d
        if np.abs(c * d - 1).max() < 1e-13:
            break
    found = np.clip(front * total, 0.0, 1.0)
    return np.where(turned, 1 - found, found)


def _not_zero(values: Floats, tiny: float) -> Floats:
    return np.where(np.abs(values) < tiny, tiny, values)


def binomial_cdf(k: Floats, n: Floats, share: Floats) -> Floats:
    """Returns the chance of at most k hits in n throws, element by element; 0 for k below 0, 1 from n on.

    Example:
        >>> binomial_cdf(np.array([-1.0, 3.0, 10.0]), np.array([10.0]), np.array([0.5])).round(6).tolist()
        [0.0, 0.171875, 1.0]
    """
    k, n, share = np.broadcast_arrays(k, n, share)
    inside = (k >= 0) & (k < n)
    safe = np.where(inside, k, 0.0)
    found = incomplete_beta(np.where(inside, n - safe, 1.0), safe + 1, 1 - share)
    return np.where(k < 0, 0.0, np.where(inside, found, 1.0))


def beta_quantile(share: float, a: float, b: float) -> float:
    """Returns the x below which a share of a beta distribution lies; 0 where a is 0 and 1 where b is 0.

    Example:
        >>> round(beta_quantile(0.025, 100, 0), 4), round(beta_quantile(0.025, 100, 1), 4)
        (1.0, 0.9638)
    """
    if not a or not b:
        return 0.0 if not a else 1.0
    low, high = 0.0, 1.0
    for _ in range(8):  # a hundredth of the interval each time
        grid = np.linspace(low, high, 101)
        place = int(np.searchsorted(incomplete_beta(np.array([a]), np.array([b]), grid), share))
        low, high = float(grid[max(place - 1, 0)]), float(grid[min(place, 100)])
    return (low + high) / 2
