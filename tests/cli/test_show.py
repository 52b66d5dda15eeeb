"""Tables, JSON and progress bars."""

from __future__ import annotations

import io
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptkit.cli import show
from promptkit.cli.show import Bar, print_json, print_table, printable


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@given(st.text(st.characters()))
def test_printable_leaves_no_control_character_and_changes_nothing_else(text: str) -> None:
    shown = printable(text)
    assert not any((ord(char) < 32 and char not in "\n\t") or 127 <= ord(char) < 160 for char in shown)
    shown.encode("utf-8")
    if text.isprintable():
        assert shown == text


def test_json_keeps_other_scripts_and_escapes_half_characters(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"answer": "苹果"})
    assert "苹果" in capsys.readouterr().out
    print_json([{"answer": "a\ud800"}, {"answer": "b"}], lines=True)
    first, second = capsys.readouterr().out.splitlines()
    assert json.loads(first) == {"answer": "a\ud800"}
    assert second == '{"answer": "b"}'


def test_json_is_ascii_where_the_stream_takes_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr(sys, "stdout", stream)
    print_json("苹果")
    stream.flush()
    assert json.loads(stream.buffer.getvalue()) == "苹果"


def test_a_table_is_never_cut_where_it_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["name", "value"], [["a", "x" * 500], ["[b]", "1"]], numbers=["value"], title="two")
    title, head, _, first, second = capsys.readouterr().out.splitlines()
    assert (title, head.split()) == ("two", ["name", "value"])
    assert first.split() == ["a", "x" * 500]
    assert second.split() == ["[b]", "1"]
    assert len(first) == len(second)


def bar_after(seconds: float, stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a bar prints whose first step is finished after so many seconds."""
    clock = iter([0.0, 0.0, *[seconds] * 1000])
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(show.time, "monotonic", lambda: next(clock, seconds))
    with Bar("answering") as bar:
        bar(1, 2)
        bar.part(1, 2)(1, 1)
    return stream.getvalue()


def test_a_bar_shows_long_work_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "answering" in bar_after(2, Terminal(), monkeypatch)


def test_a_bar_is_silent_for_short_work(monkeypatch: pytest.MonkeyPatch) -> None:
    assert bar_after(0.5, Terminal(), monkeypatch) == ""


def test_a_bar_is_silent_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert bar_after(2, io.StringIO(), monkeypatch) == ""
