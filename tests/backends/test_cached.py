from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import promptkit as pk
from promptkit import (
    BackendError,
    CachedBackend,
    Prompt,
    RemoteBackend,
    Request,
    Sampling,
    ScoreRequest,
    ScriptedBackend,
    SettingError,
    UnsupportedError,
)
from promptkit.backends.cached import CacheStats
from promptkit.testing import check_adapter
from promptkit.types import Completion, Reply, Usage
from tests.support import learned, shipped
from tests.support.server import ScriptedServer


def ask(text: str = "q", *samples: int, **sampling: Any) -> Request:
    return Request(Prompt(text=text), Sampling(**{"temperature": 1.0, **sampling}), samples=samples or (0,))


def drawn(model: ScriptedBackend) -> int:
    return sum(len(one.samples) for one in model.requests if isinstance(one, Request))


def says(request: Request, index: int) -> str:
    return f" {request.prompt.text} {index}"


@pytest.fixture
def model() -> ScriptedBackend:
    return ScriptedBackend(says)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "answers.sqlite"


def test_twenty_after_five_ask_for_fifteen(model: ScriptedBackend, path: Path) -> None:
    with CachedBackend(model, path) as backend:
        backend.generate([ask("q", *range(5))])
        twenty = backend.generate([ask("q", *range(20))])[0]
        assert drawn(model) == 20
        assert [(one.index, one.text) for one in twenty.completions] == [(n, f" q {n}") for n in range(20)]
        assert backend.generate([ask("q", 19, 3)])[0].completions == (twenty.completions[19], twenty.completions[3])
        assert backend.stats == CacheStats(hits=7, misses=20)


def test_answers_outlive_the_process_that_asked(model: ScriptedBackend, path: Path) -> None:
    with CachedBackend(model, path) as backend:
        first = backend.generate([ask("a", 0, 1), ask("b")])
    fresh = ScriptedBackend(says)
    with CachedBackend(fresh, path) as backend:
        again = backend.generate([ask("a", 0, 1), ask("b")])
    assert fresh.fingerprint() == model.fingerprint()
    assert [reply.completions for reply in again] == [reply.completions for reply in first]
    assert fresh.requests == []


def test_what_a_remembered_answer_costs(model: ScriptedBackend, path: Path) -> None:
    with CachedBackend(model, path) as backend:
        asked = backend.generate([ask("one two", 0, 1)])[0].usage
        known = backend.generate([ask("one two", 0, 1)])[0].usage
        partly = backend.generate([ask("one two", 0, 1, 2)])[0].usage
    assert (asked.calls, asked.prompt_tokens, asked.cached_tokens) == (1, 2, 0)
    assert known == Usage(0, 2, 2, asked.generated_tokens, 0.0)
    # Two prompts were read in all, one of them before.
    assert (partly.calls, partly.prompt_tokens, partly.cached_tokens) == (1, 4, 2)
    assert partly.generated_tokens == asked.generated_tokens // 2 * 3


@pytest.mark.parametrize("seeds", [True, False])
def test_costs_in_tokens_do_not_depend_on_the_cache(path: Path, seeds: bool) -> None:
    requests = [ask(f"what is {n}", *range(n, 2 * n + 1)) for n in range(4)]
    with (
        ScriptedServer(ScriptedBackend(says)) as server,
        RemoteBackend(server.base_url, "scripted", seeds=seeds) as remote,
        CachedBackend(remote, path) as backend,
    ):
        first, again = backend.generate(requests), backend.generate(requests)
    for one, other in zip(first, again, strict=True):
        assert one.completions == other.completions
        assert one.usage.prompt_tokens == other.usage.prompt_tokens == other.usage.cached_tokens
        assert one.usage.generated_tokens == other.usage.generated_tokens
        assert (other.usage.calls, other.usage.seconds) == (0, 0)


def test_equal_samples_of_one_call_are_asked_for_once(model: ScriptedBackend, path: Path) -> None:
    with CachedBackend(model, path) as backend:
        replies = backend.generate([ask("q", 0, 1), ask("q", 1, 2), ask("q", 2, 0), ask("q", 0, 1)])
    assert drawn(model) == 3
    assert [[one.text for one in reply.completions] for reply in replies] == [
        [" q 0", " q 1"],
        [" q 1", " q 2"],
        [" q 2", " q 0"],
        [" q 0", " q 1"],
    ]


