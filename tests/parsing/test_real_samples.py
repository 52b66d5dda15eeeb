"""Published figures from stored samples of real models (nothing of it is part of this project)."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from promptkit.parsing import AnswerParser, BetaStop, ParserSpec, WindowStop, vote

REAL = os.environ.get("PROMPTKIT_REAL_DATA")
pytestmark = pytest.mark.skipif(not REAL, reason="PROMPTKIT_REAL_DATA names no folder of real samples")

# mean of 1, majority of 5 and 10, accuracy and mean samples of the Beta rule at .95 and of windows of five
TABLE = [
    ("aqua-rat-100__temp-0.3", 60.6, 69, 73, 73, 7.30, 73, 8.30),
    ("aqua-rat-100__temp-0.7", 58.0, 64, 69, 69, 7.85, 69, 8.70),
    ("aqua-rat-100__temp-1.0", 54.9, 65, 69, 69, 7.59, 69, 8.70),
    ("arc-challenge-test-100__temp-1.0", 83.8, 87, 89, 89, 5.32, 89, 6.55),
    ("comprehensive-100__temp-1.0", 56.9, 56, 61, 61, 7.05, 61, 7.85),
]
# The authors take the first character of the quoted answer; "None of the above" is thereby the answer N, which votes,
# and a text without a quoted answer is unreadable.
QUOTED = ParserSpec(
    kind="regex",
    pattern=r'Answer\("(.)[^"\n]*"\)',
    then="choice",
    labels=("A", "B", "C", "D", "E", "N", *"123456789"),
)


def rows(name: str) -> list[dict[str, Any]]:
    path = Path(str(REAL), "cot-samples", name + ".jsonl.gz")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


@pytest.mark.parametrize("field", ["answers", "samples"])
@pytest.mark.parametrize("row", TABLE, ids=[row[0] for row in TABLE])
def test_self_consistency_table(row: tuple[Any, ...], field: str) -> None:
    name, *expected = row
    questions = rows(f"gpt-35-turbo__chain_of_thought__{name}")
    parser = AnswerParser(ParserSpec(kind="text") if field == "answers" else QUOTED)

    def accuracy(samples: int, **settings: Any) -> tuple[float, float]:
        votes = [vote(item[field][:samples], parser=parser, tie="first", **settings) for item in questions]
        right = sum(outcome.answer == item["gold"] for outcome, item in zip(votes, questions, strict=True))
        used = sum(outcome.samples_used for outcome in votes)
        return 100 * right / len(questions), used / len(questions)

    singles = [vote([text], parser=parser).answer == item["gold"] for item in questions for text in item[field]]
    figures = [100 * sum(singles) / len(singles), accuracy(5)[0], accuracy(10)[0]]
    figures += [*accuracy(10, stop=BetaStop(0.95)), *accuracy(10, stop=WindowStop(5))]
    assert figures == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("row", TABLE, ids=[row[0] for row in TABLE])
def test_texts_are_read_as_the_authors_read_them(row: tuple[Any, ...]) -> None:
    parser = AnswerParser(QUOTED)
    for item in rows(f"gpt-35-turbo__chain_of_thought__{row[0]}"):
        assert [parser.read(text) or "" for text in item["samples"]] == item["answers"]


def test_program_of_thoughts_votes() -> None:
    items = rows("pot_aqua_sc30")
    right = sum(item["voted_option_in_repo"] == item["gold"] for item in items)
    assert round(100 * right / len(items), 1) == 58.1


def test_solutions_are_judged_as_their_authors_judged_them() -> None:
    parser = AnswerParser(ParserSpec(kind="marked", marker="A:", then="number"))
    systems = {"6b_finetuning": 21.7, "6b_verification": 39.0, "175b_finetuning": 34.7, "175b_verification": 56.3}
    items = rows("gsm8k_model_solutions")
    for system, share in systems.items():
        right = 0
        for item in items:
            answer = parser.read(item[system]["solution"])
            correct = answer is not None and answer == parser.read(item["ground_truth"])
            assert correct == item[system]["is_correct"], item[system]["solution"]
            right += correct
        assert round(100 * right / len(items), 1) == share


@pytest.mark.parametrize("split", ["train", "test"])
def test_every_worked_solution_has_a_number(split: str) -> None:
    parser = AnswerParser(ParserSpec(kind="marked", marker="####", then="number"))
    assert all(parser.read(item["answer"]) for item in rows(f"gsm8k_{split}"))
