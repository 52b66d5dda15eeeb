"""A climb that is continued with another budget, or with further rungs: decided anew, and nothing is done twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import promptkit as pk
from promptkit.ladder.table import table
from tests.support.simulation import Cut, climb, cut_after, make_data, model, rungs, verdicts

LADDER = (0.3, 0.35, 0.9)


def without_reads(record: pk.Record) -> pk.Record:
    assert record.test is not None
    return record.model_copy(update={"test": record.test.model_copy(update={"reads": ()})})


@pytest.mark.parametrize(
    ("small", "large"),
    [
        (pk.Budget(calls=80), pk.Budget(calls=5000)),
        (pk.Budget(tokens=1500), pk.Budget(tokens=500_000)),
        (pk.Budget(calls=80), pk.Budget()),
    ],
)
def test_more_budget_decides_as_if_it_had_been_there_from_the_start(
    small: pk.Budget, large: pk.Budget, tmp_path: Path
) -> None:
    first = climb(*LADDER, folder=tmp_path / "run", budget=small)
    assert first.record.decision is not None and first.record.decision.stopped == "budget"
    backend = model()
    again = climb(*LADDER, folder=tmp_path / "run", budget=large, backend=backend)
    clean_backend = model()
    clean = climb(*LADDER, budget=large, backend=clean_backend)
    assert verdicts(again) == verdicts(clean) == ["first", "undecided", "kept"]
    found = without_reads(again.record).differences(without_reads(clean.record))
    # The first climb scored another winner on test, which was paid for and is told.
    assert {one.partition(":")[0] for one in found} == {"calls", "prompt_tokens", "generated_tokens"}
    assert again.record.calls == first.record.calls + len(backend.requests)
    assert len(backend.requests) < len(clean_backend.requests)
    assert again.record.extended == (change(small, large),)
    assert again.record.test is not None and [one.scored for one in again.record.test.reads] == [False, True, True]
    text = table(again.record)
    assert f"continued with: {change(small, large)}" in text and "test labels scored 2 times" in text
    assert again.record.test.cut_off == 0


def change(small: pk.Budget, large: pk.Budget) -> str:
    name = "calls" if small.calls else "tokens"
    value = getattr(large, name)
    return f"{name} {getattr(small, name)} to {'without limit' if value is None else f'{value:g}'}"


def test_the_same_winner_is_not_scored_again(tmp_path: Path) -> None:
    climb(0.9, 0.3, folder=tmp_path / "run", budget=pk.Budget(calls=30))
    backend = model()
    record = climb(0.9, 0.3, folder=tmp_path / "run", budget=pk.Budget(calls=3000), backend=backend).record
    assert record.decision is not None and record.decision.winner == "r0"
    assert record.test is not None and [one.scored for one in record.test.reads] == [False, True]


def test_a_smaller_budget_that_is_spent_already_is_refused_with_what_was_spent(tmp_path: Path) -> None:
    first = climb(*LADDER, folder=tmp_path / "run", budget=pk.Budget(calls=500))
    with pytest.raises(
        pk.SettingError, match=rf"Budget: calls must be at least {first.record.calls}, .*got 5; a climb"
    ):
        climb(*LADDER, folder=tmp_path / "run", budget=pk.Budget(calls=5))
    again = climb(*LADDER, folder=tmp_path / "run", budget=pk.Budget(calls=500))
    assert again.record == first.record  # a refusal leaves no trace


def test_minutes_count_all_sessions(tmp_path: Path) -> None:
    climb(*LADDER, folder=tmp_path / "run", budget=pk.Budget(minutes=5))
    with pytest.raises(pk.SettingError, match="Budget: minutes must be at least 0.1, which the climb has spent, got"):
        climb(*LADDER, folder=tmp_path / "run", budget=pk.Budget(minutes=1e-5))


def test_rungs_can_be_appended_and_nothing_else(tmp_path: Path) -> None:
    def run(*qualities: float, **options: Any) -> pk.ClimbResult:
        return climb(rungs=rungs(*qualities), folder=tmp_path / "run", data=make_data(), **options)

    first = run(0.3, 0.4)
    backend = model()
    again = run(0.3, 0.4, 0.9, backend=backend)
    assert verdicts(again)[-1] == "kept" and again.record.extended == ("rungs appended: r2",)
    assert any("error rates hold for each form of the ladder" in note for note in again.record.notes)
    assert len(backend.requests) < again.record.calls and again.record.calls > first.record.calls
    with pytest.raises(pk.SettingError, match="plans .*must be .*rungs be appended"):
        run(0.3, 0.5, 0.9)
    with pytest.raises(pk.SettingError, match="rungs"):
        run(0.3, 0.4)


def test_cut_off_after_it_was_extended_it_still_ends_the_same(tmp_path: Path) -> None:
    climb(*LADDER, folder=tmp_path / "run", budget=pk.Budget(calls=80))
    with pytest.raises(Cut):
        climb(*LADDER, folder=tmp_path / "run", budget=pk.Budget(calls=5000), backend=cut_after(60))
    record = climb(*LADDER, folder=tmp_path / "run", budget=pk.Budget(calls=5000)).record
    (tmp_path / "clean").mkdir()
    climb(*LADDER, folder=tmp_path / "clean" / "run", budget=pk.Budget(calls=80))
    clean = climb(*LADDER, folder=tmp_path / "clean" / "run", budget=pk.Budget(calls=5000)).record
    assert record.differences(clean) == [] and record.extended == clean.extended
