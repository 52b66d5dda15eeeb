from __future__ import annotations

from typing import Any

import pytest

from promptkit.backends.openai.protocol import Call
from promptkit.backends.openai.responses import Reading, read_completions, read_echo
from promptkit.errors import BackendError, UnsupportedError
from promptkit.types import Completion, Usage

READING = Reading("call", len)
PLAIN = Call("/completions", {"prompt": "12345"}, (3,), ())
TWO = Call("/completions", {"prompt": "12345"}, (3, 8), ("\n",))
CHAT = Call("/chat/completions", {"messages": [{"role": "user", "content": "123"}]}, (0,), ())


def choice(text: Any = "five", finish: Any = "stop", **more: Any) -> dict[str, Any]:
    return {"index": 0, "text": text, "finish_reason": finish, **more}


def read(payload: Any, call: Call = PLAIN, logprobs: bool = False) -> tuple[list[Completion], Usage]:
    return read_completions(payload, call, READING, logprobs=logprobs)


def test_choices_are_put_in_order_and_tokens_shared_out() -> None:
    payload = {
        "choices": [choice("b", index=1), choice("a", "length")],
        "usage": {"prompt_tokens": 7, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4}},
    }
    found, usage = read(payload, TWO)
    assert found == [Completion("a", "length", 3, None, 3), Completion("b", "stop", 2, None, 8)]
    assert usage == Usage(1, 7, 4, 5)


def test_tokens_that_are_not_told_are_estimated() -> None:
    found, usage = read({"choices": [choice()], "usage": {"prompt_tokens": -1, "completion_tokens": "x"}})
    assert (found[0].tokens, usage) == (4, Usage(1, 5, 0, 4))
    assert read({"choices": [choice(message={"content": "five"})]}, CHAT)[1] == Usage(1, 3, 0, 4)


@pytest.mark.parametrize(
    ("told", "stop", "finish"),
    [
        ({"finish_reason": "stop"}, (), "eos"),
        ({"finish_reason": "stop"}, ("\n",), "stop"),
        ({"finish_reason": "stop", "stop_reason": None}, ("\n",), "eos"),
        ({"finish_reason": "stop", "stop_reason": "\n"}, ("\n",), "stop"),
        ({"finish_reason": "eos_token"}, ("\n",), "eos"),
        ({"finish_reason": "stop_sequence"}, ("\n",), "stop"),
        ({"finish_reason": "length"}, (), "length"),
        ({"finish_reason": "STOP"}, (), "eos"),
        ({"finish_reason": "Stop"}, ("\n",), "stop"),
        ({"finish_reason": "COMPLETE"}, (), "eos"),
        ({"finish_reason": "end_turn"}, ("\n",), "eos"),
        ({"finish_reason": "end-of-turn"}, (), "eos"),
        ({"finish_reason": "FINISH_REASON_STOP"}, (), "eos"),
        ({"finish_reason": "STOP_SEQUENCE"}, ("\n",), "stop"),
        ({"finish_reason": "MAX_TOKENS"}, (), "length"),
        ({"finish_reason": "max tokens"}, (), "length"),
        ({"finish_reason": "model_length"}, (), "length"),
        ({"finish_reason": "max_output_tokens"}, (), "length"),
    ],
)
def test_why_a_text_ended(told: dict[str, Any], stop: tuple[str, ...], finish: str) -> None:
    call = Call("/completions", {"prompt": "1"}, (0,), stop)
    assert read({"choices": [{"text": "five", **told}]}, call)[0][0].finish == finish


def test_a_stop_text_that_the_server_left_in_is_cut_out() -> None:
    call = Call("/completions", {"prompt": "1"}, (0,), ("\n", "END"))
    (found,) = read({"choices": [choice("one END two\n", "length")]}, call)[0]
    assert (found.text, found.finish) == ("one ", "stop")


