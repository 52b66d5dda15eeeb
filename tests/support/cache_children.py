"""A program for tests of the cache: it forks children that write one file, and kills them.

``python -m tests.support.cache_children write PATH WRITERS COUNT``: so many writers at once; each must find all it wrote.
``python -m tests.support.cache_children kill PATH KILLS``: kills writers at random moments; what they acknowledged must be there.
``python -m tests.support.cache_children open FOLDER OPENERS TIMES``: opens a new file at once, time and again.

Prints one line that ends in "ok", and exits with 0 only then. Modules are loaded once: a fork costs milliseconds.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import struct
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

from promptkit.backends.store import Store

LARGE = 2**30
SHARED = 10**12


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


def write(path: str, name: int, count: int, acknowledge: int | None = None) -> None:
    """Writes rows of its own and some that all writers share, and looks for both."""
    store = Store(path, LARGE)
    for number in range(count):
        own, shared = key(name * 10**6 + number), key(SHARED + number % 50)
        store.put({own: [name, number], shared: number % 50})
        if acknowledge is not None:
            os.write(acknowledge, struct.pack("<q", number))
        assert store.get([own, shared]) == {own: [name, number], shared: number % 50}
    assert store.bad_rows == 0


def child(work: Callable[[], None]) -> int:
    """Does work in a forked process, in which every warning is a failure."""
    number = os.fork()
    if number:
        return number
    try:
        warnings.simplefilter("error")
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def status(number: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])


def all_write(path: str, writers: int, count: int) -> str:
    running = [child(lambda name=name: write(path, name, count)) for name in range(writers)]
    assert [status(one) for one in running] == [0] * writers
    found = Store(path, LARGE).get([key(n * 10**6 + k) for n in range(writers) for k in range(count)])
    assert len(found) == writers * count
    return f"{writers * count} rows of {writers} writers"


def kill(path: str, kills: int) -> str:
    how = random.Random(kills)
    acknowledged = 0
    for first in range(0, kills, 2):
        pair = []
        for name in (first, first + 1):
            out, into = os.pipe()
            pair.append((name, out, child(lambda name=name, into=into: write(path, name, 10**6, into))))
            os.close(into)
        time.sleep(how.uniform(0.0, 0.06))
        for _, _, number in pair:
            os.kill(number, signal.SIGKILL)
        for name, out, number in pair:
            assert status(number) == -signal.SIGKILL
            with open(out, "rb") as told:
                count = len(told.read()) // 8
            acknowledged += count
            found = Store(path, LARGE).get([key(name * 10**6 + k) for k in range(count)])
            assert found == {key(name * 10**6 + k): [name, k] for k in range(count)}, (name, count, len(found))
    store = Store(path, LARGE)
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    rows = [row[0] for row in connection.execute("SELECT key FROM answers")]
    assert len(store.get(rows)) == len(rows) >= acknowledged
    assert store.bad_rows == 0
    return f"{acknowledged} acknowledged rows after {kills} kills, none lost, none bad"


def all_open(folder: str, openers: int, times: int) -> str:
    def work(path: str, number: int, start: float) -> None:
        time.sleep(max(0.0, start - time.time()))
        write(path, number, 1)

    for turn in range(times):
        path, start = str(Path(folder, f"{turn}.sqlite")), time.time() + 0.02 + 0.002 * openers
        running = [child(lambda n=n, path=path, start=start: work(path, n, start)) for n in range(openers)]
        assert [status(one) for one in running] == [0] * openers
        assert len(Store(path, LARGE).get([key(n * 10**6) for n in range(openers)])) == openers
    return f"{times} files opened first by {openers} at once"


if __name__ == "__main__":
    mode, place, *numbers = sys.argv[1:]
    do: dict[str, Callable[..., str]] = {"write": all_write, "kill": kill, "open": all_open}
    print(do[mode](place, *map(int, numbers)), "ok")
