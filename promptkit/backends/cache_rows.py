"""What the cache keeps of an answer, and how replies are made of what is kept and what is asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast, get_args

from promptkit.errors import PromptkitError
from promptkit.types import Completion, Finish, Reply, Request, Usage

__all__ = ["FINISHES", "FREE", "Call", "Row", "assembled", "read_score"]

FREE = Usage()
"""What a remembered answer costs."""
FINISHES = frozenset(get_args(Finish)) - {"error"}
"""How a whole completion can end."""


@dataclass(frozen=True, slots=True)
class Row:
    """A remembered sample: the completion, and its share of the prompt tokens that it was asked for with."""

    completion: Completion
    prompt_tokens: int

    def to_json(self) -> list[Any]:
        """Returns the row as JSON data."""
        one = self.completion
        return [one.text, one.finish, one.tokens, one.logprob, self.prompt_tokens]

    @classmethod
    def from_json(cls, value: Any) -> Row | None:
        """Reads a row; ``None`` if it is none."""
        if not isinstance(value, list) or len(value) != 5:
            return None
        text, finish, tokens, logprob, prompt_tokens = value
        numbers = all(type(number) is int and number >= 0 for number in (tokens, prompt_tokens))
        if not isinstance(text, str) or not isinstance(finish, str) or finish not in FINISHES or not numbers:
            return None
        if logprob is not None and not isinstance(logprob, int | float):
            return None
        return cls(Completion(text, cast(Finish, finish), tokens, logprob), prompt_tokens)


def assembled(
    request: Request, keys: Sequence[bytes], known: dict[bytes, Row], usage: Usage = FREE, new: Collection[bytes] = ()
) -> Reply:
    """Makes a reply of remembered samples and of new ones.

    Args:
        request: What was asked.
        keys: Keys of its samples.
        known: The samples by key.
        usage: What the new ones cost.
        new: Keys of the new ones.

    Returns:
        The reply.
    """
    rows = [known[key] for key in keys]
    completions = tuple(replace(r.completion, index=i) for r, i in zip(rows, request.samples, strict=True))
    old = [row for key, row in zip(keys, rows, strict=True) if key not in new]
    prompt = sum(row.prompt_tokens for row in old)
    return Reply(completions, usage + Usage(0, prompt, prompt, sum(row.completion.tokens for row in old)))


def read_score(value: Any) -> tuple[float, int] | None:
    """Reads a remembered score; ``None`` if it is none."""
    if not isinstance(value, list) or len(value) != 2 or type(value[1]) is not int:
        return None
    return (float(value[0]), value[1]) if isinstance(value[0], int | float) else None


class Call:
    """Requests of one call, and how far they are.

    Args:
        requests: What is wanted.
        keys: The keys of their samples.
        known: Samples that were remembered.

    Attributes:
        place: Of each sample that was not, the first request that wants it.
        known: Samples that are there.
        failed: Samples that could not be had.
        costs: What was paid for a request.
        new: Samples that were asked for here.
    """

    def __init__(self, requests: Sequence[Request], keys: Sequence[Sequence[bytes]], known: dict[bytes, Row]) -> None:
        self._requests, self._keys, self.known = requests, keys, known
        self._left = set(range(len(requests)))
        self.place: dict[bytes, int] = {}
        self._wanting: dict[bytes, list[int]] = defaultdict(list)
        for place, own in enumerate(keys):
            for key in own:
                if key not in known:
                    self.place.setdefault(key, place)
                    self._wanting[key].append(place)
        self.failed: dict[bytes, PromptkitError] = {}
        self.costs: dict[int, Usage] = {}
        self.new: set[bytes] = set()

    def missing(self) -> set[bytes]:
        """The samples that unfinished requests lack."""
        return {key for place in self._left for key in self._keys[place] if key not in self.known}

    def parts(self, mine: set[bytes]) -> list[tuple[int, Request, list[bytes]]]:
        """Makes requests for some samples, each in the place of the first request that wants it."""
        found = []
        for place, (request, own) in enumerate(zip(self._requests, self._keys, strict=True)):
            some = {key: index for key, index in zip(own, request.samples, strict=True) if key in mine}
            some = {key: index for key, index in some.items() if self.place[key] == place}
            if some:
                found.append((place, replace(request, samples=tuple(some.values())), list(some)))
        return found

    def lacks(self, keys: Collection[bytes]) -> bool:
        """Tells whether one of some samples is neither there nor lost."""
        return any(key not in self.known and key not in self.failed for key in keys)

    def finished(self, keys: Collection[bytes] | None = None) -> Iterator[tuple[int, Reply | PromptkitError]]:
        """Yields the requests of which every sample is there, or of which one failed, each once.

        Args:
            keys: Samples that became known or failed; without, every request is looked at.

        Yields:
            Number of a request with its reply, or with why it failed.
        """
        for place in sorted(self._left if keys is None else {one for key in keys for one in self._wanting[key]}):
            own = self._keys[place]
            lost = next((self.failed[key] for key in own if key in self.failed), None)
            if place not in self._left or (lost is None and self.lacks(own)):
                continue
            self._left.discard(place)
            new = {key for key in own if key in self.new and self.place.get(key) == place}
            cost = self.costs.get(place, FREE)
            yield place, lost or assembled(self._requests[place], own, self.known, cost, new)
