"""Finds task folders and reads their files strictly: small, inside the folder, YAML without surprises.

Also how the rows of a task are read where they are not in promptkit's own form.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, field_validator

from promptkit.errors import TaskError, error_message, one_of

__all__ = [
    "DELIMITERS",
    "MAX_FILE",
    "DataSettings",
    "check_name",
    "is_path",
    "list_tasks",
    "read_mapping",
    "read_text",
    "resolve_name",
    "task_folder",
    "templates_root",
]

MAX_FILE = 200_000
"""Most bytes of one file of a task."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DEVICE = re.compile(r"(CON|PRN|AUX|NUL|COM[0-9]|LPT[0-9])(\..*)?", re.IGNORECASE)


DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
"""Characters that commonly separate the cells of a file, and what they are called."""


class DataSettings(BaseModel):
    r"""How the rows of a data set are read, where they are not in promptkit's own form.

    Attributes:
        columns: The column of each field, and of "target", "rationale" and "id", that has another name in the data.
        delimiter: What separates the cells of .csv and .tsv files: one character, or a name such as ``semicolon`` or
            ``tab``; ``None`` for a comma, and in .tsv files a tab.
        encoding: The encoding of the files, a name that Python knows; ``None`` for UTF-8.

    Example:
        >>> DataSettings(delimiter="tab").delimiter
        '\t'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: dict[str, str] = {}
    delimiter: str | None = None
    encoding: str | None = None

    @field_validator("delimiter")
    @classmethod
    def _check_delimiter(cls, text: str | None) -> str | None:
        if text is None:
            return None
        found = {"\\t": "\t", **{name: sign for sign, name in DELIMITERS.items()}}.get(text, text)
        if len(found) != 1 or found.isalnum() or found in "\"'\r\n\0":
            raise ValueError(f"must be one character such as ',' or ';', or one of {', '.join(DELIMITERS.values())}")
        return found

    @field_validator("encoding")
    @classmethod
    def _check_encoding(cls, name: str | None) -> str | None:
        try:
            if name is not None:
                "".encode(name)  # also refuses codecs that are no encodings of text
        except (LookupError, ValueError):
            raise ValueError("must be an encoding that Python knows, such as utf-8, cp1252 or latin-1") from None
        return name


def check_name(name: str, *, of: str = "task") -> str:
    """Checks the one rule for names that become names of folders.

    Args:
        name: The name.
        of: What it names, for the message.

    Returns:
        The name itself.

    Raises:
        TaskError: It has other characters than letters, digits, ``.``, ``_`` and ``-``, does not start with a
            letter or digit, ends with a dot, is longer than 64, or is a device of Windows.

    Example:
        >>> check_name("apples")
        'apples'
    """
    if not _NAME.fullmatch(name) or name.endswith(".") or _DEVICE.fullmatch(name):
        expected = "1 to 64 letters, digits, '.', '_' or '-', starting with a letter or digit"
        raise TaskError(error_message("name", of=of, expected=expected, got=name))
    return name


def templates_root() -> Path:
    """Says where the shipped tasks lie.

    Returns:
        ``promptkit/_templates`` in an installed wheel, else ``templates/`` beside the package.

    Raises:
        TaskError: Neither exists.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "_templates", package.parent / "templates"):
        if folder.is_dir():
            return folder
    raise TaskError("the shipped tasks are missing; reinstall promptkit")


def list_tasks() -> list[str]:
    """Lists the shipped tasks.

    Returns:
        Their names in alphabetical order.
    """
    return sorted(path.parent.name for path in templates_root().glob("*/task.yaml"))


def task_folder(name: str) -> Path:
    """Finds a shipped task by name; never reaches outside the shipped tasks.

    Args:
        name: The name of a task, not a path.

    Returns:
        Its folder.

    Raises:
        TaskError: The name breaks the rule for names, is unknown, or leads elsewhere.
    """
    root = templates_root().resolve()
    folder = (root / check_name(name)).resolve()
    if folder.parent != root or not (folder / "task.yaml").is_file():
        names = list_tasks()
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "give the path of a folder for a task of your own"
        raise TaskError(error_message("name", of="task", expected=one_of(names), got=name, hint=hint))
    return folder


