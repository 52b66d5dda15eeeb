from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import promptkit as pk
from tests.support.server import ScriptedServer

KEY = "sk-canary-40af31"


def test_predict_and_eval_ask_a_server(
    run: Callable[..., Any], task: str, model: list[pk.ScriptedBackend], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY_KEY", KEY)
    capitals = {one.query.fields["question"]: one.target for split in pk.load_examples(task) for one in split}

    def answer(request: pk.Request, index: int) -> str:
        return next(target for text, target in capitals.items() if text in request.prompt.messages[-1].content)

    with ScriptedServer(pk.ScriptedBackend(answer), api_key=KEY) as server:
        options = ["--base-url", server.base_url, "--model", "scripted", "--api-key-env", "CANARY_KEY"]
        asked = run("predict", task, "--json", *options, stdin="What is the capital of Peru?\n")
        scored = run("eval", task, "--shots", "2", "--json", *options)
        assert (asked.code, scored.code) == (0, 0), asked.err + scored.err
        assert len(server.seen) > 5
    assert json.loads(asked.out)["answer"] == capitals["What is the capital of Peru?"]
    assert json.loads(scored.out)[0]["metrics"]["exact_match"]["mean"] == 1.0
    assert model == []  # nothing was asked of a model on this machine
    assert KEY not in asked.out + asked.err + scored.out + scored.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--base-url", "http://127.0.0.1:9/v1"], "must name a model of the server"),
        (["--api-key-env", "HOME"], "needs --base-url"),
        (["--base-url", "nonsense", "--model", "m"], "base_url must start with http"),
        (["--base-url", "http://127.0.0.1:9/v1", "--model", "m", "--api-key-env", KEY], "not the key itself"),
    ],
)
def test_options_that_contradict_each_other(run: Callable[..., Any], task: str, options: list[str], said: str) -> None:
    found = run("eval", task, *options)
    assert found.code != 0
    assert said in " ".join(found.err.replace("│", " ").split())
    assert KEY not in found.out + found.err


WITH_MODEL = ["predict", "eval", "demo", "fit", "compare", "climb", "chat"]


@pytest.mark.parametrize("command", WITH_MODEL)
def test_every_command_with_a_model_takes_a_server_and_a_cache(run: Callable[..., Any], command: str) -> None:
    shown = run(command, "--help").out
    assert all(option in shown for option in ("--model", "--base-url", "--api-key-env", "--cache"))


def options_of(command: Any) -> set[str]:
    """The options of a command, those included that are made from settings when it runs."""
    context = command.make_context("test", [], resilient_parsing=True)
    return {option for one in command.get_params(context) for option in one.opts}


def test_no_other_command_has_a_model() -> None:
    import typer.main

    from promptkit.cli.app import app

    commands: Any = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    having = {name for name, one in commands.items() if "--model" in options_of(one)}
    assert having == {*WITH_MODEL, "doctor", "estimate", "export"}


@pytest.mark.parametrize("command", [["estimate"], ["export", "saved", "out"]])
def test_where_a_server_makes_no_sense_the_message_says_so(run: Callable[..., Any], command: list[str]) -> None:
    assert "--base-url" not in run(command[0], "--help").out
    found = run(*command, "--base-url", "http://127.0.0.1:9/v1", "--model", "m")
    assert found.code == 2
    said = " ".join(found.err.replace("│", " ").split())
    assert "needs a model's own files, and a server does not show them" in said


@pytest.mark.parametrize("strategy", ["soft_prompt", "lora"])
def test_a_server_learns_no_weights_and_is_not_asked(
    run: Callable[..., Any], task: str, tmp_path: Path, strategy: str
) -> None:
    options = ["--base-url", "http://127.0.0.1:9/v1", "--model", "m", "--cache", str(tmp_path / "answers.sqlite")]
    found = run("fit", task, "--strategy", strategy, "--out", str(tmp_path / "mine"), *options)
    assert found.code == 1
    assert "must be a LocalBackend, because learned weights go inside the model, got 'RemoteBackend'" in found.err


@pytest.mark.parametrize("command", WITH_MODEL)
def test_with_a_cache_nothing_is_asked_twice(
    run: Callable[..., Any], task: str, model: list[pk.ScriptedBackend], tmp_path: Path, command: str
) -> None:
    saved, out = str(tmp_path / "saved"), str(tmp_path / "out")
    pk.FewShot(pk.load_task(task), shots=1).fit(pk.load_examples(task).train, pk.LocalBackend("reference")).save(saved)
    arguments = {
        "predict": [task, "--shots", "0"],
        "eval": [task, "--shots", "0,2", "--limit", "3"],
        "demo": ["--task", task, "--shots", "0", "--items", "2", "--samples", "0"],
        "fit": [task, "--strategy", "few_shot", "--shots", "2", "--select", "searched", "--out", out],
        "compare": [saved, f"again={saved}", "--data", task, "--limit", "3"],
        "climb": [task, "--rungs", "zero-shot,few-shot", "--folds", "0"],
        "chat": [saved],
    }[command]
    cache = tmp_path / "answers.sqlite"
    stdin = "What is the capital of Finland?\nWhat is the capital of Peru?\n"
    codes = [run(command, *arguments, "--cache", str(cache), stdin=stdin).code for _ in range(2)]
    assert codes == [0, 0]
    first, second = model[-2:]
    assert first.requests and not second.requests
    assert cache.is_file()
    assert run(command, *arguments, stdin=stdin).code == 0
    assert len(model[-1].requests) >= len(first.requests)  # without the option everything is asked


def test_a_server_is_asked_through_the_cache(run: Callable[..., Any], task: str, tmp_path: Path) -> None:
    cache = str(tmp_path / "answers.sqlite")
    with ScriptedServer(pk.ScriptedBackend([" Lima"])) as server:
        options = ["--base-url", server.base_url, "--model", "scripted", "--cache", cache, "--shots", "0", "--json"]
        first = run("predict", task, *options, stdin="What is the capital of Peru?\n")
        seen = len(server.seen)
        again = run("predict", task, *options, stdin="What is the capital of Peru?\n")
        assert len(server.seen) == seen + 1  # its name, and no completion
    assert json.loads(first.out)["answer"] == json.loads(again.out)["answer"] == "Lima"


def test_a_cache_that_is_the_file_of_another_program_is_refused(
    run: Callable[..., Any], task: str, model: list[pk.ScriptedBackend], tmp_path: Path
) -> None:
    path = tmp_path / "mine.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE thesis (page TEXT)")
        other.commit()
    found = run("eval", task, "--cache", str(path))
    assert found.code == 1
    assert "path must name a new file or a cache of promptkit" in found.err
    assert not model[-1].requests
