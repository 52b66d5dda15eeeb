"""How the reference shows what it reads: settings as ``int = 8``, and examples as code."""

from __future__ import annotations

import re
from typing import Any

import griffe


class Settings(griffe.Extension):
    """Takes pydantic's constraints from the types of settings, adds defaults, and marks examples as such."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called for every object; griffe knows a section of examples by the plural."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)

    def on_attribute_instance(self, *, attr: griffe.Attribute, **_: Any) -> None:
        """Called for every attribute."""
        if attr.parent is None or not attr.parent.is_class or attr.annotation is None:
            return
        kind = plain_type(attr.annotation)
        plain = attr.value is None or "field(" in str(attr.value).lower()
        attr.annotation = kind if plain else f"{kind} = {attr.value}"


def plain_type(annotation: Any) -> Any:
    """``int`` of ``Annotated[int, Field(ge=1)]``, also inside ``... | None``."""
    if isinstance(annotation, griffe.ExprSubscript) and str(annotation.left) == "Annotated":
        return annotation.slice.elements[0]
    if isinstance(annotation, griffe.ExprBinOp):
        return f"{plain_type(annotation.left)} {annotation.operator} {plain_type(annotation.right)}"
    return annotation
