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
    trial = record.trials[1]
    assert trial.test is not None
    for change in (
        {"verdict": "kept"},
        {"reason": "because"},
        {"test": trial.test.model_copy(update={"p_value": 0.5})},
        {"results": (trial.results[0].model_copy(update={"answer": "other"}), *trial.results[1:])},
    ):
        other = record.model_copy(
            update={"trials": (record.trials[0], trial.model_copy(update=change), *record.trials[2:])}
        )
        found = record.differences(other)
        assert len(found) == 1 and found[0].startswith("trials.1."), found


def test_every_unsteady_name_is_a_name_of_the_schema(record: Record) -> None:
    def names(value: object) -> set[str]:
        if isinstance(value, dict):
            return set(value) | {name for item in value.values() for name in names(item)}
        return {name for item in value for name in names(item)} if isinstance(value, list) else set()

    known = names(json.loads(record.to_json())) | names(Record.model_json_schema())
    # Written by training, into settings and logs of rungs that learn weights.
    assert known | {"max_minutes", "tokens_per_second"} >= UNSTEADY


def test_texts_of_any_script_and_half_surrogates_can_be_written(record: Record, tmp_path: Path) -> None:
    outcome = record.trials[0].results[0].model_copy(update={"text": "蘋果 👩‍🌾 نص \u2028 \ud83d"})
    trial = record.trials[0].model_copy(update={"results": (outcome,)})
    odd = record.model_copy(update={"trials": (trial, *record.trials[1:])})
    odd.save(tmp_path / "record.json")
    assert pk.load_record(tmp_path).trials[0].results[0].text == "蘋果 👩‍🌾 نص \u2028 \ud83d"


def test_a_record_that_cannot_be_written_leaves_the_old_one(record: Record, tmp_path: Path) -> None:
    with pytest.raises(pk.ArtifactError, match="record.json could not be written"):
        record.save(tmp_path / "missing" / "record.json")


def test_rungs_are_found_by_name(record: Record) -> None:
    assert record["r1"] is record.trials[1]
    assert record.winner is record["r2"]
    with pytest.raises(KeyError):
        record["r9"]


def test_it_says_where_it_was_made_without_naming_the_machine(record: Record) -> None:
    import platform

    text = record.to_json()
    assert record.versions["python"] == platform.python_version()
    assert platform.node() not in text and str(Path.home()) not in text


def reseal(values: dict[str, object]) -> str:
    """The file of somebody who knows how the hash is made."""
    from promptkit.ladder.record import _content_hash

    values.pop("sha256", None)
    return json.dumps(values | {"sha256": _content_hash(values)})


def test_a_flipped_byte_is_refused_or_changes_nothing(record: Record, tmp_path: Path) -> None:
    data = record.to_json().encode()
    path = tmp_path / "record.json"
    refused = 0
    places = [round(at * (len(data) - 1) / 399) for at in range(400)]
    for number, place in enumerate(places):
        path.write_bytes(data[:place] + bytes([data[place] ^ (1 << number % 7)]) + data[place + 1 :])
        try:
            assert pk.load_record(path) == record
        except pk.ArtifactError as error:
            refused += 1
            assert "\n" not in str(error) and "record.json" in str(error)
    assert refused > 250


def test_without_its_hash_a_change_would_load(record: Record, tmp_path: Path) -> None:
    """The bad twin: the same change with a hash made anew loads, so it is the hash that refuses it."""
    values = json.loads(record.to_json())
    values["trials"][0]["score"]["mean"] = 0.99
    (tmp_path / "record.json").write_text(json.dumps(values))
    with pytest.raises(pk.ArtifactError, match="record.json: the record must be as it was written: its sha256 is"):
        pk.load_record(tmp_path)
    (tmp_path / "record.json").write_text(reseal(values))
    found = pk.load_record(tmp_path).trials[0].score
    assert found is not None and found.mean == 0.99
    values.pop("sha256", None)
    (tmp_path / "record.json").write_text(json.dumps(values))
    with pytest.raises(pk.ArtifactError, match="record.json: sha256 must be there, got None; take the file"):
        pk.load_record(tmp_path)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_not_finite_are_refused(record: Record, number: str, tmp_path: Path) -> None:
    text = record.to_json()
    mean = json.loads(text)["trials"][0]["score"]["mean"]
    (tmp_path / "record.json").write_text(text.replace(f'"mean": {mean!r}', f'"mean": {number}', 1))
    with pytest.raises(pk.ArtifactError, match="record.json"):
        pk.load_record(tmp_path)


def test_numbers_that_are_not_finite_are_never_written(record: Record, tmp_path: Path) -> None:
    bad = record.model_copy(update={"seconds": float("nan")})
    with pytest.raises(pk.ArtifactError, match="the record must hold finite numbers only"):
        bad.save(tmp_path / "record.json")
    assert not list(tmp_path.iterdir())


def test_what_a_fit_found_out_may_hold_any_number(tmp_path: Path) -> None:
    from simulation import rung

    class Odd:
        def fit(self, examples, backend, *, dev=None, seed=0):  # type: ignore[no-untyped-def]
            import dataclasses

            found = rung(0.9)[1].fit(examples, backend, dev=dev, seed=seed)
            return dataclasses.replace(found, notes={"loss": [float("inf")], "worst": float("nan")})

    climb(rungs=[rung(0.3), ("odd", Odd())], folder=tmp_path / "run")
    fit = pk.load_record(tmp_path / "run")["odd"].fit
    assert fit is not None and fit.notes == {"loss": ["inf"], "worst": "nan"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda v: v["trials"][0]["results"][0].update(item="dev/999999"),
            "items that the record holds; 'r0' names",
        ),
        (lambda v: v["trials"][0]["prompts"][0].update(item="../x"), "of items that the record holds"),
        (lambda v: v["test"]["results"][0].update(item="dev/0"), "of test items that the record holds"),
        (lambda v: v["decision"].update(winner="nobody"), "of a winner that was judged; the decision names 'nobody'"),
    ],
)
def test_what_is_named_must_be_there(record: Record, change, message: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    values = json.loads(record.to_json())
    change(values)
    (tmp_path / "record.json").write_text(reseal(values))
    with pytest.raises(pk.ArtifactError, match=f"record.json: the record must be .*{message}") as found:
        pk.load_record(tmp_path)
    assert len(str(found.value)) < 300


def test_the_stage_of_a_record_is_not_written_through_a_link(record: Record, tmp_path: Path) -> None:
    import os

    (tmp_path / "outside").write_text("precious")
    (tmp_path / f".record.json.{os.getpid()}").symlink_to(tmp_path / "outside")
    record.save(tmp_path / "record.json")
    assert (tmp_path / "outside").read_text() == "precious" and pk.load_record(tmp_path) == record


@pytest.mark.timeout(20)
def test_a_pipe_is_no_record(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "record.json")
    with pytest.raises(pk.ArtifactError, match="record.json: the record must be a regular file"):
        pk.load_record(tmp_path)
