"""Readers: what is read, what abstains, and that hostile text costs no more than its length."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from promptkit.errors import TaskError
from promptkit.parsing.parser import AnswerParser, ParserSpec

MARKED = ParserSpec(kind="marked", marker="The answer is", then="number")
CHOICE = ParserSpec(kind="choice", marker=("Answer", "答案"))
LABEL = ParserSpec(kind="label", labels=("refund", "refund request", "spam", "退款"))
JSON = ParserSpec(kind="json", field="answer")
SPECS = {
    "text": ParserSpec(kind="text"),
    "line": ParserSpec(kind="line"),
    "marked": MARKED,
    "number": ParserSpec(kind="number"),
    "choice": ParserSpec(kind="choice"),
    "marked choice": CHOICE,
    "label": LABEL,
    "regex": ParserSpec(kind="regex", pattern="(a*)*b"),
    "json": JSON,
}
READABLE = [
    ("marked", "The answer is 5.", "5"),
    ("marked", "so the  ANSWER\nis: $1,000.0 dollars", "1000"),
    ("marked", "The answer is\n\n 5", "5"),
    ("marked", "The answer is ５００", "500"),
    ("marked", "The answer is 42 (6 * 7)", "42"),
    ("marked", "**The answer is:**\n\\[\n\\boxed{42}\n\\]", "42"),
    ("marked", "The answer is\n$$\n42\n$$", "42"),
    ("marked choice", 'Action: Answer("E")', "E"),
    ("marked choice", "Answer: (b)", "B"),
    ("marked choice", "Answer: b", "B"),
    ("marked choice", "答案是Ｂ。", "B"),
    ("marked choice", "Answer is C, since A is too small", "C"),
    ("choice", "B\nbecause A is too small", "B"),
    ("choice", "it must be B", "B"),
    ("label", "Refund  Request", "refund request"),
    ("label", "SPAM.", "spam"),
    ("label", "this is not spam but a refund request", "refund request"),
    ("label", "标签是退款。", "退款"),
    ("number", "2 + 3 makes 5 apples", "5"),
    ("json", '{"answer": "first"} and {"answer": "last"}', "last"),
    ("json", '```json\n{"why": {"answer": 1}, "answer": 2}\n```', "2"),
    ("json", '{"answer": 123456789012345678901234567890.10}', "123456789012345678901234567890.10"),
    ("json", '{"answer": true}', "true"),
    ("line", "\n\n one \ntwo", "one"),
    ("text", " one\ntwo ", "one\ntwo"),
]
UNREADABLE = [
    ("marked", "5"),
    ("marked", ""),
    ("marked", "The answer is"),
    ("marked", "The answer is not known"),
    ("marked choice", "Answer: a dog"),
    ("marked choice", "Answer: CD"),
    ("marked choice", "Answer is C or D"),
    ("choice", "A is too small, so it must be B"),
    ("marked", "The answer is 5 or 6"),
    ("marked", "The answer is 0,75"),
    ("number", "<think>5"),
    ("label", "xspamx"),
    ("label", "spamming"),
    ("json", '{"answer": null}'),
    ("json", '{"answer": [1]}'),
    ("json", '{"other": 1}'),
    ("json", '{"answer": NaN}'),
    ("line", " \n "),
    ("text", ""),
]


@pytest.mark.parametrize(("name", "text", "expected"), READABLE)
def test_read(name: str, text: str, expected: str) -> None:
    assert AnswerParser(SPECS[name]).read(text) == expected


@pytest.mark.parametrize(("name", "text"), UNREADABLE)
def test_what_cannot_be_read_abstains(name: str, text: str) -> None:
    assert AnswerParser(SPECS[name]).read(text) is None


def test_the_last_marker_counts_even_if_nothing_follows_it() -> None:
    parser = AnswerParser(MARKED)
    echo = "Q: Tom has 2. The answer is 7. Q: Ann has 3 and 2. 3 + 2 = 5. The answer is 5."
    assert parser.read(echo) == "5"
    assert parser.read("The answer is 5. I hope that the answer is right.") is None


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("marked", "The answer is 12", None),
        ("marked", "The answer is 12,", None),
        ("marked", "The answer is 12.", "12"),
        ("marked", "The answer is 12\n", "12"),
        ("marked", "The answer is 5. And so the answer is", None),
        ("number", "it makes 12", None),
        ("number", "it makes 12 ", None),
        ("number", "it makes 2.5 ×", None),
        ("number", "it makes 12 mill", None),
        ("number", "it makes 12 eggs", "12"),
        ("marked choice", "Answer: A or", None),
        ("label", "refund", None),
        ("marked choice", "Answer: A", None),
        ("marked choice", "Answer: (A)", "A"),
        ("line", "half a li", None),
        ("line", "a line\nhalf a li", "a line"),
        ("json", '{"answer": 5} {"answer": ', None),
        ("json", '{"answer": 5}', "5"),
        ("text", "half a te", "half a te"),
    ],
)
def test_a_cut_completion_abstains_unless_its_answer_is_closed(name: str, text: str, expected: str | None) -> None:
    assert AnswerParser(SPECS[name]).read(text, finish="length") == expected


@pytest.mark.parametrize("name", sorted(SPECS))
@pytest.mark.parametrize("blank", ["", " ", "\n\t\u3000"])
def test_a_blank_text_is_no_answer(name: str, blank: str) -> None:
    parser = AnswerParser(SPECS[name])
    assert parser.read(blank) is None
    assert parser.read("The answer is" + blank) is None or name in ("text", "line")
    assert parser.canonical(blank) is None


def test_numbers_with_a_decimal_comma() -> None:
    parser = AnswerParser({"kind": "marked", "marker": "Antwort:", "then": "number", "decimal": ","})
    assert parser.read("Antwort: **1.234,50 €**.") == "1234,5" == parser.canonical("1234,50")
    assert parser.read("Antwort: 3.5") is None
    with pytest.raises(TaskError, match="ParserSpec: decimal must be '.' or ','"):
        AnswerParser({"kind": "number", "decimal": ";"})


def test_a_failed_completion_abstains() -> None:
    assert AnswerParser(SPECS["text"]).read("some text", finish="error") is None


def test_a_regular_expression_reads_its_first_match_and_first_group() -> None:
    parser = AnswerParser(ParserSpec(kind="regex", pattern=r'Answer\("(\w)'))
    assert parser.read('é Answer("B") Answer("C")') == "B"
    assert parser.reasoning('é Answer("B") Answer("C")') == "é"
    assert AnswerParser(ParserSpec(kind="regex", pattern=r'(?s).*Answer\("(\w)')).read('Answer("B") Answer("C")') == "C"
    assert AnswerParser(ParserSpec(kind="regex", pattern=r"\d+")).read("é 125", finish="length") is None
    assert parser.read('\ud800 Answer("B")') == "B"


def test_marked_text_drops_one_closing_text() -> None:
    assert AnswerParser(ParserSpec(kind="marked", marker="A:")).read("A: U.S..") == "U.S."
    assert AnswerParser(ParserSpec(kind="marked", marker="答案", end="。")).read("答案：巴黎。") == "巴黎"
    assert AnswerParser(ParserSpec(kind="marked", marker="A:", end="")).read("A: U.S.") == "U.S."


def test_reasoning_is_what_stands_before_the_answer() -> None:
    assert AnswerParser(MARKED).reasoning(" 2 + 3 = 5. The answer is 5.") == "2 + 3 = 5."
    assert AnswerParser(MARKED).reasoning("no marker ") == "no marker"
    assert AnswerParser(JSON).reasoning('think {"answer": 5}') == "think"


def test_canonical_forms_compare_targets() -> None:
    assert AnswerParser(MARKED).canonical("1,000.0") == "1000"
    assert AnswerParser(LABEL).canonical("SPAM") == "spam"
    assert AnswerParser(LABEL).canonical("other") is None
    assert AnswerParser(SPECS["text"]).canonical("e\u0301 ") == "é"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"kind": "marked"},
            "ParserSpec: marker must be the text that announces the answer, for kind 'marked', got None",
        ),
        ({"kind": "label"}, "ParserSpec: labels must be the list of allowed labels, for kind 'label', got None"),
        ({"kind": "regex"}, "ParserSpec: pattern must be a regular expression, for kind 'regex', got None"),
        ({"kind": "json"}, "ParserSpec: field must be the name of a JSON field, for kind 'json', got None"),
        ({"kind": "text", "pattern": "a"}, "ParserSpec: pattern must be left out for kind 'text', got 'a'"),
        ({"kind": "regex", "pattern": "(?=a)"}, "RE2 says: invalid perl operator: (?="),
        ({"kind": "label", "labels": ("a", "A")}, "labels must be different from each other when case is ignored"),
        ({"kind": "marked", "marker": ("a", " ")}, "marker must be texts that are not empty"),
    ],
)
def test_a_spec_that_contradicts_itself_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(TaskError) as refused:
        AnswerParser(ParserSpec.model_validate(fields))
    assert message in str(refused.value)


def test_a_spec_can_be_a_mapping() -> None:
    assert AnswerParser({"kind": "label", "labels": ["spam"]}).spec == ParserSpec(kind="label", labels=("spam",))
    for fields, message in (
        ({"kind": "txt"}, "ParserSpec: kind must be 'text', 'line', "),
        ({"kind": "text", "patern": "a"}, "ParserSpec: patern must be left out; the fields are kind, marker, "),
        ({}, "ParserSpec: kind must be given, got None"),
        (["kind"], "ParserSpec: spec must be "),
    ):
        with pytest.raises(TaskError) as refused:
            AnswerParser(fields)  # type: ignore[arg-type]
        assert str(refused.value).startswith(message)


def test_a_spec_is_closed() -> None:
    with pytest.raises(ValidationError, match="patern"):
        ParserSpec.model_validate({"kind": "text", "patern": "a"})
    with pytest.raises(ValidationError, match="kind"):
        ParserSpec.model_validate({"kind": "txt"})


@given(st.text(), st.sampled_from(sorted(SPECS)), st.sampled_from(["stop", "eos", "length", "error"]))
def test_an_answer_is_never_empty_and_is_its_own_canonical_form(text: str, name: str, finish: str) -> None:
    parser = AnswerParser(SPECS[name])
    answer = parser.read(text, finish=finish)
    assert answer is None or (type(answer) is str and answer and parser.canonical(answer) == answer)
    parser.reasoning(text)


@given(st.text())
def test_json_never_fails_on_text_around_braces(text: str) -> None:
    AnswerParser(JSON).read("{" + text + "}")


@pytest.mark.parametrize(
    "unit", ["a", "A ", "{", '{"', '{"a":[1,', '{"answer":', "the answer is ", "\n", "中", '"\\', "[["]
)
@pytest.mark.parametrize("name", sorted(SPECS))
def test_a_megabyte_is_read(name: str, unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    parser = AnswerParser(SPECS[name])
    answer = parser.read(text)
    assert answer in (None, "A", "1") or name in ("text", "line")
    parser.reasoning(text)
