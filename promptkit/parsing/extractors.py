"""Finding an answer by its form: JSON fields, regular expressions.

Every finder takes linear time in the length of the text, whatever the text is.
"""

from __future__ import annotations

import json
import re
from collections import deque
from typing import Any, NamedTuple

from promptkit.errors import TaskError, error_message

__all__ = ["Found", "compile_linear", "find_field"]

_OBJECT = re.compile(r'\{\s*["}]')
_MAX_OBJECTS = 1_000  # each failed start costs a pass over the text (json counts its lines for the message)


class Found(NamedTuple):
    """An answer and its position.

    Attributes:
        value: The answer as text.
        start: Where the match starts in the text; 0 for finders whose place nobody asks for.
        closed: Whether text follows the answer, so that a cut text cannot have shortened it.
    """

    value: str
    start: int
    closed: bool


def find_field(text: str, field: str) -> Found | None:
    """Reads a field of the last JSON object in the text that has it.

    Args:
        text: Any text, with or without an object in it.
        field: The name of the field.

    Of a text with more than 1,000 opening braces that could begin an object the last 1,000 are tried.

    Returns:
        Strings as they are, numbers as they are written, ``true`` and ``false`` by these words; ``None`` where no
        object has the field, where its value is null or a container, or where an object begins behind the last
        complete one (``closed`` is then false).
    """
    decoder = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=lambda _: None)
    value: Any = None
    where, done, failed_behind = -1, 0, False
    for match in deque(_OBJECT.finditer(text), maxlen=_MAX_OBJECTS):
        place = match.start()
        if place < done:
            continue  # inside an object that was read
        try:
            item, done = decoder.raw_decode(text, place)
        except json.JSONDecodeError:
            failed_behind = True
        except RecursionError:
            return None  # nested beyond any answer
        else:
            if field in item:
                value, where, failed_behind = item[field], place, False
    if isinstance(value, bool):
        value = "true" if value else "false"
    return Found(value, where, not failed_behind) if isinstance(value, str) else None


def compile_linear(pattern: str) -> Any:
    """Compiles a regular expression with google-re2, which takes linear time on every text.

    Args:
        pattern: RE2 syntax: no look-around, no back-references.

    Returns:
        A compiled pattern with the interface of the standard library's.

    Raises:
        TaskError: The pattern is not valid in RE2.
    """
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        shown = error.args[0].decode("utf-8", "replace") if isinstance(error.args[0], bytes) else error.args[0]
        expected = "a regular expression that RE2 accepts (no look-around, no back-references)"
        raise TaskError(
            error_message("pattern", of="AnswerParser", expected=expected, got=pattern, hint=f"RE2 says: {shown}")
        ) from error
