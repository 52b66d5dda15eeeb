"""The held-out test split: every read is counted, and its labels are read once, to score the winner."""

from __future__ import annotations

import hashlib

from promptkit.data import Split
from promptkit.ladder.journal import Journal
from promptkit.ladder.record import TestRead
from promptkit.types import Example

__all__ = ["HeldOutTest"]

_OPENED, _SCORED = "test:opened", "test:scored"


class HeldOutTest:
    """Holds the test split. No other part of a climb has access to it, so nothing can learn from it.

    Args:
        split: The test split.
        journal: Stores how often the split was read, also by interrupted sessions.

    Example:
        >>> from promptkit.types import Example, Query
        >>> held = HeldOutTest(Split("test", [Example(Query({"question": "2 + 2?"}), ("4",))]), Journal(None))
        >>> len(held), held.cut_off, len(held.open("score of the winner")), [read.scored for read in held.reads]
        (1, 0, 1, [True])
    """

    def __init__(self, split: Split, journal: Journal) -> None:
        self.__split = split
        self._journal = journal
        self._reads: list[TestRead] = []

    def __len__(self) -> int:
        """Number of test items, which reveals nothing about them."""
        return len(self.__split)

    @property
    def reads(self) -> tuple[TestRead, ...]:
        """Every read of this session, in order."""
        return tuple(self._reads)

    @property
    def cut_off(self) -> int:
        """Earlier test reads that were interrupted before the score was saved."""
        opened, scored = (int(self._journal.get(key) or 0) for key in (_OPENED, _SCORED))
        return max(0, opened - scored)

    def fingerprint(self) -> str:
        """Returns the hash of the split."""
        self._note("fingerprint", scored=False)
        return self.__split.fingerprint

    def queries(self, purpose: str) -> set[str]:
        """Returns the hashes of the questions, without labels.

        Args:
            purpose: Why it is read, for the record.

        Returns:
            Their content keys.
        """
        self._note(purpose, scored=False)
        return {example.query.key for example in self.__split}

    def open(self, purpose: str, *, again: bool = False, items: int | None = None, seed: int = 0) -> Split:
        """Reads the split with its labels, and counts the read.

        Args:
            purpose: Why it is read, for the record.
            again: Whether the score is known already and the items are only needed to show it.
            items: Number of items, drawn by content and seed; ``None`` for all.
            seed: Seed of the draw.

        Returns:
            The split with its labels, or the part of it.
        """
        if not again:
            self._journal.put(_OPENED, int(self._journal.get(_OPENED) or 0) + 1)
        self._note(purpose, scored=True, items=items)
        split = self.__split
        if items is None or items >= len(split):
            return split
        ranked = sorted(range(len(split)), key=lambda place: (_rank(seed, split[place]), place))
        return Split(split.name, [split[place] for place in sorted(ranked[:items])])

    def scored(self) -> None:
        """Notes that the score of a read was saved."""
        self._journal.put(_SCORED, int(self._journal.get(_SCORED) or 0) + 1)

    def scored_before(self, purpose: str) -> None:
        """Notes a read of an earlier session whose score is saved but no longer that of the winner."""
        self._note(purpose, scored=True)

    def _note(self, purpose: str, *, scored: bool, items: int | None = None) -> None:
        self._reads.append(TestRead(purpose=purpose, items=len(self) if items is None else items, scored=scored))


def _rank(seed: int, example: Example) -> bytes:
    text = f"{seed}:test:{example.group or example.query.key}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
