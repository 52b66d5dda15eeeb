"""Sentence frames with an open slot ("What are the symptoms of ...?"): another thing in the slot is another item.

Short questions about different things share nearly all their words, so by their words they are copies of each other. A
beginning that many short items share is the frame of an open slot if most of these items go on with words that few
items of the whole set have: names of diseases, products, people. In a frame whose slot takes few values ("My phone
...", "My card ..."), and in prose of common words, a new word is an edit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from functools import cached_property

from promptkit.data.item import Item

__all__ = ["Frames"]

FEWEST = 8
"""Items that must begin alike for the beginning to be a frame."""

OPEN = 0.6
"""Share of these items that must have a rare word in the slot for it to be open."""

RARE = 200
"""A word is rare if no more than one item in so many has it, or two items."""

LONGEST = 16
"""Most words of an item whose frame is looked for; longer ones say more than what fills a slot."""

Beginning = tuple[str, ...]


class Frames:
    """The frames of a set of items.

    Args:
        items: Different items.

    Example:
        >>> animals = "ant bee cat dog elk fox gnu hen".split()
        >>> frames = Frames([Item(f"What does a {animal} eat?") for animal in animals])
        >>> frames.differ(Item("What does a cow eat?"), Item("What does a fox eat?"))
        True
        >>> frames.differ(Item("Tell me what a fox eats."), Item("What does a fox eat?"))
        False
    """

    def __init__(self, items: Collection[Item]) -> None:
        self._items = items

    @cached_property
    def _counts(self) -> Counter[str]:
        return Counter(word for item in self._items for word in item.words)

    @cached_property
    def _beginnings(self) -> dict[Beginning, tuple[int, int]]:
        """For each beginning the number of items that have it, and of those that go on with a rare word."""
        found: dict[Beginning, tuple[int, int]] = {}
        for item in self._items:
            words = _short(item)
            last = max((at for at, word in enumerate(words) if self._is_rare(word)), default=-1)
            for size in range(1, len(words) + 1):
                items, rare = found.get(tuple(words[:size]), (0, 0))
                found[tuple(words[:size])] = (items + 1, rare + (last >= size))
        return found

    def _is_rare(self, word: str) -> bool:
        return self._counts[word] <= max(2, len(self._items) / RARE)

    def _frame(self, words: list[str]) -> int:
        """Returns the number of words of the longest beginning that many items share; 0 if its slot is not open."""
        for size in range(len(words), 0, -1):
            items, rare = self._beginnings.get(tuple(words[:size]), (0, 0))
            if items >= FEWEST:
                return size if rare >= OPEN * items else 0
        return 0

    def differ(self, one: Item, other: Item) -> bool:
        """Whether two items have another thing in the open slot of the same frame."""
        first, second = _short(one), _short(other)
        size = self._frame(first)
        if not size or first[:size] != second[:size] or size != self._frame(second):
            return False
        if size in (len(first), len(second)):  # one of them is nothing but the frame
            return first != second
        gone, new = set(first) - set(second), set(second) - set(first)
        return any(map(self._is_rare, gone | new)) and all(self._says_rare(words) for words in (gone, new))

    def _says_rare(self, words: Iterable[str]) -> bool:
        """Whether some of the words are rare, if there are any."""
        found = [self._is_rare(word) for word in words]
        return not found or any(found)


def _short(item: Item) -> list[str]:
    """Returns the words of a short item of one field; none of others."""
    return item.masked[0] if len(item.masked) == 1 and item.size <= LONGEST else []
