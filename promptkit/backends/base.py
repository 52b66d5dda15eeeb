"""What a backend is, and the checks of requests that every backend makes before it works."""

from __future__ import annotations

import json
import math
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar, runtime_checkable

from promptkit.errors import ContextLengthError, PromptkitError, SettingError, UnsupportedError, error_message
from promptkit.types import Progress, Prompt, Reply, Request, Sampling, ScoreRequest, Weights

__all__ = [
    "Backend",
    "check_backend",
    "check_fits",
    "check_logprobs",
    "check_no_weights",
    "check_prompt",
    "check_request",
    "check_score_request",
    "first_error",
    "prompt_texts",
    "replies",
    "unwrap",
]

T = TypeVar("T")

_VERBS = ("generate", "count_tokens", "fingerprint")

MAX_TEMPERATURE = 10.0
MAX_SCHEMA = 100_000
MAX_TOGETHER = 64
"""Most requests that are sent at once to a backend without ``replies``, which is what a kill can lose."""


@runtime_checkable
class Backend(Protocol):
    """A model that completes prompts.

    A backend keeps no state between calls: what it answers depends on the requests alone, never on their order,
    their neighbours or earlier calls. It may be called from several threads.

    Some can do more: ``replies(requests)`` tells of each request as it finishes (see ``replies`` below),
    ``stream(request)`` gives a text in pieces, ``tells_logprobs`` is false where completions have no log-probabilities,
    and ``cache_scope`` is a text that tells apart backends of one fingerprint that may answer otherwise. One that
    wraps another has it as ``backend`` (see ``unwrap`` below).

    Attributes:
        name: What users call the model.
        chat: Whether prompts should be rendered as chat messages.
        context_window: Tokens that prompt and completion may have together.
    """

    @property
    def name(self) -> str:
        """What users call the model."""
        ...

    @property
    def chat(self) -> bool:
        """Whether prompts should be rendered as chat messages."""
        ...

    @property
    def context_window(self) -> int:
        """Tokens that prompt and completion may have together."""
        ...

    def generate(self, requests: Sequence[Request], *, progress: Progress | None = None) -> list[Reply]:
        """Completes every request.

        Args:
            requests: What is wanted, in any order and mixture.
            progress: Called with (finished requests, all requests) while the work goes on.

        Returns:
            One reply per request, in order.

        Raises:
            SettingError: A request cannot be meant as it stands.
            ContextLengthError: A prompt with its ``max_new_tokens`` does not fit; nothing was computed.
            BackendError: The model failed.
        """
        ...

    def score(self, requests: Sequence[ScoreRequest]) -> list[tuple[tuple[float, int], ...]]:
        """Tells how likely each continuation of a prompt is.

        Args:
            requests: Prompts with their continuations.

        Returns:
            Per request and continuation, in order: the summed natural log-probability and the number of tokens.

        Raises:
            UnsupportedError: The backend cannot score.
            ContextLengthError: A prompt with a continuation does not fit; nothing was computed.
        """
        ...

    def count_tokens(self, prompt: Prompt) -> int:
        """Returns how many tokens of the context window a prompt takes."""
        ...

    def fingerprint(self) -> str:
        """Returns a hash of weights and tokenizer that is equal on every machine."""
        ...


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


def replies(backend: Backend, requests: Sequence[Request]) -> Generator[tuple[int, Reply | PromptkitError], None, None]:
    """Completes requests and tells of each as it finishes, so that no failure costs the others.

    A backend that can do so itself has a method ``replies``. Others are asked for some requests at a time, and where
    that fails, for one at a time.

    Args:
        backend: The model.
        requests: What is wanted.

    Yields:
        Number of a request with its reply, or with why it failed.

    Example:
        >>> from promptkit import ScriptedBackend
        >>> found = dict(replies(ScriptedBackend({"two": "2"}), [Request(Prompt(text=text)) for text in ("two", "?")]))
        >>> found[0].completions[0].text, type(found[1]).__name__
        ('2', 'BackendError')
    """
    own = getattr(backend, "replies", None)
    if own is not None:
        yield from own(requests)
        return
    for start in range(0, len(requests), MAX_TOGETHER):
        together = requests[start : start + MAX_TOGETHER]
        try:
            yield from enumerate(backend.generate(together), start)
        except PromptkitError as error:
            if len(together) == 1:
                yield start, error
                continue
            for place, request in enumerate(together, start):
                try:
                    reply: Reply | PromptkitError = backend.generate([request])[0]
                except PromptkitError as why:
                    reply = why
                yield place, reply


