"""Chat prompts through a tokenizer's own chat template, with contents that cannot leave their place.

The template is rendered twice: with the contents, and with a marker in the place of each. If both renderings hold
the same control tokens, the contents planted none, and the text is tokenised as a whole, as every chat model is used.
Otherwise the template's pieces and the contents are encoded apart, the contents as plain text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from promptkit.errors import UnsupportedError
from promptkit.types import Message

__all__ = ["render_chat"]


class _Codec(Protocol):
    tokenizer: Any
    control: frozenset[int]

    def framed(self, text: str) -> list[int]: ...

    def content(self, text: str) -> list[int]: ...


def render_chat(messages: Sequence[Message], codec: _Codec) -> list[int]:
    """Encodes chat messages, ready for the assistant's turn.

    Args:
        messages: The turns. If the template refuses a system message, it is put before the first user message.
        codec: The tokenizer with its two ways to encode.

    Returns:
        Token ids of the whole prompt.

    Raises:
        UnsupportedError: There is no chat template, it refuses the messages, or it rewrites contents that hold
            control tokens, so that they cannot be told from its own.
    """
    if not codec.tokenizer.chat_template:
        raise UnsupportedError(
            "prompt: a chat prompt needs a tokenizer with a chat template, and this one has none; "
            "render the prompt in completion form (form='completion', or LocalBackend(..., chat=False))"
        )
    try:
        whole = _apply(messages, codec.tokenizer)
    except UnsupportedError:
        folded = _fold_system(messages)
        if folded is None:
            raise
        messages, whole = folded, _apply(folded, codec.tokenizer)
    ids = codec.framed(whole)
    markers = _markers([message.content for message in messages])
    frame = _apply([Message(m.role, mark) for m, mark in zip(messages, markers, strict=True)], codec.tokenizer)
    if _controls(ids, codec.control) == _controls(codec.framed(frame), codec.control):
        return ids
    return _piecewise(messages, whole, frame, markers, codec)


def _apply(messages: Sequence[Message], tokenizer: Any) -> str:
    from jinja2 import TemplateError

    turns = [{"role": message.role, "content": message.content} for message in messages]
    try:
        text: str = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    except TemplateError as error:
        roles = [message.role for message in messages]
        raise UnsupportedError(
            f"prompt: the model's chat template refuses messages with the roles {roles}: {error}; "
            "change the order of roles, or render the prompt in completion form"
        ) from error
    return text


def _fold_system(messages: Sequence[Message]) -> list[Message] | None:
    if len(messages) < 2 or messages[0].role != "system" or messages[1].role != "user":
        return None
    first = Message("user", f"{messages[0].content}\n\n{messages[1].content}")
    return [first, *messages[2:]]


def _markers(contents: Sequence[str]) -> list[str]:
    """Makes one marker per content, of letters that stand in none of the contents."""
    stem = "slot"
    while any(stem in content for content in contents):
        stem += "q"
    return [f"{stem}{number:06d}" for number in range(len(contents))]


def _controls(ids: Sequence[int], control: frozenset[int]) -> list[int]:
    return [number for number in ids if number in control]


def _piecewise(messages: Sequence[Message], whole: str, frame: str, markers: Sequence[str], codec: _Codec) -> list[int]:
    pieces, rest = [], frame
    for marker in markers:
        piece, found, rest = rest.partition(marker)
        if not found:
            raise _rewritten()
        pieces.append(piece)
    pieces.append(rest)
    for change in (str, str.strip):  # most templates take contents as they are, some trim them
        contents = [change(message.content) for message in messages]
        joined = "".join(part for pair in zip(pieces, [*contents, ""], strict=True) for part in pair)
        if joined == whole:
            ids: list[int] = []
            for piece, content in zip(pieces, [*contents, ""], strict=True):
                ids += codec.framed(piece) if piece else []
                ids += codec.content(content) if content else []
            return ids
    raise _rewritten()


def _rewritten() -> UnsupportedError:
    return UnsupportedError(
        "prompt: its messages hold the text of control tokens, and the model's chat template rewrites messages, so "
        "the two cannot be told apart; remove such text, or render the prompt in completion form"
    )
