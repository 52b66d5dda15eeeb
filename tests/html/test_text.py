"""Figures and texts: readable, and nothing hidden."""

from __future__ import annotations

import math
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from promptkit.html.text import count, duration, short, size, visible


@given(st.text(st.characters(min_codepoint=0, max_codepoint=0x10FFFF)))
def test_visible_text_can_be_written_and_nothing_else_changes(text: str) -> None:
    shown = visible(text)
    shown.encode("utf-8")
    assert not any(unicodedata.category(char) in ("Cc", "Cs") and char not in "\n\t" for char in shown)
    assert visible(shown) == shown
    if all(unicodedata.category(char) not in ("Cc", "Cs") for char in text):
        assert shown == text


def test_what_is_hidden_is_named() -> None:
    assert visible("a\x1b[31mb\r\n\x00\ud83d\x85") == "a\\x1b[31mb\\r\n\\x00\\ud83d\\x85"


@given(st.floats(allow_nan=True, allow_infinity=True), st.integers(0, 10**30))
def test_every_number_can_be_shown(value: float, whole: int) -> None:
    assert all((count(value), duration(value), short(value), count(whole), size(whole)))


def test_durations_do_not_jump_between_units() -> None:
    assert [duration(x) for x in (0.999, 59.94, 59.96, 3599.4)] == ["999 ms", "59.9 s", "1 min 0 s", "59 min 59 s"]
    assert duration(math.inf) == "inf"
    assert [size(n) for n in (999, 1000, 999_499, 1_500_000, 2 * 10**12)] == [
        "999 B",
        "1 kB",
        "999 kB",
        "1.5 MB",
        "2 TB",
    ]
