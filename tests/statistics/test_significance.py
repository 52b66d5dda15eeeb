from __future__ import annotations

import json
import os
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from promptkit import SettingError
from promptkit.statistics import above, compare_pairs, holm, mcnemar, score_z, sign_flip

UNITS = st.integers(-16, 16).map(lambda number: number / 16)
COUNTS = [(0, 0), (1, 0), (6, 0), (3, 3), (150, 86), (86, 150), (101, 99), (5000, 5200), (12, 700)]


@pytest.mark.parametrize(("gains", "losses"), COUNTS)
def test_mcnemar_equals_scipy(gains: int, losses: int) -> None:
    oracle = stats.binomtest(gains, gains + losses).pvalue if gains + losses else 1.0
    assert mcnemar(gains, losses) == pytest.approx(oracle, rel=1e-10)


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_is_a_p_value_that_knows_no_direction(gains: int, losses: int) -> None:
    assert 0 < mcnemar(gains, losses) <= 1
    assert mcnemar(gains, losses) == mcnemar(losses, gains)


def test_mcnemar_never_says_impossible() -> None:
    assert mcnemar(100_000, 0) > 0
    with pytest.raises(SettingError, match="mcnemar: gains and losses must be counts of at least 0"):
        mcnemar(3, -1)


@pytest.mark.parametrize("n", [1, 2, 5, 9])
def test_sign_flips_of_few_items_equal_enumeration_and_scipy(n: int) -> None:
    values = np.random.default_rng(n).normal(0.4, 1, n)
    sums = [abs(np.dot(signs, values)) for signs in product([1, -1], repeat=n)]
    exact = np.mean([total >= abs(values.sum()) - 1e-9 for total in sums])
    assert sign_flip([*values, 0.0, 0.0]) == pytest.approx(exact, abs=1e-12)
    if n > 1:
        oracle = stats.permutation_test((values,), np.sum, permutation_type="samples", n_resamples=np.inf)
        assert sign_flip(values) == pytest.approx(oracle.pvalue, abs=1e-12)


@pytest.mark.parametrize("kinds", [0, 5])
def test_drawn_sign_flips_agree_with_scipy(kinds: int) -> None:
    generator = np.random.default_rng(8)
    values = generator.normal(0.1, 1, 300) if not kinds else generator.integers(-2, 4, 300) / 4
    oracle = stats.permutation_test(
        (values,), np.sum, permutation_type="samples", n_resamples=20_000, rng=np.random.default_rng(0)
    )
    assert sign_flip(values, resamples=40_000) == pytest.approx(oracle.pvalue, abs=0.012)


def test_sign_flips_of_scores_of_0_and_1_are_mcnemar() -> None:
    assert sign_flip([1.0] * 9 + [-1.0] * 2) == mcnemar(9, 2)
    assert sign_flip([1.0] * 30 + [-1.0] * 20, resamples=200_000) == pytest.approx(mcnemar(30, 20), abs=0.004)


@given(st.lists(UNITS, max_size=40), st.randoms(use_true_random=False))
def test_sign_flips_know_neither_order_nor_direction_nor_scale(values: list[float], random: object) -> None:
    found = sign_flip(values, resamples=200)
    mixed = [-8 * value for value in values]
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert sign_flip(mixed, resamples=200) == found
    assert 0 < found <= 1


def test_a_drawn_p_value_counts_what_was_seen() -> None:
    assert sign_flip([1.0 + i / 100 for i in range(60)], resamples=999) == 1 / 1000


def test_drawn_p_values_err_no_more_often_than_they_say() -> None:
    generator = np.random.default_rng(3)
    p_values = [sign_flip(generator.standard_t(3, 40), resamples=499, seed=i) for i in range(600)]
    for level in (0.05, 0.2):
        assert np.mean(np.array(p_values) <= level) == pytest.approx(level, abs=3 * np.sqrt(level * (1 - level) / 600))


def test_the_score_statistic_is_mcnemar_chi_square_at_0_and_turns_with_the_arms() -> None:
    assert score_z(30, 10, 100, 0.0) == pytest.approx(20 / np.sqrt(40))
    assert score_z(30, 10, 100, 0.1) == pytest.approx(-score_z(10, 30, 100, -0.1))
    assert score_z(0, 0, 100, 0.0) == 0.0
    zs = [score_z(30, 10, 100, null) for null in np.linspace(-1, 1, 101)]
    assert all(first > second for first, second in pairwise(zs))


@pytest.mark.parametrize(("margin", "n", "differing"), [(0.05, 100, 0.15), (0.05, 400, 0.1), (0.02, 400, 0.06)])
def test_a_margin_is_passed_by_chance_as_often_as_the_level_says(margin: float, n: int, differing: float) -> None:
    generator = np.random.default_rng(11)
    gain, loss = (differing + margin) / 2, (differing - margin) / 2
    counts = generator.multinomial(n, [gain, loss, 1 - differing], size=2000)
    hits = sum(above(np.repeat([1.0, -1.0, 0.0], row), margin) <= 0.05 for row in counts)
    assert 0.03 <= hits / 2000 <= 0.065


