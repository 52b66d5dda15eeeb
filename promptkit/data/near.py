"""Near copies: which items of two splits are the same text but for an edit.

The near grade follows the n-gram overlap of GPT-3 (Brown et al. 2020, arXiv 2005.14165, Appendix C: 13-grams, without
those that occur in more than ten documents) and of lm-evaluation-harness, changed for short items and for data that
are written from sentence frames, where 13-grams find nothing or everything:

* Words and word pairs (characters and their pairs in Chinese, Japanese, Korean), each weighing ``log((n + 1) / m)``
  where m of n items have it, the item itself left out. A frame stands in many items and weighs little. Two texts are
  alike if the weight they share is at least ``NEAR`` of the mean of their own (the Dice coefficient).
* Numbers and target must agree. "Joe has 3 oranges and got 1 more" and "Joe has 4 oranges and got 1 more" are two
  items of one task, not a leak.
* What differs must be new: runs of three words that one text has and the other lacks must, at least half of them,
  stand in no other item, or have a word that the other split lacks. Where names or nouns of a frame are exchanged,
  the new runs stand in other items too.
* One text may also stand in the other as a whole, with more before or after it and whatever numbers. This is a copy
  too, unless what was added stands in other items of both splits (a greeting, a closing line).
* The copy must stand out: if more than ``MAX_KIN`` items of the pool are about as alike as the best one, they are
  variations of a frame with an open slot ("What is X?"), and none of them is called a copy.

What this cannot see: paraphrases, translations, copies with another target or number, copies of frame data in which
only a slot was changed to another value that the slot takes elsewhere, texts of fewer than ``SHORTEST`` words, and two
changed words among five.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, pairwise

import numpy as np
import numpy.typing as npt

from promptkit.types import Example, content_key

__all__ = ["Corpus", "Item", "NearIndex"]

NEAR = 0.4
"""Dice coefficient of weighted words and word pairs from which two texts are alike."""

EDITED = 0.5
"""Share of the differences of two like texts, as runs of three words, that must stand in no other item."""

KIN = 0.8
"""Share of the best likeness from which another item of the pool is about as alike."""

MAX_KIN = 3
"""Most items about as alike as the best one, for it to stand out."""

SHORTEST = 4
"""Fewest words of a text that can be a near copy; below, one changed word is another question."""

_CONTAINED = 2.0  # the likeness of a text that stands in the other as a whole, which needs no further proof

_CJK = "\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_CJK}]|\d+(?:[.,]\d+)*|[-+*/](?=\s?\d)|[+*/=<>^%]|[^\W\d_{_CJK}]+(?:'[^\W\d_{_CJK}]+)*")
_MARK = re.compile(r"(?![*/%&#@\\]|[-.,:]\d|(?<=\d )- \d)[^\w\s]|_")
_NUMBER_WORDS = frozenset(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million half"
    " 零 一 二 两 三 四 五 六 七 八 九 十 百 千 万 半".split()
)


class Item:
    """One item in the forms in which it is compared.

    Args:
        item: An example, or a plain text.
    """

    def __init__(self, item: Example | str) -> None:
        fields = {"text": item} if isinstance(item, str) else item.query.fields
        targets = ("",) if isinstance(item, str) else item.targets
        self.exact = tuple(sorted(fields.items()))
        self.key = content_key(fields)
        folded = [_fold(fields[name]) for name in sorted(fields)]
        self.loose = "\0".join(_without_punctuation(text) for text in folded)
        self.targets = frozenset(_without_punctuation(_fold(target)) for target in targets)
        words = [[word.replace(",", "") for word in _WORD.findall(text)] for text in folded]
        self.runs = [f" {' '.join(part)} " for part in words]
        self.size = sum(map(len, words))
        self.numbers = tuple(word for part in words for word in part if _is_number(word))
        # Numbers are compared apart. Masked here, they cannot make two variations of a frame look different.
        self._masked = [["#" if _is_number(word) else word for word in part] for part in words]
        self.words = frozenset(chain(*self._masked))
        self.grams = self.words.union(*(map(" ".join, pairwise(part)) for part in self._masked))

    @cached_property
    def triples(self) -> frozenset[tuple[str, ...]]:
        """Runs of three words, with the ends of each field as words of their own."""
        padded = [["", *part, ""] for part in self._masked]
        return frozenset(run for part in padded for run in zip(part, part[1:], part[2:], strict=False))


def _is_number(word: str) -> bool:
    """Whether a word is a number or a sign between numbers."""
    return word[0].isdigit() or word in _NUMBER_WORDS or word in "-+*/=<>^%"


def _fold(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'").split())


def _without_punctuation(text: str) -> str:
    """Drops punctuation, but not where it belongs to a number (-5, 3.5, 1/2, 50%) or is a sign of arithmetic."""
    return " ".join(_MARK.sub(_replace_mark, text).split())


def _replace_mark(mark: re.Match[str]) -> str:
    char = mark.group()
    if char in "-\u2010\u2013\u2014_":
        return " "
    return "" if unicodedata.category(char).startswith("P") else char


class Corpus:
    """What is common in the splits, each different item counted once.

    Args:
        splits: The items of every split, by its name.
    """

    def __init__(self, splits: Mapping[str, Sequence[Item]]) -> None:
        self.splits = {name: {item.key: item for item in items}.values() for name, items in splits.items()}
        self.items = {item.key: item for item in chain(*splits.values())}.values()
        counts = Counter(gram for item in self.items for gram in item.grams)
        # One item is left out of each count, or a copy would make its own words look common.
        self.weights = {gram: math.log((len(self.items) + 1) / max(1, n - 1)) for gram, n in counts.items()}

    def weight(self, grams: Iterable[str]) -> float:
        """Sums the weights of words and word pairs, the same whatever their order."""
        return math.fsum(map(self.weights.__getitem__, grams))

    @cached_property
    def triples(self) -> Counter[tuple[str, ...]]:
        """In how many items each run of three words stands."""
        return Counter(triple for item in self.items for triple in item.triples)

    @cached_property
    def triples_by_split(self) -> dict[str, Counter[tuple[str, ...]]]:
        """In how many items of each split each run of three words stands."""
        return {name: Counter(t for item in items for t in item.triples) for name, items in self.splits.items()}

    @cached_property
    def vocabularies(self) -> dict[str, frozenset[str]]:
        """The words of each split."""
        return {name: frozenset().union(*(item.words for item in items)) for name, items in self.splits.items()}

    def is_edit(self, row: Item, twin: Item, splits: tuple[str, str]) -> bool:
        """Whether two texts differ in a way in which no other items of their splits differ."""
        row_words, twin_words = (self.vocabularies[name] for name in splits)
        for private, elsewhere in ((row.triples - twin.triples, twin_words), (twin.triples - row.triples, row_words)):
            new = sum(
                self.triples[triple] < 2 or any(word and word not in elsewhere for word in triple) for triple in private
            )
            if private and new >= EDITED * len(private):
                return True
        return False

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
        postings: For each word and word pair the items that have it, as numbers within the block.
    """

    places: npt.NDArray[np.int64]
    totals: npt.NDArray[np.float64]
    postings: Mapping[str, npt.NDArray[np.int64]]


