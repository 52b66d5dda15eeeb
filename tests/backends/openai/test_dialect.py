"""Refusals in the words of many servers, and the calls that follow them."""

from __future__ import annotations

import asyncio
import warnings
from typing import Any

import pytest

from promptkit.backends.openai.dialect import Dialect
from promptkit.backends.openai.errors import error_text, status_error
from promptkit.errors import BackendError, ContextLengthError, UnsupportedError

BODY = {
    "model": "m",
    "max_tokens": 8,
    "temperature": 0.0,
    "top_p": 1.0,
    "seed": 7,
    "stop": ["a", "b", "c", "d", "e"],
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2 ="}],
}


def openai(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", **more}}


def forbidden(*where: Any, said: str = "Extra inputs are not permitted") -> dict[str, Any]:
    return {"detail": [{"type": "extra_forbidden", "loc": ["body", *where], "msg": said, "input": 1}]}


def after(status: int, payload: Any, body: dict[str, Any] = BODY, schemas: str = "enforce") -> dict[str, Any]:
    """The body of the call that follows a refusal of the first."""
    sent: list[dict[str, Any]] = []

    async def send(call: dict[str, Any]) -> str:
        sent.append(call)
        if len(sent) == 1:
            raise status_error(status, payload, what="call", said=error_text(payload))
        return "ok"

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert asyncio.run(Dialect("m", (), schemas).ask(body, send)) == "ok"
    return sent[1]


def without(*fields: str, **more: Any) -> dict[str, Any]:
    return {key: value for key, value in BODY.items() if key not in fields} | more


FOLDED = without(messages=[{"role": "user", "content": "Be brief.\n\n2 + 2 ="}])


@pytest.mark.parametrize(
    ("status", "payload", "wanted"),
    [
        (400, openai("Unsupported parameter: 'temperature' is not supported with this model.", param="temperature"), without("temperature")),
        (400, openai("Unsupported value: 'temperature' does not support 0.0 with this model. Only the default (1) value is supported."), without("temperature")),
        (400, openai("Unsupported parameter", param="temperature"), without("temperature")),
        (400, openai("`temperature` is deprecated for this model."), without("temperature")),
        (400, openai("`temperature` and `top_p` cannot both be specified for this model. Please use only one."), without("top_p")),
        (400, openai("Unsupported parameter: 'top_p' is not supported with this model."), without("top_p")),
        (422, {"error": "Input validation error: `top_p` must be > 0.0 and < 1.0", "error_type": "validation"}, without("top_p")),
        (422, {"error": "Input validation error: `temperature` must be strictly positive", "error_type": "validation"}, without(temperature=0.01)),
        (422, {"object": "error", "message": forbidden("seed")}, without("seed")),
        (422, forbidden("seed"), without("seed")),
        (400, openai("Unrecognized request argument supplied: seed"), without("seed")),
        (400, openai("Unknown parameter: 'seed'."), without("seed")),
        (400, openai("Invalid 'stop': array too long. Expected an array with maximum length 4"), without(stop=["a", "b", "c", "d"])),
        (400, openai("Unsupported parameter: 'stop' is not supported with this model."), without("stop")),
        (400, openai("Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."), without("max_tokens", max_completion_tokens=8)),
        (422, forbidden("max_tokens"), without("max_tokens", max_completion_tokens=8)),
        (400, openai("System role not supported"), FOLDED),
        (500, openai("Jinja Exception: System role not supported"), FOLDED),
        (400, openai("Conversation roles must alternate user/assistant/user/assistant/..."), FOLDED),
        (400, openai("After the optional system message, conversation roles must alternate"), FOLDED),
        (400, openai("Only user and assistant roles are supported!"), FOLDED),
        (400, openai("This model does not support system messages."), FOLDED),
        (400, openai("Developer instruction is not enabled for models/gemma-3"), FOLDED),
        (400, openai("Unsupported value: 'messages[0].role' does not support 'system' with this model."), FOLDED),
        (400, openai("Unexpected message role."), FOLDED),
        (400, openai("messages: Unexpected role \"system\". Allowed roles are \"user\" or \"assistant\""), FOLDED),
        (422, {"detail": [{"type": "literal_error", "loc": ["body", "messages", 0, "role"], "msg": "Input should be 'user' or 'assistant'", "input": "system"}]}, FOLDED),
    ],
)  # fmt: skip
def test_a_refusal_tells_what_to_change(status: int, payload: Any, wanted: dict[str, Any]) -> None:
    assert after(status, payload) == wanted


@pytest.mark.parametrize(
    ("status", "payload", "kind"),
    [
        (400, openai("temperature is out of range"), BackendError),
        (400, openai("max_tokens must be at most 4096"), BackendError),
        (400, openai("This model's maximum context length is 10 tokens; reduce max_tokens", code="context_length_exceeded"), ContextLengthError),
        (500, openai("the request exceeds the available context size", type="exceed_context_size_error"), ContextLengthError),
        (500, openai("the system had an error; a message was sent to its owners"), BackendError),
        (503, openai("the seed servers are unavailable"), BackendError),
        (400, openai("logprobs are not supported"), UnsupportedError),
        (400, openai("tools are not supported"), UnsupportedError),
        (400, openai("Only one completion choice is allowed"), UnsupportedError),
    ],
)  # fmt: skip
def test_what_is_no_refusal_of_a_field_is_an_error_at_once(status: int, payload: Any, kind: type[Exception]) -> None:
    with pytest.raises(BackendError) as caught:
        after(status, payload)
    assert isinstance(caught.value, kind)
    assert isinstance(caught.value, UnsupportedError) == (kind is UnsupportedError)


def form(schema: dict[str, Any]) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}}