def test_it_shows_the_face_of_the_model_underneath(path: Path) -> None:
    model = ScriptedBackend(["x"], name="m", chat=True, context_window=99)
    with CachedBackend(model, path) as backend:
        assert isinstance(backend, pk.Backend)
        assert (backend.name, backend.chat, backend.context_window) == ("m", True, 99)
        assert backend.fingerprint() == model.fingerprint()
        assert backend.count_tokens(Prompt(text="a b")) == 2
        assert backend.backend is model


def test_learned_weights_of_a_request_are_told_apart(path: Path, tiny: Callable[..., Path]) -> None:
    from promptkit.backends.local.backend import LocalBackend

    model = LocalBackend(tiny("llama"))
    softs, loras = (None, learned.soft_prompt(model), learned.prefix(model)), (None, learned.lora(model, 1))
    base = Request(Prompt(text="Review: a fine film"), Sampling(max_new_tokens=6))
    requests = [replace(base, soft_prompt=soft, lora=lora) for soft in softs for lora in loras]
    requests.append(replace(base, lora=learned.lora(model, 2)))
    scored = [ScoreRequest(one.prompt, (" a", " b"), one.soft_prompt, one.lora) for one in requests]
    wanted, scores = model.generate(requests), model.score(scored)
    assert len({reply.completions for reply in wanted}) == len(set(scores)) == len(requests)
    texts = [reply.completions[0].text for reply in wanted]
    with CachedBackend(model, path) as backend:
        for one, text, request, row in zip(requests, texts, scored, scores, strict=True):
            assert backend.generate([one])[0].completions[0].text == text
            assert [value for value, _ in backend.score([request])[0]] == pytest.approx([value for value, _ in row])
        alone = backend.generate(requests), backend.score(scored)
    with CachedBackend(Silent(model), path) as backend:
        assert (backend.generate(requests), backend.score(scored)) == alone
        assert backend.stats == CacheStats(hits=len(requests) * 3)


class Silent:
    """A model that says who it is, and answers nothing."""

    def __init__(self, model: Any) -> None:
        self.name, self.chat, self.context_window = model.name, model.chat, model.context_window
        self.cache_scope, self.count_tokens, self.fingerprint = model.cache_scope, model.count_tokens, model.fingerprint

    def generate(self, requests: Any, *, progress: Any = None) -> list[Reply]:
        raise AssertionError("it was asked")

    score = generate


def test_progress_is_told(model: ScriptedBackend, path: Path) -> None:
    told: list[tuple[int, int]] = []
    with CachedBackend(model, path) as backend:
        backend.generate([ask("a")])
        backend.generate([ask("a"), ask("b"), ask("c")], progress=lambda *done: told.append(done))
        assert backend.generate([]) == []
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_failures_are_not_remembered_and_cost_only_themselves(path: Path) -> None:
    model = ScriptedBackend({"good": "yes", "": "yes"}, fail_on={0, 2})
    with CachedBackend(model, path) as backend:
        found = dict(backend.replies([ask("good 1"), ask("bad"), ask("good 2")]))
        assert [isinstance(found[place], Reply) for place in range(3)] == [True, False, True]
        assert backend.stats.misses == 3
        before = len(model.requests)
        assert len(backend.generate([ask("good 1"), ask("good 2"), ask("bad")])) == 3
        assert len(model.requests) == before + 1


def test_what_was_answered_before_a_failure_is_kept(path: Path) -> None:
    model = ScriptedBackend({"good": "yes"})
    with CachedBackend(model, path) as backend:
        with pytest.raises(BackendError, match="no key fits"):
            backend.generate([ask("good"), ask("unknown"), ask("good too")])
        before = drawn(model)
        backend.generate([ask("good")])
        assert drawn(model) == before


