r"""Labels and choice letters in text: which of a closed set is meant.

A label is read whole or not at all; every step is linear in the length of the text. Of a text of more than 10,000
characters the end is looked at, and its first line; of such a line behind a marker the start.

- **Several different labels named**: none is read, unless one is alone on the first line, or directly behind a marker
  with no second one joined to it (``Answer: B because A is too small`` is B; ``Answer: billing or technical``
  abstains).
- **Signs that tell labels apart stay**: ``C``, ``C++`` and ``C#``, ``A`` and ``A+`` are never taken for each other, be
  they in the set or not, and neither is ``spam`` in ``non-spam``, ``spammer`` or ``anti_spam``.
- **Around a label** Markdown, HTML, LaTeX, quotes, brackets and punctuation are dropped. Case, white space, the style
  of apostrophes and dashes, and compatibility forms (NFKC) do not count.
- **Labels that are numbers** are found as numbers (see ``promptkit.parsing.numbers``): by value, with their minus,
  never in a longer number, a fraction, a percentage, a date or a range. ``1.0`` and ``1 of 5`` are 1, ``4.5`` is no
  label of 1 to 5.
- **Denied labels** (``not spam``, ``far from positive``, ``不是垃圾``) are not read, nor is ``no`` in ``no doubt``;
  where a label of the set covers the denial, it is meant.
- **Choice letters** stand in their own case, because "a" is an article, unless brackets, quotes or markup enclose them.
  A bare ``A`` or ``I`` before a lower-case word is a word, too, unless that word is one such as "is" or "because".
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Literal, NamedTuple

from promptkit.parsing.extractors import Found
from promptkit.parsing.markup import strip_emphasis, strip_struck, strip_tags, unwrap
from promptkit.parsing.number_text import fold_numbers
from promptkit.parsing.numbers import WINDOW, Expression, find_expressions, fold_window, normalize_number, shorten

__all__ = ["LabelFinder", "fold_label"]

# What may not touch a label: digits and the letters of scripts that write with spaces. Others may, as in 答案是B.
_TOUCHING = r"0-9A-Za-z_ªµºÀ-ÖØ-öø-ͯͰ-ෟႠ-ჿሀ-ᛰḀ-῿"
_UNIT = re.compile(f"[{_TOUCHING}]")
_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2212\u02d7\u2796\u207b\ufe63\uff0d"), "-")
_APOSTROPHES = dict.fromkeys(map(ord, "’‘ʼ＇`´"), "'")
_WORD = re.compile(r"[^\W_]")
_LEAD = re.compile(  # what may stand between a marker and the label that it announces
    r"(?:[\W_]|\b(?:is|are|was|be|the|option|choice|letter|label|class|category|answer|ist|est|es|é)\b|[是为為])*",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[-+]?\d+(?:[.,]\d+)?", re.ASCII)
_LEADING_ZERO = re.compile(r"-?0\d")
_ESCAPED = re.compile(r"\\([-+.*#$%&_{}~|<>()\[\]!])")
_WRAPPER = re.compile(
    r"\\(?:boxed|fbox|text(?:bf|it|rm|tt)?|math(?:rm|bf|it|sf)|left|right|emph|underline)(?![a-zA-Z])\s?"
)
_ANGLED = re.compile(r"<(?!(?:b|i|u|s|a|q|p|em|code|strong|mark)>)([^<>/\s][^<>/]{0,60})>", re.IGNORECASE)
_LINE_MARKS = re.compile(r"\s*(?:#{1,6}\s+|>\s*|[*•]\s+|[-+]\s+(?!\d))*")
_QUOTES = "\"'“”‘’„‚«»‹›「」『』`"
_PEELED_BEFORE = _QUOTES + "([{<*_$¿¡:：,，。 \t\n"
_PEELED_BEHIND = _QUOTES + ")]}>*_$.,;:!?。，；：！？、…: \t\n"
_BRACKETS = {"(": ")", "[": "]", "{": "}", "<": ">", "（": "）", "【": "】", "《": "》", "$": "$", "*": "*", "_": "_"}
_STARRED = re.compile(r"(?<!\*)\w\*$")  # a mark of its own, as in the grade A*
_GAP = r"[\s*_~\"'“”‘’]+"
_DENIAL = re.compile(
    r"(?:\b(?:not|isn'?t|aren'?t|wasn'?t|never|neither|nor|no|non|without|cannot be|can'?t be|rather than|instead of|"
    r"hardly|barely|scarcely|far from|anything but|kaum|keineswegs|weder|"
    r"(?:not|\w{2,6}n'?t) (?:think|believe|feel|say|call|consider|seem|appear|look|sound)(?: that)?"
    r"(?: (?:it|this|that))?(?:'s| is| was| to be)?|"
    r"nicht|kein|keine|keinen|pas|ni|nunca|не)\s+(?:(?:a|an|the|be|really|exactly|clearly|"
    r"necessarily|just|quite|class|label|option|answer|category)\s+){0,2}"
    r"|[不非没無无未](?:是|为|為|属于)?)[\s\"'“‘(\[*]*$",
    re.IGNORECASE,
)
_JOINED = re.compile(
    r"[\"'”’)\]}*_.]*\s*(?:,|/|&|\||;|、|和|或|与|-|—|\+|\b(?:and/or|or|and|vs\.?|versus|to|through|oder|und|ou|et|o|y)\b)"
    r"\s*(?:\b(?:or|and|maybe|perhaps|possibly|also|else)\b\s*)*[\s\"'“‘(\[{*]*",
    re.IGNORECASE,
)
_ALSO_DENIED = re.compile(
    r"[\s\"'”’)*]*(?:,|/|、|或|和|\bor\b|\bnor\b|\bnoch\b|\bni\b|\band\b|\boder\b|\bou\b)[\s\"'“‘(*]*(?:a|an|the)?\s*",
    re.IGNORECASE,
)
_MARKED_LETTER = re.compile(r"(?<![\w*_`])([*_`]{1,3})([A-Za-z])\1(?![\w+*#-])")
_ARTICLE = re.compile(
    r"[ \t]+(?!(?:is|was|are|will|would|should|must|can|could|may|might|seems?|fits|has|because|since|as|for|due|and|"
    r"or|but|that|which|with|if|when|then|by|in|on|than|not|to|vs|versus|from|at|correct|only|alone|here|therefore|being)\b)"
    r"[a-zà-ÿ]"
)


_DETERMINER = re.compile(  # words before which "no" is an article, and no answer
    r" (?:doubt|question|evidence|proof|indication|one|longer|more|less|matter|idea|reason|problem|way|need|such)\b",
    re.IGNORECASE,
)


class Mention(NamedTuple):
    """A label named in a text: its own spelling, where, and whether it is denied."""

    label: str
    start: int
    end: int
    denied: bool


def fold_label(text: str) -> str:
    """Returns the form in which labels are compared: NFKC, case, white space, dashes and apostrophes folded.

    Example:
        >>> fold_label(" Very  GOOD ")
        'very good'
    """
    return " ".join(_plain(text).casefold().split())


def _plain(text: str) -> str:
    """Folds compatibility forms, dashes and apostrophes, and drops what cannot be seen."""
    if text.isascii():
        return text.replace("`", "'") if "`" in text else text
    text = unicodedata.normalize("NFKC", text.translate(_DASHES)).translate(_DASHES | _APOSTROPHES)
    return re.sub("[\u00ad\u200b-\u200f\u2060\ufeff\ufe0e\ufe0f\u20e3]", "", text)


def _bounded(label: str) -> str:
    """Returns a pattern for one label that is not a part of a longer word; white space is elastic."""
    body = _elastic(label)
    if _UNIT.match(label[0]):
        before = rf"(?<![{_TOUCHING}@#&\\/+±~^-])(?<![{_TOUCHING}][.'*])" + (
            r"(?<!\d[,:])" if label[0].isdigit() else ""
        )
    else:
        before = rf"(?<![{_TOUCHING}{_edge(label[0])}])" if label[0].isascii() else ""
    if _UNIT.match(label[-1]):
        starred = rf"(?!\*(?:[{_TOUCHING}]|(?![*\w])))"
        after = rf"(?![{_TOUCHING}♯♭@#&\\/+^-])(?![.'][{_TOUCHING}])(?!\$[\^_])(?![,:]\d)(?!\s?(?:%|\+(?!\w))){starred}"
    else:
        after = rf"(?![{_TOUCHING}{_edge(label[-1])}])" if label[-1].isascii() else ""
    return f"{before}{body}{after}"


def _edge(char: str) -> str:
    """Returns what may not touch a sign at the edge of a label, for a character class."""
    return r"+#/&@\\^~-" if char in "+#/&@\\^~-" else "" if char in ".!?" else re.escape(char)


def _alternatives(words: Sequence[str]) -> str:
    """Returns a pattern for any of the labels, the longest first.

    A label that holds another one also matches as a part of a longer word, but then in a group: so the shorter one is
    not read out of it, as "no" is not out of "no answers".
    """
    found = []
    for label in sorted(words, key=lambda label: (-len(label), label)):
        found.append(_bounded(label))
        if any(other != label and other.casefold() in label.casefold() for other in words):
            found.append(f"({_elastic(label)})")
    return "|".join(found)


def _elastic(label: str) -> str:
    """Returns a pattern for a label in which white space and markup between words do not count."""
    return _GAP.join(re.escape(word) for word in label.split())


class LabelFinder:
    """Finds the labels of a closed set in text; of labels that start at one place the longest is meant.

    Args:
        labels: The labels in their own spelling.
        letters: Whether the labels are choice letters.
        decimal: The decimal sign of labels and texts that are numbers.
    """

    def __init__(self, labels: Sequence[str], *, letters: bool = False, decimal: str = ".") -> None:
        """Compiles one pattern for all labels that are no numbers."""
        self._spelling = {fold_label(label): label for label in labels}
        self._decimal, self._letters = decimal, letters
        values: dict[str, list[str]] = {}
        for folded, label in self._spelling.items():
            value = normalize_number(folded, decimal) if _NUMBER.fullmatch(folded) else None
            if value is not None:
                values.setdefault(value.replace(decimal, "."), []).append(label)
        self._numbers = {value: found[0] for value, found in values.items() if len(found) == 1}
        numeric = set(self._numbers.values())
        words = [_plain(label).strip() for label in labels if label not in numeric]
        self._tags = any("<" in label for label in labels)
        self._pattern: re.Pattern[str] | None = None
        if words:
            starts = "".join(sorted({re.escape(label[0]) for label in words}))
            body = f"(?=[{starts}])(?:{_alternatives(words)})"  # most places are ruled out by their first character
            if letters:
                self._pattern = re.compile(rf"{body}|(?<=[(\[{{\"'*])(?i:{body})(?=[)\]}}\"'*])")
            else:
                self._pattern = re.compile(body, re.IGNORECASE)

    def canonical(self, text: str) -> str | None:
        """Returns the label that the whole text spells, punctuation and markup around it aside, or ``None``."""
        if len(text) > WINDOW:
            return None
        exact = self._spelling.get(fold_label(text))
        if exact is not None:
            return exact
        clean = self._clean(text)
        for peeled in _peel(_LINE_MARKS.sub("", clean, count=1)):
            label = self._spelling.get(fold_label(peeled))
            if label is not None:
                return label
        if not self._numbers:
            return None
        folded = fold_numbers(text, self._decimal)
        found = list(islice(find_expressions(folded), 2))
        alone = len(found) == 1 and found[0].tokens == 1 and not _WORD.search(folded)
        return self._number_label(found[0]) if alone else None

    def first(self, text: str) -> Found | None:
        """Returns the label that a line says: the one it starts with, else the only one in it."""
        whole = self.canonical(text)
        if whole is not None:
            return Found(whole, 0, text[-1:].isspace() or not text[-1:].isalnum())
        text = shorten(text, "first")
        clean, folded = self._clean(text), self._fold(text, "first")
        words, numbers = list(self._word_mentions(clean)), list(self._number_mentions(folded))
        if words and numbers:
            return self._only([*words, *numbers], len(text))
        line, mentions = (folded, numbers) if numbers else (clean, words)
        if not mentions or mentions[0].denied or not _LEAD.fullmatch(line[: mentions[0].start]):
            return self._only(mentions, len(line))
        head, others = mentions[0], [one for one in mentions if one.label != mentions[0].label]
        joined = _JOINED.match(line, head.end)
        if joined is not None and (joined.end() == len(line) or any(one.start == joined.end() for one in others)):
            return None
        if others and not _WORD.search(_without(line, mentions)):
            return None  # a list of labels
        return Found(head.label, 0, head.end < len(line))

    def last(self, text: str) -> Found | None:
        """Returns the label that is alone on the first line with any text, else the only label in the text."""
        text = text.lstrip()
        line = text.split("\n", 1)[0]
        alone = self.canonical(line)
        if alone is not None:
            return Found(alone, 0, len(line.rstrip()) < len(text) or not line[-1].isalnum())
        text = shorten(text, "last")
        clean, folded = self._clean(text), self._fold(text, "last")
        return self._only(chain(self._word_mentions(clean), self._number_mentions(folded)), len(clean))

    def _only(self, mentions: Iterable[Mention], length: int) -> Found | None:
        """Returns the label of all mentions, if it is one and is never denied."""
        named: set[str] = set()
        denied: set[str] = set()
        end = 0
        for one in mentions:
            (denied if one.denied else named).add(one.label)
            if len(named) > 1 or named & denied:
                return None
            end = max(end, one.end)
        return Found(named.pop(), 0, end < length) if named else None

    def _fold(self, text: str, which: Literal["first", "last"]) -> str:
        """Spells a text plainly, if labels are to be found in it as numbers."""
        return fold_window(text, which, self._decimal)[0] if self._numbers else ""

    def _clean(self, text: str) -> str:
        """Drops markup from a text and folds it, letter case aside."""
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        if "<" in text and not self._letters:
            text = _ANGLED.sub(self._angled, text)
        text = strip_struck(text) if self._tags else strip_tags(text)
        if "\\" in text:
            text = _ESCAPED.sub(r"\1", _WRAPPER.sub("", text))
        if self._letters:
            text = _MARKED_LETTER.sub(r'"\2"', text)
        return _plain(strip_emphasis(text))

    def _angled(self, match: re.Match[str]) -> str:
        """Keeps a label in angle brackets, which would be taken for a tag."""
        return f"({match[1]})" if fold_label(match[1]) in self._spelling and not self._tags else match[0]

    def _word_mentions(self, clean: str) -> Iterator[Mention]:
        """Yields the labels that a cleaned text names, those apart that are numbers."""
        before: Mention | None = None
        for match in self._pattern.finditer(clean) if self._pattern else ():
            label = self._label(match[0]) if match.lastindex is None else None
            if label is not None and not self._is_word(match):
                before = Mention(label, *match.span(), self._denied(clean, match.start(), before))
                yield before

    def _number_mentions(self, folded: str) -> Iterator[Mention]:
        """Yields the labels that a text in the spelling of ``fold_numbers`` names as numbers."""
        before: Mention | None = None
        for found in find_expressions(folded):
            label = self._number_label(found)
            if label is not None:
                before = Mention(label, found.token.start, found.end, self._denied(folded, found.token.start, before))
                yield before

    def _denied(self, text: str, start: int, before: Mention | None) -> bool:
        """Tells whether a label is denied: by itself, or together with the one before it."""
        low = max(start - 40, 0, before.end if before else 0)
        window = text[low:start].rstrip("-+$")
        if _DENIAL.search(window):
            return True
        return before is not None and before.denied and low == before.end and _ALSO_DENIED.fullmatch(window) is not None

    def _label(self, found: str) -> str | None:
        """Returns the label that a match spells; ``None`` for a Turkish i, which matches but folds differently."""
        label = self._spelling.get(fold_label(found))
        return label if label is not None else self._spelling.get(fold_label(re.sub(_GAP, " ", found)))

    def _is_word(self, match: re.Match[str]) -> bool:
        """Tells whether a choice letter is an article or pronoun, or the label "no" an article."""
        text, start = match.string, match.start()
        if not self._letters:
            return match[0].casefold() == "no" and _DETERMINER.match(text, match.end()) is not None
        if match[0] not in ("A", "I") or text[max(0, start - 1) : start] in ("(", "[", "{", '"', "'", "*"):
            return False
        return _ARTICLE.match(text, match.end()) is not None

    def _number_label(self, found: Expression) -> str | None:
        """Returns the label that an expression says as a plain number."""
        written = found.token.plain
        if found.value is None or written is None:
            return None
        by_value = None if _LEADING_ZERO.match(written) else self._numbers.get(found.value)
        return self._spelling.get(written) or by_value


def _without(text: str, mentions: Sequence[Mention]) -> str:
    """Returns what a text says beside its labels."""
    kept, place = [], 0
    for one in mentions:
        kept.append(text[place : one.start])
        place = one.end
    return "".join([*kept, text[place:]])


def _peel(text: str) -> Iterator[str]:
    """Yields a text with ever less of the punctuation, quotes and markup around it, closest to the whole first."""
    text = text.strip()
    for _ in range(40):
        yield text
        inner = _unpaired(text)
        if inner == text and text[-1:] and text[-1] in ".,;:!?。，；：！？、":
            shorter = text[:-1].rstrip()
            inner = shorter if text[-1] not in "!?" or _unpaired(shorter) != shorter else text
        if inner == text and text[:1] and text[0] in _PEELED_BEFORE:
            inner = text[1:]
        if inner == text and text[-1:] and text[-1] in _PEELED_BEHIND and not _STARRED.search(text):
            inner = text[:-1]
        inner = inner.strip()
        if inner == text or not inner:
            return
        text = inner


def _unpaired(text: str) -> str:
    """Drops one pair of marks, quotes or brackets that encloses a text."""
    inner = unwrap(text)
    return text[1:-1] if inner == text and len(text) > 2 and _BRACKETS.get(text[0]) == text[-1] else inner
