from __future__ import annotations

import json
from pathlib import Path

import pytest

import promptkit as pk

from .conftest import Run

pytestmark = pytest.mark.usefixtures("plugins")

PLUGIN = '''
import promptkit as pk

@pk.register("metric", "same_start")
def same_start(answer, target):
    """Compares the first letters."""
    return float(answer[:1] == target[:1])

@pk.register("backend", "capitals")
def capitals(model, **settings):
    return pk.ScriptedBackend([" Lima"], name=model)

@pk.register("backend", "broken")
def broken(model):
    return 5
'''


@pytest.fixture
def plugin(tmp_path: Path) -> str:
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN, encoding="utf-8")
    return str(path)


def test_every_group_is_listed_with_a_line_about_each_piece(run: Run) -> None:
    found = run("list", "--json")
    pieces = json.loads(found.out)
    assert {one["group"] for one in pieces} == {"strategy", "metric", "aggregator", "stop_rule", "selector", "backend"}
    names = {(one["group"], one["name"]) for one in pieces}
    assert {("metric", "rougeL"), ("aggregator", "weighted"), ("stop_rule", "beta"), ("selector", "nearest")} <= names
    assert {("strategy", "lora"), ("backend", "local"), ("backend", "openai")} <= names
    own = [one for one in pieces if one["name"] in pk.metrics.list_metrics() and one["group"] == "metric"]
    assert len(own) > 5 and all(one["summary"] for one in own)


def test_one_group_and_the_pieces_of_a_file(run: Run, plugin: str) -> None:
    found = run("--plugin", plugin, "list", "metric")
    assert found.code == 0
    assert "same_start" in found.out and "Compares the first letters." in found.out
    assert "nearest" not in found.out


def test_an_unknown_group_is_a_wrong_argument(run: Run) -> None:
    found = run("list", "metrics")
    assert found.code == 2
    assert "must be one of 'strategy', 'metric'" in found.err


def test_a_file_that_cannot_be_loaded_ends_in_one_line(run: Run, tmp_path: Path) -> None:
    found = run("--plugin", str(tmp_path / "none.py"), "list")
    assert found.code == 1
    assert found.err.startswith("error: load_plugin: path must be a Python file, got ")
    (tmp_path / "bad.py").write_text("import no_such_module_of_a_test", encoding="utf-8")
    found = run("--plugin", str(tmp_path / "bad.py"), "list")
    assert found.code == 1
    assert found.err.startswith("error: plugin bad.py cannot be loaded: ModuleNotFoundError")


def test_a_backend_and_a_metric_of_a_file_score_a_task(run: Run, plugin: str, task: str) -> None:
    options = ["--backend", "capitals", "--model", "anything", "--metric", "same_start", "--shots", "0", "--json"]
    found = run("--plugin", plugin, "eval", task, *options)
    assert found.code == 0, found.err
    (report,) = json.loads(found.out)
    starts = [one.target.startswith("L") for one in pk.load_examples(task).test]
    assert report["metrics"]["same_start"]["mean"] == sum(starts) / len(starts)


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (
            ["--backend", "capital"],
            1,
            "--backend must be one of 'local', 'openai', 'capitals', 'broken', got 'capital'",
        ),
        (["--backend", "openai"], 2, "needs --base-url"),
        (
            ["--backend", "local", "--base-url", "http://localhost:1", "--model", "m"],
            2,
            "must be left out with --base-url",
        ),
        (
            ["--backend", "broken", "--base-url", "http://localhost:1"],
            1,
            "backend 'broken' cannot be opened with ['base_url']",
        ),
        (["--backend", "broken"], 1, "backend 'broken': "),
        (["--samples", "3", "--vote", "majorty"], 2, "got 'majorty'; did you mean 'majority'?"),
        (["--samples", "3", "--stop", "never"], 2, "must be one of 'none', 'beta', 'window', got 'never'"),
        (["--select", "nearby"], 2, "must be one of 'searched', 'first'"),
    ],
)
def test_names_that_are_not_registered(
    run: Run, plugin: str, task: str, options: list[str], code: int, said: str
) -> None:
    found = run("--plugin", plugin, "eval", task, *options)
    assert found.code == code
    assert said in " ".join(found.err.split())
