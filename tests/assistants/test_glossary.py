from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptkit.assistants.glossary import check_glossary, occurring
from promptkit.errors import SettingError


@pytest.mark.parametrize(
    ("term", "text", "found"),
    [
        ("NAV", "What is the NAV?", True),
        ("NAV", "what is the nav?", False),  # a term in capitals is an abbreviation
        ("NAV", "It is navigable, NAVY-blue and UNAV.", False),
        ("NAV", "NAV-2 (NAV)", True),
        ("IT", "Is it right?", False),
        ("IT", "Ask IT.", True),
        ("house style", "In  HOUSE\n style, please", True),
        ("house style", "warehouse styles", False),
        ("Fee", "the fee", True),
        ("fee", "fees, coffee", False),
        ("R2D2", "r2d2", False),
        ("R2D2", "R2D2", True),
        ("4x", "14x", False),
        ("ﬁne", "a fine day", True),  # compatible characters are one
        ("STRASSE", "STRASSE", True),
        ("straße", "Strasse", True),
        ("café", "cafe\u0301s", False),
        ("café", "cafe\u0301!", True),
        ("cafe", "cafe\u0301", False),
        ("नाव", "नावों", False),
        ("नाव", "यह नाव है", True),
        ("净值", "基金的净值是多少？", True),
        ("NAV", "这个NAV是多少", True),
        ("基金", "公积金", False),
        ("C++", "Do you speak C++?", True),
        (".NET", "ASP.NET and .NET", True),
    ],
)
def test_when_a_term_occurs(term: str, text: str, found: bool) -> None:
    assert bool(occurring({term: "x"}, [text])) is found


def test_the_obvious_search_would_find_too_much() -> None:
    """The bad twin: what ``in`` finds, ``occurring`` does not."""
    assert "nav" in "is it navigable?"
    assert not occurring({"nav": "x"}, ["is it navigable?"])


def test_the_order_is_that_of_the_glossary_and_any_field_counts() -> None:
    glossary = {"b": "2", "a": "1", "c": "3"}
    assert list(occurring(glossary, ["a thing", "b"])) == ["b", "a"]


WORD = st.text("abcXYZ01", min_size=1, max_size=3)


@given(st.lists(WORD, max_size=8), WORD, st.sampled_from([" ", ", ", "-", "\n", "; "]))
def test_a_term_occurs_exactly_if_it_is_one_of_the_words(words: list[str], term: str, gap: str) -> None:
    capitals = bool(re.search("[XYZ]", term)) and not re.search("[abc]", term)
    same = term.__eq__ if capitals else lambda word: word.lower() == term.lower()
    assert bool(occurring({term: "x"}, [gap.join(words)])) == any(map(same, words))


@pytest.mark.parametrize("bad", [{"": "x"}, {" ": "x"}, {"a": " "}, {"a": 5}, {5: "a"}, ["a"], "a"])
def test_a_bad_glossary_is_refused(bad: object) -> None:
    with pytest.raises(SettingError, match="Assistant: glossary must be"):
        check_glossary(bad, of="Assistant")  # type: ignore[arg-type]


def test_meanings_become_one_line() -> None:
    assert check_glossary({"a": "one\n\n two"}, of="x") == {"a": "one two"}
