"""What a climb decides on rungs of known quality, and that it says why."""

from __future__ import annotations

from typing import Any

import pytest
from simulation import TASK, answer, climb, make_data, model, rung, rungs, verdicts

import promptkit as pk
from promptkit.ladder import Prior, Ready, Rung


def test_it_stops_at_the_first_rung_whose_lower_bound_reaches_the_target() -> None:
    result = climb(0.3, 0.95, 0.99, target={"exact_match": 0.85})
    record = result.record
    assert record.decision is not None
    assert (record.decision.winner, record.decision.stopped, record.decision.reached) == ("r1", "target", True)
    assert verdicts(result) == ["first", "kept", "not_tried"]
    assert record["r1"].lower_bound is not None and record["r1"].lower_bound >= 0.85
    assert record.answer.startswith("r1 is enough: exact_match 0.9")
    assert "stopped before: the lower bound of r1" in record["r2"].reason


def test_a_mean_above_the_target_is_not_enough() -> None:
    data, backend = make_data(), model()
    predictor = rung(0.87, "r0")[1].fit(data.train, backend)
    mean = pk.evaluate(predictor, data.dev)["exact_match"].mean
    result = climb(0.87, data=data, target={"exact_match": mean - 0.01})
    score = result.record["r0"].score
    assert score is not None and (score.n, score.mean) == (200, mean)
    assert result.record.decision is not None and result.record.decision.reached is False
    assert "was not shown to be reached" in result.record.answer


def test_a_gain_below_the_margin_is_not_kept() -> None:
    equal = [rung(0.5), ("same", rung(0.5)[1]), ("far", rung(0.9)[1])]
    result = climb(rungs=equal, margin=0.05)
    assert verdicts(result) == ["first", "undecided", "kept"]
    assert result.record["same"].test is not None
    assert (result.record["same"].test.difference, result.record["same"].test.p_value) == (0.0, 1.0)
    assert result.record["far"].test is not None and result.record["far"].test.against == "q0.5"


def test_a_rung_that_has_lost_stops_costing() -> None:
    backend = model()
    result = climb(0.9, 0.1, backend=backend)
    assert verdicts(result) == ["first", "lost"]
    assert result.record["r1"].cost is not None and result.record["r1"].cost.items < 100
    assert result.winner is not None and result.record.decision is not None
    assert result.record.decision.winner == "r0"
    assert result.record.answer.startswith("No gain: r0 stays")


def test_it_stops_where_not_even_a_faultless_rung_could_show_a_gain() -> None:
    backend = model()
    result = climb(0.2, 1.0, 1.0, 1.0, backend=backend)
    assert verdicts(result) == ["first", "kept", "not_tried", "not_tried"]
    assert result.record.decision is not None and result.record.decision.stopped == "ceiling"
    assert "r1 is enough" in result.record.answer
    asked = [request.prompt.text or "" for request in backend.requests]  # type: ignore[union-attr]
    assert not any("of r2" in text for text in asked)


def test_too_few_items_to_show_anything_are_called_that() -> None:
    result = climb(0.9, 1.0, data=make_data(train=4, dev=4, test=4))
    assert result.record.decision is not None and result.record.decision.stopped == "ceiling"
    assert "on 4 items" in result.record.decision.reason


def test_the_budget_stops_before_a_rung_and_while_one_is_judged() -> None:
    result = climb(0.3, 0.35, 0.9, budget=pk.Budget(calls=80))
    assert verdicts(result) == ["first", "undecided", "not_tried"]
    assert "the budget ended (80 calls)" in result.record["r1"].reason
    assert result.record.decision is not None and result.record.decision.stopped == "budget"
    assert result.record["r2"].reason == "the budget ended before: 80 calls"
    assert result.test is not None  # the test is owed in any case


def test_test_is_scored_once_and_the_optimism_of_dev_is_told() -> None:
    result = climb(0.3, 0.8)
    test = result.record.test
    assert test is not None and test.score is not None and result.test is not None
    assert [read.scored for read in test.reads] == [False, True]
    assert test.score.mean == result.test["exact_match"].mean
    assert test.optimism is not None and test.optimism_low is not None and test.optimism_high is not None
    assert test.optimism_low < test.optimism < test.optimism_high
    assert len(test.results) == len(test.items) == 200


