"""What a backend is, and what can be done with any."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import Protocol, TypeVar, runtime_checkable

from promptkit.errors import PromptkitError, SettingError, UnsupportedError, error_message
from promptkit.types import Progress, Prompt, Reply, Request, ScoreRequest

__all__ = [
    "Backend",
    "check_backend",
    "check_logprobs",
    "first_error",
    "replies",
    "unwrap",
]

T = TypeVar("T")

_VERBS = ("generate", "count_tokens", "fingerprint")

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
