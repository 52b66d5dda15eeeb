"""Drawing samples in waves and putting them to the vote; decided questions leave the batch after each wave."""

from __future__ import annotations

from collections.abc import Sequence

from promptkit.adapters.plan import VotePlan
from promptkit.backends import Backend
from promptkit.readout import Reader, Vote, vote
from promptkit.types import Completion, Progress, Prompt, Reply, Request, Sampling, Usage

__all__ = ["count_votes", "draw_votes", "wave_size"]


def count_votes(completions: Sequence[Completion], how: VotePlan, reader: Reader) -> Vote:
    """Reads completions of one question and lets them vote.

    Args:
        completions: The samples in the order of their indices; those behind the stop are not looked at.
        how: How votes are counted.
        reader: How answers are read.

    Returns:
        The outcome.
    """
    return vote(completions, reader=reader, rule=how.rule, stop=how.stop, tie=how.tie, near=how.near)


def wave_size(drawn: Sequence[Completion], how: VotePlan, reader: Reader, samples: int) -> int:
    """Returns how many samples of a question come next: the fewest after which its rule could be satisfied.

    So none is ever drawn that a rule checked after every sample would not have drawn.

    Args:
        drawn: The samples so far.
        how: The plan of the vote with its stop rule.
        reader: How answers are read.
        samples: Samples per question at most.

    Returns:
        A number from 0 to what is missing to ``samples``; 0 if the question is decided.

    Example:
        >>> reader = Reader({"kind": "text"})
        >>> [wave_size([], VotePlan(stop=stop), reader, 20) for stop in ("none", "window", "beta")]
        [20, 5, 4]
        >>> wave_size([Completion(text) for text in "5565"], VotePlan(stop="beta"), reader, 20)
        3
    """
    outcome, left = count_votes(drawn, how, reader), samples - len(drawn)
    return 0 if outcome.stopped else min(left, outcome.more_needed or left)


def draw_votes(
    backend: Backend,
    prompts: Sequence[Prompt],
    sampling: Sampling,
    seed: int,
    samples: int,
    how: VotePlan,
    reader: Reader,
    progress: Progress | None,
) -> list[Reply]:
    """Draws samples of every prompt until its stop rule is satisfied or there are enough.

    Args:
        backend: The model.
        prompts: One prompt per question.
        sampling: How completions are drawn.
        seed: Seed of the run.
        samples: Samples per question at most.
        how: How votes are counted and when to stop.
        reader: How answers are read.
        progress: Called with (decided, all) questions.

    Returns:
        One reply per prompt with all samples drawn for it, and their cost.
    """
    drawn: list[list[Completion]] = [[] for _ in prompts]
    costs = [Usage() for _ in prompts]
    first = wave_size([], how, reader, samples)
    wanted = dict.fromkeys(range(len(prompts)), first)
    while wanted:
        requests = [
            Request(prompts[place], sampling, seed, tuple(range(len(drawn[place]), len(drawn[place]) + more)))
            for place, more in wanted.items()
        ]
        # In the only wave there is, a finished request is a decided question.
        shown = progress if first == samples else None
        for place, reply in zip(list(wanted), backend.generate(requests, progress=shown), strict=True):
            drawn[place] += reply.completions
            costs[place] += reply.usage
        wanted = {place: more for place in wanted if (more := wave_size(drawn[place], how, reader, samples))}
        if progress is not None:
            progress(len(prompts) - len(wanted), len(prompts))
    return [Reply(tuple(completions), cost) for completions, cost in zip(drawn, costs, strict=True)]
