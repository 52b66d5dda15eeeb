"""Rows that cannot be used are told one a line, and nothing in them can look like a message of its own."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from promptkit.cli.app import app


def test_bad_rows_are_told_one_a_line(tmp_path: Path) -> None:
    table = tmp_path / "rows.jsonl"
    table.write_text(
        '{"question": "a", "target": "1"}\n{"question": "\\nerror: forged"}\n{"other": "c", "target": "1"}\n{"question": "b", "target": "1"}\n'
    )
    result = CliRunner().invoke(app, ["eval", "apples", "--data", str(table)])
    lines = result.stderr.splitlines()
    assert result.exit_code == 1 and len(lines) == 3
    assert lines[0].startswith("error: ") and "rows cannot be used" in lines[0]
    assert all(line.startswith("  ") for line in lines[1:]) and "\\n  " not in result.stderr
