"""Intervals for means: how sure a score on a sample of items can be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from promptkit.errors import SettingError, explain

__all__ = ["Interval", "bootstrap_mean"]

_CELLS = 4_000_000
"""Drawn items held in memory at a time."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its confidence interval.

    Attributes:
        mean: Mean of the scores.
        low: Lower end of the interval.
        high: Upper end of the interval.
        n: Number of scores.
    """

    mean: float
    low: float
    high: float
    n: int


def bootstrap_mean(
    scores: Sequence[float], *, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> Interval:
    """Returns the mean of scores with a percentile bootstrap interval (Efron 1979).

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
    values: npt.NDArray[np.float64] = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        must = "a list of at least one finite number"
        raise SettingError(explain("scores", of="bootstrap_mean", must=must, got=list(scores)))
    if not 0 < confidence < 1:
        raise SettingError(explain("confidence", of="bootstrap_mean", must="between 0 and 1", got=confidence))
    if resamples < 100:
        raise SettingError(explain("resamples", of="bootstrap_mean", must="100 or more", got=resamples))
    means = _resampled_means(values, resamples, np.random.default_rng(seed))
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(values.mean()), float(low), float(high), int(values.size))


def _resampled_means(
    values: npt.NDArray[np.float64], resamples: int, generator: np.random.Generator
) -> npt.NDArray[np.float64]:
    n = values.size
    distinct, counts = np.unique(values, return_counts=True)
    if distinct.size <= max(2, n // 8):
        drawn = generator.multinomial(n, counts / n, size=resamples)
        return np.asarray(drawn @ distinct / n, dtype=np.float64)
    parts = []
    step = max(1, _CELLS // n)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        parts.append(values[generator.integers(0, n, size=(rows, n), dtype=np.int32)].mean(axis=1))
    return np.concatenate(parts)
