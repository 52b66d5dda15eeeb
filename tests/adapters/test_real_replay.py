"""Published figures, end to end: chain of thought over a model that says what a real model once said."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from promptkit import BetaStop, ChainOfThought, ScriptedBackend, WindowStop
from promptkit.task import build_task
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
TASK = build_task(
    {
        "name": "choices",
        "fields": ["question"],
        "readers": {
            "direct": {"kind": "choice"},
            # The first letter of the quoted answer; "None of the above" is thereby the answer N, as its authors have it.
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


@pytest.fixture(params=TABLE, ids=[row[0] for row in TABLE])
def replay(request: pytest.FixtureRequest) -> tuple[list[dict[str, Any]], ScriptedBackend, tuple[float, ...]]:
    """The questions, a model that answers them as was stored, and the published figures."""
    name, *figures = request.param
    path = Path(str(REAL), "cot-samples", f"gpt-35-turbo__chain_of_thought__{name}.jsonl.gz")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]

    def answer(asked: Request, index: int) -> str:
        number = int(asked.prompt.messages[-1].content.removeprefix("Q: number ").removesuffix("\nA:"))
        text: str = rows[number]["samples"][index]
        return text

    # As chat, because stored texts hold blank lines, which would end a completion.
    return rows, ScriptedBackend(answer, chat=True, context_window=8000), tuple(figures)


def test_self_consistency_table(replay: tuple[list[dict[str, Any]], ScriptedBackend, tuple[float, ...]]) -> None:
    rows, backend, expected = replay
    queries = [{"question": f"number {number}"} for number in range(len(rows))]

    def run(samples: int, stop: Any = "none") -> tuple[float, float]:
        backend.requests.clear()
        adapter = ChainOfThought(TASK, shots=0, samples=samples, stop=stop, tie="first")
        found = adapter.fit([], backend).predict(queries)
        drawn = sum(len(one.samples) for one in backend.requests if isinstance(one, Request))
        assert drawn == sum(one.samples_used for one in found)
        right = sum(one.answer == row["gold"] for one, row in zip(found, rows, strict=True))
        return 100 * right / len(rows), drawn / len(rows)

    assert run(5)[1] == 5
    figures = [run(5)[0], run(10)[0], *run(10, BetaStop(0.95)), *run(10, WindowStop(5))]
    assert figures == pytest.approx(expected, abs=1e-9)
