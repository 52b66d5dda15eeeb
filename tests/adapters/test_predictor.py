from __future__ import annotations

import pytest

from promptkit import BackendError, ContextLengthError, DataError, FewShot, ScriptedBackend, load_task
from promptkit.adapters import PlanPredictor
from promptkit.types import Example, Query, Request

TASK = load_task("tickets")
POOL = [Example(Query({"message": f"message number {i}"}, f"t{i}"), (TASK.labels[i % 6],)) for i in range(12)]


def fitted(backend: ScriptedBackend, shots: int = 4) -> PlanPredictor:
    return FewShot(TASK, shots=shots, select="first").fit(POOL, backend)


def test_whole_demonstrations_are_dropped_until_the_prompt_fits() -> None:
    wide = fitted(ScriptedBackend([" Harbor\n\n"]))
    query = Query({"message": "where is my parcel"})
    full = wide.backend.count_tokens(wide.ask(query).prompt) + TASK.max_new_tokens["direct"]
    tight = fitted(ScriptedBackend([" Harbor\n\n"], context_window=full - 1))
    prediction = tight.predict([query])[0]
    assert (prediction.shots, prediction.dropped_shots) == (3, 1)
    assert [demo.id for demo in tight.ask(query).demos] == ["t1", "t2", "t3"]
    exact = fitted(ScriptedBackend([" Harbor\n\n"], context_window=full))
    assert exact.predict([query])[0].dropped_shots == 0


def test_a_question_that_does_not_fit_is_an_error_and_is_never_cut() -> None:
    backend = ScriptedBackend([" Harbor\n\n"], context_window=40)
    with pytest.raises(ContextLengthError, match=r"query 'long'.*context window of 40; shorten the question"):
        fitted(backend).predict([Query({"message": "word " * 60}, "long")])
    assert backend.requests == []


def test_recorded_failures_cost_only_themselves() -> None:
    def answer(request: Request, index: int) -> str:
        if "broken" in (request.prompt.text or ""):
            raise BackendError("the model gave up")
        return " Harbor\n\n"

    predictor = fitted(ScriptedBackend(answer, context_window=120), shots=0)
    queries = [{"message": "fine"}, {"message": "broken"}, {"message": "word " * 200}, {"message": "fine too"}]
    found = predictor.predict(queries, on_error="record")
    assert [p.answer for p in found] == ["Harbor", None, None, "Harbor"]
    assert [p.error is None for p in found] == [True, False, False, True]
    assert "gave up" in str(found[1].error)
    assert "context window" in str(found[2].error)
    with pytest.raises(BackendError, match="gave up"):
        predictor.predict(queries[:2])


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ({"text": "x"}, "lacks field 'message'; has unknown field 'text'"),
        ({"message": 5}, "field 'message' must be a text, got int"),
        ({"message": " \n"}, "says nothing"),
        (POOL[0], "is an Example, which holds the answer"),
    ],
)
def test_bad_queries_are_named_before_the_model_is_called(query: object, reason: str) -> None:
    backend = ScriptedBackend([" Harbor\n\n"])
    with pytest.raises(DataError) as caught:
        fitted(backend).predict([{"message": "good"}, query])  # type: ignore[list-item]
    text = str(caught.value)
    assert text.startswith("1 of 2 queries do not fit task 'tickets': query 2:") or "query 2" in text
    assert reason in text or isinstance(query, Example)
    assert backend.requests == []


def test_a_single_query_instead_of_a_list_is_refused() -> None:
    with pytest.raises(DataError, match="put it into a list"):
        fitted(ScriptedBackend()).predict({"message": "x"})  # type: ignore[arg-type]


def test_unreadable_text_is_no_answer() -> None:
    prediction = fitted(ScriptedBackend([" no such team\n\n"])).predict([{"message": "x"}])[0]
    assert prediction.answer is None
    assert prediction.error is None
    assert prediction.text == " no such team"


def test_costs_add_up_and_are_shared() -> None:
    found = fitted(ScriptedBackend([" Harbor\n\n"])).predict([{"message": "a"}, {"message": "b"}])
    assert all(p.usage.calls == 1 and p.usage.prompt_tokens > 20 for p in found)
    assert found[0].usage.seconds == found[1].usage.seconds > 0


def test_progress_is_told() -> None:
    seen: list[tuple[int, int]] = []
    fitted(ScriptedBackend([" Harbor\n\n"])).predict(
        [{"message": str(i)} for i in range(3)], progress=lambda a, b: seen.append((a, b))
    )
    assert seen[-1] == (3, 3)


def test_chat_models_get_messages() -> None:
    backend = ScriptedBackend(["Harbor"], chat=True)
    assert fitted(backend, shots=2).predict([{"message": "hi"}])[0].answer == "Harbor"
    request = backend.requests[0]
    assert [m.role for m in request.prompt.messages] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert request.prompt.text is None
