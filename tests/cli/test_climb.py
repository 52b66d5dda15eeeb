"""``promptkit climb``."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import promptkit as pk
from tests.support.server import ScriptedServer

LADDER = ("--rungs", "zero-shot,few-shot", "--folds", "0")


def test_it_prints_the_answer_and_the_table(run, task, model) -> None:  # type: ignore[no-untyped-def]
    found = run("climb", task, *LADDER)
    assert found.code == 0, found.err
    assert found.out.splitlines()[0].startswith(("zero-shot", "No gain: zero-shot"))
    assert "verdict" in found.out and "test labels scored 1 time" in found.out


def test_a_missed_target_has_its_own_exit_code(run, task, model) -> None:  # type: ignore[no-untyped-def]
    found = run("climb", task, *LADDER, "--target", "exact_match=0.99")
    assert found.code == 3
    assert "was not shown to be reached" in found.out


def test_json_is_the_record(run, task, model, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    found = run("climb", task, *LADDER, "--json")
    record = pk.Record.model_validate(json.loads(found.out))
    assert record.settings.rungs == ("zero-shot", "few-shot") and record.model.name == "reference"


def test_a_run_is_kept_and_continued_on_demand(run, task, model, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    folder = str(tmp_path / "run")
    first = run("climb", task, *LADDER, "--folder", folder, "--json")
    assert first.code == 0 and pk.load_record(folder).status == "finished"
    refused = run("climb", task, *LADDER, "--folder", folder)
    assert refused.code == 1 and "pass resume=True (--resume) to go on with it" in refused.err
    again = run("climb", task, *LADDER, "--folder", folder, "--resume", "--json")
    assert json.loads(again.out) == json.loads(first.out)
    assert not model[-1].requests


def test_a_report_is_written_on_demand(run, task, model, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "report.html"
    found = run("climb", task, *LADDER, "--test-items", "3", "--report", str(path), "--json")
    assert found.code == 0, found.err
    assert "zero-shot" in path.read_text(encoding="utf-8")
    assert json.loads(found.out)["data"]["test"]["items"] == 3


def test_a_file_gives_the_settings(run, task, model, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "climb.yaml"
    path.write_text(f"task: {task}\nrungs: [zero-shot]\nfolds: 0\nseed: 5\n")
    found = run("climb", "--config", str(path), "--margin", "0.1", "--json")
    record = pk.Record.model_validate(json.loads(found.out))
    assert (record.settings.seed, record.settings.margin, record.settings.rungs) == (5, 0.1, ("zero-shot",))


def test_a_file_gives_server_and_cache_and_options_win(  # type: ignore[no-untyped-def]
    run, task, model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLIMB_KEY", "sk-climb")
    path = tmp_path / "climb.yaml"
    with ScriptedServer(pk.ScriptedBackend([" Lima"]), api_key="sk-climb") as server:
        path.write_text(
            f"task: {task}\nrungs: [zero-shot]\nfolds: 0\nmodel: scripted\nbase_url: {server.base_url}\n"
            "api_key_env: CLIMB_KEY\ncache: answers.sqlite\n"
        )
        first = run("climb", "--config", str(path), "--json")
        assert first.code == 0, first.err
        seen = len(server.seen)
        assert run("climb", "--config", str(path), "--json").code == 0
        assert len(server.seen) == seen + 1  # its name, and no completion
        assert (tmp_path / "answers.sqlite").is_file() and not model
        here = str(tmp_path / "here.sqlite")
        assert run("climb", "--config", str(path), "--cache", here, "--json").code == 0
        assert len(server.seen) > seen + 2 and Path(here).is_file()
    local = ["--base-url", "", "--api-key-env", "", "--model", "mine"]
    found = run("climb", "--config", str(path), *local, "--json")
    assert (found.code, json.loads(found.out)["model"]["name"]) == (0, "mine")
    assert model[0].requests


def test_several_tasks_are_climbed_one_after_the_other(run, task, model, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    other = tmp_path / "towns"
    shutil.copytree(task, other)
    settings = (other / "task.yaml").read_text(encoding="utf-8")
    (other / "task.yaml").write_text(settings.replace("capitals", "towns"), encoding="utf-8")
    out = tmp_path / "out"
    options = [*LADDER, "--target", "0.1", "--folder", str(out), "--report", str(out)]
    found = run("climb", task, str(other), *options)
    assert found.code == 0, found.err
    rows = [line.split()[:2] for line in found.out[found.out.rindex("stopped at") :].splitlines()[2:4]]
    assert rows == [["capitals", "zero-shot"], ["towns", "zero-shot"]]
    assert pk.load_record(out / "towns").settings.target == {"exact_match": 0.1}  # of the task's own metric
    assert (out / "capitals.html").is_file() and (out / "towns.html").is_file()
    assert len(model) == 1  # one model for all
    missed = run("climb", task, str(other), *LADDER, "--target", "0.99", "--json")
    assert missed.code == 3 and [one["task"]["name"] for one in json.loads(missed.out)] == ["capitals", "towns"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["climb"], 2, "must be given, or --config with a file that has one"),
        (["climb", "apples", "--target", "good"], 2, "must be a number or NAME=X"),
        (["climb", "apples", "tone", "apples"], 2, "must have different names"),
        (["climb", "apples", "tone", "--data", "apples"], 2, "is of one task only"),
        (["climb", "apples", "--resume"], 2, "needs --folder"),
        (["climb", "apples", "--folds", "many"], 2, "must be a whole number or auto"),
        (["climb", "nowhere"], 1, "nowhere"),
        (["climb", "apples", "--minutes", "0"], 1, "Budget: minutes must be a number above 0"),
        (["climb", "apples", "--rungs", "nine"], 1, "climb: a rung must be one of"),
        (["climb", "--config", "none.yaml"], 1, "none.yaml cannot be read"),
    ],
)
def test_wrong_options_end_with_a_line_and_a_code(  # type: ignore[no-untyped-def]
    run, model, arguments: list[str], code: int, message: str
) -> None:
    found = run(*arguments)
    assert found.code == code, found.err
    assert message in found.err
    assert not any(one.requests for one in model)


def test_if_nothing_can_be_judged_it_is_an_error(run, task, model) -> None:  # type: ignore[no-untyped-def]
    found = run("climb", task, "--rungs", "voting", "--folds", "0")
    assert found.code == 1
    assert "left out; task 'capitals' has no template" in found.out and found.out.startswith("No answer: ")
