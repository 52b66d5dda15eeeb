"""From what a model server says when it fails to promptkit's errors."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from promptkit.errors import BackendError, ContextLengthError, UnsupportedError

__all__ = [
    "NO_SYSTEM",
    "MissingLogprobsError",
    "PermanentError",
    "RefusalError",
    "error_code",
    "error_text",
    "status_error",
]

_CONTEXT = re.compile(
    r"context[ _-]?(length|window|size)|maximum (context|sequence|input)|max_model_len|n_ctx|too many (input )?tokens|"
    r"(prompt|input|request).{0,40}too long|token limit",
    re.IGNORECASE,
)
_REFUSED_FIELD = re.compile(
    r"not (supported|permitted|allowed|implemented|available)|unsupported|unavailable|unrecogni[sz]ed|deprecated|"
    r"unknown (field|parameter|argument)|extra[_ ](inputs|fields|forbidden)|does not support|"
    r"cannot (both )?be (specified|used|set)|use only one|only one (completion )?choice|array too long|too many stop|"
    r"strictly positive|must be (>|greater than|strictly)|invalid schema|must be one of",
    re.IGNORECASE,
)
NO_SYSTEM = re.compile(
    r"\bsystem\b\W{0,3}(role|messages?|prompts?|instructions?)\b.{0,40}(\bnot\b|n't|unsupported|invalid|unknown|disallow)|"
    r"(\bnot?\b|n't|without|unsupported|invalid|unknown|unexpected)\b.{0,30}\bsystem\b\W{0,3}"
    r"(role|messages?|prompts?|instructions?)|\brole\b.{0,100}\bsystem\b|roles? must|must alternate|"
    r"\buser\W{1,4}(and|or|,)?\W{0,4}assistant\b|(unknown|unexpected|invalid|unsupported) (message )?role|"
    r"developer instruction",
    re.IGNORECASE,
)
"""What servers say that know no system role, or want users and assistants to take turns."""
_SHOWN = 300
_ADVICE = {
    401: "set the right key in the variable named by api_key_env",
    403: "the key may not use this model, or the server refuses the content",
    404: "give the address up to its version, such as http://host:8000/v1, and a model that the server lists",
    413: "the request is too large for the server",
    429: "lower max_concurrency, or ask for more credit",
}


class PermanentError(BackendError):
    """Every request would fail alike: the server cannot be reached, or refuses the key or the model."""


class MissingLogprobsError(PermanentError, UnsupportedError):
    """The server sends no log-probabilities, and will not send any with the next answer."""


class RefusalError(UnsupportedError):
    """The server refuses a part of the call, and might take it without.

    Attributes:
        said: What the server said, with the name of the refused field where it tells one apart.
    """

    said = ""


def error_text(payload: Any, hide: Callable[[str], str] = str) -> str:
    """Finds what a server says in the body of an error, in one line.

    Args:
        payload: The body as JSON data: an OpenAI error, a bare message, or a FastAPI detail; anything else is shown.
        hide: Takes secrets out, before anything is cut.

    Returns:
        The message, cut at 300 characters.

    Example:
        >>> error_text({"error": {"message": "no such model", "code": 404}}), error_text({"error": "not loaded"})
        ('no such model', 'not loaded')
    """
    found = payload
    for _ in range(3):
        if not isinstance(found, dict):
            break
        found = next((found[key] for key in ("error", "message", "detail") if found.get(key)), str(found))
    text = hide(" ".join(str(found).split()))
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def error_code(payload: Any) -> str:
    """Finds the code, or else the type, of an OpenAI error; "" if there is none."""
    inner = payload.get("error") if isinstance(payload, dict) else None
    if not isinstance(inner, dict):
        return ""
    return str(inner.get("code") or inner.get("type") or "")


def status_error(status: int, payload: Any, *, what: str, said: str) -> BackendError:
    """Makes the error for a response that is no success.

    Args:
        status: The HTTP status.
        payload: The body as JSON data, or as text.
        what: What was asked of whom, for the message.
        said: The server's message, ready to be shown.

    Returns:
        ``ContextLengthError`` for a prompt that is too long, ``RefusalError`` for a part of a request that the server
        does not take, ``PermanentError`` for what no other request would change, else ``BackendError``.
    """
    code = error_code(payload)
    told = f": {said}" if said else ""
    too_long = code.startswith(("context_length", "exceed_context"))
    if (status in (400, 413, 422) and (too_long or _CONTEXT.search(said))) or (status == 500 and too_long):
        return ContextLengthError(
            f"{what}: prompt and completion must fit the server's context window{told}; use fewer or shorter "
            "demonstrations or a lower max_new_tokens, and give context_window, so that demonstrations are dropped"
        )
    refused = status in (400, 422) and (_REFUSED_FIELD.search(said) or NO_SYSTEM.search(said))
    if refused or (status == 500 and NO_SYSTEM.search(said)):
        refusal = RefusalError(
            f"{what}: the server does not offer this (status {status}){told}; change chat, seeds, logprobs, omit or "
            "extra of the RemoteBackend, or the sampling"
        )
        inner = payload.get("error") if isinstance(payload, dict) else None
        field = inner.get("param") if isinstance(inner, dict) else None
        refusal.said = f"{said} ({field})" if isinstance(field, str) else said
        return refusal
    if status in (405, 501):
        return UnsupportedError(f"{what}: the server does not offer this (status {status}){told}")
    advice = f"; {_ADVICE[status]}" if status in _ADVICE else ""
    kind = PermanentError if status in (401, 404) else BackendError
    return kind(f"{what}: the server answered with status {status}{told}{advice}")
