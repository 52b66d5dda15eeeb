"""One asks, the others wait: leases on keys of the answer cache, for threads and processes that share its file.

Whoever is about to ask for answers claims their keys first. A claim is a row with an owner and a time until which it
holds; a thread of the owner extends it while the backend works. So a claim of a process that was killed, or stopped,
lapses after ``LEASE`` seconds, and one of the others takes it over.

Nobody waits while holding a claim: what could be claimed is asked for first, and only then are others waited for.
Two who want each other's keys therefore cannot block each other.
"""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from types import TracebackType

from promptkit.backends.store import TOGETHER, Store, transaction

__all__ = ["LEASE", "LIMIT", "Flight", "Flights"]

LEASE = 6.0
"""Seconds for which a claim holds that nobody extends."""
LIMIT = 120.0
"""Seconds without any progress after which a waiter asks by itself, which costs a call and changes no answer."""
_BEAT = LEASE / 4
_FAILED = 3.0  # seconds for which waiters can see that the one they waited for failed
_POLL = (0.02, 0.2)  # seconds between two polls, at first and at last

_SCHEMA = "CREATE TABLE IF NOT EXISTS asking (key BLOB PRIMARY KEY, owner BLOB, until INTEGER, failed INTEGER)"


def _now() -> int:
    return time.time_ns() // 1_000_000


def _parts(keys: Collection[bytes]) -> Iterator[tuple[str, Sequence[bytes]]]:
    """Splits keys into portions of one SQL question each, with its question marks."""
    listed = list(keys)
    for start in range(0, len(listed), TOGETHER):
        some = listed[start : start + TOGETHER]
        yield ",".join("?" * len(some)), some


