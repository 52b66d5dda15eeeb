"""SIGKILL at any moment leaves the old state or the new one, and a resumed run ends where it would have ended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support import run_program


def run(*arguments: object) -> dict[str, Any]:
    done = run_program("killing", *arguments)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("kills", [10, pytest.param(200, marks=pytest.mark.slow)])
def test_killed_while_saving_the_newest_whole_state_is_found(tmp_path: Path, kills: int) -> None:
    found = run("saving", tmp_path, kills)
    assert found["saved"] > 3
    if kills == 200:  # the kills hit saves that were under way, or the test shows nothing
        assert found["cut off"] + found["saved but not told"] > 10


@pytest.mark.parametrize("kills", [2, pytest.param(50, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_killed_while_training_the_run_ends_at_the_same_loss(tiny: Any, tmp_path: Path, kills: int) -> None:
    found = run("training", tiny("llama"), tmp_path, kills)
    assert found["kills"] == kills and found["found"]
    for end in found["found"]:
        assert end[:2] == pytest.approx(found["wanted"][:2], abs=1e-6)
        assert end[2:] == found["wanted"][2:]
