"""Every numbered example runs as a user would run it, and prints what it promises."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
RUNS = {
    "01_first_score.py": (["--items", "8"], "The saved and loaded predictor answers:"),
    "02_your_own_task.py": ([], "0 failed"),
    "03_voting_on_stored_samples.py": ([], "beta rule: 4 of 20 samples used, answer 5"),
    "04_reasoning_and_voting.py": (["--items", "6"], "agreement"),
    "05_is_voting_worth_it.py": (["--items", "6"], "beta stop - majority"),
    "06_soft_prompt_and_lora.py": (["--items", "4", "--train", "24", "--epochs", "1"], "LoRA, saved and loaded:"),
    "07_compare.py": (["--items", "8"], "looking after every item, reasoned is"),
    "08_remote_server.py": (["--items", "6"], "voted again, from the cache  1.00"),
    "09_climb.py": (["--items", "30"], "4 shots won, because the lower bound"),
    "10_assistant.py": ([], "Typed:     Risk(level='very low')"),
    "11_application.py": ([], '-> {"answer": "5", "dropped_turns": 0}'),
    "12_transcript.py": ([], "chinese> 大同：花"),
}


def test_every_numbered_example_is_run_here() -> None:
    assert sorted(path.name for path in EXAMPLES.glob("[0-9]*.py")) == sorted(RUNS)


@pytest.mark.slow
def test_the_table_of_weights_is_printed() -> None:
    arguments = "--task tone --items 6 --dev 4 --train 24 --seeds 2 --starts 2 --epochs 1".split()
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "weights_table.py"), *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for name in (
        "few-shot: ",
        "soft prompt: prefix",
        "LoRA - few-shot",
        "init=prompt - init=random, one epoch, 2 seeds",
    ):
        assert name in done.stdout


@pytest.mark.parametrize("name", RUNS)
def test_an_example_runs(name: str) -> None:
    arguments, promised = RUNS[name]
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert promised in done.stdout
