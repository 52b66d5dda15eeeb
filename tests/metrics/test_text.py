"""Metrics on short answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptkit.errors import MetricError
from promptkit.metrics.text import answered, exact_match, numeric_match, numeric_match_comma, token_f1


@pytest.mark.parametrize(
    ("answer", "target", "score"),
    [
        ("New  York\n", "New York", 1),
        ("ＡＢＣ", "ABC", 1),
        ("e\u0301", "é", 1),
        ("new york", "New York", 0),
        ("-5", "5", 0),
        ("the dog", "dog", 0),
        ("", "x", 0),
    ],
)
def test_exact_match(answer: str, target: str, score: float) -> None:
    assert exact_match(answer, target) == score


@pytest.mark.parametrize(
    ("answer", "target", "score"),
    [
        ("a b", "b a", 1),
        ("a", "a b c", 0.5),
        ("a a a", "a b", 0.4),
        ("你好", "你们好", 0.8),
        ("", "x", 0),
    ],
)
def test_token_f1(answer: str, target: str, score: float) -> None:
    assert token_f1(answer, target) == pytest.approx(score)


@pytest.mark.parametrize(
    ("answer", "target", "score"),
    [
        ("$1,000.00", "1000", 1),
        ("0.5", "1/2", 1),
        ("-5", "5", 0),
        ("none", "5", 0),
        ("5 or 6", "5", 0),
        ("25 cm²", "25", 1),
        ("25", "25 cm²", 1),
        ("25 m^2", "25", 1),
        ("2.5 × 10³ J", "2500", 1),
        ("0,75", "75", 0),
    ],
)
def test_numeric_match(answer: str, target: str, score: float) -> None:
    assert numeric_match(answer, target) == score


@pytest.mark.parametrize(
    ("answer", "target", "score"),
    [("0,75", "3/4", 1), ("1.234,50 €", "1234,5", 1), ("1.234", "1234", 1), ("0.75", "0,75", 0), ("75", "0,75", 0)],
)
def test_numeric_match_with_a_decimal_comma(answer: str, target: str, score: float) -> None:
    assert numeric_match_comma(answer, target) == score


@given(st.text(), st.text())
def test_scores_are_shares_and_a_text_equals_itself(answer: str, target: str) -> None:
    for metric in (exact_match, token_f1, numeric_match, numeric_match_comma):
        try:
            score = metric(answer, target)
        except MetricError:
            continue
        assert 0 <= score <= 1
        assert metric(target, target) == 1
    assert answered(answer, target) == 1


@pytest.mark.parametrize(
    ("metric", "target", "must"),
    [
        (exact_match, " ", "a text that is not empty"),
        (token_f1, "?!", "a text with at least one letter or digit"),
        (numeric_match, "many", "a text with exactly one number"),
        (numeric_match, "0,75", "a text with exactly one number"),
        (numeric_match_comma, "0.75", "a text with exactly one number"),
    ],
)
def test_a_target_in_which_nothing_is_seen_is_an_error(metric: object, target: str, must: str) -> None:
    with pytest.raises(MetricError) as refused:
        metric("5", target)  # type: ignore[operator]
    name = metric.__name__  # type: ignore[attr-defined]
    assert str(refused.value) == (
        f"{name}: target must be {must}, got {target!r}; correct the data or choose another metric"
    )
