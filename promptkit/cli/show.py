"""The one way in which commands print: text, tables, JSON and progress, with nothing in it that steers a terminal.

Names of models and files, answers, and messages of servers come from third parties. Everything goes through ``say``,
``say_error``, ``print_json``, ``print_table`` or ``Bar``; no other module of the command line writes to a stream
(``tests/cli/test_one_door.py`` checks that).
"""

from __future__ import annotations

import json
import math
import sys
import time
import unicodedata
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, TextIO

__all__ = ["JOINERS", "Bar", "OutputError", "flush", "print_json", "print_table", "printable", "say", "say_error"]

JOINERS = "\u200c\u200d"
"""Parts of emoji, and of words in Persian and in scripts of India."""
_VISIBLE = (
    "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"  # signs of category Cf
)


class OutputError(Exception):
    """Standard output or standard error does not take what is printed.

    Attributes:
        reason: What the system says, an ``OSError``.
    """

    def __init__(self, reason: OSError) -> None:
        super().__init__(f"the output could not be written: {reason.strerror or reason}")
        self.reason = reason


def _steers(text: str, place: int) -> bool:
    """Tells whether a character can steer a terminal, change the order of a line, or is not seen at all."""
    char = text[place]
    kind = unicodedata.category(char)
    if kind != "Cf":
        return kind in ("Cc", "Cs", "Zl", "Zp")
    if char in JOINERS and 0 < place < len(text) - 1:
        beside = (text[place - 1], text[place + 1])
        return not all(not one.isascii() and unicodedata.category(one)[0] in "LMS" for one in beside)
    return char not in _VISIBLE


def printable(text: str, *, one_line: bool = False) -> str:
    r"""Shows characters that steer a terminal or hide in a text as escapes.

    These are control characters (C0, C1), lone surrogates, line and paragraph separators, and format characters, such
    as those that turn the direction of text (U+202A to U+202E, U+2066 to U+2069) or have no width (U+200B). Joiners
    stay between letters, marks and symbols beyond ASCII, where scripts and emoji need them.

    Args:
        text: Any text.
        one_line: Whether line breaks and tabs are escaped too; otherwise they stay.

    Returns:
        The text.

    Example:
        >>> print(printable("red: \x1b[31m"))
        red: \x1b[31m
        >>> print(printable("one\ntwo", one_line=True))
        one\ntwo
    """
    if text.isprintable():
        return text
    kept = "" if one_line else "\n\t"
    return "".join(
        char if char in kept or not _steers(text, place) else ascii(char)[1:-1] for place, char in enumerate(text)
    )


def _write(stream: TextIO | None, text: str) -> None:
    if stream is None:
        return  # closed before the program began; ``streams.prepare`` says so
    try:
        stream.write(text)
    except UnicodeEncodeError:  # a stream that is not one of the process, and that the encoding of which is strict
        stream.write(text.encode(stream.encoding, "backslashreplace").decode(stream.encoding))
    except OSError as error:
        raise OutputError(error) from error


def flush() -> None:
    """Hands what was printed to the system.

    Raises:
        OutputError: The disk is full, or the reader of a pipe has gone.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError as error:
            raise OutputError(error) from error


def say(text: str = "", *, end: str = "\n", at_once: bool = False) -> None:
    """Prints text on standard output.

    Args:
        text: Any text; its line breaks stay.
        end: What follows it.
        at_once: Whether the reader is to see it now.

    Raises:
        OutputError: It could not be written.
    """
    _write(sys.stdout, printable(text) + end)
    if at_once:
        flush()


def say_error(text: str, *, one_line: bool = True) -> None:
    """Prints on standard error.

    Args:
        text: Any text.
        one_line: Whether line breaks in it are escaped, so that no part of it looks like another message.

    Raises:
        OutputError: It could not be written.
    """
    _write(sys.stderr, printable(text, one_line=one_line) + "\n")


def _finite(value: Any) -> Any:
    """Puts ``None`` in the place of numbers that JSON does not have."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _escaped(text: str) -> str:
    r"""Writes characters that steer a terminal as ``\u`` escapes, which read as the same value."""
    if text.isprintable():
        return text
    return "".join(
        json.dumps(char)[1:-1] if char != "\n" and _steers(text, place) else char for place, char in enumerate(text)
    )