class NearIndex:
    """Finds near copies in a pool without comparing every pair word by word.

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
        self.totals = [corpus.weight(item.grams) for item in items]
        places: dict[str, list[int]] = {}
        for place, item in enumerate(items):
            for target in item.targets:
                places.setdefault(target, []).append(place)
        self.blocks = {target: self._block(found) for target, found in places.items()}

    def _block(self, places: list[int]) -> _Block:
        postings: dict[str, list[int]] = {}
        for number, place in enumerate(places):
            for gram in self.pool[place].grams:
                postings.setdefault(gram, []).append(number)
        arrays = {gram: np.array(found, dtype=np.int64) for gram, found in postings.items()}
        return _Block(np.array(places, dtype=np.int64), np.array([self.totals[place] for place in places]), arrays)

    def candidates(self, item: Item) -> set[int]:
        """Returns the places of all items that can be alike, and of few others."""
        total, found = self.corpus.weight(item.grams), set[int]()
        for block in (self.blocks[target] for target in item.targets if target in self.blocks):
            grams = [gram for gram in item.grams if gram in block.postings]
            if not grams:
                continue
            lists = [block.postings[gram] for gram in grams]
            weights = np.repeat([self.corpus.weights[gram] for gram in grams], [len(one) for one in lists])
            shared = np.bincount(np.concatenate(lists), weights, len(block.places))
            # Alike, or kin of what is, or one text within the other; a little less, for rounding.
            alike = shared >= KIN * NEAR * (total + block.totals) / 2 - 1e-6
            contained = shared >= np.minimum(total, block.totals) - 1e-6
            found.update(block.places[alike | contained].tolist())
        return found

    def best(self, item: Item) -> tuple[float, int] | None:
        """Returns the likeness and the place of the nearest copy of an item, or ``None``."""
        total = self.corpus.weight(item.grams)
        places = self.candidates(item)
        likeness = sorted(((self.likeness(item, total, place), -place) for place in places), reverse=True)
        for rank, (like, place) in enumerate(likeness):
            if like == _CONTAINED:
                short, long = sorted((item, self.pool[-place]), key=lambda one: one.size)
                if self.corpus.is_addition(short, long, self.names):
                    return 1.0, -place
                continue
            if like < NEAR:
                return None
            if self.corpus.is_edit(item, self.pool[-place], self.names):
                kin = sum(other >= KIN * like for other, _ in likeness[rank + 1 : rank + MAX_KIN + 2])
                return (like, -place) if kin <= MAX_KIN else None
        return None

    def likeness(self, item: Item, total: float, place: int) -> float:
        """Returns the Dice coefficient of two texts; 0 for texts that cannot be copies."""
        other = self.pool[place]
        short, long = sorted((item, other), key=lambda one: one.size)
        if short.size < SHORTEST:
            return 0.0
        # A short phrase may stand in a long text by chance: eight words, or a quarter of it, do not.
        if short.size >= min(8, long.size / 4) and all(map(str.__contains__, long.runs, short.runs)):
            return _CONTAINED
        if item.numbers != other.numbers:
            return 0.0
        whole = total + self.totals[place]
        return 2 * self.corpus.weight(item.grams & other.grams) / whole if whole else 0.0
