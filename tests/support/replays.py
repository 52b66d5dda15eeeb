"""Samples that a real model once gave, and the figures published for them."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from promptkit.parsing import ParserSpec
from promptkit.tasks.task import build_task
from promptkit.types import Request

REAL = os.environ.get("PROMPTKIT_REAL_DATA")
MISSING = "PROMPTKIT_REAL_DATA names no folder of real samples"

# majority of 5 and 10, accuracy and mean samples of the Beta rule at .95 and of windows of five; first-seen ties
TABLE = [
    ("aqua-rat-100__temp-0.3", 69, 73, 73, 7.30, 73, 8.30),
    ("aqua-rat-100__temp-0.7", 64, 69, 69, 7.85, 69, 8.70),
    ("aqua-rat-100__temp-1.0", 65, 69, 69, 7.59, 69, 8.70),
    ("arc-challenge-test-100__temp-1.0", 87, 89, 89, 5.32, 89, 6.55),
    ("comprehensive-100__temp-1.0", 56, 61, 61, 7.05, 61, 7.85),
]
# mean of one sample
SINGLES = dict(zip((row[0] for row in TABLE), (60.6, 58.0, 54.9, 83.8, 56.9), strict=True))
# The authors take the first character of the quoted answer; "None of the above" is thereby the answer N, which votes,
# and a text without a quoted answer is unreadable.
QUOTED = ParserSpec(
    kind="regex",
    pattern=r'Answer\("(.)[^"\n]*"\)',
    then="choice",
    labels=("A", "B", "C", "D", "E", "N", *"123456789"),
)
TASK = build_task(
    {
        "name": "choices",
        "fields": ["question"],
        "parsers": {
            "direct": {"kind": "choice"},
            "reasoned": QUOTED.model_dump(exclude_defaults=True),
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


def read(name: str) -> list[dict[str, Any]]:
    """Reads a file of stored samples; the folder must be there."""
    with gzip.open(Path(str(REAL), "cot-samples", f"{name}.jsonl.gz"), "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def stored(name: str) -> list[dict[str, Any]]:
    """Reads questions with their samples."""
    return read(f"gpt-35-turbo__chain_of_thought__{name}")


def queries(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Questions that name a row by its number."""
    return [{"question": f"number {number}"} for number in range(len(rows))]


def answering(rows: list[dict[str, Any]]) -> Callable[[Request, int], str]:
    """What a chat model says that gives the stored samples; as chat, since blank lines would end a completion."""

    def answer(asked: Request, index: int) -> str:
        number = int(asked.prompt.messages[-1].content.removeprefix("Q: number ").removesuffix("\nA:"))
        text: str = rows[number]["samples"][index]
        return text

    return answer


def accuracy(found: list[Any], rows: list[dict[str, Any]]) -> float:
    """Percent of predictions that are right."""
    return 100 * sum(one.answer == row["gold"] for one, row in zip(found, rows, strict=True)) / len(rows)
