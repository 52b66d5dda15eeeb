"""Which examples belong together, as the caller says it or as the examples show it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from promptkit.errors import SettingError, error_message, one_of
from promptkit.types import content_key

__all__ = ["Group", "Grouping", "find_groups"]

Group: TypeAlias = "str | Mapping[str, str] | Sequence[object]"
"""How groups are named: a field of the examples, ``"id"`` or ``"group"``; a mapping from id; or one label per item."""

_LONG = 100
"""Characters from which a field that several items share is taken for a document, and not for a short label."""
_ALONE = "\0"
"""Start of the label of an item that belongs to no group; no label of a caller holds this character."""
_SHOWN = 3


@dataclass(frozen=True)
class Grouping:
    """Which items are dependent, and what should be known about it.

    Attributes:
        labels: The group of each item; ``None`` if no item has a group.
        notes: What was assumed or found, one sentence each.
        named: Whether the caller or the items name the groups; otherwise they are those of repeated ids.
    """

    labels: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    named: bool = False

    @property
    def count(self) -> int:
        """Number of groups; 0 if no item has a group."""
        return len(set(self.labels)) if self.labels is not None else 0

    def record(self, place: int) -> dict[str, str]:
        """What the row of an item says of its group: nothing where none is named, "" for an item on its own."""
        if self.labels is None or not self.named:
            return {}
        label = self.labels[place]
        return {"group": "" if label.startswith(_ALONE) else label}


def find_groups(
    ids: Sequence[str],
    fields: Sequence[Mapping[str, str]],
    own: Sequence[str],
    group: Group | None = None,
    *,
    of: str = "group",
) -> Grouping:
    """Tells which items belong together.

    What the caller says counts first, then the items' own groups (``Example.group``), then repeated ids: items of one
    id are one item that was scored several times. Without any of these, items with equal inputs or an equal long
    field (100 characters or more) are only told of, because the caller alone knows whether they are dependent.

    Args:
        ids: The id of each item; "" where there is none.
        fields: The input fields of each item.
        own: The group of each item; "" where there is none.
        group: What the caller says.
        of: Whose setting ``group`` is, for messages.

    Returns:
        The groups, and notes.

    Raises:
        SettingError: ``group`` is no known field, lacks an item, or is not one per item.

    Example:
        >>> found = find_groups(["1", "2", "1"], [{"q": "a"}, {"q": "b"}, {"q": "a"}], ["", "", ""])
        >>> found.labels
        ('1', '2', '1')
    """
    if group is not None:
        return Grouping(_complete(_named(ids, fields, own, group, of)), named=True)
    if any(own):
        return Grouping(_complete(own), named=True)
    repeats = [one for one, count in Counter(ids).items() if one and count > 1]
    if repeats:
        shown = ", ".join(map(repr, repeats[:_SHOWN]))
        note = f"{len(repeats)} ids stand on several rows, such as {shown}: rows of one id are taken as one observation"
        return Grouping(_complete(ids), (note,))
    return Grouping(None, tuple(_suspicions(fields)))


def _named(
    ids: Sequence[str], fields: Sequence[Mapping[str, str]], own: Sequence[str], group: Group, of: str
) -> Sequence[str]:
    if isinstance(group, str):
        known = {name for one in fields for name in one}
        if group in known:
            return [one.get(group, "") for one in fields]
        if group in ("id", "group") and any(ids if group == "id" else own):
            return ids if group == "id" else own
        hint = "a column that is no field is named when data are loaded: load_examples(..., group=...)"
        expected = (
            one_of(sorted({*known, "id"})) if known or any(ids) else "one label per item, where items have no fields"
        )
        raise SettingError(error_message("group", of=of, expected=expected, got=group, hint=hint))
    if isinstance(group, Mapping):
        if missing := [one for one in ids if one not in group]:
            raise SettingError(
                error_message("group", of=of, expected="a group for each id", got=f"none for {missing[0]!r}")
            )
        return [str(group[one]) for one in ids]
    if not isinstance(group, Sequence) or len(group) != len(ids):
        got = len(group) if isinstance(group, Sequence) else group
        raise SettingError(error_message("group", of=of, expected=f"{len(ids)} labels, one per item", got=got))
    return [str(one) for one in group]


def _complete(labels: Sequence[str]) -> tuple[str, ...]:
    """Gives items without a label a group of their own, named so that no other label can be equal."""
    return tuple(label.replace(_ALONE, " ") or f"{_ALONE}{place}" for place, label in enumerate(labels))


def _suspicions(fields: Sequence[Mapping[str, str]]) -> list[str]:
    said: list[str] = []
    hint = "if their answers depend on each other, name what they share by group= (--group)"
    equal = _shared([content_key(one) if one else "" for one in fields])
    if equal == len(fields) and len(fields) > 1 and len({content_key(one) for one in fields}) == 1:
        return [f"all {equal} items have the same input; they say nothing of other inputs"]
    if equal:
        said.append(f"{equal} of {len(fields)} items have the same input as another; {hint}")
    for name in sorted({name for one in fields for name in one}):
        texts = [one.get(name, "") for one in fields]
        shared = _shared([text if len(text) >= _LONG else "" for text in texts])
        if shared == len(fields) and len(set(texts)) == 1:
            said.append(f"all {shared} items have the same {name!r}; intervals are about further items with it alone")
        elif shared > equal:
            said.append(
                f"{shared} of {len(fields)} items share their {name!r} with another; {hint}, such as group={name!r}"
            )
    return said


def _shared(values: Sequence[str]) -> int:
    """How many values are not empty and stand more than once."""
    return sum(count for value, count in Counter(values).items() if value and count > 1)