def print_json(value: Any, *, lines: bool = False) -> None:
    """Prints JSON on standard output; what it parses to is the value, whatever characters are in it.

    Args:
        value: Plain JSON data; a list if ``lines``. Numbers that are not finite become ``null``.
        lines: Whether to print one compact line per item instead of one indented document.

    Raises:
        OutputError: It could not be written.
    """
    # Escaped where the terminal's encoding would not let the text through.
    ascii_only = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "") != "utf8"
    for item in value if lines else [value]:
        text = json.dumps(_finite(item), ensure_ascii=ascii_only, indent=None if lines else 2, allow_nan=False)
        _write(sys.stdout, _escaped(text) + "\n")
    if lines:
        flush()


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: Sequence[str] = (), title: str = ""
) -> None:
    """Prints a table on standard output; what is not a terminal gets it without colours, wrapping or cut texts.

    Args:
        columns: The headings.
        rows: The cells; an empty first cell continues the row above it. Line breaks in a cell are escaped.
        numbers: Headings of columns that are set to the right.
        title: A line above the table.

    Raises:
        OutputError: It could not be written.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    width = None if sys.stdout.isatty() else 100_000
    table = Table(box=box.SIMPLE_HEAD, title_justify="left", title_style="", pad_edge=False)
    if title:
        table.title = Text(printable(title, one_line=True))
    for name in columns:
        table.add_column(Text(printable(name, one_line=True)), justify="right" if name in numbers else "left")
    for row in rows:
        table.add_row(*(Text(printable(cell, one_line=True)) for cell in row))
    console = Console(width=width, highlight=False)
    with console.capture() as captured:
        console.print(table)
    lines = (line.rstrip() for line in captured.get().splitlines())
    # Not through ``say``, which would escape the styles of the headings; the cells have been through ``printable``.
    _write(sys.stdout, "\n".join(line for line in lines if line) + "\n")


class Bar:
    """A progress bar on standard error: only on a terminal, and only for work that takes over a second.

    Use it as a context manager and as the ``progress`` function of what does the work.

    Args:
        title: What is going on.

    Example:
        >>> with Bar("answering") as bar:
        ...     bar(1, 2)
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._started = time.monotonic()
        self._silent = sys.stderr is None or not sys.stderr.isatty()
        self._progress: Any = None
        self._task: Any = None

    def __enter__(self) -> Bar:
        """Starts the clock."""
        self._started = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Removes the bar from the terminal."""
        if self._progress is not None:
            self._progress.stop()

    def __call__(self, done: int, total: int) -> None:
        """Shows that ``done`` of ``total`` steps are finished.

        Args:
            done: Finished steps.
            total: All steps.
        """
        if self._silent or (self._progress is None and time.monotonic() - self._started < 1):
            return
        if self._progress is None:
            self._start()
        self._progress.update(self._task, completed=done, total=total)

    def part(self, before: int, total: int) -> Callable[[int, int], None]:
        """Returns a ``progress`` function for one part of the work.

        Args:
            before: Steps finished by earlier parts.
            total: Steps of all parts.

        Returns:
            A function of the finished and all steps of this part.
        """
        return lambda done, _: self(before + done, total)

    def title(self, text: str) -> None:
        """Changes what the bar says is going on."""
        self._title = text
        if self._progress is not None:
            self._progress.update(self._task, description=self._described())

    def _described(self) -> str:
        from rich.markup import escape

        return escape(printable(self._title, one_line=True))

    def _start(self) -> None:
        from rich.console import Console
        from rich.progress import Progress

        self._progress = Progress(console=Console(stderr=True), transient=True)
        self._task = self._progress.add_task(self._described(), total=None)
        self._progress.start()
