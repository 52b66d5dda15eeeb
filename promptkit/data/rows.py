"""Files and objects -> raw rows: what the source holds, with the row number, before anything is judged.

Every reader streams and is bounded (``MAX_LINE``, ``MAX_FILE``), and a row that cannot be read becomes a ``Raw`` with
a fault instead of an exception, so that all bad rows of a file can be reported together. ``csv_rows`` reads CSV.
"""

from __future__ import annotations

import codecs
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, cast

from promptkit.errors import DataError, error_message, one_of, opens

__all__ = ["MAX_CELL", "MAX_FILE", "MAX_LINE", "SUFFIXES", "Raw", "is_csv", "read_columns", "read_file", "read_items"]

MAX_CELL = 1_000_000
"""Most characters of one cell: far above any context window, far below what fills the memory."""

MAX_LINE = 8 * MAX_CELL
"""Most characters of one line of a file; a longer line is one bad row, and reading goes on after it."""

MAX_FILE = 1 << 30
"""Most characters of one file, after decompression."""

SUFFIXES = (".jsonl", ".ndjson", ".csv", ".tsv", ".json")
"""Kinds of files that can be read; each also with ".gz" after it."""

_OTHERS = {
    ".parquet": "pandas.read_parquet(path) or datasets.Dataset.from_parquet(path)",
    ".xlsx": "pandas.read_excel(path)",
    ".xls": "pandas.read_excel(path)",
    ".feather": "pandas.read_feather(path)",
    ".arrow": "datasets.Dataset.from_file(path)",
}
"""Other kinds of files, and what makes an object of them that can be given instead."""

_BOMS = [  # longer marks first: that of UTF-32 starts with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
]


@dataclass(frozen=True, slots=True)
class Raw:
    """One row as it is in the source.

    Attributes:
        number: Line of the file on which the row starts, or for lists the place counted from 1.
        values: Cells by column name.
        fault: Why the row could not be read at all; "" if it could.
        doubt: Why the row, which could be read, may be something else than it seems; "" if nothing tells so.
    """

    number: int
    values: Mapping[str, object] = field(default_factory=dict)
    fault: str = ""
    doubt: str = ""


class _Fault(ValueError):
    """A row cannot be read; never leaves this module."""


def kind_of(path: Path) -> str:
    """Returns the suffix that says how a file is read, without ".gz"; "" if it is none of ``SUFFIXES``."""
    name = path.name.lower().removesuffix(".gz")
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), "")


def is_csv(path: Path) -> bool:
    """Whether a file is read as rows of cells between delimiters."""
    return kind_of(path) in (".csv", ".tsv")


@opens(DataError, of="load_examples")
def read_file(path: Path, *, delimiter: str | None = None, encoding: str | None = None) -> list[Raw]:
    """Reads one .jsonl, .ndjson, .csv, .tsv or .json file, or one of these with .gz.

    A byte-order mark is dropped; that of UTF-16 or UTF-32 tells the encoding. Lines end in LF, CR LF or CR. Blank
    lines are no rows.

    Args:
        path: The file.
        delimiter: What separates the cells of a .csv or .tsv file; ``None`` for a comma or, in .tsv, a tab.
        encoding: The encoding of the file, a name that Python knows; ``None`` for UTF-8.

    Returns:
        The rows in order, unreadable ones with their fault.

    Raises:
        DataError: If the file is missing, too large, of another kind or encoding, or has no usable header.
    """
    kind = kind_of(path)
    if not kind:
        expected = f"{one_of(SUFFIXES)}, or one of these followed by '.gz'"
        other = _OTHERS.get(path.suffix.lower(), "")
        hint = f"give the object instead, as {other}" if other else ""
        raise DataError(error_message("suffix", of=str(path), expected=expected, got=path.suffix, hint=hint))
    if not path.is_file():  # also keeps devices and pipes out, which never end
        raise DataError(error_message("path", of="load_examples", expected="an existing file or folder", got=str(path)))
    try:
        opener = gzip.open if path.name.lower().endswith(".gz") else open
        with cast(BinaryIO, opener(path, "rb")) as stream:
            text = _decoded(stream, str(path), encoding)
            if kind == ".json":
                return _read_json(text, str(path))
            lines = _lines(text, str(path), encoding)
            if is_csv(path):
                from promptkit.data.csv_rows import read_csv  # It makes rows of the type above.

                return read_csv(lines, str(path), delimiter or ("\t" if kind == ".tsv" else ","))
            return [_read_line(number, line) for number, line in lines if line.strip()]
    except UnicodeError as error:
        hint = "pass the encoding of the file, as encoding='cp1252' (--encoding cp1252)"
        raise DataError(
            error_message("text", of=str(path), expected=encoding or "UTF-8", got=str(error), hint=hint)
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error


def _decoded(stream: BinaryIO, name: str, encoding: str | None) -> io.TextIOWrapper:
    """Opens a stream as text. In UTF-8, bytes that do not belong there become lone surrogates, for the row to tell."""
    start = cast(io.BufferedReader, stream).peek(4)[:4]
    if encoding is None:
        encoding = next((found for mark, found in _BOMS if start.startswith(mark)), "utf-8-sig")
        if encoding == "utf-8-sig" and b"\0" in start:
            hint = "pass encoding='utf-16-le' or 'utf-16-be' (--encoding), or save the file as UTF-8"
            raise DataError(error_message("text", of=name, expected="UTF-8", got=start, hint=hint))
    if codecs.lookup(encoding).name == "utf-8":
        encoding = "utf-8-sig"
    errors = "surrogateescape" if encoding == "utf-8-sig" else "strict"
    return io.TextIOWrapper(stream, encoding, errors, newline="")


def _lines(text: io.TextIOWrapper, name: str, encoding: str | None) -> Iterator[tuple[int, str]]:
    """Yields numbered lines; of a line over ``MAX_LINE`` only its start, one character too long.

    Raises:
        DataError: The encoding is one of single bytes, and the file is not in it but in UTF-8.
    """
    size, number, utf8, other = 0, 0, 0, 0
    while line := text.readline(MAX_LINE + 1):
        number += 1
        line = line.removeprefix("\ufeff") if number == 1 else line
        if encoding is not None and not line.isascii():
            is_utf8 = _is_utf8(line, encoding)
            utf8, other = utf8 + is_utf8, other + (not is_utf8)
        yield number, line
        while len(line) > MAX_LINE and not line.endswith(("\n", "\r")):  # skip the rest of the long line
            size += len(line)
            _check_size(size, name)
            line = text.readline(MAX_LINE + 1)
        size += len(line)
        _check_size(size, name)
    if utf8 and not other:
        raise _not_in(encoding or "", name)


def _is_utf8(text: str, encoding: str) -> bool:
    """Whether a text that was read in an encoding of single bytes is in truth UTF-8."""
    try:
        blob = text.encode(encoding)
        return len(blob) == len(text) and bool(blob.decode("utf-8"))
    except UnicodeError:
        return False


def _not_in(encoding: str, name: str) -> DataError:
    hint = "leave the encoding out"
    return DataError(error_message("text", of=name, expected=f"in the encoding {encoding}", got="UTF-8", hint=hint))


def _check_size(size: int, name: str) -> None:
    if size > MAX_FILE:
        raise DataError(
            error_message("size", of=name, expected=f"at most {MAX_FILE} bytes", got=size, hint="give it in parts")
        )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _Fault(f"column {twice!r} must stand once in a row, got it {names.count(twice)} times")
    return found


def _constant(name: str) -> NoReturn:
    raise _Fault(f"numbers must be finite, got {name}")


# Numbers keep the text form in which they stand in the file: 1.50 stays "1.50", and a number of a million digits
# costs nothing.
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=str, parse_int=str, parse_constant=_constant)


