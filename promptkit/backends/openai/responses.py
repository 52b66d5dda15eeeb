"""From the answers of an OpenAI-compatible server to completions. What is not whole is an error, never an answer."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from promptkit.backends.openai.errors import MissingLogprobsError, error_text
from promptkit.backends.openai.protocol import Call
from promptkit.errors import BackendError, UnsupportedError
from promptkit.types import Completion, Finish, Usage

__all__ = [
    "Reading",
    "choice_text",
    "finish_of",
    "only_reasoning",
    "read_completions",
    "read_echo",
    "read_usage",
    "reasoned",
]

_STOPPED = {"stop", "stop_sequence", "stop_token", "eos", "eos_token", "end_turn", "end_of_turn", "complete", "end"}
_CUT = {"length", "max_tokens", "max_length", "max_new_tokens", "max_output_tokens", "model_length", "token_limit"}
_REASONING = ("reasoning_content", "reasoning", "thinking", "reasoning_details")
_TEXT_PARTS = (None, "text", "output_text")
_REASONING_PARTS = ("thinking", "reasoning", "redacted_thinking")


@dataclass(frozen=True, slots=True)
class Reading:
    """What is needed to read an answer.

    Attributes:
        what: What was asked of whom, for messages.
        count: Estimates the tokens of a text, for servers that do not tell.
        hide: Takes secrets out of what is shown.
    """

    what: str
    count: Callable[[str], int]
    hide: Callable[[str], str] = str

    def refuse(self, must: str, got: object) -> BackendError:
        """Makes the error for an answer that is not what it must be."""
        shown = self.hide(repr(got))
        return BackendError(f"{self.what}: the answer must {must}, got {shown[:80]}")


def read_completions(payload: Any, call: Call, reading: Reading, *, logprobs: bool) -> tuple[list[Completion], Usage]:
    """Reads the completions of one call.

    Args:
        payload: JSON data of the answer.
        call: What was asked.
        reading: How to read it.
        logprobs: Whether log-probabilities were asked for.

    Returns:
        One completion per sample, in order, and what they cost.

    Raises:
        BackendError: Choices are missing, too few, too many or doubled, or one has no whole text.
        UnsupportedError: The server sent no log-probabilities.
    """
    if isinstance(payload, dict) and payload.get("error"):
        raise BackendError(f"{reading.what}: the server answered with an error: {error_text(payload, reading.hide)}")
    found = payload.get("choices") if isinstance(payload, dict) else None
    if not isinstance(found, list) or not all(isinstance(choice, dict) for choice in found):
        raise reading.refuse("be an object with a list of choices", payload)
    wanted = len(call.samples)
    if len(found) != wanted:
        do = "; set seeds=True, so that every sample is a call of its own" if wanted > 1 else ""
        raise reading.refuse(f"hold {wanted} choice{'s' * (wanted > 1)}{do}", len(found))
    # A single choice is the wanted one whatever it is called.
    places = [choice.get("index") for choice in found] if wanted > 1 else [0]
    if not any(place is not None for place in places):  # a server that numbers none sends them in order
        places = list(range(wanted))
    if sorted(places, key=str) != sorted(range(wanted), key=str):
        raise reading.refuse(f"number its choices from 0 to {wanted - 1}", places)
    choices = [choice for _, choice in sorted(zip(places, found, strict=True), key=lambda pair: int(pair[0]))]
    texts = [_text(choice, call, reading) for choice in choices]
    sums = [_logprob(choice, text, reading) if logprobs else None for choice, text in zip(choices, texts, strict=True)]
    usage, tokens = read_usage(payload.get("usage"), call, texts, [s[1] if s else None for s in sums], reading)
    completions = []
    for choice, text, total, spent, index in zip(choices, texts, sums, tokens, call.samples, strict=True):
        shown, finish = finish_of(text, choice, call.stop, reading)
        completions.append(Completion(shown, finish, spent, total[0] if total else None, index))
    return completions, usage


def _text(choice: dict[str, Any], call: Call, reading: Reading) -> str:
    holder: Any = choice.get("message") if call.chat else choice
    text = holder.get("content" if call.chat else "text") if isinstance(holder, dict) else None
    text = choice_text(text, reading) if isinstance(text, str | list) else None
    if not (text or "").strip() and reasoned(holder):
        raise only_reasoning(choice.get("finish_reason"), reading)
    if text is None:
        refusal = holder.get("refusal") if isinstance(holder, dict) else None
        why = f" (finish_reason {choice.get('finish_reason')!r}" + (f", refusal {refusal!r:.60})" if refusal else ")")
        raise reading.refuse(f"hold the text of every choice{why}", holder)
    return text


def choice_text(text: object, reading: Reading) -> str:
    """Reads the text of a choice, which may come in parts, of which those with reasoning are no answer.

    Args:
        text: What replaces the text.
        reading: How to read it.

    Returns:
        The text.

    Raises:
        BackendError: It is no text, or has halves of surrogate pairs, which no file can hold.
    """
    if isinstance(text, list):
        text = "".join(_part(part, reading) for part in text)
    if not isinstance(text, str):
        raise reading.refuse("hold text", text)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise reading.refuse("be valid Unicode", text) from None
    return text


def _part(part: object, reading: Reading) -> str:
    if isinstance(part, str):
        return part
    kind = part.get("type") if isinstance(part, dict) else ""
    if isinstance(part, dict) and kind in _TEXT_PARTS and isinstance(part.get("text"), str):
        return str(part["text"])
    if kind in _REASONING_PARTS:
        return ""
    raise reading.refuse("hold parts of text only", part)


def reasoned(holder: Any) -> bool:
    """Tells whether a message, or a piece of one, holds reasoning beside its content."""
    if not isinstance(holder, dict):
        return False
    parts = holder.get("content")
    return any(holder.get(name) for name in _REASONING) or (
        isinstance(parts, list)
        and any(isinstance(part, dict) and part.get("type") in _REASONING_PARTS for part in parts)
    )


def only_reasoning(finish: object, reading: Reading) -> BackendError:
    """Makes the error for an answer that has reasoning and no text."""
    do = "turn the model's reasoning off, for example by extra" if _name(finish) in _STOPPED else "raise max_new_tokens"
    return reading.refuse(f"hold the text of every choice (finish_reason {finish!r}, only reasoning came: {do})", "")


def _name(reason: object) -> str:
    """Puts a finish reason into the spelling of OpenAI."""
    return (
        re.sub(r"[\s-]+", "_", reason.strip().lower()).removeprefix("finish_reason_") if isinstance(reason, str) else ""
    )


def finish_of(text: str, choice: dict[str, Any], stop: Sequence[str], reading: Reading) -> tuple[str, Finish]:
    """Tells why a text ended; a text that was broken off is refused.

    Args:
        text: The text.
        choice: Its choice, with ``finish_reason`` and perhaps ``stop_reason``, which vLLM adds.
        stop: Texts that end a completion; where the server left one in, the text ends before it here.
        reading: How to read it.

    Returns:
        The text and the reason.

    Raises:
        BackendError: The reason is missing, or is no end of a whole text.
    """
    reason = _name(choice.get("finish_reason"))
    found = [at for one in stop if (at := text.find(one)) >= 0]
    if reason not in _STOPPED | _CUT:
        raise reading.refuse("be whole, with finish_reason 'stop' or 'length'", choice.get("finish_reason"))
    if found:
        return text[: min(found)], "stop"
    if reason in _CUT:
        return text, "length"
    if reason != "stop":
        return text, "stop" if reason == "stop_sequence" else "eos"
    return text, "stop" if stop and choice.get("stop_reason", "") is not None else "eos"


def _logprob(choice: dict[str, Any], text: str, reading: Reading) -> tuple[float, int] | None:
    """Sums the log-probabilities of the tokens, and counts them; ``None`` for an empty text without any."""
    told = choice.get("logprobs")
    values: Any = None
    if isinstance(told, dict):
        content = told.get("content")
        chat = [item.get("logprob") if isinstance(item, dict) else None for item in content or ()]
        values = chat if isinstance(content, list) else told.get("token_logprobs")
    if not values and not text:
        return None
    if not isinstance(values, list) or not values:
        raise MissingLogprobsError(
            f"{reading.what}: the server sent no log-probabilities; set logprobs=False, and use no 'weighted' vote"
        )
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in values):
        raise reading.refuse("hold a finite log-probability for every token", values)
    return math.fsum(values), len(values)


def read_usage(
    told: Any, call: Call, texts: Sequence[str], counted: Sequence[int | None], reading: Reading
) -> tuple[Usage, list[int]]:
    """Reads what a call cost, and shares generated tokens out among its choices.

    Args:
        told: The usage that the server tells, if it does; otherwise tokens are estimated.
        call: What was asked.
        texts: The texts of the choices.
        counted: Tokens per choice where they are known.
        reading: How to estimate.

    Returns:
        The usage without seconds, and the tokens per choice; equal shares where only their sum is known.
    """
    told = told if isinstance(told, dict) else {}
    prompt = call.body.get("prompt") or "\n".join(m["content"] for m in call.body.get("messages", ()))
    prompt_tokens = _whole(told.get("prompt_tokens"))
    details = told.get("prompt_tokens_details")
    cached = _whole(details.get("cached_tokens")) if isinstance(details, dict) else None
    total = _whole(told.get("completion_tokens"))
    known = [one for one in counted if one is not None]
    if len(known) == len(texts) and (total is None or len(texts) > 1):
        tokens = known
    elif total is not None:
        tokens = [total // len(texts) + (place < total % len(texts)) for place in range(len(texts))]
    else:
        tokens = [reading.count(text) for text in texts]
    asked = reading.count(prompt) if prompt_tokens is None else prompt_tokens
    usage = Usage(1, asked, min(cached or 0, asked), sum(tokens) if total is None else total)
    return usage, tokens


def _whole(value: Any) -> int | None:
    value = int(value) if isinstance(value, float) and value.is_integer() else value
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else None


def read_echo(payload: Any, prompt: str, continuation: str, reading: Reading) -> tuple[float, int]:
    """Reads the log-probability of a continuation out of an echoed text.

    Args:
        payload: JSON data of the answer to prompt and continuation with ``echo``.
        prompt: The prompt.
        continuation: What follows it.
        reading: How to read it.

    Returns:
        The sum over the tokens of the continuation, and their number.

    Raises:
        UnsupportedError: The server does not echo log-probabilities, or a token reaches over the end of the prompt.
    """
    try:
        told = payload["choices"][0]["logprobs"]
        rows = list(zip(told["tokens"], told["token_logprobs"], strict=True))
        texts = [str(text) for text, _ in rows]
    except (KeyError, IndexError, TypeError, ValueError):
        raise UnsupportedError(
            f"{reading.what}: score needs a server that echoes log-probabilities at /completions, as vLLM does, "
            "and this one does not; use answer_by='generation'"
        ) from None
    place = _tail(texts, prompt, continuation)
    if place is None:
        raise UnsupportedError(
            f"{reading.what}: the echoed tokens do not show where {continuation!r:.40} begins: the server did not echo "
            "the prompt, or a token reaches over its end; start the continuation with a space, or use "
            "answer_by='generation'"
        )
    values = [value for _, value in rows[place]]
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in values):
        raise reading.refuse("hold a finite log-probability for every token", values)
    return math.fsum(values), len(values)


def _tail(texts: Sequence[str], prompt: str, continuation: str) -> slice | None:
    """Finds the tokens that make up the continuation; one token may have been generated behind them."""
    for end in (len(texts) - 1, len(texts)):
        start, tail = end, ""
        while start > 0 and len(tail) < len(continuation):
            start -= 1
            tail = texts[start] + tail
        # The frame of the model, such as a begin-of-text token, may stand before the prompt.
        if tail == continuation and "".join(texts[:start]).endswith(prompt):
            return slice(start, end)
    return None
