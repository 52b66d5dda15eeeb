"""Records of settings and of results: frozen, checked when they are built, documented field by field.

``settings`` makes strategies' settings, which speak promptkit's errors; ``FrozenRecord`` is the base of results, which
go to JSON and back. ``help``, ``dir`` and completion show both as they were written, without what checks their values.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, dataclass_transform

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.dataclasses import dataclass as pydantic_dataclass

from promptkit.errors import SettingError, error_message, one_of

__all__ = [
    "DocumentedType",
    "FrozenRecord",
    "documented",
    "field_docs",
    "field_names",
    "part_of",
    "plain_signature",
    "settings",
]

T = TypeVar("T")

_INHERITED = frozenset(dir(BaseModel))
_ModelType: Any = type(BaseModel)
_CHECKED = re.compile(r"Annotated\[((?:[^\[\],]|\[[^\[\]]*\])+), Field\([^()]*\)\]")


class DocumentedType(type):
    """Type of classes of which ``dir`` and ``help`` show what they define, not what checks their values."""

    def __dir__(cls) -> list[str]:
        return sorted(name for name in super().__dir__() if not name.startswith("_") and name not in _INHERITED)


def documented(cls: type[Any]) -> type[Any]:
    """Makes a plain class once more, as one of ``DocumentedType``: a class cannot change its type.

    Args:
        cls: A class that nothing refers to yet, as in a decorator.

    Returns:
        The new class. Methods that call ``super()`` do so from it.
    """
    values = {name: value for name, value in vars(cls).items() if name not in ("__dict__", "__weakref__")}
    made = DocumentedType(cls.__name__, cls.__bases__, values)
    for value in values.values():
        for cell in getattr(value, "__closure__", None) or ():
            if cell.cell_contents is cls:
                cell.cell_contents = made
    return made


class _RecordType(DocumentedType, _ModelType):  # type: ignore[misc]
    pass


class FrozenRecord(BaseModel, metaclass=_RecordType):  # type: ignore[metaclass]
    """A frozen record that refuses unknown fields.

    It goes to JSON by pydantic's ``model_dump_json`` and back by ``model_validate_json``.

    Example:
        >>> class Point(FrozenRecord):
        ...     x: float
        >>> [name for name in dir(Point) if "model" in name]
        []
        >>> Point.model_validate_json(Point(x=1).model_dump_json())
        Point(x=1.0)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Shows the annotations as they were written."""
        cls.__signature__ = plain_signature(cls)


class _Written(str):
    """An annotation that is shown without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def plain_signature(cls: type[Any]) -> inspect.Signature:
    """Returns the signature of a class with its annotations as they were written, without the checks in them.

    Args:
        cls: A class whose annotations are texts, as ``from __future__ import annotations`` makes them.

    Returns:
        The signature.

    Example:
        >>> class Shots(FrozenRecord):
        ...     n: int | None = None
        >>> inspect.signature(Shots)
        <Signature (*, n: int | None = None) -> None>
    """
    written: dict[str, object] = {}
    for one in reversed(cls.__mro__):
        written |= vars(one).get("__annotations__", {})
    found = inspect.signature(cls)
    return found.replace(
        parameters=[_shown(one, written.get(one.name, one.annotation)) for one in found.parameters.values()]
    )


def _shown(parameter: inspect.Parameter, annotation: object) -> inspect.Parameter:
    if isinstance(annotation, str):
        annotation = _Written(_CHECKED.sub(r"\1", annotation))
    return parameter.replace(annotation=annotation)


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
    record: Any = pydantic_dataclass(frozen=True, config=config)(documented(cls))
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
    parameters = plain_signature(record).parameters
    ordered = sorted((parameters[name] for name in field_names(record)), key=lambda one: one.kind)
    record.__signature__ = inspect.Signature(ordered)
    record.__repr__ = _changed
    return record  # type: ignore[no-any-return]


def _changed(self: Any) -> str:
    """Shows the settings that differ from their defaults; a setting without a default comes first, by its value."""
    shown: list[str] = []
    for field in dataclasses.fields(self):
        value, factory = getattr(self, field.name), field.default_factory
        default = field.default if factory is dataclasses.MISSING else factory()
        if default is dataclasses.MISSING:
            shown.insert(0, repr(value))
        elif value != default:
            shown.append(f"{field.name}={value!r}")
    return f"{type(self).__name__}({', '.join(shown)})"


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
