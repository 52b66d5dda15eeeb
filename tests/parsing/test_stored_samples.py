"""Votes over a table of stored samples."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from promptkit.errors import DataError, SettingError
from promptkit.parsing import AnswerParser, BetaStop, WindowStop, vote_rows

READER = AnswerParser({"kind": "marked", "marker": "The answer is", "then": "number"})
REAL = os.environ.get("PROMPTKIT_REAL_DATA")


def test_a_summary_counts_rows_and_samples() -> None:
    rows = [
        {"paths": ["The answer is 5."] * 6, "gold": "5.0"},
        {"paths": ["The answer is 6.", "The answer is 7.", "?", "?"], "gold": ["1", "6"]},
        {"paths": ["?", "?"], "gold": 3},
        {"paths": [], "gold": "3"},
    ]
    summary = vote_rows(rows, parser=READER, samples="paths", gold="gold", stop="beta")
    assert [one.answer for one in summary.votes] == ["5", "6", None, None]
    assert summary.scores == (1.0, 1.0, 0.0, 0.0) and summary.accuracy == 0.5
    assert summary.samples_used == (4 + 4 + 2 + 0) / 4 and summary.samples_saved == 2 / 4
    assert summary.unreadable == 4 / 10
    assert (summary.ties, summary.unanswered) == (1, 2)


def test_without_gold_there_is_no_accuracy() -> None:
    summary = vote_rows([{"samples": ["a", "b", "b"]}])
    assert (summary.votes[0].answer, summary.scores, summary.accuracy) == ("b", (), None)
    assert vote_rows([{"samples": []}]).unreadable == 0


def test_samples_may_say_why_they_ended_and_how_likely_they_were() -> None:
    samples = [
        {"text": "5", "mean_logprob": "-0.1"},
        {"text": "6", "mean_logprob": -1.5},
        {"text": "6", "mean_logprob": -1.5},
    ]
    assert vote_rows([{"samples": samples}], rule="weighted").votes[0].answer == "5"
    cut = [{"text": "The answer is 12", "finish": "length"}]
    assert vote_rows([{"samples": cut}], parser=READER).votes[0].answer is None


def test_settings_reach_the_vote() -> None:
    rows = [{"samples": ["b", "a"]}, {"samples": ["a"] * 9}]
    summary = vote_rows(rows, tie="first", stop=WindowStop(3))
    assert summary.votes[0].answer == "b" and summary.votes[1].samples_used == 3
    with pytest.raises(SettingError, match="vote: rule must be one of"):
        vote_rows(rows, rule="most")  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="mean_logprob of sample 0"):
        vote_rows(rows, rule="weighted")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"gold": "5"}, "row 2: 'samples' must be a list of samples, got nothing"),
        ({"samples": "The answer is 5.", "gold": "5"}, "row 2: 'samples' must be a list of samples, got str"),
        ({"samples": ["5", 5], "gold": "5"}, "sample 1 of 'samples' must be a text, or an object with a text 'text', got int"),
        ({"samples": [{"txt": "5"}], "gold": "5"}, "sample 0 of 'samples' must be a text"),
        ({"samples": [{"text": "5", "mean_logprob": "low"}], "gold": "5"}, "'mean_logprob' of sample 0 of 'samples' must be a number, got 'low'"),
        ({"samples": []}, "row 2: 'gold' must be an answer that the parser knows, or a list of such, got 'None'"),
        ({"samples": [], "gold": "many"}, "got 'many'"),
        ({"samples": [], "gold": []}, "got '[]'"),
        ({"samples": [], "gold": ["5", None]}, "got \"['5', None]\""),
    ],
)  # fmt: skip
def test_bad_rows_are_named(row: dict[str, Any], reason: str) -> None:
    rows = [{"samples": ["The answer is 5."], "gold": "5"}, row]
    with pytest.raises(DataError) as refused:
        vote_rows(rows, parser=READER, gold="gold")
    assert str(refused.value).startswith("1 of 2 rows cannot be voted on: row 2: ")
    assert reason in str(refused.value)


def test_of_many_bad_rows_the_first_ten_are_named() -> None:
    with pytest.raises(DataError, match=r"12 of 12 rows .* row 10: .*; and 2 more$"):
        vote_rows([{}] * 12)


def test_no_rows_are_refused() -> None:
    with pytest.raises(DataError, match="vote_rows: rows must be at least 1, got 0"):
        vote_rows([])


@pytest.mark.skipif(not REAL, reason="PROMPTKIT_REAL_DATA names no folder of real samples")
def test_published_figures() -> None:
    name = "gpt-35-turbo__chain_of_thought__arc-challenge-test-100__temp-1.0.jsonl.gz"
    with gzip.open(Path(str(REAL), "cot-samples", name), "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    summary = vote_rows(rows, samples="answers", gold="gold", tie="first", stop=BetaStop(0.95))
    assert (summary.accuracy, summary.samples_used, summary.samples_saved) == (0.89, 5.32, pytest.approx(4.68))
