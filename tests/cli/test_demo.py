"""``promptkit demo`` on a scripted model; the real one is measured by ``make demo``."""

from __future__ import annotations

import json

import pytest

import promptkit as pk

from .conftest import Run


@pytest.fixture
def lemons(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that always says the same."""
    monkeypatch.setitem(
        vars(pk), "LocalBackend", lambda name: pk.ScriptedBackend([" Lemon"], name=name, context_window=20_000)
    )


def test_demo_evaluates_every_domain_with_0_4_and_8_shots(run: Run, lemons: None) -> None:
    outcome = run("demo", "--items", "2", "--samples", "0", "--json")
    assert outcome.code == 0, outcome.err
    reports = json.loads(outcome.out)
    expected = [(name, shots) for name in pk.list_tasks() for shots in ("zero-shot", "4 shots", "8 shots")]
    assert [(report["task"], report["strategy"]) for report in reports] == expected
    for report in reports:
        assert list(report["metrics"]) == [pk.load_task(report["task"]).metric]
        assert report["items"] == 2
    shots = [report["rows"][0]["shots"] for report in reports]
    assert shots == [0, 4, 8] * len(pk.list_tasks())


def test_demo_adds_reasoning_and_voting_where_a_domain_has_reasoning(run: Run, lemons: None) -> None:
    arguments = ["--task", "apples", "--task", "tickets", "--shots", "0", "--items", "2", "--samples", "5"]
    outcome = run("demo", *arguments, "--json")
    assert outcome.code == 0, outcome.err
    assert [(report["task"], report["strategy"]) for report in json.loads(outcome.out)] == [
        ("apples", "zero-shot"),
        ("apples", "4 shots reasoned"),
        ("apples", "4 shots reasoned, vote of 5 (beta)"),
        ("tickets", "zero-shot"),
    ]


def test_demo_prints_a_table_and_nothing_else(run: Run, lemons: None, task: str) -> None:
    outcome = run("demo", "--task", task, "--task", "tickets", "--shots", "0,2", "--items", "3")
    assert (outcome.code, outcome.err) == (0, "")
    title, head, _, *lines = outcome.out.splitlines()
    assert title.startswith("reference: 3 items each")
    assert [line.split()[0] for line in lines] == ["capitals", "2", "tickets", "2"]
    assert "0.000   [0.000, 0.708]" in lines[0]
    for column in ("answered", "prompt", "generated", "seconds"):
        assert column in head


def test_demo_refuses_an_unknown_domain_before_a_model_is_loaded(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(vars(pk), "LocalBackend", lambda name: pytest.fail("a model was loaded"))
    outcome = run("demo", "--task", "pears")
    assert outcome.code == 1
    assert outcome.err.startswith("error: task: name must be one of")
