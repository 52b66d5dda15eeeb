"""Published figures, end to end: chain of thought over a model that says what a real model once said."""

from __future__ import annotations

from typing import Any

import pytest

from promptkit import BetaStop, ChainOfThought, ScriptedBackend, WindowStop
from promptkit.types import Request
from tests.support.replays import MISSING, REAL, TABLE, TASK, accuracy, answering, queries, stored

pytestmark = pytest.mark.skipif(not REAL, reason=MISSING)


@pytest.mark.parametrize("row", TABLE, ids=[row[0] for row in TABLE])
def test_self_consistency_table(row: tuple[Any, ...]) -> None:
    name, *expected = row
    rows = stored(name)
    backend = ScriptedBackend(answering(rows), chat=True, context_window=8000)

    def run(samples: int, stop: Any = "none") -> tuple[float, float]:
        backend.requests.clear()
        adapter = ChainOfThought(TASK, shots=0, samples=samples, stop=stop, tie="first")
        found = adapter.fit([], backend).predict(queries(rows))
        drawn = sum(len(one.samples) for one in backend.requests if isinstance(one, Request))
        assert drawn == sum(one.samples_used for one in found)
        return accuracy(found, rows), drawn / len(rows)

    assert run(5)[1] == 5
    figures = [run(5)[0], run(10)[0], *run(10, BetaStop(0.95)), *run(10, WindowStop(5))]
    assert figures == pytest.approx(expected, abs=1e-9)
