"""Requests that failed: said, counted and in the exit code; unreadable answers are another matter."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import promptkit as pk
from promptkit.cli.failures import FAILED, NOTHING, distinct, exit_code
from tests.support.server import ScriptedServer

from .conftest import Run

DEAD = "http://127.0.0.1:9/v1"
Broken = Callable[..., None]


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Broken:
    """Puts a model in the place of the local one that fails for some of its calls, or always."""

    def make(fails: Callable[[int], bool], why: Callable[[int], str] = lambda n: f"call {n}: HTTP 401") -> None:
        calls = iter(range(10**6))

        def answer(request: pk.Request, index: int) -> str:
            number = next(calls)
            if fails(number):
                raise pk.BackendError(why(number))
            return " Paris"

        monkeypatch.setitem(vars(pk), "LocalBackend", lambda name: pk.ScriptedBackend(answer, name=name))

    return make


def questions(folder: Path, count: int) -> str:
    path = folder / "questions.jsonl"
    path.write_text(
        "".join(json.dumps({"question": f"What is capital {n}?", "target": "Paris"}) + "\n" for n in range(count))
    )
    return str(path)


def test_eval_fails_where_a_server_is_down(run: Run) -> None:
    outcome = run("eval", "apples", "--limit", "1", "--model", "m", "--base-url", DEAD)
    assert outcome.code == NOTHING
    head, why = outcome.err.splitlines()
    assert head == "error: 4 shots: 1 of 1 questions could not be answered"
    assert why.startswith("  1 x http://127.0.0.1:9/v1/chat/completions: ConnectError")
    assert "0/1 (1 failed)" in outcome.out  # the table is there all the same


@pytest.mark.parametrize("command", ["eval", "predict", "demo"])
def test_a_server_that_refuses_the_key_is_told_once_with_its_count(
    run: Run, task: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WRONG_KEY", "wrong")
    with ScriptedServer(pk.ScriptedBackend(["Paris"]), api_key="right") as server:
        where = ("--base-url", server.base_url, "--model", "m", "--api-key-env", "WRONG_KEY")
        rest: dict[str, tuple[str, ...]] = {
            "eval": (task, "--limit", "5"),
            "predict": (task, "--input", questions(tmp_path, 5)),
            "demo": ("--task", task, "--shots", "4", "--items", "5"),
        }
        outcome = run(command, *rest[command], *where)
    assert outcome.code == NOTHING, outcome.err
    lines = [line for line in outcome.err.splitlines() if line.startswith("  ")]
    assert lines and all(line.startswith("  5 x ") and "401" in line for line in lines)
    assert len(lines) == 1
    assert "wrong" not in outcome.err.replace("WRONG_KEY", "")


def test_compare_tells_of_each_arm_that_it_asked(
    run: Run, task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, known = pk.load_examples(task), pk.load_task(task)

    def answer(request: pk.Request, index: int) -> str:
        if (request.prompt.text or "").count("Question: ") > 2:  # two demonstrations
            raise pk.BackendError("HTTP 503")
        return " Paris"

    backend = pk.ScriptedBackend(answer)
    monkeypatch.setitem(vars(pk), "LocalBackend", lambda name: backend)
    for shots in (1, 2):
        pk.FewShot(known, shots=shots).fit(data.train, backend).save(tmp_path / f"with-{shots}")
    outcome = run("compare", str(tmp_path / "with-1"), str(tmp_path / "with-2"), "--data", task, "--json")
    assert outcome.code == FAILED
    assert outcome.err == "error: with-2: 5 of 5 questions could not be answered\n  5 x HTTP 503\n"
    assert json.loads(outcome.out)["errors"] == {"with-1": [], "with-2": [{"error": "HTTP 503", "count": 5}]}


@pytest.mark.parametrize(("failures", "code"), [(0, 0), (1, 0), (2, 0), (3, FAILED), (19, FAILED), (20, NOTHING)])
def test_eval_ends_by_the_share_that_failed(
    run: Run, task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures: int, code: int
) -> None:
    # Every question is asked for alone after its group failed, so the place is told by the question itself.
    def answer(request: pk.Request, index: int) -> str:
        number = int((request.prompt.text or "").rpartition("capital ")[2].partition("?")[0])
        if number < failures:
            raise pk.BackendError(f"question {number}: HTTP 503")
        return " Paris"

    monkeypatch.setitem(vars(pk), "LocalBackend", lambda name: pk.ScriptedBackend(answer, name=name))
    tmp_path = tmp_path / "data"
    tmp_path.mkdir()
    Path(questions(tmp_path, 20)).rename(tmp_path / "test.jsonl")
    (tmp_path / "train.jsonl").write_text('{"question": "Where does Ann live?", "target": "Oslo"}\n')
    outcome = run("eval", task, "--data", str(tmp_path), "--shots", "0", "--json")
    assert outcome.code == code
    (report,) = json.loads(outcome.out)
    assert (report["failed"], report["answered"]) == (failures, 20 - failures)
    assert report["errors"] == ([{"error": "question 0: HTTP 503", "count": failures}] if failures else [])
    assert (f"{failures} of 20 questions could not be answered" in outcome.err) == (failures > 0)


def test_answers_that_cannot_be_read_are_no_failures(run: Run, task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(vars(pk), "LocalBackend", lambda name: pk.ScriptedBackend(["\n"], name=name))
    outcome = run("eval", task, "--json")
    (report,) = json.loads(outcome.out)
    assert (outcome.code, outcome.err) == (0, "")
    assert (report["unanswered"], report["failed"], report["errors"]) == (5, 0, [])


def test_the_first_distinct_errors_are_shown_and_the_rest_is_counted(
    run: Run, task: str, tmp_path: Path, broken: Broken
) -> None:
    words = ["alpha", "beta", "gamma", "delta", "epsilon"]
    broken(lambda number: True, lambda number: f"call {number}: {words[number % 5]}\x1b[31m")
    outcome = run("predict", task, "--input", questions(tmp_path, 10), "--shots", "0")
    assert outcome.code == NOTHING
    lines = outcome.err.splitlines()
    assert len(lines) == 5 and all(" x call " in line and line.endswith("\\x1b[31m") for line in lines[1:4])
    assert lines[4].endswith("x other errors; --json shows each")


def test_the_code_of_several_strategies() -> None:
    assert exit_code([]) == 0
    assert exit_code([(10, 100), (0, 100)]) == 0
    assert exit_code([(11, 100), (0, 100)]) == FAILED
    assert exit_code([(100, 100), (0, 100)]) == FAILED  # something was answered
    assert exit_code([(100, 100), (100, 100)]) == NOTHING


def test_errors_that_differ_in_more_than_numbers_are_kept_apart() -> None:
    errors: list[Any] = ["query 'a': too long by 3", "query 'b': too long by 4", "HTTP 401", "query 'c': empty"]
    assert [count for _, count in distinct(errors)] == [2, 1, 1]


@pytest.mark.parametrize("command", ["eval", "predict", "compare", "demo"])
def test_the_help_tells_the_exit_codes(run: Run, command: str) -> None:
    assert "Exit codes: 0 all went well" in " ".join(run(command, "--help").out.split())
