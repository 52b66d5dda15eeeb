"""Rationales written by the model: kept where they end in a target, gone without a trace where they do not."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from promptkit import BackendError, ChainOfThought, DataError, Example, Query, ScriptedBackend, load_task
from promptkit.data import Split
from promptkit.types import Prompt, Request

TASK = load_task("apples")


def example(number: int, rationale: str | None = None) -> Example:
    return Example(Query({"question": f"What is {number} and {number}?"}, f"e{number}"), (str(2 * number),), rationale)


def asked(prompt: Prompt) -> int:
    return int(str(prompt.text).rpartition("What is ")[2].split(" ")[0])


def reasons(request: Request, index: int) -> str:
    """Right for even numbers, wrong for odd ones, unreadable for 7, and failing for 9."""
    number = asked(request.prompt)
    if number == 9:
        raise BackendError("out of breath")
    if number == 7:
        return " SECRET7 I do not know."
    right = number % 2 == 0
    return (
        f" {'GOOD' if right else 'SECRET'}{number} twice {number}. The answer is {2 * number if right else 1}.0.\n\nQ"
    )


def texts(backend: ScriptedBackend) -> list[str]:
    return [str(request.prompt.text) for request in backend.requests]


def test_only_rationales_that_end_in_the_target_are_kept() -> None:
    backend = ScriptedBackend(reasons)
    examples = [example(n) for n in range(1, 11)]
    predictor = ChainOfThought(TASK, shots=3, samples=2, bootstrap=True, select="first").fit(examples, backend)
    assert [demo.rationale for demo in predictor.plan.demos] == [f"GOOD{n} twice {n}." for n in (2, 4, 6)]
    notes = predictor.notes["bootstrap"]
    counts = {name: notes[name] for name in ("given", "tried", "kept", "dropped", "failed")}
    assert counts == {"given": 0, "tried": 10, "kept": 5, "dropped": 4, "failed": 1}
    assert notes["prompt_tokens"] > 0 and notes["generated_tokens"] > 0
    assert json.loads(json.dumps(predictor.notes)) == predictor.notes


def test_bootstrapping_asks_greedily_and_once() -> None:
    backend = ScriptedBackend(reasons)
    ChainOfThought(TASK, shots=1, bootstrap=True, bootstrap_items=4).fit([example(n) for n in range(1, 9)], backend)
    requests = [request for request in backend.requests if isinstance(request, Request)]
    assert [asked(request.prompt) for request in requests] == [1, 2, 3, 4]
    assert {(request.sampling.temperature, request.samples) for request in requests} == {(0.0, (0,))}


@pytest.mark.parametrize("select", ["first", "random", "balanced", "nearest", "diverse", "searched"])
def test_a_dropped_rationale_never_reaches_a_prompt(select: str) -> None:
    backend = ScriptedBackend(reasons)
    examples = [example(n) for n in range(1, 9)]
    adapter = ChainOfThought(TASK, shots=4, samples=2, bootstrap=True, select=select, trials=3)  # type: ignore[arg-type]
    predictor = adapter.fit(examples, backend, dev=[example(20), example(22)])
    predictor.predict([example(n).query for n in (*range(30, 40, 2), 1, 3, 7)])
    assert len(texts(backend)) > 8
    assert not any("SECRET" in text for text in texts(backend))
    assert any("GOOD" in text for text in texts(backend))
    assert "SECRET" not in predictor.plan.model_dump_json()


def test_rationales_of_the_data_are_shown_and_kept() -> None:
    backend = ScriptedBackend(reasons)
    examples = [example(40, "GIVEN forty."), *(example(n) for n in range(1, 5))]
    predictor = ChainOfThought(TASK, shots=3, bootstrap=True, select="first").fit(examples, backend)
    assert all("GIVEN forty." in text for text in texts(backend)) and len(texts(backend)) == 4
    assert [demo.id for demo in predictor.plan.demos] == ["e40", "e2", "e4"]
    assert predictor.notes["bootstrap"]["given"] == 1


def test_too_few_kept_say_how_many() -> None:
    with pytest.raises(DataError, match="rationales must be there for at least 4 training examples, got 2"):
        ChainOfThought(TASK, shots=4, bootstrap=True).fit([example(n) for n in range(1, 6)], ScriptedBackend(reasons))


def test_a_test_split_is_refused_before_the_model_is_asked() -> None:
    backend = ScriptedBackend(reasons)
    with pytest.raises(DataError, match="test"):
        ChainOfThought(TASK, shots=1, bootstrap=True).fit(Split("test", tuple(example(n) for n in range(4))), backend)
    assert backend.requests == []


@pytest.mark.parametrize("said", ["", "\n", " The answer is 4."])
def test_an_answer_without_reasoning_is_no_rationale(said: str) -> None:
    answer: Callable[[Request, int], str] = lambda request, index: said  # noqa: E731
    with pytest.raises(DataError, match="got 0"):
        ChainOfThought(TASK, shots=1, bootstrap=True).fit([example(2)], ScriptedBackend(answer))


def test_targets_are_compared_as_the_reasoned_reader_reads_them() -> None:
    """A target that the parser does not know equals no answer, least of all one that it does not know either."""
    letters = TASK.model_copy(
        update={"parsers": {**TASK.parsers, "reasoned": TASK.parsers["reasoned"].model_copy(update={"then": "text"})}}
    )
    word = Example(Query({"question": "What is it?"}, "w"), ("four",))
    backend = ScriptedBackend([" Hm, well. The answer is five."])
    with pytest.raises(DataError, match="got 0"):
        ChainOfThought(letters, shots=1, bootstrap=True).fit([word], backend)
    right = ScriptedBackend([" Hm, well. The answer is four."])
    assert ChainOfThought(letters, shots=1, bootstrap=True).fit([word], right).plan.demos[0].rationale == "Hm, well."


def test_without_bootstrap_the_model_is_not_asked() -> None:
    backend = ScriptedBackend(reasons)
    predictor = ChainOfThought(TASK, shots=1).fit([example(2, "Two twice."), example(4)], backend)
    assert backend.requests == [] and "bootstrap" not in predictor.notes
