"""Word problems about counting, one to four steps, with worked reasoning."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from textgen.problems import Problem, draw_problem, reason

KINDS = ("count",)
ROUTES = ("equations", "story", "spoken")
STEPS = (1, 2, 3, 3, 4, 4, 4)
HIGH = 150


def draw(rng: random.Random, steps: Sequence[int] = STEPS) -> Problem:
    """Draws a problem at the difficulty of this task."""
    return draw_problem(rng, rng.choice(steps), HIGH, training=False, kind=rng.choice(KINDS))


def work_out(rng: random.Random, problem: Problem) -> str:
    """Writes the reasoning along one of three routes, adding up in a random order.

    The order is what makes voting worth it: samples that add up in different orders meet different sums, so that their
    slips differ while the right answers agree.
    """
    return reason(rng, problem, rng.choice(ROUTES), shuffled=True)


def rows(rng: random.Random) -> Iterator[dict[str, object]]:
    """Yields problems for ever."""
    while True:
        problem = draw(rng)
        yield {"question": problem.question, "target": str(problem.answer), "rationale": work_out(rng, problem)}
