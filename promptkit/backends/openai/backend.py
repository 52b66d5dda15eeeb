"""The backend that asks a model server over HTTP: vLLM, Ollama, llama.cpp, or a hosted service."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import threading
import time
import weakref
from collections.abc import AsyncGenerator, Callable, Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from types import TracebackType
from typing import Any

from promptkit.backends.base import first_error
from promptkit.backends.checks import check_fits, check_no_weights, check_request, check_score_request
from promptkit.backends.openai.client import Http, Limits
from promptkit.backends.openai.dialect import Dialect
from promptkit.backends.openai.endpoint import Key, check_base_url, check_numbers
from promptkit.backends.openai.errors import PermanentError
from promptkit.backends.openai.event_loop import LoopThread, as_finished
from promptkit.backends.openai.protocol import COMPLETIONS, Call, Wire
from promptkit.backends.openai.responses import Reading, read_completions, read_echo
from promptkit.backends.openai.retry import Retry
from promptkit.backends.openai.streaming import StreamedReply
from promptkit.backends.openai.token_counts import Counter
from promptkit.errors import PromptkitError, SettingError, UnsupportedError, error_message
from promptkit.types import Completion, Progress, Prompt, Reply, Request, ScoreRequest, Usage

__all__ = ["UNKNOWN_WINDOW", "RemoteBackend"]

UNKNOWN_WINDOW = 10**9
"""The context window of a model of which it is not known: prompts are never shortened, and the server refuses."""

_UNLISTED = (403, 404, 405, 501)


class RemoteBackend:
    """Asks any server that speaks OpenAI's protocol.

    Prompts of one text go to ``/completions``, chat prompts to ``/chat/completions``. A call that fails for a moment
    (408, 409, 425, 429, 5xx, connection lost, nothing heard, no whole JSON under status 200) is made again, after what
    ``Retry-After`` asks for or after a growing and partly random time; a request that is wrong is never repeated. An
    answer that is not whole is an error, and so is one that consists of reasoning alone. What the server does not offer
    is an ``UnsupportedError``. Control tokens in texts are the server's business. Answers come over HTTP without
    redirections, at most 32 MiB each.

    What a server refuses about a call is left out, or put in its own terms, and remembered: ``temperature``, ``top_p``,
    ``seed``, ``stream_options``, ``stop`` (texts are cut here), the name of ``max_tokens``, a schema whose root is no
    object, and the system role, whose text then goes before the first user message. If answers may mean something
    else after that, as without ``temperature``, one warning says so.

    Calls run on an event loop in a thread of their own, ``max_concurrency`` at once for all callers together, so a
    backend works in threads, and inside a running event loop. ``close`` ends that thread and all connections; so does
    the end of a ``with`` block, of the backend, or of the program.

    In ``Usage``, ``calls`` are answered HTTP calls, ``prompt_tokens`` their sum over these calls, as a server bills
    them, and ``seconds`` run from the first call of a request to its last answer. Tokens that a server does not tell
    are estimated, and those of several choices of one call are equal shares of their sum.

    Args:
        base_url: Address of the server up to its version, for example ``"http://localhost:8000/v1"``.
        model: What the server calls the model.
        api_key_env: Name of the environment variable that holds the API key, or a function that returns the key. It is
            read for every call and appears in no message, file or ``repr``.
        chat: Whether prompts should be rendered as chat; by default they are.
        seeds: Whether each sample is a call of its own, with a seed made of (seed, prompt, sample index). With
            ``False`` samples of a prompt come by one call with ``n`` and cannot be drawn again: for servers that take
            no seeds, or bill a prompt once per call.
        logprobs: Whether to ask for log-probabilities, which ``weighted`` votes need.
        context_window: Tokens that prompt and completion may have together. ``None`` if unknown: then no demonstration
            is dropped, and a prompt that the server finds too long is a ``ContextLengthError``.
        tokenizer: Counts tokens: a function from text to a number, or a tokenizer of tokenizers or transformers. By
            default tokens are estimated, rather too many than too few (see ``estimate_tokens``).
        connect_timeout: Seconds until a connection is made.
        read_timeout: Seconds without a byte; without streaming, the first comes when the whole answer is there.
        total_timeout: Seconds of one call, retries included, from when fewer than ``max_concurrency`` others run.
        max_concurrency: Calls at once.
        retries: Tries after the first.
        backoff: Seconds before the first retry, doubled each time up to 8.
        max_tokens_name: ``"max_completion_tokens"`` for models that refuse ``max_tokens``.
        omit: Fields never to send: some of ``temperature``, ``top_p``, ``seed``, ``stream_options`` and ``stop``. The
            server's own defaults then hold.
        schemas: For typed answers from a server that refuses ``response_format``: ``"enforce"`` makes that an
            ``UnsupportedError``, ``"prompt"`` asks for JSON in words, so that only checks of the answer hold the model.
        extra: Further JSON fields of every request, such as ``{"reasoning_effort": "low"}``; part of the fingerprint.

    Raises:
        SettingError: A setting is out of range, or the key is not there.

    Example:
        >>> with RemoteBackend("http://localhost:8000/v1", "my-model", max_concurrency=8) as backend:
        ...     request = Request(Prompt(text="The capital of France is"))
        ...     backend.generate([request])[0].completions[0].text  # doctest: +SKIP
        ' Paris'
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key_env: str | Callable[[], str] | None = None,
        chat: bool | None = None,
        seeds: bool = True,
        logprobs: bool = False,
        context_window: int | None = None,
        tokenizer: Any = None,
        connect_timeout: float = 5.0,
        read_timeout: float = 300.0,
        total_timeout: float = 600.0,
        max_concurrency: int = 16,
        retries: int = 4,
        backoff: float = 0.5,
        max_tokens_name: str = "max_tokens",
        omit: Collection[str] = (),
        schemas: str = "enforce",
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self.server = check_base_url(base_url)
        name: object = model
        if not isinstance(name, str) or not name.strip():
            raise SettingError(
                error_message("model", of="RemoteBackend", expected="the name of a model at the server", got=name)
            )
        window = UNKNOWN_WINDOW if context_window is None else context_window
        check_numbers(
            {
                "connect_timeout": connect_timeout,
                "read_timeout": read_timeout,
                "total_timeout": total_timeout,
                "backoff": backoff,
            },
            {"max_concurrency": (max_concurrency, 1), "context_window": (window, 1), "retries": (retries, 0)},
        )
        self.name = model
        self.chat = True if chat is None else chat
        self.context_window = window
        self._wire = Wire(model, seeds, logprobs, max_tokens_name, dict(extra or {}))
        self.schemas = schemas
        self._dialect = Dialect(model, omit, schemas)
        self._scope = [sorted(omit), schemas] if omit or schemas != "enforce" else []
        self._counter = Counter(tokenizer)
        limits = Limits(connect_timeout, read_timeout, total_timeout, max_concurrency, Retry(retries, backoff))
        self._http = Http(self.server, Key(api_key_env), limits)
        self._loop = LoopThread(f"promptkit {model}", self._http.close)
        # The thread knows the loop and not the backend, so a backend that nobody holds any more ends them both.
        self._end = weakref.finalize(self, self._loop.close)
        self._lock = threading.Lock()
        self._fingerprint: str | None = None

    def __repr__(self) -> str:
        """Says which model of which server it is."""
        return f"RemoteBackend({self.server!r}, {self.name!r})"

    def __enter__(self) -> RemoteBackend:
        """Returns itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        """Closes it."""
        self.close()

    def close(self) -> None:
        """Ends the calls that run, and all connections. A later request opens new ones."""
        self._loop.close()

    def generate(self, requests: Sequence[Request], *, progress: Progress | None = None) -> list[Reply]:
        """Completes every request; see ``Backend.generate``.

        Args:
            requests: What is wanted, in any order and mixture.
            progress: Called with (finished requests, all requests) whenever a request is finished.

        Returns:
            One reply per request, in order.

        Raises:
            SettingError: A request is out of range; nothing was asked.
            ContextLengthError: A prompt with its ``max_new_tokens`` does not fit.
            UnsupportedError: The server does not offer what was asked for.
            BackendError: A request failed, also when tried again; those that had not begun were not asked.
        """
        return first_error(self.replies(requests), len(requests), progress)

    def replies(self, requests: Sequence[Request]) -> Iterator[tuple[int, Reply | PromptkitError]]:
        """Completes every request and tells of each as it finishes, so that no failure costs the others.

        Args:
            requests: What is wanted.

        Yields:
            Number of a request with its reply, or with why it failed, in the order of finishing. If the server cannot
            be reached, or refuses key or model, the rest fails with it at once.

        Raises:
            SettingError: A request is out of range; nothing was asked.
        """
        self._check(requests)
        return self._loop.iterate(lambda: self._replies(requests))

    async def agenerate(self, requests: Sequence[Request]) -> list[Reply]:
        """Completes every request like ``generate``, without blocking the event loop that runs.

        Args:
            requests: What is wanted.

        Returns:
            One reply per request, in order.

        Raises:
            BackendError: As ``generate``.
        """
        self._check(requests)

        async def gather() -> list[Reply]:
            found: dict[int, Reply] = {}
            async with contextlib.aclosing(self._replies(requests)) as replies:
                async for place, reply in replies:
                    if isinstance(reply, PromptkitError):
                        raise reply
                    found[place] = reply
            return [found[place] for place in range(len(requests))]

        return await asyncio.wrap_future(self._loop.submit(gather()))

    def stream(self, request: Request) -> Generator[str, None, Reply]:
        """Completes a request for one sample and gives its text in pieces, as they are generated.

        Args:
            request: What is wanted.

        Yields:
            Pieces of the text that are not empty; together they are the completion.

        Returns:
            The whole reply, as the value of the generator: ``reply = yield from backend.stream(request)``.

        Raises:
            SettingError: The request is out of range, or asks for several samples.
            BackendError: The server failed. If pieces have come by then, they are not a whole answer.
        """
        self._check([request])
        if len(request.samples) != 1:
            raise SettingError(error_message("samples", of="stream", expected="one index", got=request.samples))
        call = self._wire.streamed(request)
        started = time.perf_counter()
        answer = StreamedReply(call, self._reading(call))
        with contextlib.closing(self._loop.iterate(lambda: self._pieces(call))) as pieces:
            for piece in pieces:
                yield from answer.feed(piece)
        yield from answer.end()
        return answer.reply(time.perf_counter() - started)

    def score(self, requests: Sequence[ScoreRequest]) -> list[tuple[tuple[float, int], ...]]:
        """Tells how likely each continuation is, where the server echoes log-probabilities at ``/completions``.

        Prompt and continuation are put into tokens together, so a token must end where the prompt does.

        Args:
            requests: Prompts of one text, with their continuations.

        Returns:
            Per request and continuation: the log-probability and the number of tokens.

        Raises:
            UnsupportedError: A prompt is a chat, or the server does not echo.
            BackendError: The server failed.
        """
        for number, request in enumerate(requests):
            of = f"requests[{number}]"
            check_score_request(request, of=of)
            check_no_weights(request, of=of, backend="RemoteBackend")
            if request.prompt.text is None:
                raise UnsupportedError(
                    f"{of}: a server scores no continuations of chat prompts; set form='completion', or use "
                    "answer_by='generation'"
                )
        groups = [[self._scorer(one.prompt.text or "", text) for text in one.continuations] for one in requests]
        scored: Iterator[tuple[int, Any]] = self._loop.iterate(lambda: self._finished(groups))
        return [tuple(row) for row in first_error(scored, len(requests), None)]

    def count_tokens(self, prompt: Prompt) -> int:
        """Returns how many tokens a prompt takes: by the tokenizer, else estimated, rather too many than too few."""
        return self._counter.prompt(prompt)

    def fingerprint(self) -> str:
        """Returns a hash of the model's name and of what the server's list of models says about it; asked once.

        The address is left out, so that a predictor can move with its model. Of the list only what stays the same
        counts: the last name of ``root``, ``parent``, and llama.cpp's ``meta``. A server without a list, or with a
        model that the list does not have, is told apart by the name alone. ``extra`` counts too.

        Raises:
            BackendError: The server cannot be reached, or refuses the key.
        """
        with self._lock:
            if self._fingerprint is None:
                listed = self._loop.run(self._http.ask("/models", absent=_UNLISTED))
                told = json.dumps(["remote", self.name, _reported(listed, self.name), self._wire.extra], sort_keys=True)
                self._fingerprint = hashlib.sha256(told.encode()).hexdigest()
            return self._fingerprint

    @property
    def cache_scope(self) -> str:
        """What tells its answers from those of a backend with the same fingerprint: the address, and what is asked."""
        wire = self._wire
        return json.dumps([self.server, wire.seeds, wire.logprobs, *self._scope])

    @property
    def tells_logprobs(self) -> bool:
        """Whether completions have log-probabilities."""
        return self._wire.logprobs

    def _check(self, requests: Sequence[Request]) -> None:
        for number, request in enumerate(requests):
            of = f"requests[{number}]"
            check_request(request, of=of)
            check_no_weights(request, of=of, backend="RemoteBackend")
            if self._counter.exact and self.context_window < UNKNOWN_WINDOW:
                tokens = self.count_tokens(request.prompt)
                check_fits(tokens, request.sampling.max_new_tokens, self.context_window, of=of)

    def _reading(self, call: Call) -> Reading:
        return Reading(self._http.what(call.path), self._counter.text, self._http.key.hide)

    def _finished(self, groups: Sequence[Sequence[Callable[[], Any]]]) -> AsyncGenerator[tuple[int, Any], None]:
        return as_finished(groups, self._http.limits.concurrency, permanent=PermanentError)

    async def _replies(self, requests: Sequence[Request]) -> AsyncGenerator[tuple[int, Reply | PromptkitError], None]:
        calls = [[self._caller(call) for call in self._wire.calls(request)] for request in requests]
        async with contextlib.aclosing(self._finished(calls)) as finished:
            async for place, parts in finished:
                if isinstance(parts, PromptkitError):
                    yield place, parts
                elif isinstance(parts, Exception):
                    raise parts
                else:
                    yield place, _joined(parts)

    def _caller(self, call: Call) -> Callable[[], Any]:
        async def made() -> tuple[list[Completion], Usage, float, float]:
            started = time.perf_counter()
            payload = await self._dialect.ask(call.body, lambda body: self._http.ask(call.path, body))
            found, usage = read_completions(payload, call, self._reading(call), logprobs=self._wire.logprobs)
            found = [replace(one, text=self._dialect.unwrapped(call.body, one.text)) for one in found]
            return found, usage, started, time.perf_counter()

        return made

    async def _pieces(self, call: Call) -> AsyncGenerator[bytes, None]:
        """Gives the bytes of a streamed answer; a refusal comes before the first of them."""

        async def begin(body: dict[str, Any]) -> tuple[AsyncGenerator[bytes, None], bytes]:
            events = self._http.events(call.path, body)
            return events, await anext(events, b"")

        events, first = await self._dialect.ask(call.body, begin)
        async with contextlib.aclosing(events):
            yield first
            async for piece in events:
                yield piece

    def _scorer(self, prompt: str, continuation: str) -> Callable[[], Any]:
        async def made() -> tuple[float, int]:
            body = self._wire.scored(prompt + continuation)
            payload = await self._dialect.ask(body, lambda sent: self._http.ask(COMPLETIONS, sent))
            reading = Reading(self._http.what(COMPLETIONS), self._counter.text, self._http.key.hide)
            return read_echo(payload, prompt, continuation, reading)

        return made


def _joined(parts: Sequence[tuple[list[Completion], Usage, float, float]]) -> Reply:
    """Puts the calls of a request together."""
    cost = sum((usage for _, usage, _, _ in parts), Usage())
    seconds = max(end for *_, end in parts) - min(start for *_, start, _ in parts)
    completions = tuple(completion for found, *_ in parts for completion in found)
    return Reply(completions, cost + Usage(seconds=seconds))


def _reported(listed: Any, model: str) -> list[Any]:
    """Finds what a list of models says about one of them that is the same on every machine."""
    data = listed.get("data") if isinstance(listed, dict) else None
    for entry in data if isinstance(data, list) else ():
        if isinstance(entry, dict) and entry.get("id") == model:
            root, meta = entry.get("root"), entry.get("meta")
            sizes = [meta.get(key) for key in ("n_params", "n_vocab", "size")] if isinstance(meta, dict) else []
            return [PurePosixPath(root).name if isinstance(root, str) else None, entry.get("parent"), sizes]
    return []
