"""Raw rows -> examples: every cell is judged before any model is called, and all bad rows are told at once."""

from __future__ import annotations

import difflib
import json
import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from numbers import Real
from pathlib import Path

from promptkit.data.rows import MAX_CELL, Raw
from promptkit.errors import DataError, error_message, one_of
from promptkit.tasks.loading import DELIMITERS
from promptkit.types import Example, Query

__all__ = ["BadRow", "Layout", "check_columns", "complain", "convert", "write_rejects"]

SHOWN = 10
"""How many bad rows a message lists; the rest is counted, and all stand in the rejects file."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """Why a row cannot be used.

    Attributes:
        file: File or object with the row.
        row: Its number; see ``Raw.number``.
        column: The column at fault, or "" for the row as a whole.
        reason: What it must be and what it is.
    """

    file: str
    row: int
    column: str
    reason: str

    def __str__(self) -> str:
        """One line for a message."""
        return f"{self.file} row {self.row}: {self.reason}"


@dataclass(frozen=True)
class Layout:
    """Which column of the source holds what.

    Attributes:
        fields: Input fields of the task, in order.
        columns: The source's column of each field and of "target", "rationale" and "id".
        labels: Allowed targets; empty for any.
        closed: Whether a column that is not listed makes a row bad (so, where no task says what is needed).
        classes: Names behind the whole numbers of a column, for columns of class labels.
        group: The column of the group; "" where rows have none.
    """

    fields: tuple[str, ...]
    columns: Mapping[str, str]
    labels: tuple[str, ...] = ()
    closed: bool = False
    classes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    group: str = ""

    @property
    def required(self) -> dict[str, str]:
        """The column of each field and of the target."""
        return {name: self.columns[name] for name in (*self.fields, "target")}


def check_columns(rows: Sequence[Raw], layout: Layout, name: str) -> None:
    """Refuses a table that lacks a needed column altogether, which no row-by-row report would explain.

    Args:
        rows: The rows of one file or object.
        layout: Which columns are needed.
        name: What the file or object is called in messages.

    Raises:
        DataError: If no row has a value in a needed column; names the columns found and suggests ``columns=``.
    """
    found: dict[str, None] = {}
    for raw in rows:
        found.update(dict.fromkeys(raw.values))
    if layout.group and found and layout.group not in found:
        hint = "group= names the column that tells which rows belong together"
        raise DataError(error_message("group", of=name, expected=one_of(found), got=layout.group, hint=hint))
    missing = {role: column for role, column in layout.required.items() if column not in found}
    if not missing or not found:
        return
    spare = [column for column in found if column not in layout.columns.values()]
    guess: dict[str, str] = {}
    for role in missing:
        left = [column for column in spare if column not in guess.values()]
        guess[role] = (difflib.get_close_matches(role, left, 1, 0.3) or left or ["<column>"])[0]
    listed = ", ".join(repr(column) for column in layout.required.values())
    options = shlex.join(part for role, column in guess.items() for part in ("--column", f"{role}={column}"))
    hint = f"{', '.join(map(repr, missing.values()))} missing; name them, for example columns={json.dumps(guess)}"
    hint += f" ({options}; or data.columns in task.yaml)"
    for sign, called in DELIMITERS.items():
        parts = {part.strip() for column in found for part in column.split(sign)}
        if any(column in parts for column in missing.values()):
            hint = f"the file looks {called}-separated: pass delimiter={sign!r} (--delimiter {called})"
    raise DataError(error_message("columns", of=name, expected=f"at least {listed}", got=list(found), hint=hint))


def convert(rows: Iterable[Raw], layout: Layout, name: str, prefix: str) -> tuple[list[Example], list[BadRow]]:
    """Turns the rows of one table into examples.

    Args:
        rows: The rows.
        layout: Which column holds what.
        name: What the table is called in messages.
        prefix: Start of the ids that are made for rows without one, for example "train" for "train-12".

    Returns:
        The good rows as examples, and every fault of the bad ones.
    """
    good: list[Example] = []
    bad: list[BadRow] = []
    seen: dict[str, int] = {}
    for raw in rows:
        if raw.fault:
            bad.append(BadRow(name, raw.number, "", raw.fault))
            continue
        row = _Row(raw, layout)
        example = row.example(prefix)
        if example and (first := seen.setdefault(example.id, raw.number)) != raw.number:
            row.fault(
                "id", error_message("id", of="row", expected="unique", got=example.id, hint=f"row {first} has it")
            )
        if row.faults or example is None:
            bad.extend(BadRow(name, raw.number, column, reason) for column, reason in row.faults)
        else:
            good.append(example)
    return good, bad


class _Row:
    """The cells of one row while they are judged, with the faults found so far."""

    def __init__(self, raw: Raw, layout: Layout) -> None:
        self.raw, self.layout = raw, layout
        self.faults: list[tuple[str, str]] = []

    def fault(self, role: str, reason: str) -> None:
        self.faults.append((self.layout.columns[role], reason.removeprefix("row: ")))

    def example(self, prefix: str) -> Example | None:
        """Builds the example, or notes every fault and returns ``None``."""
        if self.layout.closed:
            known = {*self.layout.columns.values(), self.layout.group}
            for column in self.raw.values:
                if column not in known:
                    hint = "list the fields that count by fields=[...]"
                    self.faults.append((column, f"column {column!r} does not stand in the first row; {hint}"))
        fields = {name: self.text(name) or "" for name in self.layout.fields}
        targets = self.targets()
        rationale = self.text("rationale", needed=False)
        name = self.text("id", needed=False) or f"{prefix}-{self.raw.number}"
        group = self.group()
        if self.faults:
            return None
        return Example(Query(fields, name), targets, rationale, group)

    def group(self) -> str:
        """Returns what the row belongs to; "" where that is not said."""
        value = self.raw.values.get(self.layout.group) if self.layout.group else None
        if value is None or (isinstance(value, str) and not value.strip()):
            return ""
        if isinstance(value, str | Real) and not isinstance(value, bool):
            return str(value)
        reason = error_message(self.layout.group, of="row", expected="text or a number", got=_shown(value))
        self.faults.append((self.layout.group, reason.removeprefix("row: ")))
        return ""

    def cell(self, role: str) -> object:
        return self.raw.values.get(self.layout.columns[role])

    def text(self, role: str, *, needed: bool = True) -> str | None:
        """Returns the text of a cell; for optional cells ``None`` where there is nothing."""
        value = self.cell(role)
        if not needed and (value is None or (isinstance(value, str) and not value.strip())):
            return None
        if self.layout.columns[role] not in self.raw.values:
            self.fault(role, f"column {self.layout.columns[role]!r} is missing")
            return None
        return self.scalar(role, value, "text or a number")

    def scalar(self, role: str, value: object, expected: str) -> str | None:
        column = self.layout.columns[role]
        names = self.layout.classes.get(column)
        if names and isinstance(value, int):
            if 0 <= value < len(names):
                return names[value]
            expected = f"one of the {len(names)} class labels"
            hint = "-1 says that the row has no label" if value == -1 else ""
            self.fault(role, error_message(column, of="row", expected=expected, got=value, hint=hint))
            return None
        if isinstance(value, Real) and not isinstance(value, bool):
            return self.number(role, value)
        if isinstance(value, Decimal) and value.is_finite():
            return format(value, "f")
        if not isinstance(value, str):
            self.fault(role, error_message(column, of="row", expected=expected, got=_shown(value)))
        elif not value.strip():
            self.fault(role, error_message(column, of="row", expected="not empty", got=value[:80]))
        elif len(value) > MAX_CELL:
            self.fault(role, error_message(column, of="row", expected=f"at most {MAX_CELL} characters", got=len(value)))
        elif reason := _not_unicode(value):
            self.fault(role, error_message(column, of="row", expected="valid Unicode text in UTF-8", got=reason))
        else:
            return value
        return None

    def number(self, role: str, value: Real) -> str | None:
        column = self.layout.columns[role]
        try:
            if math.isfinite(value):
                return str(value)
            self.fault(role, error_message(column, of="row", expected="a finite number", got=value))
        except (OverflowError, ValueError):  # Python refuses to write out integers of more than 4,300 digits
            self.fault(role, f"{column} must be a number of at most 4300 digits, got more")
        return None

    def targets(self) -> tuple[str, ...]:
        column = self.layout.columns["target"]
        value = self.cell("target")
        expected = "text, a number or a list of these"
        if column not in self.raw.values:
            self.fault("target", f"column {column!r} is missing")
            return ()
        if isinstance(value, list | tuple):
            if not value:
                self.fault("target", error_message(column, of="row", expected="not empty", got=value))
            found = [self.scalar("target", item, expected) for item in value]
        else:
            found = [self.scalar("target", value, expected)]
        targets = tuple(dict.fromkeys(target for target in found if target is not None))
        for target in targets:
            if self.layout.labels and target not in self.layout.labels:
                expected = one_of(self.layout.labels[:20]) + (", ..." if len(self.layout.labels) > 20 else "")
                self.fault("target", error_message(column, of="row", expected=expected, got=target))
        return targets


def _shown(value: object) -> object:
    """Returns a value that a message can show: itself, or the name of its type if it has no short ``repr``."""
    try:
        repr(value)
    except Exception:  # a third-party object may raise anything here
        return type(value).__name__
    return value


def _not_unicode(text: str) -> str:
    """Names the first character of a text that UTF-8 cannot hold; "" if there is none."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        return f"byte 0x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"lone surrogate U+{code:04X}"
    return ""


