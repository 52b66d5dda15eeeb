"""Tokenizers of the metrics: what a metric can see of a text.

``unicode`` (the default) gives exactly the tokens of rouge-score on ASCII text: runs of letters and digits, in lower
case. Beyond ASCII it sees every script, after Unicode NFKC and case folding: words with their accents and vowel signs,
and one token a character in scripts that are written without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese).
``rouge-score`` gives the tokens of that package on every text: nothing but [a-z0-9] is seen.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache

from promptkit.errors import MissingExtraError, SettingError, error_message, one_of

__all__ = ["Tokenizer", "get_tokenizer", "rouge_score_tokens", "unicode_tokens"]

Tokenizer = Callable[[str], list[str]]

_RUNS = re.compile(r"[a-z0-9]+")
# Lower case for letters and digits, a space for the rest: one pass over the bytes, then split.
_ASCII = bytes(ord(chr(code).lower()) if code < 128 and chr(code).isalnum() else 32 for code in range(256))
# Scripts that are written without spaces, by blocks.
_UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x19E0, 0x19FF),
    (0x2E80, 0x2FDF),  # Chinese radicals
    (0x3005, 0x3007),
    (0x3021, 0x3029),
    (0x3040, 0x30FF),  # Japanese
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),  # Chinese
    (0x4E00, 0x9FFF),
    (0xA9E0, 0xA9FF),
    (0xAA60, 0xAA7F),
    (0xF900, 0xFAFF),
    (0x1B000, 0x1B16F),
    (0x20000, 0x3FFFF),
)
# Joiners and variation selectors stand inside words and say nothing.
_SILENT = frozenset([0x00AD, 0x200C, 0x200D, 0x2060, 0xFEFF, *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)])
_JAMO = ((0x1100, 0x11FF), (0xA960, 0xA97F), (0xD7B0, 0xD7FF))
_COMPOSE = "\x00"  # in place of a character that may join with the one before it


class _Spacing(dict[int, str]):
    """Translation table that folds characters and sets tokens apart by spaces, filled by the characters that occur.

    Args:
        composed: Whether the text is composed already; if not, characters that may compose become ``_COMPOSE``.
    """

    def __init__(self, *, composed: bool) -> None:
        super().__init__({code: chr(byte) for code, byte in enumerate(_ASCII[:128])})
        self._composed = composed

    def __missing__(self, code: int) -> str:
        """Works out the spelling of one character."""
        char = chr(code)
        if code in _SILENT:
            spelling = ""
        elif self._composed:
            spelling = _spaced(char)
        else:
            folded = _fold(char)
            joins = any(unicodedata.category(part)[0] == "M" or _within(ord(part), _JAMO) for part in folded)
            spelling = _COMPOSE if joins else "".join(map(_spaced, folded))
        self[code] = spelling
        return spelling


def _within(code: int, blocks: tuple[tuple[int, int], ...]) -> bool:
    """Tells whether a code point lies in one of the blocks."""
    return any(low <= code <= high for low, high in blocks)


def _fold(text: str) -> str:
    """Folds compatibility forms and case; NFKC a second time because case folding can undo it."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def _spaced(char: str) -> str:
    """Keeps letters, digits and marks, those of unspaced scripts between spaces; the rest is a space."""
    if unicodedata.category(char)[0] not in "LNM":
        return " "
    return f" {char} " if _within(ord(char), _UNSPACED) else char


_FOLDING, _COMPOSED = _Spacing(composed=False), _Spacing(composed=True)


def unicode_tokens(text: str) -> list[str]:
    """Splits a text of any script into tokens.

    Args:
        text: Any text.

    Returns:
        The tokens in order; punctuation, signs and emoji are none.

    Example:
        >>> unicode_tokens("Héllo, 世界: don't!")
        ['héllo', '世', '界', 'don', 't']
    """
    if text.isascii():
        return text.encode("ascii").translate(_ASCII).decode("ascii").split()
    spaced = text.translate(_FOLDING)
    if _COMPOSE in spaced:  # accents and vowel signs of their own: only the whole text can be composed
        silent = dict.fromkeys(_SILENT)
        spaced = _fold(text.translate(silent)).translate(_COMPOSED)
    return spaced.split()


def rouge_score_tokens(text: str) -> list[str]:
    """Splits a text as the package rouge-score does without a stemmer.

    Args:
        text: Any text.

    Returns:
        Runs of a to z and 0 to 9 in the lower-cased text.

    Example:
        >>> rouge_score_tokens("Héllo, world")
        ['h', 'llo', 'world']
    """
    return unicode_tokens(text) if text.isascii() else _RUNS.findall(text.lower())


_NAMED: dict[str, Tokenizer] = {"unicode": unicode_tokens, "rouge-score": rouge_score_tokens}


def get_tokenizer(name: str | Tokenizer = "unicode", *, stemmer: bool = False) -> Tokenizer:
    """Returns a tokenizer by name, or the given one.

    Args:
        name: ``"unicode"``, ``"rouge-score"`` or a function from text to tokens.
        stemmer: Whether ASCII words of more than three letters are cut to their Porter stem, as rouge-score does.

    Returns:
        A function from text to tokens.

    Raises:
        SettingError: The name is unknown.
        MissingExtraError: The stemmer is asked for and nltk is not installed.

    Example:
        >>> get_tokenizer("unicode")("Two words")
        ['two', 'words']
    """
    if isinstance(name, str):
        if name not in _NAMED:
            expected = f"a function from text to tokens, or {one_of(_NAMED)}"
            raise SettingError(error_message("tokenizer", of="rouge", expected=expected, got=name))
        plain = _NAMED[name]
    else:
        plain = name
    if not stemmer:
        return plain
    stem = _stemmer()
    return lambda text: [stem(word) if len(word) > 3 and word.isascii() else word for word in plain(text)]


@lru_cache(maxsize=1)
def _stemmer() -> Callable[[str], str]:
    """Returns the Porter stemmer that rouge-score uses, with a memory for words seen before."""
    try:
        from nltk.stem.porter import PorterStemmer  # type: ignore[import-untyped]
    except ImportError as error:
        expected = "installed for stemmer=True"
        raise MissingExtraError(
            error_message("nltk", of="rouge", expected=expected, got=None, hint="pip install nltk")
        ) from error
    stem: Callable[[str], str] = PorterStemmer().stem
    return lru_cache(maxsize=65_536)(stem)
