"""Intervals and tests of the mean of bounded scores that hold on few items and for any distribution.

Gaffke's bound (2005): the upper limit of a mean is a quantile of the random mean ``sum w_i x_i``, where the weights are
uniform on the simplex (a Bayesian bootstrap) and one more observation lies at the upper bound of the scores. That
observation represents what the sample may have missed. For scores of 0 and 1 the limits are those of Clopper and
Pearson (1934), and a test of "no difference" between right/wrong scores is the exact McNemar test. For other
distributions no case is known in which the limit errs more often than it says (Learned-Miller and Thomas 2019, "A new
confidence interval for the mean of a bounded random variable"); ``benchmarks/interval_coverage.py`` measures it.

Weights that are uniform on the simplex are exponentials by their sum, so the chance that the random mean lies below c
is the chance that ``sum E_i (x_i - c)`` is below 0. The saddlepoint approximation of Barndorff-Nielsen (1986) gives it
without any draws: the same scores always give the same limits. In the tails it errs on the cautious side: a chance of
.025 comes out as .025 to .0256.

Groups of dependent items are weighted as a whole: a term is ``E_g (total_g - n_g c)``, and the added observation is a
group of usual size.
"""

from __future__ import annotations

import math

import numpy as np

from promptkit.statistics.groups import Clusters
from promptkit.statistics.quantiles import normal_cdf, normal_quantile
from promptkit.statistics.resampling import Scores

__all__ = ["bounded_above", "bounded_limits"]

_STEPS = 60
"""Most steps of a search for a root."""
_FAR = 40.0
"""A normal deviate that is as good as infinite."""
_NEAR = 1e-11
"""A deviate that is this near to the one sought is as good."""
_NOTHING = 1e-100
"""Terms that are this small beside the largest are taken for 0."""
_FLAT = 1e-3
"""Below this signed root the saddlepoint formula cancels, and its limit is used."""


def bounded_limits(clusters: Clusters, confidence: float, low: float, high: float) -> tuple[float, float]:
    """Returns the limits of the mean of scores that lie between two bounds.

    Args:
        clusters: The scores.
        confidence: Confidence of the interval, in (0, 1).
        low: Lower bound of any score.
        high: Upper bound.

    Returns:
        Lower and upper limit. Mirrored scores give mirrored limits, to the last digit.

    Example:
        >>> low, high = bounded_limits(Clusters.of(np.array([1.0] * 10)), 0.95, 0.0, 1.0)
        >>> round(low, 3), high
        (0.69, 1.0)
    """
    z = normal_quantile((1 + confidence) / 2)
    return -_upper(clusters.mirrored(), z, -low), _upper(clusters, z, high)


def bounded_above(clusters: Clusters, null: float, low: float) -> float:
    """Tests whether the mean is above a value: one-sided p-value of "at most ``null``".

    It is at most alpha where the lower limit of confidence 1 - 2 alpha lies above ``null``.

    Args:
        clusters: The scores.
        null: The value.
        low: Lower bound of any score.

    Returns:
        The p-value, in (0, 1].

    Example:
        >>> differences = np.array([1.0] * 6 + [0.0] * 94)
        >>> round(bounded_above(Clusters.of(differences), 0.0, -1.0), 3)  # half of McNemar's .03125
        0.016
    """
    if null <= low:
        return math.ulp(0.0)
    return max(normal_cdf(_deviate(clusters.mirrored(), -null, -low)), math.ulp(0.0))


def _upper(clusters: Clusters, z: float, high: float) -> float:
    """The value above which the random mean lies with the chance of a normal deviate above z.

    The deviate is nearly linear in the value, so false position (Illinois rule) needs about ten steps.
    """
    under, over = clusters.mean, high
    if under >= high:
        return high
    short, beyond, side = max(-_deviate(clusters, under, high) - z, -_FAR), _FAR, 0
    for _ in range(_STEPS):
        middle = under + (over - under) * min(max(short / (short - beyond), 0.02), 0.98)
        found = min(max(-_deviate(clusters, middle, high) - z, -_FAR), _FAR)
        if abs(found) <= _NEAR or not under < middle < over:
            return middle
        if found < 0:
            under, short, beyond, side = middle, found, beyond / 2 if side < 0 else beyond, -1
        else:
            over, beyond, short, side = middle, found, short / 2 if side > 0 else short, 1
    return over


def _deviate(clusters: Clusters, value: float, high: float) -> float:
    """The normal deviate below which as much lies as of the random mean above ``value``.

    The random mean has the added observation at ``high``. With the cumulant function ``K(t) = -sum log(1 - t a_i)`` of
    ``sum E_i a_i`` and its saddlepoint t, the deviate is ``r + log(u / r) / r`` with ``r = sign(t) sqrt(-2 K(t))`` and
    ``u = t sqrt(K''(t))``.
    """
    terms = np.append(clusters.totals - value * clusters.sizes, clusters.usual_size * (high - value))
    counts = np.append(clusters.counts, 1.0)
    terms = terms / max(float(np.abs(terms).max()), math.ulp(0.0))  # the scale does not matter, and squares underflow
    terms[np.abs(terms) < _NOTHING] = 0.0
    most, least = float(terms.max()), float(terms.min())
    if most <= 0:
        return -math.inf
    if least >= 0:
        return math.inf
    t = _saddlepoint(terms, counts, 1 / least, 1 / most)
    shares: Scores = terms / (1 - t * terms)
    second = float(counts @ shares**2)
    root = math.copysign(math.sqrt(max(2 * float(counts @ np.log1p(-t * terms)), 0.0)), t)
    if abs(root) < _FLAT:
        return -(root + 2 * float(counts @ shares**3) / math.pow(second, 1.5) / 6)
    return -(root + math.log(t * math.sqrt(second) / root) / root)


def _saddlepoint(terms: Scores, counts: Scores, low: float, high: float) -> float:
    """Solves ``K'(t) = sum a / (1 - t a) = 0`` by Newton steps that never leave the bracket."""
    t = 0.0
    for _ in range(_STEPS):
        shares = terms / (1 - t * terms)
        slope, curve = float(counts @ shares), float(counts @ shares**2)
        low, high = (t, high) if slope < 0 else (low, t)
        step = t - slope / curve
        following = step if low < step < high else (low + high) / 2
        if abs(following - t) <= 1e-14 * max(abs(t), 1e-300):
            break
        t = following
    return float(t)
