r"""Numbers in plain spelling: digits, signs, separators and powers of any script, HTML and LaTeX in ASCII.

The result is for ``promptkit.parsing.numbers`` alone. It keeps the order of the text and uses a few characters beyond
ASCII: the no-break space for spaces that set off thousands, ``×``, ``·`` and ``÷`` for operators, ``≈``, ``±``, the
em dash for dashes that are no minus, ``√`` and ``π``, and the object replacement character for a formula that is no
plain number.
"""

from __future__ import annotations

import re
import unicodedata

from promptkit.parsing.markup import strip_emphasis, strip_tags

__all__ = ["FORMULA", "fold_numbers"]

FORMULA = "\ufffc"
_GROUPING_SPACES = "\u00a0\u2006\u2007\u2008\u2009\u200a\u202f"
_MINUS = "\u2010\u2011\u2012\u2013\u2212\u02d7\u2796\ufe63\uff0d\u207b\u208b"
_KEYCAP = "\ufe0e\ufe0f\u20e3"
_SPECIAL = {
    "\u066b": "\ue000",  # the Arabic signs say themselves what they are, whatever the setting
    "\u066c": "\ue001",
    "\u2044": "/",
    "\u2215": "/",
    "\u2116": "No. ",
    "\u2043": "—",
    **dict.fromkeys("✕✖⨯", "×"),
    **dict.fromkeys("⋅∙・･", "·"),
    **dict.fromkeys("∓", "±"),
    **dict.fromkeys("≃≅≒≡∼", "≈"),
    **dict.fromkeys("〜", "~"),
}
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉₊₋", "0123456789+-")
_SUPER = re.compile("[⁰¹²³⁴-⁹⁺⁻]+")
_SUB = re.compile("[₀-₉₊₋]+")
_VULGAR = "¼½¾⅐-⅞↉"
_BESIDE_VULGAR = re.compile(rf"(?<=\d)(?=[{_VULGAR}])|(?<=[{_VULGAR}])(?=[\d{_VULGAR}])")
_SWAP = str.maketrans(".,", ",.")

_ARGUMENT = r"\{\s*([-+]?\d[\d.,\u00a0]{0,40})\s*\}|(\d)"
_FRACTION = re.compile(rf"(?P<digit>(?<=\d)\s?)?\\[dtc]?frac\s*(?:{_ARGUMENT})\s*(?:{_ARGUMENT})")
_ANY_FRACTION = re.compile(r"\\[dtc]?frac\s*\{[^{}\n]{0,200}\}\s*\{[^{}\n]{0,200}\}")
_LATEX_SPACE = re.compile(r"\\(?:[,;:> ]|(?:thin|med|thick)space(?![a-zA-Z])\s?)")
_ESCAPED = re.compile(r"\\([-+.*#$%&_{}~`|<])")
_COMMAND = re.compile(r"\\([a-zA-Z]+)\*?")
_DROPPED = (
    "boxed fbox text textbf textit textrm texttt mathrm mathbf mathit mathsf mathtt rm bf it left right big Big bigl "
    "bigr Bigl Bigr displaystyle textstyle emph underline num SI si unit qty mbox color ensuremath tfrac limits"
).split()
_COMMANDS = {
    **dict.fromkeys(_DROPPED, ""),
    **{name: " " for name in ("quad", "qquad")},
    **{name: "°" for name in ("circ", "degree", "textdegree")},
    **{name: "≈" for name in ("approx", "simeq", "sim", "cong", "equiv")},
    **{name: "→" for name in ("rightarrow", "Rightarrow", "to", "implies", "therefore", "longrightarrow")},
    **{name: "..." for name in ("ldots", "dots", "cdots")},
    **{name: "<" for name in ("leq", "le", "lt", "leqslant")},
    **{name: ">" for name in ("geq", "ge", "gt", "geqslant")},
    "times": "×",
    "cdot": "·",
    "div": "÷",
    "pm": "±",
    "mp": "±",
    "sqrt": "√",
    "pi": "π",
    "pounds": "£",
    "euro": "€",
    "percent": "%",
    "minus": "-",
}
_RAISED_UNIT = re.compile(r"\^\s?\{?\s?(°|(?:st|nd|rd|th)(?![a-zA-Z]))\s?\}?")
_SCRIPT_TAG = re.compile(r"<su(?P<kind>[pb])>\s*(?P<inner>[^<>]{0,40})\s*</su[pb]>", re.IGNORECASE)


