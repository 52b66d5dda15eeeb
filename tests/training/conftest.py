"""Pairs to learn from."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from promptkit.training import Pair
from promptkit.types import Prompt

ANSWERS = ["positive", "negative", "neither of them"]


def some_pairs(count: int, *, end: bool = False, first: int = 0) -> list[Pair]:
    """Pairs of many lengths with answers that can be learned."""
    return [
        Pair(
            Prompt(text=f"Review: number {number}" + " and so on" * (number % 7) + "\nLabel:"),
            f" {ANSWERS[number % 3]}\n\n",
            end,
        )
        for number in range(first, first + count)
    ]


@pytest.fixture(scope="session")
def pairs() -> Callable[..., list[Pair]]:
    """The function ``pairs(count, end=, first=)``."""
    return some_pairs
