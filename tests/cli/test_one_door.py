"""Everything that commands print goes through ``show``, and nothing that goes through it steers a terminal."""

from __future__ import annotations

import ast
import io
import json
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import promptkit as pk
import promptkit.cli
from promptkit.cli import show
from promptkit.cli.chat import _printable_pieces
from promptkit.cli.show import print_json, print_table, printable, say, say_error
from promptkit.data import DataWarning

from .conftest import Run

PACKAGE = Path(promptkit.cli.__file__).parent
DOORS = {"show.py", "streams.py", "interrupts.py"}
CONTROLS = [chr(code) for code in [*range(1, 32), *range(127, 160)]]
TURNING = [chr(code) for code in [*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C]]
UNSEEN = ["\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u00ad", "\u180e", "\u2028", "\u2029", "\U000e0041"]
HOSTILE = "a".join(one for one in [*CONTROLS, *TURNING, *UNSEEN])
STEERING = set(CONTROLS + TURNING + UNSEEN) - {"\n", "\t"}


def prints(source: str) -> list[str]:
    """Finds what writes to a stream by itself: print, echo, consoles, and the streams of the process."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name) and node.id in ("print", "Console", "echo", "secho", "__builtins__"):
            found.append(node.id)
        if isinstance(node, ast.Attribute):
            whole = ast.unparse(node)
            streams = {"sys.stdout", "sys.stderr", "sys.__stdout__", "sys.__stderr__", "os.write", "builtins.print"}
            if whole in streams or node.attr in ("echo", "secho", "print", "confirm", "prompt", "Console"):
                found.append(whole)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ("rich", "click", "logging"):
            found.append(f"from {node.module}")
        if isinstance(node, ast.ImportFrom) and node.module in ("sys", "os") and {a.name for a in node.names} & {
            "stdout", "stderr", "write",
        }:  # fmt: skip
            found.append(f"from {node.module}")
        if isinstance(node, ast.Import) and any(
            a.name.split(".")[0] in ("rich", "click", "logging") for a in node.names
        ):
            found.append("import")
    return found


def test_no_module_of_the_command_line_prints_by_itself() -> None:
    files = [path for path in sorted(PACKAGE.rglob("*.py")) if path.name not in DOORS]
    assert len(files) > 15
    assert {path.name: found for path in files if (found := prints(path.read_text(encoding="utf-8")))} == {}


@pytest.mark.parametrize(
    "source",
    [
        "print('x')", "say = print", "typer.echo('x')", "import sys\nsys.stderr.write('x')", "from sys import stdout",
        "from rich.console import Console\nConsole().print('x')", "import rich\nrich.print('x')", "import click",
        "import os\nos.write(1, b'x')", "import builtins\nbuiltins.print(1)", "typer.confirm('x')",
    ],
)  # fmt: skip
def test_another_way_to_print_is_seen(source: str) -> None:
    assert prints(source)


def is_calm(text: str) -> None:
    assert sorted(STEERING & set(text)) == []
    assert not any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") and char not in "\n\t" for char in text)


@pytest.mark.parametrize("char", [*CONTROLS, *TURNING, *UNSEEN, "\ud800", "\udc80"])
def test_each_character_is_escaped_wherever_it_stands(char: str) -> None:
    for text in (char, f"a{char}b", f"{char}b", f"a{char}"):
        assert printable(text, one_line=True) == text.replace(char, ascii(char)[1:-1])
    assert printable(f"a{char}b") == (f"a{char}b" if char in "\n\t" else f"a{ascii(char)[1:-1]}b")


@pytest.mark.parametrize(
    "text",
    [
        "👩\u200d💻",
        "👩🏽\u200d🚀",
        "می\u200cخواهم",
        "क्\u200dष",
        "12 €",
        "苹果",
        "é",
        "e\u0301",
        "العربية",
        "👍🏽",
        "\u06dd",
    ],
)
def test_scripts_and_emoji_stay_as_they_are(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert printable(text) == text
    print_json(text)
    assert capsys.readouterr().out == f'"{text}"\n'


@given(st.text(st.characters() | st.sampled_from(sorted(STEERING))))
def test_json_is_calm_and_reads_as_the_same_value(text: str) -> None:
    for lines in (False, True):
        stream = io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdout", stream)
            print_json([{text: [text]}], lines=lines)
        is_calm(stream.getvalue())
        found = json.loads(stream.getvalue())
        assert found == ({text: [text]} if lines else [{text: [text]}])


@given(st.lists(st.text(st.sampled_from("ab\u200d\u200c👩💻क्ष\u202e\x1b"), max_size=4)))
def test_a_stream_is_shown_as_its_whole_text_would_be(pieces: list[str]) -> None:
    shown = "".join(map(printable, _printable_pieces(pieces)))
    assert shown == printable("".join(pieces))


def test_json_has_no_numbers_that_json_lacks(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": float("nan"), "b": [float("inf"), 1.5]})
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == {"a": None, "b": [None, 1.5]}


@settings(max_examples=50)
@given(st.text(st.characters() | st.sampled_from(sorted(STEERING))))
def test_text_errors_and_tables_are_calm(text: str) -> None:
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        say(text)
        say_error(text)
        print_table([text, "b"], [[text, "x"]], title=text)
    is_calm(out.getvalue())
    is_calm(err.getvalue())
    assert err.getvalue().count("\n") == 1


def test_what_a_terminal_shows_while_it_waits_is_calm(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream, clock = Terminal(), iter([0.0, 0.0, *[5.0] * 10_000])
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(show.time, "monotonic", lambda: next(clock, 5.0))
    with show.Bar("\x1b[31mred\x9b2J\u202e[bold]") as bar:
        bar(1, 2)
        bar.title("\x07bell\x1b]0;title\x07[red]")
        bar(2, 2)
    shown = stream.getvalue()
    assert "\x1b[31mred" not in shown and "\x9b" not in shown and "\u202e" not in shown and "\x07" not in shown
    assert r"\x1b[31mred\x9b2J\u202e[bold]" in shown


SAYS = {
    "tasks": ("tasks", HOSTILE),
    "new": ("new", HOSTILE),
    "new --folder": ("new", "capitals", "--folder", HOSTILE),
    "fit": ("fit", "{task}", "--strategy", "few_shot", "--out", "{folder}/" + HOSTILE.replace("/", "")),
    "fit --set": ("fit", "{task}", "--strategy", "few_shot", "--out", "x", "--set", HOSTILE),
    "predict": ("predict", "{task}", "--adapter", HOSTILE, "--input", "{rows}"),
    "predict --input": ("predict", "{task}", "--input", HOSTILE),
    "predict --model": ("predict", "{task}", "--model", HOSTILE, "--input", "{rows}"),
    "predict --json": ("predict", "{task}", "--json", "--input", "{rows}"),
    "eval": ("eval", "{task}", "--model", HOSTILE),
    "eval --json": ("eval", "{task}", "--model", HOSTILE, "--json"),
    "eval --metric": ("eval", "{task}", "--metric", HOSTILE),
    "eval --data": ("eval", "{task}", "--data", HOSTILE),
    "eval --cache": ("eval", "{task}", "--cache", "{folder}/\0" + HOSTILE),
    "vote": ("vote", HOSTILE),
    "vote --reader": ("vote", "{samples}", "--reader", HOSTILE),
    "vote --samples-field": ("vote", "{samples}", "--samples-field", HOSTILE),
    "climb": ("climb", HOSTILE),
    "climb --target": ("climb", "{task}", "--target", HOSTILE),
    "climb --config": ("climb", "--config", HOSTILE),
    "compare": ("compare", HOSTILE, HOSTILE),
    "report": ("report", HOSTILE),
    "chat": ("chat", HOSTILE),
    "chat --task": ("chat", "--task", "{task}", "--model", HOSTILE),
    "chat --json": ("chat", "--task", "{task}", "--json"),
    "plan": ("plan", "--model", HOSTILE),
    "plan --targets": ("plan", "--targets", HOSTILE),
    "export": ("export", HOSTILE, HOSTILE),
    "demo": ("demo", "--task", HOSTILE),
    "demo --shots": ("demo", "--shots", HOSTILE),
    "a command": (HOSTILE,),
    "an option": ("eval", "--" + HOSTILE),
    "a choice": ("eval", "{task}", "--select", HOSTILE),
    "a number": ("eval", "{task}", "--limit", HOSTILE),
}


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model whose name and answers are hostile, and that warns in the same manner."""

    def make(name: str) -> pk.ScriptedBackend:
        import warnings

        warnings.warn(f"warned of {HOSTILE}", DataWarning, stacklevel=1)
        return pk.ScriptedBackend([f" {HOSTILE}"], name=name if len(name) < 200 else f"model {HOSTILE}")

    monkeypatch.setitem(vars(pk), "LocalBackend", make)


