"""Word problems about counting, one to four steps, with worked reasoning."""

from __future__ import annotations

import random
from collections.abc import Iterator

from textgen.problems import draw_problem, reason

ROUTES = ("equations", "story", "spoken")
STEPS = (1, 2, 3, 3, 4, 4, 4)
HIGH = 130


def rows(rng: random.Random) -> Iterator[dict[str, object]]:
    """Yields problems for ever; the rationale goes along one of three routes."""
    while True:
        problem = draw_problem(rng, rng.choice(STEPS), HIGH, training=False)
        yield {
            "question": problem.question,
            "target": str(problem.answer),
            "rationale": reason(rng, problem, rng.choice(ROUTES)),
        }
