from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from typing import Any

import pytest

from promptkit import ScriptedBackend, SettingError
from tests.support.faults import FAULTS, STREAM_FAULTS
from tests.support.server import ScriptedServer


def call(server: ScriptedServer, path: str, body: Any = None, key: str = "") -> tuple[int, Any, dict[str, str]]:
    """Calls with the standard library alone, as no client of promptkit would hide anything."""
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    request = urllib.request.Request(server.base_url + path, data, headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, json.load(response), dict(response.headers)
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"null"), dict(error.headers)


def plain(**more: Any) -> dict[str, Any]:
    return {"model": "scripted", "prompt": "2 + 2 =", "max_tokens": 9, **more}


def served(*answers: str, **options: Any) -> ScriptedServer:
    return ScriptedServer(ScriptedBackend(list(answers) or [" 4", " four", " IV"]), **options)


def test_completions_chat_and_models() -> None:
    with served() as server:
        status, found, _ = call(server, "/completions", plain(temperature=0))
        assert (status, found["object"], found["model"]) == (200, "text_completion", "scripted")
        assert found["choices"] == [{"index": 0, "text": " 4", "finish_reason": "stop", "logprobs": None}]
        assert found["usage"] == {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6}
        body = {"model": "scripted", "messages": [{"role": "user", "content": "2 + 2 ="}], "max_completion_tokens": 1}
        _, found, _ = call(server, "/chat/completions", body)
        assert found["choices"][0]["message"] == {"role": "assistant", "content": " 4"}
        assert found["choices"][0]["finish_reason"] == "length"
        assert call(server, "/models")[1]["data"][0]["id"] == "scripted"
        assert [seen.number for seen in server.seen] == [0, 1, -1]


def test_a_seed_gets_its_sample_and_others_the_next() -> None:
    with served() as server:

        def texts(**more: Any) -> list[str]:
            return [choice["text"] for choice in call(server, "/completions", plain(**more))[1]["choices"]]

        assert texts(seed=2**14 + 2) == texts(seed=2) == [" IV"]
        assert texts(n=2) == [" 4", " four"]
        assert texts(n=2) == [" IV", " 4"]
        assert texts(prompt="another") == [" 4"]
        assert texts(temperature=0) == texts(temperature=0) == [" 4"]


def test_a_stream_is_the_same_text_in_events() -> None:
    with served(" one two") as server:
        request = urllib.request.Request(
            server.base_url + "/completions", json.dumps(plain(stream=True)).encode(), {"x": "y"}
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            assert response.headers["content-type"] == "text/event-stream"
            events = response.read().decode().split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    chunks = [json.loads(event.removeprefix("data: ")) for event in events[:-2]]
    assert [chunk["choices"][0]["text"] for chunk in chunks[:-1]] == [" one", " two", ""]
    assert chunks[-1]["usage"]["completion_tokens"] == 3


def test_logprobs_and_echo() -> None:
    script = ScriptedBackend([" 4 5"], scores=lambda request, text: -float(len(request.prompt.text or "")))
    with ScriptedServer(script) as server:
        told = call(server, "/completions", plain(logprobs=1))[1]["choices"][0]["logprobs"]
        assert told == {"tokens": [" 4", " 5"], "token_logprobs": [-1.0, -1.0]}
        choice = call(server, "/completions", plain(logprobs=1, echo=True))[1]["choices"][0]
    assert choice["text"] == "2 + 2 = 4 5"
    assert choice["logprobs"] == {
        "tokens": ["2", " +", " 2", " =", " 4"],
        "token_logprobs": [None, -1.0, -3.0, -5.0, -1.0],
    }


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/completions", plain(model="other"), 404),
        ("/completions", {"model": "scripted"}, 400),
        ("/completions", [], 400),
        ("/completions", plain(n=0), 400),
        ("/completions", plain(n=10**9), 400),
        ("/completions", plain(max_tokens=0), 400),
        ("/completions", plain(temperature=99), 400),
        ("/completions", plain(prompt=""), 400),
        ("/completions", plain(prompt="word " * 5000), 400),
        ("/chat/completions", {"model": "scripted", "messages": "x"}, 400),
        ("/chat/completions", {"model": "scripted", "messages": [{"role": "user"}]}, 400),
        ("/chat/completions", {"model": "scripted", "messages": []}, 400),
        ("/embeddings", plain(), 404),
        ("/nothing", None, 404),
    ],
)
def test_wrong_calls_are_refused_as_servers_do(path: str, body: Any, status: int) -> None:
    with served() as server:
        found, payload, _ = call(server, path, body)
        assert (found, set(payload["error"])) == (status, {"message", "type", "param", "code"})
        assert call(server, "/completions", plain())[0] == 200


