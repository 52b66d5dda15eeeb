"""Classes of settings and results that ``help``, ``dir`` and completion show as they were written."""

from __future__ import annotations

import inspect
import re
from typing import Any

from pydantic import BaseModel, ConfigDict

__all__ = ["DocumentedType", "FrozenRecord", "documented", "plain_signature"]

_INHERITED = frozenset(dir(BaseModel))
_ModelType: Any = type(BaseModel)
_CHECKED = re.compile(r"Annotated\[([^,]+), Field\([^()]*\)\]")


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
