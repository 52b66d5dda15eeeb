"""Assistants on a model server, over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

import promptkit as pk
from tests.support.server import ScriptedServer

from .conftest import QUESTION, assistant_on


class Count(BaseModel):
    number: int
    unit: str


def answer(request: pk.Request, index: int) -> str:
    if request.prompt.messages[-1].content.startswith("Write this answer as JSON"):
        return '{"number": 5, "unit": "apples"}'
    return "2 + 3 is 5 of course. The answer is 5."


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(pk.ScriptedBackend(answer, chat=True)) as running:
        yield running


def test_replies_stream_and_answers_have_types(server: ScriptedServer) -> None:
    with pk.RemoteBackend(server.base_url, "scripted") as backend:
        assistant = assistant_on(backend)
        stream = assistant.chat().stream(QUESTION)
        pieces = list(stream)
        assert "".join(pieces) == "2 + 3 is 5 of course. The answer is 5." == stream.reply.text
        assert len(pieces) > 1
        assert assistant.ask(QUESTION, answer_type=Count) == Count(number=5, unit="apples")
        formats = [body["response_format"] for seen in server.seen if "response_format" in (body := seen.body)]
        assert [one["json_schema"]["schema"]["required"] for one in formats] == [["number", "unit"]]


def test_many_conversations_at_a_time(server: ScriptedServer) -> None:
    with pk.RemoteBackend(server.base_url, "scripted") as backend:
        chats = [assistant_on(backend).chat() for _ in range(8)]

        async def talk() -> list[str]:
            first = await asyncio.gather(*(chat.asend(f"{n}: {QUESTION}") for n, chat in enumerate(chats)))
            second = await asyncio.gather(*(chat.asend("And now?") for chat in chats))
            return [reply.answer or "" for reply in (*first, *second)]

        assert asyncio.run(talk()) == ["5"] * 16


@pytest.mark.parametrize("streams", [True, False])
def test_a_cache_passes_streams_on_or_gives_the_whole_text(
    server: ScriptedServer, tmp_path: Path, streams: bool
) -> None:
    inner: pk.Backend = (
        pk.RemoteBackend(server.base_url, "scripted") if streams else pk.ScriptedBackend(answer, chat=True)
    )
    with pk.CachedBackend(inner, tmp_path / "answers.sqlite") as backend:
        for again in (False, True):
            pieces = list(assistant_on(backend).stream(QUESTION))
            assert "".join(pieces) == "2 + 3 is 5 of course. The answer is 5."
            assert (len(pieces) > 1) == (streams and not again)


def test_a_key_shows_nowhere(server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DESK_KEY", "canary-0123456789")
    with pk.RemoteBackend(server.base_url, "scripted", api_key_env="DESK_KEY") as backend:
        assistant = assistant_on(backend)
        chat = assistant.chat()
        assistant.save(tmp_path / "desk")
        said = [repr(assistant), repr(chat), repr(chat.send(QUESTION)), json.dumps(vars(backend), default=repr)]
    said += [path.read_text(encoding="utf-8") for path in (tmp_path / "desk").rglob("*") if path.is_file()]
    assert not any("canary" in text for text in said)


def typed(server: ScriptedServer, kind: object, **settings: object) -> object:
    with pk.RemoteBackend(server.base_url, "scripted", **settings) as backend:  # type: ignore[arg-type]
        return assistant_on(backend).ask(QUESTION, answer_type=kind)


def scripted_json(text: str, words: str = "I cannot tell.") -> pk.ScriptedBackend:
    """Answers in words, and with a text where JSON is asked for in words."""

    def say(request: pk.Request, index: int) -> str:
        wanted = "as JSON" in (
            request.prompt.messages[-1].content if request.prompt.messages else request.prompt.text or ""
        )
        return text if wanted else words

    return pk.ScriptedBackend(say, chat=True)


def test_a_schema_without_an_object_is_wrapped_for_a_server_that_demands_one() -> None:
    with ScriptedServer(scripted_json('{"value": [5, 6]}'), lacks=["bare_schema"]) as server:
        assert typed(server, list[int]) == [5, 6]
        schemas = [
            b["response_format"]["json_schema"]["schema"] for s in server.seen if "response_format" in (b := s.body)
        ]
        assert [schema["type"] for schema in schemas] == ["array", "object"]


def test_a_refused_response_format_is_an_error_that_says_what_to_do() -> None:
    with ScriptedServer(scripted_json('{"number": 5, "unit": "apples"}'), lacks=["response_format"]) as server:
        with pytest.raises(pk.UnsupportedError, match="set schemas='prompt' of the RemoteBackend"):
            typed(server, Count)


@pytest.mark.parametrize("chat", [True, False])
@pytest.mark.parametrize("frame", ["{}", "```json\n{}\n```", "<think>hm</think>\n{}", "Here it is: {} Done."])
def test_or_the_schema_is_told_in_words_as_set(frame: str, chat: bool) -> None:
    text = frame.replace("{}", '{"number": 5, "unit": "apples"}')
    with ScriptedServer(scripted_json(text), lacks=["response_format"]) as server:
        with pytest.warns(UserWarning, match="response_format.*JSON is only asked for in words"):
            assert typed(server, Count, schemas="prompt", chat=chat) == Count(number=5, unit="apples")
        body = server.seen[-1].body
        assert '"required": ["number", "unit"]' in (body["messages"][-1]["content"] if chat else body["prompt"])


def test_what_was_only_asked_for_is_checked() -> None:
    """The bad twin: without a schema the model says what it likes."""
    with ScriptedServer(scripted_json('{"number": "many"}'), lacks=["response_format"]) as server:
        with pytest.warns(UserWarning), pytest.raises(pk.AnswerTypeError, match="after one repair"):
            typed(server, Count, schemas="prompt")
