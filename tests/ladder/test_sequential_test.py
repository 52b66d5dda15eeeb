"""The tests of the ladder: false wins, power, and futility."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from promptkit.ladder.bounds import ConfidenceSequence, can_win
from promptkit.ladder.sequential_test import SequentialTest
from promptkit.statistics import above

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import ladder_power as power

BLOCK = 20


def compare(
    kept: np.ndarray, other: np.ndarray, *, alpha: float = 0.05, margin: float = 0.0
) -> tuple[str | None, SequentialTest]:
    test = SequentialTest(margin=margin, alpha=alpha, confidence=0.95, planned=len(kept))
    found = None
    for start in range(0, len(kept), BLOCK):
        found = test.add(kept[start : start + BLOCK].tolist(), other[start : start + BLOCK].tolist())
        if found is not None:
            break
    return found, test


def draws(rng: np.random.Generator, p: float, q: float, n: int, same: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Scores of two rungs that share a part of their luck."""
    luck, own = rng.random(n), rng.random(n)
    shared = rng.random(n) < same
    return (luck < p).astype(float), np.where(shared, luck < q, own < q).astype(float)


def wins(rounds: int, p: float, q: float, n: int, seed: int = 0, **options: float) -> float:
    rng = np.random.default_rng(seed)
    return sum(compare(*draws(rng, p, q, n), **options)[0] == "won" for _ in range(rounds)) / rounds


def naive_wins(rounds: int, n: int) -> float:
    """The bad twin: the ordinary test, looked at after every block."""
    rng = np.random.default_rng(0)
    count = 0
    for _ in range(rounds):
        one, other = draws(rng, 0.5, 0.5, n)
        count += any(above((other - one)[:stop], 0.0) <= 0.05 for stop in range(BLOCK, n + 1, BLOCK))
    return count / rounds


@pytest.mark.slow
def test_false_wins_stay_below_the_level_while_naive_peeking_does_not() -> None:
    assert wins(1000, 0.5, 0.5, 200) <= 0.065
    assert wins(1000, 0.9, 0.9, 400, alpha=0.0125) <= 0.022
    assert naive_wins(1000, 400) > 0.12


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_in_whole_climbs_false_keeps_are_rare_and_naive_peeking_is_caught() -> None:
    assert power.false_keeps(power.false_keep, 2000, 200, 0.5) <= 0.05
    assert power.false_keeps(power.false_keep, 2000, 100, 0.9) <= 0.05
    assert power.false_keeps(power.false_keep, 1000, 400, 0.8, group=10) <= 0.065
    assert power.false_keeps(power.false_keep, 1000, 200, 0.6, first=0.12) <= 0.065
    assert power.false_keeps(power.naive, 300, 200, 0.5) > 0.15


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_power_of_the_first_of_four_tests_is_near_that_of_one_exact_test() -> None:
    ours, exact = power.power(0.10, 0.2, 200, 1500)
    assert ours >= 0.80 and ours >= exact - 0.08
    ours, exact = power.power(0.05, 0.2, 1000, 300)
    assert ours >= 0.80 and ours >= exact - 0.1


def test_a_gain_of_a_tenth_is_usually_seen_on_two_hundred_items_and_equal_rungs_rarely_win() -> None:
    assert power.power(0.10, 0.2, 200, 60)[0] >= 0.65
    assert power.false_keeps(power.false_keep, 60, 100, 0.5) <= 0.12
    assert power.false_keeps(power.naive, 60, 100, 0.5) > 0.12


def test_items_of_one_group_are_one_observation() -> None:
    """Ten questions on each of eight documents: luck with documents must not look like a gain."""
    assert power.false_keeps(power.false_keep, 60, 80, 0.5, group=10) <= 0.12

    def ungrouped(scores: list, groups: list, gain: bool) -> bool:
        return power.false_keep(scores, [], gain)

    assert power.false_keeps(ungrouped, 60, 80, 0.5, group=10) > 0.3


def test_a_group_is_counted_when_it_is_whole() -> None:
    test = SequentialTest(margin=0.0, alpha=0.05, confidence=0.95, planned=12)
    names = [f"g{at // 4}" for at in range(12)]
    test.add([0.0] * 6, [1.0] * 6, names[:6])
    assert test._counted == 4  # two items of the second group are still to come
    test.add([0.0] * 6, [1.0] * 6, names[6:])
    assert test._counted == 12 and test.p_value == pytest.approx(1 / 8, rel=0.01)


