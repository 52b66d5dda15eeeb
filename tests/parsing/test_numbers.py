"""Numbers: one spelling for equal numbers, no digit lost, linear time."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptkit.parsing.numbers import closes_number, find_number, normalize_number

Reading = Callable[[str], str | None]


def first_number(text: str) -> str | None:
    found = find_number(text, "first")
    return found and found.value


def last_number(text: str) -> str | None:
    found = find_number(text, "last")
    return found and found.value


READINGS: list[Reading] = [normalize_number, first_number, last_number]

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
    ("-½", "-0.5"),
    ("25 cm²", "25"),
    ("25 cm^2", "25"),
    ("25㎡", "25"),
    ("8 m³.", "8"),
    ("9.8 m/s²", "9.8"),
    ("9.8 m s⁻²", "9.8"),
    ("$25\\,\\mathrm{m}^{2}$", "25"),
    ("25 cm<sup>2</sup>", "25"),
    ("25^\\circ", "25"),
    ("5^{th}", "5"),
    ("x² = 4", "4"),
    ("x_1 = 4", "4"),
    ("\\$9{,}500", "9500"),
    ("9\\,500", "9500"),
    ("\\frac{3}{4}", "0.75"),
    ("-\\frac{1}{2}", "-0.5"),
    ("\\dfrac34", "0.75"),
    ("1\\frac12", "1.5"),
    ("\\boxed{42}", "42"),
    ("-\\boxed{5}", "-5"),
    ("\\(-5\\)", "-5"),
    ("2.5 × 10³ J", "2500"),
    ("2.5 x 10^3", "2500"),
    ("2.5\\times 10^{3}", "2500"),
    ("2.5 * 10 ** -3", "0.0025"),
    ("10^6.", "1000000"),
    ("10²", "100"),
    ("1 234 567", "1234567"),
    ("12 345.5", "12345.5"),
    ("1\u2009234\u2009567", "1234567"),
    ("1'234.50", "1234.5"),
    ("2 million", "2000000"),
    ("$1.5 billion", "1500000000"),
    ("3万", "30000"),
    ("≈5", "5"),
    ("~5", "5"),
    (">5", "5"),
    ("5+", "5"),
    ("~~11~~ 12", "12"),
    ("-$ 12", "-12"),
    ("12&nbsp;345", "12345"),
    ("5 m s^-2", "5"),
    ("12 thousand", "12000"),
    ("5-year", "5"),
    ("minus 5", "-5"),
    ("x = - 5", "-5"),
    ("-US$5", "-5"),
    ("-USD 5", "-5"),
    ("**-5**", "-5"),
    ("-**5**", "-5"),
    ("<b>-5</b>", "-5"),
    ("&minus;5", "-5"),
    ("_5_", "5"),
    ("5\ufe0f\u20e3", "5"),
    ("Rs.500", "500"),
    ("the answer is...5", "5"),
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
        "0,75",
        "3,5 kg",
        "1.234,56",
        "1000,5",
        ",75",
        "0.(3)",
        "0.333...",
        "0.\\overline{3}",
        "(1,234)",
        "($5.00)",
        "1,234-",
        "±5",
        "--5",
        "- 5",
        "3 – 4",
        "3 to 4",
        "5 ± 0.1",
        "10:30",
        "5 : 1",
        "2020-05-17",
        "17.05.2020",
        "May 17, 2020",
        "17 May 2020",
        "+1 (555) 123-4567",
        "5'10\"",
        "45°30'",
        "1 2 3",
        "100 200",
        "1, 2",
        "3 × 5",
        "2^10",
        "2^n",
        "10^n",
        "(3)^2",
        "√2",
        "2√3",
        "2π",
        "\\frac{x}{2}",
        "\\sqrt{2}",
        "5 + x",
        "n/2",
        "0x1F",
        "2x4",
        "GPT-4",
        "CO2",
        "CO₂",
        "m^2",
        "5k",
        "1.5M",
        "$5m",
        "5 Mio. Euro",
        "5 million and 3",
        "3 of 5",
        "1/-2",
        "5.e3",
        "0xFF",
        "101_2",
        "12 and a half",
        "12 minus 5",
        "12 divided by 5",
        "3 hundred thousand",
        "5 ft 3 in",
        "5h 30min",
        "2024-01-02T03:04",
        "\\boxed{3 \\text{ or } 4}",
        "\\frac{1}{2}\\pi",
        "(101)_2",
        "3\u0305",
        "1,000,00",
        "1e999999999",
    ],
)
def test_normalize_number_refuses_what_is_not_one_number(text: str) -> None:
    assert normalize_number(text) is None


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("16 - 3 - 4 = 9 eggs", "9", "9"),
        ("9 = 5 + 4", "9", "9"),
        ("$5 + $4 = $9, so he has 9", "9", "9"),
        ("640 + 30 = <<640+30=670>>670 legs. Answer: \\boxed{670}.", "670", "670"),
        ("of 12 apples 5 are red", "12", "5"),
        ("x = 12, y = 13", None, None),
        ("1,2,3", None, None),
        ("pages 3-5", None, None),
        ("12 at 10:30", "12", None),
        ("3 out of 5", None, None),
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
    assert number == (plain if unit in ("1", "１") else None)
    find_number(text)
    find_number(text, "first")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0,75", "0,75"),
        ("1.234,56 €", "1234,56"),
        ("1.234.567", "1234567"),
        ("1.234", "1234"),
        ("-3,50", "-3,5"),
        ("3/4", "0,75"),
        ("٣٫٥", "3,5"),
        (",75", "0,75"),
        ("0{,}75", "0,75"),
        ("3.5", None),
        ("1,234.56", None),
        ("-.5", None),
        ("12.05.2020", None),
        ("1,2,3", None),
    ],
)
def test_the_comma_can_be_the_decimal_sign(text: str, expected: str | None) -> None:
    assert normalize_number(text, ",") == expected
    assert expected is None or normalize_number(expected, ",") == expected


@pytest.mark.parametrize("rest", ["", " ", ",", " ×", " x 10", "×10^", " mi", " thousan", " /", "-", " t"])
def test_a_number_that_could_go_on_is_not_closed(rest: str) -> None:
    found = find_number(f"it is 12{rest}")
    assert found is None or not closes_number(found.rest)


@pytest.mark.parametrize("rest", [".", "\n", " eggs", "%", ")", " more"])
def test_a_number_with_something_behind_it_is_closed(rest: str) -> None:
    found = find_number(f"it is 12{rest}")
    assert found is not None and closes_number(found.rest)


def test_a_number_at_the_edge_of_what_is_looked_at_is_not_read_in_part() -> None:
    assert find_number("1" * 30_000) is None
    assert find_number("1" * 30_000, "first") is None
    assert find_number("1" * 30_000 + " and so it is 5") == ("5", "")
    assert find_number("it is 5 eggs" + " or so" * 5_000, "first") is not None


# What may stand around a number without changing it; {} is the number. With these it is always read ...
KEPT = [
    "{}", "**{}**", "*{}*", "`{}`", "# {}", "\\boxed{{{}}}", "$\\boxed{{{}}}$", "${}$", "\\({}\\)", "\\text{{{}}}",
    "<b>{}</b>", "<p>{}</p>", '"{}"', "“{}”", "«{}»", "[{}]", "{{{}}}", "{}.", "{}!", "{}?", "{};", "{}:", "{}%", "{} %", "{} kg", "{}kg",
    "{} cm²", "{} cm^2", "{} m^{{2}}", "{}\\,\\mathrm{{m}}^{{2}}", "{} m/s²", "{} °C", "{}°", "{} CO₂", "{} H2O", "{} USD", "{} €", "≈{}",
    "> {}", "x = {}", "x² = {}", "x_1 = {}", "is {} apples", "\u200b{}\u200b", "答案是{}。", "ответ: {} шт.", "|{}|", "{}<br>",
]  # fmt: skip
# ... and with these it may be given up, since they are ambiguous.
KEPT_OR_NOT = [
    "__{}__", "({})", "({} USD)", "- {}", "±{}", "x - {}", "x + {}", "{} + x", "{}-", "{}²", "{}^n", "{}!{}", "√{}", "{}π", "n/{}", "{}k", "{} M",
    "A-{}", "A{}", "x_{}", "x^{}", "log {}", "{}~", "~~{}~~", "f({})", "{} - y", "{}'", '{}"', "—{}", "−({})", "{}…", ",{}", "{}e",
    "{} x", "Rs.{}", "No.{}", "№{}", "US${}", "{}/-", "{}th", "{}*", "{}**", "**{}", "\\frac{{{}}}{{x}}", "\\sqrt{{{}}}",
]  # fmt: skip
SIGNS = ["", "-", "−", "﹣", "－", "–"]
DIGITS = ["0123456789", "０１２３４５６７８９", "٠١٢٣٤٥٦٧٨٩", "०१२३४५६७८९", "𝟎𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖𝟗"]


@st.composite
def spelled(draw: st.DrawFn) -> tuple[str, str]:
    """A number in its canonical spelling, and as somebody wrote it."""
    whole = draw(st.integers(0, 10**9) | st.integers(0, 12))
    part = draw(st.sampled_from(["", "", ".5", ".25", ".0", ".75"]))
    group = draw(st.sampled_from(["", "", ",", "'", "’", "_", "\u202f", "\u00a0", "\u2009", "{,}", "\\,"]))
    sign = draw(st.sampled_from(SIGNS))
    digits = f"{whole:,}".replace(",", group) + part
    value = f"{whole}{'' if part == '.0' else part}"
    negative = bool(sign) and value != "0"
    written = digits.translate(str.maketrans(DIGITS[0], draw(st.sampled_from(DIGITS))))
    return f"{'-' * negative}{value}", sign + written


def is_whole(read: Reading, found: tuple[str, str], around: str) -> None:
    """The property: whatever stands around a number gives it or abstains; of those that change nothing none abstains."""
    value, written = found
    text = around.format(*[written] * around.count("{}"))
    answer = read(text)
    assert answer == value if around in KEPT else answer in (value, None, value.removeprefix("-"), f"-{value}"), text
    if around not in KEPT and answer is not None:
        assert answer.lstrip("-") == value.lstrip("-")


def is_no_part(read: Reading, numbers: list[int], joined: str) -> None:
    """The property: of several numbers that belong together none is taken for the whole."""
    text = joined.format(*numbers)
    assert read(text) not in [str(number) for number in numbers], text


TOGETHER = [
    "{}-{}", "{} - {}", "{}–{}", "{} to {}", "{} or {}", "{}, {}", "{};{}", "{}:{}", "{} : {}", "{}/{}/2020", "{}.{}.7", "{}^{}", "{}√{}",
    "{} ± {}", "{}±{}", "{} × {}", "{}x{}", "{}*{}", "{} / {}", "{}~{}", "{} {} 8", "{}→{}", "{} of {}", "{} out of {}", "{}|{}", "{}'{}\"",
    "{}\\pm {}", "{}\\times {}", "({}) {}", "({}, {})", "{} and {}", "0.0{}({})", "{} kg or {} kg", "\\sqrt[{}]{{{}}}", "\\binom{{{}}}{{{}}}",
    "{}\\frac{{x}}{{{}}}", "log_{} {}", "0x{}F{}", "{} e{}", "+{} (555) 123-{}", "{} May {}", "{}th of May {}", "{}、{}", "{}至{}", "{} bis {}",
]  # fmt: skip


@given(spelled(), st.sampled_from(KEPT + KEPT_OR_NOT))
def test_whatever_stands_around_a_number_gives_it_or_abstains(found: tuple[str, str], around: str) -> None:
    for read in READINGS:
        is_whole(read, found, around)


@given(st.lists(st.integers(2, 999), min_size=2, max_size=2), st.sampled_from(TOGETHER))
def test_a_part_is_never_taken_for_the_whole(numbers: list[int], joined: str) -> None:
    for read in READINGS:
        is_no_part(read, numbers, joined)


def test_the_properties_catch_rules_that_read_parts() -> None:
    def plain_rule(text: str) -> str | None:
        found = re.findall(r"-?\d[\d,]*(?:\.\d+)?", text)
        return normalize_number(found[-1]) if found else None

    caught = {"whole": 0, "part": 0}
    for around in KEPT:
        for found in (("-5", "−5"), ("0.75", "0.75"), ("9500", "9{,}500")):
            try:
                is_whole(plain_rule, found, around)
            except AssertionError:
                caught["whole"] += 1
    for joined in TOGETHER:
        try:
            is_no_part(plain_rule, [12, 34], joined)
        except AssertionError:
            caught["part"] += 1
    assert caught["whole"] > len(KEPT) and caught["part"] > len(TOGETHER) / 2
