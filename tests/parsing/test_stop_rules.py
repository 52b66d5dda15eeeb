"""Stop rules against their definitions and against scipy."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptkit.errors import SettingError
from promptkit.parsing.stop_rules import BetaStop, WindowStop, lead_probability, stop_rule

beta = pytest.importorskip("scipy.stats").beta

ANSWERS = st.lists(st.sampled_from(["1", "2", "3", None]), max_size=40)


@given(st.integers(0, 400), st.integers(0, 400))
def test_the_posterior_equals_the_incomplete_beta_function(first: int, second: int) -> None:
    leading, other = max(first, second), min(first, second)
    assert lead_probability(leading, other) == pytest.approx(beta.sf(0.5, leading + 1, other + 1), abs=1e-12)


def test_the_posterior_is_exact_on_small_counts() -> None:
    assert [lead_probability(count, 0) for count in range(5)] == [0.5, 0.75, 0.875, 0.9375, 0.96875]
    assert lead_probability(3, 3) == 0.5


@given(ANSWERS, st.sampled_from([0.6, 0.9, 0.95, 0.99]))
def test_beta_stops_at_the_first_certain_sample(answers: list[str | None], threshold: float) -> None:
    expected = None
    for used in range(1, len(answers) + 1):
        counts = [count for _, count in Counter(answers[:used]).most_common(2)] + [0]
        if beta.sf(0.5, counts[0] + 1, counts[1] + 1) >= threshold:
            expected = used
            break
    assert BetaStop(threshold).stops_at(answers) == expected


@given(ANSWERS)
def test_beta_looks_only_at_counted_samples(answers: list[str | None]) -> None:
    assert BetaStop().stops_at(answers, [False] * len(answers)) is None
    assert BetaStop().stops_at(answers, [True] * len(answers)) == BetaStop().stops_at(answers)


@given(ANSWERS, st.integers(2, 6))
def test_window_stops_at_the_first_window_of_one_answer(answers: list[str | None], size: int) -> None:
    windows = [answers[start : start + size] for start in range(0, len(answers), size)]
    agreeing = [index for index, window in enumerate(windows) if len(window) == size and len(set(window)) == 1]
    assert WindowStop(size).stops_at(answers) == ((agreeing[0] + 1) * size if agreeing else None)


@given(ANSWERS, ANSWERS, st.sampled_from([BetaStop(), WindowStop(3)]))
def test_later_samples_never_move_the_stop(answers: list[str | None], more: list[str | None], rule: BetaStop) -> None:
    stop = rule.stops_at(answers)
    assert stop is None or rule.stops_at(answers + more) == stop


@given(ANSWERS, st.sampled_from([BetaStop(), BetaStop(0.7), WindowStop(3)]))
def test_the_fewest_more_are_enough_and_no_fewer_are(answers: list[str | None], rule: BetaStop | WindowStop) -> None:
    if rule.stops_at(answers) is not None:
        return
    if isinstance(rule, WindowStop):
        answers = answers[: len(answers) // rule.size * rule.size]  # asked between windows
    more = rule.fewest_more(answers)
    ends = {rule.stops_at([*answers, *[answer] * more]) for answer in ["1", "2", "3", None]}
    assert len(answers) + more in ends
    assert ends <= {None, len(answers) + more}  # whatever agrees, it never ends before


def test_the_fewest_more_look_only_at_counted_samples() -> None:
    assert BetaStop().fewest_more(["5", "6", "6"], [True, False, False]) == 3


def test_a_question_without_readable_samples_is_given_up() -> None:
    assert BetaStop().stops_at([None] * 10) == 4
    assert WindowStop().stops_at([None] * 10) == 5


@pytest.mark.parametrize("threshold", [0.5, 1.0, 0, 2, float("nan"), "0.95", True])
def test_beta_refuses_a_threshold_out_of_range(threshold: float) -> None:
    with pytest.raises(SettingError, match="BetaStop: threshold must be a number above 0.5 and below 1, got"):
        BetaStop(threshold)


@pytest.mark.parametrize("size", [1, 0, 2.5, True])
def test_window_refuses_a_size_out_of_range(size: int) -> None:
    with pytest.raises(SettingError, match="WindowStop: size must be an integer of 2 to 10,000, got"):
        WindowStop(size)


def test_rules_by_name() -> None:
    assert stop_rule("beta") == BetaStop(0.95)
    assert stop_rule("window") == WindowStop(5)
    assert stop_rule("none") is None and stop_rule(None) is None
    assert stop_rule(WindowStop(3)) == WindowStop(3)
    with pytest.raises(SettingError, match="vote: stop must be one of 'none', 'beta', 'window', got 'bta'"):
        stop_rule("bta")
