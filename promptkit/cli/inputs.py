"""Questions from a file or standard input."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from promptkit.errors import DataError

if TYPE_CHECKING:
    from promptkit.task import Task
    from promptkit.types import Query

__all__ = ["read_queries"]

_SHOWN = 10


def read_queries(source: str, task: Task) -> list[Query]:
    """Reads questions and checks all of them before a model is loaded.

    A row is a JSON object with the task's fields and perhaps an ``id``; other columns, such as a target, are left
    out. From standard input a task with a single field also takes its plain text, one question a line.

    Args:
        source: A .jsonl, .csv, .tsv or .json file, or ``-`` for lines on standard input.
        task: Says which fields a question has.

    Returns:
        The questions in order.

    Raises:
        DataError: The file or rows of it cannot be used; lists the rows.
    """
    from promptkit.adapters.base import as_queries
    from promptkit.data.rows import read_file
    from promptkit.types import Query

    name = "standard input" if source == "-" else source
    with _as_file(source, task) as path:
        rows = read_file(path)
    faults = [f"row {row.number}: {row.fault}" for row in rows if row.fault]
    queries = []
    for row in rows:
        fields = {field: row.values[field] for field in task.fields if field in row.values}
        missing = [field for field in task.fields if not isinstance(fields.get(field), str)]
        if missing and not row.fault:
            faults.append(f"row {row.number}: lacks the text of {', '.join(map(repr, missing))}")
        elif not row.fault:
            given = row.values.get("id")
            queries.append(Query({key: str(text) for key, text in fields.items()}, str(given or f"row-{row.number}")))
    if faults:
        more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise DataError(f"{name}: {len(faults)} of {len(rows)} rows cannot be used: {'; '.join(faults[:_SHOWN])}{more}")
    if not queries:
        raise DataError(f"{name}: rows must be at least 1, got 0; give one JSON object with {task.fields} a line")
    return as_queries(task, queries)


@contextmanager
def _as_file(source: str, task: Task) -> Iterator[Path]:
    """Gives a path that can be read as a file; standard input is put into one, so that one reader serves both."""
    if source != "-":
        yield Path(source)
        return
    with TemporaryDirectory() as folder:
        path = Path(folder) / "input.jsonl"
        with path.open("wb") as file:
            for line in sys.stdin.buffer:
                file.write(_as_json(line, task))
        yield path


def _as_json(line: bytes, task: Task) -> bytes:
    """Turns a plain text line into a row, where a task has one field and the line is no JSON object."""
    if len(task.fields) > 1 or not line.strip() or line.lstrip().startswith((b"{", b"\xef\xbb\xbf")):
        return line
    try:
        return json.dumps({task.fields[0]: line.decode("utf-8").strip()}).encode() + b"\n"
    except UnicodeDecodeError:
        return line  # the reader of rows says which line is not UTF-8
