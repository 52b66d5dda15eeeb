"""The journal of a run: every finished call, fit and decision, on disk before the climb goes on.

One line of JSON each, appended and flushed, with a checksum over what it says. A process that is killed leaves at worst
a torn last line, which the next start cuts off; a line that was damaged later counts as never written. Nothing in a
journal is ever run.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import stat
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from promptkit.errors import ArtifactError, SettingError, error_message, opens

__all__ = ["Journal", "JournalError", "RunLock", "open_regular"]


_PLAIN = "it must be a regular file, and no link, pipe, folder or device"


class JournalError(ArtifactError):
    """The journal cannot be read or written; the climb ends here, and goes on from here when it is continued."""


def open_regular(path: Path, flags: int) -> int:
    """Opens a regular file without following a link and without waiting for the other end of a pipe.

    Args:
        path: The file.
        flags: Flags of ``os.open``; a file that is made can be read by its owner alone.

    Returns:
        A descriptor.

    Raises:
        OSError: It cannot be opened, or is a link, a pipe, a folder or a device.
    """
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):
        flags |= getattr(os, name, 0)
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise OSError(error.errno, _PLAIN) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, _PLAIN)
    return descriptor


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
        self._file: int | None = None
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
        data = b"".join(_line(key, value, self.elapsed) for key, value in values.items())
        if self._file is not None and data:
            size = os.fstat(self._file).st_size
            try:
                left = memoryview(data)
                while left:
                    left = left[os.write(self._file, left) :]
                os.fsync(self._file)
            except OSError as error:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._file, size)  # half a line must not be glued to the next
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

    @property
    def elapsed_before(self) -> float:
        """Seconds that earlier sessions took."""
        return self._elapsed

    def close(self) -> None:
        """Closes the file. Everything in it is on disk already, so this cannot fail in a way that matters."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.close(self._file)
            self._file = None

    def _open(self, path: Path) -> None:
        try:
            self._file = open_regular(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
            with open(self._file, "rb", closefd=False) as file:
                data = file.read()
            whole = data.rfind(b"\n") + 1
            if whole < len(data):
                os.ftruncate(self._file, whole)  # the line that a kill tore; what follows must not be glued to it
        except OSError as error:
            self.close()
            raise JournalError(f"{path.name} cannot be opened: {error.strerror or error}") from None
        for line in data[:whole].split(b"\n")[:-1]:
            entry = _read(line)
            if entry is None:
                self.broken += 1
            else:
                key, value, seconds = entry
                self._values[key] = value
                self._elapsed = max(self._elapsed, seconds)


def _line(key: str, value: Any, seconds: float) -> bytes:
    # Not as escapes, of which two halves of a surrogate pair would come back as one character.
    text = json.dumps([key, value, round(seconds, 3)], allow_nan=False, ensure_ascii=False)
    body = text.encode("utf-8", "surrogatepass")
    return hashlib.sha256(body).hexdigest()[:16].encode() + b" " + body + b"\n"


def _read(line: bytes) -> tuple[str, Any, float] | None:
    mark, _, body = line.partition(b" ")
    if hashlib.sha256(body).hexdigest()[:16].encode() != mark:
        return None
    try:
        key, value, seconds = json.loads(body.decode("utf-8", "surrogatepass"))
        return str(key), value, float(seconds)
    except (ValueError, TypeError, RecursionError):
        return None  # a line of somebody who knows how to make a checksum


class RunLock:
    """Keeps a second process out of a run folder; the system lifts the lock even if this process is killed.

    Args:
        folder: The run folder, which is there.

    Raises:
        SettingError: Another process works in the folder.
        JournalError: Its file ``lock`` cannot be opened, or is no regular file.
    """

    @opens(ArtifactError, of="climb", which="folder", place=1)
    def __init__(self, folder: Path) -> None:
        try:
            descriptor = open_regular(folder / "lock", os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise JournalError(f"lock in {folder.name} cannot be opened: {error.strerror or error}") from None
        self._file: IO[bytes] = open(descriptor, "r+b")
        try:
            _lock(self._file)
        except OSError:
            self._file.close()
            hint = "wait for it to end, or choose another folder"
            expected = "used by one climb at a time; another process works there"
            raise SettingError(
                error_message("folder", of="climb", expected=expected, got=folder.name, hint=hint)
            ) from None

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