class Flights:
    """The claims of one process on the keys of one file.

    Args:
        store: The file.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.changed = threading.Condition()  # of this process; others are polled for
        self._lock = threading.Lock()
        self._open: dict[bytes, Flight] = {}
        self._beating: threading.Thread | None = None

    def begin(self) -> Flight:
        """Makes a flight, a context manager that gives up at its end what is still claimed."""
        return Flight(self)

    def enter(self, flight: Flight) -> None:
        """Begins to extend the claims of a flight."""
        with self._lock:
            self._open[flight.owner] = flight
            if self._beating is None or not self._beating.is_alive():  # none is alive in the child of a fork
                self._beating = threading.Thread(target=self._beat, name="promptkit cache", daemon=True)
                self._beating.start()

    def leave(self, flight: Flight) -> None:
        """Ends to extend the claims of a flight."""
        with self._lock:
            self._open.pop(flight.owner, None)

    def held_by_this_thread(self) -> bool:
        """Tells whether the running thread has a flight with claims, perhaps further out in its own calls."""
        with self._lock:
            flights = list(self._open.values())
        return any(one.held and one.thread == threading.get_ident() for one in flights)

    def _beat(self) -> None:
        while True:
            time.sleep(_BEAT)
            with self._lock:
                if not self._open:
                    self._beating = None
                    return
                owners = [owner for owner, one in self._open.items() if one.held and not one.resting]
            if owners:
                self.store.use(partial(_extend, owners), None, writing=True)


def _extend(owners: Sequence[bytes], connection: sqlite3.Connection) -> None:
    until = _now() + int(LEASE * 1000)
    with transaction(connection):
        connection.executemany(
            "UPDATE asking SET until = ? WHERE owner = ? AND NOT failed", [(until, owner) for owner in owners]
        )


class Flight:
    """What one call asks for.

    Args:
        flights: Those of the process.

    Attributes:
        owner: Tells its claims from those of others.
        thread: Identifier of the thread that made it.
        held: Keys that it claims.
        resting: Whether the caller is busy with something else, for which nobody is to wait.
    """

    def __init__(self, flights: Flights) -> None:
        self._flights = flights
        self._store = flights.store
        self.owner = secrets.token_bytes(16)
        self.thread = threading.get_ident()
        self.held: set[bytes] = set()
        self.resting = False

    def __enter__(self) -> Flight:
        """Returns itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        """Gives up what is still claimed."""
        if kind is not None and issubclass(kind, Exception):
            self.fail(set(self.held))
        self._release(set(self.held))
        self._flights.leave(self)

    def claim(self, keys: Collection[bytes]) -> set[bytes]:
        """Claims the keys that nobody asks for at the moment.

        Args:
            keys: Keys without a known answer.

        Returns:
            Those that nobody else claims; all if the file cannot be used. The answers of some may have come since they
            were looked up last.
        """
        mine = self._store.use(lambda connection: self._claim(connection, keys), None, writing=True)
        if mine is None:
            return set(keys)
        if mine:
            self.held |= mine
            self._flights.enter(self)
        return mine

    def _claim(self, connection: sqlite3.Connection, keys: Collection[bytes]) -> set[bytes]:
        now, span = _now(), int(LEASE * 1000)
        mine: set[bytes] = set()
        with transaction(connection):
            connection.execute(_SCHEMA)
            connection.execute("DELETE FROM asking WHERE until <= ? OR until > ?", (now, now + 2 * span))
            for marks, some in _parts(keys):
                query = f"SELECT key FROM asking WHERE NOT failed AND key IN ({marks})"
                mine |= set(some) - {row[0] for row in connection.execute(query, some)}
            rows = [(key, self.owner, now + span) for key in mine]
            connection.executemany("INSERT OR REPLACE INTO asking VALUES (?, ?, ?, 0)", rows)
        return mine

    def done(self, keys: Collection[bytes]) -> None:
        """Gives up claims on keys, whose answers are stored or cannot be.

        Args:
            keys: Keys that were claimed.
        """
        self._release(self.held & set(keys))

    def _release(self, keys: set[bytes]) -> None:
        self.held -= keys
        if keys:
            rows = [(key, self.owner) for key in keys]
            self._change("DELETE FROM asking WHERE key = ? AND owner = ?", rows)

    def fail(self, keys: Collection[bytes]) -> None:
        """Gives up claims on keys that could not be answered; who waits for them then asks by itself.

        Args:
            keys: Keys that were claimed.
        """
        failed = self.held & set(keys)
        self.held -= failed
        if failed:
            until = _now() + int(_FAILED * 1000)
            rows = [(until, key, self.owner) for key in failed]
            self._change("UPDATE asking SET failed = 1, until = ? WHERE key = ? AND owner = ?", rows)

    def _change(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        def work(connection: sqlite3.Connection) -> None:
            with transaction(connection):
                connection.executemany(statement, rows)

        self._store.use(work, None, writing=True)
        with self._flights.changed:
            self._flights.changed.notify_all()

    def wait(self, keys: Collection[bytes]) -> tuple[set[bytes], set[bytes]]:
        """Waits until somebody else has finished with one of the keys at least.

        Args:
            keys: Keys that others claim.

        Returns:
            Keys that nobody claims any more, whose answer may be there; and keys that the caller is to ask for
            without a claim, because who asked failed, took longer than ``LIMIT``, or waits for the caller.
        """
        wanted = set(keys)
        if self.held or self._flights.held_by_this_thread():
            return set(), wanted
        deadline, pause = time.monotonic() + LIMIT, _POLL[0]
        while time.monotonic() < deadline:
            state = self._store.use(partial(_look, wanted), dict[bytes, bool]())
            failed = {key for key, lost in state.items() if lost}
            free = wanted - set(state)
            if failed or free:
                return free, failed
            with self._flights.changed:
                self._flights.changed.wait(pause)
            pause = min(pause * 1.5, _POLL[1])
        return set(), wanted

    @contextlib.contextmanager
    def rest(self) -> Iterator[None]:
        """Lets claims lapse while a caller is busy with what it was given, if that takes long."""
        self.resting = True
        try:
            yield
        finally:
            self.resting = False


def _look(keys: Collection[bytes], connection: sqlite3.Connection) -> dict[bytes, bool]:
    """Finds which keys are claimed, and of which the claim ended in a failure."""
    now, found = _now(), dict[bytes, bool]()
    for marks, some in _parts(keys):
        query = f"SELECT key, failed FROM asking WHERE until > ? AND until <= ? AND key IN ({marks})"
        found |= {key: bool(lost) for key, lost in connection.execute(query, [now, now + 2 * int(LEASE * 1000), *some])}
    return found
