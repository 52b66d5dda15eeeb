"""Metrics by name."""

from __future__ import annotations

import pytest

from promptkit.errors import MetricError
from promptkit.metrics import ROUGE_KINDS, get_metric, list_metrics, rouge

SHORT = ("exact_match", "token_f1", "numeric_match", "numeric_match_comma", "answered")


def test_names() -> None:
    assert set(list_metrics()) == {*SHORT, *ROUGE_KINDS}
    assert all(get_metric(name).name == name for name in list_metrics())


@pytest.mark.parametrize("name", [*SHORT, *ROUGE_KINDS])
def test_the_best_target_counts_and_no_answer_scores_zero(name: str) -> None:
    metric = get_metric(name)
    assert metric.score("12 kg", ["5 g", "12 kg"]) == 1
    assert metric.score(None, ["5 g", "12 kg"]) == 0


def test_rouge_metrics_are_f1() -> None:
    for kind in ROUGE_KINDS:
        assert get_metric(kind).score("a b\nc", ["a b\nd"]) == rouge("a b\nc", "a b\nd")[kind].f1


def test_a_text_is_one_target() -> None:
    assert get_metric("exact_match").score("ab", "ab") == 1


@pytest.mark.parametrize("name", ["exact_match", "token_f1", "numeric_match", *ROUGE_KINDS])
@pytest.mark.parametrize("targets", [[], [""], ["5", " "], ["😀 "]])
def test_a_target_in_which_nothing_is_seen_is_an_error_also_without_an_answer(name: str, targets: list[str]) -> None:
    if targets == ["😀 "] and name == "exact_match":
        assert get_metric(name).score("😀", targets) == 1
        return
    for answer in ("5", None):
        with pytest.raises(MetricError):
            get_metric(name).score(answer, targets)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(MetricError, match="promptkit: metric must be one of 'exact_match', .* got 'exact_mach'"):
        get_metric("exact_mach")
