"""Texts as they look: letters and digits that look alike are made equal, so that copies in disguise are found.

Unicode's NFKC already turns full-width, mathematical, circled and other compatibility forms into plain letters. It
keeps letters of other scripts that look like Latin ones (Cyrillic, Greek, Armenian, Cherokee), small capitals, digits
of other scripts, and invisible characters. The table below follows the prototypes of Unicode's confusables.txt (UTS
#39) for letters that have the shape of a Latin letter in common fonts. It is used for comparison only; no text of the
data is changed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

__all__ = ["fold"]

_LATIN = "".join(
    [
        "AaBCcEeHIiJjKMOoPpSsTXxYydhqwklGvgrnu",  # Cyrillic
        "ABEZHIKMNOPTYXaovipkutxwyjceFJ",  # Greek
        "ohunqgjSULO",  # Armenian
        "ACEHJKLMPRTSVWZDGBY",  # Cherokee
        "abcdefghijklmnoprstuvwyz",  # small capitals
        "aigj",  # other Latin letters
    ]
)
_ALIKE = "".join(
    [
        "АаВСсЕеНІіЈјКМОоРрЅѕТХхУуԁһԛԝкӏԌѵԍгпц",
        "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧαονιρκυτχωγϳϲεϜͿ",
        "օհսոզցյՏՍԼՕ",
        "ᎪᏟᎬᎻᎫᏦᏞᎷᏢᎡᎢᏚᏙᎳᏃᎠᏀᏴᎩ",
        "ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ",
        "ɑıɡȷ",
    ]
)
_TO_LATIN: Mapping[int, str] = dict(zip(map(ord, _ALIKE), _LATIN, strict=True))
_FROM_LATIN = {
    script: str.maketrans(
        {
            latin: alike
            for alike, latin in zip(reversed(_ALIKE), reversed(_LATIN), strict=True)
            if unicodedata.name(alike).startswith(script)
        }
    )
    for script in ("CYRILLIC", "GREEK")
}
_FOREIGN_WORD = re.compile(r"[^\W\d_]*[^\W\d_\x00-\x7f][^\W\d_]*")
_DIGIT = re.compile(r"(?![0-9])\d")
_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff\u0300-\u036f]"
)
_SIGNS = str.maketrans({"\u2019": "'", "\u02bc": "'", "\u066b": ".", "\u066c": ",", "\u2212": "-"})


def fold(text: str) -> str:
    """Returns a text as it looks, in lower case. Line breaks stay.

    Args:
        text: Any text.

    Returns:
        The text without invisible signs and differences of case, with look-alike letters as Latin ones in words that
        have no other letters of their script, and with ASCII digits.

    Example:
        >>> fold("Ｊａｎｅ hаs ٣ аррlеs")
        'jane has 3 apples'
        >>> fold("Вода")
        'вода'
    """
    if text.isascii():
        return text.casefold()
    text = _UNSEEN.sub("", unicodedata.normalize("NFKC", text))
    text = _DIGIT.sub(lambda digit: str(unicodedata.decimal(digit.group())), text)
    disguised = any(_is_mixed(word) for word in _FOREIGN_WORD.findall(text))
    text = _FOREIGN_WORD.sub(lambda word: _as_it_looks(word.group(), disguised), text)
    return text.translate(_SIGNS).casefold()


def _is_mixed(word: str) -> bool:
    return any(map(str.isascii, word)) and any(ord(char) in _TO_LATIN for char in word)


def _as_it_looks(word: str, disguised: bool) -> str:
    """Makes a word one of a single script: of Latin if its other letters all look like Latin ones, else of theirs."""
    if not any(ord(char) in _TO_LATIN or char.isascii() for char in word):
        return word
    scripts = {unicodedata.name(char, "").partition(" ")[0] for char in word if ord(char) not in _TO_LATIN}
    for script, letters in _FROM_LATIN.items():
        if script in scripts:
            return word.translate(letters)
    if len(word) == 1 and not disguised and unicodedata.name(word, "").startswith("GREEK SMALL"):
        return word  # a name in mathematics: α is not a
    return word.translate(_TO_LATIN)
