"""A backend that remembers the answers of another one on disk."""

from __future__ import annotations

import contextlib
import math
import os
import threading
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from types import TracebackType

from promptkit.backends.base import Backend, check_backend, first_error, replies
from promptkit.backends.cache_flights import Flight, Flights
from promptkit.backends.cache_key import sample_keys, scope, score_keys
from promptkit.backends.cache_rows import FINISHES, FREE, Call, Row, assembled, read_score
from promptkit.backends.checks import check_request, check_score_request
from promptkit.backends.store import Store
from promptkit.errors import BackendError, PromptkitError, UnsupportedError
from promptkit.types import Progress, Prompt, Reply, Request, ScoreRequest

__all__ = ["CacheStats", "CachedBackend"]


@dataclass(frozen=True, slots=True)
class CacheStats:
    """Counts of cache hits, misses and waits.

    Attributes:
        hits: Found, waited for while another thread or process asked, or asked for twice in one call.
        misses: Asked of the backend.
        bad_rows: Damaged rows found on the way; they count as misses and are replaced.
    """

    hits: int = 0
    misses: int = 0
    bad_rows: int = 0


class CachedBackend:
    """Remembers every answer of a backend in a file, so that none is asked for twice.

    It wraps any backend. Strategies that learn weights train the local model underneath, and what they
    fit answers from memory like all others.

    Each sample is remembered on its own: after 5 samples of a prompt, 20 ask for 15 more. An answer is found again only
    if nothing that can change it has changed: model, server, learned weights, prompt, every field of the sampling, seed
    and sample index. Many threads and processes may share a file: one of them asks, and the others wait for its answer
    (``cache_flights``); who asks may fail or be killed, and another takes its place. An answer is stored as soon as it
    is there, so a run that was killed goes on where it stopped. Failures are never remembered. Damaged rows are asked
    for again. If the file cannot be read or written, there is one warning, and the work goes on without it.

    A remembered answer keeps its numbers of tokens, so costs in tokens do not depend on the cache; its prompt tokens
    are ``cached_tokens``, and it took no calls and no seconds.

    Args:
        backend: The model.
        path: The file, a SQLite database of JSON texts; for its owner alone.
        max_bytes: Size of the file from which the answers that were not used for longest are forgotten.

    Attributes:
        backend: The model underneath.

    Raises:
        SettingError: The file is a database of another program, or ``max_bytes`` is below 65,536.

    Example:
        >>> import tempfile
        >>> from promptkit import ScriptedBackend
        >>> model = ScriptedBackend([" 4", " four"])
        >>> with tempfile.TemporaryDirectory() as folder, CachedBackend(model, folder + "/answers.sqlite") as backend:
        ...     for _ in range(3):
        ...         reply = backend.generate([Request(Prompt(text="2 + 2 ="), samples=(0, 1))])[0]
        >>> [one.text for one in reply.completions], len(model.requests), backend.stats
        ([' 4', ' four'], 1, CacheStats(hits=4, misses=2, bad_rows=0))
    """

    def __init__(self, backend: Backend, path: str | os.PathLike[str], *, max_bytes: int = 2**30) -> None:
        check_backend(backend, of="CachedBackend")
        self.backend = backend
        self._store = Store(path, max_bytes)
        self._flights = Flights(self._store)
        self._lock = threading.Lock()
        self._stats = CacheStats()

    def __repr__(self) -> str:
        """Says what it remembers the answers of."""
        return f"CachedBackend({self.backend!r}, {self._store.path.name!r})"

    def __enter__(self) -> CachedBackend:
        """Returns itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        """Closes the file."""
        self.close()

    def close(self) -> None:
        """Closes the file; the backend underneath stays open. A later call opens the file again."""
        self._store.close()

    @property
    def name(self) -> str:
        """What users call the model."""
        return self.backend.name

    @property
    def chat(self) -> bool:
        """Whether prompts should be rendered as chat messages."""
        return self.backend.chat

    @property
    def context_window(self) -> int:
        """Tokens that prompt and completion may have together."""
        return self.backend.context_window

    @property
    def cache_scope(self) -> str | None:
        """What tells answers of the model underneath from those of others with its fingerprint, where it says so."""
        return getattr(self.backend, "cache_scope", None)

    @property
    def stats(self) -> CacheStats:
        """The counts since this object was made."""
        with self._lock:
            return replace(self._stats, bad_rows=self._stats.bad_rows + self._store.bad_rows)

    def count_tokens(self, prompt: Prompt) -> int:
        """Returns how many tokens of the context window a prompt takes."""
        return self.backend.count_tokens(prompt)

    def fingerprint(self) -> str:
        """Returns the fingerprint of the model underneath."""
        return self.backend.fingerprint()

    def generate(self, requests: Sequence[Request], *, progress: Progress | None = None) -> list[Reply]:
        """Completes every request, with remembered samples where there are any.

        Args:
            requests: What is wanted.
            progress: Called with (finished requests, all requests).

        Returns:
            One reply per request, in order.

        Raises:
            SettingError: A request is out of range; nothing was asked.
            BackendError: The model failed; what it had answered by then is remembered.
        """
        return first_error(self.replies(requests), len(requests), progress)

    def replies(self, requests: Sequence[Request]) -> Iterator[tuple[int, Reply | PromptkitError]]:
        """Completes every request and tells of each as it finishes (see ``RemoteBackend.replies``).

        Args:
            requests: What is wanted.

        Yields:
            Number of a request with its reply, or with why it failed.

        Raises:
            SettingError: A request is out of range; nothing was asked.
        """
        for number, request in enumerate(requests):
            check_request(request, of=f"requests[{number}]")
        return self._replies(requests)

    def stream(self, request: Request) -> Generator[str, None, Reply]:
        """Completes a request for one sample in pieces; a remembered one is a single piece.

        Args:
            request: What is wanted.

        Yields:
            Pieces of the text.

        Returns:
            The whole reply, as the value of the generator.

        Raises:
            UnsupportedError: The model underneath cannot stream.
            BackendError: The model failed; nothing of it is remembered.
        """
        streaming = getattr(self.backend, "stream", None)
        if streaming is None:
            raise UnsupportedError(f"stream: {type(self.backend).__name__} cannot stream; use generate")
        check_request(request, of="request")
        keys = sample_keys(request, scope(self.backend))
        with self._flights.begin() as flight:
            known, mine = self._settled(flight, keys)
            self._count(len(known), len(mine))
            if len(known) == len(keys) == 1:
                if known[keys[0]].completion.text:
                    yield known[keys[0]].completion.text
                return assembled(request, keys, known)
            with contextlib.closing(streaming(request)) as pieces:
                while True:
                    try:
                        piece = next(pieces)
                    except StopIteration as end:
                        reply: Reply = end.value
                        break
                    with flight.rest():
                        yield piece
            self._keep(flight, request, keys, reply)
            return reply

    def score(self, requests: Sequence[ScoreRequest]) -> list[tuple[tuple[float, int], ...]]:
        """Tells how likely each continuation is, from memory where it is known.

        Args:
            requests: Prompts with their continuations.

        Returns:
            Per request and continuation: the log-probability and the number of tokens.

        Raises:
            UnsupportedError: The model cannot score.
        """
        for number, request in enumerate(requests):
            check_score_request(request, of=f"requests[{number}]")
        of = scope(self.backend)
        keys = [score_keys(request, of) for request in requests]
        found = self._store.get([key for own in keys for key in own])
        known = {key: pair for key, value in found.items() if (pair := read_score(value)) is not None}
        missing = {key for own in keys for key in own if key not in known}
        self._count(sum(map(len, keys)) - len(missing), 0)
        with self._flights.begin() as flight:
            mine = flight.claim(missing) if missing else set()
            while missing:
                late = {key: read_score(value) for key, value in self._store.get(list(mine)).items()}
                come = {key: pair for key, pair in late.items() if pair is not None}
                flight.done(come)
                self._count(len(come), len(mine) - len(come))
                known |= come | self._scored(flight, requests, keys, mine - set(come))
                missing -= set(known)
                if missing:
                    free, direct = flight.wait(missing)
                    mine = flight.claim(free) | direct
        return [tuple(known[key] for key in own) for own in keys]

    def _scored(
        self, flight: Flight, requests: Sequence[ScoreRequest], keys: Sequence[Sequence[bytes]], mine: set[bytes]
    ) -> dict[bytes, tuple[float, int]]:
        """Asks for the scores of some continuations, and stores them."""
        left, asked = set(mine), list[tuple[list[bytes], ScoreRequest]]()
        for request, own in zip(requests, keys, strict=True):
            some = {key: text for key, text in zip(own, request.continuations, strict=True) if key in left}
            left -= set(some)
            if some:
                asked.append((list(some), replace(request, continuations=tuple(some.values()))))
        rows = self.backend.score([request for _, request in asked]) if asked else []
        new = {
            key: pair for (some, _), row in zip(asked, rows, strict=True) for key, pair in zip(some, row, strict=True)
        }
        self._store.put({key: list(pair) for key, pair in new.items() if math.isfinite(pair[0])})
        flight.done(new)
        return new

    def _replies(self, requests: Sequence[Request]) -> Iterator[tuple[int, Reply | PromptkitError]]:
        of = scope(self.backend)
        keys = [sample_keys(request, of) for request in requests]
        call = Call(requests, keys, self._known([key for own in keys for key in own]))
        self._count(sum(map(len, keys)) - len(call.place), 0)
        with self._flights.begin() as flight:
            yield from call.finished()
            free, direct = call.missing(), set[bytes]()
            while free or direct:
                mine = flight.claim(free) | direct
                late = self._late(flight, call, mine)
                yield from call.finished(late)
                self._count(0, len(mine - late))
                with contextlib.closing(self._asked(flight, call, mine - late)) as asked:
                    for own in asked:
                        for result in call.finished(own):
                            with flight.rest():
                                yield result
                free, direct = set(), set()
                while not free and not direct and (missing := call.missing()):
                    free, direct = flight.wait(missing)
                    late = self._late(flight, call, free)
                    free -= late
                    yield from call.finished(late)

    def _late(self, flight: Flight, call: Call, keys: set[bytes]) -> set[bytes]:
        """Finds samples that others stored since they were looked up last; returns their keys."""
        late = self._known(list(keys), again=True)
        call.known |= late
        flight.done(late)
        self._count(len(late), 0)
        return set(late)

    def _asked(self, flight: Flight, call: Call, mine: set[bytes]) -> Generator[list[bytes], None, None]:
        """Asks for some samples, puts them into the call and the file, and tells of those of each reply."""
        asked = call.parts(mine)
        with contextlib.closing(replies(self.backend, [request for _, request, _ in asked])) as found:
            for number, reply in found:
                place, request, own = asked[number]
                if isinstance(reply, PromptkitError):
                    call.failed |= dict.fromkeys(own, reply)
                    flight.fail(own)
                else:
                    call.known |= self._keep(flight, request, own, reply)
                    call.costs[place] = call.costs.get(place, FREE) + reply.usage
                    call.new |= set(own)
                yield own
        if call.lacks(mine):
            raise BackendError(f"{self.name}: there must be a reply to each of {len(asked)} requests, got fewer")

    def _settled(self, flight: Flight, keys: Sequence[bytes]) -> tuple[dict[bytes, Row], set[bytes]]:
        """Claims the keys of one request, or waits for answers; returns those known, and those to be asked for."""
        known, mine = self._known(keys), set[bytes]()
        missing = set(keys) - set(known)
        free, direct = set(missing), set[bytes]()
        while missing:
            mine |= (flight.claim(free) if free else set()) | direct
            known |= self._known(list(missing), again=True)
            flight.done(known)
            mine -= set(known)
            missing -= set(known) | mine
            if missing:
                free, direct = flight.wait(missing)
        return known, mine

    def _known(self, keys: Sequence[bytes], *, again: bool = False) -> dict[bytes, Row]:
        values = self._store.get(keys)
        rows = {key: Row.from_json(value) for key, value in values.items()}
        bad = sum(row is None for row in rows.values())
        if bad and not again:
            with self._lock:
                self._stats = replace(self._stats, bad_rows=self._stats.bad_rows + bad)
        return {key: row for key, row in rows.items() if row is not None}

    def _keep(self, flight: Flight, request: Request, keys: Sequence[bytes], reply: Reply) -> dict[bytes, Row]:
        """Stores the samples of a reply, if it is what was asked for."""
        indices = tuple(completion.index for completion in reply.completions)
        if indices != request.samples or any(one.finish not in FINISHES for one in reply.completions):
            raise BackendError(
                f"{self.name}: the reply must hold whole completions of samples {request.samples}, got {indices}; "
                "nothing of it was stored"
            )
        share, rest = divmod(reply.usage.prompt_tokens, len(keys))
        pairs = enumerate(zip(keys, reply.completions, strict=True))
        rows = {key: Row(one, share + rest * (place == 0)) for place, (key, one) in pairs}
        finite = {k: r for k, r in rows.items() if r.completion.logprob is None or math.isfinite(r.completion.logprob)}
        self._store.put({key: row.to_json() for key, row in finite.items()})
        flight.done(keys)
        return rows

    def _count(self, hits: int, misses: int) -> None:
        with self._lock:
            self._stats = replace(self._stats, hits=self._stats.hits + hits, misses=self._stats.misses + misses)
