from __future__ import annotations

import numpy as np
import pytest

from promptkit.statistics.resampling import resampled_means


@pytest.mark.parametrize("kind", ["counts", "draws", "wide draws"])
def test_means_of_resamples_have_the_mean_and_the_variance_that_they_must(kind: str) -> None:
    generator = np.random.default_rng(1)
    n = {"counts": 400, "draws": 400, "wide draws": 70_000}[kind]
    values = generator.integers(0, 3, n).astype(float) if kind == "counts" else generator.gamma(0.5, size=n)
    resamples = 20_000 if n < 1000 else 400
    means = resampled_means(values, resamples, np.random.default_rng(2))
    error = values.std() / np.sqrt(n)  # the standard deviation of a mean of n draws
    assert means.shape == (resamples,)
    assert means.mean() == pytest.approx(values.mean(), abs=5 * error / np.sqrt(resamples))
    assert means.std() == pytest.approx(error, rel=5 / np.sqrt(2 * resamples))


@pytest.mark.parametrize("scale", [1e-200, 1e-3, 1e30])
def test_small_and_large_scores_lose_no_digits(scale: float) -> None:
    values = np.random.default_rng(3).random(50)
    plain = resampled_means(values, 300, np.random.default_rng(4))
    scaled = resampled_means(values * scale, 300, np.random.default_rng(4)) / scale
    assert scaled == pytest.approx(plain, rel=1e-5)


def test_the_draws_are_those_of_float64() -> None:
    values = np.random.default_rng(5).random(500) - 0.5
    fast = resampled_means(values, 100, np.random.default_rng(6))
    places = np.random.default_rng(6).integers(0, 500, size=(100, 500))
    assert fast == pytest.approx(values[places].mean(axis=1), abs=1e-7)
