"""Gaffke's interval: its oracle, its symmetries, and its coverage beside that of a bootstrap."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from promptkit import SettingError
from promptkit.statistics import bootstrap_mean, difference_interval, mcnemar, mean_interval, sign_flip
from promptkit.statistics.bounded import bounded_above, bounded_limits
from promptkit.statistics.groups import Clusters, group_codes

SCORES = st.lists(st.floats(0, 1), min_size=1, max_size=40)
LABELS = st.lists(st.integers(0, 6), min_size=40, max_size=40)


@pytest.mark.parametrize(("right", "n"), [(0, 1), (0, 5), (5, 5), (1, 20), (10, 20), (3, 100), (100, 100), (499, 1000)])
def test_on_right_and_wrong_scores_it_is_clopper_and_pearson_up_to_the_saddlepoint(right: int, n: int) -> None:
    low, high = bounded_limits(Clusters.of(np.repeat([1.0, 0.0], [right, n - right])), 0.95, 0.0, 1.0)
    oracle = stats.binomtest(right, n).proportion_ci(method="exact")
    assert (low, high) == pytest.approx((oracle.low, oracle.high), abs=0.003)
    assert low <= oracle.low + 1e-9 and high >= oracle.high - 1e-9  # never the bolder of the two


@pytest.mark.parametrize("sizes", [[1] * 40, [1, 2, 9, 4] * 5])
def test_it_is_a_quantile_of_weights_that_are_uniform_on_the_simplex(sizes: list[int]) -> None:
    generator = np.random.default_rng(5)
    totals = np.array(sizes) * generator.beta(0.5, 1.5, len(sizes))
    labels = np.repeat(np.arange(len(sizes)), sizes)
    clusters = Clusters.of((totals / sizes)[labels], group_codes(labels.tolist(), labels.size, "test"))
    low, high = bounded_limits(clusters, 0.95, 0.0, 1.0)
    usual = np.square(sizes).sum() / np.sum(sizes)
    weights = generator.exponential(size=(100_000, len(sizes) + 1))
    whole = weights @ np.append(sizes, usual)
    assert high == pytest.approx(np.quantile((weights @ np.append(totals, usual)) / whole, 0.975), abs=0.004)
    assert low == pytest.approx(np.quantile((weights @ np.append(totals, 0)) / whole, 0.025), abs=0.004)


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 100))
def test_the_test_of_no_difference_is_the_exact_sign_test(gains: int, losses: int, rest: int) -> None:
    differences = np.repeat([1.0, -1.0, 0.0], [gains, losses, rest])
    if not differences.size:
        return
    p_value = bounded_above(Clusters.of(differences), 0.0, -1.0)
    exact = stats.binom.cdf(losses, gains + losses, 0.5)
    if exact < 0.1:
        assert exact * (1 - 1e-9) <= p_value <= exact * 1.06  # the saddlepoint errs on the cautious side
        assert p_value == pytest.approx(mcnemar(gains, losses) / 2, rel=0.06)
    else:
        assert p_value == pytest.approx(exact, abs=0.004)


@given(SCORES, LABELS, st.booleans(), st.sampled_from([0.5, 0.95, 0.999]), st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_mean_order_and_mirror(
    scores: list[float], labels: list[int], grouped: bool, confidence: float, random: object
) -> None:
    groups = labels[: len(scores)] if grouped else None
    found = mean_interval(scores, groups=groups, confidence=confidence)
    assert 0 <= found.low <= found.mean <= found.high <= 1
    assert found.mean == pytest.approx(sum(scores) / len(scores))
    assert found.high - found.low > 0.0005  # no sample is so sure of itself
    places = list(range(len(scores)))
    random.shuffle(places)  # type: ignore[attr-defined]
    mixed = [scores[place] for place in places]
    known = None if groups is None else [groups[place] for place in places]
    assert mean_interval(mixed, groups=known, confidence=confidence) == found
    forth = difference_interval(scores, groups=groups, confidence=confidence)
    back = difference_interval([-score for score in scores], groups=groups, confidence=confidence)
    assert (back.mean, back.low, back.high) == (-forth.mean, -forth.high, -forth.low)


@given(st.lists(st.integers(0, 8).map(lambda number: number / 8), min_size=1, max_size=12), st.integers(2, 4))
@settings(max_examples=30)
def test_items_listed_several_times_are_one_observation_each(scores: list[float], times: int) -> None:
    once = mean_interval(scores, bounds=(0, 1))
    again = mean_interval(scores * times, groups=[*range(len(scores))] * times)
    assert (again.mean, again.low, again.high) == pytest.approx((once.mean, once.low, once.high), abs=0.004)
    assert sign_flip(scores, resamples=200) == sign_flip(
        scores * times, groups=[*range(len(scores))] * times, resamples=200
    )


def test_groups_of_one_are_no_groups() -> None:
    scores = [0.0, 1.0, 1.0, 0.25]
    assert mean_interval(scores, groups=["a", "b", "c", "d"]) == mean_interval(scores)
    assert group_codes([1, 2, 3], 3, "test") is None


@pytest.mark.parametrize("groups", [[1, 2], "abc", []])
def test_there_is_one_label_per_item(groups: object) -> None:
    with pytest.raises(SettingError, match="mean_interval: groups must be 3 labels, one per item"):
        mean_interval([0.0, 1.0, 1.0], groups=groups)  # type: ignore[arg-type]


def test_what_a_sample_may_have_missed_is_in_the_interval() -> None:
    assert mean_interval([1.0] * 5).low == pytest.approx(0.478, abs=0.001)
    assert mean_interval([0.0] * 20).high == pytest.approx(0.168, abs=0.001)
    assert mean_interval([0.5] * 20).high == pytest.approx(0.584, abs=0.002)


def test_scores_without_bounds_are_never_sure_of_equal_scores() -> None:
    found = mean_interval([3.0] * 10)
    assert (found.mean, found.low, found.high) == (3.0, -math.inf, math.inf)
    assert mean_interval([3.0] * 10, bounds=(1, 5)).high < 3.7
    grouped = mean_interval([1.0, 1.5, 8.0, 7.0, 3.0, 4.0] * 2, groups=[1, 1, 2, 2, 3, 3] * 2)
    assert grouped.low < 2 and grouped.high > 6  # three groups


def zeros(generator: np.random.Generator, n: int) -> np.ndarray:
    return np.where(generator.random(n) < 0.9, 0.0, generator.beta(2, 2, n))


def rare_big(generator: np.random.Generator, n: int) -> np.ndarray:
    return np.where(generator.random(n) < 0.02, 1.0, 0.1)


def seldom_right(generator: np.random.Generator, n: int) -> np.ndarray:
    return (generator.random(n) < 0.01).astype(float)


def u_shape(generator: np.random.Generator, n: int) -> np.ndarray:
    return generator.beta(0.1, 0.9, n)


def covered(
    draw: Callable[[np.random.Generator, int], np.ndarray], truth: float, n: int, runs: int, old: bool
) -> float:
    generator = np.random.default_rng(3)
    hits = 0
    for seed in range(runs):
        scores = draw(generator, n).tolist()
        found = bootstrap_mean(scores, resamples=300, seed=seed) if old else mean_interval(scores)
        hits += found.low <= truth <= found.high
    return hits / runs


@pytest.mark.parametrize(
    ("draw", "truth", "n", "worst"),
    [(zeros, 0.05, 20, 0.93), (rare_big, 0.118, 50, 0.8), (seldom_right, 0.01, 50, 0.6), (u_shape, 0.1, 20, 0.93)],
)
def test_coverage_and_the_twin_that_has_it_not(
    draw: Callable[[np.random.Generator, int], np.ndarray], truth: float, n: int, worst: float
) -> None:
    assert covered(draw, truth, n, 200, old=False) >= 0.95
    assert covered(draw, truth, n, 200, old=True) < worst


def grouped_scores(generator: np.random.Generator, groups: int, mean: float) -> tuple[np.ndarray, np.ndarray]:
    sizes = generator.integers(1, 10, groups)
    labels = np.repeat(np.arange(groups), sizes)
    shared = generator.beta(0.5 * mean, 0.5 * (1 - mean), groups)
    return (generator.random(labels.size) < shared[labels]).astype(float), labels


def covered_by_group(groups: int, mean: float, runs: int, *, blind: bool = False) -> float:
    generator = np.random.default_rng(groups)
    hits = 0
    for _ in range(runs):
        scores, labels = grouped_scores(generator, groups, mean)
        found = mean_interval(scores.tolist(), groups=None if blind else labels.tolist())
        hits += found.low <= mean <= found.high
    return hits / runs


def test_coverage_by_group_and_the_twin_that_knows_no_groups() -> None:
    assert covered_by_group(20, 0.5, 120) >= 0.93
    assert covered_by_group(20, 0.5, 120, blind=True) < 0.8


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("n", [20, 50, 200])
@pytest.mark.parametrize(
    ("draw", "truth"),
    [(zeros, 0.05), (rare_big, 0.118), (u_shape, 0.1), (lambda g, n: g.beta(0.3, 0.3, n), 0.5)],
    ids=["zeros", "rare big", "skewed u", "u"],
)
def test_coverage_of_graded_scores_in_long_simulation(
    draw: Callable[[np.random.Generator, int], np.ndarray], truth: float, n: int
) -> None:
    coverage = covered(draw, truth, n, 2000, old=False)
    print(f"{n} scores: {coverage:.4f}")
    assert coverage >= 0.94


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("groups", [20, 50, 200])
@pytest.mark.parametrize("mean", [0.03, 0.5, 0.97])
def test_coverage_by_group_in_long_simulation(groups: int, mean: float) -> None:
    coverage = covered_by_group(groups, mean, 2000)
    print(f"{groups} groups, mean {mean}: {coverage:.4f}")
    assert coverage >= 0.93


@pytest.mark.parametrize("n", [20, 50, 200])
def test_coverage_of_right_and_wrong_scores_is_exact(n: int) -> None:
    intervals = [mean_interval([1.0] * right + [0.0] * (n - right)) for right in range(n + 1)]
    shares = np.arange(n + 1) / n
    centre, half = shares + 1.9208 / n, 1.96 * np.sqrt(shares * (1 - shares) / n + 0.9604 / n**2)
    wilson = [((c - h) / (1 + 3.8416 / n), (c + h) / (1 + 3.8416 / n)) for c, h in zip(centre, half, strict=True)]
    for rate in (0.01, 0.03, 0.5, 0.97, 0.99):
        chances = stats.binom.pmf(np.arange(n + 1), n, rate)
        assert (chances * [one.low <= rate <= one.high for one in intervals]).sum() >= 0.95
        # The twin: Wilson's interval, which falls to 91 % where half a hit is expected.
        short = (chances * [low <= rate <= high for low, high in wilson]).sum()
        assert (short < 0.93) == ((n, rate) in ((50, 0.01), (50, 0.99)))
