"""The one spelling in which equal numbers are equal. All work is on digits as text, so no digit is lost."""

from __future__ import annotations

import re
from fractions import Fraction

__all__ = ["MAX_EXPONENT", "spell_decimal", "spell_fraction"]

MAX_EXPONENT = 400  # a longer power of ten is a memory bomb, not an answer
_MAX_FRACTION_DIGITS = 18  # beyond it a greatest common divisor is no longer linear work
_GROUPED = (
    r"[1-9]\d{0,2}(?:,\d{3})++|[1-9]\d{0,2}(?:'\d{3})++|[1-9]\d{0,2}(?:’\d{3})++|[1-9]\d{0,2}(?:_\d{3})++"
    r"|[1-9]\d{0,2}(?:\u00a0\d{3})++|[1-9]\d?(?: \d{3})++|[1-9]\d?(?:,\d\d)+,\d{3}|\d++"
)
_DECIMAL = re.compile(rf"(?P<whole>{_GROUPED})?(?:\.(?P<part>\d++))?", re.ASCII)


def spell_decimal(text: str, exponent: int = 0) -> str | None:
    """Returns the canonical unsigned form of a decimal number.

    Args:
        text: Digits with an optional decimal point, thousands perhaps in groups.
        exponent: The power of ten that multiplies it, from -400 to 400.

    Returns:
        Digits without needless zeros; ``None`` if the text is no such number.

    Example:
        >>> spell_decimal("1,234.50"), spell_decimal("2.5", 3), spell_decimal("0,75")
        ('1234.5', '2500', None)
    """
    match = _DECIMAL.fullmatch(text)
    if match is None or not text:
        return None
    whole, part = match["whole"] or "", match["part"] or ""
    for mark in ",'’_\u00a0 ":
        whole = whole.replace(mark, "")
    if exponent > 0:
        whole, part = whole + part[:exponent].ljust(exponent, "0"), part[exponent:]
    elif exponent < 0:
        padded = whole.rjust(-exponent, "0")
        whole, part = padded[:exponent], padded[exponent:] + part
    whole, part = whole.lstrip("0") or "0", part.rstrip("0")
    return f"{whole}.{part}" if part else whole


def spell_fraction(above: str, below: str, whole: str = "") -> str | None:
    """Returns the canonical unsigned form of a fraction with an optional whole number before it.

    Args:
        above: A decimal number in any spelling that ``spell_decimal`` knows.
        below: The same.
        whole: Digits.

    Returns:
        A decimal number where that is exact, else ``n/d`` in lowest terms (beyond 18 digits: as it is); ``None`` if
        one of the texts is no number, or the lower one is zero.

    Example:
        >>> spell_fraction("3", "4"), spell_fraction("2", "6", "1"), spell_fraction("1", "0")
        ('0.75', '4/3', None)
    """
    upper, lower = spell_decimal(above), spell_decimal(below)
    if upper is None or lower is None or lower == "0":
        return None
    if max(len(upper), len(lower)) > _MAX_FRACTION_DIGITS:
        return None if whole else f"{upper}/{lower}"
    return _spell(Fraction(upper) / Fraction(lower) + int(whole or 0))


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
    spelled = spell_decimal(f"{scaled[: len(scaled) - digits]}.{scaled[len(scaled) - digits :]}" if digits else scaled)
    return spelled or "0"
