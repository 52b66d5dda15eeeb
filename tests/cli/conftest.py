"""A new task, a scripted model in the place of the local one, and a way to run commands."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

import promptkit as pk
from promptkit.cli.app import app

Run = Callable[..., "Outcome"]


class Outcome:
    """What a command printed, and its exit code."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def run() -> Run:
    """Runs a command in this process."""

    def command(*arguments: str, stdin: str | bytes = "") -> Outcome:
        result = CliRunner().invoke(app, list(arguments), input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Outcome(result.exit_code, result.stdout, result.stderr)

    return command


@pytest.fixture
def spawn() -> Run:
    """Runs a command in a process of its own."""

    def command(*arguments: str, stdin: bytes = b"", **environment: str) -> Outcome:
        result = subprocess.run(
            [sys.executable, "-m", "promptkit", *arguments],
            input=stdin,
            capture_output=True,
            env={**os.environ, **environment},
        )
        return Outcome(result.returncode, result.stdout.decode(), result.stderr.decode())

    return command


@pytest.fixture
def task(tmp_path: Path) -> str:
    """The folder of a new task that names capitals: 12 training, 4 dev and 5 test items."""
    return str(pk.new_task("capitals", tmp_path))


@pytest.fixture
def model(task: str, monkeypatch: pytest.MonkeyPatch) -> list[pk.ScriptedBackend]:
    """Puts a model that knows all capitals but those of Cuba and Peru in the place of the local one.

    Returns:
        The models that commands made.
    """
    capitals = {one.query.fields["question"]: one.target for split in pk.load_examples(task) for one in split}
    made: list[pk.ScriptedBackend] = []

    def answer(request: pk.Request, index: int) -> str:
        question = (request.prompt.text or "").rpartition("Question: ")[2].removesuffix("\nAnswer:")
        if "Cuba" in question:
            return "\n"
        return " Lemon" if "Peru" in question else f" {capitals[question]}\n\nQuestion: more"

    def make(name: str) -> pk.ScriptedBackend:
        made.append(pk.ScriptedBackend(answer, name=name))
        return made[-1]

    monkeypatch.setitem(vars(pk), "LocalBackend", make)
    return made
