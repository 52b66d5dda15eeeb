from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptkit import Sequential, SettingError

PAIRS = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=60)


@given(PAIRS)
def test_the_interval_only_narrows_and_a_decision_stays(pairs: list[tuple[int, int]]) -> None:
    race = Sequential(alpha=0.3, margin=0.05)
    before, decided = (race.low, race.high), None
    for a, b in pairs:
        assert race.add(a / 8, b / 8) == (race.decided is not None)
        assert before[0] <= race.low and race.high <= before[1]
        assert decided is None or race.decided == decided
        before, decided = (race.low, race.high), race.decided
    assert race.items == len(pairs)
    assert race.difference == pytest.approx(sum(b - a for a, b in pairs) / 8 / max(1, len(pairs)))


@given(PAIRS)
def test_the_arms_may_change_places(pairs: list[tuple[int, int]]) -> None:
    forth, back = Sequential(alpha=0.2), Sequential(alpha=0.2)
    forth.add_all((a / 8, b / 8) for a, b in pairs)
    back.add_all((b / 8, a / 8) for a, b in pairs)
    assert (back.low, back.high) == pytest.approx((-forth.high, -forth.low), abs=1e-9)
    assert back.decided == {"better": "worse", "worse": "better"}.get(forth.decided or "", forth.decided)


def test_it_is_the_hedged_capital_process() -> None:
    """Computed here anew for single means from its definition, without a grid."""
    generator = np.random.default_rng(4)
    pairs = [(float(generator.random() < 0.5), float(generator.random() < 0.7)) for _ in range(250)]
    race = Sequential(alpha=0.05)
    race.add_all(pairs)
    xs = [(b - a + 1) / 2 for a, b in pairs]

    def ruled_out(mean: float) -> bool:
        up = down = 1.0
        best = 0.0
        for t, x in enumerate(xs, 1):
            estimates = [(0.5 + sum(xs[: i + 1])) / (i + 2) for i in range(t - 1)]
            variance = (0.25 + sum((one - m) ** 2 for one, m in zip(xs, estimates, strict=False))) / t
            bet = math.sqrt(2 * math.log(2 / 0.05) / (variance * t * math.log(t + 1)))
            up *= 1 + min(bet, 0.5 / mean) * (x - mean)
            down *= 1 - min(bet, 0.5 / (1 - mean)) * (x - mean)
            best = max(best, up / 2, down / 2)
        return best >= 1 / 0.05

    assert race.low > -0.2  # the comparison below is not one of nothing with nothing
    assert ruled_out((race.low + 1) / 2)
    assert not ruled_out((race.low + 0.0021 + 1) / 2)
    assert ruled_out((race.high + 1) / 2)
    assert not ruled_out((race.high - 0.0021 + 1) / 2)


@pytest.mark.parametrize(
    ("gain", "loss", "margin", "expected"),
    [
        (0.3, 0.05, 0.0, "better"),
        (0.05, 0.3, 0.0, "worse"),
        (0.02, 0.02, 0.1, "equivalent"),
        (0.3, 0.05, 0.1, "better"),
        (0.05, 0.05, 0.0, None),
    ],
)
def test_decisions(gain: float, loss: float, margin: float, expected: str | None) -> None:
    generator = np.random.default_rng(5)
    race = Sequential(margin=margin)
    for change in generator.choice([1, -1, 0], 900, p=[gain, loss, 1 - gain - loss]):
        race.add(float(change < 0), float(change > 0))
    assert race.decided == expected
    assert race.low <= gain - loss <= race.high


def test_a_clear_winner_is_known_early() -> None:
    race = Sequential()
    generator = np.random.default_rng(6)
    while not race.add(float(generator.random() < 0.3), float(generator.random() < 0.8)):
        assert race.items < 150
    assert race.decided == "better"


@pytest.mark.parametrize(
    ("settings", "which"), [({"alpha": 0}, "alpha"), ({"alpha": 1}, "alpha"), ({"margin": -0.1}, "margin"), ({"margin": 1}, "margin")]
)  # fmt: skip
def test_bad_settings_are_named(settings: dict[str, float], which: str) -> None:
    with pytest.raises(SettingError, match=f"Sequential: {which} must be"):
        Sequential(**settings)


@pytest.mark.parametrize("pair", [(0.0, 1.5), (-0.1, 0.0), (math.nan, 0.0)])
def test_scores_outside_the_range_would_break_the_promise(pair: tuple[float, float]) -> None:
    race = Sequential()
    with pytest.raises(SettingError, match="Sequential: scores must be from 0 to 1"):
        race.add(*pair)
    assert race.items == 0


def false_wins(runs: int, items: int, kind: str, seed: int = 0) -> tuple[float, float]:
    """Share of A/A comparisons with a false claim: of the sequential form, and of a test of each of 20 looks."""
    generator = np.random.default_rng(seed)
    analyses = np.linspace(items / 20, items, 20).astype(int)
    claimed = naive = 0
    for _ in range(runs):
        if kind == "binary":
            hard = generator.random(items)
            a, b = ((generator.random(items) < 0.2 + 0.7 * hard).astype(float) for _ in range(2))
        else:
            hard = generator.normal(size=items)
            a, b = (1 / (1 + np.exp(-(hard + 0.7 * generator.normal(size=items)))) for _ in range(2))
        race = Sequential(alpha=0.05)
        for pair in zip(a.tolist(), b.tolist(), strict=True):
            if race.add(*pair):
                claimed += 1
                break
        changes = b - a
        ends = [(changes[:n].mean(), changes[:n].std(ddof=1) / math.sqrt(n)) for n in analyses]
        naive += any(abs(mean) > 1.96 * error for mean, error in ends)
    return claimed / runs, naive / runs


def test_peeking_is_safe_and_the_twin_is_not() -> None:
    sequential, naive = false_wins(60, 200, "binary")
    assert sequential <= 0.065 < 0.12 < naive


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", ["binary", "rouge-like"])
def test_peeking_is_safe_in_long_simulation(kind: str) -> None:
    sequential, naive = false_wins(2000, 400, kind, seed=1)
    print(f"{kind}: sequential {sequential:.4f}, naive {naive:.4f}")
    assert sequential <= 0.065
    assert 0.18 <= naive <= 0.32


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_look_of_the_interval_covers_the_truth() -> None:
    generator = np.random.default_rng(7)
    missed = 0
    for _ in range(1000):
        race = Sequential(alpha=0.1)
        for change in generator.choice([1, -1, 0], 300, p=[0.2, 0.1, 0.7]).tolist():
            race.add(float(change < 0), float(change > 0))
        missed += not race.low <= 0.1 <= race.high  # the ends never move back, so the last look tells of all
    assert missed / 1000 <= 0.1
