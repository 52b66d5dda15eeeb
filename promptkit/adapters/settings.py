"""Settings of strategies as plain JSON data, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

from pydantic import TypeAdapter

from promptkit.errors import SettingError, error_message, one_of
from promptkit.records import field_docs, field_names
from promptkit.registry import find, name_of, registered_names
from promptkit.tasks.task import Task
from promptkit.types import JSONObject

__all__ = ["StrategyField", "adapter_from_settings", "adapter_settings", "strategy_fields"]


class StrategyField(NamedTuple):
    """One setting of a strategy: its type with its limits, its default and its documentation."""

    annotation: Any
    default: Any
    text: str


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


def strategy_fields() -> dict[str, dict[str, StrategyField]]:
    """Tells what settings files may say of each registered strategy.

    Returns:
        For each kind its settings by the name that they have in settings files, ``task`` aside.

    Example:
        >>> strategy_fields()["lora"]["rank"].default
        8
    """
    found: dict[str, dict[str, StrategyField]] = {}
    for kind in registered_names("strategy"):
        cls, own_kind = find("strategy", kind, of="strategy_fields").value, _own_kind(kind)
        fields = getattr(cls, "__pydantic_fields__", {})  # a strategy that is no record of settings has --set
        names, docs = (field_names(cls), field_docs(cls)) if fields else ([], {})
        found[kind] = {
            own_kind if own_kind and name == "kind" else name: StrategyField(
                Annotated[(fields[name].annotation, *fields[name].metadata)]
                if fields[name].metadata
                else fields[name].annotation,
                fields[name].default,
                docs.get(name, ""),
            )
            for name in names
            if name != "task"
        }
    return found
