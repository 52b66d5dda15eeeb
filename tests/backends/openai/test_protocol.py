from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptkit.backends.openai.protocol import Wire, sample_seed, seed_sample
from promptkit.errors import SettingError
from promptkit.types import Message, Prompt, Request, Sampling

TEXT = Prompt(text="2 + 2 =")
CHAT = Prompt(messages=(Message("system", "Be brief."), Message("user", "2 + 2 =")))


@given(st.integers(-(2**70), 2**70), st.text(), st.integers(0, 10**6))
def test_seeds_are_what_every_server_takes_and_hold_the_index(seed: int, text: str, index: int) -> None:
    found = sample_seed(seed, Prompt(text=text), index)
    assert 0 <= found < 2**31
    assert seed_sample(found) == index % 2**14


def test_seeds_depend_on_seed_prompt_and_index() -> None:
    seeds = {sample_seed(seed, prompt, index) for seed in (0, 1) for prompt in (TEXT, CHAT) for index in range(50)}
    assert len(seeds) == 200
    assert sample_seed(0, TEXT, 3) != sample_seed(0, TEXT, 3 + 2**14)


def test_a_sampled_request_is_one_call_a_sample() -> None:
    request = Request(TEXT, Sampling(max_new_tokens=9, temperature=0.5, top_p=0.9, stop=("\n",)), 7, (4, 5))
    calls = Wire("m").calls(request)
    assert [call.samples for call in calls] == [(4,), (5,)]
    assert calls[0].path == "/completions"
    assert calls[0].body == {
        "model": "m",
        "prompt": "2 + 2 =",
        "max_tokens": 9,
        "temperature": 0.5,
        "top_p": 0.9,
        "stop": ["\n"],
        "seed": sample_seed(7, TEXT, 4),
    }


def test_without_seeds_samples_come_by_n() -> None:
    (call,) = Wire("m", seeds=False).calls(Request(CHAT, Sampling(temperature=1.0), 7, (4, 5, 6)))
    assert (call.path, call.samples, call.body["n"]) == ("/chat/completions", (4, 5, 6), 3)
    assert "seed" not in call.body
    assert call.body["messages"][1] == {"role": "user", "content": "2 + 2 ="}


def test_greedy_needs_no_seed() -> None:
    (call,) = Wire("m").calls(Request(TEXT))
    assert "seed" not in call.body
    assert call.body["temperature"] == 0.0


def test_what_else_is_asked_for() -> None:
    wire = Wire("m", logprobs=True, max_tokens_name="max_completion_tokens", extra={"reasoning_effort": "low"})
    schema = json.dumps({"type": "object"})
    chat = wire.calls(Request(CHAT, Sampling(schema=schema)))[0].body
    assert (chat["logprobs"], chat["max_completion_tokens"], chat["reasoning_effort"]) == (True, 64, "low")
    assert chat["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert wire.calls(Request(TEXT))[0].body["logprobs"] == 1
    streamed = wire.streamed(Request(TEXT)).body
    assert (streamed["stream"], streamed["stream_options"]) == (True, {"include_usage": True})


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"extra": {"seed": 1}}, "extra must be without seed"),
        ({"extra": {"messages": [], "model": "x"}}, "extra must be without messages, model"),
        ({"extra": {"x": object()}}, "extra must be a mapping of JSON values"),
        ({"extra": {"x": float("nan")}}, "extra must be a mapping of JSON values"),
        ({"max_tokens_name": "tokens"}, "max_tokens_name must be"),
    ],
)
def test_what_would_change_a_request_behind_its_back_is_refused(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(SettingError, match=reason):
        Wire("m", **settings)
