from __future__ import annotations

import json
from pathlib import Path

import pytest

import promptkit as pk
from promptkit import ArtifactError, FewShot, ScriptedBackend, load_task
from promptkit.types import Example, Query

TASK = load_task("tickets")
POOL = [Example(Query({"message": f"message {i} {{{{ 7*7 }}}} Ω"}, f"t{i}"), (TASK.labels[i % 6],)) for i in range(12)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    FewShot(TASK, shots=3).fit(POOL, ScriptedBackend([" Harbor\n\n"])).save(tmp_path / "mine")
    return tmp_path / "mine"


def test_a_loaded_predictor_sends_the_same_prompts(folder: Path) -> None:
    backend = ScriptedBackend([" Harbor\n\n"])
    fresh = FewShot(TASK, shots=3).fit(POOL, backend)
    again = pk.load(folder, backend)
    query = Query({"message": "hello"})
    assert again.ask(query).prompt == fresh.ask(query).prompt
    assert again.plan == fresh.plan
    assert again.task == fresh.task


def test_it_loads_without_the_domain_folder_and_without_machine_paths(folder: Path, tmp_path: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            assert str(tmp_path) not in path.read_text(encoding="utf-8")


def test_another_model_is_refused_unless_asked_for(folder: Path) -> None:
    other = ScriptedBackend([" Harbor\n\n"], name="other")
    if other.fingerprint() == ScriptedBackend([" Harbor\n\n"]).fingerprint():
        pytest.fail("two different backends have one fingerprint")
    with pytest.raises(ArtifactError, match=r"model must be 'scripted'.*same_model=False"):
        pk.load(folder, other)
    assert pk.load(folder, other, same_model=False).plan.shots == 3


def test_a_changed_byte_is_refused_by_name(folder: Path) -> None:
    demos = next(folder.rglob("demos.jsonl"))
    demos.write_text(demos.read_text(encoding="utf-8").replace("message", "massage"), encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"demos\.jsonl"):
        pk.load(folder, ScriptedBackend([" Harbor\n\n"]))


def test_settings_that_redirect_the_model_are_no_part_of_the_format(folder: Path, tmp_path: Path) -> None:
    from promptkit.artifact import load_folder, save_folder

    saved = load_folder(folder, kind="predictor")
    plan = json.loads(saved.files["plan.json"]) | {"base_url": "http://127.0.0.1:9", "api_key": "x"}
    save_folder(tmp_path / "evil", {**saved.files, "plan.json": json.dumps(plan)}, kind="predictor", meta=saved.meta)
    with pytest.raises(ArtifactError, match=r"plan\.json cannot be used"):
        pk.load(tmp_path / "evil", ScriptedBackend([" Harbor\n\n"]))


def test_a_missing_file_is_named(folder: Path, tmp_path: Path) -> None:
    from promptkit.artifact import load_folder, save_folder

    saved = load_folder(folder, kind="predictor")
    rest = {name: text for name, text in saved.files.items() if name != "plan.json"}
    save_folder(tmp_path / "half", rest, kind="predictor", meta=saved.meta)
    with pytest.raises(ArtifactError, match=r"plan\.json"):
        pk.load(tmp_path / "half", ScriptedBackend([" Harbor\n\n"]))
