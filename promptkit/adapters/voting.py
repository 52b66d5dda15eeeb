"""Drawing samples in waves and putting them to the vote; decided questions leave the batch after each wave."""

from __future__ import annotations

from collections.abc import Sequence

from promptkit.adapters.plan import VotePlan
from promptkit.backends import Backend
from promptkit.readout import BetaStop, Reader, Vote, WindowStop, stop_rule, vote
from promptkit.readout.stopping import lead_probability
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


def wave_size(how: VotePlan, samples: int) -> int:
    """Returns how many samples of a question are drawn at a time: the fewest after which its rule could stop.

    Args:
        how: The plan of the vote with its stop rule.
        samples: Samples per question at most.

    Returns:
        A number from 1 to ``samples``.

    Example:
        >>> wave_size(VotePlan(stop="beta"), 20), wave_size(VotePlan(stop="window"), 20), wave_size(VotePlan(), 20)
        (4, 5, 20)
    """
    rule = stop_rule(how.stop)
    if isinstance(rule, WindowStop):
        return min(samples, rule.size)
    if isinstance(rule, BetaStop):
        return next((n for n in range(1, samples) if lead_probability(n, 0) >= rule.threshold), samples)
    return samples


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
    wave = wave_size(how, samples)
    undecided = list(range(len(prompts)))
    while undecided:
        requests = [
            Request(prompts[i], sampling, seed, tuple(range(len(drawn[i]), min(samples, len(drawn[i]) + wave))))
            for i in undecided
        ]
        for i, reply in zip(undecided, backend.generate(requests), strict=True):
            drawn[i] += reply.completions
            costs[i] += reply.usage
        undecided = [i for i in undecided if len(drawn[i]) < samples and not count_votes(drawn[i], how, reader).stopped]
        if progress is not None:
            progress(len(prompts) - len(undecided), len(prompts))
    return [Reply(tuple(completions), cost) for completions, cost in zip(drawn, costs, strict=True)]
