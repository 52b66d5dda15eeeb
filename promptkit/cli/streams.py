"""Standard output and standard error of a command: any encoding, a full disk, and a reader that has gone."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Callable

from promptkit.cli.show import OutputError, flush, say_error

__all__ = ["guarded", "prepare"]


def prepare() -> bool:
    """Makes both streams take every text: what their encoding lacks is escaped (``backslashreplace``).

    Returns:
        Whether there is a standard output; a process may be started with a closed one.
    """
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    return sys.stdout is not None


def guarded(work: Callable[[], int]) -> int:
    """Does the work of a command, and sees that what it printed has arrived.

    Args:
        work: Returns an exit code.

    Returns:
        That exit code, or 1 if the output could not be written. A full disk is told in one line; a reader of a pipe
        that has gone (``| head -1``) wants to hear nothing more.
    """
    if not prepare():
        say_error("error: standard output is closed; redirect it to a file, or to /dev/null if it is not wanted")
        return 1
    try:
        code = work()
        flush()
        return code
    except OutputError as error:
        reason = error.reason
    except OSError as error:  # from the texts of help, which typer prints by itself
        reason = error
    _silence()
    if reason.errno != errno.EPIPE:
        why = f"error: the output could not be written: {reason.strerror or reason}; what was printed is cut off"
        with contextlib.suppress(OutputError):
            say_error(why)
            flush()
    _silence(also_errors=True)
    return 1


def _silence(*, also_errors: bool = False) -> None:
    """Leads what is left in the buffers nowhere, so that the interpreter does not fail once more at its end."""
    for stream in (sys.stdout, sys.stderr) if also_errors else (sys.stdout,):
        with contextlib.suppress(OSError, ValueError):  # a stream without a descriptor needs nothing
            descriptor = stream.fileno()
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, descriptor)
            os.close(nowhere)
            stream.flush()