@pytest.mark.parametrize("name", SAYS)
def test_no_command_lets_an_argument_or_an_answer_steer_the_terminal(
    run: Run, task: str, hostile: None, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows, samples = tmp_path / "rows.jsonl", tmp_path / "samples.jsonl"
    rows.write_text(json.dumps({"id": HOSTILE, "question": HOSTILE}) + "\n")
    samples.write_text(json.dumps({"samples": [HOSTILE, HOSTILE]}) + "\n")
    known = {"task": task, "folder": str(tmp_path), "rows": str(rows), "samples": str(samples)}
    arguments = [each.format(**known) if "{" in each else each for each in SAYS[name]]
    outcome = run(*arguments, stdin=f"{HOSTILE.translate({10: None, 13: None})}\n")
    is_calm(outcome.out)
    is_calm(outcome.err)
    assert outcome.out or outcome.err


def test_a_saved_report_does_not_steer_the_terminal(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "reports.json"
    rows = [
        {"id": str(n), "fields": {}, "targets": ["a"], "answer": "a", "error": None, "exact_match": 1.0}
        for n in range(3)
    ]
    reports = [{"strategy": f"{name}{HOSTILE}", "rows": rows, "metrics": {"exact_match": {}}} for name in "ab"]
    path.write_text(json.dumps(reports))
    for more in ((), ("--json",), ("--baseline", HOSTILE)):
        outcome = run("compare", str(path), *more)
        is_calm(outcome.out + outcome.err)


def test_a_message_with_line_breaks_cannot_look_like_another(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> list[str]:
        raise pk.BackendError("the server says\nwarning: all is well\n\terror: none")

    monkeypatch.setitem(vars(pk), "list_tasks", fail)
    outcome = run("tasks")
    assert outcome.err == "error: the server says\\nwarning: all is well\\n\\terror: none\n"


def test_a_fault_that_nobody_foresaw_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[Callable[[], Exception]] = [
        lambda: KeyError("x"), lambda: OSError(5, "Input/output error", "f\x1b"), lambda: MemoryError(), lambda: RecursionError("deep"),
    ]  # fmt: skip
    for make in raised:

        def fail(make: Callable[[], Exception] = make) -> list[str]:
            raise make()

        monkeypatch.setitem(vars(pk), "list_tasks", fail)
        outcome = run("tasks")
        assert outcome.code == 1 and outcome.err.startswith("error: ") and outcome.err.count("\n") == 1
        is_calm(outcome.err)
        outcome = run("tasks", "--traceback")
        assert outcome.code == 1 and outcome.err.startswith("Traceback (most recent call last):\n")
        is_calm(outcome.err)
