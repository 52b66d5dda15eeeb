"""Texts in which a part looks like the answer: read whole, or not at all; and ordinary answers beside them."""

from __future__ import annotations

import time

import pytest

from promptkit.parsing import AnswerParser

LAST = AnswerParser({"kind": "number"})
FIRST = AnswerParser({"kind": "number", "marker": "Answer:"})
SENTIMENT = AnswerParser({"kind": "label", "labels": ("positive", "negative", "neutral")})
YES_NO = AnswerParser({"kind": "label", "labels": ("yes", "no")})
GERMAN = AnswerParser({"kind": "label", "labels": ("positiv", "negativ")})
LANGUAGES = AnswerParser({"kind": "label", "labels": ("C", "C++", "C#")})
GRADES = AnswerParser({"kind": "label", "labels": ("A+", "A", "A-")})
RATING = AnswerParser({"kind": "label", "labels": ("1", "2", "3", "4", "5"), "marker": "Rating:"})
MARKED = AnswerParser({"kind": "marked", "marker": "Answer:"})
LINE = AnswerParser({"kind": "line"})


@pytest.mark.parametrize(
    "text",
    [
        # products with variables, factorials, powers in words
        *(r"\boxed{5x}", "3x^2", r"\boxed{5xy}", r"\boxed{2ab}", r"\boxed{4-x}", "2n", "5i", "$5!$", r"\boxed{4!}"),
        *("5 squared", "5 cubed", "5 factorial", "10 to the 6th", "10 to the power of 6", "5 x 10 to the power of 3"),
        *("the square root of 16", "cube root of 8", "twice 5", "half of 10", "0.3 repeating", "-(-5)"),
        # words that multiply or divide
        *("3 dozen", "5 dozen eggs", "5 tens", "2 thirds", "5 halves", "8 remainder 2", "8 R 2", "5 below zero"),
        *("5 Tausend", "1 Milliarde", "2 mille", "1 millón", "5 milhões", "5 миллионов", "5 тыс.", "500만"),
        # quantities in two units
        *("3 m 20 cm", "5 kg 300 g", "40° 26′ 46″", "2 Stunden 30 Minuten", "2小时30分钟", "3元5角", "2024年5月3日"),
        *("3 ч 20 мин", "1 gallon 2 quarts", "1 kilometer 200 meters", "3 tens and 4 ones"),
        # alternatives, bounds, several unknowns, notes
        *("3, 4, or 5", "either 5, or 6", "5 or maybe 6", "5 to about 6", "5 или 6", "5 à 6", "neither 5 nor 6"),
        *("x = 3 or x = -3", "x = 3 and y = 4", "x = 3 oder x = 4", "x_1 = 3, x_2 = 4", "1 < x < 5", "5 [6]"),
        # shares and ratios
        *(
            "1 in 5",
            "1 in every 5",
            "5 per 100",
            "5 for every 3",
            "5 out of every 10",
            "5 von 10",
            "5 sur 10",
            "3 by 5",
        ),
        "10% of 50",
        # denied
        *("not 5", "It isn't 5", "5, not 6", "5 rather than 6", "5 instead of 6"),
    ],
)
def test_a_part_of_a_quantity_is_no_number(text: str) -> None:
    assert LAST.read(text) is None


