"""Run folders that somebody prepared, and disks that are full: typed errors, and nothing is touched elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import promptkit as pk
from promptkit.ladder.journal import Journal, JournalError, RunLock
from tests.support import ROOT
from tests.support.simulation import climb, make_data

SMALL = {"train": 8, "dev": 20, "test": 10}


@pytest.mark.parametrize("name", ["journal.jsonl", "lock", "record.json"])
@pytest.mark.parametrize("kind", ["link", "dangling", "pipe", "folder"])
@pytest.mark.timeout(20)
def test_only_regular_files_are_opened(name: str, kind: str, tmp_path: Path) -> None:
    folder, outside = tmp_path / "run", tmp_path / "outside"
    folder.mkdir()
    if name != "journal.jsonl":
        (folder / "journal.jsonl").write_bytes(b"")
    if kind == "link":
        outside.write_text("precious")
        (folder / name).symlink_to(outside)
    elif kind == "dangling":
        (folder / name).symlink_to(outside)
    elif kind == "pipe":
        os.mkfifo(folder / name)
    else:
        (folder / name).mkdir()
    before = sorted(entry.name for entry in folder.iterdir())
    with pytest.raises(pk.ArtifactError, match=f"run: {name} must be a regular file, got"):
        climb(0.5, data=make_data(**SMALL), folder=folder)
    assert sorted(entry.name for entry in folder.iterdir()) == before
    assert outside.read_text() == "precious" if kind == "link" else not outside.exists()


@pytest.mark.parametrize("name", ["fits", "checkpoints"])
def test_folders_of_a_run_may_not_be_links(name: str, tmp_path: Path) -> None:
    folder, outside = tmp_path / "run", tmp_path / "outside"
    outside.mkdir()
    climb(0.5, data=make_data(**SMALL), folder=folder)
    if (folder / name).exists():
        (folder / name).rename(tmp_path / "away")
    (folder / name).symlink_to(outside)
    with pytest.raises(pk.ArtifactError, match=f"run: {name} must be a folder, got 'link'"):
        climb(0.5, data=make_data(**SMALL), folder=folder)
    assert not list(outside.iterdir())


@pytest.mark.timeout(20)
def test_journal_and_lock_by_themselves_follow_nothing(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("precious")
    (tmp_path / "journal").symlink_to(tmp_path / "outside")
    os.mkfifo(tmp_path / "pipe")
    for name in ("journal", "pipe"):
        with pytest.raises(JournalError, match=f"{name} cannot be opened: it must be a regular file"):
            Journal(tmp_path / name)
    os.mkfifo(tmp_path / "lock")
    with pytest.raises(JournalError, match="lock in .* cannot be opened: it must be a regular file"):
        RunLock(tmp_path)
    assert (tmp_path / "outside").read_text() == "precious"


def test_a_line_with_a_right_checksum_and_wrong_content_is_a_broken_line(tmp_path: Path) -> None:
    import hashlib

    lines = b""
    for body in (b"[1]", b"{}", b'["a", 1, "soon"]', b"[" * 100_000, b'["good", 1, 0.5]'):
        lines += hashlib.sha256(body).hexdigest()[:16].encode() + b" " + body + b"\n"
    (tmp_path / "journal").write_bytes(lines)
    journal = Journal(tmp_path / "journal")
    assert journal.broken == 4 and journal.get("good") == 1


FULL = """
import resource, sys
from tests.support.simulation import climb, make_data
import promptkit as pk
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    climb(0.3, 0.8, data=make_data(train=8, dev=40, test=10), folder=sys.argv[1], folds=0)
except pk.ArtifactError as error:
    print(type(error).__name__, error)
"""


def test_a_full_disk_is_told_by_the_journal_and_the_climb_goes_on_later(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL, str(tmp_path / "run"), "6000"]
    found = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert found.stdout.startswith("JournalError the journal could not be written: File too large; make room"), found
    assert not found.stderr
    again = Journal(tmp_path / "run" / "journal.jsonl")
    assert again.broken == 0 and again.count("reply:") > 0
    again.close()
    record = climb(0.3, 0.8, data=make_data(train=8, dev=40, test=10), folder=tmp_path / "run", folds=0).record
    assert record.same_decisions(climb(0.3, 0.8, data=make_data(train=8, dev=40, test=10), folds=0).record)
