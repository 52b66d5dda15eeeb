"""Typed answers on scripted models; tests/backends/local/test_constrained.py has those of a local model."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any, Literal

import pytest
from pydantic import AfterValidator, BaseModel, Field, field_validator

import promptkit as pk
from promptkit.assistants.typed import MAX_ANSWER

from .conftest import QUESTION, Make
from .test_chat import VOTES, scripted


class Count(BaseModel):
    number: int
    unit: str


class OnlyNumber(BaseModel):
    number: int
    note: str = "-"


class Even(BaseModel):
    number: int
    unit: str = Field(description="what is counted")

    @field_validator("number")
    @classmethod
    def even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("it must be even")
        return value


def fills(*texts: str) -> Callable[[pk.Request, int], str]:
    """A model that answers in words, and gives these texts where it is asked for JSON."""
    left = list(texts)
    return lambda request, index: " The answer is 5." if request.sampling.schema is None else left.pop(0)


@pytest.mark.parametrize(
    ("kind", "value"),
    [(int, 5), (float, 5.0), (str, "5"), (Literal["5", "6"], "5"), (int | None, 5), (OnlyNumber, OnlyNumber(number=5)),
     (Annotated[int, Field(ge=0)], 5)],
)  # fmt: skip
def test_an_answer_that_is_of_the_type_needs_no_second_request(make: Make, kind: Any, value: object) -> None:
    assistant = make()
    assert assistant.ask(QUESTION, answer_type=kind) == value
    assert len(scripted(assistant).requests) == 1


def test_a_record_is_filled_in_by_a_second_request_with_its_schema(make: Make) -> None:
    assistant = make(fills('{"number": 5, "unit": "apples"}'), tone="Be brief.")
    assert assistant.ask(QUESTION, answer_type=Count) == Count(number=5, unit="apples")
    first, second = scripted(assistant).requests
    assert first.sampling.schema is None
    assert second.sampling.stop == ()
    assert second.sampling.max_new_tokens == MAX_ANSWER
    assert second.prompt.text == f"Solve the problem.\n\nQuestion: {QUESTION}\nAnswer: The answer is 5.\n"
    assert json.loads(second.sampling.schema) == {
        "type": "object",
        "properties": {"number": {"type": "integer"}, "unit": {"type": "string"}},
        "required": ["number", "unit"],
        "additionalProperties": False,
    }


def test_a_chat_model_is_told_the_schema(make: Make) -> None:
    assistant = make(fills("5", '["apples"]'), chat=True)
    with pytest.raises(pk.AnswerTypeError):
        assistant.ask(QUESTION, answer_type=Count)
    assert assistant.predictor.plan.form == "chat"
    second = scripted(assistant).requests[1].prompt.messages
    assert [message.role for message in second[-3:]] == ["user", "assistant", "user"]
    assert second[-1].content.startswith('Write this answer as JSON that fits {"properties"')
    third = scripted(assistant).requests[2].prompt.messages
    assert third[-2].content == "5"
    assert third[-1].content.startswith("That does not fit: Input should be an object")


def test_one_repair_with_the_complaint(make: Make) -> None:
    assistant = make(fills('{"number": 5, "unit": "x"}', '{"number": 6, "unit": "x"}'))
    assert assistant.ask(QUESTION, answer_type=Even).number == 6
    prompt = scripted(assistant).requests[-1].prompt.text
    assert str(prompt).endswith(
        '\n{"number": 5, "unit": "x"}\nThat does not fit: number: Value error, it must be even. The corrected JSON:\n'
    )


@pytest.mark.parametrize(
    "second",
    ['{"number": 7, "unit": "x"}', "", "[1]", '{"number": 6', '{"number": 6, "unit": "\ud800"}', "NaN", "{" * 100],
)
def test_after_one_repair_comes_a_typed_error_that_holds_the_text(make: Make, second: str) -> None:
    assistant = make(fills('{"number": 5, "unit": "x"}', second, "never asked"))
    with pytest.raises(pk.AnswerTypeError, match="Even: the answer must be of this type") as caught:
        assistant.ask(QUESTION, answer_type=Even)
    assert caught.value.text == second
    assert isinstance(caught.value, ValueError)
    assert len(scripted(assistant).requests) == 3


def test_where_votes_disagree_there_is_nothing_to_type(make: Make) -> None:
    with pytest.raises(pk.AnswerTypeError, match="got none: only 50% of the votes agree") as caught:
        make(VOTES, samples=4, min_agreement=0.6).ask(QUESTION, answer_type=int)
    assert "hand it over" in caught.value.text


def test_what_the_domain_cannot_read_may_still_have_the_type(make: Make) -> None:
    answers = lambda request, index: " five" if request.sampling.schema is None else "5"  # noqa: E731
    assistant = make(answers)
    assert assistant.ask(QUESTION, answer_type=int) == 5
    assert str(scripted(assistant).requests[-1].prompt.text).endswith("Answer: five\n")


def test_the_winner_of_a_vote_is_typed(make: Make) -> None:
    assert make(VOTES, samples=4).ask(QUESTION, answer_type=int) == 5


class Nested(BaseModel):
    title: str  # a property of this name is not the schema's title
    counts: list[Count]
    extra: dict[str, int] = {}


def test_records_inside_are_closed_and_titles_go_but_names_stay(make: Make) -> None:
    assistant = make(fills('{"title": "t", "counts": [], "extra": {"a": 1}}'))
    assert assistant.ask(QUESTION, answer_type=Nested).extra == {"a": 1}
    schema = json.loads(scripted(assistant).requests[-1].sampling.schema)
    assert list(schema["properties"]) == ["title", "counts", "extra"]
    assert schema["additionalProperties"] is schema["$defs"]["Count"]["additionalProperties"] is False
    assert schema["properties"]["extra"]["additionalProperties"] == {"type": "integer"}
    assert schema["properties"]["title"] == {"type": "string"}


@pytest.mark.parametrize("kind", [Callable[[], int], object(), "NoSuchType"])
def test_a_type_without_a_schema_is_refused_before_anything_is_asked(make: Make, kind: Any) -> None:
    assistant = make()
    with pytest.raises(pk.SettingError, match="ask: answer_type must be a type that pydantic has a JSON Schema for"):
        assistant.ask(QUESTION, answer_type=kind)
    assert not scripted(assistant).requests


def test_json_needs_room(make: Make) -> None:
    assistant = make([" so it" + " goes" * 40], window=80, shots=0)  # as long as it may be, and not to be read
    question = "How many? " + "word " * 45
    assert assistant.ask(question).reason == "unreadable"
    with pytest.raises(pk.ContextLengthError, match="Count: question, answer and schema must leave room for JSON"):
        assistant.ask(question, answer_type=Count)


def test_a_validator_of_the_callers_counts(make: Make) -> None:
    def small(value: int) -> int:
        assert value < 3
        return value

    with pytest.raises(pk.AnswerTypeError):
        make(fills("4", "9")).ask(QUESTION, answer_type=Annotated[int, AfterValidator(small)])


@pytest.mark.parametrize("schema", ["[]", "x", "", "1", "{" * 1000, '{"a": ' * 100_000])
def test_a_bad_schema_is_refused_by_every_backend(schema: str) -> None:
    with pytest.raises(pk.SettingError, match="schema must be the text of a JSON object"):
        pk.ScriptedBackend(["x"]).generate([pk.Request(pk.Prompt(text="a"), pk.Sampling(schema=schema))])


def test_stop_texts_would_cut_the_value() -> None:
    sampling = pk.Sampling(schema="{}", stop=("\n\n",))
    with pytest.raises(pk.SettingError, match="stop must be empty beside a schema"):
        pk.ScriptedBackend(["x"]).generate([pk.Request(pk.Prompt(text="a"), sampling)])