@pytest.mark.parametrize(
    "text",
    ["not 7 but 8", "twice 5 is 10", "3 dozen", "8 remainder 2", "10% of 50 is 5", "1 in 5", "5x", "Half of 10 is 5"],
)
def test_behind_a_marker_too(text: str) -> None:
    assert FIRST.read(f"Answer: {text}") is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("Half of 10 is 5", "5"),
        ("5 squared is 25", "25"),
        ("the square root of 16 is 4", "4"),
        ("2 dozen eggs = 24 eggs", "24"),
        ("10 to the 3rd power is 1000", "1000"),
        ("It is not 7; it is 8.", "8"),
        ("Multiply 3 by 5 to get 15", "15"),
        ("Step 1 gives 5. Step 2 gives 12.", "12"),
        ("12 eggs in 3 boxes", "3"),
        ("-(-5) = 5", "5"),
        ("-(5)", "-5"),
        ("零下5度", "-5"),
        ("So x = 3, and then y = x + 2 = 5", "5"),
        ("5 miles", "5"),
        ("5 milligrams", "5"),
        ("a 5-m pole", "5"),
        ("5! = 120", "120"),
        ("The answer is **5!**", "5"),
        ("She sold 48 in April and 24 in May, in total 72", "72"),
    ],
)
def test_an_ordinary_number_beside_it_is_read(text: str, number: str) -> None:
    assert LAST.read(text) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(("$1,234.50.", "1234.5"), ("12 apples and 3 pears", "12"), ("42%", "42"), ("x = 5", "5"), ("5, not 6", "5")),
        *(("5 per day", "5"), ("$5 per hour", "5"), ("5 in total, 3 each", "5"), ("5 by Friday", "5"), ("12in", "12")),
        *(("12 a", "12"), ("12s", "12"), ("5 in.", "5"), ("5! Hooray", "5"), ("7 (seven)", "7"), ("5 or so", "5")),
    ],
)
def test_an_ordinary_answer_behind_a_marker_is_read(text: str, number: str) -> None:
    assert FIRST.read(f"Answer: {text}") == number


@pytest.mark.parametrize(
    ("parser", "text", "label"),
    [
        (SENTIMENT, "This is far from positive", None),
        (SENTIMENT, "hardly positive", None),
        (SENTIMENT, "I don't think it is positive.", None),
        (SENTIMENT, "It doesn't seem positive", None),
        (SENTIMENT, "I would not say it's positive", None),
        (SENTIMENT, "I think it's positive", "positive"),
        (SENTIMENT, "I'd say positive", "positive"),
        (GERMAN, "weder positiv noch negativ", None),
        (GERMAN, "kaum positiv", None),
        (YES_NO, "There is no doubt that this is true", None),
        (YES_NO, "There is no evidence", None),
        (YES_NO, "Yes, there is no doubt.", "yes"),
        (YES_NO, "No, there is no evidence.", "no"),
        (YES_NO, "No it is not.", "no"),
        (LANGUAGES, "C♯", None),
        (GRADES, "A$^+$", None),
        (RATING, "Rating: 4x", None),
        (RATING, "Rating: not 4", None),
        (RATING, "Rating: 4 [good]", "4"),
    ],
)
def test_a_label_is_neither_denied_nor_a_part(parser: AnswerParser, text: str, label: str | None) -> None:
    assert parser.read(text) == label


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("(Answer: Paris)", "Paris"),
        ("[Answer: Paris (Texas)]", "Paris (Texas)"),
        ('"Answer: Paris."', "Paris"),
        ("(Answer: Paris).", "Paris"),
        ("Answer: Paris (Texas)", "Paris (Texas)"),
        ("**Answer:**\n- **Paris**", "- **Paris**"),
        ("**Answer:** The **big** city", "The **big** city"),
        ("**Answer: Paris**", "Paris"),
    ],
)
def test_what_encloses_marker_and_answer_is_dropped_in_pairs(text: str, answer: str) -> None:
    assert MARKED.read(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<|START_THINKING|>Rome?<|END_THINKING|>Paris", "Paris"),
        ("<|begin_of_thought|>Rome?<|end_of_thought|>\nParis", "Paris"),
        (
            "<|channel|>analysis<|message|>Rome?<|end|><|start|>assistant<|channel|>final<|message|>Paris",
            "Paris",
        ),
        ("<|channel|>final<|message|>Paris", "Paris"),
        ("<|channel|>analysis<|message|>Rome?", None),
        ("<|START_THINKING|>Rome?", None),
    ],
)
def test_reasoning_between_control_tokens_is_not_read(text: str, answer: str | None) -> None:
    assert LINE.read(text) == answer


@pytest.mark.parametrize(
    "piece", ["not ", "5 in ", "3, or ", "<|channel|>", "5 m ", "no doubt ", "x = 3 or ", "-(-", '("']
)
def test_a_megabyte_of_such_pieces_is_read_in_time(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    for parser in (LAST, FIRST, SENTIMENT, YES_NO, MARKED, LINE):
        started = time.perf_counter()
        parser.read(text)
        parser.read("Answer: " + text)
        assert time.perf_counter() - started < 5
