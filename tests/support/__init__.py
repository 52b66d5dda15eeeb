"""What several tests share: tiny models, a simulated climb, a model server that misbehaves, programs that get killed."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import promptkit as pk

ROOT = Path(__file__).resolve().parents[2]


def program(name: str, *arguments: object) -> list[str]:
    """The command that runs a program of this folder; its working folder must be ``ROOT``."""
    return [sys.executable, "-m", f"tests.support.{name}", *map(str, arguments)]


def run_program(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs a program of this folder to its end and returns what it printed."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        program(name, *arguments), capture_output=True, text=True, cwd=ROOT, env=environment, check=False
    )


@cache
def shipped(domain: str) -> pk.Data:
    """The data of a shipped domain, loaded and searched for leaks once in a process."""
    return pk.load_examples(domain)