def test_the_winner_answers_on_the_callers_own_backend() -> None:
    backend = model()
    result = climb(0.3, 1.0, backend=backend)
    assert isinstance(result.winner, pk.PlanPredictor) and result.winner.backend is backend
    assert result.winner.predict([{"sum": "2 + 3"}])[0].answer == "5"


class Breaking:
    """A stranger's adapter whose fit fails."""

    def __init__(self, error: Exception, times: int = 1000) -> None:
        self.error, self.times = error, times

    def fit(self, examples: Any, backend: Any, *, dev: Any = None, seed: int = 0) -> Any:
        self.times -= 1
        if self.times >= 0:
            raise self.error
        return rung(0.9)[1].fit(examples, backend, dev=dev, seed=seed)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ZeroDivisionError("by zero"), ["failed"]),
        (pk.DataError("no rationales"), ["failed"]),
        (pk.UnsupportedError("no weights here"), ["left_out"]),
        (pk.BackendError("server is gone"), ["failed", "failed"]),
    ],
)
def test_a_rung_that_fails_stands_in_the_record_and_the_climb_goes_on(error: Exception, expected: list[str]) -> None:
    result = climb(rungs=[rung(0.3), ("breaks", Breaking(error)), rung(0.9)])
    assert verdicts(result) == ["first", *expected, "kept"]
    assert str(error) in result.record["breaks"].reason
    assert result.record["breaks"].number == len(expected)


def test_a_retry_that_succeeds_is_a_further_attempt() -> None:
    result = climb(rungs=[rung(0.3), ("shaky", Breaking(pk.BackendError("try again"), times=1))])
    assert verdicts(result) == ["first", "failed", "kept"]
    assert [trial.number for trial in result.record.trials] == [1, 1, 2]


def test_if_nothing_can_be_judged_the_record_says_why() -> None:
    result = climb(rungs=[("breaks", Breaking(pk.DataError("no examples at all")))])
    assert result.winner is None and result.test is None
    assert result.record.decision is not None and result.record.decision.stopped == "nothing"
    assert "no examples at all" in result.record.answer


def test_failed_answers_count_the_same_for_every_arm() -> None:
    def flaky(request: pk.Request, index: int) -> str:
        if "of r1" in (request.prompt.text or "") and "1 +" in (request.prompt.text or ""):
            raise pk.BackendError("out of order")
        return answer(request, index)

    result = climb(0.3, 0.8, backend=pk.ScriptedBackend(flaky), rungs=rungs(0.3, 0.8))
    trial = result.record["r1"]
    failed = [one for one in trial.results if one.error is not None]
    assert failed and trial.failed == len(failed)
    assert all(one.score == 0 and one.answer is None for one in failed)
    assert trial.answered + trial.unanswered + trial.failed == len(trial.results)


def test_a_model_that_answers_nothing_at_all_is_a_failure_and_no_loss() -> None:
    def gone(request: pk.Request, index: int) -> str:
        if "of r1" in (request.prompt.text or ""):
            raise pk.BackendError("server is gone")
        return answer(request, index)

    result = climb(0.3, 0.8, 0.9, backend=pk.ScriptedBackend(gone))
    assert verdicts(result) == ["first", "failed", "failed", "kept"]
    assert result.record["r1"].reason == "no item could be answered: server is gone"
    assert result.record["r1"].score is None


def test_items_stand_once_and_every_outcome_names_one() -> None:
    record = climb(0.3, 0.8).record
    assert all(outcome.item in record.items for trial in record.trials for outcome in trial.results)
    keys = [[outcome.item for outcome in record[name].results] for name in ("r0", "r1")]
    shared = min(map(len, keys))
    assert keys[0][:shared] == keys[1][:shared]
    assert record.test is not None and not set(record.items) & set(record.test.items)


