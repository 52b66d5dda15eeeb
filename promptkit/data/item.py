"""One item in the forms in which it is compared with others: as it is, normalised, and as words of sentences."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cached_property
from itertools import chain, pairwise

from promptkit.data.chance import Step
from promptkit.data.choices import find_choices
from promptkit.data.fold import fold
from promptkit.types import Example, content_key

__all__ = ["Item"]

_CJK = "\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_CJK}]|\d+(?:[.,]\d+)*|[-+*/](?=\s?\d)|[+*/=<>^%]|[^\W\d_{_CJK}]+(?:'[^\W\d_{_CJK}]+)*")
_MARK = re.compile(r"(?![*/%&#@\\]|[-.,:]\d|(?<=\d )- \d)[^\w\s]|_")
_NUMBER_WORDS = frozenset(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million half"
    " 零 一 二 两 三 四 五 六 七 八 九 十 百 千 万 半".split()
)


_SENTENCE = re.compile(r"(?<=[.!?;:])[\"')\]]*\s+|(?<=[\u3002\uff0e])|\n+")

Sentence = list[str]
"""The words of a sentence."""


class Item:
    """One item in the forms in which it is compared.

    Where the item is a multiple-choice question, its options are compared in alphabetic order, without their labels,
    and a target that names one of them is that option.

    Args:
        item: An example, or a plain text.
    """

    def __init__(self, item: Example | str) -> None:
        fields = {"text": item} if isinstance(item, str) else item.query.fields
        targets = ("",) if isinstance(item, str) else item.targets
        self.exact = tuple(sorted(fields.items()))
        self.key = content_key(fields)
        folded = {name: fold(fields[name]) for name in sorted(fields)}
        self.loose = "\0".join(map(_without_punctuation, folded.values()))
        texts, meant = _without_order(folded, [fold(target) for target in targets])
        self.targets = frozenset(map(_without_punctuation, meant))
        self._set([[_words(part) for part in _SENTENCE.split(text)] for text in texts])

    def _set(self, fields: Sequence[Sequence[Sentence]]) -> None:
        """Takes the sentences of each field, in the order in which they are compared."""
        self.sentences = [[sentence for sentence in field if sentence] for field in fields]
        words = [list(chain(*field)) for field in self.sentences]
        self.runs = [f" {' '.join(part)} " for part in words]
        self.size = sum(map(len, words))
        self.numbers = tuple(word for part in words for word in part if _is_number(word))
        self.grams = frozenset(chain(*words, *(map(" ".join, pairwise(part)) for part in words)))
        # Masked in runs of words, numbers cannot make two variations of a frame look different.
        self.masked = [[_mask(word) for word in part] for part in words]
        self.words = frozenset(chain(*self.masked))

    @cached_property
    def bag(self) -> tuple[tuple[str, ...], ...] | None:
        """The sentences of each field whatever their order; ``None`` if no field has two."""
        if all(len(field) < 2 for field in self.sentences):
            return None
        return tuple(tuple(sorted(map(" ".join, field))) for field in self.sentences)

    @cached_property
    def _places(self) -> dict[str, tuple[int, int]]:
        """The field and the place of each sentence."""
        return {
            " ".join(sentence): (field, place)
            for field, sentences in enumerate(self.sentences)
            for place, sentence in enumerate(sentences)
        }

    @cached_property
    def number_bag(self) -> tuple[str, ...]:
        """The numbers whatever their order, which is another where sentences are."""
        return tuple(sorted(self.numbers))

    def in_order_of(self, other: Item) -> Item:
        """Returns the item with its sentences in the order in which another item has those most like them."""
        if self._places.keys().isdisjoint(other._places):
            return self
        if all(place == self._places.get(sentence, place) for sentence, place in other._places.items()):
            return self  # what they share is in the same places
        pairs = zip(self.sentences, other.sentences, strict=False)
        ordered = [_in_order_of(own, others) for own, others in pairs]
        if len(self.sentences) != len(other.sentences) or ordered == self.sentences:
            return self
        found = Item.__new__(Item)
        found.exact, found.loose, found.targets = self.exact, self.loose, self.targets
        found.key = f"{self.key} as {other.key}"
        found._set(ordered)
        return found

    @cached_property
    def triples(self) -> frozenset[tuple[str, ...]]:
        """Runs of three words, with the ends of each field as words of their own."""
        padded = [["", *part, ""] for part in self.masked]
        return frozenset(run for part in padded for run in zip(part, part[1:], part[2:], strict=False))

    @cached_property
    def steps(self) -> list[Step]:
        """Each word with the one before it, and the end of each field as a word of its own."""
        fields = zip(self.masked, self.runs, strict=True)
        return [step for masked, run in fields for step in zip(["", *masked], [*run.split(), ""], strict=True)]


def _without_order(fields: dict[str, str], targets: list[str]) -> tuple[list[str], list[str]]:
    """Returns the texts and targets of a question with its options, if they are such, in alphabetic order."""
    choices = find_choices(fields)
    meant = [choices.target(target) for target in targets] if choices else []
    if choices is None or None in meant:
        return list(fields.values()), targets
    options = "\n".join(sorted(choices.options.values()))
    return [*choices.texts, options], [target for target in meant if target is not None]


def _in_order_of(own: list[Sentence], others: list[Sentence]) -> list[Sentence]:
    if len(own) < 2 or len(others) < 2 or own == others:
        return own
    wanted = [set(sentence) for sentence in others]
    places, last = list[float](), -1.0
    for sentence in own:
        words = set(sentence)
        alike = [len(words & one) / len(words | one) for one in wanted]
        best = max(range(len(alike)), key=alike.__getitem__)
        if alike[best] > 0.5:  # else it stays behind the sentence before it
            last = float(best)
        places.append(last)
    return [own[at] for at in sorted(range(len(own)), key=places.__getitem__)]


def _words(text: str) -> Sentence:
    return [word.replace(",", "") for word in _WORD.findall(text)]


def _mask(word: str) -> str:
    return "#" if _is_number(word) else word


def _is_number(word: str) -> bool:
    """Whether a word is a number or a sign between numbers."""
    return word[0].isdigit() or word in _NUMBER_WORDS or word in "-+*/=<>^%"


def _without_punctuation(text: str) -> str:
    """Drops punctuation, but not where it belongs to a number (-5, 3.5, 1/2, 50%) or is a sign of arithmetic."""
    return " ".join(_MARK.sub(_replace_mark, text).split())


def _replace_mark(mark: re.Match[str]) -> str:
    char = mark.group()
    if char in "-\u2010\u2013\u2014_":
        return " "
    return "" if unicodedata.category(char).startswith("P") else char
