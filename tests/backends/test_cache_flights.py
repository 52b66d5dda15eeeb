"""One asks, the others wait: threads and processes that want the same answers at the same time."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from promptkit import BackendError, CachedBackend, Prompt, Request, Sampling, ScriptedBackend
from promptkit.backends import cache_flights
from promptkit.backends.cache_flights import Flights
from promptkit.backends.store import Store
from promptkit.types import ScoreRequest
from tests.support import run_program


class Slow:
    """A model that takes its time, counts what it is asked for, and fails on demand."""

    name, chat, context_window = "slow", False, 1000

    def __init__(self, seconds: float = 0.1, fails: Callable[[int], bool] = lambda call: False) -> None:
        self.asked: list[tuple[str, int]] = []
        self.calls = 0
        self._seconds, self._fails, self._lock = seconds, fails, threading.Lock()
        self._inner = ScriptedBackend(lambda request, index: f" {request.prompt.text}-{index}")

    def generate(self, requests: Any, *, progress: Any = None) -> Any:
        with self._lock:
            self.calls += 1
            call = self.calls
            self.asked += [(r.prompt.text, index) for r in requests for index in r.samples]
        time.sleep(self._seconds)
        if self._fails(call):
            raise BackendError(f"call {call} failed")
        return self._inner.generate(requests)

    def stream(self, request: Any) -> Iterator[str]:
        (reply,) = self.generate([request])
        yield from (reply.completions[0].text[:2], reply.completions[0].text[2:])
        return reply

    def score(self, requests: Any) -> Any:
        with self._lock:
            self.asked += [(r.prompt.text, len(each)) for r in requests for each in r.continuations]
        time.sleep(self._seconds)
        return [tuple((-float(len(each)), 1) for each in r.continuations) for r in requests]

    def count_tokens(self, prompt: Prompt) -> int:
        return 1

    def fingerprint(self) -> str:
        return "slow"


def ask(text: str, *samples: int) -> Request:
    return Request(Prompt(text=text), Sampling(temperature=1.0), samples=samples or (0,))


def together(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Does work in so many threads at once; returns what each returned or raised."""
    results: list[Any] = [None] * count
    ready = threading.Barrier(count)

    def run(number: int) -> None:
        ready.wait()
        try:
            results[number] = work(number)
        except Exception as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "blocked"
    return results


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "answers.sqlite"


@pytest.mark.parametrize("own_object", [False, True])
@pytest.mark.parametrize("one_by_one", [False, True])
def test_eight_threads_ask_four_questions_four_times(path: Path, own_object: bool, one_by_one: bool) -> None:
    model = Slow()
    shared = CachedBackend(model, path)
    requests = [ask(text) for text in "abcd"]

    def work(number: int) -> list[str]:
        backend = CachedBackend(model, path) if own_object else shared
        turn = requests[number % 4 :] + requests[: number % 4]
        groups = [[one] for one in turn] if one_by_one else [turn]
        return [reply.completions[0].text for group in groups for reply in backend.generate(group)]

    results = together(8, work)
    assert all(sorted(each) == [" a-0", " b-0", " c-0", " d-0"] for each in results), results
    assert sorted(model.asked) == [(text, 0) for text in "abcd"]
    if not own_object:
        assert (shared.stats.hits, shared.stats.misses) == (28, 4)


def test_samples_are_waited_for_one_by_one(path: Path) -> None:
    model = Slow(0.3)
    backend = CachedBackend(model, path)

    def work(number: int) -> Any:
        time.sleep(0.1 * number)  # 5 samples are asked for when 20 are wanted, and these are when 8 others are
        (reply,) = backend.generate([ask("q", *[range(5), range(20), range(3, 11)][number])])
        return [one.text for one in reply.completions]

    first, second, third = together(3, work)
    assert first == [f" q-{index}" for index in range(5)]
    assert second == [f" q-{index}" for index in range(20)]
    assert third == [f" q-{index}" for index in range(3, 11)]
    assert sorted(model.asked) == [("q", index) for index in range(20)]


def test_scores_and_streams_are_waited_for_too(path: Path) -> None:
    model = Slow(0.2)
    backend = CachedBackend(model, path)
    request = ScoreRequest(Prompt(text="q"), (" a", " bb"))
    assert together(6, lambda number: backend.score([request])) == [[((-2.0, 1), (-3.0, 1))]] * 6
    assert sorted(model.asked) == [("q", 2), ("q", 3)]
    model.asked.clear()
    assert together(6, lambda number: "".join(backend.stream(ask("s")))) == [" s-0"] * 6
    assert model.asked == [("s", 0)]


def test_what_fails_for_one_is_tried_by_the_others_at_once_and_not_in_a_row(path: Path) -> None:
    model = Slow(0.3, fails=lambda call: True)
    backend = CachedBackend(model, path)
    started = time.monotonic()
    results = together(6, lambda number: backend.generate([ask("q")]))
    assert all(isinstance(one, BackendError) for one in results)
    assert len(model.asked) == 6
    assert time.monotonic() - started < 6 * 0.3  # in a row it would be that at least


