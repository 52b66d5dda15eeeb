"""Records of settings: frozen, checked when they are built, speaking promptkit's errors, documented field by field."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, dataclass_transform

from pydantic import ConfigDict, ValidationError
from pydantic.dataclasses import dataclass as pydantic_dataclass

from promptkit.errors import SettingError, error_message, one_of

__all__ = ["field_docs", "field_names", "part_of", "settings"]

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def settings(cls: type[T]) -> type[T]:
    """Makes a class a frozen record whose fields are checked when it is built.

    Args:
        cls: A class with annotated fields. It may inherit fields from other such records, which mark theirs as
            keyword-only with ``_: KW_ONLY``; their documentation is added to its docstring.

    Returns:
        The class as a frozen dataclass. A bad value raises ``SettingError`` that names the field.

    Example:
        >>> @settings
        ... class Shots:
        ...     shots: int = 4
        >>> Shots(shots="many")
        Traceback (most recent call last):
        promptkit.errors.SettingError: Shots: shots must be a valid integer, got 'many'
    """
    config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
    record: Any = pydantic_dataclass(frozen=True, config=config)(cls)
    build = record.__init__

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        known = field_names(record)
        for name in kwargs:
            if name not in known:
                raise SettingError(error_message("setting", of=cls.__name__, expected=one_of(known), got=name))
        try:
            build(self, *args, **kwargs)
        except ValidationError as error:
            positional = [field.name for field in dataclasses.fields(record) if not field.kw_only]
            raise _as_setting_error(error, positional, cls.__name__) from None

    __init__.__doc__ = build.__doc__
    record.__init__ = __init__
    _document(record, cls)
    parameters = inspect.signature(record).parameters
    ordered = sorted((parameters[name] for name in field_names(record)), key=lambda one: one.kind)
    record.__signature__ = inspect.Signature(ordered)
    return record  # type: ignore[no-any-return]


def _as_setting_error(error: ValidationError, positional: Sequence[str], of: str) -> SettingError:
    """Turns pydantic's list of faults into one error about the first bad setting; our own speak for themselves."""
    faults = error.errors()
    for fault in faults:
        own = fault.get("ctx", {}).get("error")
        if isinstance(own, SettingError):
            return own
    where = faults[0]["loc"][0]
    # A setting of several types has one fault for each of them, of which any may be mended.
    musts = dict.fromkeys(_must(fault) for fault in faults if fault["loc"][0] == where)
    which = positional[where] if isinstance(where, int) else where
    got = None if faults[0]["type"] == "missing" else faults[0]["input"]
    return SettingError(error_message(which, of=of, expected=" or ".join(musts), got=got))


def _must(fault: Mapping[str, Any]) -> str:
    """Turns pydantic's words for one fault into the end of a sentence that starts with "must be"."""
    if fault["type"] == "missing":
        return "given"
    if fault["type"] == "unexpected_keyword_argument":
        return f"without {fault['loc'][-1]!r}"
    if fault["type"] == "too_short":
        return f"of length {fault['ctx']['min_length']} or more"
    text: str = fault["msg"].removeprefix("Input should be ").removeprefix("Value error, ").split(", unable to")[0]
    return text.replace("a dictionary or an instance of", "a")


def field_names(cls: type[Any]) -> list[str]:
    """Lists the settings of a record: those of the class first, then those that it inherits.

    Args:
        cls: A class made by ``settings``.

    Returns:
        The names.
    """
    known = {field.name for field in dataclasses.fields(cls)}
    declared = [name for one in cls.__mro__ for name in vars(one).get("__annotations__", {})]
    return [name for name in dict.fromkeys(declared) if name in known]


def field_docs(cls: type[Any]) -> dict[str, str]:
    """Reads what the docstrings of a record and its bases say of each field, under "Attributes:".

    Args:
        cls: Any class with Google docstrings.

    Returns:
        One line of text for each documented field.

    Example:
        >>> @settings
        ... class Shots:
        ...     '''How many.
        ...
        ...     Attributes:
        ...         shots: Number of demonstrations,
        ...             at least 0.
        ...     '''
        ...
        ...     shots: int = 4
        >>> field_docs(Shots)
        {'shots': 'Number of demonstrations, at least 0.'}
    """
    found: dict[str, str] = {}
    for one in cls.__mro__:
        for name, text in re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", _attributes(one), re.MULTILINE):
            found.setdefault(name, " ".join(text.split()))
    return found


def part_of(record: Any, cls: type[T]) -> T:
    """Takes the fields that a record inherits from one of its bases.

    Args:
        record: The record.
        cls: The base.

    Returns:
        A record of the base with the same values.
    """
    return cls(**{field.name: getattr(record, field.name) for field in dataclasses.fields(cls)})  # type: ignore[arg-type]


def _attributes(cls: type[Any]) -> str:
    """The section "Attributes:" of a class's own docstring, without its heading."""
    doc = inspect.cleandoc(vars(cls).get("__doc__") or "")
    found = re.search(r"^Attributes:\n((?:(?: {4}.*)?\n?)*)", doc, re.MULTILINE)
    return found[1].rstrip() if found else ""


def _document(record: type[Any], own: type[Any]) -> None:
    """Adds to a record's docstring what its bases say of the fields that it inherits."""
    section = _attributes(own)
    bases = [text for one in own.__bases__ if dataclasses.is_dataclass(one) and (text := _attributes(one))]
    if section and bases:
        doc = inspect.cleandoc(own.__doc__ or "")
        record.__doc__ = doc.replace(section, "\n".join([section, *bases]), 1)
