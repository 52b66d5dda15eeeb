"""A conversation with an assistant, kept within the context window by whole turns."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from promptkit.assistants.replies import AssistantReply, ReplyStream
from promptkit.assistants.turns import as_query
from promptkit.backends.streaming import OnText
from promptkit.errors import DataError, SettingError, error_message, one_of
from promptkit.types import Example, Query

if TYPE_CHECKING:
    from promptkit.assistants.assistant import Assistant

__all__ = ["Chat", "Turn"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One finished turn: what was asked, and the reply."""

    query: Query
    reply: AssistantReply


class Chat:
    """A conversation. Answers see the turns before them, as far as those fit the context window.

    A turn stays whole or goes whole, the oldest first, and one that is gone does not come back: the conversation holds
    no more than its window, however long it lasts, and counts what it dropped. A turn without an answer (the
    assistant abstained) is not shown to the model later, as there is nothing that it said. A turn that failed with an
    error changes nothing. Questions are answered one at a time.

    Make it with ``Assistant.chat``.

    Args:
        assistant: Who answers.
        given: Fields that hold for the whole conversation.
        seed: Seed of sampling.
        transcript: Called with every finished turn.

    Example:
        >>> import promptkit as pk
        >>> backend = pk.ScriptedBackend([" The answer is 5."])
        >>> task = pk.load_task("apples")
        >>> chat = pk.Assistant(pk.FewShot(task, shots=0).fit([], backend)).chat()
        >>> chat.send("Jane has 2 apples. She bought 3 more. How many apples does Jane have?").text
        'The answer is 5.'
        >>> chat.send("And if she ate none of them?").dropped_turns, chat.turns, len(chat.kept)
        (0, 2, 2)
    """

    def __init__(
        self,
        assistant: Assistant,
        *,
        given: Mapping[str, str],
        seed: int = 0,
        transcript: Callable[[Turn], None] | None = None,
    ) -> None:
        for name, text in given.items():
            if name not in assistant.task.fields:
                expected = one_of(assistant.task.fields)
                raise DataError(error_message("given", of=f"chat with {assistant.name!r}", expected=expected, got=name))
            if not isinstance(text, str):
                raise DataError(
                    error_message(f"given {name!r}", of=f"chat with {assistant.name!r}", expected="a text", got=text)
                )
        self.assistant = assistant
        self._given = dict(given)
        self._seed = seed
        self._transcript = transcript
        self._answering = threading.Lock()
        self._kept: tuple[Example, ...] = ()
        self._dropped = 0
        self._turns = 0

    def __repr__(self) -> str:
        return f"<Chat with {self.assistant.name}: {self.turns} turns, {self.dropped_turns} dropped>"

    @property
    def turns(self) -> int:
        """Finished turns so far, those without an answer included."""
        return self._turns

    @property
    def kept(self) -> tuple[Example, ...]:
        """The answered turns that the model still sees, the oldest first."""
        return self._kept

    @property
    def dropped_turns(self) -> int:
        """Answered turns that no longer fit."""
        return self._dropped

    def send(self, question: str | Mapping[str, str]) -> AssistantReply:
        """Says something and returns the reply.

        Args:
            question: A text for the one field that was not given, or texts by field.

        Returns:
            The reply; ``dropped_turns`` counts all turns of this conversation that are gone.

        Raises:
            DataError: The question does not fit the task.
            ContextLengthError: The question alone does not fit the context window; it is never cut.
            SettingError: The last question is still being answered.
            BackendError: The model failed.
        """
        return self._send(self._query(question), None)

    async def asend(self, question: str | Mapping[str, str]) -> AssistantReply:
        """Answers as ``send`` does, in a thread of its own, so that the event loop is free meanwhile."""
        return await asyncio.to_thread(self.send, question)

    def stream(self, question: str | Mapping[str, str]) -> ReplyStream:
        """Says something and returns the reply piece by piece; the turn counts once every piece was read.

        Args:
            question: As in ``send``.

        Returns:
            Pieces of text, to be read with ``for`` or ``async for``; then ``.reply`` is the whole. Errors are those
            of ``send``, raised where the pieces are read.
        """
        query = self._query(question)
        return ReplyStream(lambda on_text: self._send(query, on_text))

    def reset(self) -> None:
        """Forgets all turns.

        Raises:
            SettingError: The last question is still being answered.
        """
        with self._one_at_a_time():
            self._kept, self._dropped, self._turns = (), 0, 0

    def _query(self, question: str | Mapping[str, str]) -> Query:
        return as_query(self.assistant.task, question, self._given)

    def _send(self, query: Query, on_text: OnText | None) -> AssistantReply:
        with self._one_at_a_time():
            reply, composed = self.assistant._answer(query, self._kept, self._seed, on_text)
            self._dropped += reply.dropped_turns
            self._turns += 1
            self._kept = composed.kept if reply.answer is None else (*composed.kept, _as_example(query, reply))
            reply = replace(reply, dropped_turns=self._dropped)
            if self._transcript is not None:
                self._transcript(Turn(query, reply))
            return reply

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        # Waiting would be a deadlock for who sends in the middle of reading a stream.
        if not self._answering.acquire(blocking=False):
            raise SettingError(
                f"chat with {self.assistant.name!r}: a question must wait for the last reply, which is not finished; "
                "read its stream to the end, or open another chat"
            )
        try:
            yield
        finally:
            self._answering.release()


def _as_example(query: Query, reply: AssistantReply) -> Example:
    """Writes an answered turn as the solved item that later prompts show."""
    reasonings = reply.prediction.reasonings
    return Example(query, (reply.answer or "",), reasonings[0] if reasonings else "")
