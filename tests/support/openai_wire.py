"""What an OpenAI-compatible server understands and says, for the scripted one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from promptkit.backends import Backend
from promptkit.backends.openai.protocol import seed_sample
from promptkit.errors import BackendError, ContextLengthError, PromptkitError
from promptkit.types import Completion, Message, Prompt, Reply, Request, Sampling, ScoreRequest

__all__ = ["ParsedRequest", "RefusedError", "answer", "error_body", "events", "read_request"]

_TOKEN = re.compile(r"\s*\S+|\s+")
_MAX_N = 128
_FIELDS = ("seed", "temperature", "top_p", "stream_options", "stop", "max_tokens", "response_format")
_FINISH = {"stop": "stop", "eos": "stop", "length": "length"}


class RefusedError(Exception):
    """A call that the server refuses, with status and code."""

    def __init__(self, status: int, message: str, code: str = "invalid_request_error") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class ParsedRequest:
    """A call that the server understood.

    Attributes:
        chat: Whether it came to the chat endpoint.
        request: What is wanted.
        model: The model's name.
        stream: Whether the answer shall come in pieces.
        logprobs: Whether log-probabilities are wanted.
        echo: Whether the prompt shall be scored.
    """

    chat: bool
    request: Request
    model: str
    stream: bool
    logprobs: bool
    echo: bool


def error_body(message: str, code: str) -> bytes:
    """Makes the body of an error."""
    return json.dumps({"error": {"message": message, "type": code, "param": None, "code": code}}).encode()


def read_request(
    chat: bool, body: Any, *, model: str, lacks: Collection[str], drawn: Callable[[Prompt, int], int]
) -> ParsedRequest:
    """Understands a call.

    Args:
        chat: Whether it came to the chat endpoint.
        body: JSON data of the call.
        model: Name of the model that is served.
        lacks: What the server does not have: ``n`` and ``logprobs`` are passed over, as some do; a field of the call
            is refused, and so are ``system`` messages, a temperature of 0 (``greedy``), and a schema whose root is no
            object (``bare_schema``).
        drawn: Tells how many samples of a prompt were drawn without a seed, and adds as many as are wanted now.

    Returns:
        What is wanted. A seed asks for the sample whose index is in it; without one the next samples come, or at
        temperature 0 the first.

    Raises:
        RefusedError: It is not a valid call.
    """
    if not isinstance(body, dict):
        raise RefusedError(400, "the body must be a JSON object")
    if body.get("model") != model:
        raise RefusedError(404, f"the model {body.get('model')!r} does not exist", "model_not_found")
    for field in _FIELDS:
        if field in body and field in lacks:
            raise RefusedError(400, f"extra inputs are not permitted: {field}")
    if "greedy" in lacks and body.get("temperature") == 0:
        raise RefusedError(422, "Input validation error: `temperature` must be strictly positive")
    form = body.get("response_format")
    if "bare_schema" in lacks and form and form["json_schema"]["schema"].get("type") != "object":
        raise RefusedError(400, "Invalid schema for response_format 'answer': schema must be of 'type: \"object\"'")
    if "system" in lacks and any(one.get("role") == "system" for one in body.get("messages", ())):
        raise RefusedError(400, "System role not supported")
    prompt = _prompt(chat, body)
    n = 1 if "n" in lacks else body.get("n", 1)
    if not isinstance(n, int) or not 1 <= n <= _MAX_N:
        raise RefusedError(400, f"n must be from 1 to {_MAX_N}")
    seed, sampling = body.get("seed"), _sampling(body)
    if isinstance(seed, int):
        first = seed_sample(seed)
    else:
        first = drawn(prompt, n) if sampling.temperature else 0
    request = Request(prompt, sampling, seed or 0, tuple(range(first, first + n)))
    offered = "logprobs" not in lacks
    wants = body.get("logprobs") not in (None, False) and offered
    return ParsedRequest(chat, request, model, bool(body.get("stream")), wants, bool(body.get("echo")) and offered)


def _sampling(body: Mapping[str, Any]) -> Sampling:
    stop = body.get("stop") or ()
    form = body.get("response_format")
    schema = form.get("json_schema", {}).get("schema") if isinstance(form, dict) else None
    most: Any = body.get("max_tokens", body.get("max_completion_tokens", 16))
    return Sampling(
        max_new_tokens=most,
        temperature=body.get("temperature", 1.0),
        top_p=body.get("top_p", 1.0),
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        schema=None if schema is None else json.dumps(schema),
    )


def _prompt(chat: bool, body: Mapping[str, Any]) -> Prompt:
    if not chat:
        text = body.get("prompt")
        if not isinstance(text, str):
            raise RefusedError(400, "prompt must be a text")
        return Prompt(text=text)
    try:
        messages = tuple(Message(one["role"], one["content"]) for one in body["messages"])
        return Prompt(messages=messages)
    except (KeyError, TypeError, ValueError):
        raise RefusedError(400, "messages must be a list of objects with role and content") from None


def answer(backend: Backend, asked: ParsedRequest) -> tuple[Reply, dict[str, Any]]:
    """Lets the backend answer.

    Args:
        backend: What knows the answers.
        asked: The call.

    Returns:
        The backend's reply, and the body of an answer that is not streamed.

    Raises:
        RefusedError: The backend refuses or fails.
    """
    try:
        reply = backend.generate([asked.request])[0]
    except ContextLengthError as error:
        raise RefusedError(400, f"maximum context length exceeded: {error}", "context_length_exceeded") from None
    except BackendError as error:
        raise RefusedError(500, str(error), "server_error") from None
    except PromptkitError as error:
        raise RefusedError(400, str(error)) from None
    except Exception as error:  # of a script: its author shall see it in the client
        raise RefusedError(500, f"the script failed: {error!r}", "server_error") from error
    choices = [_choice(backend, asked, completion, place) for place, completion in enumerate(reply.completions)]
    return reply, {**_head(asked, "" if asked.chat else None), "choices": choices, "usage": _usage(reply)}


def _head(asked: ParsedRequest, chunk: str | None) -> dict[str, Any]:
    kind = "text_completion" if chunk is None else f"chat.completion{chunk}"
    return {"id": "scripted-1", "object": kind, "created": 0, "model": asked.model}


def _usage(reply: Reply) -> dict[str, Any]:
    prompt, generated = reply.usage.prompt_tokens, reply.usage.generated_tokens
    return {"prompt_tokens": prompt, "completion_tokens": generated, "total_tokens": prompt + generated}


def _choice(backend: Backend, asked: ParsedRequest, completion: Completion, place: int) -> dict[str, Any]:
    ending = {"index": place, "finish_reason": _FINISH[completion.finish]}
    tokens = _TOKEN.findall(completion.text)
    if asked.chat:
        content = [{"token": token, "logprob": -1.0} for token in tokens]
        message = {"role": "assistant", "content": completion.text}
        return {**ending, "message": message, "logprobs": {"content": content} if asked.logprobs else None}
    before = asked.request.prompt.text or ""
    told = None
    if asked.echo:
        echoed = _TOKEN.findall(before)
        scores = _scores(backend, echoed)
        ends = tokens[:1]
        told = scores and {"tokens": echoed + ends, "token_logprobs": scores + [-1.0] * len(ends)}
    elif asked.logprobs:
        told = {"tokens": tokens, "token_logprobs": [-1.0] * len(tokens)}
    return {**ending, "text": before * asked.echo + completion.text, "logprobs": told}


def _scores(backend: Backend, tokens: list[str]) -> list[float | None] | None:
    """Scores each token behind those before it, nothing before the first; ``None`` if the backend cannot."""
    requests = [ScoreRequest(Prompt(text="".join(tokens[:n])), (tokens[n],)) for n in range(1, len(tokens))]
    try:
        return [None, *(row[0][0] for row in backend.score(requests))]
    except BackendError:
        return None


def events(asked: ParsedRequest, reply: Reply) -> list[bytes]:
    """Makes the events of a streamed answer: a token each, the end, the usage, and the end mark."""
    completion = reply.completions[0]
    pieces: list[tuple[str | None, str | None]] = [(token, None) for token in _TOKEN.findall(completion.text)]
    pieces.append((None, _FINISH[completion.finish]))
    head = _head(asked, ".chunk" if asked.chat else None)
    chunks = []
    for text, finish in pieces:
        if asked.chat:
            holder: dict[str, Any] = {"delta": {} if text is None else {"content": text}}
        else:
            holder = {"text": text or ""}
        chunks.append({**head, "choices": [{"index": 0, **holder, "finish_reason": finish}]})
    chunks.append({**head, "choices": [], "usage": _usage(reply)})
    bodies = [json.dumps(chunk, ensure_ascii=False).encode() for chunk in chunks]
    return [b"data: " + body + b"\n\n" for body in [*bodies, b"[DONE]"]]