def is_path(source: str | os.PathLike[str]) -> bool:
    """Tells whether a source is a path and not a bare name: no ``str``, or a text with a path separator.

    Example:
        >>> is_path("tickets"), is_path("./tickets"), is_path(Path("tickets"))
        (False, True, True)
    """
    return not isinstance(source, str) or "/" in source or "\\" in source


def resolve_name(name: str, *, of: str, folder: str | os.PathLike[str] = ".") -> Path | None:
    """Finds the shipped task that a bare name means, and refuses a name that a local task has too.

    Names are compared without regard to case, because a file system may do the same. A local folder without a
    ``task.yaml`` is no task, and the shipped task itself, seen from inside ``templates/``, is no second one.

    Args:
        name: A bare name, not a path (see ``is_path``).
        of: What messages call the caller.
        folder: Where local tasks are looked for.

    Returns:
        The folder of the shipped task, or ``None`` if none has this name.

    Raises:
        TaskError: A shipped and a local task have this name; names both and says how to write either.

    Example:
        >>> resolve_name("apples", of="load_task").name, resolve_name("mine", of="load_task")
        ('apples', None)
    """
    shipped = next((known for known in list_tasks() if known.casefold() == name.casefold()), None)
    if shipped is None:
        return None
    found = templates_root() / shipped
    for local in _local_domains(name, Path(folder)):
        if not os.path.samefile(local, found):
            here = local.as_posix() if is_path(local.as_posix()) else f"./{local.as_posix()}"
            raise TaskError(
                f"{of}: {name!r} is both a shipped task ({found.as_posix()}) and a local folder ({here}); "
                f"write {here} for the folder, or the full path for the shipped task"
            )
    return task_folder(shipped) if shipped == name else None


def _local_domains(name: str, folder: Path) -> list[Path]:
    """Lists the task folders of a name in a folder, whatever their case."""
    try:
        entries = [entry for entry in os.listdir(folder) if entry.casefold() == name.casefold()]
    except OSError:
        entries = [name]
    return [folder / entry for entry in sorted(entries) if os.path.isfile(folder / entry / "task.yaml")]


def read_text(folder: Path, name: str) -> str:
    """Reads one file of a task folder.

    Args:
        folder: The folder.
        name: The name of the file in it.

    Returns:
        The text; a byte order mark is dropped.

    Raises:
        TaskError: The file is missing, leads out of the folder, is too large or is not UTF-8.
    """
    path = folder / name
    label = f"{folder.name}/{name}"
    try:
        if path.resolve().parent != folder.resolve():
            raise TaskError(f"{label} must lie in its folder, but it is a link to somewhere else")
        if not path.is_file():
            if name == "task.yaml" and (folder / "domain.yaml").is_file():
                raise TaskError(f"{label} is missing; rename domain.yaml to task.yaml, and its key readers to parsers")
            raise TaskError(f"{label} is missing; a task folder holds task.yaml and direct.jinja")
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise TaskError(f"{label} cannot be read: {error.strerror}") from None
    if len(data) > MAX_FILE:
        raise TaskError(f"{label} must have at most {MAX_FILE:,} bytes, got more")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TaskError(f"{label} must be UTF-8, got byte 0x{data[error.start]:02x} at {error.start}") from None


def read_mapping(text: str, label: str) -> dict[str, Any]:
    """Parses YAML that is one mapping with text keys.

    Args:
        text: The YAML.
        label: What messages call it.

    Returns:
        The mapping, of plain values.

    Raises:
        TaskError: It is not YAML, repeats a key, uses an alias or a tag, or is not a mapping.

    Example:
        >>> read_mapping("fields: [question]", "task.yaml")
        {'fields': ['question']}
    """
    try:
        value = yaml.load(text, Loader=_StrictLoader)  # a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}: " if mark else ""
        reason = ", ".join(filter(None, (error.context, error.problem)))
        raise TaskError(f"{label}: {line}{reason}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise TaskError(f"{label} is not YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise TaskError(error_message("content", of=label, expected="a mapping of names to values", got=value))
    return value


class _StrictLoader(yaml.SafeLoader):
    """A safe loader without aliases, which can grow without bound, and without repeated keys."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="aliases are not allowed; write the value again")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if str(key.value) in seen:
                problem = f"the key {key.value!r} stands twice"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)
