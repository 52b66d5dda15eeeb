from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptkit import SettingError
from promptkit.statistics import (
    above,
    compare_pairs,
    decide,
    difference_interval,
    mcnemar,
    paired_differences,
    sign_flip,
)
from promptkit.statistics.intervals import IntervalMethod

PAIRS = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=2, max_size=30)
RIGHTS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=40)


def split(pairs: list[tuple[int, int]]) -> tuple[list[float], list[float]]:
    return [a / 8 for a, _ in pairs], [b / 8 for _, b in pairs]


def test_scores_of_0_and_1_are_tested_by_mcnemar() -> None:
    found = compare_pairs([0, 0, 0, 1, 1, 0, 0, 1], [1, 1, 1, 1, 1, 1, 1, 0])
    assert (found.gains, found.losses, found.difference) == (5, 1, 0.5)
    assert (found.test, found.p_value) == ("exact McNemar", mcnemar(5, 1))
    assert found.odds_ratio == 5.5 / 1.5
    assert found.p_equivalent is None


def test_other_scores_are_tested_by_sign_flips() -> None:
    a, b = [0.1, 0.4, 0.3, 0.9], [0.2, 0.4, 0.8, 1.0]
    found = compare_pairs(a, b)
    changes = np.subtract(b, a)
    assert (found.test, found.p_value, found.odds_ratio) == ("sign flips", sign_flip(changes), None)
    assert found.effect_size == pytest.approx(changes.mean() / changes.std(ddof=1))
    interval = difference_interval(changes)
    assert (found.difference, found.low, found.high) == (interval.mean, interval.low, interval.high)


METHODS: tuple[IntervalMethod, ...] = ("auto", "outer", "bca", "percentile", "bounded")


