"""The strategies by kind: settings as plain JSON data, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import TypeAdapter

from promptkit.errors import SettingError, error_message, one_of
from promptkit.records import field_docs, field_names
from promptkit.tasks.task import Task
from promptkit.types import JSONObject

__all__ = ["StrategyField", "adapter_from_settings", "adapter_settings", "register", "strategy_fields"]

T = TypeVar("T")


class StrategyField(NamedTuple):
    """One setting of a strategy: its type with its limits, its default and its documentation."""

    annotation: Any
    default: Any
    text: str


_KINDS: dict[str, type[Any]] = {}
_OWN_KINDS: dict[str, str] = {}


def register(kind: str, cls: type[T], *, own_kind: str = "") -> type[T]:
    """Makes a strategy known by its kind, so that a settings file can name it.

    Args:
        kind: The name in settings files, for example ``"few_shot"``.
        cls: The strategy's class.
        own_kind: What settings files call a setting ``kind`` of the strategy's own, if it has one.

    Returns:
        The class.
    """
    _KINDS[kind] = cls
    if own_kind:
        _OWN_KINDS[kind] = own_kind
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
        raise SettingError(
            error_message("adapter", of="adapter_settings", expected=one_of(_KINDS), got=type(adapter).__name__)
        )
    values = TypeAdapter(type(adapter)).dump_python(adapter, mode="json", exclude={"task"})
    if kind in _OWN_KINDS:
        values[_OWN_KINDS[kind]] = values.pop("kind")
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
        raise SettingError(error_message("kind", of="adapter settings", expected=one_of(_KINDS), got=kind))
    own_kind = _OWN_KINDS.get(kind)
    if own_kind in rest:
        rest["kind"] = rest.pop(own_kind)
    return _KINDS[kind](task, **rest)


def strategy_fields() -> dict[str, dict[str, StrategyField]]:
    """Tells what settings files may say of each registered strategy.

    Returns:
        For each kind its settings by the name that they have in settings files, ``task`` aside.

    Example:
        >>> strategy_fields()["lora"]["rank"].default
        8
    """
    found: dict[str, dict[str, StrategyField]] = {}
    for kind, cls in _KINDS.items():
        docs, fields = field_docs(cls), getattr(cls, "__pydantic_fields__", {})
        found[kind] = {
            _OWN_KINDS.get(kind, name) if name == "kind" else name: StrategyField(
                Annotated[(info.annotation, *info.metadata)] if info.metadata else info.annotation,
                info.default,
                docs.get(name, ""),
            )
            for name in field_names(cls)
            if name != "task" and (info := fields.get(name)) is not None
        }
    return found
