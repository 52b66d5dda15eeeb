"""``promptkit tasks`` and ``promptkit new``."""

from __future__ import annotations

import json
from pathlib import Path

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
    assert lines[0].split() == ["domain", "train", "dev", "test", "asks", "metric", "description"]
    assert [line.split()[0] for line in lines[2:]] == pk.list_tasks()
    assert outcome.err == ""


def test_new_makes_a_domain_that_the_next_command_takes(run: Run, tmp_path: Path) -> None:
    outcome = run("new", "capitals", "--folder", str(tmp_path))
    assert outcome.code == 0
    assert f"promptkit eval {(tmp_path / 'capitals').as_posix()}" in outcome.out
    assert pk.load_task(tmp_path / "capitals").description


def test_new_tells_machines_what_it_made(run: Run, tmp_path: Path) -> None:
    made = json.loads(run("new", "capitals", "--folder", str(tmp_path), "--json").out)
    assert made["name"] == "capitals"
    assert sorted(made["files"]) == made["files"]
    assert all((Path(made["folder"]) / file).is_file() for file in made["files"])
    assert "domain.yaml" in made["files"]


def test_new_refuses_what_exists(run: Run, domain: str) -> None:
    outcome = run("new", "capitals", "--folder", str(Path(domain).parent))
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith("error: new domain: name must be a name that is not taken, got '")
