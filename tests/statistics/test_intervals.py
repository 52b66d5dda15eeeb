from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache, partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from promptkit import SettingError
from promptkit.statistics import Interval, bootstrap_mean, difference_interval, mean_interval
from promptkit.statistics.intervals import IntervalMethod
from promptkit.statistics.significance import score_z

METHODS: tuple[IntervalMethod, ...] = ("percentile", "bca", "outer")
BOUNDED: tuple[IntervalMethod, ...] = (*METHODS, "bounded")
UNITS = st.integers(-16, 16).map(lambda number: number / 16)  # halves add up without rounding


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_the_interval_holds_the_mean_and_stays_inside_the_scores(scores: list[float]) -> None:
    for interval in (bootstrap_mean(scores, resamples=300), mean_interval(scores, resamples=300)):
        assert interval.n == len(scores)
        assert interval.low <= interval.high
        assert interval.mean == pytest.approx(sum(scores) / len(scores))
    interval = bootstrap_mean(scores, resamples=300)
    assert min(scores) - 1e-12 <= interval.low <= interval.high <= max(scores) + 1e-12


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
    outer = partial(difference_interval, method="outer")
    for find in (bootstrap_mean, partial(mean_interval, bounds=None), outer):
        find: Callable[..., object]  # type: ignore[no-redef]
        assert find(scores, seed=7) == find(scores, seed=7)
        assert find(scores, seed=7) != find(scores, seed=8)
    assert mean_interval(scores, seed=7) == mean_interval(scores, seed=8)  # bounded scores need no draws
    assert np.random.random() == before


@pytest.mark.parametrize("find", [bootstrap_mean, mean_interval, difference_interval])
@pytest.mark.parametrize(
    ("given", "which"),
    [
        ([[]], "scores"),
        ([[1.0, float("nan")]], "scores"),
        ([["a"]], "scores"),
        ([[[1.0]]], "scores"),
        ([[1.0], {"confidence": 95}], "confidence"),
        ([[1.0], {"resamples": 5}], "resamples"),
    ],
)
def test_bad_input_is_named(find: Callable[..., object], given: Sequence[object], which: str) -> None:
    scores, settings = given[0], dict(given[1]) if len(given) > 1 else {}  # type: ignore[call-overload]
    with pytest.raises(SettingError, match=f"{find.__name__}: {which} must be"):
        find(scores, **settings)


def test_a_method_must_fit_the_scores() -> None:
    with pytest.raises(
        SettingError, match="method must be one of 'auto', 'score', 'bounded', 'outer', 'bca', 'percentile'"
    ):
        difference_interval([0.5], method="t")  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="another method, as 'bounded', for scores other than 0 and 1"):
        difference_interval([0.5, 0.0], method="score")
    with pytest.raises(SettingError, match="another method, as 'outer', for differences outside the bounds"):
        difference_interval([1.5, 0.0], method="bounded")


@pytest.mark.parametrize(("right", "of"), [(0, 100), (100, 100), (7, 20), (1, 2), (1, 1)])
def test_clopper_and_pearson_equal_scipy(right: int, of: int) -> None:
    from scipy.stats import binomtest

    interval = mean_interval([1.0] * right + [0.0] * (of - right))
    oracle = binomtest(right, of).proportion_ci(method="exact")
    assert (interval.low, interval.high) == pytest.approx((oracle.low, oracle.high), abs=1e-12)


def test_bca_agrees_with_scipy_on_skewed_scores() -> None:
    from scipy.stats import bootstrap

    skewed = np.random.default_rng(4).exponential(size=80) - 0.7
    found = difference_interval(skewed, method="bca", resamples=40_000)
    plain = difference_interval(skewed, method="percentile", resamples=40_000)
    oracle = bootstrap((skewed,), np.mean, method="BCa", n_resamples=40_000, rng=np.random.default_rng(0))
    assert found.low == pytest.approx(oracle.confidence_interval.low, abs=0.008)
    assert found.high == pytest.approx(oracle.confidence_interval.high, abs=0.008)
    assert found.high > plain.high + 0.008  # the twin without correction is off by more than the tolerance


def test_the_score_interval_ends_where_the_test_does() -> None:
    gains, losses, n = 9, 2, 60
    found = difference_interval([1.0] * gains + [-1.0] * losses + [0.0] * (n - gains - losses))
    assert score_z(gains, losses, n, found.low) == pytest.approx(1.959964, abs=1e-5)
    assert score_z(gains, losses, n, found.high) == pytest.approx(-1.959964, abs=1e-5)


def test_the_closed_form_of_the_score_interval_equals_maximising_the_likelihood() -> None:
    from scipy.optimize import brentq

    def constrained(null: float) -> float:
        # Direct maximisation of the likelihood of (gains, losses, rest) = (1, 0, 43) given the difference.
        losses = np.linspace(max(0.0, -null), (1 - null) / 2, 200_001)[1:-1]
        best = losses[np.argmax(np.log(losses + null) + 43 * np.log(1 - 2 * losses - null))]
        return float((1 - 44 * null) / math.sqrt(44 * (2 * best + null * (1 - null))))

    found = difference_interval([1.0] + [0.0] * 43)
    high = brentq(lambda null: constrained(null) + 1.959964, 0.05, 0.4)
    assert found.low == pytest.approx(brentq(lambda null: constrained(null) - 1.959964, -0.3, 0.0), abs=2e-4)
    assert high - 2e-4 <= found.high <= high + 0.003  # at least as wide as Clopper and Pearson's


