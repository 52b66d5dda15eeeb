from __future__ import annotations

import itertools
import json
import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptkit import BackendError, Prompt, RemoteBackend, Request, Sampling, ScriptedBackend, SettingError
from promptkit.backends.openai.protocol import Call
from promptkit.backends.openai.responses import Reading
from promptkit.backends.openai.streaming import DONE, EventReader, StopFilter, StreamedReply
from promptkit.types import Message, Reply
from tests.support.faults import STREAM_FAULTS
from tests.support.openai_wire import answer, events, read_request
from tests.support.server import ScriptedServer

TEXT = " Straße, 苹果 and 🍎: " + "word " * 12
CHAT = Request(Prompt(messages=(Message("user", "Say it."),)), Sampling(max_new_tokens=500))
PLAIN_BODY = {"model": "scripted", "prompt": "Say it.", "max_tokens": 500}
PLAIN = Request(Prompt(text="Say it."), Sampling(max_new_tokens=500))


def pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(places)]


def drain(backend: RemoteBackend, request: Request) -> tuple[list[str], Reply | None, Exception | None]:
    shown: list[str] = []
    stream = backend.stream(request)
    try:
        while True:
            shown.append(next(stream))
    except StopIteration as end:
        return shown, end.value, None
    except BackendError as error:
        return shown, None, error


@given(st.lists(st.text(st.characters(exclude_characters="\r\n", codec="utf-8"))), st.lists(st.integers(0, 400)))
def test_events_are_the_same_however_the_network_cuts_them(texts: list[str], cuts: list[int]) -> None:
    for end in ("\n", "\r\n", "\r"):
        body = "".join(f": note{end}data: {text}{end}{end}" for text in texts).encode()
        parser = EventReader()
        found = [data for piece in pieces(body, cuts) for data in parser.feed(piece)]
        found += parser.feed(b"\n")  # a lone carriage return at the end waits for what follows
        assert found == texts


def test_data_of_several_lines_is_one_event() -> None:
    assert list(EventReader().feed(b"event: x\ndata: one\ndata:two\nid: 7\n\n")) == ["one\ntwo"]


def test_a_line_without_end_is_refused() -> None:
    parser = EventReader()
    with pytest.raises(ValueError, match="longer than"):
        for _ in range(40):
            list(parser.feed(b"x" * 2**16))


@given(st.text("abc"), st.lists(st.text("abc", min_size=1), max_size=3), st.lists(st.integers(0, 30)))
def test_stop_texts_are_found_over_pieces_and_nothing_is_lost(text: str, stops: list[str], cuts: list[int]) -> None:
    keep = StopFilter(stops)
    shown = "".join(keep.feed(piece.decode()) for piece in pieces(text.encode(), cuts)) + keep.rest()
    assert text.startswith(shown)
    assert not any(stop in shown for stop in stops)
    assert keep.stopped == any(stop in text for stop in stops)
    assert keep.stopped or shown == text


@pytest.mark.parametrize("request_", [CHAT, PLAIN], ids=["chat", "completion"])
def test_pieces_are_the_text_of_generate(request_: Request) -> None:
    with ScriptedServer(ScriptedBackend([TEXT])) as server, RemoteBackend(server.base_url, "scripted") as backend:
        shown, reply, error = drain(backend, request_)
        whole = backend.generate([request_])[0]
    assert error is None and reply is not None
    assert len(shown) > 10
    assert "".join(shown) == TEXT
    assert reply.completions == whole.completions
    assert (reply.usage.prompt_tokens, reply.usage.generated_tokens) == (
        whole.usage.prompt_tokens,
        whole.usage.generated_tokens,
    )
    assert reply.usage.seconds > 0


def test_the_token_limit_is_told() -> None:
    with ScriptedServer(ScriptedBackend([TEXT])) as server, RemoteBackend(server.base_url, "scripted") as backend:
        _, reply, _ = drain(backend, Request(Prompt(text="Say it."), Sampling(max_new_tokens=3)))
    assert reply is not None
    assert reply.completions[0].finish == "length"


