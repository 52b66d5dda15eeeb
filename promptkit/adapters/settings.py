"""What makes a class an adapter's settings: frozen, validated, speaking promptkit's errors, and JSON both ways."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar, dataclass_transform

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as pydantic_dataclass

from promptkit.errors import SettingError, explain, one_of
from promptkit.task import Task
from promptkit.types import JSONObject

__all__ = ["adapter_from_settings", "adapter_settings", "register", "settings"]

T = TypeVar("T")

_KINDS: dict[str, type[Any]] = {}


@dataclass_transform(frozen_default=True)
def settings(cls: type[T]) -> type[T]:
    """Makes a class a frozen record whose fields are checked when it is built.

    Args:
        cls: A class with annotated fields, the first of them ``task``.

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

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        known = [field.name for field in dataclasses.fields(record)]
        for name in kwargs:
            if name not in known:
                raise SettingError(explain("setting", of=cls.__name__, must=one_of(known), got=name))
        try:
            build(self, *args, **kwargs)
        except ValidationError as error:
            first = error.errors()[0]
            which = ".".join(str(part) for part in first["loc"]) or "value"
            must = first["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
            must = must.split(", unable to")[0]
            raise SettingError(explain(which, of=cls.__name__, must=must, got=first["input"])) from None

    __init__.__doc__ = build.__doc__
    record.__init__ = __init__
    return record  # type: ignore[no-any-return]


def register(kind: str, cls: type[T]) -> type[T]:
    """Makes a strategy known by its kind, so that a settings file can name it.

    Args:
        kind: The name in settings files, for example ``"few_shot"``.
        cls: The strategy's class.

    Returns:
        The class.
    """
    _KINDS[kind] = cls
    return cls


def adapter_settings(adapter: Any) -> JSONObject:
    """Returns an adapter's settings as plain JSON data, its kind first; the task is not among them.

    Args:
        adapter: An adapter of a registered kind.

    Returns:
        A dictionary that ``adapter_from_settings`` turns back into an equal adapter.

    Raises:
        SettingError: The adapter's class is not registered.
    """
    kind = next((name for name, cls in _KINDS.items() if type(adapter) is cls), None)
    if kind is None:
        raise SettingError(explain("adapter", of="adapter_settings", must=one_of(_KINDS), got=type(adapter).__name__))
    values = TypeAdapter(type(adapter)).dump_python(adapter, mode="json", exclude={"task"})
    return {"kind": kind, **values}


def adapter_from_settings(task: Task, values: Mapping[str, Any]) -> Any:
    """Builds an adapter from plain JSON data.

    Args:
        task: The task that the adapter is for.
        values: ``kind`` and the settings of that kind; unknown names are refused.

    Returns:
        The adapter.

    Raises:
        SettingError: The kind or a setting is unknown, or a value is out of range.

    Example:
        >>> from promptkit import load_task
        >>> adapter_from_settings(load_task("apples"), {"kind": "few_shot", "shots": 2}).shots
        2
    """
    rest = dict(values)
    kind = rest.pop("kind", None)
    if kind not in _KINDS:
        raise SettingError(explain("kind", of="adapter settings", must=one_of(_KINDS), got=kind))
    return _KINDS[kind](task, **rest)
