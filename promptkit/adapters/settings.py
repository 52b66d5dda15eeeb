"""What makes a class an adapter's settings: frozen, validated, speaking promptkit's errors, and JSON both ways."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, dataclass_transform

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as pydantic_dataclass

from promptkit.errors import SettingError, error_message, one_of
from promptkit.records import documented, plain_signature
from promptkit.registry import find, name_of, registered_names
from promptkit.tasks.task import Task
from promptkit.types import JSONObject

__all__ = ["adapter_from_settings", "adapter_settings", "settings"]

T = TypeVar("T")


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
    record: Any = pydantic_dataclass(frozen=True, config=config)(documented(cls))
    build = record.__init__

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        known = [field.name for field in dataclasses.fields(record)]
        for name in kwargs:
            if name not in known:
                raise SettingError(error_message("setting", of=cls.__name__, expected=one_of(known), got=name))
        try:
            build(self, *args, **kwargs)
        except ValidationError as error:
            raise _as_setting_error(error, known, cls.__name__) from None

    __init__.__doc__ = build.__doc__
    record.__signature__ = plain_signature(record)
    record.__init__ = __init__
    record.__repr__ = _changed
    return record  # type: ignore[no-any-return]


def _changed(self: Any) -> str:
    """Shows the task, and the settings that differ from their defaults."""
    shown = []
    for field in dataclasses.fields(self):
        value, factory = getattr(self, field.name), field.default_factory
        default = field.default if factory is dataclasses.MISSING else factory()
        if default is dataclasses.MISSING or value != default:
            shown.append(repr(value) if isinstance(value, Task) else f"{field.name}={value!r}")
    return f"{type(self).__name__}({', '.join(shown)})"


def _as_setting_error(error: ValidationError, known: Sequence[str], of: str) -> SettingError:
    """Turns pydantic's list of faults into one error about the first bad setting; our own speak for themselves."""
    faults = error.errors()
    for fault in faults:
        own = fault.get("ctx", {}).get("error")
        if isinstance(own, SettingError):
            return own
    where = faults[0]["loc"][0]
    # A setting of several types has one fault for each of them, of which any may be mended.
    musts = dict.fromkeys(_must(fault) for fault in faults if fault["loc"][0] == where)
    which = known[where] if isinstance(where, int) else where
    got = None if faults[0]["type"] == "missing" else faults[0]["input"]
    return SettingError(error_message(which, of=of, expected=" or ".join(musts), got=got))


def _must(fault: Mapping[str, Any]) -> str:
    """Turns pydantic's words for one fault into the end of a sentence that starts with "must be"."""
    if fault["type"] == "missing":
        return "given"
    if fault["type"] == "unexpected_keyword_argument":
        return f"without {fault['loc'][-1]!r}"
    text: str = fault["msg"].removeprefix("Input should be ").split(", unable to")[0]
    return text.replace("a dictionary or an instance of", "a")


def adapter_settings(adapter: Any) -> JSONObject:
    """Returns an adapter's settings as plain JSON data, its kind first; the task is not among them.

    Args:
        adapter: An adapter of a registered kind.

    Returns:
        A dictionary that ``adapter_from_settings`` turns back into an equal adapter.

    Raises:
        SettingError: The adapter's class is not registered.
    """
    kind = name_of("strategy", type(adapter))
    if kind is None:
        expected = f"of a registered class, {one_of(registered_names('strategy'))}"
        raise SettingError(
            error_message("adapter", of="adapter_settings", expected=expected, got=type(adapter).__name__)
        )
    values = TypeAdapter(type(adapter)).dump_python(adapter, mode="json", exclude={"task"})
    if own_kind := _own_kind(kind):
        values[own_kind] = values.pop("kind")
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
    strategy = find("strategy", rest.pop("kind", None), of="adapter settings", which="kind")
    own_kind = _own_kind(strategy.name)
    if own_kind in rest:
        rest["kind"] = rest.pop(own_kind)
    return strategy.value(task, **rest)


def _own_kind(kind: str) -> str | None:
    """Returns what settings files call a field ``kind`` of the strategy's own, if it has one."""
    own_kind: str | None = find("strategy", kind, of="adapter settings", which="kind").options.get("own_kind")
    return own_kind