def test_costs_add_up() -> None:
    backend = model()
    record = climb(0.3, 0.8, backend=backend).record
    cost = record["r1"].cost
    assert cost is not None and cost.calls == cost.items == len(record["r1"].results)
    assert cost.prompt_tokens == sum(one.prompt_tokens for one in record["r1"].results)
    assert record.calls == len(backend.requests)
    assert record["r1"].fit is not None and record["r1"].fit.artifact_bytes > 500
    assert record["r1"].prompts[0].text is not None and "Quality 0.8 of r1." in record["r1"].prompts[0].text


def test_climbing_twice_decides_the_same() -> None:
    first, second = (climb(0.3, 0.6, 0.9, seed=3).record for _ in range(2))
    assert first.same_decisions(second) and first.differences(second) == []
    assert not first.same_decisions(climb(0.3, 0.6, 0.9, seed=4).record)


def test_shared_items_refuse_the_climb_unless_forced() -> None:
    rows = make_data(train=20, dev=20, test=20)
    bad = pk.Data(rows.train, rows.dev, pk.Split("test", [*rows.test, rows.train[0]]))
    with pytest.raises(pk.LeakageError, match="pass on_leakage='force'"):
        climb(0.3, 0.9, data=bad)
    record = climb(0.3, 0.9, data=bad, on_leakage="force").record
    assert record.data.forced and record.data.leakage[1].exact == 1


