"""``promptkit chat``, on a scripted model, with lines from standard input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import promptkit as pk
from promptkit.testing import ScriptedServer

from .conftest import Run

Models = list[pk.ScriptedBackend]
QUESTION = "What is the capital of {}?"
THREE = f"{QUESTION.format('Finland')}\n\n  {QUESTION.format('Peru')}  \n{QUESTION.format('Cuba')}\n"


def test_each_line_is_a_question_and_each_reply_a_line(run: Run, task: str, model: Models) -> None:
    outcome = run("chat", "--task", task, "--shots", "2", stdin=THREE)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.splitlines() == [
        "Helsinki",
        "Lemon",
        "I am not sure enough to answer this, so I hand it over.  [abstained: unreadable]",
    ]
    last = str(model[0].requests[-1].prompt.text)
    assert "Peru?\nAnswer: Lemon\n\n" in last  # the turn before is seen


def test_json_has_a_record_per_turn(run: Run, task: str, model: Models) -> None:
    outcome = run("chat", "--task", task, "--shots", "0", "--json", "--model", "mine", stdin=THREE)
    records = [json.loads(line) for line in outcome.out.splitlines()]
    assert [record["answer"] for record in records] == ["Helsinki", "Lemon", None]
    assert records[2]["abstained"] is True
    assert records[2]["reason"] == "unreadable"
    assert records[0]["question"] == QUESTION.format("Finland")
    assert records[0]["prompt_tokens"] > 0
    assert model[0].name == "mine"


def test_reset_forgets_and_quit_ends(run: Run, task: str, model: Models) -> None:
    one = QUESTION.format("Finland")
    run("chat", "--task", task, "--shots", "0", stdin=f"{one}\n/reset\n{QUESTION.format('Senegal')}\n/quit\n{one}\n")
    assert len(model[0].requests) == 2
    assert "Finland" not in str(model[0].requests[-1].prompt.text)


@pytest.fixture
def folders(task: str, tmp_path: Path, model: Models) -> tuple[str, str]:
    """A saved predictor and a saved assistant."""
    backend = pk.LocalBackend("reference")
    data = pk.load_examples(task)
    predictor = pk.FewShot(pk.load_task(task), shots=1).fit(data.train, backend)
    predictor.save(tmp_path / "predictor")
    pk.Assistant(predictor, tone="Be brief.").save(tmp_path / "assistant")
    return str(tmp_path / "predictor"), str(tmp_path / "assistant")


def test_saved_assistants_and_predictors_talk(run: Run, folders: tuple[str, str], model: Models) -> None:
    for folder in folders:
        outcome = run("chat", folder, stdin=QUESTION.format("Finland"))
        assert (outcome.code, outcome.out, outcome.err) == (0, "Helsinki\n", "")
    assert "Be brief." in str(model[-1].requests[-1].prompt.text)


def test_a_saved_predictor_talks_on_a_server_and_a_terminal_streams_what_is_remembered(
    run: Run, task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from promptkit.cli import chat

    with ScriptedServer(pk.ScriptedBackend([" Helsinki"])) as server:
        options = ["--base-url", server.base_url, "--model", "scripted", "--cache", str(tmp_path / "answers.sqlite")]
        assert run("fit", task, "--strategy", "few_shot", "--out", str(tmp_path / "mine"), *options).code == 0
        piped = run("chat", str(tmp_path / "mine"), *options, stdin=QUESTION.format("Finland"))
        assert (piped.code, piped.out, piped.err) == (0, "Helsinki\n", "")
        seen = len(server.seen)
        lines = iter([QUESTION.format("Finland"), "/quit"])
        monkeypatch.setattr("builtins.input", lambda prompt: next(lines))
        monkeypatch.setattr(chat, "sys", Terminal())
        live = run("chat", str(tmp_path / "mine"), *options)
        assert live.out.splitlines() == ["capitals on scripted. " + chat._HELP, "Helsinki"]
        assert len(server.seen) == seen + 1  # its name, and no completion


def test_what_is_neither_is_refused(run: Run, task: str, model: Models) -> None:
    outcome = run("chat", task, stdin="x")
    assert outcome.code == 1
    assert outcome.err.startswith("error: ")
    assert "no part of an artifact" in outcome.err


@pytest.mark.parametrize("arguments", [(), ("somewhere", "--task", "apples")])
def test_a_folder_or_a_task_must_be_given(run: Run, arguments: tuple[str, ...]) -> None:
    outcome = run("chat", *arguments)
    assert outcome.code == 2
    assert "give a FOLDER, or a task with --task" in outcome.err


@pytest.mark.parametrize(
    "option", [("--tone", "Be kind."), ("--min-agreement", "0.5"), ("--samples", "3"), ("--shots", "2")]
)
def test_what_a_folder_decides_cannot_be_given_beside_it(run: Run, option: tuple[str, str]) -> None:
    outcome = run("chat", "somewhere", *option)
    assert outcome.code == 2
    assert "belongs to --task" in outcome.err


def test_fields_are_given_or_said_as_json(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    made: Models = []

    def make(name: str) -> pk.ScriptedBackend:
        made.append(pk.ScriptedBackend([" Mia"], name=name))
        return made[-1]

    monkeypatch.setitem(vars(pk), "LocalBackend", make)
    said = {"facts": "Osmery: contact Paul", "question": "Who?"}
    outcome = run(
        "chat", "--task", "products", "--shots", "0", "--given", "facts=Halden: contact Mia = M",
        stdin=f"Whom do I call?\n{json.dumps(said)}\n",
    )  # fmt: skip
    assert (outcome.code, outcome.out) == (0, "Mia\nMia\n")
    first, second = (str(request.prompt.text) for request in made[0].requests)
    assert "Halden: contact Mia = M\nQuestion: Whom do I call?" in first
    assert second.endswith("Osmery: contact Paul\nQuestion: Who?\nAnswer:")
    assert run("chat", "--task", "products", "--given", "facts").code == 2


def test_a_question_that_fails_is_told_and_the_talk_goes_on(run: Run, model: Models) -> None:
    outcome = run("chat", "--task", "products", "--shots", "0", stdin='What?\n{"facts": 5}\n')
    assert outcome.code == 1
    lines = outcome.err.splitlines()
    assert lines[0].startswith("error: assistant of 'products': question must be a mapping with the fields")
    assert lines[2].startswith("error: 2 of 2 questions could not be answered; the first: assistant of")


def test_votes_that_disagree_are_shown(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [" a. The answer is 5.", " b. The answer is 6."]
    monkeypatch.setitem(vars(pk), "LocalBackend", lambda name: pk.ScriptedBackend(answers))
    outcome = run(
        "chat", "--task", "apples", "--shots", "0", "--ask", "reasoned", "--samples", "4", "--min-agreement", "0.9",
        stdin="How many?\n",
    )  # fmt: skip
    assert outcome.out.endswith("so I hand it over.  [abstained: disagreement]\n")


def test_control_characters_of_a_model_do_not_reach_the_terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        vars(pk), "LocalBackend", lambda name: pk.ScriptedBackend([" \x1b[31mred\x07 The answer is 5."])
    )
    outcome = run("chat", "--task", "apples", "--shots", "0", stdin="How many?\n")
    assert outcome.out == "\\x1b[31mred\\x07 The answer is 5.\n"


def test_on_a_terminal_replies_come_in_pieces(
    run: Run, task: str, model: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    from promptkit.cli import chat

    lines = iter([QUESTION.format("Finland"), "/quit"])
    monkeypatch.setattr("builtins.input", lambda prompt: next(lines))
    monkeypatch.setattr(chat, "sys", Terminal())
    outcome = run("chat", "--task", task, "--shots", "0")
    assert outcome.code == 0
    assert outcome.out.splitlines() == ["capitals on reference. " + chat._HELP, "Helsinki"]


class Terminal:
    """Stands for ``sys`` of a process on a terminal."""

    class stdin:
        isatty = staticmethod(lambda: True)

    import sys

    stdout, stderr = sys.stdout, sys.stderr
