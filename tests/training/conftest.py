"""Tiny random models, those of the backends' tests, and pairs to learn from."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from promptkit.backends.local.backend import LocalBackend
from promptkit.training import Pair
from promptkit.types import Prompt

_PATH = Path(__file__).parents[1] / "backends" / "conftest.py"
_SPEC = importlib.util.spec_from_file_location("tiny_models", _PATH)
assert _SPEC is not None and _SPEC.loader is not None
models = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(models)

tiny, make_tokenizer = models.tiny, models.make_tokenizer

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
def backend_of(tiny: Callable[..., Path]) -> Callable[..., LocalBackend]:
    """A function ``backend_of(kind, **config)`` that returns a backend on a tiny model, loaded once."""

    @cache
    def load(kind: str, options: tuple[tuple[str, Any], ...]) -> LocalBackend:
        return LocalBackend(tiny(kind, **dict(options)), device="cpu")

    return lambda kind="llama", **options: load(kind, tuple(sorted(options.items())))


@pytest.fixture(scope="session")
def pairs() -> Callable[..., list[Pair]]:
    """The function ``pairs(count, end=, first=)``."""
    return some_pairs
