"""The pieces of examples/extending work wherever those of promptkit do, and docs/extending.md shows them as they are."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import promptkit as pk
from promptkit.cli.app import app
from promptkit.config import read_config
from promptkit.testing import check_adapter

ROOT = Path(__file__).resolve().parents[2]
FILES = {path.stem: path for path in sorted((ROOT / "examples" / "extending").glob("*.py"))}
MANUAL = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")

pytestmark = pytest.mark.usefixtures("plugins")

TASK = pk.load_task("apples")
DATA = pk.load_examples("apples")
MADE: dict[str, Callable[[], Any]] = {
    "strategy": lambda: pk.load_plugin(FILES["strategy"]).BestOfN(TASK, n=3, shots=1),
    "metric": lambda: pk.FewShot(TASK, shots=1),
    "aggregator": lambda: pk.ChainOfThought(TASK, shots=1, samples=5, vote="complexity"),
    "stop_rule": lambda: pk.ChainOfThought(
        TASK, shots=1, samples=9, stop=pk.load_plugin(FILES["stop_rule"]).LeadStop(votes=2)
    ),
    "selector": lambda: pk.FewShot(TASK, shots=2, select="as_long"),
    "backend": lambda: pk.FewShot(TASK, shots=1),
}
"""A strategy that uses each piece."""
SETTINGS: dict[str, dict[str, Any]] = {
    "strategy": {"kind": "best_of_n", "n": 3, "shots": 1},
    "metric": {"kind": "few_shot", "shots": 1},
    "aggregator": {"kind": "chain_of_thought", "shots": 1, "samples": 5, "vote": "complexity"},
    "stop_rule": {"kind": "chain_of_thought", "shots": 1, "samples": 9, "stop": {"kind": "lead", "votes": 2}},
    "selector": {"kind": "few_shot", "shots": 2, "select": "as_long"},
    "backend": {"kind": "few_shot", "shots": 1},
}
"""The same in YAML."""
OPTIONS = {
    "strategy": ["--strategy", "best_of_n", "--set", "n=3", "--shots", "1"],
    "metric": ["--strategy", "few_shot", "--shots", "1"],
    "aggregator": ["--strategy", "chain_of_thought", "--shots", "1", "--set", "samples=5", "--set", "vote=complexity"],
    "stop_rule": ["--strategy", "chain_of_thought", "--shots", "1", "--set", "samples=9",
                  "--set", 'stop={"kind": "lead", "votes": 2}'],
    "selector": ["--strategy", "few_shot", "--shots", "2", "--select", "as_long"],
    "backend": ["--strategy", "few_shot", "--shots", "1"],
}  # fmt: skip
"""The same on the command line."""

each = pytest.mark.parametrize("piece", FILES)


def command(*arguments: str, plugins: tuple[str, ...]) -> str:
    given = [part for name in plugins for part in ("--plugin", str(FILES[name]))]
    result = CliRunner().invoke(app, [*given, *arguments])
    assert result.exit_code == 0, result.stderr
    return result.stdout


def backend() -> pk.Backend:
    adding: pk.Backend = pk.load_plugin(FILES["backend"]).adding("adds")
    return adding


def fitted(piece: str) -> tuple[pk.PlanPredictor, pk.Backend]:
    pk.load_plugin(FILES[piece])
    model = backend()
    return MADE[piece]().fit(DATA.train, model), model


def test_the_manual_shows_every_file_as_it_is() -> None:
    assert set(FILES) == set(MADE) == {"strategy", "metric", "aggregator", "stop_rule", "selector", "backend"}
    blocks = re.findall(r"```python\n(.*?)```", MANUAL, flags=re.S)
    for path in FILES.values():
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") < 60
        assert text in blocks, f"docs/extending.md shows another {path.name}"


def test_best_of_n_is_a_strategy_of_about_20_lines() -> None:
    body = FILES["strategy"].read_text(encoding="utf-8").partition("class BestOfN")[2]
    assert body.count("\n") <= 25


@each
def test_evaluate_and_compare(piece: str) -> None:
    predictor, model = fitted(piece)
    metric = "closeness" if piece == "metric" else "numeric_match"
    report = pk.evaluate(predictor, DATA.test[:30], [metric])
    assert report[metric].n == 30 and report.failed == 0 and 0 < report[metric].mean < 1
    zero = pk.FewShot(TASK, shots=0).fit([], model)
    found = pk.compare({"zero": zero, "mine": predictor}, examples=DATA.test[:30], metric=metric)
    assert found.metric == metric and found["mine"].arm == "mine"


@each
def test_climb_from_yaml(piece: str, tmp_path: Path) -> None:
    rungs = [{"name": "zero", "kind": "few_shot", "shots": 0}, {"name": "mine", **SETTINGS[piece]}]
    metric = "closeness" if piece == "metric" else "numeric_match"
    values = {
        "task": "apples", "model": "adds", "backend": "adding", "target": {metric: 0.99}, "rungs": rungs,
        "plugins": [str(FILES[name]) for name in dict.fromkeys((piece, "backend"))], "test_items": 10, "folder": "run",
    }  # fmt: skip
    config = tmp_path / "climb.yaml"
    config.write_text(json.dumps(values), encoding="utf-8")  # JSON is YAML
    result = CliRunner().invoke(app, ["climb", "--config", str(config), "--json"])
    assert result.exit_code == 3, result.stderr  # the target is out of reach
    record = json.loads(result.stdout)
    assert [trial["rung"] for trial in record["trials"]] == ["zero", "mine"]
    assert record["task"]["metric"] == metric
    assert [trial["failed"] for trial in record["trials"]] == [0, 0]
    assert all(trial["score"]["n"] >= 20 for trial in record["trials"])


@each
def test_save_and_load(piece: str, tmp_path: Path) -> None:
    predictor, model = fitted(piece)
    predictor.save(tmp_path / "mine")
    again = pk.load(tmp_path / "mine", model)
    queries = [example.query for example in DATA.test[:10]]
    assert again.plan == predictor.plan
    assert [one.answer for one in again.predict(queries)] == [one.answer for one in predictor.predict(queries)]


@each
def test_the_command_line(piece: str, tmp_path: Path) -> None:
    plugins = tuple(dict.fromkeys((piece, "backend")))
    model = ["--backend", "adding", "--model", "adds"]
    command("fit", "apples", *OPTIONS[piece], *model, "--out", str(tmp_path / "mine"), plugins=plugins)
    assert MADE[piece]().fit(DATA.train, backend()).plan == pk.load(tmp_path / "mine", backend()).plan
    metric = ["--metric", "closeness"] if piece == "metric" else []
    printed = command(
        "eval",
        "apples",
        "--adapter",
        str(tmp_path / "mine"),
        "--limit",
        "5",
        "--json",
        *metric,
        *model,
        plugins=plugins,
    )
    assert json.loads(printed)[0]["items"] == 5
    listed = json.loads(command("list", piece, "--json", plugins=plugins))
    assert all(one["summary"] for one in listed)


@pytest.mark.parametrize("piece", ["strategy", "aggregator", "selector"])
def test_the_contract(piece: str) -> None:
    pk.load_plugin(FILES[piece])
    check_adapter(MADE[piece](), DATA.train[:20], backend(), dev=DATA.dev[:5])


def test_a_strategy_is_a_rung_by_its_name() -> None:
    pk.load_plugin(FILES["strategy"])
    result = pk.climb(TASK, DATA, backend(), rungs=["zero-shot", "best_of_n"], folds=0)
    assert [trial.rung for trial in result.record.trials] == ["zero-shot", "best_of_n"]


def test_a_metric_is_also_a_plain_function_and_the_metric_of_a_task(tmp_path: Path) -> None:
    closeness = pk.load_plugin(FILES["metric"]).closeness
    predictor = pk.FewShot(TASK, shots=0).fit([], backend())
    assert pk.evaluate(predictor, DATA.test[:5], [closeness]).scores.keys() == {"closeness"}

    def half(answer: str, target: str) -> float:
        return 0.5

    assert pk.evaluate(predictor, DATA.test[:5], [half])["half"].mean == 0.5
    task = TASK.model_copy(update={"metric": "closeness", "metrics": ("closeness",)})
    other = pk.FewShot(task, shots=0).fit([], backend())
    assert pk.evaluate(other, DATA.test[:5]).metrics.keys() == {"closeness"}


def test_plugins_of_a_file_are_relative_to_it(tmp_path: Path) -> None:
    (tmp_path / "climb.yaml").write_text("task: apples\nplugins: [mine.py]\n", encoding="utf-8")
    assert read_config(tmp_path / "climb.yaml").plugins == (str(tmp_path / "mine.py"),)


def test_a_saved_folder_never_loads_code_and_says_which_piece_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from promptkit import registry

    predictor, model = fitted("aggregator")
    predictor.save(tmp_path / "mine")
    rest = {name: one for name, one in registry._found["aggregator"].items() if name != "complexity"}
    monkeypatch.setitem(registry._found, "aggregator", rest)
    with pytest.raises(pk.ArtifactError, match="its aggregator 'complexity' is not registered; load the plugin"):
        pk.load(tmp_path / "mine", model)