class _Folding(dict[int, str]):
    """Translation table to plain digits and signs, filled by the characters that occur."""

    def __missing__(self, code: int) -> str:
        """Computes the plain form of one character."""
        char = chr(code)
        self[code] = plain = _plain(char)
        return plain


def _plain(char: str) -> str:
    """Returns the plain form of one character."""
    if char.isascii() or char in _SPECIAL:
        return _SPECIAL.get(char, char)
    decomposition = unicodedata.decomposition(char)
    category = unicodedata.category(char)
    folded = unicodedata.normalize("NFKC", char)
    if category == "Nd":
        return str(unicodedata.decimal(char))
    if decomposition.startswith("<fraction>"):
        return folded.replace("\u2044", "/")
    if category == "No":
        return f" {folded} "
    if char in _GROUPING_SPACES:
        return "\u00a0"
    if char in _MINUS:
        return "-"
    if category == "Cf" or char in _KEYCAP:
        return ""
    if category in ("Zs", "Pd"):
        return " " if category == "Zs" else "—"
    if decomposition.startswith("<square>"):
        return re.sub(r"([0-9])", r"^\1", folded).replace("\u2215", "/")  # ㎡ is m^2, not m2
    return folded


_FOLDING = _Folding()


def fold_numbers(text: str, decimal: str = ".") -> str:
    r"""Spells the numbers of a text plainly.

    Args:
        text: Any text.
        decimal: The decimal sign of the text, ``"."`` or ``","``; in the result it is the point.

    Returns:
        The text in plain spelling, usually of another length.

    Example:
        >>> fold_numbers("−２５ cm² or \\frac{3}{4}"), fold_numbers("1.234,5", ",")
        ('-25 cm^2 or 3/4', '1,234.5')
    """
    if "<su" in text or "<SU" in text:
        text = _SCRIPT_TAG.sub(lambda tag: f"{'^' if tag['kind'] in 'pP' else '_'}{{{tag['inner']}}}", text)
    text = strip_tags(text.replace("\t", " "))
    if "\\" in text or "{" in text:
        text = _fold_latex(text)
    text = strip_emphasis(text)
    if not text.isascii():
        text = _SUPER.sub(lambda run: "^" + run[0].translate(_SUPERSCRIPTS), text)
        text = _SUB.sub(lambda run: "_" + run[0].translate(_SUBSCRIPTS), text)
        text = _BESIDE_VULGAR.sub(" ", text).translate(_FOLDING)
    if decimal == ",":
        text = text.translate(_SWAP)
    return text.replace("\ue000", ".").replace("\ue001", ",")


def _fold_latex(text: str) -> str:
    r"""Spells LaTeX spaces, separators, fractions and commands plainly; also the escapes of Markdown."""
    text = _LATEX_SPACE.sub("\u00a0", text.replace("\\!", ""))
    text = re.sub(r"(?<=\d)\{([.,])\}(?=\d)", r"\1", text)
    text = re.sub(r"(?<=\d)~(?=\d{3}(?!\d))", "\u00a0", text)
    text = _ANY_FRACTION.sub(FORMULA, _FRACTION.sub(_spell_fraction, text))
    text = re.sub(r"\\[()\[\]]", " ", text.replace("\\\\", "\n"))
    text = _ESCAPED.sub(r"\1", text)
    text = _COMMAND.sub(lambda command: _COMMANDS.get(command[1], FORMULA), text)
    return _RAISED_UNIT.sub(r"\1", text)


def _spell_fraction(match: re.Match[str]) -> str:
    """Spells a LaTeX fraction of two plain numbers."""
    above, below = match[2] or match[3], match[4] or match[5]
    return f"{'' if match['digit'] is None else ' '}{above}/{below}"
