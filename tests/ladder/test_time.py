"""A budget of minutes is kept with a slow model: what does not fit is cut down or left out, and the record says so."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from simulation import TASK, answer, climb, make_data, rung, verdicts

import promptkit as pk
from promptkit.ladder.journal import Journal
from promptkit.ladder.journaled_backend import JournaledBackend, OutOfTime


class Slow(pk.ScriptedBackend):
    """Takes a time for every sample that it is asked for."""

    def __init__(self, seconds: float) -> None:
        super().__init__(answer, name="sums")
        self.seconds = seconds

    def generate(self, requests: Any, *, progress: Any = None) -> Any:
        """Sleeps, then answers."""
        time.sleep(self.seconds * sum(len(request.samples) for request in requests))
        return super().generate(requests, progress=progress)


def searched(quality: float, name: str = "searched") -> tuple[str, pk.FewShot]:
    return name, pk.FewShot(TASK, shots=2, select="searched", instruction=f"Quality {quality}.", max_new_tokens=8)


SECONDS = 3.0


def timed(*ladder: Any, pace: float, data: pk.Data | None = None, **options: Any) -> tuple[pk.ClimbResult, float]:
    found = data if data is not None else make_data(train=80, dev=100, test=60)
    began = time.monotonic()
    result = climb(
        rungs=list(ladder), data=found, backend=Slow(pace), budget=pk.Budget(minutes=SECONDS / 60), folds=0, **options
    )
    return result, time.monotonic() - began


def test_a_search_leaves_time_to_judge_its_rung_and_the_next() -> None:
    # Unlimited, the search alone would take 2.4 of 3 seconds: 240 questions of .01 seconds.
    result, taken = timed(rung(0.1), searched(0.5), rung(0.9, "last"), pace=0.01)
    few = result.record["searched"]
    assert few.test is not None and few.test.items >= 20, few.reason
    assert few.fit is not None and "sets were tried on" in few.fit.notes["search"]["cut"]
    assert any(note.startswith("searched: its search was cut down") for note in result.record.notes)
    assert taken < 1.25 * SECONDS + 1.0
    assert result.record.test is not None and result.record.test.score is not None


def test_where_nothing_fits_the_first_set_is_taken_unseen() -> None:
    adapter = searched(0.5)[1]
    data = make_data(train=40)
    backend = JournaledBackend(Slow(0.01), Journal(None))
    with backend.until(0.1, grace=5):
        fitted = adapter.fit(data.train, backend, dev=data.dev)
    assert "no sets were compared" in fitted.notes["search"]["cut"]
    plain = adapter.fit(data.train, Slow(0.0), dev=data.dev)
    assert "cut" not in plain.notes["search"]


def test_a_test_split_that_does_not_fit_is_scored_in_part_and_it_is_said() -> None:
    result, taken = timed(rung(0.1), rung(0.9, "last"), pace=0.03, data=make_data(train=8, dev=40, test=400))
    test = result.record.test
    assert test is not None and test.score is not None and 5 <= test.score.n < 200
    assert test.reads[-1].items == test.score.n == len(test.items)
    assert any("of 400 test items" in note for note in result.record.notes)
    assert taken < 1.25 * SECONDS + 1.0


def test_a_model_too_slow_for_a_block_judges_what_it_can() -> None:
    result, taken = timed(rung(0.3), rung(0.9, "last"), pace=0.4, data=make_data(train=8, dev=40, test=10))
    first = result.record.trials[0]
    assert first.verdict == "first" and 1 <= len(first.results) < 20
    assert result.record.decision is not None and result.record.decision.stopped == "budget"
    assert taken < 1.25 * SECONDS + 1.0


def test_a_fit_that_does_not_fit_is_left_out_and_the_next_rung_still_judged() -> None:
    class Hungry:
        """Asks the model for ever."""

        def fit(self, examples: Any, backend: Any, *, dev: Any = None, seed: int = 0) -> Any:
            for number in range(10_000):
                backend.generate([pk.Request(pk.Prompt(text=f"Quality 0.5.\n\nSum: {number} + 1\nAnswer:"))])

    result, taken = timed(rung(0.1), ("hungry", Hungry()), rung(0.9, "last"), pace=0.02)
    assert verdicts(result)[:2] == ["first", "not_tried"]
    assert "did not fit into its share of the budget" in result.record["hungry"].reason
    last = result.record["last"].test
    assert last is not None and last.items >= 20
    assert taken < 1.25 * SECONDS + 1.0


def test_with_more_time_what_was_left_out_is_made_up_for(tmp_path: Path) -> None:
    ladder = [rung(0.1), searched(0.9)]
    data = make_data(train=80, dev=60, test=20)
    options: dict[str, Any] = {"rungs": ladder, "data": data, "folds": 0, "folder": tmp_path / "run"}
    first = climb(**options, backend=Slow(0.05), budget=pk.Budget(minutes=1.2 / 60))
    assert first.record.decision is not None and first.record.decision.stopped == "budget"
    again = climb(**options, backend=Slow(0.0), budget=pk.Budget(minutes=5))
    assert verdicts(again) == ["first", "kept"] and again.record.extended[0].startswith("minutes 0.02 to 5")
    assert again.record.test is not None and again.record.test.score is not None and again.record.test.score.n == 20


def test_parts_shrink_with_the_time_that_is_left() -> None:
    backend = JournaledBackend(Slow(0.01), Journal(None))
    requests = [pk.Request(pk.Prompt(text=f"Quality 0.5.\n\nSum: {n} + 1\nAnswer:")) for n in range(64)]
    began = time.monotonic()
    with pytest.raises(OutOfTime), backend.until(0.3):
        backend.generate(requests)
    assert time.monotonic() - began < 0.6
    assert 4 <= backend.spent.calls < 40  # what was answered is kept
    assert len(backend.generate(requests)) == 64  # and without a deadline everything is asked


def test_without_a_budget_calls_are_as_large_as_ever() -> None:
    sizes: list[int] = []

    class Counting(pk.ScriptedBackend):
        def generate(self, requests: Any, *, progress: Any = None) -> Any:
            sizes.append(len(requests))
            return super().generate(requests, progress=progress)

    climb(0.3, data=make_data(train=8, dev=40, test=100), backend=Counting(answer, name="sums"), folds=0)
    assert sizes[0] == 20 and 64 in sizes


def test_a_training_of_the_callers_gets_the_limit_of_the_budget() -> None:
    import dataclasses

    seen: list[float | None] = []

    @dataclasses.dataclass(frozen=True)
    class Training:
        max_minutes: float | None = None

        def fit(self, examples: Any, backend: Any, *, dev: Any = None, seed: int = 0) -> Any:
            seen.append(self.max_minutes)
            return rung(0.9)[1].fit(examples, backend, dev=dev, seed=seed)

    data = make_data(train=8, dev=40, test=5)
    for training, budget in ((Training(), 10), (Training(2.0), 10), (Training(), None)):
        climb(rungs=[rung(0.3), ("own", training)], data=data, budget=pk.Budget(minutes=budget), folds=0)
    assert seen[0] is not None and 1 < seen[0] <= 10 and seen[1:] == [2.0, None]
