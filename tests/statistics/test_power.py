from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, norm

from promptkit import SettingError, minimum_detectable
from promptkit.statistics import compare_pairs, items_needed, mcnemar, sign_flip


def mcnemar_power(n: int, discordance: float, difference: float) -> float:
    total = 0.0
    share = 0.5 + difference / discordance / 2
    for differing in range(int(binom.ppf(1e-6, n, discordance)), int(binom.isf(1e-6, n, discordance)) + 1):
        gains = np.arange(differing + 1)
        found = np.array([mcnemar(int(one), int(differing - one)) <= 0.05 for one in gains])
        total += float(binom.pmf(differing, n, discordance) * binom.pmf(gains, differing, share)[found].sum())
    return total


def sample(n: int, discordance: float, difference: float) -> np.ndarray:
    gains, losses = round(n * (discordance + difference) / 2), round(n * (discordance - difference) / 2)
    return np.repeat([1.0, -1.0, 0.0], [gains, losses, n - gains - losses])


@pytest.mark.parametrize(("discordance", "difference"), [(0.1, 0.05), (0.2, 0.1), (0.3, 0.1)])
def test_so_many_items_find_the_difference_in_four_of_five_runs(discordance: float, difference: float) -> None:
    needed = items_needed(sample(1000, discordance, difference))
    assert 0.795 <= mcnemar_power(int(needed), discordance, difference) <= 0.815
    assert minimum_detectable(int(needed), discordance=discordance) == pytest.approx(difference, rel=0.06)


@pytest.mark.parametrize("items", [30, 50, 100, 300])
@pytest.mark.parametrize("discordance", [0.05, 0.2, 0.8])
def test_the_power_that_is_promised_is_the_power_of_the_exact_test(items: int, discordance: float) -> None:
    found = minimum_detectable(items, discordance=discordance)
    assert mcnemar_power(items, max(discordance, found), found) == pytest.approx(0.8, abs=2e-3)
    # The twin: the formula without the price of an exact test promises what it does not reach.
    room = items + norm.ppf(0.8) ** 2 - norm.ppf(0.975) ** 2
    z_sums = norm.ppf(0.975) * np.sqrt(items) + norm.ppf(0.8) * np.sqrt(room)
    plain = np.sqrt(discordance) * z_sums / (items + norm.ppf(0.8) ** 2)
    if plain < discordance:
        assert mcnemar_power(items, discordance, plain) < 0.79


@pytest.mark.parametrize("items", [12, 40])
def test_the_power_that_is_promised_of_graded_scores(items: int) -> None:
    least = minimum_detectable(items, sd=0.2)
    generator = np.random.default_rng(items)
    runs = [sign_flip(generator.normal(least, 0.2, items), resamples=300, seed=i) <= 0.05 for i in range(600)]
    assert 0.76 <= np.mean(runs) <= 0.86


def test_so_many_items_find_a_difference_of_other_scores() -> None:
    generator = np.random.default_rng(2)
    needed = int(items_needed(generator.normal(0.05, 0.2, 100_000)))
    runs = [sign_flip(generator.normal(0.05, 0.2, needed), resamples=300, seed=i) <= 0.05 for i in range(400)]
    assert 0.76 <= np.mean(runs) <= 0.86
    assert minimum_detectable(needed, sd=0.2) == pytest.approx(0.05, rel=0.02)


def test_so_many_items_show_that_nothing_differs_by_the_margin() -> None:
    generator = np.random.default_rng(3)
    needed = int(items_needed(sample(2000, 0.1, 0.0), margin=0.05))
    shares = generator.multinomial(needed, [0.05, 0.05, 0.9], size=400)
    runs = []
    for row in shares:
        second = np.repeat([1.0, 0.0, 0.5], row)
        first = np.repeat([0.0, 1.0, 0.5], row)
        p_value = compare_pairs(first.tolist(), second.tolist(), margin=0.05).p_equivalent
        assert p_value is not None
        runs.append(p_value <= 0.05)
    assert 0.74 <= np.mean(runs) <= 0.9


def test_what_no_number_of_items_would_settle() -> None:
    assert items_needed(np.array([1.0, -1.0, 0.0])) == math.inf
    assert items_needed(np.zeros(50)) == math.inf
    assert items_needed(np.zeros(50), margin=0.1) == math.inf  # how much items vary is not known
    assert minimum_detectable(3, discordance=0.9) == minimum_detectable(50, sd=0.0) == math.inf


def test_where_hardly_anything_is_expected_to_differ_what_is_found_is_what_differs() -> None:
    found = minimum_detectable(50, discordance=0.02)
    assert found == minimum_detectable(50, discordance=0.0)
    assert 0.02 < minimum_detectable(50, discordance=found * 0.999) == pytest.approx(found)
    assert minimum_detectable(50, discordance=found * 1.001) == pytest.approx(found, rel=0.01)
    assert mcnemar_power(50, found, found) == pytest.approx(0.8, abs=1e-3)


def test_more_than_any_pattern_of_signs_is_needed() -> None:
    # All items differ alike: a formula of variances would say 0, but five equal signs have p = .0625.
    assert items_needed(np.full(4, 0.3)) == 6


@settings(max_examples=30)
@given(st.integers(30, 3000), st.floats(0.05, 0.9), st.integers(1, 9))
def test_more_items_find_less_and_more_arms_need_more(items: int, discordance: float, arms: int) -> None:
    found = minimum_detectable(items, discordance=discordance, arms=arms)
    assert minimum_detectable(2 * items, discordance=discordance, arms=arms) <= found
    assert minimum_detectable(items, discordance=discordance, arms=arms + 1) >= found
    assert found == math.inf or 0 < found <= 1


@pytest.mark.parametrize(
    ("settings", "which"),
    [
        ({}, "discordance or sd"),
        ({"discordance": 0.1, "sd": 0.1}, "discordance or sd"),
        ({"discordance": 20}, "discordance"),
        ({"sd": -1.0}, "sd"),
        ({"sd": 1.0, "arms": 0}, "items and arms"),
        ({"sd": 1.0, "power": 1.0}, "power"),
        ({"sd": 1.0, "confidence": 95}, "confidence"),
    ],
)
def test_bad_input_is_named(settings: dict[str, float], which: str) -> None:
    with pytest.raises(SettingError, match=f"minimum_detectable: {which} must be"):
        minimum_detectable(100, **settings)  # type: ignore[arg-type]