@pytest.mark.parametrize(
    ("n", "gain", "loss"), [(20, 0.99, 0.005), (50, 0.99, 0.0), (200, 0.025, 0.005), (200, 0.02, 0.0)]
)
def test_coverage_where_all_differ_one_way_and_the_score_interval_that_falls_short(
    n: int, gain: float, loss: float
) -> None:
    @cache
    def covers(gains: int, losses: int, n: int, truth: float) -> bool:
        found = difference_interval([1.0] * gains + [-1.0] * losses + [0.0] * (n - gains - losses))
        return found.low <= truth <= found.high

    assert covered(n, gain, loss, score_covers) < 0.934
    assert covered(n, gain, loss, covers) >= 0.95


@given(st.lists(UNITS, min_size=2, max_size=40), st.sampled_from(BOUNDED), st.randoms(use_true_random=False))
def test_neither_order_nor_direction_matters(values: list[float], method: IntervalMethod, random: object) -> None:
    forth = difference_interval(values, method=method, resamples=200)
    mixed = list(values)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert difference_interval(mixed, method=method, resamples=200) == forth
    back = difference_interval([-value for value in values], method=method, resamples=200)
    assert (back.mean, back.low, back.high) == (-forth.mean, -forth.high, -forth.low)


@given(st.lists(UNITS, min_size=2, max_size=40), st.sampled_from(METHODS))
def test_an_interval_holds_the_mean_and_scales_with_the_scores(values: list[float], method: IntervalMethod) -> None:
    one = difference_interval(values, method=method, resamples=200)
    assert one.low <= one.mean <= one.high
    if any(values):
        four = difference_interval([4 * value for value in values], method=method, resamples=200)
        assert (four.low, four.high) == pytest.approx((4 * one.low, 4 * one.high), abs=1e-9)


@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=2, max_size=60), st.floats(0.5, 0.99))
def test_the_score_interval_is_symmetric_and_grows_with_confidence(values: list[float], confidence: float) -> None:
    one = difference_interval(values, confidence=confidence)
    back = difference_interval([-value for value in values], confidence=confidence)
    wide = difference_interval(values, confidence=(1 + confidence) / 2)
    assert -1 <= wide.low <= one.low <= one.mean <= one.high <= wide.high <= 1
    assert (back.low, back.high) == pytest.approx((-one.high, -one.low), abs=1e-12)


def test_where_nothing_differs_the_interval_says_what_cannot_be_ruled_out() -> None:
    found = difference_interval([0.0] * 50)
    assert found.low == -found.high
    assert 0.06 < found.high < 0.08


@pytest.mark.parametrize("n", [50, 200, 1000])
@pytest.mark.parametrize(
    ("gain", "loss"), [(0.1, 0.1), (0.15, 0.05), (0.2, 0.1), (0.3, 0.1), (0.08, 0.04), (0.1, 0.01), (0.05, 0.05)]
)
def test_coverage_of_binary_scores_is_exact(n: int, gain: float, loss: float) -> None:
    assert 0.935 <= covered(n, gain, loss, score_covers) <= 0.965


def test_coverage_with_four_differing_items_and_the_twin_that_has_it_not() -> None:
    assert 0.935 <= covered(50, 0.04, 0.04, score_covers) <= 0.965
    assert covered(50, 0.05, 0.01, wald_covers) < 0.93


def covered(n: int, gain: float, loss: float, covers: Callable[[int, int, int, float], bool]) -> float:
    """Sums the chances of all outcomes whose interval covers the truth; what is left out weighs less than 1e-6."""
    from scipy.stats import binom

    total = 0.0
    for differing in range(int(binom.ppf(1e-7, n, gain + loss)), int(binom.isf(1e-7, n, gain + loss)) + 1):
        shares = binom.pmf(np.arange(differing + 1), differing, gain / (gain + loss))
        for gains in np.flatnonzero(shares > 1e-9):
            if covers(int(gains), int(differing - gains), n, gain - loss):
                total += float(binom.pmf(differing, n, gain + loss) * shares[gains])
    return total


def score_covers(gains: int, losses: int, n: int, truth: float) -> bool:
    # The interval is where the score test does not reject (test_the_score_interval_ends_where_the_test_does).
    return abs(score_z(gains, losses, n, truth)) <= 1.959964


def wald_covers(gains: int, losses: int, n: int, truth: float) -> bool:
    mean = (gains - losses) / n
    return abs(mean - truth) <= 1.959964 * math.sqrt(((gains + losses) / n - mean**2) / n)