def long_stream() -> tuple[str, bytes]:
    """A text with signs of three bytes, and the events in which it comes, more than 2 kB."""
    body = PLAIN_BODY | {"stream": True}
    asked = read_request(False, body, model="scripted", lacks=(), drawn=lambda prompt, count: 0)
    script = ScriptedBackend([" 词" * 14])
    stream = b"".join(events(asked, answer(script, asked)[0]))
    assert len(stream) > 2000
    return " 词" * 14, stream


def test_a_stream_cut_at_any_byte_is_never_an_answer() -> None:
    whole, stream = long_stream()
    for at in range(len(stream) + 1):
        reading = StreamedReply(Call("/completions", PLAIN_BODY, (0,), ()), Reading("call", len))
        shown = "".join(text for piece in (stream[: at // 2], stream[at // 2 : at]) for text in reading.feed(piece))
        assert whole.startswith(shown)
        try:
            list(reading.end())
        except BackendError:
            assert at < len(stream)
        else:  # only the last line break may be missing: the end mark stands before it
            assert at >= len(stream) - 1
            assert reading.reply(0.0).completions[0].text == whole


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("step", [97, pytest.param(1, marks=pytest.mark.slow)])
def test_a_connection_cut_at_any_byte_is_a_typed_error(step: int) -> None:
    whole, stream = long_stream()
    server = ScriptedServer(ScriptedBackend([whole]))
    # Without retries: cut before its first byte, a stream is asked for again.
    with server, RemoteBackend(server.base_url, "scripted", retries=0) as backend:
        for at in range(0, len(stream) - 1, step):
            server.schedule(f"stream-cut:{at}")
            shown, reply, error = drain(backend, PLAIN)
            assert (reply, type(error)) == (None, BackendError), at
            assert whole.startswith("".join(shown))


@pytest.mark.parametrize("fault", STREAM_FAULTS)
def test_every_broken_stream_is_a_typed_error(fault: str) -> None:
    server = ScriptedServer(ScriptedBackend([TEXT]), faults=[fault])
    with server, RemoteBackend(server.base_url, "scripted", read_timeout=1.0, retries=0) as backend:
        shown, reply, error = drain(backend, CHAT)
        assert (reply, type(error)) == (None, BackendError)
        assert TEXT.startswith("".join(shown)) or fault == "stream-bad-character"
        # Nothing of it stays: the next one is whole.
        assert "".join(drain(backend, CHAT)[0]) == TEXT


def test_the_beginning_of_a_stream_is_tried_again_and_its_middle_never() -> None:
    server = ScriptedServer(ScriptedBackend([TEXT]), faults=["503", "close", None, "stream-cut:400"])
    with server, RemoteBackend(server.base_url, "scripted", backoff=0.01) as backend:
        assert "".join(drain(backend, CHAT)[0]) == TEXT
        assert len(server.seen) == 3
        assert drain(backend, CHAT)[2] is not None
        assert len(server.seen) == 4


def test_a_stream_that_nobody_reads_to_its_end_hangs_up() -> None:
    with (
        ScriptedServer(ScriptedBackend([TEXT]), faults=["stream-stalled"]) as server,
        RemoteBackend(server.base_url, "scripted") as backend,
    ):
        stream = backend.stream(CHAT)
        next(stream)
        stream.close()
        backend.close()
        assert _eventually_zero(server)


def _eventually_zero(server: ScriptedServer) -> bool:
    for _ in range(200):
        if server.connections == 0:
            return True
        time.sleep(0.02)
    return False


def test_only_one_sample_can_be_streamed() -> None:
    backend = RemoteBackend("http://127.0.0.1:9/v1", "any")
    with pytest.raises(SettingError, match="samples must be one index"):
        next(backend.stream(Request(Prompt(text="x"), samples=(0, 1))))


def test_a_last_chunk_is_no_end_without_the_end_mark() -> None:
    answer = StreamedReply(Call("/completions", {"prompt": "x"}, (0,), ()), Reading("call", len))
    chunk = b'data: {"choices": [{"index": 0, "text": "a", "finish_reason": "stop"}]}\n\n'
    assert list(answer.feed(chunk)) == ["a"]
    with pytest.raises(BackendError, match="ended before its end mark"):
        list(answer.end())
    list(answer.feed(f"data: {DONE}\n\n".encode()))
    list(answer.end())
    assert answer.reply(0.5).completions[0].text == "a"


def sse(*chunks: object) -> bytes:
    return b"".join(
        b"data: " + (c if isinstance(c, bytes) else json.dumps(c).encode()) + b"\n\n" for c in (*chunks, b"[DONE]")
    )


def piece(text: object, finish: object = None, **more: object) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish, **more}]}


