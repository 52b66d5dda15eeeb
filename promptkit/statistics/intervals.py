"""Intervals of means and of paired mean differences: how sure a score on a sample of items can be."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from pydantic import field_serializer, model_validator

from promptkit.errors import SettingError, error_message, one_of
from promptkit.records import FrozenRecord
from promptkit.statistics.bounded import bounded_limits
from promptkit.statistics.groups import Clusters, Groups, group_codes
from promptkit.statistics.quantiles import beta_quantile, normal_cdf, normal_quantile, student_quantile
from promptkit.statistics.resampling import Scores, resampled_means
from promptkit.statistics.significance import is_binary, score_z

__all__ = ["Interval", "IntervalMethod", "bootstrap_mean", "check_scores", "difference_interval", "mean_interval"]

IntervalMethod = Literal["auto", "score", "bounded", "outer", "bca", "percentile"]
"""How the interval of a paired difference is found; see ``difference_interval``."""

_METHODS = ("auto", "score", "bounded", "outer", "bca", "percentile")


class Interval(FrozenRecord):
    """A mean with its confidence interval: the one record of it in reports, comparisons, decision records and JSON.

    Attributes:
        mean: Mean of the scores.
        low: Lower end of the interval; negative infinity where nothing bounds it (``"-Infinity"`` in JSON).
        high: Upper end of the interval, likewise.
        n: Number of scores.
        confidence: Confidence of the interval, in (0, 1).
        method: How it was found, for people, as ``"Clopper-Pearson"``.

    Example:
        >>> print(mean_interval([1.0] * 100))
        1.000 [0.964, 1.000]
    """

    mean: float
    low: float
    high: float
    n: int
    confidence: float
    method: str

    @model_validator(mode="after")
    def _check_numbers(self) -> Interval:
        if not math.isfinite(self.mean) or math.isnan(self.low) or math.isnan(self.high):
            raise ValueError(f"of a finite mean between two numbers, got {self}")
        return self

    @field_serializer("low", "high", when_used="json")
    def _to_json(self, value: float) -> float | str:
        return value if math.isfinite(value) else "Infinity" if value > 0 else "-Infinity"

    def __str__(self) -> str:
        """Mean and ends with three digits, the form of every table."""
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def __repr__(self) -> str:
        return f"<Interval {self}, {100 * self.confidence:g} % ({self.method}), n = {self.n}>"


def _interval(low: float, high: float, mean: float, n: int, confidence: float, method: str) -> Interval:
    """An interval that holds its mean, which ends found by rounding arithmetic may miss by an ulp."""
    return Interval(mean=mean, low=min(low, mean), high=max(high, mean), n=n, confidence=confidence, method=method)


def bootstrap_mean(
    scores: Sequence[float], *, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> Interval:
    """Returns the mean of scores with a percentile bootstrap interval (Efron 1979), for comparison with other tools.

    It knows no more than the sample: of 5 right in 5 it says [1, 1], and of a true rate of .01 at 100 items it covers
    63 % where it says 95. Reports show ``mean_interval``.

    Resamples draw n items with replacement; the interval runs between the outer (1 - confidence) / 2 quantiles of their
    means.
    Scores that take few different values (0 and 1, say) are drawn as counts, which is the same distribution and much
    faster. The generator is seeded and private; the global one is not touched.

    Args:
        scores: One finite score per item, at least one.
        confidence: Confidence of the interval, in (0, 1).
        resamples: Number of resamples, 100 or more.
        seed: Seed of the resampling.

    Returns:
        Mean, lower and upper end, and the number of scores.

    Raises:
        SettingError: There are no scores, one is not finite, or a setting is out of range.

    Example:
        >>> interval = bootstrap_mean([1.0] * 80 + [0.0] * 20)
        >>> interval.mean, round(interval.low, 2), round(interval.high, 2)
        (0.8, 0.72, 0.88)
    """
    values = check_scores(scores, "bootstrap_mean", confidence, resamples)
    means = resampled_means(values, resamples, np.random.default_rng(seed))
    tail = (1 - confidence) / 2
    low, high = np.clip(np.quantile(means, [tail, 1 - tail]), values.min(), values.max())
    mean, n = float(values.mean()), int(values.size)
    return _interval(float(low), float(high), mean, n, confidence, "percentile bootstrap")


def mean_interval(
    scores: Sequence[float],
    *,
    groups: Groups = None,
    confidence: float = 0.95,
    bounds: tuple[float, float] | None = (0.0, 1.0),
    resamples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Returns the mean of scores with its interval; the one that every report, table and record shows.

    For scores of 0 and 1 it is the exact interval of Clopper and Pearson (1934): 100 of 100 gives [.964, 1]. For
    other scores within the bounds it is Gaffke's interval, which is the same where scores are 0 and 1 and holds its
    confidence for any distribution (``promptkit.statistics.bounded``): 20 scores of 0.0 from a metric that is seldom
    above 0 give [0, .168], not [0, 0]. Where a score lies outside the bounds nothing is known of what the sample
    missed; the interval is then the bootstrap interval ``outer`` of ``difference_interval``, which covers about as
    often as it says for scores without rare large values, and is infinite where all scores are equal.

    Args:
        scores: One finite score per item, at least one.
        groups: The group of each item, where items are dependent: several questions on one document, several seeds of
            one item. A group is one observation; a mean over few groups has a wide interval.
        confidence: Confidence of the interval, in (0, 1).
        bounds: Least and greatest possible score; ``None`` if unknown.
        resamples: Number of bootstrap resamples, 100 or more; used without bounds.
        seed: Seed of the resampling; used without bounds.

    Returns:
        Mean, lower and upper end, and the number of scores.

    Raises:
        SettingError: There are no scores, one is not finite, or a setting is out of range.

    Example:
        >>> interval = mean_interval([0.0] * 100)
        >>> interval.low, round(interval.high, 3)
        (0.0, 0.036)
        >>> grouped = mean_interval([0.0] * 50 + [1.0] * 50, groups=[item // 10 for item in range(100)])
        >>> round(grouped.low, 2), round(grouped.high, 2)
        (0.19, 0.81)
    """
    values = check_scores(scores, "mean_interval", confidence, resamples)
    clusters = Clusters.of(values, group_codes(groups, values.size, "mean_interval"))
    n, mean = int(values.size), clusters.mean
    if bounds is None or values.min() < bounds[0] or values.max() > bounds[1]:
        spread = clusters.values()
        if spread.max() - spread.min() <= 1e-12 * float(np.abs(values).max()):
            return _interval(-math.inf, math.inf, mean, n, confidence, "unbounded")
        low, high = _outer(spread, confidence, resamples, seed)
        method = "bootstrap"
    elif bounds == (0, 1) and np.isin(values, (0.0, 1.0)).all() and (clusters.sizes == 1).all():
        low, high = _exact_share(int(values.sum()), n, (1 - confidence) / 2)
        method = "Clopper-Pearson"
    else:
        low, high = bounded_limits(clusters, confidence, *bounds)
        method = "Gaffke"
    return _interval(low, high, mean, n, confidence, method)


