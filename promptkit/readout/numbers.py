"""Numbers in text: where they are, and the one spelling in which equal numbers are equal.

All work is on digits as text, so a number of any length keeps every digit, and every step is linear in the length of
the text. What counts as a number, and what is left aside:

- Digits of any script (full-width, Arabic-Indic, ...), a decimal point, thousands groups set off by a comma,
  apostrophe, underscore or no-break space, a sign that touches the number, powers of ten such as ``2.5e3``,
  fractions such as ``3/4``, ``½`` and ``2 1/2``.
- Currency signs, percent signs, units and words around the number are dropped: ``"$18.00 per day"`` is ``"18"``,
  ``"50%"`` is ``"50"``. Nothing is multiplied: ``"2 million"`` is ``"2"``, and number words are not read.
- Digits glued behind a letter (``H2O``), dates (``3/4/2020``) and versions (``1.2.3``) are not numbers.
"""

from __future__ import annotations

import re
import unicodedata
from collections import deque
from collections.abc import Iterable
from fractions import Fraction
from typing import Literal, NamedTuple

__all__ = ["FoundNumber", "find_number", "normalize_number"]

_MAX_EXPONENT = 400  # a longer power of ten is a memory bomb, not an answer
_MAX_CHUNKS = 10_000
_MAX_FRACTION_DIGITS = 18  # beyond it a greatest common divisor is no longer linear work
_BRIEF_SPACES = "\u00a0\u2009\u202f"  # no-break, thin, narrow no-break: they set off thousands
_TRAILING = ".,/'’_\u00a0"  # behind a number these are punctuation
_DASHES = "\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d"
_LAST_SPACED_LETTER = 0x2E80  # from here on scripts write without spaces, so a dash behind a letter can be a sign

# A chunk starts at a digit that no letter or digit touches, and takes in everything a number can be written with.
_CHUNK = re.compile(
    r"(?<![A-Za-z0-9_])(?<!\d\.)(?P<whole>\d{1,18}[ ](?=\d{1,18}/\d))?(?P<chunk>\.?\d[\d.,/'’_\u00a0]*)"
    r"(?P<exponent>[eE][-+]?\d++(?![A-Za-z_]))?"
)
_GROUPED = (
    r"\d{1,3}(?:,\d{3})++|\d{1,3}(?:'\d{3})++|\d{1,3}(?:’\d{3})++|\d{1,3}(?:_\d{3})++|\d{1,3}(?:\u00a0\d{3})++"
    r"|\d{1,2}(?:,\d\d)+,\d{3}|\d++"
)
_MALFORMED = re.compile(r"(?:^|,)0\d")
_DECIMAL = re.compile(rf"(?P<whole>{_GROUPED})?(?:\.(?P<part>\d++))?")


class FoundNumber(NamedTuple):
    """A number found in a text.

    Attributes:
        value: The canonical spelling.
        rest: The text behind the number, in folded spelling; empty where the number ends the text.
    """

    value: str
    rest: str


class _Folding(dict[int, str]):
    """Translation table to plain digits and signs, filled by the characters that occur."""

    def __missing__(self, code: int) -> str:
        """Computes the plain form of one character."""
        char = chr(code)
        decomposition = unicodedata.decomposition(char)
        plain = unicodedata.normalize("NFKC", char)
        category = unicodedata.category(char)
        if category == "Nd":
            plain = str(unicodedata.decimal(char))
        elif decomposition.startswith("<fraction>"):
            plain = " " + plain.replace("\u2044", "/")  # else 2½ would become 21/2
        elif category == "No":
            power = decomposition.startswith(("<super>", "<sub>"))
            plain = "^" + plain if power else f" {plain} "  # else 10² would become 102
        elif char in _BRIEF_SPACES:
            plain = "\u00a0"
        elif char in _DASHES:
            plain = "-"
        else:
            plain = {"\u2044": "/", "\u2215": "/", "\u066b": ".", "\u066c": ","}.get(char, plain)
        self[code] = plain
        return plain


_FOLDING = _Folding()


def _fold(text: str) -> str:
    """Spells digits, signs and separators in ASCII, plus the no-break space."""
    return text if text.isascii() else text.translate(_FOLDING)


def _decimal(text: str, exponent: int = 0) -> str | None:
    """Returns the canonical unsigned form of a decimal number, or ``None`` if ``text`` is none."""
    match = _DECIMAL.fullmatch(text)
    if match is None or not text:
        return None
    whole, part = match["whole"] or "", match["part"] or ""
    for mark in ",'’_\u00a0":
        whole = whole.replace(mark, "")
    if exponent > 0:
        whole, part = whole + part[:exponent].ljust(exponent, "0"), part[exponent:]
    elif exponent < 0:
        padded = whole.rjust(-exponent, "0")
        whole, part = padded[:exponent], padded[exponent:] + part
    whole, part = whole.lstrip("0") or "0", part.rstrip("0")
    return f"{whole}.{part}" if part else whole


