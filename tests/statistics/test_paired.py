from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptkit import SettingError
from promptkit.statistics import compare_pairs, decide, difference_interval, mcnemar, sign_flip

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


@given(PAIRS, st.sampled_from([0.0, 0.125]))
def test_the_arms_may_change_places(pairs: list[tuple[int, int]], margin: float) -> None:
    a, b = split(pairs)
    forth = compare_pairs(a, b, margin=margin, resamples=100)
    back = compare_pairs(b, a, margin=margin, resamples=100)
    assert (back.difference, back.low, back.high) == (-forth.difference, -forth.high, -forth.low)
    assert (back.p_value, back.p_equivalent) == (forth.p_value, forth.p_equivalent)
    assert (back.gains, back.losses, back.effect_size) == (forth.losses, forth.gains, -forth.effect_size)
    assert 0 < forth.p_value <= 1


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
