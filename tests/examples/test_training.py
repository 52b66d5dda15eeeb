"""The reference model's training, end to end and very small: text, tokenizer, training, resuming, export."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from promptkit import LocalBackend
from promptkit.types import Prompt, Request, Sampling

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "reference_model"


def run(script: str, *arguments: object) -> str:
    command = [sys.executable, str(FOLDER / script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    run("build_text.py", "--out", folder, "--tokens", 5e4, "--vocabulary", 600, "--documents", 200)
    return folder


def train(work: Path, out: Path, steps: int, *more: str) -> list[dict[str, float]]:
    files = ("--tokens", work / "tokens.bin", "--mask", work / "mask.bin", "--tokenizer", work / "tokenizer")
    shape = ("--layers", 1, "--width", 64, "--heads", 1, "--intermediate", 64, "--context", 128, "--batch", 4)
    run("train.py", *files, *shape, "--out", out, "--steps", steps, "--no-compile", "--eval-every", 0, *more)
    return [json.loads(line) for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]


def test_it_trains_exports_and_is_loaded_by_the_local_backend(work: Path, tmp_path: Path) -> None:
    first, *_, last = train(work, tmp_path / "run", 40, "--warmup", "5")
    assert last["validation_loss"] < first["loss"] - 0.5
    export = tmp_path / "run" / "export"
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(work / "tokenizer" / name, export / name)
    backend = LocalBackend(export)
    assert backend.chat
    reply = backend.generate([Request(Prompt(text="Question: Jane has 2 apples."), Sampling(max_new_tokens=5))])[0]
    assert reply.completions[0].tokens >= 1


def test_a_resumed_run_goes_on_where_the_first_stopped(work: Path, tmp_path: Path) -> None:
    whole = train(work, tmp_path / "whole", 20, "--decay", "1e-6")
    train(work, tmp_path / "parts", 8, "--decay", "1e-6")
    parts = train(work, tmp_path / "parts", 20, "--decay", "1e-6", "--resume")
    assert parts[-1]["step"] == whole[-1]["step"] == 20
    assert parts[-1]["validation_loss"] == pytest.approx(whole[-1]["validation_loss"], abs=1e-4)
