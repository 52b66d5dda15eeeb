"""Paired tests: exact McNemar, sign flips, the score test of a margin, and Holm's correction over arms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from promptkit.errors import SettingError, error_message
from promptkit.statistics.bounded import bounded_above
from promptkit.statistics.groups import Clusters, Groups, group_codes
from promptkit.statistics.quantiles import binomial_cdf, normal_cdf
from promptkit.statistics.resampling import Scores

__all__ = ["above", "holm", "is_binary", "mcnemar", "score_z", "sign_flip"]

_EXACT = 16
"""Non-zero differences up to which all 2^k sign patterns are enumerated."""
_WHOLE = 200
"""Throws up to which chances are summed in whole numbers."""
_CHUNK = 2_000_000
"""Drawn signs held in memory at a time."""
_FEW = 64
"""Kinds of absolute differences up to which flips are drawn as counts."""
_CLOSE = 1e-6
"""Sums of flipped differences that are this near, relative to the largest sum possible, count as ties."""


def is_binary(differences: Scores) -> bool:
    """Tells whether differences are those of scores of 0 and 1: each is -1, 0 or 1.

    Example:
        >>> is_binary(np.array([1.0, 0.0, -1.0])), is_binary(np.array([0.5]))
        (True, False)
    """
    return bool(np.isin(differences, (-1.0, 0.0, 1.0)).all())


def mcnemar(gains: int, losses: int) -> float:
    """Tests whether items turn right as often as they turn wrong: the exact McNemar test, two-sided.

    Given which items differ, gains are binomial with chance 1/2 if the arms are equally good; items on which both
    are right or both are wrong say nothing (McNemar 1947; the exact form is the sign test).

    Args:
        gains: Items that only the second arm has right.
        losses: Items that only the first arm has right.

    Returns:
        The p-value, in (0, 1].

    Raises:
        SettingError: A count is negative.

    Example:
        >>> round(mcnemar(150, 86), 8)
        3.716e-05
        >>> mcnemar(0, 0), mcnemar(6, 0)
        (1.0, 0.03125)
    """
    if gains < 0 or losses < 0:
        expected = "counts of at least 0"
        raise SettingError(error_message("gains and losses", of="mcnemar", expected=expected, got=(gains, losses)))
    return min(1.0, 2 * _binomial_tail(min(gains, losses), gains + losses))


def _binomial_tail(k: int, n: int) -> float:
    """The chance of at most k heads in n throws. Summed from the largest term down, relative to it."""
    if 2 * k >= n:
        return 1.0 - (_binomial_tail(n - k - 1, n) if n - k - 1 >= 0 else 0.0)
    if n <= _WHOLE:
        return float(sum(math.comb(n, i) for i in range(k + 1)) / 2**n)
    top = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) - n * math.log(2)
    ratios = np.arange(k, 0, -1) / np.arange(n - k + 1, n + 1)
    # Never 0: thousands of items that all turned the same way are beyond the smallest float.
    return max(math.exp(top) * float(1 + np.cumprod(ratios).sum()), math.ulp(0.0))


def sign_flip(
    differences: Sequence[float] | Scores,
    *,
    groups: Groups = None,
    resamples: int = 10_000,
    seed: int = 0,
    side: Literal["both", "greater"] = "both",
) -> float:
    """Tests whether the mean difference is 0 by flipping signs (Fisher 1935).

    If arms are equally good, a difference is as likely as its negative, so every pattern of signs is as likely as the
    one that was seen. With at most 16 differences that are not 0 all patterns are counted; otherwise patterns are
    drawn, and the one that was seen counts as one of them (Phipson and Smyth 2010), which keeps p above 0 and the
    error rate at most what it says.

    The differences of a group are flipped together: within a group they may depend on each other in any way.

    Args:
        differences: One difference an item.
        groups: The group of each item, where items are dependent.
        resamples: Drawn patterns, where not all are counted.
        seed: Seed of the drawing.
        side: ``both``, or ``greater`` for the chance of a sum that is at least as large.

    Returns:
        The p-value, in (0, 1].

    Example:
        >>> sign_flip([1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4])
        0.00390625
    """
    values = np.asarray(differences, dtype=np.float64)
    if (codes := group_codes(groups, values.size, "sign_flip")) is not None:
        clusters = Clusters.of(values, codes)
        # What is left of a sum whose terms cancel is rounding, and no difference.
        noise = 1e-12 * float(np.abs(values).max())
        totals = np.where(np.abs(clusters.totals) <= noise, 0.0, clusters.totals)
        values = np.repeat(totals, clusters.counts.astype(np.int64))
    values = values[values != 0]
    if not values.size:
        return 1.0
    sizes = np.sort(np.abs(values))  # in one order, whatever that of the items
    slack = _CLOSE * float(sizes.sum())
    seen = math.fsum(values)
    if side == "both":
        seen = abs(seen)
    exact = sizes.size <= _EXACT
    sums = _all_sums(sizes) if exact else _drawn_sums(sizes, resamples, np.random.default_rng(seed))
    hits = int(np.count_nonzero((np.abs(sums) if side == "both" else sums) >= seen - slack))
    return hits / sums.size if exact else (hits + 1) / (sums.size + 1)


def _all_sums(sizes: Scores) -> Scores:
    sums = np.zeros(1)
    for size in sizes:
        sums = np.concatenate([sums + size, sums - size])
    return sums


def _drawn_sums(sizes: Scores, resamples: int, generator: np.random.Generator) -> Scores:
    kinds, counts = np.unique(sizes, return_counts=True)
    if kinds.size <= min(_FEW, sizes.size // 4):
        # Flips of equal differences differ in their number alone, and that is binomial.
        plus = generator.binomial(counts, 0.5, size=(resamples, kinds.size))
        return np.asarray((2 * plus - counts) @ kinds, dtype=np.float64)
    largest = float(sizes[-1])
    small = (sizes / largest).astype(np.float32)
    step = max(1, _CHUNK // sizes.size)
    parts = []
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        bits = np.unpackbits(generator.integers(0, 256, (rows, -(-sizes.size // 8)), dtype=np.uint8), axis=1)
        parts.append(2 * (bits[:, : sizes.size].astype(np.float32) @ small) - small.sum())
    return np.concatenate(parts).astype(np.float64) * largest


def score_z(gains: float, losses: float, n: int, null: float) -> float:
    """Returns Tango's score statistic of a difference of paired proportions.

    The variance is that under the hypothesis, with the discordance estimated by maximum likelihood given the
    difference (Tango 1998, Statistics in Medicine 17:891). At ``null = 0`` its square is McNemar's chi-square.

    Args:
        gains: Items that only the second arm has right.
        losses: Items that only the first arm has right.
        n: Number of items.
        null: The difference under the hypothesis, in [-1, 1].

    Returns:
        A standard normal statistic; positive if the difference seen is larger than ``null``.

    Example:
        >>> round(score_z(150, 86, 1600, 0.0) ** 2, 4)
        17.3559
    """
    # The maximum-likelihood chance of a loss solves a q^2 + b q + c = 0.
    a = 2.0 * n
    b = -(gains + losses) + (2 * n - gains + losses) * null
    c = -losses * null * (1 - null)
    loss = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
    variance = n * (2 * loss + null * (1 - null))
    excess = gains - losses - n * null
    if variance <= 1e-12 * n:
        return math.copysign(math.inf, excess) if abs(excess) > 1e-9 * n else 0.0
    return excess / math.sqrt(variance)


def above(
    differences: Sequence[float] | Scores,
    null: float,
    *,
    groups: Groups = None,
    bounds: tuple[float, float] | None = (-1.0, 1.0),
    resamples: int = 10_000,
    seed: int = 0,
) -> float:
    """Tests whether the mean difference is above a value: p-value of "at most ``null``", one-sided.

    ========================  ==================================================================================
    differences               test
    ========================  ==================================================================================
    of scores of 0 and 1      Tango's score test. Where few items differ it is too bold (four gains and no loss
                              would count as p = .023), so the exact sign test must agree from ``null = 0`` on,
                              and elsewhere the exact binomial test of the excess of gains.
    others, ``null = 0``      Sign flips.
    within ``bounds``, null   ``bounded_above``: a handful of differences does not show how large the next one
    other than 0              may be, and a test that takes the sample for all there is calls a rare large
                              difference impossible.
    without bounds            Sign flips of what is left when ``null`` is taken off every difference, exact for
                              symmetric differences and valid for large n otherwise; the score test of the signs
                              must agree.
    ========================  ==================================================================================

    Args:
        differences: One difference an item.
        null: The value.
        groups: The group of each item, where items are dependent. A group then is one observation.
        bounds: Least and greatest possible difference; ``None`` if unknown. Taken for unknown where one lies outside.
        resamples: Drawn sign patterns.
        seed: Seed of the drawing.

    Returns:
        The p-value, in (0, 1].

    Example:
        >>> differences = [1.0] * 30 + [-1.0] * 5 + [0.0] * 165
        >>> above(differences, 0.05) < 0.01 < above(differences, 0.10)
        True
    """
    values = np.asarray(differences, dtype=np.float64)
    codes = group_codes(groups, values.size, "above")
    if codes is None and is_binary(values):
        return _above_binary(values, null)
    if not null:
        return sign_flip(values, groups=groups, resamples=resamples, seed=seed, side="greater")
    clusters = Clusters.of(values, codes)
    if bounds is not None and bounds[0] <= values.min() and values.max() <= bounds[1]:
        return bounded_above(clusters, null, bounds[0])
    values = clusters.values()
    flips = sign_flip(values - null, resamples=resamples, seed=seed, side="greater")
    gains, losses = int((values > 0).sum()), int((values < 0).sum())
    changed = values[values != 0]
    scale = math.sqrt(float((changed**2).mean())) if changed.size else 1.0
    # The same distance from the mean seen, in units of the usual size of a difference.
    shifted = (gains - losses) / values.size + (null - clusters.mean) / scale
    return max(flips, _score_p(gains, losses, values.size, shifted))


def _above_binary(values: Scores, null: float) -> float:
    gains, losses, n = int((values > 0).sum()), int((values < 0).sum()), int(values.size)
    score = _score_p(gains, losses, n, null)
    if not null:
        return max(score, mcnemar(gains, losses) / 2 if gains > losses else 1.0)
    if abs(null) >= 1:
        return score
    # As if all differing items differed one way: the corner in which the score test errs more often than it says.
    excess = max(0, gains - losses if null > 0 else losses - gains)
    share = binomial_cdf(np.array([excess - 1.0 if null > 0 else excess]), np.array([n]), np.array([abs(null)]))[0]
    p_value = max(score, float(1 - share if null > 0 else share))
    if gains + losses == n:  # as bold where all items differ: gains are binomial, with a chance of (1 + null) / 2
        most = binomial_cdf(np.array([gains - 1.0]), np.array([n]), np.array([(1 + null) / 2]))[0]
        p_value = max(p_value, float(1 - most))
    return p_value


def _score_p(gains: int, losses: int, n: int, null: float) -> float:
    if abs(null) > 1:  # no difference of proportions lies there, so nothing or everything speaks against it
        return 1.0 if null > 1 else math.ulp(0.0)
    return max(normal_cdf(-score_z(gains, losses, n, null)), math.ulp(0.0))


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Corrects p-values for their number, so that the chance of any false claim keeps to its level (Holm 1979).

    Args:
        p_values: One p-value per test, in any order.

    Returns:
        Adjusted p-values in the same order, to be compared with the level itself.

    Example:
        >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
        [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    adjusted = [1.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, p_values[place] * (len(p_values) - rank)))
        adjusted[place] = largest
    return tuple(adjusted)
