"""Chat prompts through a tokenizer's own chat template: nothing lost, and contents that cannot leave their place.

The template is rendered twice: with the contents, and with a marker in the place of each. A marker that does not come
out stands for a message that the model would never read; then other arrangements of the same messages are tried, and
if none keeps them all, the prompt is refused. If both renderings hold the same control tokens, the contents planted
none, and the text is tokenised as a whole, as every chat model is used. Otherwise the template's pieces and the
contents are encoded apart, the contents as plain text.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from promptkit.errors import TemplateError, UnsupportedError
from promptkit.tasks.template_policy import CHARS_PER_STEP, MAX_CHARS, Budget, rendering
from promptkit.types import Message

__all__ = ["fold_system", "render_chat"]

_MAX_SOURCE = 64_000
_RENDERINGS = 8  # of all arrangements together
_STEPS = 250_000  # beside an allowance for the messages; a template of today takes a thousand for two messages


class _Codec(Protocol):
    tokenizer: Any
    control: frozenset[int]

    def framed(self, text: str) -> list[int]: ...

    def content(self, text: str) -> list[int]: ...


def render_chat(messages: Sequence[Message], codec: _Codec) -> list[int]:
    """Encodes chat messages, ready for the assistant's turn.

    Args:
        messages: The turns. Where the template refuses or leaves out a system message, it is put before the user
            message that follows; where it takes contents only as lists of parts, they are given so. Of an earlier
            answer of the assistant, a template may leave out the reasoning up to ``</think>``.
        codec: The tokenizer with its two ways to encode.

    Returns:
        Token ids of the whole prompt.

    Raises:
        UnsupportedError: There is no chat template; it refuses the messages, leaves one out, or costs too much; or it
            rewrites contents that hold control tokens, so that they cannot be told from its own.
    """
    render = _renderer(codec.tokenizer)
    chars = sum(len(message.content) for message in messages)
    allowed = _RENDERINGS * (2000 * len(messages) + 20 * chars // CHARS_PER_STEP)
    with rendering(Budget(MAX_CHARS + 4 * _RENDERINGS * chars, _STEPS + allowed)):
        found = _arranged(messages, render)
    ids = codec.framed(found.whole)
    if _controls(ids, codec.control) == _controls(codec.framed(found.frame), codec.control):
        return ids
    return _piecewise(found, codec)


@dataclass(frozen=True, slots=True)
class _Arranged:
    """Messages as a template took them.

    Attributes:
        messages: The messages.
        markers: One for each.
        whole: The rendering.
        frame: The same with markers in place of the contents.
    """

    messages: Sequence[Message]
    markers: Sequence[str]
    whole: str
    frame: str


_Render = Callable[[Sequence[Message], bool], str]


def _renderer(tokenizer: Any) -> _Render:
    """Makes the function that renders messages by a tokenizer's template, with contents as texts or as parts."""
    try:
        source = tokenizer.get_chat_template() if tokenizer.chat_template else None
    except ValueError:  # several templates, none of which is the default
        source = None
    if not source:
        raise UnsupportedError(
            "prompt: a chat prompt needs a tokenizer with a chat template, and this one has none; "
            "render the prompt in completion form (form='completion', or LocalBackend(..., chat=False))"
        )
    template = _compiled(source)
    names: Mapping[str, Any] = tokenizer.special_tokens_map

    def render(messages: Sequence[Message], parts: bool) -> str:
        turns = [{"role": m.role, "content": _parts(m.content) if parts else m.content} for m in messages]
        given = {"messages": turns, "tools": None, "documents": None, "add_generation_prompt": True}
        return str(template.render(**given, **{name: _plain(value) for name, value in names.items()}))

    return render


def _plain(value: Any) -> Any:
    return [str(part) for part in value] if isinstance(value, list | tuple) else str(value)


