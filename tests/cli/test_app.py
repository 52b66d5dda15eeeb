"""What all commands share: help, version, errors as one line, no traceback, no noise."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import warnings
from pathlib import Path

import pytest

import promptkit as pk
from promptkit.data import DataWarning

from .conftest import Run

COMMANDS = [
    "tasks",
    "new",
    "fit",
    "climb",
    "predict",
    "eval",
    "vote",
    "compare",
    "estimate",
    "export",
    "chat",
    "demo",
    "doctor",
]


def test_the_version_is_that_of_the_package(run: Run) -> None:
    assert run("--version").out == f"promptkit {pk.__version__}\n"


def test_the_script_of_the_package_runs_the_application() -> None:
    from promptkit.cli import main

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["scripts"] == {"promptkit": f"{main.__module__}:main"}


def test_help_lists_every_command(run: Run) -> None:
    outcome = run("--help")
    assert outcome.code == 0
    assert all(f" {command} " in outcome.out for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_for_every_option(run: Run, command: str) -> None:
    outcome = run(command, "--help")
    assert outcome.code == 0
    assert "--traceback" in outcome.out
    assert "--json" in outcome.out


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["new"], ["predict"], ["eval", "apples", "--select", "best"], ["demo", "--items", "0"]]
)
def test_wrong_usage_ends_with_code_2(run: Run, arguments: list[str]) -> None:
    outcome = run(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert "Usage: " in outcome.err


def test_an_error_is_one_line_and_code_1(spawn: Run) -> None:
    outcome = spawn("eval", "apple")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith("error: task: name must be one of 'apples', ")
    assert outcome.err.endswith("did you mean 'apples'?\n")
    assert outcome.err.count("\n") == 1


def test_a_traceback_is_shown_if_asked_for(spawn: Run) -> None:
    outcome = spawn("eval", "apple", "--traceback")
    assert outcome.code == 1
    assert outcome.err.startswith("Traceback (most recent call last):")
    assert "TaskError: task: name must be one of" in outcome.err


def test_errors_do_not_steer_the_terminal(run: Run) -> None:
    outcome = run("new", "\x1b[31mred")
    assert outcome.code == 1
    assert "\x1b" not in outcome.err
    assert r"\x1b[31mred" in outcome.err


def test_warnings_are_one_line_on_standard_error(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def warn() -> list[str]:
        warnings.warn("two rows are bad", DataWarning, stacklevel=1)
        return []

    monkeypatch.setitem(vars(pk), "list_tasks", warn)
    before = warnings.showwarning
    outcome = run("tasks", "--json")
    assert (outcome.code, outcome.out, outcome.err) == (0, "[]\n", "warning: two rows are bad\n")
    assert warnings.showwarning is before


@pytest.mark.skipif(os.name == "nt", reason="pipes break otherwise on Windows")
@pytest.mark.parametrize("arguments", [["tasks"], ["--help"]])
def test_a_reader_that_goes_away_is_no_error(arguments: list[str]) -> None:
    command = subprocess.Popen(
        [sys.executable, "-m", "promptkit", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert command.stdout is not None
    assert command.stderr is not None
    command.stdout.close()
    assert command.stderr.read() == b""
    command.stderr.close()
    command.wait()
