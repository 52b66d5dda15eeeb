"""``load_examples``: any source of rows -> checked examples in three splits, with their leakage.

Nothing here calls a model, and nothing is returned unless every row is usable or the caller said ``skip_bad=True``.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from promptkit.data.check import BadRow, Layout, check_columns, complain, convert, write_rejects
from promptkit.data.rows import Raw, read_file
from promptkit.data.sources import Table, open_source
from promptkit.data.splits import SPLIT_NAMES, Data, Split, check_shares, divide
from promptkit.errors import DataError, LeakageError, SettingError, error_message, one_of, opens
from promptkit.tasks.loading import DataSettings
from promptkit.tasks.task import Task
from promptkit.types import Example

__all__ = ["DataWarning", "data_settings", "load_examples", "read_renamed"]

_ROLES = ("target", "rationale", "id")
_NAMELESS = ("Unnamed: ", "__index_level_")  # what pandas and Arrow call an index that somebody wrote as a column


class DataWarning(UserWarning):
    """Data were loaded, but something about them should be known: rows left out, or leakage."""


@opens(DataError, of="load_examples", which="source", others=True)
def load_examples(
    source: object,
    *,
    task: Task | None = None,
    fields: Sequence[str] | None = None,
    target: str = "target",
    rationale: str = "rationale",
    id: str = "id",
    group: str | None = None,
    columns: Mapping[str, str] | None = None,
    delimiter: str | None = None,
    encoding: str | None = None,
    split: Sequence[float] = (0.6, 0.15, 0.25),
    seed: int = 0,
    skip_bad: bool = False,
    rejects: str | Path | None = None,
    on_leakage: Literal["auto", "warn", "raise", "ignore"] = "auto",
) -> Data:
    """Loads examples, checks every row, and measures what the splits share.

    A row holds the input fields, a target (text, a number, or a list of these: all accepted answers, the preferred
    one first), and if it has them a rationale and an id. Numbers become text in the form in which the file has them.
    Rows without an id are named after split and row number. CSV cells are always text, and an empty one is missing.

    A source with several splits keeps them: train, dev (also called validation, valid, val) and test; one that lacks
    dev or test gets an empty split there. A source of one table, or with a train split alone, is divided by ``split``
    so that equal items stay together (``divide``).

    Args:
        source: The name of a task; a path to a .jsonl, .ndjson, .csv, .tsv or .json file (also .gz) or to a folder
            of such files named after their splits, or to a task folder; a ``datasets`` Dataset or DatasetDict; a
            data frame of pandas or polars, or a table of pyarrow, whose index is left out; a list of mappings; a
            mapping of column name to cells; a mapping of split name to any of the last five.
        task: Names the fields and labels that rows must have; a task folder brings its own.
        fields: Input fields, if not those of the task. Without both, the columns of the first row that are not
            target, rationale, id or group.
        target: Column of the target.
        rationale: Column of the rationale; may be absent.
        id: Column of the id; may be absent.
        group: Field or column that tells which examples belong together, such as the document that several questions
            are about; it becomes ``Example.group``. A division keeps groups together, and ``evaluate`` and ``compare``
            take each as one observation. A row whose cell is empty is a group of its own. ``None``: no groups.
        columns: Column of each field that is called otherwise in the source, for example ``{"question": "q"}``.
            "target", "rationale" and "id" may be given here too. Columns that the task's ``data`` setting names count
            where the source has them.
        delimiter: What separates the cells of .csv and .tsv files: one character, or ``"tab"``, ``"semicolon"``,
            ``"comma"`` or ``"pipe"``. ``None``: that of the task, else a comma, and in .tsv files a tab.
        encoding: Encoding of files, for example ``"cp1252"`` or ``"latin-1"``. ``None``: that of the task, else UTF-8,
            or what a byte-order mark says.
        split: Shares of train, dev and test for a source of one table; ``(0, 0, 1)`` makes all of it test items.
        seed: Which division.
        skip_bad: Leave bad rows out, with a ``DataWarning`` that says how many, instead of refusing the source.
        rejects: A file to which every bad row is written as a JSON line: file, row, column, reason.
        on_leakage: What to do if items of one split stand in another. ``auto`` refuses test items that stand in
            train or dev, exact or normalised, because their scores would be memory, and warns of all else; ``warn``
            gives a ``DataWarning`` at most, ``raise`` refuses any leakage, ``ignore`` is silent. ``Data.leakage``
            tells in any case.

    Returns:
        The splits, with the leakage between them.

    Raises:
        DataError: If the source is none of the above, or rows are bad; lists file, row, column and reason.
        LeakageError: If splits share items and ``on_leakage`` does not allow it.
        SettingError: If a setting is out of range.
        TaskError: If a name is that of a shipped and of a local task.

    Example:
        >>> rows = [{"question": f"What is {n} + 1?", "target": n + 1} for n in range(40)]
        >>> data = load_examples(rows)
        >>> len(data.train), len(data.dev), len(data.test), data.train[0].target
        (24, 6, 10, '2')
    """
    shares = check_shares(split)
    if on_leakage not in ("auto", "warn", "raise", "ignore"):
        expected = one_of(["auto", "warn", "raise", "ignore"])
        raise SettingError(error_message("on_leakage", of="load_examples", expected=expected, got=on_leakage))
    given = data_settings(columns, delimiter, encoding)
    opened = open_source(source, task, given)
    name, task, tables = opened.name, opened.task, opened.tables
    if rejects is not None and isinstance(source, str | Path) and Path(rejects).resolve() == Path(source).resolve():
        expected = "another file than the source"
        raise SettingError(error_message("rejects", of="load_examples", expected=expected, got=str(rejects)))
    roles = {"target": target, "rationale": rationale, "id": id}
    named = {**_task_columns(chain.from_iterable(table.rows for table in tables.values()), task), **given.columns}
    layout = _layout(next(iter(tables.values())), task, fields, roles, named, group)
    good, bad = _convert(tables, layout)
    if bad and rejects is not None:
        write_rejects(bad, Path(rejects))
    total, usable = sum(len(table.rows) for table in tables.values()), sum(map(len, good.values()))
    hopeless = [table for split_name, table in tables.items() if not good[split_name]]
    if bad and (hopeless or not skip_bad):
        raise complain(bad, total, usable=0 if hopeless else usable)
    if set(good) == {"train"}:
        splits = divide(good["train"], shares, seed=seed, name=name)
    else:
        splits = {known: Split(known, good.get(known, ())) for known in SPLIT_NAMES}
    rejected = total - usable
    train, dev, test = (splits[known] for known in SPLIT_NAMES)
    data = Data(train, dev, test, name=name, task=task.name if task else "", rejected=rejected)
    if rejected:
        where = f", listed in {rejects}" if rejects is not None else ""
        warnings.warn(f"{name}: {rejected} of {total} rows are bad and left out{where}", DataWarning, stacklevel=2)
    for table in tables.values():
        for raw in table.rows:
            if raw.doubt:
                warnings.warn(f"{table.name} row {raw.number}: {raw.doubt}", DataWarning, stacklevel=2)
    if on_leakage != "ignore" and (torn := _torn_groups(data)):
        text = f"{name}: {len(torn)} groups have items in several splits, such as {torn[0]!r}; scores may be memory"
        warnings.warn(text, DataWarning, stacklevel=2)
    if data.leakage and on_leakage != "ignore":
        text = f"{name}: items of one split stand in another\n{data.leakage}"
        copies = any(o.exact + o.normalised for o in data.leakage.overlaps if o.split == "test")
        if on_leakage == "raise" or (on_leakage == "auto" and copies):
            hint = "remove them from one side, or pass on_leakage='warn' (--allow-leakage) to go on"
            raise LeakageError(f"{text}\n{hint}")
        warnings.warn(text, DataWarning, stacklevel=2)
    return data


def data_settings(
    columns: Mapping[str, str] | None, delimiter: str | None, encoding: str | None, *, of: str = "load_examples"
) -> DataSettings:
    """Checks how rows are to be read.

    Args:
        columns: Column of each field.
        delimiter: What separates cells.
        encoding: Encoding of files.
        of: Whose settings they are, for messages.

    Returns:
        The settings.

    Raises:
        SettingError: One of them is wrong.
    """
    try:
        return DataSettings.model_validate({"columns": columns or {}, "delimiter": delimiter, "encoding": encoding})
    except ValidationError as error:
        fault = error.errors()[0]
        text = fault["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
        raise SettingError(f"{of}: {fault['loc'][0]} {text}, got {fault['input']!r}") from None


def read_renamed(path: Path, task: Task, given: DataSettings) -> list[Raw]:
    """Reads a file of questions, its columns renamed to the fields of a task.

    Args:
        path: The file.
        task: Says which fields there are, and how its data are read.
        given: How this file is read, where that differs.

    Returns:
        The rows in order, unreadable ones with their fault.

    Raises:
        DataError: The file cannot be read.
    """
    own = task.data
    rows = read_file(path, delimiter=given.delimiter or own.delimiter, encoding=given.encoding or own.encoding)
    columns = {**_task_columns(rows, task), **given.columns}
    fields = {column: name for name, column in columns.items()}
    return [
        replace(row, values={fields.get(column, column): cell for column, cell in row.values.items()}) for row in rows
    ]


def _task_columns(rows: Iterable[Raw], task: Task | None) -> dict[str, str]:
    """Returns the columns that the task names and the rows have; other sources may use the names of the fields."""
    if task is None or not task.data.columns:
        return {}
    found = {column for row in rows for column in row.values}
    return {name: column for name, column in task.data.columns.items() if column in found}


def _torn_groups(data: Data) -> list[str]:
    """Groups that stand in more than one split, which a division by ``divide`` never gives."""
    groups = [{example.group for example in split} - {""} for split in data]
    return sorted(groups[0] & groups[1] | groups[0] & groups[2] | groups[1] & groups[2])


def _convert(tables: Mapping[str, Table], layout: Layout) -> tuple[dict[str, list[Example]], list[BadRow]]:
    """Converts every table, so that the bad rows of all of them are known before one is reported."""
    good: dict[str, list[Example]] = {}
    bad: list[BadRow] = []
    for name, table in tables.items():
        if not table.rows:
            raise DataError(error_message("rows", of=table.name, expected="at least 1", got=0))
        own = Layout(layout.fields, layout.columns, layout.labels, layout.closed, table.classes, layout.group)
        check_columns(table.rows, own, table.name)
        prefix = "row" if len(tables) == 1 else name
        good[name], faults = convert(table.rows, own, table.name, prefix)
        bad.extend(faults)
    return good, bad


def _layout(
    table: Table,
    task: Task | None,
    fields: Sequence[str] | None,
    roles: dict[str, str],
    columns: dict[str, str],
    group: str | None,
) -> Layout:
    """Decides which column holds what."""
    of = "load_examples"
    if isinstance(fields, str):
        raise SettingError(error_message("fields", of=of, expected="a list of field names", got=fields))
    roles.update({role: columns.pop(role) for role in _ROLES if role in columns})
    closed, first = False, Raw(0)
    if fields is not None:
        names = tuple(fields)
    elif task is not None:
        names = task.fields
    else:
        closed = True
        first = next((raw for raw in table.rows if not raw.fault), Raw(0))
        renamed = {column: name for name, column in columns.items()}
        if nameless := [column for column in first.values if column.startswith(_NAMELESS) and column not in renamed]:
            hint = "leave it out, for example by fields=[...]"
            raise DataError(
                error_message("columns", of=table.name, expected="names of fields", got=nameless[0], hint=hint)
            )
        names = tuple(renamed.get(column, column) for column in first.values if column not in (*roles.values(), group))
        if first.values and (lost := [column for column in renamed if column not in first.values]):
            raise DataError(
                error_message("columns", of=table.name, expected=f"at least {lost[0]!r}", got=list(first.values))
            )
    if wrong := [name for name in names if name in _ROLES]:
        raise SettingError(error_message("fields", of=of, expected=f"none of {', '.join(_ROLES)}", got=wrong[0]))
    if not closed and (stray := [name for name in columns if name not in names]):
        expected = f"a mapping from {one_of((*names, *_ROLES))} to a column"
        turned = columns[stray[0]]
        hint = f"the field goes first: columns={{{turned!r}: {stray[0]!r}}}" if turned in (*names, *_ROLES) else ""
        raise SettingError(error_message("columns", of=of, expected=expected, got=stray[0], hint=hint))
    mapping = {**{name: columns.get(name, name) for name in names}, **roles}
    if closed and first.values and not names:
        expected = "a target and at least one field"
        raise DataError(error_message("columns", of=table.name, expected=expected, got=list(first.values)))
    return Layout(names, mapping, task.labels if task else (), closed, group=mapping.get(group, group) if group else "")
