"""``load_examples``: any source of rows -> checked examples in three splits, with their leakage.

Nothing here calls a model, and nothing is returned unless every row is usable or the caller said ``skip_bad=True``.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from promptkit.data.check import BadRow, Layout, check_columns, complain, convert, write_rejects
from promptkit.data.rows import SUFFIXES, Raw, kind_of, read_columns, read_file, read_items
from promptkit.data.splits import SPLIT_NAMES, Data, Split, check_shares, divide
from promptkit.domains import check_name
from promptkit.errors import DataError, LeakageError, SettingError, TaskError, explain, one_of
from promptkit.task import Task, load_task, templates_root
from promptkit.types import Example

__all__ = ["DataWarning", "load_examples"]

_ALIASES = {"train": "train", "dev": "dev", "validation": "dev", "valid": "dev", "val": "dev", "test": "test"}
_ROLES = ("target", "rationale", "id")


class DataWarning(UserWarning):
    """Data were loaded, but something about them should be known: rows left out, or leakage."""


@dataclass(frozen=True)
class _Table:
    """The raw rows of one split, with what messages call them."""

    name: str
    rows: Sequence[Raw]
    classes: Mapping[str, Sequence[str]] = field(default_factory=dict)


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
        source: The name of a domain; a path to a .jsonl, .ndjson, .csv, .tsv or .json file (also .gz) or to a folder
            of such files named after their splits, or to a domain folder; a ``datasets`` Dataset or DatasetDict; a
            list of mappings; a mapping of column name to cells; a mapping of split name to any of the last three.
        task: Names the fields and labels that rows must have; a domain brings its own.
        fields: Input fields, if not those of the task. Without both, the columns of the first row that are not
            target, rationale, id or group.
        target: Column of the target.
        rationale: Column of the rationale; may be absent.
        id: Column of the id; may be absent.
        group: Field or column that tells which examples belong together, such as the document that several questions
            are about; it becomes ``Example.group``. A division keeps groups together, and ``evaluate`` and ``compare``
            take each as one observation. A row whose cell is empty is a group of its own. ``None``: no groups.
        columns: Column of each field that is called otherwise in the source, for example ``{"question": "q"}``.
            "target", "rationale" and "id" may be given here too.
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

    Example:
        >>> rows = [{"question": f"What is {n} + 1?", "target": n + 1} for n in range(40)]
        >>> data = load_examples(rows)
        >>> len(data.train), len(data.dev), len(data.test), data.train[0].target
        (24, 6, 10, '2')
    """
    shares = check_shares(split)
    if on_leakage not in ("auto", "warn", "raise", "ignore"):
        must = one_of(["auto", "warn", "raise", "ignore"])
        raise SettingError(explain("on_leakage", of="load_examples", must=must, got=on_leakage))
    name, task, tables = _open(source, task)
    if rejects is not None and isinstance(source, str | Path) and Path(rejects).resolve() == Path(source).resolve():
        must = "another file than the source"
        raise SettingError(explain("rejects", of="load_examples", must=must, got=str(rejects)))
    roles = {"target": target, "rationale": rationale, "id": id}
    layout = _layout(next(iter(tables.values())), task, fields, roles, dict(columns or {}), group)
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
    if on_leakage != "ignore" and (torn := _torn_groups(data)):
        text = f"{name}: {len(torn)} groups have items in several splits, such as {torn[0]!r}; scores may be memory"
        warnings.warn(text, DataWarning, stacklevel=2)
    if data.leakage and on_leakage != "ignore":
        text = f"{name}: items of one split stand in another\n{data.leakage}"
        copies = any(o.exact + o.normalised for o in data.leakage.overlaps if o.split == "test")
        if on_leakage == "raise" or (on_leakage == "auto" and copies):
            do = "remove them from one side, or pass on_leakage='warn' (--allow-leakage) to go on"
            raise LeakageError(f"{text}\n{do}")
        warnings.warn(text, DataWarning, stacklevel=2)
    return data


def _torn_groups(data: Data) -> list[str]:
    """Groups that stand in more than one split, which a division by ``divide`` never gives."""
    groups = [{example.group for example in split} - {""} for split in data]
    return sorted(groups[0] & groups[1] | groups[0] & groups[2] | groups[1] & groups[2])


def _convert(tables: Mapping[str, _Table], layout: Layout) -> tuple[dict[str, list[Example]], list[BadRow]]:
    """Converts every table, so that the bad rows of all of them are known before one is reported."""
    good: dict[str, list[Example]] = {}
    bad: list[BadRow] = []
    for name, table in tables.items():
        if not table.rows:
            raise DataError(explain("rows", of=table.name, must="at least 1", got=0))
        own = Layout(layout.fields, layout.columns, layout.labels, layout.closed, table.classes, layout.group)
        check_columns(table.rows, own, table.name)
        prefix = "row" if len(tables) == 1 else name
        good[name], faults = convert(table.rows, own, table.name, prefix)
        bad.extend(faults)
    return good, bad


