"""The decision record: whole through JSON, strict about what it reads, and comparable."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from simulation import climb

import promptkit as pk
from promptkit.ladder.record import FORMAT, UNSTEADY, Record


@pytest.fixture(scope="module")
def record() -> Record:
    return climb(0.3, 0.35, 0.9).record


def test_a_record_survives_the_file(record: Record, tmp_path: Path) -> None:
    record.save(tmp_path / "record.json")
    assert pk.load_record(tmp_path / "record.json") == record
    assert pk.load_record(tmp_path) == record
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]


def test_a_newer_record_is_refused_with_what_it_needs(record: Record, tmp_path: Path) -> None:
    values = json.loads(record.to_json()) | {"format": FORMAT + 1, "needs": "9.1.0", "novelty": 1}
    (tmp_path / "record.json").write_text(json.dumps(values))
    with pytest.raises(pk.ArtifactError, match="record.json was written by a newer promptkit and needs >= 9.1.0"):
        pk.load_record(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "record.json is no decision record"),
        ("[" * 100_000, "record.json is no decision record"),
        ("[]", r"record.json: the record must be a JSON object, got \[\]"),
        ('{"format": 1}', "record.json: promptkit must be there"),
    ],
)
def test_what_is_no_record_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text(text)
    with pytest.raises(pk.ArtifactError, match=message):
        pk.load_record(tmp_path)


def test_unknown_fields_and_wrong_values_are_refused(record: Record, tmp_path: Path) -> None:
    values = json.loads(record.to_json())
    for change in ({"extra": 1}, {"status": "done"}, {"resumed": -1}):
        (tmp_path / "record.json").write_text(json.dumps(values | change))
        with pytest.raises(pk.ArtifactError, match=f"record.json: {next(iter(change))}"):
            pk.load_record(tmp_path)


def test_a_folder_without_a_record_is_named(tmp_path: Path) -> None:
    with pytest.raises(pk.ArtifactError, match="a decision record must be there, got nothing"):
        pk.load_record(tmp_path)


def test_times_do_not_count_and_everything_else_does(record: Record) -> None:
    later = record.model_copy(update={"seconds": record.seconds + 5, "started": "2030-01-01", "resumed": 3})
    assert record.same_decisions(later)
    attempt = record.attempts[1]
    assert attempt.test is not None
    for change in (
        {"verdict": "kept"},
        {"reason": "because"},
        {"test": attempt.test.model_copy(update={"p_value": 0.5})},
        {"outcomes": (attempt.outcomes[0].model_copy(update={"answer": "other"}), *attempt.outcomes[1:])},
    ):
        other = record.model_copy(
            update={"attempts": (record.attempts[0], attempt.model_copy(update=change), *record.attempts[2:])}
        )
        found = record.differences(other)
        assert len(found) == 1 and found[0].startswith("attempts.1."), found


def test_every_unsteady_name_is_a_name_of_the_schema(record: Record) -> None:
    def names(value: object) -> set[str]:
        if isinstance(value, dict):
            return set(value) | {name for item in value.values() for name in names(item)}
        return {name for item in value for name in names(item)} if isinstance(value, list) else set()

    known = names(json.loads(record.to_json())) | names(Record.model_json_schema())
    # Written by training, into settings and logs of rungs that learn weights.
    assert known | {"max_minutes", "tokens_per_second"} >= UNSTEADY


def test_texts_of_any_script_and_half_surrogates_can_be_written(record: Record, tmp_path: Path) -> None:
    outcome = record.attempts[0].outcomes[0].model_copy(update={"text": "蘋果 👩‍🌾 نص \u2028 \ud83d"})
    attempt = record.attempts[0].model_copy(update={"outcomes": (outcome,)})
    odd = record.model_copy(update={"attempts": (attempt,)})
    odd.save(tmp_path / "record.json")
    assert pk.load_record(tmp_path).attempts[0].outcomes[0].text == "蘋果 👩‍🌾 نص \u2028 \ud83d"


def test_a_record_that_cannot_be_written_leaves_the_old_one(record: Record, tmp_path: Path) -> None:
    with pytest.raises(pk.ArtifactError, match="record.json could not be written"):
        record.save(tmp_path / "missing" / "record.json")


def test_rungs_are_found_by_name(record: Record) -> None:
    assert record["r1"] is record.attempts[1]
    assert record.winner is record["r2"]
    with pytest.raises(KeyError):
        record["r9"]


def test_it_says_where_it_was_made_without_naming_the_machine(record: Record) -> None:
    import platform

    text = record.to_json()
    assert record.versions["python"] == platform.python_version()
    assert platform.node() not in text and str(Path.home()) not in text
