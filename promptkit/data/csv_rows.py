"""CSV and TSV files -> raw rows, also where a quote that nobody closes would swallow the rows after it.

The reader of the standard library takes an open quote for a cell of many lines: the rows in between vanish without a
word, or all of them are one bad row. Here a row that cannot be read ends on the line on which its quote opened, and
reading goes on with the next line. A cell of many lines that reads like a list of rows is told of.
"""

from __future__ import annotations

import csv
import threading
from collections import deque
from collections.abc import Iterator, Sequence

from promptkit.data.rows import MAX_CELL, Raw
from promptkit.errors import DataError, error_message
from promptkit.tasks.loading import DELIMITERS

__all__ = ["read_csv"]

_LIMIT = threading.Lock()  # csv keeps its cell limit in one global, so one file is parsed at a time


def read_csv(lines: Iterator[tuple[int, str]], name: str, delimiter: str) -> list[Raw]:
    """Reads rows under a header line; every cell is text.

    Args:
        lines: Numbered lines with their ends. Bytes that could not be decoded are lone surrogates, which the check of
            each cell then finds by row and column.
        name: What the file is called in messages.
        delimiter: What separates cells, one character.

    Returns:
        The rows in order, unreadable ones with their fault.

    Raises:
        DataError: The header cannot be read or has unusable names.
    """
    with _LIMIT:
        before = csv.field_size_limit(MAX_CELL)
        try:
            return list(_rows(_Feed(lines), name, delimiter))
        finally:
            csv.field_size_limit(before)


class _Feed:
    """Lines on their way to the reader; those of the present row are kept, and can be read again."""

    def __init__(self, lines: Iterator[tuple[int, str]]) -> None:
        self._lines, self._again = lines, deque[tuple[int, str]]()
        self.row: list[tuple[int, str]] = []

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        self.row.append(self._again.popleft() if self._again else next(self._lines))
        return self.row[-1][1]

    def go_back(self, line: int) -> None:
        """Makes the lines of the present row after a numbered one the next to be read."""
        self._again.extendleft(reversed([pair for pair in self.row if pair[0] > line]))


def _rows(feed: _Feed, name: str, delimiter: str) -> Iterator[Raw]:
    header: list[str] | None = None
    while True:
        feed.row = []
        try:
            # A reader of its own for each row: one that failed may have kept a part of what it read.
            cells = next(csv.reader(feed, delimiter=delimiter, strict=True))
        except StopIteration:
            return
        except csv.Error as error:
            if header is None:
                raise DataError(f"{name}: the header cannot be read: {error}") from error
            yield _broken(feed, delimiter, str(error))
            continue
        start = feed.row[0][0]
        if not cells:
            continue
        if header is None:
            header = _check_header([cell.strip() for cell in cells], name, delimiter)
        elif len(cells) != len(header):
            yield Raw(start, fault=f"a row must have {len(header)} cells as the header has, got {len(cells)}")
        else:
            yield Raw(start, dict(zip(header, cells, strict=True)), doubt=_doubt(feed.row, len(header), delimiter))


def _broken(feed: _Feed, delimiter: str, error: str) -> Raw:
    """Makes a bad row of what could not be read, and goes back to the line after the one on which its quote opened."""
    start, last = feed.row[0][0], feed.row[-1][0]
    opened = _open_quote([line for _, line in feed.row], delimiter)
    fault = f"a row must be well-formed CSV, got: {error}"
    if opened is not None and last > start:
        line = feed.row[opened][0]
        feed.go_back(line)
        fault += f"; the quote that opens on line {line} is not closed as it should be (a quote in a cell is doubled)"
    return Raw(start, fault=fault)


def _open_quote(lines: Sequence[str], delimiter: str) -> int | None:
    """Returns the place among the lines of a row of the last quote that opens a cell; ``None`` if there is none."""
    opened, inside, starts = None, False, True
    for place, line in enumerate(lines):
        at = 0
        while at < len(line):
            char = line[at]
            if inside and line.startswith('""', at):
                at += 1
            elif inside and char == '"':
                inside = False
            elif not inside and starts and char == '"':
                opened, inside = place, True
            starts = not inside and char == delimiter
            at += 1
    return opened


def _doubt(row: Sequence[tuple[int, str]], width: int, delimiter: str) -> str:
    """Tells where a cell of many lines may be rows that an open quote swallowed: each line reads like a row."""
    between = [line for _, line in row[1:-1]]
    if len(between) < 2 or width < 2:
        return ""
    if any(len(cells) != width for cells in csv.reader(between, delimiter=delimiter)):
        return ""
    first, last = row[0][0], row[-1][0]
    return f"is one row of lines {first} to {last}, and each of them reads like a row: is a quote on line {first} open?"


def _check_header(header: list[str], name: str, delimiter: str) -> list[str]:
    if any("\udc80" <= char <= "\udcff" for cell in header for char in cell):
        hint = "pass the encoding of the file, as encoding='cp1252' (--encoding cp1252)"
        raise DataError(error_message("header", of=name, expected="UTF-8", got=header, hint=hint))
    if len(header) == 1:
        for other, called in DELIMITERS.items():
            if other != delimiter and len([part for part in header[0].split(other) if part.strip()]) > 1:
                hint = f"the file looks {called}-separated: pass delimiter={other!r} (--delimiter {called})"
                raise DataError(
                    error_message("header", of=name, expected=f"separated by {delimiter!r}", got=header[0], hint=hint)
                )
    if len(set(header)) < len(header) or "" in header:
        hint = "the first line of the file names its columns"
        if header[0] == "":
            hint += ", and an index that pandas wrote has no name: write it with to_csv(..., index=False)"
        raise DataError(error_message("header", of=name, expected="different names, none empty", got=header, hint=hint))
    return header
