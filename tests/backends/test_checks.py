from __future__ import annotations

from typing import Any

import pytest

from promptkit.backends.checks import (
    check_fits,
    check_no_weights,
    check_prompt,
    check_request,
    check_score_request,
    prompt_texts,
)
from promptkit.backends.scripted import ScriptedBackend
from promptkit.errors import ContextLengthError, SettingError, UnsupportedError
from promptkit.types import Message, Prompt, Request, Sampling, ScoreRequest, Weights

HELLO = Prompt(text="Hello")


@pytest.mark.parametrize(
    ("sampling", "message"),
    [
        ({"max_new_tokens": 0}, "requests[0]: max_new_tokens must be an integer of at least 1, got 0"),
        ({"max_new_tokens": True}, "max_new_tokens must be an integer of at least 1, got True"),
        ({"temperature": float("nan")}, "temperature must be a number from 0 to 10, got nan; 0 is greedy decoding"),
        ({"temperature": -0.1}, "temperature must be a number from 0 to 10, got -0.1"),
        ({"temperature": 10.5}, "got 10.5"),
        ({"top_p": 0.0}, "top_p must be a number above 0 and at most 1, got 0.0; 1 keeps every token"),
        ({"top_p": float("nan")}, "top_p must be"),
        ({"stop": ("",)}, "stop must be a tuple of texts that are not empty, got ('',)"),
        ({"stop": "\n"}, "stop must be a tuple of texts"),
    ],
)
def test_sampling_out_of_range_is_refused(sampling: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError) as caught:
        check_request(Request(HELLO, Sampling(**sampling)), of="requests[0]")
    assert message in str(caught.value)


@pytest.mark.parametrize("samples", [(), (1, 1), (-1,), (True,), (0.5,)])
def test_sample_indices_must_be_different_and_whole(samples: Any) -> None:
    with pytest.raises(SettingError, match="samples must be different integers of at least 0, one or more, got"):
        check_request(Request(HELLO, samples=samples), of="requests[0]")


def test_seed_must_be_an_integer() -> None:
    with pytest.raises(SettingError, match="seed must be an integer, got 0.5"):
        check_request(Request(HELLO, seed=0.5), of="requests[0]")  # type: ignore[arg-type]


def test_limits_themselves_pass() -> None:
    check_request(Request(HELLO, Sampling(1, 10.0, 1.0, ("\n",)), seed=-3, samples=(0, 7)), of="r")
    check_request(Request(HELLO, Sampling(1, 0, 1e-9)), of="r")


@pytest.mark.parametrize("prompt", [Prompt(text=""), Prompt(messages=(Message("user", ""),))])
def test_an_empty_prompt_is_refused(prompt: Prompt) -> None:
    with pytest.raises(SettingError, match="prompt must be not empty, got ''; a model needs at least one token"):
        check_prompt(prompt, of="requests[2]")


def test_half_a_surrogate_pair_is_refused_with_its_place() -> None:
    with pytest.raises(SettingError, match="character 3 is half of a surrogate pair"):
        check_prompt(Prompt(text="abc\ud83d tail"), of="requests[0]")
    check_prompt(Prompt(text="abc\U0001f34e\0"), of="requests[0]")
    with pytest.raises(SettingError, match="continuation must be valid Unicode"):
        check_score_request(ScoreRequest(HELLO, ("\udc00",)), of="requests[0]")


@pytest.mark.parametrize("continuations", [(), ("a", "")])
def test_continuations_must_say_something(continuations: tuple[str, ...]) -> None:
    with pytest.raises(SettingError, match="continuations must be one or more texts that are not empty"):
        check_score_request(ScoreRequest(HELLO, continuations), of="requests[0]")


def test_what_fits_exactly_passes_and_one_more_token_does_not() -> None:
    check_fits(500, 12, 512, of="requests[0]")
    with pytest.raises(ContextLengthError) as caught:
        check_fits(501, 12, 512, of="requests[7]")
    assert str(caught.value) == (
        "requests[7]: prompt and completion must fit the context window of 512 tokens, got 501 + 12 = 513; use fewer "
        "or shorter demonstrations, a lower max_new_tokens or a model with a larger window, as a prompt is never cut"
    )


def test_texts_of_a_chat_are_its_contents() -> None:
    chat = Prompt(messages=(Message("system", "a"), Message("user", "b")))
    assert list(prompt_texts(chat)) == ["a", "b"]


def weights(kind: str) -> Weights:
    return Weights(kind, {}, {}, "base")  # type: ignore[arg-type]


def test_weights_stand_where_their_kind_belongs() -> None:
    prompt = Prompt(text="Hello")
    for soft in ("soft_prompt", "prefix"):
        check_request(Request(prompt, soft_prompt=weights(soft), lora=weights("lora")), of="requests[0]")
    check_score_request(ScoreRequest(prompt, ("a",), weights("prefix"), weights("lora")), of="requests[0]")
    with pytest.raises(
        SettingError, match="soft_prompt must be None or Weights of kind 'soft_prompt' or 'prefix', got"
    ):
        check_request(Request(prompt, soft_prompt=weights("lora")), of="requests[0]")
    with pytest.raises(SettingError, match=r"requests\[3\]: lora must be .* got \"weights of kind 'prefix'\""):
        check_score_request(ScoreRequest(prompt, ("a",), lora=weights("prefix")), of="requests[3]")
    with pytest.raises(SettingError, match="lora must be None or Weights of kind 'lora', got 'str'"):
        check_request(Request(prompt, lora="folder"), of="requests[0]")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["soft_prompt", "lora"])
def test_backends_without_a_model_refuse_weights(name: str) -> None:
    prompt, own = Prompt(text="Hello"), {name: weights(name)}
    backend = ScriptedBackend(["x"], scores=lambda request, text: 0.0)
    for request in (Request(prompt, **own), ScoreRequest(prompt, ("a",), **own)):  # type: ignore[arg-type]
        with pytest.raises(UnsupportedError, match=rf"requests\[1\]: {name} must be None for Other"):
            check_no_weights(request, of="requests[1]", backend="Other")
    with pytest.raises(UnsupportedError, match=f"{name} must be None for ScriptedBackend"):
        backend.generate([Request(prompt, **own)])  # type: ignore[arg-type]
    with pytest.raises(UnsupportedError, match=f"{name} must be None for ScriptedBackend"):
        backend.score([ScoreRequest(prompt, ("a",), **own)])  # type: ignore[arg-type]
