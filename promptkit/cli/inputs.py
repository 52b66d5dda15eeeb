"""Questions and stored samples from a file or standard input."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from promptkit.errors import DataError

if TYPE_CHECKING:
    from promptkit.tasks.task import Task
    from promptkit.types import Query

__all__ = ["read_queries", "read_rows"]

_SHOWN = 10


def read_queries(
    source: str,
    task: Task,
    *,
    columns: Mapping[str, str] | None = None,
    delimiter: str | None = None,
    encoding: str | None = None,
) -> list[Query]:
    """Reads questions and checks all of them before a model is loaded.

    A row is a JSON object with the task's fields and perhaps an ``id``; other columns, such as a target, are left
    out. From standard input a task with a single field also takes its plain text, one question a line.

    Args:
        source: A .jsonl, .csv, .tsv or .json file, or ``-`` for lines on standard input.
        task: Says which fields a question has, and how its data are read.
        columns: Column of each field, or of "id", that has another name in the file, beside those of the task.
        delimiter: What separates the cells of a .csv or .tsv file; ``None`` for what the task says.
        encoding: The encoding of the file; ``None`` for what the task says, and of standard input UTF-8.

    Returns:
        The questions in order.

    Raises:
        DataError: The file or rows of it cannot be used; lists the rows.
        SettingError: A setting is wrong.
    """
    from promptkit.adapters.base import parse_queries
    from promptkit.data.load import data_settings, read_renamed
    from promptkit.types import Query

    name = _name(source)
    given = data_settings(columns, delimiter, encoding or ("utf-8" if source == "-" else None), of="--input")
    with _as_file(source, task) as path:
        rows = read_renamed(path, task, given)
    faults = [f"row {row.number}: {row.fault}" for row in rows if row.fault]
    queries = []
    for row in rows:
        fields = {field: row.values[field] for field in task.fields if field in row.values}
        missing = [field for field in task.fields if not isinstance(fields.get(field), str)]
        if missing and not row.fault:
            faults.append(f"row {row.number}: lacks the text of {', '.join(map(repr, missing))}")
        elif not row.fault:
            given_id = row.values.get("id")
            queries.append(
                Query({key: str(text) for key, text in fields.items()}, str(given_id or f"row-{row.number}"))
            )
    _refuse(name, faults, len(rows))
    if not queries:
        raise DataError(f"{name}: rows must be at least 1, got 0; give one JSON object with {task.fields} a line")
    return parse_queries(task, queries)


def read_rows(source: str) -> list[Mapping[str, object]]:
    """Reads rows as they stand.

    Args:
        source: A .jsonl, .csv, .tsv or .json file, perhaps with .gz, or ``-`` for JSON lines on standard input.

    Returns:
        The columns of each row, in order.

    Raises:
        DataError: The file or rows of it cannot be read; lists the rows.
    """
    from promptkit.data.rows import read_file

    with _as_file(source, None) as path:
        rows = read_file(path)
    _refuse(_name(source), [f"row {row.number}: {row.fault}" for row in rows if row.fault], len(rows))
    return [row.values for row in rows]


def _name(source: str) -> str:
    return "standard input" if source == "-" else source


def _refuse(name: str, faults: list[str], rows: int) -> None:
    """Raises an error that lists bad rows, if there are any."""
    if faults:
        more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise DataError(f"{name}: {len(faults)} of {rows} rows cannot be used: {'; '.join(faults[:_SHOWN])}{more}")


@contextmanager
def _as_file(source: str, task: Task | None) -> Iterator[Path]:
    """Gives a path that can be read as a file; standard input is put into one, so that one reader serves both."""
    if source != "-":
        yield Path(source)
        return
    with TemporaryDirectory() as folder:
        path = Path(folder) / "input.jsonl"
        with path.open("wb") as file:
            for line in sys.stdin.buffer:
                file.write(_as_json(line, task) if task else line)
        yield path


def _as_json(line: bytes, task: Task) -> bytes:
    """Turns a plain text line into a row, where a task has one field and the line is not a JSON object."""
    if len(task.fields) > 1 or not line.strip() or line.lstrip().startswith((b"{", b"\xef\xbb\xbf")):
        return line
    try:
        return json.dumps({task.fields[0]: line.decode("utf-8").strip()}).encode() + b"\n"
    except UnicodeDecodeError:
        return line  # the reader of rows says which line is not UTF-8