def _decode(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except _Fault:
        raise
    except RecursionError:
        raise _Fault("a row must be a flat JSON object, got one nested too deeply") from None
    except json.JSONDecodeError as error:
        raise _Fault(f"a row must be one JSON object, got malformed JSON: {error}") from None


def _read_line(number: int, line: str) -> Raw:
    try:
        if len(line) > MAX_LINE:
            raise _Fault(f"a line must be at most {MAX_LINE} characters, got more")
        line.encode("utf-8")
        return _as_raw(number, _decode(line.strip()))
    except UnicodeEncodeError as error:
        at = len(line[: error.start].encode("utf-8")) + 1
        fault = f"text must be UTF-8, got byte 0x{ord(line[error.start]) - 0xDC00:02x} at byte {at} of the line"
        return Raw(number, fault=fault)
    except _Fault as error:
        return Raw(number, fault=str(error))


def _as_raw(number: int, row: object) -> Raw:
    if not isinstance(row, Mapping):
        return Raw(number, fault=f"a row must be an object of named columns, got {type(row).__name__}")
    if strange := [name for name in row if not isinstance(name, str)]:
        return Raw(number, fault=f"column names must be text, got {strange[0]!r}")
    return Raw(number, row)


def _read_json(stream: io.TextIOWrapper, name: str) -> list[Raw]:
    """Reads a file that holds one list of rows, or one object of columns."""
    text = stream.read(MAX_FILE + 1).removeprefix("\ufeff")
    _check_size(len(text), name)
    text.encode("utf-8")
    if not text.isascii() and stream.encoding != "utf-8-sig" and _is_utf8(text, stream.encoding):
        raise _not_in(stream.encoding, name)
    try:
        whole = _decode(text)
    except _Fault as error:
        raise DataError(f"{name}: {error}") from error
    if isinstance(whole, list):
        return read_items(whole)
    if isinstance(whole, Mapping) and whole and all(isinstance(column, list) for column in whole.values()):
        return read_columns(whole, name)
    expected = "a list of objects, or an object of equally long columns"
    raise DataError(error_message("content", of=name, expected=expected, got=type(whole).__name__))


def read_items(items: Sequence[object]) -> list[Raw]:
    """Numbers the rows of a list of mappings from 1.

    Args:
        items: The rows; anything but a mapping becomes a row with a fault.

    Returns:
        The rows in order.
    """
    return [_as_raw(number, item) for number, item in enumerate(items, 1)]


def read_columns(columns: Mapping[str, Sequence[object]], name: str) -> list[Raw]:
    """Turns named columns into rows.

    Args:
        columns: Cells by column name.
        name: What the object is called in messages.

    Returns:
        The rows in order, numbered from 1.

    Raises:
        DataError: If the columns differ in length.
    """
    sizes = {column: len(cells) for column, cells in columns.items()}
    if len(set(sizes.values())) > 1:
        raise DataError(error_message("columns", of=name, expected="equally long", got=sizes))
    rows = zip(*columns.values(), strict=True)
    return read_items([dict(zip(columns, cells, strict=True)) for cells in rows])
