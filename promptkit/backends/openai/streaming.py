"""Answers that come in pieces: server-sent events (WHATWG HTML, 9.2) with OpenAI's chunks in them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from promptkit.backends.openai.errors import error_text
from promptkit.backends.openai.protocol import Call
from promptkit.backends.openai.responses import Reading, choice_text, finish_of, only_reasoning, read_usage, reasoned
from promptkit.errors import BackendError
from promptkit.types import Completion, Reply, Usage

__all__ = ["DONE", "EventReader", "StopFilter", "StreamedReply"]

DONE = "[DONE]"
"""The data of the event that ends an answer; without it the answer was cut off."""

_MAX_LINE = 2**20


class EventReader:
    r"""Puts bytes together to events.

    Bytes are decoded a whole line at a time, so a sign that is cut by the network is whole again.

    Example:
        >>> parser = EventReader()
        >>> [*parser.feed(b'data: {"a": '), *parser.feed(b'1}\n\n: a comment\n\ndata: [DONE]\n'), *parser.feed(b"\n")]
        ['{"a": 1}', '[DONE]']
    """

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[str] = []

    def feed(self, piece: bytes) -> Iterator[str]:
        """Takes bytes and gives the data of every event that they complete.

        Args:
            piece: The next bytes.

        Yields:
            The data of events, which may be several lines.

        Raises:
            ValueError: A line is not UTF-8, or has no end.
        """
        # A carriage return at the end waits for what follows: it may be half of a line break.
        held, self._rest = self._rest + piece, b""
        if held.endswith(b"\r"):
            held, self._rest = held[:-1], b"\r"
        lines = held.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._rest = lines.pop() + self._rest
        if len(self._rest) > _MAX_LINE:
            raise ValueError(f"a line is longer than {_MAX_LINE} bytes")
        for line in lines:
            text = line.decode("utf-8")
            if not text and self._data:
                yield "\n".join(self._data)
                self._data = []
            name, _, value = text.partition(":")
            if name == "data":
                self._data.append(value.removeprefix(" "))


class StopFilter:
    """Lets text through up to the first stop text; a server that knows the stop texts never sends one.

    Text that may be the start of a stop text is held back until that is clear.

    Args:
        stops: The stop texts.

    Example:
        >>> keep = StopFilter(("END",))
        >>> [keep.feed("one E"), keep.feed("N"), keep.feed("D two"), keep.rest(), keep.stopped]
        ['one ', '', '', '', True]
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.stopped = False

    def feed(self, text: str) -> str:
        """Takes the next text and returns what can be shown."""
        if self.stopped:
            return ""
        self._held += text
        found = [at for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if found:
            self.stopped = True
            shown, self._held = self._held[: min(found)], ""
            return shown
        keep = max((_overlap(self._held, stop) for stop in self._stops), default=0)
        shown, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return shown

    def rest(self) -> str:
        """Returns what is still held back when the text is at its end."""
        shown, self._held = self._held, ""
        return shown


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of a text that is a beginning of a stop text."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)


class StreamedReply:
    """Reads the stream of one completion.

    Args:
        call: What was asked.
        reading: How to read it.
    """

    def __init__(self, call: Call, reading: Reading) -> None:
        self._call = call
        self._reading = reading
        self._events = EventReader()
        self._filter = StopFilter(call.stop)
        self._shown: list[str] = []
        self._whole: list[str] = []
        self._last: dict[str, Any] = {}
        self._usage: Any = None
        self._done = self._reasoned = False

    def feed(self, piece: bytes) -> Iterator[str]:
        """Takes bytes and gives the text that they complete, where there is any.

        Args:
            piece: The next bytes.

        Yields:
            Text that is not empty.

        Raises:
            BackendError: They are no stream of chunks, or hold an error.
        """
        try:
            for data in self._events.feed(piece):
                yield from self._shown_now(self._filter.feed(self._text(data)))
        except ValueError as error:
            raise self._broken(f"is not valid: {error}") from None

    def end(self) -> Iterator[str]:
        """Gives what was held back.

        Raises:
            BackendError: The stream was cut off.
        """
        if not self._done:
            raise self._broken("ended before its end mark")
        if self._reasoned and not "".join(self._whole).strip():
            raise only_reasoning(self._last.get("finish_reason"), self._reading)
        finish_of("".join(self._whole), self._last, self._call.stop, self._reading)
        yield from self._shown_now(self._filter.rest())

    def reply(self, seconds: float) -> Reply:
        """Makes the reply of a stream that ended.

        Args:
            seconds: How long it took.

        Returns:
            The reply.
        """
        whole = "".join(self._whole)
        _, finish = finish_of(whole, self._last, self._call.stop, self._reading)
        usage, tokens = read_usage(self._usage, self._call, [whole], [None], self._reading)
        completion = Completion("".join(self._shown), finish, tokens[0], None, self._call.samples[0])
        return Reply((completion,), usage + Usage(seconds=seconds))

    def _shown_now(self, text: str) -> Iterator[str]:
        if text:
            self._shown.append(text)
            yield text

    def _text(self, data: str) -> str:
        """Reads one event."""
        if self._done or data == DONE:
            self._done = True
            return ""
        try:
            chunk = json.loads(data) if data.strip() else None
        except (ValueError, RecursionError):
            raise self._broken(f"must be of JSON, got {self._reading.hide(data)[:80]!r}") from None
        if chunk in (None, [], {}):  # kept alive
            return ""
        choices = (chunk.get("choices") or []) if isinstance(chunk, dict) else None
        if not isinstance(choices, list):
            raise self._broken(f"must be of chunks with choices, got {self._reading.hide(data)[:80]!r}")
        if chunk.get("error") or chunk.get("object") == "error":
            raise self._broken(f"holds an error: {error_text(chunk, self._reading.hide)}")
        self._usage = chunk.get("usage") or self._usage
        text = "".join(map(self._piece, choices))
        self._whole.append(text)
        return text

    def _piece(self, choice: Any) -> str:
        if not isinstance(choice, dict) or choice.get("index") not in (None, 0):
            raise self._broken("must have one choice")
        if choice.get("finish_reason"):
            self._last = choice
        holder = (choice.get("delta") or choice.get("message")) if self._call.chat else choice
        self._reasoned = self._reasoned or reasoned(holder)
        # A chunk may tell the role or the end and hold no text.
        text = holder.get("content" if self._call.chat else "text") if isinstance(holder, dict) else None
        return "" if text is None else choice_text(text, self._reading)

    def _broken(self, how: str) -> BackendError:
        return BackendError(f"{self._reading.what}: the stream {how}; what came of it is not a whole answer")
