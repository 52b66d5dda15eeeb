"""Answers side by side."""

from __future__ import annotations

import sys
from pathlib import Path

from promptkit.html.arms import judged_arms
from promptkit.html.items import side_by_side

sys.path.insert(0, str(Path(__file__).parent))

from sample import sample


def test_every_item_has_a_row_and_differences_come_first() -> None:
    record = sample()
    found = side_by_side(record, judged_arms(record))
    assert (found.total, len(found.rows), found.binary) == (200, 200, True)
    assert {row.key for row in found.rows} == set(record.items)
    differing = [row.differs for row in found.rows]
    assert differing == sorted(differing, reverse=True) and sum(differing) == found.differing > 50
    for row in found.rows:
        scores = [next(one.score for one in arm.trial.results if one.item == row.key) for arm in judged_arms(record)]
        assert [float(one) for one in row.scores.split()] == scores


def test_items_that_a_rung_did_not_see_are_marked() -> None:
    record = sample(items=40)
    trial = record.trials[1]
    short = trial.model_copy(update={"results": trial.results[:15]})
    record = record.model_copy(update={"trials": (record.trials[0], short, *record.trials[2:])})
    found = side_by_side(record, judged_arms(record))
    assert sum("-" in row.scores.split() for row in found.rows) == 25


def test_long_records_are_cut_after_the_differences() -> None:
    record = sample(items=120)
    whole, cut = (side_by_side(record, judged_arms(record), limit=limit) for limit in (500, 10))
    assert cut.rows == whole.rows[:10] and cut.total == 120 and cut.differing == whole.differing