def _parts(content: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": content}]


@lru_cache(maxsize=32)
def _compiled(source: str) -> Any:
    from promptkit.backends.local.chat_sandbox import ChatSandbox

    try:
        if len(source) > _MAX_SOURCE:
            raise TemplateError(f"it must have at most {_MAX_SOURCE:,} characters, got {len(source):,}")
        return ChatSandbox().compiled(source)
    except Exception as error:  # whatever the parser or Python's compiler makes of third-party text
        raise UnsupportedError(f"prompt: the model's chat template cannot be used: {_said(error)}; {_DO}") from None


_DO = "use another model, or render the prompt in completion form (form='completion', or LocalBackend(..., chat=False))"


def _said(error: Exception) -> str:
    return f"{error!s:.200}" or type(error).__name__


def _arranged(messages: Sequence[Message], render: _Render) -> _Arranged:
    """Finds the first arrangement of messages that the template renders whole."""
    roles = [message.role for message in messages]
    failure = ""
    for arranged, parts in _arrangements(messages):
        markers = _markers([message.content for message in arranged])
        marked = [Message(message.role, marker) for message, marker in zip(arranged, markers, strict=True)]
        try:
            whole, frame = render(arranged, parts), render(marked, parts)
        except TemplateError as error:
            raise UnsupportedError(f"prompt: the model's chat template costs too much: {error}; {_DO}") from None
        except Exception as error:  # a template is third-party code and may fail in any way
            failure = failure or (
                f"prompt: the model's chat template refuses messages with the roles {roles}: {_said(error)}; "
                "change the order of roles, or render the prompt in completion form"
            )
            continue
        lost = _lost(arranged, markers, whole, frame, parts)
        if lost is None:
            return _Arranged(arranged, markers, whole, frame)
        failure = failure or (
            f"prompt: the model's chat template leaves out a message of the role {lost.role!r} ({lost.content!r:.60}), "
            f"which the model would never read; change the order of roles {roles}, or render the prompt in completion "
            "form (form='completion', or LocalBackend(..., chat=False))"
        )
    raise UnsupportedError(failure)


def _arrangements(messages: Sequence[Message]) -> Iterator[tuple[Sequence[Message], bool]]:
    """Yields messages with whether their contents are given as parts, the usual way first."""
    folded = fold_system(messages)
    for parts in (False, True):
        yield messages, parts
        if folded is not None:
            yield folded, parts


def fold_system(messages: Sequence[Message]) -> list[Message] | None:
    r"""Puts each system message before the user message that follows, for models that know no such role.

    Args:
        messages: The turns.

    Returns:
        The turns without system messages; ``None`` if there are none, or no user message follows one.

    Example:
        >>> fold_system([Message("system", "Be brief."), Message("user", "2 + 2 =")])
        [Message(role='user', content='Be brief.\n\n2 + 2 =')]
    """
    held: list[str] = []
    turns: list[Message] = []
    for message in messages:
        if message.role == "system":
            held.append(message.content)
        elif held and message.role == "user":
            turns.append(Message("user", "\n\n".join([*held, message.content])))
            held = []
        else:
            turns.append(message)
    return None if held or len(turns) == len(messages) else turns


def _lost(messages: Sequence[Message], markers: Sequence[str], whole: str, frame: str, parts: bool) -> Message | None:
    """Finds a message whose marker or whose content does not come out of the template."""
    shown = _normal(frame)
    printed = parts and any(repr(_parts(marker)[0]) in frame or json.dumps(marker) + "}" in frame for marker in markers)
    for message, marker in zip(messages, markers, strict=True):
        if printed or _normal(marker) not in shown:
            return message
    shown = _normal(whole)
    wanted: dict[str, int] = {}
    for message in messages:
        forms = [_normal(form) for form in _written(message)]
        wanted[forms[0]] = wanted.get(forms[0], 0) + 1
        # A text that is in two messages must come out twice.
        if forms[0] and all(shown.count(form) < wanted[forms[0]] for form in forms):
            return message
    return None


def _normal(text: str) -> str:
    """Leaves out what templates may change without losing anything: white space, and capital letters."""
    return "".join(text.split()).casefold()


def _written(message: Message) -> Iterator[str]:
    """Yields the ways in which a template may write a content: as it is, escaped, or without its reasoning."""
    content = message.content
    yield content
    yield html.escape(content)
    yield (
        content.replace("&", "&amp;")
        .replace(">", "&gt;")
        .replace("<", "&lt;")
        .replace("'", "&#39;")
        .replace('"', "&#34;")
    )
    yield json.dumps(content)[1:-1]
    yield json.dumps(content, ensure_ascii=False)[1:-1]
    answer = content.rpartition("</think>")[2]
    if message.role == "assistant" and answer.strip():
        yield answer


def _markers(contents: Sequence[str]) -> list[str]:
    """Makes one marker per content, of letters that stand in none of the contents."""
    stem = "slot"
    while any(stem in content for content in contents):
        stem += "q"
    return [f"{stem}{number:06d}" for number in range(len(contents))]


def _controls(ids: Sequence[int], control: frozenset[int]) -> list[int]:
    return [number for number in ids if number in control]


def _piecewise(found: _Arranged, codec: _Codec) -> list[int]:
    pieces, rest = [], found.frame
    for marker in found.markers:
        piece, split, rest = rest.partition(marker)
        if not split:
            raise _rewritten()
        pieces.append(piece)
    pieces.append(rest)
    for change in (str, str.strip):  # most templates take contents as they are, some trim them
        contents = [change(message.content) for message in found.messages]
        joined = "".join(part for pair in zip(pieces, [*contents, ""], strict=True) for part in pair)
        if joined == found.whole:
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
