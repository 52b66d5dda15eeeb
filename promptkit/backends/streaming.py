"""Text in pieces while it is generated: from a call with a callback to an iterator, and from tokens to text."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from typing import Generic, TypeVar

from promptkit.backends.openai.streaming import StopFilter
from promptkit.types import Completion

__all__ = ["OnText", "Piecewise", "TextPieces"]

OnText = Callable[[str], None]
"""Called with each new piece of a text."""

T = TypeVar("T")
_CONTEXT = (
    8  # tokens before a new one that are decoded with it, so that its leading space and its half characters survive
)


class _Cancelled(BaseException):
    """Ends work whose pieces nobody reads any more; no handling of errors must take it for a failure."""


class Piecewise(Generic[T]):
    """Work that reports pieces of text while it goes on, turned round: the pieces are fetched.

    The work goes on in a thread of its own. Pieces wait without a bound, so that a slow reader never holds up a model
    that others use too; cancelled work ends with the next piece that it reports.

    Args:
        work: Does the work and calls its argument with every piece.

    Example:
        >>> list(Piecewise(lambda on_text: [on_text("one "), on_text("two")]).pieces())
        ['one ', 'two']
    """

    def __init__(self, work: Callable[[OnText], T]) -> None:
        self._work = work
        self._waiting: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._put: Callable[[str | None], None] = self._waiting.put
        self._cancelled = threading.Event()
        self._result: list[T] = []
        self._error: BaseException | None = None

    def pieces(self) -> Generator[str, None, T]:
        """Does the work and yields its pieces; the value of the generator is what the work returned."""
        self._start()
        try:
            while (piece := self._waiting.get()) is not None:
                yield piece
        finally:
            self._cancelled.set()
        return self._outcome()

    async def apieces(self, keep: Callable[[T], None]) -> AsyncGenerator[str, None]:
        """Does the same for an event loop, which is free meanwhile and spends no thread on waiting.

        Args:
            keep: Called with what the work returned, after the last piece.

        Yields:
            The pieces.
        """
        loop, waiting = asyncio.get_running_loop(), asyncio.Queue[str | None]()
        self._put = lambda piece: _hand_over(loop, waiting, piece)
        self._start()
        try:
            while (piece := await waiting.get()) is not None:
                yield piece
        finally:
            self._cancelled.set()
        keep(self._outcome())

    def _start(self) -> None:
        threading.Thread(target=self._run, name="promptkit-pieces", daemon=True).start()

    def _outcome(self) -> T:
        if self._error is not None:
            raise self._error
        return self._result[0]

    def _run(self) -> None:
        try:
            self._result.append(self._work(self._report))
        except _Cancelled:
            pass
        except BaseException as error:  # raised again where the pieces are read
            self._error = error
        finally:
            self._put(None)

    def _report(self, piece: str) -> None:
        if self._cancelled.is_set():
            raise _Cancelled
        if piece:
            self._put(piece)


def _hand_over(loop: asyncio.AbstractEventLoop, waiting: asyncio.Queue[str | None], piece: str | None) -> None:
    with contextlib.suppress(RuntimeError):  # the loop was closed, so nobody reads any more
        loop.call_soon_threadsafe(waiting.put_nowait, piece)


class TextPieces:
    """Turns the growing tokens of one completion into pieces that together are exactly its text.

    Held back is what may not stay: half of a character, and text that may be the start of a stop text.

    Args:
        decode: Turns (tokens before, new tokens) into the text of the new ones.
        prompt: Tokens of the prompt.
        stop: The stop texts.
        on_text: Called with each piece.
    """

    def __init__(
        self,
        decode: Callable[[Sequence[int], Sequence[int]], str],
        prompt: Sequence[int],
        stop: Sequence[str],
        on_text: OnText,
    ) -> None:
        self._decode = decode
        self._before = list(prompt[-_CONTEXT:])
        self._stops = StopFilter(stop)
        self._on_text = on_text
        self._settled = 0
        self._shown: list[str] = []

    def grow(self, tokens: Sequence[int]) -> None:
        """Takes all tokens so far, of which the last is new."""
        before = [*self._before, *tokens[max(0, self._settled - _CONTEXT) : self._settled]]
        fresh = self._decode(before, tokens[self._settled :])
        if not fresh.endswith("\ufffd"):
            self._settled = len(tokens)
            self._show(self._stops.feed(fresh))

    def finish(self, completion: Completion) -> None:
        """Hands on what the finished text has beyond the pieces so far."""
        shown = "".join(self._shown)
        if completion.text.startswith(shown):
            self._show(completion.text[len(shown) :])

    def _show(self, piece: str) -> None:
        if piece:
            self._shown.append(piece)
            self._on_text(piece)
