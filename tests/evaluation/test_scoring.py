from __future__ import annotations

import json

import pytest

import promptkit as pk
from promptkit import DataError, FewShot, MetricError, ScriptedBackend, SettingError, load_task
from promptkit.adapters import PlanPredictor
from promptkit.types import Example, Query, Request

TASK = load_task("tickets")


def example(text: str, target: str) -> Example:
    return Example(Query({"message": text}, text), (target,))


def predictor(context_window: int = 4096) -> PlanPredictor:
    """Answers with the last word of the message."""

    def answer(request: Request, index: int) -> str:
        return " " + (request.prompt.text or "").split("\nTeam:")[-2].split()[-1] + "\n\n"

    return FewShot(TASK, shots=0).fit([], ScriptedBackend(answer, context_window=context_window))


ITEMS = [
    example("to Harbor", "Harbor"),
    example("to Anchor", "Harbor"),
    example("to nobody", "Harbor"),
    example("for Quarry", "Quarry"),
]


def test_means_rows_and_counts() -> None:
    report = pk.evaluate(predictor(), ITEMS, ["exact_match", "rougeL"])
    assert report.scores["exact_match"] == (1.0, 0.0, 0.0, 1.0)
    assert report["exact_match"].mean == 0.5
    assert 0.0 <= report["exact_match"].low <= 0.5 <= report["exact_match"].high <= 1.0
    assert (report.items, report.answered, report.unanswered, report.failed) == (4, 3, 1, 0)
    assert [row["answer"] for row in report.rows] == ["Harbor", "Anchor", None, "Quarry"]
    assert report.rows[1]["targets"] == ["Harbor"]
    assert report.cost.usage.calls == 4
    assert report.cost.prompt_tokens_per_item > 5


def test_failures_are_counted_apart_from_wrong_answers() -> None:
    report = pk.evaluate(predictor(context_window=40), [*ITEMS, example("word " * 100 + "Harbor", "Harbor")])
    assert (report.answered, report.unanswered, report.failed) == (3, 1, 1)
    assert "context window" in report.rows[-1]["error"]


def test_the_table_says_what_the_report_holds() -> None:
    text = str(pk.evaluate(predictor(), ITEMS, ["exact_match"]))
    assert "4 examples, 3 answered, 1 without answer, 0 failed" in text
    assert "exact_match   0.500  [" in text
    assert "2.0 generated tokens" in text


def test_a_report_is_json() -> None:
    report = pk.evaluate(predictor(), ITEMS, ["exact_match"])
    again = json.loads(report.to_json())
    assert again["metrics"]["exact_match"]["mean"] == 0.5
    assert again["rows"][0]["id"] == "to Harbor"


def test_the_predictor_never_sees_a_target() -> None:
    class Spy:
        task = TASK

        def predict(self, queries: list[object], **rest: object) -> list[object]:
            assert all(type(query) is Query for query in queries)
            return [pk.Prediction(query.id, "Harbor") for query in queries]  # type: ignore[attr-defined]

        def save(self, folder: object) -> None: ...

    assert pk.evaluate(Spy(), ITEMS)["exact_match"].mean == 0.75  # type: ignore[arg-type]


def test_no_examples_and_unknown_metrics_are_refused_before_the_model_is_called() -> None:
    backend = ScriptedBackend([" Harbor\n\n"])
    spent = FewShot(TASK, shots=0).fit([], backend)
    with pytest.raises(DataError, match="at least one"):
        pk.evaluate(spent, [])
    with pytest.raises((MetricError, SettingError), match="exact_mach"):
        pk.evaluate(spent, ITEMS, ["exact_mach"])
    with pytest.raises(MetricError):
        pk.evaluate(spent, [example("x", "!!!")], ["rougeL"])
    with pytest.raises(SettingError, match="a list of metric names"):
        pk.evaluate(spent, ITEMS, "rougeL")
    assert backend.requests == []


def test_an_unknown_metric_of_a_report_lists_what_there_is() -> None:
    with pytest.raises(SettingError, match="one of 'exact_match'"):
        pk.evaluate(predictor(), ITEMS, ["exact_match"])["rouge7"]


def test_the_same_seed_gives_the_same_report() -> None:
    first, second = (pk.evaluate(predictor(), ITEMS, seed=4) for _ in range(2))
    assert first.metrics == second.metrics
    assert first.scores == second.scores


def test_one_interval_of_all_right_in_every_place() -> None:
    from promptkit.statistics import mean_interval

    right = FewShot(TASK, shots=0).fit([], ScriptedBackend(lambda request, index: " Harbor\n\n"))
    items = [example(f"item {number}", "Harbor") for number in range(100)]
    report = pk.evaluate(right, items, ["exact_match"])
    found = report["exact_match"]
    assert (found.mean, round(found.low, 3), found.high) == (1.0, 0.964, 1.0)
    assert found == mean_interval([1.0] * 100)
    arm = pk.compare({"a": report, "b": pk.evaluate(right, items, ["exact_match"])}).arms["b"]
    assert arm.score == found
    five = pk.evaluate(right, items[:5], ["exact_match"])["exact_match"]
    assert round(five.low, 2) == 0.48  # a bootstrap of five right answers says [1, 1]


def test_a_report_saved_before_intervals_named_their_method_is_read() -> None:
    task, data = pk.load_task("apples"), pk.load_examples("apples")
    predictor = pk.FewShot(task, shots=0).fit([], pk.ScriptedBackend([" The answer is 5."]))
    report = pk.evaluate(predictor, data.test[:4], confidence=0.9)
    old = report.to_dict()
    for interval in old["metrics"].values():
        del interval["confidence"], interval["method"]
    found = pk.Report.model_validate(old)
    assert {one.confidence for one in found.metrics.values()} == {0.9}
    assert {one.method for one in found.metrics.values()} == {"not recorded"}
    assert (found.rows, found.cost, found.scores) == (report.rows, report.cost, report.scores)