def test_unlabelled_questions_may_not_be_those_that_judge() -> None:
    data = make_data()
    with pytest.raises(pk.LeakageError, match="unlabelled must be questions on which nothing is judged"):
        climb(0.3, 0.9, data=data, unlabelled=[data.test[0].query])
    with pytest.raises(pk.LeakageError):
        climb(0.3, 0.9, data=data, unlabelled=[data.dev[0].query])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": {"exact_match": 1.5}}, r"climb: target\['exact_match'\] must be above 0 and at most 1, got 1.5"),
        ({"target": {"exact_match": 0.5, "rougeL": 0.5}}, "climb: target must be one metric with the wanted score"),
        ({"margin": 1.0}, "climb: margin must be from 0 to below 1, got 1.0"),
        ({"confidence": 0.3}, "climb: confidence must be from 0.5 to below 1, got 0.3"),
        ({"block": 0}, "climb: block must be an integer of at least 1, got 0"),
        ({"seed": True}, "climb: seed must be an integer of at least 0, got True"),
        ({"on_leakage": "warn"}, "climb: on_leakage must be 'fail' or 'force', got 'warn'"),
        ({"rungs": []}, r"climb: rungs must be 'default', or a list of adapters, .*, got \[\]"),
        ({"rungs": ["eight-shot"]}, "climb: a rung must be one of 'zero-shot', 'few-shot', .*, got 'eight-shot'"),
        ({"rungs": [3]}, r"climb: a rung must be an adapter, a \(name, adapter\) pair or a Rung, got 3"),
        ({"rungs": [rung(0.3), rung(0.3)]}, "climb: rungs must be of different names, none empty"),
        ({"folds": 1}, "climb: folds must be 'auto', 0 for none, or from 2 to the number of training examples, got 1"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_paid(options: dict[str, Any], message: str) -> None:
    backend = model()
    with pytest.raises(pk.SettingError, match=message):
        climb(0.3, 0.9, backend=backend, **options)
    assert not backend.requests


def test_a_rung_for_another_task_is_refused() -> None:
    with pytest.raises(pk.SettingError, match="climb: a rung must be for task 'sums', got 'apples'"):
        climb(rungs=[pk.FewShot(pk.load_task("apples"))])


def test_no_dev_items_is_an_error_of_the_data() -> None:
    with pytest.raises(pk.DataError, match="climb: dev must be there, with at least one item"):
        climb(0.5, data=make_data(dev=0))


def test_without_a_test_split_the_record_says_so() -> None:
    result = climb(0.3, 0.9, data=make_data(test=0))
    assert result.test is None and result.record.test is not None
    assert result.record.test.error == "there is no test split"
    assert "dev items" in result.record.answer


def test_a_metric_that_sees_nothing_in_a_target_ends_it_before_the_model_is_paid() -> None:
    backend = model()
    bad = make_data(dev=5)
    dev = pk.Split("dev", [*bad.dev, pk.Example(pk.Query({"sum": "0 + 0"}), ("!",))])
    with pytest.raises(pk.MetricError):
        climb(0.5, data=pk.Data(bad.train, dev, bad.test, leakage=bad.leakage), backend=backend, target={"rougeL": 0.5})
    assert not backend.requests


def test_progress_names_the_rung_and_the_time_left() -> None:
    seen: list[tuple[str, int, int, float | None]] = []
    climb(0.3, 0.9, budget=pk.Budget(minutes=5), progress=lambda *what: seen.append(what))
    names = list(dict.fromkeys(what for what, *_ in seen))
    assert names[:2] == ["r0: fitting", "r0: judging"]
    assert names[-1] == "scoring the winner on test"
    assert all(0 <= done <= total and left is not None and 0 < left <= 300 for _, done, total, left in seen)


def test_time_is_shared_among_the_rungs_to_come() -> None:
    seen: list[float | None] = []

    def ready(prior: Prior) -> Ready:
        seen.append(prior.minutes)
        return Ready(rung(0.3)[1])

    data = make_data(dev=60, test=0)
    climb(rungs=[rung(0.3), Rung("one", ready), Rung("two", ready)], budget=pk.Budget(minutes=20), data=data, folds=0)
    climb(rungs=[rung(0.3), Rung("alone", ready)], data=data, folds=0)
    assert seen[0] == pytest.approx(10, abs=1) and seen[1] == pytest.approx(20, abs=1) and seen[2] is None


def test_few_shot_rungs_get_a_part_of_train_for_their_search_and_never_dev() -> None:
    backend = model()
    adapter = pk.FewShot(TASK, shots=2, select="searched", trials=2, instruction="Quality 0.9.")
    data = make_data(train=40)
    result = climb(rungs=[("searched", adapter)], data=data, backend=backend)
    fit = result.record["searched"].fit
    assert fit is not None and (fit.examples, fit.tuning) == (30, 10)
    judged = {data.dev[place].query.fields["sum"] for place in range(len(data.dev))}
    searched = [r.prompt.text or "" for r in backend.requests[: fit.calls]]  # type: ignore[union-attr]
    asked = {text.rpartition("Sum: ")[2].partition("\n")[0] for text in searched}
    assert len(asked) == 10 and not asked & judged


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget": 10}, r"climb: budget must be a Budget or None, got 10; write it as Budget\(minutes=10\)"),
        (
            {"data": make_data(train=4, dev=4, test=4).train},
            "climb: data must be Data, with train, dev and test, got Split",
        ),
        ({"data": "apples"}, r"climb: data must be Data, .*got 'apples'; load it: load_examples\('tickets'\)"),
        ({"data": [{"sum": "1 + 1", "target": "2"}]}, "climb: data must be Data"),
        (
            {"backend": "reference"},
            r"climb: backend must be a model that answers, not its name, got 'reference'; pass pk.LocalBackend",
        ),
        ({"backend": pk.ScriptedBackend}, "climb: backend must be a model that answers, not its name, got 'type'"),
        ({"folder": 3}, "climb: folder must be a path or None, got 3"),
        ({"target": "0.9"}, "climb: target must be one metric with the wanted score"),
    ],
)
def test_things_of_another_kind_are_refused(options: dict[str, Any], message: str) -> None:
    values: dict[str, Any] = {"backend": model(), "data": make_data(train=4, dev=4, test=4)} | options
    with pytest.raises(pk.SettingError, match=message):
        pk.climb(TASK, rungs=rungs(0.5), **values)


def test_a_task_by_name_and_dicts_for_examples_are_refused() -> None:
    data = make_data(train=4, dev=4, test=4)
    with pytest.raises(pk.SettingError, match="climb: task must be a Task, got 'apples'; load it: load_task"):
        pk.climb("apples", data, model())  # type: ignore[arg-type]
    dicts = pk.Data(data.train, pk.Split("dev", [{"sum": "1 + 1"}]), data.test, leakage=data.leakage)  # type: ignore[list-item]
    with pytest.raises(pk.SettingError, match=r"climb: data.dev must be a Split of Examples, got \{'sum': '1 \+ 1'\}"):
        pk.climb(TASK, dicts, model())
