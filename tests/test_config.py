"""A climb as one YAML file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import promptkit as pk
from promptkit.config import ClimbConfig, read_config


def write(folder: Path, text: str) -> Path:
    path = folder / "climb.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_says_everything_and_options_win(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "task: apples\ntarget: {exact_match: 0.9}\nbudget: {minutes: 5, calls: 100}\nmargin: 0.05\n"
        "rungs: [zero-shot, {name: near, kind: few_shot, shots: 8, select: nearest}]\n",
    )
    found = read_config(path, margin=0.1, budget={"minutes": 1})
    assert found == ClimbConfig(
        task="apples",
        target={"exact_match": 0.9},
        budget={"minutes": 1, "calls": 100},  # type: ignore[arg-type]
        margin=0.1,
        rungs=("zero-shot", {"name": "near", "kind": "few_shot", "shots": 8, "select": "nearest"}),
    )


def test_paths_are_those_of_the_folder_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    found = read_config(write(tmp_path, "task: mine\ndata: rows.jsonl\nfolder: run\nmodel: reference\n"))
    assert (found.task, found.data, found.folder, found.model) == (
        str(tmp_path / "mine"), str(tmp_path / "rows.jsonl"), str(tmp_path / "run"), "reference",
    )  # fmt: skip
    assert read_config(write(tmp_path, "task: apples\ndata: tickets\n")).data == "tickets"


def test_a_path_in_a_file_never_becomes_the_name_of_a_shipped_domain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pk.new_task("tickets", tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "climb.yaml").write_text("task: ./tickets\ndata: ./tickets\n", encoding="utf-8")
    found = read_config("climb.yaml")
    assert (found.task, found.data) == ("./tickets", "./tickets")
    assert pk.load_task(found.task).fields == ("question",)
    for text in ("task: tickets\n", "task: apples\ndata: Tickets\n"):
        with pytest.raises(
            pk.SettingError, match=r"climb: '.ickets' is both a shipped task .* and a local folder \(\./tickets\)"
        ):
            read_config(str(write(tmp_path, text).relative_to(tmp_path)))
    (tmp_path / "elsewhere").mkdir()
    assert read_config(write(tmp_path / "elsewhere", "task: tickets\n")).task == "tickets"  # the twin


def test_a_file_says_where_the_model_is_and_where_answers_are_kept(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    server = "base_url: http://localhost:8000/v1\napi_key_env: MY_KEY\n"
    path = write(tmp_path, f"task: apples\nmodel: mine\ncache: answers.sqlite\n{server}")
    found = read_config(path)
    assert (found.base_url, found.api_key_env) == ("http://localhost:8000/v1", "MY_KEY")
    assert found.cache == str(tmp_path / "answers.sqlite")
    assert found.model == "mine"  # the server's name for it, not the folder that is called so
    assert read_config(write(tmp_path, "task: apples\nmodel: mine\n")).model == str(tmp_path / "mine")
    assert read_config(path, base_url="", cache="here.sqlite").cache == "here.sqlite"
    bare = read_config("", task="apples")
    assert (bare.base_url, bare.api_key_env, bare.cache) == ("", "", "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "climb.yaml: task is missing"),
        ("task: apples\nmodle: reference\n", "climb.yaml: a key must be one of .*'task', 'data', .*, got 'modle'"),
        ("task: apples\nbudget: {hours: 1}\n", "a key must be one of 'minutes', 'tokens', 'calls', got 'budget.hours'"),
        ("task: apples\nmargin: wide\n", "climb.yaml: margin must be a valid number.*, got 'wide'"),
        ("task: [apples]\n", r"climb.yaml: task must be a valid string, got \['apples'\]"),
        ("- apples\n", "climb.yaml: content must be a mapping of names to values"),
        ("task: &a apples\ndata: *a\n", "climb.yaml: aliases are not allowed"),
        ("task: apples\ntask: tickets\n", "climb.yaml"),
        ("task: !!python/name:os.system x\n", "climb.yaml"),
    ],
)
def test_a_bad_file_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(pk.SettingError, match=message):
        read_config(write(tmp_path, text))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(pk.SettingError, match="none.yaml cannot be read: No such file"):
        read_config(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes("task: \xe9".encode("latin-1"))
    with pytest.raises(pk.SettingError, match="latin.yaml must be UTF-8, got byte 0xe9"):
        read_config(tmp_path / "latin.yaml")


def answers(request: Any, index: int) -> str:
    text = request.prompt.text or ""
    return " Paris" if "Capital" in text else " unknown"


def test_it_climbs(tmp_path: Path) -> None:
    folder = pk.new_task("capitals", tmp_path)
    config = read_config(
        "",
        task=str(folder),
        rungs=["zero-shot", {"name": "two", "kind": "few_shot", "shots": 2}],
        target={"exact_match": 0.9},
        folds=0,
    )
    result = config.climb(pk.ScriptedBackend(answers))
    assert [trial.rung for trial in result.record.trials] == ["zero-shot", "two"]
    assert result.record.task.name == "capitals"


@pytest.mark.parametrize(
    ("rung", "message"),
    [
        ({"kind": "few_shots"}, "adapter settings: kind must be one of 'few_shot'"),
        ({"name": 3, "kind": "few_shot"}, "a rung: name must be a text, got 3"),
        ("nine-shot", "climb: a rung must be one of 'zero-shot'"),
    ],
)
def test_a_bad_rung_is_refused(rung: Any, message: str) -> None:
    with pytest.raises(pk.SettingError, match=message):
        read_config("", task="apples", rungs=[rung]).climb(pk.ScriptedBackend(answers))


def test_unlabelled_questions_come_from_a_file(tmp_path: Path) -> None:
    from promptkit.config import _queries

    task = pk.load_task("apples")
    path = tmp_path / "more.jsonl"
    path.write_text('{"question": "One?", "target": "1"}\n{"question": "Two?", "id": "b"}\n')
    config = ClimbConfig(task="apples", unlabelled=str(path))
    assert [(query.id, dict(query.fields)) for query in _queries(config, task)] == [
        ("row-1", {"question": "One?"}),
        ("b", {"question": "Two?"}),
    ]
    path.write_text('{"text": "One?"}\n')
    with pytest.raises(pk.DataError, match="more.jsonl: 1 rows cannot be used: row 1: a field is missing"):
        _queries(config, task)
