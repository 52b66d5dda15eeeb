"""Calls to a model server over HTTP: retried, with deadlines, and with a bound on everything that is read."""

from __future__ import annotations

import asyncio
import contextlib
import json
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from promptkit import __version__
from promptkit.backends.openai.endpoint import Key, is_loopback
from promptkit.backends.openai.errors import PermanentError, RefusalError, error_code, error_text, status_error
from promptkit.backends.openai.retry import Retry, is_transient, retry_after
from promptkit.errors import BackendError, ContextLengthError

if TYPE_CHECKING:
    import httpx2

__all__ = ["MAX_BYTES", "Http", "Limits"]

T = TypeVar("T")

MAX_BYTES = 32 * 2**20
"""Most bytes of one response, unpacked."""

_PIECE = 2**16


@dataclass(frozen=True, slots=True)
class Limits:
    """What a call may take.

    Attributes:
        connect: Seconds until a connection is made.
        read: Seconds between two bytes; of an answer that is not streamed, the first comes when all is generated.
        total: Seconds of a call with all its retries, from when it left the queue.
        concurrency: Calls at once.
        retry: How often and when to try again.
    """

    connect: float
    read: float
    total: float
    concurrency: int
    retry: Retry


class _Again(Exception):
    """A try failed that may be made again, after as many seconds as the server asked for."""

    def __init__(self, error: BackendError, after: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.after = after


class Http:
    """Speaks with one server. All methods run on one event loop at a time.

    Args:
        base_url: Where the server is.
        key: What opens it.
        limits: What a call may take.
    """

    def __init__(self, base_url: str, key: Key, limits: Limits) -> None:
        self.base_url = base_url
        self.key = key
        self.limits = limits
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client: httpx2.AsyncClient | None = None
        self._slots = asyncio.Semaphore(limits.concurrency)

    async def ask(self, path: str, body: dict[str, Any] | None = None, *, absent: Collection[int] = ()) -> Any:
        """Makes a call and reads its JSON.

        Args:
            path: Behind the base address, for example ``"/models"``.
            body: What to post; ``None`` to get.
            absent: Statuses that mean that there is no such thing, which is then no error.

        Returns:
            JSON data; ``None`` for an ``absent`` status.

        Raises:
            BackendError: There is no usable answer within the deadline and the retries.
        """

        async def attempt() -> Any:
            async with self._opened(path, body, absent) as response:
                if response.status_code in absent:
                    return None
                return self._parse(await self._read(response, path), response, path)

        async with self._slot(path):
            return await self._tried(attempt, path)

    async def events(self, path: str, body: dict[str, Any]) -> AsyncGenerator[bytes, None]:
        """Makes a call and gives the bytes of its answer as they come. Only its beginning is tried again.

        Args:
            path: Behind the base address.
            body: What to post.

        Yields:
            Pieces of the body, unpacked.

        Raises:
            BackendError: The server fails, stalls, cuts the answer off or takes too long.
        """
        async with self._slot(path), contextlib.AsyncExitStack() as stack:

            async def attempt() -> tuple[bytes, AsyncGenerator[bytes, None]]:
                async with contextlib.AsyncExitStack() as opening:
                    response = await opening.enter_async_context(self._opened(path, body))
                    pieces = await opening.enter_async_context(contextlib.aclosing(self._pieces(response, path)))
                    first = await anext(pieces, b"")
                    if not first or "html" in response.headers.get("content-type", ""):
                        raise self._no_json(first, response, path)
                    await stack.enter_async_context(opening.pop_all())
                    return first, pieces

            first, pieces = await self._tried(attempt, path)
            yield first
            try:
                async for piece in pieces:
                    yield piece
            except _Again as again:
                raise again.error from None

    async def close(self) -> None:
        """Closes all connections."""
        client, self._client, self._loop = self._client, None, None
        if client is not None:
            await client.aclose()

    def what(self, path: str) -> str:
        """What was asked of whom, for messages."""
        return f"{self.base_url}{path}"

    @contextlib.asynccontextmanager
    async def _slot(self, path: str) -> AsyncIterator[None]:
        """Waits for a place among the calls at once; from then on the deadline runs."""
        self._fresh_client()
        async with self._slots:
            try:
                async with asyncio.timeout(self.limits.total):
                    yield
            except TimeoutError:
                raise BackendError(
                    f"{self.what(path)}: no whole answer within total_timeout of {self.limits.total:g} s; raise it, "
                    "lower max_new_tokens or max_concurrency, or check the server"
                ) from None

    async def _tried(self, attempt: Callable[[], Awaitable[T]], path: str) -> T:
        clock = asyncio.get_running_loop().time
        deadline = clock() + self.limits.total
        tries = 0
        while True:
            try:
                return await attempt()
            except _Again as again:
                tries += 1
                if tries > self.limits.retry.times:
                    raise _told(again.error, f"gave up after {tries} {'tries' if tries > 1 else 'try'}") from None
                wait = self.limits.retry.wait(tries, again.after)
                if clock() + wait >= deadline:
                    raise _told(again.error, f"the next try, in {wait:.3g} s, is beyond total_timeout") from None
                await asyncio.sleep(wait)

    @contextlib.asynccontextmanager
    async def _opened(
        self, path: str, body: dict[str, Any] | None, fine: Collection[int] = ()
    ) -> AsyncIterator[httpx2.Response]:
        """Sends a request; what comes back is a success, or of a fine status, and its body has not been read."""
        import httpx2

        client = self._fresh_client()
        try:
            headers = {"accept-encoding": "identity", **self.key.headers()}
            content = None if body is None else json.dumps(body, ensure_ascii=False).encode()
            if content is not None:
                headers["content-type"] = "application/json"
            method = "GET" if content is None else "POST"
            request = client.build_request(method, self.base_url + path, content=content, headers=headers)
            response = await client.send(request, stream=True)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise self._broken(error, path) from None
        try:
            if not response.is_success and response.status_code not in fine:
                raise await self._refused(response, path)
            yield response
        finally:
            with contextlib.suppress(httpx2.HTTPError, OSError):
                await response.aclose()

    def _broken(self, error: Exception, path: str) -> Exception:
        """Tells a failure of the connection."""
        import httpx2

        said = self.key.hide(str(error)) or "no reason given"
        text = f"{self.what(path)}: {type(error).__name__}: {said}"
        if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
            return _Again(PermanentError(f"{text}; is the server running, and is this its address?"))
        if isinstance(error, httpx2.TimeoutException):
            return _Again(BackendError(f"{self.what(path)}: nothing came for read_timeout of {self.limits.read:g} s"))
        if isinstance(error, httpx2.InvalidURL | httpx2.UnsupportedProtocol | httpx2.LocalProtocolError):
            return PermanentError(text)
        return _Again(BackendError(text))

    async def _refused(self, response: httpx2.Response, path: str) -> Exception:
        """Tells a response that is no success."""
        status = response.status_code
        payload: Any = ""
        with contextlib.suppress(BackendError, _Again):
            payload = (await self._read(response, path)).decode("utf-8", "replace")
            with contextlib.suppress(ValueError, RecursionError):
                payload = json.loads(payload)
        if response.is_redirect:
            where = self.key.hide(response.headers.get("location", ""))[:200]
            return BackendError(
                f"{self.what(path)}: the server answered with status {status}, a redirection to {where!r}, which is "
                "not followed, as it would take the key along; give the final address as base_url"
            )
        said = error_text(payload, self.key.hide)
        error = status_error(status, payload, what=self.what(path), said=said)
        wrong = isinstance(error, ContextLengthError | RefusalError)  # some servers answer so with status 500
        if is_transient(status, error_code(payload)) and not wrong:
            return _Again(error, retry_after(response.headers))
        return error

    async def _read(self, response: httpx2.Response, path: str) -> bytes:
        return b"".join([piece async for piece in self._pieces(response, path)])

    async def _pieces(self, response: httpx2.Response, path: str) -> AsyncGenerator[bytes, None]:
        """Gives the body in pieces; unpacks it here, as a packed body may be a thousand times what it seems."""
        import httpx2

        announced = response.headers.get("content-length", "0")
        packing = response.headers.get("content-encoding", "identity").strip().lower()
        if announced.isascii() and announced.isdigit() and int(announced[:20]) > MAX_BYTES:
            raise self._too_large(path)
        if packing not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise BackendError(f"{self.what(path)}: the answer must not be packed, got content-encoding {packing!r}")
        unpacker = None if packing in ("", "identity") else zlib.decompressobj(47)
        size = 0
        try:
            async for raw in response.aiter_raw():
                for piece in _unpacked(raw, unpacker):
                    size += len(piece)
                    if size > MAX_BYTES:
                        raise self._too_large(path)
                    yield piece
        except zlib.error:
            raise BackendError(f"{self.what(path)}: the answer is packed with {packing} and damaged") from None
        except (httpx2.HTTPError, OSError) as error:
            raise self._broken(error, path) from None
        if unpacker is not None and not unpacker.eof:
            raise _Again(BackendError(f"{self.what(path)}: the answer is packed with {packing} and cut off"))

    def _too_large(self, path: str) -> BackendError:
        return BackendError(f"{self.what(path)}: the answer is larger than {MAX_BYTES >> 20} MiB and was not read")

    def _parse(self, body: bytes, response: httpx2.Response, path: str) -> Any:
        """Reads JSON; anything else under a status of success, such as a gateway's page, may be gone the next time."""
        try:
            return json.loads(body.decode("utf-8-sig"))
        except (ValueError, RecursionError):
            raise self._no_json(body, response, path) from None

    def _no_json(self, body: bytes, response: httpx2.Response, path: str) -> Exception:
        kind = response.headers.get("content-type", "none")[:60]
        start = self.key.hide(body[:4096].decode("utf-8", "replace"))[:80]
        shown = repr(start) if body.strip() else "an empty body"
        do = "" if "json" in kind else "; is this the address of an OpenAI-compatible server, up to its version?"
        text = f"{self.what(path)}: the answer must be whole JSON, got content-type {kind!r} and {shown}{do}"
        return _Again(BackendError(text), retry_after(response.headers))

    def _fresh_client(self) -> httpx2.AsyncClient:
        """The client of the running loop: connections cannot move from one loop to another."""
        import httpx2

        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            limits = self.limits
            self._loop, self._slots = loop, asyncio.Semaphore(limits.concurrency)
            self._client = httpx2.AsyncClient(
                timeout=httpx2.Timeout(limits.read, connect=limits.connect, pool=None),
                limits=httpx2.Limits(max_connections=None, max_keepalive_connections=limits.concurrency),
                headers={"user-agent": f"promptkit/{__version__}"},
                # Reading the certificates takes long, and without TLS nothing looks at them.
                verify=self.base_url.startswith("https:"),
                # No proxy leads to this very machine, whatever the environment says.
                trust_env=not is_loopback(self.base_url),
            )
        return self._client


def _unpacked(raw: bytes, unpacker: Any) -> Iterator[bytes]:
    if unpacker is None:
        yield raw
        return
    while raw:
        yield unpacker.decompress(raw, _PIECE)
        raw = unpacker.unconsumed_tail


def _told(error: BackendError, more: str) -> BackendError:
    return type(error)(f"{error}; {more}")
