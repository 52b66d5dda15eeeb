"""One JSON value out of what a model wrote around it: reasoning, a fence of markdown, words before or after."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from pydantic import TypeAdapter, ValidationError

from promptkit.parsing.markup import split_reasoning

__all__ = ["read_value"]

_FENCE = re.compile(r"```[\w+-]*[ \t]*\n?(.*?)```", re.DOTALL)
_BRACKET = re.compile(r"[{}\[\]]")
_MOST_STARTS = 1000
_decoder = json.JSONDecoder()


def read_value(adapter: TypeAdapter[Any], text: str) -> Any:
    r"""Reads the one value of a type that a text holds.

    Reasoning (see ``promptkit.parsing.markup``) is passed over. What follows must be the value, or hold it in a fence,
    or hold it as an object or a list among words, or as a line of its own. A part of a longer or broken value is never
    taken, and neither is one of several different values.

    Args:
        adapter: The type.
        text: What a model wrote.

    Returns:
        The value.

    Raises:
        ValidationError: There is no such value; says what is wrong with the best candidate.
        ValueError: There are several.

    Example:
        >>> read_value(TypeAdapter(dict[str, int]), '<think>{"a": 4}?</think>Here:\n```json\n{"a": 5}\n```')
        {'a': 5}
    """
    try:
        return adapter.validate_json(text.strip())  # a text in the value may look like a tag
    except ValidationError as error:
        failure = error
    answer = (split_reasoning(text)[1] or "").strip()
    try:
        return adapter.validate_json(answer)
    except ValidationError as error:
        failure = error
    found: list[Any] = []
    for candidate in _candidates(answer):
        try:
            value = adapter.validate_json(candidate)
        except ValidationError as error:
            failure = error
            continue
        found += [] if value in found else [value]
    if len(found) > 1:
        raise ValueError("there must be one JSON value, got several different ones")
    if not found:
        raise failure
    return found[0]


def _candidates(answer: str) -> Iterator[str]:
    fenced = [part.strip() for part in _FENCE.findall(answer)]
    if fenced:
        yield from fenced
        return
    if not _BRACKET.search(answer):
        lines = {line.strip() for line in answer.split("\n")}
        # Of a list written one item a line, no line is the value.
        values = [line for line in lines if line.startswith((*'-"0123456789', "true", "false", "null"))]
        yield from values if len(values) == 1 else []
    yield from _embedded(answer)


def _embedded(text: str) -> Iterator[str]:
    """Yields the objects and lists that stand among words, none of which is a part of another."""
    place, depth = 0, 0
    for _ in range(_MOST_STARTS):
        found = _BRACKET.search(text, place)
        if found is None:
            return
        place = found.end()
        if found.group() in "}]":
            depth = max(0, depth - 1)
            continue
        try:
            if depth:
                raise ValueError("inside something that is not JSON")
            _, end = _decoder.raw_decode(text, found.start())
        except (ValueError, RecursionError):
            depth += 1
            continue
        yield text[found.start() : end]
        place = end
