r"""Numbers in text: where they are, and the one spelling in which equal numbers are equal.

A number is read whole or not at all: **no part of a longer number, quantity, date or formula is ever taken for it**.
Numbers that belong together are one *expression*; an expression that is not one number abstains, and no other number
of the text is tried in its place. Every step is linear in the length of the text. What is read, and how:

- **Digits** of any script, with a decimal point; thousands in groups set off by commas (also as in ``1,00,000``),
  apostrophes, underscores, (narrow) no-break or thin spaces (also LaTeX's ``\,`` and ``{,}``), or plain spaces where
  the first group has one or two digits (``12 345``; ``100 200`` can be a list).
- **Decimal sign**: the point. ``1,234`` is 1234; ``0,75``, ``3,5``, ``1,2,3`` and ``1.234,56`` abstain. With
  ``decimal=","`` it is the comma: ``0,75`` is 0.75, ``1.234`` is 1234, ``1.234,56`` is 1234.56, and ``3.5`` abstains.
- **Sign**: a minus of any style that touches the number, its currency sign or its markup, or a word such as "minus" or
  "negative". With a space behind it, it is a minus behind ``=`` or an opening bracket, and else abstains. A dash behind
  a letter (``GPT-4``) abstains, as do ``±5``, ``--5`` and ``5-``.
- **Powers and fractions**: ``2.5e3``, ``2.5 × 10^3``, ``10³``, ``10**3``, ``10^{-3}``; ``3/4``, ``½``, ``2 1/2``,
  ``\frac{3}{4}``. Other powers (``5 squared``), roots, factorials in formulas, multiples of π and of variables
  (``5x``), recurring decimals and operands (``5 + x``, ``half of 10``) abstain, as does a denied number (``not 5``).
- **Dropped around the number**: currency, percent, units with their exponents (``25 cm²``, ``m^2``), words, bounds and
  approximation (``≈5``, ``>5``, ``5+`` are 5), Markdown, HTML and LaTeX markup, quotes and brackets.
- **Multiplied**: hundred, thousand, million, billion (10⁹), trillion, lakh, crore, 万 and 亿, as in ``2 million``.
  Abbreviations that can be units (``5k``, ``5M``, ``5 bn``), "dozen" and scales of other languages abstain.
  Number words are not read.
- **Round brackets** around an unsigned number and nothing else abstain: ``(1,234)`` is minus 1234 in accounting.
- **Equations**: of ``2 + 3 = 5`` and ``x = 5`` the last side counts, if it is one number, else the first one.
- **Abstains**: ranges and lists (``3-4``, ``3 to 4``, ``5 or 6``, ``1, 2``), shares (``3 of 5``, ``3 out of 5``,
  ``3 in 5``), ratios and times (``10:30``), dates, phone numbers, versions (``1.2.3``), hexadecimal numbers, and
  calculations without a result.
- **Names** are passed over: digits behind a letter, an underscore or a caret (``H2O``, ``CO₂``, ``x_1``, ``m^2``).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Literal, NamedTuple

from promptkit.parsing.number_text import fold_numbers
from promptkit.parsing.number_tokens import Token, scan_tokens

__all__ = [
    "WINDOW",
    "Expression",
    "FoundNumber",
    "closes_number",
    "find_expressions",
    "find_number",
    "fold_window",
    "normalize_number",
    "shorten",
]

WINDOW = 10_000
_EDGE = 200
_LONGEST = 200  # numbers in one expression; a longer one is not looked at to its end, and abstains
_BARE_SIGNS = r"[ \u00a0]?(?:[-+±])?[$¢-¥֏؋৲৳৻૱௹฿៛₠-⃏﷼]?[-+]?"
_SIGNS = _BARE_SIGNS + r"[{\[(*]{0,3}"
_UNIT = r"[ \u00a0]?[%°'\"′″!)\]}]{0,3}(?:[ \u00a0]?[A-Za-zµμΩ°€£][A-Za-zµμΩ°/^0-9-]{0,15}){0,2}[)\]}]{0,3}"
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\.?"
_EQUALS = re.compile(
    rf"(?!.*\b(?:and|or|und|oder|et|ou)\b){_UNIT}[ \u00a0]?(?:={{1,3}}>?|≈|>>)[ \u00a0]?(?:≈|<<)?{_SIGNS}"
)
_GAP = r"[ \u00a0{}(]{0,4}"
_TO = (
    r"to|or|nor|bis|oder|ou|à|или|to the|to the power(?: of)?|remainder|rem\.?|r|by|through|until|vs\.?|versus|and/or"
    r"|plus|minus|times|mod|choose|over|point|(?:divided|multiplied)[ ]by"
)
_HEDGE = r"(?:(?:about|around|roughly|nearly|almost|maybe|perhaps|possibly|even|etwa|vielleicht) )?"
_COMPOUND = (
    r"h|hrs?|hours?|d|days?|min|mins|minutes?|sec|seconds?|ft|feet|foot|lbs?|pounds?|years?|yrs?|weeks?|months?|dollars?|"
    r"euros?|km|m|kilomet(?:er|re)s?|met(?:er|re)s?|cm|kg|g|kilos?|kilograms?|grams?|miles?|yards?|gallons?|gal|quarts?|"
    r"dozen|tens|hundreds|stunden?|std|minuten?|tage?|jahre?|wochen?|heures?|horas?|ч|час(?:а|ов)?|[°º′']|"
    r"小时|小時|分钟|分鐘|[年月日时時分点點元块塊角米尺斤公斤克天周]"
)
_LINKS = re.compile(
    "|".join(
        (
            rf"[ \u00a0]:[ \u00a0]{_SIGNS}",  # a ratio
            # an operator, a range or an alternative, perhaps with a unit before it
            rf"{_UNIT}{_GAP}(?:\*\*|->|[-+×·÷*/^|&±~—→√πxX或至到和]|\b(?:{_TO})\b)[ \u00a0{{}}]{{0,4}}{_HEDGE}{_SIGNS}",
            # a list
            rf"[ \u00a0]?%?[)\]]?(?:[,;、&]|,?{_GAP}\b(?:and|or|und|oder|et|ou|y|e|og|och)\b)[ \u00a0{{}}]{{0,4}}"
            rf"{_HEDGE}{_SIGNS}",
            rf"[)\]}}%]{{0,2}}[ \u00a0-]*(?<=.){_BARE_SIGNS}",  # nothing but space between
            rf"[ \u00a0]?(?:{_COMPOUND})\.?,?[ \u00a0]?(?:and[ ])?{_SIGNS}",  # 5 ft 3 in
            # x = 1, y = 2
            rf"[ \u00a0]?(?:[,;]|(?:and|or|und|oder|et|ou)\b){_GAP}(?:(?:and|or) )?[A-Za-z]{{1,2}}"
            rf"(?:_\{{?\w{{1,2}}\}}?)?[ \u00a0]?={_SIGNS}",
            rf"[ \u00a0]?[<>≤≥]{{1,2}}[ \u00a0]?[A-Za-z][ \u00a0]?[<>≤≥]{{1,2}}{_SIGNS}",  # 1 < x < 5
            r"[ ]?\[",  # a note, or another number
            rf"(?:st|nd|rd|th)?[ \u00a0]{{0,2}}(?:of )?{_MONTH},?[ \u00a0]",  # a date
            r"[^\w\s=≈]{1,8}",  # signs that touch both numbers
        )
    ),
    re.IGNORECASE,
)
_OF = re.compile(
    r"[ \u00a0]?%?[ ]?(?:[a-z]{1,12} )?(?:(?:out )?of(?: the| every)?|von|sur|de) "
    r"|[ \u00a0](?:in(?: every)?|per|pro|for every) ",
    re.IGNORECASE,
)
_LONGEST_LINK = 40
_SCALE_STARTS = "|".join(
    word[:size]
    for word in ("hundred", "thousand", "million", "billion", "trillion", "or", "to")
    for size in range(1, len(word))
)
_OPEN_END = re.compile(
    rf"[ \u00a0]*(?:,?|[-+×·÷*/^:~—=≈xXeE][ \u00a0]*(?:1|10)?[ \u00a0]*\^?|-?(?:{_SCALE_STARTS}))", re.IGNORECASE
)
_PHONE = re.compile(r"[ ]?\(")
_PHONE_REST = re.compile(r"\)[ -]?[0-9]")


class FoundNumber(NamedTuple):
    """A number found in a text.

    Attributes:
        value: The canonical spelling.
        rest: The text behind the number, in folded spelling; empty where the number ends the text.
    """

    value: str
    rest: str


class Expression(NamedTuple):
    """Numbers that belong together.

    Attributes:
        value: The canonical spelling of the one number that the expression says, or ``None``.
        token: That number, or the first one.
        tokens: How many numbers it has.
        end: Where it ends in the folded text.
        scale: Whether the number is one "of" or "out of" another, as in ``4 out of 5``.
    """

    value: str | None
    token: Token
    tokens: int
    end: int
    scale: bool


def find_expressions(folded: str) -> Iterator[Expression]:
    """Yields the expressions of a text in their order.

    Args:
        folded: A text in the spelling of ``fold_numbers``.

    Yields:
        One expression after the other.
    """
    sides: list[list[Token]] = [[]]
    before: Token | None = None
    scale = False
    for token in scan_tokens(folded):
        link = None if before is None else _link(folded, before, token)
        if before is not None and link is None:
            yield _resolve(sides, before.end, scale)
            sides, scale = [[]], False
        elif link == "=":
            sides.append([])
        if link == "of" and not scale and len(sides) == 1 and len(sides[0]) == 1:
            scale = True
        elif len(sides) + len(sides[-1]) < _LONGEST:
            sides[-1].append(token)
        before = token
    if before is not None:
        yield _resolve(sides, before.end, scale)


def _link(text: str, before: Token, token: Token) -> str | None:
    """Tells how two numbers that follow each other belong together: ``=``, ``of``, ``other``, or not at all."""
    between = text[before.end : token.start]
    if len(between) > _LONGEST_LINK or "\n" in between:
        return None
    if _EQUALS.fullmatch(between):
        return "="
    if _OF.fullmatch(between):
        return "of"
    if _LINKS.fullmatch(between) or (_PHONE.fullmatch(between) and _PHONE_REST.match(text, token.end)):
        return "other"
    return None


def _resolve(sides: list[list[Token]], end: int, scale: bool) -> Expression:
    """Reads an expression: its only number, or one side of its equation."""
    tokens = sum(map(len, sides))
    for side in (sides[-1], sides[0]):
        if len(side) == 1 and tokens < _LONGEST:
            return Expression(side[0].value, side[0], tokens, end, scale)
    return Expression(None, sides[0][0], tokens, end, scale)


def find_number(text: str, which: Literal["first", "last"] = "last", decimal: str = ".") -> FoundNumber | None:
    """Finds the first or the last number of a text.

    Args:
        text: Any text. Of a long one 10,000 characters at its start or its end are looked at.
        which: Which number to return.
        decimal: The decimal sign, ``"."`` or ``","``; the canonical spelling has it too.

    Returns:
        The number and the text behind it, or ``None`` if the text has no number, or what looks like its first (last)
        one cannot be read as one number.

    Example:
        >>> find_number("16 - 3 - 4 = 9 eggs").value
        '9'
        >>> [find_number(text) for text in ("3-5", "10:30", "2^n", "5 or 6")]
        [None, None, None, None]
    """
    folded, cut = fold_window(text, which, decimal)
    expressions = find_expressions(folded)
    if which == "first":
        found = next(expressions, None)
        if found is not None and cut and found.end > len(folded) - _LONGEST_LINK:
            return None  # it may go on
    else:
        kept = list(deque(expressions, maxlen=2))
        found = kept[-1] if len(kept) > cut else None  # the first one of what is left may have begun before it
    if found is None or found.value is None or found.token.enclosed or found.scale:
        return None
    return FoundNumber(_localized(found.value, decimal), folded[found.end : found.end + 40])


def fold_window(text: str, which: Literal["first", "last"], decimal: str) -> tuple[str, bool]:
    """Spells one end of a text plainly: 10,000 characters.

    Args:
        text: Any text.
        which: Which end.
        decimal: The decimal sign.

    Returns:
        The text in the spelling of ``fold_numbers``, and whether something of it was left out.
    """
    folded = fold_numbers(shorten(text, which), decimal)
    return shorten(folded, which), max(len(text), len(folded)) > WINDOW


def shorten(text: str, which: Literal["first", "last"]) -> str:
    """Returns one end of a text: at most 10,000 characters, without what may be a part of a word at the edge.

    Args:
        text: Any text.
        which: Which end.

    Example:
        >>> len(shorten("spammer " * 5_000, "first")), len(shorten("spammer " * 5_000, "last"))
        (10000, 9993)
    """
    if len(text) <= WINDOW:
        return text
    if which == "first":
        return text[: WINDOW - _EDGE] + re.sub(r"\S+$", "", text[WINDOW - _EDGE : WINDOW])
    return re.sub(r"^\S+", "", text[-WINDOW : _EDGE - WINDOW]) + text[_EDGE - WINDOW :]


def normalize_number(text: str, decimal: str = ".") -> str | None:
    """Returns the canonical spelling of the only number in a text.

    Two texts have the same canonical spelling exactly if their numbers are equal (for fractions: up to 18 digits above
    and below the line). A fraction with an exact decimal form takes that form.

    Args:
        text: A number, possibly with a currency sign, a unit or other words.
        decimal: The decimal sign, ``"."`` or ``","``; the canonical spelling has it too.

    Returns:
        Digits with an optional leading ``-`` and decimal part, or ``n/d`` in lowest terms; ``None`` if the text holds
        no number or more than one.

    Example:
        >>> [normalize_number(text) for text in ("$1,000", "1000.0", "-3.50", "2/6", "25 cm²", "5 or 6")]
        ['1000', '1000', '-3.5', '1/3', '25', None]
        >>> normalize_number("1.234,50 €", decimal=",")
        '1234,5'
    """
    tokens = list(islice(scan_tokens(fold_numbers(text, decimal)), 2))
    if len(tokens) != 1 or tokens[0].value is None or tokens[0].enclosed:
        return None
    return _localized(tokens[0].value, decimal)


def closes_number(rest: str) -> bool:
    r"""Tells whether a number that was cut off behind ``rest`` was complete.

    Args:
        rest: The text after the number, in folded spelling.

    Returns:
        False if digits, a power, a sign of an operation or a word such as "million" could have followed; a point
        closes a sentence.

    Example:
        >>> [closes_number(rest) for rest in ("", ",", " ", " mil", " ×", ".", " eggs", "\n")]
        [False, False, False, False, False, True, True, True]
    """
    return _OPEN_END.fullmatch(rest) is None


def _localized(value: str, decimal: str) -> str:
    """Writes a canonical number with the decimal sign of the setting."""
    return value.replace(".", decimal)
