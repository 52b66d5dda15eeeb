"""Marks stand where the figures say, inside of the drawing."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptkit.html import charts
from promptkit.html.arms import Arm, frontier, judged_arms
from promptkit.html.payback import asked, fitted, paybacks
from promptkit.html.scales import linear, logarithmic
from tests.support.sample import NAMES, sample

UNITS = ("tokens", "seconds")


@pytest.fixture(scope="module")
def arms() -> tuple[Arm, ...]:
    return judged_arms(sample())


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=9))
def test_an_even_axis_shows_every_value(values: list[float]) -> None:
    axis = linear(values, 200, 0, "{:g}".format)
    slack = 1e-9 * max(1, *map(abs, values))
    assert axis.low <= min(values) + slack and axis.high >= max(values) - slack
    assert 2 <= len(axis.ticks) <= 9
    assert all(0 <= tick.at <= 200 for tick in axis.ticks)
    places = [axis(value) for value in sorted(values)]
    assert places == sorted(places, reverse=True)


@given(st.lists(st.floats(1e-6, 1e9), min_size=1, max_size=9))
def test_a_log_axis_shows_every_value_and_has_ticks(values: list[float]) -> None:
    axis = logarithmic(values, 0, 300, "{:g}".format)
    assert axis.low < min(values) and axis.high > max(values)
    assert 1 <= len(axis.ticks) <= 9
    assert all(0 <= tick.at <= 300 for tick in axis.ticks)
    assert axis(math.sqrt(axis.low * axis.high)) == pytest.approx(150, abs=0.1)


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 5)), max_size=8))
def test_the_frontier_is_what_nothing_cheaper_equals(points: list[tuple[int, int]]) -> None:
    best = frontier(points)
    for place, (cost, quality) in enumerate(points):
        beaten = any(c <= cost and q >= quality and (c, q) != (cost, quality) for c, q in points)
        copies = [other for other in best if points[other] == (cost, quality)]
        assert len(copies) == (not beaten)
        assert beaten or place in best or copies


def test_a_rung_counts_by_its_last_try(arms: tuple[Arm, ...]) -> None:
    assert [arm.name for arm in arms] == list(NAMES)
    assert [arm.name for arm in arms if arm.won] == ["LoRA"]
    lora = arms[-1]
    assert (lora.tokens, lora.fit_tokens, lora.fit_seconds) == (49.0, 3 * 240_000, 312.0)
    assert lora.seconds == pytest.approx(0.036)


@pytest.mark.parametrize("unit", UNITS)
def test_better_is_higher_and_more_expensive_further_right(arms: tuple[Arm, ...], unit: charts.Unit) -> None:
    chart = charts.scatter(arms, unit, 0.8)
    assert chart is not None and len(chart.points) == 5
    for attribute, figure, sign in (
        ("x", lambda arm: asked(arm, unit), 1),
        ("y", lambda arm: arm.trial.score.mean, -1),
    ):
        order = sorted(range(5), key=lambda place: figure(arms[place]))
        places = [sign * getattr(chart.points[place], attribute) for place in order]
        assert places == sorted(places)
    assert [point.won for point in chart.points] == [False] * 4 + [True]
    assert chart.points[4].frontier and not chart.points[3].frontier
    assert all(point.top < point.y < point.bottom for point in chart.points)
    assert "LoRA: score 0.9" in chart.description


@pytest.mark.parametrize("unit", UNITS)
def test_names_do_not_cover_each_other(arms: tuple[Arm, ...], unit: charts.Unit) -> None:
    chart = charts.scatter(arms, unit, None)
    assert chart is not None
    boxes = []
    for point in chart.points:
        label, wide = point.label, 6.6 * len(point.label.text)
        left = label.x - {"start": 0, "middle": wide / 2, "end": wide}[label.anchor]
        boxes.append((left, label.y - 11, left + wide, label.y + 3))
    for place, one in enumerate(boxes):
        assert 0 <= one[0] and one[2] <= charts.WIDTH and 0 <= one[1] <= charts.HEIGHT
        for other in boxes[:place]:
            assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


@pytest.mark.parametrize("unit", UNITS)
def test_paybacks_are_where_the_costs_are_equal(arms: tuple[Arm, ...], unit: charts.Unit) -> None:
    found = paybacks(arms, unit)
    assert len(found) == 4
    assert all(fitted(one.second, unit) >= fitted(one.first, unit) for one in found)
    repaid = [one for one in found if one.total is not None]
    assert repaid
    for one in repaid:
        n = one.sums.requests
        before, after = (fitted(arm, unit) + n * asked(arm, unit) for arm in (one.first, one.second))
        assert after <= before and before - after <= one.sums.saved * (1 + 1e-6)
    chart = charts.curves(arms, unit)
    assert chart is not None and len(chart.crossings) == len(repaid)
    heights = sorted(curve.label.y for curve in chart.curves)
    assert all(after - before >= 13 for before, after in itertools.pairwise(heights))


def test_a_test_is_drawn_look_by_look() -> None:
    test = sample()["LoRA"].test
    assert test is not None
    chart = charts.running(test)
    assert chart is not None
    assert len(chart.line.split()) == len(test.analyses) and len(chart.band.split()) == 2 * len(test.analyses)
    assert (
        chart.last.top < chart.last.y < chart.last.bottom < chart.margin <= chart.zero
    )  # it gains more than the margin


def test_figures_that_are_no_numbers_are_left_out() -> None:
    record = sample(items=20)
    test = record.trials[1].test
    assert test is not None
    for broken in ({"margin": math.nan}, {"analyses": (test.analyses[-1].model_copy(update={"high": math.inf}),)}):
        assert charts.running(test.model_copy(update=broken)) is None
    trials = []
    for trial in record.trials:
        assert trial.score is None or trial.cost is not None
        trials.append(
            trial.model_copy(update={"score": trial.score.model_copy(update={"mean": math.inf})})
            if trial.score and trial.rung != "LoRA"
            else trial
        )
    arms = judged_arms(record.model_copy(update={"trials": tuple(trials)}))
    assert [arm.name for arm in arms] == ["LoRA"]
    assert charts.curves(arms, "tokens") is None
    assert charts.scatter((), "tokens", 0.8) is None
