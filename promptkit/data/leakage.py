"""Leakage: which items of one split stand in another, as they are, normalised, or nearly.

Three grades, each row counted once under the first that holds:

exact       all fields are equal, character for character.
normalised  equal after Unicode NFKC, case folding and white space (``Query.key``), whatever the targets; or equal
            also without punctuation and with look-alike letters and digits made equal (``fold``), with a common
            target. Signs that carry meaning beside digits stay.
near        a common target, and the same text but for an edit of a word or two, an addition, or another order of
            options or sentences; see ``near``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from promptkit.data.examples import check_examples
from promptkit.data.item import Item
from promptkit.data.near import Corpus, NearIndex
from promptkit.types import Example

__all__ = ["Grade", "Leakage", "Match", "Overlap", "measure_leakage"]

Grade = Literal["exact", "normalised", "near"]


@dataclass(frozen=True, slots=True)
class Match:
    """One item of a split that is also in an earlier one.

    Attributes:
        row: Place of the item in its split, from 0.
        original: Place of the similar item in the earlier split, from 0.
        grade: How alike they are.
        likeness: How much of what is rare in them they share, from 0 to 1; 1 unless near.
    """

    row: int
    original: int
    grade: Grade
    likeness: float = 1.0


@dataclass(frozen=True, slots=True)
class Overlap:
    """The items of one split that stand in another.

    Attributes:
        split: The split whose rows are counted.
        inside: The split in which they stand too.
        matches: One entry for each such row.
    """

    split: str
    inside: str
    matches: tuple[Match, ...] = ()

    def count(self, grade: Grade) -> int:
        """Returns the number of rows of one grade."""
        return sum(match.grade == grade for match in self.matches)

    @property
    def exact(self) -> int:
        """Rows that stand in the other split character for character."""
        return self.count("exact")

    @property
    def normalised(self) -> int:
        """Further rows that do after normalisation."""
        return self.count("normalised")

    @property
    def near(self) -> int:
        """Further rows that are near-duplicates."""
        return self.count("near")


@dataclass(frozen=True, slots=True)
class Leakage:
    """Everything that splits share. True if they share anything.

    Attributes:
        overlaps: One entry for each pair of splits: dev in train, test in train, test in dev.
        repeats: For each split the number of rows that repeat an earlier row of it (exact or normalised).
    """

    overlaps: tuple[Overlap, ...]
    repeats: Mapping[str, int]

    def __bool__(self) -> bool:
        """Whether any split shares an item with another; repeats within a split do not count."""
        return any(overlap.matches for overlap in self.overlaps)

    def overlap(self, split: str, inside: str) -> Overlap:
        """Returns what one split shares with an earlier one, for example ``overlap("test", "train")``."""
        for overlap in self.overlaps:
            if (overlap.split, overlap.inside) == (split, inside):
                return overlap
        raise KeyError((split, inside))

    def __str__(self) -> str:
        """A small table, one line for each pair of splits."""
        lines = [f"{'leakage':<16}{'exact':>8}{'normalised':>12}{'near':>8}"]
        for item in self.overlaps:
            name = f"{item.split} in {item.inside}"
            lines.append(f"{name:<16}{item.exact:>8}{item.normalised:>12}{item.near:>8}")
        return "\n".join(lines)


def measure_leakage(
    train: Sequence[Example | str], dev: Sequence[Example | str] = (), test: Sequence[Example | str] = ()
) -> Leakage:
    """Measures which items of one split stand in another.

    Args:
        train: The training items: examples, or plain texts.
        dev: The items on which settings are chosen.
        test: The items that are scored at the end.

    Returns:
        The figures, and the places of every match.

    Example:
        >>> leakage = measure_leakage(["Two apples.", "Ten pears."], test=["two  apples", "Six figs."])
        >>> found = leakage.overlap("test", "train")
        >>> found.exact, found.normalised, found.near
        (0, 1, 0)
    """
    splits = {"train": train, "dev": dev, "test": test}
    for name, split in splits.items():
        check_examples(split, of="measure_leakage", which=name, texts=True)
    items = {name: [Item(item) for item in split] for name, split in splits.items()}
    corpus = Corpus(items)
    pairs = [("dev", "train"), ("test", "train"), ("test", "dev")]
    overlaps = tuple(Overlap(a, b, tuple(_matches(items, a, b, corpus))) for a, b in pairs)
    return Leakage(overlaps, {name: len(split) - len({item.key for item in split}) for name, split in items.items()})


def _matches(splits: Mapping[str, Sequence[Item]], rows: str, inside: str, corpus: Corpus) -> Iterator[Match]:
    """Finds for each row of one split its most alike item of another."""
    pool = splits[inside]
    exact = {item.exact: place for place, item in reversed(list(enumerate(pool)))}
    keys = {item.key: place for place, item in reversed(list(enumerate(pool)))}
    loose = {(item.loose, target): i for i, item in reversed(list(enumerate(pool))) for target in item.targets}
    bags = {(item.bag, target): i for i, item in reversed(list(enumerate(pool))) for target in item.targets if item.bag}
    near = NearIndex(corpus, rows, inside, pool)
    for row, item in enumerate(splits[rows]):
        if item.exact in exact:
            yield Match(row, exact[item.exact], "exact")
        elif item.key in keys:
            yield Match(row, keys[item.key], "normalised")
        elif copies := [loose[item.loose, target] for target in item.targets if (item.loose, target) in loose]:
            yield Match(row, min(copies), "normalised")
        elif copies := [bags[item.bag, target] for target in item.targets if item.bag and (item.bag, target) in bags]:
            yield Match(row, min(copies), "near")
        elif best := near.best(item):
            yield Match(row, best[1], "near", best[0])