@pytest.mark.parametrize(
    "payload",
    [
        None,
        [],
        "text",
        5,
        {},
        {"choices": None},
        {"choices": {}},
        {"choices": []},
        {"choices": ["five"]},
        {"choices": [choice(), choice()]},
        {"choices": [choice(None)]},
        {"choices": [choice(5)]},
        {"choices": [choice("\udc00")]},
        {"choices": [choice(finish=None)]},
        {"choices": [choice(finish="content_filter")]},
        {"choices": [choice(finish="tool_calls")]},
        {"choices": [choice(finish=["stop"])]},
        {"choices": [choice(finish="")]},
        {"choices": [choice(finish="SAFETY")]},
        {"choices": [choice(finish="error")]},
        {"choices": [choice(finish="abort")]},
        {"choices": [{"text": "five"}]},
        {"choices": [choice()], "error": {"message": "overloaded"}},
        {"error": "overloaded"},
    ],
)
def test_what_is_not_whole_is_refused(payload: Any) -> None:
    with pytest.raises(BackendError):
        read(payload)


@pytest.mark.parametrize("indices", [(0, 0), (1, 2), (0, None), ("0", "1"), ([], {})])
def test_choices_must_be_numbered(indices: tuple[Any, Any]) -> None:
    with pytest.raises(BackendError, match="number its choices from 0 to 1"):
        read({"choices": [choice(index=index) for index in indices]}, TWO)


def test_choices_without_any_number_are_in_order() -> None:
    found, _ = read({"choices": [choice("a", index=None), choice("b", index=None)]}, TWO)
    assert [one.text for one in found] == ["a", "b"]
    bare = [{"text": text, "finish_reason": "stop"} for text in "ab"]
    assert [one.text for one in read({"choices": bare}, TWO)[0]] == ["a", "b"]


def message(content: Any, finish: str = "stop", **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": {"content": content, **more}, "finish_reason": finish}]}


THINKING = {"type": "thinking", "thinking": [{"type": "text", "text": "it may be Rome"}]}


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "text", "text": "Paris"}],
        [{"type": "text", "text": "Pa"}, {"type": "text", "text": "ris"}],
        [THINKING, {"type": "text", "text": "Paris"}],
        [{"type": "reasoning", "text": "it may be Rome"}, {"type": "output_text", "text": "Paris"}],
        [{"text": "Paris"}],
        ["Paris"],
    ],
)
def test_parts_of_text_are_joined_and_reasoning_is_no_answer(content: Any) -> None:
    assert read(message(content), CHAT)[0][0].text == "Paris"
    assert read(message(content, reasoning_content="it may be Rome"), CHAT)[0][0].text == "Paris"


@pytest.mark.parametrize(
    "content",
    [[{"type": "image_url", "image_url": {}}], [{"type": "text"}], [5], [None], [{"type": "text", "text": 5}]],
)
def test_parts_that_are_no_text_are_refused(content: Any) -> None:
    with pytest.raises(BackendError, match="hold parts of text only"):
        read(message(content), CHAT)


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking", "reasoning_details"])
@pytest.mark.parametrize("content", [None, "", " \n"])
def test_reasoning_without_an_answer_says_what_to_do(content: str | None, name: str) -> None:
    with pytest.raises(BackendError, match="only reasoning came: raise max_new_tokens"):
        read(message(content, "length", **{name: "long"}), CHAT)
    with pytest.raises(BackendError, match="only reasoning came: turn the model's reasoning off"):
        read(message(content, "STOP", **{name: "the answer is 5"}), CHAT)
    assert read(message("5", **{name: "long"}), CHAT)[0][0].text == "5"


def test_parts_of_reasoning_alone_are_no_answer() -> None:
    for content in ([THINKING], [THINKING, {"type": "text", "text": ""}]):
        with pytest.raises(BackendError, match="only reasoning came"):
            read(message(content), CHAT)
    with pytest.raises(BackendError, match="refusal 'I will not.'"):
        read(message(None, refusal="I will not."), CHAT)
    assert read(message(""), CHAT)[0][0].text == "", "an empty answer without reasoning is one"


