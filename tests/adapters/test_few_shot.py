from __future__ import annotations

import dataclasses
import math
import re

import pytest

import promptkit as pk
from promptkit import DataError, FewShot, ScriptedBackend, SettingError, load_examples, load_task
from promptkit.adapters import adapter_from_settings, adapter_settings
from promptkit.data import Split
from promptkit.types import Example, Query, Request

TASK = load_task("tickets")
POOL = [Example(Query({"message": f"message number {i}"}, f"t{i}"), (TASK.labels[i % 6],)) for i in range(30)]


def prompts(backend: ScriptedBackend) -> list[str]:
    return [request.prompt.text or "" for request in backend.requests if isinstance(request, Request)]


def test_zero_shots_need_no_examples() -> None:
    backend = ScriptedBackend([" Harbor\n\n"])
    prediction = FewShot(TASK, shots=0).fit([], backend).predict([{"message": "where is it"}])[0]
    assert (prediction.answer, prediction.shots) == ("Harbor", 0)
    assert prompts(backend) == ["Sort the texts.\n\nMessage: where is it\nTeam:"]


def test_balanced_shots_show_every_label_once() -> None:
    predictor = FewShot(TASK, shots=6, select="balanced").fit(POOL, ScriptedBackend(), seed=5)
    assert sorted(demo.target for demo in predictor.plan.demos) == sorted(TASK.labels)


def test_nearest_puts_the_most_alike_example_last() -> None:
    predictor = FewShot(TASK, shots=3, select="nearest").fit(POOL, ScriptedBackend())
    asked = predictor.ask(Query({"message": "my message has number 17"}))
    assert asked.demos[-1].id == "t17"


def test_the_question_itself_never_stands_among_its_demonstrations() -> None:
    for select in ("first", "nearest", "diverse"):
        predictor = FewShot(TASK, shots=4, select=select).fit(POOL[:5], ScriptedBackend())
        asked = predictor.ask(Query({"message": "Message  NUMBER 1"}))
        assert "t1" not in [demo.id for demo in asked.demos]


def test_a_test_split_is_refused_as_demonstrations() -> None:
    with pytest.raises(DataError, match="test"):
        FewShot(TASK, shots=2).fit(Split("test", tuple(POOL)), ScriptedBackend())


def test_no_test_row_ever_stands_in_a_demonstration_slot() -> None:
    data = load_examples("tickets")
    backend = ScriptedBackend([" Harbor\n\n"], context_window=100_000)
    for select in ("random", "balanced", "nearest", "diverse"):
        predictor = FewShot(TASK, shots=8, select=select).fit(data.train, backend, seed=3)
        predictor.predict([example.query for example in data.test])
    texts = {example.query.fields["message"] for example in data.test}
    sent = prompts(backend)
    assert len(sent) == 4 * len(data.test)
    for prompt in sent:
        shown = [item.removeprefix("Message: ").split("\nTeam:")[0] for item in prompt.split("\n\n")[1:-1]]
        assert len(shown) == 8
        assert not texts & set(shown)


def test_searched_keeps_the_set_and_instruction_that_score_best_on_dev() -> None:
    def answer(request: Request, index: int) -> str:
        right = "Which team" in (request.prompt.text or "")
        return " Anchor\n\n" if right else " nothing\n\n"

    dev = [Example(Query({"message": f"dev {i}"}, f"d{i}"), ("Anchor",)) for i in range(10)]
    predictor = FewShot(TASK, shots=3, select="searched", trials=6).fit(POOL, ScriptedBackend(answer), dev=dev)
    assert predictor.plan.instruction == "Which team takes the message?"
    search = predictor.notes["search"]
    assert [trial["score"] for trial in search["trials"]] == [0.0, 0.0, 1.0, 0.0, 0.0, 1.0]
    assert search["best_score"] == 1.0
    assert search["prompt_tokens"] > 0


