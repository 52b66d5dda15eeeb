"""What an assistant says: whole replies, and replies that come piece by piece."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from promptkit.backends import Backend
from promptkit.backends.streaming import OnText, Piecewise
from promptkit.errors import SettingError, UnsupportedError
from promptkit.types import Prediction, Progress, Prompt, Reply, Request, ScoreRequest

__all__ = ["AssistantReply", "Reason", "ReplyStream", "Tap", "Trimmed"]

Reason = Literal["", "disagreement", "unreadable"]
"""Why an assistant abstained: its votes disagree, or no answer could be read from what the model wrote."""


@dataclass(frozen=True, slots=True)
class AssistantReply:
    """One reply.

    Attributes:
        text: What to show: the generated text, or where the assistant abstained its text for handing over.
        answer: The answer that was read from the generated text; ``None`` where the assistant abstained.
        abstained: Whether the assistant hands the question over.
        reason: Why, or "".
        prediction: The prediction behind it, with votes, agreement and cost.
        terms: Terms of the glossary that were put into the prompt.
        dropped_turns: Earlier turns of the conversation that the prompt no longer holds.
        dropped_shots: Demonstrations left out because the prompt would not fit.
    """

    text: str
    answer: str | None
    abstained: bool
    reason: Reason
    prediction: Prediction
    terms: tuple[str, ...] = ()
    dropped_turns: int = 0
    dropped_shots: int = 0

    def __repr__(self) -> str:
        found = f"abstained: {self.reason}" if self.abstained else f"answer {self.answer!r}"
        return f"<AssistantReply {self.text!r}, {found}>"


class ReplyStream:
    """A reply as an iterator of pieces of its text, plain or asynchronous. It can be read once.

    The work begins with the first piece that is asked for, in a thread of its own, and ends within a token when the
    reading ends early. Put together, the pieces are ``reply.text``; only where a text that was already shown turns
    out to be unreadable, the text for handing over follows it on a line of its own.

    Args:
        work: Makes the reply, calling its argument with every piece.
    """

    def __init__(self, work: Callable[[OnText], AssistantReply]) -> None:
        self._work = Piecewise(work)
        self._started = False
        self._reply: AssistantReply | None = None

    @property
    def reply(self) -> AssistantReply:
        """The whole reply, once every piece was read.

        Raises:
            SettingError: The stream was not read to its end.
        """
        if self._reply is None:
            raise SettingError("ReplyStream: reply is known at the end of the stream; read all of its pieces first")
        return self._reply

    def __iter__(self) -> Iterator[str]:
        """Yields the pieces of the text."""
        self._once()
        self._reply = yield from self._work.pieces()

    async def __aiter__(self) -> AsyncIterator[str]:
        """Yields the pieces of the text; the event loop is free while the model works."""
        self._once()
        async with contextlib.aclosing(self._work.apieces(self._keep)) as pieces:
            async for piece in pieces:
                yield piece

    def _keep(self, reply: AssistantReply) -> None:
        self._reply = reply

    def _once(self) -> None:
        if self._started:
            raise SettingError("ReplyStream: pieces can be read once only; keep them, or ask again")
        self._started = True


class Trimmed:
    """Hands text on without white space at its two ends, which a model writes and nobody wants to see.

    Args:
        on_text: Called with each piece.

    Attributes:
        text: What was handed on so far.
    """

    def __init__(self, on_text: OnText) -> None:
        self._on_text = on_text
        self._held = ""
        self.text = ""

    def __call__(self, piece: str) -> None:
        """Takes the next piece."""
        whole = self._held + piece
        if not self.text:
            whole = whole.lstrip()
        shown = whole.rstrip()
        self._held = whole[len(shown) :]
        self.text += shown
        self._on_text(shown)


class Tap:
    """A backend that hands on the text of a single completion while it grows.

    Of a backend that cannot stream, the whole text is handed on when it is complete.

    Args:
        backend: The model.
        on_text: Called with each piece of text.
    """

    def __init__(self, backend: Backend, on_text: OnText) -> None:
        self._backend = backend
        self._on_text = on_text

    @property
    def name(self) -> str:
        """The model's name."""
        return self._backend.name

    @property
    def chat(self) -> bool:
        """Whether prompts should be rendered as chat messages."""
        return self._backend.chat

    @property
    def context_window(self) -> int:
        """Tokens that prompt and completion may have together."""
        return self._backend.context_window

    def generate(self, requests: Sequence[Request], *, progress: Progress | None = None) -> list[Reply]:
        """Completes requests; a single completion is handed on while it grows."""
        single = len(requests) == 1 and len(requests[0].samples) == 1
        followed = self._follow(requests[0]) if single else None
        if followed is not None:
            return [followed]
        replies = self._backend.generate(requests, progress=progress)
        if single:
            self._on_text(replies[0].completions[0].text)
        return replies

    def _follow(self, request: Request) -> Reply | None:
        """Hands on a reply piece by piece; ``None`` where the backend cannot stream."""
        stream: Callable[[Request], Generator[str, None, Reply]] | None = getattr(self._backend, "stream", None)
        if stream is None:
            return None
        shown = False
        with contextlib.closing(stream(request)) as pieces:  # also where nobody reads any more
            while True:
                try:
                    piece = next(pieces)
                except StopIteration as end:
                    reply: Reply = end.value
                    return reply
                except UnsupportedError:  # a cache or server that passes streams on, before one that has none
                    if shown:
                        raise
                    return None
                shown = True
                self._on_text(piece)

    def score(self, requests: Sequence[ScoreRequest]) -> list[tuple[tuple[float, int], ...]]:
        """Scores continuations."""
        return self._backend.score(requests)

    def count_tokens(self, prompt: Prompt) -> int:
        """Counts the tokens of a prompt."""
        return self._backend.count_tokens(prompt)

    def fingerprint(self) -> str:
        """Returns the model's fingerprint."""
        return self._backend.fingerprint()
