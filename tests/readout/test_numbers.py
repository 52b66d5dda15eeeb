"""Numbers: one spelling for equal numbers, no digit lost, linear time."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptkit.readout.numbers import find_number, normalize_number

SPELLINGS = [
    ("1,000", "1000"),
    ("1000.0", "1000"),
    ("１，０００", "1000"),
    ("1'000", "1000"),
    ("1_000", "1000"),
    ("1\u202f000", "1000"),
    ("1\u00a0000.50", "1000.5"),
    ("1,00,000", "100000"),
    ("12,345,678.90", "12345678.9"),
    ("1e3", "1000"),
    ("2.5E-3", "0.0025"),
    ("٣٫٥", "3.5"),
    ("-5", "-5"),
    ("−5", "-5"),
    ("－５", "-5"),
    ("+5", "5"),
    ("(-5)", "-5"),
    ("-$5", "-5"),
    ("$-5", "-5"),
    ("x=-5", "-5"),
    ("答案是-5。", "-5"),
    ("3.50", "3.5"),
    (".5", "0.5"),
    ("007", "7"),
    ("-0.0", "0"),
    ("$18.00 per day.", "18"),
    ("50%", "50"),
    ("5kg", "5"),
    ("1/2", "0.5"),
    ("½", "0.5"),
    ("2½", "2.5"),
    ("-2 1/2", "-2.5"),
    ("2/6", "1/3"),
    ("-4/6", "-2/3"),
    ("4/2", "2"),
    ("1.5/2", "0.75"),
    ("①", "1"),
    ("123456789012345678901234567890.10", "123456789012345678901234567890.1"),
]


@pytest.mark.parametrize(("text", "expected"), SPELLINGS)
def test_normalize_number_spells_equal_numbers_alike(text: str, expected: str) -> None:
    assert normalize_number(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "five",
        "5 or 6",
        "3-5",
        "5 - 3",
        "1,2,3",
        "3/4/2020",
        "1.2.3",
        "H2O",
        "3/0",
        "10²",
        "1,000,00",
        "1e999999999",
    ],
)
def test_normalize_number_refuses_what_is_not_one_number(text: str) -> None:
    assert normalize_number(text) is None


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("16 - 3 - 4 = 9 eggs", "16", "9"),
        ("1,2,3", "1", "3"),
        ("pages 3-5", "3", "5"),
        ("no number", None, None),
        ("v1.2.3 has 4", "4", "4"),
    ],
)
def test_find_number_returns_the_first_or_the_last(text: str, first: str | None, last: str | None) -> None:
    found = find_number(text, "first"), find_number(text, "last")
    assert tuple(item and item.value for item in found) == (first, last)


def test_find_number_tells_what_follows() -> None:
    cut, closed = find_number("it is 12"), find_number("it is 12.")
    assert cut is not None and cut.rest == ""
    assert closed is not None and closed.rest == "."


@given(st.integers(), st.integers(0, 12))
def test_integers_keep_every_digit_in_any_spelling(number: int, zeros: int) -> None:
    expected = str(number)
    spellings = [
        str(number),
        f"{number:,}",
        f"{number:_}",
        f"{number}.{'0' * zeros}",
        f"{'-' * (number < 0)}0{abs(number)}",
    ]
    full_width = str(number).translate({ord("0") + digit: 0xFF10 + digit for digit in range(10)})
    assert {normalize_number(text) for text in [*spellings, full_width]} == {expected}


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12, places=9))
def test_decimals_are_equal_to_their_spelling(number: Decimal) -> None:
    spelled = normalize_number(f"{number:,f}")
    assert spelled is not None and Decimal(spelled) == number
    assert spelled == normalize_number(f"{number:f}000")


@given(st.integers(0, 10**9), st.integers(1, 10**9))
def test_fractions_are_equal_exactly_if_their_spellings_are(above: int, below: int) -> None:
    spelled = normalize_number(f"{above}/{below}")
    assert spelled is not None and Fraction(spelled) == Fraction(above, below)
    assert spelled == normalize_number(f"{3 * above}/{3 * below}")


@given(st.text())
def test_the_canonical_spelling_is_a_fixed_point(text: str) -> None:
    spelled = normalize_number(text)
    assert spelled is None or normalize_number(spelled) == spelled


@pytest.mark.parametrize("unit", ["a", "1", "1,", "1 ", "1/", "1.", "１", "1,111,", "-", "1e", "'1"])
def test_a_megabyte_is_read(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    plain = text.translate({0xFF11: "1"})
    number = normalize_number(text)
    assert number is None if unit not in ("1", "１", "1e") else number in (plain, "1")
    find_number(text)
