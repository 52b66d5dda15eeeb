"""A backend that remembers the answers of another one on disk."""

from __future__ import annotations

import contextlib
import math
import os
import threading
from collections.abc import Collection, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, cast, get_args

from promptkit.backends.base import Backend, check_request, check_score_request, first_error, replies
from promptkit.backends.cache_key import sample_keys, scope, score_keys
from promptkit.backends.cache_store import Store
from promptkit.errors import BackendError, PromptkitError, UnsupportedError
from promptkit.types import Completion, Finish, Progress, Prompt, Reply, Request, ScoreRequest, Usage

__all__ = ["CacheStats", "CachedBackend"]

_FREE = Usage()
_FINISHES = frozenset(get_args(Finish)) - {"error"}


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What became of the samples and scores that were asked for.

    Attributes:
        hits: Found, or asked for twice in one call.
        misses: Asked of the backend.
        bad_rows: Damaged rows found on the way; they count as misses and are replaced.
    """

    hits: int = 0
    misses: int = 0
    bad_rows: int = 0


@dataclass(frozen=True, slots=True)
class _Row:
    """A remembered sample: the completion, and its share of the prompt tokens that it was asked for with."""

    completion: Completion
    prompt_tokens: int

    def to_json(self) -> list[Any]:
        one = self.completion
        return [one.text, one.finish, one.tokens, one.logprob, self.prompt_tokens]

    @classmethod
    def from_json(cls, value: Any) -> _Row | None:
        """Reads a row; ``None`` if it is none."""
        if not isinstance(value, list) or len(value) != 5:
            return None
        text, finish, tokens, logprob, prompt_tokens = value
        numbers = all(type(number) is int and number >= 0 for number in (tokens, prompt_tokens))
        if not isinstance(text, str) or not isinstance(finish, str) or finish not in _FINISHES or not numbers:
            return None
        if logprob is not None and not isinstance(logprob, int | float):
            return None
        return cls(Completion(text, cast(Finish, finish), tokens, logprob), prompt_tokens)


class CachedBackend:
    """Remembers every answer of a backend in a file, so that none is asked for twice.

    It stands in front of any backend. Strategies that learn weights train the local model underneath, and what they
    fit answers from memory like all others.

    Each sample is remembered on its own: after 5 samples of a prompt, 20 ask for 15 more. An answer is found again only
    if nothing that can change it has changed: model, server, learned weights, prompt, every field of the sampling, seed
    and sample index. Many threads and processes may share a file. An answer is stored as soon as it is there, so a run
    that was killed goes on where it stopped. Failures are never remembered. Damaged rows are asked for again. If the
    file cannot be read or written, there is one warning, and the work goes on without it.

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
        self.backend = backend
        self._store = Store(path, max_bytes)
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
        """What became of what was asked for, since this object was made."""
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
        known = self._known(keys)
        self._count(len(known), len(keys) - len(known))
        if len(known) == len(keys) == 1:
            if known[keys[0]].completion.text:
                yield known[keys[0]].completion.text
            return _assembled(request, keys, known)
        reply: Reply = yield from streaming(request)
        self._keep(request, keys, reply)
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
        known = {key: pair for key, value in self._found(keys).items() if (pair := _score(value)) is not None}
        asked: list[tuple[list[bytes], ScoreRequest]] = []
        claimed: set[bytes] = set(known)
        for request, own in zip(requests, keys, strict=True):
            missing = {key: text for key, text in zip(own, request.continuations, strict=True) if key not in claimed}
            claimed |= set(missing)
            if missing:
                asked.append((list(missing), replace(request, continuations=tuple(missing.values()))))
        count = sum(len(some) for some, _ in asked)
        self._count(sum(map(len, keys)) - count, count)
        if asked:
            rows = self.backend.score([request for _, request in asked])
            new = {
                key: pair
                for (some, _), row in zip(asked, rows, strict=True)
                for key, pair in zip(some, row, strict=True)
            }
            self._store.put({key: list(pair) for key, pair in new.items() if math.isfinite(pair[0])})
            known |= new
        return [tuple(known[key] for key in own) for own in keys]

    def _replies(self, requests: Sequence[Request]) -> Iterator[tuple[int, Reply | PromptkitError]]:
        of = scope(self.backend)
        keys = [sample_keys(request, of) for request in requests]
        known = self._known([key for own in keys for key in own])
        owner: dict[bytes, int] = {}
        asked: list[tuple[int, Request]] = []
        for place, (request, own) in enumerate(zip(requests, keys, strict=True)):
            missing = [
                index
                for index, key in zip(request.samples, own, strict=True)
                if key not in known and owner.setdefault(key, place) == place
            ]
            if missing:
                asked.append((place, replace(request, samples=tuple(missing))))
        self._count(sum(map(len, keys)) - len(owner), len(owner))
        left = set(range(len(requests)))

        failed: dict[int, PromptkitError] = {}
        costs: dict[int, Usage] = {}

        def whole(place: int) -> tuple[int, Reply]:
            left.discard(place)
            new = [key for key in keys[place] if owner.get(key) == place]
            return place, _assembled(requests[place], keys[place], known, costs.get(place, _FREE), new)

        for place, own in enumerate(keys):
            if all(key in known for key in own):
                yield whole(place)
        with contextlib.closing(replies(self.backend, [request for _, request in asked])) as found:
            for number, reply in found:
                place, request = asked[number]
                if isinstance(reply, PromptkitError):
                    failed[place] = reply
                    left.discard(place)
                    yield place, reply
                    continue
                known.update(self._keep(request, sample_keys(request, of), reply))
                costs[place] = reply.usage
                if all(key in known for key in keys[place]):
                    yield whole(place)
        for place in sorted(left):  # they share samples with others
            lost = [failed[owner[key]] for key in keys[place] if key not in known]
            yield (place, lost[0]) if lost else whole(place)

    def _found(self, keys: Sequence[Sequence[bytes]]) -> dict[bytes, Any]:
        return self._store.get([key for own in keys for key in own])

    def _known(self, keys: Sequence[bytes]) -> dict[bytes, _Row]:
        values = self._store.get(keys)
        rows = {key: _Row.from_json(value) for key, value in values.items()}
        bad = sum(row is None for row in rows.values())
        if bad:
            with self._lock:
                self._stats = replace(self._stats, bad_rows=self._stats.bad_rows + bad)
        return {key: row for key, row in rows.items() if row is not None}

    def _keep(self, request: Request, keys: Sequence[bytes], reply: Reply) -> dict[bytes, _Row]:
        """Stores the samples of a reply, if it is what was asked for."""
        indices = tuple(completion.index for completion in reply.completions)
        if indices != request.samples or any(one.finish not in _FINISHES for one in reply.completions):
            raise BackendError(
                f"{self.name}: the reply must hold whole completions of samples {request.samples}, got {indices}; "
                "nothing of it was stored"
            )
        share, rest = divmod(reply.usage.prompt_tokens, len(keys))
        pairs = enumerate(zip(keys, reply.completions, strict=True))
        rows = {key: _Row(one, share + rest * (place == 0)) for place, (key, one) in pairs}
        finite = {k: r for k, r in rows.items() if r.completion.logprob is None or math.isfinite(r.completion.logprob)}
        self._store.put({key: row.to_json() for key, row in finite.items()})
        return rows

    def _count(self, hits: int, misses: int) -> None:
        with self._lock:
            self._stats = replace(self._stats, hits=self._stats.hits + hits, misses=self._stats.misses + misses)


def _assembled(
    request: Request, keys: Sequence[bytes], known: dict[bytes, _Row], usage: Usage = _FREE, new: Collection[bytes] = ()
) -> Reply:
    """Makes a reply of remembered samples and of new ones, with what the new ones cost."""
    rows = [known[key] for key in keys]
    completions = tuple(replace(r.completion, index=i) for r, i in zip(rows, request.samples, strict=True))
    old = [row for key, row in zip(keys, rows, strict=True) if key not in new]
    prompt = sum(row.prompt_tokens for row in old)
    return Reply(completions, usage + Usage(0, prompt, prompt, sum(row.completion.tokens for row in old)))


def _score(value: Any) -> tuple[float, int] | None:
    """Reads a remembered score; ``None`` if it is none."""
    if not isinstance(value, list) or len(value) != 2 or type(value[1]) is not int:
        return None
    return (float(value[0]), value[1]) if isinstance(value[0], int | float) else None
