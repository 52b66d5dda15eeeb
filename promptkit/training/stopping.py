"""Ending politely: SIGTERM asks a run to end after the step at hand, instead of killing it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["told_to_end"]


@contextmanager
def told_to_end() -> Iterator[threading.Event]:
    """Turns SIGTERM into an event inside the block, and leaves the program's own handler as it was.

    Only a program's main thread may set handlers; elsewhere the event is never set and SIGTERM does what it did.

    Yields:
        The event.
    """
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def note(number: int, frame: FrameType | None) -> None:
        event.set()

    before = signal.signal(signal.SIGTERM, note)
    try:
        yield event
    finally:
        # None stands for a handler that was not set from Python and that Python cannot set again.
        signal.signal(signal.SIGTERM, before if before is not None else signal.SIG_DFL)
