"""From promptkit's requests to the bodies that an OpenAI-compatible server takes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from promptkit.errors import SettingError, error_message
from promptkit.types import Prompt, Request

__all__ = ["Call", "Wire", "sample_seed", "seed_sample"]

CHAT, COMPLETIONS = "/chat/completions", "/completions"
_SAMPLE_BITS = 14
_INDEX = (1 << _SAMPLE_BITS) - 1
_OWN = {"model", "messages", "prompt", "n", "stream", "stream_options", "temperature", "top_p", "seed", "stop"}
_OWN |= {"logprobs", "echo", "max_tokens", "max_completion_tokens", "response_format"}


def sample_seed(seed: int, prompt: Prompt, index: int) -> int:
    """Derives the seed of one sample, so that it depends on (seed, prompt, sample index) alone.

    The lower 14 bits are the index, which is thereby different for all samples that a vote can ask for; the others
    are a hash of the rest.

    Args:
        seed: Seed of the run.
        prompt: The prompt.
        index: The sample index.

    Returns:
        A number from 0 to 2^31 - 1, which every server takes.

    Example:
        >>> [sample_seed(0, Prompt(text="Two plus two is"), index) % 16384 for index in (0, 1, 5)]
        [0, 1, 5]
    """
    parts = [seed, prompt.text, [[m.role, m.content] for m in prompt.messages], index >> _SAMPLE_BITS]
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    return (int.from_bytes(digest[:4], "big") >> 1) & ~_INDEX | (index & _INDEX)


def seed_sample(seed: int) -> int:
    """Returns the sample index in a seed of ``sample_seed``."""
    return seed & _INDEX


@dataclass(frozen=True, slots=True)
class Call:
    """One call to the server.

    Attributes:
        path: Behind the base address.
        body: What is posted.
        samples: Indices of the samples that it asks for.
        stop: Texts that end a completion.
    """

    path: str
    body: dict[str, Any]
    samples: tuple[int, ...]
    stop: tuple[str, ...]

    @property
    def chat(self) -> bool:
        """Whether it goes to the chat endpoint."""
        return self.path == CHAT


@dataclass(frozen=True)
class Wire:
    """How requests are put into calls.

    Attributes:
        model: Name of the model at the server.
        seeds: Whether each sample is a call of its own with a seed of its own; else samples come by ``n``.
        logprobs: Whether log-probabilities are asked for.
        max_tokens_name: What the server calls the limit of generated tokens.
        extra: Further fields of every body.
    """

    model: str
    seeds: bool = True
    logprobs: bool = False
    max_tokens_name: str = "max_tokens"
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Checks that ``extra`` is JSON and changes nothing that requests say themselves."""
        if self.max_tokens_name not in ("max_tokens", "max_completion_tokens"):
            expected = "'max_tokens' or 'max_completion_tokens'"
            raise SettingError(
                error_message("max_tokens_name", of="RemoteBackend", expected=expected, got=self.max_tokens_name)
            )
        own = sorted(_OWN & set(self.extra))
        if own:
            hint = "requests and other settings say these"
            raise SettingError(
                error_message("extra", of="RemoteBackend", expected=f"without {', '.join(own)}", got=own, hint=hint)
            )
        try:
            json.dumps(dict(self.extra), allow_nan=False)
        except (TypeError, ValueError):
            raise SettingError(
                error_message("extra", of="RemoteBackend", expected="a mapping of JSON values", got=self.extra)
            ) from None

    def calls(self, request: Request) -> list[Call]:
        """Puts a request into calls: one a sample, or one for all.

        Args:
            request: The request.

        Returns:
            Calls that together ask for ``request.samples``.
        """
        groups = [(index,) for index in request.samples] if self.seeds else [request.samples]
        return [self._call(request, group) for group in groups]

    def streamed(self, request: Request) -> Call:
        """Puts a request for one sample into a call whose answer comes in pieces."""
        call = self._call(request, request.samples)
        call.body.update(stream=True, stream_options={"include_usage": True})
        return call

    def scored(self, text: str) -> dict[str, Any]:
        """Makes the body that asks how likely the tokens of a text are."""
        body = {"model": self.model, "prompt": text, "max_tokens": 1, "temperature": 0.0, "logprobs": 1, "echo": True}
        return body | dict(self.extra)

    def _call(self, request: Request, samples: tuple[int, ...]) -> Call:
        sampling, prompt = request.sampling, request.prompt
        # A server fills what a request leaves out with its own defaults, so every value is sent.
        body: dict[str, Any] = {
            "model": self.model,
            self.max_tokens_name: sampling.max_new_tokens,
            "temperature": float(sampling.temperature),
            "top_p": float(sampling.top_p),
        }
        if prompt.text is None:
            path = CHAT
            body["messages"] = [{"role": m.role, "content": m.content} for m in prompt.messages]
        else:
            path, body["prompt"] = COMPLETIONS, prompt.text
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        if sampling.schema is not None:
            schema = {"name": "answer", "schema": json.loads(sampling.schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        if len(samples) > 1:
            body["n"] = len(samples)
        if self.seeds and sampling.temperature > 0:
            body["seed"] = sample_seed(request.seed, prompt, samples[0])
        if self.logprobs:
            body["logprobs"] = True if path == CHAT else 1
        return Call(path, body | dict(self.extra), samples, sampling.stop)
