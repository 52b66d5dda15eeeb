"""Drawing samples in waves and putting them to the vote; decided questions leave the batch after each wave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from promptkit.adapters.base import OnError
from promptkit.adapters.plan import Aggregation
from promptkit.backends import Backend
from promptkit.backends.base import check_logprobs, replies
from promptkit.errors import PromptkitError
from promptkit.parsing import AnswerParser, Vote, vote
from promptkit.registry import find
from promptkit.types import Completion, Progress, Reply, Request, Usage

__all__ = ["ask_all", "count_votes", "draw_votes", "needs_logprobs", "wave_size"]


def needs_logprobs(rule: str, of: str) -> bool:
    """Tells whether an aggregator needs the log-probabilities of samples.

    Args:
        rule: Its name.
        of: Whose setting it is, for messages.
    """
    return bool(find("aggregator", rule, of=of, which="vote").options.get("logprobs"))


def ask_all(
    backend: Backend, requests: Sequence[Request], on_error: OnError, progress: Progress | None
) -> list[Reply | PromptkitError]:
    """Completes requests so that, where failures are recorded, each costs only itself.

    Args:
        backend: The model.
        requests: What is wanted.
        on_error: ``raise`` stops at the first failure; ``record`` gives the failure in the place of the reply.
        progress: Called with (finished, all) requests.

    Returns:
        A reply or a failure per request, in order.
    """
    if on_error == "raise" or not hasattr(backend, "replies"):
        try:
            return list(backend.generate(requests, progress=progress))
        except PromptkitError:
            if on_error == "raise":
                raise
    found: dict[int, Reply | PromptkitError] = {}
    for place, reply in replies(backend, requests):
        found[place] = reply
        if progress is not None:
            progress(len(found), len(requests))
    return [found[place] for place in range(len(requests))]


def count_votes(completions: Sequence[Completion], how: Aggregation, parser: AnswerParser) -> Vote:
    """Reads completions of one question and lets them vote.

    Args:
        completions: The samples in the order of their indices; those behind the stop are not looked at.
        how: How votes are counted.
        parser: How answers are read.

    Returns:
        The outcome.
    """
    return vote(completions, parser=parser, rule=how.rule, stop=how.stop, tie=how.tie, near=how.near)


def wave_size(drawn: Sequence[Completion], how: Aggregation, parser: AnswerParser, samples: int) -> int:
    """Returns how many samples of a question come next: the fewest after which its rule could be satisfied.

    So none is ever drawn that a rule checked after every sample would not have drawn.

    Args:
        drawn: The samples so far.
        how: How samples are aggregated, with the stop rule.
        parser: How answers are read.
        samples: Samples per question at most.

    Returns:
        A number from 0 to what is missing to ``samples``; 0 if the question is decided.

    Example:
        >>> parser = AnswerParser({"kind": "text"})
        >>> [wave_size([], Aggregation(stop=stop), parser, 20) for stop in ("none", "window", "beta")]
        [20, 5, 4]
        >>> wave_size([Completion(text) for text in "5565"], Aggregation(stop="beta"), parser, 20)
        3
    """
    outcome, left = count_votes(drawn, how, parser), samples - len(drawn)
    return 0 if outcome.stopped else min(left, outcome.more_needed or left)


def draw_votes(
    backend: Backend,
    requests: Sequence[Request],
    samples: int,
    how: Aggregation,
    parser: AnswerParser,
    progress: Progress | None,
    on_error: OnError = "raise",
) -> list[Reply | PromptkitError]:
    """Draws samples for every request until its stop rule is satisfied or there are enough.

    Args:
        backend: The model.
        requests: One per question; the samples that they ask for are filled in here.
        samples: Samples per question at most.
        how: How votes are counted and when to stop.
        parser: How answers are read.
        progress: Called with (decided, all) questions.
        on_error: What becomes of a failure, as in ``ask_all``.

    Returns:
        One reply per request with all samples drawn for it, and their cost; or why it failed.

    Raises:
        UnsupportedError: The aggregator needs log-probabilities, and the backend gives none; nothing was asked.
    """
    if needs_logprobs(how.rule, of="vote"):
        check_logprobs(backend, of="vote")
    failed: dict[int, PromptkitError] = {}
    drawn: list[list[Completion]] = [[] for _ in requests]
    costs = [Usage() for _ in requests]
    first = wave_size([], how, parser, samples)
    wanted = dict.fromkeys(range(len(requests)), first)
    while wanted:
        wave = [
            replace(requests[place], samples=tuple(range(len(drawn[place]), len(drawn[place]) + more)))
            for place, more in wanted.items()
        ]
        # In the only wave there is, a finished request is a decided question.
        shown = progress if first == samples else None
        for place, reply in zip(list(wanted), ask_all(backend, wave, on_error, shown), strict=True):
            if isinstance(reply, PromptkitError):
                failed[place] = reply
            else:
                drawn[place] += reply.completions
                costs[place] += reply.usage
        going = [place for place in wanted if place not in failed]
        wanted = {place: more for place in going if (more := wave_size(drawn[place], how, parser, samples))}
        if progress is not None:
            progress(len(requests) - len(wanted), len(requests))
    return [failed.get(place) or Reply(tuple(drawn[place]), costs[place]) for place in range(len(requests))]
