"""Ctrl-C and SIGTERM: one line that says what is kept and how to go on. A second one ends at once.

Either raises ``KeyboardInterrupt``, which no rung takes for a failure of its own; while a training runs, the training
hears them (``promptkit.training.graceful_stop``).
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any

from promptkit.cli.show import OutputError, flush, say_error

__all__ = ["INTERRUPTED", "advice", "code", "forget", "listening", "pressed", "running", "tell", "training_stopped"]

INTERRUPTED = 130
"""Exit code of a command that Ctrl-C ended, as shells have it."""
_CODES = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: 143}
_TRAINED = ("soft_prompt", "lora")
_SHOW_CURSOR = b"\x1b[?25h"  # which a progress bar hides


class _State:
    """What the handler of the process knows."""

    pressed = False
    code = INTERRUPTED
    told = False
    line = ""
    hook: Callable[[Any], object] = staticmethod(sys.__unraisablehook__)


def pressed() -> bool:
    """Tells whether a signal came, also where a library swallowed it."""
    return _State.pressed


def code() -> int:
    """Returns the exit code for the signal that came."""
    return _State.code


def training_stopped(by: str, *, told: bool = False) -> None:
    """Notes the signal that a training heard in place of this module.

    Args:
        by: ``TrainingLog.stopped``.
        told: Whether the user was told.
    """
    _State.told = told
    _State.pressed, _State.code = True, _CODES[signal.SIGINT if by == "sigint" else signal.SIGTERM]


def forget() -> bool:
    """Takes Ctrl-C as answered, for a command that goes on after it.

    Returns:
        Whether it may go on; after SIGTERM it may not.
    """
    if _State.code != INTERRUPTED:
        return False
    _State.pressed = _State.told = False
    return True


def _leave() -> None:
    """Ends the process without waiting for threads; nothing that is stored needs them."""
    with contextlib.suppress(OSError, ValueError):
        if sys.stderr.isatty():
            os.write(sys.stderr.fileno(), _SHOW_CURSOR)
    os._exit(_State.code)


def _on_signal(number: int, frame: FrameType | None) -> None:
    if _State.pressed:
        _leave()
    _State.pressed, _State.code = True, _CODES[signal.Signals(number)]
    raise KeyboardInterrupt


def _on_swallowed(report: Any) -> None:
    """Ends a process that was interrupted where Python cannot raise an exception, such as in a finalizer."""
    if issubclass(report.exc_type, KeyboardInterrupt):
        tell()
        _leave()
    _State.hook(report)


@contextlib.contextmanager
def listening() -> Iterator[None]:
    """Takes both signals inside the block, unless this process was started to ignore one, as by ``nohup``."""
    _State.pressed, _State.code, _State.told = False, INTERRUPTED, False
    _State.line = "interrupted: nothing was changed"
    usual: dict[signal.Signals, Any] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    main = threading.current_thread() is threading.main_thread()
    mine = [one for one, handler in usual.items() if main and signal.getsignal(one) is handler]
    if not mine:
        yield
        return
    before = _State.hook = sys.unraisablehook
    for one in mine:
        signal.signal(one, _on_signal)
    sys.unraisablehook = _on_swallowed
    try:
        yield
    finally:
        if not _State.pressed:  # otherwise the process is about to end, and a second signal is to end it at once
            for one in mine:
                signal.signal(one, usual[one])
        sys.unraisablehook = before


def running(command: str, values: Mapping[str, Any]) -> None:
    """Notes which command runs.

    Args:
        command: Its name.
        values: Its options and arguments by name.
    """
    _State.line = f"interrupted: {advice(command, values, sys.argv[1:])}"


def tell() -> None:
    """Prints the one line about the command that was interrupted, once."""
    if _State.told:
        return
    _State.told = True
    with contextlib.suppress(OutputError):
        say_error(_State.line)
        flush()


def advice(command: str, values: Mapping[str, Any], arguments: list[str]) -> str:
    """Says what an interrupted command leaves, and how to go on.

    Args:
        command: The name of the command.
        values: Its options and arguments by name.
        arguments: The command line behind the name of the program.

    Returns:
        A clause.

    Example:
        >>> advice("eval", {"cache": "a.sqlite"}, ["eval", "tone", "--cache", "a.sqlite"])
        'answers that had come are kept in a.sqlite; go on with: promptkit eval tone --cache a.sqlite'
        >>> advice("estimate", {}, ["estimate"])
        'nothing was changed; start again with: promptkit estimate'
    """
    again = shlex.join(["promptkit", *arguments])
    kept, missing = [], ""
    if values.get("cache"):
        kept.append(f"answers that had come are kept in {values['cache']}")
    elif "cache" in values:
        missing = "with --cache FILE the next run keeps its answers"
    if command == "fit" and values.get("strategy") in _TRAINED:
        if values.get("checkpoint"):
            kept.append(f"checkpoints that were saved are kept in {values['checkpoint']}")
        else:
            missing = "with --checkpoint FOLDER the next run can go on from its last checkpoint"
    if command == "climb":
        if values.get("folder"):
            kept.append(f"what was finished is kept in {values['folder']}")
            again += "" if values.get("resume") else " --resume"
        elif kept:
            return f"{kept[0]}; with --folder FOLDER a climb can go on with --resume; start again with: {again}"
        else:
            missing = "with --folder FOLDER a climb can go on with --resume"
    if kept:
        return f"{' and '.join(kept)}; go on with: {again}"
    if command == "chat":
        return f"a conversation is not kept; start again with: {again}"
    return f"nothing was {'kept; ' + missing if missing else 'changed'}; start again with: {again}"
