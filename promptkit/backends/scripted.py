"""A backend without a model: it answers from a script. For tests, examples and dry runs."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Collection, Mapping, Sequence

from promptkit.backends.checks import check_fits, check_no_weights, check_request, check_score_request, prompt_texts
from promptkit.errors import BackendError, SettingError, UnsupportedError, error_message
from promptkit.types import Completion, Finish, Progress, Prompt, Reply, Request, ScoreRequest, Usage

__all__ = ["Script", "ScriptedBackend"]

Script = Callable[[Request, int], str] | Mapping[str, str] | Sequence[str]
"""Where answers come from: a function of request and sample index; the answer for the first key, in the mapping's
order, that occurs in the prompt; or a list, used in rotation by sample index."""

_TOKEN = re.compile(r"\s*(?:[^\W_]+|\S)|\s+")
_MESSAGE_TOKENS = 3  # what a chat template typically spends on the frame of one message


class ScriptedBackend:
    r"""Answers from a script, at once and always the same.

    Tokens are counted as words, single signs and leftover white space; stop texts, ``max_new_tokens`` and the
    context window are obeyed as a model would. Every request is kept in ``requests``.

    Args:
        answers: A function ``(request, sample_index) -> text``; a mapping from a text in the prompt to
            the answer (the empty key matches every prompt); or a list, of which sample i gets item ``i % len``.
        name: What the backend is called.
        chat: Whether prompts should be rendered as chat messages.
        context_window: Tokens that prompt and completion may have together.
        scores: A function ``(request, continuation) -> log-probability``; without it ``score`` is refused.
        fail_on: Numbers of calls of ``generate`` and ``score``, counted from 0, that raise ``BackendError``.

    Raises:
        SettingError: ``answers`` is empty, or ``context_window`` is below 1.

    Example:
        >>> backend = ScriptedBackend({"2 + 2": " 4\n", "": " unknown"})
        >>> backend.generate([Request(Prompt(text="2 + 2 ="))])[0].completions[0].text
        ' 4\n'
        >>> len(backend.requests)
        1
    """

    def __init__(
        self,
        answers: Script = ("",),
        *,
        name: str = "scripted",
        chat: bool = False,
        context_window: int = 4096,
        scores: Callable[[ScoreRequest, str], float] | None = None,
        fail_on: Collection[int] = (),
    ) -> None:
        if isinstance(answers, str) or (not callable(answers) and not answers):
            raise SettingError(
                error_message(
                    "answers", of="ScriptedBackend", expected="a function, a mapping or a list of texts", got=answers
                )
            )
        if context_window < 1:
            raise SettingError(
                error_message(
                    "context_window", of="ScriptedBackend", expected="an integer of at least 1", got=context_window
                )
            )
        self.name = name
        self.chat = chat
        self.context_window = context_window
        self.requests: list[Request | ScoreRequest] = []
        self._answers = answers
        self._scores = scores
        self._fail_on = frozenset(fail_on)
        self._calls = 0
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"ScriptedBackend(name={self.name!r}, context_window={self.context_window})"

    def generate(self, requests: Sequence[Request], *, progress: Progress | None = None) -> list[Reply]:
        """Answers every request from the script.

        Args:
            requests: What is wanted.
            progress: Called with (finished requests, all requests).

        Returns:
            One reply per request, in order; log-probabilities are ``None``.

        Raises:
            SettingError: A request is out of range.
            ContextLengthError: A prompt with its ``max_new_tokens`` does not fit.
            UnsupportedError: A request names learned weights.
            BackendError: The call is in ``fail_on``, or no key of the mapping is in the prompt.
        """
        for number, request in enumerate(requests):
            of = f"requests[{number}]"
            check_request(request, of=of)
            check_no_weights(request, of=of, backend="ScriptedBackend")
            tokens = self.count_tokens(request.prompt)
            check_fits(tokens, request.sampling.max_new_tokens, self.context_window, of=of)
        self._log(requests)
        replies = []
        for number, request in enumerate(requests, start=1):
            replies.append(self._reply(request))
            if progress is not None:
                progress(number, len(requests))
        return replies

    def score(self, requests: Sequence[ScoreRequest]) -> list[tuple[tuple[float, int], ...]]:
        """Scores continuations by the function given as ``scores``.

        Args:
            requests: Prompts with their continuations.

        Returns:
            Per request and continuation: the log-probability and the number of tokens.

        Raises:
            UnsupportedError: No ``scores`` function was given, or a request names learned weights.
            SettingError: A prompt or continuation is empty.
            ContextLengthError: A prompt with a continuation does not fit.
            BackendError: The call is in ``fail_on``.
        """
        if self._scores is None:
            raise UnsupportedError("ScriptedBackend: score needs a function; pass scores=lambda request, text: ...")
        for number, request in enumerate(requests):
            of = f"requests[{number}]"
            check_score_request(request, of=of)
            check_no_weights(request, of=of, backend="ScriptedBackend")
            longest = max(len(_split(text)) for text in request.continuations)
            check_fits(self.count_tokens(request.prompt), longest, self.context_window, of=of)
        self._log(requests)
        return [
            tuple((float(self._scores(request, text)), len(_split(text))) for text in request.continuations)
            for request in requests
        ]

    def count_tokens(self, prompt: Prompt) -> int:
        """Returns the number of tokens of a prompt; a chat message costs three more than its content."""
        frame = _MESSAGE_TOKENS * len(prompt.messages)
        return frame + sum(len(_split(text)) for text in prompt_texts(prompt))

    def fingerprint(self) -> str:
        """Returns a hash of the name and, where it is plain data, of the script."""
        script = self._answers
        items = script.items() if isinstance(script, Mapping) else script
        plain = "function" if callable(items) else repr(list(items))
        return hashlib.sha256(f"scripted\0{self.name}\0{plain}".encode("utf-8", "surrogatepass")).hexdigest()

    def _log(self, requests: Sequence[Request] | Sequence[ScoreRequest]) -> None:
        with self._lock:
            call = self._calls
            self._calls += 1
            self.requests.extend(requests)
        if call in self._fail_on:
            raise BackendError(
                f"ScriptedBackend: call {call} fails because of fail_on; leave it out of fail_on to let it pass"
            )

    def _answer(self, request: Request, index: int) -> str:
        if callable(self._answers):
            return self._answers(request, index)
        if isinstance(self._answers, Mapping):
            prompt = "\n".join(prompt_texts(request.prompt))
            for key, answer in self._answers.items():
                if key in prompt:
                    return answer
            raise BackendError(
                error_message(
                    "answers",
                    of="ScriptedBackend",
                    expected="a mapping with a key that is in the prompt",
                    got=list(self._answers),
                    hint=f"no key fits the prompt that ends in {prompt[-60:]!r}; an empty key fits every prompt",
                )
            )
        return self._answers[index % len(self._answers)]

    def _reply(self, request: Request) -> Reply:
        completions = tuple(_complete(request, self._answer(request, index), index) for index in request.samples)
        usage = Usage(
            calls=1,
            prompt_tokens=self.count_tokens(request.prompt),
            generated_tokens=sum(completion.tokens for completion in completions),
        )
        return Reply(completions, usage)


def _split(text: str) -> list[str]:
    return _TOKEN.findall(text)


def _complete(request: Request, text: str, index: int) -> Completion:
    """Ends a scripted text where a model would have ended it."""
    sampling = request.sampling
    stops = [(at, stop) for stop in sampling.stop if (at := text.find(stop)) >= 0]
    finish: Finish = "eos"
    shown, spent = text, len(_split(text)) + 1
    if stops:
        at, stop = min(stops)
        finish, shown, spent = "stop", text[:at], len(_split(text[: at + len(stop)]))
    if spent > sampling.max_new_tokens:
        pieces = _split(text)[: sampling.max_new_tokens]
        finish, shown, spent = "length", "".join(pieces), sampling.max_new_tokens
    return Completion(shown, finish, spent, None, index)
