from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

import promptkit as pk
from promptkit.testing import ScriptedServer

KEY = "sk-canary-40af31"


def test_predict_and_eval_ask_a_server(
    run: Callable[..., Any], domain: str, model: list[pk.ScriptedBackend], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY_KEY", KEY)
    capitals = {one.query.fields["question"]: one.target for split in pk.load_examples(domain) for one in split}

    def answer(request: pk.Request, index: int) -> str:
        return next(target for text, target in capitals.items() if text in request.prompt.messages[-1].content)

    with ScriptedServer(pk.ScriptedBackend(answer), api_key=KEY) as server:
        options = ["--base-url", server.base_url, "--model", "scripted", "--api-key-env", "CANARY_KEY"]
        asked = run("predict", domain, "--json", *options, stdin="What is the capital of Peru?\n")
        scored = run("eval", domain, "--shots", "2", "--json", *options)
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
def test_options_that_contradict_each_other(
    run: Callable[..., Any], domain: str, options: list[str], said: str
) -> None:
    found = run("eval", domain, *options)
    assert found.code != 0
    assert said in " ".join(found.err.replace("│", " ").split())
    assert KEY not in found.out + found.err


@pytest.mark.parametrize("command", ["predict", "eval", "demo", "fit", "compare", "climb"])
def test_every_command_with_a_model_takes_a_server(run: Callable[..., Any], command: str) -> None:
    shown = run(command, "--help").out
    assert all(option in shown for option in ("--model", "--base-url", "--api-key-env"))
