"""Checks of requests that every backend makes before it works."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence

from promptkit.errors import ContextLengthError, SettingError, UnsupportedError, error_message
from promptkit.types import Prompt, Request, Sampling, ScoreRequest, Weights

__all__ = [
    "MAX_SCHEMA",
    "MAX_TEMPERATURE",
    "check_fits",
    "check_no_weights",
    "check_prompt",
    "check_request",
    "check_score_request",
    "prompt_texts",
]

MAX_TEMPERATURE = 10.0
MAX_SCHEMA = 100_000


def prompt_texts(prompt: Prompt) -> Iterator[str]:
    """Yields every text of a prompt in order: its one text, or the contents of its messages."""
    if prompt.text is not None:
        yield prompt.text
    for message in prompt.messages:
        yield message.content


def _check_unicode(text: str, what: str, of: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise SettingError(
            error_message(
                what,
                of=of,
                expected="valid Unicode text",
                got=text[max(0, error.start - 10) : error.end + 10],
                hint=f"character {error.start} is half of a surrogate pair; decode the text again from its source",
            )
        ) from None


def check_prompt(prompt: Prompt, *, of: str) -> None:
    """Checks that a prompt says something and is valid Unicode.

    Args:
        prompt: The prompt.
        of: Whose prompt it is, for messages, for example ``"requests[3]"``.

    Raises:
        SettingError: The prompt is empty or holds a lone surrogate.

    Example:
        >>> check_prompt(Prompt(text="Two plus two is"), of="requests[0]")
    """
    if not any(prompt_texts(prompt)):
        raise SettingError(
            error_message(
                "prompt", of=of, expected="not empty", got="", hint="a model needs at least one token to go on from"
            )
        )
    for text in prompt_texts(prompt):
        _check_unicode(text, "prompt", of)


def _check_sampling(sampling: Sampling, of: str) -> None:
    def refuse(name: str, expected: str, got: object, hint: str = "") -> SettingError:
        return SettingError(error_message(name, of=of, expected=expected, got=got, hint=hint))

    most: object = sampling.max_new_tokens  # callers without a type checker pass anything
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        raise refuse("max_new_tokens", "an integer of at least 1", most)
    heat = sampling.temperature
    if isinstance(heat, bool) or not math.isfinite(heat) or not 0 <= heat <= MAX_TEMPERATURE:
        raise refuse("temperature", f"a number from 0 to {MAX_TEMPERATURE:g}", heat, "0 is greedy decoding")
    if isinstance(sampling.top_p, bool) or not 0 < sampling.top_p <= 1:
        raise refuse("top_p", "a number above 0 and at most 1", sampling.top_p, "1 keeps every token")
    stop: object = sampling.stop
    if not isinstance(stop, tuple) or not all(isinstance(text, str) and text for text in stop):
        raise refuse("stop", "a tuple of texts that are not empty", stop)
    if sampling.schema is not None:
        _check_schema(sampling, of)


def _check_schema(sampling: Sampling, of: str) -> None:
    schema: object = sampling.schema
    try:
        found = json.loads(schema) if isinstance(schema, str) and len(schema) <= MAX_SCHEMA else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        expected = f"the text of a JSON object of at most {MAX_SCHEMA:,} characters"
        raise SettingError(error_message("schema", of=of, expected=expected, got=schema))
    if sampling.stop:
        expected = "empty beside a schema, whose value ends by itself"
        raise SettingError(error_message("stop", of=of, expected=expected, got=sampling.stop))


def _check_weights(request: Request | ScoreRequest, of: str) -> None:
    """Checks that weights stand where weights of their kind belong."""
    for name, kinds in (("soft_prompt", ("soft_prompt", "prefix")), ("lora", ("lora",))):
        weights: object = getattr(request, name)
        if weights is None or (isinstance(weights, Weights) and weights.kind in kinds):
            continue
        got = f"weights of kind {weights.kind!r}" if isinstance(weights, Weights) else type(weights).__name__
        expected = f"None or Weights of kind {' or '.join(map(repr, kinds))}"
        raise SettingError(error_message(name, of=of, expected=expected, got=got))


def check_no_weights(request: Request | ScoreRequest, *, of: str, backend: str) -> None:
    """Refuses a request that names learned weights, for backends that cannot use them.

    Args:
        request: The request.
        of: Whose request it is, for messages.
        backend: What the backend is called.

    Raises:
        UnsupportedError: The request has a soft prompt or a LoRA; ignoring them would answer as the base model.

    Example:
        >>> check_no_weights(Request(Prompt(text="Hello")), of="requests[0]", backend="ScriptedBackend")
    """
    for name in ("soft_prompt", "lora"):
        if getattr(request, name) is not None:
            raise UnsupportedError(
                f"{of}: {name} must be None for {backend}, which has no model that weights could change, got weights "
                "of a local model; use LocalBackend with the model for which they were trained"
            )


def check_request(request: Request, *, of: str) -> None:
    """Checks everything about a request that can be checked without a model.

    Args:
        request: The request.
        of: Whose request it is, for messages, for example ``"requests[3]"``.

    Raises:
        SettingError: A value is out of range.

    Example:
        >>> check_request(Request(Prompt(text="Hello")), of="requests[0]")
    """
    check_prompt(request.prompt, of=of)
    _check_weights(request, of)
    _check_sampling(request.sampling, of)
    if isinstance(request.seed, bool) or not isinstance(request.seed, int):
        raise SettingError(error_message("seed", of=of, expected="an integer", got=request.seed))
    samples: Sequence[object] = request.samples
    whole = all(isinstance(index, int) and not isinstance(index, bool) and index >= 0 for index in samples)
    if not samples or not whole or len(set(samples)) != len(samples):
        raise SettingError(
            error_message("samples", of=of, expected="different integers of at least 0, one or more", got=samples)
        )


def check_score_request(request: ScoreRequest, *, of: str) -> None:
    """Checks everything about a score request that can be checked without a model.

    Args:
        request: The request.
        of: Whose request it is, for messages.

    Raises:
        SettingError: The prompt or a continuation is empty or not valid Unicode.

    Example:
        >>> check_score_request(ScoreRequest(Prompt(text="2 + 2 ="), (" 4", " 5")), of="requests[0]")
    """
    check_prompt(request.prompt, of=of)
    _check_weights(request, of)
    if not request.continuations or not all(request.continuations):
        raise SettingError(
            error_message(
                "continuations", of=of, expected="one or more texts that are not empty", got=request.continuations
            )
        )
    for text in request.continuations:
        _check_unicode(text, "continuation", of)


def check_fits(prompt_tokens: int, new_tokens: int, window: int, *, of: str) -> None:
    """Checks that a prompt and what is to follow it fit the context window.

    Args:
        prompt_tokens: Tokens of the prompt.
        new_tokens: Tokens that may follow.
        window: The context window.
        of: Whose prompt it is, for messages.

    Raises:
        ContextLengthError: They do not fit.

    Example:
        >>> check_fits(500, 12, 512, of="requests[0]")
    """
    if prompt_tokens + new_tokens > window:
        raise ContextLengthError(
            f"{of}: prompt and completion must fit the context window of {window} tokens, got {prompt_tokens} + "
            f"{new_tokens} = {prompt_tokens + new_tokens}; use fewer or shorter demonstrations, a lower "
            "max_new_tokens or a model with a larger window, as a prompt is never cut"
        )