def _spell(value: Fraction) -> str:
    """Spells an unsigned fraction: as a decimal number where that is exact, else as ``n/d`` in lowest terms."""
    rest, digits = value.denominator, 0
    for prime in (2, 5):
        power = 0
        while rest % prime == 0:
            rest, power = rest // prime, power + 1
        digits = max(digits, power)
    if rest != 1:
        return f"{value.numerator}/{value.denominator}"
    scaled = str(value.numerator * 10**digits // value.denominator).rjust(digits + 1, "0")
    spelled = _decimal(f"{scaled[: len(scaled) - digits]}.{scaled[len(scaled) - digits :]}" if digits else scaled)
    return spelled or "0"


def _fraction(text: str, whole: str | None) -> str | None:
    """Returns the canonical unsigned form of ``n/d`` with an optional whole number before it."""
    above, below = (_decimal(part) for part in text.split("/", 1))
    if above is None or below is None or below == "0":
        return None
    if max(len(above), len(below)) > _MAX_FRACTION_DIGITS:
        return f"{above}/{below}"
    return _spell(Fraction(above) / Fraction(below) + int(whole or 0))


def _numbers(match: re.Match[str]) -> list[str]:
    """Returns the unsigned numbers of one chunk: none, one, or the first and the last of a list such as 1,2,3."""
    chunk = match["chunk"].rstrip(_TRAILING)
    if chunk == match["chunk"] and match["exponent"]:
        power = match["exponent"][1:]
        value = _decimal(chunk, int(power)) if len(power) <= 8 and abs(int(power)) <= _MAX_EXPONENT else None
        return [] if value is None else [value]
    slashes = chunk.count("/")
    if slashes:
        value = _fraction(chunk, match["whole"]) if slashes == 1 else None
        return [] if value is None else [value]
    value = _decimal(chunk)
    if value is not None:
        return [value]
    if _MALFORMED.search(chunk):
        return []  # 1,000,00 is a slip of the pen, not a list
    items = chunk.split(",")
    first = next((index for index, item in enumerate(items) if _decimal(item) is not None), len(items))
    last = next((index for index in range(len(items) - 1, first, -1) if _decimal(items[index]) is not None), first)
    found = (_decimal(items[index]) for index in sorted({first, last}) if index < len(items))
    return [item for item in found if item is not None]


def _negative(text: str, start: int) -> bool:
    """Tells whether a minus sign, and not a dash between two things, stands before ``start``."""
    if start and unicodedata.category(text[start - 1]) == "Sc":
        start -= 1
    if start == 0 or text[start - 1] != "-":
        return False
    if start == 1:
        return True
    before = text[start - 2]
    return not (before in ")]}%-" or (before.isalnum() and ord(before) < _LAST_SPACED_LETTER))


def _found(text: str, match: re.Match[str], values: list[str], index: int) -> FoundNumber:
    """Gives one of the numbers of a chunk its sign; only the first can have one, as in -1,2."""
    minus = index == 0 and values[0] != "0" and _negative(text, match.start())
    kept = match["chunk"].rstrip(_TRAILING)
    end = match.end() if match["exponent"] else match.start("chunk") + len(kept)
    rest = "," if index + 1 < len(values) else text[end : end + 2]
    return FoundNumber("-" + values[index] if minus else values[index], rest)


def find_number(text: str, which: Literal["first", "last"] = "last") -> FoundNumber | None:
    """Finds the first or the last number of a text.

    Args:
        text: Any text; the time is linear in its length.
        which: Which number to return. For the last one the last 10,000 places that look like a number are tried.

    Returns:
        The number and the next two characters, or ``None`` if the text has no number.

    Example:
        >>> find_number("16 - 3 - 4 = 9 eggs").value
        '9'
    """
    folded = _fold(text)
    matches: Iterable[re.Match[str]] = _CHUNK.finditer(folded)
    if which == "last":
        matches = reversed(deque(matches, maxlen=_MAX_CHUNKS))
    for match in matches:
        values = _numbers(match)
        if values:
            return _found(folded, match, values, 0 if which == "first" else len(values) - 1)
    return None


def normalize_number(text: str) -> str | None:
    """Returns the canonical spelling of the only number in a text.

    Two texts have the same canonical spelling exactly if their numbers are equal (for fractions: up to 18 digits above
    and below the line). A fraction with an exact decimal form takes that form.

    Args:
        text: A number, possibly with a currency sign, a unit or other words.

    Returns:
        Digits with an optional leading ``-`` and decimal part, or ``n/d`` in lowest terms; ``None`` if the text holds
        no number or more than one.

    Example:
        >>> [normalize_number(text) for text in ("$1,000", "1000.0", "-3.50", "2/6", "5 or 6")]
        ['1000', '1000', '-3.5', '1/3', None]
    """
    folded = _fold(text)
    only: FoundNumber | None = None
    for match in _CHUNK.finditer(folded):
        values = _numbers(match)
        if len(values) > 1 or (values and only is not None):
            return None
        if values:
            only = _found(folded, match, values, 0)
    return None if only is None else only.value
