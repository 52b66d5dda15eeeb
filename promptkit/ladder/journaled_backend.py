"""A backend that asks a model only what it has not answered yet, and keeps every answer before it hands it on."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import Any, TypeVar

from promptkit.backends import Backend
from promptkit.backends.base import MAX_TOGETHER, first_error, unwrap
from promptkit.backends.base import replies as backend_replies
from promptkit.backends.cache_key import sample_keys, scope, score_keys
from promptkit.errors import PromptkitError
from promptkit.ladder.journal import Journal
from promptkit.types import Completion, Progress, Prompt, Reply, Request, ScoreRequest, Usage

__all__ = ["JournaledBackend", "OutOfTime", "Spent"]

T = TypeVar("T")

CHUNK = MAX_TOGETHER
"""Most requests that are sent at once, which is what a kill can lose."""
PROBE = 4
"""Samples that are asked for first where there is a deadline and the pace of the model is not known."""
SLICE = 0.1
"""Share of the time left that one call may take; ``LEAST`` seconds where that is less, if there are as many."""
LEAST = 1.0


class OutOfTime(Exception):
    """The next request would end after the deadline. What was answered before is kept; it never leaves a climb."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What a run has asked of a model, earlier sessions included.

    Attributes:
        calls: Requests that were answered.
        prompt_tokens: Their prompt tokens.
        generated_tokens: Tokens generated for them.
    """

    calls: int = 0
    prompt_tokens: int = 0
    generated_tokens: int = 0

    def __sub__(self, earlier: Spent) -> Spent:
        """What was spent since an earlier moment."""
        return Spent(
            self.calls - earlier.calls,
            self.prompt_tokens - earlier.prompt_tokens,
            self.generated_tokens - earlier.generated_tokens,
        )


class JournaledBackend:
    """Wraps a model and looks like it, also to ``isinstance``: strategies that train need its weights.

    The model may itself stand behind a cache, which then answers what the journal does not know.

    A request is known by everything on which its answer may depend, as in ``CachedBackend``. That one makes answers
    free; here a replayed answer keeps what it cost when it was made, because the record tells what a rung costs.

    Args:
        backend: The model, perhaps behind a ``CachedBackend``.
        journal: Where answers are kept. It belongs to this model alone, which the climb makes sure of.

    Example:
        >>> from promptkit import ScriptedBackend
        >>> model = ScriptedBackend(["yes"])
        >>> backend = JournaledBackend(model, Journal(None))
        >>> [backend.generate([Request(Prompt(text="Is it?"))])[0].completions[0].text for _ in range(3)]
        ['yes', 'yes', 'yes']
        >>> len(model.requests), backend.spent.calls, isinstance(backend, ScriptedBackend)
        (1, 1, True)
    """

    def __init__(self, backend: Backend, journal: Journal) -> None:
        self.backend = backend
        self._journal = journal
        totals = [0, 0, 0]
        for kind in ("reply:", "score:"):
            for value in journal.values(kind):
                totals = [sum(pair) for pair in zip(totals, value["spent"], strict=True)]
        self.spent = Spent(*totals)
        self._deadline: float | None = None
        self._planned: float | None = None
        self._pace: float | None = None  # seconds a sample took in the last call

    @contextlib.contextmanager
    def until(self, seconds: float | None, *, grace: float = 1.0) -> Iterator[None]:
        """Sets a deadline for everything that is asked within; of several the earliest counts.

        Requests are sent in parts that fit the time that is left, by the pace of the part before. A deadline does not
        interrupt a call: it is overrun by at most one request.

        Args:
            seconds: Seconds from now, or ``None`` for no deadline.
            grace: By which factor work that looks at ``seconds_left`` may overrun before it is cut off.

        Raises:
            OutOfTime: Within, by a request that would not fit.
        """
        before = self._deadline, self._planned
        if seconds is not None:
            now = time.monotonic()
            self._deadline, self._planned = (
                now + seconds * factor if earlier is None else min(earlier, now + seconds * factor)
                for earlier, factor in zip(before, (grace, 1.0), strict=True)
            )
        try:
            yield
        finally:
            self._deadline, self._planned = before

    def seconds_left(self) -> float | None:
        """Returns the seconds in which work should end, at least 0; ``None`` without a deadline."""
        return None if self._planned is None else max(0.0, self._planned - time.monotonic())

    def __getattr__(self, name: str) -> Any:
        """Everything else is the model's, but no answer goes past the journal."""
        if name == "replies" and hasattr(self.backend, name):
            return self._replies
        return getattr(unwrap(self), name)

    @property  # type: ignore[misc]
    def __class__(self) -> type[Any]:
        """The class of the model."""
        return type(unwrap(self))

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

    def count_tokens(self, prompt: Prompt) -> int:
        """Returns how many tokens of the context window a prompt takes."""
        return self.backend.count_tokens(prompt)

    def fingerprint(self) -> str:
        """Returns the fingerprint of the model."""
        return self.backend.fingerprint()

    def generate(self, requests: Sequence[Request], *, progress: Progress | None = None) -> list[Reply]:
        """Completes every request, asking the model for those that are new.

        Args:
            requests: What is wanted.
            progress: Called with (finished, all) requests.

        Returns:
            One reply per request, in order.
        """
        if hasattr(self.backend, "replies"):
            return first_error(self._replies(requests), len(requests), progress)
        keys = self._request_keys(requests)
        missing = {key: request for key, request in zip(keys, requests, strict=True) if self._journal.get(key) is None}
        known = len(requests) - len(missing)
        todo = list(missing.items())
        start = 0
        for part in self._parts(todo, [max(1, len(request.samples)) for _, request in todo]):
            step = _shifted(progress, known + start, len(requests))
            replies = self.backend.generate([request for _, request in part], progress=step)
            self._keep({key: _from_reply(reply) for (key, _), reply in zip(part, replies, strict=True)})
            start += len(part)
        if progress is not None and not todo:
            progress(len(requests), len(requests))
        return [_to_reply(self._journal.get(key)) for key in keys]

    def score(self, requests: Sequence[ScoreRequest]) -> list[tuple[tuple[float, int], ...]]:
        """Tells how likely continuations are, asking the model for those that are new.

        Args:
            requests: Prompts with their continuations.

        Returns:
            Per request and continuation: log-probability and number of tokens.
        """
        of = scope(self.backend)
        keys = [_key("score", score_keys(request, of)) for request in requests]
        missing = {key: request for key, request in zip(keys, requests, strict=True) if self._journal.get(key) is None}
        todo = list(missing.items())
        for part in self._parts(todo, [1] * len(todo)):
            rows = self.backend.score([request for _, request in part])
            self._keep({
                key: {"scores": [list(pair) for pair in row],
                      "spent": [1, self.count_tokens(request.prompt), sum(tokens for _, tokens in row)]}
                for (key, request), row in zip(part, rows, strict=True)
            })  # fmt: skip
        found = [self._journal.get(key) or {} for key in keys]
        return [tuple((score, tokens) for score, tokens in row["scores"]) for row in found]

    def _replies(self, requests: Sequence[Request]) -> Iterator[tuple[int, Reply | PromptkitError]]:
        """Replaces ``replies`` of a model that tells of each request as it finishes, such as a server's."""
        places: dict[str, list[int]] = {}
        for place, key in enumerate(self._request_keys(requests)):
            places.setdefault(key, []).append(place)
        todo = [key for key in places if self._journal.get(key) is None]
        for key in places.keys() - set(todo):
            yield from ((place, _to_reply(self._journal.get(key))) for place in places[key])
        if todo:
            self._how_many([1])
        with contextlib.closing(backend_replies(self.backend, [requests[places[key][0]] for key in todo])) as told:
            for count, (number, reply) in enumerate(told, 1):
                if not isinstance(reply, PromptkitError):
                    self._keep({todo[number]: _from_reply(reply)})
                yield from ((place, reply) for place in places[todo[number]])
                if count < len(todo) and self._deadline is not None and time.monotonic() >= self._deadline:
                    raise OutOfTime

    def _parts(self, todo: Sequence[T], samples: Sequence[int]) -> Iterator[Sequence[T]]:
        """Cuts what is to be asked into calls, and measures the pace of each."""
        start = 0
        while start < len(todo):
            stop = start + self._how_many(samples[start : start + CHUNK])
            began = time.monotonic()
            yield todo[start:stop]
            self._pace = (time.monotonic() - began) / sum(samples[start:stop])
            start = stop

    def _how_many(self, samples: Sequence[int]) -> int:
        """Returns how many of the next requests may be asked in one call: at least 1."""
        if self._deadline is None:
            return len(samples)
        left = self._deadline - time.monotonic()
        if left <= 0 or (self._pace is not None and self._pace * samples[0] > left):
            raise OutOfTime
        seconds = PROBE if self._pace is None else min(left, max(LEAST, SLICE * left)) / max(self._pace, 1e-9)
        fitting = sum(total <= seconds for total in itertools.accumulate(samples))
        return max(1, fitting)

    def _request_keys(self, requests: Sequence[Request]) -> list[str]:
        of = scope(self.backend)
        return [_key("reply", sample_keys(request, of)) for request in requests]

    def _keep(self, values: dict[str, Any]) -> None:
        self._journal.put_all(values)
        for value in values.values():
            calls, prompt, generated = value["spent"]
            old = self.spent
            self.spent = Spent(old.calls + calls, old.prompt_tokens + prompt, old.generated_tokens + generated)


def _shifted(progress: Progress | None, before: int, total: int) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, _: progress(before + done, total)


def _key(kind: str, keys: Sequence[bytes]) -> str:
    """Joins the keys of the parts of a request, which hold everything that can change the answer."""
    return f"{kind}:{hashlib.sha256(b''.join(keys)).hexdigest()[:32]}"


def _from_reply(reply: Reply) -> dict[str, Any]:
    usage = reply.usage
    return {
        "completions": [[c.text, c.finish, c.tokens, c.logprob, c.index] for c in reply.completions],
        "usage": list(astuple(usage)),
        "spent": [max(1, usage.calls), usage.prompt_tokens, usage.generated_tokens],
    }


def _to_reply(value: Any) -> Reply:
    return Reply(tuple(Completion(*fields) for fields in value["completions"]), Usage(*value["usage"]))
