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
from typing import Any

from promptkit.errors import MissingExtraError, SettingError, explain, one_of

__all__ = ["Tokenizer", "get_tokenizer", "rouge_score_tokens", "unicode_tokens"]

Tokenizer = Callable[[str], list[str]]

_RUNS = re.compile(r"[a-z0-9]+")
# Lower case for letters and digits, a space for the rest: one pass in C, then split.
_ASCII = {code: chr(code).lower() if chr(code).isalnum() else " " for code in range(128)}
_JOINERS = dict.fromkeys([0x00AD, 0x200C, 0x200D, 0x2060, 0xFEFF, *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)])
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_WORDS = rf"[{_UNSPACED}]\p{{M}}*|[^\p{{P}}\p{{S}}\p{{Z}}\p{{C}}{_UNSPACED}]+"


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
        return text.translate(_ASCII).split()
    # Half of a surrogate pair is no character, and RE2 reads UTF-8; NFKC again because case folding can undo it.
    plain = text.encode("utf-8", "replace").decode("utf-8").translate(_JOINERS)
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", plain).casefold())
    found: list[str] = _words().findall(folded)
    return found


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
    return text.translate(_ASCII).split() if text.isascii() else _RUNS.findall(text.lower())


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
            must = f"a function from text to tokens, or {one_of(_NAMED)}"
            raise SettingError(explain("tokenizer", of="rouge", must=must, got=name))
        plain = _NAMED[name]
    else:
        plain = name
    if not stemmer:
        return plain
    stem = _stemmer()
    return lambda text: [stem(word) if len(word) > 3 and word.isascii() else word for word in plain(text)]


@lru_cache(maxsize=1)
def _words() -> Any:
    """Compiles the pattern of tokens beyond ASCII; most runs never need it."""
    import re2

    return re2.compile(_WORDS)


@lru_cache(maxsize=1)
def _stemmer() -> Callable[[str], str]:
    """Returns the Porter stemmer that rouge-score uses, with a memory for words seen before."""
    try:
        from nltk.stem.porter import PorterStemmer
    except ImportError as error:
        must = "installed for stemmer=True"
        raise MissingExtraError(explain("nltk", of="rouge", must=must, got=None, do="pip install nltk")) from error
    stem: Callable[[str], str] = PorterStemmer().stem
    return lru_cache(maxsize=65_536)(stem)