def test_searched_without_dev_says_what_to_do() -> None:
    with pytest.raises(DataError, match=r"dev must be given to fit.*pass dev=data.dev"):
        FewShot(TASK, shots=3, select="searched").fit(POOL, ScriptedBackend())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shots": -1}, "FewShot: shots must be greater than or equal to 0, got -1"),
        ({"shots": "4"}, "FewShot: shots must be a valid integer, got '4'"),
        ({"select": "best"}, "FewShot: select must be one of 'searched', 'first', 'random'"),
        ({"shot": 3}, "FewShot: setting must be one of 'task', 'shots'"),
        ({"trials": 0}, "FewShot: trials must be greater than or equal to 1, got 0"),
    ],
)
def test_bad_settings_are_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(SettingError) as caught:
        FewShot(TASK, **settings)  # type: ignore[arg-type]
    assert str(caught.value).startswith(message)


def test_instructions_by_number_by_text_or_none() -> None:
    def head(instruction: int | str | None) -> str | None:
        return FewShot(TASK, shots=0, instruction=instruction).fit([], ScriptedBackend()).plan.instruction

    assert head(1) == "Choose the label."
    assert head("Route it.") == "Route it."
    assert head(None) is None
    with pytest.raises(SettingError, match="instruction must be one of 0 to 2"):
        head(7)


def test_likelihood_takes_the_most_likely_label() -> None:
    backend = ScriptedBackend(scores=lambda request, text: -1.0 if "Quarry" in text else -3.0)
    prediction = FewShot(TASK, shots=2, answer_by="likelihood").fit(POOL, backend).predict([{"message": "x"}])[0]
    assert prediction.answer == "Quarry"
    assert next(iter(prediction.votes)) == "Quarry"
    assert sum(prediction.votes.values()) == pytest.approx(1.0)
    assert prediction.usage.prompt_tokens > 0


def test_likelihood_needs_labels() -> None:
    with pytest.raises(SettingError, match="answer_by must be 'generation' for a task without labels"):
        FewShot(load_task("apples"), answer_by="likelihood").fit([], ScriptedBackend())


def test_reasoned_demonstrations_need_rationales() -> None:
    apples = load_task("apples")
    bare = [Example(Query({"question": f"{i} and {i}?"}), (str(2 * i),)) for i in range(5)]
    with pytest.raises(DataError, match="rationales must be there for at least 2 training examples, got 0"):
        FewShot(apples, shots=2, ask="reasoned").fit(bare, ScriptedBackend())


def test_reasoned_prompts_show_the_reasoning_and_read_the_answer_after_it() -> None:
    data = load_examples("apples")
    backend = ScriptedBackend([" 2 + 3 = 5. The answer is 5.\n\n"])
    predictor = FewShot(load_task("apples"), shots=2, ask="reasoned").fit(data.train, backend)
    prediction = predictor.predict([data.test[0].query])[0]
    assert prediction.answer == "5"
    assert all((demo.rationale or "?") in prompts(backend)[0] for demo in predictor.plan.demos)


def test_settings_round_trip_and_unknown_ones_are_refused() -> None:
    adapter = FewShot(TASK, shots=7, select="nearest")
    values = adapter_settings(adapter)
    assert values["kind"] == "few_shot"
    assert adapter_from_settings(TASK, values) == adapter
    with pytest.raises(SettingError, match="kind must be one of 'few_shot'"):
        adapter_from_settings(TASK, {"kind": "magic"})
    with pytest.raises(SettingError, match="setting must be one of"):
        adapter_from_settings(TASK, {**values, "base_url": "http://elsewhere"})


def test_an_adapter_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        FewShot(TASK).shots = 9  # type: ignore[misc]


@pytest.mark.parametrize("kind", ["FewShot", "ChainOfThought", "SoftPrompt", "LoRA"])
def test_every_number_of_the_settings_has_bounds(kind: str) -> None:
    """A settings file of a stranger cannot ask for what no machine has; an instruction's number is checked by fit."""
    task, strategy = load_task("apples"), getattr(pk, kind)
    numbers = {
        field.name
        for field in dataclasses.fields(strategy)
        if field.name != "instruction" and re.search(r"\b(int|float)\b", str(field.type))
    }
    assert {"shots", "max_new_tokens"} <= numbers
    for name in sorted(numbers):
        for value in (10**30, -(10**30), 1e300, math.inf, -math.inf, math.nan):
            with pytest.raises(SettingError, match=f"{name} must be"):
                strategy(task, **{name: value})