def complain(bad: Sequence[BadRow], total: int, *, usable: int) -> DataError:
    """Builds the one error that lists the bad rows.

    Args:
        bad: Every fault.
        total: Number of rows read.
        usable: Number of good rows among them.

    Returns:
        The error, for the caller to raise.
    """
    rows = len({(fault.file, fault.row) for fault in bad})
    hint = (
        "correct them, or leave them out in Python by load_examples(..., skip_bad=True, rejects=PATH), which lists "
        "them in that file"
    )
    if not usable:
        hint = "not one row is usable; is this the right file, and do columns= and fields= name its columns?"
    if any("UTF-8, got" in fault.reason and "byte" in fault.reason for fault in bad):
        hint += "; or name the encoding of the file, as encoding='cp1252' (--encoding cp1252)"
    lines = [f"{rows} of {total} rows cannot be used; {hint}", *(f"  {fault}" for fault in bad[:SHOWN])]
    if len(bad) > SHOWN:
        lines.append(f"  ... and {len(bad) - SHOWN} more")
    return DataError("\n".join(lines))


def write_rejects(bad: Sequence[BadRow], path: Path) -> None:
    """Writes one JSON line per fault: file, row, column, reason.

    Args:
        bad: Every fault.
        path: The file to write; replaced if it is there.

    Raises:
        DataError: If the file cannot be written.
    """
    try:
        path.write_text("".join(json.dumps(asdict(fault)) + "\n" for fault in bad), encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path}: the rejected rows cannot be written: {error}") from error
