"""Importing promptkit and asking for help load nothing heavy."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = set("torch transformers datasets rouge_score numpy scipy pandas pydantic jinja2 nltk httpx2".split())

HELP = """
import sys
from promptkit.cli import main
sys.argv = ["promptkit", *{arguments!r}]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
"""


def loaded_by(statement: str) -> set[str]:
    """Names of the modules that a fresh interpreter holds after a statement."""
    report = "import json, sys; print(); print(json.dumps(sorted(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", f"{statement}\n{report}"], check=True, capture_output=True, text=True)
    return set(json.loads(run.stdout.splitlines()[-1]))


def test_importing_promptkit_loads_nothing_heavy() -> None:
    loaded = loaded_by("import promptkit")
    assert "promptkit" in loaded
    assert not loaded & (HEAVY | {"typer", "rich", "yaml"})


def test_listing_names_loads_nothing() -> None:
    assert not loaded_by("import promptkit; assert 'LocalBackend' in dir(promptkit)") & HEAVY


def test_the_check_sees_what_is_loaded() -> None:
    assert "numpy" in loaded_by("import promptkit, numpy")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["eval", "--help"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    loaded = loaded_by(HELP.format(arguments=arguments))
    assert "promptkit.cli.app" in loaded
    assert not loaded & (HEAVY - {"pydantic"})  # which typer itself needs for some options


def test_loading_a_task_and_its_data_loads_no_model_library() -> None:
    loaded = loaded_by("import promptkit as pk; pk.load_examples('apples'); pk.load_task('apples')")
    assert not loaded & {"torch", "transformers", "datasets", "rouge_score"}
