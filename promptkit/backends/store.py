"""A file of answers that many processes share, that survives being killed, and that never stops the work.

One SQLite file with a write-ahead log. A row holds a key, a JSON text, and a hash of both; a row whose hash is wrong is
thrown away and counts as missing. What was stored when ``put`` returned is there after a kill of the process.
Whatever the disk refuses ends in one warning, and the store is then empty instead of broken.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import sqlite3
import stat
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from promptkit.errors import SettingError, check_path, error_message

__all__ = ["TOGETHER", "Store", "transaction"]

T = TypeVar("T")

_APPLICATION = 0x706B7401  # says in the file's header whose it is
_SCHEMA = """
CREATE TABLE answers (key BLOB PRIMARY KEY, value TEXT NOT NULL, hash BLOB NOT NULL, used INTEGER NOT NULL);
CREATE INDEX answers_by_use ON answers (used);
"""
_PATIENCE = 60.0  # seconds for which the lock of other processes is waited for
_FRESH = 60_000  # milliseconds for which a use need not be written down again
TOGETHER = 500
"""Keys per question: SQLite has a limit of its own."""
_INHERITED: list[sqlite3.Connection] = []  # of the parent of a fork: closing them here would touch its locks


class Store:
    """Values by key.

    Args:
        path: The file; it and a new folder around it are for its owner alone.
        max_bytes: Size of the file from which the values that were not used for longest are thrown out.

    Raises:
        SettingError: The file is that of another program, or ``max_bytes`` is too small.
    """

    def __init__(self, path: str | os.PathLike[str], max_bytes: int) -> None:
        if isinstance(max_bytes, bool) or not isinstance(max_bytes, int) or max_bytes < 2**16:
            expected = "an integer of at least 65,536"
            raise SettingError(error_message("max_bytes", of="CachedBackend", expected=expected, got=max_bytes))
        self.path = check_path(path, "path", of="CachedBackend")
        self.bad_rows = 0
        self._max_bytes = max_bytes
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._owner = 0
        self._off = False
        self._read_only = False
        self._guarded(self._open, None)

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Any]:
        """Finds values.

        Args:
            keys: What to look for.

        Returns:
            The values that are there, by key.
        """
        return self._guarded(lambda: self._get(keys), {})

    def put(self, values: Mapping[bytes, Any]) -> None:
        """Stores values, all or none of them.

        Args:
            values: JSON data by key; older values of the keys are replaced.
        """
        if values and not self._read_only:
            self._guarded(lambda: self._put(values), None, writing=True)

    def use(self, work: Callable[[sqlite3.Connection], T], otherwise: T, *, writing: bool = False) -> T:
        """Does other work on the file, under the rules of ``get`` and ``put``.

        Args:
            work: What is done with the connection.
            otherwise: What is returned where the file cannot be used.
            writing: Whether it writes.

        Returns:
            What ``work`` returns, or ``otherwise``.
        """
        if writing and self._read_only:
            return otherwise
        return self._guarded(lambda: work(self._open()), otherwise, writing=writing)

    def close(self) -> None:
        """Closes the file; a later call opens it again."""
        with self._lock:
            if self._connection is not None and self._owner == os.getpid():
                with contextlib.suppress(sqlite3.Error):
                    self._connection.close()
            self._connection = None

    def _guarded(self, work: Callable[[], T], otherwise: T, *, writing: bool = False) -> T:
        """Does work on the file; whatever fails is told once."""
        if self._off:
            return otherwise
        try:
            with self._lock:
                return self._patiently(work)
        except (sqlite3.Error, OSError) as error:
            if writing:
                self._read_only = True
            else:
                self._off = True
            what = "no more answers are stored" if writing else "answers are neither looked up nor stored"
            warnings.warn(
                f"cache {self.path.name}: {error}; {what} by this process, and the work goes on; "
                "make room, or check that the file can be read and written, or delete it",
                RuntimeWarning,
                stacklevel=4,
            )
            return otherwise

    def _patiently(self, work: Callable[[], T]) -> T:
        """Tries again while other processes hold the file, beyond what SQLite waits by itself."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                return work()
            except sqlite3.OperationalError as error:
                code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest says why
                busy = code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
                if not busy or time.monotonic() > deadline:
                    raise
            time.sleep(random.uniform(0.001, 0.05))

    def _open(self) -> sqlite3.Connection:
        """The connection of this process."""
        if self._connection is not None and self._owner == os.getpid():
            return self._connection
        if self._connection is not None:
            _INHERITED.append(self._connection)
            self._connection = None
        self._prepare_file()
        connection = sqlite3.connect(self.path, timeout=10, isolation_level=None, check_same_thread=False)
        connection.text_factory = bytes  # a damaged text need not be UTF-8
        try:
            self._set_up(connection)
        except BaseException:
            connection.close()
            raise
        self._connection, self._owner = connection, os.getpid()
        return connection

    def _prepare_file(self) -> None:
        if not self.path.parent.exists():
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            return
        found = self.path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise OSError("is not a regular file")
        if hasattr(os, "getuid") and found.st_uid != os.getuid():
            raise OSError("belongs to another user, who could put answers into it")
        if found.st_mode & 0o077:
            self.path.chmod(0o600)

    def _set_up(self, connection: sqlite3.Connection) -> None:
        """Makes the table, unless another process did, and refuses a file with something else in it."""
        if _whose(connection) != _APPLICATION:
            with transaction(connection):
                found = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
                if _whose(connection) != _APPLICATION:  # by now another process may have been here
                    if found or _whose(connection):
                        raise SettingError(
                            "CachedBackend: path must name a new file or a cache of promptkit, got a database of "
                            f"another program, {self.path.name}; name another file"
                        )
                    for statement in _SCHEMA.split(";\n"):
                        connection.execute(statement)
                    connection.execute(f"PRAGMA application_id = {_APPLICATION}")
        connection.execute("PRAGMA journal_mode = WAL")
        # A kill of the process loses nothing; only a power cut may take the latest answers, and never half of one.
        connection.execute("PRAGMA synchronous = NORMAL")
        # The log is beside the bound: about a MB, longer for a moment while others read.
        connection.execute("PRAGMA wal_autocheckpoint = 256")
        connection.execute(f"PRAGMA journal_size_limit = {2**22}")

    def _get(self, keys: Sequence[bytes]) -> dict[bytes, Any]:
        connection = self._open()
        found: dict[bytes, Any] = {}
        bad: list[bytes] = []
        stale: list[bytes] = []
        now = time.time_ns() // 1_000_000
        wanted = list(dict.fromkeys(keys))
        for start in range(0, len(wanted), TOGETHER):
            some = wanted[start : start + TOGETHER]
            marks = ",".join("?" * len(some))
            query = f"SELECT key, value, hash, used FROM answers WHERE key IN ({marks})"
            for key, value, digest, used in connection.execute(query, some):
                try:
                    found[key] = _checked(key, value, digest)
                except ValueError:
                    bad.append(key)
                    continue
                if not isinstance(used, int) or not now - _FRESH <= used <= now:
                    stale.append(key)
        self.bad_rows += len(bad)
        if not self._read_only:
            self._tidy(bad, stale, now)
        return found

    def _tidy(self, bad: Sequence[bytes], stale: Sequence[bytes], now: int) -> None:
        """Throws bad rows out and notes what was used. If that fails, what was found is still good."""
        if not bad and not stale:
            return
        with contextlib.suppress(sqlite3.Error), transaction(self._open()) as connection:
            connection.executemany("DELETE FROM answers WHERE key = ?", [(key,) for key in bad])
            connection.executemany("UPDATE answers SET used = ? WHERE key = ?", [(now, key) for key in stale])

    def _put(self, values: Mapping[bytes, Any]) -> None:
        now = time.time_ns() // 1_000_000
        rows = []
        for key, value in values.items():
            text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
            rows.append((key, text, _hash(key, text.encode()), now))
        with transaction(self._open()) as connection:
            connection.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?)", rows)
            self._make_room(connection)

    def _make_room(self, connection: sqlite3.Connection) -> None:
        """Throws the longest unused rows out once the pages in use exceed the bound, down to nine tenths of it."""
        page = connection.execute("PRAGMA page_size").fetchone()[0]

        def in_use() -> int:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            return int(page * (pages - connection.execute("PRAGMA freelist_count").fetchone()[0]))

        if in_use() <= self._max_bytes:
            return
        rows = connection.execute("SELECT count(*) FROM answers").fetchone()[0]
        while rows > 0 and in_use() > 0.9 * self._max_bytes:
            some = max(1, rows // 20)
            connection.execute(
                "DELETE FROM answers WHERE key IN (SELECT key FROM answers ORDER BY used LIMIT ?)", (some,)
            )
            rows -= some


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Does all of the block or nothing, with the lock for writing from its first moment."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _whose(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA application_id").fetchone()[0])


def _hash(key: bytes, text: bytes) -> bytes:
    return hashlib.sha256(key + text).digest()


def _checked(key: object, value: object, digest: object) -> Any:
    """Returns the value of a row; raises ``ValueError`` if the row is not as it was written."""
    if not isinstance(key, bytes) or not isinstance(value, bytes) or digest != _hash(key, value):
        raise ValueError("the hash is wrong")
    return json.loads(value)
