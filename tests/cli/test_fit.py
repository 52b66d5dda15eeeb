"""``promptkit fit``: any strategy, saved; and what must stop it before a model is paid for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import promptkit as pk
from promptkit.cli.show import Bar

from .conftest import Run

QUICK = ("--epochs", "1", "--set", "max_new_tokens=4", "--set", "precision=float32", "--set", "batch_size=4")


@pytest.fixture
def folder(tiny: Callable[..., Path]) -> str:
    """The folder of a tiny random model."""
    return str(tiny("llama"))


def test_a_prompt_is_fitted_saved_and_used(
    run: Run, task: str, model: list[pk.ScriptedBackend], tmp_path: Path
) -> None:
    out = str(tmp_path / "mine")
    outcome = run("fit", task, "--strategy", "few_shot", "--shots", "2", "--out", out)
    assert outcome.code == 0, outcome.err
    assert outcome.out == f"{out}: few_shot for capitals, 2 shots\n"
    again = run("predict", task, "--adapter", out, "--json", stdin="What is the capital of Finland?\n")
    assert json.loads(again.out)["answer"] == "Helsinki"
    assert json.loads(again.out)["shots"] == 2


@pytest.mark.parametrize(
    "strategy",
    [("soft_prompt", "--tokens", "3", "--soft-kind", "prefix"), ("lora", "--rank", "2", "--soft-prompt", "2")],
)
def test_weights_are_fitted_saved_and_used(
    run: Run, task: str, folder: str, tmp_path: Path, strategy: tuple[str, ...]
) -> None:
    out = str(tmp_path / "mine")
    outcome = run("fit", task, "--strategy", *strategy, *QUICK, "--out", out, "--model", folder)
    assert outcome.code == 0, outcome.err
    assert f"{out}: {strategy[0]} for capitals, 0 shots" in outcome.out
    assert {"trainable", "dev loss", "epochs"} <= set(outcome.out.replace("  ", "\n").replace("\n ", "\n").split("\n"))
    loaded = pk.load(out, pk.LocalBackend(folder))
    assert loaded.training is not None and loaded.training.steps == 3
    used = run("predict", task, "--adapter", out, "--model", folder, "--json", stdin="What is the capital of Peru?\n")
    assert used.code == 0, used.err
    scored = run("eval", task, "--adapter", out, "--model", folder, "--limit", "2", "--json")
    assert json.loads(scored.out)[0]["items"] == 2


def test_weights_are_fitted_and_used_through_a_cache(run: Run, task: str, folder: str, tmp_path: Path) -> None:
    out = str(tmp_path / "mine")
    options = ("--model", folder, "--cache", str(tmp_path / "answers.sqlite"), "--json")
    outcome = run("fit", task, "--strategy", "lora", "--rank", "2", *QUICK, "--out", out, *options)
    assert outcome.code == 0, outcome.err
    question = "What is the capital of Peru?\n"
    first, again = (json.loads(run("predict", task, "--adapter", out, *options, stdin=question).out) for _ in "12")
    plain = json.loads(run("predict", task, "--adapter", out, "--model", folder, "--json", stdin=question).out)
    assert first["text"] == again["text"] == plain["text"]


def test_json_tells_settings_and_notes(run: Run, task: str, folder: str, tmp_path: Path) -> None:
    out = str(tmp_path / "mine")
    arguments = ("--strategy", "soft_prompt", "--tokens", "3", *QUICK, "--out", out, "--model", folder, "--json")
    found = json.loads(run("fit", task, *arguments).out)
    assert (found["folder"], found["settings"]["kind"], found["settings"]["tokens"]) == (out, "soft_prompt", 3)
    assert found["notes"]["training"]["steps"] == 3


def test_a_teacher_answers_unlabelled_questions(run: Run, task: str, folder: str, tmp_path: Path) -> None:
    shots = ("--shots", "1", "--set", "max_new_tokens=4")
    run("fit", task, "--strategy", "few_shot", *shots, "--out", str(tmp_path / "teacher"), "--model", folder)
    (tmp_path / "more.jsonl").write_text('{"question": "Which one?"}\n{"question": "And now?"}\n')
    outcome = run(
        "fit", task, "--strategy", "lora", "--rank", "2", *QUICK, "--teacher", str(tmp_path / "teacher"),
        "--unlabelled", str(tmp_path / "more.jsonl"), "--out", str(tmp_path / "mine"), "--model", folder, "--json",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["notes"]["examples"]["distillation"]["asked"] == 2


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("few_shot", "--tokens", "3"), "FewShot: setting must be one of"),
        (("lora", "--set", "rank=0"), "LoRA: rank must be greater than or equal to 1"),
        (("lora", "--set", "variant=pissa"), "LoRA: variant must be"),
        (("lora", "--set", "rank"), "must be NAME=VALUE, got 'rank'"),
        (
            ("few_shot", "--teacher", "x"),
            "--teacher, --unlabelled and --checkpoint need a strategy that learns from a teacher",
        ),
    ],
)
def test_wrong_settings_end_before_a_model_is_loaded(
    run: Run, task: str, model: list[pk.ScriptedBackend], tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    outcome = run("fit", task, "--strategy", *arguments, "--out", str(tmp_path / "mine"))
    assert outcome.code != 0
    assert message in " ".join(outcome.err.replace("│", " ").split())
    assert model == []
    assert not (tmp_path / "mine").exists()


def test_a_folder_with_something_else_in_it_is_refused_before_a_model_is_loaded(
    run: Run, task: str, model: list[pk.ScriptedBackend], tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    outcome = run("fit", task, "--strategy", "few_shot", "--out", str(tmp_path / "mine"))
    assert outcome.code == 1
    assert "'thesis.txt'" in outcome.err
    assert model == []
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize(("signal", "code"), [("sigterm", 143), ("sigint", 130)])
def test_a_training_that_is_told_to_end_saves_nothing_and_says_how_to_go_on(
    run: Run, task: str, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signal: str, code: int
) -> None:
    def stop(*arguments: Any, **more: Any) -> Any:
        log = SimpleNamespace(stopped=signal)
        raise pk.TrainingStopped("train: stopped after step 3; a checkpoint was saved", log)

    monkeypatch.setattr("promptkit.training.loop.train", stop)
    out = str(tmp_path / "mine")
    outcome = run("fit", task, "--strategy", "lora", "--out", out, "--model", folder)
    assert outcome.code == code
    assert outcome.err.startswith("stopped: train: stopped")
    assert not Path(out).exists()


def test_the_bar_shows_loss_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    from promptkit.cli.fit import _show_loss

    shown: list[object] = []
    monkeypatch.setattr(Bar, "title", lambda self, text: shown.append(text))
    monkeypatch.setattr(Bar, "__call__", lambda self, done, total: shown.append((done, total)))
    _show_loss(Bar("training"), "tone")(3, 40, 0.5, 75.4)
    assert shown == ["tone: loss 0.500, 1:15 left", (3, 40)]
