from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptkit.backends.local.backend import LocalBackend
from promptkit.backends.streaming import Piecewise, TextPieces
from promptkit.errors import ContextLengthError, SettingError
from promptkit.types import Completion, Message, Prompt, Reply, Request, Sampling


@cache
def loaded(folder: Path) -> LocalBackend:
    return LocalBackend(folder)


def read(backend: LocalBackend, request: Request) -> tuple[list[str], Reply]:
    pieces, found = backend.stream(request), []
    while True:
        try:
            found.append(next(pieces))
        except StopIteration as end:
            return found, end.value


@pytest.mark.parametrize("shape", ["llama", "gpt2", "t5"])
@pytest.mark.parametrize("heat", [0.0, 1.0, 3.0])
def test_the_pieces_are_the_text_of_generate(tiny: Callable[..., Path], shape: str, heat: float) -> None:
    backend = loaded(tiny(shape))
    for text in ("Question: how many?\nAnswer:", "什么是苹果?", "a"):
        request = Request(Prompt(text=text), Sampling(24, heat, stop=("\n\n", "e", " an")), 5)
        pieces, reply = read(backend, request)
        whole = backend.generate([request])[0]
        assert "".join(pieces) == whole.completions[0].text
        assert reply.completions == whole.completions
        assert reply.usage.generated_tokens == whole.usage.generated_tokens
        assert "" not in pieces


def test_a_chat_prompt_and_a_schema_stream_too(tiny: Callable[..., Path]) -> None:
    backend = loaded(tiny("llama", chat=True))
    request = Request(Prompt(messages=(Message("user", "Hi"),)), Sampling(16, schema='{"type": "array"}'), samples=(3,))
    pieces, reply = read(backend, request)
    assert "".join(pieces) == reply.completions[0].text
    assert reply.completions[0].index == 3


def test_bad_requests_are_refused(tiny: Callable[..., Path]) -> None:
    backend = loaded(tiny("llama"))
    with pytest.raises(SettingError, match="samples must be one index"):
        next(backend.stream(Request(Prompt(text="a"), samples=(0, 1))))
    with pytest.raises(ContextLengthError):
        next(backend.stream(Request(Prompt(text="a " * 600))))


def test_a_stream_that_is_left_ends_the_work_and_frees_the_model(
    tiny: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from promptkit.backends.local import forward as local_runs

    backend, fed = loaded(tiny("llama")), []
    feed = local_runs.CausalRun.feed
    monkeypatch.setattr(local_runs.CausalRun, "feed", lambda self, *args: fed.append(1) or feed(self, *args))
    pieces = backend.stream(Request(Prompt(text="Question:"), Sampling(400, 1.0)))
    next(pieces)
    pieces.close()
    for thread in threading.enumerate():
        if thread.name == "promptkit-pieces":
            thread.join(60)
    assert len(fed) < 390
    assert backend.generate([Request(Prompt(text="Question:"), Sampling(4))])[0].completions[0].tokens <= 4


TEXT = st.text(st.sampled_from("aé苹🍎 \n"), max_size=12)


@given(TEXT, st.lists(st.sampled_from(["a\n", "\n\n", "苹a", "🍎"]), max_size=2), st.integers(1, 3))
def test_pieces_of_bytes_never_show_half_a_character_or_a_stop_text(text: str, stop: list[str], size: int) -> None:
    """Tokens are byte strings here, cut without regard to characters."""
    data = text.encode()
    tokens = [data[at : at + size] for at in range(0, len(data), size)]
    decode = lambda before, new: b"".join(tokens[n] for n in new).decode("utf-8", "replace")  # noqa: E731
    ends = [at for mark in stop if (at := text.find(mark)) >= 0]
    final = text[: min(ends)] if ends else text
    shown: list[str] = []
    pieces = TextPieces(decode, (), stop, shown.append)
    for count in range(1, len(tokens)):
        pieces.grow(list(range(count)))
        assert final.startswith("".join(shown))
    pieces.finish(Completion(final))
    assert "".join(shown) == final


def test_piecewise_hands_on_errors_and_results() -> None:
    def fails(on_text: Callable[[str], None]) -> None:
        on_text("one")
        raise ValueError("no")

    pieces = Piecewise(fails).pieces()
    assert next(pieces) == "one"
    with pytest.raises(ValueError, match="no"):
        next(pieces)


def test_a_slow_reader_does_not_hold_up_the_work() -> None:
    done = threading.Event()

    def work(on_text: Callable[[str], None]) -> str:
        for _ in range(1000):
            on_text("x")
        done.set()
        return "end"

    pieces = Piecewise(work).pieces()
    assert next(pieces) == "x"
    assert done.wait(30)
    assert len(list(pieces)) == 999
