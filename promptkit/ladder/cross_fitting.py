"""Which items a climb judges on, which it fits on, and cross-fitting for small dev sets.

A fit never sees an item on which it is judged. What a fit needs for choices of its own (which demonstrations, when to
stop training) is set aside from *train*, so that dev judges and does nothing else: a search on dev would be judged on
the very items on which it won.

Where dev is small, prompting rungs are judged on train too: train is cut into folds, and each fold is answered by a
fit that saw the other folds only (cross-fitting; Chernozhukov et al. 2018, arXiv 1608.00060). Dev items are still
answered by the rung's own predictor, which is the one that is kept and tested. Out-of-fold scores belong to fits on a
little less data and share training examples, so they say how the *recipe* does, and their interval is a little too
narrow (Bates, Hastie and Tibshirani 2024, arXiv 2104.00673); the test split, which is never used so, has the last
word. Rungs that learn weights are judged on dev alone: a training per fold would cost more than it tells.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import Literal

from promptkit.data import Split
from promptkit.data.groups import find_groups
from promptkit.errors import DataError, SettingError, error_message
from promptkit.types import Example

__all__ = ["FitSplit", "Pool", "make_pool"]

SMALL = 100
"""Dev sets with fewer items use cross-fitting by default."""
FOLDS = 5
"""Number of folds by default."""
TUNING_SHARE, TUNING_MOST = 0.25, 100
"""Share of train that is set aside for choices of a fit, and the most items of it."""


@dataclass(frozen=True, slots=True)
class FitSplit:
    """What a fit gets.

    Attributes:
        train: Examples to learn from and to demonstrate.
        tuning: Examples for the choices of the fit; none of them is in ``train``.
    """

    train: Split
    tuning: Split


@dataclass(frozen=True, slots=True)
class Pool:
    """The items in the order in which they are judged, and the training data of the fits that answer them.

    Attributes:
        keys: Names of the items, for example ``"dev/3"``.
        examples: The items.
        folds: For each item the fold whose fit answers it, or ``None`` for the rung's own predictor.
        groups: For each item what it belongs to, "" for nothing; items of one group follow each other.
        fit_split: What the rung's own predictor is fitted on.
        fold_splits: What the fit of each fold is fitted on.
        notes: What was found about items that belong together, for people.
    """

    keys: tuple[str, ...]
    examples: tuple[Example, ...]
    folds: tuple[int | None, ...]
    groups: tuple[str, ...]
    fit_split: FitSplit
    fold_splits: tuple[FitSplit, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def own(self) -> int:
        """Number of leading items that a rung's own predictor answers."""
        return sum(fold is None for fold in self.folds)

    def __len__(self) -> int:
        """Number of items."""
        return len(self.keys)


def make_pool(train: Split, dev: Split, *, folds: int | Literal["auto"] = "auto", seed: int = 0) -> Pool:
    """Lays out the items of a climb.

    Args:
        train: The training split.
        dev: The split for judging.
        folds: Number of folds of cross-fitting, 0 for none, or ``auto``: 5 where dev has fewer than 100 items.
        seed: Seed of order, folds and what is set aside. Items of equal content or of one group stay together.

    Returns:
        The pool.

    Raises:
        DataError: Dev is empty.
        SettingError: ``folds`` is out of range.

    Example:
        >>> from promptkit.types import Query
        >>> rows = [Example(Query({"question": f"{n} + 1?"}), (str(n + 1),)) for n in range(60)]
        >>> pool = make_pool(Split("train", rows[:40]), Split("dev", rows[40:]))
        >>> len(pool), pool.own, len(pool.fold_splits), len(pool.fit_split.tuning)
        (60, 20, 5, 10)
    """
    if not len(dev):
        hint = "let load_examples divide the data, or take some items out of train"
        raise DataError(error_message("dev", of="climb", expected="there, with at least one item", got=0, hint=hint))
    judged, learned = _Units(dev), _Units(train)
    if folds == "auto":
        folds = FOLDS if len(dev) < SMALL and len(set(learned.keys)) >= 2 * FOLDS else 0
    if isinstance(folds, bool) or not isinstance(folds, int) or folds == 1 or not 0 <= folds <= max(2, len(train)):
        expected = "'auto', 0 for none, or from 2 to the number of training examples"
        raise SettingError(error_message("folds", of="climb", expected=expected, got=folds))
    order = judged.shuffled(seed)
    keys, examples = [f"dev/{place}" for place in order], [dev[place] for place in order]
    groups = [judged.groups[place] for place in order]
    fold_of: list[int | None] = [None] * len(order)
    fit_splits: list[FitSplit] = []
    if folds:
        numbers = learned.folds(folds, seed)
        order = learned.shuffled(seed)
        keys += [f"train/{place}" for place in order]
        examples += [train[place] for place in order]
        # A group that train and dev share is two groups here: dev has been judged by then.
        groups += [f"train/{label}" if (label := learned.groups[place]) else "" for place in order]
        fold_of += [numbers[place] for place in order]
        for fold in range(folds):
            rest = [example for example, number in zip(train, numbers, strict=True) if number != fold]
            fit_splits.append(_fit_split(Split("train", rest), seed))
    notes = (*judged.notes, *(note for note in learned.notes if note not in judged.notes and folds))
    fit_split = _fit_split(train, seed)
    return Pool(tuple(keys), tuple(examples), tuple(fold_of), tuple(groups), fit_split, tuple(fit_splits), notes)


class _Units:
    """What stays together in a split: items of one group, else items of equal content."""

    def __init__(self, split: Split) -> None:
        ids, own = [example.id for example in split], [example.group for example in split]
        found = find_groups(ids, [one.query.fields for one in split], own)
        named = Counter(found.labels or ())
        # A group of one item is no group.
        self.groups = [label if named[label] > 1 else "" for label in found.labels or [""] * len(split)]
        content = [example.query.key for example in split]
        self.keys = [label or key for label, key in zip(self.groups, content, strict=True)]
        self.notes = found.notes

    def shuffled(self, seed: int) -> list[int]:
        """Files are often sorted, and the first items of a sorted file are no sample of it."""
        return sorted(range(len(self.keys)), key=lambda place: (_rank(seed, "order", self.keys[place]), place))

    def folds(self, folds: int, seed: int) -> list[int]:
        """The fold of each item."""
        units = sorted(set(self.keys), key=lambda key: _rank(seed, "fold", key))
        number = {key: place % folds for place, key in enumerate(units)}
        return [number[key] for key in self.keys]


def _rank(seed: int, purpose: str, key: str) -> bytes:
    """A place in an order that depends on seed and content alone, not on the order of rows."""
    return hashlib.sha256(f"{seed}:{purpose}:{key}".encode("utf-8", "surrogatepass")).digest()


def _fit_split(train: Split, seed: int) -> FitSplit:
    """Sets examples aside for the choices of a fit, whole units at a time."""
    quota = min(TUNING_MOST, int(TUNING_SHARE * len(train)))
    aside: set[str] = set()
    count = 0
    keys = _Units(train).keys
    sizes = Counter(keys)
    for key in sorted(sizes, key=lambda key: _rank(seed, "tuning", key)):
        if count + sizes[key] > quota:
            break
        aside.add(key)
        count += sizes[key]
    parts: dict[bool, list[Example]] = {False: [], True: []}
    for key, example in zip(keys, train, strict=True):
        parts[key in aside].append(example)
    return FitSplit(Split("train", parts[False]), Split("tuning", parts[True]))
