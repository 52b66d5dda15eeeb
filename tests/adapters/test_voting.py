"""Waves: nothing is drawn behind the stop, decided questions leave, and everything drawn is paid for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptkit import (
    BetaStop,
    CachedBackend,
    ChainOfThought,
    RemoteBackend,
    ScriptedBackend,
    UnsupportedError,
    WindowStop,
    load_examples,
    load_task,
    vote,
)
from promptkit.adapters.plan import Aggregation
from promptkit.adapters.voting import wave_size
from promptkit.testing import ScriptedServer
from promptkit.types import Completion, Prediction, Request

TASK = load_task("apples")
READER = TASK.parser("reasoned")


def ask(
    answers: list[str], samples: int, questions: int = 1, **settings: Any
) -> tuple[list[Prediction], list[Request]]:
    """Question number q gets the answers from the q-th one on."""

    def answer(request: Request, index: int) -> str:
        number = int(str(request.prompt.text).rpartition("number ")[2].split(".")[0])
        return answers[(number + index) % len(answers)]

    backend = ScriptedBackend(answer)
    predictor = ChainOfThought(TASK, shots=0, samples=samples, **settings).fit([], backend)
    found = predictor.predict([{"question": f"This is number {n}."} for n in range(questions)])
    return found, [request for request in backend.requests if isinstance(request, Request)]


def said(*numbers: object) -> list[str]:
    return [f" way {place}. The answer is {number}." for place, number in enumerate(numbers)]


def test_without_a_stop_all_samples_of_all_questions_are_one_batch() -> None:
    _, requests = ask(said(5), 20, questions=3)
    assert [request.samples for request in requests] == [tuple(range(20))] * 3


def test_the_beta_rule_draws_the_fewest_that_could_decide() -> None:
    _, requests = ask(said(5, 5, 6, 5, 5, 5, 5, 5), 20, stop="beta")
    # 4 could decide; at 3 : 1 it takes 6 : 1
    assert [request.samples for request in requests] == [(0, 1, 2, 3), (4, 5, 6)]


def test_the_window_rule_draws_whole_windows() -> None:
    _, requests = ask(said(5, 5, 6, 7, 7, 7, 7, 7), 12, stop=WindowStop(3))
    assert [request.samples for request in requests] == [(0, 1, 2), (3, 4, 5)]
    _, requests = ask(said(5, 6, 7), 10, stop="window")
    assert [len(request.samples) for request in requests] == [5, 5]


def test_no_more_than_the_given_number_is_drawn() -> None:
    found, requests = ask(said(5, 6), 6, stop="beta")
    assert [request.samples for request in requests] == [(0, 1, 2, 3), (4, 5)]
    assert found[0].samples_used == 6 and found[0].tie


def test_decided_questions_leave_the_batch() -> None:
    calls: list[list[tuple[str, tuple[int, ...]]]] = []

    class Watched(ScriptedBackend):
        def generate(self, requests: Any, **rest: Any) -> Any:
            calls.append([(str(one.prompt.text).rpartition("number ")[2][0], one.samples) for one in requests])
            return super().generate(requests, **rest)

    def answer(request: Request, index: int) -> str:
        return said(index if "number 1" in str(request.prompt.text) else 5)[0]

    predictor = ChainOfThought(TASK, shots=0, samples=8, stop="beta").fit([], Watched(answer))
    seen: list[tuple[int, int]] = []
    queries = [{"question": f"number {n}"} for n in range(3)]
    found = predictor.predict(queries, progress=lambda done, total: seen.append((done, total)))
    assert calls == [[("0", (0, 1, 2, 3)), ("1", (0, 1, 2, 3)), ("2", (0, 1, 2, 3))], [("1", (4, 5, 6, 7))]]
    assert seen == [(2, 3), (3, 3)]
    assert [one.samples_used for one in found] == [4, 8, 4]


def test_everything_drawn_is_paid_for() -> None:
    found, requests = ask(said(5, 5, 6, 5, 5, 5, 5, 5), 20, stop="beta")
    usage = found[0].usage
    assert usage.calls == len(requests) == 2
    assert usage.generated_tokens == sum(one.tokens for one in found[0].completions) > 0
    assert len(found[0].completions) == found[0].samples_used == 7
    (single,), _ = ask(said(5), 1, stop="none")
    assert usage.prompt_tokens == 2 * single.usage.prompt_tokens  # once a wave, not once a sample


def test_progress_of_a_single_wave_is_told_as_it_goes() -> None:
    seen: list[tuple[int, int]] = []
    predictor = ChainOfThought(TASK, shots=0, samples=3).fit([], ScriptedBackend(said(5)))
    predictor.predict([{"question": str(n)} for n in range(3)], progress=lambda a, b: seen.append((a, b)))
    assert seen == [(1, 3), (2, 3), (3, 3), (3, 3)]


def test_a_decided_question_wants_no_more() -> None:
    how = Aggregation(stop="beta")
    assert wave_size([Completion(text) for text in said(5, 5, 5, 5)], how, READER, 20) == 0
    assert wave_size([Completion(text) for text in said(5, 6, 5, 6)], how, READER, 4) == 0


ANSWERS = st.lists(st.sampled_from([*said(5, 6, 7), " way 0. The answer is 5.", " what?"]), min_size=1, max_size=12)
STOPS = st.sampled_from(["none", "beta", "window", BetaStop(0.8), WindowStop(2)])


@given(ANSWERS, STOPS, st.sampled_from(["majority", "distinct"]), st.sampled_from([None, 0.5]), st.integers(1, 15))
def test_waves_draw_what_a_check_after_every_sample_would_draw(
    answers: list[str], stop: Any, rule: Any, near: float | None, samples: int
) -> None:
    found, requests = ask(answers, samples, questions=3, stop=stop, vote=rule, near=near)
    for number, prediction in enumerate(found):
        whole = [answers[(number + index) % len(answers)] for index in range(samples)]
        expected = vote(whole, parser=READER, rule=rule, stop=stop, near=near)
        assert len(prediction.completions) == prediction.samples_used == expected.samples_used
        assert prediction.answer == expected.answer
        assert dict(prediction.votes) == dict(expected.votes)
        assert [one.index for one in prediction.completions] == list(range(expected.samples_used))
    assert sum(len(request.samples) for request in requests) == sum(one.samples_used for one in found)


@pytest.mark.parametrize("stop", ["none", "beta", "window"])
def test_questions_do_not_disturb_each_other(stop: str) -> None:
    answers = said(5, 6, 5, 7, 5, 5, 5, 6)
    together, _ = ask(answers, 10, questions=6, stop=stop)
    for number, prediction in enumerate(together):
        alone, _ = ask(answers[number:] + answers[:number], 10, stop=stop)
        assert (prediction.answer, dict(prediction.votes)) == (alone[0].answer, dict(alone[0].votes))


def test_weighted_votes_without_logprobs_are_refused_before_anything_is_paid(tmp_path: Path) -> None:
    data = load_examples("apples")
    queries = [example.query for example in data.test[:3]]
    adapter = ChainOfThought(TASK, shots=1, samples=3, vote="weighted")
    with ScriptedServer(ScriptedBackend(["It is so. The answer is 5."], chat=True)) as server:
        with RemoteBackend(server.base_url, "scripted", logprobs=True) as able:
            fitted = adapter.fit(data.train, able)
            assert {one.answer for one in fitted.predict(queries)} == {"5"}
            fitted.save(tmp_path / "saved")
        paid = len(server.seen)
        with RemoteBackend(server.base_url, "scripted") as backend:
            for refusing in (backend, CachedBackend(backend, tmp_path / "answers.sqlite")):
                with pytest.raises(UnsupportedError, match="needs log-probabilities.*set logprobs=True"):
                    adapter.fit(data.train, refusing)
                predictor = replace(fitted, backend=refusing)
                with pytest.raises(UnsupportedError, match="needs log-probabilities"):
                    predictor.predict(queries)
                recorded = predictor.predict(queries, on_error="record")
                assert all("needs log-probabilities" in (one.error or "") for one in recorded)
        assert len([seen for seen in server.seen[paid:] if seen.body is not None]) == 0