@pytest.mark.parametrize("told", [None, {}, {"content": []}, {"content": None}, {"token_logprobs": []}])
def test_an_empty_sample_does_not_break_logprobs(told: Any) -> None:
    found = read({"choices": [{"message": {"content": ""}, "finish_reason": "stop", "logprobs": told}]}, CHAT, True)[0]
    assert (found[0].text, found[0].logprob) == ("", None)
    with pytest.raises(UnsupportedError, match="sent no log-probabilities"):
        read({"choices": [{"message": {"content": "x"}, "finish_reason": "stop", "logprobs": told}]}, CHAT, True)


def test_numbers_of_tokens_may_be_written_as_decimals() -> None:
    told = {"prompt_tokens": 7.0, "completion_tokens": 5.0}
    assert read({"choices": [choice()], "usage": told})[1] == Usage(1, 7, 0, 5)


def test_too_few_choices_say_what_to_do() -> None:
    with pytest.raises(BackendError, match="hold 2 choices; set seeds=True"):
        read({"choices": [choice()]}, TWO)


def test_null_content_after_reasoning_says_what_to_do() -> None:
    payload = {"choices": [{"message": {"content": None, "reasoning_content": "hm"}, "finish_reason": "length"}]}
    with pytest.raises(BackendError, match="only reasoning came: raise max_new_tokens"):
        read(payload, CHAT)


def test_logprobs_of_both_forms() -> None:
    chat = {"message": {"content": "x"}, "finish_reason": "stop", "logprobs": {"content": [{"logprob": -1.5}] * 2}}
    assert read({"choices": [chat]}, CHAT, True)[0][0].logprob == -3.0
    plain = choice(logprobs={"token_logprobs": [-1.0, -0.5, -2]})
    found, usage = read({"choices": [plain]}, PLAIN, True)
    assert (found[0].logprob, found[0].tokens, usage.generated_tokens) == (-3.5, 3, 3)


def test_logprobs_that_are_missing_are_unsupported_and_broken_ones_refused() -> None:
    for told in (None, {}, {"token_logprobs": None}):
        with pytest.raises(UnsupportedError, match="sent no log-probabilities"):
            read({"choices": [choice(logprobs=told)]}, PLAIN, True)
    for values in ([None], [float("nan")], [float("-inf")], ["x"]):
        with pytest.raises(BackendError, match="finite log-probability"):
            read({"choices": [choice(logprobs={"token_logprobs": values})]}, PLAIN, True)


def echo(tokens: list[str], values: list[Any]) -> dict[str, Any]:
    return {"choices": [{"logprobs": {"tokens": tokens, "token_logprobs": values}}]}


def test_a_continuation_is_found_behind_the_prompt() -> None:
    tokens, values = ["<s>", "2", " +", " 2", " =", " f", "our", "."], [None, -9, -9, -9, -9, -1, -0.5, -9]
    assert read_echo(echo(tokens, values), "2 + 2 =", " four", READING) == (-1.5, 2)
    assert read_echo(echo(tokens[:-1], values[:-1]), "2 + 2 =", " four", READING) == (-1.5, 2)


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"choices": []},
        {"choices": [{"logprobs": None}]},
        echo(["2", " four"], [-1]),
        echo([" four"], [-1]),
        echo(["2 + 2 = f", "our", "."], [None, -1, -1]),
        echo(["2", " + 2 =", " for", "."], [None, -1, -1, -1]),
    ],
)
def test_no_echo_or_a_token_over_the_border_is_unsupported(payload: Any) -> None:
    with pytest.raises(UnsupportedError):
        read_echo(payload, "2 + 2 =", " four", READING)


def test_an_infinite_score_is_refused() -> None:
    with pytest.raises(BackendError, match="finite"):
        read_echo(echo(["2", "4", "."], [None, float("-inf"), -1]), "2", "4", READING)
