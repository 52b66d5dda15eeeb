from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptkit import SettingError
from promptkit.statistics import bootstrap_mean


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_the_interval_holds_the_mean_and_stays_inside_the_scores(scores: list[float]) -> None:
    interval = bootstrap_mean(scores, resamples=300)
    assert interval.n == len(scores)
    assert min(scores) - 1e-12 <= interval.low <= interval.high <= max(scores) + 1e-12
    assert interval.mean == pytest.approx(sum(scores) / len(scores))


@pytest.mark.parametrize("scores", [[0.0, 1.0, 1.0, 1.0] * 15, list(np.random.default_rng(1).random(60))])
def test_it_agrees_with_scipy(scores: list[float]) -> None:
    from scipy.stats import bootstrap

    interval = bootstrap_mean(scores, resamples=20_000)
    oracle = bootstrap(
        (scores,), np.mean, method="percentile", n_resamples=20_000, rng=np.random.default_rng(0)
    ).confidence_interval
    assert interval.low == pytest.approx(oracle.low, abs=0.006)
    assert interval.high == pytest.approx(oracle.high, abs=0.006)


@pytest.mark.parametrize("binary", [True, False])
def test_intervals_cover_the_true_mean_about_as_often_as_they_say(binary: bool) -> None:
    generator = np.random.default_rng(5)
    hits = 0
    for seed in range(400):
        sample = (generator.random(150) < 0.6).astype(float) if binary else generator.beta(3, 2, 150)
        interval = bootstrap_mean(sample.tolist(), resamples=500, seed=seed)
        hits += interval.low <= 0.6 <= interval.high
    assert 0.91 <= hits / 400 <= 0.98


def test_it_is_seeded_and_leaves_the_global_generator_alone() -> None:
    scores = list(np.random.default_rng(2).random(40))
    np.random.seed(3)
    before = np.random.random()
    np.random.seed(3)
    assert bootstrap_mean(scores, seed=7) == bootstrap_mean(scores, seed=7)
    assert bootstrap_mean(scores, seed=7) != bootstrap_mean(scores, seed=8)
    assert np.random.random() == before


@pytest.mark.parametrize(
    ("settings", "which"),
    [
        ({"scores": []}, "scores"),
        ({"scores": [1.0, float("nan")]}, "scores"),
        ({"scores": [1.0], "confidence": 95}, "confidence"),
        ({"scores": [1.0], "resamples": 5}, "resamples"),
    ],
)
def test_bad_input_is_named(settings: dict[str, object], which: str) -> None:
    with pytest.raises(SettingError, match=f"bootstrap_mean: {which} must be"):
        bootstrap_mean(**settings)  # type: ignore[arg-type]
