"""A winner that is of no use has no calm headline."""

from __future__ import annotations

import pytest
from simulation import TASK, answer, climb, make_data, model, rung

import promptkit as pk
from promptkit.html import render_report
from promptkit.ladder.facts import Item, ItemResult
from promptkit.ladder.working import best_constant, why_nothing_works


def items(targets: list[str]) -> dict[str, Item]:
    return {
        f"dev/{at}": Item(id=str(at), split="dev", fields={}, targets=(target,)) for at, target in enumerate(targets)
    }


def results(answers: list[str | None], targets: list[str], errors: int = 0) -> list[ItemResult]:
    return [
        ItemResult(
            item=f"dev/{at}", score=float(given == target), answer=given, text=given or "I think that",
            error="server is gone" if at < errors else None,
        )
        for at, (given, target) in enumerate(zip(answers, targets, strict=True))
    ]  # fmt: skip


def test_most_items_unanswered_is_nothing_that_works() -> None:
    targets = ["yes", "no"] * 19
    answers: list[str | None] = [*targets[:4], *[None] * 34]
    why = why_nothing_works(results(answers, targets), items(targets), "exact_match")
    assert why.startswith("34 of 38 answers could not be read (such as 'I think that'): they have another form")
    failed = why_nothing_works(results(answers, targets, errors=38), items(targets), "exact_match")
    assert "the model failed on 38 of 38 items (server is gone)" in failed


def test_no_better_than_one_constant_answer_is_nothing_that_works() -> None:
    targets = ["spam"] * 70 + ["ham"] * 30
    why = why_nothing_works(results(["spam"] * 100, targets), items(targets), "exact_match")
    assert why == "always answering 'spam' would score 0.700"
    better: list[str | None] = ["spam"] * 70 + ["ham"] * 10 + ["spam"] * 20
    assert why_nothing_works(results(better, targets), items(targets), "exact_match") == ""
    zero: list[str | None] = ["other"] * 100
    assert why_nothing_works(results(zero, targets), items(targets), "exact_match") == "no answer is right"


def test_data_of_one_answer_say_nothing_about_constants() -> None:
    targets = ["yes"] * 10
    assert why_nothing_works(results(["yes"] * 10, targets), items(targets), "exact_match") == ""
    assert best_constant([("a", "b"), ("b",)], "exact_match") == ("b", 1.0)


def test_headline_record_and_page_say_it() -> None:
    def useless(request: pk.Request, index: int) -> str:
        return answer(request, index) if "Sum: 1" in (request.prompt.text or "").rpartition("\n\n")[2] else " who knows"

    data = make_data(train=8, dev=100, test=60)
    result = climb(rungs=[rung(0.4)], data=data, backend=pk.ScriptedBackend(useless, name="sums"), folds=0)
    record = result.record
    assert record.answer.startswith("Nothing works yet. The best of what was tried is q0.4, exact_match 0.0")
    assert "answers could not be read (such as 'who knows')" in record.trouble and record.trouble in record.answer
    assert str(result).startswith("Nothing works yet.")
    page = render_report(record)
    assert "<strong>Nothing works yet:</strong>" in page and "who knows" in page
    good = climb(rungs=[rung(0.9)], data=data, backend=model(), folds=0).record
    assert not good.trouble and "Nothing works yet" not in render_report(good) + good.answer


def test_the_budget_is_among_the_reasons() -> None:
    data = make_data(train=8, dev=60, test=20)
    backend = pk.ScriptedBackend([" who knows"], name="sums")
    record = climb(
        rungs=[rung(0.4), rung(0.9, "next")], data=data, backend=backend, folds=0, budget=pk.Budget(calls=20)
    ).record
    assert "no answer is right" in record.trouble and "the budget ended" in record.trouble


def test_a_metric_with_shares_is_compared_with_the_best_constant_too() -> None:
    targets = [("red apple pie",), ("green apple pie",), ("apple pie",)]
    constant, score = best_constant(targets, "rougeL")
    assert constant == "apple pie" and score == pytest.approx((0.8 + 0.8 + 1) / 3)
    assert TASK.metric == "exact_match"
