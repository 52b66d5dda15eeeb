"""When a training is repaid."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import promptkit as pk
from promptkit import DataError, SettingError
from promptkit.evaluation import Payback
from promptkit.evaluation.scoring import Cost
from promptkit.types import Usage
from tests.support import shipped

TASK, DATA = pk.load_task("apples"), shipped("apples")


def fitted(shots: int, training: Any = None) -> Any:
    backend = pk.ScriptedBackend(lambda request, index: " The answer is 5.\n\n")
    predictor = pk.FewShot(TASK, shots=shots).fit(DATA.train, backend)
    if training is None:
        return predictor
    return SimpleNamespace(task=TASK, predict=predictor.predict, training=training)


def saved(prompt: int, generated: int = 10, seconds: float = 0.1, cached: int = 0, items: int = 4) -> dict[str, Any]:
    cost = Cost.of([Usage(1, prompt, cached, generated, seconds)] * items)
    report = pk.evaluate(fitted(0), DATA.test[:4])
    return json.loads(report.model_copy(update={"cost": cost}).to_json())


def test_tokens_seconds_and_money_are_the_sums_that_they_should_be() -> None:
    price = pk.Price(per_million_prompt_tokens=2.0, per_million_generated_tokens=10.0, per_hour=3.6)
    found = pk.break_even(
        saved(500, 20, 0.10), saved(50, 10, 0.06), training_seconds=100, training_tokens=92_000, price=price
    )
    tokens, seconds, money = (found.by[unit] for unit in ("tokens", "seconds", "money"))
    assert (tokens.training, tokens.first, tokens.second, tokens.requests) == (276_000, 520, 60, 600)
    assert (seconds.training, seconds.saved, seconds.requests) == (100, pytest.approx(0.04), 2500)
    per_first = 500 * 2e-6 + 20 * 10e-6 + 0.10 * 1e-3
    per_second = 50 * 2e-6 + 10 * 10e-6 + 0.06 * 1e-3
    assert (money.first, money.second) == (pytest.approx(per_first), pytest.approx(per_second))
    assert money.training == pytest.approx(0.1)
    assert money.requests == math.ceil(0.1 / (per_first - per_second))
    assert (found.unit, found.requests, found.never) == ("money", money.requests, False)
    assert pk.break_even(saved(500), saved(50), training_seconds=1).unit == "seconds"


def test_cached_tokens_and_trained_tokens_have_prices_of_their_own() -> None:
    price = pk.Price(per_million_prompt_tokens=2.0, per_million_cached_tokens=0.5, per_million_training_tokens=8.0)
    found = pk.break_even(saved(500, cached=400), saved(50), training_tokens=1_000_000, price=price)
    assert found.by["money"].first == pytest.approx((100 * 2 + 400 * 0.5) / 1e6)
    assert found.by["money"].training == 8.0


def test_what_is_never_repaid_says_so() -> None:
    found = pk.break_even(saved(50), saved(500, seconds=0.2), training_seconds=5)
    assert (found.never, found.requests) == (True, math.inf)
    assert "in seconds: never repaid: a request costs more (training 5 seconds" in str(found)
    assert found.to_dict()["by"]["seconds"]["requests"] is None
    equal = pk.break_even(saved(50), saved(50), training_seconds=5)
    assert "never repaid: a request costs as much" in str(equal)


def test_what_costs_nothing_more_is_repaid_at_once() -> None:
    found = pk.break_even(saved(500), saved(50))
    assert found.requests == 0
    assert "from the first request on" in str(found)
    assert any("nothing was trained" in one for one in found.assumptions)
    assert not any("nothing was trained" in one for one in pk.break_even(saved(500), saved(50), training_seconds=0).assumptions)  # fmt: skip


def test_what_is_not_known_of_the_training_is_not_called_free() -> None:
    found = pk.break_even(saved(500), saved(50), training_tokens=1000)
    assert (list(found.by), found.unit) == (["tokens"], "tokens")
    assert list(pk.break_even(saved(500), saved(50), training_seconds=10).by) == ["seconds"]
    paid = pk.break_even(saved(500), saved(50), training_seconds=10, price=pk.Price(per_hour=1))
    assert any("the tokens of the training are not known and cost nothing" in one for one in paid.assumptions)


def test_predictors_are_measured_and_bring_their_training_logs() -> None:
    log = SimpleNamespace(seconds=12.0, tokens=30_000)
    found = pk.break_even(fitted(4), fitted(0, log), DATA.test[:6])
    assert found.by["tokens"].training == 90_000
    assert found.by["seconds"].training == 12.0
    assert found.by["tokens"].first > 2 * found.by["tokens"].second
    assert found.by["tokens"].requests == math.ceil(90_000 / found.by["tokens"].saved)
    assert any("the 6 and 6 items" in one for one in found.assumptions)
    both = pk.break_even(fitted(4, log), fitted(0, log), DATA.test[:6])
    assert both.by["seconds"].training == 0


def test_without_examples_the_test_items_of_the_task_are_asked() -> None:
    found = pk.break_even(fitted(4), fitted(0))
    assert any("the 20 and 20 items" in one for one in found.assumptions)
    homeless = fitted(4)
    homeless = replace(homeless, task=homeless.task.model_copy(update={"name": "nowhere"}))
    with pytest.raises(DataError, match=r"examples must be .*pass some, as data.test\[:20\]; task 'nowhere'"):
        pk.break_even(homeless, fitted(0))


def test_reports_files_and_a_comparison_give_the_same(tmp_path: Path) -> None:
    first, second = saved(500, seconds=0.1), saved(50, seconds=0.05)
    (tmp_path / "a.json").write_text(json.dumps(first), encoding="utf-8")
    expected = pk.break_even(first, second, training_seconds=10)
    assert pk.break_even(tmp_path / "a.json", second, training_seconds=10) == expected
    report = pk.evaluate(fitted(0), DATA.test[:4])
    cost = Cost.of([Usage(1, 500, 0, 10, 0.1)] * 4)
    assert pk.break_even(report.model_copy(update={"cost": cost}), second, training_seconds=10) == expected


AMOUNTS = st.integers(0, 10**7).map(lambda number: number / 1000)


@given(AMOUNTS, AMOUNTS, AMOUNTS)
def test_after_that_many_requests_it_is_repaid_and_not_before(training: float, first: float, second: float) -> None:
    found = Payback("seconds", training, first, second)
    assert str(found)
    if math.isinf(found.requests):
        assert found.saved <= 0
    else:
        assert found.requests * found.saved >= training * (1 - 1e-9)
        assert found.requests == 0 or (found.requests - 1) * found.saved < training * (1 + 1e-9)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: pk.Price(per_hour=-1), SettingError, "Price: per_hour must be a number of at least 0, got -1"),
        (lambda: pk.Price(per_million_prompt_tokens=math.nan), SettingError, "Price: per_million_prompt_tokens"),
        (lambda: pk.break_even(saved(5), saved(5), training_seconds=-1), SettingError, "break_even: training_seconds"),
        (lambda: pk.break_even({"cost": None}, saved(5)), DataError, "break_even: first must be a predictor, or a report with"),
        (lambda: pk.break_even(saved(5), {"cost": {"usage": {"x": 1}}}), DataError, "break_even: second must be"),
        (lambda: pk.break_even(saved(5), {"cost": {**saved(5)["cost"], "usage": {"calls": "x"}}}), DataError, "second must be"),
        (lambda: pk.break_even("nowhere.json", saved(5)), DataError, "nowhere.json: cannot be read"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
