"""In how many ways a model server can misbehave, each by name, so that a client can be tried against all of them."""

from __future__ import annotations

import asyncio
import functools
import json
import socket
import struct
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http import HTTPStatus
from typing import Any

from tests.support.openai_wire import error_body

__all__ = ["FAULTS", "STREAM_FAULTS", "Exchange", "misbehave"]

_PIECE = b"x" * 2**16
_ENDLESS = 1024  # pieces: twice what a client may read


@dataclass(slots=True)
class Exchange:
    """One call that is to be answered.

    Attributes:
        parser: Where the client speaks; at its end the client hung up.
        writer: Where the answer goes.
        payload: The right answer, to be spoilt.
        events: The right events, where the answer is streamed; else empty.
        stall: Seconds for which something that never comes is waited for.
        key: The API key, for a server that blabs.
        keep: Whether the connection can serve another call.
    """

    parser: asyncio.StreamReader
    writer: asyncio.StreamWriter
    payload: dict[str, Any]
    events: list[bytes]
    stall: float
    key: str
    keep: bool = False

    async def send(
        self,
        status: int,
        body: bytes,
        kind: str = "application/json",
        *,
        length: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Sends a response; ``length`` is what it says of its body, if that is not the truth."""
        self.keep = length is None
        announced = str(len(body) if length is None else length)
        self.head(status, {"content-type": kind, "content-length": announced, **(headers or {})})
        self.writer.write(body)
        await self.writer.drain()

    def head(self, status: int, headers: dict[str, str]) -> None:
        """Sends the status and the headers."""
        reason = HTTPStatus(status).phrase
        lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in headers.items())]
        self.writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())

    async def hang(self) -> None:
        """Says nothing more until the client hangs up."""
        try:
            await asyncio.wait_for(self.parser.read(1), self.stall)
        except TimeoutError:
            return


Fault = Callable[[Exchange], Awaitable[None]]


def _status(status: int, message: str = "try again", code: str = "server_error", after: str = "") -> Fault:
    async def fault(exchange: Exchange) -> None:
        headers = {"retry-after": after} if after else {}
        await exchange.send(status, error_body(message, code), headers=headers)

    return fault


async def _date(exchange: Exchange) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=1), usegmt=True)
    await exchange.send(429, error_body("try again", "rate_limit"), headers={"retry-after": date})


async def _blab(exchange: Exchange) -> None:
    await exchange.send(401, error_body(f"the key {exchange.key} is refused", "invalid_api_key"))


async def _redirect(exchange: Exchange) -> None:
    await exchange.send(307, b"", headers={"location": "http://127.0.0.1:9/v1/elsewhere"})


def _body(body: bytes, kind: str = "application/json", status: int = 200) -> Fault:
    async def fault(exchange: Exchange) -> None:
        await exchange.send(status, body, kind)

    return fault


def _spoilt(change: Callable[[dict[str, Any]], object]) -> Fault:
    """The right answer with one thing wrong in it."""

    async def fault(exchange: Exchange) -> None:
        payload = json.loads(json.dumps(exchange.payload))
        changed = change(payload)
        await exchange.send(200, json.dumps(payload if changed is None else changed).encode())

    return fault


def _set_text(payload: dict[str, Any], text: object) -> None:
    for choice in payload["choices"]:
        holder = choice["message"] if "message" in choice else choice
        holder["content" if "message" in choice else "text"] = text


def _set(payload: dict[str, Any], name: str, value: object) -> None:
    for choice in payload["choices"]:
        choice[name] = value


def _cut(keep: float, announced: bool) -> Fault:
    """The right answer without its end; ``announced`` if the length tells."""

    async def fault(exchange: Exchange) -> None:
        body = json.dumps(exchange.payload).encode()
        part = body[: int(len(body) * keep)]
        await exchange.send(200, part, length=len(body) if announced else None)

    return fault


async def _half_character(exchange: Exchange) -> None:
    payload = json.loads(json.dumps(exchange.payload))
    _set_text(payload, "MARK")
    await exchange.send(200, json.dumps(payload).encode().replace(b"MARK", "é".encode()[:1]))


@functools.cache
def _bomb() -> bytes:
    packer = zlib.compressobj(wbits=31)
    first, again = (packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return first + again * 63 + packer.flush()


async def _gzip_bomb(exchange: Exchange) -> None:
    await exchange.send(200, _bomb(), headers={"content-encoding": "gzip"})


async def _gzip_cut(exchange: Exchange) -> None:
    packer = zlib.compressobj(wbits=31)
    body = packer.compress(json.dumps(exchange.payload).encode()) + packer.flush()
    await exchange.send(200, body[:-12], headers={"content-encoding": "gzip"})


async def _huge_body(exchange: Exchange) -> None:
    await exchange.send(200, _PIECE, length=2**30)
    await exchange.hang()


async def _endless_body(exchange: Exchange) -> None:
    exchange.head(200, {"content-type": "application/json", "transfer-encoding": "chunked"})
    for _ in range(_ENDLESS):
        exchange.writer.write(b"10000\r\n" + _PIECE + b"\r\n")
        await exchange.writer.drain()


async def _slow_headers(exchange: Exchange) -> None:
    exchange.writer.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(int(exchange.stall / 0.05)):
        exchange.writer.write(f"x-slow-{number}: 1\r\n".encode())
        await exchange.writer.drain()
        await asyncio.sleep(0.05)


async def _stalled_headers(exchange: Exchange) -> None:
    exchange.writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: appl")
    await exchange.hang()


async def _stalled_body(exchange: Exchange) -> None:
    body = json.dumps(exchange.payload).encode()
    await exchange.send(200, body[: len(body) // 2], length=len(body))
    await exchange.hang()


async def _reset(exchange: Exchange) -> None:
    plug = exchange.writer.get_extra_info("socket")
    plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    exchange.writer.transport.abort()


async def _close(exchange: Exchange) -> None:
    exchange.writer.close()


async def _not_http(exchange: Exchange) -> None:
    exchange.writer.write(b"\x00\x01\x02 this is no HTTP\r\n\r\n")
    await exchange.writer.drain()


async def _events(exchange: Exchange, body: bytes) -> None:
    """Sends events and closes: without chunks, nothing but the events themselves tells whether they are whole."""
    exchange.head(200, {"content-type": "text/event-stream", "connection": "close"})
    exchange.writer.write(body)
    await exchange.writer.drain()


async def _stream_cut(exchange: Exchange, at: int | None = None) -> None:
    body = b"".join(exchange.events)
    await _events(exchange, body[: len(body) // 2 if at is None else at])


async def _stream_stalled(exchange: Exchange) -> None:
    await _events(exchange, b"".join(exchange.events[:1]))
    await exchange.hang()


async def _stream_half_character(exchange: Exchange) -> None:
    await _events(exchange, b"".join(exchange.events[:1]) + b'data: {"choices": [{"text": "\xc3')


async def _stream_bad_character(exchange: Exchange) -> None:
    await _events(exchange, b'data: {"choices": [{"text": "\xc3"}]}\n\n' + b"".join(exchange.events))


async def _stream_no_done(exchange: Exchange) -> None:
    await _events(exchange, b"".join(exchange.events[:-1]))


async def _stream_no_finish(exchange: Exchange) -> None:
    await _events(exchange, b"".join(event for event in exchange.events if b'"finish_reason": "' not in event))


async def _stream_error(exchange: Exchange) -> None:
    broken = b"data: " + error_body("the engine died", "server_error") + b"\n\n"
    await _events(exchange, exchange.events[0] + broken + exchange.events[-1])


async def _stream_garbage(exchange: Exchange) -> None:
    await _events(exchange, exchange.events[0] + b"data: {not json\n\n" + b"".join(exchange.events[1:]))


_HTML = b"<!doctype html><html><body><h1>Welcome</h1></body></html>"

FAULTS: dict[str, Fault] = {
    "429-seconds": _status(429, after="0.02"),
    "429-date": _date,
    "429-huge": _status(429, after="86400"),
    "429-nan": _status(429, after="nan"),
    "429-infinite": _status(429, after="inf"),
    "429-negative": _status(429, after="-5"),
    "429-garbage": _status(429, after="soon; really"),
    "429-plain": _status(429),
    "429-no-credit": _status(429, "you have no credit left", "insufficient_quota"),
    "408": _status(408),
    "409": _status(409),
    "500": _status(500),
    "502": _body(_HTML, "text/html", 502),
    "503": _status(503),
    "503-seconds": _status(503, after="0.01"),
    "504": _status(504),
    "400": _status(400, "temperature is out of range", "invalid_request_error"),
    "400-context": _status(400, "maximum context length is 10 tokens", "context_length_exceeded"),
    "403": _status(403, "not for you", "permission_denied"),
    "501": _status(501, "not implemented", "unsupported"),
    "redirect": _redirect,
    "html": _body(_HTML, "text/html"),
    "empty-body": _body(b""),
    "not-an-object": _body(b"[1, 2]"),
    "deep-json": _body(b"[" * 100_000),
    "error-in-200": _body(error_body("the engine is overloaded", "server_error")),
    "truncated-json": _cut(0.6, announced=False),
    "cut-body": _cut(0.6, announced=True),
    "half-character": _half_character,
    "null-content": _spoilt(lambda payload: _set_text(payload, None)),
    "number-content": _spoilt(lambda payload: _set_text(payload, 5)),
    "lone-surrogate": _spoilt(lambda payload: _set_text(payload, "\ud800")),
    "missing-choices": _spoilt(lambda payload: {"id": payload["id"]}),
    "empty-choices": _spoilt(lambda payload: payload | {"choices": []}),
    "too-few-choices": _spoilt(lambda payload: payload | {"choices": payload["choices"][:-1]}),
    "too-many-choices": _spoilt(lambda payload: payload | {"choices": payload["choices"] * 2}),
    "choices-no-objects": _spoilt(lambda payload: payload | {"choices": ["text"] * len(payload["choices"])}),
    "no-finish-reason": _spoilt(lambda payload: _set(payload, "finish_reason", None)),
    "content-filter": _spoilt(lambda payload: _set(payload, "finish_reason", "content_filter")),
    "gzip-bomb": _gzip_bomb,
    "gzip-cut": _gzip_cut,
    "huge-body": _huge_body,
    "endless-body": _endless_body,
    "slow-headers": _slow_headers,
    "stalled-headers": _stalled_headers,
    "stalled-body": _stalled_body,
    "reset": _reset,
    "close": _close,
    "not-http": _not_http,
}
"""Ways to misbehave in any answer, by name; "401-blab", which ends all work, and "duplicate-index", of several
choices, are known too, but not among those drawn by chance."""

STREAM_FAULTS: dict[str, Fault] = {
    "stream-cut": _stream_cut,
    "stream-stalled": _stream_stalled,
    "stream-half-character": _stream_half_character,
    "stream-bad-character": _stream_bad_character,
    "stream-no-done": _stream_no_done,
    "stream-no-finish": _stream_no_finish,
    "stream-error": _stream_error,
    "stream-garbage": _stream_garbage,
}
"""Ways to misbehave in a streamed answer. "stream-cut" is cut in its middle, "stream-cut:100" after so many bytes."""

_OTHERS: dict[str, Fault] = {
    "401-blab": _blab,
    "404": _status(404, "there is no such model", "model_not_found"),
    "duplicate-index": _spoilt(lambda payload: _set(payload, "index", 0)),
}


async def misbehave(name: str, exchange: Exchange) -> None:
    """Answers a call in a wrong way.

    Args:
        name: A name of ``FAULTS`` or ``STREAM_FAULTS``, "401-blab", "404", "duplicate-index" or "stream-cut:BYTES".
        exchange: The call.
    """
    kind, _, number = name.partition(":")
    if number:
        await _stream_cut(exchange, int(number))
        return
    if kind in STREAM_FAULTS and not exchange.events:
        await FAULTS["cut-body"](exchange)
        return
    await {**FAULTS, **STREAM_FAULTS, **_OTHERS}[kind](exchange)
