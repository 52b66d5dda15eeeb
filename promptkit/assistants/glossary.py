"""Which terms of a glossary occur in a text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping

from promptkit.errors import SettingError, error_message

__all__ = ["check_glossary", "occurring"]

# Scripts in which words stand side by side without a space: Thai to Khmer, Chinese, Japanese, and Korean, where
# particles are joined to words.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]"
)


def occurring(glossary: Mapping[str, str], texts: Iterable[str]) -> dict[str, str]:
    """Picks the terms that occur in one of the texts as whole words.

    Texts and terms are compared in Unicode's NFKC form with each run of white space as one space. A term without
    small letters, such as NAV or IT, must occur in capitals, because "it" is another word; any other term occurs in
    any case. A term must not be a part of a longer word; scripts that put no spaces between words have no such
    bounds.

    Args:
        glossary: Meanings by term.
        texts: Where to look.

    Returns:
        The part of the glossary that occurs, in its order.

    Example:
        >>> terms = {"NAV": "net asset value", "house style": "our way to write", "IT": "the computer team"}
        >>> list(occurring(terms, ["Is the NAV in House  Style? Is it navigable?"]))
        ['NAV', 'house style']
    """
    exact = [_normal(text) for text in texts]
    folded = [text.casefold() for text in exact]
    found = {}
    for term, meaning in glossary.items():
        plain = _normal(term)
        capitals = plain == plain.upper() != plain.lower()
        wanted, where = (plain, exact) if capitals else (plain.casefold(), folded)
        if any(_stands_in(wanted, text) for text in where):
            found[term] = meaning
    return found


def check_glossary(glossary: Mapping[str, str], *, of: str) -> dict[str, str]:
    """Checks a glossary.

    Args:
        glossary: Meanings by term.
        of: Whose it is, for messages.

    Returns:
        A copy, each meaning on one line.

    Raises:
        SettingError: A term or a meaning is no text, or blank.
    """
    pairs: object = glossary
    if not isinstance(pairs, Mapping):
        raise SettingError(error_message("glossary", of=of, expected="a mapping from terms to meanings", got=glossary))
    for term, meaning in pairs.items():
        if not isinstance(term, str) or not isinstance(meaning, str) or not _normal(term) or not meaning.strip():
            expected = "terms and meanings that are texts and not blank"
            raise SettingError(error_message("glossary", of=of, expected=expected, got={term: meaning}))
    return {term: " ".join(meaning.split()) for term, meaning in glossary.items()}


def _normal(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).split())


def _stands_in(term: str, text: str) -> bool:
    at = text.find(term)
    while at >= 0:
        end = at + len(term)
        before, after = text[at - 1 : at], text[end : end + 1]
        if not (_joins(before) and _joins(term[0])) and not (_joins(term[-1]) and _joins(after)):
            return True
        at = text.find(term, at + 1)
    return False


def _joins(char: str) -> bool:
    """Tells whether a character makes one word with another of its sort beside it; combining marks do."""
    if not char or _UNSPACED.match(char):
        return False
    return char.isalnum() or char == "_" or unicodedata.category(char).startswith("M")
