"""``new_task`` makes a task that works as it stands, or nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

import promptkit as pk


def test_a_new_domain_loads_and_has_clean_data(tmp_path: Path) -> None:
    folder = pk.new_task("capitals", tmp_path)
    assert folder == tmp_path / "capitals"
    task, data = pk.load_task(folder), pk.load_examples(folder, on_leakage="raise")
    assert (task.name, task.fields, task.metric) == ("capitals", ("question",), "exact_match")
    assert [len(split) for split in data] == [12, 4, 5]
    assert pk.lint(task, data.train) == []
    assert [path.name for path in tmp_path.iterdir()] == ["capitals"]


def test_a_new_domain_runs_from_data_to_score(tmp_path: Path) -> None:
    folder = pk.new_task("capitals", tmp_path)
    data = pk.load_examples(folder)
    answers = {f"{example.query.fields['question']}\nAnswer:": f" {example.target}" for example in data.test}
    # The question stands last in the prompt, so the answer to the last one is looked up.
    backend = pk.ScriptedBackend(
        lambda request, _: answers["".join((request.prompt.text or "").rpartition("What ")[1:])]
    )
    adapter = pk.FewShot(pk.load_task(folder), shots=2)
    assert pk.evaluate(adapter.fit(data.train, backend, dev=data.dev), data.test)["exact_match"].mean == 1.0


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "CON", "x" * 65, "tab\t", "ends."])
def test_a_name_that_is_no_name_of_a_domain_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(pk.TaskError, match="name must be 1 to 64 letters"):
        pk.new_task(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_exists_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(pk.TaskError, match="new task: name must be a name that is not taken, got .*mine"):
        pk.new_task("mine", tmp_path)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(pk.TaskError, match="not taken"):
        pk.new_task("link", tmp_path)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(pk.TaskError, match="missing: the folder of the task cannot be made: No such file"):
        pk.new_task("capitals", tmp_path / "missing")


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", fail)
    with pytest.raises(pk.TaskError, match="capitals: the folder of the task cannot be written: No space left"):
        pk.new_task("capitals", tmp_path)
    assert list(tmp_path.iterdir()) == []
