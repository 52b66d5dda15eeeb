"""Published figures from stored samples of real models: by votes alone, through chain of thought, and over the wire."""

from __future__ import annotations

from typing import Any

import pytest

from promptkit import BetaStop, ChainOfThought, RemoteBackend, ScriptedBackend, WindowStop
from promptkit.parsing import AnswerParser, ParserSpec, vote
from promptkit.types import Request
from tests.support.replays import (
    MISSING,
    QUOTED,
    REAL,
    SINGLES,
    TABLE,
    TASK,
    accuracy,
    answering,
    queries,
    read,
    stored,
)
from tests.support.server import ScriptedServer

pytestmark = pytest.mark.skipif(not REAL, reason=MISSING)

every_row = pytest.mark.parametrize("row", TABLE, ids=[row[0] for row in TABLE])


@pytest.mark.parametrize("field", ["answers", "samples"])
@every_row
def test_self_consistency_table_by_votes(row: tuple[Any, ...], field: str) -> None:
    name, *expected = row
    questions = stored(name)
    parser = AnswerParser(ParserSpec(kind="text") if field == "answers" else QUOTED)

    def figures(samples: int, **settings: Any) -> tuple[float, float]:
        votes = [vote(item[field][:samples], parser=parser, tie="first", **settings) for item in questions]
        return accuracy(votes, questions), sum(outcome.samples_used for outcome in votes) / len(questions)

    singles = [vote([text], parser=parser).answer == item["gold"] for item in questions for text in item[field]]
    assert 100 * sum(singles) / len(singles) == pytest.approx(SINGLES[name], abs=1e-9)
    found = [figures(5)[0], figures(10)[0], *figures(10, stop=BetaStop(0.95)), *figures(10, stop=WindowStop(5))]
    assert found == pytest.approx(expected, abs=1e-9)


@every_row
def test_self_consistency_table_by_chain_of_thought(row: tuple[Any, ...]) -> None:
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


def test_self_consistency_table_over_the_wire() -> None:
    replay(TABLE[3], seeds=False, faults=0.0)


@pytest.mark.slow
@pytest.mark.timeout(3000)
@every_row
@pytest.mark.parametrize(("seeds", "faults"), [(True, 0.2), (False, 0.0)], ids=["a call a sample, faulty", "n a call"])
def test_self_consistency_tables_over_the_wire(row: tuple[Any, ...], seeds: bool, faults: float) -> None:
    replay(row, seeds=seeds, faults=faults)


@every_row
def test_texts_are_read_as_the_authors_read_them(row: tuple[Any, ...]) -> None:
    parser = AnswerParser(QUOTED)
    for item in stored(row[0]):
        assert [parser.read(text) or "" for text in item["samples"]] == item["answers"]


def test_program_of_thoughts_votes() -> None:
    items = read("pot_aqua_sc30")
    right = sum(item["voted_option_in_repo"] == item["gold"] for item in items)
    assert round(100 * right / len(items), 1) == 58.1


def test_solutions_are_judged_as_their_authors_judged_them() -> None:
    parser = AnswerParser(ParserSpec(kind="marked", marker="A:", then="number"))
    systems = {"6b_finetuning": 21.7, "6b_verification": 39.0, "175b_finetuning": 34.7, "175b_verification": 56.3}
    items = read("gsm8k_model_solutions")
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
    assert all(parser.read(item["answer"]) for item in read(f"gsm8k_{split}"))
