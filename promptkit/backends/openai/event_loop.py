"""One event loop in a thread of its own, so that asynchronous calls can be made from anywhere.

Callers need no event loop and may have one that runs: neither is touched.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import queue
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Generator, Sequence
from typing import Any, TypeVar, cast

from promptkit.errors import BackendError

__all__ = ["LoopThread", "as_finished"]

T = TypeVar("T")
_END = object()


class LoopThread:
    """Runs coroutines in a background thread, which is started at the first one.

    After a fork the child starts a thread of its own: threads are not inherited.

    Args:
        name: Name of the thread.
        on_close: Makes the coroutine that is awaited before the loop ends.
    """

    def __init__(self, name: str, on_close: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._name = name
        self._on_close = on_close
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._owner = 0

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Starts a coroutine on the loop."""
        with self._lock:
            if self._loop is None or self._owner != os.getpid():
                self._loop, self._owner = asyncio.new_event_loop(), os.getpid()
                self._thread = threading.Thread(target=_run, args=(self._loop,), name=self._name, daemon=True)
                self._thread.start()
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine to its end; if the caller is interrupted, so is the coroutine."""
        future = self.submit(coroutine)
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise _closed() from None
        except BaseException:
            future.cancel()
            raise

    def iterate(self, make: Callable[[], AsyncIterator[T]]) -> Generator[T, None, None]:
        """Gives the items of an asynchronous iterator as they come; it is ended when the caller stops early.

        The iterator lives in one task of the loop and never waits for the caller.
        """
        items: queue.SimpleQueue[Any] = queue.SimpleQueue()

        async def pump() -> None:
            try:
                async for item in make():
                    items.put(item)
            except Exception as error:
                items.put(error)
            except BaseException as error:  # cancelled: the loop must learn of it too
                items.put(error)
                raise
            finally:
                items.put(_END)

        future = self.submit(pump())
        try:
            while (item := items.get()) is not _END:
                if isinstance(item, asyncio.CancelledError):
                    raise _closed()
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            future.cancel()

    def close(self) -> None:
        """Ends all work and the thread; a later coroutine starts them again."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
            if loop is None or thread is None or self._owner != os.getpid() or not thread.is_alive():
                return
        asyncio.run_coroutine_threadsafe(_end(loop, self._on_close), loop)
        if thread is not threading.current_thread():
            thread.join(timeout=5)


def _closed() -> BackendError:
    return BackendError("the backend was closed while it worked; close it when all its calls are done")


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.close()


async def _end(loop: asyncio.AbstractEventLoop, on_close: Callable[[], Coroutine[Any, Any, None]]) -> None:
    try:
        mine = asyncio.current_task()
        others = [task for task in asyncio.all_tasks(loop) if task is not mine]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await on_close()
        await loop.shutdown_asyncgens()
    finally:
        loop.stop()


async def as_finished(
    groups: Sequence[Sequence[Callable[[], Awaitable[T]]]], workers: int, *, permanent: type[Exception]
) -> AsyncGenerator[tuple[int, list[T] | Exception], None]:
    """Does groups of jobs side by side.

    Args:
        groups: Jobs that belong together; a group fails with the first of its jobs, and its others are left out.
        workers: Jobs at once.
        permanent: A failure of this kind is taken for that of all jobs that have not begun.

    Yields:
        Number of a group with the results of its jobs, or with why it failed; as they finish.
    """
    waiting = iter([(place, number) for place, group in enumerate(groups) for number in range(len(group))])
    done: asyncio.Queue[tuple[int, int, T | None]] = asyncio.Queue()
    failed: dict[int, Exception] = {}
    end: list[Exception] = []

    async def work() -> None:
        for place, number in waiting:
            result: T | None = None
            try:
                if end:
                    raise end[0]
                if place not in failed:
                    result = await groups[place][number]()
            except Exception as error:
                end.extend([error] if isinstance(error, permanent) else [])
                failed.setdefault(place, error)
            done.put_nowait((place, number, result))

    count = sum(map(len, groups))
    tasks = [asyncio.create_task(work()) for _ in range(min(workers, count))]
    results: list[dict[int, T]] = [{} for _ in groups]
    try:
        for _ in range(count):
            place, number, result = await done.get()
            results[place][number] = cast(T, result)
            if len(results[place]) == len(groups[place]):
                yield place, failed.get(place) or [results[place][at] for at in range(len(groups[place]))]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