def streamed(body: bytes) -> tuple[str, str]:
    stream = StreamedReply(Call("/chat/completions", {"messages": []}, (0,), ()), Reading("call", len))
    shown = "".join([*stream.feed(body), *stream.end()])
    (found,) = stream.reply(1.0).completions
    assert found.text == shown
    return shown, found.finish


PARIS, END = piece("Paris"), piece(None, "stop")


@pytest.mark.parametrize(
    "chunks",
    [
        (PARIS, END),
        (PARIS, END, {"choices": None, "usage": {"prompt_tokens": 5}}),
        (PARIS, END, {"usage": {"prompt_tokens": 5}}),
        ({"choices": []}, PARIS, END),
        (PARIS, b"null", END),
        (PARIS, b"", END),
        (PARIS, [], END),
        (PARIS, {}, END),
        (piece("Paris", index=None), END),
        ({"choices": [{"delta": {"content": "Paris"}}]}, {"choices": [{"delta": {}, "finish_reason": "stop"}]}),
        (piece("Paris", ""), END, piece(None, "")),
        (PARIS, piece(None, "STOP")),
        ({"choices": [{"message": {"content": "Paris"}, "finish_reason": "stop"}]},),
        (piece([{"type": "text", "text": "Pa"}]), piece([{"type": "text", "text": "ris"}]), END),
        (piece([{"type": "thinking", "thinking": "hm"}]), PARIS, END),
        ({"choices": [{"index": 0, "delta": {"reasoning_content": "hm", "content": None}}]}, PARIS, END),
        ({"choices": [{"index": 0, "delta": None}]}, PARIS, END),
        (PARIS | {"error": None}, END),
    ],
)
def test_oddities_of_streams_change_nothing(chunks: tuple[object, ...]) -> None:
    assert streamed(sse(*chunks)) == ("Paris", "eos")


def test_a_stream_that_was_cut_says_so_in_any_spelling() -> None:
    for finish in ("length", "model_length", "MAX_TOKENS"):
        assert streamed(sse(PARIS, piece(None, finish))) == ("Paris", "length")


@pytest.mark.parametrize(
    ("chunks", "reason"),
    [
        (({"choices": [{"delta": {"reasoning": "the answer is 5"}}]}, END), "only reasoning came: turn"),
        (
            ({"choices": [{"delta": {"reasoning_content": "long"}}]}, piece(None, "length")),
            "only reasoning came: raise",
        ),
        ((piece([{"type": "thinking", "thinking": "hm"}]), END), "only reasoning came"),
        ((PARIS, {"object": "error", "message": "engine died"}, END), "holds an error: engine died"),
        ((PARIS, b"5", END), "must be of chunks"),
        ((PARIS, {"choices": "x"}, END), "must be of chunks"),
        ((PARIS, piece("x", index=1), END), "must have one choice"),
        ((PARIS, piece("x", index="0"), END), "must have one choice"),
        ((PARIS, piece(None, "content_filter")), "be whole"),
        ((PARIS, piece(None, "")), "be whole"),
        ((piece([{"type": "image"}]), END), "hold parts of text only"),
    ],
)
def test_what_is_no_whole_stream_is_refused(chunks: tuple[object, ...], reason: str) -> None:
    with pytest.raises(BackendError, match=reason):
        streamed(sse(*chunks))


@pytest.mark.parametrize("fault", ["html", "empty-body", "503", "close"])
def test_the_beginning_of_a_stream_is_tried_again(fault: str) -> None:
    server = ScriptedServer(ScriptedBackend([TEXT]), faults=[fault] * 2)
    with server, RemoteBackend(server.base_url, "scripted", retries=2, backoff=0.01) as backend:
        shown, reply, error = drain(backend, PLAIN)
        assert ("".join(shown), error, len(server.seen)) == (TEXT, None, 3)
        server.schedule(fault, fault, fault)
        shown, reply, error = drain(backend, PLAIN)
        assert (shown, reply) == ([], None) and "gave up after 3 tries" in str(error)
        assert drain(backend, PLAIN)[0], "and nothing of it stays behind"
