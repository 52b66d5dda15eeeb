"""Reading a decision record: strict, because whoever reads it believes it."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from promptkit.artifacts.migration import migrate_record
from promptkit.errors import ArtifactError, error_message, opens
from promptkit.ladder.record import FORMAT, Record, content_hash

__all__ = ["load_record"]

MAX_BYTES = 512 * 1024 * 1024
"""Largest file that is read."""


@opens(ArtifactError, of="load_record")
def load_record(path: str | os.PathLike[str]) -> Record:
    """Reads a decision record.

    Args:
        path: A file written by a climb, or the run folder that holds its ``record.json``.

    Returns:
        The record.

    Raises:
        ArtifactError: The file is missing, was written by a newer promptkit, is no decision record, or was changed
            after it was written.

    Example:
        >>> load_record("no-such-record.json")
        Traceback (most recent call last):
        promptkit.errors.ArtifactError: no-such-record.json: a decision record must be there, got nothing
    """
    file = Path(path)
    try:
        if file.is_dir():
            file = file / "record.json"
        # Without waiting for the other end of a pipe.
        with open(os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as opened:
            facts = os.fstat(opened.fileno())
            if not stat.S_ISREG(facts.st_mode) or facts.st_size > MAX_BYTES:
                expected = f"a regular file of at most {MAX_BYTES} bytes"
                raise ArtifactError(error_message("the record", of=file.name, expected=expected, got=facts.st_size))
            data = opened.read()
    except FileNotFoundError:
        raise ArtifactError(f"{file.name}: a decision record must be there, got nothing") from None
    except OSError as error:
        raise ArtifactError(f"{file.name} cannot be read: {error.strerror}") from None
    try:
        values = json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{file.name} is no decision record: {error!s:.120}") from None
    if not isinstance(values, dict):
        raise ArtifactError(error_message("the record", of=file.name, expected="a JSON object", got=values))
    version = values.get("format")
    if isinstance(version, int) and version > FORMAT:
        needs = str(values.get("needs", "a newer version"))[:20]
        raise ArtifactError(f"{file.name} was written by a newer promptkit and needs >= {needs}; upgrade promptkit")
    try:
        values = _current(values)
        record = Record.model_validate(values)
    except ArtifactError as error:
        raise ArtifactError(f"{file.name}: {error}") from None
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        if fault["type"] == "value_error":  # of the whole, which would not fit into a message
            raise ArtifactError(f"{file.name}: the record must be {_must(fault['msg'])}") from None
        raise ArtifactError(
            error_message(where or "the record", of=file.name, expected=_must(fault["msg"]), got=fault["input"])
        ) from None
    if "sha256" not in values:
        hint = "take the file that the climb wrote, or continue the climb, which writes it again"
        raise ArtifactError(error_message("sha256", of=file.name, expected="there", got=None, hint=hint))
    return record


def _current(values: dict[str, Any]) -> dict[str, Any]:
    """Brings a record of format 1 up to date; its hash is renewed only if it was right."""
    if values.get("format") != 1 or "sha256" not in values:
        return values
    rest = {key: value for key, value in values.items() if key != "sha256"}
    whole = values["sha256"] == content_hash(rest)
    rest = migrate_record(rest)
    return rest | {"sha256": content_hash(rest) if whole else ""}


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is no number of JSON")


def _must(message: str) -> str:
    return message.removeprefix("Value error, ").removeprefix("Input should be ").replace("Field required", "there")
