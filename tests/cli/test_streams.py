"""Encodings, full disks and closed pipes: what was asked for, or one line and exit code 1; never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs /dev/full and pipes of POSIX")

ODD = "苹果 é 👩\u200d💻 \udcff"  # the last is a byte that is not UTF-8, as an argument shows it


def promptkit(*arguments: str, stdout: object = subprocess.PIPE, **environment: str) -> tuple[int, bytes, bytes]:
    done = subprocess.run(
        [sys.executable, "-m", "promptkit", *arguments], stdout=stdout, stderr=subprocess.PIPE,
        env={**os.environ, **environment}, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout or b"", done.stderr


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "encoding",
    ["ascii", *(pytest.param(one, marks=SLOW) for one in ("latin-1", "ascii:strict", "utf-8", "cp1252", "utf-16"))],
)
def test_any_encoding_takes_a_table_json_an_error_and_help(tmp_path: Path, encoding: str) -> None:
    samples = tmp_path / "samples.jsonl"
    samples.write_text(json.dumps({"samples": [ODD, ODD]}) + "\n", encoding="utf-8")
    rest = () if encoding == "ascii" else (("vote", str(samples)), ("--help",))  # the slow cases do all
    for arguments in (("vote", str(samples), "--json"), *rest):
        code, out, err = promptkit(*arguments, PYTHONIOENCODING=encoding)
        assert (code, err) == (0, b"") and out
        if "--json" in arguments:
            name = encoding.partition(":")[0]
            assert json.loads(out.decode(name))["rows"][0]["answer"] == ODD
    code, out, err = promptkit("vote", ODD, PYTHONIOENCODING=encoding)
    assert (code, out) == (1, b"")
    assert err.decode(encoding.partition(":")[0]).startswith("error: ") and b"Traceback" not in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["tasks"],
        *(pytest.param(one.split(), marks=SLOW) for one in ("tasks --json", "--help", "vote --help", "tasks")),
    ],
)
def test_a_full_disk_is_one_line_and_an_error(arguments: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        code, _, err = promptkit(*arguments, stdout=full)
    assert code == 1
    assert err.startswith(b"error: ") and b"No space left on device" in err and err.count(b"\n") == 1


@pytest.mark.slow
def test_a_full_disk_for_both_streams_is_an_error() -> None:
    code = subprocess.run(f"{sys.executable} -m promptkit tasks > /dev/full 2>&1", shell=True, check=False).returncode
    assert code == 1


@pytest.mark.slow
def test_a_small_quota_never_leaves_half_a_document_with_code_0(tmp_path: Path) -> None:
    """Bad twin of a full disk: a file that takes 100 bytes."""
    command = f"ulimit -f 0; exec {sys.executable} -m promptkit tasks --json > {tmp_path / 'out.json'}"
    done = subprocess.run(["bash", "-c", command], stderr=subprocess.PIPE, check=False)
    assert done.returncode != 0
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", ["--help", *(pytest.param(one, marks=SLOW) for one in ("tasks", "tasks --json"))])
def test_a_reader_that_has_gone_hears_nothing_and_the_code_is_1(arguments: str) -> None:
    read, write = os.pipe()
    os.close(read)
    code, _, err = promptkit(*arguments.split(), stdout=write)
    os.close(write)
    assert (code, err) == (1, b"")


def test_a_closed_standard_output_is_an_error() -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m promptkit tasks >&-"], stderr=subprocess.PIPE, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith(b"error: standard output is closed") and done.stderr.count(b"\n") == 1


@pytest.mark.slow
def test_a_closed_standard_error_changes_nothing() -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m promptkit vote /nowhere 2>&-"], stdout=subprocess.PIPE, check=False
    )
    assert (done.returncode, done.stdout) == (1, b"")