def test_a_prompt_that_is_too_long_has_its_code() -> None:
    with served() as server:
        assert call(server, "/completions", plain(prompt="x " * 9999))[1]["error"]["code"] == "context_length_exceeded"


def test_a_script_that_fails_is_a_500() -> None:
    def broken(request: object, index: int) -> str:
        raise KeyError("oops")

    with ScriptedServer(ScriptedBackend(broken)) as server:
        status, payload, _ = call(server, "/completions", plain())
    assert (status, payload["error"]["message"]) == (500, "the script failed: KeyError('oops')")


def test_the_key_is_asked_for() -> None:
    with served(api_key="right") as server:
        assert [call(server, "/models", key=key)[0] for key in ("", "wrong", "right")] == [401, 401, 200]


@pytest.mark.parametrize(
    ("lack", "path", "body", "status"),
    [
        ("chat", "/chat/completions", {"model": "scripted", "messages": [{"role": "user", "content": "x"}]}, 404),
        ("completions", "/completions", plain(), 404),
        ("models", "/models", None, 404),
        ("seed", "/completions", plain(seed=1), 400),
    ],
)
def test_what_it_lacks_it_refuses(lack: str, path: str, body: Any, status: int) -> None:
    with served() as server:
        assert call(server, path, body)[0] == 200
    with served(lacks=[lack]) as server:
        assert call(server, path, body)[0] == status


def test_n_and_logprobs_that_it_lacks_are_passed_over() -> None:
    with served(lacks=["n", "logprobs"]) as server:
        (choice,) = call(server, "/completions", plain(n=3, logprobs=1, echo=True))[1]["choices"]
    assert (choice["text"], choice["logprobs"]) == (" 4", None)


def test_faults_come_in_their_order_and_end() -> None:
    with served(faults=["503", None, "429-seconds"]) as server:
        found = [call(server, "/completions", plain()) for _ in range(4)]
        server.schedule("500")
        found.append(call(server, "/completions", plain()))
    assert [status for status, _, _ in found] == [503, 200, 429, 200, 500]
    assert found[2][2]["retry-after"] == "0.02"
    assert [seen.fault for seen in server.seen] == ["503", None, "429-seconds", None, "500"]


def test_a_rate_of_faults_is_drawn_by_seed() -> None:
    def faults(seed: int) -> list[str | None]:
        with served(fault_rate=0.3, fault_kinds=["503", "500"], seed=seed) as server:
            for _ in range(30):
                call(server, "/completions", plain())
            return [seen.fault for seen in server.seen]

    first = faults(1)
    assert first == faults(1) != faults(2)
    assert 3 < sum(fault is not None for fault in first) < 16
    assert set(first) == {"503", "500", None}


@pytest.mark.parametrize("options", [{"faults": ["nonsense"]}, {"fault_kinds": ["50"]}])
def test_unknown_faults_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match="names of FAULTS"):
        served(**options)
    with pytest.raises(SettingError, match="names of FAULTS"):
        served().schedule("nonsense")


@pytest.mark.parametrize("fault", [*FAULTS, *STREAM_FAULTS])
def test_every_fault_differs_from_the_right_answer(fault: str) -> None:
    """The bad twin of all tests that use them: a fault that changes nothing would prove nothing."""

    def raw(server: ScriptedServer, stream: bool) -> bytes:
        body = json.dumps(plain(temperature=0, stream=stream)).encode()
        host, port = server.base_url.removeprefix("http://").removesuffix("/v1").split(":")
        with socket.create_connection((host, int(port)), timeout=0.4) as plug:
            head = f"POST /v1/completions HTTP/1.1\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
            plug.sendall(head.encode() + body)
            found = b""
            try:
                while len(found) < 200_000 and (part := plug.recv(65536)):
                    found += part
            except (TimeoutError, ConnectionError) as error:
                found += type(error).__name__.encode()
            return found

    with served(faults=[fault], stall=1.0) as server:
        stream = fault in STREAM_FAULTS
        wrong = raw(server, stream)
        right = raw(server, stream)
    assert right.startswith(b"HTTP/1.1 200 OK")
    assert wrong != right


def test_stopping_closes_every_connection() -> None:
    with served() as server:
        plug = socket.create_connection(("127.0.0.1", int(server.base_url.split(":")[2].removesuffix("/v1"))))
        call(server, "/models")
    assert plug.recv(1) == b""
    assert server.connections == 0
    plug.close()