def test_a_reply_that_is_not_what_was_asked_for_is_neither_given_nor_kept(path: Path) -> None:
    class Odd(ScriptedBackend):
        wrong: tuple[Completion, ...] = ()

        def generate(self, requests: Any, *, progress: Any = None) -> list[Reply]:
            return [Reply(self.wrong) for _ in requests]

    model = Odd(["x"])
    with CachedBackend(model, path) as backend:
        for wrong in ((), (Completion("x", index=1),), (Completion("x", "error"),), (Completion("x"), Completion("y"))):
            model.wrong = wrong
            with pytest.raises(BackendError, match="must hold whole completions"):
                backend.generate([ask()])
        model.wrong = (Completion("right", "stop"),)
        assert backend.generate([ask()])[0].completions[0].text == "right"


def test_bad_requests_ask_and_look_up_nothing(model: ScriptedBackend, path: Path) -> None:
    with CachedBackend(model, path) as backend, pytest.raises(SettingError, match="requests\\[1\\]"):
        backend.generate([ask("a"), ask("")])
    assert model.requests == []


def test_scores_are_remembered_one_by_one(path: Path) -> None:
    model = ScriptedBackend(scores=lambda request, text: -float(len(text)))
    with CachedBackend(model, path) as backend:
        first = backend.score([ScoreRequest(Prompt(text="p"), (" a", " bb"))])
        again = backend.score(
            [ScoreRequest(Prompt(text="p"), (" ccc", " bb", " a")), ScoreRequest(Prompt(text="q"), (" a",))]
        )
        assert first == [((-2.0, 1), (-3.0, 1))]
        assert again == [((-4.0, 1), (-3.0, 1), (-2.0, 1)), ((-2.0, 1),)]
        asked = [one.continuations for one in model.requests if isinstance(one, ScoreRequest)]
        assert asked == [(" a", " bb"), (" ccc",), (" a",)]
        assert backend.stats == CacheStats(hits=2, misses=4)


def test_streams_are_remembered_when_they_are_whole(path: Path) -> None:
    server = ScriptedServer(ScriptedBackend([" one two three"]), faults=["stream-cut"])
    with (
        server,
        RemoteBackend(server.base_url, "scripted", retries=0) as remote,
        CachedBackend(remote, path) as backend,
    ):
        with pytest.raises(BackendError):
            list(backend.stream(ask()))
        assert list(backend.stream(ask())) == [" one", " two", " three"]
        assert list(backend.stream(ask())) == [" one two three"]
        assert backend.generate([ask()])[0].completions[0].text == " one two three"
        assert len(server.seen) - 1 == 2  # the list of models, a stream that was cut, one that was not


def test_a_model_that_cannot_stream_says_so(model: ScriptedBackend, path: Path) -> None:
    with CachedBackend(model, path) as backend, pytest.raises(UnsupportedError, match="ScriptedBackend cannot stream"):
        list(backend.stream(ask()))


@pytest.mark.parametrize("seeds", [True, False])
def test_a_vote_that_is_repeated_asks_nothing(path: Path, seeds: bool) -> None:
    data, task = shipped("apples"), pk.load_task("apples")
    server = ScriptedServer(ScriptedBackend([" The answer is 5.", " The answer is 6."]))
    with (
        server,
        RemoteBackend(server.base_url, "scripted", seeds=seeds) as remote,
        CachedBackend(remote, path) as backend,
    ):
        predictor = pk.ChainOfThought(task, shots=1, samples=6, stop="beta").fit(data.train, backend)
        first = predictor.predict([example.query for example in data.test[:4]])
        seen = len(server.seen)
        again = predictor.predict([example.query for example in data.test[:4]])
        assert len(server.seen) == seen
    assert [one.votes for one in again] == [one.votes for one in first]
    assert [one.samples_used for one in first] == [6] * 4


def test_adapters_keep_their_contract_over_a_cache_of_a_server(path: Path) -> None:
    data, task = shipped("apples"), pk.load_task("apples")
    server = ScriptedServer(ScriptedBackend([" The answer is 5.", " The answer is 6."]))
    with server, RemoteBackend(server.base_url, "scripted") as remote, CachedBackend(remote, path) as backend:
        check_adapter(pk.ChainOfThought(task, shots=1, samples=3), data.train[:20], backend)


@pytest.fixture
def no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_closing_twice_and_going_on(model: ScriptedBackend, path: Path, no_warnings: None) -> None:
    backend = CachedBackend(model, path)
    backend.generate([ask()])
    backend.close()
    backend.close()
    backend.generate([ask()])
    assert drawn(model) == 1