ROOT = "Invalid schema for response_format 'answer': schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{}\"'."


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer"},
        {"type": "array", "items": {"type": "string"}},
        {"enum": ["a", "b"]},
        {"anyOf": [{"type": "null"}]},
    ],
)
def test_a_schema_without_an_object_is_wrapped_and_unwrapped(schema: dict[str, Any]) -> None:
    sent = after(400, openai(ROOT.format(schema.get("type", "None"))), BODY | form(schema))
    outer = sent["response_format"]["json_schema"]["schema"]
    assert outer == {
        "type": "object",
        "properties": {"value": schema},
        "required": ["value"],
        "additionalProperties": False,
    }
    dialect = Dialect("m", (), "enforce")
    dialect._known = ("wrap",)
    assert dialect.unwrapped(BODY | form(schema), '{"value": ["é", 5]}') == '["é", 5]'
    for other in ('{"value": 1, "more": 2}', "5", "no JSON", '["value"]'):
        assert dialect.unwrapped(BODY | form(schema), other) == other
    assert dialect.unwrapped(BODY | form({"type": "object"}), '{"value": 5}') == '{"value": 5}'
    assert Dialect("m", (), "enforce").unwrapped(BODY | form(schema), '{"value": 5}') == '{"value": 5}'


def test_definitions_stay_at_the_root_of_a_wrapped_schema() -> None:
    schema = {"type": "array", "items": {"$ref": "#/$defs/A"}, "$defs": {"A": {"type": "integer"}}}
    sent = after(400, openai(ROOT.format("array")), BODY | form(schema))
    outer = sent["response_format"]["json_schema"]["schema"]
    assert outer["$defs"] == {"A": {"type": "integer"}}
    assert outer["properties"]["value"] == {"type": "array", "items": {"$ref": "#/$defs/A"}}


def test_a_strict_server_gets_every_property_required() -> None:
    inner = {
        "type": "object",
        "properties": {"x": {"type": "integer"}, "y": {"type": "null", "default": {"properties": {}}}},
    }
    schema = {"type": "object", "properties": {"a": inner, "b": {"type": "string"}}, "required": ["a"]}
    told = "Invalid schema for response_format 'answer': 'required' is required to be supplied and to be an array including every key in properties."
    sent = after(400, openai(told), BODY | form(schema))["response_format"]["json_schema"]["schema"]
    assert sent["required"] == ["a", "b"] and sent["properties"]["a"]["required"] == ["x", "y"]
    assert sent["properties"]["a"]["properties"]["y"]["default"] == {"properties": {}}


@pytest.mark.parametrize(
    "said",
    [
        "This response_format type is unavailable now",
        "response_format.type must be one of text, json_object",
        "response_format is not supported by this model",
        "Unrecognized request argument supplied: response_format",
    ],
)
def test_a_refused_response_format_is_an_error_or_left_out_as_set(said: str) -> None:
    body = BODY | form({"type": "object"})
    with pytest.raises(UnsupportedError, match="set schemas='prompt' of the RemoteBackend"):
        after(400, openai(said), body)
    assert after(400, openai(said), body, "prompt") == BODY


def test_what_helped_is_kept_and_what_did_not_is_not() -> None:
    dialect = Dialect("m", (), "enforce")
    sent: list[dict[str, Any]] = []

    async def send(call: dict[str, Any]) -> str:
        sent.append(call)
        if "seed" in call:
            raise status_error(422, forbidden("seed"), what="call", said=error_text(forbidden("seed")))
        if call["model"] == "broken":
            raise BackendError("the engine died")
        return "ok"

    async def main() -> None:
        with pytest.raises(BackendError, match="died"):
            await dialect.ask(BODY | {"model": "broken"}, send)
        assert dialect._known == ()
        with pytest.warns(UserWarning, match="'m': the server refuses seed"):
            await asyncio.gather(*(dialect.ask(BODY, send) for _ in range(5)))
        sent.clear()
        await dialect.ask(BODY, send)

    asyncio.run(main())
    assert sent == [without("seed")]


def test_a_refusal_of_nothing_that_was_sent_is_an_error() -> None:
    with pytest.raises(UnsupportedError, match="top_k"):
        after(400, openai("Unsupported parameter: 'top_k' is not supported."))
