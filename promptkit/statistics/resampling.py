"""Means of bootstrap resamples, drawn fast."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["Scores", "resampled_means"]

Scores = npt.NDArray[np.float64]

_CELLS = 50_000
"""Items drawn at a time: indices and values of one chunk stay in the nearest caches."""


def resampled_means(values: Scores, resamples: int, generator: np.random.Generator) -> Scores:
    """Draws resamples of n values with replacement and returns their means.

    Two ways of the same distribution. Values of few kinds (0 and 1, say) are drawn as counts, one multinomial draw a
    resample. Others are drawn one by one and summed as deviations from their mean in float32, whose error is a
    millionth of their spread, in chunks that stay in the cache.

    Args:
        values: ``[n]`` values.
        resamples: Number of resamples.
        generator: Source of the draws.

    Returns:
        ``[resamples]`` means.

    Example:
        >>> means = resampled_means(np.array([0.0, 1.0]), 1000, np.random.default_rng(0))
        >>> sorted(set(means.tolist()))
        [0.0, 0.5, 1.0]
    """
    n = values.size
    distinct, counts = np.unique(values, return_counts=True)
    if distinct.size <= max(2, n // 8):
        drawn = generator.multinomial(n, counts / n, size=resamples)
        return np.asarray(drawn @ distinct / n, dtype=np.float64)
    mean = values.mean()
    spread = float(np.abs(values - mean).max())
    deviations = ((values - mean) / spread).astype(np.float32)
    step = max(1, _CELLS // n)
    sums = [
        # Indices of the width of a pointer, which are all in range: the fastest of numpy's ways to gather.
        deviations.take(generator.integers(0, n, size=(min(step, resamples - start), n)), mode="wrap").sum(axis=1)
        for start in range(0, resamples, step)
    ]
    return np.asarray(mean + np.concatenate(sums).astype(np.float64) * (spread / n), dtype=np.float64)
