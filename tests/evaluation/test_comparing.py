"""``compare`` on predictors, reports, saved reports and plain scores."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import promptkit as pk
from promptkit import DataError, SettingError
from promptkit.evaluation import load_reports
from promptkit.statistics import compare_pairs, holm

TASK = pk.load_task("tickets")
TEAMS = ["Harbor", "Anchor", "Quarry"]


def example(number: int, target: str) -> pk.Example:
    return pk.Example(pk.Query({"message": f"item {number} to {target}"}, f"t-{number}"), (target,))


ITEMS = [example(number, TEAMS[number % 3]) for number in range(60)]


def answering(share: int, *, fail_on: str = "never", context: int = 4096) -> pk.PlanPredictor:
    """A predictor that is right unless the number of an item is a multiple of ``share``."""

    def answer(request: pk.Request, index: int) -> str:
        words = (request.prompt.text or "").split("\nTeam:")[-2].split()
        if words[-3] == fail_on:
            raise pk.BackendError("the machine is on fire")
        return f" {'Wrong' if int(words[-3]) % share == 0 else words[-1]}\n\n"

    return pk.FewShot(TASK, shots=0).fit([], pk.ScriptedBackend(answer, context_window=context))


ARMS = {"good": answering(10), "poor": answering(2), "same": answering(10)}


def test_predictors_are_compared_on_the_same_queries() -> None:
    done: list[tuple[int, int]] = []
    found = pk.compare(ARMS, ITEMS, baseline="poor", progress=lambda *step: done.append(step))
    assert (found.metric, found.items, found.baseline) == (TASK.metric, 60, "poor")
    assert list(found.arms) == ["good", "poor", "same"]
    one = found["good"]
    assert (one.difference, one.gains, one.losses, one.verdict) == (pytest.approx(0.4), 24, 0, "better")
    assert (one.items_to_decide, one.test) == (0, "exact McNemar")
    assert one.p_adjusted == 2 * one.p_value
    assert found["poor", "good"].verdict == "worse"
    assert found.reports["good"].scores[TASK.metric] == found.arms["good"].scores
    assert found.arms["good"].cost == found.reports["good"].cost
    assert done[-1] == (180, 180)
    assert done == sorted(done)
    prompts = [[request.prompt for request in arm.backend.requests[:60]] for arm in ARMS.values()]  # type: ignore[attr-defined]
    assert prompts[0] == prompts[1] == prompts[2]


def test_no_item_is_scored_differently_because_of_its_neighbours() -> None:
    whole = pk.compare({"a": answering(7), "b": answering(3)}, ITEMS)
    part = pk.compare({"b": answering(3), "a": answering(7)}, ITEMS[20:40][::-1], baseline="a")
    for name in ("a", "b"):
        assert part.arms[name].scores == whole.arms[name].scores[20:40][::-1]


def test_all_pairs_are_corrected_together() -> None:
    found = pk.compare(ARMS, ITEMS, pairs="all")
    assert [(one.arm, one.baseline) for one in found.differences] == [
        ("poor", "good"),
        ("same", "good"),
        ("same", "poor"),
    ]
    assert tuple(one.p_adjusted for one in found.differences) == holm([one.p_value for one in found.differences])
    assert found["same", "poor"].difference == -found["poor", "same"].difference
    with pytest.raises(SettingError, match=r"arm must be one of 'poor', .*pairs='all'"):
        pk.compare(ARMS, ITEMS)["same", "poor"]
    with pytest.raises(SettingError, match="comparison: arm must be one of 'poor', 'same', got 'lora'"):
        pk.compare(ARMS, ITEMS)["lora"]


def test_plain_scores_say_the_same_as_the_statistics() -> None:
    generator = np.random.default_rng(1)
    a, b = generator.random(80).tolist(), generator.random(80).tolist()
    found = pk.compare({"a": a, "b": b}, margin=0.1, seed=3, confidence=0.9)
    paired = compare_pairs(a, b, margin=0.1, seed=3, confidence=0.9)
    for name in paired.__slots__:
        if name != "n":
            assert getattr(found["b"], name) == getattr(paired, name)
    assert found.metric == "score"
    assert found.arms["a"].cost is None
    assert found["b"].items_to_decide > 0


def test_the_face_of_the_issue() -> None:
    found = pk.compare({"a": [1.0, 0.0, 1.0, 0.0], "b": [1.0, 1.0, 1.0, 1.0]}, baseline="a")
    assert (found["b"].difference, found["b"].verdict) == (0.5, "undecided")
    assert found["b"].low < 0.5 < found["b"].high
    assert found["b"].items_to_decide > 4
    assert found.minimum_detectable > 0.5


def test_reports_saved_or_not_are_matched_by_id(tmp_path: Path) -> None:
    good, poor = (pk.evaluate(ARMS[name], ITEMS) for name in ("good", "poor"))
    turned = pk.evaluate(ARMS["poor"], ITEMS[::-1])
    (tmp_path / "poor.json").write_text(turned.to_json(), encoding="utf-8")
    expected = pk.compare({"good": good, "poor": poor})
    for other in (turned, json.loads(turned.to_json()), tmp_path / "poor.json", str(tmp_path / "poor.json")):
        found = pk.compare({"good": good, "poor": other})
        assert found.differences == expected.differences
        assert found.arms["poor"].scores == expected.arms["poor"].scores
    assert found.arms["poor"].cost == turned.cost
    mixed = pk.compare({"poor": tmp_path / "poor.json", "good": ARMS["good"]}, ITEMS, baseline="good")
    assert mixed.differences == expected.differences


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[1:], r"'a' and 'b' are not of the same items: only 'a' has 1 items such as 't-0'"),
        (lambda rows: [{**rows[0], "id": "t-99"}, *rows[1:]], r"only 'a' has 1 items such as 't-0'; only 'b' has 1 .*'t-99'"),
        (lambda rows: [{**rows[0], "targets": ["Anchor"]}, *rows[1:]], r"differ in the question or the targets of 1 items such as 't-0'"),
        (lambda rows: [{**rows[0], "fields": {"message": "?"}}, *rows[1:]], r"differ in the question or the targets of 1 items"),
        (lambda rows: [rows[1], *rows[1:]], r"report 'b' has several rows with the id 't-1'"),
        (lambda rows: [{**rows[0], "id": 7}, *rows[1:]], r"report 'b': id of row 1 must be a text, got 7"),
        (lambda rows: [], r"report 'b': rows must be a list of at least one row"),
        (lambda rows: ["x"] * 60, r"report 'b': rows must be a list of at least one row"),
    ],
)  # fmt: skip
def test_reports_of_other_items_are_refused(change: Any, message: str) -> None:
    report = pk.evaluate(ARMS["good"], ITEMS)
    data = json.loads(report.to_json())
    data["rows"] = change(data["rows"])
    data["scores"] = {name: values[: len(data["rows"])] for name, values in data["scores"].items()}
    with pytest.raises(DataError, match=message):
        pk.compare({"a": report, "b": data})


@pytest.mark.parametrize("scores", [[1.0], ["1"] * 60, [math.nan] * 60, None])
def test_reports_with_broken_scores_are_refused(scores: Any) -> None:
    report = pk.evaluate(ARMS["good"], ITEMS)
    data = {**json.loads(report.to_json()), "scores": {TASK.metric: scores}}
    with pytest.raises(DataError, match=f"report 'b': scores of '{TASK.metric}' must be 60 finite numbers"):
        pk.compare({"a": report, "b": data})


def test_failed_items_count_the_same_way_for_every_arm() -> None:
    arms = {"a": answering(10, fail_on="7"), "b": answering(4)}
    zero = pk.compare(arms, ITEMS)
    assert (zero.arms["a"].failed, zero.arms["b"].failed, zero.items, zero.excluded) == (1, 0, 60, 0)
    assert zero.arms["a"].scores[7] == 0.0 and zero.arms["b"].scores[7] == 1.0
    without = pk.compare(arms, ITEMS, failures="exclude")
    assert (without.arms["a"].failed, without.items, without.excluded) == (1, 59, 1)
    assert len(without.arms["a"].scores) == len(without.arms["b"].scores) == 59
    assert without["b"].gains == zero["b"].gains - 1
    lists = {"a": [1.0, None, 0.0, 1.0], "b": [1.0, 1.0, 1.0, 0.0]}
    assert pk.compare(lists).arms["a"].scores == (1.0, 0.0, 0.0, 1.0)
    assert pk.compare(lists, failures="exclude").arms["b"].scores == (1.0, 1.0, 0.0)
    with pytest.raises(DataError, match="items must be at least two on which no arm failed, got 1"):
        pk.compare({"a": [None, 1.0, 1.0], "b": [1.0, None, 1.0]}, failures="exclude")


def test_answers_that_cannot_be_read_are_wrong_and_counted() -> None:
    silent = pk.FewShot(TASK, shots=0).fit([], pk.ScriptedBackend(lambda request, index: "\n"))
    found = pk.compare({"a": answering(10), "b": silent}, ITEMS)
    # A team that is not one of the labels is no answer either.
    assert (found.arms["a"].unanswered, found.arms["b"].unanswered, found.arms["b"].failed) == (6, 60, 0)


def test_equal_arms_are_equivalent_only_if_enough_items_say_so() -> None:
    few = pk.compare({"a": [1.0, 0.0] * 20, "b": [1.0, 0.0] * 20}, margin=0.02)
    many = pk.compare({"a": [1.0, 0.0] * 400, "b": [1.0, 0.0] * 400}, margin=0.02)
    assert (few["b"].verdict, many["b"].verdict) == ("undecided", "equivalent")
    assert few["b"].items_to_decide == math.inf
    assert json.loads(few.to_json())["differences"][0]["items_to_decide"] is None


def test_the_seed_decides_and_the_same_seed_gives_the_same() -> None:
    generator = np.random.default_rng(2)
    arms = {"a": generator.random(60).tolist(), "b": generator.random(60).tolist()}
    assert pk.compare(arms, seed=1).to_json() == pk.compare(arms, seed=1).to_json()
    one, other = (pk.compare(arms, method="outer", seed=seed)["b"] for seed in (1, 2))
    assert one.low != other.low
    assert one.p_value != other.p_value


def test_ten_identical_arms_all_stay_undecided_and_a_planted_winner_does_not() -> None:
    generator = np.random.default_rng(5)
    arms = {f"arm {i}": (generator.random(300) < 0.6).astype(float).tolist() for i in range(11)}
    found = pk.compare(arms)
    assert {one.verdict for one in found.differences} == {"undecided"}
    arms["winner"] = (generator.random(300) < 0.85).astype(float).tolist()
    assert pk.compare(arms)["winner"].verdict == "better"


SCORES = [1.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("arms", "settings", "error", "message"),
    [
        ({"a": SCORES}, {}, SettingError, r"arms must be a mapping of at least two names to arms, got \['a'\]"),
        ([SCORES, SCORES], {}, SettingError, "arms must be a mapping of at least two names"),
        ({"a": SCORES, "b": SCORES}, {"baseline": "c"}, SettingError, "baseline must be one of 'a', 'b', got 'c'"),
        ({"a": SCORES, "b": SCORES}, {"pairs": "some"}, SettingError, "pairs must be one of 'baseline', 'all'"),
        ({"a": SCORES, "b": SCORES}, {"failures": "drop"}, SettingError, "failures must be one of 'zero', 'exclude'"),
        ({"a": SCORES, "b": SCORES}, {"margin": -1}, SettingError, "margin must be a number of at least 0"),
        ({"a": SCORES, "b": SCORES}, {"confidence": 95}, SettingError, "confidence must be between 0 and 1"),
        ({"a": SCORES, "b": SCORES}, {"examples": ITEMS}, SettingError, "examples must be .* left out otherwise"),
        ({"a": SCORES, "b": SCORES[:2]}, {}, DataError, "got 3 in 'a' and 2 in 'b'"),
        ({"a": SCORES, "b": ["x"] * 3}, {}, DataError, "arm 'b' must be a predictor, a report, a saved report, or a list"),
        ({"a": SCORES, "b": 5}, {}, DataError, "arm 'b' must be a predictor"),
        ({"a": SCORES, "b": [1.0, 2.0, math.inf]}, {}, DataError, "arm 'b' must be .*, got inf"),
        ({"a": [1.0], "b": [1.0]}, {}, DataError, "items must be at least two, got 1"),
        ({"a": SCORES, "b": ARMS["good"]}, {"examples": ITEMS}, DataError, "lists of scores for every arm or for none"),
        ({"a": ARMS["poor"], "b": ARMS["good"]}, {}, SettingError, "examples must be the examples to score"),
        ({"a": "nowhere.json", "b": "nowhere.json"}, {}, DataError, "nowhere.json: cannot be read"),
    ],
)  # fmt: skip
def test_bad_input_is_named(arms: Any, settings: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        pk.compare(arms, **settings)


def test_a_wrong_metric_is_found_before_a_model_is_called() -> None:
    backend = pk.ScriptedBackend(lambda request, index: "x")
    spent = pk.FewShot(TASK, shots=0).fit([], backend)
    report = pk.evaluate(ARMS["good"], ITEMS, ["exact_match"])
    with pytest.raises(SettingError, match="report 'b': metric must be one of 'exact_match', got 'rougeL'"):
        pk.compare({"a": spent, "b": report}, ITEMS, metric="rougeL")
    assert backend.requests == []


def test_saved_reports_are_read_as_eval_prints_them(tmp_path: Path) -> None:
    report = json.loads(pk.evaluate(ARMS["good"], ITEMS).to_json())
    file = tmp_path / "some.json"

    def names(*records: dict[str, Any]) -> list[str]:
        file.write_text(json.dumps([{**report, **record} for record in records]), encoding="utf-8")
        return list(load_reports(file))

    assert names({}) == ["some"]
    assert names({"strategy": "4 shots"}) == ["4 shots"]
    assert names({"strategy": "4 shots"}, {"strategy": "8 shots"}) == ["4 shots", "8 shots"]
    assert names({"strategy": "x", "task": "a"}, {"strategy": "x", "task": "b"}) == ["a: x", "b: x"]
    assert names({"strategy": "x"}, {"strategy": "x"}, {}) == ["x", "x (2)", "report 3"]
    with pytest.raises(DataError, match="arm 'a' must be a file of one report, got .*load_reports"):
        pk.compare({"a": file, "b": file})
    for text, message in (("{", "is not valid JSON"), ("[]", "a report, or a list"), ("[1]", "a report"), ('{"a": 1}', "a report"), ("[" * 100_000, "is not valid JSON")):  # fmt: skip
        file.write_text(text, encoding="utf-8")
        with pytest.raises(DataError, match=message):
            load_reports(file)
