"""The text of a record: the answer first, then everything that one needs to believe it."""

from __future__ import annotations

import re

import pytest

import promptkit as pk
from promptkit.ladder.table import table
from tests.support.simulation import climb, make_data


@pytest.fixture(scope="module")
def record() -> pk.Record:
    return climb(0.3, 0.35, 0.9, target={"exact_match": 0.8}, data=make_data(dev=120, test=60)).record


def test_the_answer_comes_first_and_every_rung_has_a_line(record: pk.Record) -> None:
    lines = table(record).splitlines()
    assert lines[0] == record.answer and lines[0].startswith("r2 is enough: exact_match")
    rows = [line for line in lines if re.match(r"^[> ]  r\d", line)]
    assert [row.split()[0 if row[0] != ">" else 1] for row in rows] == ["r0", "r1", "r2"]
    assert [row[0] for row in rows] == [" ", " ", ">"]


def test_tests_costs_and_reasons_are_told(record: pk.Record) -> None:
    text = table(record)
    test = record["r2"].test
    assert test is not None
    assert f"{test.difference:+.3f}  [{test.low:+.3f}, {test.high:+.3f}]" in text
    assert f"/ {test.alpha:.4f}" in text
    for trial in record.trials:
        assert f"  {trial.rung}: {trial.verdict}; {trial.reason}" in text
    assert "leakage, exact/normalised/near: dev in train 0/0/0, test in train 0/0/0, test in dev 0/0/0" in text
    assert "test labels scored 1 time; test was read for: fingerprint; score of the winner" in text
    assert "all decisions together hold with 95 % confidence" in text


def test_columns_stand_under_each_other_also_with_wide_letters(record: pk.Record) -> None:
    trial = record.trials[0].model_copy(update={"rung": "少樣本"})
    lines = table(record.model_copy(update={"trials": (trial, *record.trials[1:])})).splitlines()
    rows = [line for line in lines if re.match(r"^[> ]  (r\d|少)", line)]
    # Three wide letters take three columns more than they have characters.
    assert rows[0].index("[") + 3 == rows[1].index("[") == rows[2].index("[")


def test_a_running_record_can_be_shown(record: pk.Record) -> None:
    running = record.model_copy(update={"status": "running", "decision": None, "test": None, "answer": "still running"})
    assert table(running).startswith("still running")
    assert "not scored on test" not in table(running)
