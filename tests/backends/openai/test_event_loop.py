from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import pytest

from promptkit.backends.openai.event_loop import LoopThread, as_finished
from promptkit.errors import BackendError


@pytest.fixture
def loop() -> Iterator[LoopThread]:

    async def nothing() -> None:
        pass

    made = LoopThread("test", nothing)
    yield made
    made.close()


def test_coroutines_run_in_one_other_thread(loop: LoopThread) -> None:
    async def where() -> int:
        return threading.get_ident()

    first = loop.run(where())
    assert first != threading.get_ident()
    assert loop.run(where()) == first
    loop.close()
    assert loop.run(where()) != threading.get_ident()


def test_errors_come_back(loop: LoopThread) -> None:
    async def fail() -> None:
        raise KeyError("oops")

    async def count() -> AsyncIterator[int]:
        yield 1
        raise KeyError("oops")

    with pytest.raises(KeyError, match="oops"):
        loop.run(fail())
    items = loop.iterate(count)
    assert next(items) == 1
    with pytest.raises(KeyError, match="oops"):
        next(items)


def test_an_iterator_that_is_left_is_ended(loop: LoopThread) -> None:
    ended = threading.Event()

    async def forever() -> AsyncIterator[int]:
        try:
            for number in range(10**9):
                yield number
                await asyncio.sleep(0.001)
        finally:
            ended.set()

    items = loop.iterate(forever)
    assert [next(items) for _ in range(3)] == [0, 1, 2]
    items.close()
    assert ended.wait(20)


def test_closing_awaits_the_end_and_may_be_repeated() -> None:
    ended: list[bool] = []

    async def end() -> None:
        await asyncio.sleep(0.01)
        ended.append(True)

    loop = LoopThread("test", end)
    loop.close()
    assert ended == []  # nothing had begun
    loop.run(asyncio.sleep(0))
    loop.close()
    loop.close()
    assert ended == [True]


def test_closing_ends_what_waits(loop: LoopThread) -> None:
    begun = threading.Event()

    async def wait() -> None:
        begun.set()
        await asyncio.sleep(3600)

    def close() -> None:
        begun.wait()
        loop.close()

    threading.Thread(target=close).start()
    with pytest.raises(BackendError, match="closed while it worked"):
        loop.run(wait())


def collect(groups: list[list[Callable[[], Coroutine[Any, Any, int]]]], workers: int) -> dict[int, Any]:
    async def main() -> dict[int, Any]:
        return {place: found async for place, found in as_finished(groups, workers, permanent=LookupError)}

    return asyncio.run(main())


def test_groups_finish_with_all_their_jobs_in_order() -> None:
    running, most = 0, 0

    def job(value: int) -> Callable[[], Coroutine[Any, Any, int]]:
        async def work() -> int:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.001 * (7 - value % 7))
            running -= 1
            return value

        return work

    found = collect([[job(10 * group + n) for n in range(group)] for group in range(1, 9)], workers=5)
    assert found == {group - 1: [10 * group + n for n in range(group)] for group in range(1, 9)}
    assert most == 5
    assert collect([], workers=5) == {}


def test_a_failed_job_fails_its_group_and_a_hopeless_one_all_that_has_not_begun() -> None:
    done: list[str] = []

    def job(name: str, error: Exception | None = None) -> Callable[[], Coroutine[Any, Any, int]]:
        async def work() -> int:
            done.append(name)
            if error is not None:
                raise error
            return 1

        return work

    bad, permanent = ValueError("bad"), LookupError("permanent")
    groups = [[job("a"), job("b", bad), job("c")], [job("d")], [job("e", permanent), job("f")], [job("g")]]
    found = collect(groups, workers=1)
    assert found == {0: bad, 1: [1], 2: permanent, 3: permanent}
    assert done == ["a", "b", "d", "e"]


def test_a_group_whose_rest_is_hopeless_fails_although_a_job_of_it_succeeds_later() -> None:
    permanent = LookupError("permanent")
    go = asyncio.Event()

    async def late() -> int:
        await go.wait()
        return 1

    async def fail() -> int:
        raise permanent

    async def never() -> int:
        raise AssertionError("it must not begin")

    async def main() -> dict[int, Any]:
        asyncio.get_running_loop().call_later(0.05, go.set)
        groups = [[late, never], [fail]]
        # One worker fails and goes on to "never", while the other waits in "late".
        return {place: found async for place, found in as_finished(groups[::-1], 2, permanent=LookupError)}

    assert asyncio.run(main()) == {0: permanent, 1: permanent}
