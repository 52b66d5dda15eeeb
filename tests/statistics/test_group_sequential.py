"""The group-sequential sign test: its error rate is counted, not estimated."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptkit.errors import SettingError
from promptkit.statistics import mcnemar
from promptkit.statistics.group_sequential import GroupSequentialSignTest, spent_level


def crosses(alpha: float, blocks: list[list[float]]) -> bool:
    test = GroupSequentialSignTest(alpha)
    total = sum(map(len, blocks))
    seen = 0
    for block in blocks:
        seen += len(block)
        test.analyze(block, seen / total)
    return test.crossed


def naive(alpha: float, blocks: list[list[float]]) -> bool:
    """Counterexample: the exact test at its full level, at every interim analysis."""
    values: list[float] = []
    for block in blocks:
        values += block
        gains, losses = sum(v > 0 for v in values), sum(v < 0 for v in values)
        if gains > losses and mcnemar(gains, losses) / 2 <= alpha:
            return True
    return False


def error_rate(decide, alpha: float, sizes: list[list[float]]) -> float:  # type: ignore[no-untyped-def]
    """The share of all sign patterns on which a gain is claimed: each is as likely if there is none."""
    flat = [size for block in sizes for size in block]
    hits = 0
    for signs in itertools.product((1, -1), repeat=len(flat)):
        signed = iter(sign * size for sign, size in zip(signs, flat, strict=True))
        hits += decide(alpha, [[next(signed) for _ in block] for block in sizes])
    return hits / 2 ** len(flat)


@pytest.mark.parametrize(
    "sizes",
    [
        [[1.0] * 4, [1.0] * 4, [1.0] * 4],
        [[1.0, 0.0, 1.0], [1.0] * 3, [0.0, 1.0, 1.0], [1.0] * 2],
        [[0.3, 0.1, 0.5], [0.25, 1.0, 0.07], [0.9, 0.9, 0.4, 0.33]],
        [[2.0, 1.0, 3.0], [1.0, 1.0, 2.0, 5.0]],
    ],
)
def test_over_all_sign_patterns_the_error_rate_is_kept(sizes: list[list[float]]) -> None:
    for alpha in (0.05, 0.2):
        assert error_rate(crosses, alpha, sizes) <= alpha


def test_the_bad_twin_is_caught() -> None:
    sizes = [[1.0] * 4, [1.0] * 4, [1.0] * 4]
    assert error_rate(naive, 0.2, sizes) > 0.2


def test_what_one_look_cannot_use_is_left_to_the_next() -> None:
    sizes = [[1.0] * 4, [1.0] * 4, [1.0] * 4]
    assert error_rate(crosses, 0.2, sizes) > 0.15


@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=1, max_size=60), st.sampled_from([0.01, 0.05]))
@settings(max_examples=60, deadline=None)
def test_one_look_is_the_exact_one_sided_sign_test(values: list[float], alpha: float) -> None:
    gains, losses = values.count(1.0), values.count(-1.0)
    exact = mcnemar(gains, losses) / 2 if gains > losses else 1.0
    test = GroupSequentialSignTest(alpha)
    assert test.analyze(values, 1.0) == (exact <= alpha)
    if gains > losses:
        assert test.p_value == pytest.approx(exact, rel=0.01)


@given(
    st.lists(st.lists(st.sampled_from([-1.0, 0.0, 1.0, 0.25, -0.4]), min_size=1, max_size=8), min_size=1, max_size=6)
)
@settings(max_examples=40, deadline=None)
def test_the_p_value_says_the_same_as_the_test(blocks: list[list[float]]) -> None:
    test = GroupSequentialSignTest(0.1)
    total, seen = sum(map(len, blocks)), 0
    for block in blocks:
        seen += len(block)
        test.analyze(block, seen / total)
    assert (test.p_value <= 0.1) == test.crossed
    assert 0 < test.p_value <= 1


def test_the_level_is_spent_late_and_whole() -> None:
    spent = [spent_level(0.0125, share / 10) for share in range(1, 11)]
    assert spent == sorted(spent) and spent[-1] == 0.0125 and spent[4] < 0.003


def test_a_claim_stays() -> None:
    test = GroupSequentialSignTest(0.05)
    assert test.analyze([1.0] * 20, 0.5) and test.analyze([-1.0] * 20, 1.0)


@pytest.mark.parametrize("alpha", [0.0, 1.0, float("nan")])
def test_a_level_out_of_range_is_refused(alpha: float) -> None:
    with pytest.raises(SettingError, match="GroupSequentialSignTest: alpha must be between 0 and 1"):
        GroupSequentialSignTest(alpha)


def test_tiny_differences_are_no_gain_and_many_small_ones_are() -> None:
    rng = np.random.default_rng(0)
    noise = GroupSequentialSignTest(0.05)
    assert not noise.analyze(rng.normal(1e-9, 1e-12, 50).tolist(), 1.0)
    assert GroupSequentialSignTest(0.05).analyze([0.03] * 50, 1.0)
