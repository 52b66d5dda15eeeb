"""A climb that is asked to stop says in one line what is kept and how to go on, and goes on from there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import promptkit as pk
from tests.support.server import ScriptedServer

LADDER = ("--rungs", "zero-shot", "--folds", "0", "--model", "scripted")


class Slow(pk.ScriptedBackend):
    """Takes a while for every request."""

    def generate(self, requests, *, progress=None):  # type: ignore[no-untyped-def]
        """Sleeps, then answers."""
        time.sleep(0.2)
        return super().generate(requests, progress=progress)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow)]
)
@pytest.mark.timeout(120)
def test_it_says_what_is_kept_and_goes_on(number: int, code: int, tmp_path: Path) -> None:
    folder = str(tmp_path / "run")
    with ScriptedServer(Slow([" The answer is 5."])) as server:
        command = [sys.executable, "-m", "promptkit", "climb", "apples", *LADDER, "--base-url", server.base_url]
        command += ["--folder", folder, "--test-items", "5"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 60
        while len(server.seen) < 8:
            assert process.poll() is None and time.monotonic() < deadline, process.communicate()
            time.sleep(0.02)
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out) == (code, ""), err
        line = err.splitlines()[-1]
        assert line.startswith(
            f"interrupted: what was finished is kept in {folder}; go on with: promptkit climb apples"
        )
        assert line.endswith("--resume") and "Traceback" not in err
        answered = (tmp_path / "run" / "journal.jsonl").read_text().count('"reply:')
        assert answered > 0
        again = subprocess.run([*command, "--resume"], capture_output=True, text=True, timeout=60)
        assert again.returncode in (0, 3), again.stderr
        record = pk.load_record(folder)
        assert record.resumed == 1 and record.status == "finished"
        lines = (tmp_path / "run" / "journal.jsonl").read_text().splitlines()
        kept = [json.loads(line.partition(" ")[2])[0] for line in lines]
        replies = [key for key in kept if key.startswith("reply:")]
        assert len(replies) == len(set(replies)) == record.calls > answered  # none was asked for twice


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_without_a_folder_it_says_what_would_have_kept_it() -> None:
    with ScriptedServer(Slow([" The answer is 5."])) as server:
        command = [sys.executable, "-m", "promptkit", "climb", "apples", *LADDER, "--base-url", server.base_url]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
        )
        while len(server.seen) < 6:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 143
    assert "interrupted: nothing was kept; with --folder FOLDER a climb can go on with --resume" in err.splitlines()[-1]
