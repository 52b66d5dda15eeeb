"""The backend before the model: asks for what is new, keeps it, and takes no request for another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from promptkit.backends import Backend, CachedBackend, ScriptedBackend
from promptkit.backends.base import replies
from promptkit.errors import BackendError, PromptkitError
from promptkit.ladder.journal import Journal
from promptkit.ladder.journaled_backend import CHUNK, JournaledBackend
from promptkit.types import Message, Prompt, Reply, Request, Sampling, ScoreRequest, Weights

BASE = Request(Prompt(text="2 + 2 ="))
SOFT = Weights("soft_prompt", {}, {"prompt_embeddings": np.ones((2, 4), np.float32)}, "base")
LORA = Weights("lora", {"r": 1}, {"a": np.ones((1, 4), np.float32)}, "base")
CHANGES = {
    "prompt": [Prompt(text="2 + 3 ="), Prompt(messages=(Message("user", "2 + 2 ="),))],
    "seed": [1],
    "samples": [(1,), (0, 1)],
    "soft_prompt": [SOFT, replace(SOFT, tensors={"prompt_embeddings": np.zeros((2, 4), np.float32)})],
    "lora": [LORA, replace(LORA, base="other")],
}
SAMPLINGS = {"max_new_tokens": 5, "temperature": 0.5, "top_p": 0.5, "stop": ("x",), "schema": '{"type": "string"}'}


def wrapped(journal: Journal | None = None) -> tuple[ScriptedBackend, JournaledBackend]:
    model = ScriptedBackend(lambda request, index: f" {index}", scores=lambda request, text: -float(len(text)))
    return model, JournaledBackend(model, journal if journal is not None else Journal(None))


def variants() -> list[Request]:
    found = [BASE]
    for name, values in CHANGES.items():
        found += [replace(BASE, **{name: value}) for value in values]
    return found + [replace(BASE, sampling=replace(Sampling(), **{name: v})) for name, v in SAMPLINGS.items()]


def test_every_field_of_a_request_makes_it_another() -> None:
    assert {field.name for field in fields(Request)} == {*CHANGES, "sampling"}
    assert {field.name for field in fields(Sampling)} == set(SAMPLINGS)
    _, backend = wrapped()
    asked = []
    backend.backend = replace_generate(asked)
    for request in variants() * 2:
        backend.generate([request])
    assert len(asked) == len(variants())


def replace_generate(asked: list[Request]) -> ScriptedBackend:
    """A model that answers anything and notes it."""
    from promptkit.types import Completion, Reply

    class Anything(ScriptedBackend):
        def generate(self, requests, *, progress=None):  # type: ignore[no-untyped-def]
            asked.extend(requests)
            return [Reply(tuple(Completion("x", index=index) for index in one.samples)) for one in requests]

    return Anything()


def test_answers_equal_those_of_the_model_and_are_asked_once(tmp_path: Path) -> None:
    model, backend = wrapped(Journal(tmp_path / "journal"))
    requests = [replace(BASE, seed=seed, samples=(0, 1, 2)) for seed in (1, 2, 1)]
    expected = ScriptedBackend(lambda request, index: f" {index}").generate(requests)
    assert backend.generate(requests) == expected
    assert len(model.requests) == 2 and backend.spent.calls == 2
    later, again = wrapped(Journal(tmp_path / "journal"))
    assert again.generate(requests) == expected
    assert not later.requests and again.spent == backend.spent


def test_scores_are_kept_too() -> None:
    model, backend = wrapped()
    requests = [ScoreRequest(Prompt(text="2 + 2 ="), (" 4", " five")), ScoreRequest(Prompt(text="1 ="), (" 1",))]
    assert backend.score(requests) == backend.score(requests) == model.score(requests)
    assert backend.spent.calls == 2 and len(model.requests) == 4
    other = ScoreRequest(Prompt(text="2 + 2 ="), (" 4", " 5"))
    assert backend.score([other]) == model.score([other])


def test_a_failed_call_is_not_kept() -> None:
    model = ScriptedBackend([" yes"], fail_on=[0])
    backend = JournaledBackend(model, Journal(None))
    with pytest.raises(BackendError):
        backend.generate([BASE])
    assert backend.generate([BASE])[0].completions[0].text == " yes"


def test_long_lists_go_out_in_parts_so_that_a_kill_loses_little() -> None:
    journal = Journal(None)
    parts: list[int] = []
    model = ScriptedBackend([" yes"])
    generate = model.generate
    model.generate = lambda requests, **rest: parts.append(len(requests)) or generate(requests, **rest)  # type: ignore[method-assign]
    backend = JournaledBackend(model, journal)
    seen: list[tuple[int, int]] = []
    requests = [replace(BASE, seed=seed) for seed in range(CHUNK + 10)]
    backend.generate(requests[:5])
    backend.generate(requests, progress=lambda done, total: seen.append((done, total)))
    assert parts == [5, CHUNK, 5]
    assert seen[0] == (6, CHUNK + 10) and seen[-1] == (CHUNK + 10, CHUNK + 10)


def test_it_passes_for_the_model() -> None:
    model, backend = wrapped()
    assert isinstance(backend, ScriptedBackend) and isinstance(backend, Backend)
    assert (backend.name, backend.chat, backend.context_window) == (model.name, model.chat, model.context_window)
    assert backend.fingerprint() == model.fingerprint() and backend.count_tokens(BASE.prompt) > 0
    assert backend.requests is model.requests


def test_a_model_that_tells_of_each_request_is_journaled_too(tmp_path: Path) -> None:
    class Telling(ScriptedBackend):
        def replies(self, requests: Sequence[Request]) -> Iterator[tuple[int, Reply | PromptkitError]]:
            for place in reversed(range(len(requests))):
                if "bad" in str(requests[place].prompt.text):
                    yield place, BackendError("no")
                else:
                    yield place, self.generate([requests[place]])[0]

    model = Telling(lambda request, index: str(request.prompt.text))
    asked = [Request(Prompt(text=text)) for text in ("a", "bad", "b", "a", "bad")]
    backend = JournaledBackend(model, Journal(tmp_path / "journal.jsonl"))
    first = dict(replies(backend, asked))
    assert [isinstance(first[place], Reply) for place in range(5)] == [True, False, True, True, False]
    assert (len(model.requests), backend.spent.calls) == (2, 2)
    again = dict(replies(JournaledBackend(model, Journal(tmp_path / "journal.jsonl")), asked))
    assert [again[place] for place in (0, 2, 3)] == [first[place] for place in (0, 2, 3)]
    assert len(model.requests) == 2


def test_half_of_a_batch_is_kept_when_it_is_cut_off(tmp_path: Path) -> None:
    class Telling(ScriptedBackend):
        def replies(self, requests: Sequence[Request]) -> Iterator[tuple[int, Reply | PromptkitError]]:
            yield from ((place, self.generate([request])[0]) for place, request in enumerate(requests))

    asked = [replace(BASE, seed=seed) for seed in range(5)]
    told = JournaledBackend(Telling([" yes"]), Journal(tmp_path / "journal.jsonl")).replies(asked)
    assert [next(told)[0], next(told)[0]] == [0, 1]
    later = Telling([" yes"])
    JournaledBackend(later, Journal(tmp_path / "journal.jsonl")).generate(asked)
    assert [request.seed for request in later.requests] == [2, 3, 4]


def test_a_model_without_replies_has_none_in_front_of_it_either() -> None:
    assert not hasattr(JournaledBackend(ScriptedBackend(["x"]), Journal(None)), "replies")


def test_behind_a_cache_it_passes_for_the_same_model_and_knows_the_same_answers(tmp_path: Path) -> None:
    model, backend = wrapped(Journal(tmp_path / "journal"))
    requests = [replace(BASE, seed=seed, samples=(0, 1)) for seed in range(3)]
    scored = [ScoreRequest(Prompt(text="2 + 2 ="), (" 4", " five"))]
    first = backend.generate(requests), backend.score(scored)
    with CachedBackend(model, tmp_path / "answers.sqlite") as cached:
        again = JournaledBackend(cached, Journal(tmp_path / "journal"))
        assert isinstance(again, ScriptedBackend) and again.requests is model.requests
        before = len(model.requests)
        assert (again.generate(requests), again.score(scored)) == first
        assert len(model.requests) == before and cached.stats.misses == 0
        assert again.spent == backend.spent
        fresh = JournaledBackend(cached, Journal(None))
        assert [one.completions for one in fresh.generate(requests)] == [one.completions for one in first[0]]
        assert cached.stats.misses == 6
        other = JournaledBackend(cached, Journal(None))
        assert [one.completions for one in other.generate(requests)] == [one.completions for one in first[0]]
        # What the cache knew costs no time, and in the record as many calls and tokens as it did.
        assert (cached.stats.hits, other.spent) == (6, fresh.spent)