def _layout(
    table: _Table,
    task: Task | None,
    fields: Sequence[str] | None,
    roles: dict[str, str],
    columns: dict[str, str],
    group: str | None,
) -> Layout:
    """Decides which column holds what."""
    of = "load_examples"
    if isinstance(fields, str):
        raise SettingError(explain("fields", of=of, must="a list of field names", got=fields))
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
        names = tuple(renamed.get(column, column) for column in first.values if column not in (*roles.values(), group))
        if first.values and (lost := [column for column in renamed if column not in first.values]):
            raise DataError(explain("columns", of=table.name, must=f"at least {lost[0]!r}", got=list(first.values)))
    if wrong := [name for name in names if name in _ROLES]:
        raise SettingError(explain("fields", of=of, must=f"none of {', '.join(_ROLES)}", got=wrong[0]))
    if not closed and (stray := [name for name in columns if name not in names]):
        must = f"a mapping from {one_of((*names, *_ROLES))} to a column"
        raise SettingError(explain("columns", of=of, must=must, got=stray[0]))
    mapping = {**{name: columns.get(name, name) for name in names}, **roles}
    if closed and first.values and not names:
        must = "a target and at least one field"
        raise DataError(explain("columns", of=table.name, must=must, got=list(first.values)))
    return Layout(names, mapping, task.labels if task else (), closed, group=mapping.get(group, group) if group else "")


def _open(source: object, task: Task | None) -> tuple[str, Task | None, dict[str, _Table]]:
    """Finds out what the source is, and reads its raw rows: name, task, tables by split."""
    if isinstance(source, str) and _is_name(source):
        root = templates_root()
        folder = root / source
        if folder.is_dir() and folder.resolve().is_relative_to(root.resolve()):
            return source, task or load_task(source), _open_folder(folder / "data")
    if isinstance(source, str | Path):
        return _open_path(Path(source), task)
    name = type(source).__name__
    if isinstance(source, Mapping):
        if set(source) <= set(_ALIASES) and source:
            return name, task, _by_split({key: _table(value, f"{name}[{key!r}]") for key, value in source.items()})
        splits = [key for key, value in source.items() if hasattr(value, "column_names")]
        if splits:
            must = f"named {one_of(_ALIASES)}"
            do = "give the ones you want, for example {'train': d['a'], 'test': d['b']}"
            raise DataError(explain("splits", of=name, must=must, got=list(source), do=do))
    return name, task, {"train": _table(source, name)}


def _is_name(text: str) -> bool:
    try:
        return bool(check_name(text))
    except TaskError:
        return False


def _open_path(path: Path, task: Task | None) -> tuple[str, Task | None, dict[str, _Table]]:
    if "\0" in str(path):
        raise DataError(explain("path", of="load_examples", must="free of NUL characters", got=str(path)))
    if path.is_dir():
        if (path / "domain.yaml").is_file():
            return path.name, task or load_task(path), _open_folder(path / "data")
        return path.name, task, _open_folder(path)
    if not path.is_file() and len(path.parts) == 1 and not kind_of(path):
        names = sorted(item.name for item in templates_root().iterdir() if (item / "data").is_dir())
        must = "a domain, a file or a folder that exists"
        raise DataError(explain("source", of="load_examples", must=must, got=str(path), do=f"domains are {names}"))
    return path.name, task, {"train": _Table(str(path), read_file(path))}


def _open_folder(folder: Path) -> dict[str, _Table]:
    """Reads the files of a folder that are named after splits."""
    found: dict[str, Path] = {}
    names = sorted(folder.iterdir()) if folder.is_dir() else []
    for path in names:
        stem = path.name.lower().removesuffix(".gz").removesuffix(kind_of(path) or "\0")
        if stem in _ALIASES and kind_of(path):
            if stem in found:
                must = f"in one file, not {found[stem].name} and {path.name}"
                raise DataError(explain(stem, of=str(folder), must=must, got=2))
            found[stem] = path
    if not found:
        must = f"a folder with files such as train, dev, test and suffix {one_of(SUFFIXES)}"
        raise DataError(explain("content", of=str(folder), must=must, got=[path.name for path in names]))
    return _by_split({stem: _Table(str(path), read_file(path)) for stem, path in found.items()})


def _by_split(tables: Mapping[str, _Table]) -> dict[str, _Table]:
    """Orders tables as train, dev, test."""
    order = sorted(tables, key=lambda key: SPLIT_NAMES.index(_ALIASES[key]))
    if len({_ALIASES[key] for key in order}) < len(order):
        raise DataError(explain("splits", of="load_examples", must="one of each kind", got=order))
    return {_ALIASES[key]: tables[key] for key in order}


def _table(source: Any, name: str) -> _Table:
    """Reads a list of mappings, a mapping of columns, or a ``datasets.Dataset`` (known by its shape, not its class)."""
    if hasattr(source, "column_names") and hasattr(source, "features") and hasattr(source, "__len__"):
        features = source.features or {}
        classes = {column: kind.names for column, kind in features.items() if getattr(kind, "names", None)}
        return _Table(name, read_items(list(source)), classes)
    if isinstance(source, Mapping):
        wrong = [key for key, cells in source.items() if isinstance(cells, str) or not isinstance(cells, Sequence)]
        if wrong:
            must = "a list of cells in each column"
            raise DataError(explain("columns", of=name, must=must, got=wrong, do="a single row is given as a list"))
        return _Table(name, read_columns(source, name))
    if isinstance(source, Sequence) and not isinstance(source, str | bytes):
        return _Table(name, read_items(source))
    must = "a domain, a path, a datasets object, a list of mappings or a mapping of columns"
    do = "turn other things into a list first, for example list(rows)" if isinstance(source, Iterable) else ""
    raise DataError(explain("source", of="load_examples", must=must, got=source, do=do))