def check_backend(value: object, *, of: str) -> None:
    """Checks that something can answer, where a model is wanted; a name alone cannot.

    Args:
        value: What was given as the backend.
        of: Who wants it, for messages.

    Raises:
        SettingError: It is no backend; says what to pass.

    Example:
        >>> from promptkit import ScriptedBackend
        >>> check_backend(ScriptedBackend(["yes"]), of="FewShot.fit")
    """
    if not isinstance(value, type) and all(callable(getattr(value, name, None)) for name in _VERBS):
        return
    shown = value if value is None or isinstance(value, str) else type(value).__name__
    hint = "pass pk.LocalBackend('reference'), or pk.RemoteBackend('http://localhost:8000/v1', 'my-model') for a server"
    if isinstance(value, str) and value:
        address = value.startswith(("http://", "https://"))
        hint = f"pass pk.RemoteBackend({value!r}, 'my-model')" if address else f"pass pk.LocalBackend({value!r})"
    raise SettingError(
        error_message("backend", of=of, expected="a model that answers, not its name", got=shown, hint=hint)
    )


def unwrap(backend: Backend) -> Backend:
    """Finds the model behind backends that stand in front of it, such as a cache.

    Args:
        backend: Any backend.

    Returns:
        The last one in the row of ``backend.backend``; itself if it wraps none.

    Example:
        >>> import tempfile
        >>> from promptkit import CachedBackend, ScriptedBackend
        >>> model = ScriptedBackend(["yes"])
        >>> with tempfile.TemporaryDirectory() as folder, CachedBackend(model, folder + "/answers.sqlite") as cached:
        ...     unwrap(cached) is model, unwrap(model) is model
        (True, True)
    """
    while isinstance(inner := getattr(backend, "backend", None), Backend):
        backend = inner
    return backend


def check_logprobs(backend: Backend, *, of: str) -> None:
    """Refuses work that needs log-probabilities on a backend that gives none, before anything is asked.

    Args:
        backend: The model.
        of: What needs them, for messages.

    Raises:
        UnsupportedError: The backend says that its completions have none (``tells_logprobs``).

    Example:
        >>> from promptkit import ScriptedBackend
        >>> check_logprobs(ScriptedBackend(["yes"]), of="vote")
    """
    if not getattr(unwrap(backend), "tells_logprobs", True):
        raise UnsupportedError(
            f"{of}: the aggregator needs log-probabilities, and {backend.name!r} is asked for none; set logprobs=True "
            "of the RemoteBackend if the server gives them, or use rule 'majority'"
        )


def first_error(found: Iterable[tuple[int, T | Exception]], count: int, progress: Progress | None) -> list[T]:
    """Collects results that come in any order, and raises the first failure among them.

    Args:
        found: Numbers with results or failures.
        count: How many there will be.
        progress: Called with (finished, all).

    Returns:
        The results in the order of their numbers.

    Raises:
        Exception: The first failure; what has not finished by then is given up.
    """
    results: dict[int, T] = {}
    try:
        for place, result in found:
            if isinstance(result, Exception):
                raise result
            results[place] = result
            if progress is not None:
                progress(len(results), count)
    finally:
        close = getattr(found, "close", None)
        if close is not None:
            close()
    return [results[place] for place in range(count)]
