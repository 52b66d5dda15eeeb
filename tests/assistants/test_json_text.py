"""JSON out of what models write around it: the value, or nothing; never a part of it, and never one of several."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter

from promptkit.assistants.json_text import read_value


class Record(BaseModel):
    count: int
    unit: str


RECORD = TypeAdapter(Record)
ANY: TypeAdapter[Any] = TypeAdapter(dict[str, Any] | list[Any])
TEXT = '{"count": 5, "unit": "apples"}'
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
).filter(lambda value: isinstance(value, dict | list))
WORDS = st.text(st.characters(exclude_characters="{}[]`<", codec="utf-8"))


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        f"```json\n{TEXT}\n```",
        f"```\n{TEXT}\n```",
        f"```JSON\n{TEXT}```",
        f"```json {TEXT} ```",
        f"Here you are:\n\n```json\n{TEXT}\n```\nHope this helps!",
        f'<think>\nhm, {{"count": 4, "unit": "pears"}}?\n</think>\n{TEXT}',
        f"<think>hm</think>```json\n{TEXT}\n```",
        f"{TEXT}\n\nHope this helps!",
        f"{TEXT} [1] is the source.",
        f"The answer [as asked] is: {TEXT}",
        f"{TEXT}\n{TEXT}",
        json.dumps(json.loads(TEXT), indent=2) + "\nDone.",
        "\ufeff".join(["", ""]) + f"  {TEXT}  ",
    ],
)
def test_what_stands_around_a_record_is_passed_over(text: str) -> None:
    assert read_value(RECORD, text) == Record(count=5, unit="apples")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "five apples",
        f"<think>maybe {TEXT}",
        TEXT[:-1],
        f'{{"answer": {TEXT}, "more": ',
        f'{{"answer": {TEXT}}}',
        f"{{'answer': {TEXT}}}",
        f"[{TEXT}, ",
        f"{TEXT}\nNo: " + TEXT.replace("5", "6"),
        f"```json\n{TEXT}\n```\n```json\n{TEXT.replace('5', '6')}\n```",
        TEXT.replace("5", '"many"'),
        "{" * 2000,
        "[" * 100_000,
    ],
)
def test_a_part_or_one_of_several_is_never_taken(text: str) -> None:
    with pytest.raises(ValueError):
        read_value(RECORD, text)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("5", 5),
        ("```json\n5\n```", 5),
        ("5\n\nHope this helps!", 5),
        ("<think>4?</think>\n5", 5),
        ("The answer:\n5", 5),
        ("5\n5", 5),
        ("5\n6", None),
        ("5 apples", None),
        ("5.5", None),
        ("It is 5", None),
        ("[\n5\n]", None),
        ('{"a":\n5\n}', None),
        ("5,\n6", None),
        ("1,000", None),
    ],
)
def test_a_bare_value_needs_a_line_of_its_own(text: str, wanted: int | None) -> None:
    if wanted is None:
        with pytest.raises(ValueError):
            read_value(TypeAdapter(int), text)
    else:
        assert read_value(TypeAdapter(int), text) == wanted


@given(VALUES, WORDS, WORDS, st.sampled_from([None, 2]))
def test_words_around_a_value_change_nothing(value: Any, before: str, after: str, indent: int | None) -> None:
    written = json.dumps(value, indent=indent, ensure_ascii=False)
    assume("```" not in written and "</think>" not in written)
    assert read_value(ANY, f"{before}\n{written}\n{after}") == value
    assert read_value(ANY, f"{before}\n```json\n{written}\n```\n{after}") == value
    assert read_value(ANY, f"<think>{before} {{}}</think>{written}") == value


@given(VALUES, st.data())
def test_a_value_that_was_cut_is_never_read_as_a_smaller_one(value: Any, data: st.DataObject) -> None:
    written = json.dumps(value)
    cut = written[: data.draw(st.integers(0, len(written) - 1))]
    with pytest.raises(ValueError):
        read_value(ANY, cut)


@pytest.mark.parametrize("opening", ["<think>", "<thinking>", "[THINK]", "<|channel|>analysis<|message|>"])
def test_a_draft_in_reasoning_that_was_cut_off_is_no_answer(opening: str) -> None:
    with pytest.raises(ValueError):
        read_value(TypeAdapter(dict[str, int]), opening + '{"a": 4}, or rather')


def test_a_text_that_looks_like_a_tag_stays_in_the_value() -> None:
    assert read_value(TypeAdapter(dict[str, str]), '{"a": "</think>"}') == {"a": "</think>"}
