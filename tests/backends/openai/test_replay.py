"""Published figures over the wire: chain of thought on a server that says what a real model once said."""

from __future__ import annotations

from typing import Any

import pytest

from promptkit import BetaStop, ChainOfThought, RemoteBackend, ScriptedBackend, WindowStop
from tests.support.replays import MISSING, REAL, TABLE, TASK, accuracy, answering, queries, stored
from tests.support.server import ScriptedServer

pytestmark = pytest.mark.skipif(not REAL, reason=MISSING)

FAST = TABLE[3:4]


def replay(row: tuple[Any, ...], *, seeds: bool, faults: float) -> None:
    name, *expected = row
    rows = stored(name)

    def run(samples: int, stop: Any = "none") -> tuple[float, float]:
        script = ScriptedBackend(answering(rows), chat=True, context_window=8000)
        kinds = ["503", "429-seconds", "close", "cut-body", "502"] if faults else []
        server = ScriptedServer(script, fault_rate=faults, fault_kinds=kinds)
        with server, RemoteBackend(server.base_url, "scripted", seeds=seeds, backoff=0.001, retries=9) as backend:
            adapter = ChainOfThought(TASK, shots=0, samples=samples, stop=stop, tie="first")
            found = adapter.fit([], backend).predict(queries(rows))
        return accuracy(found, rows), sum(one.samples_used for one in found) / len(rows)

    assert run(5)[1] == 5
    figures = [run(5)[0], run(10)[0], *run(10, BetaStop(0.95)), *run(10, WindowStop(5))]
    assert figures == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("row", FAST, ids=[row[0] for row in FAST])
def test_self_consistency_table_over_the_wire(row: tuple[Any, ...]) -> None:
    replay(row, seeds=False, faults=0.0)


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("row", TABLE, ids=[row[0] for row in TABLE])
@pytest.mark.parametrize(("seeds", "faults"), [(True, 0.2), (False, 0.0)], ids=["a call a sample, faulty", "n a call"])
def test_self_consistency_tables_over_the_wire(row: tuple[Any, ...], seeds: bool, faults: float) -> None:
    replay(row, seeds=seeds, faults=faults)
