"""Single numbers of a folded text: each whole, with its sign, power and scale, or marked as unreadable."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from promptkit.parsing.number_text import FORMULA
from promptkit.parsing.number_values import MAX_EXPONENT, spell_decimal, spell_fraction

__all__ = ["Token", "scan_tokens"]

_LAST_SPACED_LETTER = 0x2E80  # from here on scripts write without spaces, so a dash behind a letter can be a sign
_TRAILING = ".,/'’_\u00a0"  # behind a number these are punctuation
_VARIABLE = r"[abeijnqxyz](?![A-Za-z])"
_LETTER = r"A-Za-zªµºÀ-ÖØ-öø-ʯͰ-ԯḀ-῿"  # scripts that do not touch a number they do not belong to
_CURRENCY = r"$¢-¥֏؋৲৳৻૱௹฿៛₠-⃏﷼"
_MONEY = (
    rf"(?:(?:(?<![A-Za-z])[A-Z]{{1,3}})?[{_CURRENCY}][ \u00a0]?"
    rf"|(?<![A-Za-z])[A-Z]{{3}}[ \u00a0]?|(?<![A-Za-z])Rs\.?[ ]?)"
)
_SPACE = "[ \u00a0]"

_TOKEN = re.compile(
    # an index or exponent of something that is no number, digits of a name, and a formula that is no number
    rf"(?P<skipped>(?:[\^_][{{(]{{0,2}}[-+]?|(?<=[{_LETTER}]))\d(?:[\d.,/'’_\u00a0]|[:-](?=\d))*+)|(?P<formula>{FORMULA})"
    rf"|(?<![{_LETTER}\d_])(?<!\d\.)(?P<whole>\d{{1,18}}{_SPACE}(?=\d{{1,18}}/\d))?"
    # thousands set off by plain spaces; else all that a number can be written with
    r"(?P<chunk>[1-9]\d?(?: \d{3})++(?:\.\d++)?(?![.,'’_/\u00a0]?\d)|(?:(?<!\.)\.)?\d[\d.,/'’_\u00a0]*+)"
    r"(?P<exponent>[eE][-+]?\d++)?",
    re.ASCII,
)
_POWER_OF_TEN = re.compile(
    rf"[)\]}}]?{_SPACE}?(?P<times>(?:×|·|\*|[xX]){_SPACE}?10)?{_SPACE}?(?:\^|\*\*){_SPACE}?[{{(]{{0,2}}"
    rf"(?P<sign>[-+]?)(?P<power>\d++)(?![.,/]\d)[)}}]{{0,2}}",
    re.ASCII,
)
_ROOT = re.compile(r"[√∛∜][\[{( ]*$")
_OPERAND = re.compile(
    rf"(?:[\w)\]}}](?:[+×÷·^]|\*\*?)|[\w)\]}}]{_SPACE}[-+×÷·^*]{_SPACE}|[×÷·^/]{_SPACE}?|{_SPACE}/{_SPACE})$"
)
_SIGN = re.compile(rf"(?P<sign>[-+±—]*)(?P<gap>{_SPACE}*)(?:{_MONEY}(?P<inner>(?<![A-Z])-)?)?[\[{{(\"'“‘*`$]*$")
_EXPECTS_SIGN = re.compile(rf"[=≈({{\[]{_SPACE}*$")  # a minus behind it is no dash, even with a space behind the minus
_NEGATED = re.compile(r"-[({\[ ]{1,3}$")
_SIGN_WORD = re.compile(
    rf"(?:(?<![{_LETTER}])(?:minus|negative|negativ|moins|menos|meno|минус)[ -]|[负負]|零下|マイナス)[\"'“*{{]*$",
    re.IGNORECASE,
)
_BARE_COMMA = re.compile(r"(?<![\w)\]}\"'%”’»])[,]$")
_FUNCTION = re.compile(
    r"(?<![A-Za-z])(?:sqrt|cbrt|root|log|ln|lg|exp|sin|cos|tan)(?:_\{?\w{1,4}\}?|\d{1,3})?[ ({\[]{0,3}$", re.IGNORECASE
)
_PERCENT = re.compile(rf"{_SPACE}?[%‰]")
_UNFINISHED = re.compile(  # a denied number, or one that another still has to be made of
    rf"(?:n['’]t|(?<![{_LETTER}])(?:not|nor|never|rather than|instead of|nicht|ni|(?:square|cube) root of|half(?: of)?"
    rf"|twice|thrice|double|triple|treble))[ \"'“(\[]{{1,3}}[{_CURRENCY}]?[-+]?$",
    re.IGNORECASE,
)
_OPEN = re.compile(rf"\({_SPACE}?(?:{_MONEY})?$")
_CLOSE = re.compile(rf"{_SPACE}?(?:%|[{_CURRENCY}]|{_SPACE}[A-Z]{{3}})?{_SPACE}?\)")
_UNREADABLE_REST = re.compile(
    "|".join(
        (
            r"[.,]?\d",
            r"[xX][0-9A-Fa-f]{2,}(?![A-Za-z])",
            # 12 and a half
            rf"{_SPACE}(?:and|&){_SPACE}(?:an?|\w{{3,6}})[ -](?:hal(?:f|ves)|thirds?|quarters?|[a-z]+ths?)(?![a-z])",
            rf"[{_LETTER}]{{1,20}}\d",  # 0x1F, 2x4
            rf"[)\]}}]{{0,3}}{_SPACE}?(?:\^|\*\*(?=\w))",  # powers that are not of ten
            rf"{_SPACE}?[√π∛∜{FORMULA}]",
            rf"(?:{_SPACE}|\.)?[eE][-+]?\d",
            r"_[{\w]",  # a number to another base
            r"[\u0300-\u036f]",  # a line above recurring digits, or through a number
            rf"-(?:(?![A-Za-z])|{_VARIABLE})",
            rf"{_VARIABLE}|[xyzab]{{2,3}}(?![A-Za-z])",  # 5x, 2ab
            r"![}$/*×·^]",  # a factorial, where an exclamation is not likely
            rf"{_SPACE}(?:squared|cubed|factorial|dozen|tens|repeating|recurring|halves|thirds|(?:fif|six|seven|eigh|nin|ten)ths)"
            r"(?![a-z])",
            # scales of other languages
            rf"{_SPACE}?(?i:tausend|hundert|milliarde|mille|mill[oó]n|milh[ãa]o|milh[õo]es|bilh|тыс|млн|млрд|милли|[만억조])",
            rf"{_SPACE}?°?{_SPACE}?(?:[CF]{_SPACE}|degrees?{_SPACE})?below{_SPACE}zero",
            rf"{_SPACE}[+×÷·*]{_SPACE}?[A-Za-z(]|[×÷·+*]\(|[×÷·+][A-Za-z]|\*[A-Za-z]|{_SPACE}-{_SPACE}[A-Za-z](?![A-Za-z])",
            r"[kKMBT](?![A-Za-z])|(?i:bn|mn|tn|mio|mrd|mln)(?![A-Za-z])",
            rf"{_SPACE}(?:(?i:bn|mn|tn|mil|mio|mrd|mln)|M|k|tenths?|hundredths?|thousandths?|millionths?)(?![A-Za-z])",
            r"[千百](?![克米瓦卡])",
        )
    ),
    re.ASCII,
)
_UNREADABLE_MONEY_REST = re.compile(r"[mb](?![A-Za-z])")  # $5m
_SCALES = {
    "hundred": 2,
    "thousand": 3,
    "million": 6,
    "billion": 9,
    "trillion": 12,
    "lakh": 5,
    "crore": 7,
    "millionen": 6,
    "milliarden": 9,
    "milliards": 9,
    "millones": 6,
    "万": 4,
    "萬": 4,
    "亿": 8,
    "億": 8,
}
_SCALE = re.compile(
    rf"(?:{_SPACE}|-)?(?P<scale>(?:hundred|thousand|million|billion|trillion|lakh|crore)(?=s?(?![a-z]))|"
    rf"(?:millionen|milliarden|milliards|millones)(?![a-z])|[万萬亿億])s?"
    rf"(?P<more>{_SPACE}?(?:\d|[万萬亿億]|hundred|thousand|lakh|crore|[a-z]{{1,4}}illi))?",
    re.IGNORECASE | re.ASCII,
)


class Token(NamedTuple):
    """One number, or something that looks like one.

    Attributes:
        value: Its canonical spelling, or ``None`` if it is not one number that can be read.
        plain: The number as it is written, if it is a sign, digits and a point and nothing else.
        start: Where it starts in the folded text, its sign and currency left aside.
        end: Where it ends, its power and scale included.
        enclosed: Whether round brackets hold it and nothing else.
    """

    value: str | None
    plain: str | None
    start: int
    end: int
    enclosed: bool


def scan_tokens(text: str) -> Iterator[Token]:
    """Yields the numbers of a text in their order.

    Args:
        text: A text in the spelling of ``fold_numbers``.

    Yields:
        One token after the other; digits that belong to a name, an index or a unit's exponent are passed over.
    """
    place = 0
    while match := _TOKEN.search(text, place):
        place = match.end()
        if match["skipped"]:
            continue
        if match["formula"]:
            yield Token(None, None, match.start(), place, False)
            continue
        token = _token(text, match)
        place = token.end
        yield token


def _token(text: str, match: re.Match[str]) -> Token:
    """Reads one number with its context."""
    start = match.start()
    chunk = match["chunk"].rstrip(_TRAILING)
    trimmed = len(match["chunk"]) - len(chunk)
    end = match.end("chunk") - trimmed
    value: str | None
    if match["exponent"] and not trimmed:
        value, end = _times_ten(chunk, match["exponent"][1:]), match.end()
    else:
        value, end = _magnitude(text, chunk, match["whole"], end)
    minus = _minus(text, start)
    window = text[max(0, start - 12) : start]
    recurring = "." in chunk and match["chunk"][len(chunk) :].startswith(("..", ",,"))
    if value is None or minus is None or recurring or _BARE_COMMA.search(window) or _is_part(text, start, end):
        return Token(None, None, start, end, False)
    written = (
        match.end() == end + trimmed
        and not _PERCENT.match(text, end)
        and re.fullmatch(r"\d+(?:\.\d+)?", text[start:end], re.ASCII)
    )
    plain = ("-" if minus else "") + text[start:end] if written else None
    enclosed = not minus and bool(_OPEN.search(window)) and _CLOSE.match(text, end) is not None
    return Token("-" + value if minus and value != "0" else value, plain, start, end, enclosed)


def _magnitude(text: str, chunk: str, whole: str | None, end: int) -> tuple[str | None, int]:
    """Returns the unsigned value of a number without a sign, and where it ends."""
    power = _POWER_OF_TEN.match(text, end)
    if power is not None and (power["times"] or chunk == "10"):
        mantissa = chunk if power["times"] else "1"
        return _times_ten(mantissa, power["sign"] + power["power"]), power.end()
    scale = _SCALE.match(text, end)
    if scale is not None:
        return (None if scale["more"] else spell_decimal(chunk, _SCALES[scale["scale"].lower()])), scale.end()
    if "/" in chunk:
        parts = chunk.split("/")
        return (spell_fraction(parts[0], parts[1], (whole or "").strip()) if len(parts) == 2 else None), end
    return spell_decimal(chunk), end


def _times_ten(mantissa: str, power: str) -> str | None:
    """Multiplies by a power of ten, unless it is absurd."""
    return spell_decimal(mantissa, int(power)) if len(power) <= 8 and abs(int(power)) <= MAX_EXPONENT else None


def _minus(text: str, start: int) -> bool | None:
    """Tells whether a minus precedes a number; ``None`` if it cannot be told from a dash."""
    window = text[max(0, start - 24) : start]
    word = _SIGN_WORD.search(window)
    if word is not None:
        return True
    match = _SIGN.search(window)
    if match is None:
        return False
    sign, inner = match["sign"], match["inner"] or ""
    before = window[match.start("sign") - 1 : match.start("sign")]
    if inner:
        return None if sign else True
    if sign in ("", "+"):
        return False
    if _NEGATED.search(window[: match.start("sign")]):
        return None  # -(-5)
    if sign == "—":
        return None if not match["gap"] and (not before or before.isspace()) else False
    if sign != "-":
        return None
    if match["gap"]:
        return True if _EXPECTS_SIGN.search(window[: match.start("sign")]) else None
    if not before or before.isspace():
        return True
    return None if before in ")]}%" or (before.isalnum() and ord(before) < _LAST_SPACED_LETTER) else True


def _is_part(text: str, start: int, end: int) -> bool:
    """Tells whether a number is only a part of a longer token."""
    window = text[max(0, start - 12) : start]
    if any(one.search(window) for one in (_ROOT, _OPERAND, _FUNCTION)) or _UNREADABLE_REST.match(text, end):
        return True
    if _UNFINISHED.search(text[max(0, start - 24) : start]):
        return True
    return bool(re.search(rf"[{_CURRENCY}]$", window)) and _UNREADABLE_MONEY_REST.match(text, end) is not None
