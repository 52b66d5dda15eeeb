"""What weights are trained on: nothing of test, nothing of dev, and a teacher's work counted."""

from __future__ import annotations

from typing import Any

import pytest

from promptkit import ChainOfThought, DataError, FewShot, LeakageError, ScriptedBackend, SettingError, Split, load_task
from promptkit.adapters.training_set import check_apart, distill
from promptkit.types import Example, Query, Request

APPLES = load_task("apples")


def item(number: int, *, rationale: str | None = "Because.", target: str | None = None) -> Example:
    return Example(Query({"question": f"What is {number}?"}, f"i{number}"), (target or str(number),), rationale)


def distilled(examples: list[Example], dev: list[Example] | None = None, **rest: Any) -> Any:
    return distill(APPLES, examples, dev, **{"reasoned": False, "of": "LoRA", **rest})


def answers(request: Request, index: int) -> str:
    """Right about even numbers; about 7 it cannot be read; about 9 its samples differ."""
    number = int((request.prompt.text or "").rsplit("What is ", 1)[1].split("?")[0])
    if number == 7:
        return " I wonder.\n\n"
    if number == 9:
        return f" First {index}. The answer is {index}.\n\n"
    return f" Thought {number}. The answer is {number if number % 2 == 0 else number + 1}.\n\n"


def teacher(**settings: Any) -> Any:
    given = {"shots": 1, "samples": 4, "min_agreement": 0.5, **settings}
    return ChainOfThought(APPLES, **given).fit([item(100), item(102)], ScriptedBackend(answers))


def queries(*numbers: int) -> list[Query]:
    return [item(number).query for number in numbers]


def test_labelled_examples_pass_as_they_are() -> None:
    found = distilled([item(1), item(2, rationale=None)], [item(3)])
    assert [e.id for e in found.examples] == ["i1", "i2"]
    assert found.notes == {"labelled": 2, "trained_on": 2, "dev": 1}


@pytest.mark.parametrize("which", ["examples", "dev"])
def test_a_test_split_is_refused_on_both_sides(which: str) -> None:
    splits: dict[str, Any] = {"examples": [item(1)], "dev": [item(2)]}
    splits[which] = Split("test", splits[which])
    with pytest.raises(DataError, match=f"LoRA: {which} must be no test items"):
        check_apart(splits["examples"], splits["dev"], of="LoRA")


def test_dev_items_among_training_items_are_refused_by_content() -> None:
    same = Example(Query({"question": "what  IS 1?"}, "other-name"), ("1",))
    with pytest.raises(LeakageError, match="dev must be items that training does not see.*other-name.*these 1 of 2"):
        distilled([item(1)], [same, item(2)])


def test_dev_items_among_unlabelled_queries_are_refused() -> None:
    with pytest.raises(LeakageError, match="dev must be items that training does not see"):
        distilled([item(1)], [item(2)], teacher=teacher(), unlabelled=queries(2))


def test_voted_answers_become_targets_and_the_rest_is_counted() -> None:
    found = distilled([item(1)], teacher=teacher(), unlabelled=queries(2, 4, 7, 9, 1, 2))
    assert [(e.query.fields["question"], e.targets) for e in found.pseudo_labelled] == [
        ("What is 2?", ("2",)),
        ("What is 4?", ("4",)),
    ]
    counts = found.notes["distillation"]
    assert {name: counts[name] for name in ("queries", "known", "asked", "used", "abstained", "failed")} == {
        "queries": 6, "known": 2, "asked": 4, "used": 2, "abstained": 2, "failed": 0,
    }  # fmt: skip
    assert counts["generated_tokens"] > 0
    assert found.notes["trained_on"] == 3


def test_with_reasoning_the_reasonings_that_led_to_the_vote_come_too() -> None:
    found = distilled([item(1)], reasoned=True, teacher=teacher(), unlabelled=queries(2))
    assert [(e.target, e.rationale) for e in found.pseudo_labelled] == [("2", "Thought 2.")]


def test_labelled_examples_get_reasonings_that_ended_right_only() -> None:
    bare = [item(2, rationale=None), item(3, rationale=None), item(7, rationale=None), item(5)]
    found = distilled(bare, [item(11), item(12, rationale=None)], reasoned=True, teacher=teacher())
    assert [(e.id, e.rationale) for e in found.labelled] == [("i2", "Thought 2."), ("i5", "Because.")]
    assert found.notes["rationales"] == {"tried": 3, "kept": 1, "dropped": 2}
    assert found.notes["without_rationale"] == 2
    assert [e.id for e in found.dev] == ["i11"]


def test_a_query_that_fails_is_counted_as_failed() -> None:
    weak = FewShot(APPLES, shots=0, instruction=None).fit([], ScriptedBackend(answers, context_window=30))
    long = Query({"question": "very " * 30 + "What is 2?"}, "long")
    found = distilled([item(1)], teacher=weak, unlabelled=[long, *queries(4)])
    assert (found.notes["distillation"]["failed"], found.notes["distillation"]["used"]) == (1, 1)


def test_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(DataError, match="examples must be at least one, got 0; give examples, or a teacher"):
        distilled([])
    with pytest.raises(DataError, match="rationales must be there for at least one training example, got 0"):
        distilled([item(1, rationale=None)], reasoned=True)


def test_unlabelled_queries_need_a_teacher_of_the_same_task() -> None:
    with pytest.raises(SettingError, match="teacher must be given with unlabelled queries"):
        distilled([item(1)], unlabelled=queries(2))
    other = FewShot(load_task("tone"), shots=0).fit([], ScriptedBackend(answers))
    with pytest.raises(SettingError, match=r"teacher must be a predictor for 'apples', whose fields are .* got 'tone'"):
        distilled([item(1)], teacher=other, unlabelled=queries(2))


def test_examples_are_no_unlabelled_queries_because_they_hold_the_answer() -> None:
    with pytest.raises(DataError, match="is an Example, which holds the answer"):
        distilled([item(1)], teacher=teacher(), unlabelled=[item(2)])