def test_who_waited_for_a_failure_gets_the_answer(path: Path) -> None:
    model = Slow(0.2, fails=lambda call: call == 1)
    backend = CachedBackend(model, path)
    results = together(4, lambda number: backend.generate([ask("q")]))
    assert sum(isinstance(one, BackendError) for one in results) == 1
    assert [one[0].completions[0].text for one in results if isinstance(one, list)] == [" q-0"] * 3
    assert backend.generate([ask("q")])[0].completions[0].text == " q-0"


def test_two_who_want_each_others_questions_do_not_block_each_other(path: Path) -> None:
    model = Slow(0.1)
    ones, others = CachedBackend(model, path), CachedBackend(model, path)

    def work(number: int) -> int:
        backend, order = ((ones, "abcdef"), (others, "fedcba"))[number % 2]
        return len([backend.generate([ask(text), ask(text + "!"), ask("z")]) for text in order])

    assert together(6, work) == [6] * 6
    assert sorted({one for one, _ in model.asked}) == sorted(one for one, _ in model.asked)


def test_a_caller_that_asks_while_it_is_given_answers_does_not_wait_for_itself(path: Path) -> None:
    backend = CachedBackend(Slow(0.0), path)
    requests = [
        ask(str(number)) for number in range(130)
    ]  # asked for in portions, so some are claimed and not asked for
    seen = 0
    for number, _ in backend.replies(requests):
        seen += 1
        assert backend.generate([requests[(number + 65) % 130]])
    assert seen == 130


def test_a_caller_that_leaves_gives_its_claims_up(path: Path) -> None:
    model = Slow(0.0)
    backend = CachedBackend(model, path)
    found = backend.replies([ask(str(number)) for number in range(130)])
    next(found)
    found.close()  # type: ignore[attr-defined]
    started = time.monotonic()
    CachedBackend(model, path).generate([ask("129")])
    assert time.monotonic() - started < 3


def test_a_caller_that_rests_for_long_is_not_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_flights, "LEASE", 0.5)
    monkeypatch.setattr(cache_flights, "_BEAT", 0.1)
    model = Slow(0.0)
    found = CachedBackend(model, path).replies([ask(str(number)) for number in range(130)])
    next(found)
    result = together(1, lambda number: CachedBackend(model, path).generate([ask("129")]))
    assert result[0][0].completions[0].text == " 129-0"
    assert len(list(found)) == 129


def test_a_claim_holds_while_its_owner_works_and_lapses_when_it_is_dead(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_flights, "LEASE", 0.6)
    monkeypatch.setattr(cache_flights, "_BEAT", 0.1)
    alive, other = Flights(Store(path, 2**20)), Flights(Store(path, 2**20))
    keys = [bytes([number]) * 32 for number in range(3)]
    with alive.begin() as owner, other.begin() as waiter:
        assert owner.claim(keys) == set(keys)
        time.sleep(1.2)
        assert waiter.claim(keys) == set()
        alive.leave(owner)  # as if its process had been killed: nobody extends the claim
        started = time.monotonic()
        assert waiter.wait(keys) == (set(keys), set())
        assert time.monotonic() - started < 5
        assert waiter.claim(keys) == set(keys)
        owner.done(keys)  # it was only away; the claim is not its own any more
        with other.begin() as third:
            assert third.claim(keys) == set()


def test_the_wait_has_a_limit(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_flights, "LIMIT", 0.3)
    store = Store(path, 2**20)
    flights = Flights(store)
    with flights.begin() as owner, Flights(store).begin() as waiter:
        owner.claim([b"k" * 32])
        assert waiter.wait([b"k" * 32]) == (set(), {b"k" * 32})


def test_a_claim_from_another_age_of_the_clock_is_void(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flights = Flights(Store(path, 2**20))
    with flights.begin() as owner, flights.begin() as other:
        monkeypatch.setattr(cache_flights, "_now", lambda: (time.time_ns() // 10**6) + 10**9)
        owner.claim([b"k" * 32])
        monkeypatch.undo()
        assert other.claim([b"k" * 32]) == {b"k" * 32}


def share(folder: Path, processes: int, questions: int, kills: int) -> dict[str, int]:
    done = run_program("sharing_children", folder, processes, questions, kills)
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout)
    return found


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks its processes")


@needs_fork
@pytest.mark.parametrize(("processes", "questions"), [(4, 30), pytest.param(16, 120, marks=pytest.mark.slow)])
def test_processes_ask_for_each_question_once(tmp_path: Path, processes: int, questions: int) -> None:
    assert share(tmp_path, processes, questions, 0) == {"calls": questions, "questions": questions, "killed": 0}


@needs_fork
@pytest.mark.slow
@pytest.mark.parametrize("kills", [1, 3])
def test_a_killed_asker_blocks_nobody(tmp_path: Path, kills: int) -> None:
    found = share(tmp_path, 16, 400, kills)
    assert (found["questions"], found["killed"]) == (400, kills)
    # What a killed process was told and had not stored is asked for again: a portion of 64 at most.
    assert found["calls"] <= 400 + 64 * kills