def test_a_gain_within_the_margin_is_shown_and_not_kept() -> None:
    ups = np.array(([1.0] + [0.0] * 19) * 50)
    found, test = compare(np.zeros(1000), ups, alpha=0.05, margin=0.06)
    assert test.p_value < 0.05 < test.p_margin and found != "won"
    assert compare(np.zeros(1000), ups, alpha=0.05, margin=0.02)[0] == "won"


def test_few_false_wins() -> None:
    assert wins(60, 0.5, 0.5, 200) <= 6 / 60


def test_large_gains_and_losses_are_decided_early() -> None:
    rng = np.random.default_rng(0)
    one, other = draws(rng, 0.1, 0.9, 400)
    assert (compare(one, other)[0], compare(other, one)[0]) == ("won", "lost")
    assert compare(one, other)[1].items <= 40 and compare(other, one)[1].items <= 40


def test_equal_rungs_stop_for_futility() -> None:
    rng = np.random.default_rng(0)
    found_tests = [compare(*draws(rng, 0.7, 0.7, 400), alpha=0.0125, margin=0.02) for _ in range(10)]
    assert sum(found == "futile" for found, _ in found_tests) >= 8
    assert np.median([test.items for _, test in found_tests]) < 300


def test_rungs_that_never_differ_are_not_called_equal_too_soon() -> None:
    found, test = compare(np.ones(100), np.ones(100))
    assert found in ("futile", "open") and test.items >= 30
    assert test.p_value == 1.0


def test_the_last_analysis_uses_all_items_and_says_so() -> None:
    rng = np.random.default_rng(6)
    one, other = draws(rng, 0.5, 0.58, 200)
    found, test = compare(one, other)
    assert found in ("won", "open") and test.items == 200 and test.method == "all items"
    low, high = test.interval
    assert low < test.difference < high and high - low < test.analyses[-1].high - test.analyses[-1].low


def test_won_means_that_the_p_value_is_within_the_level() -> None:
    rng = np.random.default_rng(2)
    for q in (0.5, 0.6, 0.7, 0.9):
        found, test = compare(*draws(rng, 0.5, q, 100), alpha=0.02)
        assert (found == "won") == (test.p_value <= 0.02)


def test_graded_scores_are_tested_too() -> None:
    rng = np.random.default_rng(0)
    one = rng.random(200) * 0.5
    assert compare(one, one + 0.3)[0] == "won" and compare(one + 0.3, one)[0] == "lost"


def test_a_handful_of_gains_is_not_enough() -> None:
    assert compare(np.zeros(4), np.ones(4))[0] == "open"
    assert compare(np.zeros(200), np.array([1.0] * 4 + [0.0] * 196), alpha=0.05)[0] != "won"


def test_room_is_judged_by_what_a_faultless_rung_could_show() -> None:
    right = [1.0] * 40
    assert not can_win(right, 0.02, 0.0125, 200)
    assert can_win([*right, *[0.0] * 10], 0.02, 0.0125, 200)
    assert not can_win([*right, *[0.0] * 10], 0.2, 0.0125, 50)
    assert not can_win([0.0] * 3, 0.02, 0.0125, 3)  # so few items show nothing


@pytest.mark.slow
def test_bounds_of_a_mean_hold_at_every_look() -> None:
    rng = np.random.default_rng(0)
    missed = 0
    for _ in range(500):
        bounds, scores = ConfidenceSequence(alpha=0.05, planned=200), (rng.random(200) < 0.9).astype(float)
        above_truth = False
        for start in range(0, 200, BLOCK):
            bounds.add(scores[start : start + BLOCK].tolist())
            above_truth = above_truth or bounds.low > 0.9
        missed += above_truth
    assert missed / 500 <= 0.075


def test_bounds_become_sharper_at_the_end() -> None:
    bounds = ConfidenceSequence(alpha=0.05, planned=100)
    bounds.add(([1.0] * 9 + [0.0]) * 9)
    before = bounds.high - bounds.low
    bounds.add([1.0] * 9 + [0.0])
    assert 0.8 < bounds.low < 0.9 < bounds.high and bounds.high - bounds.low < before - 0.01
