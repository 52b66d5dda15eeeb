"""Published figures over the wire: chain of thought on a server that says what a real model once said."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from promptkit import BetaStop, ChainOfThought, RemoteBackend, ScriptedBackend, WindowStop
from promptkit.task import build_task
from promptkit.testing import ScriptedServer
from promptkit.types import Request

REAL = os.environ.get("PROMPTKIT_REAL_DATA")
pytestmark = pytest.mark.skipif(not REAL, reason="PROMPTKIT_REAL_DATA names no folder of real samples")

# majority of 5 and 10, accuracy and mean samples of the Beta rule at .95 and of windows of five; first-seen ties
TABLE = [
    ("aqua-rat-100__temp-0.3", 69, 73, 73, 7.30, 73, 8.30),
    ("aqua-rat-100__temp-0.7", 64, 69, 69, 7.85, 69, 8.70),
    ("aqua-rat-100__temp-1.0", 65, 69, 69, 7.59, 69, 8.70),
    ("arc-challenge-test-100__temp-1.0", 87, 89, 89, 5.32, 89, 6.55),
    ("comprehensive-100__temp-1.0", 56, 61, 61, 7.05, 61, 7.85),
]
FAST = TABLE[3:4]
TASK = build_task(
    {
        "name": "choices",
        "fields": ["question"],
        "readers": {
            "direct": {"kind": "choice"},
            "reasoned": {
                "kind": "regex",
                "pattern": r'Answer\("(.)[^"\n]*"\)',
                "then": "choice",
                "labels": ["A", "B", "C", "D", "E", "N", *"123456789"],
            },
        },
        "templates": {
            "direct": "{% macro question(item) %}Q: {{ item.question }}\nA:{% endmacro %}"
            "{% macro answer(item) %} {{ item.target }}{% endmacro %}",
            "reasoned": "{% macro question(item) %}Q: {{ item.question }}\nA:{% endmacro %}"
            '{% macro answer(item) %} {{ item.rationale }} Action: Answer("{{ item.target }}"){% endmacro %}',
        },
        "max_new_tokens": {"reasoned": 4000},
    },
    of="choices",
)


def stored(name: str) -> list[dict[str, Any]]:
    path = Path(str(REAL), "cot-samples", f"gpt-35-turbo__chain_of_thought__{name}.jsonl.gz")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def replay(row: tuple[Any, ...], *, seeds: bool, faults: float) -> None:
    name, *expected = row
    rows = stored(name)
    queries = [{"question": f"number {number}"} for number in range(len(rows))]

    def answer(asked: Request, index: int) -> str:
        number = int(asked.prompt.messages[-1].content.removeprefix("Q: number ").removesuffix("\nA:"))
        text: str = rows[number]["samples"][index]
        return text

    def run(samples: int, stop: Any = "none") -> tuple[float, float]:
        script = ScriptedBackend(answer, chat=True, context_window=8000)
        kinds = ["503", "429-seconds", "close", "cut-body", "502"] if faults else []
        server = ScriptedServer(script, fault_rate=faults, fault_kinds=kinds)
        with server, RemoteBackend(server.base_url, "scripted", seeds=seeds, backoff=0.001, retries=9) as backend:
            adapter = ChainOfThought(TASK, shots=0, samples=samples, stop=stop, tie="first")
            found = adapter.fit([], backend).predict(queries)
        right = sum(one.answer == item["gold"] for one, item in zip(found, rows, strict=True))
        return 100 * right / len(rows), sum(one.samples_used for one in found) / len(rows)

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