def rouge_like(generator: np.random.Generator, n: int, kind: str) -> np.ndarray:
    """Differences of scores between 0 and 1 as two systems' ROUGE gives them."""
    hardness = generator.normal(size=n)

    def scores(skill: float) -> np.ndarray:
        return 1 / (1 + np.exp(-(skill + hardness + 0.7 * generator.normal(size=n))))

    def texts(perfect: float) -> np.ndarray:
        plain = np.where(generator.random(n) < 0.15, 0.0, generator.beta(2, 3, n))
        return np.where(generator.random(n) < perfect, 1.0, plain)

    if kind == "shared hardness":
        return scores(0.3) - scores(0.0)
    if kind == "four in ten alike":
        return np.where(generator.random(n) < 0.4, 0.0, scores(0.3) - scores(0.0))
    if kind == "empty and perfect answers":
        return texts(0.3) - texts(0.2)
    if kind == "gains with rare losses":
        gains = np.where(generator.random(n) < 0.6, 0.0, generator.beta(1.2, 4, n))
        return gains - 0.5 * (generator.random(n) < 0.05)
    assert kind == "few and one-sided"
    return np.where(generator.random(n) < 0.85, 0.0, generator.beta(1.2, 4, n))


KINDS = [
    "shared hardness",
    "four in ten alike",
    "empty and perfect answers",
    "gains with rare losses",
    "few and one-sided",
]


def simulated(kind: str, n: int, runs: int, method: IntervalMethod = "auto", resamples: int = 400) -> float:
    truth = float(np.mean([rouge_like(np.random.default_rng(99 + i), 200_000, kind).mean() for i in range(20)]))
    generator = np.random.default_rng(12)
    hits = 0
    for run in range(runs):
        found = difference_interval(rouge_like(generator, n, kind), method=method, resamples=resamples, seed=run)
        hits += found.low <= truth <= found.high
    return hits / runs


@pytest.mark.parametrize("kind", KINDS[1:3])
def test_coverage_of_rouge_like_scores(kind: str) -> None:
    assert 0.935 <= simulated(kind, 50, 500, method="outer", resamples=250) <= 0.97
    assert simulated(kind, 50, 200) >= 0.95


def test_the_twin_that_is_too_narrow() -> None:
    assert simulated("few and one-sided", 50, 400, method="percentile", resamples=200) < 0.925


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("n", [50, 200, 1000])
@pytest.mark.parametrize("kind", KINDS)
def test_coverage_of_rouge_like_scores_in_long_simulation(kind: str, n: int) -> None:
    # With 10,000 runs the error of a coverage is .2 points: the bounds are about the interval and not about luck.
    coverage = simulated(kind, n, 10_000 if n < 1000 else 4000, method="outer", resamples=1000)
    print(f"{kind}, {n} items: {coverage:.4f}")
    assert 0.935 <= coverage <= 0.965
    assert simulated(kind, n, 2000) >= 0.945


@pytest.mark.parametrize("scores", [[1.0, 0.0], [0.5, 0.25], [3.0, 3.0], [3.0, 1.0, 9.0]])
def test_an_interval_survives_json_infinite_ends_included(scores: list[float]) -> None:
    found = mean_interval(scores, confidence=0.9)
    assert Interval.model_validate_json(found.model_dump_json()) == found
    assert Interval.model_validate(found.model_dump(mode="json")) == found
    assert found.confidence == 0.9 and found.n == len(scores)


def test_an_interval_says_how_it_was_found() -> None:
    methods = [mean_interval(scores).method for scores in ([1.0, 0.0], [0.5, 0.25], [3.0, 1.0], [3.0, 3.0])]
    assert methods == ["Clopper-Pearson", "Gaffke", "bootstrap", "unbounded"]
    assert difference_interval([1.0, 0.0]).method == "score"
    assert str(mean_interval([1.0] * 100)) == "1.000 [0.964, 1.000]"


@pytest.mark.parametrize("change", [{"mean": math.inf}, {"low": math.nan}, {"high": "NaN"}, {"level": 1}])
def test_what_is_no_interval_is_refused(change: dict[str, object]) -> None:
    values = mean_interval([1.0, 0.0]).model_dump() | change
    with pytest.raises(ValidationError):
        Interval.model_validate(values)


@pytest.mark.parametrize(("n", "share"), [(20, 0.82), (50, 0.6), (50, 0.98)])
def test_it_covers_where_the_arms_are_opposite_on_every_item(n: int, share: float) -> None:
    from scipy.stats import binom

    def covered(widened: bool) -> float:
        chance = 0.0
        for gains in range(n + 1):
            found = difference_interval([1.0] * gains + [-1.0] * (n - gains))
            low, high = found.low, found.high
            if not widened:
                z = score_z(gains, n - gains, n, 2 * share - 1)
                low, high = (-1.0, 1.0) if abs(z) <= 1.959964 else (2.0, 2.0)
            chance += float(binom.pmf(gains, n, share)) * (low <= 2 * share - 1 <= high)
        return chance

    assert covered(widened=True) >= 0.95 and covered(widened=False) < 0.95  # the twin is the score interval alone
