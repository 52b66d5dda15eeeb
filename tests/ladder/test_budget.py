"""Budgets, and a tracker whose answers survive a crash."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import promptkit as pk
from promptkit.ladder.budget import BudgetTracker
from promptkit.ladder.journal import Journal
from promptkit.ladder.journaled_backend import JournaledBackend


def tracker(budget: pk.Budget, journal: Journal | None = None) -> tuple[BudgetTracker, JournaledBackend]:
    found = journal if journal is not None else Journal(None)
    backend = JournaledBackend(pk.ScriptedBackend([" a b c"]), found)
    return BudgetTracker(budget, found, backend), backend


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"minutes": 0}, "Budget: minutes must be a number above 0, or None, got 0"),
        ({"minutes": float("nan")}, "Budget: minutes must be a number above 0"),
        ({"tokens": 0}, "Budget: tokens must be an integer of at least 1, or None, got 0"),
        ({"calls": True}, "Budget: calls must be an integer of at least 1, or None, got True"),
    ],
)
def test_limits_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(pk.SettingError, match=message):
        pk.Budget(**options)


def test_without_limits_it_is_never_spent() -> None:
    found, _ = tracker(pk.Budget())
    assert found.spent_out("now", reserve=1e9) == "" and found.seconds_left() is None


def test_calls_and_tokens_are_counted() -> None:
    for budget, text in ((pk.Budget(calls=2), "2 calls"), (pk.Budget(tokens=8), "8 tokens")):
        found, backend = tracker(budget)
        backend.generate([pk.Request(pk.Prompt(text="one"))])
        assert found.spent_out("first") == ""
        backend.generate([pk.Request(pk.Prompt(text="two"))])
        assert found.spent_out("second") == text
        assert found.spent_out("first") == ""  # what was answered once stays


def test_time_is_kept_back_for_the_test() -> None:
    found, _ = tracker(pk.Budget(minutes=1))
    assert found.spent_out("early", reserve=30) == ""
    assert found.spent_out("late", reserve=61) == "1 minutes, less what the test will take (61 s)"
    left = found.seconds_left()
    assert left is not None and 50 < left <= 60


def test_after_a_crash_the_answers_are_the_same(tmp_path: Path) -> None:
    first, _ = tracker(pk.Budget(minutes=1), Journal(tmp_path / "journal"))
    assert first.spent_out("moment") == ""
    journal = Journal(tmp_path / "journal")
    journal._elapsed = 3600.0
    again, _ = tracker(pk.Budget(minutes=1), journal)
    assert again.spent_out("moment") == "" and again.spent_out("next") == "1 minutes"
