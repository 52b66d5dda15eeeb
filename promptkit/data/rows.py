"""Files and objects -> raw rows: what stands in the source, with the row number, before anything is judged.

Every reader streams and is bounded (``MAX_LINE``, ``MAX_FILE``), and a row that cannot be read becomes a ``Raw`` with
a fault instead of an exception, so that all bad rows of a file can be reported together.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, cast

from promptkit.errors import DataError, explain, one_of, opens

__all__ = ["MAX_CELL", "MAX_FILE", "MAX_LINE", "SUFFIXES", "Raw", "read_columns", "read_file", "read_items"]

MAX_CELL = 1_000_000
"""Most characters of one cell: far above any context window, far below what fills the memory."""

MAX_LINE = 8 * MAX_CELL
"""Most bytes of one line of a file; a longer line is one bad row, and reading goes on after it."""

MAX_FILE = 1 << 30
"""Most bytes of one file, after decompression."""

SUFFIXES = (".jsonl", ".ndjson", ".csv", ".tsv", ".json")
"""Kinds of files that can be read; each also with ".gz" after it."""

_CSV_LIMIT = threading.Lock()  # csv keeps its cell limit in one global, so one file is parsed at a time


@dataclass(frozen=True, slots=True)
class Raw:
    """One row as it stands in the source.

    Attributes:
        number: Line of the file on which the row starts, or for lists the place counted from 1.
        values: Cells by column name.
        fault: Why the row could not be read at all; "" if it could.
    """

    number: int
    values: Mapping[str, object] = field(default_factory=dict)
    fault: str = ""


class _Fault(ValueError):
    """A row cannot be read; never leaves this module."""


def kind_of(path: Path) -> str:
    """Returns the suffix that says how a file is read, without ".gz"; "" if it is none of ``SUFFIXES``."""
    name = path.name.lower().removesuffix(".gz")
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), "")


@opens(DataError, of="load_examples")
def read_file(path: Path) -> list[Raw]:
    """Reads one .jsonl, .ndjson, .csv, .tsv or .json file, or one of these with .gz.

    A byte-order mark is dropped, and both line ends are accepted. Blank lines are no rows.

    Args:
        path: The file.

    Returns:
        The rows in order, unreadable ones with their fault.

    Raises:
        DataError: If the file is missing, too large, of another kind or encoding, or has no usable header.
    """
    kind = kind_of(path)
    if not kind:
        must = f"{one_of(SUFFIXES)}, or one of these followed by '.gz'"
        raise DataError(explain("suffix", of=str(path), must=must, got=path.suffix))
    if not path.is_file():  # also keeps devices and pipes out, which never end
        raise DataError(explain("path", of="load_examples", must="an existing file or folder", got=str(path)))
    try:
        opener = gzip.open if path.name.lower().endswith(".gz") else open
        with cast(BinaryIO, opener(path, "rb")) as stream:
            if kind == ".json":
                return _read_json(stream, str(path))
            lines = _lines(stream, str(path))
            if kind in (".csv", ".tsv"):
                return _read_csv(lines, str(path), "\t" if kind == ".tsv" else ",")
            return [_read_line(number, line) for number, line in lines if line.strip()]
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error


def _lines(stream: BinaryIO, name: str) -> Iterator[tuple[int, bytes]]:
    """Yields numbered lines; of a line over ``MAX_LINE`` only its start, one byte too long."""
    size, number = 0, 0
    while line := stream.readline(MAX_LINE + 1):
        number += 1
        if number == 1:
            _check_encoding(line, name)
            line = line.removeprefix(b"\xef\xbb\xbf")
        yield number, line
        while len(line) > MAX_LINE and not line.endswith(b"\n"):  # skip the rest of the long line
            size += len(line)
            _check_size(size, name)
            line = stream.readline(MAX_LINE + 1)
        size += len(line)
        _check_size(size, name)


def _check_size(size: int, name: str) -> None:
    if size > MAX_FILE:
        raise DataError(explain("size", of=name, must=f"at most {MAX_FILE} bytes", got=size, do="give it in parts"))


def _check_encoding(start: bytes, name: str) -> None:
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(explain("encoding", of=name, must="UTF-8", got="UTF-16", do="save the file as UTF-8"))


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


def _read_line(number: int, line: bytes) -> Raw:
    try:
        if len(line) > MAX_LINE:
            raise _Fault(f"a line must be at most {MAX_LINE} bytes, got more")
        row = _decode(line.decode("utf-8").strip())
        return _as_raw(number, row)
    except UnicodeDecodeError as error:
        fault = f"text must be UTF-8, got byte 0x{line[error.start]:02x} at byte {error.start + 1} of the line"
        return Raw(number, fault=fault)
    except _Fault as error:
        return Raw(number, fault=str(error))


def _as_raw(number: int, row: object) -> Raw:
    if not isinstance(row, Mapping):
        return Raw(number, fault=f"a row must be an object of named columns, got {type(row).__name__}")
    if strange := [name for name in row if not isinstance(name, str)]:
        return Raw(number, fault=f"column names must be text, got {strange[0]!r}")
    return Raw(number, row)


def _read_json(stream: BinaryIO, name: str) -> list[Raw]:
    """Reads a file that holds one list of rows, or one object of columns."""
    blob = stream.read(MAX_FILE + 1)
    _check_size(len(blob), name)
    _check_encoding(blob, name)
    try:
        whole = _decode(blob.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DataError(explain("text", of=name, must="UTF-8", got=f"byte {error.start + 1}: {error}")) from error
    except _Fault as error:
        raise DataError(f"{name}: {error}") from error
    if isinstance(whole, list):
        return read_items(whole)
    if isinstance(whole, Mapping) and whole and all(isinstance(column, list) for column in whole.values()):
        return read_columns(whole, name)
    must = "a list of objects, or an object of equally long columns"
    raise DataError(explain("content", of=name, must=must, got=type(whole).__name__))


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
        raise DataError(explain("columns", of=name, must="equally long", got=sizes))
    rows = zip(*columns.values(), strict=True)
    return read_items([dict(zip(columns, cells, strict=True)) for cells in rows])


def _read_csv(lines: Iterator[tuple[int, bytes]], name: str, delimiter: str) -> list[Raw]:
    """Reads rows under a header line; every cell is text.

    Bytes that are not UTF-8 become lone surrogates here, which the check of each cell then finds by row and column.
    """
    text = (io.TextIOWrapper(io.BytesIO(line), "utf-8", "surrogateescape", newline="").read() for _, line in lines)
    with _CSV_LIMIT:
        before = csv.field_size_limit(MAX_CELL)
        try:
            return list(_csv_rows(csv.reader(text, delimiter=delimiter, strict=True), name))
        finally:
            csv.field_size_limit(before)


def _csv_rows(reader: Any, name: str) -> Iterator[Raw]:
    header: list[str] | None = None
    while True:
        start = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if header is None:
                raise DataError(f"{name}: the header cannot be read: {error}") from error
            yield Raw(start, fault=f"a row must be well-formed CSV, got: {error}")
            continue
        if not cells:
            continue
        if header is None:
            header = _check_header([cell.strip() for cell in cells], name)
        elif len(cells) != len(header):
            yield Raw(start, fault=f"a row must have {len(header)} cells as the header has, got {len(cells)}")
        else:
            yield Raw(start, dict(zip(header, cells, strict=True)))


def _check_header(header: list[str], name: str) -> list[str]:
    if len(set(header)) < len(header) or "" in header:
        do = "the first line of the file names its columns"
        raise DataError(explain("header", of=name, must="different names, none empty", got=header, do=do))
    return header
