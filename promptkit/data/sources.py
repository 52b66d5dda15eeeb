"""What ``load_examples`` is given -> tables of raw rows: tasks, files, folders, data sets, frames and plain objects.

Objects of other libraries are known by their shape, so none of these libraries is imported here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from promptkit.data.rows import SUFFIXES, Raw, is_csv, kind_of, read_columns, read_file, read_items
from promptkit.data.splits import SPLIT_NAMES
from promptkit.errors import DataError, SettingError, TaskError, error_message, one_of
from promptkit.tasks.loading import DataSettings, is_path, list_tasks, resolve_name
from promptkit.tasks.task import Task, load_task

__all__ = ["Opened", "Table", "open_source"]

_ALIASES = {"train": "train", "dev": "dev", "validation": "dev", "valid": "dev", "val": "dev", "test": "test"}


@dataclass(frozen=True)
class Table:
    """The raw rows of one split.

    Attributes:
        name: What messages call it.
        rows: The rows.
        classes: Names behind the whole numbers of a column, for columns of class labels.
    """

    name: str
    rows: Sequence[Raw]
    classes: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Opened:
    """A source that has been read.

    Attributes:
        name: What the data set is called.
        task: The task that was given, or that the source brings.
        tables: Its tables by split.
    """

    name: str
    task: Task | None
    tables: Mapping[str, Table]


def open_source(source: object, task: Task | None, given: DataSettings) -> Opened:
    """Finds out what a source is, and reads its raw rows.

    Args:
        source: See ``load_examples``.
        task: The task whose fields and labels count; a task folder brings its own where this is ``None``.
        given: How files are read; what it leaves open, the task's settings say.

    Returns:
        Name, task and tables.

    Raises:
        DataError: The source is of no known kind or cannot be read.
        TaskError: The name is that of a shipped and of a local task, or the task is broken.
        SettingError: A delimiter or an encoding is given for a source that has none.
    """
    if isinstance(source, str | Path):
        folder = _shipped(source) or Path(source)
        if "\0" in str(folder):
            raise DataError(
                error_message("path", of="load_examples", expected="free of NUL characters", got=str(folder))
            )
        if task is None and (folder / "task.yaml").is_file():
            task = load_task(folder)
        return _open_path(folder, task, given)
    name = type(source).__name__
    for which in ("delimiter", "encoding"):
        if getattr(given, which) is not None:
            raise SettingError(error_message(which, of="load_examples", expected=f"left out for a {name}", got=which))
    if isinstance(source, Mapping):
        if set(source) <= set(_ALIASES) and source:
            tables = {key: _table(value, f"{name}[{key!r}]") for key, value in source.items()}
            return Opened(name, task, _by_split(tables))
        if any(_is_frame(value) or hasattr(value, "column_names") for value in source.values()):
            expected = f"named {one_of(_ALIASES)}"
            hint = "give the ones you want, for example {'train': d['a'], 'test': d['b']}"
            raise DataError(error_message("splits", of=name, expected=expected, got=list(source), hint=hint))
    return Opened(name, task, {"train": _table(source, name)})


def _shipped(source: str | Path) -> Path | None:
    """Returns the folder of a shipped task that is meant by its name, which no local folder may have too."""
    if not isinstance(source, str) or is_path(source):
        return None
    found = resolve_name(source, of="load_examples")
    if found is not None and Path(source).is_dir() and _split_files(Path(source)):
        if not Path(source).samefile(found):
            hint = f"write ./{source} for the folder, or the full path for the shipped task"
            raise TaskError(f"load_examples: {source!r} is both a shipped task ({found}) and a local folder; {hint}")
    return found


def _open_path(path: Path, task: Task | None, given: DataSettings) -> Opened:
    own = task.data if task is not None else DataSettings()
    delimiter, encoding = given.delimiter or own.delimiter, given.encoding or own.encoding

    def read(file: Path) -> Table:
        return Table(str(file), read_file(file, delimiter=delimiter, encoding=encoding))

    if path.is_dir():
        files = _split_files(path / "data" if (path / "task.yaml").is_file() else path, needed=True)
        _check_delimiter(given, files.values())
        return Opened(path.name, task, _by_split({stem: read(file) for stem, file in files.items()}))
    if not path.is_file() and len(path.parts) == 1 and not kind_of(path):
        expected = "a task, a file or a folder that exists"
        hint = f"tasks are {list_tasks()}"
        raise DataError(error_message("source", of="load_examples", expected=expected, got=str(path), hint=hint))
    _check_delimiter(given, [path])
    return Opened(path.name, task, {"train": read(path)})


def _check_delimiter(given: DataSettings, files: Iterable[Path]) -> None:
    if given.delimiter is not None and not any(is_csv(file) for file in files):
        expected = "left out where no file is .csv or .tsv"
        raise SettingError(error_message("delimiter", of="load_examples", expected=expected, got=given.delimiter))


def _split_files(folder: Path, *, needed: bool = False) -> dict[str, Path]:
    """Finds the files of a folder that are named after splits."""
    found: dict[str, Path] = {}
    names = sorted(folder.iterdir()) if folder.is_dir() else []
    for path in names:
        stem = path.name.lower().removesuffix(".gz").removesuffix(kind_of(path) or "\0")
        if stem in _ALIASES and kind_of(path):
            if stem in found:
                expected = f"in one file, not {found[stem].name} and {path.name}"
                raise DataError(error_message(stem, of=str(folder), expected=expected, got=2))
            found[stem] = path
    if needed and not found:
        expected = f"a folder with files such as train, dev, test and suffix {one_of(SUFFIXES)}"
        raise DataError(error_message("content", of=str(folder), expected=expected, got=[path.name for path in names]))
    return found


def _by_split(tables: Mapping[str, Table]) -> dict[str, Table]:
    """Orders tables as train, dev, test."""
    order = sorted(tables, key=lambda key: SPLIT_NAMES.index(_ALIASES[key]))
    if len({_ALIASES[key] for key in order}) < len(order):
        raise DataError(error_message("splits", of="load_examples", expected="one of each kind", got=order))
    return {_ALIASES[key]: tables[key] for key in order}


def _table(source: Any, name: str) -> Table:
    """Reads an object of one table."""
    if hasattr(source, "column_names") and hasattr(source, "features") and hasattr(source, "__len__"):
        return _read_dataset(source, name)
    if hasattr(source, "column_names") and hasattr(source, "to_pylist"):  # a table of pyarrow
        return Table(name, read_columns(_arrow_columns(source, name), name))
    if _is_frame(source):
        return Table(name, read_columns(_frame_columns(source, name), name))
    if isinstance(source, Mapping):
        wrong = [key for key, cells in source.items() if isinstance(cells, str) or not isinstance(cells, Sequence)]
        if wrong:
            expected = "a list of cells in each column"
            raise DataError(
                error_message("columns", of=name, expected=expected, got=wrong, hint="a single row is given as a list")
            )
        return Table(name, read_columns(source, name))
    if isinstance(source, Sequence) and not isinstance(source, str | bytes):
        return Table(name, read_items(source))
    expected = "a task, a path, a datasets object, a data frame, a list of mappings or a mapping of columns"
    hint = "turn other things into a list first, for example list(rows)" if isinstance(source, Iterable) else ""
    if hasattr(source, "collect"):  # a lazy frame of polars
        hint = "collect it first: frame.collect()"
    raise DataError(error_message("source", of="load_examples", expected=expected, got=source, hint=hint))


def _read_dataset(source: Any, name: str) -> Table:
    """Reads a ``datasets.Dataset``: class labels by their names, and float32 as the shortest number that it holds."""
    features = source.features or {}
    kinds = {column: _innermost(kind) for column, kind in features.items()}
    classes = {column: kind.names for column, kind in kinds.items() if getattr(kind, "names", None)}
    plain = source.with_format(None) if hasattr(source, "with_format") else source
    narrow = {column: found for column, kind in kinds.items() if (found := _narrow(getattr(kind, "dtype", "")))}
    rows = [{key: _short(cell, narrow.get(key)) for key, cell in row.items()} for row in plain]
    return Table(name, read_items(rows), classes)


def _innermost(kind: Any) -> Any:
    """Returns what the lists of a feature hold."""
    while True:
        inner = kind[0] if isinstance(kind, list) and kind else getattr(kind, "feature", None)
        if inner is None or isinstance(inner, Mapping):
            return kind
        kind = inner


def _is_frame(source: Any) -> bool:
    """Whether an object is a data frame of pandas or polars, or of something that behaves like them."""
    return all(hasattr(source, name) for name in ("columns", "dtypes", "__getitem__", "__len__"))


def _frame_columns(frame: Any, name: str) -> dict[str, list[object]]:
    """Returns the cells of each column of a data frame, ``None`` where one is missing (NaN, NA, NaT, None)."""
    names = list(frame.columns)
    if strange := [column for column in names if not isinstance(column, str)]:
        hint = "rename the columns, for example frame.columns = ['question', 'target']"
        raise DataError(error_message("columns", of=name, expected="named by text", got=strange[0], hint=hint))
    _check_different(names, name)
    found = {}
    for column in names:
        series = frame[column]
        dtype = str(series.dtype)
        narrow = _narrow(dtype)
        cells = [None if _is_missing(cell) else _short(cell, narrow) for cell in series.to_list()]
        found[column] = _as_whole(cells) if "float" in dtype.lower() and None in cells else cells
    return found


def _arrow_columns(table: Any, name: str) -> dict[str, list[object]]:
    names = list(table.column_names)
    _check_different(names, name)
    found = {}
    for place, column in enumerate(names):
        narrow = _narrow(table.schema.field(place).type)
        found[column] = [_short(cell, narrow) for cell in table.column(place).to_pylist()]
    return found


def _check_different(names: Sequence[str], name: str) -> None:
    if len(set(names)) < len(names):
        raise DataError(error_message("columns", of=name, expected="different names", got=list(names)))


def _is_missing(cell: object) -> bool:
    if type(cell).__name__ in ("NAType", "NaTType"):
        return True
    return cell is None or (isinstance(cell, float) and cell != cell)


def _as_whole(cells: list[object]) -> list[object]:
    """Makes whole numbers of floats that are all whole: pandas turns integers into floats where one is missing."""
    if all(cell is None or (isinstance(cell, float) and cell.is_integer()) for cell in cells):
        return [None if cell is None else int(cell) for cell in cells]  # type: ignore[call-overload]
    return cells


def _narrow(dtype: object) -> type[np.floating[Any]] | None:
    """Returns the type of floats of less than 64 bits, by its name in numpy, pandas, polars, Arrow and datasets."""
    # Arrow calls the type of 32 bits "float"; a list of it is "list<item: float>".
    name = str(dtype).lower().removesuffix("[pyarrow]").rpartition(": ")[2].removesuffix(">")
    kinds: dict[str, type[np.floating[Any]]] = {
        "float32": np.float32,
        "float": np.float32,
        "float16": np.float16,
        "halffloat": np.float16,
    }
    return kinds.get(name)


def _short(cell: object, narrow: type[np.floating[Any]] | None) -> object:
    """Returns the number that a narrow float was made of (0.1, not 0.10000000149011612), also in lists."""
    if narrow is None:
        return cell
    if isinstance(cell, list | tuple):
        return [_short(one, narrow) for one in cell]
    return float(str(narrow(cell))) if isinstance(cell, float) else cell
