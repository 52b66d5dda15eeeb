"""Figures as people read them, and texts in which nothing is hidden."""

from __future__ import annotations

import json
import math
import re
from typing import Any

__all__ = [
    "as_json",
    "count",
    "cut",
    "duration",
    "plain",
    "score",
    "short",
    "short_duration",
    "signed",
    "size",
    "visible",
]

_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_NONE = "\u2013"


def visible(text: str) -> str:
    r"""Shows control characters and lone surrogates, which no HTML can hold, as escapes.

    Args:
        text: Any text.

    Returns:
        The text; line breaks and tabs stay.

    Example:
        >>> print(visible("a\x00b \ud800"))
        a\x00b \ud800
    """
    return _HIDDEN.sub(lambda found: ascii(found[0])[1:-1], text)


def score(value: float | None) -> str:
    """Three digits after the point, as ``0.912``."""
    return _NONE if value is None else f"{value:.3f}"


def signed(value: float | None) -> str:
    """The same with its sign, as ``+0.012``."""
    return _NONE if value is None else f"{value:+.3f}"


def count(value: float) -> str:
    """A number with commas; small ones keep a digit after the point.

    Example:
        >>> count(12345), count(38.66), count(20.0)
        ('12,345', '38.7', '20')
    """
    if isinstance(value, int) or not math.isfinite(value):
        return f"{value:,}"
    return f"{value:,.0f}" if value >= 100 or value == round(value) else f"{value:,.1f}"


def duration(seconds: float) -> str:
    """A time in the unit that suits it.

    Example:
        >>> [duration(x) for x in (0, 0.0004, 0.012, 4.27, 192, 7500)]
        ['0 s', '0.40 ms', '12 ms', '4.3 s', '3 min 12 s', '2 h 5 min']
    """
    if not math.isfinite(seconds) or seconds <= 0:
        return "0 s" if seconds == 0 else str(seconds)
    if seconds < 0.9995:
        return f"{1000 * seconds:.0f} ms" if seconds >= 0.01 else f"{1000 * seconds:.2f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(n: int) -> str:
    """A number of bytes, as ``1.5 MB``."""
    if n < 1000:
        return f"{n} B"
    value = n / 1000 if n < 10**18 else float("inf")
    for unit in ("kB", "MB", "GB"):
        if value < 999.5:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:,.3g} TB"


def short(value: float) -> str:
    """A number at an axis.

    Example:
        >>> [short(x) for x in (0.5, 20, 1000, 2.5e6, 1e10)]
        ['0.5', '20', '1k', '2.5M', '10G']
    """
    for limit, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.4g}{sign}"
    return f"{value:.4g}"


def short_duration(seconds: float) -> str:
    """A time at an axis.

    Example:
        >>> [short_duration(x) for x in (0.002, 5, 100, 20_000)]
        ['2 ms', '5 s', '100 s', '20k s']
    """
    return f"{1000 * seconds:.4g} ms" if 0 < seconds < 1 else f"{short(seconds)} s"


def plain(value: object) -> str:
    """A word of the schema as people write it: ``left_out`` is left out."""
    return str(value).replace("_", " ")


def cut(text: str, limit: int) -> str:
    """Cuts a text that is longer than a limit, and says how long it is.

    Example:
        >>> cut("abcdef", 3)
        'abc … (6 characters)'
    """
    return text if len(text) <= limit else f"{text[:limit]} … ({len(text):,} characters)"


def as_json(value: Any) -> str:
    """Plain data as indented JSON, cut where it is long."""
    return cut(json.dumps(value, ensure_ascii=False, indent=1), 6000)
