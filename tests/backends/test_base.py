from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from promptkit import CachedBackend
from promptkit.backends.base import Backend, first_error, replies, unwrap
from promptkit.backends.scripted import ScriptedBackend
from promptkit.errors import PromptkitError
from promptkit.types import Prompt, Reply, Request

HELLO = Prompt(text="Hello")


def test_shipped_backends_follow_the_protocol() -> None:
    assert isinstance(ScriptedBackend(), Backend)
    assert not isinstance(object(), Backend)


def test_replies_tell_of_each_request_and_a_failure_costs_only_itself() -> None:
    backend = ScriptedBackend({"good": "yes"})
    asked = [Request(Prompt(text=text)) for text in ("good 1", "bad", "good 2")]
    found = dict(replies(backend, asked))
    assert [type(found[place]).__name__ for place in range(3)] == ["Reply", "BackendError", "Reply"]
    assert dict(replies(backend, [])) == {}


def test_replies_are_left_to_a_backend_that_has_them() -> None:
    class Own(ScriptedBackend):
        def replies(self, requests: object) -> Iterator[tuple[int, Reply | PromptkitError]]:
            yield 0, Reply(())

    assert dict(replies(Own(["x"]), [Request(Prompt(text="a"))])) == {0: Reply(())}


def test_many_requests_are_asked_some_at_a_time() -> None:
    backend = ScriptedBackend(lambda request, index: request.prompt.text or "")
    found = dict(replies(backend, [Request(Prompt(text=f"q{n}")) for n in range(600)]))
    assert [found[n].completions[0].text for n in range(600)] == [f"q{n}" for n in range(600)]  # type: ignore[union-attr]
    assert backend._calls == 10


def test_the_first_error_is_raised_and_the_rest_given_up() -> None:
    ended = []

    def found() -> Iterator[tuple[int, int | Exception]]:
        try:
            yield 1, 11
            yield 0, KeyError("oops")
            yield 2, 12
        finally:
            ended.append(True)

    told: list[tuple[int, int]] = []
    with pytest.raises(KeyError, match="oops"):
        first_error(found(), 3, lambda *done: told.append(done))
    assert (told, ended) == ([(1, 3)], [True])
    assert first_error([(1, "b"), (0, "a")], 2, None) == ["a", "b"]


def test_the_model_is_found_behind_whatever_stands_in_front_of_it(tmp_path: Path) -> None:
    model = ScriptedBackend(["x"])
    cached = CachedBackend(CachedBackend(model, tmp_path / "a.sqlite"), tmp_path / "b.sqlite")
    assert unwrap(cached) is unwrap(model) is model
    model.backend = "vllm"  # type: ignore[attr-defined]  # a stranger's attribute of that name is no model
    assert unwrap(cached) is model
