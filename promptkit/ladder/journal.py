"""The journal of a run: every finished call, fit and decision, on disk before the climb goes on.

One line of JSON each, appended and flushed, with a checksum over what it says. A process that is killed leaves at worst
a torn last line, which the next start cuts off; a line that was damaged later counts as never written. Nothing in a
journal is ever run.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from promptkit.errors import ArtifactError, SettingError, explain, opens

__all__ = ["Journal", "JournalError", "RunLock"]


class JournalError(ArtifactError):
    """The journal cannot be read or written; the climb ends here, and goes on from here when it is continued."""


class Journal:
    """What has been finished, by key. On disk where a file is given, else in memory only.

    Args:
        path: The file, which is made if it is not there; or ``None``.

    Raises:
        JournalError: The file cannot be read or written.

    Example:
        >>> journal = Journal(None)
        >>> journal.put("fit:0", {"seconds": 1.5})
        >>> journal.get("fit:0")["seconds"], journal.get("fit:1")
        (1.5, None)
    """

    def __init__(self, path: Path | None) -> None:
        self.broken = 0
        self._values: dict[str, Any] = {}
        self._elapsed = 0.0
        self._started = time.monotonic()
        self._file: IO[bytes] | None = None
        if path is not None:
            self._open(path)

    def get(self, key: str) -> Any | None:
        """Returns what was put under a key, or ``None``."""
        return self._values.get(key)

    def put(self, key: str, value: Any) -> None:
        """Keeps a value, on disk before this returns.

        Args:
            key: Its key; a later value replaces an earlier one.
            value: Plain JSON data, not ``None``.

        Raises:
            JournalError: The disk refuses.
        """
        self.put_all({key: value})

    def put_all(self, values: Mapping[str, Any]) -> None:
        """Keeps several values with one write."""
        lines = [_line(key, value, self.elapsed) for key, value in values.items()]
        if self._file is not None and lines:
            try:
                self._file.write(b"".join(lines))
                self._file.flush()
                os.fsync(self._file.fileno())
            except OSError as error:
                raise JournalError(
                    f"the journal could not be written: {error.strerror or error}; make room and continue the climb, "
                    "which repeats nothing that was finished"
                ) from error
        self._values.update(values)

    def count(self, prefix: str) -> int:
        """Returns how many keys start with a text."""
        return sum(key.startswith(prefix) for key in self._values)

    def values(self, prefix: str) -> list[Any]:
        """Returns the values whose keys start with a text, in the order in which they were first put."""
        return [value for key, value in self._values.items() if key.startswith(prefix)]

    @property
    def elapsed(self) -> float:
        """Seconds that the run has taken, earlier sessions up to their last line included."""
        return self._elapsed + time.monotonic() - self._started

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self, path: Path) -> None:
        try:
            data = path.read_bytes() if path.exists() else b""
            whole = data.rfind(b"\n") + 1
            if whole < len(data):
                os.truncate(path, whole)  # the line that a kill tore; what follows must not be glued to it
            self._file = path.open("ab")
        except OSError as error:
            raise JournalError(f"{path.name} cannot be opened: {error.strerror or error}") from error
        for line in data[:whole].splitlines():
            entry = _read(line)
            if entry is None:
                self.broken += 1
            else:
                key, value, seconds = entry
                self._values[key] = value
                self._elapsed = max(self._elapsed, seconds)


def _line(key: str, value: Any, seconds: float) -> bytes:
    # ASCII, so that even half of a surrogate pair that a model wrote comes back as it was.
    body = json.dumps([key, value, round(seconds, 3)], allow_nan=False)
    return f"{hashlib.sha256(body.encode()).hexdigest()[:16]} {body}\n".encode()


def _read(line: bytes) -> tuple[str, Any, float] | None:
    mark, _, body = line.partition(b" ")
    if hashlib.sha256(body).hexdigest()[:16].encode() != mark:
        return None
    key, value, seconds = json.loads(body)
    return str(key), value, float(seconds)


class RunLock:
    """Keeps a second process out of a run folder; the system lifts the lock even if this process is killed.

    Args:
        folder: The run folder, which is there.

    Raises:
        SettingError: Another process works in the folder.
    """

    @opens(ArtifactError, of="climb", which="folder", place=1)
    def __init__(self, folder: Path) -> None:
        self._file = (folder / "lock").open("a+b")
        try:
            _lock(self._file)
        except OSError:
            self._file.close()
            do = "wait for it to end, or choose another folder"
            must = "used by one climb at a time; another process works there"
            raise SettingError(explain("folder", of="climb", must=must, got=folder.name, do=do)) from None

    def release(self) -> None:
        """Lets others in."""
        self._file.close()


def _lock(file: IO[bytes]) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
