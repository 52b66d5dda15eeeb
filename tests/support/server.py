"""A model server for tests: real HTTP on this machine, answers from a script, and misbehaviour on demand."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import random
import threading
from collections import Counter, deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from promptkit.backends import Backend
from promptkit.errors import SettingError, error_message
from promptkit.types import Prompt
from tests.support.faults import FAULTS, STREAM_FAULTS, Exchange, misbehave
from tests.support.openai_wire import ParsedRequest, RefusedError, answer, error_body, events, read_request

__all__ = ["ScriptedServer", "Seen"]

_CHAT, _COMPLETIONS, _MODELS = "/v1/chat/completions", "/v1/completions", "/v1/models"
_MAX_BODY = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Seen:
    """A call that the server got.

    Attributes:
        number: Which of all posted calls it was, from 0; -1 for one that asked for the list of models.
        path: Where it went.
        body: Its JSON data.
        fault: How the server misbehaved, or ``None``.
    """

    number: int
    path: str
    body: Any
    fault: str | None


class ScriptedServer:
    """Speaks OpenAI's protocol on 127.0.0.1: ``/v1/chat/completions``, ``/v1/completions``, ``/v1/models``.

    A call with a seed gets the sample whose index is in the seed's lower 14 bits, as ``RemoteBackend`` puts it
    there, so a seed always gets the same sample; a call without one gets the next samples of its prompt, and at
    temperature 0 always the first.

    Args:
        backend: Knows the answers, for example a ``ScriptedBackend``. Where log-probabilities are asked for, a token of
            a completion has -1, and an echoed one what the backend scores.
        api_key: The key that callers must show, if any.
        faults: How to misbehave in the first posted calls, in order: names of ``FAULTS`` and ``STREAM_FAULTS``, or
            ``None`` to behave.
        fault_rate: Share of the further posted calls in which to misbehave, from 0 to 1.
        fault_kinds: Names to draw from; all of ``FAULTS`` by default, and ``STREAM_FAULTS`` where the call streams.
        seed: Seed of drawing them.
        lacks: What it does not offer: any of chat, completions, models, n, logprobs, system, greedy, bare_schema,
            and the fields seed, temperature, top_p, stream_options, stop, max_tokens, response_format.
        latency: Seconds before every answer.
        stall: Seconds for which a stalled answer is waited for.

    Attributes:
        seen: The calls that came, in order.
        most_at_once: Most calls that were being answered at one time.

    Raises:
        SettingError: A name is unknown.

    Example:
        >>> import json, urllib.request
        >>> from promptkit import ScriptedBackend
        >>> with ScriptedServer(ScriptedBackend([" Paris"])) as server:
        ...     listed = json.load(urllib.request.urlopen(server.base_url + "/models"))
        >>> listed["data"][0]["id"]
        'scripted'
    """

    def __init__(
        self,
        backend: Backend,
        *,
        api_key: str = "",
        faults: Sequence[str | None] = (),
        fault_rate: float = 0.0,
        fault_kinds: Collection[str] = (),
        seed: int = 0,
        lacks: Collection[str] = (),
        latency: float = 0.0,
        stall: float = 30.0,
    ) -> None:
        _check_names([*faults, *fault_kinds])
        self._backend = backend
        self._api_key = api_key
        self._faults = deque(faults)
        self._rate = fault_rate
        self._kinds = sorted(fault_kinds or FAULTS)
        self._stream_kinds = sorted(fault_kinds or [*FAULTS, *STREAM_FAULTS])
        self._random = random.Random(seed)
        self._lacks = frozenset(lacks)
        self._latency = latency
        self._stall = stall
        self._drawn: Counter[str] = Counter()
        self._posted = 0
        self._busy = 0
        self._connections: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._port = 0
        self.seen: list[Seen] = []
        self.most_at_once = 0

    @property
    def base_url(self) -> str:
        """Its address, up to the version."""
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def connections(self) -> int:
        """Number of connections that are open."""
        return len(self._connections)

    def schedule(self, *faults: str | None) -> None:
        """Tells how to misbehave in the next posted calls, after what was told before.

        Args:
            faults: Names, or ``None`` to behave.

        Raises:
            SettingError: A name is unknown.
        """
        _check_names(faults)
        self._faults.extend(faults)

    def __enter__(self) -> ScriptedServer:
        """Starts it."""
        ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=(self._loop, ready), daemon=True, name="scripted server")
        self._thread.start()
        ready.wait()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        """Stops it and closes all connections."""
        assert self._loop is not None and self._thread is not None
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self, loop: asyncio.AbstractEventLoop, ready: threading.Event) -> None:
        asyncio.set_event_loop(loop)
        server = loop.run_until_complete(asyncio.start_server(self._connected, "127.0.0.1", self._port, backlog=1024))
        self._port = server.sockets[0].getsockname()[1]
        loop.call_soon(ready.set)
        loop.run_forever()
        server.close()
        open_now = list(self._connections)
        for task in open_now:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*open_now, return_exceptions=True))
        loop.run_until_complete(server.wait_closed())
        loop.close()

    async def _connected(self, parser: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while await self._call(parser, writer):
                pass
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass  # The client hung up, speaks no HTTP, or the server ends: there is nobody to tell.
        finally:
            self._connections.discard(task)
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _call(self, parser: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answers one call; returns whether the connection stays open."""
        head = (await parser.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ", 2)
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        length = int(headers.get("content-length") or 0)
        body = await parser.readexactly(min(length, _MAX_BODY))
        self._busy += 1
        self.most_at_once = max(self.most_at_once, self._busy)
        try:
            await asyncio.sleep(self._latency)
            stays = await self._answer(method, path, headers, body, parser, writer)
            return stays and headers.get("connection", "").lower() != "close"
        finally:
            self._busy -= 1

    async def _answer(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
        parser: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        exchange = Exchange(parser, writer, {}, [], self._stall, self._api_key)
        try:
            if self._api_key and headers.get("authorization") != f"Bearer {self._api_key}":
                raise RefusedError(401, "this key is not known", "invalid_api_key")
            if method == "GET" and path == _MODELS and "models" not in self._lacks:
                self.seen.append(Seen(-1, path, None, None))
                entry = {"id": self._backend.name, "object": "model", "created": 0, "owned_by": "promptkit"}
                await exchange.send(200, json.dumps({"object": "list", "data": [entry]}).encode())
                return True
            if method != "POST" or path.removeprefix("/v1/").replace("/completions", "") in self._lacks:
                raise RefusedError(404, f"there is no {path}", "not_found")
            if path not in (_CHAT, _COMPLETIONS):
                raise RefusedError(404, f"there is no {path}", "not_found")
            return await self._post(path, json.loads(body), exchange)
        except RefusedError as error:
            await exchange.send(error.status, error_body(str(error), error.code))
            return True

    async def _post(self, path: str, body: Any, exchange: Exchange) -> bool:
        fault = self._fault(bool(isinstance(body, dict) and body.get("stream")))
        self.seen.append(Seen(self._posted, path, body, fault))
        self._posted += 1
        name = self._backend.name
        asked = read_request(path == _CHAT, body, model=name, lacks=self._lacks, drawn=self._next_sample)
        reply, payload = answer(self._backend, asked)
        pieces = events(asked, reply) if asked.stream else []
        if fault is not None:
            wrong = Exchange(exchange.parser, exchange.writer, payload, pieces, self._stall, self._api_key)
            await misbehave(fault, wrong)
            return wrong.keep
        await (self._streamed(exchange, asked, pieces) if asked.stream else _whole(exchange, payload))
        return True

    async def _streamed(self, exchange: Exchange, asked: ParsedRequest, pieces: Sequence[bytes]) -> None:
        exchange.head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"})
        for piece in pieces:
            exchange.writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            await exchange.writer.drain()
        exchange.writer.write(b"0\r\n\r\n")
        await exchange.writer.drain()

    def _fault(self, stream: bool) -> str | None:
        if self._faults:
            return self._faults.popleft()
        wrong = self._random.random() < self._rate
        return self._random.choice(self._stream_kinds if stream else self._kinds) if wrong else None

    def _next_sample(self, prompt: Prompt, count: int) -> int:
        key = hashlib.sha256(repr(prompt).encode("utf-8", "surrogatepass")).hexdigest()
        self._drawn[key] += count
        return self._drawn[key] - count


def _check_names(names: Sequence[str | None]) -> None:
    known = {*FAULTS, *STREAM_FAULTS, "401-blab", "404", "duplicate-index"}
    for name in names:
        if name is not None and name.partition(":")[0] not in known:
            raise SettingError(error_message("faults", of="ScriptedServer", expected="names of FAULTS", got=name))


async def _whole(exchange: Exchange, payload: dict[str, Any]) -> None:
    await exchange.send(200, json.dumps(payload, ensure_ascii=False).encode())
