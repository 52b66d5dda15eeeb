"""``promptkit report``, on a climb of a scripted model."""

from __future__ import annotations

from pathlib import Path

import pytest

import promptkit as pk

from .conftest import Run


@pytest.fixture
def folder(task: str, model: list[pk.ScriptedBackend], tmp_path: Path) -> Path:
    """A run folder; the climb writes a report as well."""
    task, data = pk.load_task(task), pk.load_examples(task, on_leakage="ignore")
    rungs = [pk.FewShot(task, shots=k) for k in (0, 2)]
    backend = pk.LocalBackend("reference")
    result = pk.climb(task, data, backend, rungs=rungs, folder=tmp_path / "run", folds=0)
    result.report(tmp_path / "by-library.html")
    return tmp_path


def test_the_command_writes_what_the_library_writes(run: Run, folder: Path) -> None:
    expected = (folder / "by-library.html").read_bytes()
    for source in ("run", "run/record.json"):
        out = folder / f"{source.count('/')}.html"
        outcome = run("report", str(folder / source), "--out", str(out))
        assert outcome.code == 0, outcome.err
        assert out.read_bytes() == expected
        answer, written = outcome.out.splitlines()
        assert answer == pk.load_record(folder / "run").answer and written == f"{out} is written"
    assert b"<h1" in expected and b"zero-shot" in expected


def test_by_default_it_lies_here(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert run("report", "run").code == 0
    assert (folder / "report.html").is_file()


def test_what_cannot_be_read_or_written_is_said(run: Run, folder: Path) -> None:
    missing = run("report", str(folder / "nothing"))
    assert (missing.code, missing.out) == (1, "")
    assert missing.err == "error: nothing: a decision record must be there, got nothing\n"
    (folder / "broken.json").write_text('{"format": 1}', encoding="utf-8")
    assert "must be" in run("report", str(folder / "broken.json")).err
    unwritten = run("report", str(folder / "run"), "--out", str(folder / "no" / "report.html"))
    assert unwritten.code == 1 and "report.html could not be written" in unwritten.err
