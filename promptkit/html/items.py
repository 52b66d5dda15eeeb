"""Answers to the same items side by side, those on which rungs differ first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from promptkit.html.arms import Arm
from promptkit.ladder.facts import Item, ItemResult
from promptkit.ladder.record import Record

__all__ = ["Row", "SideBySide", "side_by_side"]

ROWS = 300
"""Most items that are shown: more make the file slow to open, and nobody reads them."""


@dataclass(frozen=True, slots=True)
class Row:
    """One item with the answers of the rungs.

    Attributes:
        key: Key of the item in the record.
        item: The item, or ``None`` where the record lacks it.
        cells: The result of each rung; ``None`` for one that was not judged on it.
    """

    key: str
    item: Item | None
    cells: tuple[ItemResult | None, ...]

    @property
    def scores(self) -> str:
        """The scores as the page's script reads them: numbers, or ``-``, with spaces between."""
        return " ".join("-" if cell is None else f"{cell.score:.6g}" for cell in self.cells)

    @property
    def differs(self) -> bool:
        """Whether two rungs scored differently."""
        return len({cell.score for cell in self.cells if cell is not None}) > 1

    @property
    def failed(self) -> bool:
        """Whether the model failed for a rung."""
        return any(cell is not None and cell.error is not None for cell in self.cells)


@dataclass(frozen=True, slots=True)
class SideBySide:
    """The table.

    Attributes:
        rows: What is shown.
        total: Number of items that were judged.
        differing: Number of them on which rungs differ.
        binary: Whether every score is 0 or 1.
    """

    rows: tuple[Row, ...]
    total: int
    differing: int
    binary: bool


def side_by_side(record: Record, arms: Sequence[Arm], *, limit: int = ROWS) -> SideBySide:
    """Puts the answers of the rungs beside each other.

    Args:
        record: The record.
        arms: The judged rungs.
        limit: Most rows.

    Returns:
        The table: items on which rungs differ first, otherwise in the order in which they were judged.
    """
    by_item: dict[str, list[ItemResult | None]] = {}
    for place, arm in enumerate(arms):
        for result in arm.trial.results:
            by_item.setdefault(result.item, [None] * len(arms))[place] = result
    rows = [Row(key, record.items.get(key), tuple(cells)) for key, cells in by_item.items()]
    rows.sort(key=lambda row: not row.differs)
    scores = {cell.score for row in rows for cell in row.cells if cell is not None}
    return SideBySide(tuple(rows[:limit]), len(rows), sum(row.differs for row in rows), scores <= {0.0, 1.0})
