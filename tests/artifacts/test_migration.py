"""Folders that an older version saved are loaded by today's code, and answer as they did."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import promptkit as pk
from promptkit.artifacts import load_folder, save_folder
from promptkit.artifacts.manifest import write_manifest
from promptkit.artifacts.migration import FORMAT, migrate

GOLDEN = Path(__file__).parent / "golden"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text(encoding="utf-8"))
"""What the saving version answered, greedily or with seed 0, with the reference model."""


@pytest.fixture(scope="module")
def backend() -> pk.LocalBackend:
    return pk.LocalBackend("reference")


def manifest(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())
    return found


@pytest.mark.parametrize("name", ["soft-prompt-1", "vote-1"])
def test_a_predictor_of_an_older_format_answers_as_it_did(name: str, backend: pk.LocalBackend, tmp_path: Path) -> None:
    assert manifest(GOLDEN / name)["format"] < FORMAT
    cases = EXPECTED[name]
    queries = [pk.Query(case["fields"]) for case in cases]
    old = pk.load(GOLDEN / name, backend)
    old.save(tmp_path / "new")
    assert manifest(tmp_path / "new")["format"] == FORMAT
    for predictor in (old, pk.load(tmp_path / "new", backend)):
        found = predictor.predict(queries, seed=0)
        assert [one.answer for one in found] == [case["answer"] for case in cases]
        assert [[sample.text for sample in one.completions] for one in found] == [case["completions"] for case in cases]


def test_an_assistant_of_an_older_format_answers_as_it_did(backend: pk.LocalBackend) -> None:
    assistant = pk.Assistant.load(GOLDEN / "assistant-1", backend)
    assert (assistant.name, assistant.tone, assistant.glossary) == ("desk", "Be brief.", {"box": "a carton"})
    cases = EXPECTED["assistant-1"]
    assert [assistant.ask(case["fields"]).text for case in cases] == [case["answer"] for case in cases]


def test_notes_of_an_older_format_have_the_words_of_this_one(backend: pk.LocalBackend) -> None:
    notes = pk.load(GOLDEN / "soft-prompt-1", backend).notes
    assert notes["examples"]["distillation"]["asked"] == 4
    assert notes["start"]["init"] == "prompt"
    assert list(notes["examples"]) == ["labelled", "distillation", "trained_on", "dev"]


def test_loading_leaves_the_old_folder_as_it_is(backend: pk.LocalBackend, tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / "vote-1", tmp_path / "old")
    before = {path: path.read_bytes() for path in (tmp_path / "old").rglob("*") if path.is_file()}
    pk.load(tmp_path / "old", backend)
    assert {path: path.read_bytes() for path in (tmp_path / "old").rglob("*") if path.is_file()} == before


def test_an_older_folder_that_was_changed_is_refused_before_it_is_migrated(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / "vote-1", tmp_path / "old")
    task = next((tmp_path / "old").rglob("task.json"))
    task.write_bytes(task.read_bytes().replace(b"readers", b"parsers"))
    with pytest.raises(pk.ArtifactError, match=r"task\.json was changed after it was saved"):
        load_folder(tmp_path / "old", kind="predictor")


def old_format(folder: Path) -> Path:
    """Gives a folder's manifest the format 1 and a hash that fits."""
    values = {key: value for key, value in manifest(folder).items() if key != "sha256"} | {"format": 1}
    (folder / "manifest.json").write_bytes(write_manifest(values))
    return folder


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"a": 1, "readers": {"x": 1.5}, "z": "é"}', '{"a": 1, "parsers": {"x": 1.5}, "z": "é"}'),
        ('{"readers": 1, "parsers": 2}', '{"readers": 1, "parsers": 2}'),
        ("[1]", "[1]"),
    ],
)
def test_a_key_is_renamed_in_its_place(tmp_path: Path, content: str, expected: str) -> None:
    save_folder(tmp_path / "art", {"task.json": content}, kind="predictor", meta={})
    assert load_folder(tmp_path / "art", kind="predictor").files["task.json"] == content.encode()  # of this format
    old = load_folder(old_format(tmp_path / "art"), kind="predictor")
    assert old.files["task.json"].decode() == expected


def test_other_kinds_and_other_files_stay_as_they_are() -> None:
    files = {"task.json": b'{"readers": 1}', "notes.json": b'{"examples": []}', "other.json": b'{"readers": 1}'}
    assert migrate(files, kind="checkpoint", version=1) == files
    found = migrate(files, kind="predictor", version=1)
    assert found["other.json"] == files["other.json"]
    assert json.loads(found["notes.json"]) == {"examples": []}
    assert migrate(files, kind="predictor", version=FORMAT) == files


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (None, None),
        ({"rule": "distinct", "stop": "beta"}, {"rule": "distinct", "stop": "beta"}),
        ({"stop": {"threshold": 0.9}}, {"stop": {"threshold": 0.9, "kind": "beta"}}),
        ({"stop": {"size": 3}}, {"stop": {"size": 3, "kind": "window"}}),
    ],
)
def test_the_vote_of_a_plan_is_its_aggregate_and_a_stop_rule_says_its_kind(old: Any, new: Any) -> None:
    plan = json.dumps({"kind": "chain_of_thought", "vote": old, "seed": 1}).encode()
    found = migrate({"plan.json": plan}, kind="predictor", version=1)
    assert json.loads(found["plan.json"]) == {"kind": "chain_of_thought", "aggregate": new, "seed": 1}
    pk.Plan.model_validate_json(found["plan.json"], strict=True)
