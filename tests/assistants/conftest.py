"""Assistants on scripted models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import promptkit as pk

QUESTION = "Jane has 2 apples. She bought 3 more. How many apples does Jane have now?"
Make = Callable[..., pk.Assistant]

DEMOS = [
    pk.Example(
        pk.Query({"question": f"Tom had {n} pears. He lost 1. How many pears has Tom?"}),
        (str(n - 1),),
        f"{n} - 1 = {n - 1}.",
    )
    for n in range(4, 10)
]


def assistant_on(
    backend: pk.Backend, *, task: str = "apples", shots: int = 2, samples: int = 1, ask: str = "direct", **settings: Any
) -> pk.Assistant:
    known = pk.load_task(task)
    adapter: Any
    if samples > 1:
        adapter = pk.ChainOfThought(known, shots=shots, samples=samples, select="first")
    else:
        adapter = pk.FewShot(known, shots=shots, ask=ask, select="first")
    return pk.Assistant(adapter.fit(DEMOS if task == "apples" else [], backend), **settings)


@pytest.fixture
def make() -> Make:
    """A function ``make(answers, window=, chat=, task=, shots=, samples=, ask=, **settings)`` that returns an assistant."""

    def build(
        answers: Any = (" The answer is 5.",), *, window: int = 4096, chat: bool = False, **how: Any
    ) -> pk.Assistant:
        return assistant_on(pk.ScriptedBackend(answers, context_window=window, chat=chat), **how)

    return build
