"""Every way in which a server can misbehave, one by one and all together."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

import pytest

from promptkit import (
    BackendError,
    CachedBackend,
    ContextLengthError,
    Prompt,
    RemoteBackend,
    Request,
    Sampling,
    ScriptedBackend,
    UnsupportedError,
)
from promptkit.backends.openai.errors import PermanentError
from promptkit.types import Reply
from tests.support.faults import FAULTS
from tests.support.server import ScriptedServer

KEY = "sk-canary-7f3a9b21c4d8e6f0"
PASSING = {"408", "409", "500", "502", "503", "503-seconds", "504", "cut-body", "gzip-cut", "slow-headers"}
PASSING |= {"stalled-headers", "stalled-body", "reset", "close", "not-http"}
PASSING |= {"html", "empty-body", "deep-json", "truncated-json", "half-character"}
PASSING |= {name for name in FAULTS if name.startswith("429")} - {"429-huge", "429-infinite", "429-no-credit"}
KINDS: dict[str, type[Exception]] = {"400-context": ContextLengthError, "501": UnsupportedError}


def answer(request: Request, index: int) -> str:
    return f" {request.prompt.text} is answered {index}."


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("CANARY_KEY", KEY)
    return "CANARY_KEY"


def remote(server: ScriptedServer, key: str, **settings: float) -> RemoteBackend:
    given = {"read_timeout": 1.0, "total_timeout": 20.0, "retries": 3, "backoff": 0.01, **settings}
    return RemoteBackend(server.base_url, "scripted", api_key_env=key, **given)  # type: ignore[arg-type]


def test_there_are_more_than_forty_ways_to_misbehave() -> None:
    assert len(FAULTS) > 40
    assert set(FAULTS) >= PASSING | set(KINDS)


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_passes_or_is_a_typed_error(fault: str, key: str, capfd: pytest.CaptureFixture[str]) -> None:
    request = Request(Prompt(text="q"), Sampling(temperature=1.0), samples=(5,))
    server = ScriptedServer(ScriptedBackend(answer), api_key=KEY, faults=[fault])
    total = 0.8 if fault == "slow-headers" else 20.0  # which nothing else would end
    with server, remote(server, key, total_timeout=total) as backend:
        if fault in PASSING - {"slow-headers"}:
            assert backend.generate([request])[0].completions[0].text == " q is answered 5."
            assert len(server.seen) == 2
        else:
            with pytest.raises(BackendError) as caught:
                backend.generate([request])
            assert type(caught.value) is KINDS.get(fault, BackendError)
            assert "\n" not in str(caught.value)
            assert len(str(caught.value)) < 700
            assert len(server.seen) == 1
        # Nothing of it stays behind.
        assert backend.generate([request])[0].completions[0].text == " q is answered 5."
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("fault", "shown"),
    [
        ("html", "must be whole JSON, got content-type 'text/html' and '<!doctype html>"),
        ("empty-body", "must be whole JSON, got content-type 'application/json' and an empty body"),
        ("truncated-json", "must be whole JSON, got content-type 'application/json' and '{"),
    ],
)
def test_success_without_json_is_tried_again_and_never_cached(fault: str, shown: str, key: str, tmp_path: Path) -> None:
    request = Request(Prompt(text="q"))
    with ScriptedServer(ScriptedBackend(answer), api_key=KEY, faults=[fault] * 3) as server:
        with CachedBackend(remote(server, key, retries=2), tmp_path / "answers.sqlite") as backend:
            with pytest.raises(BackendError) as caught:
                backend.generate([request])
            assert shown in str(caught.value) and "gave up after 3 tries" in str(caught.value)
            assert len([seen for seen in server.seen if seen.fault]) == 3
            assert backend.generate([request])[0].completions[0].text == " q is answered 0."


def test_trying_again_ends_with_the_deadline(key: str) -> None:
    server = ScriptedServer(ScriptedBackend(answer), api_key=KEY, faults=["html"] * 99)
    with server, remote(server, key, retries=99, total_timeout=0.4, backoff=0.1) as backend:
        with pytest.raises(BackendError, match="must be whole JSON.*beyond total_timeout|total_timeout"):
            backend.generate([Request(Prompt(text="q"))])


def test_a_byte_order_mark_is_no_fault(key: str) -> None:
    with ScriptedServer(ScriptedBackend(answer), api_key=KEY) as server, remote(server, key) as backend:
        response = type("Response", (), {"headers": {}})()
        assert backend._http._parse(b"\xef\xbb\xbf {}", response, "/x") == {}


def test_a_key_that_the_server_blabs_is_taken_out(key: str) -> None:
    server = ScriptedServer(ScriptedBackend(answer), api_key=KEY, faults=["401-blab"])
    with server, remote(server, key) as backend, pytest.raises(PermanentError) as caught:
        backend.generate([Request(Prompt(text="q"))])
    assert "the key [key] is refused" in str(caught.value)
    assert KEY not in repr(caught.value) + repr(backend) + repr(vars(backend))


def test_a_wrong_key_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY_KEY", KEY)
    with ScriptedServer(ScriptedBackend(answer), api_key="another") as server:
        with remote(server, "CANARY_KEY") as backend, pytest.raises(PermanentError, match="status 401") as caught:
            backend.generate([Request(Prompt(text="q"))])
    assert KEY not in str(caught.value)


def test_errors_carry_no_request_that_holds_the_key(key: str) -> None:
    server = ScriptedServer(ScriptedBackend(answer), api_key=KEY, faults=["close"])
    with server, remote(server, key, retries=0) as backend, pytest.raises(BackendError) as caught:
        backend.generate([Request(Prompt(text="q"))])
    error: BaseException | None = caught.value
    while error is not None:
        assert not hasattr(error, "request")
        error = error.__cause__


def sockets() -> int:
    """Number of sockets that this process holds open."""
    links = (os.readlink(f"/proc/self/fd/{number}") for number in _open_files())
    return sum(link.startswith("socket:") for link in links)


def _open_files() -> list[str]:
    return [name for name in os.listdir("/proc/self/fd") if os.path.islink(f"/proc/self/fd/{name}")]


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts open sockets through /proc")
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("calls", [1000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_thousands_of_calls_at_a_fifth_of_faults(
    calls: int, key: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """None lost, none remembered wrong, deadlines kept, ok + failed = asked, no key anywhere, no socket left open.

    What stalls here stalls for an hour, so a deadline that is not kept is a test that does not end.
    """
    caplog.set_level(logging.DEBUG, logger="httpx2")
    before = sockets()
    sampling = Sampling(temperature=1.0)
    requests = [Request(Prompt(text=f"question {n}"), sampling, samples=(n % 7,)) for n in range(calls)]
    server = ScriptedServer(ScriptedBackend(answer), api_key=KEY, fault_rate=0.2, seed=1, stall=3600.0)
    path = tmp_path / "answers.sqlite"
    with server, remote(server, key, total_timeout=4.0) as backend, CachedBackend(backend, path) as cached:
        replies = dict(cached.replies(requests))
        good = {place for place, reply in replies.items() if isinstance(reply, Reply)}
        errors = [str(reply) for reply in replies.values() if isinstance(reply, BackendError)]
        assert sorted(replies) == list(range(calls))
        assert len(good) + len(errors) == calls
        assert len(errors) < calls / 2 < len(good)
        faults = [seen.fault for seen in server.seen if seen.number >= 0]
        assert 0.15 < sum(fault is not None for fault in faults) / len(faults) < 0.25
        assert len(set(faults)) > 0.9 * len(FAULTS)
        # What went well is remembered, and nothing else: only the failed ones are asked again.
        again = dict(cached.replies(requests))
        assert cached.stats.misses == calls + len(errors)
        assert cached.stats.hits == len(good)
        for found in (replies, again):
            for place, reply in found.items():
                if isinstance(reply, Reply):
                    (one,) = reply.completions
                    assert (one.text, one.index) == (answer(requests[place], place % 7), place % 7)
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    printed = "".join(capfd.readouterr()) + caplog.text + "".join(errors)
    assert KEY.encode() not in written
    assert KEY not in printed
    assert len(written) > 10_000
    for _ in range(100):
        if sockets() <= before:
            break
        time.sleep(0.05)
    assert sockets() <= before


def test_the_count_of_sockets_sees_an_open_one() -> None:
    before = sockets()
    with ScriptedServer(ScriptedBackend(answer)) as server, RemoteBackend(server.base_url, "scripted") as backend:
        backend.generate([Request(Prompt(text="q"))])
        assert sockets() > before