def test_a_margin_for_other_scores_holds_its_level_too() -> None:
    generator = np.random.default_rng(12)
    samples = [np.clip(generator.normal(0.03, 0.2, 80), -1, 1) for _ in range(500)]
    free = [above(one, 0.03, bounds=None, resamples=300, seed=i) <= 0.05 for i, one in enumerate(samples)]
    assert 0.02 <= np.mean(free) <= 0.08
    assert np.mean([above(one, 0.03) <= 0.05 for one in samples]) <= 0.065
    assert np.mean([above(one, -0.06) <= 0.05 for one in samples]) >= 0.6  # and it finds what is there


def test_a_margin_is_not_passed_because_hardly_anything_differed_yet() -> None:
    values = np.array([0.01, 0.5] + [0.0] * 38)
    assert sign_flip(values + 0.02, side="greater") < 0.001  # which knows nothing of items that were not seen
    assert above(values, -0.02) > 0.02
    assert above(np.array([0.01, 0.5] + [0.0] * 3800), -0.02) < 0.001


def test_few_items_cannot_pass_a_margin_that_the_score_test_alone_would_let_them_pass() -> None:
    values = [1.0] * 4 + [0.0] * 46
    assert 2 * (1 - stats.norm.cdf(score_z(4, 0, 50, 0.0))) < 0.05
    assert above(values, 0.0) == mcnemar(4, 0) / 2 > 0.05


@pytest.mark.parametrize(("null", "expected"), [(1.5, 1.0), (-1.5, 0.0)])
def test_a_margin_that_no_difference_can_reach(null: float, expected: float) -> None:
    assert above([1.0, 0.0, -1.0], null) == pytest.approx(expected)
    assert above([0.5, 0.0, -0.25] * 10, 3 * null) == pytest.approx(expected, abs=2e-4)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_holm_keeps_the_order_and_never_helps(p_values: list[float], random: object) -> None:
    adjusted = holm(p_values)
    for p_value, corrected in zip(p_values, adjusted, strict=True):
        assert p_value <= corrected <= min(1.0, p_value * len(p_values)) + 1e-15
    pairs = sorted(zip(p_values, adjusted, strict=True))
    assert all(first[1] <= second[1] for first, second in pairwise(pairs))
    places = list(range(len(p_values)))
    random.shuffle(places)  # type: ignore[attr-defined]
    assert holm([p_values[place] for place in places]) == tuple(adjusted[place] for place in places)


@pytest.mark.skipif("PROMPTKIT_REAL_DATA" not in os.environ, reason="PROMPTKIT_REAL_DATA names no folder")
def test_published_figures() -> None:
    path = Path(os.environ["PROMPTKIT_REAL_DATA"], "scores", "textbook_paired_tests.json")
    sleep, depression, approval = json.loads(path.read_text(encoding="utf-8"))
    changes = np.subtract(sleep["b"], sleep["a"])
    assert sign_flip(changes) == sleep["computed"]["exact_sign_flip_p"]
    # d_z is the paired t by the root of n.
    found = compare_pairs(sleep["b"], sleep["a"])
    assert found.effect_size * np.sqrt(10) == pytest.approx(sleep["published"]["t"], abs=5e-5)
    # Wilcoxon's test is the sign-flip test of the signed ranks, one-sided: all 2^9 patterns.
    falls = np.subtract(depression["a"], depression["b"])
    ranks = np.sign(falls) * stats.rankdata(np.abs(falls))
    assert ranks[ranks > 0].sum() == depression["published"]["V"]
    assert sign_flip(ranks, side="greater") == pytest.approx(depression["published"]["p"], abs=5e-6)
    (_, losses), (gains, _) = approval["table"]
    n = sum(map(sum, approval["table"]))
    assert mcnemar(gains, losses) == pytest.approx(approval["computed"]["exact_p"], rel=1e-10)
    assert score_z(gains, losses, n, 0.0) ** 2 == pytest.approx(approval["computed"]["chi2_uncorrected"], abs=5e-5)


def test_a_margin_is_not_passed_too_often_where_the_arms_are_opposite_on_every_item() -> None:
    n, margin = 20, 0.05
    found = [above([1.0] * gains + [-1.0] * (n - gains), margin) for gains in range(n + 1)]
    score = [float(stats.norm.sf(score_z(gains, n - gains, n, margin))) for gains in range(n + 1)]
    chances = stats.binom.pmf(np.arange(n + 1), n, (1 + margin) / 2)
    passed, twin = (float(chances[np.asarray(one) <= 0.025].sum()) for one in (found, score))
    assert passed <= 0.025 < 0.034 < twin
