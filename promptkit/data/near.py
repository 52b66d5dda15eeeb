"""Near-duplicates: which items of two splits are the same text but for an edit.

The near grade follows the n-gram overlap of GPT-3 (Brown et al. 2020, arXiv 2005.14165, Appendix C: 13-grams, without
those that occur in more than ten documents) and of lm-evaluation-harness, changed for short items and for data that
are written from sentence frames, where 13-grams find nothing or everything:

* Words and word pairs (characters and their pairs in Chinese, Japanese, Korean), each weighing ``log((n + 1) / m)``
  where m of n items have it, the item itself left out. A frame is in many items and weighs little; a target that
  few items have weighs much. Two items may be alike if the weight they share, that of a common target included, is at
  least ``NEAR`` of the mean of their own (the Dice coefficient).
* Options of multiple-choice questions are compared in alphabetic order, see ``choices``, and sentences also in the
  order of the other text.
* Numbers and target must agree. "Joe has 3 oranges and got 1 more" and "Joe has 4 oranges and got 1 more" are two
  items of one task, not a leak.
* What differs must be new: runs of three words that one text has and the other lacks must, at least half of them,
  stand in no other item, or have a word that the other split lacks. Where names or nouns of a frame are exchanged,
  the new runs stand in other items too.
* It must be no chance. Among n x m pairs of items some are alike though nobody copied, and among items of few frames
  many are. So the evidence that one of a pair was made from the other, see ``chance``, must be above ``log(n * m)``.
* One text may also stand in the other as a whole, with more before or after it and whatever numbers. This is a copy
  too, unless what was added is in other items of both splits (a greeting, a closing line).
* Short texts about different things in the open slot of a frame are no copies, see ``frames``.
* The copy must stand out: if more than ``MAX_KIN`` items of the pool are about as alike, and each has something new of
  its own, they are variations of a frame with an open slot ("What is X?"), and none of them is called a copy.

What this cannot see: paraphrases, translations, copies with another target or number, copies of frame data in which
only a slot was changed to another value that the slot takes elsewhere or a word was left out, copies of short questions
in which what fills an open slot was changed, and texts of fewer than ``SHORTEST`` words. In a few dozen items nobody
can tell what their frames say anyway, and some variations are called copies. docs/explanation/leakage.md has the whole
list, and how many planted copies are found.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice

import numpy as np
import numpy.typing as npt

from promptkit.data.chance import Chance
from promptkit.data.frames import Frames
from promptkit.data.item import Item

__all__ = ["Corpus", "NearIndex"]

NEAR = 0.25
"""Dice coefficient of weighted words and word pairs from which two items may be alike."""

REORDERED = 0.5
"""Likeness from which two texts are also compared with their sentences in the same order."""

EDITED = 0.5
"""Share of the differences of two like texts, as runs of three words, that must stand in no other item."""

KIN = 0.6
"""Share of the likeness of a copy from which another item of the pool is about as alike."""

MAX_KIN = 3
"""Most other items about as alike, each with something new, for a copy to stand out."""

SHORTEST = 4
"""Fewest words of a text that can be a near-duplicate; below, one changed word is another question."""

CONTAINED = 2.0
"""The similarity of a text contained in another, which needs no further proof."""


class Corpus:
    """What is common in the splits, each different item counted once.

    Args:
        splits: The items of every split, by its name.
    """

    def __init__(self, splits: Mapping[str, Sequence[Item]]) -> None:
        self.splits = {name: {item.key: item for item in items}.values() for name, items in splits.items()}
        self.items = {item.key: item for item in chain(*splits.values())}.values()
        counts = Counter(gram for item in self.items for gram in item.grams)
        self.weights = self._weights(counts)
        self._new_runs: dict[tuple[str, str], frozenset[tuple[str, ...]]] = {}
        self.targets = self._weights(Counter(target for item in self.items for target in item.targets))

    def _weights(self, counts: Mapping[str, int]) -> dict[str, float]:
        # One item is left out of each count, or a copy would make its own words look common.
        return {key: math.log((len(self.items) + 1) / max(1, n - 1)) for key, n in counts.items()}

    def weight(self, grams: Iterable[str]) -> float:
        """Sums the weights of words and word pairs, the same whatever their order."""
        return math.fsum(map(self.weights.__getitem__, grams))

    @cached_property
    def chance(self) -> Chance:
        """How often words follow each other."""
        return Chance(item.steps for item in self.items)

    @cached_property
    def frames(self) -> Frames:
        """Which beginnings of sentences many items share."""
        return Frames(self.items)

    @cached_property
    def triples(self) -> Counter[tuple[str, ...]]:
        """In how many items each run of three words occurs."""
        return Counter(triple for item in self.items for triple in item.triples)

    @cached_property
    def triples_by_split(self) -> dict[str, Counter[tuple[str, ...]]]:
        """In how many items of each split each run of three words occurs."""
        return {name: Counter(t for item in items for t in item.triples) for name, items in self.splits.items()}

    @cached_property
    def vocabularies(self) -> dict[str, frozenset[str]]:
        """The words of each split, and the mark for the end of a field."""
        return {name: frozenset({""}.union(*(item.words for item in items))) for name, items in self.splits.items()}

    def new_runs(self, item: Item, elsewhere: str) -> frozenset[tuple[str, ...]]:
        """Returns the runs of three words of an item that no other item has or one of whose words a split lacks."""
        key = (item.key, elsewhere)
        if key not in self._new_runs:
            known = self.vocabularies[elsewhere]
            new = (run for run in item.triples if self.triples[run] < 2 or not known.issuperset(run))
            self._new_runs[key] = frozenset(new)
        return self._new_runs[key]

    def is_edit(self, row: Item, candidate: Item, splits: tuple[str, str]) -> bool:
        """Whether two texts differ in a way in which no other items of their splits differ."""
        for one, other, elsewhere in ((row, candidate, splits[1]), (candidate, row, splits[0])):
            new = self.new_runs(one, elsewhere) - other.triples
            if new and len(new) >= EDITED * len(one.triples - other.triples):
                return True
        return False

    def is_no_chance(self, row: Item, candidate: Item, splits: tuple[str, str]) -> bool:
        """Whether the evidence for a copy outweighs that there are so many pairs of items to be alike by chance."""
        rarity = max(map(self.targets.__getitem__, row.targets & candidate.targets))
        pairs = math.prod(len(self.splits[name]) for name in splits)
        return rarity + self.chance.evidence(row.steps, candidate.steps) > math.log(pairs)

    def is_addition(self, short: Item, long: Item, splits: tuple[str, str]) -> bool:
        """Whether what the longer text adds to the shorter is new to one of the two splits at least."""
        private = long.triples - short.triples
        rare = sum(any(self.triples_by_split[name][triple] < 2 for name in splits) for triple in private)
        return not private or rare > EDITED * len(private)


@dataclass(frozen=True)
class _Block:
    """The items of a pool that share a target.

    Attributes:
        places: Their places in the pool.
        totals: The weight of each.
        numbers: What replaces the numbers of each.
        postings: For each word and word pair the items that have it, as numbers within the block.
    """

    places: npt.NDArray[np.int64]
    totals: npt.NDArray[np.float64]
    numbers: npt.NDArray[np.int64]
    postings: Mapping[str, npt.NDArray[np.int64]]


class NearIndex:
    """Finds near-duplicates in a pool without comparing every pair word by word.

    For each target, posting lists add up what a row shares with all items of that target at once; only items that
    share enough are then compared closely.

    Args:
        corpus: What is common in the splits.
        rows: Name of the split whose items are looked up.
        pool: Name of the split in which they are looked up.
        items: The items of the pool.
    """

    def __init__(self, corpus: Corpus, rows: str, pool: str, items: Sequence[Item]) -> None:
        self.corpus, self.names, self.pool = corpus, (rows, pool), items
        self._numbers = {numbers: code for code, numbers in enumerate({item.number_bag: None for item in items})}
        places: dict[str, list[int]] = {}
        for place, item in enumerate(items):
            for target in item.targets if item.size >= SHORTEST else ():
                places.setdefault(target, []).append(place)
        self._blocks = {target: self._block(found) for target, found in places.items()}

    def _block(self, places: list[int]) -> _Block:
        items, postings = [self.pool[place] for place in places], dict[str, list[int]]()
        for number, item in enumerate(items):
            for gram in item.grams:
                postings.setdefault(gram, []).append(number)
        return _Block(
            np.array(places, dtype=np.int64),
            np.array([self.corpus.weight(item.grams) for item in items]),
            np.array([self._numbers[item.number_bag] for item in items]),
            {gram: np.array(found, dtype=np.int64) for gram, found in postings.items()},
        )

    def alike(self, item: Item, least: float = NEAR) -> list[tuple[float, int]]:
        """Returns the likeness and the place of all items that are alike, the most alike first.

        Args:
            item: The item that is looked up.
            least: The least likeness: the Dice coefficient of what two items of the same numbers say, their rarest
                common target included. It is ``CONTAINED`` if one text contains the other.
        """
        total, numbers = self.corpus.weight(item.grams), self._numbers.get(item.number_bag, -1)
        found: dict[int, float] = {}
        for target in item.targets & self._blocks.keys() if item.size >= SHORTEST else ():
            block, rarity = self._blocks[target], self.corpus.targets[target]
            grams = [gram for gram in item.grams if gram in block.postings]
            if not grams:
                continue
            lists = [block.postings[gram] for gram in grams]
            weights = np.repeat([self.corpus.weights[gram] for gram in grams], [len(one) for one in lists])
            shared = np.bincount(np.concatenate(lists), weights, len(block.places))
            # Rounded, for the sums depend on the order of words in a set.
            likeness = np.round((shared + rarity) / ((total + block.totals) / 2 + rarity), 9)
            likeness[block.numbers != numbers] = 0
            for number in np.flatnonzero(shared >= np.minimum(total, block.totals) - 1e-6):
                if _contains(*sorted((item, self.pool[block.places[number]]), key=lambda one: one.size)):
                    likeness[number] = CONTAINED
            near = np.flatnonzero(likeness >= least)
            for place, like in zip(block.places[near].tolist(), likeness[near].tolist(), strict=True):
                found[place] = max(like, found.get(place, 0))
        return sorted(((like, place) for place, like in found.items()), key=lambda pair: (-pair[0], pair[1]))

    def best(self, item: Item) -> tuple[float, int] | None:
        """Returns the likeness and the place of the nearest copy of an item, or ``None``."""
        for like, place in self.alike(item):
            candidate = self.pool[place]
            if like == CONTAINED:
                short, long = sorted((item, candidate), key=lambda one: one.size)
                if self.corpus.is_addition(short, long, self.names) and not self.corpus.frames.differ(item, candidate):
                    return 1.0, place
                continue
            edit = self._edit(item, candidate, place, like)
            if not edit and like >= REORDERED:
                ordered = candidate.in_order_of(item)
                edit = (ordered is not candidate and self._edit(item, ordered, place, like)) or edit
            if edit:
                return like, place
            if edit is False:
                return None
        return None

    def _edit(self, item: Item, candidate: Item, place: int, like: float) -> bool | None:
        """Whether an edit of an item is a copy of it; ``None`` if it is no edit."""
        if candidate.numbers != item.numbers or not self.corpus.is_edit(item, candidate, self.names):
            return None
        if self.corpus.frames.differ(item, candidate):
            return None
        return self.corpus.is_no_chance(item, candidate, self.names) and not self._is_slot(item, place, like)

    def _is_slot(self, item: Item, place: int, like: float) -> bool:
        """Whether too many others are about as alike, each with something of its own."""
        candidate, pools = self.pool[place], (self.names[1], self.names[1])
        others = (self.pool[other] for _, other in self.alike(item, KIN * like) if other != place)
        others = (other for other in others if other.numbers == candidate.numbers)
        kin = (other for other in others if self.corpus.is_edit(candidate, other, pools))
        return len(list(islice(kin, MAX_KIN + 1))) > MAX_KIN


def _contains(short: Item, long: Item) -> bool:
    """Whether one text contains the other; a short phrase may by chance, eight words or a quarter of it do not."""
    return short.size >= min(8, long.size / 4) and all(map(str.__contains__, long.runs, short.runs))
