"""One item in the forms in which it is compared with others: as it is, normalised, and as words."""

from __future__ import annotations

import re
import unicodedata
from functools import cached_property
from itertools import chain, pairwise

from promptkit.data.chance import Step
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
        self.grams = frozenset(chain(*words, *(map(" ".join, pairwise(part)) for part in words)))
        # Masked in runs of words, numbers cannot make two variations of a frame look different.
        self._masked = [["#" if _is_number(word) else word for word in part] for part in words]
        self.words = frozenset(chain(*self._masked))

    @cached_property
    def triples(self) -> frozenset[tuple[str, ...]]:
        """Runs of three words, with the ends of each field as words of their own."""
        padded = [["", *part, ""] for part in self._masked]
        return frozenset(run for part in padded for run in zip(part, part[1:], part[2:], strict=False))

    @cached_property
    def steps(self) -> list[Step]:
        """Each word with what stands before it, and the end of each field as a word of its own."""
        fields = zip(self._masked, self.runs, strict=True)
        return [step for masked, run in fields for step in zip(["", *masked], [*run.split(), ""], strict=True)]


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
