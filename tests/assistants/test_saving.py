from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import promptkit as pk
from promptkit.artifacts import kind_of, load_folder, save_folder
from promptkit.assistants import Questions

from .conftest import QUESTION, Make
from .test_chat import VOTES

SETTINGS: dict[str, Any] = {
    "glossary": {"NAV": "net asset value", "净值": "NAV"},
    "tone": "Be brief.",
    "min_agreement": 0.6,
    "name": "desk",
    "handover": "Call us.",
}


@pytest.fixture
def saved(make: Make, tmp_path: Path) -> tuple[pk.Assistant, Path]:
    data = Questions(("How many\napples?", "一个"), ("How many pears?",))
    assistant = make(VOTES, samples=4, data=data, **SETTINGS)
    assistant.save(tmp_path / "desk")
    return assistant, tmp_path / "desk"


def test_what_is_loaded_is_what_was_saved(saved: tuple[pk.Assistant, Path]) -> None:
    assistant, folder = saved
    again = pk.Assistant.load(folder, pk.ScriptedBackend(VOTES))
    assert {name: getattr(again, name) for name in SETTINGS} == SETTINGS
    assert again.questions == assistant.questions
    assert again.ask("What is the NAV?").prediction.votes == assistant.ask("What is the NAV?").prediction.votes
    first, second = (one.predictor.backend.requests for one in (assistant, again))
    assert first == second
    assert kind_of(folder) == "assistant"


def test_an_assistant_without_questions_of_its_own(make: Make, tmp_path: Path) -> None:
    make().save(tmp_path / "plain")
    again = pk.Assistant.load(tmp_path / "plain", pk.ScriptedBackend((" The answer is 5.",)))
    assert again.questions is None
    assert again.ask(QUESTION).answer == "5"


def test_it_is_no_predictor_and_a_predictor_is_no_assistant(saved: tuple[pk.Assistant, Path], tmp_path: Path) -> None:
    assistant, folder = saved
    backend = pk.ScriptedBackend(VOTES)
    with pytest.raises(pk.ArtifactError, match="kind must be 'predictor', got 'assistant'"):
        pk.load(folder, backend)
    assistant.predictor.save(tmp_path / "predictor")
    with pytest.raises(pk.ArtifactError, match="kind must be 'assistant', got 'predictor'"):
        pk.Assistant.load(tmp_path / "predictor", backend)


def test_another_model_is_refused_unless_asked_for(saved: tuple[pk.Assistant, Path]) -> None:
    other = pk.ScriptedBackend(VOTES, name="other")
    with pytest.raises(pk.ArtifactError, match="model must be 'scripted' with fingerprint"):
        pk.Assistant.load(saved[1], other)
    assert pk.Assistant.load(saved[1], other, same_model=False).name == "desk"


def test_every_changed_byte_is_refused(saved: tuple[pk.Assistant, Path]) -> None:
    _, folder = saved
    version = next(folder.glob("files-*"))
    for path in version.iterdir():
        whole = path.read_bytes()
        if not whole:
            continue
        for at in {0, len(whole) // 2, len(whole) - 1}:
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            with pytest.raises(pk.ArtifactError, match="was changed after it was saved"):
                pk.Assistant.load(folder, pk.ScriptedBackend(VOTES))
        path.write_bytes(whole)
    pk.Assistant.load(folder, pk.ScriptedBackend(VOTES))


def edited(folder: Path, name: str, content: str | None) -> Path:
    """Saves the same artifact with one other file, with good hashes: what a stranger may send."""
    stored = load_folder(folder, kind="assistant")
    files = {key: data for key, data in stored.files.items() if key != name}
    if content is not None:
        files[name] = content.encode()
    save_folder(folder, files, kind="assistant", meta=stored.meta)
    return folder


def settings(**changes: Any) -> str:
    return json.dumps({**SETTINGS, **changes})


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("assistant.json", None),
        ("assistant.json", "[]"),
        ("assistant.json", settings(base_url="http://elsewhere")),
        ("assistant.json", settings(min_agreement="0.6")),
        ("assistant.json", settings(min_agreement=7)),
        ("assistant.json", settings(name="../x")),
        ("assistant.json", settings(glossary={"": "x"})),
        ("assistant.json", settings(glossary=["x"])),
        ("assistant.json", settings(handover=" ")),
        ("assistant.json", json.dumps({"name": "desk"})),
        ("questions.jsonl", '["test", "x"]\n'),
        ("questions.jsonl", '["train", 5]\n'),
        ("questions.jsonl", '["train", "x"]\n'),
        ("questions.jsonl", "{}\n"),
        ("questions.jsonl", ""),
        ("plan.json", "{}"),
        ("task.json", None),
    ],
)
def test_what_a_stranger_sends_is_refused_with_the_file(
    saved: tuple[pk.Assistant, Path], name: str, content: str | None
) -> None:
    folder = edited(saved[1], name, content)
    with pytest.raises(pk.ArtifactError, match=name.replace(".", r"\.")):
        pk.Assistant.load(folder, pk.ScriptedBackend(VOTES))


def test_a_good_edit_is_no_error(saved: tuple[pk.Assistant, Path]) -> None:
    """So the refusals above are of what was changed, not of the changing."""
    folder = edited(saved[1], "assistant.json", settings(tone="Be kind."))
    assert pk.Assistant.load(folder, pk.ScriptedBackend(VOTES)).tone == "Be kind."


def test_nothing_of_this_machine_is_in_the_folder(saved: tuple[pk.Assistant, Path]) -> None:
    for path in saved[1].rglob("*"):
        if path.is_file():
            assert str(saved[1].parent) not in path.read_text(encoding="utf-8")
