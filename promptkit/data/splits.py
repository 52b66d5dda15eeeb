"""Splits of a data set, and the rule that divides one list of examples into three.

A ``Split`` keeps its name wherever it goes: a slice of the test split is still called "test". Selection refuses a
split of that name, so test items cannot become demonstrations by a slip of the hand.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, overload

from promptkit.data.examples import check_examples
from promptkit.data.leakage import Leakage, measure_leakage
from promptkit.errors import DataError, SettingError, error_message
from promptkit.types import Example

__all__ = ["SPLIT_NAMES", "Data", "Split", "divide"]

SPLIT_NAMES = ("train", "dev", "test")
"""The splits of every data set, in the order in which they are used."""


@dataclass(frozen=True, eq=False, repr=False)
class Split(Sequence[Example]):
    """Examples of one purpose: an immutable sequence with a name.

    Attributes:
        name: What the examples are for: "train", "dev" or "test", or a name of the caller's.
        examples: The examples, in the order of their source.

    Example:
        >>> from promptkit.types import Query
        >>> split = Split("test", [Example(Query({"question": "2 + 2?"}), ("4",))])
        >>> len(split), split[0].target, split[:1].name
        (1, '4', 'test')
    """

    name: str
    examples: Sequence[Example] = ()

    def __post_init__(self) -> None:
        """Makes the examples a tuple, whatever sequence was given."""
        object.__setattr__(self, "examples", tuple(self.examples))

    def __len__(self) -> int:
        """The number of examples."""
        return len(self.examples)

    @overload
    def __getitem__(self, index: int) -> Example: ...

    @overload
    def __getitem__(self, index: slice) -> Split: ...

    def __getitem__(self, index: int | slice) -> Example | Split:
        """One example, or for a slice a split of the same name."""
        if isinstance(index, slice):
            return Split(self.name, self.examples[index])
        return self.examples[index]

    def __iter__(self) -> Iterator[Example]:
        """The examples in order."""
        return iter(self.examples)

    def __eq__(self, other: object) -> bool:
        """Two splits are equal if their names and examples are."""
        if not isinstance(other, Split):
            return NotImplemented
        return self.name == other.name and self.examples == other.examples

    def __hash__(self) -> int:
        """The hash of name and content."""
        return hash((self.name, self.fingerprint))

    def __repr__(self) -> str:
        """The name and the size."""
        return f"Split({self.name!r}, {len(self)} examples)"

    @cached_property
    def fingerprint(self) -> str:
        """A 16-digit hash of everything the examples say: ids, fields, targets, rationales and groups, in order.

        The name is no part of it: the same rows give the same fingerprint under any name.
        """
        digest = hashlib.sha256()
        for example in self.examples:
            row = [example.id, dict(example.query.fields), list(example.targets), example.rationale]
            row += [example.group] if example.group else []
            digest.update(json.dumps(row, sort_keys=True).encode("ascii") + b"\n")
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Data:
    """A data set in three splits, with the leakage measured between them.

    ``train, dev, test = data`` unpacks it; ``print(data)`` shows sizes and leakage.

    Attributes:
        train: What adapters may learn from and demonstrate.
        dev: What settings are chosen on.
        test: What is scored once, at the end.
        name: The task, file or kind of object the data came from.
        task: The name of the task whose fields and labels the rows were checked against, or "".
        rejected: Number of bad rows that were left out (``skip_bad=True``).
        leakage: How many items of one split stand in another; measured here if not given.
    """

    train: Split
    dev: Split
    test: Split
    name: str = "data"
    task: str = ""
    rejected: int = 0
    leakage: Leakage = field(default=None)  # type: ignore[assignment]  # filled below, never None afterwards

    def __post_init__(self) -> None:
        """Measures the leakage, so that no ``Data`` exists without its figures."""
        if self.leakage is None:
            object.__setattr__(self, "leakage", measure_leakage(self.train, self.dev, self.test))

    def __iter__(self) -> Iterator[Split]:
        """The three splits: train, dev, test."""
        return iter((self.train, self.dev, self.test))

    @property
    def splits(self) -> Mapping[str, Split]:
        """The three splits by name."""
        return MappingProxyType(dict(zip(SPLIT_NAMES, self, strict=True)))

    def __str__(self) -> str:
        """A small table: rows and repeats of each split, then the leakage between them."""
        skipped = f", {self.rejected} bad rows left out" if self.rejected else ""
        lines = [f"{self.name}: {sum(map(len, self))} examples{skipped}", f"{'split':<16}{'rows':>8}{'repeats':>12}"]
        for name, split in self.splits.items():
            lines.append(f"{name:<16}{len(split):>8}{self.leakage.repeats.get(name, 0):>12}")
        return "\n".join([*lines, str(self.leakage)])


def check_shares(split: object) -> tuple[float, float, float]:
    """Checks the shares of train, dev and test.

    Args:
        split: Three numbers of at least 0 that sum to 1.

    Returns:
        The shares.

    Raises:
        SettingError: If ``split`` is anything else.
    """
    try:
        shares = tuple(float(share) for share in split)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        shares = ()
    good = len(shares) == 3 and all(math.isfinite(s) and s >= 0 for s in shares) and abs(sum(shares) - 1) < 1e-6
    if not good:
        expected = "three shares of at least 0 that sum to 1 (train, dev, test)"
        raise SettingError(error_message("split", of="load_examples", expected=expected, got=split))
    return (shares[0], shares[1], shares[2])


def divide(
    examples: Sequence[Example], shares: Sequence[float] = (0.6, 0.15, 0.25), *, seed: int = 0, name: str = "data"
) -> dict[str, Split]:
    """Divides examples into train, dev and test so that equal items, and items of one group, always stay together.

    Items of equal content (``Query.key``) or of one ``Example.group`` form a block. Blocks are ordered by a hash of
    seed and content, then test is filled, then dev, and train takes the rest. So the division depends neither on the
    order of the rows nor on the machine, and a few new rows move few of the old ones.

    Args:
        examples: What is divided.
        shares: Shares of train, dev and test; see ``check_shares``.
        seed: Which division; any integer.
        name: What the examples are called in messages.

    Returns:
        The splits by name; each keeps the order of ``examples``.

    Raises:
        SettingError: If the shares are wrong.
        DataError: If there are fewer different items (or groups of them) than splits to fill.

    Example:
        >>> from promptkit.types import Query
        >>> rows = [Example(Query({"question": f"{n} + 1?"}), (str(n + 1),)) for n in range(20)]
        >>> [len(split) for split in divide(rows).values()]
        [12, 3, 5]
    """
    wanted: dict[str, Any] = dict(zip(SPLIT_NAMES, check_shares(shares), strict=True))
    check_examples(examples, of="divide")
    blocks = _blocks(examples)
    filled = [split for split in ("test", "dev", "train") if wanted[split] > 0]
    if len(blocks) < len(filled):
        what = "groups" if any(example.group for example in examples) else "items"
        expected = f"at least {len(filled)} different {what} to fill {len(filled)} splits"
        hint = "give more rows, or put all into one split, for example split=(0, 0, 1)"
        raise DataError(error_message("rows", of=name, expected=expected, got=len(blocks), hint=hint))
    queue = sorted(blocks, key=lambda key: hashlib.sha256(f"{seed}:{key}".encode()).digest())
    places: dict[str, list[int]] = {split: [] for split in SPLIT_NAMES}
    for at, split in enumerate(filled):
        quota = max(1, round(wanted[split] * len(examples)))
        later = len(filled) - at - 1  # each later split still needs a group of its own
        while len(queue) > later and (len(places[split]) < quota or not later):
            places[split].extend(blocks[queue.pop(0)])
    return {split: Split(split, [examples[i] for i in sorted(places[split])]) for split in SPLIT_NAMES}


def _blocks(examples: Sequence[Example]) -> dict[str, list[int]]:
    """Places of the examples that must stay together, by the smallest content key among them.

    Two examples are linked by equal content or an equal group, and links are followed to their end.
    """
    parent = list(range(len(examples)))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    keys = [example.query.key for example in examples]
    first: dict[tuple[str, str], int] = {}
    for place, example in enumerate(examples):
        for link in (("content", keys[place]), ("group", example.group)):
            if link[1]:
                parent[root(place)] = root(first.setdefault(link, place))
    linked: dict[int, list[int]] = {}
    for place in range(len(examples)):
        linked.setdefault(root(place), []).append(place)
    return {min(keys[place] for place in places): places for places in linked.values()}
