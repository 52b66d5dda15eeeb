"""From the answers of an OpenAI-compatible server to completions. What is not whole is an error, never an answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from promptkit.backends.remote_errors import error_text
from promptkit.backends.remote_wire import Call
from promptkit.errors import BackendError, UnsupportedError
from promptkit.types import Completion, Finish, Usage

__all__ = ["Reading", "choice_text", "finish_of", "read_completions", "read_echo", "read_usage"]

_STOPPED = {"stop", "stop_sequence", "eos", "eos_token", "end_turn"}
_CUT = {"length", "max_tokens"}


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
    if sorted(places, key=str) != sorted(range(wanted), key=str):
        raise reading.refuse(f"number its choices from 0 to {wanted - 1}", places)
    choices = [choice for _, choice in sorted(zip(places, found, strict=True), key=lambda pair: int(pair[0]))]
    texts = [_text(choice, call, reading) for choice in choices]
    sums = [_logprob(choice, call, reading) if logprobs else None for choice in choices]
    usage, tokens = read_usage(payload.get("usage"), call, texts, [s[1] if s else None for s in sums], reading)
    completions = []
    for choice, text, total, spent, index in zip(choices, texts, sums, tokens, call.samples, strict=True):
        shown, finish = finish_of(text, choice, call.stop, reading)
        completions.append(Completion(shown, finish, spent, total[0] if total else None, index))
    return completions, usage


def _text(choice: dict[str, Any], call: Call, reading: Reading) -> str:
    holder: Any = choice.get("message") if call.chat else choice
    text = holder.get("content" if call.chat else "text") if isinstance(holder, dict) else None
    if not isinstance(text, str):
        why = f" (finish_reason {choice.get('finish_reason')!r}"
        why += ", only reasoning came: raise max_new_tokens)" if _reasoned(holder) else ")"
        raise reading.refuse(f"hold the text of every choice{why}", text)
    return choice_text(text, reading)


def choice_text(text: object, reading: Reading) -> str:
    """Checks that a text of a choice is one, without halves of surrogate pairs, which no file can hold.

    Args:
        text: What stands in the place of the text.
        reading: How to read it.

    Returns:
        The text.

    Raises:
        BackendError: It is not valid.
    """
    if not isinstance(text, str):
        raise reading.refuse("hold text", text)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise reading.refuse("be valid Unicode", text) from None
    return text


def _reasoned(holder: Any) -> bool:
    return isinstance(holder, dict) and bool(holder.get("reasoning_content") or holder.get("reasoning"))


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
    reason = choice.get("finish_reason")
    found = [at for one in stop if (at := text.find(one)) >= 0]
    if not isinstance(reason, str) or reason not in _STOPPED | _CUT:
        raise reading.refuse("be whole, with finish_reason 'stop' or 'length'", reason)
    if found:
        return text[: min(found)], "stop"
    if reason in _CUT:
        return text, "length"
    if reason != "stop":
        return text, "stop" if reason == "stop_sequence" else "eos"
    return text, "stop" if stop and choice.get("stop_reason", "") is not None else "eos"


def _logprob(choice: dict[str, Any], call: Call, reading: Reading) -> tuple[float, int]:
    """Sums the log-probabilities of the tokens, and counts them."""
    told = choice.get("logprobs")
    values: Any = None
    if isinstance(told, dict):
        content = told.get("content")
        chat = [item.get("logprob") if isinstance(item, dict) else None for item in content or ()]
        values = chat if content else told.get("token_logprobs")
    if not isinstance(values, list):
        raise UnsupportedError(
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