def difference_interval(
    differences: Sequence[float] | Scores,
    *,
    groups: Groups = None,
    confidence: float = 0.95,
    method: IntervalMethod = "auto",
    bounds: tuple[float, float] | None = (-1.0, 1.0),
    resamples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Returns the mean of paired differences with its interval.

    The methods, in the order in which ``auto`` takes the first that fits:

    ``score``
        Tango's score interval of a difference of paired proportions (1998). Only for scores of 0 and 1 of items
        without groups. It covers 94.0 to 95.8 % where four or more items are expected to differ; a bootstrap falls to
        75 % where three do, because resamples hold no more kinds of items than the sample has. Where all items that
        differ do so one way, or all items differ, it is at least as wide as the interval of Clopper and Pearson.
    ``bounded``
        Gaffke's interval (``promptkit.statistics.bounded``). For differences within the bounds, also by groups. It
        covers at least 95 % for any distribution, rare large differences included.
    ``outer``
        The outer ends of three intervals, for differences without bounds: percentile and BCa, both at levels widened
        from the normal to the t distribution (Hesterberg 2015, section 4.2), and for few differing items the mean
        with the half-widths of the score interval of the signs, in units of the root mean square of the differences
        that are not 0. It covers 94.4 to 96.2 % where no rare large difference is missed.
    ``bca``
        Bias-corrected and accelerated (Efron 1987, with the acceleration of a mean in closed form). Never taken by
        ``auto``.
    ``percentile``
        Quantiles of the means of resamples (Efron 1979). Never taken by ``auto``: it covers 90 to 94 % at 50 items.

    An interval of the differences with their signs changed is the same interval with its signs changed, exactly, and
    the order of the items does not matter.

    Args:
        differences: One finite difference per item, at least one.
        groups: The group of each item, where items are dependent. A group then is one observation.
        confidence: Confidence of the interval, in (0, 1).
        method: How the interval is found.
        bounds: Least and greatest possible difference; ``None`` if unknown. Taken for unknown where one lies outside.
        resamples: Number of resamples, 100 or more.
        seed: Seed of the resampling.

    Returns:
        Mean, lower and upper end, and the number of items.

    Raises:
        SettingError: There are no differences, one is not finite, a setting is out of range, or the method does not
            fit the differences.

    Example:
        >>> found = difference_interval([1.0] * 12 + [-1.0] * 3 + [0.0] * 85)
        >>> round(found.mean, 2), round(found.low, 3), round(found.high, 3)
        (0.09, 0.016, 0.174)
    """
    values = check_scores(differences, "difference_interval", confidence, resamples)
    codes = group_codes(groups, values.size, "difference_interval")
    binary = codes is None and is_binary(values)
    inside = bounds is not None and bounds[0] <= values.min() and values.max() <= bounds[1]
    method = _method(method, binary, inside)
    clusters = Clusters.of(values, codes)
    if method == "bounded":
        assert bounds is not None
        low, high = bounded_limits(clusters, confidence, *bounds)
        return _interval(low, high, clusters.mean, int(values.size), confidence, method)
    ordered, flipped = _oriented(clusters.values())
    if method == "score":
        low, high = _at_least_exact(ordered, confidence, *_score(ordered, confidence))
    elif method == "outer":
        low, high = _outer(ordered, confidence, resamples, seed)
        low, high = _at_least_signs(ordered, confidence, low, high)
    else:
        means = resampled_means(ordered, resamples, np.random.default_rng(seed))
        z = normal_quantile((1 + confidence) / 2)
        low, high = _bca(ordered, means, z) if method == "bca" else _quantiles(means, normal_cdf(-z), normal_cdf(z))
    if np.array_equal(ordered, np.sort(-ordered)):
        # A sample that mirrors itself has a symmetric interval, which resamples alone do not give.
        high = (high - low) / 2
        low = -high
    low, high = (-high, -low) if flipped else (low, high)
    return _interval(low, high, clusters.mean, int(values.size), confidence, method)


def _method(method: IntervalMethod, binary: bool, inside: bool) -> IntervalMethod:
    of = "difference_interval"
    if method not in _METHODS:
        raise SettingError(error_message("method", of=of, expected=one_of(_METHODS), got=method))
    if method == "score" and not binary:
        expected = "another method, as 'bounded', for scores other than 0 and 1 or items in groups"
        raise SettingError(error_message("method", of=of, expected=expected, got=method))
    if method == "bounded" and not inside:
        expected = "another method, as 'outer', for differences outside the bounds"
        raise SettingError(error_message("method", of=of, expected=expected, got=method))
    if method != "auto":
        return method
    return "score" if binary else "bounded" if inside else "outer"


def _oriented(values: Scores) -> tuple[Scores, bool]:
    """Sorts differences, their sign changed if that makes them larger.

    So neither the order of the items nor which arm is called the first changes the draws of a seed.
    """
    forth, back = np.sort(values), np.sort(-values)
    flipped = (math.fsum(back), *back.tolist()) > (math.fsum(forth), *forth.tolist())
    return (back, True) if flipped else (forth, False)


def _outer(values: Scores, confidence: float, resamples: int, seed: int) -> tuple[float, float]:
    n = values.size
    if n < 2 or values.min() == values.max():
        return float(values[0]), float(values[0])
    means = resampled_means(values, resamples, np.random.default_rng(seed))
    z = student_quantile((1 + confidence) / 2, n - 1) * math.sqrt(n / (n - 1))
    plain, corrected = _quantiles(means, normal_cdf(-z), normal_cdf(z)), _bca(values, means, z)
    return min(plain[0], corrected[0]), max(plain[1], corrected[1])


def _quantiles(means: Scores, low: float, high: float) -> tuple[float, float]:
    found = np.quantile(means, [low, high])
    return float(found[0]), float(found[1])


def _bca(values: Scores, means: Scores, z: float) -> tuple[float, float]:
    mean = float(values.mean())
    deviations = values - mean
    squares = float((deviations**2).sum())
    if not squares:
        return mean, mean
    acceleration = float((deviations**3).sum()) / (6 * squares**1.5)
    slack = 1e-9 * float(np.abs(deviations).max())
    below = np.count_nonzero(means < mean - slack) + np.count_nonzero(np.abs(means - mean) <= slack) / 2
    bias = normal_quantile(min(max(below, 0.5), means.size - 0.5) / means.size)

    def level(point: float) -> float:
        moved = bias + point
        return normal_cdf(bias + moved / max(1 - acceleration * moved, 1e-9))

    return _quantiles(means, level(-z), level(z))


def _score(values: Scores, confidence: float) -> tuple[float, float]:
    gains, losses = int((values > 0).sum()), int((values < 0).sum())
    n, z = values.size, normal_quantile((1 + confidence) / 2)
    seen = (gains - losses) / n
    return (
        _root(lambda null: score_z(gains, losses, n, null) > z, -1.0, seen),
        _root(lambda null: score_z(gains, losses, n, null) > -z, seen, 1.0),
    )


def _at_least_exact(values: Scores, confidence: float, low: float, high: float) -> tuple[float, float]:
    """Widens a score interval to the exact one of a sample with two kinds of items, in which it covers too seldom.

    Either all differing items differ one way, where the score interval is Wilson's and covers as little as 90 %; or
    all items differ, where a difference is 2 p - 1 for a share p of gains, and it covers as little as 92 %.
    """
    n, tail = int(values.size), (1 - confidence) / 2
    net = int(values.sum())  # not negative, because values are oriented
    least, most = _exact_share(net, n, tail)
    low, high = min(low, least if net else -most), max(high, most)
    if values.all():
        least, most = _exact_share((n + net) // 2, n, tail)
        low, high = min(low, 2 * least - 1), max(high, 2 * most - 1)
    return low, high


def _exact_share(right: int, n: int, tail: float) -> tuple[float, float]:
    """The limits of Clopper and Pearson (1934) of the chance behind a number of successes."""
    return beta_quantile(tail, right, n - right + 1), beta_quantile(1 - tail, right + 1, n - right)


def _root(above: Callable[[float], bool], low: float, high: float) -> float:
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if above(middle) else (low, middle)
    return (low + high) / 2


def _at_least_signs(values: Scores, confidence: float, low: float, high: float) -> tuple[float, float]:
    """Widens an interval to the half-widths of the score interval of the signs; it matters where few items differ."""
    changed = values[values != 0]
    # Where nothing differs, the size of the difference that was not seen is unknown; scores range from 0 to 1.
    scale = math.sqrt(float((changed**2).mean())) if changed.size else 1.0
    signs = np.sign(values)
    ends, centre, mean = _score(signs, confidence), float(signs.mean()), float(values.mean())
    return min(low, mean - scale * (centre - ends[0])), max(high, mean + scale * (ends[1] - centre))


def check_scores(scores: Sequence[float] | Scores, of: str, confidence: float, resamples: int) -> Scores:
    """Checks scores and the settings of an interval.

    Args:
        scores: One number per item.
        of: Whose settings they are, for messages.
        confidence: Confidence of an interval.
        resamples: Number of resamples.

    Returns:
        The scores as ``[n]`` float64.

    Raises:
        SettingError: There are no scores, one is not finite, or a setting is out of range.
    """
    try:
        values = np.asarray(scores, dtype=np.float64)
    except (TypeError, ValueError):
        values = np.empty(0)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        expected = "a list of at least one finite number"
        raise SettingError(error_message("scores", of=of, expected=expected, got=list(scores)))
    if not 0 < confidence < 1:
        raise SettingError(error_message("confidence", of=of, expected="between 0 and 1", got=confidence))
    if resamples < 100:
        raise SettingError(error_message("resamples", of=of, expected="100 or more", got=resamples))
    return values
