"""What commands print: tables for people, JSON for machines, and progress bars that keep out of the way."""

from __future__ import annotations

import json
import sys
import time
import unicodedata
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

__all__ = ["Bar", "print_json", "print_table", "printable"]

_KEPT = "\n\t"


def printable(text: str) -> str:
    r"""Shows control characters as escapes, so that no text of a model or a file can steer the terminal.

    Args:
        text: Any text.

    Returns:
        The text; line breaks and tabs stay.

    Example:
        >>> print(printable("red: \x1b[31m"))
        red: \x1b[31m
    """
    return "".join(
        char if char in _KEPT or unicodedata.category(char) not in ("Cc", "Cs") else ascii(char)[1:-1] for char in text
    )


def print_json(value: Any, *, lines: bool = False) -> None:
    """Prints JSON on standard output.

    Args:
        value: Plain JSON data; a list if ``lines``.
        lines: Whether to print one compact line per item instead of one indented document.
    """
    # Escaped where the terminal's encoding, or a lone surrogate, would not let the text through.
    ascii_only = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    for item in value if lines else [value]:
        text = json.dumps(item, ensure_ascii=ascii_only, indent=None if lines else 2)
        if not ascii_only and any(unicodedata.category(char) == "Cs" for char in text):
            text = json.dumps(item, indent=None if lines else 2)
        print(text)


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: Sequence[str] = (), title: str = ""
) -> None:
    """Prints a table on standard output; what is not a terminal gets it without colours, wrapping or cut texts.

    Args:
        columns: The headings.
        rows: The cells; an empty first cell continues the row above it.
        numbers: Headings of columns that are set to the right.
        title: A line above the table.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    width = None if sys.stdout.isatty() else 100_000
    table = Table(box=box.SIMPLE_HEAD, title=title or None, title_justify="left", title_style="", pad_edge=False)
    for name in columns:
        table.add_column(name, justify="right" if name in numbers else "left")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    console = Console(width=width, highlight=False)
    with console.capture() as captured:
        console.print(table)
    lines = (line.rstrip() for line in captured.get().splitlines())
    print("\n".join(line for line in lines if line))


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
        self._silent = not sys.stderr.isatty()
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
            self._progress.update(self._task, description=text)

    def _start(self) -> None:
        from rich.console import Console
        from rich.progress import Progress

        self._progress = Progress(console=Console(stderr=True), transient=True)
        self._task = self._progress.add_task(self._title, total=None)
        self._progress.start()
