"""Options that say how rows are read, on every command that reads rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import promptkit as pk
from promptkit.config import read_config

from .conftest import Run

HOW = ["--column", "question=Frage", "--column", "target=Lösung", "--delimiter", "semicolon", "--encoding", "cp1252"]


@pytest.fixture
def rows(tmp_path: Path) -> str:
    """A file of other names, another delimiter and another encoding, divided into splits by its folder."""
    folder = tmp_path / "rows"
    folder.mkdir()
    for split, countries in {"train": "France Japan", "dev": "Egypt Norway", "test": "Spain Ghana"}.items():
        capitals = {
            "France": "Paris",
            "Japan": "Tokyo",
            "Egypt": "Cairo",
            "Norway": "Oslo",
            "Spain": "Madrid",
            "Ghana": "Accra",
        }
        lines = [f"What is the capital of {one}?;{capitals[one]}\n" for one in countries.split()]
        (folder / f"{split}.csv").write_bytes("".join(["Frage;Lösung\n", *lines]).encode("cp1252"))
    return str(folder)


def test_commands_read_rows_as_their_options_say(run: Run, task: str, rows: str, model: object, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    assert run("eval", task, "--data", rows, "--shots", "1", "--json", *HOW).code == 0
    assert run("fit", task, "--strategy", "few_shot", "--shots", "1", "--data", rows, "--out", out, *HOW).code == 0
    compared = run("compare", f"a={out}", f"b={out}", "--data", rows, "--json", *HOW)
    assert compared.code == 0 and json.loads(compared.out)["items"] == 2
    climbed = run("climb", task, "--data", rows, "--rungs", "zero-shot", "--json", *HOW)
    assert climbed.code == 0 and len(json.loads(climbed.out)["test"]["items"]) == 2
    for command in (["eval", task, "--data", rows], ["climb", task, "--data", rows]):
        outcome = run(*command)  # the twin: without the options the file is refused, with the advice
        assert outcome.code == 1 and "--encoding cp1252" in outcome.err


def test_questions_are_read_as_options_or_the_task_say(run: Run, task: str, model: object, tmp_path: Path) -> None:
    path = tmp_path / "ask.csv"
    path.write_bytes("Kürzel;Frage\nx;What is the capital of France?\n".encode("cp1252"))
    how = ["--column", "question=Frage", "--column", "id=Kürzel", "--delimiter", ";", "--encoding", "cp1252"]
    (found,) = map(json.loads, run("predict", task, "-i", str(path), "--json", *how).out.splitlines())
    assert (found["id"], found["answer"]) == ("x", "Paris")
    config = Path(task) / "task.yaml"
    config.write_text(config.read_text() + "data: {columns: {question: Frage}, delimiter: ';', encoding: cp1252}\n")
    (found,) = map(json.loads, run("predict", task, "-i", str(path), "--json").out.splitlines())
    assert found["answer"] == "Paris"
    asked = run("predict", task, "--json", stdin='{"question": "What is the capital of Japan?"}\n')
    assert json.loads(asked.out)["answer"] == "Tokyo"


@pytest.mark.parametrize("text", ["question", "=Frage", "question=", "question=a --column question=b"])
def test_a_column_is_a_field_and_its_name(text: str, run: Run, task: str) -> None:
    outcome = run("eval", task, "--column", *text.split())
    assert outcome.code == 2 and "FIELD=COLUMN" in outcome.err


def test_wrong_settings_end_before_a_model_is_loaded(run: Run, task: str, model: list[pk.ScriptedBackend]) -> None:
    for option, value in (("--delimiter", ";;"), ("--encoding", "klingon"), ("--column", "qestion=Frage")):
        outcome = run("eval", task, option, value)
        assert outcome.code == 1 and "load_examples: " in outcome.err
    assert model == []


def test_a_file_of_a_climb_says_how_rows_are_read(task: str, rows: str, model: object, tmp_path: Path) -> None:
    asked = tmp_path / "asked.csv"
    asked.write_bytes("Frage;Lösung\nWhat is the capital of Mexico?;\n".encode("cp1252"))
    path = tmp_path / "climb.yaml"
    path.write_text(
        f"task: {task}\ndata: rows\nunlabelled: asked.csv\nrungs: [zero-shot]\n"
        "columns: {question: Frage, target: Lösung}\ndelimiter: semicolon\nencoding: cp1252\n",
        encoding="utf-8",
    )
    result = read_config(path).climb(pk.LocalBackend("reference"))
    assert result.record.test is not None and len(result.record.test.items) == 2