@given(PAIRS, st.sampled_from([0.0, 0.125]), st.sampled_from(METHODS), st.booleans())
def test_the_arms_may_change_places(
    pairs: list[tuple[int, int]], margin: float, method: IntervalMethod, grouped: bool
) -> None:
    a, b = split(pairs)
    mirrors(a, b, margin, method, [place // 3 for place in range(len(a))] if grouped else None)


def mirrors(a: list[float], b: list[float], margin: float, method: IntervalMethod, groups: list[int] | None) -> None:
    forth = compare_pairs(a, b, groups=groups, margin=margin, method=method, resamples=100)
    back = compare_pairs(b, a, groups=groups, margin=margin, method=method, resamples=100)
    assert (back.difference, back.low, back.high) == (-forth.difference, -forth.high, -forth.low)
    assert (back.p_value, back.p_equivalent) == (forth.p_value, forth.p_equivalent)
    assert (back.gains, back.losses, back.effect_size) == (forth.losses, forth.gains, -forth.effect_size)
    assert 0 < forth.p_value <= 1
    assert {decide([forth])[0][1], decide([back])[0][1]} in ({"better", "worse"}, {"equivalent"}, {"undecided"})


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.integers(0, 8), st.sampled_from(METHODS))
def test_arms_that_mirror_each_other_may_change_places(scores: list[float], same: int, method: IntervalMethod) -> None:
    zeros = [0.0] * len(scores)
    mirrors([*scores, *zeros, *[0.5] * same], [*zeros, *scores, *[0.5] * same], 0.0, method, None)


@pytest.mark.parametrize("method", METHODS)
def test_the_interval_of_a_sample_that_mirrors_itself_is_symmetric(method: IntervalMethod) -> None:
    a, b = [0.3, 0.0, 0.2, 0.0, *[0.5] * 4], [0.0, 0.3, 0.0, 0.2, *[0.5] * 4]
    found = compare_pairs(a, b, method=method)
    assert found.low == -found.high < 0
    mirrors(a, b, 0.0, method, None)


def test_rounding_is_no_difference() -> None:
    generator = np.random.default_rng(0)
    parts = generator.random((200, 40))
    forth, back = parts.sum(axis=1) / 40, parts[:, ::-1].cumsum(axis=1)[:, -1] / 40
    single = parts.astype(np.float32)[:, ::-1].mean(axis=1).astype(float)
    for other in (back, single, back + 1e-10):
        assert (forth != other).any()
        found = compare_pairs(forth.tolist(), other.tolist())
        assert (found.difference, found.gains, found.losses, found.p_value) == (0.0, 0, 0, 1.0)
    # The twin: signs of raw differences are a proof of nothing.
    assert sign_flip(forth + 1e-12 * generator.random(200) - forth) < 0.001
    large = compare_pairs((1e6 * forth).tolist(), (1e6 * back).tolist())
    assert large.gains == large.losses == 0
    assert paired_differences([0.5, 1e-8, 0.0], [0.50001, 3e-8, 2e-9]).tolist() == pytest.approx([1e-5, 2e-8, 2e-9])


def false_equivalent(n: int, share: float, size: float, runs: int, *, bounded: bool) -> float:
    """Share of "equivalent" where the mean gain is the margin itself, in rare big steps."""
    generator = np.random.default_rng(1)
    margin, claims = share * size, 0
    for seed in range(runs):
        differences = np.where(generator.random(n) < share, size, generator.normal(0, 0.01, n))
        bounds = (-1.0, 1.0) if bounded else None
        claims += above(-differences, -margin, bounds=bounds, resamples=300, seed=seed) <= 0.05
    return claims / runs


def test_rare_big_gains_are_not_equivalent_to_none_and_the_twin_that_forgets_them() -> None:
    assert false_equivalent(50, 0.05, 1.0, 300, bounded=True) <= 0.05
    assert false_equivalent(50, 0.05, 1.0, 300, bounded=False) > 0.06


def test_many_items_show_that_graded_scores_are_equivalent() -> None:
    generator = np.random.default_rng(2)
    base = generator.uniform(0.2, 0.8, 200)
    other = base + generator.normal(0, 0.1, 200)
    found = compare_pairs(base.tolist(), np.clip(other, 0, 1).tolist(), margin=0.05)
    assert found.test == "bounded test of the margin"
    assert found.p_equivalent is not None and found.p_equivalent < 0.001


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("n", [50, 100, 200])
@pytest.mark.parametrize(("share", "size"), [(0.05, 1.0), (0.1, 0.5), (0.02, 0.9)])
def test_false_equivalence_in_long_simulation(n: int, share: float, size: float) -> None:
    claims = false_equivalent(n, share, size, 3000, bounded=True)
    print(f"{n} items, {share:.0%} gains of {size}: {claims:.4f}")
    assert claims <= 0.058


@given(RIGHTS, st.randoms(use_true_random=False))
def test_the_order_of_items_does_not_matter(pairs: list[tuple[bool, bool]], random: object) -> None:
    mixed = list(pairs)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    found = [compare_pairs(*map(list, zip(*one, strict=True)), margin=0.1, resamples=100) for one in (pairs, mixed)]
    assert found[0] == found[1]


def test_effect_sizes_at_the_ends() -> None:
    assert compare_pairs([0.5] * 4, [0.5] * 4).effect_size == 0
    assert compare_pairs([0.5] * 4, [0.75] * 4).effect_size == math.inf


def verdicts(*arms: list[float], base: list[float], margin: float = 0.0) -> list[str]:
    return [verdict for _, verdict in decide([compare_pairs(base, arm, margin=margin) for arm in arms])]


def test_verdicts() -> None:
    base = [0.0] * 200 + [1.0] * 200
    up, same = [0.0] * 160 + [1.0] * 240, [0.0, 1.0] * 4 + base[8:]
    assert verdicts(up, same, base=base) == ["better", "undecided"]
    assert verdicts(base, base=up) == ["worse"]
    assert verdicts(up, same, base=base, margin=0.05) == ["better", "equivalent"]
    # Surely a difference, but not surely one beyond the margin; and surely not within it.
    assert verdicts(up, base=base, margin=0.09) == ["undecided"]


def test_with_a_margin_that_cannot_be_ruled_out_equal_arms_are_undecided() -> None:
    assert verdicts([1.0, 0.0] * 10, base=[1.0, 0.0] * 10, margin=0.01) == ["undecided"]
    assert verdicts([0.5, 0.25] * 10, base=[0.5, 0.25] * 10, margin=0.01) == ["undecided"]


def test_ten_arms_need_more_than_one() -> None:
    base = [0.0] * 100
    arm = [1.0] * 7 + [0.0] * 93  # p = .0156 alone
    assert verdicts(arm, base=base) == ["better"]
    assert verdicts(arm, *[base] * 9, base=base) == ["undecided"] * 10


@pytest.mark.parametrize(
    ("a", "b", "settings", "which"),
    [
        ([1.0], [1.0], {}, "scores"),
        ([1.0, 0.0], [1.0], {}, "scores"),
        ([1.0, 0.0], [1.0, math.nan], {}, "scores"),
        ([1.0, 0.0], [1.0, 0.0], {"margin": -0.1}, "margin"),
        ([1.0, 0.0], [1.0, 0.0], {"confidence": 1.0}, "confidence"),
    ],
)
def test_bad_input_is_named(a: list[float], b: list[float], settings: dict[str, float], which: str) -> None:
    with pytest.raises(SettingError, match=f"compare_pairs: {which} must be"):
        compare_pairs(a, b, **settings)  # type: ignore[arg-type]
