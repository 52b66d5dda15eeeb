"""Finding an answer of one type in a piece of text: labels, choice letters, JSON fields, regular expressions.

Every finder takes linear time in the length of the text, whatever the text is.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from promptkit.errors import TaskError, explain

__all__ = ["Found", "LabelFinder", "compile_linear", "find_field", "fold_label"]

# What may not touch a label: ASCII letters and digits, and the Latin letters with accents. Scripts that write
# without spaces may touch it, as in 答案是B。
_TOUCHING = r"0-9A-Za-z_\u00c0-\u024f"
_UNITS = frozenset("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
_OBJECT = re.compile(r'\{\s*["}]')
_MAX_OBJECTS = 1_000  # each failed start costs a pass over the text (json counts its lines for the message)


class Found(NamedTuple):
    """An answer and where it stands.

    Attributes:
        value: The answer as text.
        start: Where the match starts (for labels: in the NFKC form of the text).
        closed: Whether something stands behind the answer, so that a cut text cannot have shortened it.
    """

    value: str
    start: int
    closed: bool


def fold_label(text: str) -> str:
    """Returns the form in which labels are compared: NFKC, case and white space folded.

    Example:
        >>> fold_label(" Very  GOOD ")
        'very good'
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _bounded(label: str) -> str:
    """Returns a pattern for one label that is not a part of a longer word; white space is elastic."""
    body = r"\s+".join(re.escape(word) for word in label.split())
    before = rf"(?<![{_TOUCHING}])" if label[0] in _UNITS else ""
    after = rf"(?![{_TOUCHING}])" if label[-1] in _UNITS else ""
    return f"{before}{body}{after}"


class LabelFinder:
    """Finds the labels of a closed set in text; of labels that start at one place the longest is meant.

    Args:
        labels: The labels in their own spelling.
        letters: Whether the labels are choice letters. A letter must then stand in its own case, because "a" is an
            article, unless brackets or quotes enclose it.
    """

    def __init__(self, labels: Sequence[str], *, letters: bool = False) -> None:
        """Compiles one pattern for all labels."""
        self._spelling = {fold_label(label): label for label in labels}
        plain = (unicodedata.normalize("NFKC", label).strip() for label in labels)
        longest_first = sorted(plain, key=lambda label: (-len(label), label))
        starts = "".join(sorted({re.escape(label[0]) for label in longest_first}))
        body = "|".join(_bounded(label) for label in longest_first)
        body = f"(?=[{starts}])(?:{body})"  # most places are ruled out by their first character
        if letters:
            self._pattern = re.compile(rf"{body}|(?<=[(\[\"'*])(?i:{body})(?=[)\]\"'*])")
        else:
            self._pattern = re.compile(body, re.IGNORECASE)

    def canonical(self, text: str) -> str | None:
        """Returns the label that the whole text spells, punctuation around it aside, or ``None``."""
        exact = self._spelling.get(fold_label(text))
        if exact is not None:
            return exact
        start, end = 0, len(text)
        while start < end and not text[start].isalnum():
            start += 1
        while end > start and not text[end - 1].isalnum():
            end -= 1
        return self._spelling.get(fold_label(text[start:end])) if end > start else None

    def first(self, text: str) -> Found | None:
        """Returns the first label in the text, or the one that the whole text spells."""
        text = unicodedata.normalize("NFKC", text)
        return self._found(text, self._pattern.search(text)) or self._whole(text)

    def last(self, text: str) -> Found | None:
        """Returns the label that is alone on the first line with any text, else the last label in the text."""
        text = unicodedata.normalize("NFKC", text).lstrip()
        line = text.split("\n", 1)[0]
        alone = self.canonical(line)
        if alone is not None:
            return Found(alone, 0, len(line.rstrip()) < len(text) or not line[-1].isalnum())
        last = deque(self._pattern.finditer(text), maxlen=1)
        return self._found(text, last[0] if last else None)

    def _whole(self, text: str) -> Found | None:
        """Reads a text that is a label and nothing else, for example a choice letter in lower case."""
        label = self.canonical(text)
        return None if label is None else Found(label, 0, text[-1:].isspace() or not text[-1:].isalnum())

    def _found(self, text: str, match: re.Match[str] | None) -> Found | None:
        """Gives a match in the label's own spelling."""
        label = None if match is None else self._spelling.get(fold_label(match[0]))
        if match is None or label is None:  # the second: a Turkish i, which matches but folds differently
            return None
        return Found(label, match.start(), match.end() < len(text))


def find_field(text: str, field: str) -> Found | None:
    """Reads a field of the last JSON object in the text that has it.

    Args:
        text: Any text, with or without an object in it.
        field: The name of the field.

    Of a text with more than 1,000 opening braces that could begin an object the last 1,000 are tried.

    Returns:
        Strings as they are, numbers as they are written, ``true`` and ``false`` by these words; ``None`` where no
        object has the field, where its value is null or a container, or where an object begins behind the last
        complete one (``closed`` is then false).
    """
    decoder = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=lambda _: None)
    value: Any = None
    where, done, failed_behind = -1, 0, False
    for match in deque(_OBJECT.finditer(text), maxlen=_MAX_OBJECTS):
        place = match.start()
        if place < done:
            continue  # inside an object that was read
        try:
            item, done = decoder.raw_decode(text, place)
        except json.JSONDecodeError:
            failed_behind = True
        except RecursionError:
            return None  # nested beyond any answer
        else:
            if field in item:
                value, where, failed_behind = item[field], place, False
    if isinstance(value, bool):
        value = "true" if value else "false"
    return Found(value, where, not failed_behind) if isinstance(value, str) else None


def compile_linear(pattern: str) -> Any:
    """Compiles a regular expression with google-re2, which takes linear time on every text.

    Args:
        pattern: RE2 syntax: no look-around, no back-references.

    Returns:
        A compiled pattern with the interface of the standard library's.

    Raises:
        TaskError: The pattern is not valid in RE2.
    """
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        shown = error.args[0].decode("utf-8", "replace") if isinstance(error.args[0], bytes) else error.args[0]
        must = "a regular expression that RE2 accepts (no look-around, no back-references)"
        raise TaskError(explain("pattern", of="Reader", must=must, got=pattern, do=f"RE2 says: {shown}")) from error
