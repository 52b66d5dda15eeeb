"""From what a model server says when it fails to promptkit's errors."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from promptkit.errors import BackendError, ContextLengthError, UnsupportedError

__all__ = ["HopelessError", "error_code", "error_text", "status_error"]

_CONTEXT = re.compile(
    r"context[ _-]?(length|window|size)|maximum (context|sequence|input)|max_model_len|n_ctx|too many (input )?tokens|"
    r"(prompt|input|request).{0,40}too long|token limit",
    re.IGNORECASE,
)
_REFUSED_FIELD = re.compile(
    r"not (supported|permitted|allowed|implemented)|unsupported|unrecogni[sz]ed|unknown (field|parameter|argument)|"
    r"extra (inputs|fields)|does not support",
    re.IGNORECASE,
)
_SHOWN = 300
_ADVICE = {
    401: "set the right key in the variable named by api_key_env",
    403: "the key may not use this model, or the server refuses the content",
    404: "give the address up to its version, such as http://host:8000/v1, and a model that the server lists",
    413: "the request is too large for the server",
    429: "lower max_concurrency, or ask for more credit",
}


class HopelessError(BackendError):
    """Every request would fail alike: the server cannot be reached, or refuses the key or the model."""


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
        ``ContextLengthError`` for a prompt that is too long, ``UnsupportedError`` for a part of a request that the
        server does not know, ``HopelessError`` for what no other request would change, else ``BackendError``.
    """
    code = error_code(payload)
    told = f": {said}" if said else ""
    if status in (400, 413, 422) and (code.startswith(("context_length", "exceed_context")) or _CONTEXT.search(said)):
        return ContextLengthError(
            f"{what}: prompt and completion must fit the server's context window{told}; use fewer or shorter "
            "demonstrations or a lower max_new_tokens, and give context_window, so that demonstrations are dropped"
        )
    if status in (405, 501) or (status in (400, 422) and _REFUSED_FIELD.search(said)):
        return UnsupportedError(
            f"{what}: the server does not offer this (status {status}){told}; change chat, seeds, logprobs, "
            "max_tokens_name or extra of the RemoteBackend, or the sampling"
        )
    advice = f"; {_ADVICE[status]}" if status in _ADVICE else ""
    kind = HopelessError if status in (401, 404) else BackendError
    return kind(f"{what}: the server answered with status {status}{told}{advice}")
