"""``promptkit tasks`` and ``promptkit new``."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

import promptkit as pk

from .conftest import Run


def test_tasks_lists_the_shipped_domains_with_their_sizes(run: Run) -> None:
    found = json.loads(run("tasks", "--json").out)
    assert [row["name"] for row in found] == pk.list_tasks()
    for row in found:
        data = pk.load_examples(row["name"])
        assert (row["train"], row["dev"], row["test"]) == (len(data.train), len(data.dev), len(data.test))
        assert row["description"]


def test_tasks_prints_one_line_per_domain(run: Run) -> None:
    outcome = run("tasks")
    lines = outcome.out.splitlines()
    assert lines[0].split() == ["task", "train", "dev", "test", "asks", "metric", "description"]
    assert [line.split()[0] for line in lines[2:]] == pk.list_tasks()
    assert outcome.err == ""


def test_new_makes_a_domain_that_the_next_command_takes(run: Run, tmp_path: Path) -> None:
    outcome = run("new", "capitals", "--folder", str(tmp_path))
    assert outcome.code == 0
    assert f"promptkit eval {(tmp_path / 'capitals').as_posix()}" in outcome.out
    assert pk.load_task(tmp_path / "capitals").description


def test_new_prints_a_path_that_the_next_command_takes_for_the_new_folder(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my work").mkdir()
    for options, folder in ((), "./tickets"), (("--folder", "my work"), "./my work/tickets"):
        outcome = run("new", "tickets", *options)
        assert outcome.out.startswith(f"{folder}: ")
        *_, last = shlex.split(outcome.out)
        assert last == folder
        assert set(pk.load_task(last).fields) == set(pk.load_examples(last).train[0].query.fields) == {"question"}
    assert json.loads(run("new", "Tone", "--json").out)["folder"] == "./Tone"


def test_tasks_lists_the_shipped_domains_beside_a_folder_of_the_same_name(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run("new", "tickets")
    found = {row["name"]: row["train"] for row in json.loads(run("tasks", "--json").out)}
    assert found["tickets"] > 100 and sorted(found) == pk.list_tasks()


@pytest.mark.parametrize(
    "command",
    [
        ["predict"], ["eval"], ["fit", "--strategy", "few_shot", "--out", "out"], ["climb"], ["chat", "--task"],
        ["demo", "--task"], ["vote", "samples.jsonl", "--task"], ["eval", "apples", "--data"],
    ],
)  # fmt: skip
def test_every_command_refuses_a_name_that_is_ambiguous(
    command: list[str], run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(vars(pk), "LocalBackend", lambda name: pk.ScriptedBackend(["no"]))
    run("new", "tickets")
    outcome = run(*command, "tickets", stdin='{"question": "What is the capital of Cuba?"}\n')
    assert outcome.code == 1
    assert "'tickets' is both a shipped task (" in outcome.err and "write ./tickets for the folder" in outcome.err


def test_a_predictor_of_a_task_that_shares_the_name_of_a_shipped_one_is_not_scored_on_its_data(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = pk.load_task(pk.new_task("tickets", tmp_path))
    backend = pk.ScriptedBackend([" Paris"] * 50, name="reference")
    monkeypatch.setitem(vars(pk), "LocalBackend", lambda name: backend)
    for name in ("one", "two"):
        pk.FewShot(own, shots=0).fit([], backend).save(tmp_path / name)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    outcome = run("compare", "../one", "../two")
    assert outcome.code == 1
    assert "task 'tickets' has the name of a shipped task and is another one; pass the examples" in outcome.err
    outcome = run("eval", "tickets", "--adapter", "../one")
    assert outcome.code == 1 and "was fitted for another task of the name 'tickets'" in outcome.err
    assert run("compare", "../one", "../two", "--data", "../tickets").code == 0  # the twin
    assert run("eval", "../tickets", "--adapter", "../one").code == 0


def test_new_tells_machines_what_it_made(run: Run, tmp_path: Path) -> None:
    made = json.loads(run("new", "capitals", "--folder", str(tmp_path), "--json").out)
    assert made["name"] == "capitals"
    assert sorted(made["files"]) == made["files"]
    assert all((Path(made["folder"]) / file).is_file() for file in made["files"])
    assert "task.yaml" in made["files"]


def test_new_refuses_what_exists(run: Run, task: str) -> None:
    outcome = run("new", "capitals", "--folder", str(Path(task).parent))
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith("error: new task: name must be a name that is not taken, got '")
