"""Dependent items in ``compare`` and ``evaluate``: grouped, or told of."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import promptkit as pk
from promptkit import DataError, SettingError
from promptkit.statistics import compare_pairs, decide, mcnemar, mean_interval

TASK = pk.load_task("tickets")
TEAMS = ["Harbor", "Anchor", "Quarry"]


def example(number: int, name: str = "", group: str = "") -> pk.Example:
    target = TEAMS[number % 3]
    return pk.Example(
        pk.Query({"message": f"item {number} to {target}"}, name or f"t-{number}"), (target,), None, group
    )


ITEMS = [example(number) for number in range(60)]


def answering(share: int) -> pk.PlanPredictor:
    """A predictor that is right unless the number of an item is a multiple of ``share``."""

    def answer(request: pk.Request, index: int) -> str:
        words = (request.prompt.text or "").split("\nTeam:")[-2].split()
        return f" {'Wrong' if int(words[-3]) % share == 0 else words[-1]}\n\n"

    return pk.FewShot(TASK, shots=0).fit([], pk.ScriptedBackend(answer))


ARMS = {"base": answering(6), "new": answering(15)}


def test_items_listed_three_times_are_one_observation_each() -> None:
    once, thrice = pk.compare(ARMS, ITEMS), pk.compare(ARMS, ITEMS * 3)
    assert once["new"].p_value == mcnemar(8, 2)
    assert thrice["new"].p_value == pytest.approx(once["new"].p_value, abs=1e-12)
    assert (thrice.items, thrice.groups, once.groups) == (180, 60, 0)
    assert "60 ids stand on several rows, such as 't-0', 't-1', 't-2'" in thrice.notes[0]
    assert "note: 60 ids stand on several rows" in thrice.table
    assert thrice.table.startswith("exact_match on 180 items in 60 groups, paired")
    # The twin: the same rows under ids of their own look like three times the evidence.
    blind = pk.compare(ARMS, [example(n % 60, f"x-{n}") for n in range(180)])
    assert blind["new"].p_value < 0.01 < 0.1 < once["new"].p_value
    assert "180 of 180 items have the same input as another" in blind.notes[0]
    assert "group=" in blind.notes[0]


def test_saved_reports_with_repeated_ids_are_grouped_too(tmp_path: Path) -> None:
    for name, arm in ARMS.items():
        report = pk.evaluate(arm, ITEMS)
        data = {**report.to_dict(), "rows": [*report.rows] * 3}
        data["scores"] = {metric: [*scores] * 3 for metric, scores in report.scores.items()}
        (tmp_path / name).write_text(json.dumps(data))
    found = pk.compare({name: tmp_path / name for name in ARMS})
    assert found.groups == 60
    assert found["new"].p_value == pytest.approx(mcnemar(8, 2), abs=1e-12)


def test_groups_of_examples_reach_reports_and_comparisons(tmp_path: Path) -> None:
    items = [replace(one, group=f"document {place // 6}") for place, one in enumerate(ITEMS)]
    report = pk.evaluate(ARMS["base"], items)
    labels = [one.group for one in items]
    assert (report.groups, report.notes, report.rows[0]["group"]) == (10, (), "document 0")
    assert report["exact_match"] == mean_interval(report.scores["exact_match"], groups=labels)
    assert str(report).startswith("tickets: 60 examples in 10 groups, ")
    found = pk.compare(ARMS, items)
    assert found.groups == 10
    assert found["new"].test == "sign flips by group"
    assert found.arms["base"].score.low == report["exact_match"].low
    for name, arm in ARMS.items():
        (tmp_path / name).write_text(pk.evaluate(arm, items).to_json())
    again = pk.compare({name: tmp_path / name for name in ARMS})
    assert again["new"].p_value == found["new"].p_value
    json.loads(found.to_json())


def test_a_group_can_be_a_field_a_mapping_or_a_list() -> None:
    labels = [place // 6 for place in range(60)]
    by_id = {one.id: f"d{label}" for one, label in zip(ITEMS, labels, strict=True)}
    expected = pk.compare(ARMS, ITEMS, group=labels)
    assert expected.groups == 10
    assert pk.compare(ARMS, ITEMS, group=by_id)["new"] == expected["new"]
    assert pk.evaluate(ARMS["base"], ITEMS, group=by_id).groups == 10
    scores = {name: found.scores for name, found in expected.arms.items()}
    assert pk.compare(scores, group=labels)["new"].p_value == expected["new"].p_value
    assert pk.compare(ARMS, [*ITEMS, *ITEMS[:6]], group="message").groups == 60


def test_a_group_of_nothing_is_refused() -> None:
    with pytest.raises(SettingError, match="evaluate: group must be one of 'id', 'message', got 'document'"):
        pk.evaluate(ARMS["base"], ITEMS, group="document")
    with pytest.raises(SettingError, match="compare: group must be one label per item, where items have no fields"):
        pk.compare({"a": [0.0, 1.0], "b": [1.0, 1.0]}, group="document")
    with pytest.raises(SettingError, match="compare: group must be 2 labels, one per item, got 3"):
        pk.compare({"a": [0.0, 1.0], "b": [1.0, 1.0]}, group=[1, 1, 2])


def test_reports_that_were_grouped_in_different_ways_are_refused() -> None:
    one = pk.evaluate(ARMS["base"], ITEMS, group=[place // 6 for place in range(60)])
    other = pk.evaluate(ARMS["new"], ITEMS, group=[place // 5 for place in range(60)])
    with pytest.raises(DataError, match="reports 'a' and 'b' were grouped in different ways; say by group="):
        pk.compare({"a": one, "b": other})
    assert pk.compare({"a": one, "b": other}, group="id").groups == 60
    assert pk.compare({"a": one, "b": pk.evaluate(ARMS["new"], ITEMS)}).groups == 10


def test_a_failed_item_is_left_out_of_its_group() -> None:
    scores = {"a": [0.0, 1.0, None, 0.0, 1.0, 1.0], "b": [1.0, 1.0, 1.0, 0.0, 1.0, 0.0]}
    found = pk.compare(scores, group=[1, 1, 2, 3, 3, 3], failures="exclude")
    assert (found.items, found.groups, found.excluded) == (5, 2, 1)


def clustered(generator: np.random.Generator, seeds: int, items: int) -> tuple[list[float], list[float], list[int]]:
    """Two equally good arms: an item is answered alike by all seeds of an arm, nearly always."""
    arms = []
    for _ in range(2):
        known = np.repeat(generator.random(items) < 0.6, seeds)
        noise = generator.random(items * seeds) < 0.05
        arms.append(np.where(noise, ~known, known).astype(float).tolist())
    return arms[0], arms[1], np.repeat(np.arange(items), seeds).tolist()


def false_wins(runs: int, seeds: int, items: int, *, grouped: bool, seed: int = 0) -> float:
    generator = np.random.default_rng(seed)
    wins = 0
    for run in range(runs):
        a, b, labels = clustered(generator, seeds, items)
        found = compare_pairs(a, b, groups=labels if grouped else None, resamples=500, seed=run)
        wins += decide([found])[0][1] != "undecided"
    return wins / runs


def test_five_seeds_of_an_item_are_no_five_items_and_the_twin_without_groups() -> None:
    assert false_wins(250, 5, 40, grouped=True) <= 0.08
    assert false_wins(250, 5, 40, grouped=False) >= 0.2


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("seeds", "items"), [(5, 100), (10, 20), (3, 12)])
def test_false_wins_by_group_in_long_simulation(seeds: int, items: int) -> None:
    share = false_wins(2000, seeds, items, grouped=True)
    print(f"{seeds} seeds of {items} items: {share:.4f}")
    assert share <= 0.06
