"""Graceful stop: SIGTERM or SIGINT (Ctrl-C) asks a run to end after the step at hand, instead of at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Literal

__all__ = ["End", "stop_requested"]

_NAMES: dict[int, Literal["sigterm", "sigint"]] = {signal.SIGTERM: "sigterm", signal.SIGINT: "sigint"}


class End(threading.Event):
    """Set when the process was asked to stop.

    Attributes:
        by: The first signal that said so.
    """

    by: Literal["sigterm", "sigint"] = "sigterm"


@contextmanager
def stop_requested() -> Iterator[End]:
    """Turns SIGTERM and SIGINT into an event inside the block, and leaves the program's own handlers as they were.

    A second SIGINT does what it did before the block, which ends most programs at once (``KeyboardInterrupt``). SIGINT
    is left alone in a program that ignores it, such as one under ``nohup``. Only a program's main thread may set
    handlers; elsewhere the event is never set, and both signals do what they did.

    Yields:
        The event.
    """
    event = End()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def note(number: int, frame: FrameType | None) -> None:
        earlier = before.get(number)
        if event.is_set() and number == signal.SIGINT and callable(earlier):
            earlier(number, frame)
            return
        if not event.is_set():
            event.by = _NAMES[number]
        event.set()

    before = {one: signal.getsignal(one) for one in _NAMES}
    wanted = [one for one in _NAMES if one != signal.SIGINT or before[one] is not signal.SIG_IGN]
    try:
        for one in wanted:
            signal.signal(one, note)
        yield event
    finally:
        for one in wanted:
            earlier = before[one]
            # None means a handler that was not set from Python and that Python cannot set again.
            signal.signal(one, earlier if earlier is not None else signal.SIG_DFL)
